/* util: strings, buffers, arenas, maps, log quoting, metrics, the loop's phases. */
#include "unit.h"

#include <pthread.h>

#include "util/arena.h"
#include "util/base64.h"
#include "util/buf.h"
#include "util/err.h"
#include "util/log.h"
#include "util/loop.h"
#include "util/metrics.h"
#include "util/strmap.h"

static void numbers_are_checked(void **state)
{
    uint64_t u;
    int64_t i;
    (void)state;
    assert_true(str_u64(STR("18446744073709551615"), UINT64_MAX, &u) && u == UINT64_MAX);
    assert_false(str_u64(STR("18446744073709551616"), UINT64_MAX, &u));
    assert_true(str_u64(STR("65535"), 65535, &u));
    assert_false(str_u64(STR("65536"), 65535, &u));
    assert_false(str_u64(STR("7"), 5, &u));
    assert_false(str_u64(STR(""), 5, &u));
    assert_false(str_u64(STR("+1"), 5, &u));
    assert_false(str_u64(STR("1 "), 5, &u));
    assert_true(str_i64(STR("-9223372036854775808"), &i) && i == INT64_MIN);
    assert_true(str_i64(STR("9223372036854775807"), &i) && i == INT64_MAX);
    assert_false(str_i64(STR("9223372036854775808"), &i));
    assert_false(str_i64(STR("-"), &i));
}

static void utf8_is_strict(void **state)
{
    (void)state;
    assert_true(str_utf8(STR("")));
    assert_true(str_utf8(STR("grün € 𝄞\0x")));
    assert_false(str_utf8(STR("\xc0\x80")));         /* overlong NUL */
    assert_false(str_utf8(STR("\xe0\x80\x80")));     /* overlong */
    assert_false(str_utf8(STR("\xed\xa0\x80")));     /* surrogate */
    assert_false(str_utf8(STR("\xf4\x90\x80\x80"))); /* past U+10FFFF */
    assert_false(str_utf8(STR("\xe2\x82")));         /* cut off */
    assert_false(str_utf8(STR("\x80")));
    assert_false(str_utf8(STR("\xff")));
}

static void percent_decoding(void **state)
{
    char out[64];
    size_t n;
    (void)state;
    assert_true(str_percent_decode(STR("a%20b+c%2F%00d"), true, false, out, &n));
    assert_memory_equal(out, "a b c/\0d", 8);
    assert_int_equal(n, 8);
    assert_true(str_percent_decode(STR("a+b%c3%BC"), false, false, out, &n));
    assert_memory_equal(out, "a+bü", n);
    assert_false(str_percent_decode(STR("a%2"), false, false, out, &n));
    assert_false(str_percent_decode(STR("a%zz"), false, false, out, &n));
    assert_true(str_percent_decode(STR("50%"), false, true, out, &n));
    assert_memory_equal(out, "50%", 3);
}

static void parts_between_separators(void **state)
{
    struct str rest = STR("a,,b"), part;
    (void)state;
    assert_true(str_next(&rest, ',', &part));
    assert_str(part, "a");
    assert_true(str_next(&rest, ',', &part));
    assert_str(part, "");
    assert_true(str_next(&rest, ',', &part));
    assert_str(part, "b");
    assert_false(str_next(&rest, ',', &part));
}

static void buffer_breaks_at_its_ceiling(void **state)
{
    struct buf b;
    (void)state;
    buf_init(&b, 10);
    buf_add(&b, "12345678", 8);
    buf_char(&b, '9');
    assert_false(buf_broken(&b));
    buf_add(&b, "ab", 2);
    assert_true(buf_broken(&b));
    assert_str(buf_str(&b), "123456789");
    buf_char(&b, 'x'); /* nothing more happens */
    assert_int_equal(b.n, 9);
    buf_clear(&b);
    buf_i64(&b, -120);
    assert_str(buf_str(&b), "-120");
    buf_fini(&b);
    buf_init(&b, BUF_NO_CEILING);
    buf_i64(&b, INT64_MIN);
    assert_str(buf_str(&b), "-9223372036854775808");
    buf_fini(&b);
}

static void arena_breaks_at_its_ceiling(void **state)
{
    struct arena a;
    (void)state;
    arena_init(&a, 100000);
    char *p = arena_strdup(&a, STR("hello"));
    assert_string_equal(p, "hello");
    assert_non_null(arena_alloc(&a, 50000));
    assert_string_equal(arena_printf(&a, "%d-%s", 7, "x"), "7-x");
    assert_null(arena_alloc(&a, 50000));
    assert_true(arena_broken(&a));
    assert_null(arena_alloc(&a, 1)); /* stays broken */
    arena_reset(&a);
    assert_non_null(arena_alloc(&a, 1));
    assert_null(arena_array(&a, SIZE_MAX / 2, 3));
    arena_fini(&a);
}

static void errors_are_cut_at_a_character(void **state)
{
    struct err err;
    char text[2000];
    (void)state;
    memset(text, 'x', sizeof text);
    for (size_t i = 1; i + 2 < sizeof text; i += 2)
        memcpy(text + i, "ü", 2);
    text[sizeof text - 1] = '\0';
    assert_false(err_set(&err, 503, "PGH503", "later"));
    assert_int_equal(err.retry_after,
                     1); /* "503 with Retry-After was never sent": always with it */
    assert_false(err_set(&err, 400, "PGRST100", "%s", text));
    assert_int_equal(err.retry_after, 0);
    assert_true(str_utf8(str_of(err.message)));
    assert_true(strlen(err.message) >= sizeof err.message - 3);
    assert_string_equal(err.code, "PGRST100");
}

static void map_finds_what_was_put(void **state)
{
    struct strmap *m = strmap_new();
    int a, b;
    (void)state;
    assert_null(strmap_put(m, STR("a"), &a));
    assert_ptr_equal(strmap_put(m, STR("a"), &b), &a);
    assert_ptr_equal(strmap_get(m, STR("a")), &b);
    assert_null(strmap_get(m, STR("b")));
    assert_null(strmap_put(m, STR(""), &a));
    assert_int_equal(strmap_count(m), 2);
    assert_ptr_equal(strmap_remove(m, STR("a")), &b);
    assert_null(strmap_remove(m, STR("a")));
    strmap_free(m, NULL);
}

static void nobody_forges_a_log_line(void **state)
{
    struct buf b;
    (void)state;
    buf_init(&b, BUF_NO_CEILING);
    log_quote(&b, STR("plain"));
    buf_char(&b, ' ');
    log_quote(&b, STR("a b\n\"c\" \\ \x1b[0m ü"));
    buf_char(&b, ' ');
    log_quote(&b, STR("\xff"));
    buf_char(&b, ' ');
    log_quote(&b, STR(""));
    assert_str(buf_str(&b), "plain \"a b\\n\\\"c\\\" \\\\ \\x1b[0m ü\" \"\\xff\" \"\"");
    buf_fini(&b);
}

static void json_lines_are_json(void **state)
{
    struct buf b;
    char text[LOG_VALUE_MAX + 3];
    (void)state;
    buf_init(&b, BUF_NO_CEILING);
    log_head(&b, LOG_JSON, STR("2026-01-02T03:04:05.678Z"), LOG_WARN);
    LOG_MEMBER(&b, LOG_JSON, "msg", STR("a \"b\" \\ \n\x01\x7f\xc3\xbc"));
    LOG_MEMBER(&b, LOG_JSON, "raw", STR("\xff\""));
    LOG_KEY(&b, LOG_JSON, "n");
    buf_u64(&b, 7);
    log_tail(&b, LOG_JSON);
    assert_str(buf_str(&b),
               "{\"ts\":\"2026-01-02T03:04:05.678Z\",\"level\":\"warn\",\"msg\":\"a "
               "\\\"b\\\" \\\\ \\u000a\\u0001\\u007f\xc3\xbc\",\"raw\":\"\\\\xff\\\"\","
               "\"n\":7}");
    /* cut before a character, not in it */
    memset(text, 'x', sizeof text);
    memcpy(text + LOG_VALUE_MAX - 1, "\xc3\xbc", 2);
    buf_clear(&b);
    struct str all = {text, sizeof text};
    LOG_MEMBER(&b, LOG_JSON, "t", all);
    assert_int_equal(b.n, strlen(",\"t\":\"\"") + LOG_VALUE_MAX - 1 + 3);
    assert_null(memchr(b.p, 0xc3, b.n));
    buf_fini(&b);
}

static void metrics_text(void **state)
{
    struct metrics_histogram h = {0};
    struct buf b;
    (void)state;
    buf_init(&b, BUF_NO_CEILING);
    metrics_head(&b, "x_total", METRICS_COUNTER, "Things.");
    metrics_u64(&b, "x_total", NULL, 3);
    metrics_label(&b, "l", STR("a\"b\\c\n"));
    assert_str(buf_str(&b),
               "# HELP x_total Things.\n# TYPE x_total counter\nx_total 3\nl=\"a\\\"b\\\\c\\n\"");
    buf_clear(&b);
    metrics_observe(&h, 50);
    metrics_observe(&h, 20000000);
    metrics_histogram(&b, "d", "r=\"s\"", &h);
    buf_char(&b, '\0');
    assert_non_null(strstr(b.p, "d_bucket{r=\"s\",le=\"0.0001\"} 1\n"));
    assert_non_null(strstr(b.p, "d_bucket{r=\"s\",le=\"10\"} 1\n"));
    assert_non_null(strstr(b.p, "d_bucket{r=\"s\",le=\"+Inf\"} 2\n"));
    assert_non_null(strstr(b.p, "d_count{r=\"s\"} 2\n"));
    buf_fini(&b);
}

static void base64_is_read(void **state)
{
    static const struct {
        const char *text, *bytes; /* NULL: refused */
        enum base64_alphabet alphabet;
        bool unclean;
    } all[] = {
        /* RFC 4648, section 10 */
        {"", "", BASE64_STANDARD, false},
        {"Zg", "f", BASE64_STANDARD, false},
        {"Zm8",
         "f"
         "o",
         BASE64_URL, false},
        {"Zm9v", "foo", BASE64_EITHER, false},
        {"Zm9vYg", "foob", BASE64_STANDARD, false},
        {"Zm9vYmE", "fooba", BASE64_STANDARD, false},
        {"Zm9vYmFy", "foobar", BASE64_STANDARD, false},
        {"+/+/", "\xfb\xff\xbf", BASE64_STANDARD, false},
        {"-_-_", "\xfb\xff\xbf", BASE64_URL, false},
        {"+_-/", "\xfb\xff\xbf", BASE64_EITHER, false},
        {"Zh", "f", BASE64_STANDARD, true},
        {"Zm9",
         "f"
         "o",
         BASE64_STANDARD, true},
        {"-_-_", NULL, BASE64_STANDARD, false},
        {"+/+/", NULL, BASE64_URL, false},
        {"Z", NULL, BASE64_EITHER, false},
        {"Zm9vY", NULL, BASE64_EITHER, false},
        {"Zg==", NULL, BASE64_EITHER, false},
        {"Zm 9v", NULL, BASE64_EITHER, false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        char out[16];
        size_t n;
        bool clean;
        bool good = base64_decode(str_of(all[i].text), all[i].alphabet, out, &n, &clean);
        assert_int_equal(good, all[i].bytes != NULL);
        if (!good)
            continue;
        assert_int_equal(n, strlen(all[i].bytes));
        assert_memory_equal(out, all[i].bytes, n);
        assert_int_equal(clean, !all[i].unclean);
    }
    char place[] = "Zm9vYmFy"; /* in place */
    size_t n;
    assert_true(base64_decode((struct str){place, 8}, BASE64_URL, place, &n, NULL));
    assert_memory_equal(place, "foobar", 6);
}

static void the_largest_of_late(void **state)
{
    struct metrics_recent m = {0};
    uint64_t start = 1000000, half = METRICS_RECENT_US / 2;
    (void)state;
    assert_int_equal(metrics_recent_largest(&m, start), 0);
    metrics_recent_note(&m, start, 7);
    metrics_recent_note(&m, start + 1, 5);
    assert_int_equal(metrics_recent_largest(&m, start + 1), 7);
    metrics_recent_note(&m, start + 3 * half, 6);
    assert_int_equal(metrics_recent_largest(&m, start + 3 * half), 7);
    metrics_recent_note(&m, start + 5 * half, 2);
    assert_int_equal(metrics_recent_largest(&m, start + 5 * half), 6);
    /* nothing came since: what was noted grows old all the same */
    assert_int_equal(metrics_recent_largest(&m, start + 7 * half), 2);
    assert_int_equal(metrics_recent_largest(&m, start + 9 * half), 0);
    metrics_recent_note(&m, start + 20 * half, 3);
    assert_int_equal(metrics_recent_largest(&m, start + 20 * half), 3);
}

struct trace {
    struct loop *loop;
    char seen[16];
    struct loop_task complete, flush, kick, never;
    struct loop_timer timer;
    pthread_t thread;
};

static void note(struct trace *t, char c)
{
    size_t n = strlen(t->seen);
    assert_true(n + 1 < sizeof t->seen);
    t->seen[n] = c;
}

static void on_kick(void *arg)
{
    note(arg, 'k');
}

static void on_flush(void *arg)
{
    note(arg, 'f');
}

static void on_complete(void *arg)
{
    struct trace *t = arg;
    note(t, 'c');
    loop_defer(t->loop, LOOP_FLUSH, &t->flush);
    loop_defer(t->loop, LOOP_FLUSH, &t->flush); /* twice is once */
    loop_undefer(&t->never);
}

static void on_free(void *arg)
{
    note(arg, 'x');
}

static void on_posted(void *arg)
{
    struct trace *t = arg;
    note(t, 'p');
    loop_stop(t->loop);
}

static void *poster(void *arg)
{
    struct trace *t = arg;
    loop_post(t->loop, on_posted, t);
    return NULL;
}

static void on_timer(void *arg)
{
    struct trace *t = arg;
    note(t, 't');
    loop_defer(t->loop, LOOP_KICK, &t->kick);
    loop_defer(t->loop, LOOP_COMPLETE, &t->complete);
    loop_defer(t->loop, LOOP_COMPLETE, &t->never);
    loop_free_later(t->loop, on_free, t);
    assert_int_equal(pthread_create(&t->thread, NULL, poster, t), 0);
}

static void phases_run_in_order(void **state)
{
    struct err err;
    struct trace t = {.loop = loop_new(&err)};
    (void)state;
    assert_non_null(t.loop);
    t.complete = LOOP_TASK(on_complete, &t);
    t.flush = LOOP_TASK(on_flush, &t);
    t.kick = LOOP_TASK(on_kick, &t);
    t.never = LOOP_TASK(on_kick, &t);
    loop_timer_init(&t.timer, t.loop, on_timer, &t);
    loop_timer_set(&t.timer, 100);
    loop_run(t.loop);
    pthread_join(t.thread, NULL);
    assert_string_equal(t.seen, "tcfkxp");
    loop_free(t.loop);
}

#define LONG_TURN_US 30000

struct slow {
    struct loop *loop;
    struct loop_timer timer;
    int turns;
};

static void on_slow_timer(void *arg)
{
    struct slow *s = arg;
    if (s->turns++ == 0)
        nanosleep(&(struct timespec){.tv_nsec = LONG_TURN_US * 1000}, NULL);
    else if (s->turns == 10)
        loop_stop(s->loop);
    loop_timer_set(&s->timer, 1000);
}

/* Also after others that were short, as the one in which it is asked for. */
static void a_long_turn_shows(void **state)
{
    struct err err;
    struct slow s = {.loop = loop_new(&err)};
    (void)state;
    assert_non_null(s.loop);
    loop_timer_init(&s.timer, s.loop, on_slow_timer, &s);
    loop_timer_set(&s.timer, 100);
    loop_run(s.loop);
    assert_true(loop_lag_us(s.loop) >= LONG_TURN_US);
    assert_true(loop_lag_us(s.loop) < 100 * LONG_TURN_US);
    loop_timer_stop(&s.timer);
    loop_free(s.loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_checked),
        cmocka_unit_test(utf8_is_strict),
        cmocka_unit_test(percent_decoding),
        cmocka_unit_test(parts_between_separators),
        cmocka_unit_test(buffer_breaks_at_its_ceiling),
        cmocka_unit_test(arena_breaks_at_its_ceiling),
        cmocka_unit_test(errors_are_cut_at_a_character),
        cmocka_unit_test(map_finds_what_was_put),
        cmocka_unit_test(nobody_forges_a_log_line),
        cmocka_unit_test(json_lines_are_json),
        cmocka_unit_test(metrics_text),
        cmocka_unit_test(base64_is_read),
        cmocka_unit_test(the_largest_of_late),
        cmocka_unit_test(phases_run_in_order),
        cmocka_unit_test(a_long_turn_shows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
