/* The server over real sockets: framing, limits, keep-alive, suspended requests, clients that
 * leave. */
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(answers_and_keeps_alive, setup, teardown),
        cmocka_unit_test_setup_teardown(answers_pipelined_requests_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(answers_later, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
