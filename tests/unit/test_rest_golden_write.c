/* The SQL of writes and calls, held fast in tests/golden/rest_write.txt. A request there is
 *
 *     METHOD @ path and query @ body @ Prefer @ Accept     ("-" or missing: empty) */
#include "golden.h"

#include "rest/negotiate.h"
#include "rest/request.h"
#include "rest/sqlgen_write.h"

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

static void writes_give_the_sql_on_file(void **state)
{
    (void)state;
    golden_check("rest_write.txt", generate, (struct conf){.databases = NULL});
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(writes_give_the_sql_on_file)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
