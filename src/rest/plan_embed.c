/* The plan's embeds: the tree of nodes, what of the request belongs to which, the relationships
 * between them, and what spreads hand up to their parents. */
#include "rest/plan_private.h"
#include "rest/relations.h"

/* ---- nodes ---- */

bool plan_embeds_build(struct planner *p, struct plan_build *parent,
                       const struct rest_select *items)
{
    struct plan_node **end = &parent->node.children;
    parent->raw.select = items;
    for (const struct rest_select *s = items; s; s = s->next) {
        if (s->kind == REST_SELECT_FIELD)
            continue;
        struct plan_build *b = ARENA_NEW(p->arena, struct plan_build);
        if (!b)
            return false;
        b->node = (struct plan_node){.parent = &parent->node,
                                     .depth = parent->node.depth + 1,
                                     .name = s->field.name,
                                     .request_alias = s->alias,
                                     .hint = s->hint,
                                     .inner = s->join == REST_JOIN_INNER,
                                     .limit = REST_NO_LIMIT,
                                     .spread = s->kind == REST_SELECT_SPREAD ? PLAN_SPREAD_ONE
                                                                             : PLAN_NO_SPREAD};
        p->nodes++;
        *end = &b->node;
        end = &b->node.next;
        if (!plan_embeds_build(p, b, s->children))
            return false;
    }
    return true;
}

/* ---- paths ---- */

static bool answers_to(const struct plan_node *n, struct str name, bool legacy)
{
    if (legacy && str_eq(n->name, name))
        return true;
    return n->request_alias.p ? str_eq(n->request_alias, name) : str_eq(n->name, name);
}

static bool not_embedded(struct planner *p, const struct plan_node *parent, struct str name)
{
    err_set(p->err, 400, "PGRST108", "'%.*s' is not an embedded resource in this request",
            STR_ARG(name));
    for (const struct plan_node *n = parent->children; n; n = n->next) {
        if (p->spec->conf->url_use_legacy_target_names || !n->request_alias.p ||
            !str_eq(n->name, name))
            continue;
        p->err->details = "Target names are not allowed in filters if they have an alias";
        p->err->hint =
            arena_printf(p->arena, "Change '%.*s' to '%.*s' in filters, orders or limits.",
                         STR_ARG(name), STR_ARG(n->request_alias));
        return false;
    }
    p->err->hint = arena_printf(
        p->arena, "Verify that '%.*s' is included in the 'select' query parameter.", STR_ARG(name));
    return false;
}

/* The node at the path. Nodes on the way come first among their siblings from then on: the order of
 * embeds in answers is that of PostgREST. */
static struct plan_build *at_path(struct planner *p, struct plan_build *root,
                                  const struct rest_path *path)
{
    struct plan_node *node = &root->node;
    bool legacy = p->spec->conf->url_use_legacy_target_names;
    for (size_t i = 0; i < path->n; i++) {
        struct plan_node **at = &node->children;
        while (*at && !answers_to(*at, path->v[i], legacy))
            at = &(*at)->next;
        struct plan_node *found = *at;
        if (!found) {
            not_embedded(p, node, path->v[i]);
            return NULL;
        }
        *at = found->next;
        found->next = node->children;
        node->children = found;
        if (found->request_alias.p && str_eq(found->name, path->v[i]) &&
            !str_eq(found->request_alias, path->v[i]))
            found->legacy_name = true;
        node = found;
    }
    return plan_build_of(node);
}

static bool give_filters(struct planner *p, struct plan_build *root, const struct rest_filter *all,
                         bool skip_root)
{
    const struct rest_filter **v =
        arena_array(p->arena, p->spec->request->query.n_filters + 1, sizeof(struct rest_filter *));
    size_t n = 0;
    if (!v)
        return false;
    for (const struct rest_filter *f = all; f && n < p->spec->request->query.n_filters; f = f->next)
        v[n++] = f;
    while (n-- > 0) { /* from the last: each goes in front */
        if (skip_root && v[n]->path.n == 0)
            continue;
        struct plan_build *at = at_path(p, root, &v[n]->path);
        struct plan_raw_filter *raw = at ? ARENA_NEW(p->arena, struct plan_raw_filter) : NULL;
        if (!raw)
            return false;
        *raw = (struct plan_raw_filter){at->raw.filters, v[n]};
        at->raw.filters = raw;
    }
    return true;
}

static bool give_orders(struct planner *p, struct plan_build *root)
{
    for (const struct rest_order *o = p->spec->request->query.orders; o; o = o->next) {
        struct plan_build *at = at_path(p, root, &o->path);
        if (!at)
            return false;
        if (!at->raw.order)
            at->raw.order = o->terms;
    }
    return true;
}

static bool give_ranges(struct planner *p, struct plan_build *root)
{
    const struct rest_request *r = p->spec->request;
    root->node.limit = r->limit;
    root->node.offset = r->offset;
    root->node.limit_zero = r->limit_zero;
    for (const struct rest_range *range = r->query.ranges; range; range = range->next) {
        struct plan_build *at = at_path(p, root, &range->path);
        if (!at)
            return false;
        at->node.limit = range->limit;
        at->node.offset = range->offset;
        at->node.limit_zero = range->limit == 0;
    }
    return true;
}

static bool give_logic(struct planner *p, struct plan_build *root, bool skip_root)
{
    size_t n = 0, all = 0;
    for (const struct rest_logic *l = p->spec->request->query.logic; l; l = l->next)
        all++;
    const struct rest_logic **v = arena_array(p->arena, all + 1, sizeof(struct rest_logic *));
    if (!v)
        return false;
    for (const struct rest_logic *l = p->spec->request->query.logic; l; l = l->next)
        v[n++] = l;
    while (n-- > 0) { /* from the last: each goes in front */
        if (skip_root && v[n]->path.n == 0)
            continue;
        struct plan_build *at = at_path(p, root, &v[n]->path);
        struct plan_raw_logic *raw = at ? ARENA_NEW(p->arena, struct plan_raw_logic) : NULL;
        if (!raw)
            return false;
        *raw = (struct plan_raw_logic){at->raw.logic, v[n]};
        at->raw.logic = raw;
    }
    return true;
}

bool plan_distribute(struct planner *p, struct plan_build *root)
{
    bool mutation = p->spec->source == PLAN_FROM_MUTATION;
    if (!give_filters(p, root, p->spec->request->query.filters, mutation) || !give_orders(p, root))
        return false;
    if (!mutation && !give_ranges(p, root))
        return false;
    return give_logic(p, root, mutation);
}

/* ---- relationships ---- */

static struct str numbered(struct arena *arena, struct str a, struct str b, unsigned depth)
{
    const char *text = b.p ? arena_printf(arena, "%.*s_%.*s_%u", STR_ARG(a), STR_ARG(b), depth)
                           : arena_printf(arena, "%.*s_%u", STR_ARG(a), depth);
    return str_of(text);
}

static bool relate_one(struct planner *p, const struct plan_node *parent, struct plan_node *node)
{
    struct relations_query q = {.catalog = p->spec->catalog,
                                .schema = p->spec->request->schema,
                                .origin = parent->from.schema.n ? parent->from.name : parent->name,
                                .target = node->name,
                                .hint = node->hint};
    const struct catalog_rel *rel = relations_find(p->arena, &q, p->err);
    if (!rel)
        return false;
    node->rel = rel;
    node->from = rel->foreign;
    node->table = rel->foreign_table;
    node->aggregate_alias = numbered(p->arena, rel->table.name, plan_shown_name(node), node->depth);
    if (rel->cardinality != CATALOG_M2M)
        node->alias = numbered(p->arena, rel->foreign.name, (struct str){NULL, 0}, node->depth);
    node->qualifier = node->alias.p ? (struct catalog_name){STR(""), node->alias} : node->from;
    if (node->spread == PLAN_SPREAD_ONE && !rel->to_one)
        node->spread = PLAN_SPREAD_MANY;
    return true;
}

bool plan_relate(struct planner *p, struct plan_node *parent)
{
    for (struct plan_node *n = parent->children; n; n = n->next)
        if (!relate_one(p, parent, n) || !plan_relate(p, n))
            return false;
    return true;
}

/* ---- what a parent selects of its embeds ---- */

static bool nothing_selected(const struct plan_node *node)
{
    if (node->select)
        return false;
    for (const struct plan_node *c = node->children; c; c = c->next)
        if (!nothing_selected(c))
            return false;
    return true;
}

static bool add_spread(struct planner *p, struct plan_spread ***end, struct str name)
{
    struct plan_spread *s = ARENA_NEW(p->arena, struct plan_spread);
    if (!s)
        return false;
    s->name = name;
    **end = s;
    *end = &s->next;
    return true;
}

bool plan_spreads(struct planner *p, struct plan_node *node)
{
    for (struct plan_node *c = node->children; c; c = c->next)
        if (!plan_spreads(p, c))
            return false;
    if (!node->rel)
        return true;
    if (node->spread == PLAN_NO_SPREAD) {
        node->empty = nothing_selected(node);
        return true;
    }
    struct plan_spread **end = &node->spreads;
    for (const struct plan_select *s = node->select; s; s = s->next)
        if (!add_spread(p, &end, s->alias.p ? s->alias : s->field.name))
            return false;
    bool all = node->spread == PLAN_SPREAD_ONE && node->spreads &&
               str_eq(node->spreads->name, STR("*")) && !node->spreads->next;
    for (const struct plan_node *c = node->children; c && !all; c = c->next) {
        if (c->spread == PLAN_NO_SPREAD && !c->empty && !add_spread(p, &end, plan_shown_name(c)))
            return false;
        for (const struct plan_spread *s = c->spreads; s; s = s->next)
            if (!add_spread(p, &end, s->name))
                return false;
    }
    return true;
}

bool plan_check_aggregates(struct planner *p, const struct plan_node *node)
{
    for (const struct plan_select *s = node->select; s; s = s->next)
        if (s->aggregate != REST_AGG_NONE && !p->spec->conf->db_aggregates_enabled)
            return err_set(p->err, 400, "PGRST123", "Use of aggregate functions is not allowed");
    for (const struct plan_node *c = node->children; c; c = c->next)
        if (!plan_check_aggregates(p, c))
            return false;
    return true;
}

/* ---- aggregates of to-one spreads belong to the nearest level that is not one ---- */

struct hoisted {
    struct hoisted *next;
    struct str name;
    enum rest_aggregate aggregate;
    struct str cast, alias;
};

/* Takes the aggregates off node's own select. */
static bool hoist_from(struct planner *p, struct plan_node *node, struct hoisted ***end)
{
    for (const struct plan_select *s = node->select; s; s = s->next) {
        if (s->aggregate == REST_AGG_NONE)
            continue;
        struct plan_select *own = (struct plan_select *)(uintptr_t)s; /* made by this plan */
        struct hoisted *h = ARENA_NEW(p->arena, struct hoisted);
        if (!h)
            return false;
        *h = (struct hoisted){.name = s->alias.p ? s->alias : s->field.name,
                              .aggregate = s->aggregate,
                              .cast = s->aggregate_cast,
                              .alias = s->alias};
        own->aggregate = REST_AGG_NONE;
        own->aggregate_cast = (struct str){NULL, 0};
        **end = h;
        *end = &h->next;
    }
    return true;
}

/* What comes out of node for its parent. */
static struct hoisted *hoist(struct planner *p, struct plan_node *node)
{
    struct hoisted *out = NULL, **end = &out;
    bool to_one = node->spread == PLAN_SPREAD_ONE;
    if (to_one && !hoist_from(p, node, &end)) {
        p->failed = true;
        return NULL;
    }
    for (struct plan_node *c = node->children; c; c = c->next) {
        struct hoisted *below = hoist(p, c);
        if (to_one) { /* goes on up, through this node */
            *end = below;
            while (*end)
                end = &(*end)->next;
            continue;
        }
        for (const struct hoisted *h = below; h; h = h->next)
            for (struct plan_spread *s = c->spreads; s; s = s->next) {
                if (!str_eq(s->name, h->name))
                    continue;
                s->aggregate = h->aggregate;
                s->aggregate_cast = h->cast;
                s->alias = h->alias;
            }
    }
    return out;
}

void plan_hoist(struct planner *p, struct plan_node *root)
{
    hoist(p, root);
}

/* ---- orders of to-many spreads ---- */

static bool any_aggregate(const struct plan_node *node)
{
    for (const struct plan_select *s = node->select; s; s = s->next)
        if (s->aggregate != REST_AGG_NONE)
            return true;
    for (const struct plan_node *c = node->children; c; c = c->next)
        for (const struct plan_spread *s = c->spreads; s; s = s->next)
            if (s->aggregate != REST_AGG_NONE)
                return true;
    return false;
}

/* The rows are ordered inside the aggregates of the parent, so what they are ordered by must be
 * selected too, under a name that is nobody else's. */
static bool order_outside(struct planner *p, struct plan_node *node)
{
    const struct plan_extra **extras = &node->extras;
    struct plan_order **orders = &node->spread_order;
    unsigned number = 0;
    for (const struct plan_order *o = node->order; o; o = o->next) {
        struct plan_extra *x = ARENA_NEW(p->arena, struct plan_extra);
        struct plan_order *out = ARENA_NEW(p->arena, struct plan_order);
        if (!x || !out)
            return false;
        x->qualifier = o->qualifier;
        x->field = o->field;
        x->alias = numbered(p->arena, node->aggregate_alias, o->field.name, ++number);
        *out = *o;
        out->next = NULL;
        out->relation = NULL;
        out->qualifier = node->aggregate_alias;
        out->field = (struct plan_field){.name = x->alias};
        *extras = x;
        extras = &x->next;
        *orders = out;
        orders = &out->next;
    }
    node->order = NULL;
    return true;
}

bool plan_spread_orders(struct planner *p, struct plan_node *node)
{
    if (node->spread == PLAN_SPREAD_MANY) {
        if (any_aggregate(node)) {
            err_set(p->err, 400, "PGRST127", "Feature not implemented");
            p->err->details =
                "Aggregates are not implemented for one-to-many or many-to-many spreads.";
            return false;
        }
        if (!order_outside(p, node))
            return false;
    }
    for (struct plan_node *c = node->children; c; c = c->next)
        if (!plan_spread_orders(p, c))
            return false;
    return true;
}
