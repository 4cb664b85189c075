/* types: the user's own types of one database, as far as results have shown them.
 *
 * OIDs from 16384 on are given by the database. Which of them are arrays, of what and with which
 * delimiter, is asked once (spec.need_types makes the connection do so before it hands over a
 * result with an unknown one) and kept. One cache per database and worker. */
#ifndef PGH_DB_TYPES_H
#define PGH_DB_TYPES_H

#include "db/result.h"

#define DB_FIRST_USER_OID 16384u

struct db_types;

struct db_type {
    db_oid oid;
    db_oid element; /* base type of the elements; 0: no array */
    char delimiter;
};

struct db_types *db_types_new(void);
void db_types_free(struct db_types *);
void db_types_add(struct db_types *, const struct db_type *);
/* NULL for what is not known (yet), and for every OID below DB_FIRST_USER_OID. */
const struct db_type *db_types_find(const struct db_types *, db_oid);

#endif
