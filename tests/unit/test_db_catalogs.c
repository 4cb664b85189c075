/* Loading catalogs from a real server: what a load leaves to a helper's thread, and what becomes of
 * it when nobody wants it any more. */
#include "unit.h"

#include <dirent.h>
#include <pthread.h>
#include <semaphore.h>

#include "db_world.h"
#include "rest/catalog_load.h"
#include "rest/catalogs.h"

#define TABLES "2000"

static const char *const schemas[] = {"api"};

static int before(void **state)
{
    before_each(state);
    databases[0].db_schemas = (struct conf_list){schemas, 1};
    return 0;
}

static void *no_work(void *arg)
{
    return arg;
}

static int make_tables(void **state)
{
    pthread_t first; /* ThreadSanitizer begins one of its own then: threads are counted here */
    pthread_create(&first, NULL, no_work, NULL);
    pthread_join(first, NULL);
    setup(state);
    cluster_sql(&cluster, "create schema api");
    cluster_sql(&cluster,
                "do $$ begin for i in 1.." TABLES " loop execute format("
                "'create table api.t%s (id int primary key, parent int %s, name text)', i, "
                "case when i > 1 then 'references api.t' || i - 1 else '' end);"
                "if i % 100 = 0 then commit; end if; end loop; end $$");
    return 0;
}

static unsigned threads(void)
{
    unsigned n = 0;
    DIR *dir = opendir("/proc/self/task");
    while (dir && readdir(dir))
        n++;
    closedir(dir);
    return n;
}

static bool are_threads(void *arg)
{
    return threads() == *(unsigned *)arg;
}

/* ---- one load, and a helper that is kept busy ---- */

static void wait_for(void *arg)
{
    sem_wait(arg);
}

static void nothing(void *arg)
{
    (void)arg;
}

struct attempt {
    struct world w;
    struct helpers *helpers;
    sem_t busy;
    struct catalog_load *load;
    struct catalog *catalog;
    unsigned ends;
    unsigned threads; /* there are without a helper */
};

static void on_end(void *arg, struct catalog *catalog, const struct err *err)
{
    struct attempt *a = arg;
    assert_true(catalog || err->status);
    a->catalog = catalog;
    a->load = NULL;
    a->ends++;
}

static void attempt_start(struct attempt *a)
{
    struct err err;
    *a = (struct attempt){.threads = threads()};
    world_start(&a->w);
    sem_init(&a->busy, 0, 0);
    a->helpers = helpers_new(a->w.loop, 1, &err);
    helpers_run(
        a->helpers,
        &(struct helpers_job){.work = wait_for, .done = nothing, .drop = nothing, .arg = &a->busy});
    a->load = catalog_load_start(&(struct catalog_load_spec){.loop = a->w.loop,
                                                             .helpers = a->helpers,
                                                             .pool = own(&a->w),
                                                             .conf = &conf,
                                                             .db = &databases[0],
                                                             .done = on_end,
                                                             .arg = a});
}

/* All rows are in, and the load stands in the helper's line. */
static bool is_read(void *arg)
{
    struct attempt *a = arg;
    struct db_pool_stats s = stats(&a->w);
    return s.jobs == 1 && s.busy == 0 && s.waiting == 0 && s.connecting == 0;
}

static bool is_over(void *arg)
{
    struct attempt *a = arg;
    return a->ends > 0;
}

static void attempt_end(struct attempt *a)
{
    helpers_free(a->helpers);
    catalog_unref(a->catalog);
    run_until(&a->w, are_threads, &a->threads, 30);
    world_end(&a->w);
    sem_destroy(&a->busy);
}

static void test_load(void **state)
{
    struct attempt a;
    (void)state;
    attempt_start(&a);
    run_until(&a.w, is_read, &a, 30);
    assert_int_equal(a.ends, 0); /* not before a helper made it */
    sem_post(&a.busy);
    run_until(&a.w, is_over, &a, 30);
    assert_non_null(a.catalog);
    assert_int_equal(catalog_info(a.catalog).tables, atoi(TABLES));
    assert_int_equal(catalog_info(a.catalog).relationships, 2 * (atoi(TABLES) - 1));
    attempt_end(&a);
}

static void test_cancel_while_rows_come(void **state)
{
    struct attempt a;
    (void)state;
    attempt_start(&a);
    catalog_load_cancel(a.load);
    sem_post(&a.busy);
    check_idle(&a.w);
    assert_int_equal(a.ends, 0);
    attempt_end(&a);
}

static void set(void *arg)
{
    *(bool *)arg = true;
}

static bool is_set(void *arg)
{
    return *(bool *)arg;
}

/* The helper makes it nevertheless; it is freed on its way back. */
static void test_cancel_while_built(void **state)
{
    struct attempt a;
    bool behind = false;
    (void)state;
    attempt_start(&a);
    run_until(&a.w, is_read, &a, 30);
    catalog_load_cancel(a.load);
    helpers_run(a.helpers, &(struct helpers_job){
                               .work = nothing, .done = set, .drop = nothing, .arg = &behind});
    sem_post(&a.busy);
    run_until(&a.w, is_set, &behind, 30);
    assert_int_equal(a.ends, 0);
    attempt_end(&a);
}

/* The end of the program comes first: while it is waiting in line, or under way. */
static void test_helpers_end_first(void **state)
{
    (void)state;
    for (int under_way = 0; under_way < 2; under_way++) {
        struct attempt a;
        attempt_start(&a);
        run_until(&a.w, is_read, &a, 30);
        catalog_load_cancel(a.load);
        if (under_way)
            sem_post(&a.busy);
        helpers_free(a.helpers);
        a.helpers = NULL;
        if (!under_way)
            sem_post(&a.busy);
        assert_int_equal(a.ends, 0);
        attempt_end(&a);
    }
}

/* ---- the catalogs of a process ---- */

struct process {
    struct world w;
    struct rest_catalogs *catalogs;
    unsigned loaded, failed, want;
    unsigned threads; /* there are without a helper */
};

static void on_loaded(void *arg, const struct conf_database *db, bool loaded)
{
    struct process *p = arg;
    assert_ptr_equal(db, &databases[0]);
    p->loaded += loaded;
    p->failed += !loaded;
}

static bool has_loaded(void *arg)
{
    struct process *p = arg;
    return p->loaded >= p->want;
}

static void process_start(struct process *p)
{
    static const struct rest_catalogs_ops process_ops = {.on_loaded = on_loaded};
    struct err err;
    *p = (struct process){.want = 1, .threads = threads()};
    world_start(&p->w);
    p->catalogs = rest_catalogs_new(&conf);
    assert_true(rest_catalogs_start(p->catalogs, p->w.loop, p->w.pools, &process_ops, p, &err));
    run_until(&p->w, has_loaded, p, 30);
    run_until(&p->w, are_threads, &p->threads, 30);
}

static void process_end(struct process *p)
{
    rest_catalogs_free(p->catalogs);
    run_until(&p->w, are_threads, &p->threads, 30); /* it waits for none */
    world_end(&p->w);
}

/* However many reloads are asked for while one runs: one more. */
static void test_reload_while_loading(void **state)
{
    struct process p;
    (void)state;
    process_start(&p);
    struct catalog *old = rest_catalogs_get(p.catalogs, &databases[0]);
    uint64_t version = catalog_info(old).version;
    for (int i = 0; i < 5; i++)
        rest_catalogs_reload_all(p.catalogs);
    p.want = 3;
    run_until(&p.w, has_loaded, &p, 30);
    run_until(&p.w, are_threads, &p.threads, 30);
    check_idle(&p.w);
    assert_int_equal(p.loaded, 3);
    assert_int_equal(p.failed, 0);
    assert_int_equal(rest_catalogs_stats(p.catalogs).loads, 3);
    struct catalog *now = rest_catalogs_get(p.catalogs, &databases[0]);
    assert_int_equal(catalog_info(now).version, version + 2);
    /* a request that has the old one keeps it */
    assert_non_null(catalog_table(old, STR("api"), STR("t1")));
    catalog_unref(old);
    catalog_unref(now);
    process_end(&p);
}

struct watcher {
    struct process *p;
    struct loop_timer timer;
    bool seen;
};

static void on_look(void *arg)
{
    struct watcher *watcher = arg;
    watcher->seen = threads() > watcher->p->threads;
    if (watcher->seen || watcher->p->loaded > 1)
        loop_stop(watcher->p->w.loop);
    else
        loop_timer_set(&watcher->timer, 0);
}

/* Stopped at the moment when a helper's thread is seen at work. It may end in just that moment, so
 * it is tried until it was there. */
static void test_stop_while_built(void **state)
{
    unsigned seen = 0;
    (void)state;
    for (unsigned i = 0; i < 20 && seen < 2; i++) {
        struct process p;
        process_start(&p);
        struct watcher watcher = {.p = &p};
        rest_catalogs_reload_all(p.catalogs);
        loop_timer_init(&watcher.timer, p.w.loop, on_look, &watcher);
        loop_timer_set(&watcher.timer, 0);
        loop_run(p.w.loop);
        rest_catalogs_stop(p.catalogs);
        unsigned loaded = p.loaded;
        if (i % 2) /* the loop may go on a while, or not */
            run_until(&p.w, are_threads, &p.threads, 30);
        assert_int_equal(p.loaded, loaded);
        seen += watcher.seen && loaded == 1;
        process_end(&p);
    }
    assert_true(seen > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_load, before),
        cmocka_unit_test_setup(test_cancel_while_rows_come, before),
        cmocka_unit_test_setup(test_cancel_while_built, before),
        cmocka_unit_test_setup(test_helpers_end_first, before),
        cmocka_unit_test_setup(test_reload_while_loading, before),
        cmocka_unit_test_setup(test_stop_while_built, before),
    };
    return cmocka_run_group_tests_name("db_catalogs", tests, make_tables, teardown);
}
