/* app: what the whole process shares, and what one worker owns.
 *
 * struct app is immutable after start but for the snapshots in it, which are swapped whole by
 * reference count, and the flags, which are atomic. struct worker is one thread: its loop, its HTTP
 * servers, its pools, its streams; nothing in it is touched by another thread, who must loop_post
 * to it. app.c knows the order of starting and stopping, main.c the command line and the signals.
 *
 * Life of a worker: worker_start -> runs on its thread -> app_stop posts worker_quiesce to it: no
 * more accepts, streams end, what runs finishes, pools close -> its loop stops -> app_free frees it
 * on the main thread. */
#ifndef PGH_APP_H
#define PGH_APP_H

#include <pthread.h>
#include <stdatomic.h>

#include "conf/conf.h"
#include "util/buf.h"
#include "util/loop.h"

struct app_config;
struct app_watch;
struct auth;
struct auth_worker;
struct db_budget;
struct db_pools;
struct http_server;
struct hubs;
struct openapi_cache;
struct rest_catalogs;
struct streams;

struct worker {
    struct app *app;
    unsigned
        number; /* 0 is the main thread: it also runs the LISTEN connections and loads catalogs */
    struct loop *loop;
    struct conf *conf; /* the worker's own reference; swapped between turns by a reload */
    struct auth_worker *auth;
    struct http_server *http, *admin; /* admin: worker 0 alone */
    struct db_pools *pools;
    struct streams *streams;
    struct openapi_cache *openapi; /* made when first asked for */
    struct buf scratch;            /* for a text that is copied in the same callback */
    pthread_t thread;
    bool config_read; /* conf holds what the database says, too */
    bool threaded, quiesced, streams_ended, drained;
    bool cut;   /* what ran in the database was cancelled */
    bool quiet; /* nothing ran there any more at the last tick */
    struct loop_timer drain_timer;
};

enum app_phase { APP_STARTING, APP_RUNNING, APP_DRAINING, APP_CUTTING, APP_STOPPING };

struct app {
    struct conf_sources sources;
    struct conf *conf; /* main thread's reference */
    struct db_budget *budget;
    struct auth *auth;         /* main thread's reference */
    struct app_config *config; /* reads the settings again, those in the database too */
    bool failed;      /* it ended because the database is away and may not come back by itself */
    bool config_read; /* once, with the database's */
    struct hubs *hubs;
    struct rest_catalogs *catalogs;
    struct worker *workers;
    unsigned n_workers;
    int *listen_fds; /* one per worker; -1: none, as admin_fd */
    int admin_fd;
    atomic_uint streams_total; /* event streams of all workers */
    atomic_size_t body_bytes;  /* of requests of all workers */
    atomic_size_t ahead_bytes; /* of answers that are read ahead of their clients, all workers' */
    unsigned port, admin_port;
    _Atomic enum app_phase phase;
    struct app_watch *watches; /* one for each database */
    unsigned workers_done;
    struct loop_timer delay_timer, deadline_timer, away_timer;
    uint64_t started_us;
};

/* Makes everything and opens the listening sockets; err says what stood in the way. */
MUSTCHECK struct app *app_new(const struct conf_sources *, struct conf *, struct err *);
void app_run(struct app *);  /* until app_stop has come to its end */
void app_stop(struct app *); /* main thread: graceful; the second call cuts what runs short */
void app_read_config(struct app *); /* at the start, as soon as the database answers */
void app_reload_config(struct app *);
void app_reload_catalogs(struct app *); /* and the sessions of the pools */
void app_free(struct app *);

/* For /ready: true when requests can be served; else reason says why not. Any worker. */
bool app_ready(struct worker *, const char **reason);

#endif
