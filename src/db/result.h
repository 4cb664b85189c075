/* result: what one statement gave, read without libpq's types.
 *
 * A struct db_result is a PGresult behind another name, borrowed for the time of the callback that
 * hands it over. Values are text format unless the statement asked for another. */
#ifndef PGH_DB_RESULT_H
#define PGH_DB_RESULT_H

#include "util/str.h"

struct db_result;

typedef unsigned db_oid; /* PostgreSQL's Oid */

struct db_field {
    struct str name;
    db_oid type, table;
    int column, size, modifier;
    bool binary;
};

enum db_result_kind {
    DB_RESULT_COMMAND, /* no rows: the tag is there */
    DB_RESULT_ROWS, /* all rows; in row mode the closing result, with no rows, after the single ones
                     */
    DB_RESULT_ROW,  /* row mode: one row (or, with libpq 17, a chunk of rows) */
    DB_RESULT_EMPTY, /* an empty query string */
};

enum db_result_kind db_result_kind(const struct db_result *);
size_t db_result_rows(const struct db_result *);
size_t db_result_columns(const struct db_result *);
bool db_result_null(const struct db_result *, size_t row, size_t column);
struct str db_result_value(const struct db_result *, size_t row,
                           size_t column); /* {NULL,0} for NULL */
struct db_field db_result_field(const struct db_result *, size_t column);
struct str db_result_tag(const struct db_result *); /* "INSERT 0 1"; empty for a row of row mode */

/* One 'notice' as collected per statement by the connection. */
struct db_notice {
    const char *severity, *code, *message, *detail, *hint; /* NULL when absent */
};
/* Notices that came with statement i of the job this result belongs to are handed over in
 * db_outcome. */

#endif
