#include "unit.h"

#include "sql/scan.h"
#include "sql/statement.h"

static void check_verb(const char *sql, enum sql_verb expected)
{
    enum sql_verb verb = sql_statement_verb(str_of(sql));
    if (verb != expected)
        print_error("%s\n", sql);
    assert_int_equal(verb, expected);
}

static void test_verbs(void **state)
{
    (void)state;
    static const char *const transaction[] = {"begin",
                                              "BEGIN;",
                                              " \n\tCommit",
                                              "/* a /* nested */ */ END",
                                              "-- c\nrollback",
                                              ";;COMMIT",
                                              "; /* x */ ; -- y\n ABORT",
                                              "start transaction",
                                              "rollback work",
                                              "rollback transaction and chain",
                                              "prepare transaction 'x'",
                                              "set transaction read write",
                                              "SET LOCAL TRANSACTION isolation level serializable",
                                              "set session transaction read write",
                                              "begin/**/work",
                                              "COMMIT--",
                                              "commit;select 1"};
    for (size_t i = 0; i < sizeof transaction / sizeof *transaction; i++)
        check_verb(transaction[i], SQL_VERB_TRANSACTION);
    static const char *const copy[] = {"copy t from stdin",
                                       "COPY t (a, b) TO STDOUT",
                                       "copy (select 1) to stdout with csv",
                                       "copy (select 'to' from stdin) to /* c */ stdout",
                                       "copy t from stdout",
                                       ";copy\nt\nfrom\nSTDIN",
                                       "copy binary t from stdin"};
    for (size_t i = 0; i < sizeof copy / sizeof *copy; i++)
        check_verb(copy[i], SQL_VERB_COPY_CLIENT);
    static const char *const other[] = {"lock t",
                                        "commit_x",
                                        "\"commit\"",
                                        "'commit'",
                                        "copy t from 'stdin'",
                                        "copy t to program 'cat'",
                                        "copy stdin from 'f'",
                                        "copy (select * from stdin) to 'f'",
                                        "call p()",
                                        "do $$ commit $$"};
    for (size_t i = 0; i < sizeof other / sizeof *other; i++)
        check_verb(other[i], SQL_VERB_OTHER);
    static const char *const savepoint[] = {"rollback to a", "ROLLBACK WORK TO SAVEPOINT a",
                                            "rollback transaction to a", "savepoint a",
                                            "release a"};
    for (size_t i = 0; i < sizeof savepoint / sizeof *savepoint; i++)
        check_verb(savepoint[i], SQL_VERB_SAVEPOINT);
    check_verb("declare c cursor for select 1", SQL_VERB_SESSION);
    check_verb("prepare x as select 1", SQL_VERB_SESSION);
    check_verb("listen x", SQL_VERB_SESSION);
    check_verb("commit prepared 'x'", SQL_VERB_OTHER);
    check_verb("rollback prepared 'x'", SQL_VERB_OTHER);
    check_verb("", SQL_VERB_EMPTY);
    check_verb(" ; -- nothing\n /* here */ ;", SQL_VERB_EMPTY);
    check_verb("/* open", SQL_VERB_EMPTY);
    check_verb("select 1", SQL_VERB_QUERY);
    check_verb("(select 1)", SQL_VERB_QUERY);
    check_verb("With a as (select 1) table a", SQL_VERB_QUERY);
}

static void test_set(void **state)
{
    (void)state;
    check_verb("set client_encoding to latin1", SQL_VERB_ENCODING);
    check_verb("SET LOCAL client_encoding = 'SQL_ASCII'", SQL_VERB_ENCODING);
    check_verb("set session \"client_encoding\" = 'LATIN1'", SQL_VERB_ENCODING);
    check_verb("set names 'latin1'", SQL_VERB_ENCODING);
    check_verb("set client_encoding to 'UTF-8'", SQL_VERB_SET);
    check_verb("set client_encoding = utf8", SQL_VERB_SET);
    check_verb("set client_encoding to default", SQL_VERB_SET);
    check_verb("set names", SQL_VERB_SET);
    check_verb("reset client_encoding", SQL_VERB_RESET);
    check_verb("set search_path to a, b", SQL_VERB_SET);
    check_verb("set session characteristics as transaction read only", SQL_VERB_SET);
    check_verb("set transaction_read_only = off", SQL_VERB_SET);
    check_verb("set role x", SQL_VERB_SET);
    check_verb("set", SQL_VERB_SET);
}

/* Binds with the names a to e, whose values are "1" to "5". */
static void check_bind_mode(const char *sql, bool plain, const char *expected, const char *values)
{
    struct arena arena;
    struct err err = {0};
    struct sql_named named[] = {{STR("e"), "5", 0},
                                {STR("bb"), "2", 0},
                                {STR("a"), "1", 0},
                                {STR("c"), NULL, 0},
                                {STR("d\xc3\xa9"), "4", 0}};
    struct sql_binding b = {.named = named, .n_named = 5, .plain_backslash = plain};
    arena_init(&arena, 1 << 16);
    assert_true(sql_named_sort(named, 5, &err));
    if (!sql_statement_bind(&arena, str_of(sql), &b, &err)) {
        print_error("%s: %s\n", sql, err.message);
        fail();
    }
    assert_string_equal(b.sql.p, expected);
    assert_int_equal(b.sql.n, strlen(expected));
    assert_int_equal(b.n_values, strlen(values));
    for (int i = 0; i < b.n_values; i++)
        assert_int_equal(b.values[i] ? b.values[i][0] : 'N', values[i]);
    arena_fini(&arena);
}

/* The position of "!" in the client's text is found from where it is in the text with $n. */
static void check_position(const char *sql)
{
    struct arena arena;
    struct err err = {0};
    struct sql_named named[] = {{STR("a"), "1", 0}, {STR("longname"), "2", 0}};
    struct sql_binding b = {.named = named, .n_named = 2, .plain_backslash = true};
    arena_init(&arena, 1 << 16);
    assert_true(sql_statement_bind(&arena, str_of(sql), &b, &err));
    size_t there = 1, here = 1;
    for (const char *p = b.sql.p; *p != '!'; p++)
        there += (*p & 0xc0) != 0x80;
    for (const char *p = sql; *p != '!'; p++)
        here += (*p & 0xc0) != 0x80;
    assert_int_equal(sql_statement_position(&b, there), here);
    arena_fini(&arena);
}

static void test_position(void **state)
{
    struct sql_named named[] = {{STR("a"), "1", 0}, {STR("longname"), "2", 0}};
    struct sql_binding b = {.named = named, .n_named = 2, .plain_backslash = true};
    struct arena arena;
    struct err err = {0};
    (void)state;
    check_position("select !");
    check_position("select :longname!");
    check_position("select :longname, !");
    check_position("select :a, :longname::int + :a, !, :longname");
    check_position("select 'ä:a', :longname, 'ü', :a, !");
    arena_init(&arena, 1 << 16);
    assert_true(sql_statement_bind(&arena, STR("ä, :longname, :a"), &b, &err));
    assert_int_equal(sql_statement_position(&b, 4), 4); /* the parameter itself */
    assert_int_equal(sql_statement_position(&b, 8), 15);
    assert_int_equal(sql_statement_position(&b, 10), 17); /* the end */
    assert_int_equal(sql_statement_position(&b, 99), 17); /* beyond it */
    assert_true(str_eq(sql_statement_name(&b, 1), STR("longname")));
    assert_true(str_eq(sql_statement_name(&b, 2), STR("a")));
    assert_int_equal(sql_statement_name(&b, 3).n, 0);
    assert_int_equal(sql_statement_name(&b, 0).n, 0);
    arena_fini(&arena);
}

static void check_bind(const char *sql, const char *expected, const char *values)
{
    check_bind_mode(sql, true, expected, values);
}

static void test_bind(void **state)
{
    (void)state;
    check_bind("select :a", "select $1", "1");
    check_bind("select :bb,:a,:bb, :c", "select $1,$2,$1, $3", "21N");
    check_bind("select :d\xc3\xa9+:a", "select $1+$2", "41");
    check_bind("select 1", "select 1", "");
    check_bind("select :a::int, :bb::text", "select $1::int, $2::text", "12");
    check_bind("select 'x:a' , \":a\", :a", "select 'x:a' , \":a\", $1", "1");
    check_bind("select 'it''s :a', :a", "select 'it''s :a', $1", "1");
    check_bind("select E'it\\'s :bb', :a", "select E'it\\'s :bb', $1", "1");
    check_bind("select e'a'\n'\\':bb', :a", "select e'a'\n'\\':bb', $1", "1");
    check_bind("select 'a' -- c\n '\\', :a", "select 'a' -- c\n '\\', $1", "1");
    check_bind("select U&'\\0041:bb' , U&\":bb\", :a", "select U&'\\0041:bb' , U&\":bb\", $1", "1");
    check_bind("select $$ :bb $$, $t$ $$ :bb $t$, :a", "select $$ :bb $$, $t$ $$ :bb $t$, $1", "1");
    check_bind("select x$a$, :a, y$a$", "select x$a$, $1, y$a$", "1");
    check_bind("/* :bb /* :bb */ :bb */ select :a -- :bb\n, :e",
               "/* :bb /* :bb */ :bb */ select $1 -- :bb\n, $2", "15");
    check_bind("select x[1:2], x[:a], x[lo:hi], x[f(1):hi], array[:a,:e]",
               "select x[1:2], x[$1], x[lo:hi], x[f(1):hi], array[$1,$2]", "15");
    check_bind("select x[:a : :e]", "select x[$1 : $2]", "15");
    check_bind("select x[case when y then :a end]", "select x[case when y then $1 end]", "1");
    check_bind("select json_object('k':a), f(x := :a)", "select json_object('k':a), f(x := $1)",
               "1");
    check_bind("select a :: int, :a ::int, 'b'::text", "select a :: int, $1 ::int, 'b'::text", "1");
    check_bind("select 1e-5-:a, 1..2, .5", "select 1e-5-$1, 1..2, .5", "1");
    check_bind("select 'open :a", "select 'open :a", "");
    check_bind("select : a, 1 :", "select : a, 1 :", "");
    check_bind("insert into t values(:a,:bb)", "insert into t values($1,$2)", "12");
}

static void test_bind_backslash_strings(void **state)
{
    (void)state;
    check_bind_mode("select 'a\\', :a, ' ", false, "select 'a\\', :a, ' ", "");
    check_bind_mode("select 'a\\' :bb', :a", false, "select 'a\\' :bb', $1", "1");
    check_bind_mode("select 'a\\', :a", true, "select 'a\\', $1", "1");
    check_bind_mode("select N'a\\' :bb', U&'\\', :a", false, "select N'a\\' :bb', U&'\\', $1", "1");
}

static void test_bind_refused(void **state)
{
    (void)state;
    struct arena arena;
    struct err err = {0};
    struct sql_named twice[] = {{STR("a"), "1", 0}, {STR("b"), "2", 0}, {STR("a"), "3", 0}};
    struct sql_named one[] = {{STR("a"), "1", 0}};
    struct sql_binding b = {.named = one, .n_named = 1, .plain_backslash = true};
    arena_init(&arena, 1 << 16);
    assert_false(sql_named_sort(twice, 3, &err));
    assert_string_equal(err.code, "PGH103");
    assert_false(sql_statement_bind(&arena, STR("select :aa"), &b, &err));
    assert_string_equal(err.message, "the parameter :aa has no value in params");
    assert_false(sql_statement_bind(&arena, STR("select :a, $1"), &b, &err));
    assert_string_equal(err.code, "PGH103");
    arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verbs),        cmocka_unit_test(test_set),
        cmocka_unit_test(test_bind),         cmocka_unit_test(test_bind_backslash_strings),
        cmocka_unit_test(test_bind_refused), cmocka_unit_test(test_position),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
