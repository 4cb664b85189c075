/* What stands in configuration files, read before libconfuse does.
 *
 * PostgREST's files and ours are one language here: `key = value`, `#` to the end of the line,
 * values bare or in quotes, `$$` for a dollar sign, `$(VAR)` and `${VAR}`, `${VAR:-default}` for
 * variables of the environment, `database NAME { ... }`, `app.settings.anything`. The only place
 * where the two contradict each other is a secret that contains `${`: to PostgREST it means itself.
 * So in a secret only a value that is one ${VAR} as a whole is a reference.
 *
 * The output is text of which libconfuse cannot misread anything: each value a double-quoted string
 * with every dollar sign escaped, on the line where it stood. */
#include "conf/conf_table.h"

#include <ctype.h>

struct scan {
    struct conf_raw *raw;
    struct str s;
    size_t at;
    int line;
    const char *file;
    struct buf *out;
    struct buf value; /* of the statement being read */
    int first_line;   /* where the statement began */
    int held_lines;   /* newlines inside the value, given out behind it */
    int open_line;    /* where the section that is open began; 0 outside */
    struct err *err;
};

const char *conf_getenv(char *const *environ, struct str name)
{
    for (; environ && *environ; environ++)
        if (strncmp(*environ, name.p, name.n) == 0 && (*environ)[name.n] == '=')
            return *environ + name.n + 1;
    return NULL;
}

static bool fail(struct scan *c, const char *key, const char *what)
{
    struct conf_origin o = {.source = CONF_FROM_FILE, .name = c->file, .line = c->line};
    return conf_fail(c->err, &o, key, "%s", what);
}

static char peek(const struct scan *c, size_t ahead)
{
    return c->at + ahead < c->s.n ? c->s.p[c->at + ahead] : '\0';
}

static void new_line(struct scan *c)
{
    c->line++;
    buf_char(c->out, '\n');
}

/* White space and comments; newlines go out so that later lines keep their numbers. */
static void skip_blank(struct scan *c)
{
    while (c->at < c->s.n) {
        char ch = peek(c, 0);
        bool block = ch == '/' && peek(c, 1) == '*';
        if (ch == '\n') {
            new_line(c);
            c->at++;
        } else if (isspace((unsigned char)ch)) {
            c->at++;
        } else if (ch == '#' || (ch == '/' && peek(c, 1) == '/')) {
            c->at = str_find(c->s, '\n', c->at);
        } else if (block) {
            for (c->at += 2; c->at < c->s.n && !(peek(c, 0) == '*' && peek(c, 1) == '/'); c->at++)
                if (peek(c, 0) == '\n')
                    new_line(c);
            c->at = c->at + 2 < c->s.n ? c->at + 2 : c->s.n;
        } else {
            return;
        }
    }
}

static bool name_char(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '-' || c == '.';
}

static bool variable_char(char c, bool first)
{
    return isalpha((unsigned char)c) || c == '_' || (!first && isdigit((unsigned char)c));
}

/* A reference at `$`: NAME in braces or parentheses, with braces also NAME:-default. False when the
 * text there is none. */
static bool reference_at(const struct scan *c, struct str *name, struct str *fallback, size_t *end)
{
    char close = peek(c, 1) == '{' ? '}' : peek(c, 1) == '(' ? ')' : '\0';
    size_t i = c->at + 2, start = i;
    if (!close)
        return false;
    while (i < c->s.n && variable_char(c->s.p[i], i == start))
        i++;
    *name = (struct str){c->s.p + start, i - start};
    *fallback = (struct str){NULL, 0};
    if (close == '}' && i + 1 < c->s.n && c->s.p[i] == ':' && c->s.p[i + 1] == '-') {
        size_t stop = str_find(c->s, '}', i);
        *fallback = (struct str){c->s.p + i + 2, stop - i - 2};
        i = stop;
    }
    *end = i + 1;
    return name->n > 0 && i < c->s.n && c->s.p[i] == close &&
           !memchr(c->s.p + start, '\n', i - start);
}

static bool put_reference(struct scan *c, const char *key, struct str name, struct str fallback)
{
    const char *v = conf_getenv(c->raw->environ, name);
    if (v && (*v || !fallback.p)) {
        buf_adds(&c->value, str_of(v));
        return true;
    }
    if (fallback.p) {
        buf_adds(&c->value, fallback);
        return true;
    }
    struct conf_origin o = {.source = CONF_FROM_FILE, .name = c->file, .line = c->line};
    return conf_fail(c->err, &o, key,
                     "environment variable %.*s is not set (a dollar sign by itself is written $$)",
                     name.n > 100 ? 100 : (int)name.n, name.p);
}

/* At `$`, in a value that ends at `end` (a quote, or 0 for bare ones). */
static bool put_dollar(struct scan *c, const char *key, bool secret, size_t start, char end)
{
    struct str name, fallback;
    size_t stop;
    if (peek(c, 1) == '$') {
        buf_char(&c->value, '$');
        c->at += 2;
        return true;
    }
    bool reference = reference_at(c, &name, &fallback, &stop);
    if (reference && secret && peek(c, 1) == '{') {
        char after = stop < c->s.n ? c->s.p[stop] : '\0';
        reference =
            c->at == start && (end ? after == end : !after || isspace((unsigned char)after));
    }
    if (!reference) {
        buf_char(&c->value, '$');
        c->at++;
        return true;
    }
    c->at = stop;
    return put_reference(c, key, name, fallback);
}

static void put_utf8(struct buf *out, unsigned cp)
{
    if (cp < 0x80) {
        buf_char(out, (char)cp);
    } else if (cp < 0x800) {
        buf_char(out, (char)(0xc0 | cp >> 6));
        buf_char(out, (char)(0x80 | (cp & 0x3f)));
    } else if (cp < 0x10000) {
        buf_char(out, (char)(0xe0 | cp >> 12));
        buf_char(out, (char)(0x80 | (cp >> 6 & 0x3f)));
        buf_char(out, (char)(0x80 | (cp & 0x3f)));
    } else {
        buf_char(out, (char)(0xf0 | cp >> 18));
        buf_char(out, (char)(0x80 | (cp >> 12 & 0x3f)));
        buf_char(out, (char)(0x80 | (cp >> 6 & 0x3f)));
        buf_char(out, (char)(0x80 | (cp & 0x3f)));
    }
}

static bool hex4(const struct scan *c, size_t ahead, unsigned *out)
{
    *out = 0;
    for (size_t i = 0; i < 4; i++) {
        char ch = peek(c, ahead + i);
        if (!isxdigit((unsigned char)ch))
            return false;
        int digit = isdigit((unsigned char)ch) ? ch - '0' : (ch | 0x20) - 'a' + 10;
        *out = *out * 16 + (unsigned)digit;
    }
    return true;
}

/* \uXXXX, with the second half of a surrogate pair. */
static bool put_unicode(struct scan *c, const char *key)
{
    unsigned cp, low;
    if (!hex4(c, 2, &cp))
        return fail(c, key, "\\u needs four hexadecimal digits");
    c->at += 6;
    if (cp >= 0xd800 && cp < 0xdc00 && peek(c, 0) == '\\' && peek(c, 1) == 'u' &&
        hex4(c, 2, &low) && low >= 0xdc00 && low < 0xe000) {
        cp = 0x10000 + ((cp - 0xd800) << 10) + (low - 0xdc00);
        c->at += 6;
    }
    if (cp == 0 || (cp >= 0xd800 && cp < 0xe000))
        return fail(c, key, "\\u does not name a character");
    put_utf8(&c->value, cp);
    return true;
}

static bool put_escape(struct scan *c, const char *key)
{
    char e = peek(c, 1);
    if (e == 'u')
        return put_unicode(c, key);
    c->at += 2;
    switch (e) {
    case '\0': return fail(c, key, "the file ends inside quotes");
    case 'n': buf_char(&c->value, '\n'); return true;
    case 'r': buf_char(&c->value, '\r'); return true;
    case 't': buf_char(&c->value, '\t'); return true;
    case '\n': /* the value goes on in the next line */ c->held_lines++; return true;
    default: buf_char(&c->value, e); return true;
    }
}

static bool quoted(struct scan *c, const char *key, bool secret)
{
    char quote = peek(c, 0);
    int first_line = c->line;
    size_t start = ++c->at;
    while (c->at < c->s.n && peek(c, 0) != quote) {
        char ch = peek(c, 0);
        bool ok = true;
        if (ch == '\\' && (quote == '"' || peek(c, 1) == '\'' || peek(c, 1) == '\\')) {
            ok = put_escape(c, key);
        } else if (ch == '$' && quote == '"') {
            ok = put_dollar(c, key, secret, start, quote);
        } else {
            c->held_lines += ch == '\n';
            buf_char(&c->value, ch);
            c->at++;
        }
        if (!ok)
            return false;
    }
    if (c->at >= c->s.n) {
        c->line = first_line;
        return fail(c, key, "a closing quote is missing");
    }
    c->at++;
    return true;
}

static bool bare_end(char c)
{
    return c == '\0' || isspace((unsigned char)c) || c == ',' || c == '{' || c == '}' || c == ']' ||
           c == '#' || c == '"' || c == '\'' || c == '=';
}

/* Without quotes: up to the next blank. = may stand inside (keyword connection strings cannot: they
 * contain blanks). */
static bool bare(struct scan *c, const char *key, bool secret)
{
    size_t start = c->at;
    while (c->at < c->s.n) {
        char ch = peek(c, 0);
        if (ch == '$') {
            if (!put_dollar(c, key, secret, start, '\0'))
                return false;
        } else if (bare_end(ch) && ch != '=') {
            break;
        } else {
            buf_char(&c->value, ch);
            c->at++;
        }
    }
    if (c->at == start)
        return fail(c, key, "a value is missing behind the =");
    return true;
}

static bool one_value(struct scan *c, const char *key, bool secret)
{
    char ch = peek(c, 0);
    return ch == '"' || ch == '\'' ? quoted(c, key, secret) : bare(c, key, secret);
}

/* { a, b } and [ a, b ] become "a,b". */
static bool list_value(struct scan *c, const char *key)
{
    char close = peek(c, 0) == '{' ? '}' : ']';
    bool first = true;
    c->at++;
    for (;;) {
        skip_blank(c);
        if (c->at >= c->s.n)
            return fail(c, key, "the list is not closed");
        if (peek(c, 0) == close) {
            c->at++;
            return true;
        }
        if (!first)
            buf_char(&c->value, ',');
        first = false;
        if (!one_value(c, key, false))
            return false;
        skip_blank(c);
        if (peek(c, 0) == ',')
            c->at++;
        else if (peek(c, 0) != close)
            return fail(c, key, "a comma is missing in the list");
    }
}

/* A string that libconfuse reads back as it is. */
static void put_plain(struct buf *out, struct str s)
{
    buf_char(out, '"');
    for (size_t i = 0; i < s.n; i++) {
        char ch = s.p[i];
        if (ch == '\n')
            BUF_LIT(out, "\\n");
        else if (ch == '"' || ch == '\\' || ch == '$')
            buf_char(out, '\\'), buf_char(out, ch);
        else
            buf_char(out, ch);
    }
    buf_char(out, '"');
}

static bool is_secret(struct str name)
{
    int number = conf_key_find(name);
    return number >= 0 && (conf_key_at((size_t)number)->flags & CONF_SECRET);
}

#define APP_SETTINGS "app.settings."

/* Behind `name =`. */
static bool assignment(struct scan *c, struct str name, const char *key)
{
    buf_clear(&c->value);
    skip_blank(c);
    bool list = peek(c, 0) == '{' || peek(c, 0) == '[';
    if (list ? !list_value(c, key) : !one_value(c, key, is_secret(name)))
        return false;
    if (buf_broken(&c->value))
        return fail(c, key, "the value is too long");
    if (buf_str(&c->value).n && memchr(c->value.p, '\0', c->value.n))
        return fail(c, key, "the value contains a NUL byte");
    if (str_starts(name, STR(APP_SETTINGS))) {
        char *value = arena_strdup(c->raw->arena, buf_str(&c->value));
        if (!value || !conf_raw_app(c->raw, key + sizeof APP_SETTINGS - 1, value, c->err))
            return false;
    } else {
        buf_printf(c->out, "%s = ", key);
        put_plain(c->out, buf_str(&c->value));
    }
    for (; c->held_lines; c->held_lines--)
        new_line(c);
    return true;
}

/* At the { of a section. */
static bool open_section(struct scan *c, const char *key)
{
    if (peek(c, 0) != '{') {
        c->line = c->first_line; /* not where the next one stands */
        return fail(c, key, "an = and a value must follow (key = value)");
    }
    if (c->open_line)
        return fail(c, key, "sections cannot stand inside each other");
    c->open_line = c->line;
    buf_char(c->out, '{');
    c->at++;
    return true;
}

/* Behind a name that no = follows: `database NAME {`, or a mistake that is named here. */
static bool section_head(struct scan *c, const char *key)
{
    char next = peek(c, 0);
    buf_adds(c->out, str_of(key));
    buf_char(c->out, ' ');
    if (next == '{' || next == ':' || next == '\0' || next == ',' || next == '}')
        return open_section(c, key);
    buf_clear(&c->value);
    if (!one_value(c, key, false))
        return false;
    put_plain(c->out, buf_str(&c->value));
    skip_blank(c);
    return open_section(c, key);
}

static bool statement(struct scan *c)
{
    size_t start = c->at;
    c->first_line = c->line;
    while (name_char(peek(c, 0)))
        c->at++;
    struct str name = {c->s.p + start, c->at - start};
    if (name.n == 0) {
        char what[64] = "unexpected character";
        if (isprint((unsigned char)peek(c, 0)))
            memcpy(what + 20, (char[]){' ', '\'', peek(c, 0), '\'', 0}, 5);
        return fail(c, NULL, what);
    }
    char *key = arena_strdup(c->raw->arena, name);
    if (!key)
        return fail(c, NULL, "the file is too long");
    skip_blank(c);
    if (peek(c, 0) != '=')
        return section_head(c, key);
    c->at++;
    return assignment(c, name, key);
}

bool conf_plain_text(struct conf_raw *raw, struct str text, const char *file, struct buf *out,
                     struct err *err)
{
    struct scan c = {.raw = raw, .s = text, .line = 1, .file = file, .out = out, .err = err};
    bool ok = true;
    buf_init(&c.value, 1024 * 1024);
    if (str_starts(text, STR("\xef\xbb\xbf")))
        c.at = 3;
    for (skip_blank(&c); ok && c.at < c.s.n; skip_blank(&c)) {
        if (peek(&c, 0) == '}' && c.open_line) {
            buf_char(out, '}');
            c.open_line = 0;
            c.at++;
        } else {
            ok = statement(&c);
        }
    }
    if (ok && c.open_line) {
        c.line = c.open_line;
        ok = fail(&c, NULL, "the section that begins here is not closed by }");
    }
    buf_char(out, '\n');
    buf_fini(&c.value);
    if (ok && buf_broken(out))
        return err_set(err, 400, "PGHCONF", "%s: the file is too long", file);
    return ok;
}
