/* scan: reads SQL text the way PostgreSQL's own lexer cuts it (src/backend/parser/scan.l, docs
 * "Lexical Structure"), as far as that is needed to know what is code and what is quoted.
 *
 * It never judges: text that is broken (an open quote, say) gives a last token that reaches to the
 * end, and PostgreSQL says what is wrong with it. Pure; borrows the text. */
#ifndef PGH_SQL_SCAN_H
#define PGH_SQL_SCAN_H

#include "util/str.h"

enum sql_token {
    SQL_END,
    SQL_WORD,   /* an unquoted name or keyword */
    SQL_IDENT,  /* "quoted", U&"quoted" */
    SQL_STRING, /* 'quoted' with any prefix and its continuations, $tag$quoted$tag$ */
    SQL_NUMBER,
    SQL_PARAM, /* $1 */
    SQL_NAMED, /* :name, where a parameter may stand */
    SQL_OTHER, /* '::', ':=', or one character of operators and punctuation */
};

struct sql_scan {
    struct str sql;
    bool plain_backslash; /* standard_conforming_strings: a backslash in '...' is itself */
    size_t at;
    struct str text; /* of the token returned last */
    enum sql_token token;

    unsigned brackets;  /* open '[' */
    bool after_operand; /* the token before could end an expression */
    bool after_word;    /* and it was a word (which may as well be a keyword) */
};

static inline void sql_scan_init(struct sql_scan *s, struct str sql, bool plain_backslash)
{
    *s = (struct sql_scan){.sql = sql, .plain_backslash = plain_backslash};
}

/* The next token; white space and comments are skipped. */
enum sql_token sql_scan_next(struct sql_scan *);

/* The token is this unquoted word; lower is in lower case. */
bool sql_scan_is(const struct sql_scan *, const char *lower);

#endif
