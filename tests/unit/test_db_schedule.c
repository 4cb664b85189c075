#include "unit.h"

#include "db/schedule.h"

static const struct sched_policy policy = {.depth_max = 16, .patience_us = 1000};

static struct sched_job job(uint32_t cost_us)
{
    return (struct sched_job){.shared = true, .cost_us = cost_us};
}

/* ---- cost ---- */

static void test_cost(void **state)
{
    (void)state;
    const struct db_job_spec read = {.travel = DB_SHARED},
                             write = {.travel = DB_SHARED, .can_write = true},
                             quick_read = {.travel = DB_SHARED, .yields = true, .foreign = true},
                             quick_write = {.travel = DB_SHARED,
                                            .yields = true,
                                            .foreign = true,
                                            .can_write = true},
                             exclusive = {.travel = DB_EXCLUSIVE, .foreign = true};
    assert_int_equal(sched_cost(&policy, &read, 30).us, 30);
    assert_int_equal(sched_cost(&policy, &read, PACE_UNKNOWN).us, PACE_SLOW_US);
    assert_int_equal(sched_cost(&policy, &write, 30).us, PACE_SLOW_US); /* not kept */
    assert_false(sched_cost(&policy, &write, 30).alone);
    assert_true(sched_cost(&policy, &exclusive, 30).alone);
    /* A read may be tried among others, a write only where it was quick before. */
    assert_false(sched_cost(&policy, &quick_read, PACE_UNKNOWN).alone);
    assert_true(sched_cost(&policy, &quick_write, PACE_UNKNOWN).alone);
    assert_false(sched_cost(&policy, &quick_write, 100).alone);
    assert_true(sched_cost(&policy, &quick_write, PACE_SLOW_US / 2).alone);
    const struct sched_policy no_sharing = {.depth_max = 1, .patience_us = 1000};
    assert_true(sched_cost(&no_sharing, &quick_read, 30).alone);
}

/* ---- placing ---- */

static void test_accepts(void **state)
{
    (void)state;
    const struct sched_conn idle = {0}, busy = {.depth = 3, .head_age_us = 900},
                            full = {.depth = 16}, old = {.depth = 1, .head_age_us = 1001};
    struct sched_job j = job(50), exclusive = {0}, alone = job(50), preemptible = job(50);
    alone.alone = preemptible.preemptible = true;
    assert_true(sched_accepts(&policy, &idle, &j));
    assert_true(sched_accepts(&policy, &idle, &exclusive));
    assert_true(sched_accepts(&policy, &idle, &alone));
    assert_true(sched_accepts(&policy, &busy, &j));
    assert_false(sched_accepts(&policy, &busy, &exclusive));
    assert_false(sched_accepts(&policy, &busy, &alone));
    assert_false(sched_accepts(&policy, &full, &j));
    assert_false(sched_accepts(&policy, &old, &j));
    /* What may be run twice never stands behind a write that it could not leave. */
    assert_false(sched_accepts(&policy, &busy, &preemptible));
    const struct sched_conn relievable = {.depth = 3, .relievable = true};
    assert_true(sched_accepts(&policy, &relievable, &preemptible));
}

static void test_pipelines(void **state)
{
    (void)state;
    unsigned probes = 0;
    const struct sched_conn idle = {0}, busy = {.depth = 4, .cost_us = 200},
                            half = {.depth = 1, .cost_us = 800};
    struct sched_job quick = job(100), slow = job(PACE_SLOW_US), exclusive = {.cost_us = 100};
    assert_false(sched_pipelines(&policy, &idle, &quick, &probes));
    assert_true(sched_pipelines(&policy, &busy, &quick, &probes));
    assert_false(sched_pipelines(&policy, &busy, &slow, &probes));
    assert_false(sched_pipelines(&policy, &busy, &exclusive, &probes));
    /* Over the patience one pair in eight is tried. */
    struct sched_job more = job(300);
    unsigned tried = 0;
    for (int i = 0; i < 80; i++)
        tried += sched_pipelines(&policy, &half, &more, &probes);
    assert_int_equal(tried, 10);
}

static void test_solo(void **state)
{
    (void)state;
    const struct db_job_spec shared = {.travel = DB_SHARED}, exclusive = {.travel = DB_EXCLUSIVE},
                             stream = {.travel = DB_SHARED, .stream_rows = true},
                             quick = {.travel = DB_SHARED, .stream_rows = true, .yields = true};
    assert_false(sched_is_solo(&shared, false));
    assert_true(sched_is_solo(&shared, true));
    assert_true(sched_is_solo(&exclusive, false));
    assert_true(sched_is_solo(&stream, false));
    assert_false(sched_is_solo(&quick, false));
}

/* ---- growing ---- */

static void test_growth(void **state)
{
    (void)state;
    struct sched_pool p = {.max = 10, .waiting = 20};
    assert_int_equal(sched_growth(&p), 4);
    p.connecting = 3;
    assert_int_equal(sched_growth(&p), 1);
    p = (struct sched_pool){.max = 10, .size = 9, .waiting = 20};
    assert_int_equal(sched_growth(&p), 1);
    p = (struct sched_pool){.max = 10, .size = 2, .connecting = 2, .waiting = 2};
    assert_int_equal(sched_growth(&p), 0);
    p = (struct sched_pool){.max = 10, .waiting = 20, .unproven_login = true};
    assert_int_equal(sched_growth(&p), 1);
    p = (struct sched_pool){.max = 10, .waiting = 20, .backing_off = true};
    assert_int_equal(sched_growth(&p), 0);
    /* Fewer allowed than there are: a reload. */
    p = (struct sched_pool){.max = 2, .size = 5, .waiting = 20};
    assert_int_equal(sched_growth(&p), 0);
}

static void test_spare(void **state)
{
    (void)state;
    struct sched_pool p = {.max = 10, .size = 3};
    assert_true(sched_wants_spare(&p, 1));
    assert_false(sched_wants_spare(&p, 0));
    p.connecting = 1;
    assert_false(sched_wants_spare(&p, 1));
    p = (struct sched_pool){.max = 3, .size = 3};
    assert_false(sched_wants_spare(&p, 1));
}

/* ---- relief ---- */

static void test_relief(void **state)
{
    (void)state;
    uint64_t limit = sched_stuck_after_us(&policy);
    struct sched_stuck s = {.depth = 2, .head_age_us = limit, .room_elsewhere = true};
    assert_int_equal(sched_relief(&policy, &s), RELIEF_DISPERSE);
    s.head_age_us = limit - 1;
    assert_int_equal(sched_relief(&policy, &s), RELIEF_NONE);
    s = (struct sched_stuck){.depth = 1, .head_age_us = limit, .head_preemptible = true};
    assert_int_equal(sched_relief(&policy, &s), RELIEF_NONE); /* nobody behind it */
    s = (struct sched_stuck){.depth = 2, .head_age_us = limit};
    assert_int_equal(sched_relief(&policy, &s), RELIEF_NONE);
    s.head_preemptible = true;
    assert_int_equal(sched_relief(&policy, &s), RELIEF_PREEMPT);
    s.head_preempted = true;
    assert_int_equal(sched_relief(&policy, &s), RELIEF_NONE);
    assert_true(sched_may_move(0));
    assert_false(sched_may_move(16));
}

/* ---- another attempt ---- */

static void test_repeats(void **state)
{
    (void)state;
    struct sched_repeat r = {.fate = FATE_LOST};
    assert_true(sched_may_repeat(&r));
    r.losses = 1;
    assert_false(sched_may_repeat(&r));
    r = (struct sched_repeat){.fate = FATE_LOST, .can_write = true};
    assert_false(sched_may_repeat(&r));
    r = (struct sched_repeat){.fate = FATE_CANCELED, .shared = true};
    assert_false(sched_may_repeat(&r)); /* somebody else's cancel: an administrator's */
    r.hit = true;
    assert_true(sched_may_repeat(&r));
    r.hits = 16;
    assert_false(sched_may_repeat(&r));
    r = (struct sched_repeat){.fate = FATE_CANCELED, .shared = true, .stop = STOP_PREEMPTED};
    assert_true(sched_may_repeat(&r));
    r = (struct sched_repeat){.fate = FATE_STALE_NAME};
    assert_true(sched_may_repeat(&r));
    r.unprepared = true;
    assert_false(sched_may_repeat(&r));
    r = (struct sched_repeat){.fate = FATE_TERMINATED, .atomic = true};
    assert_true(sched_may_repeat(&r));
    r.ran_us = 100000; /* perhaps it is what an administrator wanted to end */
    assert_false(sched_may_repeat(&r));
    r.ran_us = 99999;
    r.atomic = false;
    assert_false(sched_may_repeat(&r));
    r = (struct sched_repeat){.fate = FATE_UNSENT, .can_write = true, .losses = 5};
    assert_true(sched_may_repeat(&r));
    r.fate = FATE_COMMITTED;
    assert_false(sched_may_repeat(&r));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cost),      cmocka_unit_test(test_accepts),
        cmocka_unit_test(test_pipelines), cmocka_unit_test(test_solo),
        cmocka_unit_test(test_growth),    cmocka_unit_test(test_spare),
        cmocka_unit_test(test_relief),    cmocka_unit_test(test_repeats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
