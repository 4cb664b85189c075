#include "unit.h"

#include "db/statement_class.h"

struct expectation {
    const char *sql;
    enum db_statement_kind kind;
    bool leaves_state, can_write;
};

static void check(const struct expectation *e, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct db_statement_class c = db_statement_class(str_of(e[i].sql), true);
        if (c.kind != e[i].kind || c.leaves_state != e[i].leaves_state ||
            c.can_write != e[i].can_write)
            fail_msg("%s: kind %d state %d write %d", e[i].sql, (int)c.kind, c.leaves_state,
                     c.can_write);
    }
}

#define CHECK(list) check(list, sizeof(list) / sizeof *(list))

static void test_harmless(void **state)
{
    (void)state;
    static const struct expectation list[] = {
        {"select 1", DB_STATEMENT_READ, false, false},
        {" /* a /* b */ c */ -- x\n ( SELECT 1 )", DB_STATEMENT_READ, false, false},
        {"select * from t where a in (1,2) and (b or c)", DB_STATEMENT_READ, false, false},
        {"select count(*), max(a) filter (where b) over (partition by c) from t", DB_STATEMENT_READ,
         false, false},
        {"select pg_catalog.lower(a), pg_catalog . upper ( a ) from t", DB_STATEMENT_READ, false,
         false},
        {"select COALESCE(a, now()) from t", DB_STATEMENT_READ, false, false},
        {"select 'set_config(' || $1 || $$ set_config( $$ || $a$ f( $a$", DB_STATEMENT_READ, false,
         false},
        {"select E'\\'f(' , 'it''s f('", DB_STATEMENT_READ, false, false},
        {"select U&'f(' , b'1', x'f', n'f('", DB_STATEMENT_READ, false, false},
        {"select a::varchar(10), cast(b as numeric(3,1)) from t", DB_STATEMENT_READ, false, false},
        {"select a from t as x (a, b)", DB_STATEMENT_READ, false, false},
        {"with x (a) as (select 1) select * from x", DB_STATEMENT_READ, false, false},
        {"with recursive x (a) as materialized (select 1) table x", DB_STATEMENT_READ, false,
         false},
        {"values (1), (2)", DB_STATEMENT_READ, false, false},
        {"table t", DB_STATEMENT_READ, false, false},
        {"show all", DB_STATEMENT_OTHER, false, false},
        {"insert into t (a, b) values (1, 2) returning *", DB_STATEMENT_WRITE, false, true},
        {"insert into s.t as x (a) select 1 on conflict (a) do update set (a, b) = (1, 2)",
         DB_STATEMENT_WRITE, false, true},
        {"insert into \"s\" . \"T\" (a) values (1)", DB_STATEMENT_WRITE, false, true},
        {"update t set a = 1 where b = any($1)", DB_STATEMENT_WRITE, false, true},
        {"delete from t using u where exists (select 1)", DB_STATEMENT_WRITE, false, true},
        {"with d as (delete from t returning *) select * from d", DB_STATEMENT_WRITE, false, true},
        {"select a from t for update", DB_STATEMENT_READ, false, true},
        {"select a from t for no key update skip locked", DB_STATEMENT_READ, false, true},
        {"select a from t for key share", DB_STATEMENT_READ, false, true},
        {"select substring(a for 3), trim(both from a), extract(year from b) from t",
         DB_STATEMENT_READ, false, false},
        {"select 1e5, 1.5e-3, $1, a[1:2] from t limit 1;", DB_STATEMENT_READ, false, false},
        {"", DB_STATEMENT_EMPTY, false, false},
        {" -- nothing", DB_STATEMENT_EMPTY, false, false},
        {";", DB_STATEMENT_EMPTY, false, false},
    };
    CHECK(list);
}

static void test_traces(void **state)
{
    (void)state;
    static const struct expectation list[] = {
        {"select set_config('a', 'b', false)", DB_STATEMENT_READ, true, true},
        {"select pg_advisory_lock(1)", DB_STATEMENT_READ, true, true},
        {"select nextval('s')", DB_STATEMENT_READ, true, true},
        {"select my_function ( 1 )", DB_STATEMENT_READ, true, true},
        {"select public.lower('A')", DB_STATEMENT_READ, true, true},
        {"select \"Lower\"('A')", DB_STATEMENT_READ, true, true},
        {"select f/* x */(1)", DB_STATEMENT_READ, true, true},
        {"select f--x\n(1)", DB_STATEMENT_READ, true, true},
        {"select 'a' || f(1)", DB_STATEMENT_READ, true, true},
        {"select '\\', f('x')", DB_STATEMENT_READ, true, true},
        {"select $1, f(1), $2", DB_STATEMENT_READ, true, true},
        {"select a$b(1)", DB_STATEMENT_READ, true, true},
        {"select U&\"f\"(1)", DB_STATEMENT_READ, true, true},
        {"select E'a'\n'b\\'', f(1) --'", DB_STATEMENT_READ, true, true},
        {"select * into temp x from t", DB_STATEMENT_READ, true, true},
        {"select 1 operator(public.+) 2", DB_STATEMENT_READ, true, true},
        {"select \xc3\xa9t\xc3\xa9(1)", DB_STATEMENT_READ, true, true},
        {"insert into t values (f(1))", DB_STATEMENT_WRITE, true, true},
        {"insert into t (a) select f(1)", DB_STATEMENT_WRITE, true, true},
        {"update t set a = dblink('x')", DB_STATEMENT_WRITE, true, true},
        {"call p()", DB_STATEMENT_OTHER, true, true},
        {"do $$ begin end $$", DB_STATEMENT_OTHER, true, true},
        {"set a = 1", DB_STATEMENT_OTHER, true, true},
        {"listen x", DB_STATEMENT_OTHER, true, true},
        {"declare c cursor with hold for select 1", DB_STATEMENT_OTHER, true, true},
        {"prepare p as select 1", DB_STATEMENT_OTHER, true, true},
        {"vacuum", DB_STATEMENT_OTHER, true, true},
        {"explain analyze select 1", DB_STATEMENT_OTHER, true, true},
        {"'select'", DB_STATEMENT_OTHER, true, true},
        {"\"select\" 1", DB_STATEMENT_OTHER, true, true},
    };
    CHECK(list);
}

static void test_control(void **state)
{
    (void)state;
    static const struct {
        const char *sql;
        enum db_statement_kind kind;
    } list[] = {
        {"BEGIN", DB_STATEMENT_CONTROL},
        {" /* x */ begin isolation level serializable", DB_STATEMENT_CONTROL},
        {"--\nstart transaction", DB_STATEMENT_CONTROL},
        {"commit", DB_STATEMENT_CONTROL},
        {"commit prepared 'x'", DB_STATEMENT_CONTROL},
        {"END;", DB_STATEMENT_CONTROL},
        {"abort", DB_STATEMENT_CONTROL},
        {"rollback", DB_STATEMENT_CONTROL},
        {"rollback work", DB_STATEMENT_CONTROL},
        {"rollback and chain", DB_STATEMENT_CONTROL},
        {"rollback to a", DB_STATEMENT_SAVEPOINT},
        {"rollback/**/work to savepoint a", DB_STATEMENT_SAVEPOINT},
        {"savepoint a", DB_STATEMENT_SAVEPOINT},
        {"release savepoint a", DB_STATEMENT_SAVEPOINT},
        {"prepare transaction 'x'", DB_STATEMENT_CONTROL},
        {"set transaction read write", DB_STATEMENT_CONTROL},
        {"set local transaction read write", DB_STATEMENT_CONTROL},
        {"set session characteristics as transaction read write", DB_STATEMENT_CONTROL},
        {"set local a = 1", DB_STATEMENT_OTHER},
        {"lock table t", DB_STATEMENT_OTHER},
        {"copy t from stdin", DB_STATEMENT_COPY},
        {"/**/COPY(select 1) to stdout", DB_STATEMENT_COPY},
    };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        if (db_statement_class(str_of(list[i].sql), true).kind != list[i].kind)
            fail_msg("%s", list[i].sql);
}

static void test_encoding(void **state)
{
    (void)state;
    assert_true(db_statement_class(STR("set CLIENT_encoding to latin1"), true).client_encoding);
    assert_true(db_statement_class(STR("set names 'latin1'"), true).client_encoding);
    assert_true(db_statement_class(STR("set local names 'latin1'"), true).client_encoding);
    assert_true(db_statement_class(STR("select set_config('Client_Encoding', 'x', true)"), true)
                    .client_encoding);
    assert_false(db_statement_class(STR("select names from t"), true).client_encoding);
    /* with the old strings a backslash escapes */
    assert_true(db_statement_class(STR("select '\\', f(1) --'"), true).leaves_state);
    assert_true(db_statement_class(STR("select '\\'', f(1) --'"), false).leaves_state);
    assert_false(db_statement_class(STR("select '\\', f(1) --'"), false).leaves_state);
    assert_true(db_statement_plain(STR(" ((select 1))")));
    assert_true(db_statement_plain(STR("WITH a as (select 1) table a")));
    assert_false(db_statement_plain(STR("vacuum")));
    assert_false(db_statement_plain(STR("")));
}

/* Every prefix of every text, to run over all the ends. */
static void test_cut(void **state)
{
    (void)state;
    static const char text[] =
        "select E'\\'', U&'x', $a$ $ $a $a$, \"q\"\"\" . f /* /* */ */ (1.e5) "
        "-- x\n for update into b'1' ;";
    for (size_t n = 0; n < sizeof text; n++) {
        char *copy = malloc(n + 1);
        memcpy(copy, text, n);
        struct db_statement_class c = db_statement_class((struct str){copy, n}, true);
        assert_true(c.kind == DB_STATEMENT_EMPTY || c.kind == DB_STATEMENT_READ ||
                    c.kind == DB_STATEMENT_OTHER);
        free(copy);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_harmless), cmocka_unit_test(test_traces),
        cmocka_unit_test(test_control),  cmocka_unit_test(test_encoding),
        cmocka_unit_test(test_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
