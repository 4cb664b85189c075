#include "sql/error.h"

#include "json/writer.h"

static void member(struct buf *b, struct str name, const char *value)
{
    buf_char(b, ',');
    json_write_key(b, name);
    json_write_cstring(b, value);
}

void sql_error_json(struct buf *b, const struct db_error *e, bool with_index, size_t index)
{
    BUF_LIT(b, "{\"message\":");
    json_write_cstring(b, e->message);
    member(b, STR("code"), e->code);
    member(b, STR("detail"), e->detail);
    member(b, STR("hint"), e->hint);
    member(b, STR("position"), e->position);
    member(b, STR("internalPosition"), e->internal_position);
    member(b, STR("internalQuery"), e->internal_query);
    member(b, STR("severity"), e->severity);
    member(b, STR("where"), e->where);
    member(b, STR("table"), e->table);
    member(b, STR("column"), e->column);
    member(b, STR("schema"), e->schema);
    member(b, STR("dataType"), e->data_type);
    member(b, STR("constraint"), e->constraint);
    member(b, STR("file"), e->file);
    member(b, STR("line"), e->line);
    member(b, STR("routine"), e->routine);
    if (with_index) {
        BUF_LIT(b, ",\"queryIndex\":");
        if (index == SQL_NO_INDEX)
            BUF_LIT(b, "null");
        else
            buf_u64(b, index);
    }
    buf_char(b, '}');
}

void sql_error_own(struct buf *b, const struct err *err, bool with_index, size_t index)
{
    const struct db_error e = {.severity = "ERROR",
                               .code = err->code[0] ? err->code : NULL,
                               .message = err->message,
                               .detail = err->details,
                               .hint = err->hint};
    sql_error_json(b, &e, with_index, index);
}

static bool is_away(const char *code)
{
    return !code || strncmp(code, "08", 2) == 0 || strncmp(code, "57P0", 4) == 0;
}

int sql_error_status(const struct db_outcome *o)
{
    switch (o->end) {
    case DB_DONE: return 200;
    case DB_FAILED:
    case DB_TIMED_OUT: return 400;
    case DB_NOT_SENT: return o->login_refused && !is_away(o->error.code) ? 400 : 503;
    case DB_UNKNOWN: return 500;
    }
    return 500;
}

static size_t visible(const struct sql_request *q)
{
    return q->n - q->hidden_first - q->hidden_last;
}

size_t sql_error_index(const struct sql_request *q, const struct db_outcome *o)
{
    bool theirs = o->end == DB_FAILED || o->end == DB_TIMED_OUT;
    size_t i = o->failed - q->hidden_first; /* wraps for a hidden one in front */
    return theirs && i < visible(q) ? i : SQL_NO_INDEX;
}

/* "... parameter $2 ...", as in "could not determine data type of parameter $2" */
static struct str named_in(const char *text, const struct sql_binding *b, struct str *number)
{
    static const char before[] = "parameter $";
    const char *at = text ? strstr(text, before) : NULL;
    uint64_t n = 0;
    if (!at)
        return (struct str){NULL, 0};
    at += sizeof before - 1;
    *number = (struct str){at, strspn(at, "0123456789")};
    if (!str_u64(*number, DB_PARAMS_MAX, &n))
        return (struct str){NULL, 0};
    return sql_statement_name(b, (int)n);
}

static void explain_names(const struct sql_binding *b, struct arena *arena, struct db_error *e)
{
    uint64_t position;
    struct str number, name = named_in(e->message, b, &number);
    if (e->position && str_u64(str_of(e->position), SIZE_MAX, &position)) {
        char *text = arena_printf(arena, "%zu", sql_statement_position(b, (size_t)position));
        e->position = text ? text : NULL;
    }
    if (!name.p)
        name = named_in(e->where, b, &number);
    if (name.p && !e->hint)
        e->hint = arena_printf(arena, "$%.*s is :%.*s", STR_ARG(number), STR_ARG(name));
}

static bool is_from(const struct db_error *e, const char *code, const char *routine)
{
    return e->code && strcmp(e->code, code) == 0 && e->routine && strcmp(e->routine, routine) == 0;
}

static bool has_array(const struct db_stmt *s)
{
    for (int i = 0; i < s->nparams; i++)
        if (s->values[i] && s->values[i][0] == '{')
            return true;
    return false;
}

/* PostgreSQL counts parameters of "the prepared statement p1", a name of ours that its client never
 * gave; and an array in params has become {...}, which json and scalar types do not take. */
static void explain_params(const struct db_stmt *s, struct arena *arena, struct db_error *e)
{
    const char *needs = e->message ? strrchr(e->message, ' ') : NULL;
    bool wrong_count = needs && strspn(needs, " 0123456789") == strlen(needs) &&
                       is_from(e, "08P01", "exec_bind_message");
    if (wrong_count) {
        const char *text = arena_printf(arena, "params has %d values, but the statement needs %s",
                                        s->nparams, needs + 1);
        e->message = text ? text : e->message;
    }
    bool syntax = e->code && strcmp(e->code, "22P02") == 0;
    if ((syntax || wrong_count) && !e->hint && has_array(s))
        e->hint = "An array in params is a PostgreSQL array: for json and jsonb give its text as a "
                  "string; several lists of values are \"paramSets\".";
}

void sql_error_hint(const struct db_outcome *o, struct db_error *e)
{
    if (o->end == DB_TIMED_OUT && !e->hint)
        e->hint = "The request's time was over: see its timeout, and the setting "
                  "statement-timeout.";
}

void sql_error_explain(const struct sql_request *q, const struct db_outcome *o, struct arena *arena,
                       struct db_error *e)
{
    sql_error_hint(o, e);
    if (o->end != DB_FAILED || o->failed >= q->n)
        return;
    explain_params(&q->stmts[o->failed], arena, e);
    if (is_from(e, "42601", "exec_parse_message") && !e->hint)
        e->hint = "Send a batch: an array with one statement in each element.";
    const struct sql_extra *extra = &q->extras[o->failed];
    if (extra->means)
        *e = *extra->means;
    if (extra->bound)
        explain_names(extra->bound, arena, e);
}
