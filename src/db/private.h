/* private: the structures that job, connection, pool and the set of pools share. Only src/db.
 *
 * Who owns what: struct db_pools owns pools, and free job structs; a pool owns its connections and
 * its waiting jobs; a connection owns the jobs placed on it. A job is in exactly one list, or its
 * end is queued (JOB_ENDING, in pools->ending).
 *
 * Life of a job: JOB_WAITING in pool->waiting -> JOB_PLACED on a connection, not yet encoded ->
 * JOB_SENT -> JOB_ENDING -> its struct goes back to db_pools. Requeued (lost connection, a
 * neighbour's cancel, a forgotten statement name): JOB_SENT -> JOB_WAITING, at the front. */
#ifndef PGH_DB_PRIVATE_H
#define PGH_DB_PRIVATE_H

#include "db/cancel.h"
#include "db/pace.h"
#include "db/pool.h"
#include "db/session.h"
#include "db/stmt_cache.h"
#include "db/types.h"
#include "util/strmap.h"

#define JOB_NOTICES_MAX 100
#define JOB_NOTICES_BYTES (64 * 1024)
#define JOB_HELD_INLINE 4
/* So often a job is sent to another connection because it stood behind a slow one. */
#define JOB_MOVES_MAX 16
/* Cancels meant for neighbours that one job survives unseen. */
#define JOB_HITS_MAX 16

/* Every so many exclusive jobs a connection is reset, even if none of them seemed to need it. */
#define CONN_RESET_EVERY 100
/* Bytes of one statement or result past which a connection is closed afterwards. */
#define CONN_BULKY (8 * 1024 * 1024)
/* Jobs of one reading whose pace is kept; with a deeper pipeline that of the first ones. */
#define CONN_ENDED_MAX 16
/* Places for texts that came once. */
#define POOL_SEEN 512
/* A cancel that took this long did not work: the connection is closed. */
#define CONN_CANCEL_MAX_US (10 * 1000000ull)
#define CONN_CANCEL_AGAIN_US 20000ull
#define POOL_BACKOFF_MIN_US 100000ull
/* Where nobody is there every attempt is cheap, and whoever waits for the database waits for it,
 * too; where it says no (a password, no room), an attempt is a line in its log. */
#define POOL_BACKOFF_AWAY_US (2 * 1000000ull)
#define POOL_BACKOFF_REFUSED_US (10 * 1000000ull)
/* Connections of one pool being made at a time: a burst must not start a hundred logins. */
#define POOL_CONNECTING_MAX 4

enum job_state { JOB_WAITING, JOB_PLACED, JOB_SENT, JOB_ENDING };

struct job_list {
    struct db_job *first, *last;
    size_t n;
    uint64_t cost_us; /* of all of them */
};

struct held { /* a result kept until ReadyForQuery */
    PGresult *res;
    size_t stmt;
};

struct notices {
    struct db_notice v[JOB_NOTICES_MAX];
    size_t stmt[JOB_NOTICES_MAX];
    char *bytes[JOB_NOTICES_MAX];
    size_t n, total, dropped;
};

struct db_job {
    struct db_job *next, *prev;
    struct job_list *list;
    struct db_pool *pool; /* NULL: its pool ended while the end was queued */
    struct db_pools *pools;
    struct conn *conn; /* PLACED, SENT */
    struct db_job_spec spec;
    struct db_ops ops;
    struct db_copy_ops copy_ops;
    void *arg;
    enum job_state state;
    bool copy;
    bool alone;     /* takes long: it wants a connection with nobody on it, before or behind */
    bool thrown;    /* others stand behind it and it takes long: to be run again alone */
    bool ghost;     /* stands in for a job that went elsewhere: not worth a cancel */
    bool cancelled; /* the caller left: no callback any more */
    bool timed_out; /* the deadline, or db_pools_cut, came while it was sent */
    bool refused;   /* on_result returned false */
    bool paused, delivered, failing;
    bool committed;   /* its COMMIT was answered */
    bool hit;         /* a cancel was sent on its connection while it was there */
    bool rows;        /* it gave some */
    bool finishing;   /* its last callbacks run */
    bool unreadable;  /* in another client_encoding: they cannot be given as UTF-8 */
    bool unprepared;  /* on this second try no prepared names */
    bool retried;     /* it is on its second try */
    bool unclear;     /* the error came for its COMMIT or Sync */
    bool stale_name;  /* failed because of a prepared name, or maybe because of it (suspect) */
    bool suspect;     /* if it succeeds without names, they are out of date */
    bool alters;      /* it may have changed what statements were parsed by */
    bool may_prepare; /* the text contains the word: PREPARE may leave names behind */
    bool left_transaction, queue_timeout, login_refused;
    enum db_end end;
    unsigned retry_after_s;
    unsigned hits;    /* how often it was sent again after a neighbour's cancel */
    unsigned moves;   /* how often it went elsewhere because of a slow one before it */
    uint64_t key;     /* of its text in pool->pace; 0: its time is not kept */
    uint32_t cost_us; /* what it takes, as far as that is known; PACE_SLOW_US at most */
    size_t failed;
    size_t types_of; /* 1 + the statement whose types were looked at last */
    struct db_failure failure;
    struct held held_inline[JOB_HELD_INLINE], *held;
    size_t n_held, held_cap;
    struct notices *notices;
    uint64_t submitted_us, placed_us, connect_us, ended_us;
    uint64_t deadline_us, queue_deadline_us; /* 0: none */
    struct loop_task task;
    /* COPY */
    enum { COPY_BEGIN, COPY_NAME, COPY_START, COPY_IN, COPY_OUT, COPY_END, COPY_COMMIT } copy_state;
    bool copy_full, copy_ended;
    char copy_tag[64];
};

enum step_kind {
    STEP_SYNC,    /* of a job, or of a group of our own */
    STEP_OWN,     /* reset, rollback, closing of names */
    STEP_NAMES,   /* which names did the user prepare? */
    STEP_SETTING, /* the job's own setting before its statements; BEGIN */
    STEP_PARSE,
    STEP_STMT,
    STEP_END /* COMMIT or ROLLBACK, SET CONSTRAINTS before it */
};

struct step { /* one command sent, whose results are still to come */
    struct db_job *job;
    struct stmt_entry *entry; /* STEP_PARSE */
    uint32_t stmt;
    uint8_t kind;
    bool seen; /* a result came: the next NULL ends it */
};

enum conn_state {
    CONN_CONNECTING,
    CONN_UP,
    CONN_CLOSED /* freed at the end of the turn */
};

struct conn {
    struct db_pool *pool;
    struct conn *next, **prev;
    struct session *session;
    PGconn *pg;
    enum conn_state state;
    struct step *steps; /* a ring */
    size_t steps_first, steps_n, steps_cap;
    struct job_list jobs;           /* sent ones first */
    size_t n_placed;                /* not yet encoded */
    uint64_t ended[CONN_ENDED_MAX]; /* keys of the jobs that ended in this reading */
    size_t n_ended;
    uint64_t work_us; /* since when PostgreSQL is at what will end next; loop_clock_us */
    struct loop_task flush_task, read_task;
    struct stmt_cache *cache; /* NULL: no names */
    char **user_names;        /* names the user prepared, to be closed */
    size_t n_user_names;
    bool solo;    /* the last job placed takes no company */
    bool reading; /* conn_read is on the stack */
    bool need_rollback, need_reset, need_names;
    bool names_pending; /* STEP_NAMES is on its way: nothing new until it is back */
    bool paused;
    PGresult *parked; /* waits for its types to be known; nothing is read meanwhile */
    size_t parked_stmt;
    struct type_query *type_query;
    bool retire; /* closed as soon as it is idle */
    bool fatal;  /* PostgreSQL ended it with a FATAL, in the midst of fatal_job or of a group of
                    our own: what stands behind that was never run */
    struct db_job *fatal_job;
    bool copying; /* outside pipeline mode */
    unsigned since_reset;
    int utf8; /* libpq's number of the encoding every connection starts with */
    uint64_t up_us, expire_us, idle_us, head_us, cancel_us;
    uint64_t stop_us;        /* since when the head is to be stopped; 0: it is not */
    struct loop_timer again; /* the next try of a cancel */
    struct loop_timer stuck; /* looks whether the head holds others up */
    struct cancel *cancel;
};

enum pool_state {
    POOL_NEW,  /* not a single connection was tried to its end yet, since it was idle */
    POOL_UP,   /* the last attempt worked */
    POOL_DOWN, /* no connection, and the last attempt failed: jobs fail at once */
    POOL_ENDED /* takes no jobs; goes when its last connection went */
};

struct db_pool {
    struct db_pools *pools;
    struct db_pool *next, **prev;
    char *key;                 /* in pools->by_key; NULL once it ended */
    char *database_name, *uri; /* of the conf_database */
    char *user, *password, *database, *options, *application_name; /* login pools */
    bool login, proven;                                            /* proven: a login succeeded */
    bool prepared;
    bool strings_known;     /* one of its sessions has told the next */
    bool backslash_escapes; /* its sessions begin with standard_conforming_strings off */
    enum pool_state state;
    struct conn *conns; /* most recently idle first */
    unsigned max, n_conns, n_connecting;
    unsigned extra;         /* connections over max, for questions about types */
    struct db_types *types; /* of its database; owned by db_pools */
    struct pace *pace;
    uint32_t seen[POOL_SEEN]; /* tags of texts that came lately */
    unsigned pairs;           /* refused company so far: pool.c */
    struct job_list waiting;
    struct db_failure failure; /* why it is down */
    uint64_t backoff_us, retry_us, used_us, checked_us;
    struct loop_timer retry;
    struct loop_task pump_task;
    struct db_pool_stats stats;
};

struct db_pools {
    struct loop *loop;
    struct conf *conf;
    struct db_budget *budget;
    struct helpers *helpers; /* lookups and cancels, which may hang */
    struct helpers *logins;  /* steps of logins, which compute */
    struct strmap *by_key;
    struct strmap *types; /* struct db_types, by database */
    struct db_pool *first;
    struct job_list ending; /* their ends are queued */
    struct db_job *free_jobs;
    size_t n_free_jobs;
    struct loop_timer deadline, maintenance;
    uint64_t next_deadline_us; /* when the deadline timer fires; 0: not armed */
    struct login_guard *guard;
    uint64_t random;
    bool draining;
    bool cut; /* db_pools_cut came */
    void (*on_drained)(void *);
    void *drained_arg;
    struct loop_task drained_task;
};

/* job.c */
struct db_job *job_new(struct db_pool *, const struct db_job_spec *, void *arg);
void job_list_push(struct job_list *, struct db_job *);
void job_list_push_front(struct job_list *, struct db_job *);
void job_list_remove(struct db_job *);
void job_list_replace(struct db_job *, struct db_job *by);
struct db_job *job_ghost(const struct db_job *);         /* the same group, wanted by nobody */
void job_hold(struct db_job *, size_t stmt, PGresult *); /* takes the result */
void job_drop_held(struct db_job *);
void job_notice(struct db_job *, size_t stmt, const PGresult *);
void job_fail(struct db_job *, const char *code, const char *message, const char *detail);
/* Out of its list; its callbacks run now, or later in this turn when deferred. Frees it. */
void job_end(struct db_job *, enum db_end);
void job_end_later(struct db_job *, enum db_end);
void job_finish_ending(struct db_pools *); /* now, when no turn of the loop comes any more */
void job_drop(struct db_job *);            /* frees it without a word */
void job_forget_try(struct db_job *);      /* before a second try */
uint64_t job_now(const struct db_job *);

/* conn.c */
struct conn *conn_open(struct db_pool *);
void conn_close(struct conn *); /* with no jobs on it; at any time */
bool conn_takes(const struct conn *, const struct db_job *, uint64_t now_us);
static inline bool conn_idle(const struct conn *c)
{
    return c->state == CONN_UP && c->jobs.n == 0;
}
void conn_place(struct conn *, struct db_job *);
void conn_leave(struct conn *, struct db_job *); /* a PLACED job goes elsewhere */
void conn_stop_head(struct conn *); /* cancels if the job at the head is to be stopped */
/* A job that only reads and stands behind the head is free to end or to be run elsewhere: what was
 * sent of it goes on without it. False: it cannot leave. */
bool conn_let_go(struct conn *, struct db_job *);
void conn_read_later(struct conn *);
void conn_set_paused(struct conn *, bool paused);
void conn_became_idle(struct conn *);
void conn_break(struct conn *, const char *why); /* closes it as if it had been lost */

/* conn_send.c */
bool conn_needs_front(const struct conn *);
bool conn_send_job(struct conn *, struct db_job *); /* false: the connection is to be broken */
bool conn_send_front(struct conn *);
void conn_arm_head(struct conn *); /* row mode of the command whose results come next */

/* conn_read.c */
void conn_read(struct conn *);
void conn_on_notice(struct conn *, const PGresult *);
static inline struct step *conn_head(const struct conn *c)
{
    return c->steps_n ? &c->steps[c->steps_first] : NULL;
}

void conn_deliver(struct conn *, struct db_job *, size_t stmt, PGresult *); /* takes the result */

/* conn_types.c */
bool conn_park(struct conn *, struct db_job *, size_t stmt, PGresult *); /* true: it took it */
void conn_unpark(struct conn *, bool deliver);

/* copy.c */
bool copy_begin(struct conn *, struct db_job *); /* false: the connection is to be broken */
void copy_read(struct conn *);
bool copy_stop(struct conn *);    /* an upload is cut short; false: it is none */
void copy_flushed(struct conn *); /* everything put so far was sent */

/* pool.c */
void pool_conn_up(struct conn *);
void pool_conn_failed(struct conn *, const struct db_error *); /* it was never up */
void pool_conn_lost(struct conn *, const struct db_error *);
void pool_conn_gone(struct conn *); /* out of the lists, in conn_close */
void pool_requeue(struct db_job *); /* to the front */
void pool_submit_first(struct db_pool *, const struct db_job_spec *, const struct db_ops *,
                       void *arg); /* before all others that wait */
void pool_pump_later(struct db_pool *);
void pool_end(struct db_pool *, const struct db_error *); /* its jobs fail with it */
void pool_free(struct db_pool *);
void pool_drain(struct db_pool *); /* closes what is idle once nobody waits */
void pool_cut(struct db_pool *, const struct db_error *); /* db_pools_cut */
void pool_refresh(struct db_pool *); /* new connections take the place of those there are */
void pool_maintain(struct db_pool *, uint64_t now_us);
void pool_fail_waiting(struct db_pool *, const struct db_error *, bool login_refused);
void pool_resize(struct db_pool *, const struct conf_database *);
struct db_pool *pool_new(struct db_pools *, const struct conf_database *, const char *key);

/* pools.c */
bool pools_take_connection(struct db_pools *);
void pools_give_connection(struct db_pools *);
void pools_watch_deadline(struct db_pools *, uint64_t deadline_us);
void pools_check_drained(struct db_pools *);
struct db_types *pools_types(struct db_pools *, const char *database, const char *name);
uint64_t pools_jitter(struct db_pools *, uint64_t upto);
/* A number that changes when tables may have: statements parsed before are to be parsed again. All
 * workers have it in common. */
unsigned pools_schema(const struct db_pools *);
void pools_schema_changed(struct db_pools *);

/* login.c */
struct login_guard *login_guard_new(void);
void login_guard_free(struct login_guard *);
void login_failed(struct db_pool *, const struct db_error *);

#endif
