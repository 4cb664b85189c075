/* schedule: which job goes to which connection, when a pool grows, when a job is moved or
 * preempted, and what a job is expected to cost. Every such decision is a function here, over a
 * small view of connections and jobs; conn.c and pool.c build the views and carry the decisions
 * out.
 *
 * Pure functions: no PostgreSQL, no clock, no memory. tests/unit/test_db_schedule.c drives them.
 * The policy and its measurements stand at the head of schedule.c. Times are microseconds. Private
 * to src/db. */
#ifndef PGH_DB_SCHEDULE_H
#define PGH_DB_SCHEDULE_H

#include "db/outcome.h"
#include "db/pace.h"

struct sched_policy {
    size_t depth_max;     /* db-pipeline-depth: jobs on one connection at once */
    uint64_t patience_us; /* db-pipeline-patience */
};

/* ---- a job's cost ---- */

struct sched_cost {
    uint32_t us; /* expected time in PostgreSQL; PACE_SLOW_US where it is not known, or is more */
    bool alone;  /* it wants a connection with no other job on it, before or behind */
};
/* Are times of jobs like this one kept, by the text of their last statement? */
bool sched_cost_is_kept(const struct db_job_spec *);
/* estimate: pace_us() of the text; PACE_UNKNOWN where it has none. */
struct sched_cost sched_cost(const struct sched_policy *, const struct db_job_spec *,
                             uint32_t estimate);

/* ---- placing ---- */

struct sched_job {
    bool shared;      /* others may stand before and behind it */
    bool alone;       /* sched_cost */
    bool preemptible; /* it may be cancelled and run again: it leaves nothing */
    uint32_t cost_us;
};

struct sched_conn {       /* a connection that is up and takes jobs at all */
    size_t depth;         /* jobs on it */
    uint64_t head_age_us; /* since when PostgreSQL is at the first of them */
    uint64_t cost_us;     /* expected, of all of them */
    bool relievable;      /* every job on it is read-only (movable) or preemptible */
};

bool sched_accepts(const struct sched_policy *, const struct sched_conn *,
                   const struct sched_job *);
/* Pipelining the job here is better than an idle connection. probes counts pairs tried whatever
 * their cost; the pool keeps it. */
bool sched_pipelines(const struct sched_policy *, const struct sched_conn *,
                     const struct sched_job *, unsigned *probes);
/* Does nobody get a place behind this job while it is on a connection? */
bool sched_is_solo(const struct db_job_spec *, bool alone);

/* ---- growing ---- */

struct sched_pool {
    unsigned size, connecting, max;
    size_t waiting;
    bool unproven_login; /* no login of it succeeded yet */
    bool backing_off;    /* the last attempt failed: not before its time */
};
/* So many connections are opened now for the jobs that wait. */
unsigned sched_growth(const struct sched_pool *);
/* A job was placed behind others: is one more connection opened for the next? */
bool sched_wants_spare(const struct sched_pool *, size_t depth_before);

/* ---- relief: others stand behind a job that takes long ---- */

enum sched_relief {
    RELIEF_NONE,
    RELIEF_PREEMPT,  /* the head is cancelled and run again alone */
    RELIEF_DISPERSE, /* those behind the head that can go to other connections */
};
struct sched_stuck {
    size_t depth;
    uint64_t head_age_us;
    bool head_preemptible; /* it may be cancelled now, and what it gave can be taken back */
    bool head_preempted;   /* that is under way */
    bool room_elsewhere;   /* another connection is idle, or may be opened */
};
enum sched_relief sched_relief(const struct sched_policy *, const struct sched_stuck *);
/* The head of a pipeline is looked at so long after it began, and again as long after that. */
uint64_t sched_stuck_after_us(const struct sched_policy *);
/* A job may move to another connection so often. */
bool sched_may_move(unsigned moves);

/* ---- another attempt ---- */

struct sched_repeat {
    enum attempt_fate fate;
    enum job_stop stop;
    bool can_write, copy;
    bool atomic;     /* one transaction: rolled back as a whole */
    bool shared;     /* a cancel for another job on its connection may have hit it */
    bool hit;        /* a cancel was sent on its connection while it was there */
    bool unprepared; /* this attempt used no prepared names */
    unsigned losses; /* attempts that ended with their connection */
    unsigned hits;   /* attempts that ended by a cancel for another job */
    uint64_t ran_us; /* since it was placed on its connection */
};
/* May this attempt be repeated, unseen by the caller, as far as the budget of repeats goes? */
bool sched_may_repeat(const struct sched_repeat *);

#endif
