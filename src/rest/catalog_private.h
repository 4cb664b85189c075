/* catalog_private: the snapshot's insides, and the builder that makes one from rows.
 *
 * The builder is fed the rows of the queries of catalog_sql.c, in that order, as text cells; it
 * knows nothing of connections, so that tests feed it recorded rows. One builder makes one
 * snapshot, on one thread. */
#ifndef PGH_REST_CATALOG_PRIVATE_H
#define PGH_REST_CATALOG_PRIVATE_H

#include <stdatomic.h>

#include "rest/catalog.h"

/* Ceilings of what is believed from a database. */
#define CATALOG_BYTES_MAX ((size_t)1 << 30)
#define CATALOG_VIEW_COMBINATIONS_MAX 64u /* relationships made of one key that a view repeats */
#define CATALOG_VIEW_DEPTH_MAX 64u        /* views on views */

enum catalog_query {
    CATALOG_Q_SETTINGS,
    CATALOG_Q_DOMAINS,
    CATALOG_Q_ENUMS,
    CATALOG_Q_CASTS,
    CATALOG_Q_RELATIONS,
    CATALOG_Q_STATE,
    CATALOG_Q_CONSTRAINTS,
    CATALOG_Q_COMPUTED,
    CATALOG_Q_ROUTINES,
    CATALOG_Q_HANDLERS,
    CATALOG_Q_ROLES,
    CATALOG_Q_VIEWS, /* last: its rows are big and come one by one */
    CATALOG_QUERIES
};

enum catalog_param_bit {
    CATALOG_P_SCHEMAS = 1, /* the exposed ones */
    CATALOG_P_EXTRA = 2,   /* db-extra-search-path */
    CATALOG_P_HOISTED = 4  /* db-hoisted-tx-settings */
};

struct catalog_sql {
    const char *text;
    unsigned params; /* enum catalog_param_bit, in this order */
    size_t columns;
};
extern const struct catalog_sql catalog_sql[CATALOG_QUERIES];

struct hash { /* open addressing over an array elsewhere: 0 is empty, else index + 1 */
    uint32_t *slots;
    size_t mask;
};

struct catalog {
    _Atomic unsigned refs;
    struct arena arena;
    const struct catalog_table *const *tables;
    size_t n_tables;
    const struct catalog_routine *const *routines; /* first overloads */
    size_t n_routines;
    const struct catalog_handler *handlers;
    size_t n_handlers;
    const struct catalog_role *roles;
    size_t n_roles;
    struct hash table_hash, routine_hash;
    struct catalog_info info;
};

struct catalog_builder;

struct catalog_builder *catalog_builder_new(void);
void catalog_builder_free(struct catalog_builder *);
/* One row of a query; a cell with p == NULL is NULL. */
MUSTCHECK bool catalog_builder_row(struct catalog_builder *, enum catalog_query,
                                   const struct str *cells, size_t n, struct err *);
/* The snapshot; the builder is empty afterwards and may only be freed. */
MUSTCHECK struct catalog *catalog_builder_finish(struct catalog_builder *, struct err *);

uint64_t catalog_hash_name(struct str schema, struct str name);

#endif
