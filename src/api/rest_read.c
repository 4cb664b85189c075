/* rest_read: GET and HEAD of a relation. */
#include "api/rest_run.h"

static bool limited(const struct rest_run *run)
{
    const struct rest_request *r = &run->request;
    return run->conf->db_max_rows > 0 || r->offset > 0 || r->limit != REST_NO_LIMIT ||
           r->limit_zero;
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
    return rest_run_add(run, &sql, true, err);
}

void rest_read_start(struct rest_run *run)
{
    struct err err = {0};
    run->on_done = on_done;
    if (!make_plan(run, &err) || !make_group(run, &err)) {
        rest_run_fail(run, &err);
        return;
    }
    rest_run_submit(run);
}
