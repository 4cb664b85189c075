/* rest_write: POST, PATCH, PUT and DELETE of a relation: one statement, one trip. */
#include "api/rest_run.h"

#include "json/reader.h"

/* "?id=eq.1&x=is.null" of [["id","eq.1"],["x","is.null"]]; n == 0: none. */
static struct str location_query(struct rest_run *run, struct str pairs)
{
    static const char hex[] = "0123456789ABCDEF";
    struct json_reader r;
    struct buf out;
    buf_init(&out, 65536);
    json_reader_init(&r, pairs, run->arena);
    bool key = true;
    for (enum json_event e = json_next(&r); e != JSON_DONE && e != JSON_ERROR; e = json_next(&r)) {
        if (e != JSON_STRING)
            continue;
        buf_char(&out, !key ? '=' : out.n ? '&' : '?');
        key = !key;
        for (size_t i = 0; i < r.text.n; i++) {
            unsigned char c = (unsigned char)r.text.p[i];
            if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                (c != 0 && strchr("-_.~", c))) {
                buf_char(&out, (char)c);
            } else {
                buf_char(&out, '%');
                buf_char(&out, hex[c >> 4]);
                buf_char(&out, hex[c & 15]);
            }
        }
    }
    struct str query = {0};
    if (!buf_broken(&out) && out.n > 0)
        query = arena_str(run->arena, buf_str(&out));
    buf_fini(&out);
    return query;
}

static void location_header(struct rest_run *run)
{
    if (!run->row.location.p)
        return;
    struct str query = location_query(run, run->row.location);
    const char *text =
        query.n ? arena_printf(run->arena, "/%.*s%.*s", STR_ARG(run->request.name), STR_ARG(query))
                : NULL;
    if (text)
        rest_run_header(run, STR("Location"), str_of(text));
}

static int status_of(const struct rest_run *run, bool body)
{
    switch (run->request.action) {
    case REST_INSERT:
        if (run->request.prefs.resolution != REST_MERGE_DUPLICATES ||
            !plan_write_counts_inserted(&run->write))
            return 201;
        return run->row.inserted > 0 ? 201 : 200;
    case REST_UPSERT: return !body ? 204 : run->row.inserted > 0 ? 201 : 200;
    case REST_UPDATE:
    case REST_REMOVE:
    case REST_READ:
    case REST_CALL:
    case REST_SPEC:
    case REST_INFO: break;
    }
    return body ? 200 : 204;
}

static void on_done(struct rest_run *run)
{
    const struct rest_prefs *prefs = &run->request.prefs;
    struct rest_prefs applied = plan_write_applied(&run->request, run->table);
    bool body = prefs->returning == REST_RETURN_REPRESENTATION;
    bool counted = prefs->count == REST_COUNT_EXACT || prefs->count == REST_COUNT_ESTIMATED;
    int64_t total = counted ? (int64_t)run->row.page : -1;
    uint64_t shown = run->request.action == REST_UPDATE ? run->row.page : 0;
    if (run->request.action == REST_INSERT)
        location_header(run);
    if (run->request.action != REST_UPSERT)
        rest_run_header(run, STR("Content-Range"), rest_content_range(run->arena, 0, shown, total));
    struct rest_reply reply = {.status = status_of(run, body), .prefs = &applied};
    if (body)
        reply.content_type = run->handler.content_type;
    rest_run_reply(run, &reply);
}

static bool make_plan(struct rest_run *run, struct err *err)
{
    const struct rest_request *r = &run->request;
    run->table = catalog_table(run->catalog, r->schema, r->name);
    if (!run->table)
        return catalog_table_missing(run->arena, run->catalog, r->schema, r->name, err);
    struct plan_spec spec = {.catalog = run->catalog,
                             .conf = run->conf,
                             .request = r,
                             .source = PLAN_FROM_MUTATION,
                             .name = r->name};
    struct plan_write_spec write = {.catalog = run->catalog,
                                    .request = r,
                                    .body = r->action == REST_REMOVE ? NULL : &run->body,
                                    .table = run->table,
                                    .read = &run->plan};
    struct rest_negotiation negotiation = {.catalog = run->catalog,
                                           .conf = run->conf,
                                           .request = r,
                                           .target = {run->table->schema, run->table->name},
                                           .no_body =
                                               r->prefs.returning != REST_RETURN_REPRESENTATION};
    if (!rest_plan_read(run->arena, &spec, &run->plan, err) ||
        !rest_plan_write(run->arena, &write, &run->write, err) ||
        !rest_prefs_check(run->arena, &r->prefs, err))
        return false;
    negotiation.default_select = run->plan.default_select;
    return rest_negotiate(run->arena, &negotiation, &run->handler, err);
}

static bool may_leave_state(const struct rest_run *run)
{
    return run->write.table->state_of_writes || rest_plan_leaves_state(run->catalog, &run->plan) ||
           rest_conds_leave_state(run->catalog, run->write.table, run->write.where);
}

static bool make_group(struct rest_run *run, struct err *err)
{
    struct rest_run_mode mode = {.response = true, .leaves_state = may_leave_state(run)};
    struct sqlgen_write write = {&run->write, &run->plan, &run->handler};
    struct sql sql;
    if (!rest_run_settings(run, &mode, err))
        return false;
    rest_run_sql(run, &sql);
    sqlgen_write(&sql, &write);
    return rest_run_add(run, &sql, true, err);
}

void rest_write_start(struct rest_run *run)
{
    struct err err = {0};
    run->on_done = on_done;
    if ((run->request.action != REST_REMOVE &&
         !rest_body_parse(run->arena, &run->request, run->req->body, &run->body, &err)) ||
        !make_plan(run, &err) || !make_group(run, &err)) {
        rest_run_fail(run, &err);
        return;
    }
    rest_run_submit(run);
}
