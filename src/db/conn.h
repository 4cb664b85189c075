/* conn: one connection: what may be placed on it, when it is flushed, canceled, closed. It knows no
 * pool: what it needs of the world is struct conn_env, what it tells is struct conn_ops. Private to
 * src/db.
 *
 * One state machine in five files: conn.c (life, placing, cancelling), conn_send.c (jobs into
 * libpq's pipeline), conn_read.c (results out of it), conn_types.c (results that wait for their
 * types), copy.c (COPY, outside pipeline mode).
 *
 * Life: conn_open (CONN_CONNECTING) -> ops.up (CONN_UP: jobs are placed, sent, answered) ->
 * conn_close, or ops.failed or ops.lost, whose owner calls conn_close (CONN_CLOSED); freed at the
 * end of the turn. Groups of several jobs stand behind one another in the pipeline; the first one
 * is what PostgreSQL works on. */
#ifndef PGH_DB_CONN_H
#define PGH_DB_CONN_H

#include "conf/conf.h"
#include "db/cancel.h"
#include "db/job_int.h"
#include "db/session.h"
#include "db/stmt_cache.h"
#include "db/types.h"

/* Every so many jobs a connection is reset, even if none of them seemed to need it. */
#define CONN_RESET_EVERY 100
/* Bytes of one statement or result past which a connection is closed afterwards. */
#define CONN_BULKY (8 * 1024 * 1024)
/* Jobs of one reading whose time is noted; with a deeper pipeline that of the first ones. */
#define CONN_ENDED_MAX 16
/* Places for texts that came once. */
#define CONN_SEEN 512
/* A running statement that a cancel has not ended after this: the connection is closed. */
#define CONN_CANCEL_MAX_US (10 * 1000000ull)
/* The same while other jobs wait for a connection: on a good wire an answer takes milliseconds. */
#define CONN_CANCEL_AWAITED_US (2 * 1000000ull)
/* A cancel request that has not got through to PostgreSQL after this: the network is dead. */
#define CONN_CANCEL_SEND_MAX_US (3 * 1000000ull)
/* No progress of a reset, or of a probe, for this: the connection is closed. */
#define CONN_RESET_MAX_US (5 * 1000000ull)
#define CONN_PROBE_MAX_US (1 * 1000000ull)
#define CONN_CANCEL_AGAIN_US 20000ull

/* What the connections of one pool have in common. Owned by the pool; outlives them. */
struct conn_env {
    struct loop *loop;
    struct helpers *helpers; /* lookups and cancels, which may hang */
    struct helpers *logins;  /* steps of logins, which compute */
    const struct conf *conf; /* changes with a reload */
    char *uri;
    char *user, *password, *database, *options,
        *application_name; /* of a client's login, or NULL */
    bool client_login;
    bool prepared;            /* names may be used: db-prepared-statements */
    struct db_types *types;   /* of its database */
    struct pace *costs;       /* what texts took */
    uint32_t seen[CONN_SEEN]; /* tags of texts that came lately */
    _Atomic unsigned *schema; /* counts changes that prepared statements may be stale after; all
                                 workers have it in common */
    struct host_memory host_memory; /* which hosts of the uri were silent lately */
    bool strings_known;             /* a session has told the next: */
    bool backslash_escapes;         /* sessions begin with standard_conforming_strings off */
    struct db_pool_stats *stats;
    /* A pooler said that it has lost PostgreSQL, and no job has succeeded since; empty: not so. */
    char trouble[128];
};

/* All get the owner that conn_open was given. */
struct conn_ops {
    void (*up)(void *owner, struct conn *);
    void (*failed)(void *owner, struct conn *, const struct db_error *); /* it was never up */
    /* It is gone with its jobs on it; the owner takes them off (conn_take_job) and closes it. */
    void (*lost)(void *owner, struct conn *, const struct db_error *);
    void (*gone)(void *owner, struct conn *);      /* in conn_close */
    void (*room)(void *owner);                     /* it may take a job now, or has become idle */
    void (*requeue)(void *owner, struct db_job *); /* to the front; it is in no list */
    void (*look_up)(void *owner, struct db_job *); /* its commit is in doubt; it is in no list */
    /* Is there an idle connection, or room for one more? */
    bool (*room_elsewhere)(void *owner, const struct conn *);
    /* A job of the connection's own (about types) that goes first, on another connection. */
    void (*ask)(void *owner, const struct db_job_spec *, const struct db_ops *, void *arg);
    void (*asked)(void *owner); /* it has ended */
};

enum step_kind {
    STEP_SYNC,    /* of a job, or of a group of our own */
    STEP_OWN,     /* reset, rollback, closing of names */
    STEP_NAMES,   /* which names did the user prepare? */
    STEP_SETTING, /* the job's own setting before its statements; BEGIN */
    STEP_PARSE,
    STEP_STMT,
    STEP_MARK,     /* the transaction's number: COMMIT is sent behind its answer */
    STEP_IDENTITY, /* which server this is; of no job */
    STEP_END       /* COMMIT or ROLLBACK, SET CONSTRAINTS before it */
};

struct step {                 /* one command sent, whose results are still to come */
    struct db_job *job;       /* NULL: a group of our own */
    struct stmt_entry *entry; /* STEP_PARSE */
    uint32_t stmt;
    uint8_t kind;
    bool seen; /* a result came: the next NULL ends it */
};

/* Does the connection know which server it is connected to (commit_mark.h)? UNAVAILABLE: the login
 * may not read it. LOST: a pooler took the session and has no PostgreSQL. */
enum conn_identity {
    IDENTITY_UNASKED,
    IDENTITY_ASKED,
    IDENTITY_KNOWN,
    IDENTITY_UNAVAILABLE,
    IDENTITY_LOST
};

enum conn_state {
    CONN_CONNECTING,
    CONN_UP,
    CONN_CLOSED /* freed at the end of the turn */
};

/* What earlier jobs have left on it, to be cleared before the next one: a set. */
enum conn_debt {
    DEBT_ROLLBACK = 1, /* a transaction is open */
    DEBT_RESET = 2,    /* session state */
    DEBT_NAMES = 4,    /* prepared names of the user's, unknown ones: asked with the reset */
};

/* How the session ended, when PostgreSQL itself ended it by a FATAL. */
enum conn_death {
    DEATH_NONE,
    DEATH_IN_JOB, /* in the midst of death_job */
    DEATH_IN_OWN, /* in a group of our own: no job of those left was ever run */
};

struct conn {
    const struct conn_ops *ops;
    void *owner;
    struct conn_env *env;
    struct conn *next, **prev; /* the owner's list */
    struct session *session;
    PGconn *pg;
    enum conn_state state;
    unsigned debts;     /* enum conn_debt */
    struct step *steps; /* a ring */
    size_t steps_first, steps_n, steps_cap;
    struct job_list jobs;           /* sent ones first */
    size_t n_placed;                /* not yet encoded */
    uint64_t ended[CONN_ENDED_MAX]; /* cost keys of the jobs that ended in this reading */
    size_t n_ended;
    uint64_t work_us; /* since when PostgreSQL is at what will end next; loop_clock_us */
    struct loop_task flush_task, read_task;
    struct stmt_cache *cache; /* NULL: no names */
    char **user_names;        /* names the user prepared, to be closed */
    size_t n_user_names;
    bool names_pending; /* STEP_NAMES is on its way: nothing new until it is back */
    bool solo;          /* the last job placed is alone (sched_is_solo) */
    bool reading;       /* conn_read is on the stack */
    bool paused;        /* by the caller of the head */
    bool retire;        /* closed as soon as it is idle */
    bool copying;       /* outside pipeline mode */
    bool probing;       /* it is asked whether it is still alive, and takes no job meanwhile */
    PGresult *parked;   /* waits for its types to be known; nothing is read meanwhile */
    size_t parked_stmt;
    struct type_query *type_query;
    enum conn_identity identity;
    struct server_identity server; /* IDENTITY_KNOWN */
    struct db_job *uncommitted;    /* its COMMIT is held back; nothing is sent behind it */
    enum conn_death death;
    struct db_job *death_job;
    unsigned since_reset;
    int utf8; /* libpq's number of the encoding every connection starts with */
    uint64_t jitter;
    uint64_t up_us, expire_us, idle_us, head_us, cancel_us;
    uint64_t own_us;         /* since when a group of our own has been at the head; 0: none is */
    uint64_t stop_us;        /* since when the head is to be stopped; 0: it is not */
    struct loop_timer again; /* the next try of a cancel */
    struct loop_timer stuck; /* looks whether the head holds others up */
    struct cancel *cancel;
};

/* ---- for its owner: conn.c ---- */

/* jitter: any random number; connections end at different times by it. */
struct conn *conn_open(struct conn_env *, const struct conn_ops *, void *owner, uint64_t jitter);
void conn_close(struct conn *); /* with no jobs on it; at any time */
static inline bool conn_idle(const struct conn *c)
{
    return c->state == CONN_UP && c->jobs.n == 0;
}
/* Idle, and nothing of an earlier job is under way. */
static inline bool conn_quiet(const struct conn *c)
{
    return conn_idle(c) && !c->cancel;
}
/* False: it takes no job now. Else its view for schedule.h. */
bool conn_view(const struct conn *, uint64_t now_us, struct sched_conn *);
void conn_place(struct conn *, struct db_job *);
void conn_leave(struct conn *, struct db_job *); /* a PLACED job goes elsewhere */
/* A job that only reads and stands behind the head is free to end or to be run elsewhere: what was
 * sent of it goes on without it. False: it cannot leave. */
bool conn_let_go(struct conn *, struct db_job *);
/* The end of a sent job will not be waited for: it is free of the connection. A placeholder stands
 * in for it and is canceled. Not for a COPY. */
void conn_abandon(struct conn *, struct db_job *);
/* Is it quiet? Then it is asked for a sign of life. */
void conn_probe(struct conn *);
/* Why it is to be broken: it has not answered for too long what it should have. NULL: it is fine.
 * awaited: other jobs wait for a connection.
 */
const char *conn_overdue(const struct conn *, uint64_t now_us, bool awaited);
void conn_stop_head(struct conn *); /* cancels if the job at the head is to be stopped */
/* The head is a long one. True: no job stands behind it, nor will from now on. False: one does, so
 * the head is preempted. */
bool conn_make_solo(struct conn *);
void conn_set_paused(struct conn *, bool paused);
void conn_became_idle(struct conn *);
void conn_break(struct conn *, const char *why); /* as if it had been lost */
/* In ops.lost: the first job, taken off, its fate settled. NULL: none is left. */
struct db_job *conn_take_job(struct conn *);

/* ---- between its files ---- */

static inline struct step *conn_head(const struct conn *c)
{
    return c->steps_n ? &c->steps[c->steps_first] : NULL;
}
void conn_read_later(struct conn *);

/* conn_send.c */
bool conn_needs_front(const struct conn *);
bool conn_send_job(struct conn *, struct db_job *); /* false: the connection is to be broken */
bool conn_send_front(struct conn *);
/* Is the transaction of the job marked, so that its fate can be looked up? */
bool conn_wants_mark(const struct conn *, const struct db_job *);
/* Which server it is: once for each connection, in a group of its own. */
bool conn_send_identity(struct conn *);
/* The mark of the uncommitted job is here, or will not come: what stands behind it is sent. */
bool conn_send_rest(struct conn *);
void conn_arm_head(struct conn *); /* row mode of the command whose results come next */

/* conn_read.c */
void conn_read(struct conn *);
void conn_on_notice(struct conn *, const PGresult *);
void conn_deliver(struct conn *, struct db_job *, size_t stmt, PGresult *); /* takes the result */
/* A result that libpq made by itself. */
void conn_on_own_error(struct conn *, const PGresult *);
/* The head has ended with ReadyForQuery: it goes, or goes again. */
void conn_settle(struct conn *, struct db_job *);

/* conn_types.c */
bool conn_park(struct conn *, struct db_job *, size_t stmt, PGresult *); /* true: it took it */
void conn_unpark(struct conn *, bool deliver);

/* copy.c */
bool copy_begin(struct conn *, struct db_job *); /* false: the connection is to be broken */
void copy_read(struct conn *);
bool copy_stop(struct conn *);    /* an upload is cut short; false: it is none */
void copy_flushed(struct conn *); /* everything put so far was sent */

#endif
