#include "db/job_int.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "db/stmt_cache.h"
#include "util/xalloc.h"

#define FREE_JOBS_MAX 256

void job_list_push(struct job_list *l, struct db_job *j)
{
    assert(!j->list);
    j->list = l;
    j->next = NULL;
    j->prev = l->last;
    if (l->last)
        l->last->next = j;
    else
        l->first = j;
    l->last = j;
    l->n++;
    l->cost_us += j->cost_us;
}

void job_list_push_front(struct job_list *l, struct db_job *j)
{
    assert(!j->list);
    j->list = l;
    j->prev = NULL;
    j->next = l->first;
    if (l->first)
        l->first->prev = j;
    else
        l->last = j;
    l->first = j;
    l->n++;
    l->cost_us += j->cost_us;
}

void job_list_remove(struct db_job *j)
{
    struct job_list *l = j->list;
    if (!l)
        return;
    if (j->prev)
        j->prev->next = j->next;
    else
        l->first = j->next;
    if (j->next)
        j->next->prev = j->prev;
    else
        l->last = j->prev;
    l->n--;
    l->cost_us -= j->cost_us;
    j->list = NULL;
    j->next = j->prev = NULL;
}

void job_list_replace(struct db_job *j, struct db_job *by)
{
    struct job_list *l = j->list;
    assert(l && !by->list);
    by->list = l;
    by->next = j->next;
    by->prev = j->prev;
    *(j->prev ? &j->prev->next : &l->first) = by;
    *(j->next ? &j->next->prev : &l->last) = by;
    j->list = NULL;
    j->next = j->prev = NULL;
}

uint64_t job_now(const struct db_job *j)
{
    return loop_now_us(j->home->loop);
}

/* ---- life of the struct ---- */

bool job_mentions(const struct db_job_spec *spec, const char *word)
{
    for (size_t i = 0; i < spec->n; i++)
        if (strcasestr(spec->stmts[i].sql, word))
            return true;
    return false;
}

static struct db_job *take_struct(struct job_home *home)
{
    struct db_job *j = home->free_jobs;
    if (!j)
        return xmalloc(sizeof *j);
    home->free_jobs = j->next;
    home->n_free_jobs--;
    return j;
}

static void init_attempt(struct db_job *j)
{
    struct job_attempt *a = &j->attempt;
    *a = (struct job_attempt){
        .failed = j->spec.n, .held = a->held_inline, .held_cap = JOB_HELD_INLINE};
}

struct db_job *job_placeholder(const struct db_job *of)
{
    struct db_job *j = take_struct(of->home);
    *j = (struct db_job){.pool = of->pool,
                         .stats = of->stats,
                         .home = of->home,
                         .conn = of->conn,
                         .spec = of->spec,
                         .state = of->state,
                         .cost_us = of->cost_us,
                         .stop = STOP_MOVED};
    j->spec.stmts = NULL; /* the caller's, which may be gone */
    init_attempt(j);
    j->attempt.fate = of->attempt.fate;
    return j;
}

struct db_job *job_new(struct job_home *home, const struct db_job_spec *spec, void *arg)
{
    struct db_job *j = take_struct(home);
    *j = (struct db_job){.home = home, .spec = *spec, .arg = arg, .cost_us = PACE_SLOW_US};
    init_attempt(j);
    j->submitted_us = job_now(j);
    if (spec->timeout_us)
        j->deadline_us = j->submitted_us + spec->timeout_us;
    if (spec->queue_timeout_us)
        j->queue_deadline_us = j->submitted_us + spec->queue_timeout_us;
    if (spec->travel == DB_EXCLUSIVE && spec->leaves_state)
        j->may_prepare = job_mentions(spec, "prepare");
    return j;
}

static void job_free(void *p)
{
    struct db_job *j = p;
    struct job_home *home = j->home;
    if (home->n_free_jobs >= FREE_JOBS_MAX) {
        free(j);
        return;
    }
    j->next = home->free_jobs;
    home->free_jobs = j;
    home->n_free_jobs++;
}

void job_home_free(struct job_home *home)
{
    for (struct db_job *j = home->free_jobs, *next; j; j = next) {
        next = j->next;
        free(j);
    }
    home->free_jobs = NULL;
}

/* ---- an attempt ---- */

void job_stop_for(struct db_job *j, enum job_stop why)
{
    if (why > j->stop)
        j->stop = why;
}

void job_drop_held(struct db_job *j)
{
    for (size_t i = 0; i < j->attempt.n_held; i++)
        PQclear(j->attempt.held[i].res);
    j->attempt.n_held = 0;
}

static void drop_notices(struct db_job *j)
{
    struct job_notices *n = j->attempt.notices;
    for (size_t i = 0; n && i < n->n; i++)
        free(n->bytes[i]);
    free(n);
    j->attempt.notices = NULL;
}

static void drop_attempt(struct db_job *j)
{
    job_drop_held(j);
    drop_notices(j);
    db_failure_fini(&j->attempt.failure);
    if (j->attempt.held != j->attempt.held_inline)
        free(j->attempt.held);
}

void job_reset_attempt(struct db_job *j)
{
    drop_attempt(j);
    init_attempt(j);
}

void job_drop(struct db_job *j)
{
    job_list_remove(j);
    loop_undefer(&j->task);
    job_reset_attempt(j);
    loop_free_later(j->home->loop, job_free, j);
}

void job_hold(struct db_job *j, size_t stmt, PGresult *res)
{
    struct job_attempt *a = &j->attempt;
    if (a->n_held == a->held_cap) {
        size_t cap = a->held_cap * 2;
        struct held_result *more = xmalloc(cap * sizeof *more);
        memcpy(more, a->held, a->n_held * sizeof *more);
        if (a->held != a->held_inline)
            free(a->held);
        a->held = more;
        a->held_cap = cap;
    }
    a->held[a->n_held++] = (struct held_result){res, stmt};
}

/* The five fields one behind the other in one allocation. */
void job_notice(struct db_job *j, size_t stmt, const PGresult *res)
{
    struct db_error e;
    db_error_of_result(&e, res);
    const char *from[5] = {e.severity, e.code, e.message, e.detail, e.hint}, *to[5] = {0};
    size_t total = 0;
    for (int i = 0; i < 5; i++)
        total += from[i] ? strlen(from[i]) + 1 : 0;
    if (!j->attempt.notices)
        j->attempt.notices = xcalloc(1, sizeof *j->attempt.notices);
    struct job_notices *n = j->attempt.notices;
    if (n->n == JOB_NOTICES_MAX || total > JOB_NOTICES_BYTES - n->total) {
        n->dropped++;
        return;
    }
    char *bytes = xmalloc(total + 1), *p = bytes;
    for (int i = 0; i < 5; i++) {
        if (!from[i])
            continue;
        size_t len = strlen(from[i]) + 1;
        to[i] = memcpy(p, from[i], len);
        p += len;
    }
    n->bytes[n->n] = bytes;
    n->stmt[n->n] = stmt;
    n->v[n->n++] = (struct db_notice){to[0], to[1], to[2], to[3], to[4]};
    n->total += total;
}

void job_fail(struct db_job *j, enum attempt_fate fate, const char *code, const char *message)
{
    struct db_error e = {.severity = "ERROR", .code = code, .message = message};
    db_failure_copy(&j->attempt.failure, &e);
    j->attempt.fate = fate;
}

/* While COMMIT is held back the transaction cannot have been committed. Afterwards it has, if at
 * all, written nothing where it has no number (commit_mark.h). */
void job_lose_attempt(struct db_job *j)
{
    struct job_attempt *a = &j->attempt;
    enum attempt_fate fate = outcome_after_loss(a->fate);
    bool nothing = a->commit == COMMIT_HELD || (a->commit == COMMIT_SENT && a->mark.xid == 0);
    a->fate = fate == FATE_LOST && nothing ? FATE_UNCOMMITTED : fate;
}

/* ---- the end ---- */

static bool may_repeat(const struct db_job *j)
{
    const struct db_job_spec *s = &j->spec;
    const struct sched_repeat r = {.fate = j->attempt.fate,
                                   .stop = j->stop,
                                   .can_write = s->can_write,
                                   .copy = j->is_copy,
                                   .atomic = s->travel == DB_SHARED || s->in_transaction,
                                   .shared = s->travel == DB_SHARED,
                                   .hit = j->attempt.hit,
                                   .unprepared = j->unprepared,
                                   .losses = j->repeats.losses,
                                   .hits = j->repeats.hits,
                                   .ran_us = job_now(j) - j->placed_us};
    return sched_may_repeat(&r);
}

/* Before another attempt: what was delivered of this one is taken back. */
static bool take_back(struct db_job *j)
{
    return !j->attempt.delivered || (j->ops.on_again && j->ops.on_again(j->arg));
}

static void count_repeat(struct db_job *j)
{
    switch ((int)j->attempt.fate) {
    case FATE_STALE_NAME: j->unprepared = true; break;
    case FATE_LOST:
    case FATE_UNCOMMITTED:
    case FATE_TERMINATED: j->repeats.losses++; break;
    case FATE_CANCELED:
        if (j->stop == STOP_PREEMPTED)
            j->alone = true;
        else
            j->repeats.hits++;
        break;
    default: break;
    }
}

enum verdict job_verdict(struct db_job *j)
{
    bool stoppable = j->stop <= STOP_PREEMPTED;
    const struct outcome_case o = {.stop = j->stop,
                                   .fate = j->attempt.fate,
                                   .can_write = j->spec.can_write,
                                   .can_look_up = j->attempt.commit == COMMIT_SENT &&
                                                  j->attempt.mark.xid && !j->looked_up,
                                   .may_repeat = stoppable && may_repeat(j) && take_back(j)};
    enum verdict v = outcome_verdict(&o);
    if (v == VERDICT_AGAIN)
        count_repeat(j);
    return v;
}

/* Results that waited for ReadyForQuery. The commit stands, whatever the callback says. */
static void deliver(struct db_job *j)
{
    const struct job_attempt *a = &j->attempt;
    for (size_t i = 0; i < a->n_held && !job_is_silent(j); i++)
        if (!j->ops.on_result(j->arg, a->held[i].stmt,
                              (const struct db_result *)(const void *)a->held[i].res))
            break;
}

static void fill_times(const struct db_job *j, struct db_outcome *o)
{
    uint64_t placed = j->placed_us ? j->placed_us : j->ended_us;
    o->queue_us = placed - j->submitted_us;
    o->connect_us = j->connect_us < o->queue_us ? j->connect_us : o->queue_us;
    o->queue_us -= o->connect_us;
    o->db_us = j->ended_us - placed;
}

static void fill_error(const struct db_job *j, struct db_outcome *o)
{
    if (j->end == DB_DONE)
        return;
    o->error = j->attempt.failure.error;
    if (j->end == DB_TIMED_OUT && !o->error.hint)
        o->error.hint = j->home->timeout_hint;
    if (*j->transaction)
        o->transaction = j->transaction;
}

static void fill_notices(const struct db_job *j, struct db_outcome *o)
{
    const struct job_notices *n = j->attempt.notices;
    if (!n)
        return;
    o->notices = n->v;
    o->notice_stmt = n->stmt;
    o->n_notices = n->n;
    o->notices_dropped = n->dropped;
}

static void call_done(struct db_job *j)
{
    struct db_outcome o = {.end = j->end,
                           .failed = j->attempt.failed,
                           .queue_timeout = j->refusal == REFUSAL_QUEUE_TIMEOUT,
                           .login_refused = j->refusal == REFUSAL_LOGIN,
                           .stale_name = j->attempt.fate == FATE_STALE_NAME,
                           .left_transaction = j->attempt.left_transaction,
                           .retry_after_s = j->retry_after_s};
    fill_times(j, &o);
    fill_error(j, &o);
    fill_notices(j, &o);
    job_stop_for(j, STOP_CALLER_LEFT); /* exactly once */
    if (j->is_copy)
        j->copy_ops.on_done(j->arg, &o, str_of(j->copy.tag));
    else
        j->ops.on_done(j->arg, &o);
}

static void finish(struct db_job *j)
{
    job_list_remove(j);
    loop_undefer(&j->task);
    j->state = JOB_FINISHING;
    if (j->end == DB_DONE && !j->is_copy && j->ops.on_result)
        deliver(j);
    if (!job_is_silent(j))
        call_done(j);
    job_drop(j);
}

static void on_finish(void *arg)
{
    finish(arg);
}

static void end(struct db_job *j, enum db_end how, bool later)
{
    assert(j->state < JOB_ENDING);
    assert(how == DB_DONE || db_failure_any(&j->attempt.failure));
    job_list_remove(j);
    j->conn = NULL;
    j->state = JOB_ENDING;
    j->end = how;
    j->ended_us = job_now(j);
    j->stats->timeouts += how == DB_TIMED_OUT;
    if (!later) {
        finish(j);
        return;
    }
    job_list_push(&j->home->ending, j);
    j->task = LOOP_TASK(on_finish, j);
    loop_defer(j->home->loop, LOOP_COMPLETE, &j->task);
}

/* The detail says what is known of the reason. */
static void tell_unknown(struct db_job *j, const struct db_error *why)
{
    static const char unreadable[] =
        "client_encoding was changed: the result cannot be given as UTF-8";
    const struct db_failure *f = &j->attempt.failure;
    struct db_error e = {.severity = "ERROR", .code = "08007"};
    e.message = "the connection was lost before the outcome was known: it may have been committed";
    e.detail = db_failure_any(f) ? f->error.message : why ? why->message : NULL;
    if (j->attempt.fate == FATE_LOST && j->stop == STOP_DEADLINE && !why)
        e.message = "the time was over and PostgreSQL did not answer: it may have been committed";
    if (j->attempt.fate == FATE_UNREADABLE) {
        e.message = "the outcome is not known: it may have been committed";
        e.detail = unreadable;
    }
    char hint[COMMIT_MARK_TEXT_MAX + 64];
    if (j->attempt.commit == COMMIT_SENT && j->attempt.mark.xid && j->attempt.mark.server.system) {
        commit_mark_format(&j->attempt.mark, j->transaction);
        snprintf(hint, sizeof hint, "Ask GET /sql/outcome/%s what became of it.", j->transaction);
        e.hint = hint;
    }
    struct db_failure kept = {0};
    db_failure_copy(&kept, &e);
    db_failure_fini(&j->attempt.failure);
    j->attempt.failure = kept;
}

static void tell_failed(struct db_job *j)
{
    if (db_failure_any(&j->attempt.failure) && j->attempt.fate != FATE_LOST)
        return;
    if (j->attempt.fate == FATE_UNREADABLE)
        job_fail(j, FATE_UNREADABLE, "0A000",
                 "client_encoding was changed: the result cannot be given as UTF-8");
    else
        job_fail(j, j->attempt.fate, "57014", "canceling statement due to user request");
}

static void tell_timed_out(struct db_job *j)
{
    const struct db_failure *f = &j->attempt.failure;
    if (j->is_copy || !db_failure_any(f) || strcmp(f->error.code, "57014") != 0)
        job_fail(j, j->attempt.fate, "57014", "canceling statement due to timeout");
}

static void tell_not_sent(struct db_job *j, const struct db_error *why)
{
    if (!db_failure_any(&j->attempt.failure) && why)
        db_failure_copy(&j->attempt.failure, why);
    if (j->attempt.fate == FATE_UNCOMMITTED)
        job_fail(j, FATE_UNCOMMITTED, "08006",
                 "the connection was lost and the request rolled back");
    if (!db_failure_any(&j->attempt.failure))
        job_fail(j, j->attempt.fate, "57P03", "the database connection was closed");
    if (!j->retry_after_s)
        j->retry_after_s = 1;
}

void job_conclude(struct db_job *j, enum verdict verdict, const struct db_error *why, bool later)
{
    assert(verdict != VERDICT_AGAIN && verdict != VERDICT_LOOK_UP);
    switch (verdict) {
    case VERDICT_AGAIN:
    case VERDICT_LOOK_UP:
    case VERDICT_DROP: job_drop(j); return;
    case VERDICT_DONE: end(j, DB_DONE, later); return;
    case VERDICT_FAILED:
        tell_failed(j);
        end(j, DB_FAILED, later);
        return;
    case VERDICT_TIMED_OUT:
        tell_timed_out(j);
        end(j, DB_TIMED_OUT, later);
        return;
    case VERDICT_NOT_SENT:
        tell_not_sent(j, why);
        end(j, DB_NOT_SENT, later);
        return;
    case VERDICT_UNKNOWN:
        tell_unknown(j, why);
        end(j, DB_UNKNOWN, later);
        return;
    }
}

void job_refuse(struct db_job *j, const struct db_error *why, unsigned retry_after_s)
{
    db_failure_copy(&j->attempt.failure, why);
    j->retry_after_s = retry_after_s;
    job_conclude(j, VERDICT_NOT_SENT, NULL, true);
}

void job_finish_ending(struct job_home *home)
{
    while (home->ending.first)
        finish(home->ending.first);
}
