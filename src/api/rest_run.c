#include "api/rest_run.h"

#include <assert.h>
#include <stdio.h>
#include <time.h>

#include "api/sql_access.h"
#include "db/pool.h"
#include "http/route.h"
#include "json/writer.h"

#define LOOK_AGAIN_US 5000u /* whether what it waits for is there */
/* The most that a request waits which comes before the first attempt to load a catalog ended; of a
 * further database, whose catalog is loaded after each idle time, as long as it may wait for a
 * connection. */
#define FIRST_LOAD_MAX_US 1000000u
#define SQL_MAX (8u * 1024 * 1024) /* one statement's text */
#define SQL_KEPT 65536u            /* of the worker's scratch, between requests */
#define BYTEA_OID 17
#define RESPONSE_DEFAULT (1u << 30) /* PostgreSQL's own limit of a value */

static uint64_t clock_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* Adds the time since the last mark to *span; only where somebody wants to know. */
static void mark(struct rest_run *run, uint64_t *span)
{
    if (!run->conf->server_timing_enabled)
        return;
    uint64_t now = clock_us();
    if (span)
        *span += now - run->times.mark;
    run->times.mark = now;
}

/* ------------------------------------------------------------ the end of a run */

void rest_run_end(struct rest_run *run)
{
    if (run->ended)
        return;
    run->ended = true;
    if (run->waiting)
        loop_timer_stop(&run->again);
    if (!run->streamed)
        http_on_gone(run->req, NULL, NULL);
    if (run->on_end)
        run->on_end(run);
    rest_body_fini(&run->body);
    buf_fini(&run->row.body);
    catalog_unref(run->catalog);
    conf_unref(run->conf);
    run->catalog = NULL;
}

static void on_gone(void *arg)
{
    struct rest_run *run = arg;
    if (run->job)
        db_cancel(run->job);
    run->job = NULL;
    rest_run_end(run);
}

static void problem_reply(struct http_req *req, const struct rest_problem *p, bool minimal)
{
    struct buf body;
    char wait[16];
    unsigned seconds = p->retry_after ? p->retry_after : p->status == 503 ? 1 : 0;
    buf_init(&body, 4u << 20);
    rest_problem_body(&body, p, minimal);
    http_set_header(req, STR("Proxy-Status"), rest_problem_proxy_status(req->arena, p));
    if (seconds > 0) {
        snprintf(wait, sizeof wait, "%u", seconds);
        http_set_header(req, STR("Retry-After"), str_of(wait));
    }
    struct str type = STR("application/json; charset=utf-8");
    for (const struct rest_header *h = p->headers; h; h = h->next)
        if (str_ieq(h->name, STR("Content-Type")))
            type = h->value;
        else
            (void)http_add_header(req, h->name, h->value);
    http_reply(req, p->status, type, &body);
    buf_fini(&body);
}

void rest_run_problem(struct rest_run *run, const struct rest_problem *p)
{
    bool minimal = run->conf->client_error_verbosity == CONF_MINIMAL;
    if (p->status == 401 && !http_has_header(run->req, STR("WWW-Authenticate")))
        http_set_header(run->req, STR("WWW-Authenticate"), STR("Bearer"));
    problem_reply(run->req, p, minimal);
    rest_run_end(run);
}

void rest_run_fail(struct rest_run *run, const struct err *err)
{
    struct rest_problem p = rest_problem_of(err);
    struct str challenge = auth_challenge(run->arena, err);
    if (challenge.n > 0)
        http_set_header(run->req, STR("WWW-Authenticate"), challenge);
    rest_run_problem(run, &p);
}

/* What the router found wrong: too large, a method, a guard. */
static void route_fail(struct http_req *req, const struct err *err)
{
    struct rest_problem p = rest_problem_of(err);
    problem_reply(req, &p, false);
}

/* ------------------------------------------------------------ the beginning */

static enum rest_method method_of(enum http_method method)
{
    switch (method) {
    case HTTP_GET: return REST_GET;
    case HTTP_HEAD: return REST_HEAD;
    case HTTP_POST: return REST_POST;
    case HTTP_PUT: return REST_PUT;
    case HTTP_PATCH: return REST_PATCH;
    case HTTP_DELETE: return REST_DELETE;
    case HTTP_OPTIONS: return REST_OPTIONS;
    case HTTP_OTHER: break;
    }
    return REST_OTHER;
}

struct prefs_reader {
    struct rest_run *run;
    struct err *err;
    bool override, failed;
};

static void on_prefer(void *arg, struct str name, struct str value)
{
    struct prefs_reader *r = arg;
    if (!r->failed && str_ieq(name, STR("Prefer")))
        r->failed =
            !rest_prefs_add(r->run->arena, value, r->override, &r->run->request.prefs, r->err);
}

static bool read_request(struct rest_run *run, struct err *err)
{
    struct http_req *req = run->req;
    struct rest_input in = {.method = method_of(req->method),
                            .method_name = req->method_name,
                            .path = req->rest,
                            .query = req->query,
                            .accept = http_header(req, "Accept"),
                            .content_type = http_header(req, "Content-Type"),
                            .accept_profile = http_header(req, "Accept-Profile"),
                            .content_profile = http_header(req, "Content-Profile"),
                            .range = http_header(req, "Range")};
    struct prefs_reader prefs = {run, err, rest_tx_override(run->conf), false};
    if (http_header(req, "Prefer").p)
        http_headers(req, on_prefer, &prefs);
    return !prefs.failed &&
           rest_request_parse(run->arena, run->conf, run->db, &in, &run->request, err);
}

static bool identify(struct rest_run *run, struct err *err)
{
    return auth_identify(run->worker->auth, run->arena, http_header(run->req, "Authorization"),
                         str_of(run->db->db_anon_role), &run->who, err);
}

/* OPTIONS: no database, no pool. */
static void info_reply(struct rest_run *run, struct str allow)
{
    http_set_header(run->req, STR("Allow"), allow);
    http_set_header(run->req, STR("Vary"), STR("Accept, Prefer, Range"));
    http_reply(run->req, 200, (struct str){0}, NULL);
    rest_run_end(run);
}

/* The function that arguments in the URL mean; without them any of that name. */
static void info_routine(struct rest_run *run)
{
    const struct rest_request *r = &run->request;
    struct rest_call_spec spec = {run->catalog, r, NULL};
    struct err err;
    const struct catalog_routine *routine = catalog_routine(run->catalog, r->schema, r->name);
    if (rest_call_find(run->arena, &spec, &run->call, &err))
        routine = run->call.routine;
    if (!routine)
        rest_run_fail(run, &err);
    else
        info_reply(run, routine->volatility == CATALOG_VOLATILE ? STR("OPTIONS,POST")
                                                                : STR("OPTIONS,GET,HEAD,POST"));
}

static void info(struct rest_run *run)
{
    const struct rest_request *r = &run->request;
    struct err err;
    if (r->resource == REST_ROOT) {
        info_reply(run, STR("OPTIONS,GET,HEAD"));
        return;
    }
    if (r->resource == REST_ROUTINE) {
        info_routine(run);
        return;
    }
    const struct catalog_table *t = catalog_table(run->catalog, r->schema, r->name);
    if (!t) {
        (void)catalog_table_missing(run->arena, run->catalog, r->schema, r->name, &err);
        rest_run_fail(run, &err);
        return;
    }
    const char *allow =
        arena_printf(run->arena, "OPTIONS,GET,HEAD%s%s%s%s", t->insertable ? ",POST" : "",
                     t->insertable && t->updatable && t->key.n > 0 ? ",PUT" : "",
                     t->updatable ? ",PATCH" : "", t->deletable ? ",DELETE" : "");
    info_reply(run, str_of(allow));
}

static void dispatch(struct rest_run *run)
{
    switch (run->request.action) {
    case REST_READ: rest_read_start(run); break;
    case REST_INSERT:
    case REST_UPDATE:
    case REST_UPSERT:
    case REST_REMOVE: rest_write_start(run); break;
    case REST_CALL: rest_rpc_start(run); break;
    case REST_SPEC: rest_openapi_start(run); break;
    case REST_INFO: info(run); break;
    }
}

static uint64_t first_load_max(const struct rest_run *run)
{
    return *run->db->name ? run->conf->db_pool_acquisition_timeout_us : FIRST_LOAD_MAX_US;
}

bool rest_run_wait(struct rest_run *run, uint64_t most_us, void (*again)(void *))
{
    uint64_t now = loop_now_us(run->worker->loop);
    if (!run->waiting)
        run->came_us = now;
    else if (now - run->came_us >= most_us)
        return false;
    run->waiting = true;
    loop_timer_init(&run->again, run->worker->loop, again, run);
    loop_timer_set(&run->again, LOOK_AGAIN_US);
    return true;
}

static void with_catalog(void *arg)
{
    struct rest_run *run = arg;
    struct rest_catalogs *catalogs = run->worker->app->catalogs;
    struct err err = {0};
    run->catalog = rest_catalogs_get(catalogs, run->db);
    if (!run->catalog &&
        rest_catalogs_state(catalogs, str_of(run->db->name)) == REST_CATALOG_PENDING &&
        rest_run_wait(run, first_load_max(run), with_catalog))
        return;
    if (!run->catalog)
        run->catalog = rest_catalogs_need(catalogs, run->db, &err);
    bool done = run->catalog && read_request(run, &err);
    mark(run, &run->times.parse);
    if (done)
        dispatch(run);
    else
        rest_run_fail(run, &err);
}

static void begin(struct rest_run *run)
{
    struct err err = {0};
    mark(run, NULL);
    bool done =
        run->db ? identify(run, &err) : err_set(&err, 404, "PGRST125", "There is no such database");
    mark(run, &run->times.jwt);
    if (!done)
        rest_run_fail(run, &err);
    else
        with_catalog(run);
}

/* Before the settings in the database are known nobody is judged by the others: who may be let in
 * by them, or be told that a good token is bad. */
static void with_settings(void *arg)
{
    struct rest_run *run = arg;
    struct err err = {0};
    if (!run->worker->config_read && rest_run_wait(run, FIRST_LOAD_MAX_US, with_settings))
        return;
    conf_unref(run->conf);
    run->conf = conf_ref(run->worker->conf);
    run->db = conf_database(run->conf, run->req->database);
    if (run->worker->config_read || !run->db)
        begin(run);
    else if (!rest_catalogs_need(run->worker->app->catalogs, run->db, &err))
        rest_run_fail(run, &err);
}

void rest_run_start(struct worker *worker, struct http_req *req)
{
    struct err err = {0};
    struct rest_run *run = ARENA_NEW(req->arena, struct rest_run);
    if (!run) {
        err_set(&err, 413, "PGRST100", "The request needs too much memory");
        route_fail(req, &err);
        return;
    }
    run->worker = worker;
    run->req = req;
    run->arena = req->arena;
    run->conf = conf_ref(worker->conf);
    run->db = conf_database(run->conf, req->database);
    buf_init(&run->row.body,
             run->conf->response_max_bytes ? run->conf->response_max_bytes : RESPONSE_DEFAULT);
    http_on_gone(req, on_gone, run);
    if (worker->config_read)
        begin(run);
    else
        with_settings(run);
}

/* ------------------------------------------------------------ the group */

void rest_run_sql(struct rest_run *run, struct sql *sql)
{
    struct buf *scratch = &run->worker->scratch;
    if (scratch->cap > SQL_KEPT || scratch->ceiling != SQL_MAX) {
        buf_fini(scratch);
        buf_init(scratch, SQL_MAX);
    }
    buf_clear(scratch);
    sql_init(sql, run->arena, scratch);
}

static bool row_security(const struct plan_node *node)
{
    if (!node)
        return false;
    if (node->table && node->table->row_security)
        return true;
    for (const struct plan_node *child = node->children; child; child = child->next)
        if (row_security(child))
            return true;
    return false;
}

/* What a plan depends on besides its text: the types that the catalog has, the schemas where names
 * resolve, and with row level security the role, whose policies they are. */
static struct str cache_scope(struct rest_run *run)
{
    bool by_role = (run->table && run->table->row_security) || row_security(run->plan.root);
    uint64_t version = catalog_info(run->catalog).version;
    struct str schema = run->request.schema, role = by_role ? run->who.role : STR("");
    char *scope = arena_alloc(run->arena, sizeof version + schema.n + 1 + role.n);
    if (!scope)
        return schema;
    memcpy(scope, &version, sizeof version);
    memcpy(scope + sizeof version, schema.p, schema.n);
    scope[sizeof version + schema.n] = '\0';
    if (role.n)
        memcpy(scope + sizeof version + schema.n + 1, role.p, role.n);
    return (struct str){scope, sizeof version + schema.n + 1 + role.n};
}

bool rest_run_add(struct rest_run *run, struct sql *sql, bool is_main, struct err *err)
{
    assert(run->n_stmts < REST_STMTS_MAX);
    struct db_stmt *stmt = &run->stmts[run->n_stmts];
    if (!sql_stmt(sql, stmt, err))
        return false;
    stmt->prepare = run->db->db_prepared_statements;
    stmt->cache_scope = is_main ? cache_scope(run) : (struct str){0};
    if (is_main)
        run->main = run->n_stmts;
    run->n_stmts++;
    return true;
}

static int64_t number(const struct db_result *r, size_t column)
{
    int64_t v;
    struct str text = db_result_value(r, 0, column);
    return text.n > 0 && str_i64(text, &v) ? v : -1;
}

static int hex_value(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The body of a handler that makes bytea comes as \x6869 (PostgreSQL docs, "bytea Hex Format"). */
static void add_body(struct buf *body, struct str value, db_oid type)
{
    if (type != BYTEA_OID || !str_starts(value, STR("\\x")) || value.n % 2 != 0) {
        buf_adds(body, value);
        return;
    }
    char *to = buf_reserve(body, value.n / 2);
    size_t n = 0;
    for (size_t i = 2; to && i + 1 < value.n; i += 2) {
        int high = hex_value(value.p[i]), low = hex_value(value.p[i + 1]);
        if (high < 0 || low < 0)
            break;
        to[n++] = (char)(high << 4 | low);
    }
    body->n += n;
}

static void read_row(struct rest_run *run, const struct db_result *r)
{
    struct rest_row *row = &run->row;
    size_t shift = run->write.table ? 1 : 0; /* a write's location stands before its body */
    if (db_result_rows(r) == 0 || db_result_columns(r) <= SQLGEN_INSERTED + shift)
        return;
    int64_t page = number(r, SQLGEN_PAGE);
    row->seen = true;
    row->total = number(r, SQLGEN_TOTAL);
    row->page = page < 0 ? 0 : (uint64_t)page;
    row->inserted = number(r, SQLGEN_INSERTED + shift);
    add_body(&row->body, db_result_value(r, 0, SQLGEN_BODY + shift),
             db_result_field(r, SQLGEN_BODY + shift).type);
    row->headers = arena_str(run->arena, db_result_value(r, 0, SQLGEN_HEADERS + shift));
    row->status = arena_str(run->arena, db_result_value(r, 0, SQLGEN_STATUS + shift));
    if (shift)
        row->location = arena_str(run->arena, db_result_value(r, 0, SQLGEN_LOCATION));
}

/* EXPLAIN: text comes line by line, JSON as one value; each ends with a newline. */
static void read_plan(struct rest_run *run, const struct db_result *r)
{
    for (size_t i = 0; i < db_result_rows(r); i++) {
        buf_adds(&run->row.body, db_result_value(r, i, 0));
        buf_char(&run->row.body, '\n');
    }
}

void rest_run_read_main(struct rest_run *run, const struct db_result *r)
{
    if (run->handler.plan)
        read_plan(run, r);
    else
        read_row(run, r);
}

static bool on_result(void *arg, size_t stmt, const struct db_result *r)
{
    struct rest_run *run = arg;
    if (run->on_result)
        return run->on_result(run, stmt, r);
    if (stmt == run->main)
        rest_run_read_main(run, r);
    return true;
}

static bool on_again(void *arg)
{
    struct rest_run *run = arg;
    return run->on_again && run->on_again(run);
}

/* The headers that a function set, when an answer may have them all. */
static bool guc_headers(struct rest_run *run, const struct rest_header **list, struct err *err)
{
    if (!rest_guc_headers(run->arena, run->row.headers, list, err))
        return false;
    for (const struct rest_header *h = *list; h; h = h->next)
        if (!http_header_ok(h->name, h->value))
            return rest_guc_headers_bad(err);
    return true;
}

static void on_done(void *arg, const struct db_outcome *o)
{
    struct rest_run *run = arg;
    run->job = NULL;
    mark(run, &run->times.transaction);
    http_set_times(run->req, o->queue_us, o->connect_us, o->db_us);
    if (run->on_outcome && run->on_outcome(run, o))
        return;
    if (o->end != DB_DONE) {
        bool anonymous =
            run->db->db_anon_role && str_eq(run->who.role, str_of(run->db->db_anon_role));
        bool checked = rest_wants_object(&run->handler) || run->request.prefs.has_max_affected ||
                       run->request.action == REST_UPSERT;
        struct rest_problem p = rest_problem_of_outcome(run->arena, o, anonymous, checked);
        rest_run_problem(run, &p);
        return;
    }
    const struct rest_header *headers;
    struct err err;
    int status;
    /* found wrong before the answer has any header of its own */
    if (!guc_headers(run, &headers, &err) || !rest_guc_status(run->row.status, &status, &err))
        rest_run_fail(run, &err);
    else if (run->handler.plan)
        rest_run_reply_plan(run);
    else
        run->on_done(run);
}

void rest_run_submit(struct rest_run *run)
{
    static const struct db_ops ops = {
        .on_result = on_result, .on_again = on_again, .on_done = on_done};
    run->spec.stmts = run->stmts;
    run->spec.n = run->n_stmts;
    mark(run, &run->times.plan);
    run->job = db_submit(db_pools_own(run->worker->pools, run->db), &run->spec, &ops, run);
}

/* ------------------------------------------------------------ answers */

void rest_run_header(struct rest_run *run, struct str name, struct str value)
{
    (void)http_add_header(run->req, name, value);
}

static void server_timing(struct rest_run *run)
{
    const struct rest_times *t = &run->times;
    mark(run, &run->times.response);
    const char *text = arena_printf(
        run->arena,
        "jwt;dur=%.1f, parse;dur=%.1f, plan;dur=%.1f, transaction;dur=%.1f, response;dur=%.1f",
        (double)t->jwt / 1000, (double)t->parse / 1000, (double)t->plan / 1000,
        (double)t->transaction / 1000, (double)t->response / 1000);
    if (text)
        rest_run_header(run, STR("Server-Timing"), str_of(text));
}

/* Headers a function set replace ours of that name; several of one name all stay. */
static void function_headers(struct rest_run *run, const struct rest_header *list,
                             struct str *content_type)
{
    for (const struct rest_header *h = list; h; h = h->next) {
        bool again = false;
        for (const struct rest_header *g = list; g != h; g = g->next)
            again = again || str_ieq(g->name, h->name);
        if (str_ieq(h->name, STR("Content-Type"))) {
            *content_type = h->value;
            continue;
        }
        if (!again && http_has_header(run->req, h->name))
            http_set_header(run->req, h->name, h->value);
        else
            rest_run_header(run, h->name, h->value);
    }
}

static void common_headers(struct rest_run *run, const struct rest_reply *reply)
{
    struct str warning =
        run->plan.root ? rest_plan_warning(run->arena, &run->plan) : (struct str){0};
    if (reply->prefs) {
        struct str applied = rest_prefs_applied(run->arena, reply->prefs);
        if (applied.n > 0)
            rest_run_header(run, STR("Preference-Applied"), applied);
    }
    if (reply->content_type.p && run->request.profile_header)
        rest_run_header(run, STR("Content-Profile"), run->request.schema);
    if (warning.n > 0)
        rest_run_header(run, STR("Warning"), warning);
    if (run->conf->server_timing_enabled)
        server_timing(run);
    rest_run_header(run, STR("Vary"), STR("Accept, Prefer, Range"));
}

static bool head_failed(struct rest_run *run, const struct err *err)
{
    rest_run_fail(run, err);
    return false;
}

bool rest_run_head(struct rest_run *run, const struct rest_reply *reply, struct str *type,
                   int *status)
{
    const struct rest_header *list;
    struct err err;
    int wanted = 0;
    *type = reply->content_type;
    if (!guc_headers(run, &list, &err) || !rest_guc_status(run->row.status, &wanted, &err))
        return head_failed(run, &err);
    common_headers(run, reply);
    function_headers(run, list, type);
    *status = wanted ? wanted : reply->status;
    return true;
}

void rest_run_too_big(const struct rest_run *run, struct err *err)
{
    sql_access_too_big(err, run->conf->response_max_bytes);
}

void rest_run_reply(struct rest_run *run, const struct rest_reply *reply)
{
    struct str type;
    struct err err;
    int status;
    if (buf_broken(&run->row.body)) {
        rest_run_too_big(run, &err);
        rest_run_fail(run, &err);
        return;
    }
    if (!rest_run_head(run, reply, &type, &status))
        return;
    if (!reply->content_type.p || run->request.method == REST_HEAD)
        buf_clear(&run->row.body);
    http_reply(run->req, status, type,
               run->row.body.n > 0 || reply->content_type.p ? &run->row.body : NULL);
    rest_run_end(run);
}

void rest_run_outside(struct rest_run *run)
{
    struct err err;
    (void)rest_range_outside(run->arena, run->request.offset, run->row.total, &err);
    struct rest_problem problem = rest_problem_of(&err);
    buf_clear(&run->row.body);
    rest_problem_body(&run->row.body, &problem, run->conf->client_error_verbosity == CONF_MINIMAL);
}

void rest_run_reply_plan(struct rest_run *run)
{
    struct rest_reply reply = {.status = 200, .content_type = run->handler.content_type};
    rest_run_reply(run, &reply);
}

/* ------------------------------------------------------------ the endpoint */

static void run(struct worker *worker, struct http_req *req)
{
    rest_run_start(worker, req);
}

const struct route rest_route = {
    .name = "rest",
    .methods = "*",
    .path = "/",
    .flags = ROUTE_DATABASE | ROUTE_REST,
    .run = run,
    .fail = route_fail,
};
