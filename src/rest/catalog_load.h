/* catalog_load: one attempt to read a catalog from a database, without holding up the loop.
 *
 * One read-only transaction on a connection that it has for itself; its rows go into a builder one
 * by one as they arrive, on the loop: for 10,000 tables about 60 ms in turns of 0.3 ms. (Travelling
 * shared, all but those of the last query would be kept and come at once.) What cannot be cut into
 * turns is making the snapshot of them, 10 to 40 ms then: a helper's thread does that, and has the
 * builder for itself meanwhile. Nobody waits for that thread: a load that is cancelled forgets it,
 * and what it made is freed when it comes back. */
#ifndef PGH_REST_CATALOG_LOAD_H
#define PGH_REST_CATALOG_LOAD_H

#include "conf/conf.h"
#include "db/helpers.h"
#include "db/pool.h"
#include "rest/catalog.h"

struct catalog_load;

struct catalog_load_spec {
    struct loop *loop;
    struct helpers *helpers; /* NULL: the loop has nothing else to do */
    struct db_pool *pool;
    const struct conf *conf; /* as db, borrowed until catalog_load_start returns */
    const struct conf_database *db;
    /* Exactly once, later, unless cancelled: a snapshot (the receiver's reference) or NULL with
     * err. The load is freed after it. */
    void (*done)(void *arg, struct catalog *, const struct err *);
    void *arg;
};

struct catalog_load *catalog_load_start(const struct catalog_load_spec *);
void catalog_load_cancel(struct catalog_load *);

#endif
