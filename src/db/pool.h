/* pool: the connections of one (database, login) on one worker, and who may use them when.
 *
 * struct db_pools holds all pools of a worker. A pool is made at first use and has no connection
 * left when nobody used it for db-pool-max-idletime, but for the configured database's own, which
 * keeps db-pool-min; a pointer to one is good until the next turn of the loop: ask for it in each
 * request.
 *
 * Own login: the server's connection string; used by REST, events and open /sql.
 * Client logins: user, password, options and application_name come from the client, host and port
 * never do. Such a pool exists only after its first successful authentication; a job that waits for
 * it fails with PostgreSQL's own 28P01 when the login is refused. The key contains a keyed hash of
 * the password. */
#ifndef PGH_DB_POOL_H
#define PGH_DB_POOL_H

#include "conf/conf.h"
#include "db/job.h"
#include "util/loop.h"

struct db_pools;
struct db_types;
struct db_budget; /* db-connections-max over all workers; shared, atomic */

struct db_login {
    struct str user, password, database; /* database: the client's choice, already allowed */
    struct str options;                  /* from the connection string, may be empty */
    struct str application_name;
    struct str address; /* the client's, for limiting attempts */
};

struct db_budget *db_budget_new(unsigned connections);
void db_budget_free(struct db_budget *);

struct db_pools *db_pools_new(struct loop *, struct conf *, struct db_budget *);
void db_pools_reconfigure(struct db_pools *, struct conf *);
/* The connections of our own login to that database are replaced by new ones, each when it is idle:
 * what ALTER ROLE and ALTER DATABASE set is read when a session begins. */
void db_pools_refresh(struct db_pools *, const char *database);
/* Stops taking jobs; on_drained runs (once) when the last running job ended and all connections are
 * closed. */
void db_pools_drain(struct db_pools *, void (*on_drained)(void *), void *arg);
/* The time of what runs is over. Takes no jobs any more; what was not sent ends as DB_NOT_SENT,
 * what was sent is cancelled and ends as it comes back: DB_TIMED_OUT, or DB_DONE when it was
 * quicker. */
void db_pools_cut(struct db_pools *);
/* Whatever has not come back will not be waited for: what may have written ends as DB_UNKNOWN. */
void db_pools_give_up(struct db_pools *);
bool db_pools_busy(const struct db_pools *); /* a job waits or runs */
void db_pools_free(struct db_pools *); /* closes what is left; waiting jobs end as DB_NOT_SENT */

struct db_pool *db_pools_own(struct db_pools *, const struct conf_database *);
/* NULL with err for what is refused before connecting: empty password, NUL, too many attempts. */
MUSTCHECK struct db_pool *db_pools_login(struct db_pools *, const struct conf_database *,
                                         const struct db_login *, struct err *);

/* The user's own types seen so far, for db_value_conv; good as long as the db_pools. */
const struct db_types *db_pool_types(const struct db_pool *);

/* What the pool's sessions are called in pg_stat_activity. */
struct str db_pool_application_name(const struct db_pool *);

/* Is a backslash in '...' itself (standard_conforming_strings, as the last session of the pool
 * reported it)? Not known before there was one. */
bool db_pool_plain_backslash(const struct db_pool *);
bool db_pool_strings_known(const struct db_pool *);

/* Is the database reachable right now, as far as the pool knows? reason says why not. */
bool db_pool_up(const struct db_pool *, const char **reason);

struct db_pool_stats {
    unsigned size, max, idle, busy, connecting, waiting;
    uint64_t jobs, timeouts, connects, connect_failures, resets, resends, cancels;
    uint64_t lookups, lookups_unknown; /* of commits in doubt (commit-lookup) */
};
void db_pools_each(struct db_pools *,
                   void (*fn)(void *arg, const char *database, const char *user,
                              const struct db_pool_stats *),
                   void *arg);

#endif
