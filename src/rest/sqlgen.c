/* The building blocks: text, identifiers, parameters; fields, conditions and orders. */
#include "rest/sqlgen.h"

#include "db/ident.h"
#include "rest/sqlgen_private.h"

#define FIRST_PARAMS 16u

void sql_init(struct sql *s, struct arena *arena, struct buf *text)
{
    *s = (struct sql){.arena = arena, .text = text};
    buf_clear(text);
}

void sql_lit(struct sql *s, const char *text)
{
    buf_add(s->text, text, strlen(text));
}

void sql_str(struct sql *s, struct str text)
{
    buf_adds(s->text, text);
}

void sql_u64(struct sql *s, uint64_t v)
{
    buf_u64(s->text, v);
}

void sql_ident(struct sql *s, struct str name)
{
    ident_quote(s->text, name);
}

void sql_name(struct sql *s, struct catalog_name name)
{
    if (name.schema.n) {
        ident_quote(s->text, name.schema);
        buf_char(s->text, '.');
    }
    ident_quote(s->text, name.name);
}

void sql_column(struct sql *s, struct catalog_name table, struct str column)
{
    sql_name(s, table);
    buf_char(s->text, '.');
    if (column.n == 1 && column.p[0] == '*')
        buf_char(s->text, '*');
    else
        ident_quote(s->text, column);
}

/* ---- parameters ---- */

static void *grown(struct sql *s, const void *old, size_t cap, size_t size)
{
    void *v = arena_array(s->arena, cap, size);
    if (v && old && s->n)
        memcpy(v, old, s->n * size);
    return v;
}

static bool room(struct sql *s)
{
    if (s->n < s->cap)
        return true;
    size_t cap = s->cap ? s->cap * 2 : FIRST_PARAMS;
    s->values = grown(s, s->values, cap, sizeof *s->values);
    if (s->formats) {
        s->formats = grown(s, s->formats, cap, sizeof *s->formats);
        s->lengths = grown(s, s->lengths, cap, sizeof *s->lengths);
    }
    if (s->types)
        s->types = grown(s, s->types, cap, sizeof *s->types);
    if (arena_broken(s->arena) || s->n >= DB_PARAMS_MAX)
        s->broken = true;
    s->cap = cap;
    return !s->broken;
}

static bool add(struct sql *s, const char *value)
{
    if (s->broken || !room(s))
        return false;
    s->values[s->n++] = value;
    buf_char(s->text, '$');
    buf_u64(s->text, s->n);
    return true;
}

void sql_param_z(struct sql *s, const char *value)
{
    add(s, value);
}

void sql_param(struct sql *s, struct str value)
{
    const char *copy = arena_strdup(s->arena, value);
    if (!copy)
        s->broken = true;
    add(s, copy);
}

void sql_param_typed(struct sql *s, const char *value, db_oid type)
{
    if (!add(s, value))
        return;
    if (!s->types)
        s->types = arena_array(s->arena, s->cap, sizeof *s->types);
    if (s->types)
        s->types[s->n - 1] = type;
    else
        s->broken = true;
}

void sql_param_binary(struct sql *s, struct str value, db_oid type)
{
    sql_param_typed(s, value.p, type);
    if (s->broken)
        return;
    if (!s->formats) {
        s->formats = arena_array(s->arena, s->cap, sizeof *s->formats);
        s->lengths = arena_array(s->arena, s->cap, sizeof *s->lengths);
    }
    if (!s->formats || !s->lengths || value.n > INT32_MAX) {
        s->broken = true;
        return;
    }
    s->formats[s->n - 1] = 1;
    s->lengths[s->n - 1] = (int)value.n;
}

bool sql_stmt(struct sql *s, struct db_stmt *out, struct err *err)
{
    const char *text = buf_broken(s->text) ? NULL : arena_strdup(s->arena, buf_str(s->text));
    if (s->broken || !text)
        return err_set(err, 400, "PGRST100", "The request is too complex");
    *out = (struct db_stmt){.sql = text,
                            .sql_len = s->text->n,
                            .nparams = (int)s->n,
                            .values = s->values,
                            .lengths = s->lengths,
                            .formats = s->formats,
                            .types = s->types};
    return true;
}

/* ---- fields ---- */

static void json_path(struct sql *s, const struct rest_json_step *path)
{
    for (; path; path = path->next) {
        sql_lit(s, path->text ? "->>" : "->");
        sql_param(s, path->key);
        if (path->index)
            sql_lit(s, "::int");
    }
}

static void plain_field(struct sql *s, struct catalog_name table, const struct plan_field *f)
{
    if (f->full_row) {
        sql_ident(s, table.name);
        return;
    }
    if (f->to_json)
        sql_lit(s, "pg_catalog.to_jsonb(");
    sql_column(s, table, f->name);
    if (f->to_json)
        sql_lit(s, ")");
    json_path(s, f->path);
}

static void language(struct sql *s, struct str name)
{
    if (!name.p)
        return;
    sql_param(s, name);
    sql_lit(s, ", ");
}

void sqlgen_field(struct sql *s, struct catalog_name table, const struct plan_field *f)
{
    if (!f->to_tsvector) {
        plain_field(s, table, f);
        return;
    }
    sql_lit(s, "to_tsvector(");
    language(s, f->language);
    plain_field(s, table, f);
    sql_lit(s, ")");
}

void sqlgen_output_field(struct sql *s, struct catalog_name table, const struct plan_field *f)
{
    if (!f->transform.n) {
        sqlgen_field(s, table, f);
        return;
    }
    sql_str(s, f->transform);
    sql_lit(s, "(");
    sqlgen_field(s, table, f);
    sql_lit(s, ")");
}

/* ---- conditions ---- */

static const char *const operators[] = {
    [REST_OP_EQ] = " = ",
    [REST_OP_GTE] = " >= ",
    [REST_OP_GT] = " > ",
    [REST_OP_LTE] = " <= ",
    [REST_OP_LT] = " < ",
    [REST_OP_LIKE] = " LIKE ",
    [REST_OP_ILIKE] = " ILIKE ",
    [REST_OP_MATCH] = " ~ ",
    [REST_OP_IMATCH] = " ~* ",
    [REST_OP_NEQ] = " <> ",
    [REST_OP_CS] = " @> ",
    [REST_OP_CD] = " <@ ",
    [REST_OP_OV] = " && ",
    [REST_OP_SL] = " << ",
    [REST_OP_SR] = " >> ",
    [REST_OP_NXR] = " &< ",
    [REST_OP_NXL] = " &> ",
    [REST_OP_ADJ] = " -|- ",
    [REST_OP_ISDISTINCT] = " IS DISTINCT FROM ",
    [REST_OP_IS] = " IS ",
    [REST_OP_IN] = " = ANY (",
    [REST_OP_FTS] = " @@ to_tsquery(",
    [REST_OP_PLFTS] = " @@ plainto_tsquery(",
    [REST_OP_PHFTS] = " @@ phraseto_tsquery(",
    [REST_OP_WFTS] = " @@ websearch_to_tsquery(",
};

static void like_param(struct sql *s, struct str pattern)
{
    char *copy = arena_strdup(s->arena, pattern);
    for (size_t i = 0; copy && i < pattern.n; i++)
        if (copy[i] == '*')
            copy[i] = '%';
    if (!copy)
        s->broken = true;
    sql_param_z(s, copy);
}

static void one_value(struct sql *s, const struct rest_filter *f, struct str transform)
{
    if (f->op == REST_OP_LIKE || f->op == REST_OP_ILIKE) {
        like_param(s, f->value);
    } else if (transform.n && f->op != REST_OP_ISDISTINCT) {
        sql_str(s, transform);
        sql_lit(s, "(");
        sql_param(s, f->value);
        sql_lit(s, ")");
    } else {
        sql_param(s, f->value);
    }
}

static void quantified(struct sql *s, const struct rest_filter *f, struct str transform)
{
    if (f->quantifier != REST_QUANT_NONE)
        sql_lit(s, f->quantifier == REST_QUANT_ANY ? "ANY(" : "ALL(");
    one_value(s, f, transform);
    if (f->quantifier != REST_QUANT_NONE)
        sql_lit(s, ")");
}

/* {"a","b"}: one parameter whatever the number of values, so that the text stays the same. */
static const char *array_literal(struct arena *arena, const struct rest_value *values)
{
    size_t n = 3;
    for (const struct rest_value *v = values; v; v = v->next)
        n += 3 + 2 * v->value.n;
    char *text = arena_alloc(arena, n), *p = text;
    if (!text)
        return NULL;
    *p++ = '{';
    for (const struct rest_value *v = values; v; v = v->next) {
        *p++ = '"';
        for (size_t i = 0; i < v->value.n; i++) {
            if (v->value.p[i] == '"' || v->value.p[i] == '\\')
                *p++ = '\\';
            *p++ = v->value.p[i];
        }
        *p++ = '"';
        *p++ = v->next ? ',' : '}';
    }
    *p = '\0';
    return text;
}

static void in_values(struct sql *s, const struct rest_filter *f, struct str transform)
{
    if (f->n_values == 1 && f->values->value.n == 0) {
        sql_lit(s, "'{}')"); /* in.(): nothing is in it */
        return;
    }
    const char *literal = array_literal(s->arena, f->values);
    if (!literal)
        s->broken = true;
    if (transform.n) {
        sql_lit(s, "SELECT ");
        sql_str(s, transform);
        sql_lit(s, "(pg_catalog.unnest(");
        sql_param_z(s, literal);
        sql_lit(s, "::text[])))");
    } else {
        sql_param_z(s, literal);
        sql_lit(s, ")");
    }
}

static void filter(struct sql *s, struct catalog_name table, const struct plan_cond *c)
{
    static const char *const truths[] = {[REST_IS_NULL] = "NULL",
                                         [REST_IS_NOT_NULL] = "NOT NULL",
                                         [REST_IS_TRUE] = "TRUE",
                                         [REST_IS_FALSE] = "FALSE",
                                         [REST_IS_UNKNOWN] = "UNKNOWN"};
    const struct rest_filter *f = c->filter;
    if (c->negated)
        sql_lit(s, "NOT ");
    sqlgen_field(s, table, &c->field);
    sql_lit(s, operators[f->op]);
    if (f->op == REST_OP_IS) {
        sql_lit(s, truths[f->is]);
    } else if (f->op == REST_OP_IN) {
        in_values(s, f, c->field.transform);
    } else if (f->op >= REST_OP_FTS) {
        language(s, f->language);
        sql_param(s, f->value);
        sql_lit(s, ")");
    } else {
        quantified(s, f, c->field.transform);
    }
}

static void cond(struct sql *s, struct catalog_name table, const struct plan_cond *c,
                 bool counting);

static void conds(struct sql *s, struct catalog_name table, const struct plan_cond *list,
                  const char *between, bool counting)
{
    for (const struct plan_cond *c = list; c; c = c->next) {
        if (c != list)
            sql_lit(s, between);
        cond(s, table, c, counting);
    }
}

static void embed_null(struct sql *s, const struct plan_cond *c, bool counting)
{
    if (counting) {
        sql_lit(s, c->negated ? "EXISTS (" : "NOT EXISTS (");
        sqlgen_count(s, c->embed);
        sql_lit(s, ")");
        return;
    }
    sql_ident(s, c->embed->aggregate_alias);
    sql_lit(s, c->negated ? " IS DISTINCT FROM NULL" : " IS NOT DISTINCT FROM NULL");
}

static void cond(struct sql *s, struct catalog_name table, const struct plan_cond *c, bool counting)
{
    switch (c->kind) {
    case PLAN_FILTER: filter(s, table, c); break;
    case PLAN_EMBED_NULL: embed_null(s, c, counting); break;
    case PLAN_AND:
    case PLAN_OR:
        sql_lit(s, c->negated ? "NOT (" : "(");
        conds(s, table, c->children, c->kind == PLAN_AND ? " AND " : " OR ", counting);
        sql_lit(s, ")");
        break;
    }
}

void sqlgen_where(struct sql *s, struct catalog_name qualifier, const struct plan_cond *list)
{
    conds(s, qualifier, list, " AND ", false);
}

void sqlgen_where_counting(struct sql *s, struct catalog_name qualifier,
                           const struct plan_cond *list)
{
    conds(s, qualifier, list, " AND ", true);
}

/* ---- order ---- */

void sqlgen_order(struct sql *s, struct catalog_name table, const struct plan_order *list)
{
    static const char *const directions[] = {
        [REST_DIRECTION_NONE] = "", [REST_ASC] = " ASC", [REST_DESC] = " DESC"};
    static const char *const nulls[] = {[REST_NULLS_NONE] = "",
                                        [REST_NULLS_FIRST] = " NULLS FIRST",
                                        [REST_NULLS_LAST] = " NULLS LAST"};
    for (const struct plan_order *o = list; o; o = o->next) {
        sql_lit(s, o == list ? "ORDER BY " : ", ");
        struct catalog_name from = table;
        if (o->qualifier.p)
            from = (struct catalog_name){STR(""), o->qualifier};
        sqlgen_field(s, from, &o->field);
        sql_lit(s, directions[o->direction]);
        sql_lit(s, nulls[o->nulls]);
    }
}
