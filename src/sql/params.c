#include "sql/params.h"

#include "db/job.h"

#define WHAT "the body"

static bool too_big(struct err *err)
{
    return err_set(err, 413, "54000", "the parameters are too big for this request");
}

void *sql_grow(struct arena *arena, const void *old, size_t count, size_t *room, size_t size)
{
    size_t wanted = *room ? *room * 2 : 8;
    void *copy = arena_array(arena, wanted, size);
    if (!copy)
        return NULL;
    if (count)
        memcpy(copy, old, count * size);
    *room = wanted;
    return copy;
}

/* "..." with quotes and backslashes escaped, as array literals want it (docs, "Arrays"). */
static size_t put_element(char *to, struct str s)
{
    size_t w = 0;
    to[w++] = '"';
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '"' || s.p[i] == '\\')
            to[w++] = '\\';
        to[w++] = s.p[i];
    }
    to[w++] = '"';
    return w;
}

static size_t put_bytes(char *to, struct str s)
{
    memcpy(to, s.p, s.n);
    return s.n;
}

/* Writes the elements up to the end of the outermost array; to has room for twice the source. */
static size_t write_array(struct json_reader *r, char *to)
{
    size_t w = 0;
    struct str slice;
    bool comma = false;
    for (unsigned depth = 0;;) {
        enum json_event event = json_next(r);
        if (event != JSON_ARRAY_END && comma)
            to[w++] = ',';
        comma = event != JSON_ARRAY;
        switch (event) {
        case JSON_ARRAY:
            depth++;
            to[w++] = '{';
            break;
        case JSON_ARRAY_END:
            to[w++] = '}';
            if (--depth == 0)
                return w;
            break;
        case JSON_NULL: w += put_bytes(to + w, STR("NULL")); break;
        case JSON_TRUE: w += put_bytes(to + w, STR("true")); break;
        case JSON_FALSE: w += put_bytes(to + w, STR("false")); break;
        case JSON_NUMBER: w += put_bytes(to + w, r->text); break;
        case JSON_STRING: w += put_element(to + w, r->text); break;
        case JSON_OBJECT:
            if (!json_skip_rest(r, &slice))
                return w;
            w += put_element(to + w, slice);
            break;
        case JSON_OBJECT_END:
        case JSON_KEY:
        case JSON_DONE:
        case JSON_ERROR: return w;
        }
    }
}

/* The array that was just opened, as {1,"a\"b",NULL}. Read twice: once to know that it is whole and
 * how long, once to write it. */
static bool array_literal(struct json_reader *r, struct arena *arena, const char **out,
                          struct err *err)
{
    struct str slice;
    struct json_reader again;
    if (!json_skip_rest(r, &slice))
        return json_error(r, WHAT, err);
    char *to = slice.n < SIZE_MAX / 4 ? arena_alloc(arena, slice.n * 2 + 2) : NULL;
    if (!to)
        return too_big(err);
    if (r->in_place)
        json_reader_in_place(&again, r->in_place + (slice.p - r->p), slice.n);
    else
        json_reader_init(&again, slice, arena);
    to[write_array(&again, to)] = '\0';
    *out = to;
    return !arena_broken(arena) || too_big(err);
}

static bool copy_text(struct arena *arena, struct str text, const char **out, struct err *err)
{
    *out = arena_strdup(arena, text);
    return *out != NULL || too_big(err);
}

bool sql_param_text(struct json_reader *r, struct arena *arena, const char **out, struct err *err)
{
    struct str slice;
    switch (r->event) {
    case JSON_NULL: *out = NULL; return true;
    case JSON_TRUE: *out = "true"; return true;
    case JSON_FALSE: *out = "false"; return true;
    case JSON_NUMBER: return copy_text(arena, r->text, out, err);
    case JSON_STRING:
        if (!r->in_place)
            return copy_text(arena, r->text, out, err);
        *out = r->text.p;
        return true;
    case JSON_ARRAY: return array_literal(r, arena, out, err);
    case JSON_OBJECT:
        return json_skip_rest(r, &slice) ? copy_text(arena, slice, out, err)
                                         : json_error(r, WHAT, err);
    case JSON_ARRAY_END:
    case JSON_OBJECT_END:
    case JSON_KEY:
    case JSON_DONE:
    case JSON_ERROR: break;
    }
    return json_error(r, WHAT, err);
}

static bool read_list(struct json_reader *r, struct arena *arena, struct sql_params *p,
                      struct err *err)
{
    while (json_next(r) != JSON_ARRAY_END) {
        if (r->event == JSON_ERROR)
            return json_error(r, WHAT, err);
        if (p->n == DB_PARAMS_MAX)
            return err_set(err, 400, "54023", "more than %d parameters", DB_PARAMS_MAX);
        if (p->n == p->room) {
            p->values = sql_grow(arena, p->values, p->n, &p->room, sizeof *p->values);
            if (!p->values)
                return too_big(err);
        }
        if (!sql_param_text(r, arena, &p->values[p->n++], err))
            return false;
    }
    return true;
}

static bool read_named(struct json_reader *r, struct arena *arena, struct sql_params *p,
                       struct err *err)
{
    while (json_next(r) == JSON_KEY) {
        if (p->n_named == DB_PARAMS_MAX)
            return err_set(err, 400, "54023", "more than %d parameters", DB_PARAMS_MAX);
        if (p->n_named == p->room_named) {
            p->named = sql_grow(arena, p->named, p->n_named, &p->room_named, sizeof *p->named);
            if (!p->named)
                return too_big(err);
        }
        struct sql_named *one = &p->named[p->n_named++];
        *one = (struct sql_named){.name = r->text};
        json_next(r);
        if (!sql_param_text(r, arena, &one->value, err))
            return false;
    }
    return r->event == JSON_OBJECT_END ? sql_named_sort(p->named, p->n_named, err)
                                       : json_error(r, WHAT, err);
}

bool sql_params_read(struct json_reader *r, struct arena *arena, struct sql_params *p,
                     struct err *err)
{
    json_next(r);
    return sql_params_value(r, arena, p, err);
}

bool sql_params_value(struct json_reader *r, struct arena *arena, struct sql_params *p,
                      struct err *err)
{
    enum json_event event = r->event;
    if (event == JSON_NULL)
        return true;
    if (event == JSON_ARRAY)
        return read_list(r, arena, p, err);
    p->by_name = event == JSON_OBJECT;
    if (p->by_name)
        return read_named(r, arena, p, err);
    return event == JSON_ERROR
               ? json_error(r, WHAT, err)
               : err_set(err, 400, "PGH101", "params is %s: an array or an object is needed",
                         json_event_name(event));
}
