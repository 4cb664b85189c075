/* outcome: what a job's end means. One function, one table, for jobs that ended on a living
 * connection, for those whose connection was lost, and for COPY.
 *
 * "A job's connection broke while COMMIT was on its way: what does the client get?" The attempt's
 * fate is FATE_LOST; its row for jobs that can write says DB_UNKNOWN (500 with code 08007).
 *
 * Pure functions without PostgreSQL; tests/unit/test_db_outcome.c has a test for each row and
 * checks over all combinations that nothing that may have committed is sent again, failed or "not
 * sent". Private to src/db. */
#ifndef PGH_DB_OUTCOME_H
#define PGH_DB_OUTCOME_H

#include "db/job.h"

/* Why a job is to stop. A later value replaces an earlier one, never the other way round. */
enum job_stop {
    STOP_NONE,
    STOP_PREEMPTED,   /* others stand behind it and it takes long: it is run again alone */
    STOP_DEADLINE,    /* its time is over */
    STOP_SHUTDOWN,    /* db_pools_cut */
    STOP_REFUSED,     /* on_result returned false: the caller takes no more of it */
    STOP_MOVED,       /* a placeholder: its job runs elsewhere; not worth a cancel */
    STOP_CALLER_LEFT, /* db_cancel: no callback any more */
};

/* What happened to this attempt. */
enum attempt_fate {
    FATE_UNSENT,           /* nothing of it was sent */
    FATE_RUNNING,          /* sent; its end is not known yet */
    FATE_NOT_RUN,          /* sent, but PostgreSQL ended the session before it came to it */
    FATE_STALE_NAME,       /* rolled back because of a prepared name */
    FATE_CANCELED,         /* rolled back by a cancel (57014) */
    FATE_TERMINATED,       /* rolled back: PostgreSQL ended the session (FATAL) in its midst */
    FATE_FAILED,           /* rolled back: PostgreSQL reported an error */
    FATE_FAILED_AT_COMMIT, /* the same for its COMMIT or Sync: sure once ReadyForQuery came */
    FATE_COMMITTED,        /* its COMMIT or Sync was answered with success */
    FATE_UNREADABLE,       /* the same, but its rows came in another client_encoding */
    FATE_UNCOMMITTED,      /* rolled back: its COMMIT was never sent, or PostgreSQL says so
                              (commit_mark.h) */
    FATE_LOST,             /* the connection, or its end, is lost; or the error that came was not
                              made by PostgreSQL (a pooler's) */
    FATES
};

enum verdict {
    VERDICT_AGAIN, /* the job is sent once more, unseen by its caller */
    VERDICT_DROP,  /* nobody waits for it: no callback */
    VERDICT_DONE,
    VERDICT_FAILED,
    VERDICT_TIMED_OUT,
    VERDICT_NOT_SENT,
    VERDICT_UNKNOWN,
    VERDICT_LOOK_UP, /* ask on another connection, then decide again */
};

struct outcome_case {
    enum job_stop stop;
    enum attempt_fate fate;
    bool can_write;
    bool can_look_up; /* its transaction can be asked for (commit_mark.h), and was not yet */
    bool may_repeat;  /* another attempt is allowed (sched_may_repeat), and what was delivered of
                         this one can be taken back */
};

enum verdict outcome_verdict(const struct outcome_case *);

/* The fate of an attempt whose connection is lost now. */
enum attempt_fate outcome_after_loss(enum attempt_fate);

/* The fate behind an error that arrived for a sent job. */
struct outcome_error {
    const struct db_error *error;
    bool can_write;
    bool at_commit;  /* it answered the COMMIT or the Sync */
    bool stale_name; /* a fresh Parse may cure it */
};
enum attempt_fate outcome_of_error(const struct outcome_error *);

/* Did PostgreSQL itself make this error? Its errors name file, line and routine (PostgreSQL docs,
 * "Error and Notice Message Fields"); those of pgbouncer, pgcat and Supavisor do not. */
bool outcome_made_by_postgres(const struct db_error *);
/* FATAL or PANIC: the session ends with it. */
bool outcome_ends_session(const struct db_error *);

#endif
