/* GET /sql/outcome/TRANSACTION: what became of a transaction whose answer was 08007, by the name
 * that the error gave it. For the same login, since it asks that login's database. */
#include <stdio.h>

#include "api/routes.h"
#include "api/sql_access.h"
#include "app.h"
#include "db/commit_mark.h"
#include "sql/error.h"
#include "json/writer.h"

struct outcome_call {
    struct http_req *req;
    struct db_job *job;
    struct db_stmt stmt;
    struct commit_mark mark;
    enum db_fate fate;
    char xid[24];
    const char *values[1];
};

static void outcome_on_gone(void *arg)
{
    struct outcome_call *call = arg;
    if (call->job)
        db_cancel(call->job);
}

static bool outcome_on_result(void *arg, size_t i, const struct db_result *r)
{
    struct outcome_call *call = arg;
    struct commit_lookup answer;
    (void)i;
    if (commit_lookup_read(r, &answer))
        call->fate = commit_mark_judge(&call->mark, &answer);
    return true;
}

static void outcome_reply(struct outcome_call *call)
{
    static const char *const words[] = {[DB_FATE_UNKNOWN] = "unknown",
                                        [DB_FATE_IN_PROGRESS] = "in progress",
                                        [DB_FATE_COMMITTED] = "committed",
                                        [DB_FATE_ABORTED] = "aborted"};
    struct buf b;
    buf_init(&b, 4096);
    BUF_LIT(&b, "{\"transaction\":");
    json_write_string(&b, call->req->rest);
    buf_printf(&b, ",\"outcome\":\"%s\"}", words[call->fate]);
    http_reply(call->req, 200, STR("application/json"), &b);
    buf_fini(&b);
}

static void outcome_on_done(void *arg, const struct db_outcome *o)
{
    struct outcome_call *call = arg;
    struct err err;
    call->job = NULL;
    http_on_gone(call->req, NULL, NULL);
    http_set_times(call->req, o->queue_us, o->connect_us, o->db_us);
    if (o->end == DB_DONE) {
        outcome_reply(call);
        return;
    }
    err_set(&err, sql_error_status(o), o->error.code, "%s", o->error.message);
    sql_access_fail(call->req, &err);
}

static void outcome_submit(struct outcome_call *call, struct db_pool *pool, uint64_t timeout_us)
{
    static const struct db_ops ops = {.on_result = outcome_on_result, .on_done = outcome_on_done};
    snprintf(call->xid, sizeof call->xid, "%lu", (unsigned long)call->mark.xid);
    call->values[0] = call->xid;
    call->stmt = (struct db_stmt){.sql = commit_lookup_sql,
                                  .sql_len = strlen(commit_lookup_sql),
                                  .nparams = 1,
                                  .values = call->values};
    const struct db_job_spec spec = {
        .stmts = &call->stmt, .n = 1, .travel = DB_SHARED, .timeout_us = timeout_us};
    http_on_gone(call->req, outcome_on_gone, call);
    call->job = db_submit(pool, &spec, &ops, call);
}

static void run_outcome(struct worker *w, struct http_req *req)
{
    struct err err = {.status = 0};
    struct sql_options options = {0};
    struct outcome_call *call = sql_access_memory(req, sizeof *call);
    struct db_pool *pool = NULL;
    if (!call)
        return;
    call->req = req;
    if (!commit_mark_parse(req->rest, &call->mark))
        err_set(&err, 400, "PGH102",
                "this is not the name of a transaction: take it from the hint of an 08007");
    else if (sql_access_options(req, &options, &err))
        pool = sql_access_pool(w, req, &options, &err);
    if (pool)
        outcome_submit(call, pool, sql_access_time_left(w, req, &options));
    else
        sql_access_fail(req, &err);
}

const struct route sql_outcome_route = {
    .name = "sql_outcome",
    .methods = "GET",
    .path = "/sql/outcome/",
    .flags = ROUTE_DATABASE | ROUTE_GUARDED | ROUTE_STRICT_ORIGIN,
    .run = run_outcome,
    .fail = sql_access_fail,
    .access = sql_access_mode,
    .cors_headers = sql_options_headers,
};
