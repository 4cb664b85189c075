/* router: raw path -> route. Pure; made once from the table and the settings. */
#ifndef PGH_HTTP_ROUTER_H
#define PGH_HTTP_ROUTER_H

#include "http/route.h"

struct router;

#define ROUTER_MAX 64 /* routes of one table */

struct route_match {
    const struct route *route;
    unsigned index;      /* position among the router's own routes */
    unsigned methods;    /* bits 1 << enum http_method */
    const char *allow;   /* for the Allow header */
    struct str rest;     /* raw path behind the route's own part */
    struct str database; /* raw NAME of /db/NAME/; p == NULL elsewhere */
};

/* rest_path: "/rest", or "" for the drop-in. admin: only ROUTE_ADMIN routes, else all others. */
struct router *router_new(const struct route *const *routes, const char *rest_path, bool admin);
void router_free(struct router *);
MUSTCHECK bool router_find(const struct router *, struct str path, struct route_match *out);
unsigned router_count(const struct router *);
const struct route *router_route(const struct router *, unsigned index);

enum http_method http_method_of(struct str name);

#endif
