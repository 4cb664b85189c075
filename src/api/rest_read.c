/* rest_read: GET and HEAD of a relation. */
#include "api/rest_run.h"

static bool limited(const struct rest_run *run)
{
    const struct rest_request *r = &run->request;
    return run->conf->db_max_rows > 0 || r->offset > 0 || r->limit != REST_NO_LIMIT ||
           r->limit_zero;
}

/* "Plan Rows" of EXPLAIN (FORMAT JSON): the first one is the topmost node's. */
static int64_t plan_rows(struct str text)
{
    static const char key[] = "\"Plan Rows\": ";
    const char *at = text.n ? memmem(text.p, text.n, key, sizeof key - 1) : NULL;
    int64_t rows;
    if (!at)
        return -1;
    struct str digits = {at + sizeof key - 1, 0};
    while (digits.p + digits.n < text.p + text.n && digits.p[digits.n] >= '0' &&
           digits.p[digits.n] <= '9')
        digits.n++;
    return str_i64(digits, &rows) ? rows : -1;
}

/* The planner's guess: all there is for count=planned; for an estimate it counts when more rows
 * were found than a page may have. */
static void take_planned(struct rest_run *run, int64_t planned)
{
    struct rest_row *row = &run->row;
    if (run->request.prefs.count == REST_COUNT_PLANNED)
        row->total = planned;
    else if (planned > row->total &&
             (run->conf->db_max_rows == 0 || row->total > (int64_t)run->conf->db_max_rows))
        row->total = planned;
}

static bool on_result(struct rest_run *run, size_t stmt, const struct db_result *r)
{
    if (stmt == run->main)
        rest_run_read_main(run, r);
    else if (stmt > run->main && db_result_rows(r) > 0)
        take_planned(run, plan_rows(db_result_value(r, 0, 0)));
    return true;
}

static void on_done(struct rest_run *run)
{
    const struct rest_request *r = &run->request;
    struct rest_prefs applied = r->prefs;
    struct rest_row *row = &run->row;
    struct rest_reply reply = {.status = rest_range_status(r->offset, row->page, row->total),
                               .content_type = run->handler.content_type,
                               .prefs = &applied};
    applied.resolution = REST_RESOLUTION_NONE;
    applied.missing = REST_MISSING_NONE;
    applied.returning = REST_RETURN_NONE;
    applied.has_max_affected = false;
    rest_run_header(run, STR("Content-Range"),
                    rest_content_range(run->arena, r->offset, row->page, row->total));
    rest_run_header(run, STR("Content-Location"), rest_content_location(run->arena, r));
    if (reply.status == 416)
        rest_run_outside(run);
    rest_run_reply(run, &reply);
}

static bool make_plan(struct rest_run *run, struct err *err)
{
    const struct rest_request *r = &run->request;
    struct plan_spec spec = {.catalog = run->catalog,
                             .conf = run->conf,
                             .request = r,
                             .source = PLAN_FROM_RELATION,
                             .name = r->name};
    struct rest_negotiation negotiation = {.catalog = run->catalog,
                                           .conf = run->conf,
                                           .request = r,
                                           .target = {r->schema, r->name},
                                           .no_body = r->method == REST_HEAD};
    if (!rest_plan_read(run->arena, &spec, &run->plan, err))
        return false;
    negotiation.default_select = run->plan.default_select;
    return rest_negotiate(run->arena, &negotiation, &run->handler, err) &&
           rest_prefs_check(run->arena, &r->prefs, err);
}

static bool make_group(struct rest_run *run, struct err *err)
{
    static const struct rest_run_mode mode = {.read_only = true};
    struct sqlgen_read read = {.plan = &run->plan,
                               .handler = &run->handler,
                               .count = run->request.prefs.count,
                               .limited = limited(run),
                               .max_rows = run->conf->db_max_rows};
    struct sql sql;
    if (!rest_run_settings(run, &mode, err))
        return false;
    rest_run_sql(run, &sql);
    sqlgen_read(&sql, &read);
    if (!rest_run_add(run, &sql, true, err))
        return false;
    if (run->handler.plan ||
        (read.count != REST_COUNT_PLANNED && read.count != REST_COUNT_ESTIMATED))
        return true;
    rest_run_sql(run, &sql);
    sqlgen_read_planned(&sql, run->plan.root);
    return rest_run_add(run, &sql, false, err);
}

void rest_read_start(struct rest_run *run)
{
    struct err err = {0};
    run->on_done = on_done;
    run->on_result = on_result;
    if (!make_plan(run, &err) || !make_group(run, &err)) {
        rest_run_fail(run, &err);
        return;
    }
    rest_run_submit(run);
}
