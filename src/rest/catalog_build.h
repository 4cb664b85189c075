/* catalog_build: what the parts of the builder share. Private to catalog_build*.c and
 * catalog_rels.c. */
#ifndef PGH_REST_CATALOG_BUILD_H
#define PGH_REST_CATALOG_BUILD_H

#include "rest/catalog_private.h"
#include "util/strmap.h"

/* A growing array; element type by the field v. */
#define VEC(type)                                                                                  \
    struct {                                                                                       \
        type *v;                                                                                   \
        size_t n, cap;                                                                             \
    }
#define VEC_ADD(vec)                                                                               \
    (((vec)->n == (vec)->cap                                                                       \
          ? (void)((vec)->cap = (vec)->cap ? (vec)->cap * 2 : 64,                                  \
                   (vec)->v = xrealloc((vec)->v, (vec)->cap * sizeof *(vec)->v))                   \
          : (void)0),                                                                              \
     &(vec)->v[(vec)->n++])

struct build_domain {
    unsigned oid, base;
    int modifier;
    bool not_null, base_builtin;
    struct str default_sql, base_text;
    struct catalog_name base_name;
    char base_kind; /* typtype */
};

struct build_enum {
    unsigned oid;
    struct catalog_strs labels;
};

struct build_cast {
    struct str source, target, function;
};

struct build_table {
    struct catalog_table *table;
    unsigned oid;
    const int *numbers; /* attnum of each column, ascending */
    VEC(struct catalog_rel *) rels;
};

struct build_key { /* a constraint */
    char kind;     /* p, u, f */
    unsigned table, foreign;
    struct str name;
    const int *columns, *foreign_columns;
    size_t n;
    bool one_to_one; /* f */
};

struct build_view_column { /* where a column of a view comes from */
    unsigned table;
    int column; /* there */
    int number; /* here */
};

struct build_view {
    unsigned oid;
    struct build_view_column *columns;
    size_t n;
    bool resolved;
};

struct build_computed {
    struct catalog_name function;
    unsigned table, foreign;
    bool to_one;
};

struct catalog_builder {
    struct catalog *catalog;
    struct arena *arena; /* the catalog's */
    struct arena spill;  /* what is asked for once that is full: goes with the builder */
    char *chunk;         /* strings are packed here */
    size_t chunk_left;
    VEC(struct str) strings; /* each once */
    struct hash string_hash;
    VEC(struct build_domain) domains;
    VEC(struct build_enum) enums;
    VEC(struct build_cast) casts;
    VEC(struct build_table) tables; /* sorted by oid when all are there */
    VEC(struct build_key) keys;
    VEC(struct build_view) views;
    VEC(struct build_computed) computed;
    VEC(struct catalog_routine *) routines;
    VEC(struct catalog_handler) handlers;
    VEC(struct catalog_role) roles;
};

/* A copy that lives in the catalog; the same text is kept once. p == NULL stays NULL. */
struct str build_str(struct catalog_builder *, struct str);
void *build_alloc(struct catalog_builder *,
                  size_t n); /* never NULL: a dummy in spill once broken */

/* One-dimensional arrays as PostgreSQL prints them. Elements are decoded into scratch; false when
 * the text is none. NULL elements have p == NULL. */
bool build_array(struct str text, struct buf *scratch, struct str **out, size_t *n);
unsigned build_oid(struct str);
int build_int(struct str);

struct build_table *build_table(struct catalog_builder *, unsigned oid);
const struct build_domain *build_domain(const struct catalog_builder *, unsigned oid);
/* Follows domains down to what they are made of; NULL when the type is no domain. */
const struct build_domain *build_domain_base(const struct catalog_builder *, unsigned oid);

/* "name=value" each; the isolation level is kept apart, because it cannot be a set_config. */
void build_settings(struct catalog_builder *, const struct str *config, size_t n,
                    struct catalog_settings *out, enum catalog_isolation *isolation);
bool build_relation(struct catalog_builder *, const struct str *cells);
bool build_routine(struct catalog_builder *, const struct str *cells);
bool build_view(struct catalog_builder *, const struct str *cells);

/* Keys of views, then all relationships, into the tables. */
void build_relationships(struct catalog_builder *);

#endif
