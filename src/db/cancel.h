/* cancel: asks PostgreSQL to stop what a connection runs, without blocking the loop.
 *
 * libpq 17 has PQcancelStart, which runs on the loop; before it PQcancel blocks, so it runs on a
 * helper thread. Either way the signal has reached the backend when on_done runs (the postmaster
 * closes the cancel connection after sending it), which is what makes it safe to use the connection
 * again. Private to src/db. */
#ifndef PGH_DB_CANCEL_H
#define PGH_DB_CANCEL_H

#include <libpq-fe.h>

#include "db/helpers.h"

struct cancel;

/* NULL when there is no memory. on_done runs later, once, unless forgotten. */
struct cancel *cancel_start(struct loop *, struct helpers *, PGconn *, void (*on_done)(void *arg),
                            void *arg);
void cancel_forget(struct cancel *); /* no callback any more; NULL is fine */

#endif
