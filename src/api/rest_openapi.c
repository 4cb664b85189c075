/* rest_openapi: GET and HEAD of the root: the OpenAPI document as the role may see it. */
#include "api/rest_run.h"
#include "rest/openapi.h"

struct own {
    struct openapi_access access;
};

static bool on_result(struct rest_run *run, size_t stmt, const struct db_result *r)
{
    struct own *own = run->own;
    if (stmt != run->main)
        return true;
    for (size_t i = 0; i < db_result_rows(r); i++)
        openapi_access_row(&own->access, run->arena, db_result_value(r, i, 0),
                           db_result_value(r, i, 1), db_result_value(r, i, 2));
    return true;
}

static void on_end(struct rest_run *run)
{
    struct own *own = run->own;
    openapi_access_fini(&own->access);
}

static void on_done(struct rest_run *run)
{
    struct own *own = run->own;
    struct openapi_spec spec = {.catalog = run->catalog,
                                .conf = run->conf,
                                .schema = run->request.schema,
                                .access = &own->access,
                                .privileges = run->conf->openapi_mode == CONF_FOLLOW_PRIVILEGES};
    struct rest_reply reply = {.status = 200,
                               .content_type = STR("application/openapi+json; charset=utf-8")};
    if (run->request.method != REST_HEAD)
        openapi_document(&run->row.body, &spec);
    rest_run_reply(run, &reply);
}

static bool acceptable(struct rest_run *run, struct err *err)
{
    const struct rest_media_list *accept = &run->request.accept;
    for (size_t i = 0; i < accept->n; i++) {
        enum rest_media_kind kind = accept->v[i].kind;
        if (kind == REST_MEDIA_OPENAPI || kind == REST_MEDIA_JSON || kind == REST_MEDIA_ANY)
            return true;
    }
    return rest_media_none(run->arena, accept, err);
}

static bool make_group(struct rest_run *run, struct err *err)
{
    static const struct rest_run_mode mode = {.read_only = true};
    struct sql sql;
    if (!rest_run_settings(run, &mode, err))
        return false;
    rest_run_sql(run, &sql);
    openapi_access_sql(&sql, run->request.schema,
                       run->conf->openapi_mode == CONF_FOLLOW_PRIVILEGES);
    return rest_run_add(run, &sql, true, err);
}

void rest_openapi_start(struct rest_run *run)
{
    struct err err = {0};
    struct own *own = ARENA_NEW(run->arena, struct own);
    if (!own) {
        err_set(&err, 413, "PGRST100", "The request needs too much memory");
        rest_run_fail(run, &err);
        return;
    }
    openapi_access_init(&own->access);
    run->own = own;
    run->on_end = on_end;
    run->on_result = on_result;
    run->on_done = on_done;
    if (!acceptable(run, &err) || !make_group(run, &err)) {
        rest_run_fail(run, &err);
        return;
    }
    rest_run_submit(run);
}
