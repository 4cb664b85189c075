/* catalog_load: one attempt to read a catalog from a database.
 *
 * One read-only job on the loop's own pool; its rows go into a builder as they arrive. Parsing and
 * building run on the loop: about 1 ms per 100 tables. */
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
