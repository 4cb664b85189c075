/* conn: one connection of a pool: what may be placed on it, when it is flushed, cancelled, closed.
 *
 * Life: conn_open (CONNECTING) -> pool_conn_up (UP: jobs are placed, sent, answered) -> conn_close
 * or loss (CLOSED), freed at the end of the turn. Groups of several jobs stand behind one another
 * in the pipeline; the first one is what PostgreSQL works on. */
#include "db/private.h"

#include <assert.h>
#include <stdlib.h>

#include "util/log.h"
#include "util/xalloc.h"

/* After so many times the patience, reads stuck behind a long job go elsewhere. */
#define STUCK_PATIENCES 20

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

static struct loop *loop_of(const struct conn *c)
{
    return c->pool->pools->loop;
}

/* ---- sending ---- */

static void send_placed(struct conn *c)
{
    while (c->n_placed && c->state == CONN_UP) {
        struct db_job *j = c->jobs.last;
        while (j->prev && j->prev->state == JOB_PLACED)
            j = j->prev;
        if (j->copy) {
            if (!copy_begin(c, j))
                conn_break(c, PQerrorMessage(c->pg));
            return;
        }
        bool first = c->steps_n == 0, idle = c->jobs.first == j;
        j->state = JOB_SENT;
        c->n_placed--;
        if (idle)
            c->head_us = loop_now_us(loop_of(c));
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
    loop_defer(loop_of(c), LOOP_FLUSH, &c->flush_task);
}

/* Nobody on it can hold up for long who stands behind: what only reads lets others go, what
 * yields is thrown out. */
static bool all_yield(const struct conn *c)
{
    for (const struct db_job *j = c->jobs.first; j; j = j->next)
        if (j->spec.can_write && !j->spec.yields)
            return false;
    return true;
}

bool conn_takes(const struct conn *c, const struct db_job *j, uint64_t now_us)
{
    const struct conf *conf = c->pool->pools->conf;
    if (c->state != CONN_UP || c->retire || c->solo || c->cancel || c->paused || c->parked)
        return false;
    if (c->need_names || c->names_pending)
        return false; /* names that a user prepared must be gone before the next job */
    if (c->jobs.n == 0)
        return true;
    if (j->spec.travel == DB_EXCLUSIVE || j->alone || c->jobs.n >= conf->db_pipeline_depth ||
        now_us - c->head_us > conf->db_pipeline_patience_us)
        return false;
    return !j->spec.yields || all_yield(c);
}

void conn_place(struct conn *c, struct db_job *j)
{
    assert(c->state == CONN_UP && !c->solo && !j->list);
    uint64_t now = job_now(j);
    if (c->jobs.n == 0)
        c->head_us = now;
    else if (!loop_timer_pending(&c->stuck))
        loop_timer_set(&c->stuck, STUCK_PATIENCES * c->pool->pools->conf->db_pipeline_patience_us);
    j->conn = c;
    j->state = JOB_PLACED;
    j->placed_us = now;
    if (c->up_us > j->submitted_us) /* it waited for this very connection to be made */
        j->connect_us = session_connect_us(c->session);
    job_list_push(&c->jobs, j);
    c->n_placed++;
    /* Nobody waits behind a stream: its reader may be slow. */
    c->solo =
        j->spec.travel == DB_EXCLUSIVE || j->alone || (j->spec.stream_rows && !j->spec.yields);
    c->pool->stats.jobs++;
    flush_later(c);
}

/* A job whose commands are on their way but whose results nobody wants any more: it stands in for
 * j in the pipeline, and j is free to go elsewhere. */
static void leave_ghost(struct conn *c, struct db_job *j)
{
    struct db_job *ghost = job_ghost(j);
    for (size_t i = 0; i < c->steps_n; i++) {
        struct step *s = &c->steps[(c->steps_first + i) & (c->steps_cap - 1)];
        if (s->job == j)
            s->job = ghost;
    }
    job_list_replace(j, ghost);
}

bool conn_let_go(struct conn *c, struct db_job *j)
{
    if (j->cancelled || j->timed_out || j->spec.travel != DB_SHARED || j == c->jobs.first)
        return false;
    if (j->state == JOB_PLACED) {
        conn_leave(c, j);
        return true;
    }
    if (j->spec.can_write) /* it must not be done twice */
        return false;
    leave_ghost(c, j);
    return true;
}

static bool room_elsewhere(const struct conn *c)
{
    const struct db_pool *p = c->pool;
    for (const struct conn *other = p->conns; other; other = other->next)
        if (other != c && conn_idle(other))
            return true;
    return p->n_conns < p->max;
}

/* Those behind the head who can be done on another connection go there. What they sent here is done
 * all the same, so it is worth it only where another connection is free. */
static void disperse(struct conn *c)
{
    for (struct db_job *j = c->jobs.last, *before; j != c->jobs.first; j = before) {
        before = j->prev;
        bool sent = j->state == JOB_SENT;
        if (j->moves >= JOB_MOVES_MAX || !conn_let_go(c, j))
            continue;
        j->moves++;
        c->pool->stats.resends += sent;
        job_forget_try(j);
        pool_requeue(j);
    }
}

/* The head runs long, and others stand behind it. If it yields it is cancelled, and run again with
 * nobody behind it; else the others leave. */
static void on_stuck(void *arg)
{
    struct conn *c = arg;
    uint64_t limit = STUCK_PATIENCES * c->pool->pools->conf->db_pipeline_patience_us;
    uint64_t ran = loop_now_us(loop_of(c)) - c->head_us;
    struct db_job *head = c->jobs.first;
    if (c->state != CONN_UP || c->jobs.n < 2)
        return;
    bool yields =
        head->spec.yields && head->state == JOB_SENT && (!head->delivered || head->ops.on_again);
    if (ran >= limit && yields && !head->thrown) {
        head->thrown = true;
        conn_stop_head(c);
    } else if (ran >= limit && !yields && room_elsewhere(c)) {
        disperse(c);
    }
    loop_timer_set(&c->stuck, ran < limit ? limit - ran : limit);
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

/* ---- reading ---- */

static void on_read_later(void *arg)
{
    struct conn *c = arg;
    if (c->state == CONN_UP && !c->reading)
        conn_read(c);
}

void conn_read_later(struct conn *c)
{
    loop_defer(loop_of(c), LOOP_COMPLETE, &c->read_task);
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
        c->idle_us = loop_now_us(loop_of(c));
        if (c->retire && !c->cancel && c->steps_n == 0) {
            struct db_pool *pool = c->pool;
            conn_close(c);
            pool_pump_later(pool);
            return;
        }
        if (conn_needs_front(c))
            flush_later(c);
    }
    if (c->n_placed) /* a COPY waits for the pipeline to be empty */
        flush_later(c);
    if (c->pool->waiting.n || c->pool->pools->draining)
        pool_pump_later(c->pool);
}

/* ---- cancelling ---- */

static bool is_to_stop(const struct db_job *j)
{
    return j && j->state == JOB_SENT && !j->ghost &&
           (j->cancelled || j->timed_out || j->refused || j->thrown);
}

/* A signal that reaches PostgreSQL between two statements of a group is thrown away by it: while
 * the head still runs, say it again. */
static void on_again(void *arg)
{
    struct conn *c = arg;
    struct db_job *head = c->jobs.first;
    bool in_vain = c->stop_us && loop_now_us(loop_of(c)) - c->stop_us > CONN_CANCEL_MAX_US;
    if (c->state != CONN_UP)
        return;
    if (in_vain && head && !head->cancelled && !head->timed_out && !head->refused) {
        head->thrown = false; /* somebody wants its result: it goes on to its end */
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
    if (is_to_stop(c->jobs.first))
        loop_timer_set(&c->again, CONN_CANCEL_AGAIN_US);
    conn_became_idle(c);
}

/* Only the head is ever cancelled: what stands behind waits for its turn and is cancelled then.
 * Whoever else is hit by it is sent again. */
void conn_stop_head(struct conn *c)
{
    if (!is_to_stop(c->jobs.first)) {
        c->stop_us = 0;
        return;
    }
    if (c->cancel || copy_stop(c))
        return; /* on_cancelled sees to it */
    if (c->steps_n && !conn_head(c)->job)
        return; /* a reset still runs before it, which must not be hit: its Sync asks again */
    c->cancel_us = loop_now_us(loop_of(c));
    if (!c->stop_us)
        c->stop_us = c->cancel_us;
    c->cancel = cancel_start(loop_of(c), c->pool->pools->helpers, c->pg, on_cancelled, c);
    if (!c->cancel)
        loop_timer_set(&c->again, CONN_CANCEL_AGAIN_US);
    c->pool->stats.cancels++;
    for (struct db_job *j = c->jobs.first; j; j = j->next)
        j->hit = j->hit || j->state == JOB_SENT;
    /* A paused stream must be read to its end before the connection can be used again. */
    conn_set_paused(c, false);
    conn_unpark(c, false);
}

/* ---- up and down ---- */

static void on_up(void *arg)
{
    struct conn *c = arg;
    struct db_pool *pool = c->pool;
    const struct conf *conf = pool->pools->conf;
    c->pg = session_pg(c->session);
    c->utf8 = PQclientEncoding(c->pg);
    const char *conforming = PQparameterStatus(c->pg, "standard_conforming_strings");
    pool->strings_known = true;
    pool->backslash_escapes = conforming && strcmp(conforming, "off") == 0;
    if (!PQenterPipelineMode(c->pg)) {
        conn_break(c, "cannot enter pipeline mode");
        return;
    }
    c->state = CONN_UP;
    c->up_us = c->idle_us = c->head_us = loop_now_us(loop_of(c));
    if (pool->prepared && conf->db_statement_cache)
        c->cache = stmt_cache_new(conf->db_statement_cache);
    uint64_t lifetime = conf->db_pool_max_lifetime_us;
    if (lifetime) /* a tenth of jitter, so that they do not all end together */
        c->expire_us = c->up_us + lifetime - pools_jitter(pool->pools, lifetime / 10);
    pool_conn_up(c);
}

static void on_down(void *arg, const struct db_error *why)
{
    struct conn *c = arg;
    if (c->state == CONN_CONNECTING)
        pool_conn_failed(c, why);
    else if (c->state == CONN_UP)
        pool_conn_lost(c, why);
}

void conn_break(struct conn *c, const char *why)
{
    struct db_failure f = {0};
    db_failure_set(&f, "08006", why, NULL);
    on_down(c, &f.error);
    db_failure_fini(&f);
}

struct conn *conn_open(struct db_pool *pool)
{
    struct conn *c = xcalloc(1, sizeof *c);
    const struct conf *conf = pool->pools->conf;
    c->pool = pool;
    c->flush_task = LOOP_TASK(on_flush, c);
    c->read_task = LOOP_TASK(on_read_later, c);
    loop_timer_init(&c->stuck, pool->pools->loop, on_stuck, c);
    loop_timer_init(&c->again, pool->pools->loop, on_again, c);
    struct session_spec spec = {.uri = pool->uri,
                                .user = pool->user,
                                .password = pool->password,
                                .database = pool->database,
                                .options = pool->prepared ? pool->options : NULL,
                                .application_name = pool->application_name,
                                .logins = pool->pools->logins,
                                .client_login = pool->login,
                                .connect_timeout_us = conf->db_connect_timeout_us};
    c->session = session_start(pool->pools->loop, pool->pools->helpers, &spec, &session_ops, c);
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
    pool_conn_gone(c);
    c->state = CONN_CLOSED;
    conn_unpark(c, false);
    cancel_forget(c->cancel);
    c->cancel = NULL;
    loop_timer_stop(&c->again);
    loop_timer_stop(&c->stuck);
    loop_undefer(&c->flush_task);
    loop_undefer(&c->read_task);
    session_close(c->session);
    loop_free_later(loop_of(c), destroy, c);
}
