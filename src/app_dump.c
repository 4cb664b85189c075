/* --dump-schema: loads the catalog of /rest once, prints it as JSON, and ends. No server is
 * started. */
#include <stdio.h>
#include <stdlib.h>

#include "app.h"
#include "db/pool.h"
#include "rest/catalogs.h"
#include "util/log.h"

struct dump {
    struct loop *loop;
    struct rest_catalogs *catalogs;
    int status;
};

static void on_drained(void *arg)
{
    struct dump *d = arg;
    loop_stop(d->loop);
}

/* The reason of a failed load was logged where it failed. */
static void on_loaded(void *arg, const struct conf_database *db, bool loaded)
{
    struct dump *d = arg;
    struct catalog *catalog = loaded ? rest_catalogs_get(d->catalogs, db) : NULL;
    struct buf out;
    d->status = EXIT_FAILURE;
    if (catalog) {
        buf_init(&out, BUF_NO_CEILING);
        catalog_dump(catalog, &out);
        buf_char(&out, '\n');
        if (fwrite(out.p, 1, out.n, stdout) == out.n && fflush(stdout) == 0)
            d->status = EXIT_SUCCESS;
        buf_fini(&out);
        catalog_unref(catalog);
    }
    loop_stop(d->loop);
}

int app_dump_schema(struct conf *conf)
{
    struct err err;
    struct dump d = {.loop = loop_new(&err), .status = EXIT_FAILURE};
    if (!d.loop) {
        log_crit("%s", err.message);
        return d.status;
    }
    log_set_level(conf->log_level);
    struct db_budget *budget = db_budget_new(conf->db_connections_max);
    struct db_pools *pools = db_pools_new(d.loop, conf, budget);
    d.catalogs = rest_catalogs_new(conf);
    rest_catalogs_start(d.catalogs, d.loop, pools, on_loaded, &d);
    loop_run(d.loop);
    rest_catalogs_stop(d.catalogs);
    db_pools_drain(pools, on_drained, &d);
    loop_run(d.loop);
    db_pools_free(pools);
    rest_catalogs_free(d.catalogs);
    db_budget_free(budget);
    loop_free(d.loop);
    return d.status;
}
