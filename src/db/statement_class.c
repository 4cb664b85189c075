/* The lexer below knows just enough of PostgreSQL's lexical structure (docs, chapter 4.1) to find
 * words outside of strings, comments and quotes. It never fails: what is not understood counts as
 * leaving state. */
#include "db/statement_class.h"

#include <stdlib.h>

#include "db/statement_names.h"

enum token_kind { TOKEN_END, TOKEN_WORD, TOKEN_QUOTED, TOKEN_STRING, TOKEN_SIGN };

struct token {
    enum token_kind kind;
    struct str text; /* of a word, a quoted name (without its quotes), a sign */
};

struct lexer {
    struct str s;
    size_t at;
    bool string;    /* the last token was a string: another one behind it may continue it */
    bool unsure;    /* something was not understood */
    bool backslash; /* standard_conforming_strings is off: '\' escapes in every string */
};

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_word_start(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (unsigned char)c >= 0x80;
}

static bool is_word(char c)
{
    return is_word_start(c) || (c >= '0' && c <= '9') || c == '$';
}

static char at(const struct lexer *l, size_t i)
{
    return i < l->s.n ? l->s.p[i] : '\0';
}

static void skip_block_comment(struct lexer *l)
{
    size_t depth = 1;
    l->at += 2;
    while (l->at < l->s.n && depth) {
        char c = at(l, l->at), next = at(l, l->at + 1);
        if (c == '*' && next == '/')
            depth--;
        else if (c == '/' && next == '*')
            depth++;
        l->at += (c == '*' && next == '/') || (c == '/' && next == '*') ? 2 : 1;
    }
}

static void skip_space(struct lexer *l)
{
    for (;;) {
        char c = at(l, l->at), next = at(l, l->at + 1);
        if (l->at < l->s.n && is_space(c)) {
            l->at++;
        } else if (c == '-' && next == '-') {
            while (l->at < l->s.n && at(l, l->at) != '\n' && at(l, l->at) != '\r')
                l->at++;
        } else if (c == '/' && next == '*') {
            skip_block_comment(l);
        } else {
            return;
        }
    }
}

/* Behind the closing quote; a doubled one stands for itself. */
static void skip_quoted(struct lexer *l, char quote, bool backslash)
{
    l->at++;
    while (l->at < l->s.n) {
        char c = at(l, l->at++);
        if (c == '\\' && backslash)
            l->at++;
        else if (c == quote && at(l, l->at) != quote)
            return;
        else if (c == quote)
            l->at++;
    }
}

/* $tag$ ... $tag$; false when it is no dollar quote (a parameter, or a stray sign). */
static bool skip_dollar(struct lexer *l)
{
    size_t end = l->at + 1;
    if (at(l, end) != '$' && !is_word_start(at(l, end)))
        return false;
    while (end < l->s.n && l->s.p[end] != '$' && is_word(l->s.p[end]))
        end++;
    if (at(l, end) != '$')
        return false;
    struct str tag = {l->s.p + l->at, end + 1 - l->at}, rest = str_from(l->s, end + 1);
    const char *close = rest.n ? memmem(rest.p, rest.n, tag.p, tag.n) : NULL;
    l->at = close ? (size_t)(close - l->s.p) + tag.n : l->s.n;
    return true;
}

static struct token word(struct lexer *l)
{
    size_t from = l->at;
    while (l->at < l->s.n && is_word(l->s.p[l->at]))
        l->at++;
    struct str text = {l->s.p + from, l->at - from};
    char quote = at(l, l->at), c = text.p[0] | 0x20;
    bool prefix = text.n == 1 && (c == 'e' || c == 'b' || c == 'x' || c == 'n');
    if (quote == '\'' && prefix) {
        skip_quoted(l, '\'', c == 'e' || l->backslash);
        return (struct token){.kind = TOKEN_STRING};
    }
    if (text.n == 1 && c == 'u' && quote == '&' && at(l, l->at + 1) == '\'') {
        l->at++;
        skip_quoted(l, '\'', false);
        return (struct token){.kind = TOKEN_STRING};
    }
    if (text.n == 1 && c == 'u' && quote == '&' && at(l, l->at + 1) == '"')
        l->unsure = true; /* a name in escapes, which are not decoded here */
    return (struct token){TOKEN_WORD, text};
}

static struct token scan(struct lexer *l)
{
    skip_space(l);
    if (l->at >= l->s.n)
        return (struct token){.kind = TOKEN_END};
    size_t from = l->at;
    char c = at(l, from);
    if (is_word_start(c))
        return word(l);
    if (c == '\'') {
        skip_quoted(l, '\'', l->backslash);
        return (struct token){.kind = TOKEN_STRING};
    }
    if (c == '"') {
        skip_quoted(l, '"', false);
        size_t n = l->at - from;
        return (struct token){TOKEN_QUOTED, {l->s.p + from + 1, n >= 2 ? n - 2 : 0}};
    }
    if (c == '$' && skip_dollar(l))
        return (struct token){.kind = TOKEN_STRING};
    l->at++;
    if (c == '$' || (c >= '0' && c <= '9')) /* a parameter or a number, with its letters: 1e5 */
        while (is_word(at(l, l->at)) || at(l, l->at) == '.')
            l->at++;
    return (struct token){TOKEN_SIGN, {l->s.p + from, 1}};
}

static struct token next_token(struct lexer *l)
{
    struct token t = scan(l);
    if (t.kind == TOKEN_STRING && l->string)
        l->unsure = true; /* E'a' 'b\'': the second part has escapes, too */
    l->string = t.kind == TOKEN_STRING;
    return t;
}

/* Keywords here are lower-case words; most comparisons end at the first letter. */
static bool is(struct token t, const char *keyword)
{
    return t.kind == TOKEN_WORD && (t.text.p[0] | 0x20) == keyword[0] &&
           str_ieq(t.text, str_of(keyword));
}

static bool is_sign(struct token t, char c)
{
    return t.kind == TOKEN_SIGN && t.text.p[0] == c;
}

static bool is_one_of(struct token t, const char *const *list)
{
    for (; *list; list++)
        if (is(t, *list))
            return true;
    return false;
}

static int compare_name(const void *key, const void *item)
{
    return strcmp(key, *(const char *const *)item);
}

/* A name that is harmless before "(". A quoted name keeps its case. */
static bool is_harmless(struct token t)
{
    char name[64];
    if (t.text.n >= sizeof name)
        return false;
    for (size_t i = 0; i < t.text.n; i++) {
        char c = t.text.p[i];
        name[i] = t.kind == TOKEN_WORD && c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
    }
    name[t.text.n] = '\0';
    return bsearch(name, statement_names, sizeof statement_names / sizeof *statement_names,
                   sizeof *statement_names, compare_name) != NULL;
}

/* ---- the walk over SELECT, VALUES, TABLE, INSERT, UPDATE, DELETE, MERGE, WITH ---- */

struct walk {
    struct lexer *l;
    struct token schema; /* of a qualified name */
    struct token name;   /* the last token, when it is a name */
    bool dotted;         /* a dot followed it */
    bool no_call;        /* "(" behind the name makes no call: INTO t (a, b), AS t (a, b) */
    bool after_for;      /* FOR, FOR NO, FOR NO KEY, FOR KEY */
    bool reading;        /* the statement began with SELECT, VALUES, TABLE or WITH */
    bool writes, locks, state;
};

static bool is_name(struct token t)
{
    return t.kind == TOKEN_WORD || t.kind == TOKEN_QUOTED;
}

static void on_parenthesis(struct walk *w)
{
    if (w->no_call || !is_name(w->name))
        return;
    bool catalog = !is_name(w->schema) || is(w->schema, "pg_catalog") ||
                   (w->schema.kind == TOKEN_QUOTED && str_eq(w->schema.text, STR("pg_catalog")));
    if (!catalog || !is_harmless(w->name))
        w->state = true;
}

static void on_keyword(struct walk *w, struct token t)
{
    static const char *const writing[] = {"insert", "update", "delete", "merge", NULL};
    static const char *const behind_for[] = {"no", "key", NULL};
    if (w->after_for && (is(t, "update") || is(t, "share")))
        w->locks = true;
    else if (is_one_of(t, writing))
        w->writes = true;
    else if (is(t, "operator")) /* OPERATOR(s.+) is anybody's function */
        w->state = true;
    else if (is(t, "into") && w->reading && !w->writes)
        w->state = true; /* SELECT INTO makes a table, perhaps a temporary one */
    w->after_for = is(t, "for") || (w->after_for && is_one_of(t, behind_for));
}

static void on_name(struct walk *w, struct token t)
{
    static const char *const heads[] = {"into", "as", "with", "recursive", NULL};
    struct token none = {.kind = TOKEN_END};
    w->no_call = w->dotted ? w->no_call : is_one_of(w->name, heads);
    w->schema = w->dotted ? w->name : none;
    if (!w->dotted)
        on_keyword(w, t);
    w->name = t;
    w->dotted = false;
}

static struct db_statement_class classify_plain(struct lexer *l, struct token t)
{
    static const char *const reading[] = {"select", "values", "table", "with", NULL};
    struct token none = {.kind = TOKEN_END};
    struct walk w = {.l = l, .schema = none, .name = none, .reading = is_one_of(t, reading)};
    for (; t.kind != TOKEN_END; t = next_token(l)) {
        if (is_name(t)) {
            on_name(&w, t);
        } else if (is_sign(t, '.')) {
            w.dotted = is_name(w.name);
        } else {
            if (is_sign(t, '('))
                on_parenthesis(&w);
            w.name = w.schema = none;
            w.dotted = w.no_call = w.after_for = false;
        }
    }
    w.state = w.state || l->unsure;
    return (struct db_statement_class){.kind = w.writes ? DB_STATEMENT_WRITE : DB_STATEMENT_READ,
                                       .leaves_state = w.state,
                                       .can_write = w.writes || w.locks || w.state};
}

/* ---- the first words ---- */

static const char *const plain_words[] = {"select", "values", "table", "insert", "update",
                                          "delete", "merge",  "with",  NULL};

static enum db_statement_kind rollback_kind(struct lexer *l)
{
    struct token t = next_token(l);
    if (is(t, "work") || is(t, "transaction"))
        t = next_token(l);
    return is(t, "to") ? DB_STATEMENT_SAVEPOINT : DB_STATEMENT_CONTROL;
}

static enum db_statement_kind set_kind(struct lexer *l)
{
    struct token t = next_token(l);
    if (is(t, "session") || is(t, "local"))
        t = next_token(l);
    return is(t, "transaction") || is(t, "characteristics") ? DB_STATEMENT_CONTROL
                                                            : DB_STATEMENT_OTHER;
}

static enum db_statement_kind other_kind(struct lexer *l, struct token first)
{
    static const char *const control[] = {"begin", "start", "commit", "end", "abort", NULL};
    static const char *const savepoint[] = {"savepoint", "release", NULL};
    if (is_one_of(first, control))
        return DB_STATEMENT_CONTROL;
    if (is_one_of(first, savepoint))
        return DB_STATEMENT_SAVEPOINT;
    if (is(first, "copy"))
        return DB_STATEMENT_COPY;
    if (is(first, "rollback"))
        return rollback_kind(l);
    if (is(first, "set"))
        return set_kind(l);
    if (is(first, "prepare") && is(next_token(l), "transaction"))
        return DB_STATEMENT_CONTROL;
    return DB_STATEMENT_OTHER;
}

/* Case-insensitive, in the whole text: it may stand in a string given to set_config. Looked for by
 * its underscore, the rarest of its letters. */
static bool mentions_client_encoding(struct str s)
{
    static const struct str word = {"client_encoding", 15};
    for (size_t i = str_find(s, '_', 6); i < s.n; i = str_find(s, '_', i + 1))
        if (str_istarts(str_from(s, i - 6), word))
            return true;
    return false;
}

static bool sets_names(struct str sql)
{
    struct lexer l = {.s = sql};
    struct token t = next_token(&l);
    if (!is(t, "set"))
        return false;
    t = next_token(&l);
    if (is(t, "session") || is(t, "local"))
        t = next_token(&l);
    return is(t, "names");
}

/* The first token that is no "(": a SELECT may stand in parentheses. */
static struct token first_token(struct lexer *l)
{
    struct token t = next_token(l);
    while (is_sign(t, '('))
        t = next_token(l);
    return t;
}

struct db_statement_class db_statement_class(struct str sql, bool standard_conforming_strings)
{
    struct lexer l = {.s = sql, .backslash = !standard_conforming_strings};
    struct token first = first_token(&l);
    struct db_statement_class c = {.kind = DB_STATEMENT_EMPTY};
    if (first.kind == TOKEN_END || is_sign(first, ';'))
        return c;
    if (is_one_of(first, plain_words)) {
        c = classify_plain(&l, first);
    } else if (is(first, "show")) {
        c.kind = DB_STATEMENT_OTHER;
    } else {
        c.kind = other_kind(&l, first);
        c.leaves_state = c.can_write = true;
    }
    c.client_encoding = mentions_client_encoding(sql) || sets_names(sql);
    c.leaves_state = c.leaves_state || c.client_encoding;
    return c;
}

bool db_statement_plain(struct str sql)
{
    struct lexer l = {.s = sql};
    return is_one_of(first_token(&l), plain_words);
}
