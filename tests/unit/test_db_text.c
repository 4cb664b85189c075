#include "unit.h"

#include "db/error.h"
#include "db/ident.h"
#include "db/sqlstate.h"

static void test_ident(void **state)
{
    (void)state;
    static const struct {
        const char *in, *ident, *literal;
    } cases[] = {
        {"a", "\"a\"", "'a'"},
        {"", "\"\"", "''"},
        {"A b", "\"A b\"", "'A b'"},
        {"a\"b", "\"a\"\"b\"", "'a\"b'"},
        {"\"\"", "\"\"\"\"\"\"", "'\"\"'"},
        {"it's", "\"it's\"", "'it''s'"},
        {"a\\'", "\"a\\'\"", " E'a\\\\'''"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf b;
        buf_init(&b, 1000);
        ident_quote(&b, str_of(cases[i].in));
        assert_str(buf_str(&b), cases[i].ident);
        buf_clear(&b);
        ident_literal(&b, str_of(cases[i].in));
        assert_str(buf_str(&b), cases[i].literal);
        buf_fini(&b);
    }
}

static void test_sqlstate(void **state)
{
    (void)state;
    assert_int_equal(db_sqlstate_status("23505", "x", false), 409);
    assert_int_equal(db_sqlstate_status("42501", "x", false), 403);
    assert_int_equal(db_sqlstate_status("42501", "x", true), 401);
    assert_int_equal(db_sqlstate_status("22023", "role \"a\" does not exist", false), 401);
    assert_int_equal(db_sqlstate_status("22023", "other", false), 400);
    assert_int_equal(db_sqlstate_status("21000", "UPDATE requires a WHERE clause", false), 400);
    assert_int_equal(db_sqlstate_status("21000", "more than one row", false), 500);
    assert_int_equal(db_sqlstate_status("42883", "function xmlagg(x) does not", false), 406);
    assert_int_equal(db_sqlstate_status("42883", "function f(x) does not", false), 404);
    assert_int_equal(db_sqlstate_status("57P01", "x", false), 503);
    assert_int_equal(db_sqlstate_status("57014", "x", false), 500);
    assert_int_equal(db_sqlstate_status("25006", "x", false), 405);
    assert_int_equal(db_sqlstate_status("25P02", "x", false), 500);
    assert_int_equal(db_sqlstate_status("53400", "x", false), 500);
    assert_int_equal(db_sqlstate_status("53300", "x", false), 503);
    assert_int_equal(db_sqlstate_status("P0001", "x", false), 400);
    assert_int_equal(db_sqlstate_status("P0002", "x", false), 500);
    assert_int_equal(db_sqlstate_status("PT418", "x", false), 418);
    assert_int_equal(db_sqlstate_status("PT4a8", "x", false), 500);
    assert_int_equal(db_sqlstate_status("PT999", "x", false), 500);
    assert_int_equal(db_sqlstate_status("22P02", "x", false), 400);
    assert_int_equal(db_sqlstate_status(NULL, NULL, false), 400);
    assert_true(db_sqlstate_connection("57P01"));
    assert_false(db_sqlstate_connection("57014"));
}

static void test_connect_error(void **state)
{
    (void)state;
    struct db_failure f = {0};
    db_failure_text(&f,
                    "connection to server at \"127.0.0.1\", port 5432 failed: Connection refused\n"
                    "\tIs the server running on that host and accepting TCP/IP connections?\n"
                    "connection to server at \"::1\", port 5432 failed: FATAL:  3D000: database "
                    "\"x:  y\" does not exist\nLOCATION:  InitPostgres, postinit.c:885\n",
                    "08001");
    assert_string_equal(f.error.severity, "FATAL");
    assert_string_equal(f.error.code, "3D000");
    assert_string_equal(f.error.message, "database \"x:  y\" does not exist");
    assert_string_equal(f.error.routine, "InitPostgres");
    assert_string_equal(f.error.file, "postinit.c");
    assert_string_equal(f.error.line, "885");
    db_failure_text(&f, "FATAL:  28000: no entry\nDETAIL:  d\nHINT:  h\nLOCATION:  a, b.c:1\n",
                    "08001");
    assert_string_equal(f.error.message, "no entry");
    assert_string_equal(f.error.detail, "d");
    assert_string_equal(f.error.hint, "h");
    db_failure_text(&f, "could not connect: Connection refused\n", "08001");
    assert_string_equal(f.error.code, "08001");
    assert_string_equal(f.error.message, "could not connect: Connection refused");
    assert_null(f.error.file);
    db_failure_text(&f, "", "08006");
    assert_string_equal(f.error.message, "");
    db_failure_fini(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ident),
        cmocka_unit_test(test_sqlstate),
        cmocka_unit_test(test_connect_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
