/* parse: the query string, parameter by parameter.
 *
 * The raw bytes are split at '&', each key and value is percent-decoded ('+' is a space; a stray
 * '%' stays as it is) and must be UTF-8 without NUL. The key decides the grammar: select, columns,
 * on_conflict; by its last dot-segment order, limit, offset, and, or; everything else is a filter.
 * Parameters without '=' count only for Content-Location.
 *
 * To add a reserved parameter: a row in classify(), a branch in parameter(). */
#include "rest/parse_lex.h"

#include <stdlib.h>

struct pair {
    struct str key, value;
    size_t number; /* keeps equal keys in their order when sorted */
    bool has_value;
};

struct state { /* one query string being parsed */
    struct arena *arena;
    struct err *err;
    struct rest_query *out;
    struct parse_budget budget;
    bool rpc_read, seen_select;
    const struct rest_filter **filters;
    const struct rest_logic **logic;
    const struct rest_order **orders;
    const struct rest_param **params;
    const struct rest_name **keys;
    struct rest_range *ranges, *last_range;
};

enum kind {
    KIND_FILTER,
    KIND_SELECT,
    KIND_COLUMNS,
    KIND_ON_CONFLICT,
    KIND_ORDER,
    KIND_LIMIT,
    KIND_OFFSET,
    KIND_LOGIC
};

static bool not_text(struct err *err, const char *why)
{
    err_set(err, 400, "PGRST100", "\"failed to parse query string\" (line 1, column 1)");
    err->details = why;
    return false;
}

static bool decode(struct state *s, struct str raw, struct str *out)
{
    char *copy = arena_alloc(s->arena, raw.n + 1);
    size_t n = 0;
    if (!copy || !str_percent_decode(raw, true, true, copy, &n))
        return not_text(s->err, "The query string could not be decoded");
    *out = (struct str){copy, n};
    if (n > 0 && memchr(copy, '\0', n))
        return not_text(s->err, "The query string contains a NUL character");
    if (!str_utf8(*out))
        return not_text(s->err, "The query string is not valid UTF-8");
    return true;
}

static bool split(struct state *s, struct str raw, struct pair **pairs, size_t *n)
{
    size_t count = 1;
    for (size_t i = 0; i < raw.n; i++)
        count += raw.p[i] == '&';
    if (raw.n > REST_QUERY_MAX)
        return not_text(s->err, arena_printf(s->arena, "The query string is longer than %u bytes",
                                             REST_QUERY_MAX));
    if (count > REST_PARAMS_MAX)
        return not_text(s->err, arena_printf(s->arena, "The query string has more than %u parts",
                                             REST_PARAMS_MAX));
    *pairs = arena_array(s->arena, count, sizeof **pairs);
    *n = 0;
    if (!*pairs)
        return not_text(s->err, "The query string needs too much memory");
    struct str rest = raw, part;
    while (str_next(&rest, '&', &part)) {
        size_t eq = str_find(part, '=', 0);
        struct pair *pair = &(*pairs)[*n];
        if (part.n == 0)
            continue;
        if (!decode(s, (struct str){part.p, eq}, &pair->key) ||
            !decode(s, str_from(part, eq + 1), &pair->value))
            return false;
        pair->has_value = eq < part.n;
        pair->number = (*n)++;
    }
    return true;
}

static struct str last_segment(struct str key)
{
    size_t from = key.n;
    while (from > 0 && key.p[from - 1] != '.')
        from--;
    return str_from(key, from);
}

static enum kind classify(struct str key)
{
    static const struct {
        struct str word;
        enum kind kind;
        bool whole; /* the whole key, not only its last segment */
    } words[] = {{{"select", 6}, KIND_SELECT, true},
                 {{"columns", 7}, KIND_COLUMNS, true},
                 {{"on_conflict", 11}, KIND_ON_CONFLICT, true},
                 {{"order", 5}, KIND_ORDER, false},
                 {{"limit", 5}, KIND_LIMIT, false},
                 {{"offset", 6}, KIND_OFFSET, false},
                 {{"and", 3}, KIND_LOGIC, false},
                 {{"or", 2}, KIND_LOGIC, false}};
    struct str last = last_segment(key);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (str_eq(words[i].whole ? key : last, words[i].word))
            return words[i].kind;
    return KIND_FILTER;
}

static struct parser parser_of(struct state *s, const char *what, struct str text)
{
    return (struct parser){.arena = s->arena,
                           .budget = &s->budget,
                           .err = s->err,
                           .what = what,
                           .shown = text,
                           .text = text};
}

static bool tree_path(struct state *s, struct str key, struct rest_path *path,
                      struct rest_field *field)
{
    struct parser p = parser_of(s, "tree path", key);
    return parse_tree_path(&p, path, field);
}

static bool add_param(struct state *s, const struct pair *pair, struct rest_field field)
{
    struct rest_param *param = ARENA_NEW(s->arena, struct rest_param);
    if (!param)
        return not_text(s->err, "The query string needs too much memory");
    param->name = field.name;
    param->value = pair->value;
    *s->params = param;
    s->params = &param->next;
    return true;
}

static bool add_filter(struct state *s, const struct pair *pair)
{
    struct rest_filter *filter = ARENA_NEW(s->arena, struct rest_filter);
    struct rest_name *key = ARENA_NEW(s->arena, struct rest_name);
    if (!filter || !key)
        return not_text(s->err, "The query string needs too much memory");
    if (!tree_path(s, pair->key, &filter->path, &filter->field))
        return false;
    struct parser p = parser_of(s, "filter", pair->value);
    if (!parse_operation(&p, filter)) {
        if (!s->rpc_read)
            return false;
        err_clear(s->err);
        return add_param(s, pair, filter->field);
    }
    key->name = pair->key;
    *s->keys = key;
    s->keys = &key->next;
    *s->filters = filter;
    s->filters = &filter->next;
    s->out->n_filters++;
    return true;
}

static bool add_order(struct state *s, const struct pair *pair)
{
    struct rest_order *order = ARENA_NEW(s->arena, struct rest_order);
    struct rest_field field;
    if (!order)
        return not_text(s->err, "The query string needs too much memory");
    if (!tree_path(s, pair->key, &order->path, &field))
        return false;
    struct parser p = parser_of(s, "order", pair->value);
    if (!parse_order(&p, &order->terms))
        return false;
    *s->orders = order;
    s->orders = &order->next;
    return true;
}

/* The key "a.not.or" with the value "(...)" is parsed as the text "not.or(...)" at the path a. */
static bool add_logic(struct state *s, const struct pair *pair)
{
    struct rest_path path;
    struct rest_field field;
    struct parser key = parser_of(s, "logic path", pair->key);
    if (!parse_tree_path(&key, &path, &field))
        return false;
    struct str *kept = arena_array(s->arena, path.n + 1, sizeof *kept);
    size_t n = 0;
    for (size_t i = 0; kept && i < path.n; i++)
        if (!str_eq(path.v[i], STR("not")))
            kept[n++] = path.v[i];
    const char *text = arena_printf(s->arena, "%s%.*s%.*s", n < path.n ? "not." : "",
                                    STR_ARG(field.name), STR_ARG(pair->value));
    if (!kept || !text)
        return not_text(s->err, "The query string needs too much memory");
    struct parser p = parser_of(s, "logic tree", pair->value);
    const struct rest_logic *root;
    p.text = str_of(text);
    if (!parse_logic(&p, &root))
        return false;
    struct rest_logic *own = (struct rest_logic *)(uintptr_t)root; /* made by us, just now */
    own->path = (struct rest_path){kept, n};
    *s->logic = own;
    s->logic = &own->next;
    return true;
}

/* An integer, kept inside of int64; false for anything else. */
static bool integer(struct str text, int64_t *out)
{
    text = str_trim(text);
    bool minus = text.n > 1 && text.p[0] == '-';
    struct str digits = str_from(text, minus);
    uint64_t v = 0;
    if (digits.n == 0)
        return false;
    for (size_t i = 0; i < digits.n; i++) {
        if (digits.p[i] < '0' || digits.p[i] > '9')
            return false;
        uint64_t digit = (uint64_t)(digits.p[i] - '0');
        v = v > ((uint64_t)INT64_MAX - digit) / 10 ? (uint64_t)INT64_MAX : v * 10 + digit;
    }
    *out = minus ? -(int64_t)v : (int64_t)v;
    return true;
}

static bool path_eq(struct rest_path a, struct rest_path b)
{
    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++)
        if (!str_eq(a.v[i], b.v[i]))
            return false;
    return true;
}

static struct rest_range *range_of(struct state *s, struct rest_path path)
{
    for (struct rest_range *r = s->ranges; r;
         r = (struct rest_range *)(uintptr_t)r->next) /* our own nodes */
        if (path_eq(r->path, path))
            return r;
    if (s->budget.embeds == 0)
        return NULL;
    struct rest_range *range = ARENA_NEW(s->arena, struct rest_range);
    if (!range)
        return NULL;
    s->budget.embeds--;
    range->path = path;
    range->limit = REST_NO_LIMIT;
    if (s->last_range)
        s->last_range->next = range;
    else
        s->ranges = range;
    s->last_range = range;
    return range;
}

static bool add_range(struct state *s, const struct pair *pair, bool is_limit)
{
    struct rest_path path;
    struct rest_field field;
    int64_t v;
    if (!tree_path(s, pair->key, &path, &field))
        return false;
    if (!integer(pair->value, &v))
        return true;
    if (is_limit && v < 0)
        s->out->negative_limit = true;
    uint64_t bound = v < 0 ? 0 : (uint64_t)v;
    if (path.n == 0) {
        *(is_limit ? &s->out->limit : &s->out->offset) = bound;
        *(is_limit ? &s->out->has_limit : &s->out->has_offset) = true;
        return true;
    }
    struct rest_range *range = range_of(s, path);
    if (!range)
        return not_text(s->err, "The query string has too many limits and offsets");
    *(is_limit ? &range->limit : &range->offset) = bound;
    return true;
}

static bool parameter(struct state *s, const struct pair *pair)
{
    struct parser p;
    switch (classify(pair->key)) {
    case KIND_SELECT:
        if (s->seen_select)
            return true;
        s->seen_select = true;
        p = parser_of(s, "select parameter", pair->value);
        return parse_select(&p, &s->out->select);
    case KIND_COLUMNS:
        if (s->out->has_columns)
            return true;
        s->out->has_columns = true;
        p = parser_of(s, "columns parameter", pair->value);
        return parse_names(&p, &s->out->columns);
    case KIND_ON_CONFLICT:
        if (s->out->has_on_conflict)
            return true;
        s->out->has_on_conflict = true;
        p = parser_of(s, "on_conflict parameter", pair->value);
        return parse_names(&p, &s->out->on_conflict);
    case KIND_ORDER: return add_order(s, pair);
    case KIND_LIMIT: return add_range(s, pair, true);
    case KIND_OFFSET: return add_range(s, pair, false);
    case KIND_LOGIC: return add_logic(s, pair);
    case KIND_FILTER: break;
    }
    return add_filter(s, pair);
}

static int by_key(const void *left, const void *right)
{
    const struct pair *a = left, *b = right;
    size_t n = a->key.n < b->key.n ? a->key.n : b->key.n;
    int order = n ? memcmp(a->key.p, b->key.p, n) : 0;
    if (order != 0)
        return order;
    if (a->key.n != b->key.n)
        return a->key.n < b->key.n ? -1 : 1;
    return a->number < b->number ? -1 : 1;
}

static char *encode(char *to, struct str s)
{
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
            c == '-' || c == '_' || c == '.' || c == '~')
            *to++ = (char)c;
        else
            *to++ = '%', *to++ = hex[c >> 4], *to++ = hex[c & 15];
    }
    return to;
}

/* Sorted by key, values of one key joined by ',', everything but RFC 3986's unreserved encoded. */
static bool canonical(struct state *s, struct pair *pairs, size_t n)
{
    size_t bytes = 0;
    for (size_t i = 0; i < n; i++)
        bytes += (pairs[i].key.n + pairs[i].value.n) * 3 + 2;
    if (n == 0)
        return true;
    char *text = arena_alloc(s->arena, bytes), *to = text;
    if (!text)
        return not_text(s->err, "The query string needs too much memory");
    qsort(pairs, n, sizeof *pairs, by_key);
    for (size_t i = 0; i < n; i++) {
        if (i > 0 && str_eq(pairs[i].key, pairs[i - 1].key)) {
            *to++ = ',';
        } else {
            if (i > 0)
                *to++ = '&';
            to = encode(to, pairs[i].key);
            *to++ = '=';
        }
        to = encode(to, pairs[i].value);
    }
    s->out->canonical = (struct str){text, (size_t)(to - text)};
    return true;
}

bool rest_parse_query(struct arena *arena, struct str raw, bool rpc_read, struct rest_query *out,
                      struct err *err)
{
    static const struct rest_select everything = {.field = {.name = {"*", 1}}};
    struct pair *pairs = NULL;
    size_t n = 0;
    *out = (struct rest_query){.select = &everything};
    struct state s = {.arena = arena,
                      .err = err,
                      .out = out,
                      .budget = {REST_NODES_MAX, REST_EMBEDS_MAX},
                      .rpc_read = rpc_read,
                      .filters = &out->filters,
                      .logic = &out->logic,
                      .orders = &out->orders,
                      .params = &out->params,
                      .keys = &out->filter_keys};
    if (raw.n > 0 && !split(&s, raw, &pairs, &n))
        return false;
    for (size_t i = 0; i < n; i++)
        if (pairs[i].has_value && !parameter(&s, &pairs[i]))
            return false;
    out->ranges = s.ranges;
    return canonical(&s, pairs, n);
}
