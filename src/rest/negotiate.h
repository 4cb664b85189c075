/* negotiate: which of the accepted media types is answered, and what makes it.
 *
 * The first acceptable one in the client's order counts. Handlers of the database come before what
 * is built in; handlers of a relation's own serve only a plain select. */
#ifndef PGH_REST_NEGOTIATE_H
#define PGH_REST_NEGOTIATE_H

#include "rest/sqlgen.h"

struct rest_negotiation {
    const struct catalog *catalog;
    const struct conf *conf;
    const struct rest_request *request;
    struct catalog_name target; /* the relation, or the function when it gives no rows */
    bool default_select;        /* struct rest_plan says it */
    bool no_body;               /* HEAD; a write without return=representation */
};

/* 406 PGRST107 when there is none. */
MUSTCHECK bool rest_negotiate(struct arena *, const struct rest_negotiation *,
                              struct sqlgen_handler *out, struct err *);

/* Exactly one row is wanted. */
bool rest_wants_object(const struct sqlgen_handler *);

#endif
