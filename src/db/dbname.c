#include "db/dbname.h"

#include <libpq-fe.h>
#include <stdlib.h>

#include "util/xalloc.h"

static const char *option(const PQconninfoOption *options, const char *keyword)
{
    for (const PQconninfoOption *o = options; o && o->keyword; o++)
        if (strcmp(o->keyword, keyword) == 0)
            return o->val && *o->val ? o->val : NULL;
    return NULL;
}

/* With libpq's own parser: the database, else the user, each from the string before the
 * environment. */
char *db_name_of(const char *uri)
{
    PQconninfoOption *given = PQconninfoParse(uri ? uri : "", NULL), *defaults = PQconndefaults();
    const char *database = option(given, "dbname");
    if (!database)
        database = option(defaults, "dbname");
    if (!database)
        database = option(given, "user");
    if (!database)
        database = option(defaults, "user");
    bool known = given && database && !(option(given, "service") && !option(given, "dbname"));
    char *name = known ? xstrdup(database) : NULL;
    PQconninfoFree(given);
    PQconninfoFree(defaults);
    return name;
}

static bool parsed_name_is(const char *uri, struct str name)
{
    char *own = db_name_of(uri);
    bool same = own && str_eq(str_of(own), name);
    free(own);
    return same;
}

bool db_name_is(const char *uri, struct str name)
{
    /* The usual form is read without libpq, which takes longer than the rest of a request:
     * scheme://authority/name, with no escapes and no dbname= behind it. */
    struct str s = str_of(uri);
    const char *authority = strstr(uri, "://");
    if (authority && !memchr(uri, '%', s.n) && !strstr(uri, "dbname=")) {
        struct str rest = str_from(s, (size_t)(authority - uri) + 3);
        struct str path = str_from(rest, str_find(rest, '/', 0) + 1);
        path.n = str_find(path, '?', 0);
        if (path.n > 0)
            return str_eq(path, name);
    }
    return parsed_name_is(uri, name);
}

bool db_name_allowed(const struct conf *conf, const struct conf_database *database, struct str name)
{
    for (size_t i = 0; i < conf->login_databases.n; i++) {
        struct str one = str_of(conf->login_databases.v[i]);
        if (str_eq(one, name) || str_eq(one, STR("*")))
            return true;
    }
    return conf->login_databases.n == 0 && db_name_is(database->db_uri, name);
}
