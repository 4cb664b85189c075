/* statement: what a statement's text says about how it may be sent, read from its first words, and
 * the turning of :name parameters into $n. Pure; no database. */
#ifndef PGH_SQL_STATEMENT_H
#define PGH_SQL_STATEMENT_H

#include "util/arena.h"
#include "util/err.h"

enum sql_verb {
    SQL_VERB_OTHER,
    SQL_VERB_EMPTY,       /* nothing but white space, comments and semicolons */
    SQL_VERB_QUERY,       /* SELECT, VALUES, WITH, TABLE, INSERT, UPDATE, DELETE, MERGE */
    SQL_VERB_TRANSACTION, /* begins, ends or changes a transaction */
    SQL_VERB_SAVEPOINT,   /* SAVEPOINT, RELEASE, ROLLBACK TO */
    SQL_VERB_SESSION,     /* DECLARE, LISTEN, PREPARE: means something to later statements alone */
    SQL_VERB_COPY_CLIENT, /* COPY ... FROM STDIN or TO STDOUT */
    SQL_VERB_ENCODING,    /* SET client_encoding or SET NAMES, to anything but UTF8 */
    SQL_VERB_SET,         /* any other SET */
    SQL_VERB_RESET
};

/* Looks behind comments and leading semicolons, as PostgreSQL's parser does. */
enum sql_verb sql_statement_verb(struct str sql);

struct sql_named {
    struct str name;
    const char *value; /* NULL is SQL NULL */
    int number;        /* the n of its $n; 0 until it is used */
};

struct sql_binding {
    struct sql_named *named; /* in, sorted by sql_named_sort */
    size_t n_named;
    bool plain_backslash; /* in: standard_conforming_strings of the session */
    struct str given;     /* out: the client's text */
    struct str sql;       /* out, in the arena, NUL behind it: the text with $n */
    const char **values;  /* out: in that order */
    int n_values;
};

/* Sorts by name; false with err (PGH103) when one stands there twice. */
MUSTCHECK bool sql_named_sort(struct sql_named *, size_t n, struct err *);

/* False with err (PGH103) when a name has no value, or $n and :name are mixed. */
MUSTCHECK bool sql_statement_bind(struct arena *, struct str sql, struct sql_binding *,
                                  struct err *);

/* Where in the client's text a position in the text with $n is; both count characters from 1, as
 * PostgreSQL does in its errors. */
size_t sql_statement_position(const struct sql_binding *, size_t position);
/* The name that became $number; empty when there is none. */
struct str sql_statement_name(const struct sql_binding *, int number);

#endif
