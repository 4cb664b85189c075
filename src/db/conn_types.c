/* conn_types: before a result with types nobody has asked about yet is handed over, they are asked.
 *
 * The result is parked and the connection not read on; a small query about the OIDs runs on another
 * connection of the pool (one more than db-pool allows, if need be: all of them may be parked). A
 * type made by the very transaction that uses it is seen by nobody else: its values stay text. */
#include <assert.h>
#include <stdlib.h>

#include "db/conn.h"
#include "util/xalloc.h"

#define TYPES_ASKED_MAX 256             /* in one query */
#define TYPES_ROUNDS_MAX 4              /* domains over arrays of domains ... */
#define TYPES_PATIENCE_US (2 * 1000000) /* then the values are given as text */

/* The question is asked on a session of whichever login needs the answer, which all logins of the
 * database share: nothing that a login has put into its search_path may decide it. */
static const char empty_path[] = "SELECT pg_catalog.set_config('search_path','',true)";

/* Element type with domains peeled off, and the delimiter of the element as it is declared. */
static const char question[] =
    "WITH RECURSIVE a AS (SELECT t.oid, CASE WHEN t.typcategory = 'A' AND t.typelem <> 0 AND "
    "t.typlen = -1 THEN t.typelem END AS elem FROM pg_catalog.pg_type t WHERE t.oid = "
    "ANY($1::pg_catalog.oid[])), b AS (SELECT a.oid, e.oid AS base, e.typtype, e.typbasetype, "
    "e.typdelim FROM a LEFT JOIN pg_catalog.pg_type e ON e.oid = a.elem UNION ALL SELECT b.oid, "
    "e.oid, e.typtype, e.typbasetype, b.typdelim FROM b JOIN pg_catalog.pg_type e ON b.typtype = "
    "'d' AND e.oid = b.typbasetype) SELECT oid, coalesce(base, 0), coalesce(typdelim, ',') FROM b "
    "WHERE typtype IS DISTINCT FROM 'd'";

struct type_query {
    struct conn *conn; /* NULL: nobody waits any more */
    struct db_types *types;
    const struct conn_ops *ops;
    void *owner;
    struct db_stmt stmts[2]; /* search_path, then the question */
    struct buf oids;
    const char *values[1];
    unsigned round;
};

static void add_oid(struct buf *oids, size_t *n, db_oid oid)
{
    if (*n >= TYPES_ASKED_MAX)
        return;
    buf_char(oids, (*n)++ ? ',' : '{');
    buf_u64(oids, oid);
}

/* Columns whose type, or whose elements' type, is the user's and not known. */
static size_t list_unknown(const struct db_types *types, const PGresult *res, struct buf *oids)
{
    size_t n = 0;
    int columns = PQnfields(res);
    for (int i = 0; i < columns; i++) {
        db_oid oid = PQftype(res, i);
        for (unsigned depth = 0; oid >= DB_FIRST_USER_OID && depth < TYPES_ROUNDS_MAX; depth++) {
            const struct db_type *t = db_types_find(types, oid);
            if (!t)
                add_oid(oids, &n, oid);
            oid = t ? t->element : 0;
        }
    }
    if (n) {
        buf_char(oids, '}');
        buf_char(oids, '\0');
    }
    return n;
}

static bool on_types(void *arg, size_t i, const struct db_result *r)
{
    struct type_query *q = arg;
    for (size_t row = 0; i == 1 && row < db_result_rows(r); row++) {
        uint64_t oid, element;
        struct str delimiter = db_result_value(r, row, 2);
        if (str_u64(db_result_value(r, row, 0), UINT32_MAX, &oid) &&
            str_u64(db_result_value(r, row, 1), UINT32_MAX, &element) && delimiter.n)
            db_types_add(q->types, &(struct db_type){.oid = (db_oid)oid,
                                                     .element = (db_oid)element,
                                                     .delimiter = delimiter.p[0]});
    }
    return true;
}

static void query_free(struct type_query *q)
{
    buf_fini(&q->oids);
    free(q);
}

static void ask(struct type_query *q);

static void on_asked(void *arg, const struct db_outcome *o)
{
    struct type_query *q = arg;
    struct conn *c = q->conn;
    q->ops->asked(q->owner);
    buf_clear(&q->oids);
    if (c && o->end == DB_DONE && ++q->round < TYPES_ROUNDS_MAX &&
        list_unknown(q->types, c->parked, &q->oids) && !buf_broken(&q->oids)) {
        ask(q);
        return;
    }
    if (c)
        conn_unpark(c, true);
    query_free(q);
}

static void ask(struct type_query *q)
{
    static const struct db_ops ops = {.on_result = on_types, .on_done = on_asked};
    q->values[0] = q->oids.p;
    q->stmts[0] = (struct db_stmt){.sql = empty_path, .sql_len = sizeof empty_path - 1};
    q->stmts[1] = (struct db_stmt){.sql = question,
                                   .sql_len = sizeof question - 1,
                                   .nparams = 1,
                                   .values = q->values,
                                   .prepare = true,
                                   .cache_scope = STR("types")};
    struct db_job_spec spec = {
        .stmts = q->stmts, .n = 2, .travel = DB_SHARED, .timeout_us = TYPES_PATIENCE_US};
    q->ops->ask(q->owner, &spec, &ops, q);
}

static void apply_pause(struct conn *c)
{
    session_pause(c->session, c->paused || c->parked);
}

bool conn_park(struct conn *c, struct db_job *j, size_t stmt, PGresult *res)
{
    if (!j->spec.need_types || j->attempt.types_of == stmt + 1)
        return false;
    j->attempt.types_of = stmt + 1; /* once for each statement, not for each row */
    struct type_query *q = xcalloc(1, sizeof *q);
    buf_init(&q->oids, 16 * TYPES_ASKED_MAX);
    if (!list_unknown(c->env->types, res, &q->oids) || buf_broken(&q->oids)) {
        query_free(q);
        return false;
    }
    q->conn = c;
    q->ops = c->ops;
    q->owner = c->owner;
    q->types = c->env->types;
    c->parked = res;
    c->parked_stmt = stmt;
    c->type_query = q;
    apply_pause(c);
    ask(q);
    return true;
}

void conn_unpark(struct conn *c, bool deliver)
{
    PGresult *res = c->parked;
    if (!res)
        return;
    c->type_query->conn = NULL;
    c->type_query = NULL;
    c->parked = NULL;
    if (c->state == CONN_UP)
        apply_pause(c);
    if (deliver && c->state == CONN_UP)
        conn_deliver(c, c->jobs.first, c->parked_stmt, res);
    else
        PQclear(res);
    if (c->state == CONN_UP)
        conn_read_later(c);
}
