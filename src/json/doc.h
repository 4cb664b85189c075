/* doc: a small JSON document as a tree, for configuration-like texts (a GUC with response headers,
 * a settings value), never for rows or requests: those go through json/reader.
 *
 * The tree is cJSON's behind another name. The text is checked by the strict reader first, so
 * cJSON's laxness and its cut at NUL never matter; keys are compared with case. Owned by whoever
 * parsed it; nodes live as long as the document. */
#ifndef PGH_JSON_DOC_H
#define PGH_JSON_DOC_H

#include "util/err.h"

struct json_node; /* a value of the tree; the root is the document itself */

enum json_kind {
    JSON_IS_NULL,
    JSON_IS_BOOL,
    JSON_IS_NUMBER,
    JSON_IS_STRING,
    JSON_IS_ARRAY,
    JSON_IS_OBJECT
};

#define JSON_DOC_MAX (1024 * 1024) /* bytes of text; a tree is many times its text */

/* NULL with err (400, PGH100, "WHAT is not valid JSON: ...") for anything that is not one value. */
MUSTCHECK struct json_node *json_doc_parse(struct str text, const char *what, struct err *);
void json_doc_free(struct json_node *root); /* the node that json_doc_parse gave; NULL is fine */

/* All take NULL for a node and then answer "nothing", so that lookups can be chained. */
enum json_kind json_node_kind(const struct json_node *);
const struct json_node *json_node_get(const struct json_node *object, const char *key);
const struct json_node *json_node_first(const struct json_node *container);
const struct json_node *json_node_next(const struct json_node *);
struct str json_node_key(const struct json_node *);    /* {NULL, 0} outside objects */
struct str json_node_string(const struct json_node *); /* {NULL, 0} when it is not a string */
bool json_node_true(const struct json_node *);
/* A whole number that a double holds exactly; false for anything else. */
MUSTCHECK bool json_node_i64(const struct json_node *, int64_t *out);

#endif
