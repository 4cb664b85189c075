/* catalog_load: one attempt to read a catalog from a database.
 *
 * One read-only transaction on a connection that it has for itself; its rows go into a builder one
 * by one as they arrive. (Travelling shared, all but those of the last query would be kept and come
 * at once: 40 to 90 ms of work in one turn of the loop for 10,000 tables.) */
#ifndef PGH_REST_CATALOG_LOAD_H
#define PGH_REST_CATALOG_LOAD_H

#include "conf/conf.h"
#include "db/pool.h"
#include "rest/catalog.h"
#include "util/loop.h"

struct catalog_load;

/* done: exactly once, later, unless cancelled: a snapshot (the receiver's reference) or NULL with
 * err. The load is freed after it. */
struct catalog_load *
catalog_load_start(struct loop *, struct db_pool *, const struct conf *,
                   const struct conf_database *,
                   void (*done)(void *arg, struct catalog *, const struct err *), void *arg);
void catalog_load_cancel(struct catalog_load *);

#endif
