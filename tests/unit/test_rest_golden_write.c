/* The SQL of writes and calls, held fast: tests/golden/rest_write.txt has blocks of
 *
 *     > METHOD @ path and query @ body @ Prefer @ Accept     ("-" or missing: empty)
 *     the statement, or "! STATUS CODE message" with "details:" and "hint:" lines
 *     $ parameters
 *
 * GOLDEN=write build/.../test_rest_golden_write rewrites the answers; look at the diff before
 * keeping them. */
#include "unit.h"

#include "catalog_fixture.h"
#include "rest/negotiate.h"
#include "rest/request.h"
#include "rest/sqlgen_write.h"

#define FILE_NAME "tests/golden/rest_write.txt"

struct rig {
    struct catalog *catalog;
    struct conf conf;
    struct conf_database db;
    struct arena arena;
    struct buf sql;
};

static const char *const schemas[] = {"api"};

struct asked {
    struct str method, url, body, prefer, accept;
};

static struct asked split(struct str line)
{
    struct str parts[5] = {{0}};
    size_t n = 0, from = 0;
    for (size_t i = 0; i <= line.n && n < 5; i++) {
        bool end = i == line.n;
        if (!end && (i + 3 > line.n || memcmp(line.p + i, " @ ", 3) != 0))
            continue;
        struct str part = {line.p + from, i - from};
        parts[n++] = str_eq(part, STR("-")) ? STR("") : part;
        from = i + 3;
        i += 2;
    }
    return (struct asked){parts[0], parts[1], parts[2], parts[3], parts[4]};
}

static enum rest_method method_of(struct str name)
{
    return str_eq(name, STR("POST"))    ? REST_POST
           : str_eq(name, STR("PATCH")) ? REST_PATCH
           : str_eq(name, STR("PUT"))   ? REST_PUT
           : str_eq(name, STR("GET"))   ? REST_GET
                                        : REST_DELETE;
}

static bool parse(struct rig *rig, struct asked asked, struct rest_request *request,
                  struct rest_body *body, struct err *err)
{
    size_t mark = str_find(asked.url, '?', 0);
    struct rest_input in = {.method = method_of(asked.method),
                            .method_name = asked.method,
                            .path = {asked.url.p, mark},
                            .query = mark < asked.url.n ? str_from(asked.url, mark + 1)
                                                        : (struct str){NULL, 0},
                            .accept = asked.accept.n ? asked.accept : (struct str){NULL, 0}};
    *request = (struct rest_request){0};
    *body = (struct rest_body){0};
    if (!rest_prefs_add(&rig->arena, asked.prefer, true, &request->prefs, err) ||
        !rest_request_parse(&rig->arena, &rig->conf, &rig->db, &in, request, err))
        return false;
    if (in.method == REST_DELETE || in.method == REST_GET)
        return true;
    return rest_body_parse(&rig->arena, request, asked.body, body, err);
}

static bool negotiate(struct rig *rig, const struct rest_request *request, struct str target,
                      bool no_body, const struct rest_plan *plan, struct sqlgen_handler *handler,
                      struct err *err)
{
    struct rest_negotiation n = {.catalog = rig->catalog,
                                 .conf = &rig->conf,
                                 .request = request,
                                 .target = {request->schema, target},
                                 .default_select = plan->default_select,
                                 .no_body = no_body};
    return rest_negotiate(&rig->arena, &n, handler, err);
}

static bool write_sql(struct rig *rig, const struct rest_request *request,
                      const struct rest_body *body, struct sql *sql, struct err *err)
{
    struct rest_plan plan;
    struct plan_write write;
    struct sqlgen_handler handler;
    const struct catalog_table *table = catalog_table(rig->catalog, request->schema, request->name);
    struct plan_spec spec = {.catalog = rig->catalog,
                             .conf = &rig->conf,
                             .request = request,
                             .source = PLAN_FROM_MUTATION,
                             .name = request->name};
    struct plan_write_spec write_spec = {rig->catalog, request, body, table, &plan};
    bool no_body = request->prefs.returning != REST_RETURN_REPRESENTATION;
    if (!table)
        return catalog_table_missing(&rig->arena, rig->catalog, request->schema, request->name,
                                     err);
    if (!rest_plan_read(&rig->arena, &spec, &plan, err) ||
        !rest_plan_write(&rig->arena, &write_spec, &write, err) ||
        !negotiate(rig, request, request->name, no_body, &plan, &handler, err))
        return false;
    struct sqlgen_write in = {&write, &plan, &handler};
    sqlgen_write(sql, &in);
    return true;
}

static bool call_sql(struct rig *rig, const struct rest_request *request,
                     const struct rest_body *body, struct sql *sql, struct err *err)
{
    struct rest_plan plan;
    struct rest_call call;
    struct sqlgen_handler handler;
    struct rest_call_spec find = {rig->catalog, request,
                                  request->method == REST_POST ? body : NULL};
    if (!rest_call_find(&rig->arena, &find, &call, err))
        return false;
    struct str target = rest_call_target(call.routine);
    struct plan_spec spec = {.catalog = rig->catalog,
                             .conf = &rig->conf,
                             .request = request,
                             .source = PLAN_FROM_CALL,
                             .name = target};
    if (!rest_plan_read(&rig->arena, &spec, &plan, err) ||
        !negotiate(rig, request, target, false, &plan, &handler, err) ||
        !rest_call_plan(&rig->arena, &plan, &call, err))
        return false;
    struct sqlgen_call in = {.call = &call,
                             .read = &plan,
                             .handler = &handler,
                             .count = request->prefs.count,
                             .limited = request->limit != REST_NO_LIMIT || request->offset > 0};
    sqlgen_call(sql, &in);
    return true;
}

static bool generate(struct rig *rig, struct str line, struct db_stmt *stmt, struct err *err)
{
    struct rest_request *request = arena_alloc(&rig->arena, sizeof *request);
    struct rest_body body;
    struct sql sql;
    if (!parse(rig, split(line), request, &body, err))
        return false;
    sql_init(&sql, &rig->arena, &rig->sql);
    bool done = request->action == REST_CALL ? call_sql(rig, request, &body, &sql, err)
                                             : write_sql(rig, request, &body, &sql, err);
    return done && sql_stmt(&sql, stmt, err);
}

static void answer(struct rig *rig, struct str line, struct buf *out)
{
    struct db_stmt stmt;
    struct err err = {0};
    arena_reset(&rig->arena);
    if (!generate(rig, line, &stmt, &err)) {
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

static void writes_give_the_sql_on_file(void **state)
{
    struct rig rig = {.catalog = fixture_catalog(CATALOG_FIXTURE)};
    struct buf now;
    (void)state;
    rig.db = (struct conf_database){.name = "", .db_schemas = {schemas, 1}};
    rig.conf = (struct conf){.databases = &rig.db, .n_databases = 1};
    arena_init(&rig.arena, 16 << 20);
    buf_init(&rig.sql, 1 << 20);
    buf_init(&now, BUF_NO_CEILING);
    struct str old = read_whole(FILE_NAME);
    expected_file(&rig, old, &now);
    const char *to = getenv("GOLDEN") ? FILE_NAME : "/tmp/rest_write.actual.txt";
    bool same = str_eq(old, buf_str(&now));
    if (!same) {
        FILE *f = fopen(to, "w");
        assert_non_null(f);
        assert_int_equal(fwrite(now.p, 1, now.n, f), now.n);
        fclose(f);
    }
    if (!same && !getenv("GOLDEN"))
        fail_msg("the SQL differs: diff " FILE_NAME " %s", to);
    free((void *)(uintptr_t)old.p);
    buf_fini(&now);
    buf_fini(&rig.sql);
    arena_fini(&rig.arena);
    catalog_unref(rig.catalog);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(writes_give_the_sql_on_file)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
