/* query: what a REST request asks for, as a tree in the request's arena.
 *
 * struct rest_query is the query string (grammar: docs/rest.md), made by parse.c without looking
 * at any catalog. struct rest_request adds path, profile, preferences, range and media types; it is
 * what the planner gets. Strings are decoded UTF-8 and live in the arena. Lists are linked by next,
 * in the order in which they were written; NULL is the empty list.
 *
 * Pure: no I/O, no globals; the same input always gives the same tree. */
#ifndef PGH_REST_QUERY_H
#define PGH_REST_QUERY_H

#include "rest/media.h"
#include "rest/prefs.h"
#include "util/arena.h"
#include "util/err.h"

/* Ceilings of one query string. They bound the stack of everything that walks the trees. */
#define REST_QUERY_MAX (256u * 1024) /* bytes of the raw query string */
#define REST_PARAMS_MAX 4096u        /* key=value pairs */
#define REST_DEPTH_MAX 32u           /* nesting of embeds and of logic trees, json path steps */
#define REST_EMBEDS_MAX 256u         /* embeds of all levels together */
#define REST_NODES_MAX 65536u        /* select items, filters, order terms, list values */

/* One step of a json path: ->key ->>key ->0 ->>-1 */
struct rest_json_step {
    const struct rest_json_step *next;
    struct str key; /* the key, or the index as digits with an optional leading minus */
    bool index;     /* key is an array index */
    bool text;      /* ->> */
};

struct rest_field {
    struct str name;
    const struct rest_json_step *path;
};

/* a.b of a.b.field=...: aliases or names of embeds from the root down. Empty: the root. */
struct rest_path {
    const struct str *v;
    size_t n;
};

enum rest_op {
    REST_OP_EQ, /* these nine may carry (any) or (all) */
    REST_OP_GTE,
    REST_OP_GT,
    REST_OP_LTE,
    REST_OP_LT,
    REST_OP_LIKE,
    REST_OP_ILIKE,
    REST_OP_MATCH,
    REST_OP_IMATCH,
    REST_OP_NEQ,
    REST_OP_CS,
    REST_OP_CD,
    REST_OP_OV,
    REST_OP_SL,
    REST_OP_SR,
    REST_OP_NXR,
    REST_OP_NXL,
    REST_OP_ADJ,
    REST_OP_ISDISTINCT,
    REST_OP_IS,  /* is says which; no value */
    REST_OP_IN,  /* values */
    REST_OP_FTS, /* these four may carry a language */
    REST_OP_PLFTS,
    REST_OP_PHFTS,
    REST_OP_WFTS
};

enum rest_quantifier { REST_QUANT_NONE, REST_QUANT_ANY, REST_QUANT_ALL };
enum rest_is { REST_IS_NULL, REST_IS_NOT_NULL, REST_IS_TRUE, REST_IS_FALSE, REST_IS_UNKNOWN };

struct rest_value {
    const struct rest_value *next;
    struct str value;
};

struct rest_filter {
    const struct rest_filter *next;
    struct rest_path path; /* empty inside logic trees: the tree has it */
    struct rest_field field;
    bool negated;
    enum rest_op op;
    enum rest_quantifier quantifier;
    enum rest_is is;
    struct str value;                /* decoded, not yet changed for LIKE */
    const struct rest_value *values; /* REST_OP_IN; in.() is one empty value */
    size_t n_values;
    struct str language; /* full text search; p == NULL: none */
};

enum rest_logic_kind { REST_LOGIC_FILTER, REST_LOGIC_AND, REST_LOGIC_OR };

struct rest_logic {
    const struct rest_logic *next; /* the next sibling; at the root: the next parameter */
    struct rest_path path;         /* at the root only */
    enum rest_logic_kind kind;
    bool negated;                      /* AND and OR; a filter has its own */
    const struct rest_filter *filter;  /* REST_LOGIC_FILTER */
    const struct rest_logic *children; /* AND, OR */
};

enum rest_direction { REST_DIRECTION_NONE, REST_ASC, REST_DESC };
enum rest_nulls { REST_NULLS_NONE, REST_NULLS_FIRST, REST_NULLS_LAST };

struct rest_order_term {
    const struct rest_order_term *next;
    struct str relation; /* rel of rel(field); p == NULL: a field of the level itself */
    struct rest_field field;
    enum rest_direction direction;
    enum rest_nulls nulls;
};

struct rest_order { /* one order parameter; of several with the same path the first counts */
    const struct rest_order *next;
    struct rest_path path;
    const struct rest_order_term *terms;
};

#define REST_NO_LIMIT UINT64_MAX

struct rest_range { /* limit and offset of an embed */
    const struct rest_range *next;
    struct rest_path path;
    uint64_t limit; /* REST_NO_LIMIT: none */
    uint64_t offset;
};

enum rest_aggregate {
    REST_AGG_NONE,
    REST_AGG_SUM,
    REST_AGG_AVG,
    REST_AGG_COUNT,
    REST_AGG_MAX,
    REST_AGG_MIN
};
enum rest_join { REST_JOIN_DEFAULT, REST_JOIN_LEFT, REST_JOIN_INNER };
enum rest_select_kind { REST_SELECT_FIELD, REST_SELECT_EMBED, REST_SELECT_SPREAD };

struct rest_select {
    const struct rest_select *next;
    enum rest_select_kind kind;
    struct str alias;        /* p == NULL: none */
    struct rest_field field; /* FIELD: name "*" is everything; EMBED, SPREAD: name is the target */
    struct str cast;         /* FIELD: p == NULL: none. x::cast */
    enum rest_aggregate aggregate; /* FIELD; count() is COUNT of the field "*" */
    struct str aggregate_cast;     /* FIELD: x.sum()::cast; count()::cast */
    struct str hint;               /* EMBED, SPREAD: p == NULL: none */
    enum rest_join join;
    const struct rest_select *children; /* EMBED, SPREAD; NULL: rel() */
};

struct rest_name {
    const struct rest_name *next;
    struct str name;
};

struct rest_param { /* an argument of a GET to a function */
    const struct rest_param *next;
    struct str name, value;
};

struct rest_query {
    const struct rest_select *select; /* no select parameter: one item "*"; select= : NULL */
    const struct rest_filter *filters;
    const struct rest_logic *logic;
    const struct rest_order *orders;
    const struct rest_range *ranges; /* of embeds; the root's are limit and offset */
    uint64_t limit, offset;
    bool has_limit, has_offset;      /* an integer was given for the root */
    bool negative_limit;             /* limit of the root is below zero: PGRST103 */
    const struct rest_name *columns; /* columns=; unique names as written */
    const struct rest_name *on_conflict;
    bool has_columns, has_on_conflict;
    const struct rest_param *params;     /* reads of functions: keys whose value is no operator */
    const struct rest_name *filter_keys; /* raw keys of all filters, for PUT */
    size_t n_filters;                    /* those of all paths */
    struct str canonical;                /* for Content-Location: sorted by key, re-encoded */
};

/* Parses the raw query string (without '?'; p may be NULL). rpc_read: a GET or HEAD of a function,
 * where a value that is no operator expression is an argument. Errors are 400 PGRST100. */
MUSTCHECK bool rest_parse_query(struct arena *, struct str raw, bool rpc_read,
                                struct rest_query *out, struct err *);

enum rest_method {
    REST_GET,
    REST_HEAD,
    REST_POST,
    REST_PUT,
    REST_PATCH,
    REST_DELETE,
    REST_OPTIONS,
    REST_OTHER
};

enum rest_resource { REST_ROOT, REST_RELATION, REST_ROUTINE };

enum rest_action {
    REST_READ,   /* GET, HEAD of a relation */
    REST_INSERT, /* POST */
    REST_UPDATE, /* PATCH */
    REST_UPSERT, /* PUT: one row by its key */
    REST_REMOVE, /* DELETE */
    REST_CALL,   /* GET, HEAD, POST of a function; db-root-spec too */
    REST_SPEC,   /* GET, HEAD of the root */
    REST_INFO    /* OPTIONS */
};

struct rest_request {
    enum rest_method method;
    struct str method_name;
    enum rest_resource resource;
    enum rest_action action;
    struct str schema;   /* one of db-schemas */
    struct str name;     /* relation or function; empty for the root */
    bool profile_header; /* Content-Profile belongs into the answer */
    struct rest_query query;
    struct rest_prefs prefs;
    /* The root's rows after limit, offset and Range: 416 was already answered for what cannot be.
     * limit = REST_NO_LIMIT: all; limit_zero: no rows wanted, but a count may be. */
    uint64_t limit, offset;
    bool limit_zero;
    struct rest_media_list accept;
    enum rest_media_kind content_type;
    struct str content_type_text;
};

#endif
