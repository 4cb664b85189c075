/* The server over real sockets: framing, limits, keep-alive, suspended requests, clients that
 * leave. */
#include <microhttpd.h>

#include "http_rig.h"

static const struct route hello = {
    .name = "hello", .methods = "GET, POST", .path = "/hello", .run = run_hello};
static const struct route echo = {
    .name = "echo", .methods = "GET, POST", .path = "/echo", .run = run_echo};
static const struct route later_route = {
    .name = "later", .methods = "GET, POST", .path = "/later", .run = run_later};
static const struct route *const routes[] = {&hello, &echo, &later_route, NULL};

static int setup(void **state)
{
    (void)state;
    rig_start(routes, NULL, false);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rig_stop();
    return 0;
}

static void answers_and_keeps_alive(void **state)
{
    (void)state;
    int fd = dial();
    for (int i = 0; i < 3; i++) {
        say(fd, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
        struct heard h = hear_until(fd, "hello\n", 2000);
        assert_int_equal(status_of(&h), 200);
        assert_true(has(&h, "Content-Length: 6"));
        assert_true(has(&h, "X-Request-Id: "));
        hear_free(&h);
    }
    close(fd);
}

static void answers_pipelined_requests_in_order(void **state)
{
    (void)state;
    int fd = dial();
    say(fd, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"
            "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
            "GET /later HTTP/1.1\r\nHost: a\r\n\r\n"
            "GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    struct heard h = hear_all(fd);
    assert_int_equal(h.end, HEAR_EOF);
    assert_int_equal(count(&h, "HTTP/1.1 200"), 4);
    const char *one = strstr(h.text.p, "hello\n"), *two = strstr(one, "abc"),
               *three = strstr(two, "later\n");
    assert_non_null(three);
    assert_non_null(strstr(three, "hello\n"));
    hear_free(&h);
    close(fd);
}

static void answers_later(void **state)
{
    (void)state;
    int fd = dial();
    for (int i = 0; i < 3; i++) {
        say(fd, "GET /later HTTP/1.1\r\nHost: a\r\n\r\n");
        struct heard h = hear_until(fd, "later\n", 2000);
        assert_int_equal(status_of(&h), 200);
        hear_free(&h);
    }
    close(fd);
}

/* --- heads --- */

#define HOST "Host: a\r\n"
#define CLOSE "Connection: close\r\n"

/* libmicrohttpd 1.0 answers some by itself, with 400. */
static void assert_refused(const char *request)
{
    struct heard h = ask(request);
    if (status_of(&h) != 400 && status_of(&h) != 501)
        fail_msg("%s -> %d", request, status_of(&h));
    assert_int_equal(count(&h, "HTTP/1.1 "), 1);
    hear_free(&h);
}

static void refuses_heads_that_two_readers_could_read_differently(void **state)
{
    (void)state;
    assert_status(
        "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400);
    assert_status(
        "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400);
    assert_status("POST /echo HTTP/1.1\r\n" HOST
                  "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                  400);
    assert_refused("POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip\r\n\r\n");
    assert_refused("POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip, chunked\r\n\r\n");
    assert_refused("POST /echo HTTP/1.1\r\n" HOST
                   "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    assert_status("POST /echo HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                  400);
    assert_status("POST /echo HTTP/1.1\r\n" HOST "Content-Length: 5x\r\n\r\nabcde", 400);
    assert_status("POST /echo HTTP/1.1\r\n" HOST "Content-Length: -5\r\n\r\n", 400);
    assert_status("POST /echo HTTP/1.1\r\n" HOST "Content-Length: +5\r\n\r\nabcde", 400);
    assert_status("POST /echo HTTP/1.1\r\n" HOST "Content-Length:\r\n\r\n", 400);
}

/* What a proxy may have read as the length of a body, so that the next request
 * is another one. */
static void refuses_lines_that_two_readers_could_read_differently(void **state)
{
    static const char *const lines[] = {
        "Content-Length : 5\r\n",
        "Content-Length\t: 5\r\n",
        "Transfer-Encoding : chunked\r\n",
        " Content-Length: 5\r\n",
        "X: a\rContent-Length: 5\r\n",
        ":\r\n",
        "X(y): a\r\n",
        "X\x80: a\r\n",
        "X\r\n",
#if MHD_VERSION < 0x00097701 /* later ones read them as they are meant */
        "X: a\r\n Content-Length: 5\r\n",
        "X: a\r\n\tb\r\n",
        "Content-Length:\r\n 5\r\n",
        "X: a\r\n \r\n",
        ": a\r\nContent-Length: 5\r\n",
#endif
    };
    char request[256];
    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        for (int first = 0; first < 2; first++) {
            snprintf(request, sizeof request,
                     "POST /echo HTTP/1.1\r\n%s%s%s\r\nGET /hello HTTP/1.1\r\n" HOST "\r\n",
                     first ? "" : HOST, lines[i], first ? HOST : "");
            assert_refused(request);
            assert_int_equal(rig.ran, 0);
        }
    }
    assert_status("GET /hello HTTP/1.1\r\nHost:a\r\nA:\r\nB:   \r\nC: \t c d \t \r\n" CLOSE
                  "X-1.2_3~!#$%&'*+^`|: \xff\x01\r\nD:\r\n\r\n",
                  200);
}

static void a_nul_in_a_header_is_refused(void **state)
{
    static const char request[] = "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 5\0"
                                  "0\r\n\r\nabcde";
    (void)state;
    int fd = dial();
    assert_int_equal(write(fd, request, sizeof request - 1), sizeof request - 1);
    struct heard h = hear_all(fd);
    assert_int_equal(status_of(&h), 400);
    hear_free(&h);
    close(fd);
}

static void never_runs_what_follows_an_ambiguous_request(void **state)
{
    (void)state;
    struct heard h =
        ask("POST /echo HTTP/1.1\r\n" HOST "Content-Length: 6\r\n"
            "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /hello HTTP/1.1\r\n" HOST "\r\n");
    assert_int_equal(status_of(&h), 400);
    assert_int_equal(count(&h, "HTTP/1.1 "), 1);
    assert_int_equal(rig.ran, 0);
    assert_int_equal(h.end, HEAR_EOF);
    hear_free(&h);
}

static void wants_one_host(void **state)
{
    (void)state;
    assert_status("GET /hello HTTP/1.1\r\n" CLOSE "\r\n", 400);
    assert_status("GET /hello HTTP/1.1\r\n" HOST HOST CLOSE "\r\n", 400);
    assert_status("GET /hello HTTP/1.1\r\nHost: a b\r\n" CLOSE "\r\n", 400);
    assert_status("GET /hello HTTP/1.1\r\nHost: a/b\r\n" CLOSE "\r\n", 400);
    assert_status("GET /hello HTTP/1.1\r\nHost: a:99999\r\n" CLOSE "\r\n", 400);
    assert_status("GET /hello HTTP/1.1\r\nHost: [::1]:80\r\n" CLOSE "\r\n", 200);
    assert_status("GET /hello HTTP/1.0\r\n\r\n", 200);
}

static void routes_the_raw_target(void **state)
{
    (void)state;
    assert_status("GET /hello?a=%00&b=%zz HTTP/1.1\r\n" HOST CLOSE "\r\n", 200);
    assert_status("GET http://a/hello HTTP/1.1\r\nHost: b\r\n" CLOSE "\r\n", 200);
    assert_status("GET /%68ello HTTP/1.1\r\n" HOST CLOSE "\r\n", 404);
    assert_status("GET /nothing HTTP/1.1\r\n" HOST CLOSE "\r\n", 404);
    assert_status("GET /-/hello HTTP/1.1\r\n" HOST CLOSE "\r\n", 200);
    assert_status("GET hello HTTP/1.1\r\n" HOST CLOSE "\r\n", 400);
    assert_status("DELETE /hello HTTP/1.1\r\n" HOST CLOSE "\r\n", 405);
    assert_status("delete /hello HTTP/1.1\r\n" HOST CLOSE "\r\n", 405);
    assert_status("BREW /hello HTTP/1.1\r\n" HOST CLOSE "\r\n", 405);
    assert_status("GET /hello HTTP/1.1\r\n" HOST "Expect: miracles\r\n" CLOSE "\r\n", 417);
    struct heard h = ask("PUT /hello HTTP/1.1\r\n" HOST CLOSE "\r\n");
    assert_true(has(&h, "Allow: GET, HEAD, POST, OPTIONS\r\n"));
    assert_true(has(&h, "{\"code\":\"PGH405\",\"details\":null,\"hint\":null,\"message\":"));
    hear_free(&h);
}

/* Whatever libmicrohttpd of either version does with these, it must answer or close, and the next
 * client must be served. */
static void survives_garbage(void **state)
{
    (void)state;
    static const char *const garbage[] = {
        "\r\n\r\n\r\n",
        "GET\r\n\r\n",
        "GET /hello\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
        "GET /hello HTTP/9.9\r\n" HOST "\r\n",
        "GET /hello HTTP/2.0\r\n" HOST "\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "GET /hello HTTP/1.1\r\nHost a\r\n\r\n",
        "GET /hello HTTP/1.1\r\n: a\r\n\r\n",
        "GET /a b HTTP/1.1\r\n" HOST CLOSE "\r\n",
        "GET /hello\t HTTP/1.1\r\n" HOST CLOSE "\r\n",
        "* * *\r\n\r\n",
        "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
        "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n3\r\nabcdef\r\n",
        "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 99999999999999999999999\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof garbage / sizeof *garbage; i++) {
        int fd = dial();
        say(fd, garbage[i]);
        shutdown(fd, SHUT_WR);
        struct heard h = hear_until(fd, NULL, 3000);
        if (h.end == HEAR_TIMEOUT)
            fail_msg("hangs: %zu: %s", i, garbage[i]);
        int status = status_of(&h);
        if (status != 0 && (status < 300 || status > 505) && status != 200)
            fail_msg("%d: %s", status, garbage[i]);
        hear_free(&h);
        close(fd);
        assert_status("GET /hello HTTP/1.1\r\n" HOST CLOSE "\r\n", 200);
    }
}

static char *long_text(const char *before, char c, size_t n, const char *after)
{
    char *text = xmalloc(strlen(before) + n + strlen(after) + 1);
    size_t at = strlen(before);
    memcpy(text, before, at);
    memset(text + at, c, n);
    memcpy(text + at + n, after, strlen(after) + 1);
    return text;
}

static void refuses_heads_that_are_too_long(void **state)
{
    (void)state;
    char *target = long_text("GET /hello?", 'a', 13000, " HTTP/1.1\r\n" HOST "\r\n");
    char *header = long_text("GET /hello HTTP/1.1\r\n" HOST "X-Long: ", 'a', 13000, "\r\n\r\n");
    assert_status(target, 414);
    assert_status(header, 431);
    struct heard h = ask(header);
    assert_true(has(&h, "{\"code\":\"PGH431\""));
    assert_true(has(&h, "server-header-memory"));
    hear_free(&h);
    free(target);
    free(header);
    /* Every length up to twice the memory gets some answer or an end, never silence. */
    for (size_t n = 7000; n < 33000; n += 431) {
        header = long_text("GET /hello HTTP/1.1\r\n" HOST CLOSE "X-Long: ", 'a', n, "\r\n\r\n");
        int fd = dial();
        if (send(fd, header, strlen(header), MSG_NOSIGNAL) < 0)
            assert_int_equal(errno, EPIPE);
        h = hear_until(fd, NULL, 3000);
        if (h.end == HEAR_TIMEOUT)
            fail_msg("silence after a header of %zu bytes", n);
        hear_free(&h);
        close(fd);
        free(header);
    }
}

/* libmicrohttpd keeps a structure per header and argument: many small ones fill its memory before
 * their bytes do. Each count must get an answer, and the query must not count at all. */
static void takes_many_arguments_and_headers(void **state)
{
    (void)state;
    for (int n = 100; n <= 1900; n += 600) {
        struct buf b;
        buf_init(&b, 1 << 20);
        BUF_LIT(&b, "GET /hello?");
        for (int i = 0; i < n; i++)
            BUF_LIT(&b, "a=1&");
        BUF_LIT(&b, "b HTTP/1.1\r\n" HOST CLOSE "\r\n");
        buf_char(&b, '\0');
        assert_status(b.p, 200);
        buf_fini(&b);
    }
    for (int n = 10; n <= 600; n += 10) {
        struct buf b;
        buf_init(&b, 1 << 20);
        BUF_LIT(&b, "GET /hello HTTP/1.1\r\n" HOST CLOSE);
        for (int i = 0; i < n; i++)
            buf_printf(&b, "X-%d: 1\r\n", i);
        BUF_LIT(&b, "\r\n");
        buf_char(&b, '\0');
        struct heard h = ask(b.p);
        int status = status_of(&h);
        if (status != 200 && status != 431)
            fail_msg("%d headers: %d", n, status);
        assert_true(n > 100 || status == 200);
        hear_free(&h);
        buf_fini(&b);
    }
}

static void answers_head_and_options(void **state)
{
    (void)state;
    struct heard h = ask("HEAD /hello HTTP/1.1\r\n" HOST CLOSE "\r\n");
    assert_int_equal(status_of(&h), 200);
    assert_false(has(&h, "Content-Length"));
    assert_false(has(&h, "Transfer-Encoding"));
    assert_non_null(strstr(h.text.p, "\r\n\r\n"));
    assert_int_equal(strlen(strstr(h.text.p, "\r\n\r\n")), 4);
    hear_free(&h);
    h = ask("OPTIONS /hello HTTP/1.1\r\n" HOST CLOSE "\r\n");
    assert_int_equal(status_of(&h), 200);
    assert_true(has(&h, "Allow: GET, HEAD, POST, OPTIONS"));
    assert_false(has(&h, "Access-Control-Allow-Origin"));
    assert_true(has(&h, "Content-Length: 0"));
    hear_free(&h);
    h = ask(
        "OPTIONS /hello HTTP/1.1\r\n" HOST CLOSE "Origin: http://b\r\n"
        "Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: x-a, x-b\r\n\r\n");
    assert_true(has(&h, "Access-Control-Allow-Headers: Authorization, x-a, x-b, Accept, "
                        "Accept-Language, Content-Language\r\n"));
    assert_true(has(&h, "Access-Control-Allow-Methods: GET, POST, PATCH, PUT, DELETE, OPTIONS, "
                        "HEAD\r\n"));
    assert_true(has(&h, "Access-Control-Max-Age: 86400\r\n"));
    hear_free(&h);
    h = ask("GET /hello HTTP/1.1\r\n" HOST CLOSE "Origin: http://b\r\n\r\n");
    assert_false(has(&h, "Access-Control-"));
    hear_free(&h);
}

static void echoes_decent_request_ids_only(void **state)
{
    (void)state;
    struct heard h = ask("GET /hello HTTP/1.1\r\n" HOST CLOSE "X-Request-Id: abc-123\r\n\r\n");
    assert_true(has(&h, "X-Request-Id: abc-123\r\n"));
    hear_free(&h);
    char *giant =
        long_text("GET /hello HTTP/1.1\r\n" HOST CLOSE "X-Request-Id: ", 'x', 129, "\r\n\r\n");
    h = ask(giant);
    assert_true(has(&h, "X-Request-Id: "));
    assert_false(has(&h, "xxxx"));
    hear_free(&h);
    free(giant);
}

/* --- bodies --- */

static void collects_bodies(void **state)
{
    (void)state;
    struct heard h = ask("POST /echo HTTP/1.1\r\n" HOST CLOSE "Content-Length: 5\r\n\r\nabcde");
    assert_true(has(&h, "\r\n\r\nabcde"));
    hear_free(&h);
    h = ask("POST /echo HTTP/1.1\r\n" HOST CLOSE
            "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
    assert_true(has(&h, "\r\n\r\nabcde"));
    hear_free(&h);
    h = ask("POST /echo HTTP/1.1\r\n" HOST CLOSE
            "Transfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\n0\r\nTrailer-Field: x\r\n\r\n");
    assert_true(has(&h, "\r\n\r\nabc"));
    hear_free(&h);
    h = ask("GET /echo HTTP/1.1\r\n" HOST CLOSE "Content-Length: 2\r\n\r\nhi");
    assert_true(has(&h, "\r\n\r\nhi"));
    hear_free(&h);
    int fd = dial();
    say(fd,
        "POST /echo HTTP/1.1\r\n" HOST CLOSE "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    h = hear_until(fd, "100 Continue", 2000);
    assert_true(has(&h, "HTTP/1.1 100 Continue"));
    hear_free(&h);
    say(fd, "ok");
    h = hear_all(fd);
    assert_true(has(&h, "\r\n\r\nok"));
    hear_free(&h);
    close(fd);
}

static void collects_a_body_of_megabytes(void **state)
{
    (void)state;
    size_t n = 5 * 1024 * 1024;
    char head[128];
    char *bytes = xmalloc(n);
    for (size_t i = 0; i < n; i++)
        bytes[i] = (char)(i * 7 + i / 251);
    int fd = dial();
    int length = snprintf(head, sizeof head,
                          "POST /echo HTTP/1.1\r\n" HOST CLOSE "Content-Length: %zu\r\n\r\n", n);
    assert_int_equal(send(fd, head, (size_t)length, 0), length);
    for (size_t sent = 0; sent < n;) {
        ssize_t got = send(fd, bytes + sent, n - sent, MSG_NOSIGNAL);
        assert_true(got > 0);
        sent += (size_t)got;
    }
    struct heard h = hear_all(fd);
    const char *body = strstr(h.text.p, "\r\n\r\n") + 4;
    assert_int_equal(h.text.n - (size_t)(body - h.text.p), n);
    assert_memory_equal(body, bytes, n);
    hear_free(&h);
    close(fd);
    free(bytes);
}

/* The connection is worth keeping when the refused body is short. */
static void keeps_alive_past_a_refused_body(void **state)
{
    (void)state;
    int fd = dial();
    say(fd, "POST /nothing HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nabcde"
            "GET /hello HTTP/1.1\r\n" HOST CLOSE "\r\n");
    struct heard h = hear_all(fd);
    assert_true(has(&h, "HTTP/1.1 404"));
    assert_true(has(&h, "HTTP/1.1 200"));
    hear_free(&h);
    close(fd);
}

/* --- clients that leave --- */

static void reset_close(int fd)
{
    struct linger now = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(fd);
}

static void notices_a_reset_at_once(void **state)
{
    (void)state;
    rig.hold = true;
    int fd = dial();
    say(fd, "GET /later HTTP/1.1\r\n" HOST "\r\n");
    eventually(rig.ran == 1);
    double began = now_s();
    reset_close(fd);
    eventually(rig.gone == 1);
    assert_true(now_s() - began < 0.5);
    rig.hold = false;
    assert_status("GET /hello HTTP/1.1\r\n" HOST CLOSE "\r\n", 200);
    assert_int_equal(rig.finished, 0);
}

static void gives_a_fin_a_second(void **state)
{
    (void)state;
    rig.hold = true;
    int fd = dial();
    say(fd, "GET /later HTTP/1.1\r\n" HOST "\r\n");
    eventually(rig.ran == 1);
    double began = now_s();
    close(fd);
    eventually(rig.gone == 1);
    assert_true(now_s() - began > 0.8);
    assert_true(now_s() - began < 2.0);
}

static void answers_who_only_half_closed(void **state)
{
    (void)state;
    rig.hold = true;
    int fd = dial();
    say(fd, "GET /later HTTP/1.1\r\n" HOST "\r\n");
    shutdown(fd, SHUT_WR);
    eventually(rig.ran == 1);
    rig.hold = false;
    struct heard h = hear_all(fd);
    assert_true(has(&h, "later\n"));
    assert_int_equal(rig.gone, 0);
    hear_free(&h);
    close(fd);
}

/* libmicrohttpd misses a FIN that comes along with the last bytes: without help from us it waits
 * for the next tick, half a second on the average. */
static void closes_half_a_head_at_once(void **state)
{
    (void)state;
    double began = now_s();
    for (int i = 0; i < 20; i++) {
        int fd = dial();
        say(fd, "GET /hel");
        usleep(1000);
        say(fd, "lo HTTP");
        shutdown(fd, SHUT_WR);
        struct heard h = hear_until(fd, NULL, 3000);
        assert_int_not_equal(h.end, HEAR_TIMEOUT);
        hear_free(&h);
        close(fd);
    }
    assert_true(now_s() - began < 2.0);
}

/* A FIN that came before the request was even suspended is not forgotten. */
static void remembers_an_early_fin(void **state)
{
    (void)state;
    rig.hold = true;
    int fd = dial();
    say(fd, "GET /hello HTTP/1.1\r\n" HOST "\r\nGET /later HTTP/1.1\r\n" HOST "\r\n");
    close(fd);
    eventually(rig.ran == 2);
    eventually(rig.gone == 1);
}

static void survives_many_that_leave(void **state)
{
    (void)state;
    rig.hold = true;
    enum { N = 200 };
    int fds[N];
    for (int i = 0; i < N; i++) {
        fds[i] = dial();
        say(fds[i], "GET /later HTTP/1.1\r\n" HOST "\r\n");
    }
    eventually(rig.ran == N);
    for (int i = 0; i < N; i += 2)
        reset_close(fds[i]);
    eventually(rig.gone == N / 2);
    rig.hold = false;
    for (int i = 1; i < N; i += 2) {
        struct heard h = hear_until(fds[i], "later\n", 5000);
        assert_int_equal(status_of(&h), 200);
        hear_free(&h);
        close(fds[i]);
    }
    assert_int_equal(rig.finished, N / 2);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(answers_and_keeps_alive),
        TEST(answers_pipelined_requests_in_order),
        TEST(answers_later),
        TEST(refuses_heads_that_two_readers_could_read_differently),
        TEST(refuses_lines_that_two_readers_could_read_differently),
        TEST(a_nul_in_a_header_is_refused),
        TEST(never_runs_what_follows_an_ambiguous_request),
        TEST(wants_one_host),
        TEST(routes_the_raw_target),
        TEST(survives_garbage),
        TEST(refuses_heads_that_are_too_long),
        TEST(takes_many_arguments_and_headers),
        TEST(answers_head_and_options),
        TEST(echoes_decent_request_ids_only),
        TEST(collects_bodies),
        TEST(collects_a_body_of_megabytes),
        TEST(keeps_alive_past_a_refused_body),
        TEST(notices_a_reset_at_once),
        TEST(gives_a_fin_a_second),
        TEST(answers_who_only_half_closed),
        TEST(closes_half_a_head_at_once),
        TEST(remembers_an_early_fin),
        TEST(survives_many_that_leave),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
