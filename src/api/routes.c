#include "api/routes.h"

#include <stddef.h>

const struct route *const api_routes[] = {
    &sql_route,
    &sql_outcome_route,
    &copy_route,
    &listen_route,
    &listen_channel_route,
    &notify_route,
    &page_route,
    &console_metrics_route,
    &console_ready_route,
    &console_route,
    &rest_route,
    NULL,
};

const struct route *const api_admin_routes[] = {
    &live_route,         &ready_route,        &metrics_route, &config_route,
    &listen_state_route, &schema_cache_route, NULL,
};
