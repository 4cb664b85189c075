/* README.md shows the table of settings that the program has. `make readme` writes it
 * (README_WRITE=1). */
#include "unit.h"

#include <stdio.h>

#include "conf/conf.h"
#include "util/buf.h"

#define BEGIN "<!-- settings: made by `make readme` from the program's own table -->\n"
#define END "<!-- /settings -->"

static char *read_readme(void)
{
    FILE *f = fopen("README.md", "r");
    assert_non_null(f);
    char *text = calloc(1, 1 << 20);
    assert_non_null(text);
    assert_true(fread(text, 1, (1 << 20) - 1, f) > 0);
    fclose(f);
    return text;
}

static void write_readme(const char *text, const char *begin, const char *end,
                         const struct buf *table)
{
    FILE *f = fopen("README.md", "w");
    assert_non_null(f);
    fwrite(text, 1, (size_t)(begin - text), f);
    fwrite(table->p, 1, table->n, f);
    fputs(end, f);
    assert_int_equal(fclose(f), 0);
}

static void settings_are_those_of_the_program(void **state)
{
    (void)state;
    struct buf table;
    buf_init(&table, 1 << 20);
    conf_print_markdown(&table);
    assert_true(table.n > 1000);
    char *text = read_readme();
    char *begin = strstr(text, BEGIN), *end = strstr(text, END);
    assert_true(begin && end && end > begin);
    begin += strlen(BEGIN);
    if (getenv("README_WRITE"))
        write_readme(text, begin, end, &table);
    else if ((size_t)(end - begin) != table.n || memcmp(begin, table.p, table.n) != 0)
        fail_msg("README.md's settings are old: make readme");
    buf_fini(&table);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(settings_are_those_of_the_program)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
