#include "api/sql_access.h"

#include "app.h"
#include "db/dbname.h"
#include "sql/error.h"
#include "sql/login.h"

struct reading {
    struct sql_options *options;
    struct err *err;
    bool ok;
};

static void on_header(void *arg, struct str name, struct str value)
{
    struct reading *r = arg;
    if (r->ok)
        r->ok = sql_options_header(r->options, name, value, r->err);
}

bool sql_access_options(struct http_req *req, struct sql_options *o, struct err *err)
{
    struct reading r = {.options = o, .err = err, .ok = true};
    *o = (struct sql_options){.retry = 0};
    http_headers(req, on_header, &r);
    if (!r.ok || !sql_options_url(o, req->arena, req->query, err))
        return false;
    if (req->method != HTTP_POST)
        o->read_only = true;
    return true;
}

static const struct conf_database *find_database(const struct worker *w, const struct http_req *req,
                                                 struct err *err)
{
    const struct conf_database *database = conf_database(w->conf, req->database);
    if (!database)
        err_set(err, 404, "3D000", "no database \"%.*s\" is configured",
                req->database.n > 63 ? 63 : (int)req->database.n, req->database.p);
    return database;
}

/* The first 63 bytes, whole characters: PostgreSQL's NAMEDATALEN. */
static struct str cut_name(struct str name)
{
    size_t n = name.n < 63 ? name.n : 63;
    while (n > 0 && n < name.n && ((unsigned char)name.p[n] & 0xc0) == 0x80)
        n--;
    return (struct str){name.p, n};
}

/* A pool is shared by all requests of a login, whatever they are called: its sessions bear the name
 * of the request that made it, and any other name is set for the time of its request. */
static struct str name_to_set(const struct db_pool *pool, struct str asked)
{
    struct str name = asked.n ? asked : STR("pghttpd");
    return str_eq(name, db_pool_application_name(pool)) ? (struct str){NULL, 0} : cut_name(name);
}

static struct db_pool *login_pool(struct worker *w, const struct http_req *req,
                                  const struct conf_database *database, struct sql_options *o,
                                  struct err *err)
{
    struct db_login login = {.address = req->address};
    if (!sql_login_read(req->arena, o, &login, err))
        return NULL;
    if (login.database.n > 0 && !db_name_allowed(w->conf, database, login.database)) {
        err_set(err, 400, "3D000", "the database \"%.*s\" is not open to logins here",
                login.database.n > 63 ? 63 : (int)login.database.n, login.database.p);
        err->hint = "See the setting login-databases.";
        return NULL;
    }
    struct db_pool *pool = db_pools_login(w->pools, database, &login, err);
    if (pool)
        o->application_name = name_to_set(pool, login.application_name);
    return pool;
}

/* A client that asks for more time than there is shall know before it waits. */
static bool check_timeout(const struct worker *w, const struct sql_options *o, struct err *err)
{
    uint64_t most = w->conf->statement_timeout_us;
    if (!most || o->timeout_us <= most)
        return true;
    err_set(err, 400, "PGH102", "timeout: more than the setting statement-timeout (%g s)",
            (double)most / 1e6);
    err->hint = "Ask for less, or raise statement-timeout.";
    return false;
}

void sql_access_too_big(struct err *err, size_t most)
{
    err_set(err, 507, "54000", "the result is bigger than response-max-bytes (%zu)", most);
    err->hint = "Ask for less, or for a part at a time.";
}

struct db_pool *sql_access_pool(struct worker *w, struct http_req *req, struct sql_options *o,
                                struct err *err)
{
    const struct conf_database *database = find_database(w, req, err);
    if (!database || !check_timeout(w, o, err))
        return NULL;
    switch (w->conf->sql_access) {
    case CONF_OPEN: return db_pools_own(w->pools, database);
    case CONF_LOGIN: return login_pool(w, req, database, o, err);
    case CONF_OFF:
    case CONF_JWT: break;
    }
    err_set(err, 404, "PGH106", "SQL over HTTP is switched off here");
    err->hint = "See the setting sql-access.";
    return NULL;
}

uint64_t sql_access_time_left(const struct worker *w, const struct http_req *req,
                              const struct sql_options *o)
{
    uint64_t most = w->conf->statement_timeout_us, asked = o->timeout_us;
    uint64_t limit = asked ? asked : most; /* no more than most: check_timeout */
    uint64_t gone = loop_now_us(w->loop) - req->received_us;
    if (limit == 0)
        return 0;
    return gone < limit ? limit - gone : 1;
}

struct str sql_access_name(const struct http_req *req, const struct sql_options *o)
{
    if (http_header(req, "X-Request-Id").p)
        return req->id;
    return req->traceparent.n || !o ? req->traceparent : o->application_name;
}

enum conf_access sql_access_mode(const struct conf *conf)
{
    return conf->sql_access;
}

static void add_header(struct http_req *req, struct str name, struct str value)
{
    if (!http_add_header(req, name, value)) { /* ours are well-formed */
    }
}

void sql_access_fail_index(struct http_req *req, const struct err *err, bool with_index,
                           size_t index)
{
    struct buf b;
    buf_init(&b, BUF_NO_CEILING);
    sql_error_own(&b, err, with_index, index);
    /* A browser would remember credentials it asked for, and send them with every page's request */
    if (err->status == 401 && !http_header(req, "Sec-Fetch-Mode").p)
        add_header(req, STR("WWW-Authenticate"),
                   STR("Basic realm=\"PostgreSQL\", charset=\"UTF-8\""));
    if (err->retry_after) {
        char seconds[24];
        struct buf text = {.p = seconds, .cap = sizeof seconds, .ceiling = sizeof seconds};
        buf_u64(&text, err->retry_after);
        add_header(req, STR("Retry-After"), buf_str(&text));
    }
    http_reply(req, err->status, STR("application/json"), &b);
    buf_fini(&b);
}

void sql_access_fail(struct http_req *req, const struct err *err)
{
    sql_access_fail_index(req, err, false, 0);
}

void *sql_access_memory(struct http_req *req, size_t size)
{
    struct err err = {0};
    void *memory = arena_alloc(req->arena, size);
    if (memory)
        return memory;
    err_set(&err, 503, "53200", "out of memory for this request");
    sql_access_fail(req, &err);
    return NULL;
}
