/* The admin port: /live, /ready, /metrics, /config, /listen, /schema_cache.
 *
 * live says that the loop turns, and never touches the database. ready says that requests can be
 * served (app_ready). Everything else is for this machine or for holders of admin-token.
 *
 * /metrics gathers what lives on other workers' threads by posting to each of them; the last to
 * answer posts the whole back. */
#include "api/admin.h"

#include <stdlib.h>

#include "api/routes.h"
#include "app.h"
#include "auth/auth.h"
#include "db/pool.h"
#include "http/server.h"
#include "listen/hubs.h"
#include "listen/streams.h"
#include "rest/catalogs.h"
#include "util/metrics.h"
#include "util/xalloc.h"

#define TEXT STR("text/plain; charset=utf-8")
#define JSON STR("application/json; charset=utf-8")
#define PROMETHEUS STR("text/plain; version=0.0.4; charset=utf-8")
#define REPLY_MAX ((size_t)64 * 1024 * 1024)

static void run_live(struct worker *w, struct http_req *r)
{
    (void)w;
    http_reply_static(r, 200, TEXT, STR("live\n"));
}

void admin_ready(struct worker *w, struct http_req *r)
{
    const char *reason = NULL;
    char events[1024];
    struct buf body;
    bool ready = app_ready(w, &reason);
    buf_init(&body, 4096);
    /* Without events the rest can still be served: said, but no reason to be taken out. */
    if (ready && !hubs_ready(w->app->hubs, events, sizeof events))
        buf_printf(&body, "ready, degraded: events: %s", events);
    else
        buf_adds(&body, ready ? STR("ready") : str_of(reason ? reason : "not ready"));
    buf_char(&body, '\n');
    if (!ready)
        http_set_header(r, STR("Retry-After"), STR("1"));
    http_reply(r, ready ? 200 : 503, TEXT, &body);
}

static void run_config(struct worker *w, struct http_req *r)
{
    struct buf body;
    buf_init(&body, REPLY_MAX);
    conf_print_dump(w->conf, &body);
    http_reply(r, 200, TEXT, &body);
}

static void run_listen(struct worker *w, struct http_req *r)
{
    struct buf body;
    buf_init(&body, REPLY_MAX);
    hubs_dump(w->app->hubs, &body);
    http_reply(r, 200, JSON, &body);
}

/* With 10,000 tables it is 15 MB, which take 50 ms to make: they are made as the client takes them.
 */
struct schema_cache {
    struct catalog *catalog; /* own reference */
    struct catalog_dump dump;
};

static enum http_pull on_dump_pull(void *arg, struct buf *out, size_t want)
{
    struct schema_cache *s = arg;
    return catalog_dump_more(&s->dump, out, want) ? HTTP_MORE : HTTP_END;
}

static void on_dump_closed(void *arg)
{
    struct schema_cache *s = arg;
    catalog_unref(s->catalog);
    free(s);
}

/* ?database=NAME: another than the configured one. */
static void run_schema_cache(struct worker *w, struct http_req *r)
{
    static const struct http_source source = {.pull = on_dump_pull, .closed = on_dump_closed};
    struct str name = STR(""), query = r->query, part;
    struct err err;
    while (str_next(&query, '&', &part))
        if (str_starts(part, STR("database=")))
            name = str_from(part, 9);
    const struct conf_database *database = conf_database(w->conf, name);
    if (!database) {
        err_set(&err, 404, "PGH404", "there is no such database");
        http_fail_json(r, &err);
        return;
    }
    struct catalog *c = rest_catalogs_need(w->app->catalogs, database, &err);
    if (!c) {
        http_fail_json(r, &err);
        return;
    }
    struct schema_cache *s = xmalloc(sizeof *s);
    *s = (struct schema_cache){.catalog = c, .dump = {.catalog = c}};
    http_stream(r, 200, JSON, &source, s);
}

/* --- metrics --- */

struct pool_row {
    unsigned worker;
    char *database, *user;
    struct db_pool_stats stats;
};

struct gather {
    struct app *app;
    struct http_req *req; /* NULL once its client left */
    unsigned pending;
    struct part {
        struct gather *all;
        struct worker *worker;
        struct pool_row *rows;
        size_t n, cap;
        uint64_t lag_us;
        struct streams_stats streams;
        struct auth_counts auth;
    } parts[];
};

static void gather_free(struct gather *g)
{
    for (unsigned i = 0; i < g->app->n_workers; i++) {
        for (size_t k = 0; k < g->parts[i].n; k++) {
            free(g->parts[i].rows[k].database);
            free(g->parts[i].rows[k].user);
        }
        free(g->parts[i].rows);
    }
    free(g);
}

static void add_row(void *arg, const char *database, const char *user,
                    const struct db_pool_stats *stats)
{
    struct part *p = arg;
    if (p->n == p->cap) {
        p->cap = p->cap ? p->cap * 2 : 8;
        p->rows = xrealloc(p->rows, p->cap * sizeof *p->rows);
    }
    p->rows[p->n++] = (struct pool_row){p->worker->number, xstrdup(database ? database : ""),
                                        xstrdup(user ? user : ""), *stats};
}

static void pool_family(struct gather *g, struct buf *out, const char *name, enum metrics_kind kind,
                        const char *help, size_t offset, bool wide)
{
    metrics_head(out, name, kind, help);
    for (unsigned i = 0; i < g->app->n_workers; i++) {
        for (size_t k = 0; k < g->parts[i].n; k++) {
            const struct pool_row *row = &g->parts[i].rows[k];
            const char *at = (const char *)&row->stats + offset;
            struct buf labels;
            buf_init(&labels, 4096);
            buf_printf(&labels, "worker=\"%u\",", row->worker);
            metrics_label(&labels, "database", str_of(row->database));
            buf_char(&labels, ',');
            metrics_label(&labels, "user", str_of(row->user));
            buf_char(&labels, '\0');
            metrics_u64(out, name, labels.p,
                        wide ? *(const uint64_t *)(const void *)at
                             : *(const unsigned *)(const void *)at);
            buf_fini(&labels);
        }
    }
}

/* Sum over the workers' pools of the configured database and login, the only one that PostgREST
 * has; its names, for dashboards that know them. */
static uint64_t pool_sum(const struct gather *g, size_t offset, bool wide)
{
    uint64_t total = 0;
    for (unsigned i = 0; i < g->app->n_workers; i++)
        for (size_t k = 0; k < g->parts[i].n; k++) {
            const struct pool_row *row = &g->parts[i].rows[k];
            const char *at = (const char *)&row->stats + offset;
            if (*row->database || *row->user)
                continue;
            total +=
                wide ? *(const uint64_t *)(const void *)at : *(const unsigned *)(const void *)at;
        }
    return total;
}

#define GAUGE(member, help)                                                                        \
    {                                                                                              \
        "pghttpd_db_pool_" #member, help, METRICS_GAUGE, offsetof(struct db_pool_stats, member),   \
            false                                                                                  \
    }
#define COUNTER(member, help)                                                                      \
    {                                                                                              \
        "pghttpd_db_pool_" #member "_total", help, METRICS_COUNTER,                                \
            offsetof(struct db_pool_stats, member), true                                           \
    }

static void write_pools(struct gather *g, struct buf *out)
{
    static const struct {
        const char *name, *help;
        enum metrics_kind kind;
        size_t offset;
        bool wide;
    } families[] = {
        GAUGE(size, "Open database connections"),
        GAUGE(max, "Most connections the pool may have"),
        GAUGE(idle, "Connections with nothing to do"),
        GAUGE(busy, "Connections with work under way"),
        GAUGE(connecting, "Connections being made"),
        GAUGE(waiting, "Jobs waiting for a connection"),
        COUNTER(jobs, "Jobs done"),
        COUNTER(timeouts, "Jobs that waited too long for a connection"),
        COUNTER(connects, "Connections made"),
        COUNTER(connect_failures, "Connections that could not be made"),
        COUNTER(resets, "Session resets sent"),
        COUNTER(resends, "Requests sent again, unseen by their clients"),
        COUNTER(cancels, "Cancel requests sent"),
        COUNTER(lookups, "Commits that were in doubt and were looked up"),
        COUNTER(lookups_unknown, "Commits looked up whose outcome stayed unknown"),
    };
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        pool_family(g, out, families[i].name, families[i].kind, families[i].help,
                    families[i].offset, families[i].wide);
    metrics_head(out, "pgrst_db_pool_timeouts_total", METRICS_COUNTER,
                 "As PostgREST: waits for a connection that ended in a timeout");
    metrics_u64(out, "pgrst_db_pool_timeouts_total", NULL,
                pool_sum(g, offsetof(struct db_pool_stats, timeouts), true));
    metrics_head(out, "pgrst_db_pool_available", METRICS_GAUGE,
                 "As PostgREST: connections that are free");
    metrics_u64(out, "pgrst_db_pool_available", NULL,
                pool_sum(g, offsetof(struct db_pool_stats, idle), false));
    metrics_head(out, "pgrst_db_pool_waiting", METRICS_GAUGE,
                 "As PostgREST: requests waiting for a connection");
    metrics_u64(out, "pgrst_db_pool_waiting", NULL,
                pool_sum(g, offsetof(struct db_pool_stats, waiting), false));
    metrics_head(out, "pgrst_db_pool_max", METRICS_GAUGE, "As PostgREST: size of the pool");
    metrics_u64(out, "pgrst_db_pool_max", NULL, g->app->conf->databases[0].db_pool);
}

static void write_catalogs(struct gather *g, struct buf *out)
{
    struct rest_catalogs_stats s = rest_catalogs_stats(g->app->catalogs);
    metrics_head(out, "pgrst_schema_cache_loads_total", METRICS_COUNTER,
                 "Loads of the catalog since the start");
    metrics_u64(out, "pgrst_schema_cache_loads_total", "status=\"SUCCESS\"", s.loads);
    metrics_u64(out, "pgrst_schema_cache_loads_total", "status=\"FAIL\"", s.failures);
    metrics_head(out, "pgrst_schema_cache_query_time_seconds", METRICS_GAUGE,
                 "Time the last load of the catalog took");
    metrics_double(out, "pgrst_schema_cache_query_time_seconds", NULL, s.query_seconds);
}

/* PostgREST's names. */
static void write_auth(struct gather *g, struct buf *out)
{
    struct auth_counts all = {0};
    for (unsigned i = 0; i < g->app->n_workers; i++) {
        all.requests += g->parts[i].auth.requests;
        all.hits += g->parts[i].auth.hits;
        all.evictions += g->parts[i].auth.evictions;
    }
    metrics_head(out, "pgrst_jwt_cache_requests_total", METRICS_COUNTER,
                 "Tokens looked up in the cache of verified tokens");
    metrics_u64(out, "pgrst_jwt_cache_requests_total", NULL, all.requests);
    metrics_head(out, "pgrst_jwt_cache_hits_total", METRICS_COUNTER, "Tokens found there");
    metrics_u64(out, "pgrst_jwt_cache_hits_total", NULL, all.hits);
    metrics_head(out, "pgrst_jwt_cache_evictions_total", METRICS_COUNTER,
                 "Tokens that made room for others");
    metrics_u64(out, "pgrst_jwt_cache_evictions_total", NULL, all.evictions);
}

static void write_lag(struct gather *g, struct buf *out)
{
    metrics_head(out, "pghttpd_loop_lag_seconds", METRICS_GAUGE,
                 "Longest turn of the worker's loop in the last 30 to 60 seconds: so long a "
                 "request may have waited for others");
    for (unsigned i = 0; i < g->app->n_workers; i++) {
        struct buf labels;
        buf_init(&labels, 64);
        buf_printf(&labels, "worker=\"%u\"", i);
        buf_char(&labels, '\0');
        metrics_double(out, "pghttpd_loop_lag_seconds", labels.p, (double)g->parts[i].lag_us / 1e6);
        buf_fini(&labels);
    }
}

static void write_streams(struct gather *g, struct buf *out)
{
    struct streams_stats all = {0};
    for (unsigned i = 0; i < g->app->n_workers; i++) {
        const struct streams_stats *s = &g->parts[i].streams;
        all.open += s->open;
        all.opened += s->opened;
        all.expired += s->expired;
        all.revoked += s->revoked;
        all.sent_bytes += s->sent_bytes;
        all.blocked += s->blocked;
    }
    metrics_head(out, "pghttpd_streams", METRICS_GAUGE, "Open event streams");
    metrics_u64(out, "pghttpd_streams", NULL, all.open);
    metrics_head(out, "pghttpd_streams_opened_total", METRICS_COUNTER, "Event streams begun");
    metrics_u64(out, "pghttpd_streams_opened_total", NULL, all.opened);
    metrics_head(out, "pghttpd_streams_expired_total", METRICS_COUNTER,
                 "Event streams ended with their token");
    metrics_u64(out, "pghttpd_streams_expired_total", NULL, all.expired);
    metrics_head(out, "pghttpd_streams_revoked_total", METRICS_COUNTER,
                 "Event streams ended by a reload: token or channels not allowed any more");
    metrics_u64(out, "pghttpd_streams_revoked_total", NULL, all.revoked);
    metrics_head(out, "pghttpd_streams_sent_bytes_total", METRICS_COUNTER,
                 "Bytes written to event streams");
    metrics_u64(out, "pghttpd_streams_sent_bytes_total", NULL, all.sent_bytes);
    metrics_head(out, "pghttpd_streams_blocked_total", METRICS_COUNTER,
                 "Times a stream's socket took no more");
    metrics_u64(out, "pghttpd_streams_blocked_total", NULL, all.blocked);
}

static void write_http(struct gather *g, struct buf *out)
{
    struct http_server **servers = xcalloc(g->app->n_workers, sizeof(struct http_server *));
    size_t n = 0;
    for (unsigned i = 0; i < g->app->n_workers; i++)
        if (g->app->workers[i].http)
            servers[n++] = g->app->workers[i].http;
    http_servers_metrics(servers, n, out);
    metrics_head(out, "pghttpd_http_response_memory_bytes", METRICS_GAUGE,
                 "Answers read ahead of slow clients, as response-memory-max counts them");
    metrics_u64(out, "pghttpd_http_response_memory_bytes", NULL, atomic_load(&g->app->ahead_bytes));
    free(servers);
}

static void gather_reply(struct gather *g)
{
    struct buf body;
    buf_init(&body, REPLY_MAX);
    metrics_head(&body, "pghttpd_build_info", METRICS_GAUGE, "Always 1; the version is a label");
    metrics_u64(&body, "pghttpd_build_info", "version=\"" PGHTTPD_VERSION "\"", 1);
    write_http(g, &body);
    write_pools(g, &body);
    write_catalogs(g, &body);
    write_auth(g, &body);
    hubs_metrics(g->app->hubs, &body);
    write_streams(g, &body);
    write_lag(g, &body);
    admin_write_process(&body);
    http_on_gone(g->req, NULL, NULL);
    http_reply(g->req, 200, PROMETHEUS, &body);
}

/* Worker 0's thread. */
static void on_part(void *arg)
{
    struct part *p = arg;
    struct gather *g = p->all;
    if (--g->pending > 0)
        return;
    if (g->req)
        gather_reply(g);
    gather_free(g);
}

/* The part's own thread. */
static void on_gather(void *arg)
{
    struct part *p = arg;
    db_pools_each(p->worker->pools, add_row, p);
    p->lag_us = loop_lag_us(p->worker->loop);
    streams_stats(p->worker->streams, &p->streams);
    p->auth = auth_worker_counts(p->worker->auth);
    loop_post(p->all->app->workers[0].loop, on_part, p);
}

static void on_gather_gone(void *arg)
{
    struct gather *g = arg;
    g->req = NULL;
}

void admin_metrics(struct worker *w, struct http_req *r)
{
    struct app *app = w->app;
    struct gather *g = xcalloc(1, sizeof *g + app->n_workers * sizeof g->parts[0]);
    g->app = app;
    g->req = r;
    g->pending = app->n_workers;
    http_on_gone(r, on_gather_gone, g);
    for (unsigned i = 0; i < app->n_workers; i++) {
        g->parts[i] = (struct part){.all = g, .worker = &app->workers[i]};
        loop_post(app->workers[i].loop, on_gather, &g->parts[i]);
    }
}

const struct route live_route = {.name = "live",
                                 .methods = "GET",
                                 .path = "/live",
                                 .run = run_live,
                                 .flags = ROUTE_ADMIN | ROUTE_NO_BODY | ROUTE_HEAD_LENGTH};
const struct route ready_route = {.name = "ready",
                                  .methods = "GET",
                                  .path = "/ready",
                                  .run = admin_ready,
                                  .flags = ROUTE_ADMIN | ROUTE_NO_BODY | ROUTE_HEAD_LENGTH};
const struct route metrics_route = {.name = "metrics",
                                    .methods = "GET",
                                    .path = "/metrics",
                                    .run = admin_metrics,
                                    .flags = ROUTE_ADMIN | ROUTE_LOCAL | ROUTE_NO_BODY |
                                             ROUTE_HEAD_LENGTH};
const struct route config_route = {.name = "config",
                                   .methods = "GET",
                                   .path = "/config",
                                   .run = run_config,
                                   .flags = ROUTE_ADMIN | ROUTE_LOCAL | ROUTE_NO_BODY |
                                            ROUTE_HEAD_LENGTH};
const struct route listen_state_route = {.name = "listen_state",
                                         .methods = "GET",
                                         .path = "/listen",
                                         .run = run_listen,
                                         .flags = ROUTE_ADMIN | ROUTE_LOCAL | ROUTE_NO_BODY |
                                                  ROUTE_HEAD_LENGTH};
const struct route schema_cache_route = {.name = "schema_cache",
                                         .methods = "GET",
                                         .path = "/schema_cache",
                                         .flags = ROUTE_ADMIN | ROUTE_LOCAL | ROUTE_NO_BODY,
                                         .run = run_schema_cache};
