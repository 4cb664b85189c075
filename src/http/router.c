/* Routing is a scan over a dozen entries: cheaper than a hash at this size, and the order of the
 * rules can be read. The forms of a path, tried in this order:
 *
 *     /-/x            the same as /x, but never REST's by the drop-in
 *     /db/NAME/x      x of another database, for ROUTE_DATABASE
 *     REST_PATH[/...] REST
 *     x               exact, or below a path that ends in a slash
 */
#include "http/router.h"

#include <stdlib.h>

#include "util/xalloc.h"

struct entry {
    const struct route *route;
    struct str path;
    unsigned methods;
    char *allow;
    bool prefix;
};

struct router {
    struct entry entries[ROUTER_MAX];
    unsigned n;
    int rest; /* index of the REST route, or -1 */
    char *rest_path;
    struct str rest_str;
};

static const struct {
    struct str name;
    enum http_method method;
} method_names[] = {
    {{"GET", 3}, HTTP_GET},         {{"HEAD", 4}, HTTP_HEAD},   {{"POST", 4}, HTTP_POST},
    {{"PUT", 3}, HTTP_PUT},         {{"PATCH", 5}, HTTP_PATCH}, {{"DELETE", 6}, HTTP_DELETE},
    {{"OPTIONS", 7}, HTTP_OPTIONS},
};

enum http_method http_method_of(struct str name)
{
    for (size_t i = 0; i < sizeof method_names / sizeof *method_names; i++)
        if (str_eq(method_names[i].name, name))
            return method_names[i].method;
    return HTTP_OTHER;
}

static unsigned parse_methods(const char *list)
{
    struct str rest = str_of(list), part;
    unsigned mask = 0;
    while (str_next(&rest, ',', &part))
        mask |= 1u << http_method_of(str_trim(part));
    if (mask & 1u << HTTP_GET)
        mask |= 1u << HTTP_HEAD;
    return mask;
}

static char *allow_text(unsigned mask)
{
    struct buf b;
    size_t n;
    buf_init(&b, 256);
    for (size_t i = 0; i < sizeof method_names / sizeof *method_names; i++) {
        if (!(mask & 1u << method_names[i].method) && method_names[i].method != HTTP_OPTIONS)
            continue;
        if (b.n)
            BUF_LIT(&b, ", ");
        buf_adds(&b, method_names[i].name);
    }
    buf_char(&b, '\0');
    return buf_take(&b, &n);
}

struct router *router_new(const struct route *const *routes, const char *rest_path, bool admin)
{
    struct router *r = xcalloc(1, sizeof *r);
    r->rest = -1;
    r->rest_path = xstrdup(rest_path ? rest_path : "/rest");
    r->rest_str = str_of(r->rest_path);
    for (size_t i = 0; routes[i] && r->n < ROUTER_MAX; i++) {
        const struct route *route = routes[i];
        if (((route->flags & ROUTE_ADMIN) != 0) != admin)
            continue;
        struct str path = str_of(route->path);
        if (route->flags & ROUTE_REST)
            r->rest = (int)r->n;
        unsigned mask = route->flags & ROUTE_REST ? ~0u : parse_methods(route->methods);
        r->entries[r->n++] = (struct entry){
            .route = route,
            .path = path,
            .methods = mask,
            .allow = allow_text(mask),
            .prefix = path.n > 1 && path.p[path.n - 1] == '/',
        };
    }
    return r;
}

void router_free(struct router *r)
{
    if (!r)
        return;
    for (unsigned i = 0; i < r->n; i++)
        free(r->entries[i].allow);
    free(r->rest_path);
    free(r);
}

unsigned router_count(const struct router *r)
{
    return r->n;
}

const struct route *router_route(const struct router *r, unsigned index)
{
    return index < r->n ? r->entries[index].route : NULL;
}

static bool found(const struct router *r, unsigned index, struct str rest, struct route_match *out)
{
    const struct entry *e = &r->entries[index];
    out->route = e->route;
    out->index = index;
    out->methods = e->methods;
    out->allow = e->allow;
    out->rest = rest;
    return true;
}

/* path is mount, or below it. */
static bool below(struct str path, struct str mount, struct str *rest)
{
    if (!str_starts(path, mount) || (path.n > mount.n && path.p[mount.n] != '/'))
        return false;
    *rest = str_from(path, path.n > mount.n ? mount.n + 1 : mount.n);
    return true;
}

static bool find_plain(const struct router *r, struct str path, bool in_database,
                       struct route_match *out)
{
    struct str rest, mount = r->rest_str.n ? r->rest_str : STR("/rest");
    if (r->rest >= 0 && below(path, mount, &rest))
        if (!in_database || r->entries[r->rest].route->flags & ROUTE_DATABASE)
            return found(r, (unsigned)r->rest, rest, out);
    for (unsigned i = 0; i < r->n; i++) {
        const struct entry *e = &r->entries[i];
        if ((int)i == r->rest || (in_database && !(e->route->flags & ROUTE_DATABASE)))
            continue;
        if (e->prefix ? str_starts(path, e->path) : str_eq(path, e->path))
            return found(r, i, str_from(path, e->path.n), out);
    }
    return false;
}

bool router_find(const struct router *r, struct str path, struct route_match *out)
{
    *out = (struct route_match){0};
    bool own = str_starts(path, STR("/-/"));
    if (r->rest >= 0 && r->rest_str.n == 0 && !own)
        return found(r, (unsigned)r->rest, str_from(path, path.n && path.p[0] == '/'), out);
    if (own)
        path = str_from(path, 2);
    if (str_starts(path, STR("/db/"))) {
        struct str tail = str_from(path, 4);
        size_t slash = str_find(tail, '/', 0);
        if (slash == 0 || slash == tail.n)
            return false;
        out->database = (struct str){tail.p, slash};
        return find_plain(r, str_from(tail, slash), true, out);
    }
    return find_plain(r, path, false, out);
}
