/* rpc: which function a request means, and with what arguments.
 *
 * Overloads are told apart by the names of their arguments: all required ones must be there and
 * nothing that is no parameter. When no overload fits, a function with a single parameter without a
 * name is called if the type of a POST's body is the parameter's. However it was found (also by the
 * key "", or with no key because it has a default): such a parameter takes the whole body. */
#ifndef PGH_REST_RPC_H
#define PGH_REST_RPC_H

#include "rest/body.h"
#include "rest/plan.h"

struct rest_call {
    const struct catalog_routine *routine;
    const struct rest_request *request;
    const struct rest_body *body;      /* NULL: a GET or HEAD */
    const struct rest_param *params;   /* arguments by name as text: GET, HEAD, forms; in order */
    bool by_json;                      /* arguments are the keys of the body's JSON object */
    bool whole;                        /* the single unnamed parameter takes the body */
    const struct catalog_param **args; /* the named parameters that are given, in order */
    size_t n_args;
    struct catalog_strs columns; /* of the result that the plan needs; one "*": all */
    int64_t max_affected;        /* REST_NO_CEILING of plan_write.h: any */
    bool read_only;
};

struct rest_call_spec {
    const struct catalog *catalog;
    const struct rest_request *request;
    const struct rest_body *body; /* NULL: a GET or HEAD */
};

/* PGRST202, PGRST203. Fills all but columns, max_affected and read_only. */
MUSTCHECK bool rest_call_find(struct arena *, const struct rest_call_spec *, struct rest_call *out,
                              struct err *);

/* The rest, once the plan of the result is there. PGRST128. */
MUSTCHECK bool rest_call_plan(struct arena *, const struct rest_plan *, struct rest_call *,
                              struct err *);

/* What select and filters apply to: the relation whose rows the function returns, or its name. */
struct str rest_call_target(const struct catalog_routine *);

/* One row at most, whatever it is: no SETOF, no TABLE. */
bool rest_call_single(const struct catalog_routine *);
bool rest_call_void(const struct catalog_routine *);

#endif
