#include "rest/body.h"

#include <stdlib.h>

#include "json/reader.h"
#include "json/writer.h"

#define ESCAPED_KEYS_MAX (16u * 1024 * 1024) /* bytes of keys with escapes that a body may hold */

static bool refuse(struct err *err, const char *message)
{
    return err_set(err, 400, "PGRST102", "%s", message);
}

/* What a text of PostgreSQL can hold: UTF-8 without NUL. */
static bool is_text(struct str s)
{
    return str_utf8(s) && !(s.n > 0 && memchr(s.p, '\0', s.n));
}

static int by_bytes(const void *left, const void *right)
{
    const struct str *a = left, *b = right;
    size_t n = a->n < b->n ? a->n : b->n;
    int order = n ? memcmp(a->p, b->p, n) : 0;
    return order ? order : (a->n > b->n) - (a->n < b->n);
}

static void sort_unique(struct str *keys, size_t *n)
{
    size_t kept = 0;
    if (*n > 1)
        qsort(keys, *n, sizeof *keys, by_bytes);
    for (size_t i = 0; i < *n; i++)
        if (kept == 0 || !str_eq(keys[i], keys[kept - 1]))
            keys[kept++] = keys[i];
    *n = kept;
}

/* ------------------------------------------------------------ JSON */

/* The keys of the first object in the order they stand there, and sorted. */
struct key_set {
    struct str *order, *sorted;
    size_t n, unique;
    uint64_t seen[(REST_BODY_KEYS_MAX + 63) / 64]; /* of the object being compared */
    bool many;                                     /* more keys than a table can have */
};

/* Behind JSON_OBJECT: reads the first object and keeps its keys. */
static bool first_object(struct json_reader *r, struct arena *arena, struct key_set *set)
{
    size_t room = 0;
    while (json_next(r) == JSON_KEY) {
        if (set->n == REST_BODY_KEYS_MAX) {
            set->many = true;
            return false;
        }
        if (set->n == room) {
            struct str *more = arena_array(arena, room ? room * 2 : 16, sizeof *more);
            if (!more)
                return false;
            if (room)
                memcpy(more, set->order, set->n * sizeof *more);
            set->order = more;
            room = room ? room * 2 : 16;
        }
        set->order[set->n] = arena_str(arena, r->text);
        if (!set->order[set->n++].p || !json_skip(r, NULL))
            return false;
    }
    if (r->event != JSON_OBJECT_END)
        return false;
    set->unique = set->n;
    set->sorted = arena_array(arena, set->n + 1, sizeof *set->sorted);
    if (!set->sorted)
        return false;
    if (set->n > 0)
        memcpy(set->sorted, set->order, set->n * sizeof *set->sorted);
    sort_unique(set->sorted, &set->unique);
    return true;
}

/* Marks a key as seen; false when the first object does not have it. */
static bool mark(struct key_set *set, struct str key, size_t *found)
{
    const struct str *k = bsearch(&key, set->sorted, set->unique, sizeof *k, by_bytes);
    if (!k)
        return false;
    size_t index = (size_t)(k - set->sorted);
    *found += !(set->seen[index / 64] >> index % 64 & 1);
    set->seen[index / 64] |= (uint64_t)1 << index % 64;
    return true;
}

/* Behind JSON_OBJECT: does this object have the same keys? Objects made by one program have them
 * in one order, so the next key is compared with the one that stood there in the first object; the
 * first that differs (or a key that the first object has twice) brings in a mark per key. */
static bool same_object(struct json_reader *r, struct key_set *set, bool *same)
{
    size_t at = 0, found = 0;
    bool ordered = set->unique == set->n;
    if (!ordered)
        memset(set->seen, 0, sizeof set->seen);
    while (json_next(r) == JSON_KEY) {
        if (ordered && at < set->n && str_eq(r->text, set->order[at])) {
            at++;
        } else if (*same) {
            if (ordered)
                memset(set->seen, 0, sizeof set->seen);
            for (size_t i = 0; ordered && i < at; i++)
                *same = mark(set, set->order[i], &found) && *same;
            ordered = false;
            *same = mark(set, r->text, &found) && *same;
        }
        if (!json_skip(r, NULL))
            return false;
    }
    if (ordered ? at < set->n : found < set->unique)
        *same = false;
    return r->event == JSON_OBJECT_END;
}

/* Behind JSON_ARRAY. *same is false when something in it is no object or has other keys. */
static bool array_of_objects(struct json_reader *r, struct arena *arena, struct key_set *set,
                             bool *any, bool *same)
{
    while (json_next(r) != JSON_ARRAY_END) {
        bool first = !*any;
        *any = true;
        if (r->event == JSON_OBJECT) {
            if (first ? !first_object(r, arena, set) : !same_object(r, set, same))
                return false;
        } else {
            if (r->event == JSON_ERROR)
                return false;
            *same = false;
            if (r->event == JSON_ARRAY && !json_skip_rest(r, NULL))
                return false;
        }
    }
    return true;
}

static bool json_body(struct arena *arena, struct str text, struct rest_body *out, struct err *err)
{
    struct json_reader r;
    struct arena scratch;
    struct key_set set = {0};
    bool any = false, same = true, done = false;
    arena_init(&scratch, ESCAPED_KEYS_MAX);
    json_reader_init(&r, text, &scratch);
    switch (json_next(&r)) {
    case JSON_OBJECT:
        out->object = any = true;
        done = first_object(&r, arena, &set);
        break;
    case JSON_ARRAY: done = array_of_objects(&r, arena, &set, &any, &same); break;
    case JSON_ERROR: done = false; break;
    case JSON_NULL:
    case JSON_FALSE:
    case JSON_TRUE:
    case JSON_NUMBER:
    case JSON_STRING:
    case JSON_ARRAY_END:
    case JSON_OBJECT_END:
    case JSON_KEY:
    case JSON_DONE: done = true; break;
    }
    done = done && json_finish(&r);
    arena_fini(&scratch);
    if (set.many)
        return refuse(err, "An object of the body has more keys than a table can have columns");
    if (!done)
        return refuse(err, "Empty or invalid json");
    if (!same)
        return refuse(err, "All object keys must match");
    out->kind = REST_BODY_JSON;
    out->text = any ? text : STR("[]");
    out->empty_array = !any;
    out->keys = set.sorted;
    out->n_keys = set.unique;
    return true;
}

/* With columns=: the bytes are PostgreSQL's to judge, the keys are what the URL says. */
static bool json_unread(struct arena *arena, const struct rest_request *request, struct str text,
                        struct rest_body *out, struct err *err)
{
    size_t n = 0, i = 0;
    for (const struct rest_name *c = request->query.columns; c; c = c->next)
        n++;
    struct str *keys = arena_array(arena, n + 1, sizeof *keys);
    if (!keys)
        return refuse(err, "columns needs too much memory");
    for (const struct rest_name *c = request->query.columns; c; c = c->next)
        keys[i++] = c->name;
    sort_unique(keys, &n);
    for (i = 0; i < text.n && strchr(" \t\r\n", text.p[i]) && text.p[i];)
        i++;
    *out = (struct rest_body){.kind = REST_BODY_JSON,
                              .text = text,
                              .object = i < text.n && text.p[i] == '{',
                              .keys = keys,
                              .n_keys = n};
    return true;
}

/* ------------------------------------------------------------ CSV (RFC 4180) */

struct csv {
    struct str text;
    size_t at;
    struct buf field; /* the last quoted field, unquoted */
    bool bad;
};

/* Stands on the opening quote; "" inside is one quote. */
static struct str csv_quoted(struct csv *c)
{
    struct str t = c->text;
    buf_clear(&c->field);
    for (c->at++; c->at < t.n; c->at++) {
        if (t.p[c->at] == '"') {
            if (c->at + 1 >= t.n || t.p[c->at + 1] != '"')
                break;
            c->at++;
        }
        buf_char(&c->field, t.p[c->at]);
    }
    c->bad = c->at >= t.n;
    c->at += !c->bad;
    return c->field.n ? buf_str(&c->field) : STR("");
}

static struct str csv_bare(struct csv *c)
{
    struct str t = c->text;
    size_t from = c->at;
    while (c->at < t.n && t.p[c->at] != ',' && t.p[c->at] != '\n' && t.p[c->at] != '\r' &&
           t.p[c->at] != '"')
        c->at++;
    return (struct str){t.p + from, c->at - from};
}

/* The next field; *last when the record ends behind it. */
static struct str csv_field(struct csv *c, bool *last)
{
    struct str t = c->text;
    struct str field = c->at < t.n && t.p[c->at] == '"' ? csv_quoted(c) : csv_bare(c);
    char end = c->at < t.n ? t.p[c->at] : '\n';
    *last = end != ',';
    if (end == '\r' && c->at + 1 < t.n && t.p[c->at + 1] == '\n')
        c->at++;
    else if (*last && end != '\n' && end != '\r')
        c->bad = true; /* bytes behind a closing quote, or a quote inside of a bare field */
    c->at += c->at < t.n;
    return field;
}

static void csv_skip_blank(struct csv *c)
{
    while (c->at < c->text.n && (c->text.p[c->at] == '\n' || c->text.p[c->at] == '\r'))
        c->at++;
}

static bool csv_header(struct csv *c, struct arena *arena, struct str **keys, size_t *n)
{
    bool last = false;
    *n = 0;
    *keys = arena_array(arena, REST_BODY_KEYS_MAX, sizeof **keys);
    while (*keys && !last && !c->bad) {
        struct str field = csv_field(c, &last);
        if (*n == REST_BODY_KEYS_MAX)
            return false;
        (*keys)[(*n)++] = arena_str(arena, field);
    }
    return *keys && !c->bad;
}

static bool csv_records(struct csv *c, const struct str *keys, size_t n, struct buf *out,
                        struct err *err)
{
    buf_char(out, '[');
    for (bool first = true; csv_skip_blank(c), c->at < c->text.n; first = false) {
        bool last = false;
        if (!first)
            buf_char(out, ',');
        for (size_t i = 0; i < n || !last; i++) {
            if (i == n || (i > 0 && last))
                return refuse(err, "All lines must have same number of fields");
            struct str field = csv_field(c, &last);
            if (c->bad)
                return refuse(err, "Empty or invalid csv");
            buf_char(out, i ? ',' : '{');
            json_write_key(out, keys[i]);
            if (str_eq(field, STR("NULL")))
                BUF_LIT(out, "null");
            else
                json_write_string(out, field);
        }
        buf_char(out, '}');
    }
    buf_char(out, ']');
    return !buf_broken(out) || err_set(err, 413, "PGRST102", "The csv body is too large as JSON");
}

bool rest_csv_to_json(struct arena *arena, struct str csv, struct buf *out, const struct str **keys,
                      size_t *n_keys, struct err *err)
{
    struct csv c = {.text = csv};
    struct str *header;
    if (!is_text(csv))
        return refuse(err, "The csv body is not valid UTF-8 text");
    buf_init(&c.field, csv.n + 1);
    csv_skip_blank(&c);
    bool done = c.at < csv.n && csv_header(&c, arena, &header, n_keys);
    if (!done)
        refuse(err, "Empty or invalid csv");
    else
        done = csv_records(&c, header, *n_keys, out, err);
    buf_fini(&c.field);
    if (!done)
        return false;
    sort_unique(header, n_keys);
    *keys = header;
    return true;
}

static bool csv_body(struct arena *arena, struct str text, struct rest_body *out, struct err *err)
{
    buf_init(&out->made, (text.n + 1024) * REST_CSV_GROWTH);
    if (!rest_csv_to_json(arena, text, &out->made, &out->keys, &out->n_keys, err)) {
        buf_fini(&out->made);
        return false;
    }
    out->kind = REST_BODY_JSON;
    out->text = buf_str(&out->made);
    out->empty_array = str_eq(out->text, STR("[]"));
    if (out->empty_array)
        out->n_keys = 0;
    return true;
}

/* ------------------------------------------------------------ forms */

static bool form_part(struct arena *arena, struct str raw, struct str *out, struct err *err)
{
    char *copy = arena_alloc(arena, raw.n + 1);
    size_t n;
    if (!copy || !str_percent_decode(raw, true, true, copy, &n))
        return refuse(err, "The form could not be decoded");
    *out = (struct str){copy, n};
    if ((n > 0 && memchr(copy, '\0', n)) || !str_utf8(*out))
        return refuse(err, "The form is not valid UTF-8 text");
    return true;
}

static bool form_params(struct arena *arena, struct str text, struct rest_body *out,
                        struct err *err)
{
    const struct rest_param **tail = &out->params;
    struct str rest = text, part;
    size_t n = 0;
    while (str_next(&rest, '&', &part)) {
        size_t eq = str_find(part, '=', 0);
        if (part.n == 0)
            continue;
        struct rest_param *param = ARENA_NEW(arena, struct rest_param);
        if (!param || ++n > REST_BODY_KEYS_MAX)
            return refuse(err, "The form has too many fields");
        if (!form_part(arena, (struct str){part.p, eq}, &param->name, err) ||
            !form_part(arena, str_from(part, eq + 1), &param->value, err))
            return false;
        *tail = param;
        tail = &param->next;
    }
    struct str *keys = arena_array(arena, n + 1, sizeof *keys);
    size_t i = 0;
    if (!keys)
        return refuse(err, "The form needs too much memory");
    for (const struct rest_param *p = out->params; p; p = p->next)
        keys[i++] = p->name;
    sort_unique(keys, &n);
    out->kind = REST_BODY_FORM;
    out->keys = keys;
    out->n_keys = n;
    return true;
}

/* A form for a table is one object of strings; of a repeated field the last counts. */
static bool form_as_json(struct rest_body *out, struct str text, struct err *err)
{
    buf_init(&out->made, (text.n + 1024) * REST_CSV_GROWTH);
    buf_char(&out->made, '{');
    for (const struct rest_param *p = out->params; p; p = p->next) {
        if (p != out->params)
            buf_char(&out->made, ',');
        json_write_key(&out->made, p->name);
        json_write_string(&out->made, p->value);
    }
    buf_char(&out->made, '}');
    if (buf_broken(&out->made)) {
        buf_fini(&out->made);
        return refuse(err, "The form is too large");
    }
    out->kind = REST_BODY_JSON;
    out->text = buf_str(&out->made);
    out->object = true;
    return true;
}

bool rest_body_parse(struct arena *arena, const struct rest_request *request, struct str body,
                     struct rest_body *out, struct err *err)
{
    bool call = request->action == REST_CALL;
    bool columns = request->query.has_columns && request->action != REST_UPSERT;
    *out = (struct rest_body){0};
    switch (request->content_type) {
    case REST_MEDIA_JSON:
        if (columns)
            return json_unread(arena, request, body, out, err);
        return json_body(arena, call && body.n == 0 ? STR("{}") : body, out, err);
    case REST_MEDIA_CSV: return csv_body(arena, body, out, err);
    case REST_MEDIA_FORM:
        return form_params(arena, body, out, err) && (call || form_as_json(out, body, err));
    case REST_MEDIA_TEXT:
    case REST_MEDIA_XML:
    case REST_MEDIA_OCTETS:
        if (!call)
            break;
        if (request->content_type != REST_MEDIA_OCTETS && !is_text(body))
            return refuse(err, "The body is not valid UTF-8 text");
        out->kind = REST_BODY_RAW;
        out->text = body;
        return true;
    case REST_MEDIA_GEOJSON:
    case REST_MEDIA_OPENAPI:
    case REST_MEDIA_ANY:
    case REST_MEDIA_OTHER:
    case REST_MEDIA_ARRAY_STRIP:
    case REST_MEDIA_OBJECT:
    case REST_MEDIA_OBJECT_STRIP:
    case REST_MEDIA_PLAN: break;
    }
    struct rest_media media = rest_media_parse(arena, request->content_type_text);
    return err_set(err, 400, "PGRST102", "Content-Type not acceptable: %.*s",
                   STR_ARG(rest_media_name(arena, &media)));
}

void rest_body_fini(struct rest_body *body)
{
    buf_fini(&body->made);
}
