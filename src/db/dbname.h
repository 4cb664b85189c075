/* dbname: which database a configured connection string means, for the check that a client's login
 * asks for an allowed one. */
#ifndef PGH_DB_DBNAME_H
#define PGH_DB_DBNAME_H

#include "conf/conf.h"
#include "util/str.h"

/* uri: a PostgreSQL URI or a keyword string; what it leaves open comes from the environment, as in
 * libpq. */
bool db_name_is(const char *uri, struct str name);

/* The same name, for a login that names none: without it libpq would take the login's own. The
 * caller's, for free(). NULL: the string cannot be read, or a service file decides. */
MUSTCHECK char *db_name_of(const char *uri);

/* May a client log in to the database of this name? In login-databases ("*": every one), or, when
 * that is empty, the one that is configured. */
bool db_name_allowed(const struct conf *, const struct conf_database *, struct str name);

#endif
