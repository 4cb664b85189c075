/* pool_int: pools and the set of them, as pool.c, pools.c and login.c see them. Private to src/db.
 *
 * Who owns what: struct db_pools owns pools, and free job structs (job_home); a pool owns its
 * connections and its waiting jobs; a connection owns the jobs placed on it. */
#ifndef PGH_DB_POOL_INT_H
#define PGH_DB_POOL_INT_H

#include "db/conn.h"
#include "util/strmap.h"

#define LOGIN_ADDRESS_MAX 50 /* an IPv6 network as text */

#define POOL_BACKOFF_MIN_US 100000ull
/* Where nobody is there every attempt is cheap, and requests that wait for the database wait for
 * it, too; where it says no (a password, no room), an attempt is a line in its log. */
#define POOL_BACKOFF_AWAY_US (2 * 1000000ull)
#define POOL_BACKOFF_REFUSED_US (10 * 1000000ull)

/* So long after its deadline the cancel of a job that can write is waited for. */
#define POOL_CANCEL_GRACE_US (500 * 1000ull)

enum pool_state {
    POOL_NEW,  /* not a single connection was tried to its end yet, since it was idle */
    POOL_UP,   /* the last attempt worked */
    POOL_DOWN, /* no connection, and the last attempt failed: jobs fail at once */
    POOL_ENDED /* takes no jobs; goes when its last connection went */
};

struct db_pool {
    struct db_pools *pools;
    struct db_pool *next, **prev;
    char *key;                       /* in pools->by_key */
    char *database_name;             /* of the conf_database; empty: the configured one */
    bool proven;                     /* a login succeeded */
    char address[LOGIN_ADDRESS_MAX]; /* of the client whose login made it, as login.c counts it */
    enum pool_state state;
    struct conn_env env; /* what its connections need */
    struct conn *conns;  /* most recently opened first */
    unsigned max, n_conns, n_connecting;
    unsigned extra;  /* connections over max, for questions about types */
    unsigned probes; /* sched_pipelines */
    struct job_list waiting;
    struct job_list looking;   /* JOB_LOOKING */
    struct db_failure failure; /* why it is down */
    uint64_t backoff_us, retry_us, used_us, checked_us, probed_us;
    struct loop_timer retry;
    struct loop_task pump_task;
    struct db_pool_stats stats;
};

/* What a pool asks of the set it belongs to: what only the set can know. */
struct pools_ops {
    bool (*take_connection)(struct db_pools *); /* false: db-connections-max leaves no room */
    void (*give_connection)(struct db_pools *);
    bool (*login_room)(struct db_pool *); /* may this login have one more (db-pool)? */
    void (*login_idle)(
        struct db_pool *); /* it needs less now: siblings that wait have their turn */
    void (*login_failed)(struct db_pool *, const struct db_error *);
    void (*watch_deadline)(struct db_pools *, uint64_t deadline_us);
    void (*check_drained)(struct db_pools *);
};

struct db_pools {
    const struct pools_ops *ops;
    _Atomic unsigned *schema; /* struct conn_env */
    struct loop *loop;
    struct conf *conf;
    struct db_budget *budget;
    struct helpers *helpers, *logins; /* see struct conn_env */
    struct strmap *by_key;
    struct strmap *types; /* struct db_types, by database */
    struct db_pool *first;
    struct job_home jobs;
    struct loop_timer deadline, maintenance;
    uint64_t next_deadline_us; /* when the deadline timer fires; 0: not armed */
    struct login_guard *guard;
    uint64_t random;
    bool login_full; /* some login wanted a connection beyond its share since the last look */
    bool draining;
    void (*on_drained)(void *);
    void *drained_arg;
    struct loop_task drained_task;
};

/* pool_queue.c */
void pool_pump(struct db_pool *);                           /* places waiting jobs; grows */
void pool_refuse(struct db_job *, const struct db_error *); /* DB_NOT_SENT, later in this turn */
void pool_fail_waiting(struct db_pool *, const struct db_error *, bool login_refused);
/* Ends jobs whose time is over; *next becomes the earliest deadline of the others. */
void pool_check_deadlines(struct db_pool *, uint64_t now_us, uint64_t *next);
/* Before all others that wait. */
struct db_job *pool_submit_first(struct db_pool *, const struct db_job_spec *,
                                 const struct db_ops *, void *arg);
void pool_on_requeue(void *pool, struct db_job *); /* struct conn_ops */
void pool_on_ask(void *pool, const struct db_job_spec *, const struct db_ops *, void *arg);
void pool_on_asked(void *pool);

/* pool_lookup.c */
void pool_on_look_up(void *pool, struct db_job *); /* struct conn_ops */
void pool_stop_look_up(struct db_job *);           /* its caller left */
void pool_settle_look_ups(struct db_pool *);       /* no more time: what is not known stays so */

/* pool.c */
/* False: neither db-connections-max nor the login's own db-pool leaves room. */
bool pool_open_one(struct db_pool *);
void pool_probe_idle(struct db_pool *); /* once a second at most */
/* PostgreSQL itself said no, as opposed to being away. */
bool pool_is_refusal(const struct db_error *);
struct db_pool *pool_new(struct db_pools *, const struct conf_database *, const char *key);
void pool_pump_later(struct db_pool *);
void pool_end(struct db_pool *, const struct db_error *); /* its jobs fail with it */
void pool_drain(struct db_pool *); /* closes what is idle once nobody waits */
void pool_cut(struct db_pool *, const struct db_error *); /* db_pools_cut */
void pool_give_up(struct db_pool *, const char *why);     /* breaks every busy connection */
void pool_close_all(struct db_pool *, const char *why);   /* of an ended pool */
void pool_refresh(struct db_pool *); /* new connections take the place of those there are */
void pool_maintain(struct db_pool *, uint64_t now_us);
void pool_resize(struct db_pool *, const struct conf_database *);
/* The types of a database, shared by all its logins; made at first use. */
struct db_types *pool_types(struct db_pools *, const char *database, const char *name);
/* An idle connection that nothing is under way on; NULL: there is none. */
struct conn *pool_quiet_conn(const struct db_pool *);

/* login.c */
struct login_guard *login_guard_new(void);
void login_guard_free(struct login_guard *);
void login_failed(struct db_pool *, const struct db_error *);
/* May it try its password now, or must it wait for others of its address? */
bool login_turn(const struct db_pool *);

#endif
