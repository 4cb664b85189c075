/* rest_rpc: calls of functions by GET, HEAD and POST. */
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
    int status = rest_range_status(r->offset, row->page, row->total);
    applied.resolution = REST_RESOLUTION_NONE;
    applied.missing = REST_MISSING_NONE;
    applied.returning = REST_RETURN_NONE;
    rest_run_header(run, STR("Content-Range"),
                    rest_content_range(run->arena, r->offset, row->page, row->total));
    struct rest_reply reply = {.status = 204, .prefs = &applied};
    if (!rest_call_void(run->call.routine)) {
        reply.status = status;
        reply.content_type = run->handler.content_type;
        if (status == 416)
            rest_run_outside(run);
    }
    rest_run_reply(run, &reply);
}

static bool make_plan(struct rest_run *run, struct err *err)
{
    const struct rest_request *r = &run->request;
    struct rest_call_spec find = {run->catalog, r, r->method == REST_POST ? &run->body : NULL};
    if (!rest_call_find(run->arena, &find, &run->call, err))
        return false;
    const struct catalog_routine *f = run->call.routine;
    struct plan_spec spec = {.catalog = run->catalog,
                             .conf = run->conf,
                             .request = r,
                             .source = PLAN_FROM_CALL,
                             .name = rest_call_target(f)};
    struct rest_negotiation negotiation = {.catalog = run->catalog,
                                           .conf = run->conf,
                                           .request = r,
                                           .target = {f->schema, rest_call_target(f)},
                                           .no_body = r->method == REST_HEAD};
    if (!rest_plan_read(run->arena, &spec, &run->plan, err))
        return false;
    negotiation.default_select = run->plan.default_select;
    return rest_negotiate(run->arena, &negotiation, &run->handler, err) &&
           rest_prefs_check(run->arena, &r->prefs, err) &&
           rest_call_plan(run->arena, &run->plan, &run->call, err);
}

static bool make_group(struct rest_run *run, struct err *err)
{
    struct rest_run_mode mode = {.read_only = run->call.read_only,
                                 .leaves_state = true,
                                 .response = true,
                                 .routine = run->call.routine};
    struct sqlgen_call call = {.call = &run->call,
                               .read = &run->plan,
                               .handler = &run->handler,
                               .count = run->request.prefs.count,
                               .limited = limited(run),
                               .max_rows = run->conf->db_max_rows};
    struct sql sql;
    if (!rest_run_settings(run, &mode, err))
        return false;
    rest_run_sql(run, &sql);
    sqlgen_call(&sql, &call);
    return rest_run_add(run, &sql, true, err);
}

void rest_rpc_start(struct rest_run *run)
{
    struct err err = {0};
    run->on_done = on_done;
    if ((run->request.method == REST_POST &&
         !rest_body_parse(run->arena, &run->request, run->req->body, &run->body, &err)) ||
        !make_plan(run, &err) || !make_group(run, &err)) {
        rest_run_fail(run, &err);
        return;
    }
    rest_run_submit(run);
}
