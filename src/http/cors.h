/* cors: which response headers let a web page of another origin read the answer (Fetch standard).
 *
 * REST behaves as PostgREST: any origin when server-cors-allowed-origins is empty. On guarded
 * routes only listed origins count (guard.h refuses the others). */
#ifndef PGH_HTTP_CORS_H
#define PGH_HTTP_CORS_H

#include "conf/conf.h"
#include "util/buf.h"

struct cors_request {
    struct str origin;            /* p == NULL: none */
    struct str requested_headers; /* Access-Control-Request-Headers */
    const char *own_headers;      /* of the route; NULL: none */
    const char *own_exposed;      /* the same of its answers */
    bool preflight;               /* OPTIONS with Origin and Access-Control-Request-Method */
    bool options;                 /* OPTIONS of any kind that is answered here */
    bool guarded;                 /* "*" must be said, it is not the default */
    bool strict;                  /* "*" does not count at all */
};

/* Is this origin in the list (or "*", unless strict)? exact tells whether by name. */
bool cors_listed(const struct conf_list *allowed, struct str origin, bool strict, bool *exact);

/* Calls add for each header. scratch holds values made here; they live until it changes. */
void cors_headers(const struct cors_request *, const struct conf_list *allowed, struct buf *scratch,
                  void (*add)(void *arg, const char *name, const char *value), void *arg);

#endif
