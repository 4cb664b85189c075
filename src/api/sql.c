/* /sql: one statement or a batch of them in, their results out.
 *
 * Life of a request: run_sql reads it (http/sql: options, login, statements) and submits one job ->
 * on_result writes rows into call->reply -> either everything fits under response-buffer, and
 * on_done answers with a whole body; or the reply turns into a stream: what is there is handed to
 * the server piece by piece, reading from PostgreSQL pauses while the client is slow, and the last
 * bytes come from on_done, after ReadyForQuery, or the body is broken off.
 *
 * A client that leaves makes on_gone (or, streaming, on_closed) cancel the job. The call lives in
 * the request's arena, but for the reply's buffer. */
#include "api/flow.h"
#include "api/routes.h"
#include "api/sql_access.h"
#include "app.h"
#include "sql/error.h"
#include "sql/reply.h"

struct call {
    struct worker *worker;
    struct http_req *req;
    struct sql_options options;
    struct sql_request request;
    struct sql_reply reply;
    struct flow flow;
    struct loop_timer prompt; /* rows that wait go out */
    unsigned retries;         /* already made */
};

/* The longest that a row is held back of formats whose end can tell an error, or that have no place
 * for one: NDJSON, CSV. */
#define ROW_WAITS_MAX_US 100000

static void submit(struct call *call, struct db_pool *pool);

/* A header of ours: name and value are known to be well-formed. */
static void set_header(struct http_req *req, struct str name, struct str value)
{
    http_set_header(req, name, value);
}

static void echo_batch_headers(struct call *call)
{
    const struct sql_options *o = &call->options;
    if (!call->request.batch)
        return;
    if (o->echo_isolation.p)
        set_header(call->req, STR("Neon-Batch-Isolation-Level"), o->echo_isolation);
    if (o->echo_read_only.p)
        set_header(call->req, STR("Neon-Batch-Read-Only"), o->echo_read_only);
    if (o->echo_deferrable.p)
        set_header(call->req, STR("Neon-Batch-Deferrable"), o->echo_deferrable);
}

/* Rows that max_rows left out: CSV has no place for that in its body. Once it streams, nobody knows
 * yet. */
static void say_truncated(struct call *call, bool streams)
{
    const struct sql_options *o = &call->options;
    if (o->format != SQL_CSV || !o->limited)
        return;
    if (call->reply.truncated)
        set_header(call->req, STR("Pghttpd-Truncated"), STR("true"));
    else if (streams)
        set_header(call->req, STR("Pghttpd-Truncated"), STR("unknown"));
}

/* ";dur=" in milliseconds */
static void add_duration(struct buf *b, struct str name, uint64_t us)
{
    if (b->n)
        BUF_LIT(b, ", ");
    buf_adds(b, name);
    BUF_LIT(b, ";dur=");
    buf_u64(b, us / 1000);
    buf_char(b, '.');
    buf_char(b, (char)('0' + us / 100 % 10));
    buf_char(b, (char)('0' + us / 10 % 10));
    buf_char(b, (char)('0' + us % 10));
}

static void add_timing(struct call *call, const struct db_outcome *o)
{
    char text[160];
    struct buf b = {.p = text, .cap = sizeof text, .ceiling = sizeof text};
    http_set_times(call->req, o->queue_us, o->connect_us, o->db_us);
    add_duration(&b, STR("queue"), o->queue_us);
    add_duration(&b, STR("connect"), o->connect_us);
    add_duration(&b, STR("db"), o->db_us);
    add_duration(&b, STR("total"), loop_now_us(call->worker->loop) - call->req->received_us);
    (void)!http_add_header(call->req, STR("Server-Timing"), buf_str(&b));
}

static void drop(void *arg)
{
    struct call *call = arg;
    loop_timer_stop(&call->prompt);
    flow_drop(&call->flow);
    sql_reply_fini(&call->reply);
}

static void stream_headers(struct call *call)
{
    loop_timer_stop(&call->prompt);
    echo_batch_headers(call);
    say_truncated(call, true);
}

/* A slow query: its rows go out as they come. */
static void on_prompt(void *arg)
{
    struct call *call = arg;
    if (!call->flow.job || call->flow.streaming || !db_job_long(call->flow.job))
        return;
    stream_headers(call);
    flow_begin(&call->flow, sql_reply_type(&call->reply));
}

static void await_more(struct call *call)
{
    bool waits = call->options.format != SQL_JSON && call->reply.open && call->reply.rows > 0;
    if (waits && !call->flow.streaming && !loop_timer_pending(&call->prompt))
        loop_timer_set(&call->prompt, ROW_WAITS_MAX_US);
}

static bool on_result(void *arg, size_t i, const struct db_result *result)
{
    struct call *call = arg;
    if (!sql_reply_result(&call->reply, i, result))
        return false;
    bool begins = !call->flow.streaming && flow_is_over(&call->flow);
    if (begins && !db_job_long(call->flow.job))
        return true; /* held, for the moment that its cancel takes */
    if (begins)
        stream_headers(call);
    flow_filled(&call->flow, sql_reply_type(&call->reply));
    await_more(call);
    return true;
}

/* Nothing of it has gone to the client yet. */
static bool on_again(void *arg)
{
    struct call *call = arg;
    if (call->flow.streaming || call->reply.cancelled)
        return false;
    loop_timer_stop(&call->prompt);
    sql_reply_restart(&call->reply);
    return true;
}

/* ---- the end ---- */

static bool error_is(const struct db_outcome *o, const char *code)
{
    return o->error.code && strcmp(o->error.code, code) == 0;
}

/* A serialization failure or deadlock, and the client wants it tried again. */
static bool wants_retry(struct call *call, const struct db_outcome *o)
{
    if (call->retries >= call->options.retry || !(error_is(o, "40001") || error_is(o, "40P01")))
        return false;
    call->retries++;
    return true;
}

/* A prepared statement of ours went out of date (its table was altered, somebody dropped the name),
 * or may have, after an earlier result of the batch was taken: without names it works. */
static bool lost_its_name(struct call *call, const struct db_outcome *o)
{
    bool named = false;
    if (!o->stale_name)
        return false;
    for (size_t i = 0; i < call->request.n; i++) {
        named = named || call->request.stmts[i].prepare;
        call->request.stmts[i].prepare = false;
    }
    return named;
}

/* The failed request is sent once more; it was rolled back and nothing of it was answered. */
static bool retry(struct call *call, const struct db_outcome *o)
{
    struct err err;
    if (o->end != DB_FAILED || call->flow.streaming || call->reply.cancelled ||
        !(wants_retry(call, o) || lost_its_name(call, o)))
        return false;
    struct db_pool *pool = sql_access_pool(call->worker, call->req, &call->options, &err);
    if (!pool)
        return false;
    sql_reply_restart(&call->reply);
    submit(call, pool);
    return true;
}

static void reply_success(struct call *call, const struct db_outcome *o)
{
    sql_reply_finish(&call->reply, o);
    if (buf_broken(&call->reply.out.buf)) {
        struct err err;
        err_set(&err, 507, "53200", "out of memory for the reply");
        sql_access_fail(call->req, &err);
    } else {
        add_timing(call, o);
        echo_batch_headers(call);
        say_truncated(call, false);
        http_reply(call->req, 200, sql_reply_type(&call->reply), &call->reply.out.buf);
    }
    sql_reply_fini(&call->reply);
}

static void reply_too_big(struct call *call, const struct db_outcome *o)
{
    struct err err;
    sql_access_too_big(&err, call->worker->conf->response_max_bytes);
    if (o->end == DB_DONE)
        err.details = "The request has been committed.";
    else if (o->end == DB_UNKNOWN)
        err.details = "The request may have been committed.";
    sql_access_fail(call->req, &err);
    sql_reply_fini(&call->reply);
}

static void reply_error(struct call *call, const struct db_outcome *o)
{
    struct buf b;
    struct db_error error = o->error;
    int status = sql_error_status(o);
    buf_init(&b, BUF_NO_CEILING);
    sql_error_explain(&call->request, o, call->req->arena, &error);
    sql_error_json(&b, &error, call->request.batch, sql_error_index(&call->request, o));
    if (status == 503) {
        char text[24];
        struct buf seconds = {.p = text, .cap = sizeof text, .ceiling = sizeof text};
        buf_u64(&seconds, o->retry_after_s ? o->retry_after_s : 1);
        set_header(call->req, STR("Retry-After"), buf_str(&seconds));
    }
    add_timing(call, o);
    http_reply(call->req, status, STR("application/json"), &b);
    buf_fini(&b);
    sql_reply_fini(&call->reply);
}

static void end_stream(struct call *call, const struct db_outcome *o, bool success)
{
    http_set_times(call->req, o->queue_us, o->connect_us, o->db_us);
    bool whole = success || (!call->reply.overflow && sql_reply_error_line(&call->reply, o));
    if (success)
        sql_reply_finish(&call->reply, o);
    flow_end(&call->flow, whole);
}

static void on_done(void *arg, const struct db_outcome *o)
{
    struct call *call = arg;
    /* A statement that was ended because nobody needs its other rows has done its work. */
    bool success = !call->reply.overflow &&
                   (o->end == DB_DONE || (call->reply.cancelled && o->end == DB_FAILED));
    call->flow.job = NULL;
    loop_timer_stop(&call->prompt);
    if (call->flow.streaming) {
        end_stream(call, o, success);
        return;
    }
    flow_drop(&call->flow); /* what it kept counts no more */
    if (retry(call, o))
        return;
    http_on_gone(call->req, NULL, NULL);
    if (success)
        reply_success(call, o);
    else if (call->reply.overflow)
        reply_too_big(call, o);
    else
        reply_error(call, o);
}

/* ---- the beginning ---- */

static void submit(struct call *call, struct db_pool *pool)
{
    static const struct db_ops ops = {
        .on_result = on_result, .on_again = on_again, .on_done = on_done};
    const struct sql_request *q = &call->request;
    const struct sql_options *o = &call->options;
    const struct db_job_spec spec = {
        .stmts = q->stmts,
        .n = q->n,
        .travel = q->quick ? DB_SHARED : DB_EXCLUSIVE,
        .yields = q->quick,
        .foreign = q->quick,
        .in_transaction = q->in_transaction,
        .isolation = o->isolation,
        .read_only = o->read_only,
        .deferrable = o->deferrable,
        .rollback = o->read_only && q->in_transaction, /* nothing it does may stay */
        .stream_rows = true,
        .can_write = !o->read_only,
        .leaves_state = q->leaves_state,
        .need_types = !o->raw && o->format != SQL_CSV,
        .timeout_us = sql_access_time_left(call->worker, call->req, o),
        .application_name = sql_access_name(call->req, o),
    };
    call->reply.types = db_pool_types(pool);
    call->flow.job = db_submit(pool, &spec, &ops, call);
}

/* A batch of nothing. */
static void reply_empty(struct call *call)
{
    const struct db_outcome nothing = {.end = DB_DONE};
    sql_reply_finish(&call->reply, &nothing);
    echo_batch_headers(call);
    http_reply(call->req, 200, sql_reply_type(&call->reply), &call->reply.out.buf);
    sql_reply_fini(&call->reply);
}

/* False with err; index and batch tell which statement. */
static bool read_request(struct call *call, const struct db_pool *pool, struct err *err)
{
    struct http_req *req = call->req;
    /* RFC 8259, section 8.1: a byte order mark may be passed over. */
    size_t mark = str_starts(req->body, STR("\xef\xbb\xbf")) ? 3 : 0;
    struct sql_body body = {.p = (char *)(uintptr_t)req->body.p + mark, /* ours: server.h */
                            .n = req->body.n - mark,
                            .get = req->method != HTTP_POST,
                            .plain_backslash = db_pool_plain_backslash(pool)};
    return sql_request_read(req->arena, &call->options, &body, &call->request, err);
}

static void fail(struct call *call, const struct err *err)
{
    sql_access_fail_index(call->req, err, call->request.batch, call->request.failed);
}

static void start(struct call *call, struct db_pool *pool)
{
    struct err err = {.status = 0};
    struct worker *w = call->worker;
    if (!read_request(call, pool, &err)) {
        fail(call, &err);
        return;
    }
    sql_reply_init(&call->reply, &call->options, &call->request, call->req->arena);
    call->reply.bytes_max = w->conf->response_max_bytes;
    flow_init(&call->flow, w, call->req, &call->reply.out);
    call->flow.keep = call->request.batch && call->options.format == SQL_JSON;
    call->flow.closed = drop;
    call->flow.arg = call;
    if (call->request.n == 0) {
        reply_empty(call);
        return;
    }
    http_on_gone(call->req, drop, call);
    submit(call, pool);
}

/* ---- the first request of a pool ----
 *
 * Where :name stands depends on where '...' ends, and that on what a backslash means in it, which
 * only the session knows (standard_conforming_strings; a login may have its own). Before a pool has
 * had a session, a request that may have both waits for one, by a job that does nothing: one round
 * trip more, behind those of the login. */

static bool has(struct str s, char c)
{
    return str_find(s, c, 0) < s.n;
}

/* Parameters by name are an object inside of an object or array. */
static bool needs_session(const struct call *call)
{
    const struct sql_options *o = &call->options;
    struct str body = call->req->body;
    if (o->params.p)
        return has(o->params, '{') && (has(o->query, '\\') || has(body, '\\'));
    size_t brace = str_find(body, '{', 0);
    return has(body, '\\') && brace < body.n && has(str_from(body, brace + 1), '{');
}

static bool on_nothing(void *arg, size_t i, const struct db_result *result)
{
    (void)arg, (void)i, (void)result;
    return true;
}

static void on_session(void *arg, const struct db_outcome *o)
{
    struct call *call = arg;
    struct err err = {.status = 0};
    call->flow.job = NULL;
    http_on_gone(call->req, NULL, NULL);
    if (o->end != DB_DONE) {
        reply_error(call, o);
        return;
    }
    struct db_pool *pool = sql_access_pool(call->worker, call->req, &call->options, &err);
    if (pool)
        start(call, pool);
    else
        fail(call, &err);
}

static void await_session(struct call *call, struct db_pool *pool)
{
    static const struct db_stmt nothing = {.sql = "SELECT", .sql_len = 6};
    static const struct db_ops ops = {.on_result = on_nothing, .on_done = on_session};
    const struct db_job_spec spec = {
        .stmts = &nothing,
        .n = 1,
        .travel = DB_SHARED,
        .timeout_us = sql_access_time_left(call->worker, call->req, &call->options),
    };
    http_on_gone(call->req, drop, call);
    call->flow.job = db_submit(pool, &spec, &ops, call);
}

static void run_sql(struct worker *w, struct http_req *req)
{
    struct err err = {.status = 0};
    struct call *call = sql_access_memory(req, sizeof *call);
    struct db_pool *pool = NULL;
    if (!call)
        return;
    call->worker = w;
    call->req = req;
    loop_timer_init(&call->prompt, w->loop, on_prompt, call);
    call->request.failed = SQL_NO_INDEX;
    if (sql_access_options(req, &call->options, &err) && sql_options_finish(&call->options, &err))
        pool = sql_access_pool(w, req, &call->options, &err);
    if (!pool)
        fail(call, &err);
    else if (!db_pool_strings_known(pool) && needs_session(call))
        await_session(call, pool);
    else
        start(call, pool);
}

const struct route sql_route = {
    .name = "sql",
    .methods = "GET, POST",
    .path = "/sql",
    .flags = ROUTE_DATABASE | ROUTE_GUARDED | ROUTE_STRICT_ORIGIN,
    .run = run_sql,
    .fail = sql_access_fail,
    .access = sql_access_mode,
    .cors_headers = sql_options_headers,
    .exposed_headers = "Pghttpd-Truncated",
};
