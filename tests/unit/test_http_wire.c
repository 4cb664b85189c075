/* Where requests begin and end on the wire: the scanner by itself, cut at every place, and the
 * answers of a server whose libmicrohttpd would read on. */
#include "http_rig.h"

#include "http/wire.h"

#define HOST "Host: a\r\n"
#define CHUNKED "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"
#define SMUGGLED "GET /hello?smuggled HTTP/1.1\r\n" HOST "\r\n"

static const struct route hello = {
    .name = "hello", .methods = "GET, POST", .path = "/hello", .run = run_hello};
static const struct route echo = {
    .name = "echo", .methods = "GET, POST", .path = "/echo", .run = run_echo};
static const struct route later_route = {
    .name = "later", .methods = "GET", .path = "/later", .run = run_later};
static const struct route *const routes[] = {&hello, &echo, &later_route, NULL};

/* What the scanner says of a text that comes in two pieces. */
static enum wire_fault scan(const char *text, size_t cut, unsigned *heads)
{
    struct wire w = {.state = WIRE_START};
    size_t n = strlen(text);
    if (cut)
        (void)wire_feed(&w, text, cut, 12288);
    (void)wire_feed(&w, text + cut, n - cut, 12288);
    *heads = w.heads;
    return w.state == WIRE_REFUSED ? w.fault : 0;
}

static void expect(const char *text, enum wire_fault fault, unsigned heads)
{
    for (size_t cut = 0; cut < strlen(text); cut++) {
        unsigned got;
        enum wire_fault said = scan(text, cut, &got);
        if (said != fault || (fault == 0 && got != heads))
            fail_msg("cut at %zu: fault %d, %u heads: %s", cut, (int)said, got, text);
    }
}

static void follows_requests(void **state)
{
    (void)state;
    expect("GET / HTTP/1.1\r\n" HOST "\r\n", 0, 1);
    expect("\r\n\r\nGET / HTTP/1.1\nHost: a\n\nGET / HTTP/1.1\r\n\r\n", 0, 2);
    expect("POST / HTTP/1.1\r\ncontent-length:  5 \r\n\r\nGET /GET / HTTP/1.1\r\n\r\n", 0, 2);
    expect(CHUNKED "5\r\n{\"a\"}\r\nA;x=\"y\"\r\n0123456789\r\n0\r\n\r\n" CHUNKED "0\r\n\r\n", 0,
           2);
    expect(CHUNKED "00e\r\n\n\n\n\r\r\r\n\r\n\r\n012\r\n0;a\r\nTrailer: x\r\nB: y\r\n\r\n" SMUGGLED,
           0, 2);
}

static void refuses_what_two_may_read_differently(void **state)
{
    (void)state;
    static const char *const lengths[] = {"+2",  "2, 2", "-2", "0x2", "", "18446744073709551618",
                                          "2 2", "2;",   "two"};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        char text[200];
        snprintf(text, sizeof text, "POST / HTTP/1.1\r\nContent-Length: %s\r\n\r\n{}", lengths[i]);
        expect(text, WIRE_LENGTH, 0);
    }
    expect("POST / HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}", WIRE_LENGTH, 0);
    static const char *const chunks[] = {"2;\n{}\r\n0\r\n\r\n",
                                         "2\n{}\r\n0\r\n\r\n",
                                         "2\r\n{}\n0\r\n\r\n",
                                         "2\r\n{}0\r\n\r\n",
                                         "2;a\rb\n{}\r\n0\r\n\r\n",
                                         "0\n\r\n",
                                         "0\r\n\n",
                                         "0\r\nA: b\n\r\n",
                                         " 2\r\n{}\r\n0\r\n\r\n",
                                         "2 \r\n{}\r\n0\r\n\r\n",
                                         "-2\r\n{}\r\n",
                                         "0x2\r\n{}\r\n",
                                         "fffffffffffffffff2\r\n{}\r\n",
                                         ";\r\n\r\n",
                                         "\r\n\r\n",
                                         "0\r\n folded: x\r\n\r\n"};
    for (size_t i = 0; i < sizeof chunks / sizeof *chunks; i++) {
        char text[300];
        snprintf(text, sizeof text, CHUNKED "%s" SMUGGLED, chunks[i]);
        expect(text, WIRE_CHUNK, 0);
    }
}

/* What came before the request that is refused is handed on. */
static void hands_on_what_is_in_front(void **state)
{
    (void)state;
    static const char first[] = "GET / HTTP/1.1\r\n" HOST "\r\n";
    char text[300];
    struct wire w = {.state = WIRE_START};
    int n = snprintf(text, sizeof text, "%s%s", first, CHUNKED "2\n{}");
    assert_int_equal(wire_feed(&w, text, (size_t)n, 12288), sizeof first - 1);
    assert_int_equal(w.state, WIRE_REFUSED);
}

/* ---- a server ---- */

static void answered_once(const char *request, const char *status, const char *words)
{
    for (size_t cut = 0; cut <= 1; cut++) {
        int fd = dial();
        size_t n = strlen(request), first = cut ? n - 8 : n;
        assert_int_equal(send(fd, request, first, MSG_NOSIGNAL), (ssize_t)first);
        if (cut) { /* what decides comes by itself */
            poll(NULL, 0, 30);
            (void)send(fd, request + first, n - first, MSG_NOSIGNAL);
        }
        struct heard h = hear_all(fd);
        if (h.end != HEAR_EOF || !has(&h, status) || !has(&h, words) ||
            count(&h, "HTTP/1.1") != 1 || !has(&h, "Content-Type: application/json") ||
            !has(&h, "Connection: close"))
            fail_msg("%s\n-> %d, %s", request, (int)h.end, h.text.p);
        hear_free(&h);
        close(fd);
    }
}

static void answers_once_and_closes(void **state)
{
    (void)state;
    static const char *const lengths[] = {"+2", "2, 2", "-2", "0x2", "", "18446744073709551618"};
    char text[400];
    rig_start(routes, NULL, false);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        snprintf(text, sizeof text,
                 "POST /echo HTTP/1.1\r\n" HOST "Content-Length: %s\r\n\r\n{}" SMUGGLED,
                 lengths[i]);
        answered_once(text, "HTTP/1.1 400 Bad Request", "more than one Content-Length");
    }
    answered_once(CHUNKED "2;\n{}\r\n0\r\n\r\n" SMUGGLED, "HTTP/1.1 400 Bad Request", "RFC 9112");
    answered_once(CHUNKED "2\r\n{}\r\n0\n\r\n", "HTTP/1.1 400 Bad Request", "RFC 9112");
    rig_stop();
}

/* A body in chunks is what it was, however its bytes come. */
static void takes_chunks_in_any_pieces(void **state)
{
    (void)state;
    static const char request[] = CHUNKED "4;ext\r\n{\"a\"\r\n3\r\n:1}\r\n0\r\nT: x\r\n\r\n";
    rig_start(routes, NULL, false);
    for (size_t step = 1; step < sizeof request; step += step < 8 ? 1 : 23) {
        int fd = dial();
        for (size_t at = 0; at < sizeof request - 1; at += step) {
            size_t n = sizeof request - 1 - at < step ? sizeof request - 1 - at : step;
            assert_int_equal(send(fd, request + at, n, MSG_NOSIGNAL), (ssize_t)n);
            poll(NULL, 0, step == 1 ? 1 : 0);
        }
        struct heard h = hear_until(fd, "{\"a\":1}", 3000);
        assert_true(has(&h, "HTTP/1.1 200"));
        assert_true(has(&h, "{\"a\":1}"));
        hear_free(&h);
        close(fd);
    }
    rig_stop();
}

static void answers_what_came_before_the_refused_request(void **state)
{
    (void)state;
    rig_start(routes, NULL, false);
    int fd = dial();
    say(fd, "GET /hello HTTP/1.1\r\n" HOST "\r\n" CHUNKED "2\n{}\r\n0\r\n\r\n" SMUGGLED);
    struct heard h = hear_all(fd);
    assert_int_equal(count(&h, "HTTP/1.1 200"), 1);
    assert_int_equal(count(&h, "HTTP/1.1 400"), 1);
    assert_int_equal(count(&h, "HTTP/1.1"), 2);
    hear_free(&h);
    close(fd);
    rig_stop();
}

/* A request line, and a head, of more than a connection's memory. */
static void answers_long_heads_in_json(void **state)
{
    (void)state;
    rig_start(routes, NULL, false);
    for (size_t n = 13000; n < 300000; n = n * 3) {
        for (int header = 0; header < 2; header++) {
            char *text = xmalloc(n + 200);
            int at = sprintf(text, header ? "GET /hello HTTP/1.1\r\n" HOST "X: " : "GET /hello?");
            memset(text + at, 'x', n);
            strcpy(text + at + n, header ? "\r\n\r\n" : " HTTP/1.1\r\n" HOST "\r\n");
            int fd = dial();
            (void)send(fd, text, strlen(text), MSG_NOSIGNAL);
            struct heard h = hear_all(fd);
            if (!has(&h, header ? "HTTP/1.1 431" : "HTTP/1.1 414") ||
                !has(&h, "\"message\":\"the request target") || count(&h, "HTTP/1.1") != 1)
                fail_msg("%zu bytes: %s", n, h.text.p);
            hear_free(&h);
            close(fd);
            free(text);
        }
    }
    rig_stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(follows_requests),
        cmocka_unit_test(refuses_what_two_may_read_differently),
        cmocka_unit_test(hands_on_what_is_in_front),
        cmocka_unit_test(answers_once_and_closes),
        cmocka_unit_test(takes_chunks_in_any_pieces),
        cmocka_unit_test(answers_what_came_before_the_refused_request),
        cmocka_unit_test(answers_long_heads_in_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
