/* POST /notify/CHANNEL: the body is the payload, sent by pg_notify through the server's own pool.
 */
#include "api/channel_access.h"
#include "api/routes.h"
#include "db/pool.h"
#include "db/sqlstate.h"
#include "listen/request.h"

#define PAYLOAD_MAX 7999 /* PostgreSQL's limit is 8000 with its NUL (async.c) */

struct notifying {
    struct http_req *req;
    struct db_job *job;
    struct db_stmt stmt;
    const char *values[2];
};

static void on_gone(void *arg)
{
    struct notifying *n = arg;
    if (n->job)
        db_cancel(n->job);
}

static bool on_result(void *arg, size_t i, const struct db_result *r)
{
    (void)arg, (void)i, (void)r;
    return true;
}

static int status_of(const struct db_outcome *o)
{
    switch (o->end) {
    case DB_NOT_SENT: return 503;
    case DB_UNKNOWN: return 500;
    case DB_TIMED_OUT: return 504;
    case DB_FAILED: return db_sqlstate_status(o->error.code, o->error.message, false);
    case DB_DONE:
    default: return 204;
    }
}

static void on_done(void *arg, const struct db_outcome *o)
{
    struct notifying *n = arg;
    struct http_req *req = n->req;
    struct err err;
    n->job = NULL;
    http_on_gone(req, NULL, NULL);
    http_set_times(req, o->queue_us, o->connect_us, o->db_us);
    if (o->end == DB_DONE) {
        http_reply(req, 204, (struct str){NULL, 0}, NULL);
        return;
    }
    err_set(&err, status_of(o), o->error.code ? o->error.code : "08006", "%s",
            o->error.message ? o->error.message : "the database is away");
    err.details = o->error.detail;
    err.hint = o->error.hint;
    if (o->retry_after_s)
        err.retry_after = o->retry_after_s;
    http_fail_json(req, &err);
}

static bool check_payload(struct str body, struct err *err)
{
    if (body.n > PAYLOAD_MAX) {
        err_set(err, 413, "22023", "the payload has %zu bytes; PostgreSQL takes %d", body.n,
                PAYLOAD_MAX);
        err->hint = "store the data in a table and notify its key";
        return false;
    }
    if (body.n > 0 && memchr(body.p, 0, body.n))
        return err_set(err, 400, "22021", "the payload contains a NUL byte");
    if (!str_utf8(body))
        return err_set(err, 400, "22021", "the payload is not valid UTF-8");
    return true;
}

/* None is known; "_" is what pages add against caches. */
static bool check_query(struct str query, struct err *err)
{
    struct str part;
    while (str_next(&query, '&', &part)) {
        size_t n = str_find(part, '=', 0);
        if (n > 0 && !str_eq((struct str){part.p, n}, STR("_")))
            return err_set(err, 400, "PGH400", "there is no parameter \"%.*s\"",
                           n > 80 ? 80 : (int)n, part.p);
    }
    return true;
}

static bool check(struct worker *w, struct http_req *req, const struct conf_database *d,
                  struct str *channel, struct err *err)
{
    struct auth_identity who;
    struct str token = {NULL, 0};
    return check_query(req->query, err) &&
           listen_channel_parse(req->arena, req->rest, channel, err) &&
           channel_identity(w, req, CHANNEL_NOTIFY, &token, &who, err) &&
           channel_allowed(w, d, CHANNEL_NOTIFY, &who, *channel, err) &&
           check_payload(req->body, err);
}

static void submit(struct worker *w, struct http_req *req, const struct conf_database *d,
                   struct str channel)
{
    static const struct db_ops ops = {.on_result = on_result, .on_done = on_done};
    static const char sql[] = "SELECT pg_catalog.pg_notify($1, $2)";
    struct notifying *n = ARENA_NEW(req->arena, struct notifying);
    const char *name = arena_strdup(req->arena, channel);
    const char *payload = arena_strdup(req->arena, req->body);
    if (!n || !name || !payload) {
        struct err err;
        err_set(&err, 413, "PGH413", "the request is too large");
        http_fail_json(req, &err);
        return;
    }
    *n = (struct notifying){.req = req, .values = {name, payload}};
    n->stmt = (struct db_stmt){.sql = sql,
                               .sql_len = sizeof sql - 1,
                               .nparams = 2,
                               .values = n->values,
                               .prepare = d->db_prepared_statements};
    struct db_job_spec spec = {.stmts = &n->stmt,
                               .n = 1,
                               .travel = DB_SHARED,
                               .can_write = true,
                               .timeout_us = w->conf->statement_timeout_us,
                               .application_name = req->id};
    http_on_gone(req, on_gone, n);
    n->job = db_submit(db_pools_own(w->pools, d), &spec, &ops, n);
}

static void run_notify(struct worker *w, struct http_req *req)
{
    struct str channel;
    struct err err;
    err_clear(&err);
    const struct conf_database *d = channel_database(w, req, CHANNEL_NOTIFY, &err);
    if (d && check(w, req, d, &channel, &err))
        submit(w, req, d, channel);
    else
        channel_fail(req, &err);
}

static enum conf_access notify_mode(const struct conf *conf)
{
    return conf->notify_access;
}

const struct route notify_route = {
    .name = "notify",
    .methods = "POST",
    .path = "/notify/",
    .flags = ROUTE_DATABASE | ROUTE_GUARDED,
    .run = run_notify,
    .fail = channel_fail,
    .access = notify_mode,
};
