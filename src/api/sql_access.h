/* sql_access: who runs /sql and /copy: the pool of a client's own PostgreSQL login, or in open mode
 * the server's. */
#ifndef PGH_API_SQL_ACCESS_H
#define PGH_API_SQL_ACCESS_H

#include "db/pool.h"
#include "http/server.h"
#include "sql/options.h"

/* Reads headers and URL into options (GET and HEAD: read only). False with err. */
MUSTCHECK bool sql_access_options(struct http_req *, struct sql_options *, struct err *);

/* The pool this request may use, good until the next turn; fills the options' application_name.
 * NULL with err: 404 off, 401 and 400 for credentials that are missing or refused. */
MUSTCHECK struct db_pool *sql_access_pool(struct worker *, struct http_req *, struct sql_options *,
                                          struct err *);

/* The time left for a request: its own timeout, capped by statement-timeout; 0: no limit. At least
 * 1 when it is over. */
uint64_t sql_access_time_left(const struct worker *, const struct http_req *,
                              const struct sql_options *);

/* What the client asked pg_stat_activity to show: its X-Request-Id, else its traceparent, else the
 * application_name of its login (options may be NULL); empty for what the session shows anyway. */
struct str sql_access_name(const struct http_req *, const struct sql_options *);

/* Zeroed memory that lives as long as the request. NULL: there is none, and it was answered. */
void *sql_access_memory(struct http_req *, size_t size);

enum conf_access sql_access_mode(const struct conf *);

/* The error object of /sql and /copy, with Retry-After and WWW-Authenticate where they belong. */
void sql_access_fail(struct http_req *, const struct err *);
/* 507 54000: the answer is more than response-max-bytes. */
void sql_access_too_big(struct err *, size_t most);
void sql_access_fail_index(struct http_req *, const struct err *, bool with_index, size_t index);

#endif
