/* cors: which response headers let a web page of another origin read the answer (Fetch standard).
 *
 * One rule for all routes, cors_pages_of: it looks at what the route table says and nothing else,
 * and a new route gets the careful answer. tests/e2e/pages.bats asks every route there is. */
#ifndef PGH_HTTP_CORS_H
#define PGH_HTTP_CORS_H

#include "conf/conf.h"
#include "util/buf.h"

/* Pages of which other origins may read the answers. */
enum cors_pages {
    CORS_NONE,           /* of none: the admin port */
    CORS_LISTED_BY_NAME, /* of those in server-cors-allowed-origins; its "*" does not count */
    CORS_LISTED,         /* of those in server-cors-allowed-origins */
    CORS_ANY,            /* of any, unless the setting lists some: REST, as PostgREST */
};

/* flags of the route (0: there is none); open: whoever reaches the port may use it. */
enum cors_pages cors_pages_of(unsigned route_flags, bool admin, bool open);

struct cors_request {
    struct str origin;            /* p == NULL: none */
    struct str requested_headers; /* Access-Control-Request-Headers */
    const char *own_headers;      /* of the route; NULL: none */
    const char *own_exposed;      /* the same of its answers */
    bool preflight;               /* OPTIONS with Origin and Access-Control-Request-Method */
    bool options;                 /* OPTIONS of any kind that is answered here */
    enum cors_pages pages;
};

/* Is this origin in the list (or "*", unless strict)? exact tells whether by name. */
bool cors_listed(const struct conf_list *allowed, struct str origin, bool strict, bool *exact);

/* Calls add for each header. scratch holds values made here; they live until it changes. */
void cors_headers(const struct cors_request *, const struct conf_list *allowed, struct buf *scratch,
                  void (*add)(void *arg, const char *name, const char *value), void *arg);

#endif
