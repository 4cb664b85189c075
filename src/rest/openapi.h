/* openapi: the Swagger 2.0 document of a schema, from the catalog and what a role may see.
 *
 * openapi_access_sql writes the one query that must run as the role; each of its rows goes to
 * openapi_access_row; openapi_document writes the document. Pure but for the query. */
#ifndef PGH_REST_OPENAPI_H
#define PGH_REST_OPENAPI_H

#include "rest/sqlgen.h"
#include "util/strmap.h"

#define OPENAPI_MAX (256u * 1024 * 1024) /* bytes of one document */

/* What a role may see: names of relations, and functions as "name(arg,arg)". */
struct openapi_access {
    struct strmap *tables, *routines;
    struct str comment; /* of the schema; p == NULL: none */
};

void openapi_access_init(struct openapi_access *);
void openapi_access_fini(struct openapi_access *);
void openapi_access_sql(struct sql *, struct str schema, bool privileges);
/* kind, name, arguments: the columns of a row. Strings live in the arena. */
void openapi_access_row(struct openapi_access *, struct arena *, struct str kind, struct str name,
                        struct str arguments);

/* May the role call it? */
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
