/* fuzz_rest_write: method, path, preferences and body against a recorded catalog (run from the top
 * of the tree: tests/golden/schema.tsv), up to the SQL. Input: a byte for the method, a line
 * "path?query", a line of Prefer, and the body.
 *
 * Whatever comes in, the text of the statement may hold it only inside of quotes: what is left
 * without quoted identifiers and literals has no semicolon, no comment, and its parentheses match.
 */
#include <stdio.h>

#include "../unit/catalog_fixture.h"
#include "rest/negotiate.h"
#include "rest/request.h"
#include "rest/sqlgen_write.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool truth)
{
    if (!truth)
        abort();
}

/* Behind the closing quote; a doubled quote is part of the text, and in E'' a backslash quotes. */
static const char *skip_quoted(const char *p, bool escapes)
{
    char quote = *p;
    for (p++; *p; p++) {
        if (escapes && *p == '\\')
            require(*++p != '\0');
        else if (*p == quote && p[1] == quote)
            p++;
        else if (*p == quote)
            return p;
    }
    abort();
}

static void check_sql(const char *sql)
{
    int depth = 0;
    for (const char *p = sql; *p; p++) {
        if (*p == '"' || *p == '\'') {
            p = skip_quoted(p, *p == '\'' && p > sql && p[-1] == 'E');
            continue;
        }
        depth += *p == '(' ? 1 : *p == ')' ? -1 : 0;
        require(depth >= 0 && *p != ';' && *p != '\\');
        require(!(p[0] == '-' && p[1] == '-') && !(p[0] == '/' && p[1] == '*'));
    }
    require(depth == 0);
}

struct rig {
    struct catalog *catalog;
    struct conf conf;
    struct conf_database db;
};

static const char *const schemas[] = {"api"};

static const struct rig *rig_once(void)
{
    static struct rig rig;
    if (!rig.catalog) {
        rig.catalog = fixture_catalog(CATALOG_FIXTURE);
        rig.db = (struct conf_database){.name = "", .db_schemas = {schemas, 1}};
        rig.conf = (struct conf){.databases = &rig.db,
                                 .n_databases = 1,
                                 .db_plan_enabled = true,
                                 .db_aggregates_enabled = true};
    }
    return &rig;
}

struct job {
    struct arena *arena;
    const struct rig *rig;
    struct rest_request *request;
    struct rest_body *body;
    struct sql *sql;
    struct err *err;
};

static bool handler_of(struct job *j, struct str target, const struct rest_plan *plan,
                       struct sqlgen_handler *handler)
{
    struct rest_negotiation n = {.catalog = j->rig->catalog,
                                 .conf = &j->rig->conf,
                                 .request = j->request,
                                 .target = {j->request->schema, target},
                                 .default_select = plan->default_select};
    return rest_negotiate(j->arena, &n, handler, j->err);
}

static bool write_sql(struct job *j)
{
    struct rest_plan plan;
    struct plan_write write;
    struct sqlgen_handler handler;
    struct rest_request *r = j->request;
    struct plan_write_spec spec = {j->rig->catalog, r, j->body,
                                   catalog_table(j->rig->catalog, r->schema, r->name), &plan};
    struct plan_spec read = {.catalog = j->rig->catalog,
                             .conf = &j->rig->conf,
                             .request = r,
                             .source = PLAN_FROM_MUTATION,
                             .name = r->name};
    if (!spec.table || !rest_plan_read(j->arena, &read, &plan, j->err) ||
        !rest_plan_write(j->arena, &spec, &write, j->err) ||
        !handler_of(j, r->name, &plan, &handler))
        return false;
    struct sqlgen_write in = {&write, &plan, &handler};
    sqlgen_write(j->sql, &in);
    return true;
}

static bool call_sql(struct job *j)
{
    struct rest_plan plan;
    struct rest_call call;
    struct sqlgen_handler handler;
    struct rest_call_spec find = {j->rig->catalog, j->request,
                                  j->request->method == REST_POST ? j->body : NULL};
    if (!rest_call_find(j->arena, &find, &call, j->err))
        return false;
    struct plan_spec read = {.catalog = j->rig->catalog,
                             .conf = &j->rig->conf,
                             .request = j->request,
                             .source = PLAN_FROM_CALL,
                             .name = rest_call_target(call.routine)};
    if (!rest_plan_read(j->arena, &read, &plan, j->err) ||
        !handler_of(j, read.name, &plan, &handler) ||
        !rest_call_plan(j->arena, &plan, &call, j->err))
        return false;
    struct sqlgen_call in = {.call = &call,
                             .read = &plan,
                             .handler = &handler,
                             .count = j->request->prefs.count,
                             .limited = true};
    sqlgen_call(j->sql, &in);
    return true;
}

static bool run(struct job *j, enum rest_method method, struct str url, struct str prefer,
                struct str body)
{
    static const struct rest_input blank = {.method_name = {"M", 1}};
    static const char *const types[] = {NULL, "text/csv", "application/x-www-form-urlencoded",
                                        "text/plain"};
    struct rest_input in = blank;
    size_t mark = str_find(url, '?', 0);
    in.method = method;
    in.path = (struct str){url.p, mark};
    in.query = str_from(url, mark < url.n ? mark + 1 : mark);
    in.content_type = str_of(types[prefer.n % 4]);
    if (!rest_prefs_add(j->arena, prefer, true, &j->request->prefs, j->err) ||
        !rest_request_parse(j->arena, &j->rig->conf, &j->rig->db, &in, j->request, j->err))
        return false;
    bool has_body = method != REST_GET && method != REST_DELETE;
    if (has_body && !rest_body_parse(j->arena, j->request, body, j->body, j->err))
        return false;
    if (j->request->action == REST_CALL)
        return call_sql(j);
    return j->request->action != REST_READ && j->request->action != REST_SPEC && write_sql(j);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum rest_method methods[] = {REST_POST, REST_PATCH, REST_PUT, REST_DELETE,
                                               REST_GET};
    struct arena arena;
    struct buf text;
    struct rest_request request = {0};
    struct rest_body body = {0};
    struct sql sql;
    struct db_stmt stmt;
    struct err err = {0};
    if (size < 1)
        return 0;
    struct str rest = {(const char *)data + 1, size - 1}, url = {0}, prefer = {0};
    (void)str_next(&rest, '\n', &url);
    if (rest.p)
        (void)str_next(&rest, '\n', &prefer);
    arena_init(&arena, 64u << 20);
    buf_init(&text, 8u << 20);
    sql_init(&sql, &arena, &text);
    struct job job = {&arena, rig_once(), &request, &body, &sql, &err};
    if (run(&job, methods[data[0] % 5], url, prefer, rest.p ? rest : STR(""))) {
        if (sql_stmt(&sql, &stmt, &err))
            check_sql(stmt.sql);
    } else if (request.action != REST_READ && request.action != REST_SPEC && err.code[0]) {
        require(err.status >= 300);
    }
    rest_body_fini(&body);
    buf_fini(&text);
    arena_fini(&arena);
    return 0;
}
