/* pool: which job goes to which connection, and how many connections there are.
 *
 * First come, first served: while jobs wait, a new one stands behind them, whatever its kind. A
 * short job goes behind other short ones (in_company); else to an idle connection, else (shared) to
 * the shortest pipeline whose head has not run longer than db-pipeline-patience; else it waits, and
 * the pool grows up to its size.
 *
 * What that is worth, 32 clients on two cores shared with server and load (microseconds of CPU a
 * request, ours and PostgreSQL's; each on an idle connection -> in company; the cases of `make
 * bench`, the backends' times from /proc, interleaved on a busy machine):
 *     /sql point read    24..35 and 30..43 -> 15..21 and 12..18
 *     /rest point read   30..43 and 54..83 -> 20..23 and 31
 *     /rest insert       33..40 and 60     -> 23..25 and 50
 * A single connection, 16 deep, is as cheap but no quicker: one core's worth of backends is too
 * few. */
#include "db/private.h"

#include <assert.h>
#include <stdlib.h>

#include "db/sqlstate.h"
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

/* ---- growing ---- */

static bool open_one(struct db_pool *p)
{
    if (!pools_take_connection(p->pools))
        return false;
    struct conn *c = conn_open(p);
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

static void grow(struct db_pool *p)
{
    unsigned together = p->login && !p->proven ? 1 : POOL_CONNECTING_MAX;
    if (p->state == POOL_ENDED || now_of(p) < p->retry_us)
        return;
    while (p->n_connecting < p->waiting.n && p->n_connecting < together &&
           p->n_conns < p->max + p->extra)
        if (!open_one(p))
            return;
}

static void grow_by_one(struct db_pool *p)
{
    if (p->n_conns < p->max && now_of(p) >= p->retry_us && p->state != POOL_ENDED)
        open_one(p);
}

/* Short statements stand behind one another on one connection, even while others are idle, as long
 * as together they take less than the patience: a backend that goes on costs a third of one that is
 * woken. Longer ones are better spread over the processors that PostgreSQL has. How long one takes
 * by itself cannot be told while processors are short; so one pair in PAIR_EVERY is tried whatever
 * its pace: what takes no longer for two than for one soon has a pace that allows more. */
#define PAIR_EVERY 8

static bool in_company(struct db_pool *p, const struct conn *c, const struct db_job *j)
{
    if (c->jobs.n == 0 || j->spec.travel != DB_SHARED || j->cost_us == PACE_SLOW_US)
        return false;
    return c->jobs.cost_us + j->cost_us <= p->pools->conf->db_pipeline_patience_us ||
           (c->jobs.n == 1 && c->jobs.cost_us < PACE_SLOW_US && ++p->pairs % PAIR_EVERY == 0);
}

static struct conn *pick(struct db_pool *p, const struct db_job *j)
{
    struct conn *best = NULL;
    uint64_t now = now_of(p);
    for (struct conn *c = p->conns; c; c = c->next) {
        if (!conn_takes(c, j, now))
            continue;
        if (in_company(p, c, j))
            return c;
        if (!best || c->jobs.n < best->jobs.n)
            best = c;
    }
    return best;
}

static void pump(struct db_pool *p)
{
    struct db_job *j;
    while ((j = p->waiting.first)) {
        struct conn *c = pick(p, j);
        if (!c)
            break;
        job_list_remove(j);
        conn_place(c, j);
    }
    if (p->waiting.n)
        grow(p);
}

static void close_idle(struct db_pool *p);

void pool_drain(struct db_pool *p)
{
    if (p->waiting.n == 0)
        close_idle(p);
    pools_check_drained(p->pools);
}

static void on_pump(void *arg)
{
    struct db_pool *p = arg;
    pump(p);
    if (p->pools->draining)
        pool_drain(p);
}

void pool_pump_later(struct db_pool *p)
{
    loop_defer(p->pools->loop, LOOP_COMPLETE, &p->pump_task);
}

/* ---- jobs ---- */

static unsigned retry_after(const struct db_pool *p)
{
    uint64_t now = now_of(p);
    return p->retry_us > now ? (unsigned)((p->retry_us - now) / 1000000) + 1 : 1;
}

static void refuse(struct db_job *j, const struct db_error *why)
{
    db_failure_copy(&j->failure, why);
    j->retry_after_s = retry_after(j->pool);
    job_end_later(j, DB_NOT_SENT);
}

static void refuse_with(struct db_job *j, const char *code, const char *message)
{
    refuse(j, &(struct db_error){.severity = "ERROR", .code = code, .message = message});
}

/* PostgreSQL itself said no, as opposed to nobody being there. */
static bool is_refusal(const struct db_error *why)
{
    return strncmp(why->code, "08", 2) != 0 && strncmp(why->code, "57P", 3) != 0;
}

static bool too_many_parameters(const struct db_job_spec *s)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->stmts[i].nparams > DB_PARAMS_MAX)
            return true;
    return false;
}

static void submit(struct db_job *j)
{
    struct db_pool *p = j->pool;
    p->used_us = j->submitted_us;
    if (p->state == POOL_ENDED || p->pools->draining) {
        refuse_with(j, "57P03", "the connection pool is closing");
        return;
    }
    if (too_many_parameters(&j->spec)) {
        refuse_with(j, "54023", "a statement has more than 65535 parameters");
        return;
    }
    if (p->state == POOL_DOWN) {
        j->login_refused = is_refusal(&p->failure.error);
        refuse(j, &p->failure.error);
        return;
    }
    struct conn *c = p->waiting.n ? NULL : pick(p, j);
    if (c) {
        /* Standing behind others works, but a slow one among them would hold this one up: have
         * another connection ready for the next. */
        bool behind = c->jobs.n > 0;
        conn_place(c, j);
        if (behind && p->n_connecting == 0)
            grow_by_one(p);
    } else if (p->waiting.n >= p->pools->conf->db_pool_queue) {
        refuse_with(j, "53300", "too many requests are waiting for a database connection");
        return;
    } else {
        job_list_push(&p->waiting, j);
        grow(p);
        if (j->queue_deadline_us)
            pools_watch_deadline(p->pools, j->queue_deadline_us);
    }
    if (j->deadline_us)
        pools_watch_deadline(p->pools, j->deadline_us);
}

struct db_job *db_submit(struct db_pool *p, const struct db_job_spec *spec,
                         const struct db_ops *ops, void *arg)
{
    struct db_job *j = job_new(p, spec, arg);
    j->ops = *ops;
    submit(j);
    return j;
}

struct db_job *db_submit_copy(struct db_pool *p, const struct db_job_spec *spec,
                              const struct db_copy_ops *ops, void *arg)
{
    struct db_job *j = job_new(p, spec, arg);
    assert(spec->travel == DB_EXCLUSIVE && spec->n == 1);
    j->copy = true;
    j->copy_ops = *ops;
    submit(j);
    return j;
}

void db_cancel(struct db_job *j)
{
    if (j->finishing) { /* from within its last callbacks: no more of them */
        j->cancelled = true;
        return;
    }
    assert(!j->cancelled);
    j->cancelled = true;
    if (j->state == JOB_SENT) {
        conn_stop_head(j->conn);
        return;
    }
    struct conn *c = j->conn;
    if (j->state == JOB_PLACED) {
        conn_leave(c, j);
        conn_became_idle(c);
    }
    job_drop(j);
}

void pool_requeue(struct db_job *j)
{
    struct db_pool *p = j->pool;
    assert(!j->list);
    j->conn = NULL;
    j->state = JOB_WAITING;
    job_list_push_front(&p->waiting, j);
    if (p->state == POOL_ENDED) {
        refuse_with(j, "57P03", "the connection pool is closing");
        return;
    }
    pool_pump_later(p);
}

void pool_submit_first(struct db_pool *p, const struct db_job_spec *spec, const struct db_ops *ops,
                       void *arg)
{
    struct db_job *j = job_new(p, spec, arg);
    j->ops = *ops;
    if (p->state == POOL_ENDED || p->state == POOL_DOWN) {
        refuse_with(j, "57P03", "the connection pool is closing");
        return;
    }
    job_list_push_front(&p->waiting, j);
    pools_watch_deadline(p->pools, j->deadline_us);
    pool_pump_later(p);
}

void pool_fail_waiting(struct db_pool *p, const struct db_error *why, bool login_refused)
{
    struct db_job *j;
    while ((j = p->waiting.first)) {
        j->login_refused = login_refused;
        refuse(j, why);
    }
}

/* ---- connections come and go ---- */

void pool_conn_up(struct conn *c)
{
    struct db_pool *p = c->pool;
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
    pump(p);
    if (c->retire)
        conn_became_idle(c);
}

void pool_conn_gone(struct conn *c)
{
    struct db_pool *p = c->pool;
    *c->prev = c->next;
    if (c->next)
        c->next->prev = c->prev;
    assert(p->n_conns > 0);
    p->n_conns--;
    pools_give_connection(p->pools);
    if (p->state == POOL_ENDED && p->n_conns == 0)
        pool_free(p);
    if (p->pools->draining)
        pools_check_drained(p->pools);
}

static void retry_later(struct db_pool *p, uint64_t most_us)
{
    uint64_t wait = p->backoff_us ? p->backoff_us * 2 : POOL_BACKOFF_MIN_US;
    p->backoff_us = wait < most_us ? wait : most_us;
    /* Three quarters to five quarters of it, so that many workers do not come at once. */
    wait = p->backoff_us * 3 / 4 + pools_jitter(p->pools, p->backoff_us / 2);
    p->retry_us = now_of(p) + wait;
    loop_timer_set(&p->retry, wait);
}

void pool_conn_failed(struct conn *c, const struct db_error *why)
{
    struct db_pool *p = c->pool;
    struct db_failure kept = {0};
    db_failure_copy(&kept, why); /* why lives in the session */
    p->n_connecting--;
    p->stats.connect_failures++;
    bool credentials = strncmp(why->code, "28", 2) == 0;
    conn_close(c);
    if (p->state == POOL_ENDED) {
        ; /* nobody waits */
    } else if (p->login && (!p->proven || credentials)) {
        if (credentials)
            login_failed(p, &kept.error);
        pool_end(p, &kept.error);
    } else {
        retry_later(p, is_refusal(&kept.error) ? POOL_BACKOFF_REFUSED_US : POOL_BACKOFF_AWAY_US);
        if (up_count(p) == 0 && p->n_connecting == 0) {
            if (p->state != POOL_DOWN)
                log_warn("database %s is away: %s", shown(p), kept.error.message);
            p->state = POOL_DOWN;
            db_failure_copy(&p->failure, &kept.error);
            pool_fail_waiting(p, &kept.error, is_refusal(&kept.error));
        }
    }
    db_failure_fini(&kept);
}

static void on_retry(void *arg)
{
    struct db_pool *p = arg;
    p->retry_us = 0;
    if (p->state == POOL_DOWN && p->n_conns == 0 && !open_one(p))
        retry_later(p, POOL_BACKOFF_AWAY_US); /* no room in the budget for now */
    else if (p->state == POOL_UP)
        pump(p);
}

enum fate { FATE_END, FATE_AGAIN };

/* What becomes of a job whose connection is gone. What was surely rolled back or never run may be
 * repeated; what may have been committed must not. */
static enum fate fate_of(const struct conn *c, struct db_job *j, bool behind, enum db_end *end)
{
    bool first_try = !j->retried && !j->delivered && !j->timed_out && !j->copy;
    bool transaction = j->spec.travel == DB_SHARED || j->spec.in_transaction;
    if (j->state == JOB_PLACED || (behind && !j->timed_out))
        return FATE_AGAIN;
    *end = DB_UNKNOWN;
    if (j->committed) {
        *end = DB_DONE;
    } else if (j->timed_out && (behind || !j->spec.can_write)) {
        *end = DB_TIMED_OUT;
    } else if (j->failing && !j->unclear) {
        if (c->fatal && c->fatal_job == j && transaction && first_try)
            return FATE_AGAIN;
        *end = DB_FAILED;
    } else if (!j->spec.can_write) {
        if (first_try)
            return FATE_AGAIN;
        *end = DB_NOT_SENT; /* nothing is lost: it may be asked again */
    }
    return FATE_END;
}

static void end_lost(struct db_job *j, enum db_end end, const struct db_error *why)
{
    if (end == DB_UNKNOWN)
        job_fail(j, "08007",
                 "the connection was lost before the outcome was known: it may have been committed",
                 why->message);
    else if (end == DB_TIMED_OUT)
        job_fail(j, "57014", "canceling statement due to timeout", NULL);
    else if (end == DB_NOT_SENT)
        db_failure_copy(&j->failure, why);
    j->retry_after_s = end == DB_NOT_SENT ? 1 : 0;
    job_end_later(j, end);
}

static void detach_jobs(struct conn *c, const struct db_error *why)
{
    struct job_list again = {0};
    bool behind = c->fatal && !c->fatal_job;
    struct db_job *j;
    while ((j = c->jobs.first)) {
        enum db_end end = DB_UNKNOWN;
        enum fate fate = fate_of(c, j, behind, &end);
        behind = behind || (c->fatal && c->fatal_job == j);
        job_list_remove(j);
        if (j->cancelled) {
            job_drop(j);
        } else if (fate == FATE_AGAIN) {
            j->retried = j->retried || j->state == JOB_SENT;
            job_forget_try(j);
            job_list_push(&again, j);
        } else {
            end_lost(j, end, why);
        }
    }
    c->n_placed = 0;
    while ((j = again.last)) {
        job_list_remove(j);
        c->pool->stats.resends += j->state == JOB_SENT;
        pool_requeue(j);
    }
}

void pool_conn_lost(struct conn *c, const struct db_error *why)
{
    struct db_pool *p = c->pool;
    struct db_failure kept = {0};
    db_failure_copy(&kept, why);
    log_info("a connection to database %s was lost: %s", shown(p), kept.error.message);
    detach_jobs(c, &kept.error);
    conn_close(c);
    if (p->state == POOL_UP && p->n_conns == 0 && !p->pools->draining &&
        (!p->login || p->waiting.n))
        open_one(p); /* is it back already? If not, the pool is down in a moment */
    db_failure_fini(&kept);
}

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
    p->uri = xstrdup(db->db_uri ? db->db_uri : "");
    pool_resize(p, db);
    p->prepared = db->db_prepared_statements;
    p->types = pools_types(pools, db->name, "");
    p->pace = pace_new();
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
    wipe(p->password);
    wipe(p->uri);
    free(p->database_name);
    free(p->user);
    free(p->database);
    free(p->options);
    free(p->application_name);
    db_failure_fini(&p->failure);
    pace_free(p->pace);
    free(p);
}

/* No connection is left, nobody waits. */
void pool_free(struct db_pool *p)
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
        if (c->state == CONN_CONNECTING || (conn_idle(c) && !c->cancel)) {
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
    pool_fail_waiting(p, why, is_refusal(why));
    p->state = POOL_ENDED;
    unsigned left = p->n_conns;
    if (left == 0)
        pool_free(p);
    else
        close_idle(p); /* the last one frees it */
}

void pool_cut(struct db_pool *p, const struct db_error *why)
{
    pool_fail_waiting(p, why, false);
    for (struct conn *c = p->conns; c; c = c->next) {
        for (struct db_job *j = c->jobs.first, *next; j; j = next) {
            next = j->next;
            if (j->state == JOB_PLACED) {
                conn_leave(c, j);
                refuse(j, why);
                continue;
            }
            j->timed_out = true;
            j->ghost = false; /* it would go on behind our back */
        }
        if (c->state == CONN_UP)
            conn_stop_head(c);
    }
    pool_pump_later(p);
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
        if (conn_idle(c) && !c->cancel)
            conn_close(c);
    }
    if (p->n_conns < p->max)
        open_one(p);
    pool_pump_later(p);
}

/* ---- once a second ---- */

/* The configured database's: it keeps db-pool-min connections. Further databases and logins keep
 * none. */
static bool is_main(const struct db_pool *p)
{
    return !p->login && !*p->database_name;
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
    if (!p->login || !every || now - p->checked_us < every || up_count(p) == 0)
        return;
    for (struct conn *c = p->conns; c; c = c->next)
        if (c->state == CONN_UP && !c->retire && (!oldest || c->up_us < oldest->up_us))
            oldest = c;
    p->checked_us = now;
    if (!oldest || !open_one(p))
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
        if (c->cancel && now - c->cancel_us > CONN_CANCEL_MAX_US)
            conn_break(c, "a cancel request did not come through");
        else if (conn_idle(c) && !c->cancel && expired(p, c, now))
            conn_close(c);
        else if (c->expire_us && now > c->expire_us)
            c->retire = true;
    }
}

/* Nobody has used it for db-pool-max-idletime, and no connection is up: a login's pool goes, a
 * further database's is as before its first use (what was counted stays), and calls no more. */
static void end_idle(struct db_pool *p)
{
    if (p->login) {
        struct db_error why = {.severity = "FATAL", .code = "57P03", .message = "idle"};
        pool_end(p, &why);
        return;
    }
    loop_timer_stop(&p->retry);
    close_idle(p);
    p->backoff_us = p->retry_us = 0;
    p->state = POOL_NEW;
}

void pool_maintain(struct db_pool *p, uint64_t now)
{
    maintain_conns(p, now);
    if (p->state == POOL_ENDED)
        return;
    recheck_login(p, now);
    if (p->waiting.n)
        pool_pump_later(p);
    unsigned least = is_main(p) ? p->pools->conf->db_pool_min : 0;
    if (p->state == POOL_UP && p->n_conns < least && p->n_conns < p->max && now >= p->retry_us &&
        !p->pools->draining)
        open_one(p);
    uint64_t idle = p->pools->conf->db_pool_max_idletime_us;
    if (!is_main(p) && up_count(p) == 0 && p->waiting.n == 0 && idle && now - p->used_us > idle)
        end_idle(p);
}

const struct db_types *db_pool_types(const struct db_pool *p)
{
    return p->types;
}

struct str db_pool_application_name(const struct db_pool *p)
{
    return str_of(p->application_name ? p->application_name : "pghttpd");
}

bool db_pool_plain_backslash(const struct db_pool *p)
{
    return !p->backslash_escapes;
}

bool db_pool_strings_known(const struct db_pool *p)
{
    return p->strings_known;
}

bool db_pool_up(const struct db_pool *p, const char **reason)
{
    *reason = p->state == POOL_DOWN ? p->failure.error.message : NULL;
    return p->state == POOL_UP && (up_count(p) > 0 || p->n_connecting > 0);
}
