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

void sql_error_hidden(const struct sql_request *q, const struct db_outcome *o, struct db_error *e)
{
    if (o->end == DB_FAILED && o->failed < q->n && q->extras[o->failed].means)
        *e = *q->extras[o->failed].means;
}
