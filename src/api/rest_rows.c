/* rest_rows: a read whose size nobody knows: rows one by one, joined as json_agg joins them.
 *
 * Held while they fit into response-buffer; then the answer has every header as usual. Past that it
 * streams with backpressure: 200, or 206 when a count was made before, and Content-Range says
 * nothing but the total. An error breaks the chunked body, so that it never looks whole. Counts and
 * what a pre-request function set are read before the rows. */
#include "api/flow.h"
#include "api/rest_read.h"

struct rows {
    struct rest_run *run;
    struct drain drain;
    struct flow flow;
    size_t settings, total, planned; /* indexes of statements; 0: there is none */
    uint64_t n, bytes;               /* rows and bytes that came */
};

static struct rows *rows_of(const struct rest_run *run)
{
    return run->own;
}

static void on_end(struct rest_run *run)
{
    buf_fini(&rows_of(run)->drain.buf);
}

/* The stream was sent, or its client left. */
static void on_closed(void *arg)
{
    struct rows *rows = arg;
    flow_drop(&rows->flow);
    rows->run->job = NULL;
    rest_run_end(rows->run);
}

static void read_settings(struct rest_run *run, const struct db_result *r)
{
    if (!db_result_rows(r))
        return;
    run->row.headers = arena_str(run->arena, db_result_value(r, 0, 0));
    run->row.status = arena_str(run->arena, db_result_value(r, 0, 1));
}

static void read_total(struct rest_run *run, const struct db_result *r)
{
    int64_t total;
    if (db_result_rows(r) && str_i64(db_result_value(r, 0, 0), &total))
        run->row.total = total;
}

/* The head goes out before the number of rows is known. */
static bool begin_stream(struct rows *rows)
{
    struct rest_run *run = rows->run;
    struct rest_prefs applied;
    struct rest_reply reply;
    struct str type;
    rest_read_reply(run, &applied, &reply);
    reply.status = run->row.total >= 0 ? 206 : 200;
    run->streamed = true;
    if (!rest_run_head(run, &reply, &type, &rows->flow.status))
        return false;
    rows->flow.job = run->job;
    flow_filled(&rows->flow, type);
    return true;
}

static bool is_too_big(const struct rows *rows)
{
    size_t max = rows->run->conf->response_max_bytes;
    return max && rows->bytes > max;
}

static bool add_rows(struct rows *rows, const struct db_result *r)
{
    struct rest_run *run = rows->run;
    struct buf *out = &rows->drain.buf;
    size_t before = out->n, n = db_result_rows(r);
    for (size_t i = 0; i < n; i++) {
        if (rows->n++ == 0)
            buf_char(out, '[');
        else
            buf_adds(out, rest_read_between(run));
        buf_adds(out, db_result_value(r, i, 0));
    }
    rows->bytes += out->n - before;
    if (is_too_big(rows))
        return false;
    if (rows->flow.streaming)
        flow_filled(&rows->flow, (struct str){0});
    else if (flow_is_over(&rows->flow))
        return begin_stream(rows);
    return true;
}

static bool on_result(struct rest_run *run, size_t stmt, const struct db_result *r)
{
    struct rows *rows = rows_of(run);
    if (stmt == run->main)
        return add_rows(rows, r);
    if (rows->settings && stmt == rows->settings)
        read_settings(run, r);
    else if (rows->total && stmt == rows->total)
        read_total(run, r);
    else if (rows->planned && stmt == rows->planned)
        rest_read_count(run, r);
    return true;
}

static void close_array(struct rows *rows)
{
    if (rows->n == 0)
        buf_char(&rows->drain.buf, '[');
    buf_char(&rows->drain.buf, ']');
}

static bool on_outcome(struct rest_run *run, const struct db_outcome *o)
{
    struct rows *rows = rows_of(run);
    rows->flow.job = NULL;
    if (run->ended)
        return true;
    if (!rows->flow.streaming) {
        if (is_too_big(rows)) {
            struct err err;
            rest_run_too_big(run, &err);
            rest_run_fail(run, &err);
            return true;
        }
        return false;
    }
    bool whole = o->end == DB_DONE && !is_too_big(rows);
    if (whole)
        close_array(rows);
    flow_end(&rows->flow, whole);
    return true;
}

/* All of it was held. */
static void on_done(struct rest_run *run)
{
    struct rows *rows = rows_of(run);
    struct rest_prefs applied;
    struct rest_reply reply;
    close_array(rows);
    run->row.page = rows->n;
    buf_fini(&run->row.body);
    run->row.body = rows->drain.buf;
    drain_init(&rows->drain);
    rest_read_reply(run, &applied, &reply);
    if (reply.status == 416)
        rest_run_outside(run);
    rest_run_reply(run, &reply);
}

/* ---- the group ---- */

static bool add_counts(struct rest_run *run, const struct sqlgen_read *read, struct rows *rows,
                       struct err *err)
{
    struct sql sql;
    if (read->count == REST_COUNT_EXACT || read->count == REST_COUNT_ESTIMATED) {
        rest_run_sql(run, &sql);
        sqlgen_read_total(&sql, read);
        rows->total = run->n_stmts;
        if (!rest_run_add(run, &sql, false, err))
            return false;
    }
    if (rest_read_planned(run)) {
        rest_run_sql(run, &sql);
        sqlgen_read_planned(&sql, run->plan.root);
        rows->planned = run->n_stmts;
        if (!rest_run_add(run, &sql, false, err))
            return false;
    }
    return true;
}

bool rest_rows_group(struct rest_run *run, const struct sqlgen_read *read, struct err *err)
{
    struct rows *rows = ARENA_NEW(run->arena, struct rows);
    struct sql sql;
    if (!rows)
        return err_set(err, 413, "PGRST100", "The request needs too much memory");
    rows->run = run;
    drain_init(&rows->drain);
    flow_init(&rows->flow, run->worker, run->req, &rows->drain);
    rows->flow.closed = on_closed;
    rows->flow.arg = rows;
    run->own = rows;
    run->row.total = -1;
    run->on_end = on_end;
    run->on_result = on_result;
    run->on_outcome = on_outcome;
    run->on_done = on_done;
    run->spec.stream_rows = true;
    run->spec.yields = false; /* what the client has cannot be taken back */
    if (run->db->db_pre_request && run->db->db_pre_request[0]) {
        rest_run_sql(run, &sql);
        sql_lit(&sql, "SELECT ");
        sqlgen_response_settings(&sql);
        rows->settings = run->n_stmts;
        if (!rest_run_add(run, &sql, false, err))
            return false;
    }
    if (!add_counts(run, read, rows, err))
        return false;
    rest_run_sql(run, &sql);
    sqlgen_read_rows(&sql, read);
    return rest_run_add(run, &sql, true, err);
}
