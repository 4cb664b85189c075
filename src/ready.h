/* ready: the client side of --ready and --healthcheck. Asks the admin server that this very
 * configuration describes, once, and ends; no database, no loop. Prints one line. */
#ifndef PGH_READY_H
#define PGH_READY_H

#include "conf/conf.h"

enum ready_kind {
    READY_READY, /* /ready: requests can be served */
    READY_LIVE   /* /live: the process answers; never depends on the database */
};

/* The exit status: 0 when the answer is 200, else 1. */
int ready_check(const struct conf *, enum ready_kind);

#endif
