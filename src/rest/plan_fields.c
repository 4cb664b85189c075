/* The plan's columns: select items, conditions and orders of one node, resolved against its
 * relation. A name the catalog does not know stays: it may be a computed column, and PostgreSQL
 * says so when it is not. */
#include "rest/plan_private.h"

static struct plan_field resolve(const struct catalog_table *t, const struct rest_field *f)
{
    struct plan_field out = {.name = f->name, .path = f->path};
    out.column = catalog_column(t, f->name);
    out.to_json = f->path && !(out.column && out.column->json);
    return out;
}

struct plan_field plan_output_field(const struct catalog_table *t, const struct rest_field *f)
{
    struct plan_field out = resolve(t, f);
    if (out.column && !out.path)
        out.transform = out.column->to_json;
    return out;
}

bool plan_select_items(struct planner *p, struct plan_node *node, const struct rest_select *items)
{
    const struct plan_select **end = &node->select;
    for (const struct rest_select *s = items; s; s = s->next) {
        if (s->kind != REST_SELECT_FIELD)
            continue;
        struct plan_select *out = ARENA_NEW(p->arena, struct plan_select);
        if (!out)
            return false;
        *out = (struct plan_select){.field = plan_output_field(node->table, &s->field),
                                    .cast = s->cast,
                                    .aggregate = s->aggregate,
                                    .aggregate_cast = s->aggregate_cast,
                                    .alias = s->alias};
        *end = out;
        end = &out->next;
    }
    return true;
}

/* ---- conditions ---- */

struct plan_cond *plan_filter(struct arena *arena, const struct catalog_table *t,
                              const struct rest_filter *f)
{
    struct plan_cond *c = ARENA_NEW(arena, struct plan_cond);
    if (!c)
        return NULL;
    *c = (struct plan_cond){
        .kind = PLAN_FILTER, .negated = f->negated, .filter = f, .field = resolve(t, &f->field)};
    bool fts = f->op >= REST_OP_FTS && f->op <= REST_OP_WFTS;
    if (fts && !(c->field.column && c->field.column->tsvector)) {
        c->field.to_tsvector = true;
        c->field.language = f->language;
    }
    if (c->field.column && !c->field.path)
        c->field.transform = c->field.column->from_text;
    return c;
}

/* Recursion is bounded by REST_DEPTH_MAX. */
struct plan_cond *plan_logic(struct arena *arena, const struct catalog_table *t,
                             const struct rest_logic *l)
{
    if (l->kind == REST_LOGIC_FILTER)
        return plan_filter(arena, t, l->filter);
    struct plan_cond *c = ARENA_NEW(arena, struct plan_cond);
    if (!c)
        return NULL;
    c->kind = l->kind == REST_LOGIC_AND ? PLAN_AND : PLAN_OR;
    c->negated = l->negated;
    struct plan_cond **end = &c->children;
    for (const struct rest_logic *child = l->children; child; child = child->next) {
        *end = plan_logic(arena, t, child);
        if (!*end)
            return NULL;
        end = &(*end)->next;
    }
    return c;
}

/* rel=is.null on an embed of this node asks whether it has rows. */
static void null_embeds(struct plan_node *node, struct plan_cond *c)
{
    for (; c; c = c->next) {
        null_embeds(node, c->children);
        if (c->kind != PLAN_FILTER || c->field.path || c->filter->op != REST_OP_IS ||
            c->filter->is != REST_IS_NULL)
            continue;
        for (const struct plan_node *e = node->children; e; e = e->next) {
            if (!str_eq(plan_shown_name(e), c->field.name))
                continue;
            c->kind = PLAN_EMBED_NULL;
            c->embed = e;
            break;
        }
    }
}

bool plan_conditions(struct planner *p, struct plan_build *b)
{
    struct plan_node *node = &b->node;
    struct plan_cond **end = &node->where;
    for (const struct plan_raw_logic *l = b->raw.logic; l; l = l->next) {
        *end = plan_logic(p->arena, node->table, l->logic);
        if (!*end)
            return false;
        end = &(*end)->next;
    }
    for (const struct plan_raw_filter *f = b->raw.filters; f; f = f->next) {
        *end = plan_filter(p->arena, node->table, f->filter);
        if (!*end)
            return false;
        end = &(*end)->next;
    }
    null_embeds(node, node->where);
    return true;
}

/* ---- orders ---- */

static const struct plan_node *embed_named(const struct plan_node *node, struct str name)
{
    for (const struct plan_node *e = node->children; e; e = e->next)
        if (str_eq(plan_shown_name(e), name))
            return e;
    return NULL;
}

static bool related(struct planner *p, const struct plan_node *node,
                    const struct rest_order_term *t, struct plan_order *out)
{
    const struct plan_node *e = embed_named(node, t->relation);
    if (!e) {
        err_set(p->err, 400, "PGRST108", "'%.*s' is not an embedded resource in this request",
                STR_ARG(t->relation));
        p->err->hint = arena_printf(
            p->arena, "Verify that '%.*s' is included in the 'select' query parameter.",
            STR_ARG(t->relation));
        return false;
    }
    if (!e->rel->to_one) {
        struct str here = node->from.schema.n ? node->from.name : node->name;
        err_set(p->err, 400, "PGRST118", "A related order on '%.*s' is not possible",
                STR_ARG(plan_shown_name(e)));
        p->err->details = arena_printf(
            p->arena, "'%.*s' and '%.*s' do not form a many-to-one or one-to-one relationship",
            STR_ARG(here), STR_ARG(plan_shown_name(e)));
        return false;
    }
    out->relation = e;
    out->qualifier = e->aggregate_alias;
    out->field = resolve(e->table, &t->field);
    return true;
}

bool plan_orders(struct planner *p, struct plan_build *b)
{
    struct plan_order **end = &b->node.order;
    for (const struct rest_order_term *t = b->raw.order; t; t = t->next) {
        struct plan_order *o = ARENA_NEW(p->arena, struct plan_order);
        if (!o)
            return false;
        o->direction = t->direction;
        o->nulls = t->nulls;
        if (!t->relation.p)
            o->field = resolve(b->node.table, &t->field);
        else if (!related(p, &b->node, t, o))
            return false;
        *end = o;
        end = &o->next;
    }
    return true;
}

/* ---- stars and aliases ---- */

static bool any_aggregate(const struct plan_node *node)
{
    for (const struct plan_select *s = node->select; s; s = s->next)
        if (s->aggregate != REST_AGG_NONE)
            return true;
    return false;
}

/* The item's place taken by one item per column; *end is the end of the new list. */
static bool expand(struct planner *p, const struct plan_node *node, const struct plan_select *star,
                   const struct plan_select ***end)
{
    const struct catalog_table *t = node->table;
    for (size_t i = 0; t && i < t->n_columns; i++) {
        struct plan_select *out = ARENA_NEW(p->arena, struct plan_select);
        if (!out)
            return false;
        *out = *star;
        out->next = NULL;
        out->field = (struct plan_field){.name = t->columns[i].name,
                                         .column = &t->columns[i],
                                         .transform = t->columns[i].to_json};
        **end = out;
        *end = &out->next;
    }
    return true;
}

bool plan_expand_stars(struct planner *p, struct plan_node *node, bool aggregated)
{
    bool here = aggregated || any_aggregate(node) || node->spread == PLAN_SPREAD_MANY;
    if (here || (node->table && node->table->representations)) {
        const struct plan_select *list = node->select, **end = &node->select;
        node->select = NULL;
        for (const struct plan_select *s = list, *next; s; s = next) {
            next = s->next;
            if (plan_is_star(&s->field) && s->aggregate == REST_AGG_NONE) {
                if (!expand(p, node, s, &end))
                    return false;
                continue;
            }
            struct plan_select *out = ARENA_NEW(p->arena, struct plan_select);
            if (!out)
                return false;
            *out = *s;
            out->next = NULL;
            if (plan_is_star(&s->field) && node->spread != PLAN_NO_SPREAD)
                out->field.full_row = true;
            *end = out;
            end = &out->next;
        }
    }
    for (struct plan_node *child = node->children; child; child = child->next)
        if (!plan_expand_stars(p, child, here))
            return false;
    return true;
}

static struct str aggregate_name(enum rest_aggregate a)
{
    static const struct str names[] = {
        [REST_AGG_NONE] = {"", 0},       [REST_AGG_SUM] = {"sum", 3}, [REST_AGG_AVG] = {"avg", 3},
        [REST_AGG_COUNT] = {"count", 5}, [REST_AGG_MAX] = {"max", 3}, [REST_AGG_MIN] = {"min", 3}};
    return names[a];
}

/* The last key of the path; of an index the key before it, or the column. */
static struct str path_alias(const struct plan_field *f)
{
    struct str key = f->name;
    for (const struct rest_json_step *s = f->path; s; s = s->next)
        if (!s->index)
            key = s->key;
    return key;
}

void plan_aliases(struct plan_node *node)
{
    for (const struct plan_select *s = node->select; s; s = s->next) {
        struct plan_select *own = (struct plan_select *)(uintptr_t)s; /* made by this plan */
        if (s->alias.p)
            continue;
        if (s->aggregate != REST_AGG_NONE) {
            if (node->spread != PLAN_NO_SPREAD)
                own->alias = aggregate_name(s->aggregate);
        } else if (s->field.path) {
            own->alias = path_alias(&s->field);
        } else if (s->field.transform.n) {
            own->alias = s->field.name;
        }
    }
    for (struct plan_node *child = node->children; child; child = child->next)
        plan_aliases(child);
}
