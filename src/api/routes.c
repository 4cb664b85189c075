#include "api/routes.h"

#include <stddef.h>

const struct route *const api_routes[] = {
    NULL,
};

const struct route *const api_admin_routes[] = {
    NULL,
};
