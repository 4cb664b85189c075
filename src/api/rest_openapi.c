/* rest_openapi: GET and HEAD of the root: the OpenAPI document as the role may see it. */
#include "api/openapi_cache.h"
#include "api/rest_run.h"
#include "rest/openapi.h"

struct own {
    struct openapi_access *access;
};

static bool on_result(struct rest_run *run, size_t stmt, const struct db_result *r)
{
    struct own *own = run->own;
    if (stmt != run->main)
        return true;
    for (size_t i = 0; i < db_result_rows(r); i++) {
        struct str cells[OPENAPI_ACCESS_COLUMNS];
        for (size_t c = 0; c < OPENAPI_ACCESS_COLUMNS; c++)
            cells[c] = db_result_value(r, i, c);
        openapi_access_row(own->access, run->catalog, run->request.schema, cells);
    }
    return true;
}

static void on_end(struct rest_run *run)
{
    struct own *own = run->own;
    openapi_access_unref(own->access);
}

static struct openapi_cache_key cache_key(const struct rest_run *run)
{
    return (struct openapi_cache_key){.conf = run->conf,
                                      .catalog = catalog_info(run->catalog).version,
                                      .database = str_of(run->db->name),
                                      .schema = run->request.schema,
                                      .role = run->who.role};
}

static void reply(struct rest_run *run)
{
    struct rest_reply answer = {.status = 200,
                                .content_type = STR("application/openapi+json; charset=utf-8")};
    rest_run_reply(run, &answer);
}

/* A pre-request function has a say in every request, so then nothing is answered without it. */
static bool cached(struct rest_run *run)
{
    struct worker *worker = run->worker;
    if (run->db->db_pre_request && run->db->db_pre_request[0])
        return false;
    if (!worker->openapi)
        worker->openapi = openapi_cache_new();
    struct openapi_cache_key key = cache_key(run);
    struct str document = openapi_cache_get(worker->openapi, &key, loop_now_us(worker->loop));
    if (!document.p)
        return false;
    buf_adds(&run->row.body, document);
    reply(run);
    return true;
}

static void on_done(struct rest_run *run)
{
    struct own *own = run->own;
    struct worker *worker = run->worker;
    struct openapi_cache_key key = cache_key(run);
    struct openapi_spec spec = {.catalog = run->catalog,
                                .conf = run->conf,
                                .schema = run->request.schema,
                                .access = own->access,
                                .privileges = run->conf->openapi_mode == CONF_FOLLOW_PRIVILEGES};
    openapi_document(&run->row.body, &spec);
    if (worker->openapi && !buf_broken(&run->row.body))
        openapi_cache_put(worker->openapi, &key, buf_str(&run->row.body),
                          loop_now_us(worker->loop));
    reply(run);
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
    if (!acceptable(run, &err)) {
        rest_run_fail(run, &err);
        return;
    }
    if (cached(run))
        return;
    own->access = openapi_access_new(run->catalog);
    run->own = own;
    run->on_end = on_end;
    run->on_result = on_result;
    run->on_done = on_done;
    if (!make_group(run, &err)) {
        rest_run_fail(run, &err);
        return;
    }
    rest_run_submit(run);
}
