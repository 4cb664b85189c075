/* value: a cell's text, as PostgreSQL sends it, to JSON by the type of its column.
 *
 * bool; int2 and int4 as numbers; float4 and float8 as numbers, NaN and infinities as strings; json
 * and jsonb verbatim; arrays as JSON arrays by their element's type, nested ones and elements that
 * are arrays themselves (domains over arrays) too; everything else is its text as a JSON string
 * (int8, numeric, dates: a JSON number would lose digits).
 *
 * Array types of the user's own types (enums, domains, composites) have OIDs that only the database
 * knows; struct db_types holds those already looked up (db/types.h). Without it, or for an unknown
 * OID, the value is its text: an array cannot be told from its text alone, since an enum label, a
 * citext or a multirange may begin with '{' as well.
 *
 *     struct db_conv conv = db_value_conv(types, field.type);    -- once a column
 *     db_value_write(out, &conv, db_result_value(r, row, col));  -- NULL is the caller's matter */
#ifndef PGH_DB_VALUE_H
#define PGH_DB_VALUE_H

#include "db/result.h"
#include "util/buf.h"

struct db_types;

enum db_value_kind {
    DB_VALUE_TEXT,
    DB_VALUE_BOOL,
    DB_VALUE_INTEGER,
    DB_VALUE_FLOAT,
    DB_VALUE_JSON,
    DB_VALUE_ARRAY
};

struct db_conv {
    enum db_value_kind kind;
    char delimiter;               /* of an array: ',' or box's ';' */
    db_oid element;               /* of an array */
    const struct db_types *types; /* for the element */
};

struct db_conv db_value_conv(const struct db_types *types, db_oid type); /* types may be NULL */
void db_value_write(struct buf *out, const struct db_conv *, struct str text);

#endif
