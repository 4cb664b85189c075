/* rest_read: what the two shapes of a read share. Private to rest_read.c and rest_rows.c. */
#ifndef PGH_API_REST_READ_H
#define PGH_API_REST_READ_H

#include "api/rest_run.h"

/* Is an EXPLAIN of the count part of the group? */
bool rest_read_planned(const struct rest_run *);
/* Its result: into row.total. */
void rest_read_count(struct rest_run *, const struct db_result *);
/* Status, Content-Range and Content-Location of what row says; applied belongs to the reply. */
void rest_read_reply(struct rest_run *, struct rest_prefs *applied, struct rest_reply *);

/* What stands between two rows of the body: json_agg breaks the line, json_strip_nulls takes all
 * white space out. */
struct str rest_read_between(const struct rest_run *);

/* The shape of rows: appends its statements, the rows last. */
MUSTCHECK bool rest_rows_group(struct rest_run *, const struct sqlgen_read *, struct err *);

#endif
