#include "rest/openapi.h"

#include <stdlib.h>

#include "util/xalloc.h"

#define COMMENT_MAX (1u << 20)

struct openapi_access {
    unsigned refs;
    struct buf comment;               /* of the schema; empty: none */
    unsigned char *tables, *routines; /* a bit for each, by its number */
};

static void bit_set(unsigned char *bits, size_t i)
{
    bits[i / 8] |= (unsigned char)(1u << i % 8);
}

static bool bit_is_set(const unsigned char *bits, size_t i)
{
    return bits[i / 8] >> i % 8 & 1;
}

struct openapi_access *openapi_access_new(const struct catalog *catalog)
{
    struct openapi_access *a = xcalloc(1, sizeof *a);
    struct catalog_info info = catalog_info(catalog);
    a->refs = 1;
    buf_init(&a->comment, COMMENT_MAX);
    a->tables = xcalloc(info.tables / 8 + 1, 1);
    a->routines = xcalloc(info.routines / 8 + 1, 1);
    return a;
}

struct openapi_access *openapi_access_ref(struct openapi_access *a)
{
    a->refs++;
    return a;
}

void openapi_access_unref(struct openapi_access *a)
{
    if (!a || --a->refs > 0)
        return;
    buf_fini(&a->comment);
    free(a->tables);
    free(a->routines);
    free(a);
}

void openapi_access_sql(struct sql *sql, struct str schema, bool privileges)
{
    sql_lit(sql, "SELECT 's', pg_catalog.obj_description(n.oid, 'pg_namespace'), NULL FROM "
                 "pg_catalog.pg_namespace n WHERE n.nspname OPERATOR(pg_catalog.=) ");
    sql_param(sql, schema);
    if (!privileges)
        return;
    sql_lit(
        sql,
        " UNION ALL SELECT 't', c.relname, NULL FROM pg_catalog.pg_class c JOIN "
        "pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace WHERE c.relkind "
        "OPERATOR(pg_catalog.=) ANY ('{v,r,m,f,p}'::pg_catalog.\"char\"[]) AND NOT "
        "c.relispartition AND n.nspname OPERATOR(pg_catalog.=) $1 AND "
        "(pg_catalog.pg_has_role(c.relowner, 'USAGE') OR "
        "pg_catalog.has_table_privilege(c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, "
        "REFERENCES, TRIGGER') OR pg_catalog.has_any_column_privilege(c.oid, 'SELECT, INSERT, "
        "UPDATE, REFERENCES'))"
        " UNION ALL SELECT 'f', p.proname, pg_catalog.array_to_string(ARRAY(SELECT "
        "coalesce(a.name, '') FROM ROWS FROM (pg_catalog.unnest(p.proargnames), "
        "pg_catalog.unnest(p.proargtypes::pg_catalog.oid[]), pg_catalog.unnest(p.proargmodes)) "
        "WITH ORDINALITY AS a(name, type, mode, i) WHERE a.type IS NOT NULL ORDER BY a.i), ',') "
        "FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid "
        "OPERATOR(pg_catalog.=) p.pronamespace WHERE n.nspname OPERATOR(pg_catalog.=) $1 AND "
        "p.prokind OPERATOR(pg_catalog.=) 'f' AND "
        "pg_catalog.has_function_privilege(p.oid, 'execute')");
}

/* Are these its parameters' names, "a,b"? */
static bool has_names(const struct catalog_routine *r, struct str names)
{
    for (size_t i = 0; i < r->n_params; i++) {
        struct str name = r->params[i].name;
        if (i > 0 && !str_starts(names, STR(",")))
            return false;
        names = str_from(names, i > 0);
        if (!str_starts(names, name))
            return false;
        names = str_from(names, name.n);
    }
    return names.n == 0;
}

void openapi_access_row(struct openapi_access *a, const struct catalog *catalog, struct str schema,
                        const struct str *cells)
{
    struct str kind = cells[0], name = cells[1], arguments = cells[2];
    if (str_eq(kind, STR("s"))) {
        buf_adds(&a->comment, name);
    } else if (str_eq(kind, STR("t"))) {
        const struct catalog_table *t = catalog_table(catalog, schema, name);
        if (t)
            bit_set(a->tables, t->number);
    } else {
        const struct catalog_routine *r = catalog_routine(catalog, schema, name);
        for (; r; r = r->next)
            if (has_names(r, arguments))
                bit_set(a->routines, r->number);
    }
}

struct str openapi_access_comment(const struct openapi_access *a)
{
    return buf_broken(&a->comment) ? (struct str){NULL, 0} : buf_str(&a->comment);
}

bool openapi_access_table(const struct openapi_access *a, size_t number)
{
    return bit_is_set(a->tables, number);
}

bool openapi_access_routine(const struct openapi_access *a, size_t number)
{
    return bit_is_set(a->routines, number);
}
