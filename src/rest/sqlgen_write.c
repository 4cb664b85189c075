#include "rest/sqlgen_write.h"

#include "db/ident.h"
#include "rest/errors.h"
#include "rest/negotiate.h"

#define JSON_OID 114 /* pg_type.dat: json */
#define BYTEA_OID 17

static const struct catalog_name body_name = {.name = {"pgrst_body", 10}};
static const struct catalog_name call_name = {.name = {"pgrst_call", 10}};

/* A column of a body: how it is named, read and parsed. */
struct body_column {
    struct str name;
    struct str type;     /* as a column of json_to_record */
    struct str parse;    /* function around it; n == 0: none */
    struct str defaults; /* p == NULL: none */
};

struct body_source {
    const struct rest_body *body;
    const struct body_column *columns;
    size_t n;
    bool select;    /* with the SELECT list in front: INSERT */
    bool limit_one; /* only the first object counts: calls */
    bool defaults;  /* keys that are not there get the column's default */
};

/* 'text' of the catalog. */
static void sql_literal(struct sql *sql, struct str text)
{
    ident_literal(sql->text, text);
}

static void names(struct sql *sql, const struct body_source *b, const char *before)
{
    for (size_t i = 0; i < b->n; i++) {
        sql_lit(sql, i ? ", " : before);
        sql_ident(sql, b->columns[i].name);
    }
}

/* jsonb_build_object('a', default, ...) || */
static void default_object(struct sql *sql, const struct body_source *b)
{
    bool first = true;
    sql_lit(sql, "jsonb_build_object(");
    for (size_t i = 0; i < b->n; i++) {
        if (!b->columns[i].defaults.p)
            continue;
        sql_lit(sql, first ? "" : ",");
        sql_literal(sql, b->columns[i].name);
        sql_lit(sql, ", ");
        sql_str(sql, b->columns[i].defaults);
        first = false;
    }
    sql_lit(sql, ")");
}

static void default_source(struct sql *sql, const struct body_source *b)
{
    if (b->body->object) {
        sql_lit(sql, "LATERAL (SELECT ");
        default_object(sql, b);
        sql_lit(sql, " || pgrst_payload.json_data AS val) pgrst_json_defs, ");
    } else {
        sql_lit(sql, "LATERAL (SELECT jsonb_agg(");
        default_object(sql, b);
        sql_lit(sql, " || elem) AS val from jsonb_array_elements(pgrst_payload.json_data) elem) "
                     "pgrst_json_defs, ");
    }
}

/* json_to_record[set](...) AS _("a" type, ...); of objects without keys just their number. */
static void record_source(struct sql *sql, const struct body_source *b)
{
    const char *data = b->defaults ? "pgrst_json_defs.val" : "pgrst_payload.json_data";
    const char *json = b->defaults ? "jsonb" : "json";
    if (b->n == 0 && b->body->object) {
        sql_lit(sql, "(values(1)) _ ");
        return;
    }
    sql_lit(sql, json);
    if (b->n == 0) {
        sql_lit(sql, "_array_elements(");
        sql_lit(sql, data);
        sql_lit(sql, ") _ ");
        return;
    }
    sql_lit(sql, b->body->object ? "_to_record(" : "_to_recordset(");
    sql_lit(sql, data);
    sql_lit(sql, ") AS _(");
    for (size_t i = 0; i < b->n; i++) {
        sql_lit(sql, i ? ", " : "");
        sql_ident(sql, b->columns[i].name);
        sql_lit(sql, " ");
        sql_str(sql, b->columns[i].type);
    }
    sql_lit(sql, ") ");
    if (b->limit_one)
        sql_lit(sql, "LIMIT 1");
}

static void body_source(struct sql *sql, const struct body_source *b)
{
    if (b->select) {
        sql_lit(sql, "SELECT ");
        for (size_t i = 0; i < b->n; i++) {
            sql_lit(sql, i ? ", " : "");
            sql_column(sql, body_name, b->columns[i].name);
        }
        sql_lit(sql, " ");
    }
    sql_lit(sql, "FROM (SELECT ");
    sql_param_binary(sql, b->body->text, JSON_OID);
    sql_lit(sql, b->defaults ? "::jsonb AS json_data) pgrst_payload, "
                             : " AS json_data) pgrst_payload, ");
    if (b->defaults)
        default_source(sql, b);
    sql_lit(sql, "LATERAL (SELECT ");
    for (size_t i = 0; i < b->n; i++) {
        const struct body_column *c = &b->columns[i];
        sql_lit(sql, i ? ", " : "");
        if (c->parse.n > 0) {
            sql_str(sql, c->parse);
            sql_lit(sql, "(");
        }
        sql_ident(sql, c->name);
        if (c->parse.n > 0) {
            sql_lit(sql, ") AS ");
            sql_ident(sql, c->name);
        }
    }
    sql_lit(sql, " FROM ");
    record_source(sql, b);
    sql_lit(sql, ") pgrst_body ");
}

/* ------------------------------------------------------------ writes */

static struct catalog_name table_name(const struct plan_write *w)
{
    return (struct catalog_name){w->table->schema, w->table->name};
}

static struct body_source write_source(struct sql *sql, const struct plan_write *w)
{
    struct body_column *columns = arena_array(sql->arena, w->n_columns + 1, sizeof *columns);
    struct body_source b = {.body = w->body, .columns = columns, .defaults = w->defaults};
    if (!columns) {
        sql->broken = true;
        return b;
    }
    b.n = w->n_columns;
    for (size_t i = 0; i < w->n_columns; i++) {
        const struct catalog_column *c = w->columns[i];
        bool parse = c->from_json.n > 0;
        columns[i] = (struct body_column){.name = c->name,
                                          .type = parse ? STR("json") : c->nominal,
                                          .parse = c->from_json,
                                          .defaults = c->default_sql};
    }
    return b;
}

static void returning(struct sql *sql, const struct plan_write *w)
{
    if (w->returning.n == 0)
        sql_lit(sql, " RETURNING 1");
    for (size_t i = 0; i < w->returning.n; i++) {
        sql_lit(sql, i ? ", " : " RETURNING ");
        sql_column(sql, table_name(w), w->returning.v[i]);
    }
}

/* Counts rows as they are written: each one offered adds one, each that only updates takes one
 * back. Always true. */
static void count_inserted(struct sql *sql, bool add)
{
    sql_lit(sql, "set_config('pgrst.inserted', "
                 "(coalesce(nullif(current_setting('pgrst.inserted', true), '')::int, 0) ");
    sql_lit(sql, add ? "+ 1)::text, true) <> '0'" : "- 1)::text, true) <> '-1'");
}

static void on_conflict(struct sql *sql, const struct plan_write *w)
{
    sql_lit(sql, " ON CONFLICT(");
    for (size_t i = 0; i < w->conflict.n; i++) {
        sql_lit(sql, i ? ", " : "");
        sql_ident(sql, w->conflict.v[i]);
    }
    if (w->resolution == REST_IGNORE_DUPLICATES || w->n_columns == 0) {
        sql_lit(sql, ") DO NOTHING");
        return;
    }
    sql_lit(sql, ") DO UPDATE SET ");
    for (size_t i = 0; i < w->n_columns; i++) {
        sql_lit(sql, i ? ", " : "");
        sql_ident(sql, w->columns[i]->name);
        sql_lit(sql, " = EXCLUDED.");
        sql_ident(sql, w->columns[i]->name);
    }
    sql_lit(sql, " WHERE ");
    count_inserted(sql, false);
}

static void insert(struct sql *sql, const struct plan_write *w)
{
    struct body_source source = write_source(sql, w);
    source.select = true;
    sql_lit(sql, "INSERT INTO ");
    sql_name(sql, table_name(w));
    if (source.n > 0) {
        names(sql, &source, "(");
        sql_lit(sql, ")");
    }
    sql_lit(sql, " ");
    body_source(sql, &source);
    if (plan_write_counts_inserted(w)) {
        sql_lit(sql, "WHERE ");
        count_inserted(sql, true);
    }
    if (w->where) {
        sql_lit(sql, " AND ");
        sqlgen_where(sql, body_name, w->where);
    }
    if (w->resolution != REST_RESOLUTION_NONE && w->conflict.n > 0)
        on_conflict(sql, w);
    returning(sql, w);
}

static void update(struct sql *sql, const struct plan_write *w)
{
    struct body_source source = write_source(sql, w);
    if (source.n == 0) { /* nothing to set: no row, but with the right columns */
        sql_lit(sql, "SELECT ");
        if (w->returning.n == 0)
            sql_lit(sql, "NULL");
        for (size_t i = 0; i < w->returning.n; i++) {
            sql_lit(sql, i ? ", " : "");
            sql_column(sql, (struct catalog_name){.name = w->table->name}, w->returning.v[i]);
        }
        sql_lit(sql, " FROM ");
        sql_name(sql, table_name(w));
        sql_lit(sql, " WHERE false");
        return;
    }
    sql_lit(sql, "UPDATE ");
    sql_name(sql, table_name(w));
    sql_lit(sql, " SET ");
    for (size_t i = 0; i < source.n; i++) {
        sql_lit(sql, i ? ", " : "");
        sql_ident(sql, source.columns[i].name);
        sql_lit(sql, " = ");
        sql_column(sql, body_name, source.columns[i].name);
    }
    sql_lit(sql, " ");
    body_source(sql, &source);
    if (w->where) {
        sql_lit(sql, " WHERE ");
        sqlgen_where(sql, table_name(w), w->where);
    }
    returning(sql, w);
}

static void delete_rows(struct sql *sql, const struct plan_write *w)
{
    sql_lit(sql, "DELETE FROM ");
    sql_name(sql, table_name(w));
    if (w->where) {
        sql_lit(sql, " WHERE ");
        sqlgen_where(sql, table_name(w), w->where);
    }
    returning(sql, w);
}

/* Raises when condition holds; see sqlgen_write.h. rows counts the rows of the result. */
static void check(struct sql *sql, const char *code, const char *rows, const char *condition,
                  uint64_t number)
{
    sql_lit(sql, ", CASE WHEN ");
    sql_lit(sql, rows);
    sql_lit(sql, condition);
    sql_u64(sql, number);
    sql_lit(sql, " THEN ('" REST_CHECK_MARK);
    sql_lit(sql, code);
    sql_lit(sql, ":' || ");
    sql_lit(sql, rows);
    sql_lit(sql, ")::int END AS pghttpd_check");
}

static void checks(struct sql *sql, const struct sqlgen_handler *handler, bool put,
                   int64_t max_affected, const char *rows)
{
    if (handler->plan || strcmp(rows, "1") == 0)
        return;
    if (put)
        check(sql, REST_CHECK_PUT, rows, " <> ", 1);
    else if (rest_wants_object(handler))
        check(sql, REST_CHECK_SINGULAR, rows, " <> ", 1);
    if (max_affected != REST_NO_CEILING)
        check(sql, REST_CHECK_AFFECTED, rows, max_affected < 0 ? " > -" : " > ",
              max_affected < 0 ? 0 - (uint64_t)max_affected : (uint64_t)max_affected);
}

/* [["id","eq.1"]] of the only row there is. */
static void location(struct sql *sql, const struct plan_write *w)
{
    if (!w->location || w->table->key.n == 0) {
        sql_lit(sql, "NULL::pg_catalog.text AS header");
        return;
    }
    sql_lit(sql, "CASE WHEN pg_catalog.count(_postgrest_t) OPERATOR(pg_catalog.=) 1 THEN "
                 "(WITH data AS (SELECT pg_catalog.row_to_json(_) AS row FROM pgrst_source AS _ "
                 "LIMIT 1) SELECT pg_catalog.json_agg(pg_catalog.json_build_array(json_data.key, "
                 "coalesce('eq.' OPERATOR(pg_catalog.||) json_data.value, "
                 "'is.null')))::pg_catalog.text FROM data CROSS JOIN "
                 "pg_catalog.json_each_text(data.row) AS json_data "
                 "WHERE json_data.key OPERATOR(pg_catalog.=) ANY (ARRAY[");
    for (size_t i = 0; i < w->table->key.n; i++) {
        sql_lit(sql, i ? ", " : "");
        sql_literal(sql, w->table->key.v[i]);
    }
    sql_lit(sql, "]::pg_catalog.text[])) END AS header");
}

void sqlgen_write(struct sql *sql, const struct sqlgen_write *in)
{
    static const char rows[] = "pg_catalog.count(_postgrest_t)";
    const struct plan_write *w = in->write;
    sqlgen_explain(sql, in->handler);
    sql_lit(sql, "WITH pgrst_source AS (");
    switch (w->action) {
    case REST_UPDATE: update(sql, w); break;
    case REST_REMOVE: delete_rows(sql, w); break;
    case REST_INSERT:
    case REST_UPSERT:
    case REST_READ:
    case REST_CALL:
    case REST_SPEC:
    case REST_INFO: insert(sql, w); break;
    }
    sql_lit(sql, ") SELECT '' AS total_result_set, ");
    sql_lit(sql, rows);
    sql_lit(sql, " AS page_total, ");
    location(sql, w);
    sql_lit(sql, ", ");
    sqlgen_body(sql, in->handler, NULL);
    sql_lit(sql, " AS body, ");
    sqlgen_response_settings(sql);
    sql_lit(sql, plan_write_counts_inserted(w)
                     ? ", nullif(current_setting('pgrst.inserted', true), '')::int"
                     : ", ''");
    sql_lit(sql, " AS response_inserted");
    checks(sql, in->handler, w->action == REST_UPSERT, w->max_affected, rows);
    sql_lit(sql, " FROM (");
    if (in->handler->body == SQLGEN_NONE)
        sql_lit(sql, "SELECT * FROM pgrst_source");
    else
        sqlgen_select(sql, in->read->root);
    sql_lit(sql, ") _postgrest_t");
}

/* ------------------------------------------------------------ calls */

/* '{"a","b"}' of the values given for a variadic parameter. */
static struct str array_text(struct sql *sql, const struct rest_call *call, struct str name)
{
    struct buf out;
    bool first = true;
    buf_init(&out, 16u << 20);
    buf_char(&out, '{');
    for (const struct rest_param *p = call->params; p; p = p->next) {
        if (!str_eq(p->name, name))
            continue;
        if (!first)
            buf_char(&out, ',');
        first = false;
        buf_char(&out, '"');
        for (size_t i = 0; i < p->value.n; i++) {
            if (p->value.p[i] == '"' || p->value.p[i] == '\\')
                buf_char(&out, '\\');
            buf_char(&out, p->value.p[i]);
        }
        buf_char(&out, '"');
    }
    buf_char(&out, '}');
    struct str text = {0};
    if (buf_broken(&out))
        sql->broken = true;
    else
        text = arena_str(sql->arena, buf_str(&out));
    buf_fini(&out);
    return text;
}

static void text_argument(struct sql *sql, const struct rest_call *call,
                          const struct catalog_param *param)
{
    struct str value = {0};
    if (param->variadic)
        value = array_text(sql, call, param->name);
    else
        for (const struct rest_param *p = call->params; p; p = p->next)
            if (str_eq(p->name, param->name))
                value = p->value; /* of a repeated one the last */
    sql_param(sql, value);
    sql_lit(sql, "::");
    sql_str(sql, param->type_any_length);
}

static void arguments(struct sql *sql, const struct rest_call *call)
{
    for (size_t i = 0; i < call->n_args; i++) {
        const struct catalog_param *param = call->args[i];
        sql_lit(sql, i ? ", " : "");
        if (param->variadic)
            sql_lit(sql, "VARIADIC ");
        sql_ident(sql, param->name);
        sql_lit(sql, " := ");
        if (call->by_json)
            sql_column(sql, body_name, param->name);
        else
            text_argument(sql, call, param);
    }
    if (!call->whole)
        return;
    struct str type = call->routine->params[0].type;
    bool json = str_eq(type, STR("json")) || str_eq(type, STR("jsonb"));
    if (str_eq(type, STR("bytea"))) {
        sql_param_binary(sql, call->body->text, BYTEA_OID);
    } else if (call->by_json && json) {
        sql_param_binary(sql, call->body->text, JSON_OID);
        sql_lit(sql, "::");
        sql_str(sql, type);
    } else {
        sql_param(sql, call->body->text);
        sql_lit(sql, "::");
        sql_str(sql, type);
    }
}

static void json_arguments(struct sql *sql, const struct rest_call *call)
{
    struct body_column *columns = arena_array(sql->arena, call->n_args + 1, sizeof *columns);
    if (!columns) {
        sql->broken = true;
        return;
    }
    for (size_t i = 0; i < call->n_args; i++)
        columns[i] = (struct body_column){.name = call->args[i]->name,
                                          .type = call->args[i]->type_any_length};
    struct body_source source = {
        .body = call->body, .columns = columns, .n = call->n_args, .limit_one = true};
    body_source(sql, &source);
    sql_lit(sql, ", LATERAL ");
}

static void call_source(struct sql *sql, const struct rest_call *call)
{
    const struct catalog_routine *r = call->routine;
    bool scalar = catalog_routine_scalar(r);
    sql_lit(sql, "SELECT ");
    if (scalar)
        sql_lit(sql, "pgrst_call.pgrst_scalar");
    else if (call->columns.n == 0)
        sql_lit(sql, "*");
    for (size_t i = 0; !scalar && i < call->columns.n; i++) {
        sql_lit(sql, i ? ", " : "");
        sql_column(sql, call_name, call->columns.v[i]);
    }
    bool json = call->by_json && call->n_args > 0;
    sql_lit(sql, json ? " " : " FROM ");
    if (json)
        json_arguments(sql, call);
    sql_lit(sql, scalar ? "(SELECT " : "");
    sql_name(sql, (struct catalog_name){r->schema, r->name});
    sql_lit(sql, "(");
    arguments(sql, call);
    sql_lit(sql, scalar ? ") pgrst_scalar) pgrst_call" : ") pgrst_call");
}

void sqlgen_call(struct sql *sql, const struct sqlgen_call *in)
{
    const struct catalog_routine *r = in->call->routine;
    const char *rows = rest_call_single(r) ? "1" : "pg_catalog.count(_postgrest_t)";
    struct sqlgen_total total = {.root = in->read->root,
                                 .count = in->count,
                                 .limited = in->limited,
                                 .max_rows = in->max_rows,
                                 .page = rows};
    sqlgen_explain(sql, in->handler);
    sql_lit(sql, "WITH pgrst_source AS (");
    call_source(sql, in->call);
    sql_lit(sql, ") ");
    sqlgen_total_cte(sql, &total);
    sql_lit(sql, "SELECT ");
    sqlgen_total(sql, &total);
    sql_lit(sql, " AS total_result_set, ");
    sql_lit(sql, rows);
    sql_lit(sql, " AS page_total, ");
    sqlgen_body(sql, in->handler, r);
    sql_lit(sql, " AS body, ");
    sqlgen_response_settings(sql);
    sql_lit(sql, ", '' AS response_inserted");
    checks(sql, in->handler, false, in->call->max_affected, rows);
    sql_lit(sql, " FROM (");
    sqlgen_select(sql, in->read->root);
    sql_lit(sql, ") _postgrest_t");
}
