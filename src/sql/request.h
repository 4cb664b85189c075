/* request: the body of /sql (or the URL of a GET) turned into statements ready to be sent.
 *
 * Accepted bodies: {"query", "params", "arrayMode"}; {"queries": [...]}; ["sql", {...}, ...]; and
 * with Content-Type application/sql the statement itself. A body is read where it stands: texts are
 * unescaped and NUL-terminated in place, so a request costs no copy of what it carries. Parameters
 * become PostgreSQL text: strings as they are, numbers as written, objects as JSON, arrays as array
 * literals; their types are left to PostgreSQL.
 *
 * Everything in it lives in the arena or in the body. */
#ifndef PGH_SQL_REQUEST_H
#define PGH_SQL_REQUEST_H

#include "sql/options.h"
#include "sql/statement.h"

#define SQL_BATCH_MAX 10000 /* statements */
#define SQL_NO_INDEX SIZE_MAX

struct sql_extra { /* what /sql knows about a statement besides db_stmt */
    enum sql_verb verb;
    bool array_mode;
    bool leaves_state;               /* the session may differ after it */
    bool reads;                      /* its text reads and no more */
    bool encoding;                   /* it may change client_encoding in some roundabout way */
    const struct db_error *means;    /* a hidden statement: what its failure says */
    const struct sql_binding *bound; /* it had :name parameters; or NULL */
};

struct sql_request {
    /* As they will be sent. hidden_first of them stand in front of the client's own, hidden_last
     * behind; the client never sees those. */
    struct db_stmt *stmts;
    struct sql_extra *extras;
    size_t n, hidden_first, hidden_last;
    bool batch;          /* the reply is {"results": [...]} */
    bool in_transaction; /* BEGIN ... COMMIT around all */
    bool leaves_state;   /* one of them does */
    bool quick;          /* one query, not in a BEGIN, that leaves nothing in its session */
    size_t failed;       /* with an error: the index of the client's statement, or SQL_NO_INDEX */
};

struct sql_body {
    char *p; /* with room for one byte more behind n; changed by reading */
    size_t n;
    bool get;             /* GET: the statement is in the options */
    bool plain_backslash; /* standard_conforming_strings of the session */
};

/* False with err, 400 (PGH100 bad JSON, PGH101 wrong shape, PGH103 parameters, 0A000, 2D000...). */
MUSTCHECK bool sql_request_read(struct arena *, const struct sql_options *, const struct sql_body *,
                                struct sql_request *, struct err *);

#endif
