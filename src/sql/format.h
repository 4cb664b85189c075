/* format: the inner loops of reply.c: fields, rows and notices as bytes. */
#ifndef PGH_SQL_FORMAT_H
#define PGH_SQL_FORMAT_H

#include "sql/reply.h"

/* [{"name":...},...] */
void sql_format_fields(struct buf *, const struct db_result *);
/* One row, without comma or newline. */
void sql_format_array(struct buf *, const struct sql_reply *, const struct db_result *, size_t row);
void sql_format_object(struct buf *, const struct sql_reply *, const struct db_result *,
                       size_t row);
/* As COPY ... CSV HEADER writes it. */
void sql_format_csv(struct buf *, const struct db_result *, size_t row);
void sql_format_csv_head(struct buf *, const struct db_result *);
/* ,"notices":[...] of the statements from..to, with a warning of our own where the lone statement
 * of a request did what cannot last (lone: its verb; else SQL_VERB_OTHER). Nothing when there are
 * none.
 */
void sql_format_notices(struct buf *, const struct db_outcome *, enum sql_verb lone, size_t from,
                        size_t to);

#endif
