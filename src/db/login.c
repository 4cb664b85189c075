/* login: pools of client logins, and what keeps strangers from using them as a door knocker.
 *
 * A pool is found by (database, user, options, keyed hash of the password); the password itself is
 * compared too. Two memories, both bounded: how many logins of an address PostgreSQL refused in
 * this second, and which (login, password) it refused lately, so that repeating it costs nobody a
 * connection. Of one address so many are tried at once as may fail in a second; others wait for
 * their turn, since they may be right. An address is an IPv4 address or an IPv6 network of 64 bits,
 * which is what one customer has. */
#include <openssl/crypto.h>

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "db/dbname.h"
#include "db/pool_int.h"
#include "util/log.h"
#include "util/xalloc.h"

#define GUARD_MAX 4096                  /* entries of each memory; full: it is emptied */
#define REFUSED_FOR_US (2 * 1000000ull) /* how long a refusal is remembered */
#define LOGIN_POOLS_MAX 1024
#define LOGIN_FIELD_MAX (64 * 1024)

#define TELL_EVERY_S 60 /* a line in the log for an address, at most */

struct attempts {
    uint64_t second, told; /* seconds of the loop's clock */
    unsigned failures;     /* in that second */
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

/* The address as it counts, in out. */
static void address_key(struct str address, char out[LOGIN_ADDRESS_MAX])
{
    unsigned char raw[16];
    snprintf(out, LOGIN_ADDRESS_MAX, "%.*s", (int)(address.n < 45 ? address.n : 45), address.p);
    if (inet_pton(AF_INET6, out, raw) != 1)
        return;
    memset(raw + 8, 0, 8);
    char network[INET6_ADDRSTRLEN];
    inet_ntop(AF_INET6, raw, network, sizeof network);
    snprintf(out, LOGIN_ADDRESS_MAX, "%s/64", network);
}

static struct attempts *attempts_of(struct db_pools *pools, const char *address)
{
    struct login_guard *g = pools->guard;
    uint64_t second = loop_now_us(pools->loop) / 1000000;
    if (strmap_count(g->addresses) >= GUARD_MAX) {
        strmap_free(g->addresses, free);
        g->addresses = strmap_new();
    }
    struct attempts *a = strmap_get(g->addresses, str_of(address));
    if (!a) {
        a = xcalloc(1, sizeof *a);
        strmap_put(g->addresses, str_of(address), a);
    }
    if (a->second != second)
        *a = (struct attempts){.second = second, .told = a->told};
    return a;
}

static void count_failure(struct db_pool *p)
{
    struct attempts *a = attempts_of(p->pools, p->address);
    unsigned max = p->pools->conf->login_attempts_max;
    if (++a->failures < max || !max || (a->told && a->second - a->told < TELL_EVERY_S))
        return;
    a->told = a->second;
    log_error("%u logins of %s failed within a second (login-attempts-max): more are refused for "
              "the rest of it. If this is the address of a proxy in front of pghttpd, name it in "
              "server-trusted-proxies, so that its clients count one by one",
              a->failures, p->address);
}

bool login_turn(const struct db_pool *p)
{
    unsigned max = p->pools->conf->login_attempts_max;
    if (p->proven || !max)
        return true;
    unsigned n = attempts_of(p->pools, p->address)->failures;
    for (const struct db_pool *other = p->pools->first; other; other = other->next)
        n += !other->proven && other->n_connecting && strcmp(other->address, p->address) == 0;
    return n < max;
}

void login_failed(struct db_pool *p, const struct db_error *why)
{
    struct login_guard *g = p->pools->guard;
    count_failure(p);
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

static bool check_attempts(struct db_pools *pools, const char *address, struct err *err)
{
    unsigned max = pools->conf->login_attempts_max;
    if (!max || attempts_of(pools, address)->failures < max)
        return true;
    err_set(err, 429, "53300", "too many logins from this address failed: try again in a second");
    err->hint = "See the setting login-attempts-max.";
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
    char address[LOGIN_ADDRESS_MAX];
    if (!check_login(l, err))
        return NULL;
    make_key(&key, db, l);
    address_key(l->address, address);
    struct db_pool *p = strmap_get(pools->by_key, buf_str(&key));
    if (p && !same_password(p, l->password)) {
        err_set(err, 400, "28P01", "password authentication failed for user \"%.*s\"",
                STR_ARG(l->user));
        p = NULL;
    } else if (!p && check_refused(pools, buf_str(&key), err) &&
               check_attempts(pools, address, err) && check_room(pools, err)) {
        buf_char(&key, '\0');
        p = buf_broken(&key) ? NULL : pool_new(pools, db, key.p);
    }
    if (p && !p->env.client_login) {
        p->env.client_login = true;
        memcpy(p->address, address, sizeof address);
        p->env.user = xstrndup(l->user);
        p->env.password = xstrndup(l->password);
        p->env.database = l->database.n ? xstrndup(l->database) : db_name_of(db->db_uri);
        if (l->database.n)
            p->env.types = pool_types(pools, db->name, p->env.database);
        p->env.options = l->options.n ? xstrndup(l->options) : NULL;
        p->env.application_name = l->application_name.n ? xstrndup(l->application_name) : NULL;
    }
    if (key.p)
        explicit_bzero(key.p, key.n);
    buf_fini(&key);
    return p;
}
