/* The policy.
 *
 * First come, first served: while jobs wait, a new one stands behind them, whatever its kind. A
 * short job is pipelined behind other short ones, even while other connections are idle; else it
 * goes to an idle connection, else (shared) to the shortest pipeline whose head has not run longer
 * than db-pipeline-patience; else it waits, and the pool grows up to its size.
 *
 * Short jobs share a connection as long as together they take less than the patience: a backend
 * that goes on costs a third of one that is woken. Longer jobs are better spread over the
 * processors that PostgreSQL has. What a job takes by itself cannot be told while processors are
 * short; so one pair in PROBE_EVERY is pipelined whatever its cost: where two take no longer than
 * one, the estimate soon allows more.
 *
 * What pipelining is worth, 32 clients on two cores shared with server and load (microseconds of
 * CPU a request, ours and PostgreSQL's; each on an idle connection -> pipelined; the cases of `make
 * bench`, the backends' times from /proc, interleaved on a busy machine):
 *     /sql point read    24..35 and 30..43 -> 15..21 and 12..18
 *     /rest point read   30..43 and 54..83 -> 20..23 and 31
 *     /rest insert       33..40 and 60     -> 23..25 and 50
 * A single connection, 16 deep, is as cheap but no quicker: one core's worth of backends is too
 * few.
 *
 * A job that takes STUCK_PATIENCES times the patience while others stand behind it makes room: if
 * it is preemptible it is cancelled and run again alone, else the movable ones behind it leave. */
#include "db/schedule.h"

#define PROBE_EVERY 8
#define STUCK_PATIENCES 20
/* So often one job is sent to another connection because it stood behind a slow one. */
#define MOVES_MAX 16
/* Cancels meant for others that one job survives unseen. */
#define HITS_MAX 16
/* A session that PostgreSQL ended (an administrator's pg_terminate_backend, a restart) is forgiven
 * unseen only to a job that ran for less than this: what runs longer may be what was to be ended.
 */
#define MOMENT_US 100000ull
/* Connections of one pool being made at a time: a burst must not start a hundred logins. */
#define CONNECTING_MAX 4

/* ---- a job's cost ---- */

bool sched_cost_is_kept(const struct db_job_spec *s)
{
    return s->travel == DB_SHARED && (s->yields || !s->can_write);
}

struct sched_cost sched_cost(const struct sched_policy *p, const struct db_job_spec *s,
                             uint32_t estimate)
{
    struct sched_cost cost = {.us = PACE_SLOW_US};
    if (!sched_cost_is_kept(s)) {
        cost.alone = s->foreign; /* nothing will ever be known of it */
        return cost;
    }
    if (estimate < PACE_SLOW_US)
        cost.us = estimate;
    /* A write is preempted only where it was quick before: what it does outside of the database (a
     * trigger that calls a service) would be done twice. */
    bool slow = estimate == PACE_UNKNOWN ? s->can_write : estimate >= PACE_SLOW_US / 2;
    cost.alone = s->yields && (slow || p->depth_max == 1);
    return cost;
}

/* ---- placing ---- */

bool sched_accepts(const struct sched_policy *p, const struct sched_conn *c,
                   const struct sched_job *j)
{
    if (c->depth == 0)
        return true;
    if (!j->shared || j->alone || c->depth >= p->depth_max || c->head_age_us > p->patience_us)
        return false;
    return !j->preemptible || c->relievable;
}

bool sched_pipelines(const struct sched_policy *p, const struct sched_conn *c,
                     const struct sched_job *j, unsigned *probes)
{
    if (c->depth == 0 || !j->shared || j->cost_us == PACE_SLOW_US)
        return false;
    if (c->cost_us + j->cost_us <= p->patience_us)
        return true;
    return c->depth == 1 && c->cost_us < PACE_SLOW_US && ++*probes % PROBE_EVERY == 0;
}

bool sched_is_solo(const struct db_job_spec *s, bool alone)
{
    /* Nobody waits behind a stream: its reader may be slow. */
    return s->travel == DB_EXCLUSIVE || alone || (s->stream_rows && !s->yields);
}

/* ---- growing ---- */

static bool has_room(const struct sched_pool *p)
{
    return p->size < p->max && !p->backing_off;
}

unsigned sched_growth(const struct sched_pool *p)
{
    unsigned together = p->unproven_login ? 1 : CONNECTING_MAX;
    if (!has_room(p) || p->connecting >= together || p->connecting >= p->waiting)
        return 0;
    size_t wanted = p->waiting - p->connecting;
    unsigned n = together - p->connecting, room = p->max - p->size;
    n = n < room ? n : room;
    return wanted < n ? (unsigned)wanted : n;
}

/* Standing behind others works, but a slow one among them would hold this one up. */
bool sched_wants_spare(const struct sched_pool *p, size_t depth_before)
{
    return depth_before > 0 && p->connecting == 0 && has_room(p);
}

/* ---- relief ---- */

uint64_t sched_stuck_after_us(const struct sched_policy *p)
{
    return STUCK_PATIENCES * p->patience_us;
}

enum sched_relief sched_relief(const struct sched_policy *p, const struct sched_stuck *s)
{
    if (s->depth < 2 || s->head_age_us < sched_stuck_after_us(p))
        return RELIEF_NONE;
    if (s->head_preemptible)
        return s->head_preempted ? RELIEF_NONE : RELIEF_PREEMPT;
    return s->room_elsewhere ? RELIEF_DISPERSE : RELIEF_NONE;
}

bool sched_may_move(unsigned moves)
{
    return moves < MOVES_MAX;
}

/* ---- another attempt ---- */

bool sched_may_repeat(const struct sched_repeat *r)
{
    switch (r->fate) {
    case FATE_UNSENT:
    case FATE_NOT_RUN: return true;
    case FATE_UNCOMMITTED: return !r->copy && r->losses == 0 && r->ran_us < MOMENT_US;
    case FATE_STALE_NAME: return !r->unprepared;
    case FATE_CANCELED:
        return r->shared && (r->stop == STOP_PREEMPTED || (r->hit && r->hits < HITS_MAX));
    case FATE_TERMINATED: return r->atomic && !r->copy && r->losses == 0 && r->ran_us < MOMENT_US;
    case FATE_LOST: return !r->can_write && !r->copy && r->losses == 0;
    case FATE_RUNNING:
    case FATE_FAILED:
    case FATE_FAILED_AT_COMMIT:
    case FATE_COMMITTED:
    case FATE_UNREADABLE:
    case FATES: return false;
    }
    return false;
}
