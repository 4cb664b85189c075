/* The head of a request: its headers gathered in one pass, its framing checked more strictly than
 * libmicrohttpd does (two lengths, two hosts, a length beside chunked: what smuggles requests past
 * proxies), its target taken apart, its route found, and everything that can be refused before the
 * body is looked at. */
#include <openssl/crypto.h>

#include "http/guard.h"
#include "http/mhd.h"
#include "http/negotiate.h"
#include "http/priv.h"
#include "util/xalloc.h"

#define HEADER_COST 72 /* what libmicrohttpd's structure for a header takes of the same memory */
#define ID_MAX 128     /* bytes of an X-Request-Id or a traceparent that are believed */

/* --- headers --- */

static void note_header(struct request *q, struct str name, struct str value)
{
    static const struct {
        struct str name;
        size_t offset;
    } known[] = {
        {{"Host", 4}, offsetof(struct request, host)},
        {{"Origin", 6}, offsetof(struct request, origin)},
        {{"Expect", 6}, offsetof(struct request, expect)},
        {{"traceparent", 11}, offsetof(struct request, pub.traceparent)},
        {{"X-Request-Id", 12}, offsetof(struct request, pub.id)},
        {{"Sec-Fetch-Site", 14}, offsetof(struct request, sec_fetch_site)},
        {{"Accept-Encoding", 15}, offsetof(struct request, accept_encoding)},
        {{"X-Forwarded-For", 15}, offsetof(struct request, forwarded_for)},
        {{"Content-Encoding", 16}, offsetof(struct request, content_encoding)},
        {{"Transfer-Encoding", 17}, offsetof(struct request, transfer_encoding)},
        {{"Access-Control-Request-Method", 29}, offsetof(struct request, ask_method)},
        {{"Access-Control-Request-Headers", 30}, offsetof(struct request, ask_headers)},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (!str_ieq(known[i].name, name))
            continue;
        struct str *slot = (struct str *)(void *)((char *)q + known[i].offset);
        *slot = value; /* the last one counts where it may come twice */
        q->n_host += i == 0;
        q->n_transfer_encoding += known[i].name.n == 17;
    }
}

static void note_length(struct request *q, struct str value)
{
    q->n_content_length++;
    if (!str_u64(str_trim(value), UINT64_MAX / 2, &q->content_length))
        q->n_content_length = 99; /* refused like two of them */
}

static enum MHD_Result on_header(void *arg, enum MHD_ValueKind kind, const char *name,
                                 size_t name_n, const char *value, size_t value_n)
{
    struct request *q = arg;
    struct headers *h = &q->in;
    (void)kind;
    if (h->n == h->cap) {
        h->cap = h->cap ? h->cap * 2 : 32; /* bounded by the connection's memory */
        h->v = xrealloc(h->v, h->cap * sizeof *h->v);
    }
    struct header *one = &h->v[h->n++];
    one->name = (struct str){name, name_n};
    one->value = value ? str_trim((struct str){value, value_n}) : STR("");
    head_line(q, one->name, (struct str){value, value_n});
    q->head_bytes += name_n + value_n + HEADER_COST;
    if (str_ieq(one->name, STR("Content-Length")))
        note_length(q, one->value);
    else
        note_header(q, one->name, one->value);
    return MHD_YES;
}

struct str http_header(const struct http_req *r, const char *name)
{
    const struct request *q = (const struct request *)(const void *)r;
    struct str wanted = str_of(name);
    for (size_t i = 0; i < q->in.n; i++)
        if (str_ieq(q->in.v[i].name, wanted))
            return q->in.v[i].value;
    return (struct str){NULL, 0};
}

void http_headers(const struct http_req *r, void (*fn)(void *, struct str, struct str), void *arg)
{
    const struct request *q = (const struct request *)(const void *)r;
    for (size_t i = 0; i < q->in.n; i++)
        fn(arg, q->in.v[i].name, q->in.v[i].value);
}

/* --- ids --- */

static bool printable(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] <= ' ' || s.p[i] >= 0x7f)
            return false;
    return s.n > 0 && s.n <= ID_MAX;
}

static void make_id(struct request *q)
{
    static const char digits[] = "0123456789abcdef";
    uint64_t v = (uint64_t)q->server->id_prefix << 32 | q->server->id_count++;
    for (int i = 15; i >= 0; i--, v >>= 4)
        q->id_text[i] = digits[v & 15];
    q->pub.id = (struct str){q->id_text, 16};
}

static bool lower_hex(struct str s, bool *zero)
{
    *zero = true;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
            return false;
        *zero = *zero && c == '0';
    }
    return true;
}

/* W3C Trace Context, section 3.2: version-traceid-parentid-flags. */
static bool traceparent_ok(struct str s)
{
    static const unsigned char lengths[] = {2, 32, 16, 2};
    struct str part;
    bool zero;
    if (s.n < 55 || s.n > ID_MAX || (s.n > 55 && (s.p[55] != '-' || str_starts(s, STR("00")))))
        return false;
    s.n = 55;
    for (size_t i = 0; i < 4; i++) {
        if (!str_next(&s, '-', &part) || part.n != lengths[i] || !lower_hex(part, &zero))
            return false;
        if ((i == 0 && str_eq(part, STR("ff"))) || (zero && (i == 1 || i == 2)))
            return false;
    }
    return true;
}

static void take_identity(struct request *q)
{
    const struct peer *p = q->peer;
    if (!printable(q->pub.id))
        make_id(q);
    if (!traceparent_ok(q->pub.traceparent))
        q->pub.traceparent = (struct str){NULL, 0};
    q->pub.address = (struct str){p->address, p->address_n};
    if (p->trusted && q->forwarded_for.p) {
        struct str client = proxy_client(q->server->trusted, q->forwarded_for);
        if (client.p)
            q->pub.address = client;
        q->forwarded = client.p != NULL;
    }
}

/* --- framing and target --- */

static bool bad(struct request *q, struct err *err, int status, const char *what)
{
    char code[ERR_CODE_MAX] = "PGH400";
    q->close = true;
    if (status != 400) {
        code[3] = (char)('0' + status / 100);
        code[4] = (char)('0' + status / 10 % 10);
        code[5] = (char)('0' + status % 10);
    }
    return err_set(err, status, code, "%s", what);
}

static bool check_host(struct request *q, struct err *err)
{
    struct str name, port;
    if (q->n_host > 1)
        return bad(q, err, 400, "more than one Host header");
    if (q->n_host == 0 && !q->pub.http10)
        return bad(q, err, 400, "no Host header");
    if (q->host.p && !guard_host_parse(q->host, &name, &port))
        return bad(q, err, 400, "the Host header is not a host name");
    return true;
}

/* RFC 9112, section 6: whatever two readers could take for two different lengths is refused. */
static bool check_framing(struct request *q, struct err *err)
{
    if (q->bad_line)
        return bad(q, err, 400, "a header is not a name, a colon and a value on one line");
    if (q->n_content_length > 1)
        return bad(q, err, 400, "more than one Content-Length, or not a number");
    if (q->n_content_length && q->n_transfer_encoding)
        return bad(q, err, 400, "both Content-Length and Transfer-Encoding");
    if (q->n_transfer_encoding && q->pub.http10)
        return bad(q, err, 400, "Transfer-Encoding in HTTP/1.0");
    if (q->n_transfer_encoding > 1 ||
        (q->n_transfer_encoding && !str_ieq(q->transfer_encoding, STR("chunked"))))
        return bad(q, err, 501, "of the transfer codings only chunked is understood");
    q->chunked = q->n_transfer_encoding > 0;
    if (q->chunked && !server_sees_wire(q->peer))
        return bad(q, err, 501, "chunked bodies cannot be checked with this libmicrohttpd");
    q->body_expected = q->chunked || q->content_length > 0;
    q->expects_continue = q->expect.p && str_ieq(q->expect, STR("100-continue"));
    if (q->expect.p && !q->expects_continue)
        return bad(q, err, 417, "of Expect only 100-continue is understood");
    return true;
}

static bool check_target(struct request *q, struct err *err)
{
    struct str t = q->pub.target;
    for (size_t i = 0; i < t.n; i++)
        if ((unsigned char)t.p[i] <= ' ' || t.p[i] == 0x7f)
            return bad(q, err, 400, "the request target contains a space or control character");
    if (str_istarts(t, STR("http://")) || str_istarts(t, STR("https://"))) {
        /* Absolute form (RFC 9112, section 3.2.2): its host is the one that counts. */
        struct str tail = str_from(t, str_istarts(t, STR("https")) ? 8 : 7), name, port;
        size_t slash = str_find(tail, '/', 0), mark = str_find(tail, '?', 0);
        q->host = (struct str){tail.p, slash < mark ? slash : mark};
        if (!guard_host_parse(q->host, &name, &port) || name.n == 0)
            return bad(q, err, 400, "the request target names no host");
        t = str_from(tail, q->host.n);
    } else if (t.n == 0 || (t.p[0] != '/' && !str_eq(t, STR("*")))) {
        return bad(q, err, 400, "the request target is not a path");
    }
    size_t mark = str_find(t, '?', 0);
    q->pub.path = mark ? (struct str){t.p, mark} : STR("/");
    q->pub.query = mark < t.n ? str_from(t, mark + 1) : (struct str){NULL, 0};
    return true;
}

static bool too_long(struct request *q, struct err *err, int status, const char *what)
{
    bad(q, err, status, what);
    err->hint = "Three quarters of server-header-memory is the limit.";
    return false;
}

bool head_read(struct request *q, const char *method, const char *version, struct err *err)
{
    q->pub.method_name = str_of(method);
    q->pub.method = http_method_of(q->pub.method_name);
    q->head_only = q->pub.method == HTTP_HEAD;
    q->pub.http10 = strcmp(version, "HTTP/1.0") == 0;
    q->head_bytes = q->pub.target.n + q->pub.method_name.n;
    MHD_get_connection_values_n(q->mc, MHD_HEADER_KIND, on_header, q);
    head_lines_end(q, method);
    take_identity(q);
    q->gzip_ok = q->accept_encoding.p && negotiate_gzip(q->accept_encoding);
    /* libmicrohttpd builds the answer's head in the same memory as the request's: a request that
     * leaves too little would get no answer at all. */
    if (q->pub.target.n > q->server->head_max)
        return too_long(q, err, 414, "the request target is too long");
    if (q->head_bytes > q->server->head_max)
        return too_long(q, err, 431, "the request target and headers together are too long");
    return check_host(q, err) && check_framing(q, err) && check_target(q, err);
}

/* --- route and everything that can be refused now --- */

bool http_has_admin_token(const struct http_req *r)
{
    const struct request *q = (const struct request *)(const void *)r;
    const char *token = q->server->conf->admin_token;
    struct str given = http_header(r, "Authorization");
    if (!token || !str_istarts(given, STR("Bearer ")))
        return false;
    given = str_trim(str_from(given, 7));
    return given.n == strlen(token) && CRYPTO_memcmp(given.p, token, given.n) == 0;
}

static bool check_local(struct request *q, struct err *err)
{
    struct str given = http_header(&q->pub, "Authorization");
    if (http_has_admin_token(&q->pub))
        return true;
    if (http_is_local(&q->pub)) {
        /* A page whose name was made to mean this machine (DNS rebinding) comes from here, too. */
        const struct conf *conf = q->server->conf;
        const struct guard_request g = {.host = q->host, .open = true};
        return guard_check(&g, &conf->server_cors_allowed_origins, &conf->server_names, err);
    }
    err_set(err, given.p ? 403 : 401, given.p ? "PGH403" : "PGH401",
            "only from this machine, or with the admin token");
    err->hint = "Authorization: Bearer with the value of admin-token";
    return false;
}

static enum conf_access access_of(const struct request *q)
{
    const struct route *route = q->pub.route;
    return route->access ? route->access(q->server->conf) : CONF_OFF;
}

static bool check_guard(struct request *q, bool guarded, struct err *err)
{
    const struct conf *conf = q->server->conf;
    struct guard_request g = {
        .host = q->host,
        .origin = q->origin,
        .sec_fetch_site = q->sec_fetch_site,
        .guarded = guarded,
        .open = access_of(q) == CONF_OPEN,
    };
    g.strict = g.open && q->pub.route->flags & ROUTE_STRICT_ORIGIN;
    return guard_check(&g, &conf->server_cors_allowed_origins, &conf->server_names, err);
}

bool http_guard(struct http_req *r, struct err *err)
{
    return check_guard(request_of(r), true, err);
}

bool http_is_local(const struct http_req *r)
{
    const struct request *q = (const struct request *)(const void *)r;
    /* Behind a proxy on this machine everybody comes from loopback. */
    return q->peer && q->peer->local && !q->forwarded_for.p;
}

bool head_is_options_here(const struct request *q)
{
    if (q->pub.method != HTTP_OPTIONS || !q->pub.route)
        return false;
    bool preflight = q->origin.p && q->ask_method.p;
    return preflight || !(q->methods & 1u << HTTP_OPTIONS);
}

struct cors_request head_cors(const struct request *q)
{
    const struct route *route = q->pub.route;
    unsigned flags = route ? route->flags : 0;
    bool options = q->pub.method == HTTP_OPTIONS;
    return (struct cors_request){
        .origin = q->origin,
        .requested_headers = q->ask_headers,
        .own_headers = route ? route->cors_headers : NULL,
        .own_exposed = route ? route->exposed_headers : NULL,
        .options = options,
        .preflight = options && q->origin.p && q->ask_method.p,
        .pages = cors_pages_of(flags, q->server->admin, route && access_of(q) == CONF_OPEN),
    };
}

static bool check_body(struct request *q, struct err *err)
{
    unsigned flags = q->pub.route->flags;
    const struct conf *conf = q->server->conf;
    struct str coding = q->content_encoding;
    if (flags & ROUTE_NO_BODY && q->body_expected)
        return err_set(err, 400, "PGH400", "a body is not expected here");
    if (!(flags & ROUTE_BODY_STREAM) && q->content_length > conf->request_max_bytes) {
        err_set(err, 413, "PGH413", "the body is larger than %zu bytes", conf->request_max_bytes);
        err->hint = "request-max-bytes";
        return false;
    }
    if (!q->body_expected || coding.n == 0 || str_ieq(coding, STR("identity")))
        return true;
    if (!str_ieq(coding, STR("gzip")) && !str_ieq(coding, STR("x-gzip"))) {
        http_set_header(&q->pub, STR("Accept-Encoding"), STR("gzip"));
        return err_set(err, 415, "PGH415", "of the content codings only gzip is understood");
    }
    q->inflater = inflater_new();
    return q->inflater || err_set(err, 503, "PGH503", "out of memory");
}

static bool take_database(struct request *q, struct str raw, struct err *err)
{
    char *name = arena_alloc(&q->arena, raw.n + 1);
    size_t n = 0;
    if (!name || !str_percent_decode(raw, false, false, name, &n) || memchr(name, 0, n))
        return err_set(err, 400, "PGH400", "the database name in the path is not valid");
    q->pub.database = (struct str){name, n};
    return true;
}

bool head_route(struct request *q, struct err *err)
{
    struct route_match m;
    if (!router_find(q->server->router, q->pub.path, &m)) {
        err_set(err, 404, "PGH404", "there is nothing at this path");
        return false;
    }
    q->pub.route = m.route;
    q->pub.rest = m.rest;
    q->route_index = m.index;
    q->methods = m.methods;
    q->allow = m.allow;
    if (m.database.p && !take_database(q, m.database, err))
        return false;
    if (m.route->flags & ROUTE_LOCAL && !check_local(q, err))
        return false;
    if (head_is_options_here(q))
        return true;
    if (!(m.methods & 1u << q->pub.method)) {
        http_set_header(&q->pub, STR("Allow"), str_of(m.allow));
        return err_set(err, 405, "PGH405", "the method %.*s is not allowed here",
                       (int)(q->pub.method_name.n < 32 ? q->pub.method_name.n : 32),
                       q->pub.method_name.p);
    }
    if (!check_guard(q, (m.route->flags & ROUTE_GUARDED) != 0, err))
        return false;
    return check_body(q, err);
}
