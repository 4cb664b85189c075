#include "auth/jspath.h"

#include "auth/jspath_private.h"

#define STEPS_MAX                                                                                  \
    100000 /* values looked at; the cost of one token is bounded whatever the path                 \
            */

struct walk {
    const struct json_node *root;
    unsigned steps;
};

static const struct json_node *follow(struct walk *, const struct segment *,
                                      const struct json_node *);
static bool is_true(struct walk *, const struct expr *, const struct json_node *at);

struct value {
    enum { VALUE_NOTHING, VALUE_NODE, VALUE_LITERAL } kind;
    const struct json_node *node;
    const struct operand *literal;
};

static struct value value_of(struct walk *w, const struct operand *o, const struct json_node *at)
{
    if (o->kind != OPERAND_PATH)
        return (struct value){.kind = VALUE_LITERAL, .literal = o};
    const struct json_node *node = follow(w, o->path, o->from_root ? w->root : at);
    return (struct value){.kind = node ? VALUE_NODE : VALUE_NOTHING, .node = node};
}

/* Kinds and plain contents, the same for nodes and literals. */
static enum json_kind kind_of(const struct value *v)
{
    if (v->kind == VALUE_NODE)
        return json_node_kind(v->node);
    switch (v->literal->kind) {
    case OPERAND_STRING: return JSON_IS_STRING;
    case OPERAND_NUMBER: return JSON_IS_NUMBER;
    case OPERAND_TRUE:
    case OPERAND_FALSE: return JSON_IS_BOOL;
    case OPERAND_NULL:
    case OPERAND_PATH:
    default: return JSON_IS_NULL;
    }
}

static struct str text_of(const struct value *v)
{
    return v->kind == VALUE_NODE ? json_node_string(v->node) : v->literal->text;
}

static bool number_of(const struct value *v, int64_t *out)
{
    if (v->kind == VALUE_NODE)
        return json_node_i64(v->node, out);
    *out = v->literal->number;
    return true;
}

static bool truth_of(const struct value *v)
{
    return v->kind == VALUE_NODE ? json_node_true(v->node) : v->literal->kind == OPERAND_TRUE;
}

static bool equal(const struct value *a, const struct value *b)
{
    int64_t x, y;
    if (a->kind == VALUE_NOTHING || b->kind == VALUE_NOTHING)
        return a->kind == b->kind;
    if (kind_of(a) != kind_of(b))
        return false;
    switch (kind_of(a)) {
    case JSON_IS_STRING: return str_eq(text_of(a), text_of(b));
    case JSON_IS_NUMBER: return number_of(a, &x) && number_of(b, &y) && x == y;
    case JSON_IS_BOOL: return truth_of(a) == truth_of(b);
    case JSON_IS_NULL: return true;
    case JSON_IS_ARRAY:
    case JSON_IS_OBJECT:
    default: return a->kind == VALUE_NODE && b->kind == VALUE_NODE && a->node == b->node;
    }
}

static bool less(const struct value *a, const struct value *b)
{
    int64_t x, y;
    if (a->kind == VALUE_NOTHING || b->kind == VALUE_NOTHING || kind_of(a) != kind_of(b))
        return false;
    if (kind_of(a) == JSON_IS_NUMBER)
        return number_of(a, &x) && number_of(b, &y) && x < y;
    if (kind_of(a) != JSON_IS_STRING)
        return false;
    struct str s = text_of(a), t = text_of(b);
    int order = memcmp(s.p, t.p, s.n < t.n ? s.n : t.n);
    return order < 0 || (order == 0 && s.n < t.n);
}

/* The old operators: both sides strings. */
static bool old_compare(enum compare op, const struct value *a, const struct value *b)
{
    if (a->kind == VALUE_NOTHING || kind_of(a) != JSON_IS_STRING || kind_of(b) != JSON_IS_STRING)
        return false;
    struct str s = text_of(a), t = text_of(b);
    if (op == STARTS)
        return str_starts(s, t);
    if (op == ENDS)
        return s.n >= t.n && str_eq(str_from(s, s.n - t.n), t);
    return t.n == 0 || memmem(s.p, s.n, t.p, t.n) != NULL;
}

static bool compare(enum compare op, const struct value *a, const struct value *b)
{
    switch (op) {
    case EQ: return equal(a, b);
    case NE: return !equal(a, b);
    case LT: return less(a, b);
    case LE: return less(a, b) || equal(a, b);
    case GT: return less(b, a);
    case GE: return less(b, a) || equal(a, b);
    case STARTS:
    case ENDS:
    case CONTAINS:
    default: return old_compare(op, a, b);
    }
}

static bool searches(struct walk *w, const struct expr *e, const struct json_node *at)
{
    struct value v = value_of(w, &e->left, at);
    if (v.kind == VALUE_NOTHING || kind_of(&v) != JSON_IS_STRING)
        return false;
    struct str s = text_of(&v);
    regmatch_t whole = {.rm_so = 0, .rm_eo = (regoff_t)s.n};
    return s.n < JSPATH_TEXT_MAX && regexec(e->regex, s.p, 0, &whole, REG_STARTEND) == 0;
}

static bool is_true(struct walk *w, const struct expr *e, const struct json_node *at)
{
    struct value a, b;
    switch (e->kind) {
    case EXPR_OR: return is_true(w, e->a, at) || is_true(w, e->b, at);
    case EXPR_AND: return is_true(w, e->a, at) && is_true(w, e->b, at);
    case EXPR_NOT: return !is_true(w, e->a, at);
    case EXPR_EXISTS: return value_of(w, &e->left, at).kind != VALUE_NOTHING;
    case EXPR_SEARCH: return searches(w, e, at);
    case EXPR_COMPARE:
    default:
        a = value_of(w, &e->left, at);
        b = value_of(w, &e->right, at);
        return compare(e->op, &a, &b);
    }
}

static int64_t length_of(const struct json_node *array)
{
    int64_t n = 0;
    for (const struct json_node *c = json_node_first(array); c; c = json_node_next(c))
        n++;
    return n;
}

static const struct json_node *element(const struct json_node *array, int64_t index)
{
    const struct json_node *c;
    if (index < 0)
        index += length_of(array);
    if (index < 0)
        return NULL;
    for (c = json_node_first(array); c && index > 0; c = json_node_next(c))
        index--;
    return c;
}

static int64_t clamp(int64_t v, int64_t low, int64_t high)
{
    return v < low ? low : v > high ? high : v;
}

/* RFC 9535 section 2.3.4.2.2. */
static const struct json_node *slice(struct walk *w, const struct selector *s,
                                     const struct segment *next, const struct json_node *array)
{
    int64_t n = length_of(array), step = s->step;
    int64_t start = s->has_start ? s->index : step >= 0 ? 0 : n - 1;
    int64_t end = s->has_end ? s->end : step >= 0 ? n : -n - 1;
    start = start < 0 && start >= -n ? start + n : start;
    end = end < 0 && end >= -n ? end + n : end;
    int64_t low = step >= 0 ? clamp(start, 0, n) : clamp(end, -1, n - 1);
    int64_t high = step >= 0 ? clamp(end, 0, n) : clamp(start, -1, n - 1);
    if (step == 0)
        return NULL;
    for (int64_t i = step > 0 ? low : high; step > 0 ? i < high : i > low; i += step) {
        const struct json_node *found = follow(w, next, element(array, i));
        if (found)
            return found;
        if (step > n || step < -n)
            break;
    }
    return NULL;
}

static const struct json_node *select_children(struct walk *w, const struct selector *s,
                                               const struct segment *next,
                                               const struct json_node *at)
{
    enum json_kind kind = json_node_kind(at);
    if (kind != JSON_IS_ARRAY && kind != JSON_IS_OBJECT)
        return NULL;
    for (const struct json_node *c = json_node_first(at); c; c = json_node_next(c)) {
        const struct json_node *found = NULL;
        if (s->kind == SELECT_ANY || is_true(w, s->filter, c))
            found = follow(w, next, c);
        if (found || ++w->steps > STEPS_MAX)
            return found;
    }
    return NULL;
}

/* Of members named twice the last counts, here as for exp and aud (RFC 7519 section 4). */
static const struct json_node *member(const struct json_node *object, const char *name)
{
    const struct json_node *found = NULL;
    if (json_node_kind(object) != JSON_IS_OBJECT)
        return NULL;
    for (const struct json_node *c = json_node_first(object); c; c = json_node_next(c))
        if (str_eq(json_node_key(c), str_of(name)))
            found = c;
    return found;
}

static const struct json_node *apply(struct walk *w, const struct selector *s,
                                     const struct segment *next, const struct json_node *at)
{
    switch (s->kind) {
    case SELECT_NAME: return follow(w, next, member(at, s->name));
    case SELECT_INDEX:
        return json_node_kind(at) == JSON_IS_ARRAY ? follow(w, next, element(at, s->index)) : NULL;
    case SELECT_SLICE: return json_node_kind(at) == JSON_IS_ARRAY ? slice(w, s, next, at) : NULL;
    case SELECT_ANY:
    case SELECT_FILTER:
    default: return select_children(w, s, next, at);
    }
}

static const struct json_node *descend(struct walk *w, const struct segment *seg,
                                       const struct json_node *at, unsigned depth)
{
    const struct json_node *found = NULL;
    if (++w->steps > STEPS_MAX || depth > JSPATH_DEPTH_MAX)
        return NULL;
    for (const struct selector *s = seg->first; s && !found; s = s->next)
        found = apply(w, s, seg->next, at);
    enum json_kind kind = json_node_kind(at);
    if (kind != JSON_IS_ARRAY && kind != JSON_IS_OBJECT)
        return found;
    for (const struct json_node *c = json_node_first(at); c && !found; c = json_node_next(c))
        found = descend(w, seg, c, depth + 1);
    return found;
}

static const struct json_node *follow(struct walk *w, const struct segment *seg,
                                      const struct json_node *at)
{
    const struct json_node *found = NULL;
    if (!seg || !at || ++w->steps > STEPS_MAX)
        return seg && at ? NULL : at;
    if (seg->descendants)
        return descend(w, seg, at, 0);
    for (const struct selector *s = seg->first; s && !found; s = s->next)
        found = apply(w, s, seg->next, at);
    return found;
}

const struct json_node *jspath_find(const struct jspath *path, const struct json_node *root)
{
    struct walk w = {.root = root};
    return follow(&w, path->first, root);
}
