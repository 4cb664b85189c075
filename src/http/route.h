/* route: one const entry per endpoint, in the endpoint's own file under src/api; the table of all
 * is api/routes.c.
 *
 * path is matched on the raw (percent-encoded) path. "/sql" matches exactly; "/listen/" with a
 * slash at its end matches everything below, and the remainder is req->rest. Each route also stands
 * under /db/NAME (flag ROUTE_DATABASE) and under /-/ . ROUTE_REST is mounted at rest-path. When
 * rest-path is "" REST owns every path that is not under /-/ (PostgREST drop-in). Answers for
 * unknown paths and methods come from the router, through fail(). */
#ifndef PGH_HTTP_ROUTE_H
#define PGH_HTTP_ROUTE_H

#include "http/server.h"

enum route_flags {
    ROUTE_DATABASE = 1,       /* also /db/NAME/... */
    ROUTE_REST = 2,           /* mounted at rest-path, all methods; pages of any origin may read it
                                 (cors.h) */
    ROUTE_GUARDED = 4,        /* web pages of foreign origins are refused before run: /sql, /copy,
                                 /notify */
    ROUTE_BODY_STREAM = 8,    /* body goes to http_body_sink */
    ROUTE_NO_BODY = 16,       /* a body is refused: 400 */
    ROUTE_ADMIN = 32,         /* admin port only */
    ROUTE_LOCAL = 64,         /* admin port: loopback or admin-token only */
    ROUTE_HEAD_LENGTH = 128,  /* HEAD is answered with the Content-Length of GET */
    ROUTE_STRICT_ORIGIN = 256 /* "*" among the allowed origins does not count in open mode: /sql,
                                 /copy */
};

struct route {
    const char *name;    /* label in metrics and log: "sql" */
    const char *methods; /* "GET, POST"; HEAD is implied by GET; OPTIONS is answered by cors.c
                            unless listed */
    const char *path;
    unsigned flags;
    void (*run)(struct worker *, struct http_req *);
    /* Writes an error in this endpoint's own shape: 413, 405, 403, ... found before run. NULL:
     * http_fail_json. */
    void (*fail)(struct http_req *, const struct err *);
    /* Who may use it; in CONF_OPEN the Host header must be one of ours. NULL: nothing is open. */
    enum conf_access (*access)(const struct conf *);
    /* For OPTIONS: request headers of its own beyond the usual ones, comma separated, or NULL. */
    const char *cors_headers;
    const char *exposed_headers; /* of its answers, that pages of other origins may read as well */
};

#endif
