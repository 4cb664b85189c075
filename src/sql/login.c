#include "sql/login.h"

#include "util/base64.h"

/* Decodes leniently into the arena; plus: a '+' is a space, as in forms. NUL cannot be part of a
 * name or password. */
static bool decode(struct arena *arena, struct str in, bool plus, struct str *out, struct err *err)
{
    char *to = arena_alloc(arena, in.n + 1);
    size_t n;
    if (!to || !str_percent_decode(in, plus, true, to, &n))
        return err_set(err, 400, "PGH104", "the connection string is too long");
    if (memchr(to, '\0', n) || !str_utf8((struct str){to, n}))
        return err_set(err, 400, "22021",
                       "the connection string contains a NUL or bytes that are not UTF-8");
    *out = (struct str){to, n};
    return true;
}

static size_t find_any(struct str s, const char *set, size_t from)
{
    while (from < s.n && !strchr(set, s.p[from]))
        from++;
    return from;
}

/* endpoint=... and project=... tell Neon's proxy where to go; PostgreSQL does not know them. Closed
 * up in place: the text is the arena's. A backslash keeps a space in a word (PostgreSQL docs,
 * "options"). */
static void drop_neon_options(struct str *options)
{
    char *text = (char *)(uintptr_t)options->p;
    size_t n = 0, end;
    for (size_t i = 0; i < options->n; i = end) {
        size_t word = i;
        while (word < options->n && options->p[word] == ' ')
            word++;
        for (end = word; end < options->n && options->p[end] != ' '; end++)
            end += options->p[end] == '\\' && end + 1 < options->n;
        struct str w = {options->p + word, end - word};
        if (str_starts(w, STR("endpoint=")) || str_starts(w, STR("project=")))
            continue;
        memmove(text + n, options->p + i, end - i);
        n += end - i;
    }
    options->n = n;
}

static bool read_url_options(struct arena *arena, struct str query, struct db_login *login,
                             struct err *err)
{
    struct str pair;
    while (str_next(&query, '&', &pair)) {
        size_t equals = str_find(pair, '=', 0);
        struct str name = {pair.p, equals}, value = str_from(pair, equals + 1), *to = NULL;
        if (str_eq(name, STR("options")))
            to = &login->options;
        else if (str_eq(name, STR("application_name")))
            to = &login->application_name;
        if (to && !decode(arena, value, true, to, err))
            return false;
    }
    drop_neon_options(&login->options);
    return true;
}

bool sql_login_url(struct arena *arena, struct str url, struct db_login *login, struct err *err)
{
    size_t scheme = str_istarts(url, STR("postgresql://")) ? 13
                    : str_istarts(url, STR("postgres://")) ? 11
                                                           : 0;
    if (!scheme || memchr(url.p, '\0', url.n))
        return err_set(err, 400, "PGH104",
                       "the connection string is not postgresql://user:password@host/database");
    struct str rest = str_from(url, scheme);
    rest.n = str_find(rest, '#', 0);
    size_t end = find_any(rest, "/?", 0), at = end;
    while (at > 0 && rest.p[at - 1] != '@') /* the last one: a password may contain it */
        at--;
    if (at == 0)
        return err_set(err, 400, "PGH104", "the connection string has no user");
    struct str info = {rest.p, at - 1};
    size_t colon = str_find(info, ':', 0);
    size_t question = str_find(rest, '?', end);
    struct str path = {rest.p + end, question - end};
    return decode(arena, (struct str){info.p, colon}, false, &login->user, err) &&
           decode(arena, str_from(info, colon + 1), false, &login->password, err) &&
           decode(arena, str_from(path, 1), false, &login->database, err) &&
           read_url_options(arena, str_from(rest, question + 1), login, err);
}

bool sql_login_basic(struct arena *arena, struct str authorization, struct db_login *login,
                     struct err *err)
{
    if (!str_istarts(authorization, STR("Basic ")))
        return err_set(err, 401, "28000",
                       "Authorization: Basic with a PostgreSQL user and password is needed here");
    struct str coded = str_trim(str_from(authorization, 6));
    char *plain = arena_alloc(arena, coded.n + 1);
    size_t n;
    while (coded.n > 0 && coded.p[coded.n - 1] == '=') /* or none: RFC 4648, section 3.2 */
        coded.n--;
    if (!plain || !base64_decode(coded, BASE64_STANDARD, plain, &n, NULL))
        return err_set(err, 400, "PGH104", "Authorization: not valid base64");
    struct str both = {plain, n};
    size_t colon = str_find(both, ':', 0);
    if (colon == n || memchr(plain, '\0', n) || !str_utf8(both))
        return err_set(err, 400, "PGH104", "Authorization: not user:password in UTF-8");
    login->user = (struct str){plain, colon};
    login->password = str_from(both, colon + 1);
    return true;
}

bool sql_login_read(struct arena *arena, const struct sql_options *o, struct db_login *login,
                    struct err *err)
{
    bool ok;
    if (o->connection_string.p)
        ok = sql_login_url(arena, o->connection_string, login, err);
    else if (o->authorization.p)
        ok = sql_login_basic(arena, o->authorization, login, err);
    else
        return err_set(err, 401, "28000",
                       "PostgreSQL credentials are needed: Authorization: Basic, or a connection "
                       "string in Neon-Connection-String");
    if (ok && login->user.n == 0)
        return err_set(err, 400, "28000", "the user name is empty");
    return ok;
}
