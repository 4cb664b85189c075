/* Reads: the nested SELECT of a plan, its count, and the statement around them. Each embed is a
 * lateral join; recursion is bounded by REST_DEPTH_MAX. */
#include "rest/sqlgen_private.h"

static bool aggregates(const struct plan_node *node)
{
    for (const struct plan_select *i = node->select; i; i = i->next)
        if (i->aggregate != REST_AGG_NONE)
            return true;
    for (const struct plan_node *c = node->children; c; c = c->next)
        for (const struct plan_spread *x = c->spreads; x; x = x->next)
            if (x->aggregate != REST_AGG_NONE)
                return true;
    return false;
}

/* Commas between the items of a list. */
struct list {
    struct sql *s;
    const char *first, *next;
    bool begun;
};

static void item(struct list *l)
{
    sql_lit(l->s, l->begun ? l->next : l->first);
    l->begun = true;
}

static void as(struct sql *s, struct str alias)
{
    if (!alias.p)
        return;
    sql_lit(s, " AS ");
    sql_ident(s, alias);
}

/* The parser lets only words into a cast: letters, digits, _, $ and spaces. */
static void open_cast(struct sql *s, struct str type)
{
    if (type.p)
        sql_lit(s, "CAST( ");
}

static void close_cast(struct sql *s, struct str type)
{
    if (!type.p)
        return;
    sql_lit(s, " AS ");
    sql_str(s, type);
    sql_lit(s, " )");
}

static const char *aggregate_call(enum rest_aggregate a)
{
    static const char *const calls[] = {
        [REST_AGG_NONE] = "",        [REST_AGG_SUM] = "SUM(", [REST_AGG_AVG] = "AVG(",
        [REST_AGG_COUNT] = "COUNT(", [REST_AGG_MAX] = "MAX(", [REST_AGG_MIN] = "MIN("};
    return calls[a];
}

static void select_item(struct sql *s, const struct plan_node *node, const struct plan_select *i)
{
    bool whole = i->aggregate == REST_AGG_COUNT && !i->field.full_row && plan_is_star(&i->field);
    if (i->aggregate != REST_AGG_NONE)
        open_cast(s, i->aggregate_cast);
    sql_lit(s, aggregate_call(i->aggregate));
    open_cast(s, i->cast);
    if (whole)
        sql_lit(s, "*");
    else
        sqlgen_output_field(s, node->qualifier, &i->field);
    close_cast(s, i->cast);
    if (i->aggregate != REST_AGG_NONE) {
        sql_lit(s, ")");
        close_cast(s, i->aggregate_cast);
    }
    as(s, i->alias);
}

static struct catalog_name unqualified(struct str name)
{
    return (struct catalog_name){STR(""), name};
}

static void spread_items(struct list *l, const struct plan_node *child)
{
    for (const struct plan_spread *x = child->spreads; x; x = x->next) {
        item(l);
        if (x->aggregate != REST_AGG_NONE)
            open_cast(l->s, x->aggregate_cast);
        sql_lit(l->s, aggregate_call(x->aggregate));
        sql_column(l->s, unqualified(child->aggregate_alias), x->name);
        if (x->aggregate != REST_AGG_NONE) {
            sql_lit(l->s, ")");
            close_cast(l->s, x->aggregate_cast);
        }
        as(l->s, x->alias);
    }
}

static void embed_item(struct list *l, const struct plan_node *child)
{
    struct str alias = child->aggregate_alias;
    if (child->empty)
        return;
    item(l);
    if (child->rel->to_one) {
        sql_lit(l->s, "pg_catalog.row_to_json(");
        sql_ident(l->s, alias);
        sql_lit(l->s, ".*)::jsonb");
    } else {
        sql_lit(l->s, "COALESCE( ");
        sql_column(l->s, unqualified(alias), alias);
        sql_lit(l->s, ", '[]')");
    }
    as(l->s, child->request_alias.p ? child->request_alias : child->name);
}

static void select_list(struct sql *s, const struct plan_node *node)
{
    struct list l = {s, "", ", ", false};
    for (const struct plan_select *i = node->select; i; i = i->next) {
        item(&l);
        select_item(s, node, i);
    }
    if (!node->select && !node->children) {
        item(&l);
        sql_column(s, node->qualifier, STR("*"));
    }
    for (const struct plan_extra *x = node->extras; x; x = x->next) {
        item(&l);
        sqlgen_field(s, x->qualifier.p ? unqualified(x->qualifier) : node->qualifier, &x->field);
        as(s, x->alias);
    }
    for (const struct plan_node *c = node->children; c; c = c->next) {
        if (c->spread == PLAN_NO_SPREAD)
            embed_item(&l, c);
        else
            spread_items(&l, c);
    }
}

static void from(struct sql *s, const struct plan_node *node)
{
    const struct catalog_rel *rel = node->rel;
    sql_lit(s, " FROM ");
    if (rel && rel->cardinality == CATALOG_COMPUTED) {
        /* The cast chooses between overloads when the parent is a CTE. */
        sql_name(s, rel->function);
        sql_lit(s, "(");
        sql_ident(s, node->parent->qualifier.name);
        sql_lit(s, "::");
        sql_name(s, rel->table);
        sql_lit(s, ")");
    } else {
        sql_name(s, node->from);
    }
    as(s, node->alias);
    if (rel && rel->cardinality == CATALOG_M2M) {
        sql_lit(s, ", ");
        sql_name(s, rel->junction);
    }
}

static void equal(struct list *l, struct catalog_name a, struct str a_column, struct catalog_name b,
                  struct str b_column)
{
    item(l);
    sql_column(l->s, a, a_column);
    sql_lit(l->s, " = ");
    sql_column(l->s, b, b_column);
}

static void join_conditions(struct list *l, const struct plan_node *node)
{
    const struct catalog_rel *rel = node->rel;
    if (!rel || rel->cardinality == CATALOG_COMPUTED)
        return;
    struct catalog_name parent = node->parent->qualifier;
    if (rel->cardinality == CATALOG_M2M) {
        for (size_t i = 0; i < rel->pairs2.n; i++)
            equal(l, rel->junction, rel->pairs2.v[i].there, node->qualifier, rel->pairs2.v[i].here);
        for (size_t i = 0; i < rel->pairs.n; i++)
            equal(l, rel->junction, rel->pairs.v[i].there, parent, rel->pairs.v[i].here);
        return;
    }
    for (size_t i = 0; i < rel->pairs.n; i++)
        equal(l, node->qualifier, rel->pairs.v[i].there, parent, rel->pairs.v[i].here);
}

/* What a to-many spread gives its parent: an array for each column, all in one order. */
static void spread_arrays(struct sql *s, const struct plan_node *child)
{
    struct catalog_name alias = unqualified(child->aggregate_alias);
    for (const struct plan_spread *x = child->spreads; x; x = x->next) {
        sql_lit(s, ", COALESCE(pg_catalog.json_agg(");
        sql_column(s, alias, x->name);
        sql_lit(s, " ");
        sqlgen_order(s, alias, child->spread_order);
        sql_lit(s, "), '[]')::jsonb AS ");
        sql_ident(s, x->name);
    }
}

static void join(struct sql *s, const struct plan_node *child)
{
    struct str alias = child->aggregate_alias;
    bool array = child->spread == PLAN_SPREAD_MANY ||
                 (child->spread == PLAN_NO_SPREAD && !child->rel->to_one);
    sql_lit(s, child->inner ? " INNER JOIN LATERAL ( " : " LEFT JOIN LATERAL ( ");
    if (array) {
        sql_lit(s, "SELECT pg_catalog.json_agg(");
        sql_ident(s, alias);
        sql_lit(s, ")::jsonb AS ");
        sql_ident(s, alias);
        if (child->spread == PLAN_SPREAD_MANY)
            spread_arrays(s, child);
        sql_lit(s, " FROM (");
    }
    sqlgen_select(s, child);
    if (array) {
        sql_lit(s, " ) AS ");
        sql_ident(s, alias);
    }
    sql_lit(s, " ) AS ");
    sql_ident(s, alias);
    sql_lit(s, " ON ");
    if (array && child->inner) {
        sql_ident(s, alias);
        sql_lit(s, " IS NOT NULL");
    } else {
        sql_lit(s, "TRUE");
    }
}

static void group_by(struct sql *s, const struct plan_node *node)
{
    if (!aggregates(node))
        return;
    struct list l = {s, " GROUP BY ", ", ", false};
    for (const struct plan_select *i = node->select; i; i = i->next) {
        if (i->aggregate != REST_AGG_NONE)
            continue;
        item(&l);
        if (i->alias.p)
            sql_ident(s, i->alias);
        else
            sqlgen_field(s, node->qualifier, &i->field);
    }
    for (const struct plan_node *c = node->children; c; c = c->next) {
        if (c->spread == PLAN_NO_SPREAD && !c->empty) {
            item(&l);
            sql_ident(s, c->request_alias.p ? c->request_alias : c->name);
        }
        for (const struct plan_spread *x = c->spreads; x; x = x->next) {
            if (x->aggregate != REST_AGG_NONE)
                continue;
            item(&l);
            sql_column(s, unqualified(c->aggregate_alias), x->alias.p ? x->alias : x->name);
        }
    }
}

static void limit_offset(struct sql *s, const struct plan_node *node)
{
    if (node->limit == REST_NO_LIMIT && node->offset == 0)
        return;
    sql_lit(s, " LIMIT ");
    if (node->limit == REST_NO_LIMIT)
        sql_lit(s, "ALL");
    else
        sql_param_z(s, arena_printf(s->arena, "%llu", (unsigned long long)node->limit));
    sql_lit(s, " OFFSET ");
    sql_param_z(s, arena_printf(s->arena, "%llu", (unsigned long long)node->offset));
}

void sqlgen_select(struct sql *s, const struct plan_node *node)
{
    sql_lit(s, "SELECT ");
    select_list(s, node);
    from(s, node);
    for (const struct plan_node *c = node->children; c; c = c->next)
        join(s, c);
    struct list l = {s, " WHERE ", " AND ", false};
    if (node->where) {
        item(&l);
        sqlgen_where(s, node->qualifier, node->where);
    }
    join_conditions(&l, node);
    group_by(s, node);
    if (node->order) {
        sql_lit(s, " ");
        sqlgen_order(s, node->qualifier, node->order);
    }
    limit_offset(s, node);
}

void sqlgen_count(struct sql *s, const struct plan_node *node)
{
    sql_lit(s, "SELECT 1");
    from(s, node);
    struct list l = {s, " WHERE ", " AND ", false};
    if (node->where) {
        item(&l);
        sqlgen_where_counting(s, node->qualifier, node->where);
    }
    join_conditions(&l, node);
    for (const struct plan_node *c = node->children; c; c = c->next) {
        if (!c->inner)
            continue;
        item(&l);
        sql_lit(s, "EXISTS (");
        sqlgen_count(s, c);
        sql_lit(s, " )");
    }
}

/* ---- the statement ---- */

void sqlgen_total_cte(struct sql *s, const struct sqlgen_total *t)
{
    if ((t->count != REST_COUNT_EXACT && t->count != REST_COUNT_ESTIMATED) || !t->limited)
        return;
    sql_lit(s, ", pgrst_source_count AS (");
    sqlgen_count(s, t->root);
    if (t->count == REST_COUNT_ESTIMATED && t->max_rows) {
        sql_lit(s, " LIMIT "); /* one more than the most shows that there are more */
        sql_u64(s, t->max_rows + 1);
    }
    sql_lit(s, ")");
}

void sqlgen_total(struct sql *s, const struct sqlgen_total *t)
{
    if (t->count != REST_COUNT_EXACT && t->count != REST_COUNT_ESTIMATED)
        sql_lit(s, "null::bigint");
    else
        sql_lit(s, t->limited ? "(SELECT pg_catalog.count(*) FROM pgrst_source_count)" : t->page);
}

void sqlgen_read(struct sql *s, const struct sqlgen_read *r)
{
    struct sqlgen_total total = {.root = r->plan->root,
                                 .count = r->count,
                                 .limited = r->limited,
                                 .max_rows = r->max_rows,
                                 .page = "pg_catalog.count(_postgrest_t)"};
    sqlgen_explain(s, r->handler);
    sql_lit(s, "WITH pgrst_source AS ( ");
    sqlgen_select(s, r->plan->root);
    sql_lit(s, " )");
    sqlgen_total_cte(s, &total);
    sql_lit(s, " SELECT ");
    sqlgen_total(s, &total);
    sql_lit(s, " AS total_result_set, pg_catalog.count(_postgrest_t) AS page_total, ");
    sqlgen_body(s, r->handler, NULL);
    sql_lit(s, " AS body, ");
    sqlgen_response_settings(s);
    sql_lit(s, ", '' AS response_inserted FROM ( SELECT * FROM pgrst_source ) _postgrest_t");
}

void sqlgen_read_rows(struct sql *s, const struct sqlgen_read *r)
{
    bool strip = r->handler->body == SQLGEN_JSON_STRIP;
    sql_lit(s, strip ? "SELECT pg_catalog.json_strip_nulls(pg_catalog.row_to_json(_postgrest_t))"
                     : "SELECT pg_catalog.row_to_json(_postgrest_t)");
    sql_lit(s, "::text AS body FROM ( ");
    sqlgen_select(s, r->plan->root);
    sql_lit(s, " ) _postgrest_t");
}

void sqlgen_read_total(struct sql *s, const struct sqlgen_read *r)
{
    sql_lit(s, "SELECT pg_catalog.count(*) AS total_result_set FROM (");
    sqlgen_count(s, r->plan->root);
    if (r->count == REST_COUNT_ESTIMATED && r->max_rows) {
        sql_lit(s, " LIMIT ");
        sql_u64(s, r->max_rows + 1);
    }
    sql_lit(s, ") _postgrest_t");
}

void sqlgen_read_planned(struct sql *s, const struct plan_node *root)
{
    sql_lit(s, "EXPLAIN (FORMAT JSON) ");
    sqlgen_count(s, root);
}
