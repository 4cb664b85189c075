/* body: the body of a write or a call, checked and brought into the form PostgreSQL gets.
 *
 * JSON is not built into a tree: a strict reader goes over it once to find the keys (and that every
 * object has the same ones), then the bytes go to PostgreSQL as they came, as one parameter. With
 * columns= they are not even looked at. CSV and forms are turned into JSON here.
 *
 * Memory: JSON costs nothing but its keys; CSV its JSON form, bounded by REST_CSV_GROWTH times the
 * body. rest_body_fini frees it. */
#ifndef PGH_REST_BODY_H
#define PGH_REST_BODY_H

#include "rest/query.h"
#include "util/buf.h"

#define REST_BODY_KEYS_MAX 1600u /* columns a table can have */
#define REST_CSV_GROWTH 16u      /* repeating short columns' long names must end somewhere */

enum rest_body_kind {
    REST_BODY_NONE, /* the request has none, or it does not matter */
    REST_BODY_JSON, /* text is a JSON object or array; keys are what it has */
    REST_BODY_FORM, /* params; keys are their names (calls only) */
    REST_BODY_RAW,  /* text as it came: text, xml, octets (calls only) */
};

struct rest_body {
    enum rest_body_kind kind;
    struct str text;
    bool object;            /* text is one object rather than an array */
    bool empty_array;       /* no rows: the text is or counts as [] */
    const struct str *keys; /* sorted by bytes, each once */
    size_t n_keys;
    const struct rest_param *params; /* in their order */
    struct buf made;                 /* where text lives when it is not the request's body */
};

/* Of a request that has an action with a body (insert, update, upsert, POST call). 400 PGRST102. */
MUSTCHECK bool rest_body_parse(struct arena *, const struct rest_request *, struct str body,
                               struct rest_body *out, struct err *);
void rest_body_fini(struct rest_body *);

/* Turns CSV with a header line into a JSON array of objects of strings; the value NULL is null.
 * For rest_body_parse and its tests. */
MUSTCHECK bool rest_csv_to_json(struct arena *, struct str csv, struct buf *out,
                                const struct str **keys, size_t *n_keys, struct err *);

#endif
