/* login: pools of client logins, and what keeps strangers from using them as a door knocker.
 *
 * A pool is found by (database, user, options, keyed hash of the password); the password itself is
 * compared too. Two memories, both bounded: how many new logins an address tried in this second,
 * and which (login, password) PostgreSQL refused lately, so that repeating it costs nobody a
 * connection. Both are by password or by address: a stranger's wrong passwords never delay the
 * right one. */
#include <openssl/crypto.h>

#include <assert.h>
#include <stdlib.h>

#include "db/dbname.h"
#include "db/pool_int.h"
#include "util/xalloc.h"

#define GUARD_MAX 4096                  /* entries of each memory; full: it is emptied */
#define REFUSED_FOR_US (2 * 1000000ull) /* how long a refusal is remembered */
#define LOGIN_POOLS_MAX 1024
#define LOGIN_FIELD_MAX (64 * 1024)

struct attempts {
    uint64_t second;
    unsigned n;
};

struct refused {
    uint64_t until_us;
    struct db_failure failure;
};

struct login_guard {
    struct strmap *addresses; /* struct attempts */
    struct strmap *refused;   /* struct refused, by pool key */
};

struct login_guard *login_guard_new(void)
{
    struct login_guard *g = xcalloc(1, sizeof *g);
    g->addresses = strmap_new();
    g->refused = strmap_new();
    return g;
}

static void refused_free(void *p)
{
    struct refused *r = p;
    db_failure_fini(&r->failure);
    free(r);
}

void login_guard_free(struct login_guard *g)
{
    if (!g)
        return;
    strmap_free(g->addresses, free);
    strmap_free(g->refused, refused_free);
    free(g);
}

void login_failed(struct db_pool *p, const struct db_error *why)
{
    struct login_guard *g = p->pools->guard;
    if (strmap_count(g->refused) >= GUARD_MAX) {
        strmap_free(g->refused, refused_free);
        g->refused = strmap_new();
    }
    struct refused *r = xcalloc(1, sizeof *r);
    r->until_us = loop_now_us(p->pools->loop) + REFUSED_FOR_US;
    db_failure_copy(&r->failure, why);
    r = strmap_put(g->refused, str_of(p->key), r);
    if (r)
        refused_free(r);
}

/* False: this very login was refused a moment ago. */
static bool check_refused(struct db_pools *pools, struct str key, struct err *err)
{
    struct refused *r = strmap_get(pools->guard->refused, key);
    if (!r)
        return true;
    if (loop_now_us(pools->loop) < r->until_us)
        return err_set(err, 400, r->failure.error.code, "%s", r->failure.error.message);
    refused_free(strmap_remove(pools->guard->refused, key));
    return true;
}

static bool check_attempts(struct db_pools *pools, struct str address, struct err *err)
{
    struct login_guard *g = pools->guard;
    uint64_t second = loop_now_us(pools->loop) / 1000000;
    unsigned max = pools->conf->login_attempts_max;
    if (!max)
        return true;
    if (strmap_count(g->addresses) >= GUARD_MAX) {
        strmap_free(g->addresses, free);
        g->addresses = strmap_new();
    }
    struct attempts *a = strmap_get(g->addresses, address);
    if (!a) {
        a = xcalloc(1, sizeof *a);
        strmap_put(g->addresses, address, a);
    }
    if (a->second != second)
        *a = (struct attempts){.second = second};
    if (a->n++ < max)
        return true;
    err_set(err, 429, "53300", "too many logins from this address: try again in a second");
    err->retry_after = 1;
    return false;
}

static bool has_nul(struct str s)
{
    return s.n && memchr(s.p, '\0', s.n);
}

static bool check_login(const struct db_login *l, struct err *err)
{
    err_clear(err);
    if (has_nul(l->user) || has_nul(l->password) || has_nul(l->database) || has_nul(l->options) ||
        has_nul(l->application_name))
        return err_set(err, 400, "28000", "the login contains a NUL byte");
    if (l->user.n == 0)
        return err_set(err, 400, "28000", "no user name was given");
    if (l->password.n == 0) /* libpq would look into PGPASSWORD and .pgpass */
        return err_set(err, 400, "28P01", "no password was given for user \"%.*s\"",
                       STR_ARG(l->user));
    if (l->user.n > LOGIN_FIELD_MAX || l->password.n > LOGIN_FIELD_MAX ||
        l->database.n > LOGIN_FIELD_MAX || l->options.n > LOGIN_FIELD_MAX)
        return err_set(err, 400, "28000", "the login is too long");
    return true;
}

/* Each part with its length before it, so that no two logins give the same key. */
static void key_part(struct buf *key, struct str part)
{
    buf_u64(key, part.n);
    buf_char(key, ':');
    buf_adds(key, part);
}

static void make_key(struct buf *key, const struct conf_database *db, const struct db_login *l)
{
    buf_init(key, 4 * LOGIN_FIELD_MAX);
    BUF_LIT(key, "login/");
    key_part(key, str_of(db->name));
    key_part(key, l->database);
    key_part(key, l->user);
    key_part(key, l->options);
    buf_u64(key, str_hash(l->password));
}

static bool same_password(const struct db_pool *p, struct str password)
{
    return strlen(p->env.password) == password.n &&
           CRYPTO_memcmp(p->env.password, password.p, password.n) == 0;
}

static bool check_room(struct db_pools *pools, struct err *err)
{
    if (strmap_count(pools->by_key) < LOGIN_POOLS_MAX)
        return true;
    struct db_pool *oldest = NULL;
    for (struct db_pool *p = pools->first; p; p = p->next)
        if (p->env.client_login && p->state != POOL_ENDED && p->waiting.n == 0 &&
            (!oldest || p->used_us < oldest->used_us))
            oldest = p;
    if (!oldest) {
        err_set(err, 503, "53300", "too many different logins are in use");
        err->retry_after = 1;
        return false;
    }
    pool_end(oldest, &(struct db_error){.severity = "FATAL", .code = "57P03", .message = "idle"});
    return true;
}

struct db_pool *db_pools_login(struct db_pools *pools, const struct conf_database *db,
                               const struct db_login *l, struct err *err)
{
    struct buf key;
    if (!check_login(l, err))
        return NULL;
    make_key(&key, db, l);
    struct db_pool *p = strmap_get(pools->by_key, buf_str(&key));
    if (p && !same_password(p, l->password)) {
        err_set(err, 400, "28P01", "password authentication failed for user \"%.*s\"",
                STR_ARG(l->user));
        p = NULL;
    } else if (!p && check_refused(pools, buf_str(&key), err) &&
               check_attempts(pools, l->address, err) && check_room(pools, err)) {
        buf_char(&key, '\0');
        p = buf_broken(&key) ? NULL : pool_new(pools, db, key.p);
    }
    if (p && !p->env.client_login) {
        p->env.client_login = true;
        p->env.user = xstrndup(l->user);
        p->env.password = xstrndup(l->password);
        p->env.database = l->database.n ? xstrndup(l->database) : db_name_of(db->db_uri);
        if (l->database.n)
            p->env.types = pools_types(pools, db->name, p->env.database);
        p->env.options = l->options.n ? xstrndup(l->options) : NULL;
        p->env.application_name = l->application_name.n ? xstrndup(l->application_name) : NULL;
    }
    if (key.p)
        explicit_bzero(key.p, key.n);
    buf_fini(&key);
    return p;
}
