/* plan_write: a write request, its body and the catalog -> what is to be written.
 *
 * The rows that come back are read by a struct rest_plan of source PLAN_FROM_MUTATION. */
#ifndef PGH_REST_PLAN_WRITE_H
#define PGH_REST_PLAN_WRITE_H

#include "rest/body.h"
#include "rest/plan.h"

#define REST_NO_CEILING INT64_MAX

struct plan_write {
    enum rest_action action; /* REST_INSERT, REST_UPSERT, REST_UPDATE or REST_REMOVE */
    const struct catalog_table *table;
    const struct rest_body *body;                /* NULL: REST_REMOVE */
    const struct catalog_column *const *columns; /* that are written, sorted by name */
    size_t n_columns;
    struct plan_cond *where;         /* UPDATE, REMOVE; UPSERT: what the body's key must be */
    struct catalog_strs conflict;    /* columns of ON CONFLICT; empty: none */
    enum rest_resolution resolution; /* with conflict */
    struct catalog_strs returning;   /* empty: only the number of rows is wanted */
    bool defaults;                   /* missing=default */
    bool location;                   /* the key of a single inserted row is wanted */
    int64_t max_affected;            /* REST_NO_CEILING: any */
};

struct plan_write_spec {
    const struct catalog *catalog;
    const struct rest_request *request;
    const struct rest_body *body;
    const struct catalog_table *table;
    const struct rest_plan *read; /* of what comes back */
};

/* PGRST105 for a PUT that does not name its row, PGRST204 for unknown columns. */
MUSTCHECK bool rest_plan_write(struct arena *, const struct plan_write_spec *,
                               struct plan_write *out, struct err *);

/* Does the answer's status depend on how many rows were new? */
bool plan_write_counts_inserted(const struct plan_write *);

/* Preferences as they had an effect on this write, for Preference-Applied. */
struct rest_prefs plan_write_applied(const struct rest_request *, const struct catalog_table *);

#endif
