/* fuzz_http_head: the pure readers of what a client sends: Accept, Accept-Encoding, Host, Origin,
 * X-Forwarded-For, the path, the query as it is logged, gzip bodies. The first byte chooses. What
 * they hand out must lie inside what they got, and secrets must not survive redaction. */
#include <stdlib.h>

#include "http/access.h"
#include "http/compress.h"
#include "http/guard.h"
#include "http/negotiate.h"
#include "http/proxy.h"
#include "http/router.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool truth)
{
    if (!truth)
        abort();
}

static void inside(struct str part, struct str whole)
{
    require(!part.p || part.n == 0 || (part.p >= whole.p && part.p + part.n <= whole.p + whole.n));
}

static void negotiation(struct str s)
{
    static const struct str offers[] = {{"application/json", 16}, {"text/csv", 8}};
    struct str rest = s;
    struct accept_item item;
    size_t items = 0;
    while (accept_next(&rest, &item)) {
        inside(item.range, s);
        inside(item.params, s);
        require(item.range.n > 0 && item.q <= 1000 && ++items <= s.n);
    }
    require(negotiate_type(s, offers, 2) <= 2);
    (void)negotiate_gzip(s);
    (void)gzip_type(s);
}

static void host(struct str s)
{
    struct str name, port, head = {s.p, s.n / 2}, tail = {s.p + s.n / 2, s.n - s.n / 2};
    struct conf_list none = {NULL, 0};
    struct err err;
    if (guard_host_parse(s, &name, &port)) {
        inside(name, s);
        inside(port, s);
        require(!memchr(name.p, '/', name.n) && !memchr(name.p, '@', name.n));
    }
    struct guard_request q = {.host = head, .origin = tail, .guarded = true, .open = true};
    if (guard_check(&q, &none, &none, &err))
        require(guard_host_parse(head, &name, &port) && name.n > 0);
    else
        require(err.status == 403 || err.status == 421);
}

static void forwarded(struct str s)
{
    static const char *const trusted[] = {"10.0.0.0/8", "::1"};
    struct conf_list conf = {trusted, 2};
    struct cidr_list *l = cidr_list_new(&conf);
    inside(proxy_client(l, s), s);
    cidr_list_free(l);
}

static const struct route sql = {
    .name = "sql", .methods = "GET", .path = "/sql", .flags = ROUTE_DATABASE};
static const struct route listen_path = {
    .name = "listen", .methods = "GET", .path = "/listen/", .flags = ROUTE_DATABASE};
static const struct route rest = {
    .name = "rest", .methods = "*", .path = "/rest/", .flags = ROUTE_REST | ROUTE_DATABASE};
static const struct route *const routes[] = {&sql, &listen_path, &rest, NULL};

static void path(struct str s)
{
    static const char *const mounts[] = {"/rest", "", "/api/v1"};
    for (size_t i = 0; i < 3; i++) {
        struct router *r = router_new(routes, mounts[i], false);
        struct route_match m;
        if (router_find(r, s, &m)) {
            require(m.route && m.allow);
            inside(m.rest, s);
            inside(m.database, s);
        } else {
            require(i != 1 || str_starts(s, STR("/-/")));
        }
        router_free(r);
    }
}

/* The same with a secret behind it: it must not be seen. */
static void redact(struct str s)
{
    struct buf target, shown;
    buf_init(&target, 1 << 20);
    buf_init(&shown, 1 << 20);
    if (s.n > 1000 || memmem(s.p, s.n, "0sesame0", 8))
        return;
    BUF_LIT(&target, "/x?");
    buf_adds(&target, s);
    BUF_LIT(&target, "&access%5ftoken=0sesame0");
    access_redact(&shown, buf_str(&target), true);
    require(!memmem(shown.p, shown.n, "0sesame0", 8));
    buf_fini(&target);
    buf_fini(&shown);
}

static void inflate_body(struct str s)
{
    struct inflater *f = inflater_new();
    struct buf out;
    struct err err;
    bool ok = true;
    buf_init(&out, 3 * 1024 * 1024);
    for (size_t i = 0; ok && i < s.n; i += 700)
        ok = inflater_feed(f, (struct str){s.p + i, s.n - i < 700 ? s.n - i : 700}, &out, &err);
    require(out.n <= out.ceiling && (ok || err.status == 400 || err.status == 413));
    inflater_free(f);
    buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const readers[])(struct str) = {negotiation, host,   forwarded,
                                                  path,        redact, inflate_body};
    if (size < 1)
        return 0;
    /* A copy of its own, so that reading past the end is seen. */
    char *copy = malloc(size);
    memcpy(copy, data + 1, size - 1);
    readers[data[0] % (sizeof readers / sizeof *readers)]((struct str){copy, size - 1});
    free(copy);
    return 0;
}
