/* catalogs: the current snapshot of each configured database, for the whole process.
 *
 * Worker 0 loads: one read-only job on its own pool, repeated with backoff until it works. Every
 * worker takes references. While a reload runs, the old snapshot serves; requests for a reload that
 * come meanwhile are answered by one more load. A load disturbs nobody's requests: no turn of
 * worker 0's loop has more than about a millisecond of its work, with 10,000 tables. The parts that
 * cannot be cut smaller, making the snapshot (catalog_load.h) and giving back the memory of the old
 * one, are done by a helper's thread, which lives no longer than its work. It shares nothing while
 * it runs, and rest_catalogs_stop need not wait for it.
 *
 * The configured database's is loaded at the start and stays. A further database's is loaded when
 * somebody asks for it, and forgotten when nobody asked for db-pool-max-idletime: what the database
 * is meanwhile, nobody sees. Then it begins anew. */
#ifndef PGH_REST_CATALOGS_H
#define PGH_REST_CATALOGS_H

#include "conf/conf.h"
#include "db/pool.h"
#include "rest/catalog.h"

struct rest_catalogs;

struct rest_catalogs *rest_catalogs_new(struct conf *);
void rest_catalogs_free(struct rest_catalogs *); /* after all workers ended */

/* All on worker 0's thread. */
struct rest_catalogs_ops {
    /* After each attempt. */
    void (*on_loaded)(void *arg, const struct conf_database *, bool loaded);
    /* A further database's is asked for: rest_catalogs_reload it, now or soon. */
    void (*on_wanted)(void *arg, const struct conf_database *);
    /* Nobody has asked for it: it is forgotten, and so is every attempt to load it. */
    void (*on_ended)(void *arg, const struct conf_database *);
};

/* Worker 0's thread: starts loading the configured database. */
MUSTCHECK bool rest_catalogs_start(struct rest_catalogs *, struct loop *, struct db_pools *,
                                   const struct rest_catalogs_ops *, void *arg, struct err *);
void rest_catalogs_stop(struct rest_catalogs *); /* no callback after this */
/* Worker 0: another configuration; reloads what it changes. */
void rest_catalogs_reconfigure(struct rest_catalogs *, struct conf *);
/* Worker 0: load again, unless nobody wants it; name empty: the configured database. */
void rest_catalogs_reload(struct rest_catalogs *, struct str database);
void rest_catalogs_reload_all(struct rest_catalogs *);

/* Any thread: the current snapshot with a reference of its own, or NULL while there is none. */
struct catalog *rest_catalogs_get(struct rest_catalogs *, const struct conf_database *);
/* NULL with 503 PGRST002. */
struct catalog *rest_catalogs_need(struct rest_catalogs *, const struct conf_database *,
                                   struct err *);

enum rest_catalog_state { REST_CATALOG_PENDING, REST_CATALOG_LOADED, REST_CATALOG_FAILED };
/* Of the configured database. */
enum rest_catalog_state rest_catalogs_state(struct rest_catalogs *, struct str database);

struct rest_catalogs_stats {
    uint64_t loads, failures; /* since the start, all databases */
    double query_seconds;     /* of the last load */
};
struct rest_catalogs_stats rest_catalogs_stats(struct rest_catalogs *);

#endif
