/* plan_private: what plan*.c share. */
#ifndef PGH_REST_PLAN_PRIVATE_H
#define PGH_REST_PLAN_PRIVATE_H

#include "rest/plan.h"

/* What belongs to a node of the request's filters, orders and limits, before it is resolved. */
struct plan_raw {
    const struct rest_select *select;
    struct plan_raw_filter {
        struct plan_raw_filter *next;
        const struct rest_filter *filter;
    } * filters;
    struct plan_raw_logic {
        struct plan_raw_logic *next;
        const struct rest_logic *logic;
    } * logic;
    const struct rest_order_term *order;
};

/* A node under construction: plan_node is its first member. */
struct plan_build {
    struct plan_node node;
    struct plan_raw raw;
};

struct planner {
    struct arena *arena;
    const struct plan_spec *spec;
    struct err *err;
    size_t nodes;
    bool failed;
};

/* plan_fields.c */
struct plan_field plan_output_field(const struct catalog_table *, const struct rest_field *);
bool plan_select_items(struct planner *, struct plan_node *, const struct rest_select *);
bool plan_conditions(struct planner *, struct plan_build *);
bool plan_orders(struct planner *, struct plan_build *);
struct plan_cond *plan_filter(struct arena *, const struct catalog_table *,
                              const struct rest_filter *);
struct plan_cond *plan_logic(struct arena *, const struct catalog_table *,
                             const struct rest_logic *);
/* "*" becomes the columns where it must: representations, aggregates, to-many spreads. */
bool plan_expand_stars(struct planner *, struct plan_node *, bool aggregated);
void plan_aliases(struct plan_node *);

/* plan_embed.c */
bool plan_embeds_build(struct planner *, struct plan_build *parent, const struct rest_select *);
bool plan_distribute(struct planner *, struct plan_build *root);
bool plan_relate(struct planner *, struct plan_node *parent);
bool plan_spreads(struct planner *, struct plan_node *);
bool plan_check_aggregates(struct planner *, const struct plan_node *);
void plan_hoist(struct planner *, struct plan_node *);
bool plan_spread_orders(struct planner *, struct plan_node *);

static inline struct plan_build *plan_build_of(struct plan_node *node)
{
    return (struct plan_build *)node; /* its first member; only nodes made by plan*.c */
}

/* The name an embed goes by: its alias, or its target. */
static inline struct str plan_shown_name(const struct plan_node *n)
{
    return n->request_alias.p ? n->request_alias : n->name;
}

#endif
