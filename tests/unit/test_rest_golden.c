/* The SQL of reads, held fast: tests/golden/rest_read.txt has blocks of
 *
 *     > request
 *     the statement, or "! STATUS CODE message" with "details:" and "hint:" lines
 *     $ parameters
 *
 * GOLDEN=write build/.../test_rest_golden rewrites the answers; look at the diff before keeping
 * them. */
#include "unit.h"

#include "catalog_fixture.h"
#include "rest/request.h"
#include "rest/sqlgen.h"

#define FILE_NAME "tests/golden/rest_read.txt"

struct rig {
    struct catalog *catalog;
    struct conf conf;
    struct conf_database db;
    struct arena arena;
    struct buf sql;
};

static const char *const schemas[] = {"api"};

static void rig_init(struct rig *rig)
{
    *rig = (struct rig){.catalog = fixture_catalog(CATALOG_FIXTURE)};
    rig->db = (struct conf_database){.name = "", .db_schemas = {schemas, 1}};
    rig->conf = (struct conf){.databases = &rig->db,
                              .n_databases = 1,
                              .db_aggregates_enabled = true,
                              .url_use_legacy_target_names = true};
    arena_init(&rig->arena, 16 << 20);
    buf_init(&rig->sql, 1 << 20);
}

static void rig_fini(struct rig *rig)
{
    catalog_unref(rig->catalog);
    arena_fini(&rig->arena);
    buf_fini(&rig->sql);
}

static bool generate(struct rig *rig, struct str url, struct db_stmt *stmt, struct err *err)
{
    struct rest_request *request = arena_alloc(&rig->arena, sizeof *request);
    struct rest_plan plan;
    struct sql sql;
    size_t mark = str_find(url, '?', 0);
    bool no_aggregates = str_starts(url, STR("-aggregates "));
    struct str path = {url.p, mark};
    if (no_aggregates)
        path = str_from(path, strlen("-aggregates "));
    struct rest_input in = {
        .method = REST_GET,
        .method_name = STR("GET"),
        .path = path,
        .query = mark < url.n ? str_from(url, mark + 1) : (struct str){NULL, 0},
    };
    rig->conf.db_aggregates_enabled = !no_aggregates;
    if (str_starts(path, STR("count "))) {
        in.path = str_from(path, 6);
        request->prefs.count = REST_COUNT_EXACT;
    }
    if (!rest_request_parse(&rig->arena, &rig->conf, &rig->db, &in, request, err))
        return false;
    struct plan_spec spec = {.catalog = rig->catalog,
                             .conf = &rig->conf,
                             .request = request,
                             .source = PLAN_FROM_RELATION,
                             .name = request->name};
    if (!rest_plan_read(&rig->arena, &spec, &plan, err))
        return false;
    sql_init(&sql, &rig->arena, &rig->sql);
    if (request->prefs.count == REST_COUNT_EXACT)
        sqlgen_count(&sql, plan.root);
    else
        sqlgen_select(&sql, plan.root);
    return sql_stmt(&sql, stmt, err);
}

static void answer(struct rig *rig, struct str url, struct buf *out)
{
    struct db_stmt stmt;
    struct err err = {0};
    arena_reset(&rig->arena);
    if (!generate(rig, url, &stmt, &err)) {
        buf_printf(out, "! %d %s %s\n", err.status, err.code, err.message);
        if (err.details)
            buf_printf(out, "details: %s\n", err.details);
        if (err.hint)
            buf_printf(out, "hint: %s\n", err.hint);
        return;
    }
    buf_printf(out, "%s\n", stmt.sql);
    for (int i = 0; i < stmt.nparams; i++)
        buf_printf(out, "$%d %s\n", i + 1, stmt.values[i] ? stmt.values[i] : "NULL");
}

static struct str read_whole(const char *name)
{
    struct buf b;
    char piece[4096];
    size_t n;
    FILE *f = fopen(name, "r");
    if (!f)
        fixture_fail("cannot read", name);
    buf_init(&b, BUF_NO_CEILING);
    while ((n = fread(piece, 1, sizeof piece, f)) > 0)
        buf_add(&b, piece, n);
    fclose(f);
    struct str whole = {NULL, 0};
    whole.p = buf_take(&b, &whole.n);
    return whole;
}

/* The whole file as it should be, from its comments and requests. */
static void expected_file(struct rig *rig, struct str old, struct buf *out)
{
    struct str rest = old, line;
    while (str_next(&rest, '\n', &line)) {
        if (str_starts(line, STR("#")))
            buf_printf(out, "\n%.*s\n", STR_ARG(line));
        if (!str_starts(line, STR("> ")))
            continue;
        buf_printf(out, "\n%.*s\n", STR_ARG(line));
        answer(rig, str_from(line, 2), out);
    }
}

static void reads_give_the_sql_on_file(void **state)
{
    struct rig rig;
    struct buf now;
    (void)state;
    rig_init(&rig);
    buf_init(&now, BUF_NO_CEILING);
    struct str old = read_whole(FILE_NAME);
    expected_file(&rig, old, &now);
    if (getenv("GOLDEN")) {
        FILE *f = fopen(FILE_NAME, "w");
        assert_non_null(f);
        assert_int_equal(fwrite(now.p, 1, now.n, f), now.n);
        fclose(f);
    } else if (!str_eq(old, buf_str(&now))) {
        FILE *f = fopen("/tmp/rest_read.actual.txt", "w");
        if (f) {
            fwrite(now.p, 1, now.n, f);
            fclose(f);
        }
        fail_msg("the SQL differs: diff " FILE_NAME " /tmp/rest_read.actual.txt");
    }
    free((void *)(uintptr_t)old.p);
    buf_fini(&now);
    rig_fini(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(reads_give_the_sql_on_file)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
