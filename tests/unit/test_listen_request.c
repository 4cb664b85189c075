/* what a client may ask of /listen, and what is refused because PostgreSQL would not do it. */
#include "unit.h"

#include <stdio.h>

#include "listen/request.h"

static struct arena arena;
static const struct conf conf = {
    .listen_channels_max = 100, .listen_buffer = 1024, .listen_buffer_max = 4096};

static struct listen_request out;
static struct err err;

static bool parse(const char *path, const char *query, const char *id)
{
    arena_reset(&arena);
    return listen_request_parse(&arena, &conf, str_of(path), str_of(query), str_of(id), &out, &err);
}

static void refused(const char *path, const char *query, const char *words)
{
    assert_false(parse(path, query, NULL));
    assert_int_equal(err.status, 400);
    if (!strstr(err.message, words))
        fail_msg("\"%s\" says \"%s\", not \"%s\"", query ? query : path, err.message, words);
}

static void names(void **state)
{
    static const char name63[] = "123456789012345678901234567890123456789012345678901234567890123";
    char query[200];
    (void)state;
    assert_true(parse("orders", NULL, NULL));
    assert_int_equal(out.n, 1);
    assert_str(out.channels[0], "orders");
    assert_int_equal(out.max_buffer, 1024);
    assert_false(out.raw);
    assert_null(out.last_id.p);
    assert_true(parse("a+b%20c%2Fd%22%c3%BC", NULL, NULL));
    assert_str(out.channels[0], "a+b c/d\"ü");
    assert_true(parse("", "channel=a+b%2B&channel=B&channel=a+b%2b&_", NULL));
    assert_int_equal(out.n, 2);
    assert_str(out.channels[0], "a b+");
    assert_str(out.channels[1], "B");
    assert_true(parse("a", "channel=b&channel=a", NULL));
    assert_int_equal(out.n, 2);
    assert_true(parse(name63, NULL, NULL));
    snprintf(query, sizeof query, "channel=%s", name63);
    assert_true(parse("", query, NULL));
    snprintf(query, sizeof query, "channel=%s4", name63);
    refused("", query, "64 bytes");
}

static void bad_names(void **state)
{
    char query[200] = "channel=";
    (void)state;
    refused("", NULL, "no channel");
    refused("", "", "no channel");
    refused("", "format=raw", "no channel");
    refused("", "channel=", "empty");
    refused("", "channel", "empty");
    refused("", "channel=a&channel=", "empty");
    refused("a/b", NULL, "goes on");
    refused("a/", NULL, "goes on");
    refused("%00", NULL, "NUL");
    refused("a%00b", NULL, "NUL");
    refused("", "channel=%00", "NUL");
    refused("%ff", NULL, "UTF-8");
    refused("%c3", NULL, "UTF-8");
    refused("%ed%a0%80", NULL, "UTF-8");
    refused("%", NULL, "percent");
    refused("%4", NULL, "percent");
    refused("%zz", NULL, "percent");
    refused("", "channel=%zz", "percent");
    for (int i = 0; i < 32; i++) /* 64 bytes, but 32 characters */
        memcpy(query + 8 + 2 * i, "\xc3\xbc", 3);
    refused("", query, "64 bytes");
}

static void many_channels(void **state)
{
    static char query[20000];
    size_t at = 0;
    (void)state;
    for (int i = 0; i < 100; i++)
        at += (size_t)snprintf(query + at, sizeof query - at, "channel=c%d&channel=c%d&", i, i);
    assert_true(parse("", query, NULL));
    assert_int_equal(out.n, 100);
    for (int i = 100; i < 1000; i++)
        at += (size_t)snprintf(query + at, sizeof query - at, "channel=c%d&", i);
    refused("", query, "more than 100 channels");
}

static void parameters(void **state)
{
    (void)state;
    assert_true(parse("a", "max_buffer_size=0&format=raw&last_event_id=5f3a9c1e-1", NULL));
    assert_int_equal(out.max_buffer, 0);
    assert_true(out.raw);
    assert_str(out.last_id, "5f3a9c1e-1");
    assert_true(parse("a", "max_buffer_size=4096&format=json", "header"));
    assert_int_equal(out.max_buffer, 4096);
    assert_str(out.last_id, "header");
    assert_true(parse("a", "last_event_id=old", "new"));
    assert_str(out.last_id, "new");
    assert_true(parse("a", "last_event_id=old", ""));
    assert_str(out.last_id, "old");
    assert_true(parse("a", "last_event_id=", ""));
    assert_null(out.last_id.p);
    static const char *const names[] = {"lastEventId", "lastEventID", "Last-Event-ID",
                                        "evs_last_event_id"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char query[64];
        snprintf(query, sizeof query, "%s=5f3a9c1e-1&_=17&evs_preamble=2056", names[i]);
        assert_true(parse("a", query, NULL));
        assert_str(out.last_id, "5f3a9c1e-1");
    }
    refused("a", "lastEventId=1&last_event_id=2", "twice");
    refused("a", "max_bufer_size=1", "no parameter \"max_bufer_size\"");
    assert_true(parse("a", "access_token=x.y.z", NULL));
    assert_str(out.token, "x.y.z");
    refused("a", "max_buffer_size=4097", "from 0 to 4096");
    refused("a", "max_buffer_size=-1", "from 0 to 4096");
    refused("a", "max_buffer_size=", "from 0 to 4096");
    refused("a", "max_buffer_size=1e3", "from 0 to 4096");
    refused("a", "max_buffer_size=99999999999999999999999", "from 0 to 4096");
    refused("a", "max_buffer_size=1&max_buffer_size=1", "twice");
    refused("a", "format=xml", "json or raw");
    refused("a", "format=", "json or raw");
}

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, 1 << 20);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_fini(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),
        cmocka_unit_test(bad_names),
        cmocka_unit_test(many_channels),
        cmocka_unit_test(parameters),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
