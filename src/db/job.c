#include "db/private.h"

#include <assert.h>
#include <stdlib.h>

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
    return loop_now_us(j->pools->loop);
}

/* Is the word PREPARE anywhere in it? Then names may be left behind, even out of a DO block. */
static bool mentions_prepare(const struct db_job_spec *spec)
{
    for (size_t i = 0; i < spec->n; i++)
        if (strcasestr(spec->stmts[i].sql, "prepare"))
            return true;
    return false;
}

static struct db_job *take_struct(struct db_pools *pools)
{
    struct db_job *j = pools->free_jobs;
    if (!j)
        return xmalloc(sizeof *j);
    pools->free_jobs = j->next;
    pools->n_free_jobs--;
    return j;
}

struct db_job *job_ghost(const struct db_job *of)
{
    struct db_job *j = take_struct(of->pools);
    *j = (struct db_job){.pool = of->pool,
                         .pools = of->pools,
                         .conn = of->conn,
                         .spec = of->spec,
                         .state = of->state,
                         .cost_us = of->cost_us,
                         .ghost = true,
                         .cancelled = true};
    j->spec.stmts = NULL; /* the caller's, who may be gone */
    j->held = j->held_inline;
    j->held_cap = JOB_HELD_INLINE;
    return j;
}

/* The pace is that of the last statement: those before it are our own settings. Clients may write
 * values into their texts, so that none comes twice; we do not. */
static void look_up_pace(struct db_job *j)
{
    const struct db_job_spec *s = &j->spec;
    bool kept = s->travel == DB_SHARED && (s->yields || !s->can_write);
    if (!kept || s->stmts[s->n - 1].sql_len > STMT_CACHE_TEXT_MAX) {
        j->alone = s->foreign; /* nothing will be known of it */
        return;
    }
    const struct db_stmt *st = &s->stmts[s->n - 1];
    struct str text = {st->sql, st->sql_len};
    j->key = (s->foreign ? stmt_shape_hash(text) : stmt_text_hash(text)) | 1;
    uint32_t pace = pace_us(j->pool->pace, j->key);
    if (pace < PACE_SLOW_US)
        j->cost_us = pace;
    /* What may write is cut short only where it was quick before: what it does outside of the
     * database (a trigger that calls a service) would be done twice. */
    bool slow = pace == PACE_UNKNOWN ? s->can_write : pace >= PACE_SLOW_US / 2;
    j->alone = s->yields && (slow || j->pools->conf->db_pipeline_depth == 1);
}

struct db_job *job_new(struct db_pool *pool, const struct db_job_spec *spec, void *arg)
{
    struct db_pools *pools = pool->pools;
    struct db_job *j = take_struct(pools);
    *j = (struct db_job){
        .pool = pool, .pools = pools, .spec = *spec, .arg = arg, .cost_us = PACE_SLOW_US};
    j->held = j->held_inline;
    j->held_cap = JOB_HELD_INLINE;
    j->failed = spec->n;
    look_up_pace(j);
    j->submitted_us = job_now(j);
    if (spec->timeout_us)
        j->deadline_us = j->submitted_us + spec->timeout_us;
    uint64_t patience = spec->queue_timeout_us;
    if (!patience)
        patience = pools->conf->db_pool_acquisition_timeout_us;
    if (patience)
        j->queue_deadline_us = j->submitted_us + patience;
    if (spec->travel == DB_EXCLUSIVE && spec->leaves_state)
        j->may_prepare = mentions_prepare(spec);
    return j;
}

void job_drop_held(struct db_job *j)
{
    for (size_t i = 0; i < j->n_held; i++)
        PQclear(j->held[i].res);
    j->n_held = 0;
}

static void drop_notices(struct db_job *j)
{
    for (size_t i = 0; j->notices && i < j->notices->n; i++)
        free(j->notices->bytes[i]);
    free(j->notices);
    j->notices = NULL;
}

void job_forget_try(struct db_job *j)
{
    job_drop_held(j);
    drop_notices(j);
    db_failure_fini(&j->failure);
    j->thrown = j->refused = j->delivered = j->rows = j->unreadable = j->failing = j->committed =
        j->unclear = j->hit = j->stale_name = j->left_transaction = false;
    j->failed = j->spec.n;
}

static void job_free(void *p)
{
    struct db_job *j = p;
    struct db_pools *pools = j->pools;
    if (pools->n_free_jobs >= FREE_JOBS_MAX) {
        free(j);
        return;
    }
    j->next = pools->free_jobs;
    pools->free_jobs = j;
    pools->n_free_jobs++;
}

void job_drop(struct db_job *j)
{
    job_list_remove(j);
    loop_undefer(&j->task);
    job_drop_held(j);
    drop_notices(j);
    db_failure_fini(&j->failure);
    if (j->held != j->held_inline)
        free(j->held);
    j->held = j->held_inline;
    loop_free_later(j->pools->loop, job_free, j);
}

void job_hold(struct db_job *j, size_t stmt, PGresult *res)
{
    if (j->n_held == j->held_cap) {
        size_t cap = j->held_cap * 2;
        struct held *more = xmalloc(cap * sizeof *more);
        memcpy(more, j->held, j->n_held * sizeof *more);
        if (j->held != j->held_inline)
            free(j->held);
        j->held = more;
        j->held_cap = cap;
    }
    j->held[j->n_held++] = (struct held){res, stmt};
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
    if (!j->notices)
        j->notices = xcalloc(1, sizeof *j->notices);
    struct notices *n = j->notices;
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

void job_fail(struct db_job *j, const char *code, const char *message, const char *detail)
{
    struct db_error e = {.severity = "ERROR", .code = code, .message = message, .detail = detail};
    db_failure_copy(&j->failure, &e);
    j->failing = true;
}

/* Results that waited for ReadyForQuery. The commit stands, whatever the callback says. */
static void deliver(struct db_job *j)
{
    for (size_t i = 0; i < j->n_held && !j->cancelled; i++)
        if (!j->ops.on_result(j->arg, j->held[i].stmt,
                              (const struct db_result *)(const void *)j->held[i].res))
            break;
}

static void finish(struct db_job *j)
{
    job_list_remove(j);
    loop_undefer(&j->task);
    j->finishing = true;
    struct db_outcome o = {.end = j->end,
                           .failed = j->failed,
                           .queue_timeout = j->queue_timeout,
                           .login_refused = j->login_refused,
                           .stale_name = j->stale_name,
                           .left_transaction = j->left_transaction,
                           .retry_after_s = j->retry_after_s};
    if (j->end == DB_DONE && !j->copy && j->ops.on_result)
        deliver(j);
    if (!j->cancelled) {
        uint64_t placed = j->placed_us ? j->placed_us : j->ended_us;
        o.queue_us = placed - j->submitted_us;
        o.connect_us = j->connect_us < o.queue_us ? j->connect_us : o.queue_us;
        o.queue_us -= o.connect_us;
        o.db_us = j->ended_us - placed;
        if (j->end != DB_DONE)
            o.error = j->failure.error;
        if (j->end == DB_TIMED_OUT && j->pools->cut && !o.error.hint)
            o.error.hint = "The server was stopped: see its setting shutdown-timeout.";
        if (j->notices) {
            o.notices = j->notices->v;
            o.notice_stmt = j->notices->stmt;
            o.n_notices = j->notices->n;
            o.notices_dropped = j->notices->dropped;
        }
        j->cancelled = true; /* exactly once */
        if (j->copy)
            j->copy_ops.on_done(j->arg, &o, str_of(j->copy_tag));
        else
            j->ops.on_done(j->arg, &o);
    }
    job_drop(j);
}

static void on_finish(void *arg)
{
    finish(arg);
}

static void prepare_end(struct db_job *j, enum db_end end)
{
    assert(j->state != JOB_ENDING);
    assert(end == DB_DONE || j->failure.error.code);
    job_list_remove(j);
    j->conn = NULL;
    j->state = JOB_ENDING;
    j->end = end;
    j->ended_us = job_now(j);
    if (j->pool && end == DB_TIMED_OUT)
        j->pool->stats.timeouts++;
}

void job_end(struct db_job *j, enum db_end end)
{
    prepare_end(j, end);
    finish(j);
}

void job_end_later(struct db_job *j, enum db_end end)
{
    prepare_end(j, end);
    job_list_push(&j->pools->ending, j);
    j->task = LOOP_TASK(on_finish, j);
    loop_defer(j->pools->loop, LOOP_COMPLETE, &j->task);
}

void job_finish_ending(struct db_pools *pools)
{
    while (pools->ending.first)
        finish(pools->ending.first);
}

bool db_job_long(struct db_job *j)
{
    struct conn *c = j->conn;
    if (j->key)
        pace_slow(j->pool->pace, j->key);
    if (j->state != JOB_SENT || c->jobs.first != j)
        return true;
    c->solo = true;
    if (!j->next)
        return true;
    j->thrown = true;
    conn_stop_head(c);
    return false;
}

void db_job_pause(struct db_job *j)
{
    if (j->state == JOB_SENT && j->conn->jobs.first == j)
        conn_set_paused(j->conn, true);
}

bool db_job_awaited(const struct db_job *j)
{
    return j->pool && j->pool->waiting.first;
}

void db_job_resume(struct db_job *j)
{
    if (j->state == JOB_SENT && j->conn->jobs.first == j)
        conn_set_paused(j->conn, false);
}
