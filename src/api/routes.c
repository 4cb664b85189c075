#include "api/routes.h"

#include <stddef.h>

const struct route *const api_routes[] = {
    &listen_route,
    &listen_channel_route,
    &notify_route,
    NULL,
};

const struct route *const api_admin_routes[] = {
    NULL,
};
