/* pools: all pools of a worker, their deadlines, and the budget they share with other workers. */
#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "db/private.h"
#include "util/log.h"
#include "util/xalloc.h"

#define HELPER_THREADS 4
#define LOGIN_THREADS 1 /* no more of the processor than that for those who are yet to come */
#define MAINTENANCE_US 1000000

struct db_budget {
    _Atomic unsigned used, schema;
    unsigned max;
};

struct db_budget *db_budget_new(unsigned connections)
{
    struct db_budget *b = xcalloc(1, sizeof *b);
    b->max = connections;
    return b;
}

void db_budget_free(struct db_budget *b)
{
    free(b);
}

/* ---- the schema's age ---- */

unsigned pools_schema(const struct db_pools *pools)
{
    return atomic_load(&pools->budget->schema);
}

void pools_schema_changed(struct db_pools *pools)
{
    atomic_fetch_add(&pools->budget->schema, 1);
}

/* ---- the budget ---- */

static bool budget_take(struct db_budget *b)
{
    unsigned used = atomic_load_explicit(&b->used, memory_order_relaxed);
    while (used < b->max)
        if (atomic_compare_exchange_weak(&b->used, &used, used + 1))
            return true;
    return false;
}

static struct conn *idle_conn(const struct db_pool *p)
{
    for (struct conn *c = p->conns; c; c = c->next)
        if (conn_idle(c) && !c->cancel)
            return c;
    return NULL;
}

/* Closes an idle connection of the pool of a login, or of a further database, that was used longest
 * ago. */
static bool make_room(struct db_pools *pools)
{
    struct db_pool *oldest = NULL;
    for (struct db_pool *p = pools->first; p; p = p->next)
        if ((p->login || *p->database_name) && idle_conn(p) &&
            (!oldest || p->used_us < oldest->used_us))
            oldest = p;
    if (!oldest)
        return false;
    conn_close(idle_conn(oldest));
    return true;
}

bool pools_take_connection(struct db_pools *pools)
{
    return budget_take(pools->budget) || (make_room(pools) && budget_take(pools->budget));
}

void pools_give_connection(struct db_pools *pools)
{
    unsigned before = atomic_fetch_sub(&pools->budget->used, 1);
    assert(before > 0);
    for (struct db_pool *p = pools->first; p; p = p->next)
        if (p->waiting.n && p->state != POOL_ENDED)
            pool_pump_later(p);
}

/* xorshift64*: for jitter only. */
uint64_t pools_jitter(struct db_pools *pools, uint64_t upto)
{
    uint64_t x = pools->random;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    pools->random = x;
    return upto ? (x * 2685821657736338717ull) % upto : 0;
}

struct db_types *pools_types(struct db_pools *pools, const char *database, const char *name)
{
    char *key = xasprintf("%s/%s", database, name);
    struct db_types *types = strmap_get(pools->types, str_of(key));
    if (!types) {
        types = db_types_new();
        strmap_put(pools->types, str_of(key), types);
    }
    free(key);
    return types;
}

/* ---- deadlines: one timer for all jobs, at the earliest of them ---- */

static void end_unsent(struct db_job *j, bool queue)
{
    struct conn *c = j->conn;
    if (j->state == JOB_PLACED)
        conn_leave(c, j);
    if (queue) {
        job_fail(j, "53300", "timed out waiting for a database connection", NULL);
        j->queue_timeout = true;
        j->retry_after_s = 1;
    } else {
        job_fail(j, "57014", "canceling statement due to timeout", NULL);
    }
    job_end_later(j, queue ? DB_NOT_SENT : DB_TIMED_OUT);
    if (c)
        conn_became_idle(c);
}

static void sooner(uint64_t *next, uint64_t deadline)
{
    if (deadline && (*next == 0 || deadline < *next))
        *next = deadline;
}

static void check_list(struct job_list *l, uint64_t now, uint64_t *next)
{
    for (struct db_job *j = l->first, *following; j; j = following) {
        following = j->next;
        bool over = j->deadline_us && now >= j->deadline_us;
        bool waits = j->state == JOB_WAITING;
        if (over && j->state != JOB_SENT) {
            end_unsent(j, false);
        } else if (over && !j->timed_out && !j->cancelled) {
            if (conn_let_go(j->conn, j)) {
                end_unsent(j, false);
                continue;
            }
            j->timed_out = true;
            conn_stop_head(j->conn);
        } else if (waits && j->queue_deadline_us && now >= j->queue_deadline_us) {
            end_unsent(j, true);
        } else {
            if (!over)
                sooner(next, j->deadline_us);
            if (waits)
                sooner(next, j->queue_deadline_us);
        }
    }
}

static void on_deadline(void *arg)
{
    struct db_pools *pools = arg;
    uint64_t now = loop_now_us(pools->loop), next = 0;
    pools->next_deadline_us = 0;
    for (struct db_pool *p = pools->first, *following; p; p = following) {
        following = p->next;
        check_list(&p->waiting, now, &next);
        for (struct conn *c = p->conns; c; c = c->next)
            if (c->state == CONN_UP)
                check_list(&c->jobs, now, &next);
    }
    if (next)
        pools_watch_deadline(pools, next);
}

void pools_watch_deadline(struct db_pools *pools, uint64_t deadline_us)
{
    uint64_t now;
    if (pools->next_deadline_us && pools->next_deadline_us <= deadline_us)
        return;
    now = loop_now_us(pools->loop);
    pools->next_deadline_us = deadline_us;
    loop_timer_set(&pools->deadline, deadline_us > now ? deadline_us - now : 0);
}

/* ---- life ---- */

static void on_maintenance(void *arg)
{
    struct db_pools *pools = arg;
    uint64_t now = loop_now_us(pools->loop);
    for (struct db_pool *p = pools->first, *following; p; p = following) {
        following = p->next;
        pool_maintain(p, now);
    }
    loop_timer_set(&pools->maintenance, MAINTENANCE_US);
}

static void on_drained(void *arg)
{
    struct db_pools *pools = arg;
    void (*fn)(void *) = pools->on_drained;
    pools->on_drained = NULL;
    if (fn)
        fn(pools->drained_arg);
}

struct db_pools *db_pools_new(struct loop *loop, struct conf *conf, struct db_budget *budget)
{
    struct db_pools *pools = xcalloc(1, sizeof *pools);
    struct err err;
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    pools->loop = loop;
    pools->conf = conf_ref(conf);
    pools->budget = budget;
    pools->by_key = strmap_new();
    pools->types = strmap_new();
    pools->guard = login_guard_new();
    pools->random = ((uint64_t)t.tv_nsec << 32 ^ (uint64_t)t.tv_sec) | 1;
    pools->drained_task = LOOP_TASK(on_drained, pools);
    pools->helpers = helpers_new(loop, HELPER_THREADS, &err);
    pools->logins = pools->helpers ? helpers_new(loop, LOGIN_THREADS, &err) : NULL;
    if (!pools->logins) {
        log_crit("%s", err.message);
        abort();
    }
    loop_timer_init(&pools->deadline, loop, on_deadline, pools);
    loop_timer_init(&pools->maintenance, loop, on_maintenance, pools);
    loop_timer_set(&pools->maintenance, MAINTENANCE_US);
    return pools;
}

/* Sizes and times count from now on; where a database lives changes when its pool is made anew.
 * With or without prepared statements: a connection is made for the one or the other. */
void db_pools_reconfigure(struct db_pools *pools, struct conf *conf)
{
    struct conf *old = pools->conf;
    struct db_error why = {
        .severity = "FATAL", .code = "57P03", .message = "the configuration was changed"};
    pools->conf = conf_ref(conf);
    for (struct db_pool *p = pools->first, *following; p; p = following) {
        following = p->next;
        const struct conf_database *db = conf_database(conf, str_of(p->database_name));
        if (p->state == POOL_ENDED)
            continue;
        bool other = db && db->db_prepared_statements != p->prepared;
        if (!db || strcmp(db->db_uri ? db->db_uri : "", p->uri) != 0 || (other && p->login)) {
            pool_end(p, &why);
            continue;
        }
        p->prepared = db->db_prepared_statements;
        pool_resize(p, db);
        if (other)
            pool_refresh(p);
    }
    conf_unref(old);
}

void db_pools_refresh(struct db_pools *pools, const char *database)
{
    pools_schema_changed(pools); /* logins keep their connections */
    for (struct db_pool *p = pools->first; p && !pools->draining; p = p->next)
        if (!p->login && strcmp(p->database_name, database) == 0)
            pool_refresh(p);
}

void pools_check_drained(struct db_pools *pools)
{
    for (struct db_pool *p = pools->first; p; p = p->next)
        if (p->n_conns || p->waiting.n)
            return;
    if (pools->on_drained)
        loop_defer(pools->loop, LOOP_COMPLETE, &pools->drained_task);
}

void db_pools_drain(struct db_pools *pools, void (*fn)(void *), void *arg)
{
    pools->draining = true;
    pools->on_drained = fn;
    pools->drained_arg = arg;
    for (struct db_pool *p = pools->first, *following; p; p = following) {
        following = p->next;
        pool_drain(p);
    }
    pools_check_drained(pools);
}

static const struct db_error shutting_down = {
    .severity = "FATAL", .code = "57P03", .message = "the server is shutting down"};

void db_pools_cut(struct db_pools *pools)
{
    pools->draining = true;
    pools->cut = true;
    helpers_widen(pools->helpers, HELPER_THREADS + pools->conf->db_connections_max);
    for (struct db_pool *p = pools->first, *following; p; p = following) {
        following = p->next;
        pool_cut(p, &shutting_down);
    }
}

bool db_pools_busy(const struct db_pools *pools)
{
    for (const struct db_pool *p = pools->first; p; p = p->next) {
        if (p->waiting.n)
            return true;
        for (const struct conn *c = p->conns; c; c = c->next)
            if (c->jobs.n)
                return true;
    }
    return false;
}

void db_pools_give_up(struct db_pools *pools)
{
    for (struct db_pool *p = pools->first, *following; p; p = following) {
        following = p->next;
        for (struct conn *c = p->conns, *next; c; c = next) {
            next = c->next;
            if (c->state == CONN_UP && c->jobs.n)
                conn_break(c, shutting_down.message);
        }
    }
}

/* Ends every job without regard: whoever still waits is told that it was not sent, or that nobody
 * knows. */
static void end_pool(struct db_pool *p)
{
    if (p->state != POOL_ENDED)
        pool_end(p, &shutting_down);
    for (struct conn *c = p->conns, *next; c; c = next) {
        next = c->next;
        if (c->state == CONN_UP)
            conn_break(c, shutting_down.message);
        else
            conn_close(c);
    }
}

static void types_free(void *p)
{
    db_types_free(p);
}

static void destroy(void *arg)
{
    struct db_pools *pools = arg;
    strmap_free(pools->by_key, NULL);
    strmap_free(pools->types, types_free);
    login_guard_free(pools->guard);
    conf_unref(pools->conf);
    for (struct db_job *j = pools->free_jobs, *next; j; j = next) {
        next = j->next;
        free(j);
    }
    free(pools);
}

void db_pools_free(struct db_pools *pools)
{
    if (!pools)
        return;
    pools->draining = true;
    pools->on_drained = NULL;
    loop_undefer(&pools->drained_task);
    loop_timer_stop(&pools->deadline);
    loop_timer_stop(&pools->maintenance);
    for (struct db_pool *p = pools->first, *following; p; p = following) {
        following = p->next;
        end_pool(p);
    }
    job_finish_ending(pools);
    assert(!pools->first);
    helpers_free(pools->helpers);
    helpers_finish(pools->logins);
    loop_free_later(pools->loop, destroy, pools); /* behind the jobs and connections that go now */
}

struct db_pool *db_pools_own(struct db_pools *pools, const struct conf_database *db)
{
    struct buf key;
    buf_init(&key, 4096);
    BUF_LIT(&key, "own/");
    buf_adds(&key, str_of(db->name));
    struct db_pool *p = strmap_get(pools->by_key, buf_str(&key));
    if (!p) {
        buf_char(&key, '\0');
        assert(!buf_broken(&key));
        p = pool_new(pools, db, key.p);
    }
    buf_fini(&key);
    return p;
}

static void stats_of(const struct db_pool *p, struct db_pool_stats *s)
{
    *s = p->stats;
    s->size = p->n_conns;
    s->max = p->max;
    s->connecting = p->n_connecting;
    s->waiting = (unsigned)p->waiting.n;
    for (const struct conn *c = p->conns; c; c = c->next) {
        bool idle = conn_idle(c) && !c->cancel;
        s->idle += idle;
        s->busy += c->state == CONN_UP && !idle;
    }
}

void db_pools_each(struct db_pools *pools,
                   void (*fn)(void *, const char *, const char *, const struct db_pool_stats *),
                   void *arg)
{
    for (const struct db_pool *p = pools->first; p; p = p->next) {
        struct db_pool_stats s;
        stats_of(p, &s);
        fn(arg, p->database_name, p->user ? p->user : "", &s);
    }
}
