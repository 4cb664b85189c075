/* What a single value cannot tell: settings that exclude each other, and texts with a grammar of
 * their own. */
#include "conf/conf_table.h"

#include <ctype.h>

static const struct conf_value *value_of(const struct conf_loaded *l, const char *key)
{
    return &l->raw.top.v[conf_key_find(str_of(key))];
}

/* The position shown is that of the first of the two that was set. */
static struct conf_origin origin_of(const struct conf_loaded *l, const char *key, const char *other)
{
    const struct conf_value *v = value_of(l, key);
    return v->text || !other ? v->origin : value_of(l, other)->origin;
}

bool conf_loopback(const char *host)
{
    return strcmp(host, "localhost") == 0 || strcmp(host, "::1") == 0 ||
           strncmp(host, "127.", 4) == 0;
}

static bool check_open(const struct conf_loaded *l, struct err *err)
{
    const struct conf *c = &l->conf;
    const char *open = c->sql_access == CONF_OPEN      ? "sql-access"
                       : c->listen_access == CONF_OPEN ? "listen-access"
                       : c->notify_access == CONF_OPEN ? "notify-access"
                                                       : NULL;
    if (!open || c->trusted_network || c->server_unix_socket || conf_loopback(c->server_host))
        return true;
    struct conf_origin o = origin_of(l, open, "server-host");
    return conf_fail(err, &o, open,
                     "open, and server-host is %s: everybody who reaches that address could use "
                     "it. Set trusted-network = true if that is meant, or server-host = 127.0.0.1",
                     c->server_host);
}

static bool check_ports(const struct conf_loaded *l, struct err *err)
{
    const struct conf *c = &l->conf;
    struct conf_origin o = origin_of(l, "admin-server-port", "server-port");
    if (c->server_port != 0 && c->server_port == c->admin_server_port && !c->server_unix_socket &&
        !c->admin_server_unix_socket)
        return conf_fail(err, &o, "admin-server-port", "cannot be the same as server-port");
    o = origin_of(l, "admin-server-unix-socket", NULL);
    if (c->server_unix_socket && c->admin_server_unix_socket &&
        strcmp(c->server_unix_socket, c->admin_server_unix_socket) == 0)
        return conf_fail(err, &o, "admin-server-unix-socket",
                         "cannot be the same as server-unix-socket");
    return true;
}

static bool check_socket_length(const struct conf_loaded *l, const char *path, const char *key,
                                struct err *err)
{
    struct conf_origin o = origin_of(l, key, NULL);
    if (path && strlen(path) > 107) /* sun_path of unix(7) */
        return conf_fail(err, &o, key, "longer than 107 bytes");
    return true;
}

struct order {
    const char *small, *large;
    uint64_t a, b;
    const char *why;
};

/* small must not be more than large. */
static bool check_orders(const struct conf_loaded *l, struct err *err)
{
    const struct conf *c = &l->conf;
    const struct order orders[] = {
        {"listen-buffer", "listen-buffer-max", c->listen_buffer, c->listen_buffer_max, ""},
        {"listen-buffer-max", "listen-history", c->listen_buffer_max, c->listen_history,
         ": a reader may be behind by as much as is kept"},
        {"db-pool", "db-connections-max", c->databases[0].db_pool, c->db_connections_max, ""},
        {"db-pool-min", "db-pool", c->db_pool_min, c->databases[0].db_pool, ""},
        {"workers", "db-pool", c->workers, c->databases[0].db_pool,
         ": each worker needs a connection"},
        {"request-max-bytes", "request-memory-max", c->request_max_bytes, c->request_memory_max,
         ": one such body must have room"},
        {"response-buffer", "response-max-bytes", c->response_buffer,
         c->response_max_bytes ? c->response_max_bytes : SIZE_MAX, ""},
    };
    for (size_t i = 0; i < sizeof orders / sizeof orders[0]; i++) {
        const struct order *x = &orders[i];
        struct conf_origin o = origin_of(l, x->small, x->large);
        if (x->a > x->b)
            return conf_fail(err, &o, x->small, "%llu is more than %s (%llu)%s",
                             (unsigned long long)x->a, x->large, (unsigned long long)x->b, x->why);
    }
    return true;
}

static bool check_schemas(const struct conf_loaded *l, const struct conf_database *db,
                          struct conf_origin o, struct err *err)
{
    (void)l;
    for (size_t i = 0; i < db->db_schemas.n; i++)
        if (strcmp(db->db_schemas.v[i], "pg_catalog") == 0 ||
            strcmp(db->db_schemas.v[i], "information_schema") == 0)
            return conf_fail(err, &o, "db-schemas", "%s cannot be exposed", db->db_schemas.v[i]);
    if (db->db_schemas.n == 0)
        return conf_fail(err, &o, "db-schemas", "names no schema");
    return true;
}

static bool check_databases(const struct conf_loaded *l, struct err *err)
{
    const struct conf *c = &l->conf;
    int schemas = conf_key_find(STR("db-schemas")), pool = conf_key_find(STR("db-pool"));
    if (!check_schemas(l, &c->databases[0], l->raw.top.v[schemas].origin, err))
        return false;
    for (size_t i = 1; i < c->n_databases; i++) {
        const struct conf_values *v = l->raw.sections[i - 1];
        const char *name = c->databases[i].name;
        if (!*name || strlen(name) > 63 || strpbrk(name, "/?#%") || !str_utf8(str_of(name)))
            return conf_fail(err, &v->origin, name,
                             "not a name for /db/NAME (1 to 63 bytes without / ? # %%)");
        if (!check_schemas(l, &c->databases[i], v->v[schemas].origin, err))
            return false;
        struct conf_origin o = v->v[pool].text ? v->v[pool].origin : v->origin;
        if (c->databases[i].db_pool > c->db_connections_max)
            return conf_fail(err, &o, "db-pool", "%u is more than db-connections-max (%u)",
                             c->databases[i].db_pool, c->db_connections_max);
    }
    return true;
}

/* RFC 3986 section 3.1, then no byte that a URI cannot hold. */
static bool is_uri(struct str s)
{
    size_t colon = str_find(s, ':', 0);
    if (colon == s.n || colon == 0 || !isalpha((unsigned char)s.p[0]))
        return false;
    for (size_t i = 0; i < colon; i++)
        if (!isalnum((unsigned char)s.p[i]) && !strchr("+-.", s.p[i]))
            return false;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] <= ' ' || s.p[i] >= 0x7f || strchr("<>\"{}|\\^`", s.p[i]))
            return false;
        if (s.p[i] == '%' && !(i + 2 < s.n && isxdigit((unsigned char)s.p[i + 1]) &&
                               isxdigit((unsigned char)s.p[i + 2])))
            return false;
    }
    return true;
}

static bool is_proxy_uri(struct str s)
{
    size_t skip = str_starts(s, STR("http://")) ? 7 : str_starts(s, STR("https://")) ? 8 : 0;
    struct str rest = str_from(s, skip);
    size_t end = str_find(rest, '/', 0), colon = end;
    uint64_t port;
    if (!skip || !is_uri(s))
        return false;
    while (colon > 0 && isdigit((unsigned char)rest.p[colon - 1]))
        colon--;
    if (colon > 0 && rest.p[colon - 1] == ':') {
        if (!str_u64((struct str){rest.p + colon, end - colon}, 65535, &port))
            return false;
        end = colon - 1;
    }
    return end > 0;
}

static bool is_token(const char *s)
{
    for (const char *p = s; *p; p++)
        if (!isalnum((unsigned char)*p) && !strchr("!#$%&'*+-.^_`|~", *p))
            return false;
    return *s != '\0';
}

static bool check_texts(const struct conf_loaded *l, struct err *err)
{
    const struct conf *c = &l->conf;
    struct conf_origin o = origin_of(l, "jwt-aud", NULL);
    if (c->jwt_aud && strchr(c->jwt_aud, ':') && !is_uri(str_of(c->jwt_aud)))
        return conf_fail(err, &o, "jwt-aud", "contains a colon, so it must be a valid URI");
    o = origin_of(l, "openapi-server-proxy-uri", NULL);
    if (c->openapi_server_proxy_uri && !is_proxy_uri(str_of(c->openapi_server_proxy_uri)))
        return conf_fail(err, &o, "openapi-server-proxy-uri",
                         "not an address like https://example.com:8443/basePath");
    o = origin_of(l, "server-trace-header", NULL);
    if (c->server_trace_header && !is_token(c->server_trace_header))
        return conf_fail(err, &o, "server-trace-header", "not the name of a header");
    o = origin_of(l, "listen-cookie", NULL);
    if (c->listen_cookie && !is_token(c->listen_cookie))
        return conf_fail(err, &o, "listen-cookie", "not the name of a cookie");
    return true;
}

bool conf_check(const struct conf_loaded *l, struct err *err)
{
    return check_open(l, err) && check_ports(l, err) && check_orders(l, err) &&
           check_databases(l, err) && check_texts(l, err) &&
           check_socket_length(l, l->conf.server_unix_socket, "server-unix-socket", err) &&
           check_socket_length(l, l->conf.admin_server_unix_socket, "admin-server-unix-socket",
                               err);
}
