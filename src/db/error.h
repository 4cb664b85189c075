/* error: PostgreSQL's error fields, from a result, from libpq's text of a failed connection, or of
 * our own making. Private to src/db.
 *
 * A struct db_failure owns the bytes its db_error points at; db_failure_fini frees them. */
#ifndef PGH_DB_ERROR_H
#define PGH_DB_ERROR_H

#include <libpq-fe.h>

#include "db/job.h"

struct db_failure {
    struct db_error error;
    char *bytes;
};

/* Fields point into the result. */
void db_error_of_result(struct db_error *, const PGresult *);

/* All of these replace what was in it before. */
void db_failure_result(struct db_failure *, const PGresult *);
void db_failure_set(struct db_failure *, const char *code, const char *message, const char *hint);
/* Reads severity, SQLSTATE, message, detail, hint and location out of a PQerrorMessage in
 * PQERRORS_VERBOSE form; fallback is the code when there is none in it. */
void db_failure_text(struct db_failure *, const char *text, const char *fallback);
void db_failure_copy(struct db_failure *, const struct db_error *);
void db_failure_fini(struct db_failure *);

static inline bool db_failure_any(const struct db_failure *f)
{
    return f->error.code != NULL;
}

#endif
