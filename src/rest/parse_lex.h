/* parse_lex: what the parts of the query string parser share: a position in one decoded parameter,
 * the budget of the whole query string, and the smallest pieces of the grammar.
 *
 * Every function that returns bool has filled err when it returns false. Nothing backtracks further
 * than one token, so time is linear in the length of the text. */
#ifndef PGH_REST_PARSE_LEX_H
#define PGH_REST_PARSE_LEX_H

#include "rest/query.h"

struct parse_budget {
    unsigned nodes, embeds; /* still allowed */
};

struct parser {
    struct arena *arena;
    struct parse_budget *budget;
    struct err *err;
    const char *what; /* "filter", "select parameter", ... for the message */
    struct str shown; /* the parameter's value as the message shows it */
    struct str text;  /* what is parsed; shown, or shown with something before it */
    size_t pos;
};

/* Fails at position pos: "unexpected X expecting Y". quote: how X is quoted. */
bool parse_fail(struct parser *, size_t pos, char quote, const char *expecting);
bool parse_too_big(struct parser *, const char *what, unsigned max); /* over a ceiling */
bool parse_no_memory(struct parser *);

static inline bool parse_end(const struct parser *p)
{
    return p->pos >= p->text.n;
}

/* The byte at the position, or '\0' at the end (NUL never occurs in the text). */
static inline char parse_peek(const struct parser *p)
{
    return parse_end(p) ? '\0' : p->text.p[p->pos];
}

static inline bool parse_accept(struct parser *p, char c)
{
    if (parse_end(p) || p->text.p[p->pos] != c)
        return false;
    p->pos++;
    return true;
}

static inline struct str parse_rest(const struct parser *p)
{
    return str_from(p->text, p->pos);
}

bool parse_literal(struct parser *, struct str literal); /* takes it if it stands here */
void parse_spaces(struct parser *);                      /* spaces and tabs */

/* A zeroed node of the tree, counted against the budget. */
void *parse_node(struct parser *, size_t size);

MUSTCHECK bool parse_name(struct parser *, struct str *out); /* identifier, a-b, or "quoted" */
MUSTCHECK bool parse_identifier(struct parser *, struct str *out); /* for casts and languages */
MUSTCHECK bool parse_quoted(struct parser *, struct str *out);     /* stands on the quote */
MUSTCHECK bool parse_field(struct parser *, struct rest_field *out);
MUSTCHECK bool parse_json_path(struct parser *, const struct rest_json_step **out);
/* name ('.' name)*, the last of them with a json path */
MUSTCHECK bool parse_tree_path(struct parser *, struct rest_path *path, struct rest_field *field);

/* The parameters themselves; each takes the whole text. */
MUSTCHECK bool parse_select(struct parser *, const struct rest_select **out);
MUSTCHECK bool parse_order(struct parser *, const struct rest_order_term **out);
MUSTCHECK bool parse_names(struct parser *, const struct rest_name **out);
MUSTCHECK bool parse_operation(struct parser *, struct rest_filter *out);
MUSTCHECK bool parse_logic(struct parser *, const struct rest_logic **out);

#endif
