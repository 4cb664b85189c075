/* The pool against a real server of its own: order, errors, isolation, cancels, losses, logins,
 * streams, deadlines. */
#include "unit.h"

#include "db/value.h"
#include "db_world.h"

static void test_first(void **state)
{
    (void)state;
    struct world w;
    struct request q;
    conf_default();
    world_start(&w);
    shared(&q, "select $1::int + 1");
    param(&q, "41");
    run_ok(&w, &q, "42");
    assert_true(q.connect_us > 0);
    assert_true(q.db_us > 0);
    for (int i = 0; i < 3; i++) {
        shared(&q, "select $1::int + 1");
        param(&q, "41");
        q.stmts[0].prepare = true;
        run_ok(&w, &q, "42");
    }
    shared(&q, "select count(*) from pg_prepared_statements");
    run_ok(&w, &q, "1");
    shared(&q, "select nope");
    run(&w, &q);
    assert_int_equal(q.end, DB_FAILED);
    assert_string_equal(q.code, "42703");
    shared(&q, "");
    run_ok(&w, &q, "");
    world_end(&w);
}

static void test_order(void **state)
{
    (void)state;
    enum { N = 400 };
    struct world w;
    static struct request q[N];
    static char markers[N][16];
    unsigned order = 0;
    world_start(&w);
    for (int i = 0; i < N; i++) {
        snprintf(markers[i], sizeof markers[i], "%d", i);
        shared(&q[i], i % 7 == 3 ? "select 1/($1::int*0)" : "select $1::int");
        param(&q[i], markers[i]);
        q[i].stmts[0].prepare = i % 2;
        q[i].order = &order;
        submit(&w, &q[i]);
    }
    run_until(&w, all_ended, &(struct crowd){q, N}, 20);
    for (int i = 0; i < N; i++) {
        assert_int_equal(q[i].end, i % 7 == 3 ? DB_FAILED : DB_DONE);
        assert_string_equal(i % 7 == 3 ? q[i].code : q[i].text, i % 7 == 3 ? "22012" : markers[i]);
    }
    check_idle(&w);
    assert_true(stats(&w).size <= 4);
    world_end(&w);
}

/* 500 on a pool of 4: all answered, each its own, first come first served. */
static void test_queue(void **state)
{
    (void)state;
    enum { N = 500 };
    struct world w;
    static struct request q[N];
    static char markers[N][16];
    unsigned order = 0;
    world_start(&w);
    for (int i = 0; i < N; i++) {
        snprintf(markers[i], sizeof markers[i], "m%d", i);
        exclusive(&q[i], "select $1::text from pg_sleep(0.002)");
        q[i].spec.leaves_state = false;
        param(&q[i], markers[i]);
        q[i].order = &order;
        submit(&w, &q[i]);
    }
    run_until(&w, all_ended, &(struct crowd){q, N}, 30);
    for (int i = 0; i < N; i++) {
        assert_int_equal(q[i].end, DB_DONE);
        assert_string_equal(q[i].text, markers[i]);
        assert_true(abs((int)q[i].number - i) < 20);
    }
    for (int i = 1; i < N; i++)
        assert_true(q[i].queue_us + q[i].connect_us + 20000 >
                    q[i - 1].queue_us + q[i - 1].connect_us);
    check_idle(&w);
    world_end(&w);
}

static void test_groups(void **state)
{
    (void)state;
    struct world w;
    struct request q;
    world_start(&w);
    cluster_sql(&cluster, "create table g (a int primary key);"
                          "create table d (a int references g deferrable initially deferred);"
                          "create procedure commits() language plpgsql as 'begin commit; end'");
    /* an implicit transaction: all or nothing */
    shared(&q, "insert into g values (1)");
    stmt(&q, "select 1/0");
    stmt(&q, "insert into g values (2)");
    run(&w, &q);
    assert_int_equal(q.end, DB_FAILED);
    assert_string_equal(q.code, "22012");
    assert_int_equal(q.failed, 1);
    assert_int_equal(q.results, 0);
    shared(&q, "select count(*) from g");
    run_ok(&w, &q, "0");
    /* a deferred constraint fails only at the Sync */
    shared(&q, "insert into d values (7)");
    run(&w, &q);
    assert_int_equal(q.end, DB_FAILED);
    assert_string_equal(q.code, "23503");
    assert_int_equal(q.failed, 1);
    shared(&q, "select count(*) from d");
    run_ok(&w, &q, "0");
    /* rolled back on purpose, with deferred constraints checked */
    shared(&q, "insert into g values (3) returning a");
    q.spec.rollback = true;
    run_ok(&w, &q, "3");
    shared(&q, "insert into d values (7)");
    q.spec.rollback = true;
    run(&w, &q);
    assert_string_equal(q.code, "23503");
    shared(&q, "select count(*) from g");
    run_ok(&w, &q, "0");
    /* batches */
    batch(&q, "insert into g values (1)");
    stmt(&q, "call commits()");
    stmt(&q, "select 1/0");
    run(&w, &q);
    assert_int_equal(q.end, DB_FAILED);
    assert_string_equal(q.code, "2D000");
    assert_int_equal(q.failed, 1);
    batch(&q, "savepoint a");
    stmt(&q, "insert into g values (5)");
    stmt(&q, "rollback to a");
    stmt(&q, "insert into g values (6)");
    run_ok(&w, &q, NULL);
    batch(&q, "insert into d values (7)");
    run(&w, &q);
    assert_int_equal(q.end, DB_FAILED);
    assert_string_equal(q.code, "23503");
    shared(&q, "select string_agg(a::text, ',') from g");
    run_ok(&w, &q, "6");
    /* a transaction left open, by a statement alone */
    exclusive(&q, "begin");
    run_ok(&w, &q, "BEGIN");
    assert_true(q.left_transaction);
    exclusive(&q, "select pg_current_xact_id_if_assigned() is null");
    run_ok(&w, &q, "t");
    assert_false(q.left_transaction);
    exclusive(&q, "vacuum g");
    q.spec.application_name = STR("request-1");
    run_ok(&w, &q, "VACUUM");
    /* READ ONLY cannot be escaped once there is a snapshot */
    batch(&q, "select 1");
    stmt(&q, "set transaction_read_only = off");
    stmt(&q, "insert into g values (9)");
    q.spec.read_only = true;
    run(&w, &q);
    assert_int_equal(q.end, DB_FAILED);
    assert_int_equal(q.failed, 1);
    batch(&q, "select current_setting('transaction_isolation') || "
              "current_setting('transaction_deferrable') || "
              "current_setting('transaction_read_only')");
    q.spec.isolation = DB_SERIALIZABLE;
    q.spec.deferrable = q.spec.read_only = true;
    run_ok(&w, &q, "serializableonon");
    check_idle(&w);
    world_end(&w);
}

static void test_copy_slips(void **state)
{
    (void)state;
    struct world w;
    struct request q;
    world_start(&w);
    batch(&q, "copy g from stdin");
    stmt(&q, "select 1");
    run(&w, &q);
    assert_int_equal(q.end, DB_FAILED);
    assert_string_equal(q.code, "57014");
    shared(&q, "select 1");
    run_ok(&w, &q, "1");
    exclusive(&q, "copy (select 1) to stdout");
    run(&w, &q);
    assert_string_equal(q.code, "57014");
    shared(&q, "select 2");
    run_ok(&w, &q, "2");
    world_end(&w);
}

/* What one exclusive job leaves, the next one does not see; on one connection. */
static void test_reset(void **state)
{
    (void)state;
    struct world w;
    struct request q, again;
    static const char *const leave[] = {
        "set search_path to nowhere",
        "set role open",
        "set session authorization open",
        "create temp table left_behind (a int)",
        "prepare left_behind as select 1",
        "do $$ begin execute 'prepare left_behind2 as select 1'; end $$",
        "listen left_behind",
        "declare left_behind cursor with hold for select 1",
        "select pg_advisory_lock(42)",
        "select nextval('seq')",
        "set application_name = 'left_behind'",
        "select set_config('my.var', 'left_behind', false)",
        "set default_transaction_read_only = on",
        "begin",
    };
    databases[0].db_pool = 1;
    world_start(&w);
    cluster_sql(&cluster, "create sequence seq");
    shared(&q, "select pg_backend_pid()");
    run_ok(&w, &q, NULL);
    char pid[256];
    snprintf(pid, sizeof pid, "%s", q.text);
    for (size_t i = 0; i < sizeof leave / sizeof *leave; i++) {
        for (int together = 0; together < 2; together++) {
            exclusive(&q, leave[i]);
            submit(&w, &q);
            exclusive(&again,
                      "select concat_ws('|', current_setting('search_path'), current_user, "
                      "session_user, to_regclass('left_behind'), (select count(*) from "
                      "pg_prepared_statements where from_sql), (select count(*) from "
                      "pg_listening_channels()), (select count(*) from pg_cursors where name = "
                      "'left_behind'), (select count(*) from pg_locks where locktype = "
                      "'advisory'), current_setting('application_name'), "
                      "coalesce(current_setting('my.var', true), ''), "
                      "current_setting('default_transaction_read_only'))");
            if (!together) /* else both are there at once and travel behind one another */
                run_until(&w, has_ended, &q, 10);
            run_ok(&w, &again, NULL);
            assert_int_equal(q.end, DB_DONE);
            if (strcmp(again.text, "\"$user\", public|postgres|postgres|0|0|0|0|pghttpd||off") != 0)
                fail_msg("%s: %s", leave[i], again.text);
            exclusive(&q, "select lastval()");
            run(&w, &q);
            assert_string_equal(q.code, "55000");
        }
    }
    shared(&q, "select pg_backend_pid()");
    run_ok(&w, &q, pid);
    check_idle(&w);
    world_end(&w);
    databases[0].db_pool = 4;
}

/* The reset never stands before the answer, and is left out where nothing can remain. */
static void test_reset_counted(void **state)
{
    (void)state;
    struct world w;
    struct request q;
    databases[0].db_pool = 1;
    world_start(&w);
    for (int i = 0; i < 250; i++) {
        exclusive(&q, "select 1");
        q.spec.leaves_state = false;
        run_ok(&w, &q, "1");
    }
    shared(&q, "select 1");
    run_ok(&w, &q, "1");
    assert_int_equal(stats(&w).resets, 2); /* every hundredth all the same */
    for (int i = 0; i < 250; i++) {
        shared(&q, "select 1");
        run_ok(&w, &q, "1");
    }
    assert_int_equal(stats(&w).resets, 5); /* those that travel shared count, too */
    world_end(&w);
    databases[0].db_pool = 4;
}

/* With a name from the second time on. */
static void run_named(struct world *w, const char *sql, const char *value)
{
    struct request q;
    for (int i = 0; i < 2; i++) {
        shared(&q, sql);
        q.stmts[0].prepare = true;
        run_ok(w, &q, value);
    }
}

static void test_names(void **state)
{
    (void)state;
    struct world w;
    struct request q;
    static char texts[300][64];
    databases[0].db_pool = 1;
    conf.db_statement_cache = 20;
    world_start(&w);
    cluster_sql(&cluster, "create table p (a int); insert into p values (1)");
    run_named(&w, "select * from p", "1");
    /* the plan's result changes: tried again, unseen */
    cluster_sql(&cluster, "alter table p alter a type text using 'x' || a");
    shared(&q, "select * from p");
    q.stmts[0].prepare = true;
    run_ok(&w, &q, "x1");
    assert_int_equal(stats(&w).resends, 1);
    /* the names are taken away */
    exclusive(&q, "deallocate all");
    run_ok(&w, &q, NULL);
    exclusive(&q, "do $$ begin execute 'deallocate all'; end $$");
    run_ok(&w, &q, NULL);
    shared(&q, "select * from p");
    q.stmts[0].prepare = true;
    run_ok(&w, &q, "x1");
    exclusive(&q, "discard all");
    run_ok(&w, &q, NULL);
    shared(&q, "select * from p");
    q.stmts[0].prepare = true;
    run_ok(&w, &q, "x1");
    /* a Parse that fails gives no name, and the same text later does */
    for (int i = 0; i < 2; i++) {
        shared(&q, "select * from later");
        q.stmts[0].prepare = true;
        run(&w, &q);
        assert_string_equal(q.code, "42P01");
    }
    cluster_sql(&cluster, "create table later (a int)");
    shared(&q, "select * from later");
    q.stmts[0].prepare = true;
    run_ok(&w, &q, NULL);
    /* many texts: the cache is bounded, and so is what the server keeps */
    for (int i = 0; i < 300; i++) {
        snprintf(texts[i], sizeof texts[i], "select %d", i);
        run_named(&w, texts[i], texts[i] + 7);
    }
    shared(&q, "select count(*) from pg_prepared_statements");
    run_ok(&w, &q, "20");
    world_end(&w);
    /* behind a pooler: no names at all */
    databases[0].db_prepared_statements = false;
    world_start(&w);
    shared(&q, "select count(*) from pg_prepared_statements");
    q.stmts[0].prepare = true;
    run_ok(&w, &q, "0");
    world_end(&w);
    conf_default();
}

/* The DBA sees whose job it is, for the time it runs. */
static void test_application_name(void **state)
{
    (void)state;
    struct world w;
    struct request q;
    static const char *const name = "select application_name from pg_stat_activity where pid = "
                                    "pg_backend_pid()";
    databases[0].db_pool = 1;
    world_start(&w);
    for (int i = 0; i < 5; i++) {
        shared(&q, name);
        q.spec.application_name = STR("req-1");
        run_ok(&w, &q, "req-1");
        batch(&q, name);
        q.spec.application_name = STR("req-2");
        run_ok(&w, &q, "req-2");
        exclusive(&q, name);
        q.spec.application_name = STR("req-3");
        q.spec.leaves_state = false;
        run_ok(&w, &q, "req-3");
        exclusive(&q, "show application_name"); /* alone in its group */
        q.spec.application_name =
            STR("req-4-that-is-much-longer-than-sixty-three-bytes-can-be-xyz-123456789");
        q.spec.leaves_state = false;
        run_ok(&w, &q, "req-4-that-is-much-longer-than-sixty-three-bytes-can-be-xyz-123");
        exclusive(&q, name);
        run_ok(&w, &q, "pghttpd");
        exclusive(&q, "do $$ begin execute 'deallocate all'; end $$");
        run_ok(&w, &q, NULL);
        exclusive(&q, name); /* its prepared set_config is gone: again, unseen */
        q.spec.application_name = STR("req-5");
        run_ok(&w, &q, "req-5");
    }
    world_end(&w);
}

/* Rows in another encoding are never handed on as UTF-8. */
static void test_encoding(void **state)
{
    (void)state;
    struct world w;
    struct request q;
    world_start(&w);
    exclusive(&q, "select set_config('client_' || 'encoding', 'latin1', false), chr(233)");
    run(&w, &q);
    assert_int_equal(q.end, DB_UNKNOWN);
    assert_string_equal(q.code, "08007");
    batch(&q, "do $$ begin execute 'set client_' || 'encoding to latin1'; end $$");
    stmt(&q, "select chr(233)");
    q.spec.can_write = false;
    run(&w, &q);
    assert_int_equal(q.end, DB_FAILED);
    assert_string_equal(q.code, "0A000");
    shared(&q, "select chr(233)");
    run_ok(&w, &q, "\xc3\xa9");
    world_end(&w);
}

/* Behind a pooler that takes no startup options: a login's options go with each group. */
static void test_pooler(void **state)
{
    (void)state;
    struct world w;
    struct request q;
    struct err err;
    struct db_login l = {.user = STR("postgres"),
                         .password = STR(CLUSTER_PASSWORD),
                         .options = STR("-c work_mem=1MB --search_path=nowhere -cgeqo=off")};
    databases[0].db_prepared_statements = false;
    world_start(&w);
    for (int i = 0; i < 4; i++) {
        exclusive(&q, "select concat_ws(' ', current_setting('work_mem'), "
                      "current_setting('search_path'), current_setting('geqo'))");
        q.spec.in_transaction = i % 2;
        q.spec.travel = i == 3 ? DB_SHARED : DB_EXCLUSIVE;
        q.job = db_submit(db_pools_login(w.pools, &databases[0], &l, &err), &q.spec, &ops, &q);
        run_until(&w, has_ended, &q, 10);
        assert_string_equal(q.text, "1MB nowhere off");
    }
    exclusive(&q, "vacuum g");
    q.job = db_submit(db_pools_login(w.pools, &databases[0], &l, &err), &q.spec, &ops, &q);
    run_until(&w, has_ended, &q, 10);
    world_end(&w);
}

static void test_notices(void **state)
{
    (void)state;
    struct world w;
    struct request q;
    world_start(&w);
    batch(&q, "select 1");
    stmt(&q, "do $$ begin raise warning 'careful'; end $$");
    run_ok(&w, &q, NULL);
    assert_int_equal(q.n_notices, 1);
    assert_string_equal(q.notice, "1:careful");
    exclusive(&q, "do $$ begin for i in 1..250 loop raise notice 'n%', i; end loop; end $$");
    run_ok(&w, &q, NULL);
    assert_int_equal(q.n_notices, 100);
    assert_int_equal(q.dropped, 150);
    exclusive(&q, "do $$ begin for i in 1..50 loop raise notice '%', repeat('x', 5000); end loop; "
                  "end $$");
    run_ok(&w, &q, NULL);
    assert_true(q.n_notices < 14);
    assert_int_equal(q.n_notices + q.dropped, 50);
    world_end(&w);
}

static bool four_idle(void *arg)
{
    return stats(arg).idle == 4;
}

static void test_deadlines(void **state)
{
    (void)state;
    struct world w;
    struct request q, others[20];
    world_start(&w);
    exclusive(&q, "select pg_sleep(10)");
    q.spec.timeout_us = 300000;
    run(&w, &q);
    assert_int_equal(q.end, DB_TIMED_OUT);
    assert_string_equal(q.code, "57014");
    assert_true(q.db_us < 1000000);
    /* ten statements, one deadline for all */
    batch(&q, "select pg_sleep(0.2)");
    for (int i = 1; i < 10; i++)
        stmt(&q, "select pg_sleep(0.2)");
    q.spec.timeout_us = 1000000;
    run(&w, &q);
    assert_int_equal(q.end, DB_TIMED_OUT);
    assert_in_range(q.queue_us + q.connect_us + q.db_us, 1000000, 1100000);
    /* waiting counts */
    for (int i = 0; i < 20; i++) {
        exclusive(&others[i], "select pg_sleep(0.3)");
        others[i].spec.timeout_us = 550000;
        submit(&w, &others[i]);
    }
    run_until(&w, all_ended, &(struct crowd){others, 20}, 5);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(others[i].end, i < 4 ? DB_DONE : DB_TIMED_OUT);
        assert_true(others[i].queue_us + others[i].connect_us + others[i].db_us < 700000);
    }
    /* the queue's own patience, and its length */
    run_until(&w, four_idle, &w, 5);
    conf.db_pool_queue = 10;
    for (int i = 0; i < 20; i++) {
        exclusive(&others[i], "select pg_sleep(0.3)");
        others[i].spec.queue_timeout_us = 100000;
        submit(&w, &others[i]);
    }
    run_until(&w, all_ended, &(struct crowd){others, 20}, 5);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(others[i].end, i < 4 ? DB_DONE : DB_NOT_SENT);
        assert_int_equal(others[i].queue_timeout, i >= 4 && i < 14);
        assert_string_equal(others[i].code, i < 4 ? "" : "53300");
    }
    check_idle(&w);
    world_end(&w);
    conf_default();
}

/* A slow job does not hold up the fast ones. */
static void test_patience(void **state)
{
    (void)state;
    struct world w;
    struct request slow, q;
    uint64_t worst = 0;
    world_start(&w);
    shared(&slow, "select pg_sleep(4)");
    submit(&w, &slow);
    for (int i = 0; i < 200; i++) {
        shared(&q, "select 1");
        q.spec.can_write = false;
        run_ok(&w, &q, "1");
        uint64_t took = q.queue_us + q.db_us;
        worst = took > worst ? took : worst;
    }
    assert_false(slow.ended);
    assert_true(worst < 300000); /* the first ones wait for a second connection */
    run_until(&w, has_ended, &slow, 10);
    world_end(&w);
}

/* A caller may let go from within any callback. */
static bool on_result_leaving(void *arg, size_t i, const struct db_result *r)
{
    struct request *q = arg;
    (void)i, (void)r;
    q->results++;
    q->ended = true;
    db_cancel(q->job);
    return true;
}

static void on_done_leaving(void *arg, const struct db_outcome *o)
{
    struct request *q = arg;
    (void)o;
    assert_false(q->ended);
    q->ended = true;
    db_cancel(q->job);
}

static void test_leaving(void **state)
{
    (void)state;
    static const struct db_ops in_result = {.on_result = on_result_leaving, .on_done = on_done};
    static const struct db_ops in_done = {.on_result = on_result, .on_done = on_done_leaving};
    struct world w;
    struct request q;
    world_start(&w);
    for (int i = 0; i < 40; i++) {
        shared(&q, "select 1");
        stmt(&q, i % 2 ? "select 1/0" : "select generate_series(1, 1000)");
        q.spec.travel = i & 4 ? DB_SHARED : DB_EXCLUSIVE;
        q.spec.stream_rows = i & 8;
        q.job = db_submit(own(&w), &q.spec, i & 2 ? &in_result : &in_done, &q);
        run_until(&w, has_ended, &q, 10);
    }
    check_idle(&w);
    world_end(&w);
}

/* 1,000 cancels at random under load: the cancelled are gone, nobody else notices. */
struct typed {
    struct request q;
    const struct db_types *types;
    char json[256];
};

static bool on_typed(void *arg, size_t i, const struct db_result *r)
{
    struct typed *t = arg;
    struct buf b;
    (void)i;
    if (db_result_rows(r) == 0)
        return true;
    buf_init(&b, 1000);
    for (size_t k = 0; k < db_result_columns(r); k++) {
        struct db_conv c = db_value_conv(t->types, db_result_field(r, k).type);
        db_value_write(&b, &c, db_result_value(r, 0, k));
        buf_char(&b, ' ');
    }
    snprintf(t->json, sizeof t->json, "%.*s", STR_ARG(buf_str(&b)));
    buf_fini(&b);
    return true;
}

static void on_typed_done(void *arg, const struct db_outcome *o)
{
    on_done(&((struct typed *)arg)->q, o);
}

static const struct db_ops typed_ops = {.on_result = on_typed, .on_done = on_typed_done};

static bool is_connected(void *arg)
{
    return stats(arg).size > 0;
}

static void test_types(void **state)
{
    (void)state;
    struct world w;
    struct typed t[6];
    databases[0].db_pool = 2; /* fewer than are asking at once */
    world_start(&w);
    cluster_sql(&cluster, "create type mood as enum ('{sad}', 'ok, fine');"
                          "create domain small as int; create domain vector as small[];"
                          "create type pair as (a int, b text);");
    for (int i = 0; i < 6; i++) {
        t[i] = (struct typed){.types = db_pool_types(own(&w))};
        exclusive(
            &t[i].q,
            "select '{sad}'::mood, array['{sad}', 'ok, fine', null]::mood[], '{1,2}'::small[], "
            "array['{1,2}', '{}']::vector[], array[(1,'x y')]::pair[], "
            "(select array_agg(r) from pg_attrdef r where false)");
        t[i].q.spec.need_types = true;
        t[i].q.spec.stream_rows = i % 2;
        t[i].q.job = db_submit(own(&w), &t[i].q.spec, &typed_ops, &t[i]);
    }
    for (int i = 0; i < 6; i++) {
        run_until(&w, has_ended, &t[i].q, 10);
        assert_int_equal(t[i].q.end, DB_DONE);
        assert_string_equal(t[i].json, "\"{sad}\" [\"{sad}\",\"ok, fine\",null] [1,2] [[1,2],[]] "
                                       "[\"(1,\\\"x y\\\")\"] \"\" ");
    }
    uint64_t jobs = stats(&w).jobs;
    t[0].q.ended = false;
    t[0].q.job = db_submit(own(&w), &t[0].q.spec, &typed_ops, &t[0]);
    run_until(&w, has_ended, &t[0].q, 10);
    assert_int_equal(stats(&w).jobs, jobs + 1); /* not asked twice */
    /* made by the transaction itself: text, unless it is committed when the question comes */
    batch(&t[0].q, "create type late as enum ('a')");
    stmt(&t[0].q, "select array['a']::late[]");
    t[0].q.spec.need_types = true;
    t[0].q.job = db_submit(own(&w), &t[0].q.spec, &typed_ops, &t[0]);
    run_until(&w, has_ended, &t[0].q, 10);
    assert_true(strcmp(t[0].json, "\"{a}\" ") == 0 || strcmp(t[0].json, "[\"a\"] ") == 0);
    /* the client leaves while the question is out */
    cluster_sql(&cluster, "create type gone as enum ('a')");
    for (int i = 0; i < 50; i++) {
        exclusive(&t[0].q, "select array['a']::gone[]");
        t[0].q.spec.need_types = true;
        t[0].q.job = db_submit(own(&w), &t[0].q.spec, &typed_ops, &t[0]);
        for (int k = 0; k < i && !t[0].q.ended; k++)
            run_until(&w, is_connected, &w, 1);
        if (!t[0].q.ended)
            db_cancel(t[0].q.job);
    }
    check_idle(&w);
    world_end(&w);
}

struct storm {
    struct world *w;
    struct request *q;
    size_t n, submitted, ended, cancelled;
    uint64_t random;
};

static uint64_t dice(struct storm *s)
{
    s->random = s->random * 6364136223846793005ull + 1442695040888963407ull;
    return s->random >> 33;
}

static bool storm_goes_on(void *arg)
{
    struct storm *s = arg;
    static char marker[16] = "7";
    size_t alive = 0;
    for (size_t i = 0; i < s->submitted; i++) {
        struct request *q = &s->q[i];
        if (q->ended || !q->job)
            continue;
        alive++;
        if (s->cancelled < 1000 && dice(s) % (q->job->state == JOB_SENT ? 4 : 100) == 0) {
            db_cancel(q->job);
            q->job = NULL;
            s->cancelled++;
        }
    }
    for (; alive < 100 && s->submitted < s->n; alive++) {
        struct request *q = &s->q[s->submitted++];
        uint64_t kind = dice(s) % 8;
        if (kind < 3)
            shared(q, kind ? "insert into storm values ($1::int) returning a" : "select $1::text");
        else if (kind == 3)
            shared(q, "select $1::text from pg_sleep(0.003)");
        else if (kind == 4)
            exclusive(q, "select $1::text from pg_sleep(0.003)");
        else if (kind == 5)
            exclusive(q, "select $1::text || length(repeat('x', 3000000))");
        else
            batch(q, "insert into storm values ($1::int) returning a");
        param(q, marker);
        q->stmts[0].prepare = kind < 4;
        submit(s->w, q);
    }
    return s->submitted == s->n && alive == 0;
}

static void test_cancels(void **state)
{
    (void)state;
    enum { N = 6000 };
    struct world w;
    struct storm s = {.w = &w, .n = N, .random = 4711};
    world_start(&w);
    cluster_sql(&cluster, "create table storm (a int)");
    s.q = calloc(N, sizeof *s.q);
    run_until(&w, storm_goes_on, &s, 90);
    size_t inserted = 0;
    for (size_t i = 0; i < N; i++) {
        if (!s.q[i].job)
            continue;
        if (s.q[i].end != DB_DONE)
            fail_msg("%zu: %d %s %s", i, (int)s.q[i].end, s.q[i].code, s.q[i].message);
        inserted += strstr(s.q[i].stmts[0].sql, "insert") != NULL;
        assert_int_equal(s.q[i].text[0], '7');
    }
    assert_int_equal(s.cancelled, 1000);
    struct request q;
    exclusive(&q, "select count(*) from storm");
    run_ok(&w, &q, NULL);
    /* what was cancelled may have been done all the same; what was answered is there */
    assert_true((size_t)atoll(q.text) >= inserted);
    run_until(&w, has_ended, &q, 1);
    check_idle(&w);
    assert_int_equal(stats(&w).connects, 4); /* none was lost */
    print_message("storm: %zu cancels sent, %zu resends, %zu inserted of %s\n",
                  (size_t)stats(&w).cancels, (size_t)stats(&w).resends, inserted, q.text);
    free(s.q);
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_first, before_each),
        cmocka_unit_test_setup(test_order, before_each),
        cmocka_unit_test_setup(test_queue, before_each),
        cmocka_unit_test_setup(test_groups, before_each),
        cmocka_unit_test_setup(test_copy_slips, before_each),
        cmocka_unit_test_setup(test_reset, before_each),
        cmocka_unit_test_setup(test_reset_counted, before_each),
        cmocka_unit_test_setup(test_names, before_each),
        cmocka_unit_test_setup(test_application_name, before_each),
        cmocka_unit_test_setup(test_encoding, before_each),
        cmocka_unit_test_setup(test_pooler, before_each),
        cmocka_unit_test_setup(test_notices, before_each),
        cmocka_unit_test_setup(test_deadlines, before_each),
        cmocka_unit_test_setup(test_patience, before_each),
        cmocka_unit_test_setup(test_leaving, before_each),
        cmocka_unit_test_setup(test_types, before_each),
        cmocka_unit_test_setup(test_cancels, before_each),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
