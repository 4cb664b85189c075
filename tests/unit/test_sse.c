/* sse: the grammar of event streams, byte for byte. */
#include "unit.h"

#include <stdio.h>

#include "listen/ring.h"
#include "listen/sse.h"

static struct buf scratch;

#define ID ((struct sse_id){0x5f3a9c1e, 17})
#define ID_TEXT STR("5f3a9c1e-17")

static struct hub_msg *event(struct str channel, struct str payload)
{
    return sse_message(&scratch, &(struct sse_event){ID, channel, payload, 4711});
}

static void json_is(struct str channel, struct str payload, const char *expected)
{
    struct hub_msg *m = event(channel, payload);
    assert_str(hub_msg_content(m), expected);
    hub_msg_unref(m);
}

static void raw_is(struct str channel, struct str payload, const char *expected)
{
    struct hub_msg *m = event(channel, payload);
    struct hub_msg *raw = sse_message_raw(&scratch, m, ID, channel);
    assert_str(hub_msg_content(raw), expected);
    hub_msg_unref(raw);
    hub_msg_unref(m);
}

#define HEAD "id: 5f3a9c1e-17\n"
#define JSON(channel, payload)                                                                     \
    HEAD "data: {\"channel\":\"" channel "\",\"payload\":\"" payload "\",\"pid\":4711}\n\n"

static void json_events(void **state)
{
    (void)state;
    json_is(STR("orders"), STR("paid"), JSON("orders", "paid"));
    json_is(STR("a"), STR(""), JSON("a", ""));
    json_is(STR("a\"\\b"), STR("\"\\/"), JSON("a\\\"\\\\b", "\\\"\\\\/"));
    json_is(STR("a"), STR("x\r\ny\rz\n\n: evil"), JSON("a", "x\\r\\ny\\rz\\n\\n: evil"));
    json_is(STR("a\ndata: x"), STR("\x01\x1f\x7f\t\b\f"),
            JSON("a\\ndata: x", "\\u0001\\u001f\x7f\\t\\b\\f"));
    json_is(STR("grün"), STR("€𝄞"), JSON("grün", "€𝄞"));
    /* line ends for clients that split as Python does */
    json_is(STR("a\u2028"), STR("1\u20282\u20293\xc2\x85 4"),
            JSON("a\\u2028", "1\\u20282\\u20293\\u0085 4"));
}

static void broken_utf8_is_replaced(void **state)
{
    (void)state;
    json_is(STR("a"), STR("x\xff y\xc3"), JSON("a", "x\xef\xbf\xbd y\xef\xbf\xbd"));
    json_is(STR("a"), STR("\xed\xa0\x80"), JSON("a", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"));
    json_is(STR("a"), STR("\xe2\x82"), JSON("a", "\xef\xbf\xbd\xef\xbf\xbd"));
    raw_is(STR("\xff"), STR("\xff"), HEAD "event: \xef\xbf\xbd\ndata: \xef\xbf\xbd\n\n");
}

static void raw_events(void **state)
{
    (void)state;
    raw_is(STR("orders"), STR("paid"), HEAD "event: orders\ndata: paid\n\n");
    raw_is(STR("orders"), STR(""), HEAD "event: orders\ndata: \n\n");
    raw_is(STR("a"), STR("1\n2\r3\r\n4"), HEAD "event: a\ndata: 1\ndata: 2\ndata: 3\ndata: 4\n\n");
    raw_is(STR("a"), STR("\n"), HEAD "event: a\ndata: \ndata: \n\n");
    raw_is(STR("a"), STR("\n\r"), HEAD "event: a\ndata: \ndata: \ndata: \n\n");
    raw_is(STR("a"), STR("\r\n\r\n"), HEAD "event: a\ndata: \ndata: \ndata: \n\n");
    raw_is(STR("a"), STR("\u2028\u2029\xc2\x85Å\x0b"),
           HEAD "event: a\ndata: \u2028\u2029\xc2\x85Å\x0b\n\n");
    raw_is(STR("a\r\nb%"), STR("\"\\\t\x01€"), HEAD "event: a%0D%0Ab%25\ndata: \"\\\t\x01€\n\n");
}

static void reserved_names_get_a_tilde(void **state)
{
    (void)state;
    raw_is(STR("error"), STR("x"), HEAD "event: ~error\ndata: x\n\n");
    raw_is(STR("message"), STR("x"), HEAD "event: ~message\ndata: x\n\n");
    raw_is(STR("expired"), STR("x"), HEAD "event: ~expired\ndata: x\n\n");
    raw_is(STR("~gap"), STR("x"), HEAD "event: ~~gap\ndata: x\n\n");
    raw_is(STR("Error"), STR("x"), HEAD "event: Error\ndata: x\n\n");
    raw_is(STR("gaps"), STR("x"), HEAD "event: gaps\ndata: x\n\n");
}

static void markers(void **state)
{
    struct buf b;
    (void)state;
    struct hub_msg *m = sse_gap(&scratch, ID_TEXT, "history lost");
    assert_str(hub_msg_content(m), HEAD "event: gap\ndata: {\"reason\":\"history lost\"}\n\n");
    hub_msg_unref(m);
    sse_overflow_begin(&scratch, ID_TEXT, 517);
    sse_overflow_channel(&scratch, STR("orders["));
    sse_overflow_channel(&scratch, STR("a\n"));
    m = sse_overflow_end(&scratch);
    assert_true(m->marker);
    assert_str(hub_msg_content(m), HEAD
               "event: overflow\ndata: {\"dropped\":517,\"channels\":[\"orders[\",\"a\\n\"]}\n\n");
    hub_msg_unref(m);
    buf_init(&b, 1000);
    sse_first(&b, ID_TEXT);
    assert_str(buf_str(&b), HEAD "retry: 2000\n: ok\n\n");
    buf_fini(&b);
}

static void chunks(void **state)
{
    (void)state;
    struct hub_msg *m = event(STR("a"), STR("b"));
    struct str content = hub_msg_content(m), chunk = hub_msg_bytes(m, true);
    char expected[300];
    int n = snprintf(expected, sizeof expected, "%zx\r\n%.*s\r\n", content.n, STR_ARG(content));
    assert_int_equal(chunk.n, n);
    assert_memory_equal(chunk.p, expected, chunk.n);
    assert_true(str_eq(hub_msg_bytes(m, false), content));
    hub_msg_unref(m);
    m = hub_msg_plain(STR("HTTP/1.1 200 OK\r\n\r\n"));
    assert_str(hub_msg_bytes(m, true), "HTTP/1.1 200 OK\r\n\r\n");
    assert_str(hub_msg_bytes(m, false), "HTTP/1.1 200 OK\r\n\r\n");
    hub_msg_unref(m);
}

static void ids(void **state)
{
    struct sse_id id;
    static const char *const bad[] = {
        "",
        "5f3a9c1e",
        "5f3a9c1e-",
        "5f3a9c1e-x",
        "5f3a9c1e--1",
        "5F3A9C1E-1",
        "5f3a9c1-1",
        "5f3a9c1e1-1",
        " 5f3a9c1e-1",
        "5f3a9c1e-1 ",
        "5f3a9c1g-1",
        "5f3a9c1e-0x1",
        "5f3a9c1e-01",
        "5f3a9c1e-+1",
        "5f3a9c1e-18446744073709551616",
        "5f3a9c1e_1",
        "5f3a9c1e-1\n1",
        "-1",
        "5f3a9c1e-1.0",
        "\xff\xff",
    };
    (void)state;
    assert_true(sse_id_parse(STR("5f3a9c1e-17"), &id) && id.epoch == 0x5f3a9c1e && id.seq == 17);
    assert_true(sse_id_parse(STR("00000000-0"), &id) && id.epoch == 0 && id.seq == 0);
    assert_true(sse_id_parse(STR("ffffffff-18446744073709551615"), &id) && id.seq == UINT64_MAX);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(sse_id_parse(str_of(bad[i]), &id));
    static char huge[16384];
    memset(huge, '1', sizeof huge);
    huge[8] = '-';
    assert_false(sse_id_parse((struct str){huge, sizeof huge}, &id));
}

/* A ring keeps ordinals, and evicts the oldest. */
static void rings(void **state)
{
    struct ring r = {0};
    (void)state;
    for (uint64_t seq = 10; seq < 10 + 100 * 3; seq += 3)
        ring_push(&r, hub_msg_new(STR("x"), seq), 20);
    assert_int_equal(r.tail, 80);
    assert_int_equal(r.head, 100);
    assert_int_equal(ring_at(&r, 80)->seq, 250);
    assert_int_equal(r.evicted_seq, 247);
    assert_int_equal(ring_lower_bound(&r, 0, 0), 80);
    assert_int_equal(ring_lower_bound(&r, 0, 250), 80);
    assert_int_equal(ring_lower_bound(&r, 0, 251), 81);
    assert_int_equal(ring_lower_bound(&r, 90, 251), 90);
    assert_int_equal(ring_lower_bound(&r, 0, 307), 99);
    assert_int_equal(ring_lower_bound(&r, 0, 308), 100);
    assert_int_equal(r.bytes, 20 * hub_msg_cost(ring_at(&r, 80)));
    while (ring_count(&r) > 0)
        ring_evict(&r);
    assert_int_equal(r.bytes, 0);
    ring_fini(&r);
}

static int setup(void **state)
{
    (void)state;
    buf_init(&scratch, BUF_NO_CEILING);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    buf_fini(&scratch);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_events), cmocka_unit_test(broken_utf8_is_replaced),
        cmocka_unit_test(raw_events),  cmocka_unit_test(reserved_names_get_a_tilde),
        cmocka_unit_test(markers),     cmocka_unit_test(chunks),
        cmocka_unit_test(ids),         cmocka_unit_test(rings),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
