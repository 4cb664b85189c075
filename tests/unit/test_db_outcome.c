#include "unit.h"

#include "db/outcome.h"

static const char *const verdicts[] = {
    [VERDICT_AGAIN] = "again",         [VERDICT_DROP] = "drop",
    [VERDICT_DONE] = "done",           [VERDICT_FAILED] = "failed",
    [VERDICT_TIMED_OUT] = "timed out", [VERDICT_NOT_SENT] = "not sent",
    [VERDICT_UNKNOWN] = "unknown",     [VERDICT_LOOK_UP] = "look up",
};

static const char *verdict(enum attempt_fate fate, bool can_write, enum job_stop stop, bool repeat)
{
    const struct outcome_case o = {
        .stop = stop, .fate = fate, .can_write = can_write, .may_repeat = repeat};
    return verdicts[outcome_verdict(&o)];
}

enum { READ, WRITE };

static void expect(enum attempt_fate fate, bool can_write, const char *repeat, const char *end,
                   const char *refused, const char *deadline, const char *shutdown)
{
    assert_string_equal(verdict(fate, can_write, STOP_NONE, true), repeat);
    assert_string_equal(verdict(fate, can_write, STOP_PREEMPTED, true), repeat);
    assert_string_equal(verdict(fate, can_write, STOP_NONE, false), end);
    assert_string_equal(verdict(fate, can_write, STOP_PREEMPTED, false), end);
    for (int may = 0; may < 2; may++) { /* once it is to stop, no other attempt is made */
        assert_string_equal(verdict(fate, can_write, STOP_REFUSED, may), refused);
        assert_string_equal(verdict(fate, can_write, STOP_DEADLINE, may), deadline);
        assert_string_equal(verdict(fate, can_write, STOP_SHUTDOWN, may), shutdown);
        assert_string_equal(verdict(fate, can_write, STOP_MOVED, may), "drop");
        assert_string_equal(verdict(fate, can_write, STOP_CALLER_LEFT, may), "drop");
    }
}

/* sql-api: "503 is what was never sent". */
static void test_what_was_not_run(void **state)
{
    (void)state;
    static const enum attempt_fate fates[] = {FATE_UNSENT, FATE_NOT_RUN};
    for (size_t i = 0; i < 2; i++) {
        expect(fates[i], READ, "again", "not sent", "not sent", "timed out", "not sent");
        expect(fates[i], WRITE, "again", "not sent", "not sent", "timed out", "not sent");
    }
}

/* "An error with PostgreSQL's SQLSTATE means rolled back." */
static void test_what_was_rolled_back(void **state)
{
    (void)state;
    for (int w = READ; w <= WRITE; w++) {
        expect(FATE_STALE_NAME, w, "again", "failed", "failed", "failed", "failed");
        expect(FATE_UNCOMMITTED, w, "again", "not sent", "failed", "timed out", "timed out");
        expect(FATE_CANCELED, w, "again", "failed", "failed", "timed out", "timed out");
        expect(FATE_TERMINATED, w, "again", "failed", "failed", "failed", "failed");
        expect(FATE_FAILED, w, "failed", "failed", "failed", "failed", "failed");
        expect(FATE_FAILED_AT_COMMIT, w, "failed", "failed", "failed", "failed", "failed");
    }
}

/* "200 with a whole body means committed", also where the time was over or the server stops. */
static void test_what_was_committed(void **state)
{
    (void)state;
    expect(FATE_COMMITTED, READ, "done", "done", "failed", "done", "done");
    expect(FATE_COMMITTED, WRITE, "done", "done", "done", "done", "done");
    expect(FATE_UNREADABLE, READ, "failed", "failed", "failed", "failed", "failed");
    expect(FATE_UNREADABLE, WRITE, "unknown", "unknown", "unknown", "unknown", "unknown");
}

/* "08007 says that nobody can know"; a read may be asked for again. */
static void test_what_was_lost(void **state)
{
    (void)state;
    expect(FATE_LOST, READ, "again", "not sent", "failed", "timed out", "timed out");
    expect(FATE_LOST, WRITE, "unknown", "unknown", "unknown", "unknown", "unknown");
    expect(FATE_RUNNING, READ, "not sent", "not sent", "failed", "timed out", "timed out");
    expect(FATE_RUNNING, WRITE, "unknown", "unknown", "unknown", "unknown", "unknown");
}

/* A transaction that can be asked for is asked for before its client is told anything. */
static void test_what_can_be_looked_up(void **state)
{
    (void)state;
    for (enum attempt_fate f = FATE_UNSENT; f < FATES; f++)
        for (int stop = STOP_NONE; stop <= STOP_CALLER_LEFT; stop++)
            for (int w = READ; w <= WRITE; w++) {
                const struct outcome_case o = {
                    .stop = (enum job_stop)stop, .fate = f, .can_write = w, .can_look_up = true};
                bool looks = outcome_verdict(&o) == VERDICT_LOOK_UP;
                assert_int_equal(looks, f == FATE_LOST && w == WRITE && stop < STOP_MOVED);
            }
}

static bool may_be_committed(enum attempt_fate fate)
{
    return fate == FATE_RUNNING || fate == FATE_COMMITTED || fate == FATE_UNREADABLE ||
           fate == FATE_LOST;
}

/* Over all combinations, a lost connection included: nothing that may have committed is ever sent
 * again, failed, timed out or "not sent"; nothing that was surely not committed is done or
 * unknown. */
static void test_no_wrong_word(void **state)
{
    (void)state;
    for (unsigned i = 0; i < FATES * (STOP_CALLER_LEFT + 1) * 2 * 2 * 2; i++) {
        enum attempt_fate fate = (enum attempt_fate)(i % FATES);
        unsigned rest = i / FATES;
        enum job_stop stop = (enum job_stop)(rest % (STOP_CALLER_LEFT + 1));
        rest /= STOP_CALLER_LEFT + 1;
        if (rest & 4)
            fate = outcome_after_loss(fate);
        const struct outcome_case o = {
            .stop = stop, .fate = fate, .can_write = rest & 1, .may_repeat = rest & 2};
        enum verdict v = outcome_verdict(&o);
        if (v == VERDICT_DROP)
            assert_true(stop >= STOP_MOVED);
        else if (o.can_write && may_be_committed(fate))
            assert_true(v == VERDICT_DONE || v == VERDICT_UNKNOWN);
        else if (!may_be_committed(fate))
            assert_true(v != VERDICT_DONE && v != VERDICT_UNKNOWN);
        if (v == VERDICT_DONE)
            assert_int_equal(fate, FATE_COMMITTED);
        if (v == VERDICT_AGAIN)
            assert_true(o.may_repeat && stop <= STOP_PREEMPTED);
    }
}

static void test_after_loss(void **state)
{
    (void)state;
    for (enum attempt_fate f = FATE_UNSENT; f < FATES; f++) {
        enum attempt_fate after = outcome_after_loss(f);
        if (f == FATE_RUNNING || f == FATE_FAILED_AT_COMMIT)
            assert_int_equal(after, FATE_LOST);
        else
            assert_int_equal(after, f);
    }
}

/* ---- errors ---- */

static struct db_error postgres_error(const char *severity, const char *code)
{
    return (struct db_error){.severity = severity,
                             .code = code,
                             .message = "no",
                             .file = "postgres.c",
                             .line = "1",
                             .routine = "f"};
}

static enum attempt_fate fate_of(const struct db_error *e, bool can_write, bool at_commit)
{
    const struct outcome_error o = {.error = e, .can_write = can_write, .at_commit = at_commit};
    return outcome_of_error(&o);
}

static void test_errors_of_postgres(void **state)
{
    (void)state;
    static const struct {
        const char *severity, *code;
        enum attempt_fate running, at_commit;
    } list[] = {
        {"ERROR", "23505", FATE_FAILED, FATE_FAILED_AT_COMMIT},
        {"ERROR", "57014", FATE_CANCELED, FATE_CANCELED},
        {"ERROR", "08006", FATE_FAILED, FATE_FAILED_AT_COMMIT}, /* of dblink, postgres_fdw */
        {"FATAL", "57P01", FATE_TERMINATED, FATE_LOST},
        {"PANIC", "XX000", FATE_TERMINATED, FATE_LOST},
        {"FATAL", "08P01", FATE_LOST, FATE_LOST},
    };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        struct db_error e = postgres_error(list[i].severity, list[i].code);
        for (int w = READ; w <= WRITE; w++) {
            assert_int_equal(fate_of(&e, w, false), list[i].running);
            assert_int_equal(fate_of(&e, w, true), list[i].at_commit);
        }
    }
}

/* pgbouncer, pgcat and Supavisor make errors of their own in place of an answer they lost. Only an
 * ordinary error for a job that cannot write is taken at its word. */
static void test_errors_of_poolers(void **state)
{
    (void)state;
    static const char *const severities[] = {"ERROR", "FATAL", "PANIC"}, *const codes[] = {
                                                                             "08P01", "08006",
                                                                             "57P01", "58000",
                                                                             "XX000", "57014",
                                                                             "23505"};
    for (size_t s = 0; s < 3; s++)
        for (size_t c = 0; c < sizeof codes / sizeof *codes; c++) {
            struct db_error e = postgres_error(severities[s], codes[c]);
            e.file = NULL;
            assert_int_equal(fate_of(&e, true, false), FATE_LOST);
            assert_int_equal(fate_of(&e, true, true), FATE_LOST);
            if (s > 0 || strncmp(codes[c], "08", 2) == 0)
                assert_int_equal(fate_of(&e, false, false), FATE_LOST);
        }
    struct db_error e = postgres_error("ERROR", "42P01");
    e.routine = NULL;
    assert_int_equal(fate_of(&e, false, false), FATE_FAILED);
}

static void test_stale_names(void **state)
{
    (void)state;
    struct db_error e = postgres_error("ERROR", "26000");
    const struct outcome_error o = {.error = &e, .can_write = true, .stale_name = true};
    assert_int_equal(outcome_of_error(&o), FATE_STALE_NAME);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_was_not_run),
        cmocka_unit_test(test_what_was_rolled_back),
        cmocka_unit_test(test_what_was_committed),
        cmocka_unit_test(test_what_was_lost),
        cmocka_unit_test(test_what_can_be_looked_up),
        cmocka_unit_test(test_no_wrong_word),
        cmocka_unit_test(test_after_loss),
        cmocka_unit_test(test_errors_of_postgres),
        cmocka_unit_test(test_errors_of_poolers),
        cmocka_unit_test(test_stale_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
