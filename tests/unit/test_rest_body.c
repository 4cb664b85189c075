/* Bodies of writes and calls: the keys that are found, and what is refused. */
#include "unit.h"

#include "rest/body.h"

static struct arena arena;

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, 8u << 20);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_fini(&arena);
    return 0;
}

static struct rest_request request_of(enum rest_action action, const char *type)
{
    struct rest_request r = {.action = action, .content_type = REST_MEDIA_JSON};
    if (type) {
        r.content_type_text = str_of(type);
        r.content_type = rest_media_parse(&arena, r.content_type_text).kind;
    }
    return r;
}

static const char *keys_of(const struct rest_body *b)
{
    struct buf out;
    buf_init(&out, 4096);
    for (size_t i = 0; i < b->n_keys; i++)
        buf_printf(&out, "%s%.*s", i ? "," : "", STR_ARG(b->keys[i]));
    const char *text = arena_strdup(&arena, buf_str(&out));
    buf_fini(&out);
    return text;
}

static void test_json(void **state)
{
    static const struct {
        const char *body, *keys, *sent;
    } cases[] = {
        {"{\"b\":1,\"a\":2}", "a,b", NULL},
        {"[{\"b\":1,\"a\":2},{\"b\":3,\"a\":4}]", "a,b", NULL},
        {"[{\"b\":1,\"a\":2},{\"a\":3,\"b\":4}]", "a,b", NULL},
        {"[{\"a\":1,\"a\":2},{\"a\":3}]", "a", NULL},
        {"[{\"a\":1},{\"a\":3,\"a\":4}]", "a", NULL},
        {"[{\"a\":{\"x\":[1,{\"y\":2}]}},{\"a\":[]}]", "a", NULL},
        {" [ { \"a\\u0062\" : 1e400 } , {\"ab\":0} ] ", "ab", NULL},
        {"[]", "", "[]"},
        {"5", "", "[]"},
        {"null", "", "[]"},
        {"\"text\"", "", "[]"},
        {"{}", "", NULL},
        {"[{},{}]", "", NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rest_request r = request_of(REST_INSERT, NULL);
        struct rest_body body;
        struct err err;
        if (!rest_body_parse(&arena, &r, str_of(cases[i].body), &body, &err))
            fail_msg("%s: %s", cases[i].body, err.message);
        assert_string_equal(keys_of(&body), cases[i].keys);
        assert_str(body.text, cases[i].sent ? cases[i].sent : cases[i].body);
        assert_int_equal(body.object, cases[i].body[0] == '{');
        rest_body_fini(&body);
    }
}

static void test_refused(void **state)
{
    static const struct {
        const char *type, *body, *message;
    } cases[] = {
        {NULL, "", "Empty or invalid json"},
        {NULL, "{", "Empty or invalid json"},
        {NULL, "{\"a\":1}x", "Empty or invalid json"},
        {NULL, "[{\"a\":01}]", "Empty or invalid json"},
        {NULL, "[{\"a\":\"\xff\"}]", "Empty or invalid json"},
        {NULL, "[{\"a\":1},{\"b\":1}]", "All object keys must match"},
        {NULL, "[{\"a\":1},{\"a\":1,\"b\":1}]", "All object keys must match"},
        {NULL, "[{\"a\":1,\"b\":1},{\"a\":1}]", "All object keys must match"},
        {NULL, "[{\"a\":1,\"b\":1},{\"b\":1}]", "All object keys must match"},
        {NULL, "[{\"a\":1},5]", "All object keys must match"},
        {NULL, "[[1],{\"a\":1}]", "All object keys must match"},
        {"text/csv", "a,b\n1\n", "All lines must have same number of fields"},
        {"text/csv", "a,b\n1,2,3\n", "All lines must have same number of fields"},
        {"text/csv", "a,b\n\"1,2\n", "Empty or invalid csv"},
        {"text/csv", "a,b\n\"1\"x,2\n", "Empty or invalid csv"},
        {"text/csv", "", "Empty or invalid csv"},
        {"image/png", "x", "Content-Type not acceptable: image/png"},
        {"text/plain", "x", "Content-Type not acceptable: text/plain"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rest_request r = request_of(REST_INSERT, cases[i].type);
        struct rest_body body;
        struct err err = {0};
        if (rest_body_parse(&arena, &r, str_of(cases[i].body), &body, &err))
            fail_msg("taken: %s", cases[i].body);
        assert_int_equal(err.status, 400);
        assert_string_equal(err.code, "PGRST102");
        assert_string_equal(err.message, cases[i].message);
    }
}

static void test_csv(void **state)
{
    static const struct {
        const char *csv, *json, *keys;
    } cases[] = {
        {"a,b\n1,2\n3,NULL\n", "[{\"a\":\"1\",\"b\":\"2\"},{\"a\":\"3\",\"b\":null}]", "a,b"},
        {"a,b\r\n\"x,\"\"y\"\"\",\"line\nline\"\r\n",
         "[{\"a\":\"x,\\\"y\\\"\",\"b\":\"line\\nline\"}]", "a,b"},
        {"b,a\n,\n", "[{\"b\":\"\",\"a\":\"\"}]", "a,b"},
        {"a\n\n1\n\n2", "[{\"a\":\"1\"},{\"a\":\"2\"}]", "a"},
        {"a,b", "[]", ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rest_request r = request_of(REST_INSERT, "text/csv; charset=utf-8");
        struct rest_body body;
        struct err err;
        if (!rest_body_parse(&arena, &r, str_of(cases[i].csv), &body, &err))
            fail_msg("%s: %s", cases[i].csv, err.message);
        assert_str(body.text, cases[i].json);
        assert_string_equal(keys_of(&body), cases[i].keys);
        rest_body_fini(&body);
    }
}

static void test_form_and_raw(void **state)
{
    struct rest_request insert = request_of(REST_INSERT, "application/x-www-form-urlencoded");
    struct rest_request call = request_of(REST_CALL, "application/x-www-form-urlencoded");
    struct rest_request raw = request_of(REST_CALL, "application/octet-stream");
    struct rest_request empty = request_of(REST_CALL, NULL);
    struct rest_body body;
    struct err err;
    (void)state;
    assert_true(rest_body_parse(&arena, &insert, STR("a=1+2&b=%22"), &body, &err));
    assert_str(body.text, "{\"a\":\"1 2\",\"b\":\"\\\"\"}");
    assert_string_equal(keys_of(&body), "a,b");
    rest_body_fini(&body);
    assert_true(rest_body_parse(&arena, &call, STR("v=1&v=2&a=x"), &body, &err));
    assert_int_equal(body.kind, REST_BODY_FORM);
    assert_string_equal(keys_of(&body), "a,v");
    assert_true(rest_body_parse(&arena, &raw, ((struct str){"\0\1", 2}), &body, &err));
    assert_int_equal(body.kind, REST_BODY_RAW);
    assert_int_equal(body.text.n, 2);
    assert_true(rest_body_parse(&arena, &empty, STR(""), &body, &err));
    assert_str(body.text, "{}");
}

static void test_columns(void **state)
{
    static const struct rest_name b = {.name = {"b", 1}}, a = {.next = &b, .name = {"a", 1}},
                                  twice = {.next = &a, .name = {"b", 1}};
    struct rest_request r = request_of(REST_INSERT, NULL);
    struct rest_body body;
    struct err err;
    (void)state;
    r.query.has_columns = true;
    r.query.columns = &twice;
    assert_true(rest_body_parse(&arena, &r, STR(" \n{\"x\":not json"), &body, &err));
    assert_true(body.object);
    assert_string_equal(keys_of(&body), "a,b");
}

/* Bodies made to hurt: deep, wide, many; each is answered at once and without recursion. */
static void test_bombs(void **state)
{
    struct rest_request r = request_of(REST_INSERT, NULL);
    struct rest_body body;
    struct err err = {0};
    struct buf text;
    (void)state;
    buf_init(&text, 64u << 20);
    for (int i = 0; i < 1000000; i++)
        buf_char(&text, '[');
    assert_false(rest_body_parse(&arena, &r, buf_str(&text), &body, &err));
    buf_clear(&text);
    buf_char(&text, '{');
    for (int i = 0; i < 100000; i++)
        buf_printf(&text, "%s\"k%d\":1", i ? "," : "", i);
    buf_char(&text, '}');
    assert_false(rest_body_parse(&arena, &r, buf_str(&text), &body, &err));
    assert_string_equal(err.code, "PGRST102");
    buf_clear(&text);
    buf_char(&text, '[');
    for (int i = 0; i < 200000; i++)
        buf_printf(&text, "%s{\"id\":%d,\"name\":\"row %d\"}", i ? "," : "", i, i);
    buf_char(&text, ']');
    assert_true(rest_body_parse(&arena, &r, buf_str(&text), &body, &err));
    assert_string_equal(keys_of(&body), "id,name");
    assert_ptr_equal(body.text.p, text.p); /* not copied */
    buf_fini(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json),    cmocka_unit_test(test_refused),
        cmocka_unit_test(test_csv),     cmocka_unit_test(test_form_and_raw),
        cmocka_unit_test(test_columns), cmocka_unit_test(test_bombs)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
