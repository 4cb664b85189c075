#include "app_dump.h"

#include "app_config.h"
#include "auth/auth.h"
#include "db/pool.h"
#include "rest/catalog_load.h"
#include "util/log.h"
#include "util/loop.h"

/* The parts of a server that a dump needs, on a loop of its own. */
struct dump {
    struct loop *loop;
    struct db_budget *budget;
    struct db_pools *pools;
    struct app_config *config;
    struct conf *conf; /* with the database's settings once they are read */
    struct catalog *catalog;
    struct err err;
};

static bool dump_init(struct dump *d, const struct conf_sources *sources, struct conf *conf,
                      struct err *err)
{
    *d = (struct dump){.conf = conf_ref(conf), .loop = loop_new(err)};
    log_set_level(conf->log_level);
    log_set_format(conf->log_format);
    if (!d->loop)
        return false;
    d->budget = db_budget_new(conf->db_connections_max);
    d->pools = db_pools_new(d->loop, conf, d->budget);
    d->config = app_config_new(d->loop, d->pools, sources);
    return true;
}

static void on_drained(void *arg)
{
    struct dump *d = arg;
    loop_stop(d->loop);
}

static void dump_fini(struct dump *d)
{
    app_config_free(d->config);
    if (d->pools) {
        db_pools_drain(d->pools, on_drained, d);
        loop_run(d->loop);
        db_pools_free(d->pools);
    }
    db_budget_free(d->budget);
    if (d->loop)
        loop_free(d->loop);
    conf_unref(d->conf);
}

static void on_config(void *arg, struct conf *now, struct auth *auth, const struct err *why)
{
    struct dump *d = arg;
    auth_unref(auth);
    if (now) {
        conf_unref(d->conf);
        d->conf = now;
    } else {
        log_error("the settings in the database cannot be used: %s", why->message);
    }
    loop_stop(d->loop);
}

static void read_config(struct dump *d)
{
    app_config_read(d->config, d->conf, false, on_config, d);
    loop_run(d->loop);
}

/* Keys and paths are read by auth alone. */
static bool usable(const struct conf *conf, struct err *err)
{
    struct auth *auth = auth_new(conf, err);
    auth_unref(auth);
    return auth != NULL;
}

bool app_dump_config(const struct conf_sources *sources, struct conf *conf, struct buf *out,
                     struct err *err)
{
    struct dump d = {.conf = conf};
    bool ask = conf->db_config;
    if (ask && dump_init(&d, sources, conf, err))
        read_config(&d);
    else if (ask)
        log_error("%s", err->message);
    bool done = usable(d.conf, err);
    if (done)
        conf_print_dump(d.conf, out);
    if (ask)
        dump_fini(&d);
    return done;
}

static void on_catalog(void *arg, struct catalog *catalog, const struct err *err)
{
    struct dump *d = arg;
    d->catalog = catalog;
    if (!catalog)
        d->err = *err;
    loop_stop(d->loop);
}

bool app_dump_schema(const struct conf_sources *sources, struct conf *conf, struct buf *out,
                     struct err *err)
{
    struct dump d;
    bool done = dump_init(&d, sources, conf, err);
    if (done) {
        read_config(&d);
        const struct conf_database *db = &d.conf->databases[0];
        if (catalog_load_start(&(struct catalog_load_spec){.loop = d.loop,
                                                           .pool = db_pools_own(d.pools, db),
                                                           .conf = d.conf,
                                                           .db = db,
                                                           .done = on_catalog,
                                                           .arg = &d}))
            loop_run(d.loop);
        done = d.catalog != NULL;
        if (done)
            catalog_dump(d.catalog, out);
        else
            *err = d.err;
        catalog_unref(d.catalog);
        buf_char(out, '\n');
    }
    dump_fini(&d);
    return done;
}
