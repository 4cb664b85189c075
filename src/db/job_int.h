/* job_int: a job as its connection and its pool see it. Private to src/db.
 *
 * Life: JOB_WAITING in its pool's queue -> JOB_PLACED on a connection, not yet encoded -> JOB_SENT
 * -> JOB_ENDING (its end is queued for later in this turn) -> JOB_FINISHING (its last callbacks
 * run)
 * -> its struct goes back to struct job_home. A job whose commit is in doubt is JOB_LOOKING
 * meanwhile (pool_lookup.c). An attempt that is to be repeated goes from JOB_SENT back to
 * JOB_WAITING, at the front of the queue.
 *
 * Who owns what: a job is in exactly one struct job_list: its pool's queue, its connection's, or
 * job_home.ending. What one attempt gave is in struct job_attempt, which job_reset_attempt empties.
 * Why a job is to stop, and what its attempt came to, are the enums of outcome.h. */
#ifndef PGH_DB_JOB_INT_H
#define PGH_DB_JOB_INT_H

#include "db/commit_mark.h"
#include "db/error.h"
#include "db/outcome.h"
#include "db/pool.h"
#include "db/schedule.h"
#include "util/loop.h"

#define JOB_NOTICES_MAX 100
#define JOB_NOTICES_BYTES (64 * 1024)
#define JOB_HELD_INLINE 4

struct conn;
struct lookup;

enum job_state { JOB_WAITING, JOB_PLACED, JOB_SENT, JOB_LOOKING, JOB_ENDING, JOB_FINISHING };

struct job_list {
    struct db_job *first, *last;
    size_t n;
    uint64_t cost_us; /* expected, of all of them */
};

/* Where the jobs of a worker come from and go to. Owned by struct db_pools. */
struct job_home {
    struct loop *loop;
    struct job_list ending; /* JOB_ENDING */
    struct db_job *free_jobs;
    size_t n_free_jobs;
    const char *timeout_hint; /* said with every DB_TIMED_OUT; NULL: none */
};

struct held_result { /* kept until ReadyForQuery */
    PGresult *res;
    size_t stmt;
};

struct job_notices {
    struct db_notice v[JOB_NOTICES_MAX];
    size_t stmt[JOB_NOTICES_MAX];
    char *bytes[JOB_NOTICES_MAX];
    size_t n, total, dropped;
};

/* Where the COMMIT of an attempt is, for jobs with a commit mark. */
enum commit_stage {
    COMMIT_UNMARKED, /* it went along with the statements */
    COMMIT_HELD,     /* it is sent once the mark is here */
    COMMIT_SENT,
};

/* What one attempt gave. */
struct job_attempt {
    enum attempt_fate fate;
    bool delivered;        /* on_result saw some of it */
    bool gave_rows;        /* PostgreSQL sent some */
    bool hit;              /* a cancel was sent on its connection while it was there */
    bool left_transaction; /* its statement left one open: it was rolled back */
    bool alters;           /* it may have changed what statements were parsed by */
    size_t failed;         /* index of the statement that failed; n: the COMMIT, or none */
    size_t types_of;       /* 1 + the statement whose types were looked at last */
    enum commit_stage commit;
    struct commit_mark mark; /* COMMIT_SENT */
    struct db_failure failure;
    struct held_result held_inline[JOB_HELD_INLINE], *held;
    size_t n_held, held_cap;
    struct job_notices *notices;
};

/* Attempts before this one that ended without an end for the caller, by their reason. */
struct job_repeats {
    unsigned losses; /* the connection was lost */
    unsigned hits;   /* a cancel for another job hit it */
    unsigned moves;  /* it stood behind a slow job */
};

/* Why a job was never sent (DB_NOT_SENT), where callers tell it apart. */
enum job_refusal { REFUSAL_OTHER, REFUSAL_QUEUE_TIMEOUT, REFUSAL_LOGIN };

/* The state of a COPY (copy.c), in order. */
enum copy_state {
    COPY_NONE,
    COPY_BEGIN,  /* BEGIN was sent (only with in_transaction) */
    COPY_NAME,   /* application_name was sent (only where the job has one) */
    COPY_START,  /* the COPY was sent; its first answer is to come */
    COPY_IN,     /* the caller puts data */
    COPY_OUT,    /* PostgreSQL sends data */
    COPY_END,    /* the data is over; the result is to come */
    COPY_COMMIT, /* COMMIT or ROLLBACK was sent */
};

struct job_copy {
    enum copy_state state;
    bool full;  /* the caller waits until what it put is sent */
    bool ended; /* no more data is taken */
    char tag[64];
};

struct db_job {
    struct db_job *next, *prev;
    struct job_list *list;
    struct job_home *home;
    struct db_pool *pool;
    struct db_pool_stats *stats; /* of that pool */
    struct conn *conn;           /* PLACED, SENT */
    struct lookup *lookup;       /* LOOKING */
    struct db_job_spec spec;
    struct db_ops ops;
    struct db_copy_ops copy_ops;
    void *arg;
    enum job_state state;
    enum job_stop stop;
    enum job_refusal refusal;
    bool is_copy;
    bool alone;          /* sched_cost; or it was preempted once */
    bool unprepared;     /* it uses no prepared names any more */
    bool suspects_names; /* an attempt failed perhaps because of a prepared name: if the next
                            succeeds without, names are out of date */
    bool may_prepare;    /* its text contains the word: PREPARE may leave names behind */
    bool looked_up;      /* its mark was asked for, as long as there was time */
    enum db_end end;
    unsigned retry_after_s;
    struct job_repeats repeats;
    uint64_t cost_key; /* of its text in the pool's estimates; 0: its time is not kept */
    uint32_t cost_us;  /* expected; PACE_SLOW_US at most */
    struct job_attempt attempt;
    struct job_copy copy;
    uint64_t submitted_us, placed_us, connect_us, ended_us;
    uint64_t deadline_us, queue_deadline_us; /* 0: none */
    char transaction[COMMIT_MARK_TEXT_MAX];  /* of an unknown outcome, for on_done */
    struct loop_task task;
};

void job_list_push(struct job_list *, struct db_job *);
void job_list_push_front(struct job_list *, struct db_job *);
void job_list_remove(struct db_job *);
void job_list_replace(struct db_job *, struct db_job *by);

/* The pool is the one it is queued in: its connections get the job from there. */
struct db_job *job_new(struct job_home *, const struct db_job_spec *, void *arg);
/* Takes the place of a job that goes elsewhere: the same group, wanted by nobody. */
struct db_job *job_placeholder(const struct db_job *);
void job_home_free(struct job_home *); /* the structs kept for reuse */
uint64_t job_now(const struct db_job *);
/* Does the word stand anywhere in its texts, in any case? */
bool job_mentions(const struct db_job_spec *, const char *word);

/* A later reason replaces an earlier one. */
void job_stop_for(struct db_job *, enum job_stop);
/* Does it run in vain, so that it is worth a cancel? */
static inline bool job_is_to_stop(const struct db_job *j)
{
    return j->state == JOB_SENT && j->stop != STOP_NONE && j->stop != STOP_MOVED;
}
/* Nobody hears of it any more. */
static inline bool job_is_silent(const struct db_job *j)
{
    return j->stop >= STOP_MOVED;
}
/* The end of an attempt whose connection is lost, or will not be waited for. */
void job_lose_attempt(struct db_job *);
/* Its attempt has ended in an error, or what stands for one. */
static inline bool job_has_failed(const struct db_job *j)
{
    return j->attempt.fate > FATE_RUNNING && j->attempt.fate != FATE_COMMITTED &&
           j->attempt.fate != FATE_UNREADABLE;
}

void job_hold(struct db_job *, size_t stmt, PGresult *); /* takes the result */
void job_drop_held(struct db_job *);
void job_notice(struct db_job *, size_t stmt, const PGresult *);
/* An error of our own making. */
void job_fail(struct db_job *, enum attempt_fate, const char *code, const char *message);
void job_reset_attempt(struct db_job *);

/* What becomes of the job now (outcome.h). VERDICT_AGAIN has told the caller already that what it
 * got is void (on_again), and has counted the repeat: the job is to be queued again. */
enum verdict job_verdict(struct db_job *);
/* Carries out any verdict but VERDICT_AGAIN: out of its list; its callbacks run now, or later in
 * this turn where `later` says so; frees it. why: of the connection's loss; NULL: there was none.
 */
void job_conclude(struct db_job *, enum verdict, const struct db_error *why, bool later);
/* It was never sent, and will not be. */
void job_refuse(struct db_job *, const struct db_error *why, unsigned retry_after_s);
void job_finish_ending(struct job_home *); /* now, when no turn of the loop comes any more */
void job_drop(struct db_job *);            /* frees it without a word */

#endif
