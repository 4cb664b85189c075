#include "unit.h"

#include "db/commit_mark.h"

static const struct commit_mark mark = {
    .xid = 0x100000005, .lsn = 1000, .server = {.system = 7, .timeline = 3, .stats_us = 50}};

static struct commit_lookup lookup(enum db_fate status)
{
    return (struct commit_lookup){
        .server = mark.server, .knows_server = true, .status = status, .checkpoint_lsn = 500};
}

static void test_text(void **state)
{
    (void)state;
    char text[COMMIT_MARK_TEXT_MAX], again[COMMIT_MARK_TEXT_MAX];
    struct commit_mark m, largest = {.xid = INT64_MAX,
                                     .lsn = UINT64_MAX,
                                     .server = {UINT64_MAX, UINT32_MAX, UINT64_MAX}};
    commit_mark_format(&mark, text);
    assert_string_equal(text, "7-3-32-3e8-100000005");
    assert_true(commit_mark_parse(str_of(text), &m));
    commit_mark_format(&m, again);
    assert_string_equal(again, text);
    commit_mark_format(&largest, text);
    assert_true(commit_mark_parse(str_of(text), &m));
    commit_mark_format(&m, again);
    assert_string_equal(again, text);
    static const char *const bad[] = {"",
                                      "1-2-3-4",
                                      "1-2-3-4-0",
                                      "1-2-3-4-5-6",
                                      "1-2-3-4-g",
                                      "1-2-3-4-5-",
                                      "1-100000000-3-4-5",
                                      "A-1-1-1-1",
                                      "1--3-4-5",
                                      "1-2-3-4- 5",
                                      "1-2-3-4-8000000000000000"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(commit_mark_parse(str_of(bad[i]), &m));
}

static void test_same_server(void **state)
{
    (void)state;
    static const enum db_fate all[] = {DB_FATE_UNKNOWN, DB_FATE_IN_PROGRESS, DB_FATE_COMMITTED,
                                       DB_FATE_ABORTED};
    for (size_t i = 0; i < 4; i++) {
        struct commit_lookup l = lookup(all[i]);
        assert_int_equal(commit_mark_judge(&mark, &l), all[i]);
        /* After a checkpoint, too: nothing was lost. */
        l.checkpoint_lsn = 5000;
        assert_int_equal(commit_mark_judge(&mark, &l), all[i]);
    }
}

static void test_other_server(void **state)
{
    (void)state;
    struct commit_lookup l = lookup(DB_FATE_COMMITTED);
    l.server.timeline++; /* a standby was promoted: the number may be another transaction's */
    assert_int_equal(commit_mark_judge(&mark, &l), DB_FATE_UNKNOWN);
    l = lookup(DB_FATE_ABORTED);
    l.server.system++;
    assert_int_equal(commit_mark_judge(&mark, &l), DB_FATE_UNKNOWN);
    l = lookup(DB_FATE_COMMITTED);
    l.knows_server = false;
    assert_int_equal(commit_mark_judge(&mark, &l), DB_FATE_UNKNOWN);
}

/* A crash between the mark and the question: the statistics begin anew. */
static void test_crash(void **state)
{
    (void)state;
    struct commit_lookup l = lookup(DB_FATE_COMMITTED);
    l.server.stats_us = 60;
    /* Recovery ended before the mark: its COMMIT is lost, and the number is given to another one.
     */
    l.checkpoint_lsn = 1000;
    l.one_checkpoint = true;
    assert_int_equal(commit_mark_judge(&mark, &l), DB_FATE_ABORTED);
    /* Recovery ended behind the mark: the number is still ours. */
    l.checkpoint_lsn = 1001;
    assert_int_equal(commit_mark_judge(&mark, &l), DB_FATE_COMMITTED);
    /* Another checkpoint came: where recovery ended is not known any more. */
    l.one_checkpoint = false;
    assert_int_equal(commit_mark_judge(&mark, &l), DB_FATE_UNKNOWN);
    /* What PostgreSQL calls aborted cannot have committed, whosever number it is. */
    l.status = DB_FATE_ABORTED;
    assert_int_equal(commit_mark_judge(&mark, &l), DB_FATE_ABORTED);
    /* No transaction from before the crash is in progress: it is another one's. */
    l.status = DB_FATE_IN_PROGRESS;
    assert_int_equal(commit_mark_judge(&mark, &l), DB_FATE_UNKNOWN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_same_server),
        cmocka_unit_test(test_other_server),
        cmocka_unit_test(test_crash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
