#include "auth/jspath.h"

#include <ctype.h>
#include <regex.h>
#include <stdlib.h>

#include "util/arena.h"
#include "util/xalloc.h"

/* A path is a list of segments, a segment a list of selectors, all in one arena. A filter is a tree
 * of expressions. Evaluation goes depth first, which yields values in the order of RFC 9535's node
 * lists, and stops at the first; `steps` bounds it for paths like $..*..*. */

#define STEPS_MAX 100000
#define DEPTH_MAX 32 /* of parentheses and of documents walked by .. */
#define TEXT_MAX 4096

enum selector_kind { SELECT_NAME, SELECT_INDEX, SELECT_SLICE, SELECT_ANY, SELECT_FILTER };

struct selector {
    enum selector_kind kind;
    const char *name;
    int64_t index, end, step; /* a slice: index is its start */
    bool has_start, has_end;
    const struct expr *filter;
    struct selector *next;
};

struct segment {
    bool descendants;
    struct selector *first;
    struct segment *next;
};

enum expr_kind { EXPR_OR, EXPR_AND, EXPR_NOT, EXPR_COMPARE, EXPR_EXISTS, EXPR_SEARCH };
enum compare { EQ, NE, LT, LE, GT, GE, STARTS, ENDS, CONTAINS };

struct operand {
    enum {
        OPERAND_PATH,
        OPERAND_STRING,
        OPERAND_NUMBER,
        OPERAND_TRUE,
        OPERAND_FALSE,
        OPERAND_NULL
    } kind;
    bool from_root; /* $ instead of @ */
    const struct segment *path;
    struct str text;
    int64_t number;
};

struct expr {
    enum expr_kind kind;
    enum compare op;
    struct operand left, right;
    const struct expr *a, *b;
    regex_t *regex; /* constant patterns are compiled once */
    struct expr *next_regex;
};

struct jspath {
    struct arena arena;
    bool old;
    const struct segment *first;
    struct expr *regexes;
};

struct parse {
    struct jspath *path;
    struct str s;
    size_t at;
    unsigned depth;
    const char *problem;
};

/* parsing */

static char peek(const struct parse *p)
{
    return p->at < p->s.n ? p->s.p[p->at] : '\0';
}

static void skip_blank(struct parse *p)
{
    while (p->at < p->s.n && strchr(" \t\n\r", p->s.p[p->at]))
        p->at++;
}

static bool wrong(struct parse *p, const char *problem)
{
    if (!p->problem)
        p->problem = problem;
    return false;
}

static bool take(struct parse *p, const char *text)
{
    if (!str_starts(str_from(p->s, p->at), str_of(text)))
        return false;
    p->at += strlen(text);
    return true;
}

static bool quoted(struct parse *p, struct str *out)
{
    char quote = peek(p);
    char *text = arena_alloc(&p->path->arena, p->s.n + 1);
    size_t n = 0;
    p->at++;
    while (text && p->at < p->s.n && peek(p) != quote) {
        if (peek(p) == '\\' && !p->path->old) {
            p->at++;
            char e = peek(p);
            if (e != '\\' && e != '\'' && e != '"' && e != '/')
                return wrong(p, "of the escapes only \\\\ \\' \\\" and \\/ are known");
        }
        text[n++] = p->s.p[p->at++];
    }
    if (peek(p) != quote || !text)
        return wrong(p, "a closing quote is missing");
    p->at++;
    *out = (struct str){text, n};
    return true;
}

static bool integer(struct parse *p, int64_t *out)
{
    size_t start = p->at;
    if (peek(p) == '-')
        p->at++;
    while (isdigit((unsigned char)peek(p)))
        p->at++;
    return str_i64((struct str){p->s.p + start, p->at - start}, out) || wrong(p, "not a number");
}

static bool name_byte(const struct parse *p, char c)
{
    return isalnum((unsigned char)c) || c == '_' || (c & 0x80) ||
           (p->path->old && (c == '$' || c == '@'));
}

static bool bare_name(struct parse *p, const char **out)
{
    size_t start = p->at;
    while (name_byte(p, peek(p)))
        p->at++;
    if (p->at == start)
        return wrong(p, "a name is missing");
    *out = arena_strdup(&p->path->arena, (struct str){p->s.p + start, p->at - start});
    return *out != NULL;
}

static const struct expr *or_expression(struct parse *p);
static bool segments(struct parse *p, const struct segment **out);

static bool is_operand_end(char c)
{
    return c == '\0' || strchr(" \t\n\r)]=!<>&|,", c) != NULL;
}

static bool operand(struct parse *p, struct operand *out)
{
    char c = peek(p);
    if (c == '@' || c == '$') {
        p->at++;
        *out = (struct operand){.kind = OPERAND_PATH, .from_root = c == '$'};
        return p->path->old || segments(p, &out->path);
    }
    if (c == '"' || c == '\'') {
        out->kind = OPERAND_STRING;
        return quoted(p, &out->text);
    }
    if (c == '-' || isdigit((unsigned char)c)) {
        out->kind = OPERAND_NUMBER;
        return integer(p, &out->number) &&
               (is_operand_end(peek(p)) || wrong(p, "only whole numbers are compared"));
    }
    if (take(p, "true"))
        out->kind = OPERAND_TRUE;
    else if (take(p, "false"))
        out->kind = OPERAND_FALSE;
    else if (take(p, "null"))
        out->kind = OPERAND_NULL;
    else
        return wrong(p, "@, $, a string, a number, true, false or null is expected");
    return is_operand_end(peek(p)) || wrong(p, "unknown word");
}

static bool comparison(struct parse *p, enum compare *op)
{
    static const struct {
        const char *text;
        enum compare op;
        bool old;
    } all[] = {{"==^", ENDS, true},   {"==", EQ, false},       {"!=", NE, false},
               {"^==", STARTS, true}, {"*==", CONTAINS, true}, {"<=", LE, false},
               {">=", GE, false},     {"<", LT, false},        {">", GT, false}};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if ((p->path->old || !all[i].old) && take(p, all[i].text)) {
            *op = all[i].op;
            return true;
        }
    return false;
}

static bool compile(struct parse *p, struct expr *e)
{
    char *pattern = arena_strdup(&p->path->arena, e->right.text);
    e->regex = xcalloc(1, sizeof *e->regex);
    if (!pattern || memchr(e->right.text.p, '\0', e->right.text.n) ||
        regcomp(e->regex, pattern, REG_EXTENDED | REG_NOSUB) != 0) {
        free(e->regex);
        e->regex = NULL;
        return wrong(p, "not a regular expression");
    }
    e->next_regex = p->path->regexes;
    p->path->regexes = e;
    return true;
}

/* Behind `search(`. */
static bool search_call(struct parse *p, struct expr *e)
{
    e->kind = EXPR_SEARCH;
    skip_blank(p);
    if (!operand(p, &e->left))
        return false;
    skip_blank(p);
    if (!take(p, ","))
        return wrong(p, "search(VALUE, 'PATTERN') needs two arguments");
    skip_blank(p);
    if (!operand(p, &e->right))
        return false;
    skip_blank(p);
    if (e->right.kind != OPERAND_STRING)
        return wrong(p, "the pattern of search() must be a string");
    return (take(p, ")") || wrong(p, "a ) is missing")) && compile(p, e);
}

static const struct expr *basic_expression(struct parse *p)
{
    struct expr *e = ARENA_NEW(&p->path->arena, struct expr);
    if (!e || p->depth++ >= DEPTH_MAX)
        return wrong(p, "too deep"), NULL;
    skip_blank(p);
    if (take(p, "!")) {
        e->kind = EXPR_NOT;
        e->a = basic_expression(p);
        return p->depth--, e->a ? e : NULL;
    }
    if (take(p, "(")) {
        const struct expr *inner = or_expression(p);
        skip_blank(p);
        p->depth--;
        return !inner ? NULL : take(p, ")") ? inner : (wrong(p, "a ) is missing"), NULL);
    }
    p->depth--;
    if (take(p, "search("))
        return search_call(p, e) ? e : NULL;
    if (!operand(p, &e->left))
        return NULL;
    skip_blank(p);
    if (!comparison(p, &e->op)) {
        e->kind = EXPR_EXISTS;
        return e->left.kind == OPERAND_PATH && !p->path->old
                   ? e
                   : (wrong(p, "a comparison is expected"), NULL);
    }
    e->kind = EXPR_COMPARE;
    skip_blank(p);
    return operand(p, &e->right) ? e : NULL;
}

static const struct expr *binary(struct parse *p, enum expr_kind kind)
{
    const struct expr *left = kind == EXPR_OR ? binary(p, EXPR_AND) : basic_expression(p);
    for (skip_blank(p); left && take(p, kind == EXPR_OR ? "||" : "&&"); skip_blank(p)) {
        struct expr *e = ARENA_NEW(&p->path->arena, struct expr);
        if (!e)
            return NULL;
        e->kind = kind;
        e->a = left;
        e->b = kind == EXPR_OR ? binary(p, EXPR_AND) : basic_expression(p);
        left = e->b ? e : NULL;
    }
    return left;
}

static const struct expr *or_expression(struct parse *p)
{
    return binary(p, EXPR_OR);
}

/* An index, or a slice start:end:step. */
static bool index_or_slice(struct parse *p, struct selector *s)
{
    s->kind = SELECT_INDEX;
    s->has_start = peek(p) != ':';
    if (s->has_start && !integer(p, &s->index))
        return false;
    skip_blank(p);
    if (peek(p) != ':' || p->path->old)
        return true;
    s->kind = SELECT_SLICE;
    s->step = 1;
    p->at++;
    skip_blank(p);
    s->has_end = peek(p) == '-' || isdigit((unsigned char)peek(p));
    if (s->has_end && !integer(p, &s->end))
        return false;
    skip_blank(p);
    if (!take(p, ":"))
        return true;
    skip_blank(p);
    if ((peek(p) == '-' || isdigit((unsigned char)peek(p))) && !integer(p, &s->step))
        return false;
    return true;
}

static struct selector *bracket_selector(struct parse *p)
{
    struct selector *s = ARENA_NEW(&p->path->arena, struct selector);
    struct str text;
    if (!s)
        return NULL;
    skip_blank(p);
    char c = peek(p);
    if (!p->path->old && (c == '"' || c == '\'')) {
        s->kind = SELECT_NAME;
        if (!quoted(p, &text))
            return NULL;
        s->name = arena_strdup(&p->path->arena, text);
        return s->name ? s : NULL;
    }
    if (c == '*' && !p->path->old) {
        p->at++;
        s->kind = SELECT_ANY;
        return s;
    }
    if (c == '?') {
        p->at++;
        s->kind = SELECT_FILTER;
        s->filter = or_expression(p);
        return s->filter ? s : NULL;
    }
    return index_or_slice(p, s) ? s : NULL;
}

/* Behind [. */
static bool bracket(struct parse *p, struct segment *seg)
{
    struct selector **tail = &seg->first;
    do {
        struct selector *s = bracket_selector(p);
        if (!s)
            return wrong(p, "a name, an index or a filter is expected");
        *tail = s;
        tail = &s->next;
        skip_blank(p);
    } while (!p->path->old && take(p, ","));
    return take(p, "]") || wrong(p, "a ] is missing");
}

/* Behind a dot: a name or *, in the old language also a quoted name. */
static bool dotted(struct parse *p, struct segment *seg)
{
    struct str text;
    seg->first = ARENA_NEW(&p->path->arena, struct selector);
    if (!seg->first)
        return false;
    if (!p->path->old && take(p, "*")) {
        seg->first->kind = SELECT_ANY;
        return true;
    }
    seg->first->kind = SELECT_NAME;
    if (p->path->old && peek(p) == '"') {
        if (!quoted(p, &text))
            return false;
        seg->first->name = arena_strdup(&p->path->arena, text);
        return seg->first->name != NULL;
    }
    return bare_name(p, &seg->first->name);
}

static bool segments(struct parse *p, const struct segment **out)
{
    struct segment *seg, **tail = NULL;
    *out = NULL;
    while (peek(p) == '.' || peek(p) == '[') {
        seg = ARENA_NEW(&p->path->arena, struct segment);
        if (!seg)
            return wrong(p, "too long");
        if (!tail)
            *out = seg;
        else
            *tail = seg;
        tail = &seg->next;
        seg->descendants = !p->path->old && take(p, "..");
        bool dot = !seg->descendants && take(p, ".");
        bool ok = !dot && take(p, "[") ? bracket(p, seg) : dotted(p, seg);
        if (!ok)
            return wrong(p, "unexpected character");
    }
    return true;
}

struct jspath *jspath_new(struct str text, struct err *err)
{
    struct jspath *path = xcalloc(1, sizeof *path);
    struct parse p = {.path = path, .s = text};
    arena_init(&path->arena, 1024 * 1024);
    path->old = text.n && text.p[0] != '$';
    if (text.n > TEXT_MAX)
        wrong(&p, "too long");
    else if (!path->old && !take(&p, "$"))
        wrong(&p, "a path begins with $");
    else if (segments(&p, &path->first) && p.at < text.n)
        wrong(&p, "unexpected character");
    if (!p.problem && path->old && !path->first)
        wrong(&p, "a path begins with $");
    if (!p.problem && arena_broken(&path->arena))
        wrong(&p, "too long");
    if (!p.problem)
        return path;
    err_set(err, 400, "PGHCONF", "jwt-role-claim-key: %s (at character %zu of %.*s)", p.problem,
            p.at + 1, text.n > 200 ? 200 : (int)text.n, text.p);
    jspath_free(path);
    return NULL;
}

void jspath_free(struct jspath *path)
{
    if (!path)
        return;
    for (struct expr *e = path->regexes; e; e = e->next_regex) {
        regfree(e->regex);
        free(e->regex);
    }
    arena_fini(&path->arena);
    free(path);
}

bool jspath_is_old(const struct jspath *path)
{
    return path->old;
}

/* evaluation */

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
    return s.n < TEXT_MAX && regexec(e->regex, s.p, 0, &whole, REG_STARTEND) == 0;
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

static const struct json_node *apply(struct walk *w, const struct selector *s,
                                     const struct segment *next, const struct json_node *at)
{
    switch (s->kind) {
    case SELECT_NAME: return follow(w, next, json_node_get(at, s->name));
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
    if (++w->steps > STEPS_MAX || depth > DEPTH_MAX)
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
