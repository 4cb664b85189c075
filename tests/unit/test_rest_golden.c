/* The SQL of reads, held fast in tests/golden/rest_read.txt. */
#include "golden.h"

#include "rest/request.h"

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

static void reads_give_the_sql_on_file(void **state)
{
    (void)state;
    golden_check("rest_read.txt", generate,
                 (struct conf){.db_aggregates_enabled = true, .url_use_legacy_target_names = true});
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(reads_give_the_sql_on_file)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
