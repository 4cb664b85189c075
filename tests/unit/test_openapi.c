/* openapi.yaml names the endpoints of the route table, and no others: compared both ways, with
 * methods and with the flags that it has words for. Reads the few lines it needs of the file (two
 * blanks of indent a level), not YAML as such. */
#include "unit.h"

#include <stdio.h>

#include "api/routes.h"

enum { PATHS_MAX = 64 };

struct entry {
    char path[64]; /* as in the route table: "/listen/" for "/listen/{channel}" */
    char methods[64];
    bool admin, database;
};

struct entries {
    struct entry v[PATHS_MAX];
    size_t n;
};

static bool starts(const char *s, const char *with)
{
    return strncmp(s, with, strlen(with)) == 0;
}

static void add_method(struct entry *e, const char *name, size_t n)
{
    size_t have = strlen(e->methods);
    assert_true(have + n + 2 < sizeof e->methods);
    for (size_t i = 0; i < n; i++)
        e->methods[have++] = (char)(name[i] >= 'a' && name[i] <= 'z' ? name[i] - 32 : name[i]);
    memcpy(e->methods + have, " ", 2);
}

static void read_line(struct entries *all, const char *line)
{
    static const char *const methods[] = {"get", "post", "put", "patch", "delete"};
    if (starts(line, "  /")) {
        assert_true(all->n < PATHS_MAX);
        struct entry *e = &all->v[all->n++];
        size_t n = strcspn(line + 2, "{#:\n");
        assert_true(n < sizeof e->path);
        memcpy(e->path, line + 2, n);
        return;
    }
    if (all->n == 0)
        return;
    struct entry *e = &all->v[all->n - 1];
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        size_t n = strlen(methods[i]);
        if (starts(line, "    ") && strncmp(line + 4, methods[i], n) == 0 && line[4 + n] == ':')
            add_method(e, methods[i], n);
    }
    e->admin |= starts(line, "    x-admin: true");
    e->database |= starts(line, "    x-database: true");
}

static void read_file(struct entries *all)
{
    FILE *f = fopen("openapi.yaml", "r");
    assert_non_null(f);
    char line[1024];
    bool in_paths = false;
    while (fgets(line, sizeof line, f)) {
        if (line[0] != ' ' && line[0] != '\n')
            in_paths = starts(line, "paths:");
        if (in_paths)
            read_line(all, line);
    }
    fclose(f);
}

static const char *path_of(const struct route *r)
{
    return r->flags & ROUTE_REST ? "/rest/" : r->path;
}

/* Has the list the word? Lists are "GET, POST" or "GET POST "; "*" has all. */
static bool has(const char *list, const char *word, size_t n)
{
    if (strcmp(list, "*") == 0)
        return true;
    for (const char *p = list; (p = strstr(p, word)); p++)
        if (strspn(p + n, ", ") > 0 || p[n] == 0)
            return true;
    return false;
}

static void same_methods(const struct route *r, const struct entry *e)
{
    static const char *const methods[] = {"GET", "POST", "PUT", "PATCH", "DELETE"};
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        size_t n = strlen(methods[i]);
        if (has(r->methods, methods[i], n) != has(e->methods, methods[i], n))
            fail_msg("%s: route table says '%s', openapi.yaml says '%s'", e->path, r->methods,
                     e->methods);
    }
    if (!!(r->flags & ROUTE_DATABASE) != e->database)
        fail_msg("%s: under /db/NAME or not?", e->path);
}

static const struct entry *find(const struct entries *all, const char *path, bool admin)
{
    for (size_t i = 0; i < all->n; i++)
        if (all->v[i].admin == admin && strcmp(all->v[i].path, path) == 0)
            return &all->v[i];
    return NULL;
}

static void every_route_is_described(void **state)
{
    struct entries *all = *state;
    assert_non_null(api_routes[0]);
    const struct route *const *tables[] = {api_routes, api_admin_routes};
    for (size_t admin = 0; admin < 2; admin++) {
        for (const struct route *const *r = tables[admin]; *r; r++) {
            const struct entry *e = find(all, path_of(*r), admin);
            if (!e)
                fail_msg("route %s%s is not in openapi.yaml", path_of(*r), admin ? " (admin)" : "");
            same_methods(*r, e);
        }
    }
}

static void every_description_has_a_route(void **state)
{
    const struct entries *all = *state;
    for (size_t i = 0; i < all->n; i++) {
        bool found = false;
        for (const struct route *const *r = all->v[i].admin ? api_admin_routes : api_routes; *r;
             r++)
            found |= strcmp(path_of(*r), all->v[i].path) == 0;
        if (!found)
            fail_msg("%s of openapi.yaml has no route", all->v[i].path);
    }
}

static int setup(void **state)
{
    struct entries *all = calloc(1, sizeof *all);
    *state = all;
    read_file(all);
    return all->n == 0;
}

static int teardown(void **state)
{
    free(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_route_is_described),
        cmocka_unit_test(every_description_has_a_route),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
