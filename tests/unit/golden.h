/* golden: SQL held fast in a file, of tests/golden, in blocks of
 *
 *     > request                 each test has its own form of it
 *     the statement, or "! STATUS CODE message" with "details:" and "hint:" lines
 *     $ parameters
 *
 * and lines of "# comment". With GOLDEN=write in the environment the answers are rewritten; look at
 * the diff before keeping them. */
#ifndef PGH_TESTS_GOLDEN_H
#define PGH_TESTS_GOLDEN_H

#include "unit.h"

#include <stdio.h>
#include <stdlib.h>

#include "catalog_fixture.h"
#include "db/job.h"
#include "rest/sqlgen.h"

struct rig {
    struct catalog *catalog;
    struct conf conf;
    struct conf_database db;
    struct arena arena; /* empty for each request */
    struct buf sql;
};

/* False with err. */
typedef bool golden_generate(struct rig *, struct str request, struct db_stmt *, struct err *);

static inline void golden_answer(struct rig *rig, golden_generate *generate, struct str request,
                                 struct buf *out)
{
    struct db_stmt stmt = {.sql = NULL};
    struct err err = {0};
    arena_reset(&rig->arena);
    if (!generate(rig, request, &stmt, &err)) {
        buf_printf(out, "! %d %s %s\n", err.status, err.code, err.message);
        if (err.details)
            buf_printf(out, "details: %s\n", err.details);
        if (err.hint)
            buf_printf(out, "hint: %s\n", err.hint);
        return;
    }
    buf_printf(out, "%s\n", stmt.sql);
    for (int i = 0; i < stmt.nparams; i++) {
        bool binary = stmt.formats && stmt.formats[i];
        int n = binary ? stmt.lengths[i] : stmt.values[i] ? (int)strlen(stmt.values[i]) : 4;
        buf_printf(out, "$%d%s %.*s\n", i + 1, binary ? " binary" : "", n,
                   stmt.values[i] ? stmt.values[i] : "NULL");
    }
}

static inline void golden_read(const char *name, struct buf *whole)
{
    char piece[4096];
    size_t n;
    FILE *f = fopen(name, "r");
    if (!f)
        fixture_fail("cannot read", name);
    buf_init(whole, BUF_NO_CEILING);
    while ((n = fread(piece, 1, sizeof piece, f)) > 0)
        buf_add(whole, piece, n);
    fclose(f);
}

/* The whole file as it should be, from its comments and requests. */
static inline void golden_make(struct rig *rig, golden_generate *generate, struct str old,
                               struct buf *now)
{
    struct str line;
    buf_init(now, BUF_NO_CEILING);
    while (str_next(&old, '\n', &line)) {
        if (str_starts(line, STR("#")))
            buf_printf(now, "\n%.*s\n", STR_ARG(line));
        if (!str_starts(line, STR("> ")))
            continue;
        buf_printf(now, "\n%.*s\n", STR_ARG(line));
        golden_answer(rig, generate, str_from(line, 2), now);
    }
}

/* Compares; what differs is in build/NAME. */
static inline void golden_check(const char *name, golden_generate *generate, struct conf conf)
{
    static const char *const schemas[] = {"api"};
    struct rig rig = {.catalog = fixture_catalog(CATALOG_FIXTURE), .conf = conf};
    struct buf old, now;
    char file[100], actual[100];
    rig.db = (struct conf_database){.name = "", .db_schemas = {schemas, 1}};
    rig.conf.databases = &rig.db;
    rig.conf.n_databases = 1;
    arena_init(&rig.arena, 16 << 20);
    buf_init(&rig.sql, 1 << 20);
    snprintf(file, sizeof file, "tests/golden/%s", name);
    snprintf(actual, sizeof actual, "build/%s", name);
    golden_read(file, &old);
    golden_make(&rig, generate, buf_str(&old), &now);
    if (!str_eq(buf_str(&old), buf_str(&now))) {
        FILE *f = fopen(getenv("GOLDEN") ? file : actual, "w");
        assert_non_null(f);
        assert_int_equal(fwrite(now.p, 1, now.n, f), now.n);
        fclose(f);
        if (!getenv("GOLDEN"))
            fail_msg("the SQL differs: diff %s %s", file, actual);
    }
    buf_fini(&old);
    buf_fini(&now);
    buf_fini(&rig.sql);
    arena_fini(&rig.arena);
    catalog_unref(rig.catalog);
}

#endif
