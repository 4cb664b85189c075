/* Sockets taken over, streamed answers with backpressure, bodies handed to a sink. */
#include "http_rig.h"

#include <zlib.h>

#define HOST "Host: a\r\n"
#define CLOSE "Connection: close\r\n"

/* --- takeover --- */

static void take(struct http_req *r)
{
    struct buf head;
    int fd = http_takeover(r, 200);
    if (fd < 0) {
        answer(r, 503, "no descriptor\n");
        return;
    }
    buf_init(&head, 4096);
    BUF_LIT(&head, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n");
    http_takeover_headers(r, &head);
    BUF_LIT(&head, "\r\n: ok\n\n");
    assert_int_equal(send(fd, head.p, head.n, MSG_NOSIGNAL), (ssize_t)head.n);
    buf_fini(&head);
    rig.streams[rig.n_streams] = fd;
    rig.n_streams++;
}

static void run_take(struct worker *w, struct http_req *r)
{
    (void)w;
    take(r);
}

static void run_take_later(struct worker *w, struct http_req *r)
{
    (void)w;
    rig.ran++;
    later(r, take);
}

/* --- a stream of numbered lines --- */

struct lines {
    struct http_req *r;
    struct loop_timer timer;
    unsigned next, end, stop_at; /* stop_at: breaks there */
    bool slow;                   /* a line, then nothing until the timer */
};

static _Atomic size_t pulled;

static enum http_pull pull_lines(void *arg, struct buf *out, size_t want)
{
    struct lines *l = arg;
    size_t before = out->n;
    if (l->slow && loop_timer_pending(&l->timer))
        return HTTP_WAIT;
    while (l->next < l->end) {
        if (l->next == l->stop_at)
            return HTTP_BREAK;
        buf_printf(out, "line %u\n", l->next++);
        if (l->slow) {
            loop_timer_set(&l->timer, 2000);
            pulled += out->n - before;
            return HTTP_WAIT;
        }
        if (out->n - before >= want)
            break;
    }
    pulled += out->n - before;
    return l->next == l->end ? HTTP_END : HTTP_MORE;
}

static void wake_lines(void *arg)
{
    http_stream_wake(((struct lines *)arg)->r);
}

static void close_lines(void *arg)
{
    struct lines *l = arg;
    rig.closed++;
    loop_timer_stop(&l->timer);
    loop_free_later(rig.loop, free, l);
}

static const struct http_source line_source = {.pull = pull_lines, .closed = close_lines};

static unsigned number_of(struct str query, const char *key, unsigned usual)
{
    struct str part, name = str_of(key);
    uint64_t v;
    while (str_next(&query, '&', &part))
        if (str_starts(part, name) && part.n > name.n && part.p[name.n] == '=' &&
            str_u64(str_from(part, name.n + 1), UINT32_MAX, &v))
            return (unsigned)v;
    return usual;
}

static void start_lines(struct http_req *r)
{
    struct lines *l = xcalloc(1, sizeof *l);
    l->r = r;
    l->end = number_of(r->query, "n", 10);
    l->stop_at = number_of(r->query, "break", UINT32_MAX);
    l->slow = number_of(r->query, "slow", 0);
    loop_timer_init(&l->timer, rig.loop, wake_lines, l);
    http_stream(r, 200, STR("text/plain"), &line_source, l);
}

static void run_lines(struct worker *w, struct http_req *r)
{
    (void)w;
    start_lines(r);
}

static void run_lines_later(struct worker *w, struct http_req *r)
{
    (void)w;
    later(r, start_lines);
}

/* --- a sink that counts; ?stall makes it full after each piece for a moment, ?again until the next
 * piece comes all the same, ?refuse answers 403 after the first piece, ?wait sets the sink in a
 * later turn --- */

struct sink {
    struct http_req *r;
    struct loop_timer timer;
    bool stall, again, full, refuse, waiting;
};

static void sink_done(struct sink *s)
{
    loop_timer_stop(&s->timer);
    loop_free_later(rig.loop, free, s);
}

static void sink_gone(void *arg)
{
    rig.gone++;
    sink_done(arg);
}

static bool on_body(void *arg, struct str piece, bool at_end)
{
    struct sink *s = arg;
    char text[32];
    rig.sink_bytes += (unsigned)piece.n;
    if (s->refuse || at_end) {
        struct http_req *r = s->r;
        snprintf(text, sizeof text, "%u\n", rig.sink_bytes);
        http_on_gone(r, NULL, NULL);
        bool refuse = s->refuse;
        sink_done(s);
        answer(r, refuse ? 403 : 200, text);
        return true;
    }
    if (s->again && s->full) {
        loop_timer_stop(&s->timer);
        s->full = false;
        http_body_resume(s->r);
        return true;
    }
    s->full = s->stall || s->again;
    if (s->full)
        loop_timer_set(&s->timer, 1000);
    return !s->full;
}

static const struct http_body_sink counting_sink = {.on_body = on_body};

static void sink_tick(void *arg)
{
    struct sink *s = arg;
    if (s->waiting) {
        s->waiting = false;
        http_body_sink(s->r, &counting_sink, s);
    } else {
        s->full = false;
        http_body_resume(s->r);
    }
}

static void run_sink(struct worker *w, struct http_req *r)
{
    struct sink *s = xcalloc(1, sizeof *s);
    (void)w;
    s->r = r;
    s->stall = str_eq(r->query, STR("stall"));
    s->again = str_eq(r->query, STR("again"));
    s->refuse = str_eq(r->query, STR("refuse"));
    s->waiting = str_eq(r->query, STR("wait"));
    loop_timer_init(&s->timer, rig.loop, sink_tick, s);
    http_on_gone(r, sink_gone, s);
    if (s->waiting)
        loop_timer_set(&s->timer, 5000);
    else
        http_body_sink(r, &counting_sink, s);
}

static const struct route hello = {
    .name = "hello", .methods = "GET, POST", .path = "/hello", .run = run_hello};
static const struct route take_route = {
    .name = "take", .methods = "GET", .path = "/take", .run = run_take};
static const struct route take_later_route = {
    .name = "take_later", .methods = "GET", .path = "/take-later", .run = run_take_later};
static const struct route lines_route = {
    .name = "lines", .methods = "GET", .path = "/lines", .run = run_lines};
static const struct route lines_later_route = {
    .name = "lines_later", .methods = "GET", .path = "/lines-later", .run = run_lines_later};
static const struct route sink_route = {.name = "sink",
                                        .methods = "POST",
                                        .path = "/sink",
                                        .flags = ROUTE_BODY_STREAM,
                                        .run = run_sink};
static const struct route *const routes[] = {
    &hello, &take_route, &take_later_route, &lines_route, &lines_later_route, &sink_route, NULL};

static int setup(void **state)
{
    (void)state;
    pulled = 0;
    rig_start(routes, NULL, false);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rig_stop();
    return 0;
}

/* The connection is ours: what was written arrives, nothing is closed, it counts no more. */
static void expect_taken(int fd)
{
    struct heard h = hear_until(fd, ": ok\n\n", 2000);
    assert_true(has(&h, "text/event-stream"));
    hear_free(&h);
    assert_false(readable(fd, 30));
    eventually(rig.n_streams == 1);
    assert_int_equal(send(rig.streams[0], "data: x\n\n", 9, MSG_NOSIGNAL), 9);
    h = hear_until(fd, "data: x\n\n", 2000);
    assert_true(has(&h, "data: x"));
    hear_free(&h);
}

static void takes_over_a_first_request(void **state)
{
    (void)state;
    int fd = dial();
    say(fd, "GET /take HTTP/1.1\r\n" HOST "\r\n");
    expect_taken(fd);
    eventually(rig_connections() == 0);
    close(fd);
}

static void takes_over_a_split_request(void **state)
{
    (void)state;
    int fd = dial();
    say(fd, "GET /take HT");
    poll(NULL, 0, 20);
    say(fd, "TP/1.1\r\n" HOST "\r\n");
    expect_taken(fd);
    close(fd);
}

static void takes_over_after_keep_alive(void **state)
{
    (void)state;
    int fd = dial();
    say(fd, "GET /hello HTTP/1.1\r\n" HOST "\r\nGET /take HTTP/1.1\r\n" HOST "\r\n");
    struct heard h = hear_until(fd, ": ok\n\n", 2000);
    assert_true(has(&h, "hello\n"));
    assert_true(has(&h, "text/event-stream"));
    hear_free(&h);
    close(fd);
}

static void takes_over_a_suspended_request(void **state)
{
    (void)state;
    int fd = dial();
    say(fd, "GET /take-later HTTP/1.1\r\n" HOST "\r\n");
    expect_taken(fd);
    eventually(rig_connections() == 0);
    close(fd);
}

static void leaves_taken_sockets_alone_when_it_ends(void **state)
{
    (void)state;
    rig_start(routes, NULL, false);
    int fd = dial();
    say(fd, "GET /take HTTP/1.1\r\n" HOST "\r\n");
    struct heard h = hear_until(fd, ": ok\n\n", 2000);
    hear_free(&h);
    loop_post(rig.loop, rig_stop_loop, rig.loop);
    pthread_join(rig.thread, NULL);
    http_server_free(rig.server);
    assert_int_equal(send(rig.streams[0], "data: bye\n\n", 11, MSG_NOSIGNAL), 11);
    h = hear_until(fd, "bye", 2000);
    assert_true(has(&h, "data: bye"));
    hear_free(&h);
    close(fd);
    close(rig.streams[0]);
    close(rig.listen_fd);
    loop_free(rig.loop);
    conf_unref(rig.conf);
}

/* --- streams --- */

static void streams_a_body(void **state)
{
    (void)state;
    int fd = dial();
    for (int i = 0; i < 2; i++) {
        say(fd, i ? "GET /lines-later?n=1000 HTTP/1.1\r\n" HOST "\r\n"
                  : "GET /lines?n=1000 HTTP/1.1\r\n" HOST "\r\n");
        struct heard h = hear_until(fd, "\r\n0\r\n\r\n", 3000);
        assert_true(has(&h, "Transfer-Encoding: chunked"));
        assert_true(has(&h, "line 0\n"));
        assert_true(has(&h, "line 999\n"));
        hear_free(&h);
    }
    eventually(rig.closed == 2);
    close(fd);
}

static void streams_with_waits(void **state)
{
    (void)state;
    struct heard h = ask("GET /lines?n=20&slow=1 HTTP/1.1\r\n" HOST CLOSE "\r\n");
    assert_true(has(&h, "line 19\n"));
    assert_non_null(strstr(h.text.p, "\r\n0\r\n\r\n"));
    hear_free(&h);
    h = ask("GET /lines?n=5 HTTP/1.0\r\n\r\n");
    assert_false(has(&h, "chunked"));
    assert_true(has(&h, "line 0\nline 1\nline 2\nline 3\nline 4\n"));
    assert_int_equal(h.end, HEAR_EOF);
    hear_free(&h);
    h = ask("HEAD /lines?n=5 HTTP/1.1\r\n" HOST CLOSE "\r\n");
    assert_int_equal(status_of(&h), 200);
    assert_false(has(&h, "line"));
    hear_free(&h);
    eventually(rig.closed == 3);
}

static void breaks_a_body_visibly(void **state)
{
    (void)state;
    struct heard h = ask("GET /lines?n=100000&break=50000 HTTP/1.1\r\n" HOST CLOSE "\r\n");
    assert_true(has(&h, "line 0\n"));
    assert_null(strstr(h.text.p, "\r\n0\r\n\r\n"));
    assert_true(h.end == HEAR_EOF || h.end == HEAR_RESET);
    hear_free(&h);
    h = ask("GET /lines?n=10&break=5 HTTP/1.0\r\n\r\n");
    assert_int_equal(h.end, HEAR_RESET);
    hear_free(&h);
    eventually(rig.closed == 2);
}

/* Asks and reads nothing, until nothing more is pulled for it. */
static int ask_and_wait(const char *text)
{
    int fd = dial(), little = 65536;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &little, sizeof little);
    size_t last = 0, before = pulled;
    say(fd, text);
    for (int same = 0; same < 10;) {
        poll(NULL, 0, 20);
        same = pulled == last && last > before ? same + 1 : 0;
        last = pulled;
    }
    assert_true(last - before < 16u * 1024 * 1024); /* what the kernel's buffers hold */
    return fd;
}

/* libmicrohttpd sees to what it gave up when something happens on that socket, or when it is the
 * oldest one. */
static void breaks_a_body_at_once(void **state)
{
    (void)state;
    for (int minor = 0; minor < 2; minor++) {
        char text[100];
        unsigned closed = rig.closed;
        int older = ask_and_wait("GET /lines?n=100000000 HTTP/1.1\r\n" HOST "\r\n");
        snprintf(text, sizeof text, "GET /lines?n=1000000&break=600000 HTTP/1.%d\r\n%s\r\n", minor,
                 HOST);
        int fd = ask_and_wait(text);
        struct heard h = hear_until(fd, NULL, 3000);
        assert_int_equal(h.end, minor ? HEAR_EOF : HEAR_RESET);
        hear_free(&h);
        close(older);
        close(fd);
        eventually(rig.closed == closed + 2);
    }
}

static void stops_pulling_when_nobody_reads(void **state)
{
    (void)state;
    int fd = ask_and_wait("GET /lines?n=100000000 HTTP/1.1\r\n" HOST "\r\n");
    close(fd);
    eventually(rig.closed == 1);
}

static void ends_a_waiting_stream_when_its_client_leaves(void **state)
{
    (void)state;
    int fd = dial();
    say(fd, "GET /lines?n=100000&slow=1 HTTP/1.1\r\n" HOST "\r\n");
    struct heard h = hear_until(fd, "line 3", 2000);
    hear_free(&h);
    close(fd);
    eventually(rig.closed == 1);
}

static struct heard inflate_chunks(const struct heard *h)
{
    struct heard out = {.end = h->end};
    z_stream z = {0};
    char *at = strstr(h->text.p, "\r\n\r\n") + 4;
    buf_init(&out.text, 1 << 24);
    assert_int_equal(inflateInit2(&z, 31), Z_OK);
    int rc = Z_OK;
    for (;;) {
        size_t n = strtoul(at, &at, 16);
        at += 2;
        if (n == 0)
            break;
        z.next_in = (Bytef *)at;
        z.avail_in = (uInt)n;
        do {
            char *to = buf_reserve(&out.text, 65537);
            z.next_out = (Bytef *)to;
            z.avail_out = 65536;
            rc = inflate(&z, Z_NO_FLUSH);
            assert_true(rc == Z_OK || rc == Z_STREAM_END || rc == Z_BUF_ERROR);
            out.text.n += 65536 - z.avail_out;
        } while (z.avail_out == 0);
        at += n + 2;
    }
    assert_int_equal(rc, Z_STREAM_END);
    buf_char(&out.text, '\0');
    inflateEnd(&z);
    return out;
}

static void compresses_streams(void **state)
{
    (void)state;
    struct heard h =
        ask("GET /lines?n=50000 HTTP/1.1\r\n" HOST CLOSE "Accept-Encoding: gzip, deflate\r\n\r\n");
    assert_true(has(&h, "Content-Encoding: gzip\r\n"));
    assert_true(has(&h, "Vary: Accept-Encoding\r\n"));
    struct heard plain = inflate_chunks(&h);
    assert_true(has(&plain, "line 0\n"));
    assert_true(has(&plain, "line 49999\n"));
    assert_true(h.text.n < plain.text.n / 3);
    hear_free(&h);
    hear_free(&plain);
    /* What is there is shown before the source waits. */
    int fd = dial();
    say(fd, "GET /lines?n=3&slow=1 HTTP/1.1\r\n" HOST CLOSE "Accept-Encoding: gzip\r\n\r\n");
    h = hear_all(fd);
    plain = inflate_chunks(&h);
    assert_int_equal(plain.text.n, strlen("line 0\nline 1\nline 2\n") + 1);
    hear_free(&h);
    hear_free(&plain);
    close(fd);
}

/* --- sinks --- */

static void post_sink(const char *query, size_t n, bool chunked, struct heard *h)
{
    char head[256], *bytes = xcalloc(1, n + 1);
    int fd = dial();
    int length =
        chunked ? snprintf(head, sizeof head,
                           "POST /sink?%s HTTP/1.1\r\n" HOST CLOSE
                           "Transfer-Encoding: chunked\r\n\r\n%zx\r\n",
                           query, n)
                : snprintf(head, sizeof head,
                           "POST /sink?%s HTTP/1.1\r\n" HOST CLOSE "Content-Length: %zu\r\n\r\n",
                           query, n);
    assert_int_equal(send(fd, head, (size_t)length, MSG_NOSIGNAL), length);
    for (size_t sent = 0; sent < n;) {
        ssize_t got = send(fd, bytes + sent, n - sent, MSG_NOSIGNAL);
        if (got < 0)
            break; /* refused meanwhile */
        sent += (size_t)got;
    }
    if (chunked)
        say(fd, "\r\n0\r\n\r\n");
    *h = hear_all(fd);
    close(fd);
    free(bytes);
}

static void streams_bodies_in(void **state)
{
    (void)state;
    static const char *const queries[] = {"", "wait", "stall"};
    for (size_t i = 0; i < 3; i++) {
        for (int chunked = 0; chunked < 2; chunked++) {
            struct heard h;
            size_t n = i == 2 ? 400000 : 3000000;
            char expected[32];
            rig.sink_bytes = 0;
            post_sink(queries[i], n, chunked, &h);
            snprintf(expected, sizeof expected, "\r\n\r\n%zu\n", n);
            if (!has(&h, expected))
                fail_msg("?%s chunked=%d: %s", queries[i], chunked, h.text.p);
            hear_free(&h);
        }
    }
    rig.sink_bytes = 0;
    struct heard h;
    post_sink("wait", 0, false, &h);
    assert_true(has(&h, "\r\n\r\n0\n"));
    hear_free(&h);
    assert_int_equal(rig.gone, 0);
}

/* libmicrohttpd hands over the chunks it has read although the connection is suspended: room that
 * is made while it does so counts. */
static void goes_on_when_room_is_made_by_a_piece(void **state)
{
    (void)state;
    enum { CHUNKS = 2 }; /* the second makes room for itself, and all waits for what comes next */
    char text[4096];
    size_t n = 0;
    rig.sink_bytes = 0;
    n += (size_t)snprintf(text, sizeof text,
                          "POST /sink?again HTTP/1.1\r\n" HOST CLOSE
                          "Transfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < CHUNKS; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "3\r\nabc\r\n");
    int fd = dial();
    say(fd, text);
    eventually(rig.sink_bytes == 3 * CHUNKS);
    say(fd, "4\r\ndefg\r\n0\r\n\r\n");
    struct heard h = hear_all(fd);
    assert_true(has(&h, "\r\n\r\n10\n"));
    hear_free(&h);
    close(fd);
}

static void answers_before_the_body_ends(void **state)
{
    (void)state;
    struct heard h;
    post_sink("refuse", 8000000, false, &h);
    if (status_of(&h) != 403)
        fail_msg("end %d, %zu bytes: %s", h.end, h.text.n, h.text.p);
    assert_int_equal(status_of(&h), 403);
    assert_int_equal(h.end, HEAR_EOF);
    hear_free(&h);
    post_sink("refuse", 20000, false, &h);
    assert_int_equal(status_of(&h), 403);
    hear_free(&h);
}

static void tells_a_sink_that_the_body_was_cut(void **state)
{
    (void)state;
    int fd = dial();
    say(fd, "POST /sink HTTP/1.1\r\n" HOST "Content-Length: 100\r\n\r\nabc");
    eventually(rig.sink_bytes == 3);
    close(fd);
    eventually(rig.gone == 1);
}

/* Whatever each connection is doing at that moment: waiting, woken, between two pulls, taking a
 * body in. libmicrohttpd ends the process when one is still suspended. */
static void ends_in_the_middle_of_everything(void **state)
{
    (void)state;
    static const char *const requests[] = {
        "GET /lines?n=1000000&slow=1 HTTP/1.1\r\n" HOST "\r\n",
        "GET /lines?n=100000000 HTTP/1.1\r\n" HOST "\r\n",
        "GET /lines-later?n=1000000&slow=1 HTTP/1.1\r\n" HOST "\r\n",
        "POST /sink?wait HTTP/1.1\r\n" HOST "Content-Length: 1000\r\n\r\nabc",
        "POST /sink?stall HTTP/1.1\r\n" HOST "Content-Length: 1000\r\n\r\nabc",
        "POST /sink HTTP/1.1\r\n" HOST "Content-Length: 1000\r\n\r\nabc",
        "GET /hello HTTP/1.1\r\n" HOST "\r\nGET /lines?n=1000&slow=1 HTTP/1.1\r\n" HOST "\r\n",
        "GET /hel",
    };
    enum { KINDS = sizeof requests / sizeof *requests, N = KINDS * 3 };
    for (int round = 0; round < 15; round++) {
        int fds[N];
        pulled = 0;
        rig_start(routes, NULL, false);
        for (int i = 0; i < N; i++) {
            fds[i] = dial();
            say(fds[i], requests[i % KINDS]);
        }
        poll(NULL, 0, round * 2);
        rig_stop();
        for (int i = 0; i < N; i++)
            close(fds[i]);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(takes_over_a_first_request),
        TEST(takes_over_a_split_request),
        TEST(takes_over_after_keep_alive),
        TEST(takes_over_a_suspended_request),
        cmocka_unit_test(leaves_taken_sockets_alone_when_it_ends),
        TEST(streams_a_body),
        TEST(streams_with_waits),
        TEST(breaks_a_body_visibly),
        TEST(breaks_a_body_at_once),
        TEST(stops_pulling_when_nobody_reads),
        TEST(ends_a_waiting_stream_when_its_client_leaves),
        TEST(compresses_streams),
        TEST(streams_bodies_in),
        TEST(answers_before_the_body_ends),
        TEST(goes_on_when_room_is_made_by_a_piece),
        TEST(tells_a_sink_that_the_body_was_cut),
        cmocka_unit_test(ends_in_the_middle_of_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
