/* Preferences, media types, paths, profiles, ranges: the parts of a request outside of its query
 * string. */
#include "unit.h"

#include "rest/request.h"

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

static struct rest_prefs prefs_of(const char *value, bool tx)
{
    struct rest_prefs p = {0};
    struct err err;
    assert_true(rest_prefs_add(&arena, str_of(value), tx, &p, &err));
    return p;
}

static void test_prefs(void **state)
{
    struct err err;
    struct rest_prefs p = prefs_of("count=exact,  return=representation ,missing=default, "
                                   "handling=strict, tx=rollback, anything, x=y",
                                   true);
    (void)state;
    assert_int_equal(p.count, REST_COUNT_EXACT);
    assert_int_equal(p.returning, REST_RETURN_REPRESENTATION);
    assert_int_equal(p.missing, REST_MISSING_DEFAULT);
    assert_int_equal(p.tx, REST_TX_ROLLBACK);
    assert_str(p.invalid, "anything, x=y");
    assert_false(rest_prefs_check(&arena, &p, &err));
    assert_string_equal(err.code, "PGRST122");
    assert_string_equal(err.details, "Invalid preferences: anything, x=y");
    p = prefs_of("resolution=ignore-duplicates, resolution=merge-duplicates, tx=commit", false);
    assert_int_equal(p.resolution, REST_IGNORE_DUPLICATES);
    assert_int_equal(p.tx, REST_TX_NONE);
    assert_int_equal(p.invalid.n, 0);
    p = prefs_of("count=none, Count=exact", false);
    assert_int_equal(p.count, REST_COUNT_NONE);
    assert_str(p.invalid, "count=none, Count=exact");
}

static void test_prefs_values(void **state)
{
    struct rest_prefs p =
        prefs_of("timeout=2.5, max-affected=10, timezone=Europe/Paris, handling=strict, "
                 "return=minimal, resolution=merge-duplicates",
                 false);
    (void)state;
    assert_int_equal(p.timeout_us, 2500000);
    assert_int_equal(p.max_affected, 10);
    assert_str(rest_prefs_applied(&arena, &p),
               "resolution=merge-duplicates, return=minimal, handling=strict, "
               "timezone=Europe/Paris, max-affected=10, timeout=2.5");
    p = prefs_of("timeout=0", false);
    assert_false(p.has_timeout);
    assert_str(p.invalid, "timeout=0");
    p = prefs_of("timeout=5., max-affected=x, timeout=1e3", false);
    assert_str(p.invalid, "timeout=5., timeout=1e3");
    assert_false(p.has_max_affected);
    p = prefs_of("", false);
    assert_int_equal(rest_prefs_applied(&arena, &p).n, 0);
}

static void test_media(void **state)
{
    static const struct {
        const char *text, *name, *content_type;
    } cases[] = {
        {"application/json", "application/json", "application/json; charset=utf-8"},
        {"ApplicatIon/vnd.PgRsT.object+json", "application/vnd.pgrst.object+json",
         "application/vnd.pgrst.object+json; charset=utf-8"},
        {"application/vnd.pgrst.object;nulls=stripped",
         "application/vnd.pgrst.object+json;nulls=stripped",
         "application/vnd.pgrst.object+json;nulls=stripped; charset=utf-8"},
        {"application/vnd.pgrst.array+json", "application/json", "application/json; charset=utf-8"},
        {"application/vnd.pgrst.array+json; nulls=stripped",
         "application/vnd.pgrst.array+json;nulls=stripped",
         "application/vnd.pgrst.array+json;nulls=stripped; charset=utf-8"},
        {"application/vnd.pgrst.plan;for=\"text/csv\"; options=verbose|analyze",
         "application/vnd.pgrst.plan+text; for=\"text/csv\"; options=analyze|verbose",
         "application/vnd.pgrst.plan+text; for=\"text/csv\"; options=analyze|verbose; "
         "charset=utf-8"},
        {"application/vnd.pgrst.plan+json",
         "application/vnd.pgrst.plan+json; "
         "for=\"application/json\"",
         "application/vnd.pgrst.plan+json; for=\"application/json\"; charset=utf-8"},
        {"application/vnd.twkb", "application/vnd.twkb", "application/vnd.twkb"},
        {"application/octet-stream", "application/octet-stream", "application/octet-stream"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rest_media m = rest_media_parse(&arena, str_of(cases[i].text));
        assert_str(rest_media_name(&arena, &m), cases[i].name);
        assert_str(rest_media_content_type(&arena, &m), cases[i].content_type);
    }
}

static void test_accept(void **state)
{
    struct rest_media_list list;
    struct err err;
    (void)state;
    assert_true(rest_media_accept(&arena, (struct str){0}, &list, &err));
    assert_int_equal(list.n, 1);
    assert_int_equal(list.v[0].kind, REST_MEDIA_ANY);
    assert_true(rest_media_accept(
        &arena, STR("text/csv;q=0.5, */*;q=0.8 ,image/png, application/json; q=0"), &list, &err));
    assert_int_equal(list.n, 3);
    assert_int_equal(list.v[0].kind, REST_MEDIA_OTHER);
    assert_int_equal(list.v[1].kind, REST_MEDIA_ANY);
    assert_int_equal(list.v[2].kind, REST_MEDIA_CSV);
    assert_false(rest_media_none(&arena, &list, &err));
    assert_string_equal(err.message,
                        "None of these media types are available: image/png, */*, text/csv");
    assert_true(rest_media_accept(&arena, STR("*/*,application/json"), &list, &err));
    assert_int_equal(list.v[0].kind, REST_MEDIA_JSON);
}

static const char *const schemas[] = {"v1", "v2"};

static bool parse(struct rest_input in, size_t n_schemas, struct rest_request *out, struct err *err)
{
    static const struct conf conf = {.openapi_mode = CONF_FOLLOW_PRIVILEGES};
    const struct conf_database db = {.db_schemas = {schemas, n_schemas}};
    *out = (struct rest_request){0};
    *err = (struct err){0};
    if (!in.method_name.p)
        in.method_name = STR("M");
    return rest_request_parse(&arena, &conf, &db, &in, out, err);
}

static void test_paths(void **state)
{
    static const struct {
        const char *path;
        enum rest_method method;
        int action; /* -1: refused with code */
        const char *name_or_code;
    } cases[] = {
        {"", REST_GET, REST_SPEC, ""},
        {"", REST_POST, -1, "PGRST117"},
        {"items", REST_GET, REST_READ, "items"},
        {"items", REST_PUT, REST_UPSERT, "items"},
        {"a%20b", REST_DELETE, REST_REMOVE, "a b"},
        {"items/", REST_GET, -1, "PGRST125"},
        {"rpc/f", REST_POST, REST_CALL, "f"},
        {"rpc/f", REST_PATCH, -1, "PGRST101"},
        {"rpc", REST_GET, REST_READ, "rpc"},
        {"rpc/", REST_GET, -1, "PGRST125"},
        {"rpc/f/x", REST_GET, -1, "PGRST125"},
        {"items", REST_OTHER, -1, "PGRST117"},
        {"items", REST_OPTIONS, REST_INFO, "items"},
        {"%ff", REST_GET, -1, "PGRST100"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rest_request r;
        struct err err;
        bool done =
            parse((struct rest_input){.method = cases[i].method, .path = str_of(cases[i].path)}, 1,
                  &r, &err);
        assert_int_equal(done, cases[i].action >= 0);
        if (done) {
            assert_int_equal((int)r.action, cases[i].action);
            assert_str(r.name, cases[i].name_or_code);
        } else {
            assert_string_equal(err.code, cases[i].name_or_code);
        }
    }
}

static void test_profiles(void **state)
{
    struct rest_request r;
    struct err err;
    struct rest_input in = {.method = REST_GET, .path = STR("t")};
    (void)state;
    assert_true(parse(in, 1, &r, &err));
    assert_false(r.profile_header);
    assert_true(parse(in, 2, &r, &err));
    assert_true(r.profile_header);
    assert_str(r.schema, "v1");
    in.accept_profile = STR("v2");
    assert_true(parse(in, 2, &r, &err));
    assert_str(r.schema, "v2");
    in.accept_profile = STR("x");
    assert_false(parse(in, 2, &r, &err));
    assert_string_equal(err.code, "PGRST106");
    assert_string_equal(err.hint, "Only the following schemas are exposed: v1, v2");
    in.method = REST_PATCH;
    assert_true(parse(in, 2, &r, &err));
    in.content_profile = STR("v2");
    assert_true(parse(in, 2, &r, &err));
    assert_str(r.schema, "v2");
}

static void test_ranges(void **state)
{
    static const struct {
        const char *query, *range;
        enum rest_method method;
        long long offset, limit; /* limit -1: none; -2: refused */
    } cases[] = {
        {"", "0-9", REST_GET, 0, 10},        {"", "5-", REST_GET, 5, -1},
        {"", "items=0-4", REST_GET, 0, -1},  {"", "0-9", REST_HEAD, 0, -1},
        {"limit=5", "2-9", REST_GET, 2, 3},  {"limit=5&offset=3", "0-100", REST_GET, 3, 5},
        {"offset=3", "0-4", REST_GET, 3, 2}, {"", "9-5", REST_GET, 0, -2},
        {"limit=-1", NULL, REST_GET, 0, -2}, {"limit=0", NULL, REST_GET, 0, 0},
        {"limit=1", NULL, REST_PUT, 0, -2},  {"limit=5", "7-9", REST_GET, 0, -2},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rest_request r;
        struct err err;
        struct rest_input in = {.method = cases[i].method,
                                .path = STR("t"),
                                .query = str_of(cases[i].query),
                                .range = str_of(cases[i].range)};
        bool done = parse(in, 1, &r, &err);
        assert_int_equal(done, cases[i].limit != -2);
        if (!done)
            continue;
        assert_int_equal(r.offset, cases[i].offset);
        assert_true(r.limit == (cases[i].limit < 0 ? REST_NO_LIMIT : (uint64_t)cases[i].limit));
    }
    assert_str(rest_content_range(&arena, 3, 5, -1), "3-7/*");
    assert_str(rest_content_range(&arena, 0, 0, 15), "*/15");
    assert_int_equal(rest_range_status(0, 5, 15), 206);
    assert_int_equal(rest_range_status(16, 0, 15), 416);
    assert_int_equal(rest_range_status(0, 15, 15), 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_prefs), cmocka_unit_test(test_prefs_values),
        cmocka_unit_test(test_media), cmocka_unit_test(test_accept),
        cmocka_unit_test(test_paths), cmocka_unit_test(test_profiles),
        cmocka_unit_test(test_ranges)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
