#include "listen/feed.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "db/listener.h"
#include "util/log.h"
#include "util/xalloc.h"

#define BATCH 256 /* LISTENs in one round trip; each is a search in the backend's list */
#define TICK_US 1000000u
#define LINGER_US 10000000u /* a page that is reloaded finds its history again */
#define TEST_TICKS 2        /* a NOTIFY comes back within two to three seconds, or not at all */
#define TEST_AGAIN_TICKS 10 /* a test that could not be made is repeated */
#define TEST_TIMEOUT_US 2000000u

/* Readers get their turn after so many notifications, so that whoever reads loses nothing to a
 * burst; but never later than PAUSE_US, for an unread LISTEN connection pins the cluster's queue.
 * Each time the readers were not done in that time the next portion is twice as large. */
#define AHEAD 256
#define AHEAD_MAX (1u << 20)
#define PAUSE_US 200000u

/* The self-test. LISTEN and UNLISTEN of its channel travel like the wishes of readers. */
enum feed_test {
    TEST_NONE,
    TEST_WANTED,  /* LISTEN is to be sent */
    TEST_LISTEN,  /* ... and was */
    TEST_WAITING, /* for the NOTIFY sent through the pool */
    TEST_ENDING,  /* UNLISTEN is to be sent */
    TEST_UNLISTEN,
    TEST_DONE,
};

struct feed {
    struct loop *loop;
    struct db_pools *pools;
    struct conf *conf; /* a reference */
    char *database, *uri;
    char *shown; /* the database, in the log */
    uint64_t connect_timeout_us;
    struct hub *hub;
    struct db_listener *listener;
    struct loop_timer tick;
    atomic_bool poked;
    struct hub_wish wish[BATCH];
    size_t n_wishes, next_single; /* next_single < n_wishes: a batch failed and goes one by one */
    bool singly, stopped, went_away;
    unsigned idle_ticks;
    unsigned ahead, ahead_max; /* notifications since the readers' last turn */

    enum feed_test test;
    bool test_deaf, test_unknown;
    unsigned test_ticks;
    char test_channel[40];
    struct db_job *test_job;
    struct db_stmt test_stmt;
    const char *test_values[2];

    pthread_mutex_t lock; /* of what feed_health shows to other threads */
    enum feed_health health;
    char reason[1024];
};

static void next(struct feed *);

/* ---- health ---- */

static void set_health(struct feed *f, enum feed_health health, const char *reason)
{
    pthread_mutex_lock(&f->lock);
    f->health = health;
    snprintf(f->reason, sizeof f->reason, "%s", reason);
    pthread_mutex_unlock(&f->lock);
}

enum feed_health feed_health(struct feed *f, char *reason, size_t reason_size)
{
    pthread_mutex_lock(&f->lock);
    enum feed_health health = f->health;
    snprintf(reason, reason_size, "%s", f->reason);
    pthread_mutex_unlock(&f->lock);
    return health;
}

/* ---- the self-test ---- */

static const char deaf_reason[] =
    "LISTEN was accepted but a NOTIFY did not arrive: listen-uri must not go through a pooler in "
    "transaction mode";

static void test_name(struct feed *f)
{
    uint64_t r[2] = {0};
    if (getrandom(r, sizeof r, 0) != sizeof r)
        log_warn("no random bytes for the name of the LISTEN self-test");
    snprintf(f->test_channel, sizeof f->test_channel, "pghttpd_%016llx%08x",
             (unsigned long long)r[0], (unsigned)r[1]);
}

static void test_result(struct feed *f, bool heard)
{
    if (f->test_job)
        db_cancel(f->test_job);
    f->test_job = NULL;
    if (!heard && !f->test_deaf)
        log_error("%s: %s", f->shown, deaf_reason);
    f->test_deaf = !heard;
    f->test_unknown = false;
    set_health(f, heard ? FEED_UP : FEED_DEAF, heard ? "" : deaf_reason);
    f->test_ticks = 0;
    f->test = TEST_ENDING;
    next(f);
}

static bool on_test_result(void *arg, size_t i, const struct db_result *r)
{
    (void)arg, (void)i, (void)r;
    return true;
}

static void on_test_done(void *arg, const struct db_outcome *o)
{
    struct feed *f = arg;
    f->test_job = NULL;
    if (o->end == DB_DONE || f->test != TEST_WAITING)
        return;
    log_info("%s: the LISTEN self-test could not be made: %s", f->shown,
             o->error.message ? o->error.message : "no connection");
    f->test_ticks = 0;
    f->test_unknown = true; /* again in a while */
    f->test = TEST_ENDING;
    next(f);
}

static void test_notify(struct feed *f)
{
    static const struct db_ops ops = {.on_result = on_test_result, .on_done = on_test_done};
    static const char sql[] = "SELECT pg_catalog.pg_notify($1, $2)";
    const struct conf_database *d = conf_database(f->conf, str_of(f->database));
    f->test = TEST_WAITING;
    f->test_ticks = 0;
    if (!d)
        return;
    f->test_values[0] = f->test_channel;
    f->test_values[1] = "";
    f->test_stmt = (struct db_stmt){
        .sql = sql, .sql_len = sizeof sql - 1, .nparams = 2, .values = f->test_values};
    struct db_job_spec spec = {.stmts = &f->test_stmt,
                               .n = 1,
                               .travel = DB_SHARED,
                               .can_write = true,
                               .timeout_us = TEST_TIMEOUT_US};
    f->test_job = db_submit(db_pools_own(f->pools, d), &spec, &ops, f);
}

static void test_tick(struct feed *f)
{
    f->test_ticks++;
    if (f->test == TEST_WAITING && f->test_ticks > TEST_TICKS)
        test_result(f, false);
    else if (f->test == TEST_DONE && (f->test_deaf || f->test_unknown) &&
             f->test_ticks >= TEST_AGAIN_TICKS)
        f->test = TEST_WANTED; /* perhaps the pooler was set right */
    next(f);
}

static void test_reset(struct feed *f)
{
    if (f->test_job)
        db_cancel(f->test_job);
    f->test_job = NULL;
    f->test = TEST_NONE;
}

/* ---- batches ---- */

static void send_wishes(struct feed *f, size_t from, size_t n)
{
    struct db_listen items[BATCH];
    for (size_t i = 0; i < n; i++)
        items[i] = (struct db_listen){f->wish[from + i].name, f->wish[from + i].listen};
    db_listener_send(f->listener, items, n);
}

static void send_test(struct feed *f)
{
    bool listen = f->test == TEST_WANTED;
    if (listen)
        test_name(f);
    f->test = listen ? TEST_LISTEN : TEST_UNLISTEN;
    db_listener_send(f->listener, &(struct db_listen){str_of(f->test_channel), listen}, 1);
}

static void stand(struct feed *f)
{
    hub_up(f->hub);
    set_health(f, FEED_UP, "");
    if (f->went_away)
        log_info("%s: LISTEN stands again", f->shown);
    f->went_away = false;
    f->test = TEST_WANTED;
}

/* The next thing to say, when nothing is under way. */
static void next(struct feed *f)
{
    if (!f->listener || !db_listener_idle(f->listener))
        return;
    if (f->singly) {
        send_wishes(f, f->next_single, 1);
        return;
    }
    f->n_wishes = hub_wishes(f->hub, f->wish, BATCH);
    if (f->n_wishes > 0) {
        send_wishes(f, 0, f->n_wishes);
        return;
    }
    if (!hub_is_up(f->hub))
        stand(f);
    if (f->test == TEST_WANTED || f->test == TEST_ENDING)
        send_test(f);
}

/* What PostgreSQL says about a name stays so; anything else is the connection's trouble. */
static bool is_refusal(const struct db_error *why)
{
    return why->code && (strncmp(why->code, "22", 2) == 0 || strncmp(why->code, "42", 2) == 0);
}

static void wishes_done(struct feed *f, const struct db_error *why)
{
    if (why && !is_refusal(why)) {
        db_listener_reconnect(f->listener, why);
        return;
    }
    if (why && !f->singly && f->n_wishes > 1) {
        f->singly = true;
        f->next_single = 0;
        return;
    }
    struct err refused;
    if (why)
        err_set(&refused, 400, why->code, "%s", why->message ? why->message : "refused");
    size_t from = f->singly ? f->next_single : 0, to = f->singly ? from + 1 : f->n_wishes;
    for (size_t i = from; i < to; i++)
        hub_wish_done(f->hub, f->wish[i].channel, why ? &refused : NULL);
    f->next_single = to;
    if (to == f->n_wishes) {
        f->singly = false;
        f->n_wishes = 0;
    }
}

static void on_done(void *arg, const struct db_error *why)
{
    struct feed *f = arg;
    if (f->n_wishes > 0) {
        wishes_done(f, why);
    } else if (f->test == TEST_LISTEN) {
        test_notify(f);
    } else if (f->test == TEST_UNLISTEN) {
        f->test = TEST_DONE;
        f->test_ticks = 0;
    }
    next(f);
}

/* ---- the connection ---- */

static void on_up(void *arg)
{
    next(arg);
}

static void on_down(void *arg, const struct db_error *why)
{
    struct feed *f = arg;
    const char *message = why && why->message ? why->message : "connection lost";
    test_reset(f);
    f->n_wishes = 0;
    f->singly = false;
    hub_lost(f->hub);
    set_health(f, FEED_AWAY, message);
    enum log_level level = f->went_away ? LOG_DEBUG : LOG_WARN; /* the first attempt tells */
    log_line(level, "%s: LISTEN is interrupted, next attempt in %.1f s: %s", f->shown,
             db_listener_wait(f->listener), message);
    f->went_away = true;
}

static void let_readers_go_first(struct feed *f)
{
    if (!hub_busy(f->hub)) {
        f->ahead = 0;
        f->ahead_max = AHEAD;
        return;
    }
    f->ahead = 0;
    f->ahead_max = f->ahead_max < AHEAD_MAX ? f->ahead_max * 2 : AHEAD_MAX;
    db_listener_pause(f->listener, PAUSE_US);
}

static void quiet(void *arg)
{
    struct feed *f = arg;
    f->ahead = 0;
    f->ahead_max = AHEAD;
    if (!f->stopped && f->listener)
        db_listener_resume(f->listener);
}

/* Any thread, under the hub's lock. */
static void on_quiet(void *arg)
{
    struct feed *f = arg;
    loop_post(f->loop, quiet, f);
}

static void on_notify(void *arg, struct str channel, struct str payload, int pid)
{
    struct feed *f = arg;
    if (f->test == TEST_WAITING && str_eq(channel, str_of(f->test_channel)))
        test_result(f, true);
    else
        hub_publish(f->hub, channel, payload, pid);
    if (++f->ahead >= f->ahead_max)
        let_readers_go_first(f);
}

/* Nothing is left then but what was counted: no connection, no thread, no history. */
static void rest_when_idle(struct feed *f)
{
    uint64_t most_us = f->conf->db_pool_max_idletime_us;
    f->idle_ticks = hub_wanted(f->hub) ? 0 : f->idle_ticks + 1;
    bool quiet = f->test == TEST_DONE || f->test == TEST_NONE;
    if (!most_us || f->idle_ticks * (uint64_t)TICK_US < most_us || !quiet || !hub_rest(f->hub))
        return;
    db_listener_free(f->listener);
    f->listener = NULL;
    set_health(f, FEED_IDLE, "");
    f->test = TEST_NONE;
    f->idle_ticks = 0;
    f->went_away = false;
}

static void on_tick(void *arg)
{
    struct feed *f = arg;
    hub_tick(f->hub);
    test_tick(f);
    rest_when_idle(f);
    if (f->listener)
        loop_timer_set(&f->tick, TICK_US);
}

/* Made here because hubs_get may run on any thread, and this belongs to worker 0's loop. */
static bool connectable(struct feed *f)
{
    static const struct db_listener_ops ops = {
        .on_up = on_up, .on_down = on_down, .on_notify = on_notify, .on_done = on_done};
    struct db_listener_spec spec = {.uri = f->uri, .connect_timeout_us = f->connect_timeout_us};
    struct err err;
    if (!f->listener)
        f->listener = db_listener_new(f->loop, &spec, &ops, f, &err);
    if (!f->listener) {
        log_error("%s: %s", f->shown, err.message);
        set_health(f, FEED_AWAY, err.message);
    }
    return f->listener;
}

static void poke(void *arg)
{
    struct feed *f = arg;
    atomic_store(&f->poked, false);
    if (f->stopped || !connectable(f))
        return;
    if (!db_listener_started(f->listener)) {
        set_health(f, FEED_CONNECTING, "");
        db_listener_start(f->listener);
        loop_timer_set(&f->tick, TICK_US);
    }
    next(f);
}

/* Any thread, under the hub's lock. */
static void on_wish(void *arg)
{
    struct feed *f = arg;
    if (!atomic_exchange(&f->poked, true))
        loop_post(f->loop, poke, f);
}

/* ---- life ---- */

struct feed *feed_new(const struct feed_spec *spec)
{
    struct feed *f = xcalloc(1, sizeof *f);
    f->loop = spec->loop;
    f->pools = spec->pools;
    f->database = xstrdup(spec->database);
    f->shown = *spec->database ? xasprintf("database %s", spec->database) : xstrdup("events");
    f->uri = xstrdup(spec->listen_uri);
    f->connect_timeout_us = spec->connect_timeout_us;
    pthread_mutex_init(&f->lock, NULL);
    loop_timer_init(&f->tick, f->loop, on_tick, f);
    f->ahead_max = AHEAD;
    f->hub = hub_new(&(struct hub_spec){.epoch = spec->epoch,
                                        .ports = spec->workers,
                                        .history = spec->history,
                                        .history_bytes = spec->history_bytes,
                                        .linger_us = LINGER_US,
                                        .on_wish = on_wish,
                                        .on_quiet = on_quiet,
                                        .arg = f});
    return f;
}

void feed_stop(struct feed *f)
{
    f->stopped = true;
    loop_timer_stop(&f->tick);
    test_reset(f);
    if (f->listener)
        db_listener_stop(f->listener);
}

void feed_free(struct feed *f)
{
    if (!f)
        return;
    feed_stop(f);
    db_listener_free(f->listener);
    hub_free(f->hub);
    conf_unref(f->conf);
    pthread_mutex_destroy(&f->lock);
    free(f->database);
    free(f->shown);
    explicit_bzero(f->uri, strlen(f->uri)); /* it may hold a password */
    free(f->uri);
    free(f);
}

struct hub *feed_hub(struct feed *f)
{
    return f->hub;
}

void feed_reconfigure(struct feed *f, struct conf *conf)
{
    struct conf *old = f->conf;
    f->conf = conf_ref(conf);
    if (old)
        conf_unref(old);
}
