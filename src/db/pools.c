/* pools: all pools of a worker, their deadlines, and the budget they share with other workers. */
#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "db/pool_int.h"
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

/* ---- the budget ---- */

static bool budget_take(struct db_budget *b)
{
    unsigned used = atomic_load_explicit(&b->used, memory_order_relaxed);
    while (used < b->max)
        if (atomic_compare_exchange_weak(&b->used, &used, used + 1))
            return true;
    return false;
}

static bool same_text(const char *a, const char *b)
{
    return strcmp(a ? a : "", b ? b : "") == 0;
}

static bool same_login(const struct db_pool *a, const struct db_pool *b)
{
    return a->env.client_login && b->env.client_login && same_text(a->env.user, b->env.user) &&
           same_text(a->env.database, b->env.database) &&
           same_text(a->database_name, b->database_name);
}

/* Closes an idle connection of the pool of a login, or of a further database, that was used longest
 * ago; of this login's pools alone, unless it is NULL. */
static bool make_room(struct db_pools *pools, const struct db_pool *login)
{
    struct db_pool *oldest = NULL;
    for (struct db_pool *p = pools->first; p; p = p->next)
        if ((login ? same_login(p, login) : p->env.client_login || *p->database_name) &&
            pool_quiet_conn(p) && (!oldest || p->used_us < oldest->used_us))
            oldest = p;
    if (!oldest)
        return false;
    conn_close(pool_quiet_conn(oldest));
    return true;
}

static bool pools_take_connection(struct db_pools *pools)
{
    return budget_take(pools->budget) || (make_room(pools, NULL) && budget_take(pools->budget));
}

static bool pools_login_room(struct db_pool *p)
{
    struct db_pools *pools = p->pools;
    unsigned n = 0;
    if (!p->env.client_login)
        return true;
    if (!login_turn(p)) {
        pools->login_full = true;
        return false;
    }
    for (const struct db_pool *other = pools->first; other; other = other->next)
        n += same_login(other, p) ? other->n_conns : 0;
    if (n < p->max + p->extra || make_room(pools, p))
        return true;
    pools->login_full = true;
    return false;
}

static void pools_login_idle(struct db_pool *p)
{
    struct db_pools *pools = p->pools;
    if (!pools->login_full || !p->env.client_login)
        return;
    pools->login_full = false;
    for (struct db_pool *other = pools->first; other; other = other->next)
        if (other->waiting.n && other->state != POOL_ENDED)
            pool_pump_later(other);
}

static void pools_give_connection(struct db_pools *pools)
{
    unsigned before = atomic_fetch_sub(&pools->budget->used, 1);
    assert(before > 0);
    for (struct db_pool *p = pools->first; p; p = p->next)
        if (p->waiting.n && p->state != POOL_ENDED)
            pool_pump_later(p);
}

static void pools_watch_deadline(struct db_pools *pools, uint64_t deadline_us);
static void pools_check_drained(struct db_pools *pools);

/* ---- deadlines: one timer for all jobs, at the earliest of them ---- */

static void on_deadline(void *arg)
{
    struct db_pools *pools = arg;
    uint64_t now = loop_now_us(pools->loop), next = 0;
    pools->next_deadline_us = 0;
    for (struct db_pool *p = pools->first, *following; p; p = following) {
        following = p->next;
        pool_check_deadlines(p, now, &next);
    }
    if (next)
        pools_watch_deadline(pools, next);
}

static void pools_watch_deadline(struct db_pools *pools, uint64_t deadline_us)
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

static const struct pools_ops pools_ops = {.take_connection = pools_take_connection,
                                           .give_connection = pools_give_connection,
                                           .login_room = pools_login_room,
                                           .login_idle = pools_login_idle,
                                           .login_failed = login_failed,
                                           .watch_deadline = pools_watch_deadline,
                                           .check_drained = pools_check_drained};

struct db_pools *db_pools_new(struct loop *loop, struct conf *conf, struct db_budget *budget)
{
    struct db_pools *pools = xcalloc(1, sizeof *pools);
    struct err err;
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    pools->loop = loop;
    pools->conf = conf_ref(conf);
    pools->budget = budget;
    pools->schema = &budget->schema;
    pools->ops = &pools_ops;
    pools->by_key = strmap_new();
    pools->types = strmap_new();
    pools->jobs.loop = loop;
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
        p->env.conf = conf;
        if (p->state == POOL_ENDED)
            continue;
        bool other = db && db->db_prepared_statements != p->env.prepared;
        if (!db || strcmp(db->db_uri ? db->db_uri : "", p->env.uri) != 0 ||
            (other && p->env.client_login)) {
            pool_end(p, &why);
            continue;
        }
        p->env.prepared = db->db_prepared_statements;
        pool_resize(p, db);
        if (other)
            pool_refresh(p);
    }
    conf_unref(old);
}

void db_pools_refresh(struct db_pools *pools, const char *database)
{
    atomic_fetch_add(pools->schema, 1); /* logins keep their connections */
    for (struct db_pool *p = pools->first; p && !pools->draining; p = p->next)
        if (!p->env.client_login && strcmp(p->database_name, database) == 0)
            pool_refresh(p);
}

static void pools_check_drained(struct db_pools *pools)
{
    for (struct db_pool *p = pools->first; p; p = p->next)
        if (p->n_conns || p->waiting.n || p->looking.n)
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
    pools->jobs.timeout_hint = "The server was stopped: see its setting shutdown-timeout.";
    helpers_widen(pools->helpers, HELPER_THREADS + pools->conf->db_connections_max);
    for (struct db_pool *p = pools->first, *following; p; p = following) {
        following = p->next;
        pool_cut(p, &shutting_down);
    }
}

bool db_pools_busy(const struct db_pools *pools)
{
    for (const struct db_pool *p = pools->first; p; p = p->next) {
        if (p->waiting.n || p->looking.n)
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
        pool_give_up(p, shutting_down.message);
    }
}

/* Ends every job without regard: its caller is told that it was not sent, or that its outcome is
 * unknown. */
static void end_pool(struct db_pool *p)
{
    if (p->state != POOL_ENDED)
        pool_end(p, &shutting_down);
    pool_close_all(p, shutting_down.message);
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
    job_home_free(&pools->jobs);
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
    job_finish_ending(&pools->jobs);
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
        bool idle = conn_quiet(c);
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
        fn(arg, p->database_name, p->env.user ? p->env.user : "", &s);
    }
}
