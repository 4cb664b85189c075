#include "sql/reply.h"

#include "sql/error.h"
#include "sql/format.h"
#include "sql/params.h"
#include "json/writer.h"

/* A small result fits without growing. */
#define FIRST_SIZE 1536

void sql_reply_init(struct sql_reply *r, const struct sql_options *options,
                    const struct sql_request *request, struct arena *arena)
{
    *r = (struct sql_reply){.options = options, .request = request, .arena = arena};
    drain_init(&r->out);
    (void)!buf_reserve(&r->out.buf, FIRST_SIZE);
    if (request->batch && options->format == SQL_JSON)
        BUF_LIT(&r->out.buf, "{\"results\":[");
}

void sql_reply_fini(struct sql_reply *r)
{
    buf_fini(&r->out.buf);
}

void sql_reply_restart(struct sql_reply *r)
{
    struct sql_reply old = *r;
    buf_fini(&r->out.buf);
    sql_reply_init(r, old.options, old.request, old.arena);
    r->bytes_max = old.bytes_max;
    r->types = old.types;
    r->columns = old.columns;
    r->room_columns = old.room_columns;
    r->ends = old.ends;
}

struct str sql_reply_type(const struct sql_reply *r)
{
    switch (r->options->format) {
    case SQL_NDJSON: return STR("application/x-ndjson");
    case SQL_CSV: return STR("text/csv; charset=utf-8");
    case SQL_JSON: break;
    }
    return STR("application/json");
}

/* A name that comes again later loses its key: a JSON object has each key once, the last value
 * counts. Open addressing over the columns' hashes. */
static bool drop_duplicates(struct sql_reply *r, const struct db_result *result)
{
    size_t slots = 16;
    while (slots < r->n_columns * 2)
        slots *= 2;
    size_t *table = arena_array(r->arena, slots, sizeof *table);
    if (!table)
        return false;
    for (size_t i = r->n_columns; i-- > 0;) {
        struct str name = db_result_field(result, i).name;
        size_t slot = str_hash(name) & (slots - 1);
        while (table[slot] && !str_eq(db_result_field(result, table[slot] - 1).name, name))
            slot = (slot + 1) & (slots - 1);
        if (table[slot])
            r->columns[i].key = (struct str){NULL, 0};
        else
            table[slot] = i + 1;
    }
    return true;
}

static bool has_duplicates(const struct sql_reply *r)
{
    if (r->n_columns > 16)
        return true; /* drop_duplicates is cheaper than finding out */
    for (size_t i = 1; i < r->n_columns; i++)
        for (size_t k = 0; k < i; k++)
            if (str_eq(r->columns[i].key, r->columns[k].key))
                return true;
    return false;
}

/* The columns' keys as they stand in every row. */
static bool read_keys(struct sql_reply *r, const struct db_result *result)
{
    struct buf keys;
    buf_init(&keys, BUF_NO_CEILING);
    for (size_t i = 0; i < r->n_columns; i++) {
        size_t start = keys.n;
        json_write_key(&keys, db_result_field(result, i).name);
        r->columns[i].key.n = keys.n - start;
    }
    struct str all = arena_str(r->arena, buf_str(&keys));
    buf_fini(&keys);
    for (size_t i = 0; i < r->n_columns && all.p; i++) {
        r->columns[i].key.p = all.p;
        all = str_from(all, r->columns[i].key.n);
    }
    return !arena_broken(r->arena) && (!has_duplicates(r) || drop_duplicates(r, result));
}

static bool read_columns(struct sql_reply *r, const struct db_result *result)
{
    r->n_columns = db_result_columns(result);
    while (r->n_columns > r->room_columns) {
        r->columns = sql_grow(r->arena, r->columns, 0, &r->room_columns, sizeof *r->columns);
        if (!r->columns)
            return false;
    }
    for (size_t i = 0; i < r->n_columns; i++) {
        db_oid type = r->options->raw ? 0 : db_result_field(result, i).type;
        r->columns[i] = (struct sql_column){.conv = db_value_conv(r->types, type)};
    }
    return r->array_mode || read_keys(r, result);
}

static bool open_result(struct sql_reply *r, const struct db_result *result)
{
    r->open = true;
    r->rows = 0;
    r->truncated = false;
    r->array_mode = r->request->extras[r->current + r->request->hidden_first].array_mode;
    switch (r->options->format) {
    case SQL_CSV: sql_format_csv_head(&r->out.buf, result); break;
    case SQL_JSON:
        if (r->current > 0)
            buf_char(&r->out.buf, ',');
        BUF_LIT(&r->out.buf, "{\"fields\":");
        sql_format_fields(&r->out.buf, result);
        BUF_LIT(&r->out.buf, ",\"rows\":[");
        break;
    case SQL_NDJSON:
        if (!r->options->fields)
            break;
        BUF_LIT(&r->out.buf, "{\"fields\":");
        sql_format_fields(&r->out.buf, result);
        BUF_LIT(&r->out.buf, "}\n");
        break;
    }
    return r->options->format == SQL_CSV || read_columns(r, result);
}

static void write_row(struct sql_reply *r, const struct db_result *result, size_t row)
{
    if (r->options->format == SQL_CSV) {
        sql_format_csv(&r->out.buf, result, row);
        return;
    }
    if (r->options->format == SQL_JSON && r->rows > 0)
        buf_char(&r->out.buf, ',');
    if (r->array_mode)
        sql_format_array(&r->out.buf, r, result, row);
    else
        sql_format_object(&r->out.buf, r, result, row);
    if (r->options->format == SQL_NDJSON)
        buf_char(&r->out.buf, '\n');
}

/* False: too many bytes. */
static bool write_rows(struct sql_reply *r, const struct db_result *result)
{
    size_t n = db_result_rows(result);
    for (size_t row = 0; row < n; row++) {
        if (r->options->limited && r->rows >= r->options->max_rows) {
            r->truncated = true;
            break;
        }
        write_row(r, result, row);
        r->rows++;
        if (r->bytes_max && drain_end(&r->out) > r->bytes_max) {
            r->overflow = true;
            return false;
        }
    }
    return true;
}

/* "INSERT 0 5" -> INSERT and 5; "CREATE TABLE" -> CREATE and nothing. */
static void read_tag(struct sql_reply *r, struct str tag)
{
    size_t first = str_find(tag, ' ', 0), last = tag.n;
    size_t n = first < sizeof r->command ? first : sizeof r->command - 1;
    memcpy(r->command, tag.p ? tag.p : "", n);
    r->command[n] = '\0';
    r->row_count = (struct str){NULL, 0};
    while (last > 0 && tag.p[last - 1] >= '0' && tag.p[last - 1] <= '9')
        last--;
    size_t digits = tag.n - last;
    if (digits == 0 || digits > sizeof r->count || first == tag.n)
        return;
    memcpy(r->count, tag.p + last, digits);
    r->row_count = (struct str){r->count, digits};
}

/* "command":..,"rowCount":.. */
static void write_tag(struct sql_reply *r)
{
    BUF_LIT(&r->out.buf, "\"command\":");
    json_write_string(&r->out.buf, str_of(r->command));
    BUF_LIT(&r->out.buf, ",\"rowCount\":");
    if (r->row_count.p)
        buf_adds(&r->out.buf, r->row_count);
    else
        BUF_LIT(&r->out.buf, "null");
}

/* Everything of a result but its notices and the last brace. */
static void close_result(struct sql_reply *r)
{
    if (r->options->format == SQL_CSV)
        return;
    if (r->options->format == SQL_JSON)
        BUF_LIT(&r->out.buf, "],");
    else
        buf_char(&r->out.buf, '{');
    write_tag(r);
    if (r->options->format == SQL_JSON && r->array_mode)
        BUF_LIT(&r->out.buf, ",\"rowAsArray\":true");
    else if (r->options->format == SQL_JSON)
        BUF_LIT(&r->out.buf, ",\"rowAsArray\":false");
    if (r->truncated)
        BUF_LIT(&r->out.buf, ",\"truncated\":true");
}

/* Of a batch as NDJSON: says whose rows these were, not that they were committed. */
static void end_line(struct sql_reply *r)
{
    BUF_LIT(&r->out.buf, ",\"queryIndex\":");
    buf_u64(&r->out.buf, r->current);
    BUF_LIT(&r->out.buf, "}\n");
}

/* Remembers where the result ends, for the notices that are only known later. */
static bool note_end(struct sql_reply *r)
{
    size_t visible = r->request->n - r->request->hidden_first - r->request->hidden_last;
    if (!r->ends)
        r->ends = arena_array(r->arena, visible, sizeof *r->ends);
    if (!r->ends)
        return false;
    r->ends[r->n_ends++] = drain_end(&r->out);
    buf_char(&r->out.buf, '}');
    return true;
}

static bool end_result(struct sql_reply *r, struct str tag)
{
    read_tag(r, tag);
    r->open = false;
    if (!r->request->batch)
        return true; /* sql_reply_finish closes it: a trailer says that the request succeeded */
    close_result(r);
    if (r->options->format == SQL_JSON)
        return note_end(r);
    end_line(r);
    return true;
}

bool sql_reply_result(struct sql_reply *r, size_t i, const struct db_result *result)
{
    const struct sql_request *q = r->request;
    bool rows = true;
    if (i < q->hidden_first || i >= q->n - q->hidden_last)
        return true;
    r->current = i - q->hidden_first;
    if (!r->open && !open_result(r, result))
        return false;
    enum db_result_kind kind = db_result_kind(result);
    if (kind == DB_RESULT_ROW || kind == DB_RESULT_ROWS)
        rows = write_rows(r, result);
    if (!rows)
        return false;
    if (kind != DB_RESULT_ROW)
        return end_result(r, db_result_tag(result)) && !buf_broken(&r->out.buf);
    r->cancelled = r->truncated && !q->batch && r->options->read_only;
    return !r->cancelled && !buf_broken(&r->out.buf);
}

/* Puts text at an offset that did not leave yet. */
static void insert(struct drain *d, uint64_t at, struct str text)
{
    size_t offset = (size_t)(at - d->cleared);
    struct buf *b = &d->buf;
    if (text.n == 0 || !buf_reserve(b, text.n))
        return;
    memmove(b->p + offset + text.n, b->p + offset, b->n - offset);
    memcpy(b->p + offset, text.p, text.n);
    b->n += text.n;
}

/* The notices of each statement go into its own result; of those that left already, into the first
 * that did not. */
static void insert_notices(struct sql_reply *r, const struct db_outcome *o)
{
    struct buf text;
    size_t kept = 0;
    while (kept + 1 < r->n_ends && r->ends[kept] < drain_left(&r->out))
        kept++;
    if (r->n_ends == 0 || r->ends[kept] < drain_left(&r->out))
        return;
    buf_init(&text, BUF_NO_CEILING);
    for (size_t i = r->n_ends; i-- > kept;) { /* from the end, so that offsets stay true */
        size_t from = i == kept ? 0 : i + r->request->hidden_first;
        size_t to = i + 1 == r->n_ends ? SIZE_MAX : i + r->request->hidden_first;
        buf_clear(&text);
        sql_format_notices(&text, o, SQL_VERB_OTHER, from, to);
        insert(&r->out, r->ends[i], buf_str(&text));
    }
    buf_fini(&text);
}

static void finish_single(struct sql_reply *r, const struct db_outcome *o)
{
    if (r->cancelled) { /* the closing result never came */
        memcpy(r->command, "SELECT", sizeof "SELECT");
        r->row_count = (struct str){NULL, 0};
    }
    close_result(r);
    sql_format_notices(&r->out.buf, o, r->request->extras[r->request->hidden_first].verb, 0,
                       SIZE_MAX);
    buf_char(&r->out.buf, '}');
}

static void finish_batch(struct sql_reply *r, const struct db_outcome *o)
{
    if (r->options->format == SQL_JSON) {
        if (o->n_notices || o->left_transaction || o->notices_dropped)
            insert_notices(r, o);
        BUF_LIT(&r->out.buf, "]}");
        return;
    }
    BUF_LIT(&r->out.buf, "{\"committed\":true");
    sql_format_notices(&r->out.buf, o, SQL_VERB_OTHER, 0, SIZE_MAX);
    buf_char(&r->out.buf, '}');
}

void sql_reply_finish(struct sql_reply *r, const struct db_outcome *o)
{
    if (r->options->format == SQL_CSV)
        return;
    if (r->request->batch)
        finish_batch(r, o);
    else
        finish_single(r, o);
    if (r->options->format == SQL_NDJSON)
        buf_char(&r->out.buf, '\n');
}

bool sql_reply_error_line(struct sql_reply *r, const struct db_outcome *o)
{
    if (r->options->format != SQL_NDJSON)
        return false;
    struct db_error error = o->error;
    sql_error_explain(r->request, o, r->arena, &error);
    BUF_LIT(&r->out.buf, "{\"error\":");
    sql_error_json(&r->out.buf, &error, r->request->batch, sql_error_index(r->request, o));
    BUF_LIT(&r->out.buf, "}\n");
    return true;
}
