#include "rest/openapi.h"

void openapi_access_init(struct openapi_access *a)
{
    *a = (struct openapi_access){.tables = strmap_new(), .routines = strmap_new()};
}

void openapi_access_fini(struct openapi_access *a)
{
    if (a->tables)
        strmap_free(a->tables, NULL);
    if (a->routines)
        strmap_free(a->routines, NULL);
    *a = (struct openapi_access){0};
}

void openapi_access_sql(struct sql *sql, struct str schema, bool privileges)
{
    sql_lit(sql, "SELECT 's', pg_catalog.obj_description(n.oid, 'pg_namespace'), NULL FROM "
                 "pg_catalog.pg_namespace n WHERE n.nspname = ");
    sql_param(sql, schema);
    if (!privileges)
        return;
    sql_lit(
        sql,
        " UNION ALL SELECT 't', c.relname, NULL FROM pg_catalog.pg_class c JOIN "
        "pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN "
        "('v','r','m','f','p') AND NOT c.relispartition AND n.nspname = $1 AND "
        "(pg_catalog.pg_has_role(c.relowner, 'USAGE') OR "
        "pg_catalog.has_table_privilege(c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, "
        "REFERENCES, TRIGGER') OR pg_catalog.has_any_column_privilege(c.oid, 'SELECT, INSERT, "
        "UPDATE, REFERENCES'))"
        " UNION ALL SELECT 'f', p.proname, pg_catalog.array_to_string(ARRAY(SELECT "
        "coalesce(a.name, '') FROM unnest(p.proargnames, p.proargtypes::oid[], p.proargmodes) "
        "WITH ORDINALITY AS a(name, type, mode, i) WHERE a.type IS NOT NULL ORDER BY a.i), ',') "
        "FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace "
        "WHERE n.nspname = $1 AND p.prokind = 'f' AND "
        "pg_catalog.has_function_privilege(p.oid, 'execute')");
}

/* "name(a,b)": how a function is told from its overloads. */
static bool routine_key(struct buf *b, struct str name, struct str arguments)
{
    buf_clear(b);
    buf_adds(b, name);
    buf_char(b, '(');
    buf_adds(b, arguments);
    buf_char(b, ')');
    return !buf_broken(b);
}

void openapi_access_row(struct openapi_access *a, struct arena *arena, struct str kind,
                        struct str name, struct str arguments)
{
    struct buf b;
    if (str_eq(kind, STR("s"))) {
        a->comment = name.p ? arena_str(arena, name) : name;
    } else if (str_eq(kind, STR("t"))) {
        strmap_put(a->tables, name, a);
    } else {
        buf_init(&b, 1u << 20);
        if (routine_key(&b, name, arguments))
            strmap_put(a->routines, buf_str(&b), a);
        buf_fini(&b);
    }
}

bool openapi_access_routine(const struct openapi_access *a, const struct catalog_routine *r)
{
    struct buf names, k;
    buf_init(&names, 1u << 20);
    buf_init(&k, 1u << 20);
    for (size_t i = 0; i < r->n_params; i++) {
        if (i > 0)
            buf_char(&names, ',');
        buf_adds(&names, r->params[i].name);
    }
    bool seen = routine_key(&k, r->name, buf_str(&names)) && strmap_get(a->routines, buf_str(&k));
    buf_fini(&names);
    buf_fini(&k);
    return seen;
}
