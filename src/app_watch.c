#include "app_watch.h"

#include <stdlib.h>

#include "db/pool.h"
#include "listen/hubs.h"
#include "util/log.h"
#include "util/xalloc.h"

/* A first load waits no longer than this for LISTEN; when it stands later, the load is repeated. */
#define PATIENCE_US 500000u

/* Of one database; those of further ones are active while their catalogs are wanted. */
struct app_watch {
    struct app *app;
    unsigned index; /* in conf->databases */
    bool active, load_due, refresh;
    struct hub_watch hub; /* watching while it has a channel */
    char *channel;        /* NULL: not watching */
    struct loop_timer patience;
    struct refresh { /* what each worker is told; they live as long as the app */
        struct app_watch *watch;
        struct worker *worker;
        char *database;
    } * refreshes;
};

static const struct conf_database *database_of(const struct app_watch *w)
{
    return &w->app->conf->databases[w->index];
}

/* By name: the catalogs may be a turn behind with the configuration they have. */
static struct app_watch *watch_of(struct app *app, const struct conf_database *db)
{
    size_t i = 0;
    while (strcmp(app->conf->databases[i].name, db->name) != 0)
        i++;
    return &app->watches[i];
}

/* ---- loading ---- */

static void load(struct app_watch *w)
{
    loop_timer_stop(&w->patience);
    w->load_due = false;
    rest_catalogs_reload(w->app->catalogs, str_of(database_of(w)->name));
}

static void load_if_due(void *arg)
{
    struct app_watch *w = arg;
    if (w->load_due)
        load(w);
}

static void refresh_sessions(void *arg)
{
    const struct refresh *r = arg;
    db_pools_refresh(r->worker->pools, r->database);
}

static void on_loaded(void *arg, const struct conf_database *db, bool loaded)
{
    struct app *app = arg;
    struct app_watch *w = watch_of(app, db);
    if (!loaded || !w->refresh)
        return;
    w->refresh = false;
    for (unsigned i = 0; i < app->n_workers; i++)
        loop_post(app->workers[i].loop, refresh_sessions, &w->refreshes[i]);
}

/* ---- what the database says ---- */

static void on_payload(void *arg, struct str payload)
{
    struct app_watch *w = arg;
    if ((payload.n == 0 || str_eq(payload, STR("reload schema"))) && w->index > 0) {
        w->refresh = true;
        load(w);
    } else if (payload.n == 0 || str_eq(payload, STR("reload schema"))) {
        app_reload_catalogs(w->app);
    }
    /* Settings in the database are the configured one's. */
    if ((payload.n == 0 || str_eq(payload, STR("reload config"))) && w->index == 0)
        app_reload_config(w->app);
}

/* A catalog is loaded again, since it may have changed before; a further database's for the first
 * time. The configured one's does not wait: it may have been loaded, or not be due yet. */
static void on_live(void *arg)
{
    struct app_watch *w = arg;
    if (w->index > 0 || (atomic_load(&w->app->phase) == APP_RUNNING && w->app->config_read))
        load(w);
}

static bool watch(struct app_watch *w)
{
    const struct conf_database *db = database_of(w);
    struct err err;
    if (!db->db_channel_enabled || !db->db_channel)
        return false;
    struct hub *hub = hubs_get(w->app->hubs, db, &err);
    if (!hub) {
        log_error("cannot watch channel %s: %s", db->db_channel, err.message);
        return false;
    }
    w->channel = xstrdup(db->db_channel);
    w->hub = (struct hub_watch){
        .on_payload = on_payload, .on_live = on_live, .on_lost = load_if_due, .arg = w};
    return !hub_watch(hub, str_of(w->channel), &w->hub); /* true: on_live is to come */
}

static void unwatch(struct app_watch *w)
{
    struct err err;
    struct hub *hub = w->channel ? hubs_get(w->app->hubs, database_of(w), &err) : NULL;
    if (hub)
        hub_unwatch(hub, &w->hub);
    free(w->channel);
    w->channel = NULL;
}

/* ---- a further database ---- */

static void on_wanted(void *arg, const struct conf_database *db)
{
    struct app_watch *w = watch_of(arg, db);
    if (w->active)
        return;
    w->active = w->load_due = true;
    if (watch(w))
        loop_timer_set(&w->patience, PATIENCE_US);
    else
        load(w);
}

static void on_ended(void *arg, const struct conf_database *db)
{
    struct app_watch *w = watch_of(arg, db);
    loop_timer_stop(&w->patience);
    w->active = w->load_due = w->refresh = false;
    unwatch(w);
}

const struct rest_catalogs_ops app_watch_ops = {
    .on_loaded = on_loaded, .on_wanted = on_wanted, .on_ended = on_ended};

/* ---- life ---- */

struct app_watch *app_watch_new(struct app *app)
{
    struct app_watch *all = xcalloc(app->conf->n_databases, sizeof *all);
    for (unsigned i = 0; i < app->conf->n_databases; i++) {
        struct app_watch *w = &all[i];
        w->app = app;
        w->index = i;
        loop_timer_init(&w->patience, app->workers[0].loop, load_if_due, w);
        w->refreshes = xcalloc(app->n_workers, sizeof *w->refreshes);
        for (unsigned k = 0; k < app->n_workers; k++)
            w->refreshes[k] =
                (struct refresh){w, &app->workers[k], xstrdup(app->conf->databases[i].name)};
    }
    return all;
}

void app_watch_start(struct app *app)
{
    app->watches[0].active = true;
    (void)watch(&app->watches[0]);
}

void app_watch_stop(struct app *app)
{
    for (size_t i = 0; app->watches && i < app->conf->n_databases; i++)
        loop_timer_stop(&app->watches[i].patience);
}

static bool same_channel(const struct app_watch *w)
{
    const struct conf_database *db = database_of(w);
    const char *now = db->db_channel_enabled ? db->db_channel : NULL;
    return now == w->channel || (now && w->channel && strcmp(now, w->channel) == 0);
}

void app_watch_reconfigure(struct app *app)
{
    for (size_t i = 0; i < app->conf->n_databases; i++) {
        struct app_watch *w = &app->watches[i];
        if (!w->active || same_channel(w))
            continue;
        unwatch(w);
        (void)watch(w);
    }
}

void app_watch_refresh(struct app *app)
{
    for (size_t i = 0; i < app->conf->n_databases; i++)
        app->watches[i].refresh = app->watches[i].active;
}

void app_watch_free(struct app *app)
{
    for (size_t i = 0; app->watches && i < app->conf->n_databases; i++) {
        struct app_watch *w = &app->watches[i];
        loop_timer_stop(&w->patience);
        unwatch(w);
        for (unsigned k = 0; k < app->n_workers; k++)
            free(w->refreshes[k].database);
        free(w->refreshes);
    }
    free(app->watches);
    app->watches = NULL;
}
