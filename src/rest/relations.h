/* relations: which relationship an embed means.
 *
 * The target of an embed is the name of a relation, of a foreign key, of a column of one, or of a
 * function; a hint narrows it down. None: 400 PGRST200, several: 300 PGRST201. */
#ifndef PGH_REST_RELATIONS_H
#define PGH_REST_RELATIONS_H

#include "rest/catalog.h"

struct relations_query {
    const struct catalog *catalog;
    struct str schema, origin, target;
    struct str hint; /* p == NULL: none */
};

/* NULL with err. */
MUSTCHECK const struct catalog_rel *relations_find(struct arena *, const struct relations_query *,
                                                   struct err *);

#endif
