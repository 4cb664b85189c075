/* reply: results of PostgreSQL written as JSON, NDJSON or CSV straight into one buffer; no tree, no
 * allocation per row.
 *
 * The owner empties the buffer whenever it likes. What says that the request succeeded is
 * only written by sql_reply_finish, after ReadyForQuery: the trailer of NDJSON ("command", or of a
 * batch "committed"), the end of JSON with its "command". */
#ifndef PGH_SQL_REPLY_H
#define PGH_SQL_REPLY_H

#include "db/value.h"
#include "sql/drain.h"
#include "sql/request.h"

struct sql_column { /* of the result being written */
    struct str key; /* "name": as JSON; p == NULL: a later column has the same name */
    struct db_conv conv;
};

struct sql_reply {
    const struct sql_options *options;
    const struct sql_request *request;
    struct arena *arena;
    struct drain out;
    uint64_t bytes_max;           /* of the whole reply; 0: any */
    const struct db_types *types; /* of the database; NULL: built-in types only */

    /* the reply's own */
    size_t current; /* index of the client's statement whose result is open */
    bool open;      /* its head was written */
    bool array_mode;
    struct sql_column *columns;
    size_t n_columns, room_columns;
    uint64_t rows;        /* written of it */
    bool truncated;       /* rows were left out */
    bool cancelled;       /* and the statement with them: nobody needs the rest */
    bool overflow;        /* bytes_max was reached */
    char command[32];     /* first word of the tag */
    struct str row_count; /* its count, in `count` */
    char count[24];
    uint64_t *ends; /* where the result of each statement ends in the whole reply, for notices */
    size_t n_ends;
};

void sql_reply_init(struct sql_reply *, const struct sql_options *, const struct sql_request *,
                    struct arena *);
void sql_reply_fini(struct sql_reply *);
void sql_reply_restart(struct sql_reply *); /* forgets everything, for a retry */

/* A result of statement i as sent (hidden ones are passed over). False: no more is wanted; look at
 * cancelled and overflow. */
bool sql_reply_result(struct sql_reply *, size_t i, const struct db_result *);

/* Success: the rest, with notices and warnings. */
void sql_reply_finish(struct sql_reply *, const struct db_outcome *);

/* NDJSON can say so in its last line when rows were sent already; false for other formats. */
bool sql_reply_error_line(struct sql_reply *, const struct db_outcome *);

struct str sql_reply_type(const struct sql_reply *); /* Content-Type */

#endif
