/* sqltext: SQL being written, with its parameters.
 *
 * Everything that comes from outside goes through sqltext_value (a parameter $n, untyped, so that
 * PostgreSQL infers) or sqltext_ident (a quoted identifier); sqltext_raw takes literals of ours and
 * texts of the catalog that PostgreSQL formatted itself (types, defaults). Sticky: check
 * sqltext_finish alone. Parameters are borrowed; their NUL-terminated copies live in the arena. */
#ifndef PGH_REST_SQLTEXT_H
#define PGH_REST_SQLTEXT_H

#include "db/job.h"
#include "util/arena.h"
#include "util/buf.h"
#include "util/err.h"

#define SQLTEXT_MAX (4u * 1024 * 1024) /* bytes of one statement's text */

struct sqltext {
    struct arena *arena;
    struct buf text;
    const char **values;
    int *lengths, *formats;
    db_oid *types;
    int n, room;
    bool broken, binary; /* binary: at least one parameter is */
};

void sqltext_init(struct sqltext *, struct arena *);
void sqltext_fini(struct sqltext *); /* the text; not needed after sqltext_finish */

void sqltext_raw(struct sqltext *, struct str);
#define SQLTEXT_LIT(s, literal) sqltext_raw((s), STR(literal))
void sqltext_ident(struct sqltext *, struct str name);
/* "schema"."name"; the schema is left out when it is empty. */
void sqltext_qualified(struct sqltext *, struct str schema, struct str name);
/* 'text' for what comes from the catalog; never for what clients send. */
void sqltext_quoted(struct sqltext *, struct str text);
void sqltext_u64(struct sqltext *, uint64_t);

void sqltext_value(struct sqltext *, struct str value); /* $n, text, of unknown type */
void sqltext_null(struct sqltext *);                    /* $n, NULL */
/* $n with the bytes as they are (not copied), in binary format, of the given type. */
void sqltext_bytes(struct sqltext *, struct str bytes, db_oid type);

/* Fills stmt; its text and arrays live in the arena. 400 PGRST100 when it grew too big. */
MUSTCHECK bool sqltext_finish(struct sqltext *, struct db_stmt *out, struct err *);

#endif
