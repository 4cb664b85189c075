/* plan: a parsed request and the catalog -> a checked tree that says what to read from where.
 *
 * The root reads a relation, or pgrst_source, the CTE of a mutation or a function call: the same
 * tree serves all three. Each embed is a node below it, joined by a relationship of the catalog.
 * Everything lives in the request's arena and points into the request and the catalog, which must
 * outlive it. Pure: no I/O. */
#ifndef PGH_REST_PLAN_H
#define PGH_REST_PLAN_H

#include "conf/conf.h"
#include "rest/catalog.h"
#include "rest/query.h"

/* A column, or a name that PostgreSQL may know (a computed column), with its json path. */
struct plan_field {
    struct str name;
    const struct rest_json_step *path;
    const struct catalog_column *column; /* NULL: not in the catalog */
    bool to_json;                        /* to_jsonb() around it before the path */
    bool full_row;                       /* the whole row: COUNT in a spread */
    struct str transform;                /* function around it (select) or the value (filter) */
    bool to_tsvector;                    /* wrapped for full text search */
    struct str language;                 /* of to_tsvector; p == NULL: none */
};

/* All columns of the relation, computed ones not among them. */
static inline bool plan_is_star(const struct plan_field *f)
{
    return str_eq(f->name, STR("*")) && !f->path;
}

struct plan_select {
    const struct plan_select *next;
    struct plan_field field;
    struct str cast; /* p == NULL: none */
    enum rest_aggregate aggregate;
    struct str aggregate_cast;
    struct str alias; /* p == NULL: none */
};

enum plan_cond_kind {
    PLAN_FILTER,
    PLAN_AND,
    PLAN_OR,
    PLAN_EMBED_NULL /* rel=is.null */
};

struct plan_node;

struct plan_cond {
    struct plan_cond *next;
    enum plan_cond_kind kind;
    bool negated;
    const struct rest_filter *filter; /* FILTER; negated is in it */
    struct plan_field field;          /* FILTER */
    struct plan_cond *children;       /* AND, OR */
    const struct plan_node *embed;    /* EMBED_NULL */
};

struct plan_order {
    struct plan_order *next;
    struct plan_field field;
    const struct plan_node *relation; /* order by a column of a to-one embed; else NULL */
    struct str qualifier;             /* p != NULL: take the field from this alias */
    enum rest_direction direction;
    enum rest_nulls nulls;
};

/* What a parent selects of a spread embed. */
struct plan_spread {
    struct plan_spread *next;
    struct str name;
    enum rest_aggregate aggregate; /* hoisted from below */
    struct str aggregate_cast;
    struct str alias; /* of a hoisted aggregate; p == NULL: none */
    const struct plan_node *aggregate_from;
};

enum plan_spread_kind { PLAN_NO_SPREAD, PLAN_SPREAD_ONE, PLAN_SPREAD_MANY };

/* An extra column of a to-many spread, there to order by. */
struct plan_extra {
    const struct plan_extra *next;
    struct str qualifier; /* p == NULL: the node itself */
    struct plan_field field;
    struct str alias;
};

struct plan_node {
    struct plan_node *next; /* the next sibling */
    struct plan_node *children;
    const struct plan_node *parent;
    unsigned depth;

    struct catalog_name from;          /* schema empty: the CTE "pgrst_source" */
    struct str alias;                  /* AS of from; p == NULL: none */
    struct catalog_name qualifier;     /* what its columns are written behind */
    const struct catalog_table *table; /* NULL: not in the catalog (a function's result) */

    const struct plan_select *select;
    struct plan_cond *where; /* joined by AND */
    struct plan_order *order;
    uint64_t limit, offset; /* limit REST_NO_LIMIT: none */
    bool limit_zero;        /* a limit of 0 was asked for */

    /* embeds */
    struct str name, request_alias, hint; /* of the request */
    const struct catalog_rel *rel;
    struct str aggregate_alias; /* of the joined subquery: "clients_projects_1" */
    bool inner;
    enum plan_spread_kind spread;
    struct plan_spread *spreads;     /* what the parent selects of it */
    const struct plan_extra *extras; /* PLAN_SPREAD_MANY */
    struct plan_order *spread_order; /* PLAN_SPREAD_MANY */
    bool empty;                      /* rel(): joined and filtering, never shown */
    bool legacy_name;                /* was addressed by its name though it has an alias */
};

enum plan_source {
    PLAN_FROM_RELATION, /* a GET of a relation */
    PLAN_FROM_MUTATION, /* the rows a mutation returns: no root filters, no ranges */
    PLAN_FROM_CALL      /* the rows a function returns */
};

struct plan_spec {
    const struct catalog *catalog;
    const struct conf *conf;
    const struct rest_request *request;
    enum plan_source source;
    struct str name; /* the relation; CALL: the relation whose rows it returns, or the function's
                        name */
};

struct rest_plan {
    struct plan_node *root;
    enum plan_source source;
    bool default_select; /* just "*", no embeds: custom media handlers may be used */
    size_t n_nodes;
};

/* Schema is the request's. Errors: PGRST108, 118, 123, 127, 200, 201, 205. A relation that is not
 * in the catalog is PGRST205 unless it is a call. */
MUSTCHECK bool rest_plan_read(struct arena *, const struct plan_spec *, struct rest_plan *out,
                              struct err *);

/* The conditions of a mutation's own WHERE: the request's root filters, then its root logic. */
MUSTCHECK bool rest_plan_where(struct arena *, const struct catalog_table *,
                               const struct rest_request *, struct plan_cond **out, struct err *);

/* Columns that RETURNING (or a call's select) must give so that the plan can read them: those
 * selected, those of the embeds' joins, and extra. One name "*" is all. Sorted, each once. */
struct catalog_strs rest_plan_needs(struct arena *, const struct rest_plan *,
                                    struct catalog_strs extra);
/* Names of columns that the root's filters and orders mention; for calls. */
struct catalog_strs rest_plan_filter_names(struct arena *, const struct rest_plan *);

/* May it leave something in its session (settings, locks)? It calls a volatile function: a computed
 * field, or one behind a view or a policy. The conditions of a mutation count by themselves. */
bool rest_plan_leaves_state(const struct catalog *, const struct rest_plan *);
bool rest_conds_leave_state(const struct catalog *, const struct catalog_table *,
                            const struct plan_cond *where);

/* Warning headers for embeds that were addressed by their relation's name: the text behind
 * `299 PostgREST...`; n == 0: none. */
struct str rest_plan_warning(struct arena *, const struct rest_plan *);

#endif
