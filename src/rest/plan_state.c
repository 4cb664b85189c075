/* Which requests may leave something in their session: those that call a function which may, as far
 * as the catalog tells (catalog.h: state_of_reads, state_of_writes). */
#include "rest/plan.h"

/* A name that is no column is a function of the row (a computed field), perhaps one that the
 * catalog does not have. */
static bool field_calls(const struct catalog *c, const struct plan_node *node,
                        const struct plan_field *f)
{
    if (f->column || f->full_row || f->name.n == 0 || str_eq(f->name, STR("*")))
        return false;
    const struct catalog_routine *r = catalog_routine(c, node->table->schema, f->name);
    for (const struct catalog_routine *one = r; one; one = one->next)
        if (one->volatility == CATALOG_VOLATILE)
            return true;
    return !r;
}

static bool conds_call(const struct catalog *c, const struct plan_node *node,
                       const struct plan_cond *conds)
{
    for (; conds; conds = conds->next)
        if ((conds->kind == PLAN_FILTER && field_calls(c, node, &conds->field)) ||
            conds_call(c, node, conds->children))
            return true;
    return false;
}

static bool fields_call(const struct catalog *c, const struct plan_node *node)
{
    for (const struct plan_select *s = node->select; s; s = s->next)
        if (field_calls(c, node, &s->field))
            return true;
    for (const struct plan_order *o = node->order; o; o = o->next)
        if (field_calls(c, o->relation ? o->relation : node, &o->field))
            return true;
    return conds_call(c, node, node->where);
}

static bool reads_call(const struct catalog *c, struct catalog_name name)
{
    const struct catalog_table *t = catalog_table(c, name.schema, name.name);
    return t && t->state_of_reads;
}

/* The way from its parent: a function, or a table between. */
static bool rel_calls(const struct catalog *c, const struct catalog_rel *rel)
{
    if (!rel)
        return false;
    if (rel->cardinality == CATALOG_M2M)
        return reads_call(c, rel->junction);
    if (rel->cardinality != CATALOG_COMPUTED)
        return false;
    const struct catalog_routine *r = catalog_routine(c, rel->function.schema, rel->function.name);
    for (; r; r = r->next)
        if (r->volatility == CATALOG_VOLATILE)
            return true;
    return false;
}

static bool node_leaves_state(const struct catalog *c, const struct plan_node *node)
{
    if (node->table && (node->table->state_of_reads || fields_call(c, node)))
        return true;
    if (rel_calls(c, node->rel))
        return true;
    for (const struct plan_node *child = node->children; child; child = child->next)
        if (node_leaves_state(c, child))
            return true;
    return false;
}

bool rest_plan_leaves_state(const struct catalog *c, const struct rest_plan *plan)
{
    return plan->root && node_leaves_state(c, plan->root);
}

bool rest_conds_leave_state(const struct catalog *c, const struct catalog_table *table,
                            const struct plan_cond *where)
{
    const struct plan_node node = {.table = table};
    return conds_call(c, &node, where);
}
