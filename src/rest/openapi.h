/* openapi: the Swagger 2.0 document of a schema, from the catalog and what a role may see.
 *
 * openapi_access_sql writes the one query that must run as the role; each of its rows goes to
 * openapi_access_row; openapi_more writes the document, a piece at a time: that of 10,000 tables is
 * tens of megabytes and takes tens of milliseconds. Pure but for the query. */
#ifndef PGH_REST_OPENAPI_H
#define PGH_REST_OPENAPI_H

#include "rest/sqlgen.h"

/* What a role may see of one snapshot of the catalog: a bit for each thing in it. References are
 * counted, by one thread. */
struct openapi_access;

struct openapi_access *openapi_access_new(const struct catalog *); /* nothing yet */
struct openapi_access *openapi_access_ref(struct openapi_access *);
void openapi_access_unref(struct openapi_access *); /* NULL is fine */
void openapi_access_sql(struct sql *, struct str schema, bool privileges);
/* A row of that query; the catalog it was made for. */
#define OPENAPI_ACCESS_COLUMNS 3u
void openapi_access_row(struct openapi_access *, const struct catalog *, struct str schema,
                        const struct str *cells);

struct str openapi_access_comment(const struct openapi_access *); /* p == NULL: there is none */
bool openapi_access_table(const struct openapi_access *, size_t number);
bool openapi_access_routine(const struct openapi_access *, size_t number);

struct openapi_spec { /* borrowed until the document is made */
    const struct catalog *catalog;
    const struct conf *conf;
    struct str schema;
    const struct openapi_access *access;
    bool privileges; /* only what access names; else everything of the schema */
};

enum openapi_part {
    OPENAPI_HEAD,
    OPENAPI_TABLES,
    OPENAPI_ROUTINES,
    OPENAPI_DEFINITIONS,
    OPENAPI_PARAMETERS,
    OPENAPI_END
};

struct openapi_maker {
    struct openapi_spec spec;
    const struct catalog_table *const *tables; /* of the schema */
    const struct catalog_routine *const *routines;
    size_t n_tables, n_routines, first; /* first: the first table's number */
    enum openapi_part part;
    size_t next; /* in the part */
    char last;   /* byte that was written */
};
void openapi_maker_init(struct openapi_maker *, const struct openapi_spec *);
/* Goes on until out holds want bytes; what it holds may be taken out between two calls. False: the
 * document has ended, or is larger than out's ceiling (then out is broken). */
MUSTCHECK bool openapi_more(struct openapi_maker *, struct buf *out, size_t want);

#endif
