#include "sql/scan.h"

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_newline(char c)
{
    return c == '\n' || c == '\r';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_name_start(char c)
{
    unsigned char lower = (unsigned char)c | 0x20;
    return (lower >= 'a' && lower <= 'z') || c == '_' || (unsigned char)c >= 0x80;
}

static char at(const struct sql_scan *s, size_t i)
{
    return i < s->sql.n ? s->sql.p[i] : '\0';
}

/* Behind the comment at i, or i when there is none. A "--" comment ends before its newline. */
static size_t skip_comment(const struct sql_scan *s, size_t i)
{
    if (at(s, i) == '-' && at(s, i + 1) == '-') {
        while (i < s->sql.n && !is_newline(s->sql.p[i]))
            i++;
        return i;
    }
    if (at(s, i) != '/' || at(s, i + 1) != '*')
        return i;
    for (size_t depth = 0; i < s->sql.n;) {
        bool opens = s->sql.p[i] == '/' && at(s, i + 1) == '*';
        bool closes = s->sql.p[i] == '*' && at(s, i + 1) == '/';
        depth = opens ? depth + 1 : closes ? depth - 1 : depth;
        i += opens || closes ? 2 : 1;
        if (depth == 0)
            return i;
    }
    return s->sql.n;
}

static size_t skip_blank(const struct sql_scan *s, size_t i)
{
    for (;;) {
        while (i < s->sql.n && is_space(s->sql.p[i]))
            i++;
        size_t next = skip_comment(s, i);
        if (next == i)
            return i;
        i = next;
    }
}

/* Behind the quoted text that opens at i, doubled quotes inside. */
static size_t skip_quoted(const struct sql_scan *s, size_t i, char quote, bool backslash)
{
    for (i++; i < s->sql.n; i++) {
        if (s->sql.p[i] == '\\' && backslash)
            i++;
        else if (s->sql.p[i] == quote && at(s, i + 1) == quote)
            i++;
        else if (s->sql.p[i] == quote)
            return i + 1;
    }
    return s->sql.n;
}

/* 'a' <white space with a newline> 'b' is one literal, and an E in front of it holds for all of it:
 * where the continuation's quote stands, or 0. Only "--" comments may be in between. */
static size_t continuation(const struct sql_scan *s, size_t i)
{
    bool newline = false;
    for (; i < s->sql.n; i++) {
        if (s->sql.p[i] == '-' && at(s, i + 1) == '-')
            i = skip_comment(s, i);
        char c = at(s, i);
        if (c == '\'' && newline)
            return i;
        if (!is_space(c))
            return 0;
        newline = newline || is_newline(c);
    }
    return 0;
}

static size_t skip_string(const struct sql_scan *s, size_t i, bool backslash)
{
    for (;;) {
        i = skip_quoted(s, i, '\'', backslash);
        size_t next = continuation(s, i);
        if (!next)
            return i;
        i = next;
    }
}

/* Behind $tag$...$tag$, or i when no such thing opens here. */
static size_t skip_dollar(const struct sql_scan *s, size_t i)
{
    size_t end = i + 1;
    if (is_name_start(at(s, end)))
        while (is_name_start(at(s, end)) || is_digit(at(s, end)))
            end++;
    if (at(s, end) != '$')
        return i;
    size_t n = end + 1 - i;
    const char *from = s->sql.p + end + 1;
    const char *hit = memmem(from, s->sql.n - (end + 1), s->sql.p + i, n);
    return hit ? (size_t)(hit - s->sql.p) + n : s->sql.n;
}

static size_t skip_name(const struct sql_scan *s, size_t i)
{
    while (is_name_start(at(s, i)) || is_digit(at(s, i)) || at(s, i) == '$')
        i++;
    return i;
}

/* A number and what clings to it (1e5, 0x1f, 1_000): "1..2" ends before the dots. */
static size_t skip_number(const struct sql_scan *s, size_t i)
{
    for (;; i++) {
        char c = at(s, i), before = i ? s->sql.p[i - 1] : '\0';
        bool dot = c == '.' && at(s, i + 1) != '.' && before != '.';
        bool sign = (c == '+' || c == '-') && (before == 'e' || before == 'E');
        if (!is_digit(c) && !is_name_start(c) && !dot && !sign)
            return i;
    }
}

static enum sql_token finish(struct sql_scan *s, enum sql_token token, size_t end)
{
    s->text = (struct str){s->sql.p + s->at, end - s->at};
    s->at = end;
    s->token = token;
    s->after_word = token == SQL_WORD;
    s->after_operand = token != SQL_OTHER && token != SQL_END;
    return token;
}

/* A name that may also be the prefix of a quoted thing: E'', B'', X'', N'', U&'', U&"". */
static enum sql_token scan_word(struct sql_scan *s)
{
    char c = (char)(s->sql.p[s->at] | 0x20), next = at(s, s->at + 1);
    if (next == '\'' && (c == 'e' || c == 'b' || c == 'x' || c == 'n')) {
        bool backslash = c == 'e' || (c == 'n' && !s->plain_backslash);
        return finish(s, SQL_STRING, skip_string(s, s->at + 1, backslash));
    }
    if (c == 'u' && next == '&' && at(s, s->at + 2) == '\'')
        return finish(s, SQL_STRING, skip_string(s, s->at + 2, false));
    if (c == 'u' && next == '&' && at(s, s->at + 2) == '"')
        return finish(s, SQL_IDENT, skip_quoted(s, s->at + 2, '"', false));
    return finish(s, SQL_WORD, skip_name(s, s->at));
}

/* ':' alone, '::', ':=' or a named parameter. The colon of an array slice (a[lo:hi]) and of
 * json_object('k':v) follows an operand; a parameter never does, but a keyword looks like one, so a
 * word counts only inside brackets and with nothing in between. */
static enum sql_token scan_colon(struct sql_scan *s, bool touches)
{
    char next = at(s, s->at + 1);
    if (next == ':' || next == '=')
        return finish(s, SQL_OTHER, s->at + 2);
    bool operand = s->after_operand &&
                   (s->after_word ? touches && s->brackets > 0 : touches || s->brackets > 0);
    if (!is_name_start(next) || operand)
        return finish(s, SQL_OTHER, s->at + 1);
    size_t end = s->at + 1;
    while (is_name_start(at(s, end)) || is_digit(at(s, end)))
        end++;
    return finish(s, SQL_NAMED, end);
}

static enum sql_token scan_dollar(struct sql_scan *s)
{
    size_t end = s->at + 1;
    if (is_digit(at(s, end))) {
        while (is_digit(at(s, end)))
            end++;
        return finish(s, SQL_PARAM, end);
    }
    end = skip_dollar(s, s->at);
    return end > s->at ? finish(s, SQL_STRING, end) : finish(s, SQL_OTHER, s->at + 1);
}

static enum sql_token scan_other(struct sql_scan *s, char c)
{
    if (c == '[')
        s->brackets++;
    if (c == ']' && s->brackets > 0)
        s->brackets--;
    enum sql_token token = finish(s, SQL_OTHER, s->at + 1);
    s->after_operand = c == ')' || c == ']';
    return token;
}

enum sql_token sql_scan_next(struct sql_scan *s)
{
    size_t before = s->at;
    s->at = skip_blank(s, s->at);
    if (s->at >= s->sql.n)
        return finish(s, SQL_END, s->at);
    char c = s->sql.p[s->at];
    if (is_name_start(c))
        return scan_word(s);
    if (is_digit(c) || (c == '.' && is_digit(at(s, s->at + 1))))
        return finish(s, SQL_NUMBER, skip_number(s, s->at + 1));
    switch (c) {
    case '\'': return finish(s, SQL_STRING, skip_string(s, s->at, !s->plain_backslash));
    case '"': return finish(s, SQL_IDENT, skip_quoted(s, s->at, '"', false));
    case '$': return scan_dollar(s);
    case ':': return scan_colon(s, before == s->at);
    default: return scan_other(s, c);
    }
}

bool sql_scan_is(const struct sql_scan *s, const char *lower)
{
    return s->token == SQL_WORD && str_ieq(s->text, str_of(lower));
}
