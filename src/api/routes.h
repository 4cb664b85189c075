/* routes: every endpoint of the program. Each is declared here, defined at the end of its own file,
 * and listed in routes.c; openapi.yaml names the same ones, and a test compares the two. */
#ifndef PGH_API_ROUTES_H
#define PGH_API_ROUTES_H

#include "http/route.h"

extern const struct route sql_route, sql_outcome_route, copy_route;
extern const struct route listen_route, listen_channel_route, notify_route;
extern const struct route page_route, console_route, console_metrics_route, console_ready_route;
extern const struct route rest_route;
extern const struct route live_route, ready_route, metrics_route, config_route, listen_state_route,
    schema_cache_route;

extern const struct route *const api_routes[];       /* the API's port; NULL-terminated */
extern const struct route *const api_admin_routes[]; /* the admin port */

#endif
