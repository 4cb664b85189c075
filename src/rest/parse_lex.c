/* parse_lex: names, quoting, json paths, and how a syntax error is worded.
 *
 * Field names are runs of letters, digits, '_', '$' and spaces, joined by '-' (which must not open
 * a '->'), trimmed; or anything in double quotes, where \x is x. Every byte above ASCII counts as a
 * letter: the text was found to be valid UTF-8 before. */
#include "rest/parse_lex.h"

#define SHOWN_MAX 600u /* bytes of a parameter repeated in a message */

static size_t character_size(struct str s, size_t pos)
{
    size_t n = 1;
    while (pos + n < s.n && ((unsigned char)s.p[pos + n] & 0xc0) == 0x80)
        n++;
    return n;
}

static void line_and_column(struct str s, size_t pos, unsigned *line, unsigned *column)
{
    *line = *column = 1;
    for (size_t i = 0; i < pos && i < s.n; i++) {
        if (s.p[i] == '\n')
            *line += 1, *column = 1;
        else if (((unsigned char)s.p[i] & 0xc0) != 0x80)
            *column += 1;
    }
}

bool parse_fail(struct parser *p, size_t pos, char quote, const char *expecting)
{
    unsigned line, column;
    struct str shown = p->shown;
    line_and_column(p->text, pos, &line, &column);
    while (shown.n > SHOWN_MAX && ((unsigned char)shown.p[shown.n - 1] & 0xc0) == 0x80)
        shown.n--;
    if (shown.n > SHOWN_MAX)
        shown.n = SHOWN_MAX;
    while (shown.n > 0 && shown.n < p->shown.n &&
           ((unsigned char)p->shown.p[shown.n] & 0xc0) == 0x80)
        shown.n--;
    err_set(p->err, 400, "PGRST100", "\"failed to parse %s (%.*s%s)\" (line %u, column %u)",
            p->what, STR_ARG(shown), shown.n < p->shown.n ? "..." : "", line, column);
    if (pos >= p->text.n)
        p->err->details = arena_printf(p->arena, "unexpected end of input expecting %s", expecting);
    else
        p->err->details =
            arena_printf(p->arena, "unexpected %c%.*s%c expecting %s", quote,
                         (int)character_size(p->text, pos), p->text.p + pos, quote, expecting);
    return false;
}

bool parse_too_big(struct parser *p, const char *what, unsigned max)
{
    err_set(p->err, 400, "PGRST100", "%s: more than %u %s", p->what, max, what);
    p->err->details = "The query string asks for more than this server is willing to build";
    return false;
}

bool parse_no_memory(struct parser *p)
{
    return err_set(p->err, 400, "PGRST100", "%s: the request needs too much memory", p->what);
}

bool parse_literal(struct parser *p, struct str literal)
{
    if (!str_starts(parse_rest(p), literal))
        return false;
    p->pos += literal.n;
    return true;
}

void parse_spaces(struct parser *p)
{
    while (!parse_end(p) && (p->text.p[p->pos] == ' ' || p->text.p[p->pos] == '\t'))
        p->pos++;
}

void *parse_node(struct parser *p, size_t size)
{
    if (p->budget->nodes == 0) {
        parse_too_big(p, "parts", REST_NODES_MAX);
        return NULL;
    }
    p->budget->nodes--;
    void *node = arena_alloc(p->arena, size);
    if (!node)
        parse_no_memory(p);
    return node;
}

static bool identifier_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == ' ' || c == '$' || (unsigned char)c >= 0x80;
}

bool parse_quoted(struct parser *p, struct str *out)
{
    size_t from = p->pos + 1, to = from, n = 0;
    while (to < p->text.n && p->text.p[to] != '"')
        to += p->text.p[to] == '\\' && to + 1 < p->text.n ? 2 : 1;
    if (to >= p->text.n)
        return parse_fail(p, p->text.n, '"', "\"\\\"\"");
    char *copy = arena_alloc(p->arena, to - from + 1);
    if (!copy)
        return parse_no_memory(p);
    for (size_t i = from; i < to; i++) {
        if (p->text.p[i] == '\\')
            i++;
        copy[n++] = p->text.p[i];
    }
    *out = (struct str){copy, n};
    p->pos = to + 1;
    return true;
}

/* Runs of characters that belong() says yes to, each trimmed, joined by '-'. The usual name has
 * nothing to trim inside and is borrowed from the text; only "a - b" is copied. */
static bool dashed(struct parser *p, bool (*belongs)(char), struct str *out)
{
    size_t start = p->pos;
    bool copy = false;
    for (;;) {
        size_t from = p->pos;
        while (!parse_end(p) && belongs(p->text.p[p->pos]))
            p->pos++;
        if (p->pos == from)
            return false;
        bool dash = parse_peek(p) == '-' && !str_starts(parse_rest(p), STR("->"));
        bool inner_space =
            (p->text.p[from] == ' ' && from != start) || (p->text.p[p->pos - 1] == ' ' && dash);
        copy = copy || inner_space;
        if (!dash)
            break;
        p->pos++;
    }
    *out = str_trim((struct str){p->text.p + start, p->pos - start});
    if (!copy)
        return true;
    char *joined = arena_alloc(p->arena, out->n);
    if (!joined)
        return parse_no_memory(p);
    struct str rest = *out, part;
    size_t n = 0;
    while (str_next(&rest, '-', &part)) {
        part = str_trim(part);
        memcpy(joined + n, part.p, part.n);
        n += part.n;
        if (rest.p)
            joined[n++] = '-';
    }
    *out = (struct str){joined, n};
    return true;
}

bool parse_name(struct parser *p, struct str *out)
{
    if (parse_peek(p) == '"')
        return parse_quoted(p, out);
    if (dashed(p, identifier_char, out))
        return true;
    return parse_fail(p, p->pos, '"', "field name (* or [a..z0..9_$])");
}

bool parse_identifier(struct parser *p, struct str *out)
{
    size_t from = p->pos;
    while (!parse_end(p) && identifier_char(p->text.p[p->pos]))
        p->pos++;
    if (p->pos == from)
        return parse_fail(p, p->pos, '"', "letter, digit, \"_\", \" \" or \"$\"");
    *out = str_trim((struct str){p->text.p + from, p->pos - from});
    return true;
}

static bool json_key_char(char c)
{
    return c != '(' && c != '-' && c != ':' && c != '.' && c != ',' && c != '>' && c != ')';
}

/* Digits with an optional minus, when what follows shows that they are the whole step. */
static bool json_index(struct parser *p, struct str *out)
{
    size_t end = p->pos + (parse_peek(p) == '-'), digits = end;
    while (end < p->text.n && p->text.p[end] >= '0' && p->text.p[end] <= '9')
        end++;
    struct str behind = str_from(p->text, end);
    if (end == digits || !(behind.n == 0 || behind.p[0] == '.' || behind.p[0] == ',' ||
                           str_starts(behind, STR("->")) || str_starts(behind, STR("::"))))
        return false;
    *out = (struct str){p->text.p + p->pos, end - p->pos};
    p->pos = end;
    return true;
}

static bool json_operand(struct parser *p, struct rest_json_step *step)
{
    size_t from = p->pos;
    if (json_index(p, &step->key)) {
        step->index = true;
        return true;
    }
    if (parse_peek(p) == '"')
        return parse_quoted(p, &step->key);
    if (dashed(p, json_key_char, &step->key))
        return true;
    if (p->pos == from && parse_peek(p) == '-') {
        size_t pos = p->pos + 1;
        while (pos < p->text.n && p->text.p[pos] >= '0' && p->text.p[pos] <= '9')
            pos++;
        return parse_fail(
            p, pos, '"',
            pos == p->pos + 1 ? "digit" : "digit, \"->\", \"::\", \".\", \",\" or end of input");
    }
    return parse_fail(p, p->pos, '"',
                      "\"-\", digit or any non reserved character different from: .,>()");
}

bool parse_json_path(struct parser *p, const struct rest_json_step **out)
{
    const struct rest_json_step **tail = out;
    unsigned depth = 0;
    *out = NULL;
    while (str_starts(parse_rest(p), STR("->"))) {
        struct rest_json_step *step = parse_node(p, sizeof *step);
        if (!step)
            return false;
        if (++depth > REST_DEPTH_MAX)
            return parse_too_big(p, "steps in a json path", REST_DEPTH_MAX);
        p->pos += 2;
        step->text = parse_accept(p, '>');
        if (!json_operand(p, step))
            return false;
        *tail = step;
        tail = &step->next;
    }
    return true;
}

bool parse_field(struct parser *p, struct rest_field *out)
{
    parse_spaces(p);
    if (!parse_name(p, &out->name) || !parse_json_path(p, &out->path))
        return false;
    parse_spaces(p);
    return true;
}

bool parse_tree_path(struct parser *p, struct rest_path *path, struct rest_field *field)
{
    struct str names[REST_DEPTH_MAX + 1];
    size_t n = 0;
    do {
        if (n > REST_DEPTH_MAX)
            return parse_too_big(p, "levels in a path", REST_DEPTH_MAX);
        if (!parse_name(p, &names[n++]))
            return false;
    } while (parse_accept(p, '.'));
    field->name = names[n - 1];
    if (!parse_json_path(p, &field->path))
        return false;
    if (!parse_end(p))
        return parse_fail(p, p->pos, '\'', "\"->>\", \"->\", delimiter (.) or end of input");
    *path = (struct rest_path){0};
    if (n == 1)
        return true;
    struct str *copy = arena_array(p->arena, n - 1, sizeof *copy);
    if (!copy)
        return parse_no_memory(p);
    memcpy(copy, names, (n - 1) * sizeof *copy);
    *path = (struct rest_path){copy, n - 1};
    return true;
}
