#include "unit.h"

#include "sql/login.h"
#include "sql/request.h"
#include "util/buf.h"

/* One request in an arena; the body is copied, because reading changes it. */
struct fixture {
    struct arena arena;
    struct sql_options options;
    struct sql_request q;
    struct err err;
};

static bool read_body(struct fixture *f, const char *body)
{
    size_t n = strlen(body);
    struct sql_body in = {.n = n, .plain_backslash = true};
    arena_fini(&f->arena);
    arena_init(&f->arena, 8 << 20);
    in.p = arena_strdup(&f->arena, (struct str){body, n});
    f->err = (struct err){0};
    return sql_request_read(&f->arena, &f->options, &in, &f->q, &f->err);
}

static void begin(struct fixture *f)
{
    *f = (struct fixture){.options = {.timeout_us = 0}};
    arena_init(&f->arena, 8 << 20);
}

static void end(struct fixture *f)
{
    arena_fini(&f->arena);
}

static void check_value(const struct fixture *f, size_t stmt, int i, const char *expected)
{
    const char *value = f->q.stmts[stmt].values[i];
    if (!expected)
        assert_null(value);
    else
        assert_string_equal(value, expected);
}

static void test_single(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    assert_true(
        read_body(&f, "{\"query\":\"select $1\\n\",\"params\":[\"a\\u00e9\"],\"arrayMode\":true}"));
    assert_int_equal(f.q.n, 1);
    assert_false(f.q.batch || f.q.in_transaction);
    assert_string_equal(f.q.stmts[0].sql, "select $1\n");
    assert_int_equal(f.q.stmts[0].sql_len, 10);
    assert_int_equal(f.q.stmts[0].nparams, 1);
    assert_true(f.q.stmts[0].prepare && f.q.extras[0].array_mode);
    check_value(&f, 0, 0, "a\xc3\xa9");
    assert_true(read_body(&f, "{\"params\":null,\"query\":\"\"}"));
    assert_int_equal(f.q.stmts[0].nparams, 0);
    assert_int_equal(f.q.extras[0].verb, SQL_VERB_EMPTY);
    end(&f);
}

static void test_param_texts(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    assert_true(read_body(&f, "{\"params\":[null,true,false,12345678901234567890.10,1e400,\"\","
                              "{\"a\": [1, \"\\u0041\"]},[],[[1,2.50],[null,\"x\"]],"
                              "[1,\"a\\\"b\\\\\",null,\"\",\"NULL\",true,{\"k\":\"v\"}]],"
                              "\"query\":\"q\"}"));
    assert_int_equal(f.q.stmts[0].nparams, 10);
    check_value(&f, 0, 0, NULL);
    check_value(&f, 0, 1, "true");
    check_value(&f, 0, 2, "false");
    check_value(&f, 0, 3, "12345678901234567890.10");
    check_value(&f, 0, 4, "1e400");
    check_value(&f, 0, 5, "");
    check_value(&f, 0, 6, "{\"a\": [1, \"\\u0041\"]}");
    check_value(&f, 0, 7, "{}");
    check_value(&f, 0, 8, "{{1,2.50},{NULL,\"x\"}}");
    check_value(&f, 0, 9, "{1,\"a\\\"b\\\\\",NULL,\"\",\"NULL\",true,\"{\\\"k\\\":\\\"v\\\"}\"}");
    end(&f);
}

static void test_named_params(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    assert_true(read_body(&f, "{\"params\":{\"b\":[1],\"a\":\"x\",\"unused\":1},"
                              "\"query\":\"select :a, :b, :a\"}"));
    assert_string_equal(f.q.stmts[0].sql, "select $1, $2, $1");
    assert_int_equal(f.q.stmts[0].nparams, 2);
    check_value(&f, 0, 0, "x");
    check_value(&f, 0, 1, "{1}");
    assert_true(read_body(&f, "{\"params\":{},\"query\":\"select $1\"}"));
    assert_false(read_body(&f, "{\"params\":{\"a\":1},\"query\":\"select :b\"}"));
    assert_string_equal(f.err.code, "PGH103");
    end(&f);
}

static void test_batches(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    assert_true(read_body(&f, "[\"one\",{\"query\":\"two\",\"params\":[1]}]"));
    assert_int_equal(f.q.n, 2);
    assert_true(f.q.batch && f.q.in_transaction);
    assert_string_equal(f.q.stmts[0].sql, "one");
    assert_string_equal(f.q.stmts[1].sql, "two");
    check_value(&f, 1, 0, "1");
    assert_true(read_body(&f, "{\"queries\":[{\"query\":\"one\",\"params\":[]},\"two\",\"3\",\"4\","
                              "\"5\",\"6\",\"7\",\"8\",\"9\"]}"));
    assert_int_equal(f.q.n, 9);
    assert_string_equal(f.q.stmts[8].sql, "9");
    assert_string_equal(f.q.stmts[0].sql, "one");
    assert_true(read_body(&f, "{\"queries\":[]}"));
    assert_true(f.q.batch);
    assert_int_equal(f.q.n, 0);
    assert_true(read_body(&f, "[]"));
    assert_int_equal(f.q.n, 0);
    end(&f);
}

struct refused {
    const char *body, *code;
    int index; /* failed statement, or -1 */
};

static void test_refused(void **state)
{
    (void)state;
    static const struct refused cases[] = {
        {"", "PGH101", -1},
        {"1", "PGH101", -1},
        {"\"select 1\"", "PGH101", -1},
        {"{}", "PGH101", -1},
        {"{\"query\":1}", "PGH101", -1},
        {"{\"Query\":\"x\"}", "PGH101", -1},
        {"{\"query\":\"x\",\"parms\":[]}", "PGH101", -1},
        {"{\"query\":\"x\",\"query\":\"y\"}", "PGH101", -1},
        {"{\"query\":\"x\",\"params\":[],\"params\":[]}", "PGH101", -1},
        {"{\"query\":\"x\",\"params\":1}", "PGH101", -1},
        {"{\"query\":\"x\",\"params\":\"1\"}", "PGH101", -1},
        {"{\"query\":\"x\",\"arrayMode\":1}", "PGH101", -1},
        {"{\"query\":\"x\",\"queries\":[]}", "PGH101", -1},
        {"{\"queries\":[],\"query\":\"x\"}", "PGH101", -1},
        {"{\"queries\":{}}", "PGH101", -1},
        {"{\"params\":[1]}", "PGH101", -1},
        {"[1]", "PGH101", 0},
        {"[\"a\",[]]", "PGH101", 1},
        {"[\"a\",{\"params\":[]}]", "PGH101", 1},
        {"{\"query\":\"x\"} ", "", -1},
        {"{\"query\":\"x\"}x", "PGH100", -1},
        {"{\"query\":\"x\"", "PGH100", -1},
        {"{\"query\":\"x\",\"params\":[01]}", "PGH100", -1},
        {"{\"query\":\"x\",\"params\":[[1,]]}", "PGH100", -1},
        {"{\"query\":\"a\\u0000b\"}", "22021", -1},
        {"{\"query\":\"x\",\"params\":[\"\xff\"]}", "22021", -1},
        {"{\"query\":\"x\",\"params\":{\"a\":1,\"a\":2}}", "PGH103", -1},
        {"[\"select 1\",\" /* */ commit\"]", "2D000", 1},
        {"[\"select 1\",\"rollback\"]", "2D000", 1},
        {"[\"rollback to a\",\"savepoint a\"]", "", -1},
        {"{\"query\":\"begin\"}", "2D000", -1},
        {"{\"query\":\"copy t from stdin\"}", "0A000", -1},
        {"[\"copy t to stdout\"]", "0A000", 0},
        {"[\"set client_encoding to 'latin1'\"]", "0A000", 0},
    };
    struct fixture f;
    begin(&f);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool ok = read_body(&f, cases[i].body);
        if (ok != (cases[i].code[0] == '\0') || strcmp(f.err.code, cases[i].code) != 0)
            print_error("%s: %s %s\n", cases[i].body, f.err.code, f.err.message);
        assert_int_equal(ok, cases[i].code[0] == '\0');
        assert_string_equal(f.err.code, cases[i].code);
        assert_int_equal((int)f.q.failed, cases[i].index);
    }
    end(&f);
}

static void test_too_many(void **state)
{
    (void)state;
    struct fixture f;
    struct buf b;
    begin(&f);
    buf_init(&b, BUF_NO_CEILING);
    for (int n = 65535; n <= 65536; n++) {
        buf_clear(&b);
        BUF_LIT(&b, "{\"query\":\"x\",\"params\":[1");
        for (int i = 1; i < n; i++)
            BUF_LIT(&b, ",1");
        BUF_LIT(&b, "]}");
        buf_char(&b, '\0');
        assert_int_equal(read_body(&f, b.p), n == 65535);
    }
    assert_string_equal(f.err.code, "54023");
    buf_clear(&b);
    buf_char(&b, '[');
    for (int i = 0; i < SQL_BATCH_MAX; i++)
        BUF_LIT(&b, "\"\",");
    BUF_LIT(&b, "\"\"]");
    buf_char(&b, '\0');
    assert_false(read_body(&f, b.p));
    assert_string_equal(f.err.code, "54000");
    buf_fini(&b);
    end(&f);
}

static void test_hidden_statements(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    f.options.read_only = true;
    assert_true(read_body(&f, "[\"set transaction_read_only = off\",\"delete from t\"]"));
    assert_int_equal(f.q.n, 4);
    assert_int_equal(f.q.hidden_first, 1);
    assert_int_equal(f.q.hidden_last, 1);
    assert_string_equal(f.q.extras[3].means->code, "25006");
    assert_string_equal(f.q.stmts[0].sql, "select");
    assert_string_equal(f.q.stmts[1].sql, "set transaction_read_only = off");
    assert_true(read_body(&f, "[\"select 1\"]"));
    assert_int_equal(f.q.n, 1);
    f.options.read_only = false;
    assert_true(read_body(&f, "[\"select set_config('Client_Encoding','latin1',true)\"]"));
    assert_int_equal(f.q.hidden_last, 1);
    assert_int_equal(f.q.n, 2);
    assert_true(read_body(&f, "[\"select client_encodin, client_\"]"));
    assert_int_equal(f.q.hidden_last, 0);
    end(&f);
}

static void test_text_body_and_get(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    f.options.content_type = STR("Application/SQL; charset=utf-8");
    assert_true(read_body(&f, "select 1"));
    assert_string_equal(f.q.stmts[0].sql, "select 1");
    assert_true(sql_options_url(&f.options, &f.arena, STR("params=%5B%22a%22%5D"), &f.err));
    char url_params[] = "[\"a\"]";
    f.options.params = (struct str){url_params, 5};
    assert_true(read_body(&f, "select $1"));
    check_value(&f, 0, 0, "a");
    f.options.content_type = STR("text/plain");
    assert_false(read_body(&f, "{\"query\":\"x\"}"));
    assert_string_equal(f.err.code, "PGH102");

    struct sql_body get = {.get = true, .plain_backslash = true};
    f.options = (struct sql_options){
        .read_only = true, .query = STR("select :a"), .params = STR("{\"a\":1}")};
    assert_true(sql_request_read(&f.arena, &f.options, &get, &f.q, &f.err));
    assert_string_equal(f.q.stmts[1].sql, "select $1");
    assert_true(f.q.quick && !f.q.in_transaction);
    assert_int_equal(f.q.hidden_first, 1);
    assert_non_null(strstr(f.q.stmts[0].sql, "transaction_read_only"));
    f.options.query = STR("select f(:a)");
    assert_true(sql_request_read(&f.arena, &f.options, &get, &f.q, &f.err));
    assert_string_equal(f.q.stmts[0].sql, "select f($1)");
    assert_true(f.q.in_transaction && !f.q.quick);
    f.options = (struct sql_options){.read_only = true};
    assert_false(sql_request_read(&f.arena, &f.options, &get, &f.q, &f.err));
    end(&f);
}

static bool header(struct sql_options *o, const char *name, const char *value, struct err *err)
{
    return sql_options_header(o, str_of(name), str_of(value), err);
}

static void test_option_headers(void **state)
{
    (void)state;
    struct sql_options o = {0};
    struct err err = {0};
    assert_true(header(&o, "neon-raw-text-output", "true", &err) && o.raw);
    assert_true(header(&o, "Neon-Raw-Text-Output", "TRUE", &err) && !o.raw);
    assert_true(header(&o, "Neon-Array-Mode", "true", &err) && o.array_mode);
    assert_true(header(&o, "Neon-Batch-Isolation-Level", "RepeatableRead", &err));
    assert_int_equal(o.isolation, DB_REPEATABLE_READ);
    assert_str(o.echo_isolation, "RepeatableRead");
    assert_false(header(&o, "Neon-Batch-Isolation-Level", "repeatable read", &err));
    assert_string_equal(err.code, "PGH102");
    assert_true(header(&o, "Neon-Batch-Read-Only", "true", &err) && o.read_only);
    assert_true(header(&o, "Neon-Batch-Read-Only", "false", &err) && !o.read_only);
    assert_true(header(&o, "Pghttpd-Timeout", "250ms", &err));
    assert_int_equal(o.timeout_us, 250000);
    assert_true(header(&o, "PGHTTPD-MAX-ROWS", "0", &err) && o.limited && o.max_rows == 0);
    assert_false(header(&o, "Pghttpd-Max-Rows", "-1", &err));
    assert_false(header(&o, "Pghttpd-Retry", "11", &err));
    assert_false(header(&o, "Pghttpd-Timeuot", "1", &err));
    assert_string_equal(err.message, "unknown header Pghttpd-Timeuot");
    assert_true(header(&o, "Prefer", "x", &err) && header(&o, "Neon-Other", "x", &err));
    assert_true(header(&o, "", "x", &err));
}

static void test_option_url(void **state)
{
    (void)state;
    struct arena arena;
    struct err err = {0};
    struct sql_options o = {.timeout_us = 1};
    arena_init(&arena, 1 << 16);
    assert_true(sql_options_url(&o, &arena,
                                STR("query=select+%271%2B1%27&timeout=5s&max_rows=7&retry=2&"
                                    "isolation=read%20committed&read_only=true&deferrable=1&"
                                    "array_mode&raw=off&"),
                                &err));
    assert_str(o.query, "select '1+1'");
    assert_int_equal(o.timeout_us, 5000000);
    assert_int_equal(o.max_rows, 7);
    assert_int_equal(o.retry, 2);
    assert_int_equal(o.isolation, DB_READ_COMMITTED);
    assert_true(o.read_only && o.deferrable && o.array_mode && !o.raw);
    static const struct str bad[] = {{"tiemout=1", 9},     {"timeout=0", 9},   {"timeout=", 8},
                                     {"timeout=1d", 10},   {"timeout=-1", 10}, {"raw=maybe", 9},
                                     {"query=%zz", 9},     {"query=%00", 9},   {"isolation=x", 11},
                                     {"max_rows=1.5", 12}, {"retry=x", 7},     {"timeout=1.", 10}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(sql_options_url(&o, &arena, bad[i], &err));
    arena_fini(&arena);
}

static void test_durations(void **state)
{
    (void)state;
    uint64_t us;
    assert_true(sql_duration(STR("1.5"), &us) && us == 1500000);
    assert_true(sql_duration(STR("0.25s"), &us) && us == 250000);
    assert_true(sql_duration(STR("2min"), &us) && us == 120000000);
    assert_true(sql_duration(STR("1h"), &us) && us == 3600000000);
    assert_true(sql_duration(STR("1us"), &us) && us == 1);
    assert_true(sql_duration(STR("1.123456789s"), &us) && us == 1123456);
    assert_false(sql_duration(STR("99999999999"), &us));
    assert_false(sql_duration(STR("s"), &us));
    assert_false(sql_duration(STR(".5"), &us));
}

static void check_format(const char *accept, int expected)
{
    struct sql_options o = {.accept = str_of(accept)};
    struct err err = {0};
    bool ok = sql_options_finish(&o, &err);
    assert_int_equal(ok ? (int)o.format : -err.status, expected);
}

static void test_accept(void **state)
{
    (void)state;
    check_format(NULL, SQL_JSON);
    check_format("*/*", SQL_JSON);
    check_format("text/csv", SQL_CSV);
    check_format("text/*", SQL_CSV);
    check_format("application/*", SQL_JSON);
    check_format("Application/X-NDJSON", SQL_NDJSON);
    check_format("text/csv;q=0.5, application/json;q=0.4", SQL_CSV);
    check_format("text/csv;q=0.5, */*", SQL_JSON);
    check_format("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", SQL_JSON);
    check_format("application/json;q=0, */*", SQL_NDJSON);
    check_format("text/html", -406);
    check_format("application/json; q=0", -406);
}

static void check_login(const char *url, const char *user, const char *password, const char *db)
{
    struct arena arena;
    struct err err = {0};
    struct db_login login = {.user = {NULL, 0}};
    arena_init(&arena, 1 << 16);
    if (!sql_login_url(&arena, str_of(url), &login, &err))
        fail_msg("%s: %s", url, err.message);
    assert_str(login.user, user);
    assert_str(login.password, password);
    assert_str(login.database, db);
    arena_fini(&arena);
}

static void test_connection_strings(void **state)
{
    (void)state;
    check_login("postgres://u:p@host/db", "u", "p", "db");
    check_login("postgresql://u:p@host.tld:5432/db?sslmode=require", "u", "p", "db");
    check_login("PostgreSQL://u%40x:p%2F%3a@h/d%20b", "u@x", "p/:", "d b");
    check_login("postgres://u:100%@h/db", "u", "100%", "db");
    check_login("postgres://u:%zz%4@h/db", "u", "%zz%4", "db");
    check_login("postgres://u:a@b:c@h/db", "u", "a@b:c", "db");
    check_login("postgres://u@h", "u", "", "");
    check_login("postgres://u:p@/", "u", "p", "");
    check_login("postgres://u:p@h?options=x", "u", "p", "");
    check_login("postgres://u:p@h/host=1.2.3.4 port=1", "u", "p", "host=1.2.3.4 port=1");
    check_login("postgres://u:p%C3%A9@h/db#fragment", "u", "p\xc3\xa9", "db");

    struct arena arena;
    struct err err = {0};
    struct db_login login = {.user = {NULL, 0}};
    arena_init(&arena, 1 << 16);
    assert_true(sql_login_url(&arena,
                              STR("postgres://u:p@h/db?sslmode=x&options=-c%20search_path%3Da&"
                                  "application_name=app%20x&host=evil&user=other"),
                              &login, &err));
    assert_str(login.options, "-c search_path=a");
    assert_str(login.application_name, "app x");
    assert_str(login.user, "u");
    static const char *const garbage[] = {"",
                                          "postgres",
                                          "postgres:/",
                                          "mysql://u:p@h/d",
                                          "://",
                                          "postgres://",
                                          "postgres:///db",
                                          "postgres://host/db",
                                          "postgres://u%00:p@h/db",
                                          "postgres://u:\xff@h/db"};
    for (size_t i = 0; i < sizeof garbage / sizeof *garbage; i++) {
        assert_false(sql_login_url(&arena, str_of(garbage[i]), &login, &err));
        assert_int_equal(err.status, 400);
    }
    arena_fini(&arena);
}

static void test_basic(void **state)
{
    (void)state;
    struct arena arena;
    struct err err = {0};
    struct db_login login = {.user = {NULL, 0}};
    struct sql_options none = {.raw = false};
    arena_init(&arena, 1 << 16);
    static const struct {
        const char *header, *user, *password, *problem;
    } all[] = {
        {"Basic dXNlcjpwYXNz", "user", "pass", NULL},
        {"basic dTpwOnc=", "u", "p:w", NULL},
        {"Basic dTpwYQ", "u", "pa", NULL},
        {"Basic  dTo= ", "u", "", NULL},
        {"Basic OnA=", "", "p", NULL},
        {"Basic dXNlcg==", NULL, NULL, "user:password"},
        {"Basic ", NULL, NULL, "user:password"},
        {"Basic ****", NULL, NULL, "base64"},
        {"Basic dTpwY", NULL, NULL, "base64"},
        {"Basic dTpwAA==", NULL, NULL, "UTF-8"},
        {"Basic dTr/", NULL, NULL, "UTF-8"},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        bool good = sql_login_basic(&arena, str_of(all[i].header), &login, &err);
        assert_int_equal(good, !all[i].problem);
        if (good) {
            assert_str(login.user, all[i].user);
            assert_str(login.password, all[i].password);
        } else {
            assert_int_equal(err.status, 400);
            assert_non_null(strstr(err.message, all[i].problem));
        }
    }
    assert_false(sql_login_basic(&arena, STR("Basic"), &login, &err));
    assert_int_equal(err.status, 401);
    assert_false(sql_login_basic(&arena, STR("Bearer abc"), &login, &err));
    assert_int_equal(err.status, 401);
    assert_false(sql_login_read(&arena, &none, &login, &err));
    assert_int_equal(err.status, 401);
    arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_single),
        cmocka_unit_test(test_param_texts),
        cmocka_unit_test(test_named_params),
        cmocka_unit_test(test_batches),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_too_many),
        cmocka_unit_test(test_hidden_statements),
        cmocka_unit_test(test_text_body_and_get),
        cmocka_unit_test(test_option_headers),
        cmocka_unit_test(test_option_url),
        cmocka_unit_test(test_durations),
        cmocka_unit_test(test_accept),
        cmocka_unit_test(test_connection_strings),
        cmocka_unit_test(test_basic),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
