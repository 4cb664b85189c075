#include "rest/plan.h"

#include <stdlib.h>

#include "rest/plan_private.h"

#define PLAN_NODES_MAX 1024u

static bool too_big(struct planner *p)
{
    if (p->err->status)
        return false;
    return err_set(p->err, 400, "PGRST100", "The request is too complex");
}

static bool root_relation(struct planner *p, struct plan_node *root)
{
    const struct plan_spec *s = p->spec;
    root->name = s->name;
    root->limit = REST_NO_LIMIT;
    root->table = catalog_table(s->catalog, s->request->schema, s->name);
    if (!root->table && s->source != PLAN_FROM_CALL)
        return catalog_table_missing(p->arena, s->catalog, s->request->schema, s->name, p->err);
    if (s->source == PLAN_FROM_RELATION) {
        root->from = (struct catalog_name){s->request->schema, s->name};
        root->qualifier = root->from;
    } else {
        root->from = (struct catalog_name){STR(""), STR("pgrst_source")};
        root->alias = s->name;
        root->qualifier = (struct catalog_name){STR(""), s->name};
    }
    return true;
}

/* Recursion over nodes is bounded by REST_DEPTH_MAX. */
static bool resolve(struct planner *p, struct plan_node *node)
{
    struct plan_build *b = plan_build_of(node);
    if (!plan_select_items(p, node, b->raw.select) || !plan_conditions(p, b))
        return false;
    for (struct plan_node *c = node->children; c; c = c->next)
        if (!resolve(p, c))
            return false;
    return true;
}

static bool resolve_orders(struct planner *p, struct plan_node *node)
{
    if (!plan_orders(p, plan_build_of(node)))
        return false;
    for (struct plan_node *c = node->children; c; c = c->next)
        if (!resolve_orders(p, c))
            return false;
    return true;
}

static void restrict_rows(struct plan_node *node, uint64_t max_rows)
{
    if (!node->limit_zero && node->limit > max_rows)
        node->limit = max_rows;
    for (struct plan_node *c = node->children; c; c = c->next)
        restrict_rows(c, max_rows);
}

static bool build(struct planner *p, struct plan_build *root)
{
    struct plan_node *node = &root->node;
    return root_relation(p, node) && plan_embeds_build(p, root, p->spec->request->query.select) &&
           plan_distribute(p, root) && plan_relate(p, node) && resolve(p, node) &&
           plan_expand_stars(p, node, false) && resolve_orders(p, node);
}

static bool finish(struct planner *p, struct plan_node *node)
{
    plan_aliases(node);
    if (!plan_spreads(p, node) || !plan_check_aggregates(p, node))
        return false;
    plan_hoist(p, node);
    return !p->failed && plan_spread_orders(p, node);
}

bool rest_plan_read(struct arena *arena, const struct plan_spec *spec, struct rest_plan *out,
                    struct err *err)
{
    struct planner p = {.arena = arena, .spec = spec, .err = err, .nodes = 1};
    struct plan_build *root = ARENA_NEW(arena, struct plan_build);
    if (!root || !build(&p, root) || !finish(&p, &root->node) || arena_broken(arena) ||
        p.nodes > PLAN_NODES_MAX)
        return too_big(&p);
    if (spec->conf->db_max_rows && spec->source != PLAN_FROM_MUTATION)
        restrict_rows(&root->node, spec->conf->db_max_rows);
    const struct plan_select *s = root->node.select;
    *out = (struct rest_plan){.root = &root->node,
                              .source = spec->source,
                              .default_select =
                                  s && !s->next && !root->node.children && plan_is_star(&s->field),
                              .n_nodes = p.nodes};
    return true;
}

bool rest_plan_where(struct arena *arena, const struct catalog_table *table,
                     const struct rest_request *request, struct plan_cond **out, struct err *err)
{
    *out = NULL;
    for (const struct rest_filter *f = request->query.filters; f; f = f->next) {
        if (f->path.n)
            continue;
        *out = plan_filter(arena, table, f);
        if (!*out)
            return err_set(err, 400, "PGRST100", "The request is too complex");
        out = &(*out)->next;
    }
    for (const struct rest_logic *l = request->query.logic; l; l = l->next) {
        if (l->path.n)
            continue;
        *out = plan_logic(arena, table, l);
        if (!*out)
            return err_set(err, 400, "PGRST100", "The request is too complex");
        out = &(*out)->next;
    }
    return true;
}

/* ---- names ---- */

struct names {
    struct arena *arena;
    struct str *v;
    size_t n, cap;
};

static void add(struct names *names, struct str name)
{
    if (names->n == names->cap) {
        size_t cap = names->cap ? names->cap * 2 : 16;
        struct str *v = arena_array(names->arena, cap, sizeof *v);
        if (!v)
            return;
        if (names->n)
            memcpy(v, names->v, names->n * sizeof *v);
        names->v = v;
        names->cap = cap;
    }
    names->v[names->n++] = name;
}

static int by_bytes(const void *a, const void *b)
{
    const struct str *x = a, *y = b;
    size_t n = x->n < y->n ? x->n : y->n;
    int order = n ? memcmp(x->p, y->p, n) : 0;
    return order ? order : (x->n > y->n) - (x->n < y->n);
}

static struct catalog_strs sorted(struct names *names)
{
    size_t kept = 0;
    if (names->n)
        qsort(names->v, names->n, sizeof names->v[0], by_bytes);
    for (size_t i = 0; i < names->n; i++)
        if (i == 0 || !str_eq(names->v[i], names->v[kept - 1]))
            names->v[kept++] = names->v[i];
    return (struct catalog_strs){names->v, kept};
}

static struct catalog_strs star(struct arena *arena)
{
    struct names names = {.arena = arena};
    add(&names, STR("*"));
    return sorted(&names);
}

struct catalog_strs rest_plan_needs(struct arena *arena, const struct rest_plan *plan,
                                    struct catalog_strs extra)
{
    struct names names = {.arena = arena};
    for (const struct plan_select *s = plan->root->select; s; s = s->next) {
        if (plan_is_star(&s->field))
            return star(arena);
        add(&names, s->field.name);
    }
    for (const struct plan_node *c = plan->root->children; c; c = c->next) {
        if (c->rel->cardinality == CATALOG_COMPUTED)
            return star(arena); /* its function takes the whole row */
        for (size_t i = 0; i < c->rel->pairs.n; i++)
            add(&names, c->rel->pairs.v[i].here);
    }
    for (size_t i = 0; i < extra.n; i++)
        add(&names, extra.v[i]);
    return sorted(&names);
}

static void filter_names(struct names *names, const struct plan_cond *c)
{
    for (; c; c = c->next) {
        if (c->kind == PLAN_FILTER)
            add(names, c->field.name);
        filter_names(names, c->children);
    }
}

struct catalog_strs rest_plan_filter_names(struct arena *arena, const struct rest_plan *plan)
{
    struct names names = {.arena = arena};
    filter_names(&names, plan->root->where);
    for (const struct plan_order *o = plan->root->order; o; o = o->next)
        if (!o->relation)
            add(&names, o->field.name);
    return sorted(&names);
}

/* ---- warnings ---- */

static const struct plan_node *legacy(const struct plan_node *node, size_t *n,
                                      const struct plan_node *found)
{
    if (node->legacy_name && node->request_alias.p) {
        ++*n;
        found = found ? found : node;
    }
    for (const struct plan_node *c = node->children; c; c = c->next)
        found = legacy(c, n, found);
    return found;
}

struct str rest_plan_warning(struct arena *arena, const struct rest_plan *plan)
{
    size_t n = 0;
    const struct plan_node *node = legacy(plan->root, &n, NULL);
    if (!node)
        return (struct str){NULL, 0};
    return str_of(arena_printf(
        arena,
        "Embedded resource was referenced by relation name even though it has an alias. This is "
        "deprecated and will stop working in a future release. Update `%.*s` to `%.*s` in query "
        "string filters, orders or limits.",
        STR_ARG(node->name), STR_ARG(node->request_alias)));
}
