/* params: JSON values turned into PostgreSQL's text form. */
#ifndef PGH_SQL_PARAMS_H
#define PGH_SQL_PARAMS_H

#include "sql/statement.h"
#include "json/reader.h"

struct sql_params {
    const char **values;
    size_t n, room;
    struct sql_named *named; /* instead, when params is an object */
    size_t n_named, room_named;
    bool by_name; /* params is an object */
};

/* The value whose first event was just read, as text in the arena (or where it stands, for strings
 * of an in-place reader). NULL in *out is SQL NULL. */
MUSTCHECK bool sql_param_text(struct json_reader *, struct arena *, const char **out, struct err *);

/* Reads the value of "params": an array, an object or null. */
MUSTCHECK bool sql_params_read(struct json_reader *, struct arena *, struct sql_params *,
                               struct err *);

/* The same for a value whose first event was just read. */
MUSTCHECK bool sql_params_value(struct json_reader *, struct arena *, struct sql_params *,
                                struct err *);

/* A bigger copy of an array in the arena; count elements are kept. NULL at the ceiling. */
void *sql_grow(struct arena *, const void *old, size_t count, size_t *room, size_t size);

#endif
