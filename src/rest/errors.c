#include "rest/errors.h"

#include <stdlib.h>

#include "db/sqlstate.h"
#include "json/doc.h"
#include "json/writer.h"

struct rest_problem rest_problem_of(const struct err *err)
{
    return (struct rest_problem){.status = err->status,
                                 .code = str_of(err->code),
                                 .message = str_of(err->message),
                                 .details = str_of(err->details),
                                 .hint = str_of(err->hint),
                                 .details_json = err->details_json,
                                 .retry_after = err->retry_after};
}

static struct str number_text(struct arena *arena, const char *before, struct str number,
                              const char *after)
{
    return str_of(arena_printf(arena, "%s%.*s%s", before, STR_ARG(number), after));
}

/* Did one of our own checks raise this? Its text is in the message, in whatever language. */
static bool check_raised(struct arena *arena, const struct db_error *e, struct rest_problem *out)
{
    const char *mark = e->message ? strstr(e->message, REST_CHECK_MARK) : NULL;
    if (!mark || !e->code || strcmp(e->code, "22P02") != 0)
        return false;
    struct str code = str_of(mark + sizeof REST_CHECK_MARK - 1), number;
    if (code.n < 9)
        return false;
    number = str_from(code, 9);
    code.n = 8;
    for (size_t n = 0; n <= number.n; n++)
        if (n == number.n || number.p[n] < '0' || number.p[n] > '9') {
            number.n = n;
            break;
        }
    *out = (struct rest_problem){.status = 400};
    if (str_eq(code, STR(REST_CHECK_SINGULAR))) {
        out->status = 406;
        out->message = STR("Cannot coerce the result to a single JSON object");
        out->details = number_text(arena, "The result contains ", number, " rows");
    } else if (str_eq(code, STR(REST_CHECK_AFFECTED))) {
        out->message = STR("Query result exceeds max-affected preference constraint");
        out->details = number_text(arena, "The query affects ", number, " rows");
    } else if (str_eq(code, STR(REST_CHECK_PUT))) {
        out->message = STR("Payload values do not match URL in primary key column(s)");
    } else {
        return false;
    }
    out->code = arena_str(arena, code);
    return true;
}

/* ------------------------------------------------------------ RAISE SQLSTATE 'PGRST' */

static struct rest_problem raise_unreadable(struct arena *arena, const char *what, const char *text,
                                            bool message)
{
    struct rest_problem p = {
        .status = 500,
        .code = STR("PGRST121"),
        .message = STR("Could not parse JSON in the \"RAISE SQLSTATE 'PGRST'\" error"),
        .details = STR("DETAIL is missing in the RAISE statement")};
    if (text)
        p.details = str_of(arena_printf(arena, "Invalid JSON value for %s: '%s'", what, text));
    p.hint = message ? STR("MESSAGE must be a JSON object with obligatory keys: 'code', 'message' "
                           "and optional keys: 'details', 'hint'.")
                     : STR("DETAIL must be a JSON object with obligatory keys: 'status', 'headers' "
                           "and optional key: 'status_text'.");
    return p;
}

/* A string, null or absent. */
static bool text_member(struct arena *arena, const struct json_node *object, const char *key,
                        struct str *out)
{
    const struct json_node *node = json_node_get(object, key);
    *out = (struct str){0};
    if (!node || json_node_kind(node) == JSON_IS_NULL)
        return true;
    if (json_node_kind(node) != JSON_IS_STRING)
        return false;
    *out = arena_str(arena, json_node_string(node));
    return true;
}

static bool raise_message(struct arena *arena, const char *text, struct rest_problem *p)
{
    struct err ignored;
    struct json_node *root = json_doc_parse(str_of(text), "MESSAGE", &ignored);
    bool done = root && json_node_kind(root) == JSON_IS_OBJECT &&
                text_member(arena, root, "code", &p->code) && p->code.p &&
                text_member(arena, root, "message", &p->message) && p->message.p &&
                text_member(arena, root, "details", &p->details) &&
                text_member(arena, root, "hint", &p->hint);
    json_doc_free(root);
    return done;
}

static bool raise_headers(struct arena *arena, const struct json_node *object,
                          struct rest_problem *p)
{
    const struct rest_header **tail = &p->headers;
    if (json_node_kind(object) != JSON_IS_OBJECT)
        return false;
    for (const struct json_node *n = json_node_first(object); n; n = json_node_next(n)) {
        struct rest_header *header = ARENA_NEW(arena, struct rest_header);
        if (!header || json_node_kind(n) != JSON_IS_STRING)
            return false;
        header->name = arena_str(arena, json_node_key(n));
        header->value = arena_str(arena, json_node_string(n));
        *tail = header;
        tail = &header->next;
    }
    return true;
}

static bool raise_detail(struct arena *arena, const char *text, struct rest_problem *p)
{
    struct err ignored;
    int64_t status = 0;
    struct json_node *root = json_doc_parse(str_of(text), "DETAIL", &ignored);
    bool done = root && json_node_i64(json_node_get(root, "status"), &status) && status >= 200 &&
                status <= 999 && raise_headers(arena, json_node_get(root, "headers"), p);
    json_doc_free(root);
    p->status = (int)status;
    return done;
}

static struct rest_problem raised(struct arena *arena, const struct db_error *e)
{
    struct rest_problem p = {0};
    if (!raise_message(arena, e->message ? e->message : "", &p))
        return raise_unreadable(arena, "MESSAGE", e->message ? e->message : "", true);
    if (!e->detail)
        return raise_unreadable(arena, "DETAIL", NULL, false);
    if (!raise_detail(arena, e->detail, &p))
        return raise_unreadable(arena, "DETAIL", e->detail, false);
    return p;
}

/* ------------------------------------------------------------ what the database said */

static struct rest_problem not_sent(struct arena *arena, const struct db_outcome *o)
{
    const struct db_error *e = &o->error;
    unsigned wait = o->retry_after_s ? o->retry_after_s : 1;
    if (o->queue_timeout)
        return (struct rest_problem){
            .status = 504,
            .code = STR("PGRST003"),
            .message = STR("Timed out acquiring connection from connection pool."),
            .retry_after = wait};
    if (e->code && strcmp(e->code, "53300") == 0 && !o->login_refused)
        return (struct rest_problem){.status = 503,
                                     .code = STR("PGRST003"),
                                     .message = STR("The queue for a connection is full."),
                                     .retry_after = wait};
    return (struct rest_problem){.status = 503,
                                 .code = STR("PGRST000"),
                                 .message = STR("Database connection error."),
                                 .details = arena_str(arena, str_of(e->message ? e->message : "")),
                                 .retry_after = wait};
}

static struct str kept(struct arena *arena, const char *text)
{
    return text ? arena_str(arena, str_of(text)) : (struct str){0};
}

/* What the first requests to a new database fail by, and PostgreSQL cannot know of. */
static struct str hint_for_newcomers(const struct db_error *e, bool anonymous)
{
    const char *code = e->code ? e->code : "", *message = e->message ? e->message : "";
    if (strcmp(code, "42501") == 0 && strncmp(message, "permission denied to set role", 29) == 0)
        return STR("GRANT this role TO the login of db-uri.");
    if (anonymous && strcmp(code, "22023") == 0 && strncmp(message, "role \"", 6) == 0)
        return STR(
            "db-anon-role names this role: CREATE ROLE it (NOLOGIN) and GRANT it TO the login "
            "of db-uri.");
    return (struct str){NULL, 0};
}

struct rest_problem rest_problem_of_outcome(struct arena *arena, const struct db_outcome *o,
                                            bool anonymous, bool checked)
{
    const struct db_error *e = &o->error;
    struct rest_problem p = {0};
    if (o->end == DB_NOT_SENT)
        return not_sent(arena, o);
    if (o->end == DB_FAILED && e->code && strcmp(e->code, "PGRST") == 0)
        return raised(arena, e);
    if (o->end == DB_FAILED && checked && check_raised(arena, e, &p))
        return p;
    p.code = kept(arena, e->code ? e->code : "XX000");
    p.message = kept(arena, e->message ? e->message : "");
    p.details = kept(arena, e->detail);
    p.hint = kept(arena, e->hint);
    if (!p.hint.p)
        p.hint = hint_for_newcomers(e, anonymous);
    p.status = o->end == DB_UNKNOWN ? 500 : db_sqlstate_status(e->code, e->message, anonymous);
    if (o->end != DB_UNKNOWN && p.status == 503)
        p.retry_after = o->retry_after_s ? o->retry_after_s : 1;
    return p;
}

static void member(struct buf *out, const char *key, struct str value)
{
    buf_printf(out, "\"%s\":", key);
    if (value.p)
        json_write_string(out, value);
    else
        BUF_LIT(out, "null");
}

void rest_problem_body(struct buf *out, const struct rest_problem *p, bool minimal)
{
    buf_char(out, '{');
    member(out, "code", p->code);
    if (!minimal && p->details_json && p->details.p) {
        BUF_LIT(out, ",\"details\":");
        buf_adds(out, p->details);
    } else if (!minimal) {
        buf_char(out, ',');
        member(out, "details", p->details);
    }
    if (!minimal) {
        buf_char(out, ',');
        member(out, "hint", p->hint);
    }
    buf_char(out, ',');
    member(out, "message", p->message);
    buf_char(out, '}');
}

struct str rest_problem_proxy_status(struct arena *arena, const struct rest_problem *p)
{
    return str_of(arena_printf(arena, "pghttpd; error=%.*s", STR_ARG(p->code)));
}

/* ------------------------------------------------------------ response.headers, response.status */

bool rest_guc_headers_bad(struct err *err)
{
    return err_set(err, 500, "PGRST111",
                   "response.headers guc must be a JSON array composed of objects with a single "
                   "key and a string value");
}

bool rest_guc_headers(struct arena *arena, struct str text, const struct rest_header **out,
                      struct err *err)
{
    struct err ignored;
    struct json_node *root;
    unsigned count = 0;
    *out = NULL;
    if (text.n == 0)
        return true;
    root = json_doc_parse(text, "response.headers", &ignored);
    bool good = root && json_node_kind(root) == JSON_IS_ARRAY;
    for (const struct json_node *n = json_node_first(root); good && n; n = json_node_next(n)) {
        const struct json_node *pair =
            json_node_kind(n) == JSON_IS_OBJECT ? json_node_first(n) : NULL;
        struct rest_header *header = ARENA_NEW(arena, struct rest_header);
        good = header && pair && !json_node_next(pair) && json_node_kind(pair) == JSON_IS_STRING &&
               ++count <= REST_GUC_HEADERS_MAX;
        if (!good)
            break;
        header->name = arena_str(arena, json_node_key(pair));
        header->value = arena_str(arena, json_node_string(pair));
        *out = header;
        out = (const struct rest_header **)&header->next;
    }
    json_doc_free(root);
    return good || rest_guc_headers_bad(err);
}

bool rest_guc_status(struct str text, int *out, struct err *err)
{
    uint64_t status = 0;
    *out = 0;
    if (text.n == 0)
        return true;
    if (!str_u64(text, 999, &status) || status < 200) /* 1xx are no answers */
        return err_set(err, 500, "PGRST112", "response.status guc must be a valid status code");
    *out = (int)status;
    return true;
}
