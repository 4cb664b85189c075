/* catalog_fixture: a snapshot from recorded rows of the catalog queries (tests/golden/schema.tsv,
 * made by tests/golden/record.sh from schema.sql): one row a line, the number of its query first,
 * cells in COPY's text format. */
#ifndef PGH_TESTS_CATALOG_FIXTURE_H
#define PGH_TESTS_CATALOG_FIXTURE_H

#include <stdio.h>
#include <stdlib.h>

#include "rest/catalog_private.h"
#include "util/xalloc.h"

#define CATALOG_FIXTURE "tests/golden/schema.tsv"

static inline void fixture_fail(const char *what, const char *more)
{
    fprintf(stderr, "catalog fixture: %s %s\n", what, more);
    exit(1);
}

/* Undoes COPY's escapes in place. */
static inline struct str fixture_cell(char *p, size_t n)
{
    size_t to = 0;
    if (n == 2 && p[0] == '\\' && p[1] == 'N')
        return (struct str){NULL, 0};
    for (size_t i = 0; i < n; i++) {
        char c = p[i];
        if (c == '\\' && i + 1 < n) {
            c = p[++i];
            c = c == 'n' ? '\n' : c == 't' ? '\t' : c == 'r' ? '\r' : c == 'b' ? '\b' : c;
        }
        p[to++] = c;
    }
    return (struct str){p, to};
}

static inline void fixture_line(struct catalog_builder *b, char *line, size_t n)
{
    struct str cells[16];
    struct err err = {0};
    size_t count = 0, start = 0;
    int query = 0;
    for (; start < n && line[start] != '\t'; start++)
        query = query * 10 + (line[start] - '0');
    start++;
    for (size_t i = start; i <= n; i++) {
        if (i < n && line[i] != '\t')
            continue;
        if (count == 16)
            fixture_fail("too many cells in", line);
        cells[count++] = fixture_cell(line + start, i - start);
        start = i + 1;
    }
    if (!catalog_builder_row(b, (enum catalog_query)query, cells, count, &err))
        fixture_fail(err.message, "");
}

static inline struct catalog *fixture_catalog(const char *path)
{
    struct catalog_builder *b = catalog_builder_new();
    struct err err = {0};
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;
    FILE *f = fopen(path, "r");
    if (!f)
        fixture_fail("cannot read", path);
    while ((n = getline(&line, &cap, f)) > 0) {
        if (line[n - 1] == '\n')
            n--;
        fixture_line(b, line, (size_t)n);
    }
    free(line);
    fclose(f);
    struct catalog *c = catalog_builder_finish(b, &err);
    catalog_builder_free(b);
    if (!c)
        fixture_fail(err.message, "");
    return c;
}

#endif
