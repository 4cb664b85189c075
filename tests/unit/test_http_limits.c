/* Limits: connections, descriptors, time, bytes; who may use what; the end of a server. */
#include "http_rig.h"

#include <sys/resource.h>
#include <sys/un.h>
#include <zlib.h>

#define HOST "Host: a\r\n"
#define CLOSE "Connection: close\r\n"

static enum conf_access is_open(const struct conf *conf)
{
    (void)conf;
    return CONF_OPEN;
}

static bool swallow(void *arg, struct str piece, bool at_end)
{
    rig.sink_bytes += (unsigned)piece.n;
    if (at_end) {
        http_on_gone(arg, NULL, NULL);
        answer(arg, 200, "swallowed\n");
    }
    return true;
}

static void count_gone(void *arg)
{
    (void)arg;
    rig.gone++;
}

static void run_swallow(struct worker *w, struct http_req *r)
{
    static const struct http_body_sink sink = {.on_body = swallow};
    (void)w;
    http_on_gone(r, count_gone, r);
    http_body_sink(r, &sink, r);
}

/* 200 KB of JSON; ?more: 4 MB. */
static void run_big(struct worker *w, struct http_req *r)
{
    struct buf b;
    (void)w;
    buf_init(&b, BUF_NO_CEILING);
    for (int i = 0; i < (r->query.n ? 200000 : 10000); i++)
        buf_printf(&b, "{\"number\": %d}, ", i);
    http_reply(r, 200, STR("application/json"), &b);
}

/* ?N: that many response headers of 1,000 bytes. */
static void run_headers(struct worker *w, struct http_req *r)
{
    uint64_t n = 0;
    char value[1000];
    (void)w;
    memset(value, 'v', sizeof value);
    assert_true(str_u64(r->query, 100, &n));
    for (uint64_t i = 0; i < n; i++)
        assert_true(http_add_header(r, STR("X-Long"), (struct str){value, sizeof value}));
    answer(r, 200, "many headers\n");
}

static const struct route many_headers = {
    .name = "headers", .methods = "GET", .path = "/headers", .run = run_headers};
static const struct route hello = {
    .name = "hello", .methods = "GET, POST", .path = "/hello", .run = run_hello};
static const struct route echo = {
    .name = "echo", .methods = "GET, POST", .path = "/echo", .run = run_echo};
static const struct route later_route = {
    .name = "later", .methods = "GET", .path = "/later", .run = run_later};
static const struct route big = {.name = "big", .methods = "GET", .path = "/big", .run = run_big};
static const struct route guarded = {.name = "guarded",
                                     .methods = "GET, POST",
                                     .path = "/guarded",
                                     .flags = ROUTE_GUARDED | ROUTE_STRICT_ORIGIN,
                                     .access = is_open,
                                     .cors_headers = "Neon-Connection-String",
                                     .run = run_hello};
static const struct route bodiless_route = {.name = "bodiless",
                                            .methods = "GET, POST",
                                            .path = "/bodiless",
                                            .flags = ROUTE_NO_BODY,
                                            .run = run_hello};
static const struct route sink_route = {.name = "sink",
                                        .methods = "POST",
                                        .path = "/sink",
                                        .flags = ROUTE_BODY_STREAM,
                                        .run = run_swallow};
static const struct route local = {.name = "local",
                                   .methods = "GET",
                                   .path = "/local",
                                   .flags = ROUTE_ADMIN | ROUTE_LOCAL | ROUTE_HEAD_LENGTH,
                                   .run = run_hello};
static const struct route *const routes[] = {&many_headers, &hello,   &echo,           &later_route,
                                             &big,          &guarded, &bodiless_route, &sink_route,
                                             &local,        NULL};

static void start(const char *const *settings)
{
    rig_start(routes, settings, false);
}

#define START(...) start((const char *const[]){__VA_ARGS__, NULL})

static int teardown(void **state)
{
    (void)state;
    rig_stop();
    return 0;
}

/* --- connections --- */

static void turns_away_above_the_limit(void **state)
{
    (void)state;
    START("--server-connections-max", "3");
    int fds[3];
    for (int i = 0; i < 3; i++) {
        fds[i] = dial();
        say(fds[i], "GET /hello HTTP/1.1\r\n" HOST "\r\n");
        struct heard h = hear_until(fds[i], "hello\n", 2000);
        assert_int_equal(status_of(&h), 200);
        hear_free(&h);
    }
    for (int i = 0; i < 50; i++) {
        struct heard h = ask("GET /hello HTTP/1.1\r\n" HOST "\r\n");
        assert_int_equal(status_of(&h), 503);
        assert_true(has(&h, "Retry-After: 1\r\n"));
        assert_true(has(&h, "too many connections"));
        hear_free(&h);
    }
    close(fds[0]);
    eventually(rig_connections() == 2);
    assert_status("GET /hello HTTP/1.1\r\n" HOST CLOSE "\r\n", 200);
    close(fds[1]);
    close(fds[2]);
}

static void says_so_when_descriptors_run_out(void **state)
{
    (void)state;
    START("--db-pool", "1");
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)rig.port),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int clients[3], fill[4096], n = 0;
    struct rlimit before, few;
    getrlimit(RLIMIT_NOFILE, &before);
    few = before;
    few.rlim_cur = 200;
    for (int i = 0; i < 3; i++)
        clients[i] = socket(AF_INET, SOCK_STREAM, 0);
    setrlimit(RLIMIT_NOFILE, &few);
    while (n < 4096 && (fill[n] = dup(0)) >= 0)
        n++;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(connect(clients[i], (struct sockaddr *)&a, sizeof a), 0);
        struct heard h = hear_all(clients[i]);
        assert_int_equal(status_of(&h), 503);
        assert_true(has(&h, "no descriptor left"));
        hear_free(&h);
        close(clients[i]);
        fill[n++] = dup(0);
    }
    while (n > 0)
        close(fill[--n]);
    setrlimit(RLIMIT_NOFILE, &before);
    assert_status("GET /hello HTTP/1.1\r\n" HOST CLOSE "\r\n", 200);
}

static unsigned open_fds(void)
{
    unsigned n = 0;
    for (int fd = 0; fd < 1024; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

static void leaks_no_descriptors(void **state)
{
    (void)state;
    START("--db-pool", "1");
    assert_status("GET /hello HTTP/1.1\r\n" HOST CLOSE "\r\n", 200);
    unsigned before = open_fds();
    for (int i = 0; i < 500; i++) {
        int fd = dial();
        if (i % 3 == 0)
            say(fd, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
        if (i % 3 == 1)
            say(fd, "GET /hel");
        close(fd);
    }
    eventually(rig_connections() == 0);
    eventually(open_fds() <= before);
}

/* --- time --- */

static void ends_connections_that_dawdle(void **state)
{
    (void)state;
    START("--server-timeout-header", "1s", "--server-timeout-idle", "2s");
    int silent = dial(), half = dial(), head = dial(), body = dial(), idle = dial(), drip = dial();
    double began = now_s();
    say(half, "GET /hel");
    say(head, "GET /hello HTTP/1.1\r\nHost: a");
    say(body, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 100\r\n\r\nabc");
    say(idle, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
    struct heard h = hear_until(idle, "hello\n", 1000);
    hear_free(&h);
    say(drip, "GET /hello HTTP/1.1\r\n");
    for (int i = 0; i < 20 && !readable(drip, 100); i++)
        if (send(drip, "X: a\r\n", 6, MSG_NOSIGNAL) < 0)
            break;
    h = hear_all(drip);
    assert_int_equal(status_of(&h), 408);
    hear_free(&h);
    h = hear_all(silent);
    assert_int_equal(h.text.n, 0);
    assert_true(h.end == HEAR_EOF);
    hear_free(&h);
    int fds[] = {half, head, body};
    for (int i = 0; i < 3; i++) {
        h = hear_all(fds[i]);
        assert_int_equal(status_of(&h), 408);
        assert_true(has(&h, "PGH408"));
        hear_free(&h);
        close(fds[i]);
    }
    h = hear_all(idle);
    assert_true(h.end == HEAR_EOF);
    assert_int_equal(h.text.n, 0);
    hear_free(&h);
    assert_true(now_s() - began < 5);
    close(silent);
    close(idle);
    close(drip);
}

static void waits_for_answers_longer_than_for_requests(void **state)
{
    (void)state;
    START("--server-timeout-header", "1s", "--server-timeout-idle", "1s");
    rig.hold = true;
    int fd = dial();
    say(fd, "GET /later HTTP/1.1\r\n" HOST CLOSE "\r\n");
    assert_false(readable(fd, 3500));
    rig.hold = false;
    struct heard h = hear_all(fd);
    assert_int_equal(status_of(&h), 200);
    hear_free(&h);
    close(fd);
}

/* --- bytes --- */

static void bounds_bodies(void **state)
{
    (void)state;
    START("--request-max-bytes", "1KB");
    char text[3000];
    struct heard h;
    memset(text, 'x', sizeof text);
    snprintf(text, sizeof text,
             "POST /echo HTTP/1.1\r\n" HOST CLOSE "Content-Length: 1024\r\n\r\n");
    memset(text + strlen(text), 'x', 1024);
    text[strlen("POST /echo HTTP/1.1\r\n" HOST CLOSE "Content-Length: 1024\r\n\r\n") + 1024] = 0;
    assert_status(text, 200);
    assert_status("POST /echo HTTP/1.1\r\n" HOST CLOSE "Content-Length: 1025\r\n\r\n", 413);
    assert_status("POST /echo HTTP/1.1\r\n" HOST CLOSE
                  "Expect: 100-continue\r\nContent-Length: 100000000\r\n\r\n",
                  413);
    assert_status(
        "POST /echo HTTP/1.1\r\n" HOST CLOSE "Content-Length: 9223372036854775000\r\n\r\n", 413);
    snprintf(text, sizeof text,
             "POST /echo HTTP/1.1\r\n" HOST CLOSE "Transfer-Encoding: chunked\r\n\r\n401\r\n");
    size_t at = strlen(text);
    memset(text + at, 'x', 1025);
    text[at + 1025] = 0;
    assert_status(text, 413);
    assert_status("POST /bodiless HTTP/1.1\r\n" HOST CLOSE "Content-Length: 1\r\n\r\nx", 400);
    assert_status("POST /bodiless HTTP/1.1\r\n" HOST CLOSE "Content-Length: 0\r\n\r\n", 200);
    /* A client that first writes it all and then reads still hears why. */
    int fd = dial();
    size_t n = 6 * 1024 * 1024;
    char *bytes = xcalloc(1, n);
    say(fd, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 6291456\r\n\r\n");
    for (size_t sent = 0; sent < n;) {
        ssize_t got = send(fd, bytes + sent, n - sent, MSG_NOSIGNAL);
        assert_true(got > 0);
        sent += (size_t)got;
    }
    h = hear_all(fd);
    assert_int_equal(status_of(&h), 413);
    assert_true(has(&h, "\"hint\":\"request-max-bytes\""));
    assert_int_equal(h.end, HEAR_EOF);
    hear_free(&h);
    close(fd);
    free(bytes);
}

#define SIX_STEPS (6 * 65536)

/* Begins a body of 400,000 bytes and sends SIX_STEPS of it. */
static int begin_body(void)
{
    static const char bytes[SIX_STEPS];
    int fd = dial();
    say(fd, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 400000\r\n\r\n");
    for (size_t sent = 0; sent < sizeof bytes;) {
        ssize_t got = send(fd, bytes + sent, sizeof bytes - sent, MSG_NOSIGNAL);
        assert_true(got > 0);
        sent += (size_t)got;
    }
    return fd;
}

static void end_body(int fd)
{
    static const char rest[400000 - SIX_STEPS];
    struct heard h;
    assert_int_equal(send(fd, rest, sizeof rest, MSG_NOSIGNAL), sizeof rest);
    h = hear_until(fd, "\r\n\r\n", 2000);
    assert_int_equal(status_of(&h), 200);
    hear_free(&h);
    close(fd);
}

static void bounds_all_bodies_together(void **state)
{
    (void)state;
    START("--request-max-bytes", "500000", "--request-memory-max", "1MB");
    int one = begin_body(), two = begin_body();
    eventually(rig.body_bytes == 2 * SIX_STEPS);
    int three = begin_body();
    struct heard h = hear_all(three);
    assert_int_equal(status_of(&h), 503);
    assert_true(has(&h, "\"hint\":\"request-memory-max\""));
    assert_true(has(&h, "Retry-After: 1\r\n"));
    hear_free(&h);
    close(three);
    assert_int_equal(rig.body_bytes, 2 * SIX_STEPS);
    close(two); /* a client that leaves makes room, too */
    eventually(rig.body_bytes == SIX_STEPS);
    three = begin_body();
    end_body(three);
    end_body(one);
    assert_status("POST /echo HTTP/1.1\r\n" HOST CLOSE "Content-Length: 2\r\n\r\nhi", 200);
    eventually(rig.body_bytes == 0);
}

static size_t gzip(const char *in, size_t n, char *out, size_t room)
{
    z_stream z = {0};
    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 31, 8, 0), Z_OK);
    z.next_in = (Bytef *)(uintptr_t)in;
    z.avail_in = (uInt)n;
    z.next_out = (Bytef *)out;
    z.avail_out = (uInt)room;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    deflateEnd(&z);
    return room - z.avail_out;
}

static struct heard post_gzip(const char *path, const char *body, size_t n, const char *coding)
{
    char head[256];
    int fd = dial();
    int length = snprintf(head, sizeof head,
                          "POST %s HTTP/1.1\r\n" HOST CLOSE
                          "Content-Encoding: %s\r\nContent-Length: %zu\r\n\r\n",
                          path, coding, n);
    assert_int_equal(send(fd, head, (size_t)length, MSG_NOSIGNAL), length);
    if (n)
        (void)!send(fd, body, n, MSG_NOSIGNAL);
    struct heard h = hear_all(fd);
    close(fd);
    return h;
}

static void inflates_bodies_within_bounds(void **state)
{
    (void)state;
    START("--request-max-bytes", "100000");
    size_t n = 40 * 1024 * 1024;
    char *plain = xcalloc(1, n), *packed = xmalloc(n / 100);
    memcpy(plain, "hello inflated", 14);
    size_t small = gzip(plain, 14, packed, n / 100);
    struct heard h = post_gzip("/echo", packed, small, "gzip");
    assert_int_equal(status_of(&h), 200);
    assert_true(has(&h, "\r\n\r\nhello inflated"));
    hear_free(&h);
    memcpy(packed + small, packed, small); /* two members */
    h = post_gzip("/echo", packed, 2 * small, "gzip");
    assert_int_equal(status_of(&h), 200);
    assert_true(has(&h, "\r\n\r\nhello inflatedhello inflated"));
    hear_free(&h);
    packed[small] ^= 1; /* no member */
    h = post_gzip("/echo", packed, 2 * small, "gzip");
    assert_int_equal(status_of(&h), 400);
    hear_free(&h);
    h = post_gzip("/echo", packed, small - 3, "gzip");
    assert_int_equal(status_of(&h), 400);
    hear_free(&h);
    h = post_gzip("/echo", "abcdef", 6, "gzip");
    assert_int_equal(status_of(&h), 400);
    hear_free(&h);
    h = post_gzip("/echo", "abcdef", 6, "br");
    assert_int_equal(status_of(&h), 415);
    assert_true(has(&h, "Accept-Encoding: gzip\r\n"));
    hear_free(&h);
    size_t bomb = gzip(plain, n, packed, n / 100);
    h = post_gzip("/echo", packed, bomb, "gzip");
    assert_int_equal(status_of(&h), 413);
    hear_free(&h);
    /* A sink has no limit of ours, but the ratio counts there too. */
    h = post_gzip("/sink", packed, bomb, "gzip");
    assert_int_equal(status_of(&h), 413);
    assert_int_equal(rig.gone, 1);
    hear_free(&h);
    rig.sink_bytes = 0;
    for (size_t i = 0; i < 3000000; i++)
        plain[i] = (char)((i * 2654435761u) >> 13);
    char *much = xmalloc(4000000);
    size_t big_n = gzip(plain, 3000000, much, 4000000);
    h = post_gzip("/sink", much, big_n, "gzip");
    assert_int_equal(status_of(&h), 200);
    assert_int_equal(rig.sink_bytes, 3000000);
    hear_free(&h);
    free(much);
    free(plain);
    free(packed);
}

static void sends_headers_of_any_length(void **state)
{
    (void)state;
    START("--db-pool", "1");
    for (unsigned n = 1; n <= 40; n++) {
        char text[128];
        snprintf(text, sizeof text, "GET /headers?%u HTTP/1.1\r\n" HOST CLOSE "\r\n", n);
        struct heard h = ask(text);
        if (status_of(&h) != 200 || count(&h, "X-Long: ") != n || !has(&h, "many headers"))
            fail_msg("%u headers: %d", n, status_of(&h));
        hear_free(&h);
    }
}

static void compresses_when_asked(void **state)
{
    (void)state;
    START("--db-pool", "1");
    struct heard plain = ask("GET /big HTTP/1.1\r\n" HOST CLOSE "\r\n");
    assert_true(has(&plain, "Vary: Accept-Encoding\r\n"));
    assert_false(has(&plain, "Content-Encoding"));
    struct heard h = ask("GET /big HTTP/1.1\r\n" HOST CLOSE "Accept-Encoding: gzip\r\n\r\n");
    assert_true(has(&h, "Content-Encoding: gzip\r\n"));
    assert_true(h.text.n < plain.text.n / 3);
    hear_free(&h);
    hear_free(&plain);
    plain = ask("GET /big?more HTTP/1.1\r\n" HOST CLOSE "\r\n");
    assert_true(has(&plain, "Content-Length: "));
    h = ask("GET /big?more HTTP/1.1\r\n" HOST CLOSE "Accept-Encoding: gzip\r\n\r\n");
    assert_true(has(&h, "Content-Encoding: gzip\r\n"));
    assert_int_equal(count(&h, "Vary: Accept-Encoding\r\n"), 1);
    assert_true(has(&h, "Transfer-Encoding: chunked\r\n"));
    assert_memory_equal(h.text.p + h.text.n - 7, "\r\n0\r\n\r\n", 7);
    assert_true(h.text.n < plain.text.n / 3);
    hear_free(&h);
    hear_free(&plain);
    h = ask("GET /hello HTTP/1.1\r\n" HOST CLOSE "Accept-Encoding: gzip\r\n\r\n");
    assert_false(has(&h, "Content-Encoding"));
    hear_free(&h);
}

/* --- who --- */

static void guards_routes(void **state)
{
    (void)state;
    START("--server-cors-allowed-origins", "*", "--server-names", "db.example");
#define GUARDED(headers) "GET /guarded HTTP/1.1\r\n" CLOSE headers "\r\n"
    assert_status(GUARDED("Host: localhost\r\n"), 200);
    assert_status(GUARDED("Host: db.example:3000\r\n"), 200);
    assert_status(GUARDED("Host: evil.org\r\n"), 421);
    assert_status(GUARDED("Host: 127.0.0.1\r\nOrigin: http://127.0.0.1\r\n"), 200);
    assert_status(GUARDED("Host: 127.0.0.1\r\nOrigin: http://evil.org\r\n"), 403);
    assert_status(GUARDED("Host: 127.0.0.1\r\nSec-Fetch-Site: cross-site\r\n"), 403);
    assert_int_equal(rig.ran, 3);
    assert_status(
        "GET /hello HTTP/1.1\r\n" CLOSE "Host: evil.org\r\nOrigin: http://evil.org\r\n\r\n", 200);
    struct heard h = ask("OPTIONS /guarded HTTP/1.1\r\nHost: localhost\r\n" CLOSE "\r\n");
    assert_int_equal(status_of(&h), 200);
    assert_true(has(&h, "Access-Control-Allow-Headers: Authorization, Neon-Connection-String, "));
    hear_free(&h);
}

static void keeps_the_admin_port_to_this_machine(void **state)
{
    (void)state;
    rig_start(routes,
              (const char *const[]){"--admin-token", "sesame-sesame-sesame-sesame-0000",
                                    "--server-trusted-proxies", "127.0.0.1", NULL},
              true);
    assert_status("GET /local HTTP/1.1\r\nHost: localhost\r\n" CLOSE "\r\n", 200);
    assert_status("GET /local HTTP/1.1\r\n" HOST CLOSE "\r\n", 421); /* a page's own name */
    assert_status("GET /local HTTP/1.1\r\n" HOST CLOSE
                  "Authorization: Bearer sesame-sesame-sesame-sesame-0000\r\n\r\n",
                  200);
    assert_status("GET /hello HTTP/1.1\r\n" HOST CLOSE "\r\n", 404);
    assert_status("GET /local HTTP/1.1\r\n" HOST CLOSE "X-Forwarded-For: 9.9.9.9\r\n\r\n", 401);
    assert_status("GET /local HTTP/1.1\r\n" HOST CLOSE
                  "X-Forwarded-For: 9.9.9.9\r\nAuthorization: Bearer wrong\r\n\r\n",
                  403);
    assert_status("GET /local HTTP/1.1\r\n" HOST CLOSE "X-Forwarded-For: 9.9.9.9\r\n"
                  "Authorization: Bearer sesame-sesame-sesame-sesame-0000\r\n\r\n",
                  200);
    struct heard h = ask("HEAD /local HTTP/1.1\r\nHost: localhost\r\n" CLOSE "\r\n");
    assert_true(has(&h, "Content-Length: 6\r\n"));
    hear_free(&h);
}

/* --- listening sockets --- */

static void finds_out_that_a_port_is_in_use(void **state)
{
    (void)state;
    struct err err = {0};
    unsigned port = 0, again;
    int fds[3], more[2];
    assert_true(
        http_listen_workers(&(struct http_address){"127.0.0.1", 0, false}, 3, fds, &port, &err));
    assert_true(port > 0);
    assert_int_equal(http_listen_tcp("127.0.0.1", port, false, &again, &err), -1);
    assert_non_null(strstr(err.message, "in use"));
    assert_false(http_listen_workers(&(struct http_address){"127.0.0.1", port, false}, 2, more,
                                     &again, &err));
    for (int i = 0; i < 3; i++)
        close(fds[i]);
    assert_int_equal(http_listen_tcp("192.0.2.1", 0, false, &again, &err), -1);
    assert_non_null(strstr(err.message, "no such address"));
    int any = http_listen_tcp("*", 0, false, &again, &err);
    assert_true(any >= 0);
    close(any);
}

static void listens_on_unix_sockets(void **state)
{
    (void)state;
    struct err err = {0};
    char path[64];
    snprintf(path, sizeof path, "/tmp/pghttpd-test-%d.sock", (int)getpid());
    int fd = http_listen_unix(path, 0600, &err);
    assert_true(fd >= 0);
    assert_int_equal(http_listen_unix(path, 0600, &err), -1);
    assert_non_null(strstr(err.message, "in use"));
    close(fd);
    fd = http_listen_unix(path, 0600, &err); /* left over: taken */
    assert_true(fd >= 0);
    close(fd);
    unlink(path);
    assert_int_equal(http_listen_unix("/nonexistent/x", 0600, &err), -1);
}

/* --- the end --- */

static void quiesce(void *arg)
{
    http_server_quiesce(arg);
}

static void ends_gracefully(void **state)
{
    (void)state;
    START("--db-pool", "1");
    int idle = dial(), busy = dial(), half = dial();
    say(half, "GET /hello HTTP/1.1\r\nHost: a");
    say(idle, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
    struct heard h = hear_until(idle, "hello\n", 2000);
    hear_free(&h);
    rig.hold = true;
    say(busy, "GET /later HTTP/1.1\r\n" HOST "\r\n");
    eventually(rig.ran == 2);
    loop_post(rig.loop, quiesce, rig.server);
    h = hear_all(idle);
    assert_int_equal(h.end, HEAR_EOF);
    hear_free(&h);
    double began = now_s();
    h = hear_all(half);
    assert_int_equal(status_of(&h), 408);
    assert_true(now_s() - began < 3);
    hear_free(&h);
    close(half);
    eventually(rig_connections() == 1);
    rig.hold = false;
    h = hear_all(busy);
    assert_int_equal(status_of(&h), 200);
    assert_true(has(&h, "Connection: close\r\n"));
    assert_int_equal(h.end, HEAR_EOF);
    hear_free(&h);
    eventually(rig_connections() == 0);
    close(idle);
    close(busy);
}

static void ends_with_requests_waiting(void **state)
{
    (void)state;
    START("--db-pool", "1");
    rig.hold = true;
    int fds[20];
    for (int i = 0; i < 20; i++) {
        fds[i] = dial();
        say(fds[i], "GET /later HTTP/1.1\r\n" HOST "\r\n");
    }
    eventually(rig.ran == 20);
    rig_stop();
    assert_int_equal(rig.gone, 20);
    for (int i = 0; i < 20; i++)
        close(fds[i]);
}

/* Between the loop's last turn and the end of the server: read and answered by nobody. */
static void ends_with_a_request_that_just_came(void **state)
{
    (void)state;
    START("--db-pool", "1");
    int fd = dial();
    say(fd, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
    struct heard h = hear_until(fd, "hello\n", 2000);
    hear_free(&h);
    loop_post(rig.loop, rig_stop_loop, rig.loop);
    pthread_join(rig.thread, NULL);
    rig.hold = true;
    say(fd, "GET /later HTTP/1.1\r\n" HOST "\r\n");
    http_server_free(rig.server);
    assert_int_equal(rig.finished, 0);
    assert_int_equal(rig.ran, 1);
    close(fd);
    close(rig.listen_fd);
    loop_free(rig.loop);
    conf_unref(rig.conf);
}

static void counts_what_it_did(void **state)
{
    (void)state;
    START("--db-pool", "1");
    struct buf out;
    assert_status("GET /hello HTTP/1.1\r\n" HOST CLOSE "\r\n", 200);
    assert_status("GET /nothing HTTP/1.1\r\n" HOST CLOSE "\r\n", 404);
    eventually(rig_connections() == 0);
    buf_init(&out, 1 << 20);
    http_servers_metrics(&rig.server, 1, &out);
    buf_char(&out, '\0');
    assert_non_null(
        strstr(out.p, "pghttpd_http_requests_total{route=\"hello\",status=\"200\"} 1\n"));
    assert_non_null(
        strstr(out.p, "pghttpd_http_requests_total{route=\"none\",status=\"404\"} 1\n"));
    assert_non_null(
        strstr(out.p, "pghttpd_http_request_duration_seconds_count{route=\"hello\"} 1\n"));
    assert_non_null(strstr(out.p, "pghttpd_http_connections_accepted_total 2\n"));
    assert_non_null(strstr(out.p, "pghttpd_http_requests_in_flight 0\n"));
    buf_fini(&out);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(name, teardown)
    const struct CMUnitTest tests[] = {
        TEST(turns_away_above_the_limit),
        TEST(says_so_when_descriptors_run_out),
        TEST(leaks_no_descriptors),
        TEST(ends_connections_that_dawdle),
        TEST(waits_for_answers_longer_than_for_requests),
        TEST(bounds_bodies),
        TEST(bounds_all_bodies_together),
        TEST(inflates_bodies_within_bounds),
        TEST(sends_headers_of_any_length),
        TEST(compresses_when_asked),
        TEST(guards_routes),
        TEST(keeps_the_admin_port_to_this_machine),
        cmocka_unit_test(finds_out_that_a_port_is_in_use),
        cmocka_unit_test(listens_on_unix_sockets),
        TEST(ends_gracefully),
        cmocka_unit_test(ends_with_requests_waiting),
        cmocka_unit_test(ends_with_a_request_that_just_came),
        TEST(counts_what_it_did),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
