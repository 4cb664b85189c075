/* Jobs that yield against a real server: who shares a connection, and who leaves it when one among
 * them takes long. */
#include "unit.h"

#include <time.h>

#include "db_world.h"

static void quick(struct request *q, const char *sql, const char *value)
{
    *q = (struct request){.spec = {.travel = DB_SHARED,
                                   .yields = true,
                                   .foreign = true,
                                   .can_write = true,
                                   .stream_rows = true}};
    stmt(q, sql);
    param(q, value);
}

/* The pool has seen that this text is quick. */
static void teach(struct world *w, const char *sql, const char *value)
{
    struct request q;
    for (int i = 0; i < 50; i++) {
        quick(&q, sql, value);
        run_ok(w, &q, NULL);
    }
}

static void test_pace(void **state)
{
    (void)state;
    struct pace *p = pace_new();
    uint64_t a = stmt_text_hash(STR("select a")), b = stmt_text_hash(STR("select b"));
    assert_int_equal(pace_us(p, a), PACE_UNKNOWN);
    pace_note(p, a, 900);
    assert_int_equal(pace_us(p, a), 900);
    assert_int_equal(pace_us(p, b), PACE_UNKNOWN);
    for (int i = 0; i < 100; i++)
        pace_note(p, a, i % 3 ? 700 : 50); /* mostly waiting: near what it takes without */
    assert_in_range(pace_us(p, a), 50, 120);
    pace_note(p, a, 3600 * 1000000ull);
    assert_in_range(pace_us(p, a), 50, 130); /* one of them says little */
    pace_slow(p, a);
    assert_int_equal(pace_us(p, a), PACE_SLOW_US);
    for (int i = 0; i < 20; i++)
        pace_note(p, a, 60);
    assert_in_range(pace_us(p, a), 60, PACE_SLOW_US / 2 - 1);
    for (int i = 0; i < 1000; i++)
        pace_note(p, b, PACE_SLOW_US * 2ull);
    assert_int_equal(pace_us(p, b), PACE_SLOW_US);
    pace_free(p);
}

static uint64_t shape(const char *text)
{
    return stmt_shape_hash(str_of(text));
}

static void test_shape(void **state)
{
    (void)state;
    uint64_t a = shape("select * from t1 where id = 5 and name = 'a' and x > -1.5e3");
    assert_int_equal(a,
                     shape("select * from t1 where id = 77 and name = 'it''s 5' and x > -.25e3"));
    assert_int_not_equal(a, shape("select * from t2 where id = 5 and name = 'a' and x > -1.5e3"));
    assert_int_not_equal(a, shape("select * from t1 where id = 5 and nam2 = 'a' and x > -1.5e3"));
    assert_int_not_equal(shape("select 1"), shape("select 1 "));
    assert_int_equal(shape("select 'open"), shape("select 'never closed"));
    assert_int_equal(shape(""), 0);
}

/* Texts with their values in them: each comes once, and travels in company as those of its shape
 * did. */
static void test_values_in_the_text(void **state)
{
    (void)state;
    enum { N = 8 };
    struct world w;
    static struct request q[N];
    static char text[N + 50][80];
    conf.db_pipeline_patience_us = 500000;
    world_start(&w);
    for (int i = 0; i < N + 50; i++)
        snprintf(text[i], sizeof *text, "select pg_backend_pid() + %d * 0 + length($1) - 1", i);
    for (int i = N; i < N + 50; i++) {
        quick(&q[0], text[i], "0");
        q[0].stmts[0].prepare = true;
        run_ok(&w, &q[0], NULL);
    }
    for (int i = 0; i < N; i++) {
        quick(&q[i], text[i], "0");
        q[i].stmts[0].prepare = true;
        submit(&w, &q[i]);
    }
    run_until(&w, all_ended, &(struct crowd){q, N}, 10);
    for (int i = 1; i < N; i++)
        assert_string_equal(q[i].text, q[0].text);
    check_idle(&w);
    world_end(&w);
}

static void test_prepared_at_second_sight(void **state)
{
    (void)state;
    struct world w;
    struct request q, names;
    char text[80];
    databases[0].db_pool = 1; /* names are a connection's */
    world_start(&w);
    for (int i = 0; i < 10; i++) {
        snprintf(text, sizeof text, "select %d * 0 + length($1)", i);
        quick(&q, text, "0");
        q.stmts[0].prepare = true;
        run_ok(&w, &q, "1");
    }
    shared(&names, "select count(*) from pg_prepared_statements");
    run_ok(&w, &names, "0");
    for (int i = 0; i < 2; i++) {
        quick(&q, text, "0");
        q.stmts[0].prepare = true;
        run_ok(&w, &q, "1");
    }
    shared(&names, "select count(*) from pg_prepared_statements");
    run_ok(&w, &names, "1");
    check_idle(&w);
    world_end(&w);
}

static void test_company(void **state)
{
    (void)state;
    enum { N = 8 };
    static const char sql[] = "select pg_backend_pid() from (select pg_sleep($1::float8)) s";
    struct world w;
    static struct request q[N];
    conf.db_pipeline_patience_us = 500000; /* far more than all of them take */
    world_start(&w);
    teach(&w, sql, "0");
    for (int i = 0; i < N; i++) {
        quick(&q[i], sql, "0");
        submit(&w, &q[i]);
    }
    run_until(&w, all_ended, &(struct crowd){q, N}, 10);
    for (int i = 0; i < N; i++)
        assert_string_equal(q[i].text, q[0].text);
    /* that others stood behind is no transaction left open */
    cluster_sql(&cluster, "do $$ begin if exists (select from pg_stat_activity where query = "
                          "'ROLLBACK') then raise 'rolled back'; end if; end $$");
    conf.db_pipeline_depth = 1; /* is no sharing */
    for (int i = 0; i < N; i++) {
        quick(&q[i], sql, "0.2"); /* meanwhile others connect */
        submit(&w, &q[i]);
    }
    run_until(&w, all_ended, &(struct crowd){q, N}, 10);
    bool same = true;
    for (int i = 0; i < N; i++)
        same = same && strcmp(q[i].text, q[0].text) == 0;
    assert_false(same);
    world_end(&w);
}

/* Works like SELECT of a view whose function writes: what it did before it was thrown out is
 * undone. */
static const char writing[] = "select note($1::float8)";

static void make_notes(struct world *w)
{
    struct request q;
    exclusive(&q, "create table notes (at timestamptz default clock_timestamp())");
    run_ok(w, &q, NULL);
    exclusive(&q, "create function note(seconds float8) returns int language plpgsql as $$ begin "
                  "insert into notes default values; perform pg_sleep(seconds); return 1; end $$");
    run_ok(w, &q, NULL);
}

static void test_thrown(void **state)
{
    (void)state;
    enum { N = 6 };
    struct world w;
    struct request slow;
    static struct request q[N];
    databases[0].db_pool = 2;
    conf.db_pipeline_patience_us = 2000;
    world_start(&w);
    make_notes(&w);
    teach(&w, writing, "0");
    quick(&slow, writing, "3");
    submit(&w, &slow);
    for (int i = 0; i < N; i++) {
        quick(&q[i], writing, "0");
        submit(&w, &q[i]);
    }
    run_until(&w, all_ended, &(struct crowd){q, N}, 2); /* before the slow one */
    assert_false(slow.ended);
    run_until(&w, has_ended, &slow, 10);
    assert_int_equal(slow.end, DB_DONE);
    assert_true(slow.db_us > 3000000);
    for (int i = 0; i < N; i++)
        assert_int_equal(q[i].end, DB_DONE);
    assert_true(stats(&w).resends > 0);
    shared(&slow, "select count(*) from notes");
    run_ok(&w, &slow, "57"); /* 50 taught, 6, and the slow one: once */
    /* now known to be slow: nobody is placed behind it any more, and nothing is cancelled */
    uint64_t cancels = stats(&w).cancels;
    quick(&slow, writing, "0.2");
    submit(&w, &slow);
    quick(&q[0], writing, "0");
    submit(&w, &q[0]);
    run_until(&w, has_ended, &slow, 10);
    run_until(&w, has_ended, &q[0], 10);
    assert_int_equal(stats(&w).cancels, cancels);
    check_idle(&w);
    world_end(&w);
}

/* A group of our own, settings first, is thrown out whole. */
static void group(struct request *q, const char *value)
{
    *q = (struct request){.spec = {.travel = DB_SHARED, .yields = true, .can_write = true}};
    stmt(q, "select set_config('a.b', $1, true)");
    param(q, "x");
    stmt(q, "select note($1::float8) from pg_sleep(0)");
    param(q, value);
}

static void test_thrown_group(void **state)
{
    (void)state;
    struct world w;
    struct request slow, q;
    databases[0].db_pool = 1;
    conf.db_pipeline_patience_us = 2000;
    world_start(&w);
    exclusive(&q, "truncate notes");
    run_ok(&w, &q, NULL);
    /* not known yet: it is not cut short, and nobody is placed behind it */
    group(&slow, "0.1");
    submit(&w, &slow);
    group(&q, "0");
    submit(&w, &q);
    run_until(&w, has_ended, &q, 2);
    assert_true(slow.ended);
    assert_int_equal(stats(&w).cancels, 0);
    for (int i = 0; i < 40; i++) {
        group(&q, "0");
        run_ok(&w, &q, NULL);
    }
    group(&slow, "1");
    submit(&w, &slow);
    group(&q, "0");
    submit(&w, &q);
    run_until(&w, has_ended, &q, 1);
    assert_false(slow.ended);
    run_until(&w, has_ended, &slow, 10);
    assert_int_equal(q.end, DB_DONE);
    assert_int_equal(slow.end, DB_DONE);
    assert_int_equal(slow.results, 2);
    assert_int_equal(stats(&w).cancels, 1);
    shared(&q, "select count(*) from notes");
    run_ok(&w, &q, "44");
    check_idle(&w);
    world_end(&w);
}

/* Slow reads on a small pool: each is cut short once at most, none runs twice to its end. */
static void test_slow_reads(void **state)
{
    (void)state;
    enum { N = 5 };
    struct world w;
    static struct request q[N];
    struct timespec from, to;
    databases[0].db_pool = 1;
    world_start(&w);
    shared(&q[0], "select 1");
    run_ok(&w, &q[0], "1");
    clock_gettime(CLOCK_MONOTONIC, &from);
    for (int i = 0; i < N; i++) {
        q[i] = (struct request){.spec = {.travel = DB_SHARED, .yields = true}};
        stmt(&q[i], "select pg_sleep(0.4)::text || 'x'");
        submit(&w, &q[i]);
    }
    run_until(&w, all_ended, &(struct crowd){q, N}, 20);
    clock_gettime(CLOCK_MONOTONIC, &to);
    for (int i = 0; i < N; i++)
        assert_string_equal(q[i].text, "x");
    assert_true((double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9 <
                N * 0.4 + 0.5);
    check_idle(&w);
    world_end(&w);
}

/* ---- results that were already handed over ---- */

struct taken {
    struct request q;
    unsigned again;
    bool said_long, deny;
};

static bool on_taken(void *arg, size_t i, const struct db_result *r)
{
    struct taken *t = arg;
    bool more = on_result(&t->q, i, r);
    if (t->said_long && t->q.rows > 10)
        t->said_long = !db_job_long(t->q.job);
    return more;
}

static bool on_taken_again(void *arg)
{
    struct taken *t = arg;
    t->again++;
    t->q.rows = t->q.results = 0;
    return !t->deny;
}

static void on_taken_done(void *arg, const struct db_outcome *o)
{
    on_done(&((struct taken *)arg)->q, o);
}

static const struct db_ops taken_ops = {
    .on_result = on_taken, .on_again = on_taken_again, .on_done = on_taken_done};

/* A row, then a rest, then the others. */
static const char slow_rows[] =
    "select i, case when i = 20 then pg_sleep($1::float8) end from generate_series(1, 40) i";

static void submit_taken(struct world *w, struct taken *t, const char *sql, const char *value)
{
    quick(&t->q, sql, value);
    t->q.job = db_submit(own(w), &t->q.spec, &taken_ops, t);
}

static void test_again(void **state)
{
    (void)state;
    struct world w;
    struct taken t = {.again = 0};
    struct request behind;
    databases[0].db_pool = 1;
    conf.db_pipeline_patience_us = 2000;
    world_start(&w);
    teach(&w, slow_rows, "0");
    teach(&w, "select $1::int", "1");
    submit_taken(&w, &t, slow_rows, "1.5");
    quick(&behind, "select $1::int", "1");
    submit(&w, &behind);
    run_until(&w, has_ended, &behind, 1);
    assert_false(t.q.ended);
    run_until(&w, has_ended, &t.q, 10);
    assert_int_equal(t.q.end, DB_DONE);
    assert_int_equal(t.again, 1);
    assert_int_equal(t.q.rows, 40);
    world_end(&w);
}

/* Its reader is slow: with somebody behind it it goes, and comes again with nobody. */
static void test_long(void **state)
{
    (void)state;
    static const char sql[] = "select repeat('x', 2000) from generate_series(1, $1::int)";
    struct world w;
    struct taken t = {.said_long = true};
    struct request behind;
    databases[0].db_pool = 1;
    conf.db_pipeline_patience_us = 2000000; /* on_stuck does not come into it */
    world_start(&w);
    teach(&w, "select $1::int", "1");
    teach(&w, sql, "1");
    submit_taken(&w, &t, sql, "20000");
    quick(&behind, "select $1::int", "1");
    submit(&w, &behind);
    run_until(&w, has_ended, &behind, 5);
    run_until(&w, has_ended, &t.q, 10);
    assert_int_equal(t.q.end, DB_DONE);
    assert_int_equal(t.q.rows, 20000);
    assert_int_equal(t.again, 1);
    assert_false(t.said_long); /* the second time nobody stood behind it */
    check_idle(&w);
    world_end(&w);
}

/* The deadline of one that stands behind a slow one is its own. */
static void test_deadline_behind(void **state)
{
    (void)state;
    struct world w;
    struct request slow, q;
    databases[0].db_pool = 1;
    conf.db_pipeline_patience_us = 1000000;
    world_start(&w);
    shared(&slow, "select pg_sleep(1.5)");
    submit(&w, &slow);
    shared(&q, "select 1");
    q.spec.can_write = false;
    q.spec.timeout_us = 100000;
    submit(&w, &q);
    run_until(&w, has_ended, &q, 1);
    assert_false(slow.ended);
    assert_int_equal(q.end, DB_TIMED_OUT);
    assert_string_equal(q.code, "57014");
    run_until(&w, has_ended, &slow, 10);
    assert_int_equal(slow.end, DB_DONE);
    check_idle(&w);
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pace),
        cmocka_unit_test(test_shape),
        cmocka_unit_test_setup(test_values_in_the_text, before_each),
        cmocka_unit_test_setup(test_prepared_at_second_sight, before_each),
        cmocka_unit_test_setup(test_company, before_each),
        cmocka_unit_test_setup(test_thrown, before_each),
        cmocka_unit_test_setup(test_thrown_group, before_each),
        cmocka_unit_test_setup(test_slow_reads, before_each),
        cmocka_unit_test_setup(test_again, before_each),
        cmocka_unit_test_setup(test_long, before_each),
        cmocka_unit_test_setup(test_deadline_behind, before_each),
    };
    return cmocka_run_group_tests_name("db_quick", tests, setup, teardown);
}
