/* sqlstate: which HTTP status answers which SQLSTATE in REST (PostgREST's table).
 *
 * PTnnn raised by a function is status nnn. 42501 is 401 for somebody who is not logged in. */
#ifndef PGH_DB_SQLSTATE_H
#define PGH_DB_SQLSTATE_H

#include "util/str.h"

/* code and message as PostgreSQL gave them; NULL code: 400. */
int db_sqlstate_status(const char *code, const char *message, bool anonymous);

/* A connection was lost, is refused or cannot serve for now: classes 08 and 53, and 57P0x. */
bool db_sqlstate_connection(const char *code);

#endif
