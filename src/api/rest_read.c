/* rest_read: GET and HEAD of a relation.
 *
 * Three shapes of the same answer, chosen before anything is sent. Aggregate: PostgreSQL makes the
 * whole body in one row; for what is small by its nature: a key, a limit, aggregates, media types
 * other than plain JSON. Rows (rest_rows.c): one row of JSON at a time, joined here as json_agg
 * joins them; held while it fits into response-buffer, streamed from then on, so that memory stays
 * bounded. Key: the rows of one primary key of a plain table, joined the same way: without the
 * aggregate and its columns it costs PostgreSQL a third less, and a point read is what most
 * requests are. */
#include "api/rest_read.h"

static bool limited(const struct rest_run *run)
{
    const struct rest_request *r = &run->request;
    return run->conf->db_max_rows > 0 || r->offset > 0 || r->limit != REST_NO_LIMIT ||
           r->limit_zero;
}

/* ---- what counts ---- */

/* "Plan Rows" of EXPLAIN's outermost node: its keys come before those of the nodes below, and a
 * quotation mark inside a string is escaped. */
static int64_t plan_rows(struct str json)
{
    static const char key[] = "\"Plan Rows\": ";
    const char *at = json.n ? memmem(json.p, json.n, key, sizeof key - 1) : NULL;
    uint64_t rows;
    if (!at)
        return -1;
    struct str number = str_from(json, (size_t)(at - json.p) + sizeof key - 1);
    size_t n = 0;
    while (n < number.n && number.p[n] >= '0' && number.p[n] <= '9')
        n++;
    return str_u64((struct str){number.p, n}, INT64_MAX, &rows) ? (int64_t)rows : -1;
}

void rest_read_count(struct rest_run *run, const struct db_result *r)
{
    int64_t planned = db_result_rows(r) ? plan_rows(db_result_value(r, 0, 0)) : -1;
    int64_t *total = &run->row.total;
    if (run->request.prefs.count == REST_COUNT_PLANNED)
        *total = planned;
    else if (planned > *total &&
             (run->conf->db_max_rows == 0 || *total > (int64_t)run->conf->db_max_rows))
        *total = planned;
}

bool rest_read_planned(const struct rest_run *run)
{
    enum rest_count count = run->request.prefs.count;
    return !run->handler.plan && (count == REST_COUNT_PLANNED || count == REST_COUNT_ESTIMATED);
}

static bool on_result(struct rest_run *run, size_t stmt, const struct db_result *r)
{
    if (stmt == run->main)
        rest_run_read_main(run, r);
    else if (stmt > run->main)
        rest_read_count(run, r);
    return true;
}

struct str rest_read_between(const struct rest_run *run)
{
    return run->handler.body == SQLGEN_JSON_STRIP ? STR(",") : STR(", \n ");
}

/* The shape of a key. */
static bool on_key_rows(struct rest_run *run, size_t stmt, const struct db_result *r)
{
    bool object = run->handler.body == SQLGEN_OBJECT;
    struct buf *body = &run->row.body;
    if (stmt != run->main)
        return true;
    run->row.page = db_result_rows(r);
    run->row.total = -1;
    if (!object)
        buf_char(body, '[');
    for (size_t i = 0; i < db_result_rows(r); i++) {
        if (i > 0)
            buf_adds(body, rest_read_between(run));
        buf_adds(body, db_result_value(r, i, 0));
    }
    if (!object)
        buf_char(body, ']');
    return true;
}

/* ---- the answer ---- */

void rest_read_reply(struct rest_run *run, struct rest_prefs *applied, struct rest_reply *reply)
{
    const struct rest_request *r = &run->request;
    const struct rest_row *row = &run->row;
    *applied = r->prefs;
    applied->resolution = REST_RESOLUTION_NONE;
    applied->missing = REST_MISSING_NONE;
    applied->returning = REST_RETURN_NONE;
    applied->has_max_affected = false;
    *reply = (struct rest_reply){.status = rest_range_status(r->offset, row->page, row->total),
                                 .content_type = run->handler.content_type,
                                 .prefs = applied};
    rest_run_header(run, STR("Content-Range"),
                    rest_content_range(run->arena, r->offset, row->page, row->total));
    struct str location = rest_content_location(run->arena, r);
    if (location.n <= run->conf->server_header_memory / 4) /* else the head would have no room */
        rest_run_header(run, STR("Content-Location"), location);
}

/* One object was asked for: there must be one row. HEAD is asked the same. */
static bool singular(struct rest_run *run)
{
    enum rest_media_kind kind = run->handler.media.kind;
    struct err err = {0};
    if ((kind != REST_MEDIA_OBJECT && kind != REST_MEDIA_OBJECT_STRIP) || run->row.page == 1)
        return true;
    err_set(&err, 406, "PGRST116", "Cannot coerce the result to a single JSON object");
    err.details = arena_printf(run->arena, "The result contains %llu rows",
                               (unsigned long long)run->row.page);
    rest_run_fail(run, &err);
    return false;
}

static void on_done(struct rest_run *run)
{
    struct rest_prefs applied;
    struct rest_reply reply;
    if (!singular(run))
        return;
    rest_read_reply(run, &applied, &reply);
    if (reply.status == 416)
        rest_run_outside(run);
    rest_run_reply(run, &reply);
}

/* ---- the plan ---- */

static bool make_plan(struct rest_run *run, struct err *err)
{
    const struct rest_request *r = &run->request;
    struct plan_spec spec = {.catalog = run->catalog,
                             .conf = run->conf,
                             .request = r,
                             .source = PLAN_FROM_RELATION,
                             .name = r->name};
    struct rest_negotiation negotiation = {.catalog = run->catalog,
                                           .conf = run->conf,
                                           .request = r,
                                           .target = {r->schema, r->name},
                                           .no_body = r->method == REST_HEAD};
    if (!rest_plan_read(run->arena, &spec, &run->plan, err))
        return false;
    negotiation.default_select = run->plan.default_select;
    return rest_negotiate(run->arena, &negotiation, &run->handler, err) &&
           rest_prefs_check(run->arena, &r->prefs, err);
}

/* Do the root's filters fix the whole primary key? */
static bool by_key(const struct plan_node *root)
{
    const struct catalog_strs *key = &root->table->key;
    for (size_t i = 0; i < key->n; i++) {
        const struct plan_cond *c = root->where;
        while (c && !(c->kind == PLAN_FILTER && !c->negated && !c->field.path &&
                      c->filter->op == REST_OP_EQ && c->filter->quantifier == REST_QUANT_NONE &&
                      str_eq(c->field.name, key->v[i])))
            c = c->next;
        if (!c)
            return false;
    }
    return key->n > 0;
}

static bool aggregated(const struct plan_node *root)
{
    for (const struct plan_select *s = root->select; s; s = s->next)
        if (s->aggregate != REST_AGG_NONE)
            return true;
    return false;
}

static bool plain_column(const struct plan_field *f)
{
    return f->column && !f->transform.n && !f->full_row;
}

/* Nothing but columns of a table without row level security: no function of the database's runs, so
 * none can set response.headers or response.status meanwhile. */
static bool bare(const struct rest_run *run)
{
    const struct plan_node *root = run->plan.root;
    const struct catalog_table *t = root->table;
    bool plain = !t->is_view && !t->row_security && !t->representations && !root->children &&
                 !(run->db->db_pre_request && run->db->db_pre_request[0]);
    for (const struct plan_select *s = root->select; s && plain; s = s->next)
        plain = (plan_is_star(&s->field) || plain_column(&s->field)) && !s->cast.p &&
                s->aggregate == REST_AGG_NONE;
    for (const struct plan_cond *c = root->where; c && plain; c = c->next)
        plain = c->kind == PLAN_FILTER && plain_column(&c->field);
    for (const struct plan_order *o = root->order; o && plain; o = o->next)
        plain = !o->relation && plain_column(&o->field);
    return plain;
}

static bool has_key_shape(const struct rest_run *run)
{
    enum sqlgen_body body = run->handler.body;
    return run->request.method == REST_GET && !run->handler.plan &&
           (body == SQLGEN_JSON || body == SQLGEN_JSON_STRIP || body == SQLGEN_OBJECT) &&
           run->request.prefs.count == REST_COUNT_NONE && by_key(run->plan.root) && bare(run);
}

static bool unbounded(const struct rest_run *run)
{
    const struct plan_node *root = run->plan.root;
    enum sqlgen_body body = run->handler.body;
    return run->request.method == REST_GET && !run->handler.plan &&
           (body == SQLGEN_JSON || body == SQLGEN_JSON_STRIP) &&
           (root->limit == REST_NO_LIMIT || root->limit > run->conf->rest_stream_rows) &&
           !by_key(root) && !aggregated(root);
}

static bool make_group(struct rest_run *run, const struct sqlgen_read *read, struct err *err)
{
    struct sql sql;
    bool key = has_key_shape(run);
    rest_run_sql(run, &sql);
    if (key) {
        run->on_result = on_key_rows;
        sqlgen_read_rows(&sql, read);
    } else {
        sqlgen_read(&sql, read);
    }
    if (!rest_run_add(run, &sql, true, err))
        return false;
    if (!rest_read_planned(run))
        return true;
    rest_run_sql(run, &sql);
    sqlgen_read_planned(&sql, run->plan.root);
    return rest_run_add(run, &sql, false, err);
}

void rest_read_start(struct rest_run *run)
{
    struct rest_run_mode mode = {.read_only = true};
    struct err err = {0};
    run->on_done = on_done;
    bool planned = make_plan(run, &err), rows = planned && unbounded(run);
    mode.leaves_state = planned && rest_plan_leaves_state(run->catalog, &run->plan);
    mode.response = planned && !rows && !has_key_shape(run);
    if (!planned || !rest_run_settings(run, &mode, &err)) {
        rest_run_fail(run, &err);
        return;
    }
    struct sqlgen_read read = {.plan = &run->plan,
                               .handler = &run->handler,
                               .count = run->request.prefs.count,
                               .limited = limited(run),
                               .max_rows = run->conf->db_max_rows};
    if (!run->handler.plan)
        run->on_result = on_result;
    bool made = rows ? rest_rows_group(run, &read, &err) : make_group(run, &read, &err);
    if (!made) {
        rest_run_fail(run, &err);
        return;
    }
    rest_run_submit(run);
}
