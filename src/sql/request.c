#include "sql/request.h"

#include "db/statement_class.h"
#include "sql/params.h"

#define WHAT "the body"
#define ENCODING_MESSAGE "client_encoding is UTF8 here and cannot be changed"

/* Statements longer than this are not worth a name: they are made for once. */
#define PREPARE_MAX 8192

struct reading {
    struct arena *arena;
    const struct sql_options *options;
    const struct sql_body *body;
    struct sql_request *request;
    struct json_reader json;
    size_t room, room_extras;
};

static bool too_big(struct err *err)
{
    return err_set(err, 413, "54000", "the statements are too big for this request");
}

static bool add_statement(struct reading *r, struct err *err)
{
    struct sql_request *q = r->request;
    if (q->n == SQL_BATCH_MAX)
        return err_set(err, 400, "54000", "more than %d statements in one batch", SQL_BATCH_MAX);
    if (q->n == r->room) {
        q->stmts = sql_grow(r->arena, q->stmts, q->n, &r->room, sizeof *q->stmts);
        q->extras = sql_grow(r->arena, q->extras, q->n, &r->room_extras, sizeof *q->extras);
        if (!q->stmts || !q->extras)
            return too_big(err);
    }
    q->stmts[q->n] = (struct db_stmt){.sql = NULL};
    q->extras[q->n] = (struct sql_extra){.array_mode = r->options->array_mode};
    q->failed = q->n++;
    return true;
}

/* Where a backslash stands the text is read both ways: a session may have changed
 * standard_conforming_strings without anybody having said so. */
static struct db_statement_class judge(struct str sql)
{
    struct db_statement_class class = db_statement_class(sql, true);
    if (!class.leaves_state && memchr(sql.p, '\\', sql.n)) {
        struct db_statement_class other = db_statement_class(sql, false);
        class.leaves_state = other.leaves_state;
        class.client_encoding = class.client_encoding || other.client_encoding;
        class.can_write = class.can_write || other.can_write;
    }
    return class;
}

static bool bind_names(struct reading *r, struct str *sql, struct sql_params *params,
                       struct err *err)
{
    struct sql_binding *b = ARENA_NEW(r->arena, struct sql_binding);
    if (!b)
        return too_big(err);
    *b = (struct sql_binding){.named = params->named,
                              .n_named = params->n_named,
                              .plain_backslash = r->body->plain_backslash};
    if (!sql_statement_bind(r->arena, *sql, b, err))
        return false;
    *sql = b->sql;
    params->values = b->values;
    params->n = (size_t)b->n_values;
    r->request->extras[r->request->n - 1].bound = b;
    return true;
}

/* sql has a NUL behind it. */
static bool set_text(struct reading *r, struct str sql, struct sql_params *params, struct err *err)
{
    struct db_stmt *stmt = &r->request->stmts[r->request->n - 1];
    if (params && params->by_name && !bind_names(r, &sql, params, err))
        return false;
    stmt->sql = sql.p;
    stmt->sql_len = sql.n;
    stmt->nparams = params ? (int)params->n : 0;
    stmt->values = params ? params->values : NULL;
    return true;
}

static bool set_statement(struct reading *r, struct str sql, struct sql_params *params,
                          struct err *err)
{
    if (!set_text(r, sql, params, err))
        return false;
    struct db_stmt *stmt = &r->request->stmts[r->request->n - 1];
    struct sql_extra *extra = &r->request->extras[r->request->n - 1];
    sql = (struct str){stmt->sql, stmt->sql_len};
    extra->verb = sql_statement_verb(sql);
    struct db_statement_class class = judge(sql);
    extra->encoding = class.client_encoding;
    extra->leaves_state = class.leaves_state;
    extra->reads = class.kind == DB_STATEMENT_READ && !class.can_write;
    r->request->leaves_state = r->request->leaves_state || class.leaves_state;
    stmt->prepare = extra->verb == SQL_VERB_QUERY && sql.n <= PREPARE_MAX;
    return true;
}

struct statement_keys {
    struct str query;
    struct sql_params params;
    struct sql_params *sets; /* paramSets: the statement runs once with each */
    size_t n_sets, room_sets;
    bool has_params, has_sets, has_mode;
};

static bool twice(struct err *err, const char *key)
{
    return err_set(err, 400, "PGH101", "\"%s\" is given twice", key);
}

static bool read_query_key(struct reading *r, struct statement_keys *keys, struct err *err)
{
    if (keys->query.p)
        return twice(err, "query");
    enum json_event event = json_next(&r->json);
    if (event != JSON_STRING && event != JSON_ERROR)
        return err_set(err, 400, "PGH101", "\"query\" is %s: a string is needed",
                       json_event_name(event));
    keys->query = r->json.text;
    return event == JSON_STRING || json_error(&r->json, WHAT, err);
}

static bool read_mode_key(struct reading *r, struct statement_keys *keys, struct err *err)
{
    if (keys->has_mode)
        return twice(err, "arrayMode");
    keys->has_mode = true;
    enum json_event event = json_next(&r->json);
    struct sql_extra *extra = &r->request->extras[r->request->n - 1];
    if (event == JSON_TRUE || event == JSON_FALSE)
        extra->array_mode = event == JSON_TRUE;
    else if (event != JSON_NULL)
        return event == JSON_ERROR
                   ? json_error(&r->json, WHAT, err)
                   : err_set(err, 400, "PGH101", "\"arrayMode\" is %s: true or false is needed",
                             json_event_name(event));
    return true;
}

static bool add_set(struct reading *r, struct statement_keys *keys, struct err *err)
{
    if (keys->n_sets == SQL_BATCH_MAX)
        return err_set(err, 400, "54000", "more than %d elements in paramSets", SQL_BATCH_MAX);
    if (keys->n_sets == keys->room_sets)
        keys->sets =
            sql_grow(r->arena, keys->sets, keys->n_sets, &keys->room_sets, sizeof *keys->sets);
    if (!keys->sets)
        return too_big(err);
    struct sql_params *set = &keys->sets[keys->n_sets++];
    *set = (struct sql_params){.n = 0};
    return sql_params_value(&r->json, r->arena, set, err);
}

static bool read_sets_key(struct reading *r, struct statement_keys *keys, struct err *err)
{
    if (keys->has_sets)
        return twice(err, "paramSets");
    keys->has_sets = true;
    enum json_event event = json_next(&r->json);
    if (event != JSON_ARRAY)
        return event == JSON_ERROR ? json_error(&r->json, WHAT, err)
                                   : err_set(err, 400, "PGH101",
                                             "\"paramSets\" is %s: an array of params is needed",
                                             json_event_name(event));
    while (json_next(&r->json) != JSON_ARRAY_END)
        if (!add_set(r, keys, err))
            return false;
    return true;
}

/* Neon's driver speaks (it sends a connection string): a later version may have keys that mean
 * nothing here, and Neon ignores what it does not know. */
static bool skip_key(struct reading *r, struct err *err)
{
    struct str slice;
    enum json_event event = json_next(&r->json);
    bool skipped =
        (event != JSON_OBJECT && event != JSON_ARRAY) || json_skip_rest(&r->json, &slice);
    return (skipped && event != JSON_ERROR) || json_error(&r->json, WHAT, err);
}

/* The value behind a key that the reader just returned. */
static bool read_statement_key(struct reading *r, struct statement_keys *keys, struct err *err)
{
    struct str key = r->json.text;
    if (str_eq(key, STR("query")))
        return read_query_key(r, keys, err);
    if (str_eq(key, STR("params"))) {
        if (keys->has_params)
            return twice(err, "params");
        keys->has_params = true;
        return sql_params_read(&r->json, r->arena, &keys->params, err);
    }
    if (str_eq(key, STR("paramSets")))
        return read_sets_key(r, keys, err);
    if (str_eq(key, STR("arrayMode")))
        return read_mode_key(r, keys, err);
    if (r->options->connection_string.p)
        return skip_key(r, err);
    return err_set(err, 400, "PGH101",
                   "unknown key \"%.*s\" at byte %zu: query, params, paramSets and arrayMode are "
                   "known",
                   key.n > 100 ? 100 : (int)key.n, key.p, r->json.start + 1);
}

/* The statement once with each of paramSets: a batch of one text, judged and prepared once. The
 * first was added when its first key came. */
static bool finish_sets(struct reading *r, struct statement_keys *keys, struct err *err)
{
    struct sql_request *q = r->request;
    if (keys->has_params || q->batch)
        return err_set(err, 400, "PGH101",
                       keys->has_params ? "params and paramSets are given: one of them is needed"
                                        : "\"paramSets\" stands alone, not in a batch");
    q->batch = true;
    q->n = keys->n_sets ? q->n : 0;
    for (size_t i = 0; i < keys->n_sets; i++) {
        if (i == 0) {
            if (!set_statement(r, keys->query, &keys->sets[0], err))
                return false;
            continue;
        }
        if (!add_statement(r, err))
            return false;
        q->extras[i] = q->extras[0];
        q->stmts[i].prepare = q->stmts[0].prepare;
        if (!set_text(r, keys->query, &keys->sets[i], err))
            return false;
    }
    return true;
}

static bool finish_statement(struct reading *r, struct statement_keys *keys, struct err *err)
{
    if (r->json.event == JSON_ERROR)
        return json_error(&r->json, WHAT, err);
    if (!keys->query.p)
        return err_set(err, 400, "PGH101", "\"query\" is missing");
    return keys->has_sets ? finish_sets(r, keys, err)
                          : set_statement(r, keys->query, &keys->params, err);
}

/* One element of a batch. */
static bool read_element(struct reading *r, struct err *err)
{
    struct statement_keys keys = {.has_params = false};
    enum json_event event = r->json.event;
    if (!add_statement(r, err))
        return false;
    if (event == JSON_STRING)
        return set_statement(r, r->json.text, NULL, err);
    if (event != JSON_OBJECT)
        return err_set(err, 400, "PGH101", "a statement is %s: a string or an object is needed",
                       json_event_name(event));
    while (json_next(&r->json) == JSON_KEY)
        if (!read_statement_key(r, &keys, err))
            return false;
    return finish_statement(r, &keys, err);
}

static bool read_batch(struct reading *r, struct err *err)
{
    r->request->batch = true;
    for (;;) {
        r->request->failed = SQL_NO_INDEX;
        enum json_event event = json_next(&r->json);
        if (event == JSON_ARRAY_END)
            return true;
        if (event == JSON_ERROR)
            return json_error(&r->json, WHAT, err);
        if (!read_element(r, err))
            return false;
    }
}

static bool read_queries_key(struct reading *r, struct err *err)
{
    enum json_event event = json_next(&r->json);
    if (event != JSON_ARRAY)
        return event == JSON_ERROR
                   ? json_error(&r->json, WHAT, err)
                   : err_set(err, 400, "PGH101", "\"queries\" is %s: an array is needed",
                             json_event_name(event));
    return read_batch(r, err);
}

/* {"query": ...} or {"queries": [...]}, told apart by the first key. */
static bool read_object(struct reading *r, struct err *err)
{
    struct statement_keys keys = {.has_params = false};
    bool first = true;
    while (json_next(&r->json) == JSON_KEY) {
        bool queries = str_eq(r->json.text, STR("queries"));
        if (queries && first) {
            if (!read_queries_key(r, err))
                return false;
        } else if (queries || r->request->batch) {
            return err_set(err, 400, "PGH101",
                           "\"queries\" stands alone: put query, params and arrayMode in its "
                           "elements");
        } else {
            if ((first && !add_statement(r, err)) || !read_statement_key(r, &keys, err))
                return false;
        }
        first = false;
    }
    r->request->failed = SQL_NO_INDEX;
    if (r->request->batch && r->json.event == JSON_OBJECT_END)
        return true;
    return (!first || r->json.event == JSON_ERROR)
               ? finish_statement(r, &keys, err)
               : err_set(err, 400, "PGH101", "\"query\" is missing");
}

static bool read_json(struct reading *r, struct err *err)
{
    if (r->body->n == 0)
        return err_set(
            err, 400, "PGH101",
            "the body is empty: send {\"query\": \"select 1\"} or an array of statements");
    json_reader_in_place(&r->json, r->body->p, r->body->n);
    bool ok;
    switch (json_next(&r->json)) {
    case JSON_OBJECT: ok = read_object(r, err); break;
    case JSON_ARRAY: ok = read_batch(r, err); break;
    case JSON_ERROR:
        (void)json_error(&r->json, WHAT, err);
        err->hint = "A statement as it is needs the header Content-Type: application/sql.";
        return false;
    case JSON_NULL:
    case JSON_FALSE:
    case JSON_TRUE:
    case JSON_NUMBER:
    case JSON_STRING:
    case JSON_ARRAY_END:
    case JSON_OBJECT_END:
    case JSON_KEY:
    case JSON_DONE:
    default:
        return err_set(err, 400, "PGH101", "the body is %s: an object or an array is needed",
                       json_event_name(r->json.event));
    }
    return ok && (json_finish(&r->json) || json_error(&r->json, WHAT, err));
}

/* The statement as plain text, with parameters from the URL. */
static bool read_text(struct reading *r, struct str sql, struct err *err)
{
    struct sql_params params = {.n = 0};
    struct str json = r->options->params;
    if (memchr(sql.p, '\0', sql.n))
        return err_set(err, 400, "22021", "a NUL byte in the statement");
    if (json.p) {
        char *mine = arena_strdup(r->arena, json);
        if (!mine)
            return too_big(err);
        json_reader_in_place(&r->json, mine, json.n);
        bool read = sql_params_read(&r->json, r->arena, &params, err);
        if (r->json.event == JSON_ERROR || (read && !json_finish(&r->json)))
            return json_error(&r->json, "params in the URL", err);
        if (!read)
            return false;
    }
    return add_statement(r, err) && set_statement(r, sql, &params, err);
}

static bool is_type(struct str content_type, struct str wanted)
{
    struct str type = {content_type.p, str_find(content_type, ';', 0)};
    return str_ieq(str_trim(type), wanted);
}

static bool read_any(struct reading *r, struct err *err)
{
    const struct sql_options *o = r->options;
    if (r->body->get) {
        if (!o->query.p)
            return err_set(err, 400, "PGH101", "the URL parameter \"query\" is missing");
        return read_text(r, o->query, err);
    }
    if (o->query.p)
        return err_set(err, 400, "PGH102",
                       "\"query\" in the URL is for GET: a POST has it in its "
                       "body");
    if (o->content_type.p && is_type(o->content_type, STR("application/sql"))) {
        if (r->body->n == 0)
            return err_set(err, 400, "PGH101", "the body is empty: a statement is needed");
        r->body->p[r->body->n] = '\0';
        return read_text(r, (struct str){r->body->p, r->body->n}, err);
    }
    if (o->params.p)
        return err_set(err, 400, "PGH102",
                       "\"params\" in the URL is for GET and application/sql bodies");
    return read_json(r, err);
}

/* A lone statement that begins, ends or marks a transaction would be answered 200 and do nothing:
 * it has its transaction for itself. */
static bool check_lone(const struct sql_request *q, struct err *err)
{
    enum sql_verb verb = q->n == 1 && !q->batch ? q->extras[0].verb : SQL_VERB_OTHER;
    if (verb != SQL_VERB_TRANSACTION && verb != SQL_VERB_SAVEPOINT)
        return true;
    err_set(err, 400, verb == SQL_VERB_SAVEPOINT ? "25P01" : "2D000",
            "a request is one transaction: a lone statement cannot begin, end or mark one");
    err->hint = "Send a batch: its statements are one transaction.";
    return false;
}

/* Refuses what must not be sent at all. */
static bool check_statements(struct sql_request *q, struct err *err)
{
    if (!check_lone(q, err))
        return false;
    for (size_t i = 0; i < q->n; i++) {
        q->failed = i;
        if (q->extras[i].verb == SQL_VERB_COPY_CLIENT) {
            err_set(err, 400, "0A000",
                    "COPY FROM STDIN and COPY TO STDOUT have their own endpoint");
            err->hint = "Use POST /copy?query=... to copy in, GET /copy?query=... to copy out.";
            return false;
        }
        if (q->in_transaction && q->extras[i].verb == SQL_VERB_TRANSACTION) {
            err_set(err, 400, "2D000",
                    "a batch is one transaction: its statements cannot begin, "
                    "end or change one");
            err->hint = "SAVEPOINT, ROLLBACK TO and RELEASE work; isolation and read_only are "
                        "options of the request.";
            return false;
        }
        if (q->in_transaction && q->extras[i].verb == SQL_VERB_ENCODING)
            return err_set(err, 400, "0A000", ENCODING_MESSAGE);
    }
    q->failed = SQL_NO_INDEX;
    return true;
}

/* Statements of our own around the client's.
 *
 * In front of a quick query that shall be read only: the setting for its implicit transaction. A
 * BEGIN would have to travel alone, and COMMIT with it.
 *
 * In front, in a read-only transaction that may begin with SET: PostgreSQL lets the first statement
 * of a transaction make it writable again (SET transaction_read_only = off), but no statement after
 * a snapshot was taken.
 *
 * Behind, in a read-only transaction with anything but queries of harmless functions: RESET
 * transaction_read_only is not checked by PostgreSQL at all (15 and older), not even inside a DO
 * block. A transaction that only read has no number; this one fails if it has.
 *
 * Behind, where the text could have changed client_encoding by set_config: bytes in another
 * encoding are never committed or answered. */
static const char quick_sql[] = "select pg_catalog.set_config('transaction_read_only','on',true)";
static const char snapshot_sql[] = "select";
static const char read_only_sql[] =
    "select 1 OPERATOR(pg_catalog./) (pg_catalog.txid_current_if_assigned() is "
    "null)::pg_catalog.int4";
static const char encoding_sql[] =
    "select 1 OPERATOR(pg_catalog./) (pg_catalog.current_setting('client_encoding') "
    "OPERATOR(pg_catalog.=) 'UTF8')::pg_catalog.int4";

static const struct db_error wrote = {
    .severity = "ERROR", .code = "25006", .message = "the request is read only, but it wrote"};
static const struct db_error encoded = {
    .severity = "ERROR", .code = "0A000", .message = ENCODING_MESSAGE};

struct hidden {
    bool quick, snapshot, read_only, encoding;
};

static struct hidden needed(const struct reading *r)
{
    const struct sql_request *q = r->request;
    struct hidden h = {.quick = q->quick && r->options->read_only};
    for (size_t i = 0; i < q->n && q->in_transaction; i++) {
        enum sql_verb verb = q->extras[i].verb;
        h.snapshot = h.snapshot ||
                     (r->options->read_only && (verb == SQL_VERB_SET || verb == SQL_VERB_RESET));
        h.read_only =
            h.read_only || (r->options->read_only && (verb != SQL_VERB_QUERY || q->leaves_state));
        h.encoding = h.encoding || q->extras[i].encoding;
    }
    return h;
}

static void put_hidden(struct sql_request *q, size_t at, const char *sql,
                       const struct db_error *means)
{
    q->stmts[at] = (struct db_stmt){.sql = sql, .sql_len = strlen(sql)};
    q->extras[at] = (struct sql_extra){.means = means};
}

/* A statement's literals are read under the settings of its session (DateStyle, TimeZone,
 * client_encoding ...) when it is parsed, and a prepared one stays as it was parsed: in a request
 * that may change settings nothing is prepared, and nothing prepared is used. */
static void drop_names(struct sql_request *q)
{
    for (size_t i = 0; i < q->n && q->leaves_state; i++)
        q->stmts[i].prepare = false;
}

static bool add_hidden(struct reading *r, struct err *err)
{
    struct sql_request *q = r->request;
    struct hidden h = needed(r);
    size_t first = h.quick || h.snapshot;
    if (!first && !h.read_only && !h.encoding)
        return true;
    struct db_stmt *stmts = arena_array(r->arena, q->n + 3, sizeof *stmts);
    struct sql_extra *extras = arena_array(r->arena, q->n + 3, sizeof *extras);
    if (!stmts || !extras)
        return too_big(err);
    memcpy(stmts + first, q->stmts, q->n * sizeof *stmts);
    memcpy(extras + first, q->extras, q->n * sizeof *extras);
    q->stmts = stmts;
    q->extras = extras;
    q->n += first;
    if (first)
        put_hidden(q, 0, h.quick ? quick_sql : snapshot_sql, NULL);
    q->stmts[0].prepare = q->stmts[0].prepare || h.quick;
    q->hidden_first = first;
    if (h.read_only)
        put_hidden(q, q->n++, read_only_sql, &wrote);
    if (h.encoding)
        put_hidden(q, q->n++, encoding_sql, &encoded);
    q->hidden_last = (size_t)h.read_only + h.encoding;
    return true;
}

/* A bare query that changes client_encoding by a function would answer its own row in it: it gets a
 * transaction, whose end looks (add_hidden). */
static bool rows_may_change_encoding(const struct sql_request *q)
{
    return q->n == 1 && q->extras[0].encoding && q->extras[0].verb == SQL_VERB_QUERY;
}

bool sql_request_read(struct arena *arena, const struct sql_options *options,
                      const struct sql_body *body, struct sql_request *q, struct err *err)
{
    struct reading r = {.arena = arena, .options = options, .body = body, .request = q};
    *q = (struct sql_request){.failed = SQL_NO_INDEX};
    if (!read_any(&r, err)) {
        if (!q->batch)
            q->failed = SQL_NO_INDEX;
        return false;
    }
    bool bare = !q->batch && !options->deferrable && options->isolation == DB_ISOLATION_DEFAULT &&
                !rows_may_change_encoding(q);
    q->quick = bare && q->n == 1 && !q->leaves_state && q->extras[0].reads;
    q->in_transaction = !bare || (options->read_only && !q->quick);
    if (q->batch && options->format == SQL_CSV)
        return err_set(err, 406, "PGH105",
                       "a batch is answered as application/json or application/x-ndjson");
    drop_names(q);
    if (check_statements(q, err))
        return add_hidden(&r, err);
    if (!q->batch)
        q->failed = SQL_NO_INDEX;
    return false;
}
