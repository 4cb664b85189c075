/* pool_queue: the jobs of a pool: they come, wait, are placed on connections, and end by their
 * deadlines. Which job goes to which connection, and when the pool grows, is decided by schedule.c;
 * this file builds its views and carries its decisions out. */
#include "db/pool_int.h"

#include <assert.h>

static uint64_t now_of(const struct db_pool *p)
{
    return loop_now_us(p->pools->loop);
}

static struct sched_policy policy_of(const struct db_pool *p)
{
    return (struct sched_policy){.depth_max = p->pools->conf->db_pipeline_depth,
                                 .patience_us = p->pools->conf->db_pipeline_patience_us};
}

/* ---- growing ---- */

static struct sched_pool view_of(const struct db_pool *p)
{
    return (struct sched_pool){.size = p->n_conns,
                               .connecting = p->n_connecting,
                               .max = p->max,
                               .waiting = p->waiting.n,
                               .unproven_login = p->env.client_login && !p->proven,
                               .backing_off = p->state == POOL_ENDED || now_of(p) < p->retry_us};
}

static void grow(struct db_pool *p)
{
    struct sched_pool view = view_of(p);
    view.max += p->extra;
    for (unsigned n = sched_growth(&view); n; n--)
        if (!pool_open_one(p))
            return;
}

/* ---- placing ---- */

static struct conn *pick(struct db_pool *p, const struct db_job *j)
{
    const struct sched_policy policy = policy_of(p);
    const struct sched_job job = {.shared = j->spec.travel == DB_SHARED,
                                  .alone = j->alone,
                                  .preemptible = j->spec.yields,
                                  .cost_us = j->cost_us};
    struct conn *best = NULL;
    uint64_t now = now_of(p);
    for (struct conn *c = p->conns; c; c = c->next) {
        struct sched_conn view;
        if (!conn_view(c, now, &view) || !sched_accepts(&policy, &view, &job))
            continue;
        if (sched_pipelines(&policy, &view, &job, &p->probes))
            return c;
        if (!best || c->jobs.n < best->jobs.n)
            best = c;
    }
    return best;
}

void pool_pump(struct db_pool *p)
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

/* ---- jobs ---- */

static unsigned retry_after(const struct db_pool *p)
{
    uint64_t now = now_of(p);
    return p->retry_us > now ? (unsigned)((p->retry_us - now) / 1000000) + 1 : 1;
}

void pool_refuse(struct db_job *j, const struct db_error *why)
{
    job_refuse(j, why, retry_after(j->pool));
}

static void refuse_with(struct db_job *j, const char *code, const char *message)
{
    pool_refuse(j, &(struct db_error){.severity = "ERROR", .code = code, .message = message});
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
        j->refusal = pool_is_refusal(&p->failure.error) ? REFUSAL_LOGIN : REFUSAL_OTHER;
        pool_refuse(j, &p->failure.error);
        return;
    }
    struct conn *c = p->waiting.n ? NULL : pick(p, j);
    if (c) {
        const struct sched_pool view = view_of(p);
        size_t depth = c->jobs.n;
        conn_place(c, j);
        if (sched_wants_spare(&view, depth))
            pool_open_one(p);
    } else if (p->waiting.n >= p->pools->conf->db_pool_queue) {
        refuse_with(j, "53300", "too many requests are waiting for a database connection");
        return;
    } else {
        job_list_push(&p->waiting, j);
        grow(p);
        if (j->queue_deadline_us)
            p->pools->ops->watch_deadline(p->pools, j->queue_deadline_us);
    }
    if (j->deadline_us)
        p->pools->ops->watch_deadline(p->pools, j->deadline_us);
}

/* The cost is that of the last statement: those before it are settings of our own. Clients may
 * write values into their texts, so that none comes twice; we do not. */
static void estimate_cost(struct db_job *j)
{
    const struct db_job_spec *s = &j->spec;
    const struct db_stmt *st = &s->stmts[s->n - 1];
    const struct sched_policy policy = policy_of(j->pool);
    if (!sched_cost_is_kept(s) || st->sql_len > STMT_CACHE_TEXT_MAX) {
        j->alone = s->foreign; /* nothing will ever be known of it */
        return;
    }
    struct str text = {st->sql, st->sql_len};
    j->cost_key = (s->foreign ? stmt_shape_hash(text) : stmt_text_hash(text)) | 1;
    struct sched_cost cost = sched_cost(&policy, s, pace_us(j->pool->env.costs, j->cost_key));
    j->cost_us = cost.us;
    j->alone = cost.alone;
}

static struct db_job *make_job(struct db_pool *p, const struct db_job_spec *spec, void *arg)
{
    struct db_job *j = job_new(&p->pools->jobs, spec, arg);
    j->pool = p;
    j->stats = &p->stats;
    uint64_t patience = p->pools->conf->db_pool_acquisition_timeout_us;
    if (patience && !j->queue_deadline_us)
        j->queue_deadline_us = j->submitted_us + patience;
    estimate_cost(j);
    return j;
}

struct db_job *db_submit(struct db_pool *p, const struct db_job_spec *spec,
                         const struct db_ops *ops, void *arg)
{
    struct db_job *j = make_job(p, spec, arg);
    j->ops = *ops;
    submit(j);
    return j;
}

struct db_job *db_submit_copy(struct db_pool *p, const struct db_job_spec *spec,
                              const struct db_copy_ops *ops, void *arg)
{
    struct db_job *j = make_job(p, spec, arg);
    assert(spec->travel == DB_EXCLUSIVE && spec->n == 1);
    j->is_copy = true;
    j->copy_ops = *ops;
    submit(j);
    return j;
}

void db_cancel(struct db_job *j)
{
    if (j->state == JOB_FINISHING) { /* from within its last callbacks: no more of them */
        job_stop_for(j, STOP_CALLER_LEFT);
        return;
    }
    assert(!job_is_silent(j));
    job_stop_for(j, STOP_CALLER_LEFT);
    if (j->state == JOB_SENT) {
        conn_stop_head(j->conn);
        return;
    }
    struct conn *c = j->conn;
    if (j->state == JOB_PLACED) {
        conn_leave(c, j);
        conn_became_idle(c);
    } else if (j->state == JOB_LOOKING) {
        pool_stop_look_up(j);
    }
    job_drop(j);
}

bool db_job_long(struct db_job *j)
{
    if (j->cost_key)
        pace_slow(j->pool->env.costs, j->cost_key);
    if (j->state != JOB_SENT || j->conn->jobs.first != j)
        return true;
    return conn_make_solo(j->conn);
}

void db_job_pause(struct db_job *j)
{
    if (j->state == JOB_SENT && j->conn->jobs.first == j)
        conn_set_paused(j->conn, true);
}

void db_job_resume(struct db_job *j)
{
    if (j->state == JOB_SENT && j->conn->jobs.first == j)
        conn_set_paused(j->conn, false);
}

bool db_job_awaited(const struct db_job *j)
{
    return j->pool->waiting.first;
}

void pool_on_requeue(void *owner, struct db_job *j)
{
    struct db_pool *p = owner;
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

struct db_job *pool_submit_first(struct db_pool *p, const struct db_job_spec *spec,
                                 const struct db_ops *ops, void *arg)
{
    struct db_job *j = make_job(p, spec, arg);
    j->ops = *ops;
    if (p->state == POOL_ENDED || p->state == POOL_DOWN) {
        refuse_with(j, "57P03", "the connection pool is closing");
        return j;
    }
    job_list_push_front(&p->waiting, j);
    p->pools->ops->watch_deadline(p->pools, j->deadline_us);
    pool_pump_later(p);
    return j;
}

void pool_on_ask(void *owner, const struct db_job_spec *spec, const struct db_ops *ops, void *arg)
{
    struct db_pool *p = owner;
    p->extra++;
    pool_submit_first(p, spec, ops, arg);
}

void pool_on_asked(void *owner)
{
    struct db_pool *p = owner;
    p->extra--;
}

void pool_fail_waiting(struct db_pool *p, const struct db_error *why, bool login_refused)
{
    struct db_job *j;
    while ((j = p->waiting.first)) {
        j->refusal = login_refused ? REFUSAL_LOGIN : REFUSAL_OTHER;
        pool_refuse(j, why);
    }
}

/* ---- deadlines ---- */

static void end_unsent(struct db_job *j, bool queue)
{
    struct conn *c = j->state == JOB_PLACED ? j->conn : NULL;
    if (c)
        conn_leave(c, j);
    if (queue) {
        j->refusal = REFUSAL_QUEUE_TIMEOUT;
        refuse_with(j, "53300", "timed out waiting for a database connection");
    } else {
        j->attempt.fate = FATE_UNSENT;
        job_conclude(j, VERDICT_TIMED_OUT, NULL, true);
    }
    if (c)
        conn_became_idle(c);
}

/* Its end is not waited for any longer: what is known of it now is what its caller is told. */
static void give_up(struct db_job *j)
{
    struct conn *c = j->conn;
    if (j->is_copy) {
        conn_break(c, "its COPY did not end in time");
        return;
    }
    conn_abandon(c, j);
    job_lose_attempt(j);
    enum verdict verdict = job_verdict(j);
    if (verdict == VERDICT_LOOK_UP)
        pool_on_look_up(j->pool, j);
    else
        job_conclude(j, verdict, NULL, true);
}

/* The deadline of a job that was sent. What only reads is answered at once. For what can write its
 * cancel is waited for: mostly it takes a millisecond, and then the outcome is known. */
static void stop_sent(struct db_job *j)
{
    struct db_pool *p = j->pool;
    if (conn_let_go(j->conn, j)) {
        end_unsent(j, false);
        return;
    }
    job_stop_for(j, STOP_DEADLINE);
    conn_stop_head(j->conn);
    if (!j->is_copy && (!j->spec.can_write || j->attempt.commit == COMMIT_HELD))
        give_up(j);     /* it is not committed, and will not be */
    pool_probe_idle(p); /* perhaps the network is dead */
}

static void sooner(uint64_t *next, uint64_t deadline_us)
{
    if (deadline_us && (*next == 0 || deadline_us < *next))
        *next = deadline_us;
}

static void check_sent(struct db_job *j, uint64_t now, uint64_t *next)
{
    uint64_t last_us = j->deadline_us + POOL_CANCEL_GRACE_US;
    if (!j->deadline_us || job_is_silent(j))
        return;
    if (now < j->deadline_us) {
        sooner(next, j->deadline_us);
    } else if (now >= last_us) {
        give_up(j);
    } else {
        sooner(next, last_us);
        if (j->stop < STOP_DEADLINE)
            stop_sent(j);
    }
}

static void check_unsent(struct db_job *j, uint64_t now, uint64_t *next)
{
    bool waits = j->state == JOB_WAITING;
    if (j->deadline_us && now >= j->deadline_us) {
        end_unsent(j, false);
    } else if (waits && j->queue_deadline_us && now >= j->queue_deadline_us) {
        end_unsent(j, true);
    } else {
        sooner(next, j->deadline_us);
        sooner(next, waits ? j->queue_deadline_us : 0);
    }
}

static void check_list(struct job_list *l, uint64_t now, uint64_t *next)
{
    for (struct db_job *j = l->first, *following; j; j = following) {
        following = j->next;
        if (j->state == JOB_SENT)
            check_sent(j, now, next);
        else
            check_unsent(j, now, next);
    }
}

void pool_check_deadlines(struct db_pool *p, uint64_t now_us, uint64_t *next)
{
    check_list(&p->waiting, now_us, next);
    for (struct conn *c = p->conns; c; c = c->next)
        if (c->state == CONN_UP)
            check_list(&c->jobs, now_us, next);
}
