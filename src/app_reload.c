/* app_reload: other settings and other catalogs while the program runs.
 *
 * A reload builds a whole new struct conf; when that fails the old one stays and the log says why.
 * Then each worker swaps its reference between two turns of its own loop, and hands the new one to
 * its parts. */
#include <stdlib.h>
#include <unistd.h>

#include "app.h"
#include "app_config.h"
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

static bool same_channel(const struct conf *a, const struct conf *b)
{
    const struct conf_database *x = &a->databases[0], *y = &b->databases[0];
    return x->db_channel_enabled == y->db_channel_enabled && x->db_channel && y->db_channel &&
           strcmp(x->db_channel, y->db_channel) == 0;
}

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
    if (w->number == 0) {
        hubs_reconfigure(w->app->hubs, w->conf);
        rest_catalogs_reconfigure(w->app->catalogs, w->conf);
        if (!same_channel(old, w->conf)) {
            app_unwatch_database(w->app);
            app_watch_database(w->app);
        }
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
    for (unsigned i = 0; i < app->n_workers; i++) {
        struct handover *h = xcalloc(1, sizeof *h);
        *h = (struct handover){&app->workers[i], conf_ref(conf), auth_ref(auth)};
        loop_post(app->workers[i].loop, take_over, h);
    }
}

static void refresh_sessions(void *arg)
{
    struct worker *w = arg;
    db_pools_refresh(w->pools);
}

static void on_catalog(void *arg, const struct conf_database *db, bool loaded)
{
    struct app *app = arg;
    (void)db;
    for (unsigned i = 0; i < app->n_workers && loaded && app->refresh_wanted; i++)
        loop_post(app->workers[i].loop, refresh_sessions, &app->workers[i]);
    app->refresh_wanted = app->refresh_wanted && !loaded;
}

/* Catalogs are loaded once the settings are known, those of the database too: until then every REST
 * request is a 503, and none is served by rules that the database has overruled. */
static void start_catalogs(void *arg)
{
    struct app *app = arg;
    if (!app->config_read && atomic_load(&app->phase) == APP_RUNNING)
        rest_catalogs_start(app->catalogs, app->workers[0].loop, app->workers[0].pools, on_catalog,
                            app);
    app->config_read = true;
}

static void on_config(void *arg, struct conf *conf, const struct err *why)
{
    struct app *app = arg;
    struct err err = {0};
    struct auth *auth = conf ? auth_new(conf, &err) : NULL;
    if (auth) {
        apply(app, conf, auth);
        log_info("settings taken over");
    } else {
        log_error("the settings stay as they were: %s", why ? why->message : err.message);
        conf_unref(conf);
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
    app->refresh_wanted = true;
    rest_catalogs_reload_all(app->catalogs);
}

/* ---- what the database says: NOTIFY pgrst (db-channel) ---- */

static void on_channel(void *arg, struct str payload)
{
    struct app *app = arg;
    if (payload.n == 0 || str_eq(payload, STR("reload schema")))
        app_reload_catalogs(app);
    if (payload.n == 0 || str_eq(payload, STR("reload config")))
        app_reload_config(app);
}

/* Notifications may have been missed: the tables may be others. */
static void on_reconnect(void *arg)
{
    struct app *app = arg;
    if (atomic_load(&app->phase) == APP_RUNNING && app->config_read)
        rest_catalogs_reload_all(app->catalogs);
}

void app_watch_database(struct app *app)
{
    const struct conf_database *db = &app->conf->databases[0];
    struct err err;
    if (!db->db_channel_enabled || !db->db_channel)
        return;
    struct hub *hub = hubs_get(app->hubs, db, &err);
    if (!hub) {
        log_error("cannot watch channel %s: %s", db->db_channel, err.message);
        return;
    }
    app->watch =
        (struct hub_watch){.on_payload = on_channel, .on_reconnect = on_reconnect, .arg = app};
    hub_watch(hub, str_of(db->db_channel), &app->watch);
}

void app_unwatch_database(struct app *app)
{
    struct err err;
    struct hub *hub = app->watch.arg ? hubs_get(app->hubs, &app->conf->databases[0], &err) : NULL;
    if (hub)
        hub_unwatch(hub, &app->watch);
    app->watch = (struct hub_watch){0};
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
        *reason = "the settings in the database are not read yet";
        return false;
    }
    if (rest_catalogs_state(app->catalogs, STR("")) != REST_CATALOG_LOADED) {
        *reason = "the schema cache is not loaded yet";
        return false;
    }
    return true;
}
