#include "db/result.h"

#include <libpq-fe.h>

/* Only this file and the connection know that a struct db_result is a PGresult. */
static const PGresult *pg(const struct db_result *r)
{
    return (const PGresult *)(const void *)r;
}

enum db_result_kind db_result_kind(const struct db_result *r)
{
    ExecStatusType status = PQresultStatus(pg(r));
    if (status == PGRES_TUPLES_OK)
        return DB_RESULT_ROWS;
    if (status == PGRES_COMMAND_OK)
        return DB_RESULT_COMMAND;
    return status == PGRES_EMPTY_QUERY ? DB_RESULT_EMPTY : DB_RESULT_ROW;
}

size_t db_result_rows(const struct db_result *r)
{
    return (size_t)PQntuples(pg(r));
}

size_t db_result_columns(const struct db_result *r)
{
    return (size_t)PQnfields(pg(r));
}

bool db_result_null(const struct db_result *r, size_t row, size_t column)
{
    return PQgetisnull(pg(r), (int)row, (int)column);
}

struct str db_result_value(const struct db_result *r, size_t row, size_t column)
{
    int n = PQgetlength(pg(r), (int)row, (int)column);
    if (n == 0 && PQgetisnull(pg(r), (int)row, (int)column))
        return (struct str){NULL, 0};
    return (struct str){PQgetvalue(pg(r), (int)row, (int)column), (size_t)n};
}

struct db_field db_result_field(const struct db_result *r, size_t column)
{
    int i = (int)column;
    return (struct db_field){.name = str_of(PQfname(pg(r), i)),
                             .type = PQftype(pg(r), i),
                             .table = PQftable(pg(r), i),
                             .column = PQftablecol(pg(r), i),
                             .size = PQfsize(pg(r), i),
                             .modifier = PQfmod(pg(r), i),
                             .binary = PQfformat(pg(r), i) != 0};
}

struct str db_result_tag(const struct db_result *r)
{
    /* libpq's signature lacks the const; nothing is changed. */
    return str_of(PQcmdStatus((PGresult *)(uintptr_t)pg(r)));
}
