/* login: the client's PostgreSQL credentials, from Neon's connection string header or from HTTP
 * Basic (RFC 7617). Of a connection string exactly five things are taken: user, password, database,
 * options and application_name; host and port are never looked at. */
#ifndef PGH_SQL_LOGIN_H
#define PGH_SQL_LOGIN_H

#include "db/pool.h"
#include "sql/options.h"

/* Fills user, password, database (may stay empty), options, application_name, all copied into the
 * arena. False with err: 401 when there are no credentials at all, 400 for garbage. */
MUSTCHECK bool sql_login_read(struct arena *, const struct sql_options *, struct db_login *,
                              struct err *);

/* postgres[ql]://user:password@host[:port]/database[?options=...&application_name=...], with a
 * percent sign that encodes nothing left as it is. */
MUSTCHECK bool sql_login_url(struct arena *, struct str url, struct db_login *, struct err *);
MUSTCHECK bool sql_login_basic(struct arena *, struct str authorization, struct db_login *,
                               struct err *);

#endif
