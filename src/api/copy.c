/* /copy: POST streams a body into COPY ... FROM STDIN, GET streams COPY ... TO STDOUT out, in a
 * transaction that is read only, as GET is everywhere.
 *
 * In: the body is only read as fast as PostgreSQL takes it, and is all or nothing: a body that was
 * cut off ends the COPY with an error. Out: rows are held up to response-buffer, so that an early
 * error is a proper answer; past it they stream, and a late error breaks the body off. */
#include "api/flow.h"
#include "api/routes.h"
#include "api/sql_access.h"
#include "app.h"
#include "sql/error.h"
#include "sql/scan.h"
#include "sql/statement.h"
#include "json/writer.h"

struct call {
    struct worker *worker;
    struct http_req *req;
    struct sql_options options;
    struct db_stmt stmt;
    struct flow flow;
    struct drain out; /* COPY TO: what PostgreSQL gave and the client did not take yet */
    uint64_t received;
    bool in;
    bool too_big, sink_set, upload_ended;
    bool other_way; /* PostgreSQL reads the statement otherwise: standard_conforming_strings is off
                     */
};

static void drop(void *arg)
{
    struct call *call = arg;
    flow_drop(&call->flow);
    buf_fini(&call->out.buf);
}

/* ---- in ---- */

static void submit(struct call *call);

static bool on_upload(void *arg, struct str piece, bool at_end)
{
    struct call *call = arg;
    size_t most = call->worker->conf->copy_max_bytes;
    bool more = true;
    if (!call->flow.job || call->upload_ended)
        return true; /* the answer is on its way: the rest of the body means nothing */
    call->received += piece.n;
    if (most && call->received > most) {
        call->too_big = call->upload_ended = true;
        db_copy_end(call->flow.job, "the body is bigger than copy-max-bytes");
        return true;
    }
    if (piece.n)
        more = db_copy_put(call->flow.job, piece);
    if (at_end) {
        call->upload_ended = true;
        db_copy_end(call->flow.job, NULL);
    }
    return more || at_end;
}

static void on_ready(void *arg)
{
    static const struct http_body_sink sink = {.on_body = on_upload};
    struct call *call = arg;
    if (!call->in) {
        call->other_way = true;
        db_copy_end(call->flow.job, "GET is for COPY ... TO STDOUT");
        return;
    }
    if (call->sink_set) {
        http_body_resume(call->req);
        return;
    }
    call->sink_set = true;
    http_body_sink(call->req, &sink, call);
}

/* ---- out ---- */

/* By the words of the statement: FORMAT csv, BINARY. */
static struct str content_type(const struct call *call)
{
    struct sql_scan s;
    sql_scan_init(&s, (struct str){call->stmt.sql, call->stmt.sql_len}, true);
    while (sql_scan_next(&s) != SQL_END) {
        if (sql_scan_is(&s, "csv"))
            return STR("text/csv; charset=utf-8");
        if (sql_scan_is(&s, "binary"))
            return STR("application/octet-stream");
    }
    return STR("text/plain; charset=utf-8");
}

/* A body of a GET means nothing, but an answer cannot stream before it is read. */
static bool on_get_body(void *arg, struct str piece, bool at_end)
{
    (void)piece;
    if (at_end)
        submit(arg);
    return true;
}

static bool on_data(void *arg, struct str data)
{
    struct call *call = arg;
    if (call->in) {
        call->other_way = true;
        return false;
    }
    buf_adds(&call->out.buf, data);
    flow_filled(&call->flow, content_type(call));
    return !buf_broken(&call->out.buf);
}

/* ---- the end ---- */

static bool wrong_way(struct err *err)
{
    return err_set(err, 400, "PGH101", "POST is for COPY ... FROM STDIN, GET for TO STDOUT");
}

static void reply_error(struct call *call, const struct db_outcome *o)
{
    struct buf b;
    struct err err;
    if (call->other_way) {
        (void)wrong_way(&err);
        sql_access_fail(call->req, &err);
        return;
    }
    if (call->too_big) {
        err_set(&err, 413, "54000", "the body is bigger than copy-max-bytes (%zu)",
                call->worker->conf->copy_max_bytes);
        sql_access_fail(call->req, &err);
        return;
    }
    int status = sql_error_status(o);
    buf_init(&b, BUF_NO_CEILING);
    struct db_error error = o->error;
    sql_error_hint(o, &error);
    sql_error_json(&b, &error, false, 0);
    if (status == 503)
        http_set_header(call->req, STR("Retry-After"), STR("1"));
    http_reply(call->req, status, STR("application/json"), &b);
    buf_fini(&b);
}

/* {"command":"COPY","rowCount":5} */
static void reply_count(struct call *call, struct str tag)
{
    struct buf b;
    uint64_t rows;
    size_t space = str_find(tag, ' ', 0);
    buf_init(&b, BUF_NO_CEILING);
    BUF_LIT(&b, "{\"command\":");
    json_write_string(&b, (struct str){tag.p, space});
    BUF_LIT(&b, ",\"rowCount\":");
    if (str_u64(str_from(tag, space + 1), UINT64_MAX, &rows))
        buf_u64(&b, rows);
    else
        BUF_LIT(&b, "null");
    buf_char(&b, '}');
    http_reply(call->req, 200, STR("application/json"), &b);
    buf_fini(&b);
}

static void on_done(void *arg, const struct db_outcome *o, struct str tag)
{
    struct call *call = arg;
    call->flow.job = NULL;
    http_set_times(call->req, o->queue_us, o->connect_us, o->db_us);
    if (call->flow.streaming) {
        flow_end(&call->flow, o->end == DB_DONE);
        return;
    }
    http_on_gone(call->req, NULL, NULL);
    if (o->end != DB_DONE)
        reply_error(call, o);
    else if (call->in)
        reply_count(call, tag);
    else
        http_reply(call->req, 200, content_type(call), &call->out.buf);
    buf_fini(&call->out.buf);
}

/* ---- the beginning ---- */

static bool has_other_options(const struct sql_options *o, bool in)
{
    return o->limited || o->retry || o->isolation != DB_ISOLATION_DEFAULT || o->deferrable ||
           o->array_mode || o->raw || o->params.p || (in && o->read_only);
}

/* Does the statement copy in (FROM STDIN)? The direction is the last FROM or TO outside of
 * parentheses in front of STDIN or STDOUT; PostgreSQL takes either word with either. */
static bool copies_in(struct str sql)
{
    struct sql_scan s;
    bool in = false;
    unsigned depth = 0;
    sql_scan_init(&s, sql, true);
    while (sql_scan_next(&s) != SQL_END) {
        char c = s.token == SQL_OTHER ? s.text.p[0] : '\0';
        depth = c == '(' ? depth + 1 : c == ')' && depth > 0 ? depth - 1 : depth;
        if (depth == 0 && (sql_scan_is(&s, "from") || sql_scan_is(&s, "to")))
            in = sql_scan_is(&s, "from");
        if (depth == 0 && (sql_scan_is(&s, "stdin") || sql_scan_is(&s, "stdout")))
            break;
    }
    return in;
}

static bool read_request(struct call *call, struct err *err)
{
    const struct sql_options *o = &call->options;
    if (!sql_access_options(call->req, &call->options, err))
        return false;
    call->in = call->req->method == HTTP_POST;
    if (has_other_options(o, call->in))
        return err_set(err, 400, "PGH102", "only query and timeout are options of /copy");
    if (!o->query.p)
        return err_set(err, 400, "PGH101", "the URL parameter \"query\" is missing");
    if (sql_statement_verb(o->query) != SQL_VERB_COPY_CLIENT)
        return err_set(err, 400, "PGH101",
                       "query is not COPY ... FROM STDIN or COPY ... TO STDOUT");
    if (call->in != copies_in(o->query))
        return wrong_way(err);
    call->stmt = (struct db_stmt){.sql = o->query.p, .sql_len = o->query.n};
    return true;
}

static void submit(struct call *call)
{
    static const struct db_copy_ops ops = {
        .on_ready = on_ready, .on_data = on_data, .on_done = on_done};
    struct worker *w = call->worker;
    struct err err = {.status = 0};
    struct db_pool *pool = sql_access_pool(w, call->req, &call->options, &err);
    if (!pool) {
        sql_access_fail(call->req, &err);
        return;
    }
    const struct db_job_spec spec = {
        .stmts = &call->stmt,
        .n = 1,
        .travel = DB_EXCLUSIVE,
        .in_transaction = !call->in,
        .read_only = !call->in,
        .can_write = call->in,
        .leaves_state = true,
        .timeout_us = sql_access_time_left(w, call->req, &call->options),
        .application_name = sql_access_name(call->req, &call->options)};
    http_on_gone(call->req, drop, call);
    call->flow.job = db_submit_copy(pool, &spec, &ops, call);
}

static void run_copy(struct worker *w, struct http_req *req)
{
    static const struct http_body_sink get_sink = {.on_body = on_get_body};
    struct err err = {.status = 0};
    struct call *call = sql_access_memory(req, sizeof *call);
    if (!call)
        return;
    call->worker = w;
    call->req = req;
    drain_init(&call->out);
    flow_init(&call->flow, w, req, &call->out);
    call->flow.closed = drop;
    call->flow.arg = call;
    if (!read_request(call, &err))
        sql_access_fail(req, &err);
    else if (call->in)
        submit(call);
    else
        http_body_sink(req, &get_sink, call);
}

const struct route copy_route = {
    .name = "copy",
    .methods = "GET, POST",
    .path = "/copy",
    .flags = ROUTE_DATABASE | ROUTE_GUARDED | ROUTE_STRICT_ORIGIN | ROUTE_BODY_STREAM,
    .run = run_copy,
    .fail = sql_access_fail,
    .access = sql_access_mode,
    .cors_headers = sql_options_headers,
};
