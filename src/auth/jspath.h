/* jspath: where in a token's claims the role stands (jwt-role-claim-key).
 *
 * Two languages: JSONPath (RFC 9535: names, indexes, slices, wildcards, unions, descendants,
 * filters with comparisons and existence tests; of the functions search() alone) for what begins
 * with $, and PostgREST's older `.a."b c"[0][?(@ == "x")]` with the operators == != ^== ==^ *==. Of
 * several values the first one counts.
 *
 * A compiled path is immutable and may be shared by threads. */
#ifndef PGH_AUTH_JSPATH_H
#define PGH_AUTH_JSPATH_H

#include "util/err.h"
#include "json/doc.h"

struct jspath;

/* NULL with err (400) saying at which character and why. */
MUSTCHECK struct jspath *jspath_new(struct str text, struct err *);
void jspath_free(struct jspath *);
bool jspath_is_old(const struct jspath *);

/* The first value the path leads to, or NULL. */
const struct json_node *jspath_find(const struct jspath *, const struct json_node *root);

#endif
