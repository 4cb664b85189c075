/* sqlgen_write: writes and calls -> SQL.
 *
 * The body is one parameter, in binary format so that its bytes are sent as they came; columns are
 * taken out of it by json_to_record[set] with the catalog's types. One statement does it all:
 *
 *   WITH pgrst_source AS (INSERT ... RETURNING ...)
 *   SELECT '' AS total_result_set, count(_postgrest_t) AS page_total, ... AS header, ... AS body,
 *          response_headers, response_status, response_inserted, ... AS pghttpd_check
 *   FROM (SELECT ... FROM pgrst_source) _postgrest_t
 *
 * Rules about the whole result (exactly one row for an object, max-affected, PUT's one row) are
 * checked inside of it: pghttpd_check casts REST_CHECK_MARK, the code and the number of rows to an
 * integer when the rule is broken. That error rolls the group back, so that the rule needs no round
 * trip of its own; errors.c makes the proper answer of it. */
#ifndef PGH_REST_SQLGEN_WRITE_H
#define PGH_REST_SQLGEN_WRITE_H

#include "rest/plan_write.h"
#include "rest/rpc.h"
#include "rest/sqlgen.h"

/* Columns of the result of a read or a call. A write has the key of its row as JSON,
 * [["id","eq.1"],...] or NULL, as a further column at SQLGEN_LOCATION; the others follow behind it.
 */
enum {
    SQLGEN_TOTAL,
    SQLGEN_PAGE,
    SQLGEN_BODY,
    SQLGEN_LOCATION = SQLGEN_BODY,
    SQLGEN_HEADERS,
    SQLGEN_STATUS,
    SQLGEN_INSERTED
};

struct sqlgen_write {
    const struct plan_write *write;
    const struct rest_plan *read;
    const struct sqlgen_handler *handler;
};
void sqlgen_write(struct sql *, const struct sqlgen_write *);

struct sqlgen_call {
    const struct rest_call *call;
    const struct rest_plan *read;
    const struct sqlgen_handler *handler;
    enum rest_count count;
    bool limited;      /* as in struct sqlgen_read */
    uint64_t max_rows; /* 0: none */
};
void sqlgen_call(struct sql *, const struct sqlgen_call *);

#endif
