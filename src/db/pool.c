/* pool: the queue of jobs and the connections of one (database, login). Which job goes to which
 * connection, and how many connections there are, is decided by schedule.c; this file builds the
 * views and carries the decisions out. */
#include "db/pool_int.h"

#include <assert.h>
#include <stdlib.h>

#include "util/log.h"
#include "util/xalloc.h"

static uint64_t now_of(const struct db_pool *p)
{
    return loop_now_us(p->pools->loop);
}

static const char *shown(const struct db_pool *p)
{
    return *p->database_name ? p->database_name : "of db-uri";
}

static unsigned up_count(const struct db_pool *p)
{
    assert(p->n_connecting <= p->n_conns);
    return p->n_conns - p->n_connecting;
}

/* xorshift64*: for jitter only. */
static uint64_t jitter(struct db_pools *pools, uint64_t upto)
{
    uint64_t x = pools->random;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    pools->random = x;
    return upto ? (x * 2685821657736338717ull) % upto : 0;
}

struct db_types *pool_types(struct db_pools *pools, const char *database, const char *name)
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

/* ---- connections are opened ---- */

static const struct conn_ops conn_ops;

static bool open_in_budget(struct db_pool *p)
{
    if (!p->pools->ops->take_connection(p->pools))
        return false;
    struct conn *c = conn_open(&p->env, &conn_ops, p, jitter(p->pools, UINT64_MAX));
    c->next = p->conns;
    c->prev = &p->conns;
    if (c->next)
        c->next->prev = &c->next;
    p->conns = c;
    p->n_conns++;
    p->n_connecting++;
    p->stats.connects++;
    return true;
}

bool pool_open_one(struct db_pool *p)
{
    return p->pools->ops->login_room(p) && open_in_budget(p);
}

static void close_idle(struct db_pool *p);

void pool_drain(struct db_pool *p)
{
    if (p->waiting.n == 0 && p->looking.n == 0)
        close_idle(p);
    p->pools->ops->check_drained(p->pools);
}

static void on_pump(void *arg)
{
    struct db_pool *p = arg;
    pool_pump(p);
    if (p->pools->draining)
        pool_drain(p);
}

void pool_pump_later(struct db_pool *p)
{
    loop_defer(p->pools->loop, LOOP_COMPLETE, &p->pump_task);
}

/* ---- connections come and go ---- */

/* PostgreSQL itself said no, as opposed to nobody being there. */
bool pool_is_refusal(const struct db_error *why)
{
    return strncmp(why->code, "08", 2) != 0 && strncmp(why->code, "57P", 3) != 0;
}

static bool on_room_elsewhere(void *owner, const struct conn *c)
{
    const struct db_pool *p = owner;
    for (const struct conn *other = p->conns; other; other = other->next)
        if (other != c && conn_idle(other))
            return true;
    return p->n_conns < p->max;
}

static void on_conn_up(void *owner, struct conn *c)
{
    struct db_pool *p = owner;
    p->n_connecting--;
    if (p->state == POOL_DOWN)
        log_info("database %s is back", shown(p));
    if (p->state != POOL_ENDED)
        p->state = POOL_UP;
    else
        c->retire = true;
    p->proven = true;
    p->backoff_us = 0;
    p->retry_us = 0;
    p->checked_us = now_of(p);
    loop_timer_stop(&p->retry);
    pool_pump(p);
    p->pools->ops->login_idle(p);
    if (c->retire)
        conn_became_idle(c);
}

static void free_pool(struct db_pool *p);

static void on_conn_gone(void *owner, struct conn *c)
{
    struct db_pool *p = owner;
    *c->prev = c->next;
    if (c->next)
        c->next->prev = c->prev;
    assert(p->n_conns > 0);
    p->n_conns--;
    p->pools->ops->give_connection(p->pools);
    if (p->state == POOL_ENDED && p->n_conns == 0)
        free_pool(p);
    if (p->pools->draining)
        p->pools->ops->check_drained(p->pools);
}

static void retry_later(struct db_pool *p, uint64_t most_us)
{
    uint64_t wait = p->backoff_us ? p->backoff_us * 2 : POOL_BACKOFF_MIN_US;
    p->backoff_us = wait < most_us ? wait : most_us;
    /* Three quarters to five quarters of it, so that many workers do not come at once. */
    wait = p->backoff_us * 3 / 4 + jitter(p->pools, p->backoff_us / 2);
    p->retry_us = now_of(p) + wait;
    loop_timer_set(&p->retry, wait);
}

/* Later again; with no other connection, the database is away. */
static void not_connected(struct db_pool *p, const struct db_error *why)
{
    bool refusal = pool_is_refusal(why);
    retry_later(p, refusal ? POOL_BACKOFF_REFUSED_US : POOL_BACKOFF_AWAY_US);
    if (up_count(p) > 0 || p->n_connecting > 0)
        return;
    if (p->state != POOL_DOWN)
        log_error("database %s is away: %s", shown(p), why->message);
    p->state = POOL_DOWN;
    db_failure_copy(&p->failure, why);
    pool_fail_waiting(p, why, refusal);
}

static void on_conn_failed(void *owner, struct conn *c, const struct db_error *why)
{
    struct db_pool *p = owner;
    struct db_failure kept = {0};
    db_failure_copy(&kept, why); /* why lives in the session */
    p->n_connecting--;
    p->stats.connect_failures++;
    bool credentials = strncmp(why->code, "28", 2) == 0;
    conn_close(c);
    if (p->state == POOL_ENDED) {
        ; /* nobody waits */
    } else if (p->env.client_login && (!p->proven || credentials)) {
        if (credentials)
            p->pools->ops->login_failed(p, &kept.error);
        p->pools->ops->login_idle(p);
        pool_end(p, &kept.error);
    } else {
        not_connected(p, &kept.error);
    }
    db_failure_fini(&kept);
}

static void on_retry(void *arg)
{
    struct db_pool *p = arg;
    p->retry_us = 0;
    if (p->state == POOL_DOWN && p->n_conns == 0 && !pool_open_one(p))
        retry_later(p, POOL_BACKOFF_AWAY_US); /* no room in the budget for now */
    else if (p->state == POOL_UP)
        pool_pump(p);
}

static void detach_jobs(struct conn *c, const struct db_error *why)
{
    struct job_list again = {0};
    struct db_job *j;
    while ((j = conn_take_job(c))) {
        enum verdict verdict = job_verdict(j);
        if (verdict == VERDICT_AGAIN)
            job_list_push(&again, j);
        else if (verdict == VERDICT_LOOK_UP)
            c->ops->look_up(c->owner, j);
        else
            job_conclude(j, verdict, why, true);
    }
    while ((j = again.last)) {
        job_list_remove(j);
        c->env->stats->resends += j->state == JOB_SENT;
        job_reset_attempt(j);
        c->ops->requeue(c->owner, j);
    }
}

static void on_conn_lost(void *owner, struct conn *c, const struct db_error *why)
{
    struct db_pool *p = owner;
    struct db_failure kept = {0};
    db_failure_copy(&kept, why);
    log_info("a connection to database %s was lost: %s", shown(p), kept.error.message);
    bool in_vain = c->identity == IDENTITY_LOST;
    detach_jobs(c, &kept.error);
    conn_close(c);
    pool_probe_idle(p);
    if (in_vain && p->state == POOL_UP)
        not_connected(p, &kept.error);
    else if (p->state == POOL_UP && p->n_conns == 0 && !p->pools->draining &&
             (!p->env.client_login || p->waiting.n))
        pool_open_one(p); /* is it back already? If not, the pool is down in a moment */
    db_failure_fini(&kept);
}

/* One connection is dead, or seems to be: the idle ones are asked before a job is placed on them.
 */
void pool_probe_idle(struct db_pool *p)
{
    if (now_of(p) - p->probed_us < CONN_PROBE_MAX_US || p->pools->draining)
        return;
    p->probed_us = now_of(p);
    for (struct conn *c = p->conns, *next; c; c = next) {
        next = c->next;
        conn_probe(c);
    }
}

static void on_room(void *owner)
{
    struct db_pool *p = owner;
    if (p->waiting.n || p->pools->draining)
        pool_pump_later(p);
    else
        p->pools->ops->login_idle(p);
}

static const struct conn_ops conn_ops = {.up = on_conn_up,
                                         .failed = on_conn_failed,
                                         .lost = on_conn_lost,
                                         .gone = on_conn_gone,
                                         .room = on_room,
                                         .requeue = pool_on_requeue,
                                         .look_up = pool_on_look_up,
                                         .room_elsewhere = on_room_elsewhere,
                                         .ask = pool_on_ask,
                                         .asked = pool_on_asked};

/* ---- life of a pool ---- */

void pool_resize(struct db_pool *p, const struct conf_database *db)
{
    unsigned workers = p->pools->conf->workers ? p->pools->conf->workers : 1;
    p->max = (db->db_pool ? db->db_pool : 1) / workers;
    p->max = p->max ? p->max : 1;
}

struct db_pool *pool_new(struct db_pools *pools, const struct conf_database *db, const char *key)
{
    struct db_pool *p = xcalloc(1, sizeof *p);
    p->pools = pools;
    p->key = xstrdup(key);
    p->database_name = xstrdup(db->name);
    pool_resize(p, db);
    p->env = (struct conn_env){.loop = pools->loop,
                               .helpers = pools->helpers,
                               .logins = pools->logins,
                               .conf = pools->conf,
                               .uri = xstrdup(db->db_uri ? db->db_uri : ""),
                               .prepared = db->db_prepared_statements,
                               .types = pool_types(pools, db->name, ""),
                               .costs = pace_new(),
                               .schema = pools->schema,
                               .stats = &p->stats};
    p->used_us = p->checked_us = loop_now_us(pools->loop);
    p->pump_task = LOOP_TASK(on_pump, p);
    loop_timer_init(&p->retry, pools->loop, on_retry, p);
    p->next = pools->first;
    p->prev = &pools->first;
    if (p->next)
        p->next->prev = &p->next;
    pools->first = p;
    strmap_put(pools->by_key, str_of(key), p);
    return p;
}

static void wipe(char *s)
{
    if (s)
        explicit_bzero(s, strlen(s));
    free(s);
}

static void destroy(void *arg)
{
    struct db_pool *p = arg;
    wipe(p->key);
    wipe(p->env.password);
    wipe(p->env.uri);
    free(p->database_name);
    free(p->env.user);
    free(p->env.database);
    free(p->env.options);
    free(p->env.application_name);
    db_failure_fini(&p->failure);
    pace_free(p->env.costs);
    free(p);
}

/* No connection is left, nobody waits. */
static void free_pool(struct db_pool *p)
{
    assert(p->state == POOL_ENDED && p->n_conns == 0 && p->waiting.n == 0);
    loop_timer_stop(&p->retry);
    loop_undefer(&p->pump_task);
    *p->prev = p->next;
    if (p->next)
        p->next->prev = p->prev;
    p->next = NULL;
    p->prev = &p->next;
    loop_free_later(p->pools->loop, destroy, p);
}

static void close_idle(struct db_pool *p)
{
    for (struct conn *c = p->conns, *next; c; c = next) {
        next = c->next;
        if (c->state == CONN_CONNECTING || (conn_quiet(c))) {
            p->n_connecting -= c->state == CONN_CONNECTING;
            conn_close(c);
        } else {
            c->retire = true;
        }
    }
}

void pool_end(struct db_pool *p, const struct db_error *why)
{
    assert(p->state != POOL_ENDED);
    strmap_remove(p->pools->by_key, str_of(p->key));
    pool_settle_look_ups(p);
    pool_fail_waiting(p, why, pool_is_refusal(why));
    p->state = POOL_ENDED;
    unsigned left = p->n_conns;
    if (left == 0)
        free_pool(p);
    else
        close_idle(p); /* the last one frees it */
}

void pool_cut(struct db_pool *p, const struct db_error *why)
{
    pool_settle_look_ups(p);
    pool_fail_waiting(p, why, false);
    for (struct conn *c = p->conns; c; c = c->next) {
        for (struct db_job *j = c->jobs.first, *next; j; j = next) {
            next = j->next;
            if (j->state == JOB_PLACED) {
                conn_leave(c, j);
                pool_refuse(j, why);
                continue;
            }
            job_stop_for(j, j->stop == STOP_MOVED ? STOP_CALLER_LEFT : STOP_SHUTDOWN);
        }
        if (c->state == CONN_UP)
            conn_stop_head(c);
    }
    pool_pump_later(p);
}

void pool_give_up(struct db_pool *p, const char *why)
{
    for (struct conn *c = p->conns, *next; c; c = next) {
        next = c->next;
        if (c->state == CONN_UP && c->jobs.n)
            conn_break(c, why);
    }
}

void pool_close_all(struct db_pool *p, const char *why)
{
    for (struct conn *c = p->conns, *next; c; c = next) {
        next = c->next;
        if (c->state == CONN_UP)
            conn_break(c, why);
        else
            conn_close(c);
    }
}

struct conn *pool_quiet_conn(const struct db_pool *p)
{
    for (struct conn *c = p->conns; c; c = c->next)
        if (conn_quiet(c))
            return c;
    return NULL;
}

void pool_refresh(struct db_pool *p)
{
    if (p->state != POOL_UP)
        return;
    for (struct conn *c = p->conns, *next; c; c = next) {
        next = c->next;
        if (c->state != CONN_UP)
            continue;
        c->retire = true; /* a busy one closes when its jobs have ended */
        if (conn_quiet(c))
            conn_close(c);
    }
    if (p->n_conns < p->max)
        pool_open_one(p);
    pool_pump_later(p);
}

/* ---- once a second ---- */

/* The configured database's: it keeps db-pool-min connections. Further databases and logins keep
 * none. */
static bool is_main(const struct db_pool *p)
{
    return !p->env.client_login && !*p->database_name;
}

static bool expired(const struct db_pool *p, const struct conn *c, uint64_t now)
{
    const struct conf *conf = p->pools->conf;
    unsigned keep = !is_main(p) ? 0 : (conf->db_pool_min ? conf->db_pool_min : 1);
    if (p->n_conns > p->max)
        return true; /* the one more for a question about types */
    bool idle = conf->db_pool_max_idletime_us && up_count(p) > keep &&
                now - c->idle_us > conf->db_pool_max_idletime_us;
    return idle || (c->expire_us && now > c->expire_us);
}

static void recheck_login(struct db_pool *p, uint64_t now)
{
    struct conn *oldest = NULL;
    uint64_t every = p->pools->conf->login_recheck_us;
    if (!p->env.client_login || !every || now - p->checked_us < every || up_count(p) == 0)
        return;
    for (struct conn *c = p->conns; c; c = c->next)
        if (c->state == CONN_UP && !c->retire && (!oldest || c->up_us < oldest->up_us))
            oldest = c;
    p->checked_us = now;
    if (!oldest || !open_in_budget(p)) /* it takes the place of the oldest */
        return;
    oldest->retire = true;
    conn_became_idle(oldest);
}

static void maintain_conns(struct db_pool *p, uint64_t now)
{
    for (struct conn *c = p->conns, *next; c; c = next) {
        next = c->next;
        if (c->state != CONN_UP)
            continue;
        const char *overdue = conn_overdue(c, now, p->waiting.n > 0);
        if (overdue)
            conn_break(c, overdue);
        else if (conn_quiet(c) && expired(p, c, now))
            conn_close(c);
        else if (c->expire_us && now > c->expire_us)
            c->retire = true;
    }
}

/* Nobody has used it for db-pool-max-idletime, and no connection is up: a login's pool goes, a
 * further database's is as before its first use (what was counted stays), and calls no more. */
static void end_idle(struct db_pool *p)
{
    if (p->env.client_login) {
        struct db_error why = {.severity = "FATAL", .code = "57P03", .message = "idle"};
        pool_end(p, &why);
        return;
    }
    loop_timer_stop(&p->retry);
    close_idle(p);
    p->backoff_us = p->retry_us = 0;
    p->state = POOL_NEW;
}

static bool on_check_result(void *arg, size_t i, const struct db_result *r)
{
    (void)arg, (void)i, (void)r;
    return true;
}

static void on_check_done(void *arg, const struct db_outcome *o)
{
    (void)arg, (void)o; /* a success has cleared env.trouble */
}

/* Behind a pooler only a statement tells that PostgreSQL is back. */
static void check_trouble(struct db_pool *p)
{
    static const struct db_stmt nothing = {.sql = "SELECT", .sql_len = 6};
    static const struct db_ops ops = {.on_result = on_check_result, .on_done = on_check_done};
    const struct db_job_spec spec = {
        .stmts = &nothing, .n = 1, .travel = DB_SHARED, .timeout_us = 2 * 1000000};
    if (*p->env.trouble && p->state == POOL_UP && !p->pools->draining)
        pool_submit_first(p, &spec, &ops, NULL);
}

void pool_maintain(struct db_pool *p, uint64_t now)
{
    maintain_conns(p, now);
    if (p->state == POOL_ENDED)
        return;
    check_trouble(p);
    recheck_login(p, now);
    if (p->waiting.n)
        pool_pump_later(p);
    unsigned least = is_main(p) ? p->pools->conf->db_pool_min : 0;
    if (p->state == POOL_UP && p->n_conns < least && p->n_conns < p->max && now >= p->retry_us &&
        !p->pools->draining)
        pool_open_one(p);
    uint64_t idle = p->pools->conf->db_pool_max_idletime_us;
    if (!is_main(p) && up_count(p) == 0 && p->waiting.n == 0 && p->looking.n == 0 && idle &&
        now - p->used_us > idle)
        end_idle(p);
}

const struct db_types *db_pool_types(const struct db_pool *p)
{
    return p->env.types;
}

struct str db_pool_application_name(const struct db_pool *p)
{
    return str_of(p->env.application_name ? p->env.application_name : "pghttpd");
}

bool db_pool_plain_backslash(const struct db_pool *p)
{
    return !p->env.backslash_escapes;
}

bool db_pool_strings_known(const struct db_pool *p)
{
    return p->env.strings_known;
}

bool db_pool_up(const struct db_pool *p, const char **reason)
{
    *reason = p->state == POOL_DOWN ? p->failure.error.message : NULL;
    if (p->state == POOL_UP && *p->env.trouble)
        *reason = p->env.trouble;
    return p->state == POOL_UP && !*p->env.trouble && (up_count(p) > 0 || p->n_connecting > 0);
}
