/* error: the error object of /sql and /copy: always the same 17 keys, null when absent, and the
 * status that goes with it. */
#ifndef PGH_SQL_ERROR_H
#define PGH_SQL_ERROR_H

#include "db/job.h"
#include "sql/request.h"
#include "util/buf.h"

/* index: of the statement in a batch. with_index: write "queryIndex" at all; SQL_NO_INDEX is null.
 */
void sql_error_json(struct buf *, const struct db_error *, bool with_index, size_t index);
void sql_error_own(struct buf *, const struct err *, bool with_index, size_t index);

/* Anything but DB_DONE: 400 for what PostgreSQL answered, 503 for what was never sent, 500 for an
 * unknown outcome. */
int sql_error_status(const struct db_outcome *);

/* "failed" as the client counts; SQL_NO_INDEX for the COMMIT and our own statements. */
size_t sql_error_index(const struct sql_request *, const struct db_outcome *);

/* The failure as the client understands it: that of a hidden statement is told as what it means,
 * positions count in the client's text, :name is said for $n, a deadline is called one. */
void sql_error_explain(const struct sql_request *, const struct db_outcome *, struct arena *,
                       struct db_error *);

/* The part of it that needs no request: the deadline's hint. */
void sql_error_hint(const struct db_outcome *, struct db_error *);

#endif
