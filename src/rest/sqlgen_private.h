/* sqlgen_private: what sqlgen*.c share. */
#ifndef PGH_REST_SQLGEN_PRIVATE_H
#define PGH_REST_SQLGEN_PRIVATE_H

#include "rest/sqlgen.h"

void sqlgen_field(struct sql *, struct catalog_name table, const struct plan_field *);
void sqlgen_output_field(struct sql *, struct catalog_name table, const struct plan_field *);
/* ORDER BY ..., or nothing. */
void sqlgen_order(struct sql *, struct catalog_name table, const struct plan_order *);
/* Null filters on embeds as EXISTS: there are no joins in a count. */
void sqlgen_where_counting(struct sql *, struct catalog_name qualifier, const struct plan_cond *);

#endif
