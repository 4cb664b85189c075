/* jspath_private: what a compiled path is made of; shared by jspath_parse.c, which makes it, and
 * jspath.c, which follows it. */
#ifndef PGH_AUTH_JSPATH_PRIVATE_H
#define PGH_AUTH_JSPATH_PRIVATE_H

#include <regex.h>

#include "auth/jspath.h"
#include "util/arena.h"

#define JSPATH_DEPTH_MAX 32 /* of parentheses, and of documents walked by .. */
#define JSPATH_TEXT_MAX 4096

/* A path is a list of segments, a segment a list of selectors, all in one arena. A filter is a tree
 * of expressions. Evaluation goes depth first, which yields values in the order of RFC 9535's node
 * lists, and stops at the first; `steps` bounds it for paths like $..*..*. */

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

#endif
