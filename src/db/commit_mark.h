/* commit_mark: what identifies a transaction, so that its fate can be asked for on another
 * connection (PostgreSQL docs, "Transaction ID and Snapshot Information Functions": txid_status).
 *
 * A transaction id alone is not enough. After a fail-over to a standby the same number may be
 * another transaction's: so the system identifier and the timeline stand beside it. After a crash
 * numbers are given again that no flushed WAL had: so the position in the WAL at which the
 * transaction stood before its COMMIT stands beside it, too, and the time since when the server's
 * statistics count, which are thrown away in a crash. Pure functions; also for api, which asks for
 * a client that comes back. */
#ifndef PGH_DB_COMMIT_MARK_H
#define PGH_DB_COMMIT_MARK_H

#include "db/job.h"

/* Learned once for each connection. */
struct server_identity {
    uint64_t system;   /* pg_control_system().system_identifier */
    uint32_t timeline; /* of the WAL it writes */
    uint64_t stats_us; /* pg_stat_bgwriter.stats_reset, since 1970: changes in a crash */
};

struct commit_mark {
    uint64_t
        xid; /* 64 bits, with the epoch; 0: the transaction has none, so it has written nothing */
    uint64_t lsn; /* where the WAL ended when its statements had run; its COMMIT stands behind */
    struct server_identity server;
};

/* "SYSTEM-TIMELINE-STATS-LSN-XID" in hexadecimal. */
#define COMMIT_MARK_TEXT_MAX (5 * 17)
void commit_mark_format(const struct commit_mark *, char text[COMMIT_MARK_TEXT_MAX]);
bool commit_mark_parse(struct str text, struct commit_mark *);

/* The answers of a server to COMMIT_LOOKUP_SQL. */
struct commit_lookup {
    struct server_identity server;
    bool knows_server;       /* false: a standby, or what identifies it may not be read */
    enum db_fate status;     /* by the number alone */
    uint64_t checkpoint_lsn; /* of the last checkpoint */
    bool one_checkpoint;     /* that is the one that ended the last crash recovery */
};

extern const char commit_identity_sql[]; /* no parameter; 3 columns */
extern const char commit_lookup_sql[];   /* $1: xid; 6 columns */
/* Before the COMMIT; 2 columns. A transaction that only notifies gets its number with COMMIT: with
 * force it has one now. */
const char *commit_mark_sql(bool force);

bool commit_identity_read(const struct db_result *, struct server_identity *);
bool commit_mark_read(const struct db_result *, struct commit_mark *);
bool commit_lookup_read(const struct db_result *, struct commit_lookup *);

/* What became of the transaction, as far as this server can know it. */
enum db_fate commit_mark_judge(const struct commit_mark *, const struct commit_lookup *);

#endif
