/* openapi: the Swagger 2.0 document of a schema, from the catalog and what a role may see.
 *
 * openapi_access_sql writes the one query that must run as the role; each of its rows goes to
 * openapi_access_row; openapi_document writes the document. Pure but for the query. */
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
bool openapi_access_table(const struct openapi_access *, const struct catalog_table *);
bool openapi_access_routine(const struct openapi_access *, const struct catalog_routine *);

struct openapi_spec {
    const struct catalog *catalog;
    const struct conf *conf;
    struct str schema;
    const struct openapi_access *access;
    bool privileges; /* only what access names; else everything of the schema */
};
/* out may be found broken afterwards: the document was larger than its ceiling. */
void openapi_document(struct buf *out, const struct openapi_spec *);

#endif
