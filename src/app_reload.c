/* app_reload: other settings and other catalogs while the program runs.
 *
 * A reload builds a whole new struct conf; when that fails the old one stays and the log says why.
 * Then each worker swaps its reference between two turns of its own loop, and hands the new one to
 * its parts. */
#include <stdlib.h>
#include <unistd.h>

#include "api/listen.h"
#include "app.h"
#include "app_config.h"
#include "app_watch.h"
#include "auth/auth.h"
#include "db/pool.h"
#include "http/server.h"
#include "listen/hubs.h"
#include "listen/streams.h"
#include "rest/catalogs.h"
#include "util/log.h"
#include "util/xalloc.h"

/* What one worker is told; each has its own references. */
struct handover {
    struct worker *worker;
    struct conf *conf;
    struct auth *auth;
};

static void take_over(void *arg)
{
    struct handover *h = arg;
    struct worker *w = h->worker;
    struct conf *old = w->conf;
    w->conf = h->conf;
    auth_worker_set(w->auth, h->auth);
    db_pools_reconfigure(w->pools, w->conf);
    http_server_reconfigure(w->http, w->conf);
    if (w->admin)
        http_server_reconfigure(w->admin, w->conf);
    streams_reconfigure(w->streams, w->conf->listen_heartbeat_us);
    listen_review(w);
    if (w->number == 0) {
        hubs_reconfigure(w->app->hubs, w->conf);
        rest_catalogs_reconfigure(w->app->catalogs, w->conf);
        app_watch_reconfigure(w->app);
    }
    auth_unref(h->auth);
    conf_unref(old);
    free(h);
}

static void apply(struct app *app, struct conf *conf, struct auth *auth)
{
    conf_unref(app->conf);
    auth_unref(app->auth);
    app->conf = conf;
    app->auth = auth;
    log_set_level(conf->log_level);
    log_set_format(conf->log_format);
    for (unsigned i = 0; i < app->n_workers; i++) {
        struct handover *h = xcalloc(1, sizeof *h);
        *h = (struct handover){&app->workers[i], conf_ref(conf), auth_ref(auth)};
        loop_post(app->workers[i].loop, take_over, h);
    }
}

static void config_is_read(void *arg)
{
    struct worker *w = arg;
    w->config_read = true;
}

/* Catalogs are loaded once the settings are known, those of the database too: until then every REST
 * request is a 503, and none is served by rules that the database has overruled. */
static void start_catalogs(void *arg)
{
    struct app *app = arg;
    for (unsigned i = 0; i < app->n_workers && !app->config_read; i++)
        loop_post(app->workers[i].loop, config_is_read, &app->workers[i]);
    struct err err;
    if (!app->config_read && atomic_load(&app->phase) == APP_RUNNING &&
        !rest_catalogs_start(app->catalogs, app->workers[0].loop, app->workers[0].pools,
                             &app_watch_ops, app, &err)) {
        log_crit("catalogs cannot be loaded: %s", err.message);
        app->failed = true;
        app_stop(app);
    }
    app->config_read = true;
}

static void on_config(void *arg, struct conf *conf, struct auth *auth, const struct err *why)
{
    struct app *app = arg;
    if (conf) {
        apply(app, conf, auth);
        log_info("settings taken over");
    } else {
        log_error("the settings stay as they were: %s", why->message);
    }
    loop_post(app->workers[0].loop, start_catalogs, app); /* behind what apply posted */
}

void app_read_config(struct app *app)
{
    app_config_read(app->config, app->conf, true, on_config, app);
}

void app_reload_config(struct app *app)
{
    if (atomic_load(&app->phase) == APP_RUNNING)
        app_config_read(app->config, app->conf, false, on_config, app);
}

void app_reload_catalogs(struct app *app)
{
    if (atomic_load(&app->phase) != APP_RUNNING || !app->config_read)
        return;
    app_watch_refresh(app);
    rest_catalogs_reload_all(app->catalogs);
}

/* ---- /ready ---- */

bool app_ready(struct worker *w, const char **reason)
{
    struct app *app = w->app;
    const struct conf_database *db = &w->conf->databases[0];
    if (atomic_load(&app->phase) != APP_RUNNING) {
        *reason = "shutting down";
        return false;
    }
    if (!db_pool_up(db_pools_own(w->pools, db), reason))
        return false;
    if (!app->config_read) {
        *reason = app_config_troubled(app->config)
                      ? "the settings in the database cannot be used: see the log"
                      : "the settings in the database are not read yet";
        return false;
    }
    if (rest_catalogs_state(app->catalogs, STR("")) != REST_CATALOG_LOADED) {
        *reason = "the schema cache is not loaded yet";
        return false;
    }
    return true;
}
