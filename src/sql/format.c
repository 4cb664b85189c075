#include "sql/format.h"

#include "json/writer.h"

void sql_format_fields(struct buf *b, const struct db_result *result)
{
    size_t n = db_result_columns(result);
    buf_char(b, '[');
    for (size_t i = 0; i < n; i++) {
        struct db_field f = db_result_field(result, i);
        if (i)
            buf_char(b, ',');
        BUF_LIT(b, "{\"name\":");
        json_write_string(b, f.name);
        BUF_LIT(b, ",\"dataTypeID\":");
        buf_u64(b, f.type);
        BUF_LIT(b, ",\"tableID\":");
        buf_u64(b, f.table);
        BUF_LIT(b, ",\"columnID\":");
        buf_i64(b, f.column);
        BUF_LIT(b, ",\"dataTypeSize\":");
        buf_i64(b, f.size);
        BUF_LIT(b, ",\"dataTypeModifier\":");
        buf_i64(b, f.modifier);
        BUF_LIT(b, ",\"format\":\"text\"}");
    }
    buf_char(b, ']');
}

static void write_value(struct buf *b, const struct sql_reply *r, const struct db_result *result,
                        size_t row, size_t column)
{
    struct str text = db_result_value(result, row, column);
    if (text.n == 0 && db_result_null(result, row, column))
        BUF_LIT(b, "null");
    else if (r->options->raw)
        json_write_string(b, text);
    else
        db_value_write(b, &r->columns[column].conv, text);
}

void sql_format_array(struct buf *b, const struct sql_reply *r, const struct db_result *result,
                      size_t row)
{
    buf_char(b, '[');
    for (size_t i = 0; i < r->n_columns; i++) {
        if (i)
            buf_char(b, ',');
        write_value(b, r, result, row, i);
    }
    buf_char(b, ']');
}

void sql_format_object(struct buf *b, const struct sql_reply *r, const struct db_result *result,
                       size_t row)
{
    bool first = true;
    buf_char(b, '{');
    for (size_t i = 0; i < r->n_columns; i++) {
        if (!r->columns[i].key.p)
            continue;
        if (!first)
            buf_char(b, ',');
        first = false;
        buf_adds(b, r->columns[i].key);
        write_value(b, r, result, row, i);
    }
    buf_char(b, '}');
}

static bool csv_needs_quotes(struct str s, bool alone)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] == '"' || s.p[i] == ',' || s.p[i] == '\n' || s.p[i] == '\r')
            return true;
    return s.n == 0 || (alone && str_eq(s, STR("\\.")));
}

static void csv_cell(struct buf *b, struct str s, bool alone)
{
    if (!csv_needs_quotes(s, alone)) {
        buf_adds(b, s);
        return;
    }
    buf_char(b, '"');
    for (size_t from = 0; from < s.n;) {
        size_t quote = str_find(s, '"', from);
        buf_add(b, s.p + from, quote - from);
        if (quote < s.n)
            BUF_LIT(b, "\"\"");
        from = quote + 1;
    }
    buf_char(b, '"');
}

void sql_format_csv(struct buf *b, const struct db_result *result, size_t row)
{
    size_t n = db_result_columns(result);
    for (size_t i = 0; i < n; i++) {
        if (i)
            buf_char(b, ',');
        if (!db_result_null(result, row, i))
            csv_cell(b, db_result_value(result, row, i), n == 1);
    }
    buf_char(b, '\n');
}

void sql_format_csv_head(struct buf *b, const struct db_result *result)
{
    size_t n = db_result_columns(result);
    for (size_t i = 0; i < n; i++) {
        if (i)
            buf_char(b, ',');
        csv_cell(b, db_result_field(result, i).name, n == 1);
    }
    if (n > 0)
        buf_char(b, '\n');
}

static void write_notice(struct buf *b, const struct db_notice *n)
{
    BUF_LIT(b, "{\"severity\":");
    json_write_cstring(b, n->severity);
    BUF_LIT(b, ",\"code\":");
    json_write_cstring(b, n->code);
    BUF_LIT(b, ",\"message\":");
    json_write_cstring(b, n->message);
    BUF_LIT(b, ",\"detail\":");
    json_write_cstring(b, n->detail);
    BUF_LIT(b, ",\"hint\":");
    json_write_cstring(b, n->hint);
    buf_char(b, '}');
}

static const struct db_notice *own_notice(const struct db_outcome *o, enum sql_verb verb)
{
    static const struct db_notice left = {
        .severity = "WARNING",
        .code = "25001",
        .message = "the statement left a transaction open: it was rolled back",
        .hint = "Send a batch: its statements are one transaction."};
    static const struct db_notice fleeting = {
        .severity = "WARNING",
        .code = "01000",
        .message = "what the statement did to its session ended with the request",
        .hint = "Send a batch: its statements have one session."};
    if (o->left_transaction)
        return &left;
    return verb == SQL_VERB_SET || verb == SQL_VERB_SESSION ? &fleeting : NULL;
}

void sql_format_notices(struct buf *b, const struct db_outcome *o, enum sql_verb lone, size_t from,
                        size_t to)
{
    const struct db_notice *own = own_notice(o, lone);
    bool any = false;
    for (size_t i = 0; i < o->n_notices; i++) {
        if (o->notice_stmt[i] < from || o->notice_stmt[i] > to)
            continue;
        if (any)
            buf_char(b, ',');
        else
            BUF_LIT(b, ",\"notices\":[");
        write_notice(b, &o->notices[i]);
        any = true;
    }
    if (own) {
        if (any)
            buf_char(b, ',');
        else
            BUF_LIT(b, ",\"notices\":[");
        write_notice(b, own);
        any = true;
    }
    if (any)
        buf_char(b, ']');
    if (o->notices_dropped && to == SIZE_MAX) {
        BUF_LIT(b, ",\"noticesDropped\":");
        buf_u64(b, o->notices_dropped);
    }
}
