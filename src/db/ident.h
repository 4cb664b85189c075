/* ident: the one place that quotes identifiers and literals for SQL text.
 *
 * Identifiers are always quoted, so that no keyword list and no case folding matters. Both forms
 * are injection-safe for any bytes without NUL in UTF-8 (PostgreSQL docs, "Lexical Structure"):
 * callers refuse NUL before. */
#ifndef PGH_DB_IDENT_H
#define PGH_DB_IDENT_H

#include "util/buf.h"

void ident_quote(struct buf *out, struct str name);    /* name -> "name", " doubled */
void ident_literal(struct buf *out, struct str value); /* value -> 'value' or  E'value' */

#endif
