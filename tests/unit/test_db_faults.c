/* The pool when things go wrong: backends killed, the server gone, logins refused, slow readers,
 * uploads cut, the budget used up. */
#include "unit.h"

#include "db_world.h"

static void test_killed(void **state)
{
    (void)state;
    struct world w;
    struct request q, r[8];
    world_start(&w);
    cluster_sql(&cluster,
                "create table if not exists k (a int primary key);"
                "create function die() returns trigger language plpgsql as "
                "'begin perform pg_terminate_backend(pg_backend_pid()); return null; end';"
                "create table die_late (a int);"
                "create constraint trigger t after insert on die_late deferrable initially "
                "deferred for each row execute function die()");
    /* in the midst of a statement: rolled back for certain */
    exclusive(&q, "select pg_terminate_backend(pg_backend_pid())");
    run(&w, &q);
    assert_int_equal(q.end, DB_FAILED);
    assert_string_equal(q.code, "57P01");
    /* at COMMIT: nobody knows */
    batch(&q, "insert into die_late values (1)");
    run(&w, &q);
    assert_int_equal(q.end, DB_UNKNOWN);
    assert_string_equal(q.code, "08007");
    shared(&q, "insert into die_late values (1)");
    run(&w, &q);
    assert_int_equal(q.end, DB_UNKNOWN);
    shared(&q, "select 1");
    run_ok(&w, &q, "1");
    /* a shared group that was hit is run again once, and the ones behind it */
    for (int i = 0; i < 8; i++) {
        shared(&r[i], i ? "insert into k values ($1::int) returning a"
                        : "select pg_sleep(0.1)::text || $1");
        param(&r[i], i ? (const char *[]){"", "1", "2", "3", "4", "5", "6", "7"}[i] : "x");
        submit(&w, &r[i]);
    }
    exclusive(&q, "select count(pg_terminate_backend(pid)) from pg_stat_activity where pid <> "
                  "pg_backend_pid() and application_name = 'pghttpd'");
    submit(&w, &q);
    run_until(&w, all_ended, &(struct crowd){r, 8}, 10);
    for (int i = 0; i < 8; i++)
        assert_int_equal(r[i].end, DB_DONE);
    run_until(&w, has_ended, &q, 10);
    shared(&q, "select count(*) from k");
    run_ok(&w, &q, "7");
    check_idle(&w);
    world_end(&w);
}

/* Without a word: the server's processes are killed. */
static void test_crash(void **state)
{
    (void)state;
    struct world w;
    struct request q, write, done;
    world_start(&w);
    shared(&done, "select pg_backend_pid()");
    run_ok(&w, &done, NULL);
    exclusive(&write, "select pg_sleep(10)");
    submit(&w, &write);
    exclusive(&q, "select 1 from pg_stat_activity where query like 'select pg_sleep(10)%' and "
                  "state = 'active'");
    do { /* until it runs */
        exclusive(&q, q.stmts[0].sql);
        run(&w, &q);
    } while (q.rows == 0);
    cluster_down(&cluster, SIGQUIT);
    run_until(&w, has_ended, &write, 10);
    assert_int_equal(write.end, DB_UNKNOWN);
    assert_string_equal(write.code, "08007");
    cluster_up(&cluster);
    world_end(&w);
}

static bool is_down(void *arg)
{
    const char *reason;
    return !db_pool_up(own(arg), &reason) && reason;
}

static bool is_up(void *arg)
{
    const char *reason;
    return db_pool_up(own(arg), &reason);
}

static void test_restart(void **state)
{
    (void)state;
    struct world w;
    struct request q;
    world_start(&w);
    for (int i = 0; i < 3; i++) {
        shared(&q, "select 1");
        run_ok(&w, &q, "1");
        cluster_down(&cluster, i == 1 ? SIGQUIT : SIGINT);
        run_until(&w, is_down, &w, 5);
        for (int k = 0; k < 100; k++) { /* at once, with a reason */
            shared(&q, "select 1");
            run(&w, &q);
            assert_int_equal(q.end, DB_NOT_SENT);
            assert_string_equal(q.code, "08001");
            assert_true(q.queue_us + q.connect_us < 200000);
            assert_true(q.retry_after_s >= 1);
        }
        cluster_up(&cluster);
        run_until(&w, is_up, &w, 15); /* by itself */
        shared(&q, "select 1");
        run_ok(&w, &q, "1");
    }
    world_end(&w);
}

/* Writers while backends are killed at random: what is said of each write is checked in the table.
 */
struct writers {
    struct world *w;
    struct request *q;
    char (*keys)[12];
    size_t n, submitted;
    struct request killer;
    size_t kills;
};

static bool writers_go_on(void *arg)
{
    struct writers *s = arg;
    size_t alive = 0;
    for (size_t i = 0; i < s->submitted; i++)
        alive += !s->q[i].ended;
    for (; alive < 24 && s->submitted < s->n; alive++) {
        struct request *q = &s->q[s->submitted];
        if (s->submitted % 3 == 0)
            shared(q, "insert into written values ($1::int) returning a");
        else if (s->submitted % 3 == 1)
            batch(q, "insert into written values ($1::int) returning a");
        else
            exclusive(q, "insert into written values ($1::int) returning a");
        snprintf(s->keys[s->submitted], sizeof s->keys[0], "%zu", s->submitted);
        param(q, s->keys[s->submitted++]);
        submit(s->w, q);
    }
    if (s->killer.ended && s->submitted < s->n) {
        shared(&s->killer, "select count(pg_terminate_backend(pid)) from pg_stat_activity where "
                           "application_name = 'pghttpd' and random() < 0.3");
        submit(s->w, &s->killer);
        s->kills++;
    }
    return s->submitted == s->n && alive == 0 && s->killer.ended;
}

static void test_writers(void **state)
{
    (void)state;
    enum { N = 4000 };
    struct world w;
    struct writers s = {.w = &w, .n = N};
    struct request q;
    size_t count[5] = {0};
    char *there = calloc(N, 1);
    world_start(&w);
    cluster_sql(&cluster, "create table written (a int)");
    s.q = calloc(N, sizeof *s.q);
    s.keys = calloc(N, sizeof *s.keys);
    s.killer.ended = true;
    run_until(&w, writers_go_on, &s, 90);
    for (int i = 0; i < N; i++) {
        shared(&q, "select count(*) from written where a = $1::int");
        param(&q, s.keys[i]);
        q.spec.can_write = false;
        q.stmts[0].prepare = true;
        do
            submit(&w, &q), run_until(&w, has_ended, &q, 10), q.ended = false;
        while (q.end != DB_DONE);
        there[i] = q.text[0];
        count[s.q[i].end]++;
        bool may = s.q[i].end == DB_DONE || s.q[i].end == DB_UNKNOWN;
        bool must = s.q[i].end == DB_DONE;
        if (there[i] > '1' || (must && there[i] != '1') || (!may && there[i] != '0'))
            fail_msg("%d: end %d %s, there %c times", i, (int)s.q[i].end, s.q[i].code, there[i]);
    }
    print_message("writers: %zu done, %zu failed, %zu not sent, %zu unknown, %zu kills\n",
                  count[DB_DONE], count[DB_FAILED], count[DB_NOT_SENT], count[DB_UNKNOWN], s.kills);
    assert_true(count[DB_DONE] > N / 2);
    free(s.q);
    free(s.keys);
    free(there);
    world_end(&w);
}

/* ---- logins ---- */

static void login_as(struct world *w, struct request *q, const char *user, const char *password,
                     const char *database, const char *options)
{
    struct err err;
    struct db_login l = {.user = str_of(user),
                         .password = str_of(password),
                         .database = str_of(database),
                         .options = str_of(options),
                         .address = STR("192.0.2.1")};
    struct db_pool *p = db_pools_login(w->pools, &databases[0], &l, &err);
    if (p) {
        q->job = db_submit(p, &q->spec, &ops, q);
        run_until(w, has_ended, q, 10);
        return;
    }
    q->ended = true;
    q->end = DB_NOT_SENT;
    snprintf(q->code, sizeof q->code, "%s", err.code);
    snprintf(q->message, sizeof q->message, "%.200s", err.message);
}

static void refused(struct world *w, const char *user, const char *password, const char *database,
                    const char *code)
{
    struct request q;
    exclusive(&q, "select 1");
    login_as(w, &q, user, password, database, "");
    assert_int_equal(q.end, DB_NOT_SENT);
    assert_string_equal(q.code, code);
}

static void test_logins(void **state)
{
    (void)state;
    struct world w;
    struct request q;
    world_start(&w);
    cluster_sql(&cluster, "create role ann login password 'right';"
                          "create role bob login password 'right'");
    refused(&w, "ann", "wrong", "postgres", "28P01");
    refused(&w, "ann", "wrong", "postgres", "28P01"); /* from memory */
    assert_int_equal(strmap_count(w.pools->by_key), 0);
    refused(&w, "ann", "", "postgres", "28P01");
    refused(&w, "", "x", "postgres", "28000");
    refused(&w, "open", "anything", "postgres", "28P01"); /* trust in pg_hba.conf */
    refused(&w, "nobody", "x", "postgres", "28P01");
    refused(&w, "ann", "right", "host=127.0.0.2 dbname=postgres", "3D000");
    exclusive(&q, "select current_user || current_setting('work_mem')");
    login_as(&w, &q, "ann", "right", "postgres", "-c work_mem=1MB");
    assert_string_equal(q.text, "ann1MB");
    exclusive(&q, "select current_user || current_setting('work_mem')");
    login_as(&w, &q, "bob", "right", "postgres", "");
    assert_string_equal(q.text, "bob4MB");
    refused(&w, "ann", "wrong", "postgres", "28P01"); /* also while the right one has a pool */
    exclusive(&q, "select current_user");
    login_as(&w, &q, "ann", "right", "postgres", "");
    assert_string_equal(q.text, "ann");
    /* no more than so many in a second from one address; a pool that exists costs nothing */
    conf.login_attempts_max = 3;
    char password[32];
    int busy = 0;
    for (int i = 0; i < 20; i++) {
        snprintf(password, sizeof password, "wrong%d", i % 100);
        exclusive(&q, "select 1");
        login_as(&w, &q, "ann", password, "postgres", "");
        busy += strcmp(q.code, "53300") == 0;
        exclusive(&q, "select 1");
        login_as(&w, &q, "ann", "right", "postgres", "");
        assert_int_equal(q.end, DB_DONE);
    }
    assert_true(busy >= 8);
    world_end(&w);
}

static bool only_own(void *arg)
{
    struct world *w = arg;
    return strmap_count(w->pools->by_key) == 0;
}

/* A password that was changed stops working within login-recheck. */
static void test_recheck(void **state)
{
    (void)state;
    struct world w;
    struct request q;
    conf.login_recheck_us = 500000;
    world_start(&w);
    exclusive(&q, "select current_user");
    login_as(&w, &q, "ann", "right", "postgres", "");
    assert_string_equal(q.text, "ann");
    cluster_sql(&cluster, "alter role ann password 'other'");
    run_until(&w, only_own, &w, 5);
    refused(&w, "ann", "right", "postgres", "28P01");
    cluster_sql(&cluster, "alter role ann password 'right'");
    world_end(&w);
}

/* An idle connection of the login used longest ago makes room; else the job waits. */
static void test_budget(void **state)
{
    (void)state;
    struct world w;
    struct request q, r[3];
    char password[3][8] = {"right", "right", "right"};
    const char *users[3] = {"ann", "bob", "ann"};
    conf.db_connections_max = 2;
    world_start(&w);
    for (int i = 0; i < 6; i++) {
        exclusive(&q, "select current_user");
        login_as(&w, &q, users[i % 3], password[i % 3], "postgres",
                 i % 3 == 2 ? "-c work_mem=2MB" : "");
        assert_string_equal(q.text, users[i % 3]);
    }
    exclusive(&r[0], "select pg_sleep(0.2)");
    exclusive(&r[1], "select pg_sleep(0.2)");
    shared(&r[2], "select 3");
    for (int i = 0; i < 2; i++) {
        struct err err;
        struct db_login l = {
            .user = str_of(users[i]), .password = STR("right"), .database = STR("postgres")};
        r[i].job =
            db_submit(db_pools_login(w.pools, &databases[0], &l, &err), &r[i].spec, &ops, &r[i]);
    }
    submit(&w, &r[2]);
    run_until(&w, all_ended, &(struct crowd){r, 3}, 10);
    for (int i = 0; i < 3; i++)
        assert_int_equal(r[i].end, DB_DONE);
    world_end(&w);
}

/* ---- streams ---- */

struct reader {
    struct world *w;
    struct request q;
    struct loop_timer timer;
    size_t pauses;
    uint64_t bytes, max_rss_kb;
};

static uint64_t rss_kb(void)
{
#ifdef __SANITIZE_ADDRESS__
    return 0; /* its quarantine keeps what was freed */
#endif
    char line[128];
    uint64_t kb = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, "VmRSS:", 6) == 0)
            kb = strtoull(line + 6, NULL, 10);
    if (f)
        fclose(f);
    return kb;
}

static void on_slow(void *arg)
{
    struct reader *r = arg;
    if (!r->q.ended)
        db_job_resume(r->q.job);
}

static bool on_row(void *arg, size_t i, const struct db_result *res)
{
    struct reader *r = arg;
    (void)i;
    if (db_result_kind(res) != DB_RESULT_ROW)
        return true;
    r->bytes += db_result_value(res, 0, 0).n;
    if (++r->q.rows % 20 == 0) {
        uint64_t kb = rss_kb();
        r->max_rss_kb = kb > r->max_rss_kb ? kb : r->max_rss_kb;
        r->pauses++;
        db_job_pause(r->q.job);
        loop_timer_set(&r->timer, 500);
    }
    return !r->q.refuse || r->q.rows < 100;
}

static void on_read_done(void *arg, const struct db_outcome *o)
{
    struct reader *r = arg;
    on_done(&r->q, o);
}

static const struct db_ops reader_ops = {.on_result = on_row, .on_done = on_read_done};

static void reader_start(struct reader *r, struct world *w, enum db_travel travel, const char *sql)
{
    *r = (struct reader){.w = w};
    loop_timer_init(&r->timer, w->loop, on_slow, r);
    shared(&r->q, sql);
    r->q.spec.travel = travel;
    r->q.spec.stream_rows = true;
    r->q.job = db_submit(own(w), &r->q.spec, &reader_ops, r);
}

static void test_stream(void **state)
{
    (void)state;
    struct world w;
    struct reader r;
    struct request q, many[50];
    world_start(&w);
    uint64_t before = rss_kb();
    reader_start(&r, &w, DB_SHARED, "select repeat('x', 100000) from generate_series(1, 2000)");
    for (int i = 0; i < 50; i++) { /* nobody waits behind a slow reader */
        shared(&many[i], "select 1");
        submit(&w, &many[i]);
    }
    run_until(&w, all_ended, &(struct crowd){many, 50}, 5);
    assert_false(r.q.ended);
    run_until(&w, has_ended, &r.q, 60);
    assert_int_equal(r.q.end, DB_DONE);
    assert_int_equal(r.bytes, 200000000);
    assert_true(r.pauses >= 99);
    assert_true(r.max_rss_kb < before + 16384);
    /* refused in the middle: cancelled, and the connection serves on */
    reader_start(&r, &w, DB_EXCLUSIVE,
                 "select repeat('x', 100000) from generate_series(1, 100000)");
    r.q.refuse = true;
    run_until(&w, has_ended, &r.q, 20);
    assert_int_equal(r.q.end, DB_FAILED);
    assert_string_equal(r.q.code, "57014");
    /* the reader leaves while it is paused */
    reader_start(&r, &w, DB_SHARED, "select repeat('x', 100000) from generate_series(1, 100000)");
    while (r.pauses == 0)
        event_base_loop(loop_base(w.loop), EVLOOP_ONCE), run_until(&w, is_up, &w, 1);
    loop_timer_stop(&r.timer);
    db_cancel(r.q.job);
    for (int i = 0; i < 20; i++) {
        exclusive(&q, "select 1");
        run_ok(&w, &q, "1");
    }
    check_idle(&w);
    world_end(&w);
}

/* ---- COPY ---- */

struct copier {
    struct world *w;
    struct db_stmt stmt;
    struct db_job_spec spec;
    struct db_job *job;
    size_t lines, sent, stalls, chunks;
    uint64_t bytes;
    bool ended, cut;
    enum db_end end;
    char code[8], message[128], tag[64];
};

static void on_copy_ready(void *arg)
{
    struct copier *c = arg;
    static char block[8192];
    memset(block, 'y', sizeof block);
    block[sizeof block - 1] = '\n';
    while (c->sent < c->lines) {
        c->sent++;
        if (!db_copy_put(c->job, (struct str){block, sizeof block})) {
            c->stalls++;
            return;
        }
    }
    db_copy_end(c->job, c->cut ? "the upload was cut" : NULL);
}

static bool on_copy_data(void *arg, struct str data)
{
    struct copier *c = arg;
    c->bytes += data.n;
    c->chunks++;
    return true;
}

static void on_copy_done(void *arg, const struct db_outcome *o, struct str tag)
{
    struct copier *c = arg;
    c->ended = true;
    c->end = o->end;
    snprintf(c->tag, sizeof c->tag, "%.*s", STR_ARG(tag));
    snprintf(c->code, sizeof c->code, "%s", o->end == DB_DONE ? "" : o->error.code);
    snprintf(c->message, sizeof c->message, "%.100s", o->end == DB_DONE ? "" : o->error.message);
}

static const struct db_copy_ops copy_ops = {
    .on_ready = on_copy_ready, .on_data = on_copy_data, .on_done = on_copy_done};

static bool copy_ended(void *arg)
{
    return ((struct copier *)arg)->ended;
}

static void copy_start(struct copier *c, struct world *w, const char *sql)
{
    c->w = w;
    c->stmt = (struct db_stmt){.sql = sql, .sql_len = strlen(sql)};
    c->spec.stmts = &c->stmt;
    c->spec.n = 1;
    c->spec.travel = DB_EXCLUSIVE;
    c->spec.can_write = c->spec.leaves_state = true;
    c->job = db_submit_copy(own(w), &c->spec, &copy_ops, c);
}

static void copy_run(struct copier *c, struct world *w, const char *sql)
{
    copy_start(c, w, sql);
    run_until(w, copy_ended, c, 60);
}

static void test_copy(void **state)
{
    (void)state;
    struct world w;
    struct request q;
    conf.db_connections_max = 1;
    world_start(&w);
    cluster_sql(&cluster, "create unlogged table c (a text)");
    struct copier c = {.lines = 20000};
    uint64_t before = rss_kb();
    copy_run(&c, &w, "copy c from stdin");
    assert_string_equal(c.message, "");
    assert_string_equal(c.tag, "COPY 20000");
    assert_true(c.stalls > 0);
    assert_true(rss_kb() < before + 16384);
    shared(&q, "select count(*) from c");
    run_ok(&w, &q, "20000");
    c = (struct copier){0};
    copy_run(&c, &w, "copy c to stdout");
    assert_string_equal(c.tag, "COPY 20000");
    assert_int_equal(c.bytes, 20000 * 8192);
    /* cut: nothing stays */
    c = (struct copier){.lines = 10, .cut = true};
    copy_run(&c, &w, "copy c from stdin");
    assert_int_equal(c.end, DB_FAILED);
    assert_non_null(strstr(c.message, "the upload was cut"));
    c = (struct copier){.lines = 10, .spec.in_transaction = true, .spec.rollback = true};
    copy_run(&c, &w, "copy c from stdin");
    assert_int_equal(c.end, DB_DONE);
    shared(&q, "select count(*) from c");
    run_ok(&w, &q, "20000");
    /* no COPY, and a broken one */
    c = (struct copier){0};
    copy_run(&c, &w, "select 1");
    assert_string_equal(c.code, "42601");
    c = (struct copier){0};
    copy_run(&c, &w, "copy nowhere to stdout");
    assert_string_equal(c.code, "42P01");
    c = (struct copier){.spec.in_transaction = true, .spec.read_only = true};
    copy_run(&c, &w, "copy c from stdin");
    assert_string_equal(c.code, "25006");
    /* the client leaves: before, and in the midst of both ways */
    c = (struct copier){.lines = 1000000};
    copy_start(&c, &w, "copy c from stdin");
    db_cancel(c.job);
    c = (struct copier){.lines = 1000000};
    copy_start(&c, &w, "copy c from stdin");
    while (c.stalls == 0)
        run_until(&w, is_up, &w, 5);
    db_cancel(c.job);
    shared(&q, "select count(*) from c");
    run_ok(&w, &q, "20000");
    c = (struct copier){0};
    copy_start(&c, &w, "copy c to stdout");
    while (c.chunks == 0)
        run_until(&w, is_up, &w, 5);
    db_cancel(c.job);
    shared(&q, "select 1");
    run_ok(&w, &q, "1");
    /* the deadline */
    c = (struct copier){.spec.timeout_us = 100000};
    copy_run(&c, &w, "copy (select pg_sleep(5)) to stdout");
    assert_int_equal(c.end, DB_TIMED_OUT);
    check_idle(&w);
    assert_int_equal(stats(&w).connects, 1); /* all on one connection */
    world_end(&w);
}

/* ---- the end ---- */

static void on_drained(void *arg)
{
    *(bool *)arg = true;
}

static bool is_true(void *arg)
{
    return *(bool *)arg;
}

static void test_drain(void **state)
{
    (void)state;
    struct world w;
    struct request q[10], late;
    bool drained = false;
    world_start(&w);
    for (int i = 0; i < 10; i++) {
        exclusive(&q[i], "select pg_sleep(0.1)");
        submit(&w, &q[i]);
    }
    db_pools_drain(w.pools, on_drained, &drained);
    exclusive(&late, "select 1");
    submit(&w, &late);
    run_until(&w, is_true, &drained, 5);
    for (int i = 0; i < 10; i++)
        assert_int_equal(q[i].end, DB_DONE);
    assert_int_equal(late.end, DB_NOT_SENT);
    assert_int_equal(stats(&w).size, 0);
    world_end(&w);
    /* and without regard */
    world_start(&w);
    for (int i = 0; i < 10; i++) {
        exclusive(&q[i], "select pg_sleep(10)");
        submit(&w, &q[i]);
    }
    shared(&late, "select 1");
    while (stats(&w).busy < 4)
        run_until(&w, is_up, &w, 5);
    world_end(&w);
    for (int i = 0; i < 10; i++) {
        assert_true(q[i].ended);
        assert_int_equal(q[i].end, i < 4 ? DB_UNKNOWN : DB_NOT_SENT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_killed, before_each),
        cmocka_unit_test_setup(test_writers, before_each),
        cmocka_unit_test_setup(test_logins, before_each),
        cmocka_unit_test_setup(test_recheck, before_each),
        cmocka_unit_test_setup(test_budget, before_each),
        cmocka_unit_test_setup(test_stream, before_each),
        cmocka_unit_test_setup(test_copy, before_each),
        cmocka_unit_test_setup(test_drain, before_each),
        cmocka_unit_test_setup(test_crash, before_each),
        cmocka_unit_test_setup(test_restart, before_each),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
