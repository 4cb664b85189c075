#include "http/guard.h"

#include <arpa/inet.h>

#include "http/cors.h"

static bool host_char(unsigned char c)
{
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
        return true;
    return c && strchr("-._~%!$&'()*+,;=", c);
}

bool guard_host_parse(struct str host, struct str *name, struct str *port)
{
    size_t end, i;
    if (host.n && host.p[0] == '[') {
        end = str_find(host, ']', 0);
        if (end == host.n)
            return false;
        for (i = 1; i < end; i++)
            if (!strchr("0123456789abcdefABCDEF:.%", host.p[i]))
                return false;
        end++;
    } else {
        end = str_find(host, ':', 0);
        for (i = 0; i < end; i++)
            if (!host_char((unsigned char)host.p[i]))
                return false;
    }
    *name = (struct str){host.p, end};
    *port = (struct str){NULL, 0};
    if (end == host.n)
        return true;
    if (host.p[end] != ':')
        return false;
    *port = str_from(host, end + 1);
    uint64_t number;
    return port->n == 0 || str_u64(*port, 65535, &number);
}

/* scheme://host[:port] against Host: the same name, and the same port once the scheme's own is
 * filled in. */
static bool same_origin(struct str origin, struct str host)
{
    struct str name, port, own_name, own_port;
    bool https = str_istarts(origin, STR("https://"));
    if (!https && !str_istarts(origin, STR("http://")))
        return false;
    if (!guard_host_parse(str_from(origin, https ? 8 : 7), &name, &port) ||
        !guard_host_parse(host, &own_name, &own_port))
        return false;
    struct str usual = https ? STR("443") : STR("80");
    return name.n && str_ieq(name, own_name) &&
           str_eq(port.n ? port : usual, own_port.n ? own_port : usual);
}

static bool is_address(struct str name)
{
    char text[INET6_ADDRSTRLEN + 2];
    unsigned char address[16];
    if (name.n == 0 || name.n >= sizeof text)
        return false;
    memcpy(text, name.p, name.n);
    text[name.n] = '\0';
    if (text[0] != '[')
        return inet_pton(AF_INET, text, address) == 1;
    text[name.n - 1] = '\0';
    char *zone = strchr(text, '%');
    if (zone)
        *zone = '\0';
    return inet_pton(AF_INET6, text + 1, address) == 1;
}

static bool own_name(struct str host, const struct conf_list *names)
{
    struct str name, port;
    if (!guard_host_parse(host, &name, &port))
        return false;
    if (name.n && name.p[name.n - 1] == '.')
        name.n--;
    if (is_address(name) || str_ieq(name, STR("localhost")))
        return true;
    for (size_t i = 0; i < names->n; i++)
        if (str_ieq(name, str_of(names->v[i])) || str_ieq(host, str_of(names->v[i])))
            return true;
    return false;
}

/* Sec-Fetch-Site of a request that no foreign page can have caused. "same-site" is refused too: a
 * page on another port or subdomain is another origin, and when it has leave it sends Origin. */
static bool fetch_site_ok(struct str site)
{
    return !site.p || str_ieq(site, STR("same-origin")) || str_ieq(site, STR("none"));
}

bool guard_check(const struct guard_request *q, const struct conf_list *allowed_origins,
                 const struct conf_list *server_names, struct err *err)
{
    /* No Host at all is HTTP/1.0: no browser. */
    if (q->open && q->host.p && !own_name(q->host, server_names)) {
        err_set(err, 421, "PGH421", "this host name is not served here");
        err->hint = "add it to server-names, or use the address";
        return false;
    }
    if (!q->guarded)
        return true;
    bool exact;
    bool listed = q->origin.p && cors_listed(allowed_origins, q->origin, q->strict, &exact);
    if (listed)
        return true;
    if (q->origin.p ? same_origin(q->origin, q->host) : fetch_site_ok(q->sec_fetch_site))
        return true;
    err_set(err, 403, "PGH403", "requests of web pages from other origins are refused");
    err->hint = "add the page's origin to server-cors-allowed-origins";
    return false;
}
