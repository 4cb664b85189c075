/* Routing, Accept, the rules for web pages, CORS, forwarded addresses, redaction. */
#include "unit.h"

#include <stdio.h>

#include "http/access.h"
#include "http/compress.h"
#include "http/cors.h"
#include "http/guard.h"
#include "http/negotiate.h"
#include "http/proxy.h"
#include "http/router.h"

static const struct route sql = {
    .name = "sql", .methods = "GET, POST", .path = "/sql", .flags = ROUTE_DATABASE};
static const struct route listen_one = {
    .name = "listen", .methods = "GET", .path = "/listen", .flags = ROUTE_DATABASE};
static const struct route listen_path = {
    .name = "listen", .methods = "GET", .path = "/listen/", .flags = ROUTE_DATABASE};
static const struct route rest = {
    .name = "rest", .methods = "*", .path = "/rest/", .flags = ROUTE_REST | ROUTE_DATABASE};
static const struct route page = {.name = "page", .methods = "GET", .path = "/"};
static const struct route live = {
    .name = "live", .methods = "GET", .path = "/live", .flags = ROUTE_ADMIN};
static const struct route *const routes[] = {&sql,  &listen_one, &listen_path, &rest,
                                             &page, &live,       NULL};

#define assert_route(router, path_, route_, rest_, database_)                                      \
    do {                                                                                           \
        struct route_match m_;                                                                     \
        assert_true(router_find((router), STR(path_), &m_));                                       \
        assert_ptr_equal(m_.route, (route_));                                                      \
        assert_str(m_.rest, rest_);                                                                \
        assert_str(m_.database, database_);                                                        \
    } while (0)

#define assert_no_route(router, path_)                                                             \
    do {                                                                                           \
        struct route_match m_;                                                                     \
        assert_false(router_find((router), STR(path_), &m_));                                      \
    } while (0)

static void finds_routes(void **state)
{
    (void)state;
    struct router *r = router_new(routes, "/rest", false);
    assert_route(r, "/sql", &sql, "", "");
    assert_route(r, "/-/sql", &sql, "", "");
    assert_route(r, "/db/shop/sql", &sql, "", "shop");
    assert_route(r, "/-/db/a%20b/sql", &sql, "", "a%20b");
    assert_route(r, "/listen", &listen_one, "", "");
    assert_route(r, "/listen/", &listen_path, "", "");
    assert_route(r, "/listen/a%2Fb/c", &listen_path, "a%2Fb/c", "");
    assert_route(r, "/rest", &rest, "", "");
    assert_route(r, "/rest/", &rest, "", "");
    assert_route(r, "/rest/items/", &rest, "items/", "");
    assert_route(r, "/db/shop/rest/items", &rest, "items", "shop");
    assert_route(r, "/", &page, "", "");
    assert_route(r, "/-/", &page, "", "");
    assert_no_route(r, "/sql/");
    assert_no_route(r, "/SQL");
    assert_no_route(r, "/restless");
    assert_no_route(r, "/db/shop");
    assert_no_route(r, "/db//sql");
    assert_no_route(r, "/db/shop/");
    assert_no_route(r, "/live");
    assert_no_route(r, "");
    assert_no_route(r, "*");
    router_free(r);
}

static void drops_in(void **state)
{
    (void)state;
    struct router *r = router_new(routes, "", false);
    assert_route(r, "/sql", &rest, "sql", "");
    assert_route(r, "/", &rest, "", "");
    assert_route(r, "/db/shop/sql", &rest, "db/shop/sql", "");
    assert_route(r, "/-/sql", &sql, "", "");
    assert_route(r, "/-/db/shop/sql", &sql, "", "shop");
    assert_route(r, "/-/db/shop/rest/items", &rest, "items", "shop");
    assert_route(r, "/-/listen/x", &listen_path, "x", "");
    assert_route(r, "/-", &rest, "-", "");
    assert_no_route(r, "/-/nothing");
    router_free(r);
    r = router_new(routes, "/rest", true);
    assert_route(r, "/live", &live, "", "");
    assert_no_route(r, "/sql");
    router_free(r);
}

static void reads_accept(void **state)
{
    (void)state;
    struct str all =
        STR("text/html;level=1;q=0.7, \"odd\", a/b;p=\"x,y;q=1\";q=0.25,, */*;q=2, c/d;q=0");
    struct accept_item item;
    assert_true(accept_next(&all, &item));
    assert_str(item.range, "text/html");
    assert_str(item.params, "level=1");
    assert_int_equal(item.q, 700);
    assert_true(accept_next(&all, &item));
    assert_str(item.range, "a/b");
    assert_str(item.params, "p=\"x,y;q=1\"");
    assert_int_equal(item.q, 250);
    assert_true(accept_next(&all, &item));
    assert_str(item.range, "c/d");
    assert_int_equal(item.q, 0);
    assert_false(accept_next(&all, &item));
}

static void negotiates(void **state)
{
    (void)state;
    static const struct str offers[] = {
        {"application/json", 16}, {"text/csv", 8}, {"text/html", 9}};
    assert_int_equal(negotiate_type((struct str){NULL, 0}, offers, 3), 0);
    assert_int_equal(negotiate_type(STR("*/*"), offers, 3), 0);
    assert_int_equal(negotiate_type(STR("text/*"), offers, 3), 1);
    assert_int_equal(negotiate_type(STR("TEXT/HTML"), offers, 3), 2);
    assert_int_equal(negotiate_type(STR("text/html,application/xml;q=0.9,*/*;q=0.8"), offers, 3),
                     2);
    assert_int_equal(negotiate_type(STR("text/csv;q=0.5, application/json;q=0.4"), offers, 3), 1);
    assert_int_equal(negotiate_type(STR("*/*, application/json;q=0"), offers, 3), 1);
    assert_int_equal(negotiate_type(STR("image/png"), offers, 3), 3);
    assert_int_equal(negotiate_type(STR(""), offers, 3), 3);
    assert_true(negotiate_gzip(STR("gzip, deflate, br")));
    assert_true(negotiate_gzip(STR("br;q=1, *;q=0.1")));
    assert_true(negotiate_gzip(STR("GZIP;q=0.001")));
    assert_false(negotiate_gzip(STR("gzip;q=0, *")));
    assert_false(negotiate_gzip(STR("identity")));
    assert_false(negotiate_gzip(STR("")));
}

static int guard_status(struct guard_request q, const char *const *allowed, size_t n)
{
    static const char *const names[] = {"db.example.com"};
    struct conf_list list = {allowed, n}, own = {names, 1};
    struct err err = {0};
    if (!q.host.p)
        q.host = STR("db.example.com:3000");
    return guard_check(&q, &list, &own, &err) ? 200 : err.status;
}

#define GUARD(...) guard_status((struct guard_request){.guarded = true, __VA_ARGS__}, NULL, 0)

static void keeps_foreign_pages_out(void **state)
{
    (void)state;
    static const char *const listed[] = {"https://app.example.com"}, *const star[] = {"*"};
    struct str app = STR("https://app.example.com");
    assert_int_equal(GUARD(.open = false), 200);
    assert_int_equal(GUARD(.origin = STR("http://db.example.com:3000")), 200);
    assert_int_equal(GUARD(.origin = STR("http://DB.example.com:3000")), 200);
    assert_int_equal(GUARD(.origin = STR("http://db.example.com")), 403);
    assert_int_equal(GUARD(.origin = STR("http://db.example.com:3001")), 403);
    assert_int_equal(GUARD(.origin = STR("http://db.example.com:3000.evil.org")), 403);
    assert_int_equal(GUARD(.origin = STR("http://evil.org")), 403);
    assert_int_equal(GUARD(.origin = STR("null")), 403);
    assert_int_equal(GUARD(.origin = STR("")), 403);
    assert_int_equal(GUARD(.origin = STR("https://a"), .host = STR("a:443")), 200);
    assert_int_equal(GUARD(.origin = STR("http://a"), .host = STR("a")), 200);
    assert_int_equal(GUARD(.origin = STR("https://a"), .host = STR("a")), 200); /* TLS before us */
    assert_int_equal(GUARD(.sec_fetch_site = STR("cross-site")), 403);
    assert_int_equal(GUARD(.sec_fetch_site = STR("same-site")), 403);
    assert_int_equal(GUARD(.sec_fetch_site = STR("same-origin")), 200);
    assert_int_equal(GUARD(.sec_fetch_site = STR("none")), 200);
    struct guard_request q = {.guarded = true, .origin = app, .sec_fetch_site = STR("cross-site")};
    assert_int_equal(guard_status(q, listed, 1), 200);
    assert_int_equal(guard_status(q, star, 1), 200);
    q.strict = true;
    assert_int_equal(guard_status(q, listed, 1), 200);
    assert_int_equal(guard_status(q, star, 1), 403);
    q.guarded = false;
    assert_int_equal(guard_status(q, NULL, 0), 200);
}

static void wants_its_own_name_in_open_mode(void **state)
{
    (void)state;
#define OPEN(name) guard_status((struct guard_request){.open = true, .host = STR(name)}, NULL, 0)
    assert_int_equal(OPEN("localhost:3000"), 200);
    assert_int_equal(OPEN("LOCALHOST"), 200);
    assert_int_equal(OPEN("127.0.0.1:3000"), 200);
    assert_int_equal(OPEN("[::1]:3000"), 200);
    assert_int_equal(OPEN("10.1.2.3"), 200);
    assert_int_equal(OPEN("db.example.com"), 200);
    assert_int_equal(OPEN("db.example.com.:80"), 200);
    assert_int_equal(OPEN("evil.org"), 421);
    assert_int_equal(OPEN("127.0.0.1.evil.org"), 421);
    assert_int_equal(OPEN("localhost.evil.org"), 421);
    assert_int_equal(OPEN("xdb.example.com"), 421);
    assert_int_equal(OPEN(""), 421);
}

static void add_line(void *arg, const char *name, const char *value)
{
    struct buf *b = arg;
    buf_printf(b, "%s: %s\n", name, value);
}

static char *cors_text(struct cors_request q, const char *const *allowed, size_t n)
{
    struct conf_list list = {allowed, n};
    struct buf scratch, out;
    size_t length;
    buf_init(&scratch, 8192);
    buf_init(&out, 8192);
    cors_headers(&q, &list, &scratch, add_line, &out);
    buf_char(&out, '\0');
    buf_fini(&scratch);
    return buf_take(&out, &length);
}

#define assert_cors(expected, allowed, n, ...)                                                     \
    do {                                                                                           \
        char *text_ = cors_text((struct cors_request){__VA_ARGS__}, (allowed), (n));               \
        assert_string_equal(text_, expected);                                                      \
        free(text_);                                                                               \
    } while (0)

static void says_which_pages_may_read(void **state)
{
    (void)state;
    static const unsigned admin_port[] = {0, ROUTE_ADMIN, ROUTE_ADMIN | ROUTE_LOCAL, ROUTE_REST};
    for (size_t i = 0; i < sizeof admin_port / sizeof *admin_port; i++)
        for (int open = 0; open < 2; open++)
            assert_int_equal(cors_pages_of(admin_port[i], true, open), CORS_NONE);
    assert_int_equal(cors_pages_of(0, false, false), CORS_LISTED); /* nothing at this path */
    assert_int_equal(cors_pages_of(ROUTE_DATABASE, false, true), CORS_LISTED);
    assert_int_equal(cors_pages_of(ROUTE_REST | ROUTE_DATABASE, false, true), CORS_ANY);
    assert_int_equal(cors_pages_of(ROUTE_STRICT_ORIGIN, false, true), CORS_LISTED_BY_NAME);
    assert_int_equal(cors_pages_of(ROUTE_STRICT_ORIGIN, false, false), CORS_LISTED);
}

static void allows_origins(void **state)
{
    (void)state;
    static const char *const listed[] = {"http://a", "http://b"};
    static const char exposed[] =
        "Access-Control-Expose-Headers: Content-Encoding, Content-Location, Content-Range, "
        "Content-Type, Date, Location, Server, Transfer-Encoding, Range-Unit\n";
    char text[512];
    assert_cors("", NULL, 0, .pages = CORS_ANY);
    snprintf(text, sizeof text, "Access-Control-Allow-Origin: *\n%s", exposed);
    assert_cors(text, NULL, 0, .origin = STR("http://x"), .pages = CORS_ANY);
    snprintf(text, sizeof text, "Access-Control-Allow-Origin: *\n%.*s, Pghttpd-Truncated\n",
             (int)sizeof exposed - 2, exposed);
    assert_cors(text, NULL, 0, .origin = STR("http://x"), .own_exposed = "Pghttpd-Truncated",
                .pages = CORS_ANY);
    snprintf(text, sizeof text,
             "Access-Control-Allow-Origin: http://b\nAccess-Control-Allow-Credentials: true\n"
             "Vary: Origin\n%s",
             exposed);
    for (enum cors_pages p = CORS_LISTED_BY_NAME; p <= CORS_ANY; p++)
        assert_cors(text, listed, 2, .origin = STR("http://b"), .pages = p);
    assert_cors("", listed, 2, .origin = STR("http://b"), .pages = CORS_NONE);
    assert_cors("Vary: Origin\n", listed, 2, .origin = STR("http://c"), .pages = CORS_ANY);
    assert_cors("", NULL, 0, .origin = STR("http://x"), .pages = CORS_LISTED);
    assert_cors("Access-Control-Allow-Origin: *\n", NULL, 0, .options = true, .pages = CORS_ANY);
    assert_cors("Access-Control-Allow-Origin: *\n"
                "Access-Control-Allow-Headers: Authorization, Foo, Bar, Accept, Accept-Language, "
                "Content-Language\n"
                "Access-Control-Allow-Methods: GET, POST, PATCH, PUT, DELETE, OPTIONS, HEAD\n"
                "Access-Control-Max-Age: 86400\n",
                NULL, 0, .origin = STR("http://x"), .options = true, .preflight = true,
                .requested_headers = STR("Foo, Bar"), .pages = CORS_ANY);
    assert_cors("Access-Control-Allow-Headers: Authorization, Neon-X, Accept, Accept-Language, "
                "Content-Language\n"
                "Access-Control-Allow-Methods: GET, POST, PATCH, PUT, DELETE, OPTIONS, HEAD\n"
                "Access-Control-Max-Age: 86400\n",
                NULL, 0, .options = true, .pages = CORS_LISTED, .own_headers = "Neon-X");
}

static void believes_trusted_proxies(void **state)
{
    (void)state;
    static const char *const trusted[] = {"10.0.0.0/8", "::1", "2001:db8::/33", "nonsense",
                                          "1.2.3.4/99"};
    struct conf_list conf = {trusted, 5};
    struct cidr_list *l = cidr_list_new(&conf);
    assert_true(cidr_list_has(l, STR("10.255.0.1")));
    assert_false(cidr_list_has(l, STR("11.0.0.1")));
    assert_true(cidr_list_has(l, STR("::1")));
    assert_true(cidr_list_has(l, STR("2001:db8:7fff::1")));
    assert_false(cidr_list_has(l, STR("2001:db8:8000::1")));
    assert_true(cidr_list_has(l, STR("::ffff:10.0.0.1")));
    assert_false(cidr_list_has(l, STR("1.2.3.4")));
    assert_str(proxy_client(l, STR("6.6.6.6, 9.9.9.9, 10.0.0.1")), "9.9.9.9");
    assert_str(proxy_client(l, STR("9.9.9.9:1234")), "9.9.9.9");
    assert_str(proxy_client(l, STR("[2001:db9::1]:80, 10.0.0.2")), "2001:db9::1");
    assert_str(proxy_client(l, STR("10.0.0.3,10.0.0.2")), "10.0.0.3");
    assert_str(proxy_client(l, STR("1.1.1.1, garbage, 10.0.0.2")), "10.0.0.2");
    assert_null(proxy_client(l, STR("unknown")).p);
    assert_null(proxy_client(l, STR("")).p);
    cidr_list_free(l);
}

#define assert_redacted(target, show_sql, expected)                                                \
    do {                                                                                           \
        struct buf b_;                                                                             \
        buf_init(&b_, 8192);                                                                       \
        access_redact(&b_, STR(target), (show_sql));                                               \
        assert_str(buf_str(&b_), expected);                                                        \
        buf_fini(&b_);                                                                             \
    } while (0)

static void redacts_secrets(void **state)
{
    (void)state;
    assert_redacted("/x", false, "/x");
    assert_redacted("/listen/a?access_token=abc&x=1", false, "/listen/a?access_token=***&x=1");
    assert_redacted("/listen/a?x=1&access%5Ftoken=abc", false, "/listen/a?x=1&access%5Ftoken=***");
    assert_redacted("/sql?query=select+1&params=[1]", false, "/sql?query=***&params=***");
    assert_redacted("/sql?query=select+1&params=[1]", true, "/sql?query=select+1&params=***");
    assert_redacted("/a?PASSWORD=x&&b", false, "/a?PASSWORD=***&&b");
    assert_redacted("/a?token", false, "/a?token");
    assert_redacted("/a?", false, "/a?");
    assert_redacted("/a?b=c?access_token=d", false, "/a?b=c?access_token=d");
}

static void compresses_and_inflates(void **state)
{
    (void)state;
    struct gzipper *g = gzipper_new(true);
    struct inflater *f = inflater_new();
    struct buf text, packed, back;
    struct err err = {0};
    buf_init(&text, 1 << 24);
    buf_init(&packed, 1 << 24);
    buf_init(&back, 1 << 24);
    for (int i = 0; i < 20000; i++)
        buf_printf(&text, "{\"id\":%d,\"name\":\"customer %d\"}\n", i, i * 7919);
    for (int round = 0; round < 2; round++) {
        buf_clear(&packed);
        assert_true(gzipper_body(g, buf_str(&text), &packed));
        assert_true(packed.n < text.n / 4);
    }
    for (size_t i = 0; i < packed.n; i += 1000) {
        size_t n = packed.n - i < 1000 ? packed.n - i : 1000;
        assert_true(inflater_feed(f, (struct str){packed.p + i, n}, &back, &err));
        assert_int_equal(inflater_end(f, &err), i + n == packed.n);
    }
    assert_int_equal(back.n, text.n);
    assert_memory_equal(back.p, text.p, text.n);
    assert_false(inflater_feed(f, STR("more"), &back, &err));
    inflater_free(f);
    f = inflater_new();
    assert_false(inflater_feed(f, STR("this is no gzip"), &back, &err));
    assert_int_equal(err.status, 400);
    inflater_free(f);
    gzipper_free(g);
    buf_fini(&text);
    buf_fini(&packed);
    buf_fini(&back);
    assert_true(gzip_type(STR("application/json; charset=utf-8")));
    assert_true(gzip_type(STR("text/csv")));
    assert_true(gzip_type(STR("application/vnd.pgrst.object+json")));
    assert_false(gzip_type(STR("text/event-stream; charset=utf-8")));
    assert_false(gzip_type(STR("image/png")));
    assert_false(gzip_type(STR("")));
}

static void refuses_bombs(void **state)
{
    (void)state;
    struct gzipper *g = gzipper_new(true);
    struct buf zeros, packed, out;
    struct err err = {0};
    size_t n = 64 * 1024 * 1024;
    buf_init(&zeros, n);
    buf_init(&packed, n);
    buf_init(&out, n);
    memset(buf_reserve(&zeros, n), 0, n);
    zeros.n = n;
    assert_true(gzipper_body(g, buf_str(&zeros), &packed));
    struct inflater *f = inflater_new();
    assert_false(inflater_feed(f, buf_str(&packed), &out, &err));
    assert_int_equal(err.status, 413);
    assert_true(out.n < 40 * 1024 * 1024);
    inflater_free(f);
    buf_fini(&out);
    buf_init(&out, 1000);
    f = inflater_new();
    assert_false(inflater_feed(f, buf_str(&packed), &out, &err));
    assert_int_equal(err.status, 413);
    assert_true(out.n <= 1000);
    inflater_free(f);
    buf_fini(&out);
    buf_fini(&packed);
    buf_fini(&zeros);
    gzipper_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_routes),
        cmocka_unit_test(drops_in),
        cmocka_unit_test(reads_accept),
        cmocka_unit_test(negotiates),
        cmocka_unit_test(keeps_foreign_pages_out),
        cmocka_unit_test(wants_its_own_name_in_open_mode),
        cmocka_unit_test(says_which_pages_may_read),
        cmocka_unit_test(allows_origins),
        cmocka_unit_test(believes_trusted_proxies),
        cmocka_unit_test(redacts_secrets),
        cmocka_unit_test(compresses_and_inflates),
        cmocka_unit_test(refuses_bombs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
