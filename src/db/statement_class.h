/* statement_class: what one SQL text may do to its session, judged from the text alone.
 *
 * The reset of a connection costs more than a point read, so it is skipped after statements that
 * cannot have changed the session: SELECT, VALUES, TABLE, INSERT, UPDATE, DELETE, MERGE and WITH
 * whose every called name is a pg_catalog function without effect on the session. The judgement is
 * conservative: what is not known is assumed to leave state. It is no sandbox: functions behind
 * views, triggers, defaults and row security are not seen, which is why every hundredth job resets
 * regardless. */
#ifndef PGH_DB_STATEMENT_CLASS_H
#define PGH_DB_STATEMENT_CLASS_H

#include "util/str.h"

enum db_statement_kind {
    DB_STATEMENT_EMPTY,   /* nothing but space and comments */
    DB_STATEMENT_READ,    /* SELECT, VALUES, TABLE, WITH without a writing keyword in it */
    DB_STATEMENT_WRITE,   /* INSERT, UPDATE, DELETE, MERGE, or WITH one of them */
    DB_STATEMENT_CONTROL, /* BEGIN, START, COMMIT, END, ROLLBACK, ABORT, PREPARE TRANSACTION, SET
                             TRANSACTION, SET SESSION CHARACTERISTICS */
    DB_STATEMENT_COPY,
    DB_STATEMENT_SAVEPOINT, /* SAVEPOINT, RELEASE, ROLLBACK TO */
    DB_STATEMENT_OTHER
};

struct db_statement_class {
    enum db_statement_kind kind;
    bool leaves_state;    /* the session may differ afterwards: reset it */
    bool can_write;       /* false: surely reads only, so it may be repeated */
    bool client_encoding; /* mentions client_encoding or SET NAMES: may change what bytes mean */
};

struct db_statement_class db_statement_class(struct str sql, bool standard_conforming_strings);

/* SELECT, VALUES, TABLE, INSERT, UPDATE, DELETE, MERGE, WITH: runs inside any transaction. Looks at
 * the first word alone. */
bool db_statement_plain(struct str sql);

#endif
