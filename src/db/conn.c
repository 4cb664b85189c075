#include "db/conn.h"

#include <assert.h>
#include <stdlib.h>

#include "util/xalloc.h"

static void on_up(void *arg);
static void on_down(void *arg, const struct db_error *why);

static void on_input(void *arg)
{
    conn_read(arg);
}

static void on_notice(void *arg, const PGresult *res)
{
    conn_on_notice(arg, res);
}

static void on_flushed(void *arg)
{
    copy_flushed(arg);
}

static const struct session_ops session_ops = {.on_up = on_up,
                                               .on_down = on_down,
                                               .on_input = on_input,
                                               .on_notice = on_notice,
                                               .on_flushed = on_flushed};

static uint64_t now_of(const struct conn *c)
{
    return loop_now_us(c->env->loop);
}

static struct sched_policy policy_of(const struct conn *c)
{
    return (struct sched_policy){.depth_max = c->env->conf->db_pipeline_depth,
                                 .patience_us = c->env->conf->db_pipeline_patience_us};
}

/* ---- sending ---- */

/* A group whose COMMIT is held back goes on an empty pipeline alone: a pooler in transaction mode
 * gives the server to another client at the ReadyForQuery of the group before it, with messages of
 * ours on it that no Sync has ended. False: what has to go before is on its way. */
static bool is_clear(struct conn *c)
{
    if (c->steps_n)
        return false;
    if (!conn_needs_front(c) && c->identity != IDENTITY_UNASKED)
        return true;
    bool sent = conn_needs_front(c) ? conn_send_front(c) : conn_send_identity(c);
    if (sent)
        conn_arm_head(c);
    else
        conn_break(c, PQerrorMessage(c->pg));
    return false;
}

static void send_placed(struct conn *c)
{
    while (c->n_placed && c->state == CONN_UP && !c->uncommitted) {
        struct db_job *j = c->jobs.last;
        while (j->prev && j->prev->state == JOB_PLACED)
            j = j->prev;
        if (j->is_copy) {
            if (!copy_begin(c, j))
                conn_break(c, PQerrorMessage(c->pg));
            return;
        }
        if (conn_wants_mark(c, j) && !is_clear(c))
            return;
        bool first = c->steps_n == 0, idle = c->jobs.first == j;
        j->state = JOB_SENT;
        j->attempt.fate = FATE_RUNNING;
        c->n_placed--;
        if (idle)
            c->head_us = now_of(c);
        if (!conn_send_job(c, j))
            conn_break(c, PQerrorMessage(c->pg));
        else if (first)
            conn_arm_head(c);
    }
}

/* Runs once a turn in which the connection was touched: all its new groups in one write. */
static void on_flush(void *arg)
{
    struct conn *c = arg;
    if (c->state != CONN_UP)
        return;
    bool several = c->n_placed > 1, idle = c->steps_n == 0;
    if (several) /* libpq 15 sends each group as it is closed */
        session_cork(c->session, true);
    send_placed(c);
    /* While a cancel is on its way it could hit the reset. */
    if (c->state == CONN_UP && c->jobs.n == 0 && !c->cancel && conn_needs_front(c)) {
        bool first = c->steps_n == 0;
        if (!conn_send_front(c))
            conn_break(c, PQerrorMessage(c->pg));
        else if (first)
            conn_arm_head(c);
    }
    if (idle)
        c->work_us = loop_clock_us();
    if (c->state == CONN_UP)
        session_flush(c->session);
    if (several && c->state == CONN_UP)
        session_cork(c->session, false);
}

static void flush_later(struct conn *c)
{
    loop_defer(c->env->loop, LOOP_FLUSH, &c->flush_task);
}

/* ---- placing ---- */

/* Is every queued job read-only (movable) or preemptible? Then none can hold up a job behind it for
 * long. */
static bool is_relievable(const struct conn *c)
{
    for (const struct db_job *j = c->jobs.first; j; j = j->next)
        if (j->spec.can_write && !j->spec.yields)
            return false;
    return true;
}

bool conn_view(const struct conn *c, uint64_t now_us, struct sched_conn *view)
{
    if (c->state != CONN_UP || c->retire || c->solo || c->cancel || c->paused || c->parked ||
        c->probing || c->uncommitted)
        return false;
    if ((c->debts & DEBT_NAMES) || c->names_pending)
        return false; /* names that a user prepared must be gone before the next job */
    *view = (struct sched_conn){.depth = c->jobs.n,
                                .head_age_us = now_us - c->head_us,
                                .cost_us = c->jobs.cost_us,
                                .relievable = c->jobs.n > 0 && is_relievable(c)};
    return true;
}

void conn_place(struct conn *c, struct db_job *j)
{
    assert(c->state == CONN_UP && !c->solo && !j->list);
    uint64_t now = job_now(j);
    const struct sched_policy policy = policy_of(c);
    if (c->jobs.n == 0)
        c->head_us = now;
    else if (!loop_timer_pending(&c->stuck))
        loop_timer_set(&c->stuck, sched_stuck_after_us(&policy));
    j->conn = c;
    j->state = JOB_PLACED;
    j->placed_us = now;
    if (c->up_us > j->submitted_us) /* it waited for this very connection to be made */
        j->connect_us = session_connect_us(c->session);
    job_list_push(&c->jobs, j);
    c->n_placed++;
    c->solo = sched_is_solo(&j->spec, j->alone);
    c->env->stats->jobs++;
    flush_later(c);
}

void conn_leave(struct conn *c, struct db_job *j)
{
    assert(j->state == JOB_PLACED && c->n_placed > 0);
    job_list_remove(j);
    c->n_placed--;
    j->conn = NULL;
    if (c->jobs.n == 0)
        c->solo = false;
}

/* ---- relief: others stand behind a job that takes long ---- */

/* A job whose commands are on their way but whose results nobody wants any more: the placeholder
 * stands in for it in the pipeline, and the job is free to go elsewhere. */
static struct db_job *leave_placeholder(struct conn *c, struct db_job *j)
{
    struct db_job *placeholder = job_placeholder(j);
    if (c->death_job == j)
        c->death_job = placeholder;
    if (c->uncommitted == j)
        c->uncommitted = placeholder;
    for (size_t i = 0; i < c->steps_n; i++) {
        struct step *s = &c->steps[(c->steps_first + i) & (c->steps_cap - 1)];
        if (s->job == j)
            s->job = placeholder;
    }
    job_list_replace(j, placeholder);
    return placeholder;
}

bool conn_let_go(struct conn *c, struct db_job *j)
{
    if (j->stop >= STOP_DEADLINE || j->spec.travel != DB_SHARED || j == c->jobs.first)
        return false;
    if (j->state == JOB_PLACED) {
        conn_leave(c, j);
        return true;
    }
    if (j->spec.can_write) /* it must not be done twice */
        return false;
    leave_placeholder(c, j);
    return true;
}

/* Jobs behind the head that can be done on another connection go there. What they sent here is done
 * all the same, so it is worth it only where another connection is free. */
static void disperse(struct conn *c)
{
    for (struct db_job *j = c->jobs.last, *before; j != c->jobs.first; j = before) {
        before = j->prev;
        bool sent = j->state == JOB_SENT;
        if (!sched_may_move(j->repeats.moves) || !conn_let_go(c, j))
            continue;
        j->repeats.moves++;
        c->env->stats->resends += sent;
        job_reset_attempt(j);
        c->ops->requeue(c->owner, j);
    }
}

static void preempt(struct conn *c, struct db_job *head)
{
    job_stop_for(head, STOP_PREEMPTED);
    conn_stop_head(c);
}

bool conn_make_solo(struct conn *c)
{
    struct db_job *head = c->jobs.first;
    assert(head);
    c->solo = true;
    if (!head->next)
        return true;
    preempt(c, head);
    return false;
}

static bool may_be_preempted(const struct db_job *head)
{
    return head->spec.yields && head->state == JOB_SENT &&
           (!head->attempt.delivered || head->ops.on_again);
}

static void on_stuck(void *arg)
{
    struct conn *c = arg;
    struct db_job *head = c->jobs.first;
    const struct sched_policy policy = policy_of(c);
    uint64_t limit = sched_stuck_after_us(&policy), ran = now_of(c) - c->head_us;
    if (c->state != CONN_UP || c->jobs.n < 2)
        return;
    const struct sched_stuck view = {.depth = c->jobs.n,
                                     .head_age_us = ran,
                                     .head_preemptible = may_be_preempted(head),
                                     .head_preempted = head->stop != STOP_NONE,
                                     .room_elsewhere = c->ops->room_elsewhere(c->owner, c)};
    switch (sched_relief(&policy, &view)) {
    case RELIEF_PREEMPT: preempt(c, head); break;
    case RELIEF_DISPERSE: disperse(c); break;
    case RELIEF_NONE: break;
    }
    loop_timer_set(&c->stuck, ran < limit ? limit - ran : limit);
}

/* ---- reading ---- */

static void on_read_later(void *arg)
{
    struct conn *c = arg;
    if (c->state == CONN_UP && !c->reading)
        conn_read(c);
}

void conn_read_later(struct conn *c)
{
    loop_defer(c->env->loop, LOOP_COMPLETE, &c->read_task);
}

void conn_set_paused(struct conn *c, bool paused)
{
    if (c->paused == paused || c->state != CONN_UP)
        return;
    c->paused = paused;
    session_pause(c->session, paused || c->parked);
    if (!paused)
        conn_read_later(c); /* what libpq has already read wakes nobody */
}

/* After reading: what has to happen now that there is room. */
void conn_became_idle(struct conn *c)
{
    if (c->jobs.n == 0) {
        c->idle_us = now_of(c);
        if (c->retire && !c->cancel && c->steps_n == 0) {
            const struct conn_ops *ops = c->ops;
            void *owner = c->owner;
            conn_close(c);
            ops->room(owner);
            return;
        }
        if (conn_needs_front(c))
            flush_later(c);
    }
    if (c->n_placed) /* a COPY waits for the pipeline to be empty */
        flush_later(c);
    c->ops->room(c->owner);
}

/* ---- cancelling ---- */

/* A signal that reaches PostgreSQL between two statements of a group is thrown away by it: while
 * the head still runs, say it again. */
static void on_again(void *arg)
{
    struct conn *c = arg;
    struct db_job *head = c->jobs.first;
    bool in_vain = c->stop_us && now_of(c) - c->stop_us > CONN_CANCEL_MAX_US;
    if (c->state != CONN_UP)
        return;
    if (in_vain && head && head->stop == STOP_PREEMPTED) {
        head->stop = STOP_NONE; /* its caller wants the result: it goes on to its end */
        c->stop_us = 0;
    } else if (in_vain) {
        conn_break(c, "the running statement could not be cancelled");
    } else {
        conn_stop_head(c);
    }
}

static void on_cancelled(void *arg)
{
    struct conn *c = arg;
    c->cancel = NULL;
    if (c->jobs.first && job_is_to_stop(c->jobs.first))
        loop_timer_set(&c->again, CONN_CANCEL_AGAIN_US);
    conn_became_idle(c);
}

/* Only the head is ever cancelled: what stands behind waits for its turn and is cancelled then. A
 * job that is hit by another's cancel is sent again. */
void conn_stop_head(struct conn *c)
{
    if (!c->jobs.first || !job_is_to_stop(c->jobs.first)) {
        c->stop_us = 0;
        return;
    }
    if (c->cancel || copy_stop(c))
        return; /* on_cancelled sees to it */
    if (c->steps_n && !conn_head(c)->job)
        return; /* a reset still runs before it, which must not be hit: its Sync asks again */
    c->cancel_us = now_of(c);
    if (!c->stop_us)
        c->stop_us = c->cancel_us;
    c->cancel = cancel_start(c->env->loop, c->env->helpers, c->pg, on_cancelled, c);
    if (!c->cancel)
        loop_timer_set(&c->again, CONN_CANCEL_AGAIN_US);
    c->env->stats->cancels++;
    for (struct db_job *j = c->jobs.first; j; j = j->next)
        j->attempt.hit = j->attempt.hit || j->state == JOB_SENT;
    /* A paused stream must be read to its end before the connection can be used again. */
    conn_set_paused(c, false);
    conn_unpark(c, false);
}

void conn_abandon(struct conn *c, struct db_job *j)
{
    assert(j->state == JOB_SENT && !j->is_copy);
    job_stop_for(leave_placeholder(c, j), STOP_CALLER_LEFT);
    conn_stop_head(c);
}

/* ---- signs of life ---- */

void conn_probe(struct conn *c)
{
    if (!conn_quiet(c) || c->steps_n || c->probing)
        return;
    c->probing = true;
    if (!conn_send_front(c)) {
        conn_break(c, PQerrorMessage(c->pg));
        return;
    }
    conn_arm_head(c);
    session_flush(c->session);
}

const char *conn_overdue(const struct conn *c, uint64_t now_us, bool awaited)
{
    const struct db_job *head = c->jobs.first;
    uint64_t own_max_us = c->probing ? CONN_PROBE_MAX_US : CONN_RESET_MAX_US;
    if (c->cancel && now_us - c->cancel_us > CONN_CANCEL_SEND_MAX_US)
        return "a cancel request did not get through";
    if (awaited && c->stop_us && now_us - c->stop_us > CONN_CANCEL_AWAITED_US && head &&
        head->stop > STOP_PREEMPTED)
        return "no answer came to a cancel";
    if (c->own_us && now_us - c->own_us > own_max_us)
        return c->probing ? "it gave no sign of life" : "the reset of its session was not answered";
    return NULL;
}

/* ---- up and down ---- */

static uint64_t lifetime_of(const struct conn *c)
{
    uint64_t lifetime = c->env->conf->db_pool_max_lifetime_us;
    /* Up to a tenth less, so that they do not all end together. */
    return lifetime ? lifetime - c->jitter % (lifetime / 10 + 1) : 0;
}

static void on_up(void *arg)
{
    struct conn *c = arg;
    struct conn_env *env = c->env;
    c->pg = session_pg(c->session);
    c->utf8 = PQclientEncoding(c->pg);
    const char *conforming = PQparameterStatus(c->pg, "standard_conforming_strings");
    env->strings_known = true;
    env->backslash_escapes = conforming && strcmp(conforming, "off") == 0;
    if (!PQenterPipelineMode(c->pg)) {
        conn_break(c, "cannot enter pipeline mode");
        return;
    }
    c->state = CONN_UP;
    c->up_us = c->idle_us = c->head_us = now_of(c);
    if (env->prepared && env->conf->db_statement_cache)
        c->cache = stmt_cache_new(env->conf->db_statement_cache);
    uint64_t lifetime = lifetime_of(c);
    c->expire_us = lifetime ? c->up_us + lifetime : 0;
    c->ops->up(c->owner, c);
}

static void on_down(void *arg, const struct db_error *why)
{
    struct conn *c = arg;
    if (c->state == CONN_CONNECTING)
        c->ops->failed(c->owner, c, why);
    else if (c->state == CONN_UP)
        c->ops->lost(c->owner, c, why);
}

void conn_break(struct conn *c, const char *why)
{
    struct db_failure f = {0};
    db_failure_set(&f, "08006", why, NULL);
    on_down(c, &f.error);
    db_failure_fini(&f);
}

/* A FATAL of PostgreSQL's own ends the session at the job it names: what stands behind it was never
 * run. */
struct db_job *conn_take_job(struct conn *c)
{
    struct db_job *j = c->jobs.first;
    if (!j)
        return NULL;
    bool behind = c->death == DEATH_IN_OWN && j != c->death_job;
    if (c->death_job == j)
        c->death = DEATH_IN_OWN;
    job_list_remove(j);
    if (j->state == JOB_PLACED)
        c->n_placed--;
    else if (behind && j->attempt.fate == FATE_RUNNING)
        j->attempt.fate = FATE_NOT_RUN;
    else
        job_lose_attempt(j);
    return j;
}

struct conn *conn_open(struct conn_env *env, const struct conn_ops *ops, void *owner,
                       uint64_t jitter)
{
    struct conn *c = xcalloc(1, sizeof *c);
    c->env = env;
    c->ops = ops;
    c->owner = owner;
    c->jitter = jitter;
    c->flush_task = LOOP_TASK(on_flush, c);
    c->read_task = LOOP_TASK(on_read_later, c);
    loop_timer_init(&c->stuck, env->loop, on_stuck, c);
    loop_timer_init(&c->again, env->loop, on_again, c);
    struct session_spec spec = {.uri = env->uri,
                                .user = env->user,
                                .password = env->password,
                                .database = env->database,
                                .options = env->prepared ? env->options : NULL,
                                .application_name = env->application_name,
                                .logins = env->logins,
                                .client_login = env->client_login,
                                .connect_timeout_us = env->conf->db_connect_timeout_us,
                                .host_memory = &env->host_memory};
    c->session = session_start(env->loop, env->helpers, &spec, &session_ops, c);
    return c;
}

static void destroy(void *p)
{
    struct conn *c = p;
    stmt_cache_free(c->cache);
    for (size_t i = 0; i < c->n_user_names; i++)
        free(c->user_names[i]);
    free(c->user_names);
    free(c->steps);
    free(c);
}

void conn_close(struct conn *c)
{
    assert(c->state != CONN_CLOSED && c->jobs.n == 0);
    c->ops->gone(c->owner, c);
    c->state = CONN_CLOSED;
    conn_unpark(c, false);
    cancel_forget(c->cancel);
    c->cancel = NULL;
    loop_timer_stop(&c->again);
    loop_timer_stop(&c->stuck);
    loop_undefer(&c->flush_task);
    loop_undefer(&c->read_task);
    session_close(c->session);
    loop_free_later(c->env->loop, destroy, c);
}
