#include "unit.h"

#include "db/types.h"
#include "db/value.h"

static void expect(const struct db_types *types, db_oid type, const char *text, const char *json)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    buf_char(&b, '>');
    struct db_conv c = db_value_conv(types, type);
    db_value_write(&b, &c, str_of(text));
    buf_char(&b, '\0');
    assert_string_equal(b.p + 1, json);
    buf_fini(&b);
}

static void test_scalars(void **state)
{
    (void)state;
    expect(NULL, 16, "t", "true");
    expect(NULL, 16, "f", "false");
    expect(NULL, 21, "-7", "-7");
    expect(NULL, 23, "42", "42");
    expect(NULL, 20, "9223372036854775807", "\"9223372036854775807\"");
    expect(NULL, 1700, "1.50", "\"1.50\"");
    expect(NULL, 701, "1.5e-07", "1.5e-07");
    expect(NULL, 701, "-0", "-0");
    expect(NULL, 701, "NaN", "\"NaN\"");
    expect(NULL, 700, "-Infinity", "\"-Infinity\"");
    expect(NULL, 114, "{\"a\" : [1, 2]}", "{\"a\" : [1, 2]}");
    expect(NULL, 3802, "null", "null");
    expect(NULL, 25, "a\"b\n\xc3\xa9", "\"a\\\"b\\n\xc3\xa9\"");
    expect(NULL, 25, "{1,2}", "\"{1,2}\"");
    expect(NULL, 17, "\\x00ff", "\"\\\\x00ff\"");
    expect(NULL, 22, "1 2", "\"1 2\"");
    expect(NULL, 99999, "{a}", "\"{a}\"");
}

static void test_arrays(void **state)
{
    (void)state;
    expect(NULL, 1007, "{}", "[]");
    expect(NULL, 1007, "{1,NULL,-3}", "[1,null,-3]");
    expect(NULL, 1007, "{{1,2},{3,4}}", "[[1,2],[3,4]]");
    expect(NULL, 1007, "[0:1]={1,2}", "[1,2]");
    expect(NULL, 1007, "[1:1][2:3]={{1,2}}", "[[1,2]]");
    expect(NULL, 1016, "{1,2}", "[\"1\",\"2\"]");
    expect(NULL, 1000, "{t,f,NULL}", "[true,false,null]");
    expect(NULL, 1022, "{1.5,NaN}", "[1.5,\"NaN\"]");
    expect(NULL, 1009, "{a,\"b,c\",\"\",\"NULL\",NULL,\"q\\\"\\\\\"}",
           "[\"a\",\"b,c\",\"\",\"NULL\",null,\"q\\\"\\\\\"]");
    expect(NULL, 3807, "{\"{\\\"a\\\": \\\"x\\\\\\\\y\\\"}\",null,1}",
           "[{\"a\": \"x\\\\y\"},null,1]");
    expect(NULL, 1020, "{(1,1),(0,0);(2,2),(1,1)}", "[\"(1,1),(0,0)\",\"(2,2),(1,1)\"]");
    expect(NULL, 1115, "{\"2020-01-01 00:00:00\"}", "[\"2020-01-01 00:00:00\"]");
    expect(NULL, 6150, "{\"{[1,3)}\",\"{}\"}", "[\"{[1,3)}\",\"{}\"]");
}

/* What does not read as an array is handed on as text, whole. */
static void test_broken_arrays(void **state)
{
    (void)state;
    static const char *const texts[] = {"",        "{",      "}",    "{1",     "{1,",
                                        "{1,}",    "{,1}",   "{1}x", "[1:2]",  "[1:2]=",
                                        "{\"a}",   "{\"a\\", "1",    "{{1}x}", "{{{{{{{1}}}}}}}",
                                        "{\"a\"b}"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        char json[64], *to = json;
        *to++ = '"';
        for (const char *p = texts[i]; *p; p++) {
            if (*p == '"' || *p == '\\')
                *to++ = '\\';
            *to++ = *p;
        }
        *to++ = '"';
        *to = '\0';
        expect(NULL, 1007, texts[i], json);
    }
}

static void test_own_types(void **state)
{
    (void)state;
    struct db_types *t = db_types_new();
    for (db_oid i = 0; i < 1000; i++) /* enums and their arrays */
        db_types_add(t, &(struct db_type){.oid = 20000 + i,
                                          .element = i % 2 ? 20000 + i - 1 : 0,
                                          .delimiter = ','});
    db_types_add(t, &(struct db_type){.oid = 30001, .element = 23, .delimiter = ','});
    db_types_add(t, &(struct db_type){.oid = 30003, .element = 1007, .delimiter = ','});
    db_types_add(t, &(struct db_type){.oid = 30005, .element = 1033, .delimiter = '|'});
    expect(t, 20000, "{a}", "\"{a}\"");
    expect(t, 20001, "{a,\"b c\"}", "[\"a\",\"b c\"]");
    expect(t, 20999, "{z}", "[\"z\"]");
    expect(t, 30001, "{1,2}", "[1,2]");
    expect(t, 30003, "{\"{1,2}\",\"{}\"}", "[[1,2],[]]");
    expect(t, 30005, "{a,b|c}", "[\"a,b\",\"c\"]");
    expect(t, 40001, "{a}", "\"{a}\"");
    assert_null(db_types_find(t, 23));
    db_types_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scalars),
        cmocka_unit_test(test_arrays),
        cmocka_unit_test(test_broken_arrays),
        cmocka_unit_test(test_own_types),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
