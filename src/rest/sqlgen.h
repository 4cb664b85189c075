/* sqlgen: plans -> SQL text and parameters.
 *
 * Nothing of a request's bytes is ever in the text: values are parameters without a type
 * ($n), identifiers go through ident_quote, casts were checked by the parser to be words and are
 * the one exception, types and functions come from the catalog. The shape of the statements is the
 * one PostgREST's users know from their logs and plans: WITH pgrst_source AS (...) SELECT
 * total_result_set, page_total, body, response_headers, response_status ...
 *
 *     struct sql sql;
 *     sql_init(&sql, arena, scratch);
 *     sqlgen_read(&sql, &read);
 *     if (!sql_stmt(&sql, &stmt, err)) ...
 *
 * Pure: the same plan gives the same text. */
#ifndef PGH_REST_SQLGEN_H
#define PGH_REST_SQLGEN_H

#include "db/job.h"
#include "rest/plan.h"

/* One statement being written. text is scratch of the caller, cleared here; sql_stmt copies it into
 * the arena. */
struct sql {
    struct arena *arena;
    struct buf *text;
    const char **values; /* NULL is SQL NULL */
    int *lengths;        /* of binary ones */
    int *formats;        /* NULL until the first binary one */
    db_oid *types;       /* NULL until the first one with a type */
    size_t n, cap;
    bool broken; /* too many parameters, or out of memory */
};

void sql_init(struct sql *, struct arena *, struct buf *text);
void sql_lit(struct sql *, const char *text); /* our own text */
void sql_str(struct sql *, struct str text);  /* text of ours or of the catalog */
void sql_u64(struct sql *, uint64_t);
void sql_ident(struct sql *, struct str name);
void sql_name(struct sql *, struct catalog_name name); /* schema.name; empty schema: name alone */
void sql_column(struct sql *, struct catalog_name table, struct str column); /* "*" is .* */
/* Writes $n for a value that is copied into the arena. */
void sql_param(struct sql *, struct str value);
void sql_param_z(struct sql *, const char *value); /* not copied; NULL is SQL NULL */
void sql_param_typed(struct sql *, const char *value, db_oid type); /* not copied */
void sql_param_binary(struct sql *, struct str value, db_oid type); /* not copied */
/* The statement, with its parameters; prepare and cache_scope are the caller's. */
MUSTCHECK bool sql_stmt(struct sql *, struct db_stmt *out, struct err *);

/* SELECT ... FROM ... of a plan: what stands inside pgrst_source for relations, and in FROM (...)
 * _postgrest_t for mutations and calls. */
void sqlgen_select(struct sql *, const struct plan_node *root);
/* SELECT 1 FROM ... WHERE ...: rows without limit, for counts. */
void sqlgen_count(struct sql *, const struct plan_node *root);
/* Conditions joined by AND, without WHERE. */
void sqlgen_where(struct sql *, struct catalog_name qualifier, const struct plan_cond *);

/* How rows become a body. */
enum sqlgen_body {
    SQLGEN_NONE, /* ''::text: no body is wanted */
    SQLGEN_JSON,
    SQLGEN_JSON_STRIP, /* without nulls */
    SQLGEN_OBJECT,
    SQLGEN_OBJECT_STRIP,
    SQLGEN_CSV,
    SQLGEN_GEOJSON,
    SQLGEN_CUSTOM /* handler */
};

struct sqlgen_handler {
    enum sqlgen_body body;
    const struct catalog_handler *custom; /* SQLGEN_CUSTOM */
    struct str content_type;              /* of the answer; p == NULL: none */
    bool plan;                            /* EXPLAIN is wanted instead */
    struct rest_media media;              /* what was chosen */
};

/* The expression for body over the rows _postgrest_t; routine NULL unless they are a call's. */
void sqlgen_body(struct sql *, const struct sqlgen_handler *, const struct catalog_routine *);
/* EXPLAIN (...) in front, when the handler asks for it. */
void sqlgen_explain(struct sql *, const struct sqlgen_handler *);

/* nullif(current_setting('response.headers', true), '') AS response_headers, and the status. */
void sqlgen_response_settings(struct sql *);

/* The counting part: ", pgrst_source_count AS (...)" when the count needs a query of its own, and
 * the expression of total_result_set. page is the expression that counts the rows of the page. */
struct sqlgen_total {
    const struct plan_node *root;
    enum rest_count count;
    bool limited;      /* db-max-rows, limit or offset: the page is not the whole */
    uint64_t max_rows; /* 0: none */
    const char *page;
};
void sqlgen_total_cte(struct sql *, const struct sqlgen_total *);
void sqlgen_total(struct sql *, const struct sqlgen_total *);

/* A read of a relation. Columns: total_result_set, page_total, body, response_headers,
 * response_status, response_inserted. */
struct sqlgen_read {
    const struct rest_plan *plan;
    const struct sqlgen_handler *handler;
    enum rest_count count;
    bool limited;
    uint64_t max_rows;
};
void sqlgen_read(struct sql *, const struct sqlgen_read *);
/* The same rows one by one: one column, the row as JSON text. */
void sqlgen_read_rows(struct sql *, const struct sqlgen_read *);
/* SELECT count(*) FROM (count query). */
void sqlgen_read_total(struct sql *, const struct sqlgen_read *);
/* EXPLAIN (FORMAT JSON) of the count query, for planned and estimated counts. */
void sqlgen_read_planned(struct sql *, const struct plan_node *root);

/* The first statement of every group: SELECT set_config(...), ... */
struct sqlgen_settings {
    const struct conf *conf;
    const struct conf_database *db;
    struct str schema, role, claims;
    struct str method, path;
    struct str headers, cookies;          /* JSON objects */
    struct str timezone;                  /* p == NULL: none */
    const struct catalog_role *role_info; /* settings of the role; NULL: none */
    const struct catalog_settings *function_settings;
    bool read_only;
    bool response;       /* response.headers and response.status will be read */
    uint64_t timeout_us; /* what the request asks for; 0: the login's own statement_timeout holds */
};
void sqlgen_settings(struct sql *, const struct sqlgen_settings *);
/* "schema", "extra1", ...: the search_path of a request. */
struct str sqlgen_search_path(struct arena *, const struct conf_database *, struct str schema);

#endif
