/* app: starting and stopping, in order. See app.h for the life of a worker.
 *
 * Stopping: the phase turns to DRAINING (/ready says 503), after shutdown-delay every worker is
 * told to quiesce; each looks every DRAIN_TICK_US whether its requests and streams have ended, then
 * closes its pools, stops its loop and reports to worker 0, whose loop is the last to stop.
 *
 * At shutdown-timeout, or at a second signal, what still runs in PostgreSQL is cancelled (phase
 * CUTTING), so that nothing goes on holding locks for nobody; the workers stop as above as soon as
 * that came back. What did not in CUT_US is given up: whoever waits for it hears that its outcome
 * is unknown, and ANSWER_US later the loops are stopped, whatever they do. */
#include "app.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "api/openapi_cache.h"
#include "api/routes.h"
#include "app_config.h"
#include "app_watch.h"
#include "auth/auth.h"
#include "db/pool.h"
#include "http/server.h"
#include "listen/hubs.h"
#include "listen/streams.h"
#include "rest/catalogs.h"
#include "util/log.h"
#include "util/notify.h"
#include "util/xalloc.h"

#define DRAIN_TICK_US 5000
#define AWAY_TICK_US 500000
/* A cancel takes a connection of its own to PostgreSQL: a millisecond or two nearby, a few round
 * trips elsewhere. Together with ANSWER_US half a second, which whoever stops us may rely on. */
#define CUT_US 400000
#define ANSWER_US 100000

static void worker_free(struct worker *w)
{
    http_server_free(w->http);
    http_server_free(w->admin);
    streams_free(w->streams);
    db_pools_free(w->pools);
    auth_worker_free(w->auth);
    openapi_cache_free(w->openapi);
    buf_fini(&w->scratch);
    loop_timer_stop(&w->drain_timer);
    conf_unref(w->conf);
}

static bool worker_init(struct worker *w, struct app *app, unsigned number, struct err *err)
{
    *w = (struct worker){.app = app, .number = number, .conf = conf_ref(app->conf)};
    w->loop = loop_new(err);
    if (!w->loop)
        return false;
    struct streams_spec streams = {.loop = w->loop,
                                   .heartbeat_us = app->conf->listen_heartbeat_us,
                                   .total = &app->streams_total};
    w->streams = streams_new(&streams, err);
    if (!w->streams)
        return false;
    w->auth = auth_worker_new(app->auth);
    w->pools = db_pools_new(w->loop, app->conf, app->budget);
    return true;
}

static bool worker_listen(struct worker *w, struct err *err)
{
    struct http_server_spec spec = {.loop = w->loop,
                                    .worker = w,
                                    .conf = w->conf,
                                    .routes = api_routes,
                                    .body_bytes = &w->app->body_bytes,
                                    .listen_fd = w->app->listen_fds[w->number]};
    w->http = http_server_new(&spec, err);
    if (!w->http)
        return false;
    if (w->number > 0 || w->app->admin_fd < 0)
        return true;
    spec.routes = api_admin_routes;
    spec.listen_fd = w->app->admin_fd;
    spec.admin = true;
    w->admin = http_server_new(&spec, err);
    return w->admin != NULL;
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    loop_run(w->loop);
    return NULL;
}

/* ---- starting ---- */

/* One socket per worker; a unix socket is one that all of them accept from. */
static bool open_api_sockets(struct app *app, struct err *err)
{
    const struct conf *c = app->conf;
    if (!c->server_unix_socket)
        return http_listen_workers(
            &(struct http_address){c->server_host, c->server_port, c->server_reuseport}, c->workers,
            app->listen_fds, &app->port, err);
    app->listen_fds[0] = http_listen_unix(c->server_unix_socket, c->server_unix_socket_mode, err);
    for (unsigned i = 1; i < c->workers && app->listen_fds[0] >= 0; i++)
        app->listen_fds[i] = fcntl(app->listen_fds[0], F_DUPFD_CLOEXEC, 0);
    return app->listen_fds[0] >= 0;
}

static bool open_sockets(struct app *app, struct err *err)
{
    const struct conf *c = app->conf;
    if (!open_api_sockets(app, err))
        return false;
    if (c->admin_server_unix_socket)
        app->admin_fd =
            http_listen_unix(c->admin_server_unix_socket, c->admin_server_unix_socket_mode, err);
    else if (c->admin_server_port != CONF_PORT_OFF)
        app->admin_fd = http_listen_tcp(c->admin_server_host, c->admin_server_port, false,
                                        &app->admin_port, err);
    else
        return true;
    return app->admin_fd >= 0;
}

/* Every connection and stream needs a descriptor: say at the start what will not fit. */
static void raise_descriptors(const struct conf *c)
{
    uint64_t got, wanted = (uint64_t)c->server_connections_max + c->server_streams_max +
                           c->db_connections_max + 64;
    if (!http_raise_nofile(wanted, &got))
        log_warn(
            "only %lu file descriptors may be open, but server-connections-max, server-streams-max "
            "and db-connections-max could need %lu: raise the limit (ulimit -n, LimitNOFILE=)",
            (unsigned long)got, (unsigned long)wanted);
}

static bool make_workers(struct app *app, struct err *err)
{
    unsigned n = app->conf->workers;
    struct loop **loops = xcalloc(n, sizeof(struct loop *));
    bool done = true;
    while (done && app->n_workers < n) {
        struct worker *w = &app->workers[app->n_workers];
        done = worker_init(w, app, app->n_workers, err);
        loops[app->n_workers++] = w->loop; /* a half-made one is freed with the others */
    }
    if (done) {
        struct hubs_spec hubs = {
            .loops = loops, .workers = n, .pools = app->workers[0].pools, .conf = app->conf};
        app->hubs = hubs_new(&hubs, err);
        done = app->hubs != NULL;
        app->config = app_config_new(app->workers[0].loop, app->workers[0].pools, &app->sources);
        app->watches = app_watch_new(app);
    }
    free(loops);
    for (unsigned i = 0; i < n && done; i++)
        done = worker_listen(&app->workers[i], err);
    return done;
}

struct app *app_new(const struct conf_sources *sources, struct conf *conf, struct err *err)
{
    struct app *app = xcalloc(1, sizeof *app);
    app->sources = *sources;
    app->conf = conf_ref(conf);
    app->admin_fd = -1;
    app->workers = xcalloc(conf->workers, sizeof *app->workers);
    app->listen_fds = xcalloc(conf->workers, sizeof *app->listen_fds);
    for (unsigned i = 0; i < conf->workers; i++)
        app->listen_fds[i] = -1;
    log_set_level(conf->log_level);
    log_set_format(conf->log_format);
    raise_descriptors(conf);
    app->budget = db_budget_new(conf->db_connections_max);
    app->catalogs = rest_catalogs_new(conf);
    app->auth = auth_new(conf, err);
    if (app->auth && open_sockets(app, err) && make_workers(app, err))
        return app;
    app_free(app);
    return NULL;
}

static bool start_threads(struct app *app)
{
    for (unsigned i = 1; i < app->n_workers; i++) {
        struct worker *w = &app->workers[i];
        w->threaded = pthread_create(&w->thread, NULL, worker_main, w) == 0;
        if (!w->threaded) {
            log_crit("cannot start worker %u of %u: no more threads", i, app->n_workers);
            return false;
        }
    }
    return true;
}

static void say_address(const char *what, const char *host, unsigned port)
{
    bool colon = strchr(host, ':') != NULL;
    log_always("%s on http://%s%s%s:%u", what, colon ? "[" : "", host, colon ? "]" : "", port);
}

static void say_where(const struct app *app)
{
    const struct conf *c = app->conf;
    if (c->server_unix_socket)
        log_always("listening on unix socket %s", c->server_unix_socket);
    else
        say_address("listening", c->server_host, app->port);
    if (c->admin_server_unix_socket)
        log_always("admin server on unix socket %s", c->admin_server_unix_socket);
    else if (app->admin_fd >= 0)
        say_address("admin server", c->admin_server_host, app->admin_port);
}

/* db-pool-automatic-recovery = false: whoever runs the program wants to start it anew. */
static void on_away_tick(void *arg)
{
    struct app *app = arg;
    const char *why = NULL;
    struct worker *w = &app->workers[0];
    if (!app->conf->db_pool_automatic_recovery &&
        !db_pool_up(db_pools_own(w->pools, &app->conf->databases[0]), &why) && why) {
        log_crit("the database is away and db-pool-automatic-recovery is off: %s", why);
        app->failed = true;
        app_stop(app);
        return;
    }
    loop_timer_set(&app->away_timer, AWAY_TICK_US);
}

void app_run(struct app *app)
{
    if (!start_threads(app))
        return;
    atomic_store(&app->phase, APP_RUNNING);
    say_where(app);
    notify_manager("READY=1");
    app_read_config(app);
    app_watch_start(app);
    loop_timer_init(&app->away_timer, app->workers[0].loop, on_away_tick, app);
    if (!app->conf->db_pool_automatic_recovery)
        loop_timer_set(&app->away_timer, AWAY_TICK_US);
    loop_run(app->workers[0].loop);
}

/* ---- stopping ---- */

static void on_worker_done(void *arg)
{
    struct app *app = arg;
    if (++app->workers_done == app->n_workers)
        loop_stop(app->workers[0].loop);
}

static void on_drained(void *arg)
{
    struct worker *w = arg;
    w->drained = true;
    loop_post(w->app->workers[0].loop, on_worker_done, w->app);
    if (w->number > 0)
        loop_stop(w->loop);
}

/* Once cut, who is slow to send or to read is not waited for: the answers to what was cancelled
 * have a tick to leave. */
static bool is_drained(struct worker *w)
{
    if (w->streams_ended && http_server_connections(w->http) == 0)
        return true;
    bool quiet = w->quiet;
    w->quiet = w->cut && !db_pools_busy(w->pools);
    return quiet && w->quiet;
}

/* Every tick until no request runs: then the pools close, and on_drained follows. */
static void on_drain_tick(void *arg)
{
    struct worker *w = arg;
    if (is_drained(w))
        db_pools_drain(w->pools, on_drained, w);
    else
        loop_timer_set(&w->drain_timer, DRAIN_TICK_US);
}

static void on_streams_ended(void *arg)
{
    struct worker *w = arg;
    w->streams_ended = true;
}

static void worker_quiesce(void *arg)
{
    struct worker *w = arg;
    if (w->quiesced)
        return;
    w->quiesced = true;
    http_server_quiesce(w->http);
    if (w->number == 0) {
        app_config_free(w->app->config);
        w->app->config = NULL;
        app_watch_stop(w->app);
        hubs_stop(w->app->hubs);
        rest_catalogs_stop(w->app->catalogs);
    }
    streams_drain(w->streams, on_streams_ended, w);
    loop_timer_init(&w->drain_timer, w->loop, on_drain_tick, w);
    loop_timer_set(&w->drain_timer, 0);
}

static void worker_cut(void *arg)
{
    struct worker *w = arg;
    worker_quiesce(w);
    db_pools_cut(w->pools);
    w->cut = true;
}

static void worker_give_up(void *arg)
{
    struct worker *w = arg;
    db_pools_give_up(w->pools);
}

static void worker_stop(void *arg)
{
    struct worker *w = arg;
    loop_stop(w->loop);
}

static void post_all(struct app *app, void (*fn)(void *worker))
{
    for (unsigned i = 0; i < app->n_workers; i++)
        loop_post(app->workers[i].loop, fn, &app->workers[i]);
}

static void cut(struct app *app, const char *why)
{
    if (atomic_load(&app->phase) > APP_DRAINING)
        return;
    atomic_store(&app->phase, APP_CUTTING);
    log_warn("stopping at once: %s", why);
    post_all(app, worker_cut);
    loop_timer_set(&app->deadline_timer, CUT_US);
}

static void on_deadline(void *arg)
{
    struct app *app = arg;
    enum app_phase phase = atomic_load(&app->phase);
    if (phase == APP_DRAINING) {
        cut(app, "shutdown-timeout is over and requests are still running");
    } else if (phase == APP_CUTTING) {
        atomic_store(&app->phase, APP_STOPPING);
        post_all(app, worker_give_up);
        loop_timer_set(&app->deadline_timer, ANSWER_US);
    } else {
        post_all(app, worker_stop);
    }
}

static void on_delay_over(void *arg)
{
    post_all(arg, worker_quiesce);
}

void app_stop(struct app *app)
{
    struct loop *loop = app->workers[0].loop;
    if (atomic_load(&app->phase) >= APP_DRAINING) {
        cut(app, "a second signal came");
        return;
    }
    atomic_store(&app->phase, APP_DRAINING);
    loop_timer_stop(&app->away_timer);
    log_info("stopping: requests in flight may finish");
    notify_manager("STOPPING=1");
    loop_timer_init(&app->delay_timer, loop, on_delay_over, app);
    loop_timer_init(&app->deadline_timer, loop, on_deadline, app);
    loop_timer_set(&app->delay_timer, app->conf->shutdown_delay_us);
    loop_timer_set(&app->deadline_timer,
                   app->conf->shutdown_delay_us + app->conf->shutdown_timeout_us);
}

static void close_sockets(struct app *app)
{
    const struct conf *c = app->conf;
    bool was_open = app->listen_fds[0] >= 0;
    for (unsigned i = 0; i < c->workers; i++)
        if (app->listen_fds[i] >= 0)
            close(app->listen_fds[i]);
    if (c->server_unix_socket && was_open)
        unlink(c->server_unix_socket);
    if (app->admin_fd < 0)
        return;
    close(app->admin_fd);
    if (c->admin_server_unix_socket)
        unlink(c->admin_server_unix_socket);
}

void app_free(struct app *app)
{
    if (!app)
        return;
    for (unsigned i = 1; i < app->n_workers; i++)
        if (app->workers[i].threaded)
            pthread_join(app->workers[i].thread, NULL);
    app_config_free(app->config);
    loop_timer_stop(&app->away_timer);
    loop_timer_stop(&app->delay_timer);
    loop_timer_stop(&app->deadline_timer);
    for (unsigned i = 0; i < app->n_workers; i++)
        worker_free(&app->workers[i]);
    app_watch_free(app);
    hubs_free(app->hubs);
    rest_catalogs_free(app->catalogs);
    for (unsigned i = 0; i < app->n_workers; i++)
        loop_free(app->workers[i].loop);
    close_sockets(app);
    auth_unref(app->auth);
    db_budget_free(app->budget);
    free(app->listen_fds);
    free(app->workers);
    conf_unref(app->conf);
    free(app);
}
