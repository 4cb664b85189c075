/* request: method, path, headers and query string of a request -> struct rest_request.
 *
 * Pure. What is wrong is found in this order: path, profile, method, query string, range; the body
 * is rest/body.h's. */
#ifndef PGH_REST_REQUEST_H
#define PGH_REST_REQUEST_H

#include "conf/conf.h"
#include "rest/query.h"

struct rest_input {
    enum rest_method method;
    struct str method_name;
    struct str path;  /* raw, behind rest-path: "", "items", "rpc/f" (no slash in front) */
    struct str query; /* raw, without '?' */
    /* header values; p == NULL when absent */
    struct str accept, content_type, accept_profile, content_profile, range;
};

/* Fills everything of out but prefs, which the caller filled with rest_prefs_add for each Prefer
 * line. */
MUSTCHECK bool rest_request_parse(struct arena *, const struct conf *, const struct conf_database *,
                                  const struct rest_input *, struct rest_request *out,
                                  struct err *);

/* May db-tx-end be overridden by Prefer: tx? For rest_prefs_add. */
bool rest_tx_override(const struct conf *);
/* Does this request end in a rollback? */
bool rest_tx_rollback(const struct conf *, const struct rest_prefs *);

/* Content-Range of an answer: "0-14/15", "*" for no rows and no total. total < 0: unknown. */
struct str rest_content_range(struct arena *, uint64_t offset, uint64_t rows, int64_t total);
/* 200, 206 or 416 for a read of rows from offset on. */
int rest_range_status(uint64_t offset, uint64_t rows, int64_t total);
/* 416 PGRST103 for an offset behind the last row. */
bool rest_range_outside(struct arena *, uint64_t offset, int64_t total, struct err *);
/* "/items?id=eq.1" */
struct str rest_content_location(struct arena *, const struct rest_request *);

#endif
