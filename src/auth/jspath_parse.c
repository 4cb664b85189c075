/* Texts of paths to compiled ones: recursive descent, one function per rule of the grammar. */
#include "auth/jspath_private.h"

#include <ctype.h>
#include <stdlib.h>

#include "util/xalloc.h"

struct parse {
    struct jspath *path;
    struct str s;
    size_t at;
    unsigned depth;
    const char *problem;
};

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
    if (!e || p->depth++ >= JSPATH_DEPTH_MAX)
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
    if (text.n > JSPATH_TEXT_MAX)
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
