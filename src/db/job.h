/* job: a list of statements known from the start, sent in one write as one pipeline group closed by
 * one Sync, and read back in one go (PostgreSQL docs, "Pipeline Mode" and "Extended Query").
 *
 * Life: db_submit -> waiting in its pool's queue -> sent on a connection -> results -> on_done,
 * exactly once, after ReadyForQuery. db_cancel may come at any time before on_done: on_done is not
 * called then, and the callbacks' arg may be freed at once (the job itself lives on until the
 * connection is clean again). No callback runs before db_submit returned. Everything the spec
 * points at is borrowed until on_done or db_cancel returned, so it belongs in the request's arena;
 * db copies what a resend needs.
 *
 * Groups: the user's text travels DB_EXCLUSIVE and, where in_transaction is set, as BEGIN
 * [ISOLATION..] [READ ONLY] [DEFERRABLE]; statements; COMMIT inside the one group. SQL of our own
 * travels DB_SHARED as an implicit transaction: others may be queued behind it on the same
 * connection. A job that may be cancelled and run again, because that leaves nothing, says that it
 * yields: when it takes long and others stand behind it, it is cancelled, which rolls it back, and
 * run again with nobody behind it, unseen. So short ones may share a connection and hold nobody up
 * for long; it is how a bare statement of the user's travels shared, too. */
#ifndef PGH_DB_JOB_H
#define PGH_DB_JOB_H

#include "db/result.h"
#include "util/err.h"

struct db_pool;
struct db_job;

enum db_travel { DB_SHARED, DB_EXCLUSIVE };
enum db_isolation {
    DB_ISOLATION_DEFAULT,
    DB_READ_UNCOMMITTED,
    DB_READ_COMMITTED,
    DB_REPEATABLE_READ,
    DB_SERIALIZABLE
};

#define DB_PARAMS_MAX 65535 /* the protocol counts them in 16 bits */

struct db_stmt {
    const char *sql; /* NUL-terminated; sql_len is its length */
    size_t sql_len;
    int nparams;
    const char *const *values; /* NULL is SQL NULL */
    const int *lengths;        /* only for binary parameters; NULL: all text */
    const int *formats;        /* NULL: all text */
    const db_oid *types;       /* NULL: PostgreSQL infers */
    bool prepare;              /* worth a place in the statement cache */
    struct str
        cache_scope; /* what else the plan depends on (search_path, role): part of the cache key */
};

struct db_job_spec {
    const struct db_stmt *stmts;
    size_t n;
    enum db_travel travel;
    bool in_transaction; /* BEGIN ... COMMIT around the statements, in the same group */
    enum db_isolation isolation;
    /* With in_transaction; a shared job puts its own set_config first instead. A SET of the
     * client's can undo read_only until a snapshot was taken: before it goes a SELECT. */
    bool read_only, deferrable;
    bool rollback; /* ends with ROLLBACK instead of COMMIT (SET CONSTRAINTS ALL IMMEDIATE before it)
                    */
    bool stream_rows; /* single-row mode: for all statements of an exclusive job, for the last one
                         of a shared job */
    bool can_write;   /* false: may be sent again once when its connection was lost */
    bool
        leaves_state; /* the connection is reset before anybody else's group (RPC, /sql that may) */
    bool yields;      /* a shared job that leaves nothing in its session, not even locks */
    bool foreign;     /* a shared job whose text is the client's: what it may do to its session is
                         looked for */
    bool need_types;  /* types of the user's own are looked up (db_pool_types) before a result with
                         them is handed over */
    uint64_t timeout_us;         /* from now to ReadyForQuery, queue included; 0: none */
    uint64_t queue_timeout_us;   /* longest wait for a connection; 0: the pool's */
    struct str application_name; /* shown in pg_stat_activity while it runs; empty: none */
};

enum db_end {
    DB_DONE,      /* committed (or rolled back as asked) */
    DB_FAILED,    /* PostgreSQL answered with an error: rolled back */
    DB_TIMED_OUT, /* the deadline: cancelled and rolled back; error is a 57014 */
    DB_NOT_SENT,  /* nothing was sent: error says why (queue full, too old, database away, refused
                     login) */
    DB_UNKNOWN,   /* the connection broke after sending something that can write: 08007 */
};

/* What became of a transaction. */
enum db_fate { DB_FATE_UNKNOWN, DB_FATE_IN_PROGRESS, DB_FATE_COMMITTED, DB_FATE_ABORTED };

/* PostgreSQL's error fields (docs, "Error and Notice Message Fields"); NULL when absent. Numbers
 * stay text. */
struct db_error {
    const char *severity, *code, *message, *detail, *hint, *position, *internal_position,
        *internal_query, *where, *schema, *table, *column, *data_type, *constraint, *file, *line,
        *routine;
};

struct db_outcome {
    enum db_end end;
    struct db_error error; /* unless DB_DONE */
    size_t failed;      /* index of the statement that failed; n when it was the COMMIT or none */
    bool queue_timeout; /* DB_NOT_SENT because it waited too long */
    bool login_refused; /* DB_NOT_SENT because PostgreSQL refused the login or the connection (error
                           is its own) */
    bool stale_name;    /* without prepared names it might not have failed */
    bool left_transaction;  /* an exclusive statement left a transaction open: it was rolled back */
    unsigned retry_after_s; /* with DB_NOT_SENT */
    /* With DB_UNKNOWN: for commit_mark_parse, in case it can be known later; NULL: it cannot. */
    const char *transaction;
    const struct db_notice *notices; /* of the whole job, bounded; notice_stmt says whose */
    const size_t *notice_stmt;
    size_t n_notices, notices_dropped;
    uint64_t queue_us, connect_us, db_us;
};

struct db_ops {
    /* A result of statement i; in row mode once per row. False cancels the job: on_done then says
     * DB_FAILED/57014, or DB_DONE for a job that can write and was quicker than its cancel. */
    bool (*on_result)(void *arg, size_t i, const struct db_result *);
    /* Of a job that yields: what on_result gave is void, it was rolled back and is about to
     * be run again. False (or NULL): too late, the job fails with what it met. */
    bool (*on_again)(void *arg);
    void (*on_done)(void *arg, const struct db_outcome *);
};

struct db_job *db_submit(struct db_pool *, const struct db_job_spec *, const struct db_ops *,
                         void *arg);

/* The client left: unsent jobs are dropped, running ones cancelled (and nobody else's). No callback
 * follows. */
void db_cancel(struct db_job *);

/* Backpressure for row mode: while paused nothing is read from the connection. */
void db_job_pause(struct db_job *);
void db_job_resume(struct db_job *);
/* Do others wait for a connection of its pool? */
bool db_job_awaited(const struct db_job *);

/* The result is a long one, whose reader will set the pace. True: nobody stands behind the job, nor
 * will from now on. False: somebody does, so it leaves: go on taking what comes, until on_again or
 * on_done. */
bool db_job_long(struct db_job *);

/* COPY, on an exclusive connection outside pipeline mode. The statement is one COPY ... FROM STDIN
 * / TO STDOUT. */
struct db_copy_ops {
    void (*on_ready)(void *arg); /* COPY IN: put may begin, or may go on after false */
    bool (*on_data)(void *arg, struct str data); /* COPY OUT; pause with db_job_pause */
    void (*on_done)(void *arg, const struct db_outcome *, struct str tag);
};
struct db_job *db_submit_copy(struct db_pool *, const struct db_job_spec *,
                              const struct db_copy_ops *, void *arg);
bool db_copy_put(struct db_job *,
                 struct str data); /* takes all of data; false: wait for on_ready before the next */
void db_copy_end(struct db_job *,
                 const char *error); /* error NULL: all is there; else the COPY fails with it */

#endif
