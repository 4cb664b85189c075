/* docs/settings.md, docs/man/pghttpd.conf.5 and config/pghttpd.conf show the settings that the
 * program has. `make readme` writes them (README_WRITE=1). */
#include "unit.h"

#include <stdio.h>

#include "conf/conf.h"
#include "util/buf.h"

#define MADE "settings: made by `make readme` from the program's own table"

enum { FILE_LEN_MAX = 1 << 20 };

static char *read_file(const char *name)
{
    FILE *f = fopen(name, "r");
    char *text = calloc(1, FILE_LEN_MAX);
    assert_non_null(text);
    if (!f) {
        assert_true(getenv("README_WRITE"));
        return text;
    }
    assert_true(fread(text, 1, FILE_LEN_MAX - 1, f) < FILE_LEN_MAX - 1);
    fclose(f);
    return text;
}

/* The bytes from begin to end (both in text) are to be those of want. */
static void compare(const char *name, const char *text, const char *begin, const char *end,
                    const struct buf *want)
{
    assert_true(want->n > 1000 && !want->broken);
    if (!getenv("README_WRITE")) {
        if ((size_t)(end - begin) != want->n || memcmp(begin, want->p, want->n) != 0)
            fail_msg("%s does not show the program's settings: make readme", name);
        return;
    }
    FILE *f = fopen(name, "w");
    assert_non_null(f);
    fwrite(text, 1, (size_t)(begin - text), f);
    fwrite(want->p, 1, want->n, f);
    fputs(end, f);
    assert_int_equal(fclose(f), 0);
}

/* What stands between two lines of a file that is otherwise written by hand. */
static void compare_part(const char *name, const char *from, const char *to,
                         void (*print)(struct buf *))
{
    struct buf table;
    buf_init(&table, FILE_LEN_MAX);
    print(&table);
    char *text = read_file(name);
    char *begin = strstr(text, from), *end = strstr(text, to);
    assert_true(begin && end && end > begin);
    compare(name, text, begin + strlen(from), end, &table);
    buf_fini(&table);
    free(text);
}

static void settings_are_those_of_the_program(void **state)
{
    (void)state;
    compare_part("docs/settings.md", "<!-- " MADE " -->\n", "<!-- /settings -->\n",
                 conf_print_markdown);
    compare_part("docs/man/pghttpd.conf.5", ".\\\" " MADE "\n", ".\\\" /settings\n",
                 conf_print_man);
}

static void example_is_that_of_the_program(void **state)
{
    (void)state;
    struct buf example;
    buf_init(&example, FILE_LEN_MAX);
    conf_print_example(&example);
    char *text = read_file("config/pghttpd.conf");
    compare("config/pghttpd.conf", text, text, text + strlen(text), &example);
    buf_fini(&example);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(settings_are_those_of_the_program),
        cmocka_unit_test(example_is_that_of_the_program),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
