/* catalog: what REST knows about a database: relations, keys, relationships, functions, casts,
 * media handlers and the settings of roles, as one immutable snapshot.
 *
 * Made by catalog_load.c from the system catalogs, reference-counted, shared by all threads: a
 * request takes a reference and keeps the snapshot it started with. Every string in it lives as
 * long as it does. Lookups are by hash and allocate nothing.
 *
 * Relations and functions of exposed schemas only; what other schemas hold is visible through
 * relationships of views alone. */
#ifndef PGH_REST_CATALOG_H
#define PGH_REST_CATALOG_H

#include "util/arena.h"
#include "util/buf.h"
#include "util/err.h"

struct catalog;
struct catalog_table;

struct catalog_name { /* schema-qualified */
    struct str schema, name;
};

struct catalog_strs {
    const struct str *v;
    size_t n;
};

/* Text of a column's or parameter's type is as PostgreSQL prints it with an empty search_path: it
 * is SQL, not user input, and goes into statements as it is. */
struct catalog_column {
    struct str name, description; /* description.p == NULL: none */
    struct str type;              /* domains over built-in types: the base type */
    struct str nominal;           /* as declared, with length */
    struct str default_sql;       /* p == NULL: none */
    bool nullable;
    int max_length;            /* 0: none */
    struct catalog_strs enums; /* labels of an enum type */
    bool json;                 /* json or jsonb: arrows work on it as it is */
    bool tsvector;             /* or a domain over it */
    /* Data representations: a function as SQL text, n == 0: none. */
    struct str to_json;   /* formats it in answers */
    struct str from_json; /* parses it in bodies */
    struct str from_text; /* parses it in filters */
};

enum catalog_cardinality {
    CATALOG_O2M,
    CATALOG_M2O,
    CATALOG_O2O,
    CATALOG_M2M,
    CATALOG_COMPUTED /* by a function of the table's row */
};

struct catalog_pair { /* a column here and the column there it equals */
    struct str here, there;
};

struct catalog_pairs {
    const struct catalog_pair *v;
    size_t n;
};

struct catalog_rel {
    struct catalog_name table, foreign;
    const struct catalog_table *foreign_table; /* NULL: not exposed itself (a partition) */
    enum catalog_cardinality cardinality;
    bool self;
    bool table_is_view, foreign_is_view;
    struct str constraint;      /* O2M, M2O, O2O; M2M: from the junction to the table */
    struct catalog_pairs pairs; /* (table, foreign); M2M: (table, junction) */
    /* M2M */
    struct catalog_name junction;
    struct str constraint2;      /* from the junction to the foreign table */
    struct catalog_pairs pairs2; /* (foreign, junction) */
    bool parent;                 /* O2O: seen from the side that is referenced */
    /* COMPUTED */
    struct catalog_name function;
    bool to_one; /* M2O, O2O, and COMPUTED when it gives one row */
};

struct catalog_table {
    struct str schema, name, description;
    unsigned oid;
    size_t number; /* its place among all of them */
    bool is_view, insertable, updatable, deletable;
    bool row_security;    /* plans depend on the role */
    bool representations; /* some column has to_json */
    /* Volatile functions stand behind it, which may change their session: for reads in views and
     * policies, for writes in triggers, defaults and checks, too. See catalog_sql.c, "state". */
    bool state_of_reads, state_of_writes;
    const struct catalog_column *columns;
    size_t n_columns;
    struct catalog_strs key;               /* primary key; of views: what they show of it */
    const struct catalog_rel *const *rels; /* from this table, sorted; those that a request for this
                                              schema may use */
    size_t n_rels;
    const struct catalog_fk *fks; /* its foreign keys of one column, for descriptions */
    size_t n_fks;
    const uint16_t *column_index; /* private: open addressing by name, or NULL */
    size_t column_mask;
};

struct catalog_fk {
    struct str column;
    struct catalog_name foreign;
    struct str foreign_column;
    bool foreign_is_view;
};

struct catalog_param {
    struct str name;            /* may be empty */
    struct str type;            /* SQL text */
    struct str type_any_length; /* the same, but bit and character without their length */
    bool required, variadic;
};

enum catalog_volatility { CATALOG_IMMUTABLE, CATALOG_STABLE, CATALOG_VOLATILE };

struct catalog_setting {
    struct str name, value;
};

struct catalog_settings {
    const struct catalog_setting *v;
    size_t n;
};

enum catalog_isolation {
    CATALOG_ISOLATION_DEFAULT,
    CATALOG_READ_COMMITTED,
    CATALOG_REPEATABLE_READ,
    CATALOG_SERIALIZABLE
};

struct catalog_routine {
    struct str schema, name, description;
    size_t number;                      /* its place among all of them, overloads too */
    const struct catalog_param *params; /* input ones, in order */
    size_t n_params;
    struct catalog_name returns; /* relation for a row type, else the type's name */
    bool set;                    /* SETOF or TABLE */
    bool composite;              /* rows: a row type, or OUT, INOUT, TABLE parameters */
    bool composite_alias;        /* returns a domain over a row type */
    bool has_variadic;
    enum catalog_volatility volatility;
    enum catalog_isolation isolation;
    struct catalog_settings settings;   /* those of proconfig that db-hoisted-tx-settings names */
    const struct catalog_routine *next; /* the next overload: fewer parameters first */
};

struct catalog_handler { /* a function that makes a body of some media type */
    struct catalog_name function;
    bool any;                   /* for every row type */
    struct catalog_name target; /* relation, or scalar function, unless any */
    struct str media_type;      /* lower case, as asked for; may be any type: */
    struct str resolved;        /* as answered: application/octet-stream for the any type */
};

struct catalog_role {
    struct str name;
    enum catalog_isolation isolation;
    struct catalog_settings settings;
};

/* The snapshot. Made with one reference. */
struct catalog *catalog_ref(struct catalog *);
void catalog_unref(struct catalog *); /* NULL is fine; any thread */

const struct catalog_table *catalog_table(const struct catalog *, struct str schema,
                                          struct str name);
const struct catalog_column *catalog_column(const struct catalog_table *, struct str name);
/* The first overload, or NULL. */
const struct catalog_routine *catalog_routine(const struct catalog *, struct str schema,
                                              struct str name);
/* The handler for a relation (or scalar function) and a media type; with a NULL name the one for
 * every row type. NULL when there is none. */
const struct catalog_handler *
catalog_handler(const struct catalog *, const struct catalog_name *target, struct str media_type);
const struct catalog_role *catalog_role(const struct catalog *, struct str name);

/* All of a schema, sorted by name; routines: first overloads. */
size_t catalog_tables(const struct catalog *, struct str schema,
                      const struct catalog_table *const **out);
size_t catalog_routines(const struct catalog *, struct str schema,
                        const struct catalog_routine *const **out);

struct catalog_info {
    size_t tables, relationships, routines, representations, handlers;
    size_t bytes;     /* of the snapshot */
    uint64_t load_us; /* time of the queries and of building it */
    uint64_t version; /* grows with each load in this process: for caches */
    unsigned server_version;
};
struct catalog_info catalog_info(const struct catalog *);

/* JSON as of the admin port's /schema_cache. */
void catalog_dump(const struct catalog *, struct buf *out);

/* The same a piece at a time. Begins as {.catalog = c}; c is borrowed until the end. */
enum catalog_dump_part {
    CATALOG_DUMP_TABLES,
    CATALOG_DUMP_RELATIONSHIPS,
    CATALOG_DUMP_ROUTINES,
    CATALOG_DUMP_HANDLERS,
    CATALOG_DUMP_END
};
struct catalog_dump {
    const struct catalog *catalog;
    enum catalog_dump_part part;
    bool opened, begun;    /* the part's list; it has an element */
    size_t next, next_rel; /* elements of the part; of a table's relationships */
};
/* Goes on until out holds want bytes; what it holds may be taken out between two calls. False: that
 * was all of it, or out's ceiling was reached (then out is broken). */
MUSTCHECK bool catalog_dump_more(struct catalog_dump *, struct buf *out, size_t want);

/* 404 PGRST205 with a hint. Always false. */
bool catalog_table_missing(struct arena *, const struct catalog *, struct str schema,
                           struct str name, struct err *);
/* 400 PGRST204. Always false. */
bool catalog_column_missing(const struct catalog_table *, struct str column, struct err *);
/* A name that is the beginning of JSON: curl -d sends a form when no Content-Type is given. */
bool catalog_looks_json(struct str name);
#define CATALOG_HINT_JSON                                                                          \
    "The body was read as a form. If it is JSON, say so: Content-Type: application/json"

/* The name most alike, by trigrams, at or above least (0 to 1); p == NULL: none. */
struct str catalog_closest(struct str name, const struct str *among, size_t n, double least,
                           double *score);

static inline bool catalog_name_eq(struct catalog_name a, struct catalog_name b)
{
    return str_eq(a.name, b.name) && str_eq(a.schema, b.schema);
}

static inline bool catalog_routine_scalar(const struct catalog_routine *r)
{
    return !r->composite; /* of one or of many rows: see set */
}

#endif
