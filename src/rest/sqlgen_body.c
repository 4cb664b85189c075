/* How rows become a body, EXPLAIN, and the settings of a request's transaction. */
#include "db/ident.h"
#include "rest/sqlgen_private.h"

static void aggregate(struct sql *s, const struct catalog_routine *r, bool strip, bool one)
{
    bool scalar = r && catalog_routine_scalar(r);
    one = one || (r && !r->set);
    sql_lit(s, "coalesce(");
    if (strip)
        sql_lit(s, "pg_catalog.json_strip_nulls(");
    sql_lit(s, scalar ? "pg_catalog.json_agg(_postgrest_t.pgrst_scalar)"
                      : "pg_catalog.json_agg(_postgrest_t)");
    if (one)
        sql_lit(s, "->0");
    if (strip)
        sql_lit(s, ")");
    sql_lit(s, one ? ", 'null')" : ", '[]')");
}

/* The header is the first row's keys, a line the row's text without its parentheses. */
static void csv(struct sql *s)
{
    sql_lit(s, "(SELECT coalesce(pg_catalog.string_agg(a.k, ','), '') FROM (SELECT"
               " pg_catalog.json_object_keys(r)::pg_catalog.text AS k FROM (SELECT"
               " pg_catalog.row_to_json(hh) AS r FROM pgrst_source AS hh LIMIT 1) s) a)"
               " OPERATOR(pg_catalog.||) E'\\n' OPERATOR(pg_catalog.||)"
               " coalesce(pg_catalog.string_agg(pg_catalog.substring("
               "_postgrest_t::pg_catalog.text, 2,"
               " pg_catalog.length(_postgrest_t::pg_catalog.text) OPERATOR(pg_catalog.-) 2),"
               " E'\\n'), '')");
}

static void custom(struct sql *s, const struct catalog_handler *h, const struct catalog_routine *r)
{
    sql_name(s, h->function);
    if (r && catalog_routine_scalar(r) && !r->set) {
        sql_lit(s, "(_postgrest_t.pgrst_scalar)");
        return;
    }
    sql_lit(s, "(_postgrest_t");
    if (!h->any) {
        sql_lit(s, "::");
        sql_name(s, h->target);
    }
    sql_lit(s, ")");
}

void sqlgen_body(struct sql *s, const struct sqlgen_handler *h, const struct catalog_routine *r)
{
    bool scalar_one = r && catalog_routine_scalar(r) && !r->set;
    switch (h->body) {
    case SQLGEN_NONE: sql_lit(s, "''::pg_catalog.text"); break;
    case SQLGEN_JSON: aggregate(s, r, false, false); break;
    case SQLGEN_JSON_STRIP: aggregate(s, r, true, false); break;
    case SQLGEN_OBJECT:
    case SQLGEN_OBJECT_STRIP:
        /* of many scalars the row, not the value */
        aggregate(s, scalar_one ? r : NULL, h->body == SQLGEN_OBJECT_STRIP, true);
        break;
    case SQLGEN_CSV: csv(s); break;
    case SQLGEN_GEOJSON:
        sql_lit(
            s,
            "pg_catalog.json_build_object('type', 'FeatureCollection', 'features',"
            " coalesce(pg_catalog.json_agg(ST_AsGeoJSON(_postgrest_t)::pg_catalog.json), '[]'))");
        break;
    case SQLGEN_CUSTOM: custom(s, h->custom, r); break;
    }
}

void sqlgen_explain(struct sql *s, const struct sqlgen_handler *h)
{
    static const struct {
        unsigned bit;
        const char *text;
    } options[] = {{REST_PLAN_ANALYZE, ", ANALYZE"},
                   {REST_PLAN_VERBOSE, ", VERBOSE"},
                   {REST_PLAN_SETTINGS, ", SETTINGS"},
                   {REST_PLAN_BUFFERS, ", BUFFERS"},
                   {REST_PLAN_WAL, ", WAL"}};
    if (!h->plan)
        return;
    sql_lit(s, h->media.plan_json ? "EXPLAIN (FORMAT JSON" : "EXPLAIN (FORMAT TEXT");
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++)
        if (h->media.plan_options & options[i].bit)
            sql_lit(s, options[i].text);
    sql_lit(s, ") ");
}

void sqlgen_response_settings(struct sql *s)
{
    sql_lit(s, "nullif(pg_catalog.current_setting('response.headers', true), '')"
               " AS response_headers,"
               " nullif(pg_catalog.current_setting('response.status', true), '')"
               " AS response_status");
}

/* ---- settings ---- */

struct str sqlgen_search_path(struct arena *arena, const struct conf_database *db,
                              struct str schema)
{
    struct buf text;
    buf_init(&text, 65536);
    ident_quote(&text, schema);
    for (size_t i = 0; i < db->db_extra_search_path.n; i++) {
        BUF_LIT(&text, ", ");
        ident_quote(&text, str_of(db->db_extra_search_path.v[i]));
    }
    struct str path = buf_broken(&text) ? STR("\"\"") : arena_str(arena, buf_str(&text));
    buf_fini(&text);
    return path;
}

static void set(struct sql *s, const char *name, struct str value)
{
    sql_lit(s, " AND pg_catalog.set_config('");
    sql_lit(s, name);
    sql_lit(s, "', ");
    sql_param(s, value);
    sql_lit(s, ", true) IS NOT NULL");
}

static void set_named(struct sql *s, const char *name, const char *value)
{
    sql_lit(s, " AND pg_catalog.set_config(");
    sql_param_z(s, name);
    sql_lit(s, ", ");
    sql_param_z(s, value);
    sql_lit(s, ", true) IS NOT NULL");
}

/* Names and values of the catalog are NUL-terminated: its strings are packed so. */
static void set_all(struct sql *s, const struct catalog_settings *settings)
{
    for (size_t i = 0; settings && i < settings->n; i++)
        set_named(s, settings->v[i].name.p, settings->v[i].value.p);
}

/* What the request asks for, but never more than the login or the database allows. */
static void set_timeout(struct sql *s, uint64_t ms)
{
    sql_lit(s, " AND pg_catalog.set_config('statement_timeout', least(nullif(pg_catalog.date_part("
               "'epoch', pg_catalog.current_setting('statement_timeout')::pg_catalog.interval) "
               "* 1000, 0), ");
    sql_param(s, str_of(arena_printf(s->arena, "%llu", (unsigned long long)ms)));
    sql_lit(s, "::pg_catalog.float8)::pg_catalog.int8::pg_catalog.text, true) IS NOT NULL");
}

void sqlgen_settings(struct sql *s, const struct sqlgen_settings *in)
{
    /* As conditions, not as columns: nothing of it is sent back. PostgreSQL evaluates conditions of
     * the same cost in the order they stand in, so role settings come before the role; the dearer
     * one of the timeout comes last wherever it stands. set_config is never NULL. */
    sql_lit(s, "SELECT WHERE pg_catalog.set_config('search_path', ");
    sql_param(s, sqlgen_search_path(s->arena, in->db, in->schema));
    sql_lit(s, ", true) IS NOT NULL");
    if (in->read_only)
        sql_lit(s, " AND pg_catalog.set_config('transaction_read_only', 'on', true) IS NOT NULL");
    if (in->response) /* a view, a trigger, a policy may have set them for the session */
        sql_lit(s, " AND pg_catalog.set_config('response.headers', NULL, true) IS NOT NULL"
                   " AND pg_catalog.set_config('response.status', NULL, true) IS NOT NULL");
    if (in->timeout_us)
        set_timeout(s, (in->timeout_us + 999) / 1000);
    if (in->role_info) /* before the role: the login may be allowed what the role is not */
        set_all(s, &in->role_info->settings);
    set(s, "role", in->role);
    set(s, "request.jwt.claims", in->claims);
    set(s, "request.method", in->method);
    set(s, "request.path", in->path);
    set(s, "request.headers", in->headers);
    set(s, "request.cookies", in->cookies);
    if (in->timezone.p)
        set(s, "timezone", in->timezone);
    set_all(s, in->function_settings);
    for (size_t i = 0; i < in->conf->n_app_settings; i++)
        set_named(s, arena_printf(s->arena, "app.settings.%s", in->conf->app_settings[i].name),
                  in->conf->app_settings[i].value);
}
