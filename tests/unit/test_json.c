#include "unit.h"

#include "json/doc.h"
#include "json/reader.h"
#include "json/writer.h"

/* The events of a text as letters, with the text of keys, strings and numbers behind them. */
static const char *trace(struct json_reader *r, struct buf *out)
{
    static const char letters[] = "!nftds[]{}k.";
    for (;;) {
        enum json_event event = json_next(r);
        buf_char(out, letters[event]);
        if (event == JSON_KEY || event == JSON_STRING || event == JSON_NUMBER) {
            buf_char(out, '(');
            buf_adds(out, r->text);
            buf_char(out, ')');
        }
        if (event == JSON_DONE || event == JSON_ERROR)
            break;
    }
    buf_char(out, '\0');
    return out->p;
}

/* Both ways of reading give the same. */
static void check_trace(struct str text, const char *expected)
{
    struct arena arena;
    struct buf out;
    struct json_reader r;
    arena_init(&arena, 1 << 20);
    buf_init(&out, BUF_NO_CEILING);

    json_reader_init(&r, text, &arena);
    assert_string_equal(trace(&r, &out), expected);

    buf_clear(&out);
    char *mine = arena_strdup(&arena, text);
    json_reader_in_place(&r, mine, text.n);
    assert_string_equal(trace(&r, &out), expected);

    buf_fini(&out);
    arena_fini(&arena);
}

static void test_values(void **state)
{
    (void)state;
    check_trace(STR("null"), "n.");
    check_trace(STR(" \t\r\n[1, -0.5e+10 ,true,false,null]\n"), "[d(1)d(-0.5e+10)tfn].");
    check_trace(STR("{\"a\":{},\"b\":[[]]}"), "{k(a){}k(b)[[]]}.");
    check_trace(STR("12345678901234567890.000"), "d(12345678901234567890.000).");
    check_trace(STR("9007199254740993"), "d(9007199254740993).");
    check_trace(STR("1e400"), "d(1e400).");
    check_trace(STR("\"\""), "s().");
    check_trace(STR("{\"\":\"\"}"), "{k()s()}.");
}

static void test_strings(void **state)
{
    (void)state;
    check_trace(STR("\"a\\\"\\\\\\/\\b\\f\\n\\r\\tz\""), "s(a\"\\/\b\f\n\r\tz).");
    check_trace(STR("\"\\u0041\\u00e9\\u20ac\\ud83d\\ude00\""),
                "s(A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80).");
    check_trace(STR("\"\xc3\xa9 sixteen bytes and more \xf0\x9f\x98\x80\""),
                "s(\xc3\xa9 sixteen bytes and more \xf0\x9f\x98\x80).");
    check_trace(STR("{\"k\\u0065y\":1}"), "{k(key)d(1)}.");
    check_trace(STR("\"a string of more than sixteen bytes \\n with an escape\""),
                "s(a string of more than sixteen bytes \n with an escape).");
}

struct bad {
    struct str text;
    size_t at; /* byte offset of the fault */
    const char *code;
};

static void test_refused(void **state)
{
    (void)state;
    static const struct bad cases[] = {
        {{"", 0}, 0, "PGH100"},
        {{"   ", 3}, 3, "PGH100"},
        {{"01", 2}, 0, "PGH100"},
        {{"-", 1}, 1, "PGH100"},
        {{"-a", 2}, 1, "PGH100"},
        {{"1.", 2}, 2, "PGH100"},
        {{".5", 2}, 0, "PGH100"},
        {{"+1", 2}, 0, "PGH100"},
        {{"1e", 2}, 2, "PGH100"},
        {{"1 2", 3}, 2, "PGH100"},
        {{"NaN", 3}, 0, "PGH100"},
        {{"Infinity", 8}, 0, "PGH100"},
        {{"nul", 3}, 0, "PGH100"},
        {{"True", 4}, 0, "PGH100"},
        {{"truex", 5}, 4, "PGH100"},
        {{"'a'", 3}, 0, "PGH100"},
        {{"\"a", 2}, 0, "PGH100"},
        {{"\"a\nb\"", 5}, 2, "PGH100"},
        {{"\"a\\x\"", 5}, 2, "PGH100"},
        {{"\"a\\u12g4\"", 9}, 2, "PGH100"},
        {{"\"\\ud800\"", 8}, 1, "PGH100"},
        {{"\"\\ude00\\ud83d\"", 14}, 1, "PGH100"},
        {{"\"\\ud83dx\"", 9}, 1, "PGH100"},
        {{"\"a\\u0000b\"", 10}, 2, "22021"},
        {{"\"a\0b\"", 5}, 2, "22021"},
        {{"\0", 1}, 0, "22021"},
        {{"\"\xff\"", 3}, 1, "22021"},
        {{"\"\xc0\x80\"", 4}, 1, "22021"},
        {{"\"\xed\xa0\x80\"", 5}, 1, "22021"},
        {{"\"\xf4\x90\x80\x80\"", 6}, 1, "22021"},
        {{"\"\xe2\x82\"", 4}, 1, "22021"},
        {{"[1,]", 4}, 3, "PGH100"},
        {{"[,1]", 4}, 1, "PGH100"},
        {{"[1 2]", 5}, 3, "PGH100"},
        {{"[1}", 3}, 2, "PGH100"},
        {{"[", 1}, 1, "PGH100"},
        {{"]", 1}, 0, "PGH100"},
        {{"{\"a\":1,}", 8}, 7, "PGH100"},
        {{"{\"a\" 1}", 7}, 5, "PGH100"},
        {{"{a:1}", 5}, 1, "PGH100"},
        {{"{\"a\":}", 6}, 5, "PGH100"},
        {{"{\"a\"}", 5}, 4, "PGH100"},
        {{"{1:2}", 5}, 1, "PGH100"},
        {{"{\"a\":1]", 7}, 6, "PGH100"},
        {{"{}x", 3}, 2, "PGH100"},
        {{"// c\n1", 6}, 0, "PGH100"},
        {{"\xef\xbb\xbf"
          "1",
          4},
         0,
         "PGH100"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct json_reader r;
        struct arena arena;
        struct err err = {0};
        arena_init(&arena, 1 << 16);
        json_reader_init(&r, cases[i].text, &arena);
        enum json_event event;
        do
            event = json_next(&r);
        while (event != JSON_DONE && event != JSON_ERROR);
        assert_int_equal(event, JSON_ERROR);
        assert_int_equal(json_next(&r), JSON_ERROR);
        assert_int_equal(r.error_at, cases[i].at);
        assert_false(json_error(&r, "the body", &err));
        assert_int_equal(err.status, 400);
        assert_string_equal(err.code, cases[i].code);
        assert_false(json_valid(cases[i].text, "the body", &err));
        arena_fini(&arena);
    }
}

static void test_message_says_where(void **state)
{
    (void)state;
    struct err err = {0};
    assert_false(json_valid(STR("{\"query\" \"select 1\"}"), "the body", &err));
    assert_string_equal(err.message,
                        "the body is not valid JSON: ':' expected behind the key, at byte 10");
}

static void test_depth(void **state)
{
    (void)state;
    char text[2 * JSON_DEPTH_MAX + 2];
    struct err err = {0};
    memset(text, '[', JSON_DEPTH_MAX);
    memset(text + JSON_DEPTH_MAX, ']', JSON_DEPTH_MAX);
    assert_true(json_valid((struct str){text, 2 * JSON_DEPTH_MAX}, "it", &err));
    memset(text, '[', JSON_DEPTH_MAX + 1);
    memset(text + JSON_DEPTH_MAX + 1, ']', JSON_DEPTH_MAX + 1);
    assert_false(json_valid((struct str){text, 2 * JSON_DEPTH_MAX + 2}, "it", &err));
    assert_string_equal(err.code, "54001");
}

static void test_skip_keeps_source(void **state)
{
    (void)state;
    char text[] = "{\"a\" : {\"x\\u0041\":[1, 2]} ,\"b\":\"q\\n\",\"c\":[ 3 ]}";
    struct json_reader r;
    struct str slice;
    json_reader_in_place(&r, text, strlen(text));
    assert_int_equal(json_next(&r), JSON_OBJECT);
    assert_int_equal(json_next(&r), JSON_KEY);
    assert_true(json_skip(&r, &slice));
    assert_str(slice, "{\"x\\u0041\":[1, 2]}");
    assert_int_equal(json_next(&r), JSON_KEY);
    assert_true(json_skip(&r, &slice));
    assert_str(slice, "\"q\\n\"");
    assert_int_equal(json_next(&r), JSON_KEY);
    assert_int_equal(json_next(&r), JSON_ARRAY);
    assert_true(json_skip_rest(&r, &slice));
    assert_str(slice, "[ 3 ]");
    assert_int_equal(json_next(&r), JSON_OBJECT_END);
    assert_true(json_finish(&r));
}

static void test_skip_array_elements(void **state)
{
    (void)state;
    struct json_reader r;
    struct str slice;
    size_t n = 0;
    json_reader_init(&r, STR("[1,{\"a\":[]},\"s\"]"), NULL);
    assert_int_equal(json_next(&r), JSON_ARRAY);
    while (json_skip(&r, &slice))
        n++;
    assert_int_equal(r.event, JSON_ARRAY_END);
    assert_int_equal(n, 3);
    assert_true(json_finish(&r));
}

static void test_in_place_terminates(void **state)
{
    (void)state;
    char text[] = "[\"abc\",\"d\\u20ace\"]";
    struct json_reader r;
    json_reader_in_place(&r, text, strlen(text));
    json_next(&r);
    json_next(&r);
    const char *first = r.text.p;
    json_next(&r);
    assert_string_equal(first, "abc");
    assert_string_equal(r.text.p, "d\xe2\x82\xac"
                                  "e");
    assert_int_equal(json_next(&r), JSON_ARRAY_END);
    assert_true(json_finish(&r));
}

static void test_arena_ceiling(void **state)
{
    (void)state;
    struct json_reader r;
    struct arena none;
    struct err err = {0};
    arena_init(&none, 0);
    json_reader_init(&r, STR("\"a\\n\""), &none);
    assert_int_equal(json_next(&r), JSON_ERROR);
    json_error(&r, "it", &err);
    assert_string_equal(err.code, "54000");
    arena_fini(&none);
}

static void test_write_escapes(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, BUF_NO_CEILING);
    json_write_string(&b, STR("a\"\\\b\f\n\r\t\x01\x1f/\x7f\xc3\xa9"));
    assert_str(buf_str(&b), "\"a\\\"\\\\\\b\\f\\n\\r\\t\\u0001\\u001f/\x7f\xc3\xa9\"");
    buf_clear(&b);
    json_write_cstring(&b, NULL);
    json_write_key(&b, STR("k"));
    assert_str(buf_str(&b), "null\"k\":");
    buf_fini(&b);
}

/* Whatever bytes go in, the reader gets them back: all lengths around the blocks and pieces. */
static void test_write_read_back(void **state)
{
    (void)state;
    struct arena arena;
    struct buf b;
    char bytes[5000];
    arena_init(&arena, 1 << 20);
    buf_init(&b, BUF_NO_CEILING);
    for (size_t n = 0; n < sizeof bytes; n = n < 70 ? n + 1 : n * 2 - n / 3) {
        for (size_t i = 0; i < n; i++)
            bytes[i] = (char)(1 + (i * 7 + n) % 127);
        struct json_reader r;
        buf_clear(&b);
        json_write_string(&b, (struct str){bytes, n});
        json_reader_init(&r, buf_str(&b), &arena);
        assert_int_equal(json_next(&r), JSON_STRING);
        assert_int_equal(r.text.n, n);
        assert_memory_equal(r.text.p, bytes, n);
        assert_true(json_finish(&r));
    }
    buf_fini(&b);
    arena_fini(&arena);
}

static void test_write_near_ceiling(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 12);
    json_write_string(&b, STR("abcdefghi\n")); /* 13 bytes with its quotes and escape */
    assert_true(buf_broken(&b));
    buf_fini(&b);
    buf_init(&b, 12);
    json_write_string(&b, STR("abcdefgh\n"));
    assert_false(buf_broken(&b));
    assert_str(buf_str(&b), "\"abcdefgh\\n\"");
    buf_fini(&b);
}

static void test_doc(void **state)
{
    (void)state;
    struct err err = {0};
    int64_t v;
    struct json_node *doc = json_doc_parse(
        STR("[{\"X-A\":\"1\"},{\"n\":42,\"t\":true,\"big\":1e30,\"half\":0.5}]"), "it", &err);
    assert_non_null(doc);
    assert_int_equal(json_node_kind(doc), JSON_IS_ARRAY);
    const struct json_node *first = json_node_first(doc), *second = json_node_next(first);
    assert_str(json_node_key(json_node_first(first)), "X-A");
    assert_str(json_node_string(json_node_get(first, "X-A")), "1");
    assert_null(json_node_get(first, "x-a"));
    assert_true(json_node_i64(json_node_get(second, "n"), &v));
    assert_int_equal(v, 42);
    assert_true(json_node_true(json_node_get(second, "t")));
    assert_false(json_node_i64(json_node_get(second, "big"), &v));
    assert_false(json_node_i64(json_node_get(second, "half"), &v));
    assert_false(json_node_i64(json_node_get(second, "none"), &v));
    assert_null(json_node_next(second));
    json_doc_free(doc);
    assert_null(json_doc_parse(STR("{\"a\":01}"), "it", &err));
    assert_int_equal(err.status, 400);
    json_doc_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_strings),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_message_says_where),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_skip_keeps_source),
        cmocka_unit_test(test_skip_array_elements),
        cmocka_unit_test(test_in_place_terminates),
        cmocka_unit_test(test_arena_ceiling),
        cmocka_unit_test(test_write_escapes),
        cmocka_unit_test(test_write_read_back),
        cmocka_unit_test(test_write_near_ceiling),
        cmocka_unit_test(test_doc),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
