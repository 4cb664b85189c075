/* options: everything about an SQL request that is not SQL: one table of options, each a header and
 * a URL parameter (the URL wins), and the headers of Neon's driver for the same things.
 *
 * Feed the headers first, then the URL, then call sql_options_finish. Unknown Pghttpd-* headers and
 * unknown URL parameters are refused: a misspelled timeout must not run without one. */
#ifndef PGH_SQL_OPTIONS_H
#define PGH_SQL_OPTIONS_H

#include "db/job.h"
#include "util/arena.h"

enum sql_format { SQL_JSON, SQL_NDJSON, SQL_CSV };

#define SQL_RETRY_MAX 10

struct sql_options {
    uint64_t timeout_us; /* 0: not asked for */
    uint64_t max_rows;
    bool limited; /* max_rows was given */
    unsigned retry;
    enum db_isolation isolation;
    bool read_only, deferrable, array_mode, raw;
    bool fields; /* NDJSON begins with a line of the columns' names and types */
    /* What holds of what Neon-Batch-* headers asked for, to be echoed; p == NULL: not sent */
    struct str echo_isolation, echo_read_only, echo_deferrable;
    /* URL only, decoded into the arena with a NUL behind */
    struct str query, params;
    /* Borrowed from the request's headers */
    struct str connection_string, authorization, accept, content_type;
    enum sql_format format; /* after sql_options_finish */
    /* After sql_access_pool: that of the login, when its pool's sessions bear another one */
    struct str application_name;
};

/* One request header; those that mean nothing here are passed over. */
MUSTCHECK bool sql_options_header(struct sql_options *, struct str name, struct str value,
                                  struct err *);
/* The raw query string; copies what it keeps into the arena. */
MUSTCHECK bool sql_options_url(struct sql_options *, struct arena *, struct str query,
                               struct err *);
/* Chooses the format by Accept (406 when there is none), checks what only the whole can tell. */
MUSTCHECK bool sql_options_finish(struct sql_options *, struct err *);

/* "5s", "250ms", "1.5min", "2h", plain seconds; more than 0. */
MUSTCHECK bool sql_duration(struct str text, uint64_t *us);

/* Every header that a browser's script may want to send, for CORS (which adds Authorization). */
extern const char sql_options_headers[];

#endif
