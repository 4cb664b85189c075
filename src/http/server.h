/* server: HTTP/1.1 (RFC 9110, 9112) for one worker, by libmicrohttpd in external epoll mode on our
 * loop. src/http/server*.c are the only files that know libmicrohttpd.
 *
 * Life of a request: head and body arrive (bounded) -> its route's run() is called once, on the
 * loop -> exactly one of http_reply, http_stream or http_takeover, now or in a later turn -> the
 * reply is sent -> the request is freed. A client that leaves earlier: on_gone runs (once), and
 * from then on the handler must not touch the request. Everything a request points at lives in its
 * arena until then.
 *
 * Header values are borrowed from the connection until the reply is queued. */
#ifndef PGH_HTTP_SERVER_H
#define PGH_HTTP_SERVER_H

#include <stdatomic.h>

#include "conf/conf.h"
#include "util/arena.h"
#include "util/buf.h"
#include "util/loop.h"

struct worker;
struct http_server;
struct route;

enum http_method {
    HTTP_GET,
    HTTP_HEAD,
    HTTP_POST,
    HTTP_PUT,
    HTTP_PATCH,
    HTTP_DELETE,
    HTTP_OPTIONS,
    HTTP_OTHER
};

struct http_req {
    struct worker *worker;
    const struct route *route;
    enum http_method method;
    struct str method_name;
    struct str target;   /* as sent: path and query, percent-encoded */
    struct str path;     /* raw path as sent, without the query */
    struct str rest;     /* raw path behind the route's own part, e.g. "items" of /rest/items or
                            "orders" of /listen/orders */
    struct str query;    /* raw, behind the '?'; p == NULL when there was none */
    struct str database; /* decoded NAME of /db/NAME/..., empty for the configured one */
    struct str
        body; /* whole and inflated; routes with ROUTE_BODY_STREAM get it through on_body instead */
    struct str address;     /* the client's, X-Forwarded-For respected where the proxy is trusted */
    struct str id;          /* request id: the client's X-Request-Id when it is decent, else ours */
    struct str traceparent; /* W3C trace context as sent when decent, else empty */
    uint64_t received_us;   /* when the last byte of the request was read (loop clock) */
    struct arena *arena;
    bool http10;
    void *state; /* the handler's own */
};

/* Request headers, names without regard to case; {NULL, 0} when absent. http_headers calls fn for
 * each line. */
struct str http_header(const struct http_req *, const char *name);
void http_headers(const struct http_req *, void (*fn)(void *arg, struct str name, struct str value),
                  void *arg);

/* May a response have this header? Not when name or value break RFC 9110 or are the server's own.
 */
bool http_header_ok(struct str name, struct str value);

/* Response headers. False (and nothing added) when name or value break RFC 9110 or are the server's
 * own. */
bool http_add_header(struct http_req *, struct str name, struct str value);
void http_set_header(struct http_req *, struct str name,
                     struct str value); /* replaces those of this name */
bool http_has_header(const struct http_req *, struct str name);

/* Answers. content_type p == NULL: no Content-Type. body may be NULL (empty); its memory is taken.
 * HEAD requests get the head alone, without Content-Length unless the route says otherwise.
 * Content-Encoding (gzip) is chosen here from Accept-Encoding for bodies worth it. */
void http_reply(struct http_req *, int status, struct str content_type, struct buf *body);
void http_reply_static(struct http_req *, int status, struct str content_type,
                       struct str body); /* bytes live for ever */

/* A body of unknown length, pulled with backpressure. pull appends to out up to about want bytes.
 * HTTP_WAIT: nothing now, http_stream_wake will be called. HTTP_BREAK: cut the body so that it does
 * not look whole. */
enum http_pull { HTTP_MORE, HTTP_WAIT, HTTP_END, HTTP_BREAK };
struct http_source {
    enum http_pull (*pull)(void *arg, struct buf *out, size_t want);
    void (*closed)(
        void *arg); /* exactly once, at the end or when the client left; replaces on_gone */
};
void http_stream(struct http_req *, int status, struct str content_type, const struct http_source *,
                 void *arg);
void http_stream_wake(struct http_req *);

/* A request body in pieces, for ROUTE_BODY_STREAM: run() is called at the head and sets this, now
 * or later; until then nothing is read. With a sink set http_on_gone too: a body that breaks a rule
 * is answered by the server, and the handler hears of it that way. An answer before the end of the
 * body is sent at once and ends the connection, unless little is left.
 * on_body returns false to say: full, call http_body_resume for more. at_end tells the last
 * (possibly empty) piece; a body that was cut off ends in on_gone instead. */
struct http_body_sink {
    bool (*on_body)(void *arg, struct str piece, bool at_end);
};
void http_body_sink(struct http_req *, const struct http_body_sink *, void *arg);
void http_body_resume(struct http_req *);

/* The client left before the answer was complete. Set it to NULL once it no longer matters. */
void http_on_gone(struct http_req *, void (*fn)(void *arg), void *arg);

/* The socket is the caller's from here on (non-blocking, TCP_NODELAY set): it writes the head
 * itself and closes it. GET and HEAD without a body only. -1: no descriptor left, answer 503. The
 * request is over afterwards (and logged as `status`). Only inside run() or in a later turn before
 * any answer. */
MUSTCHECK int http_takeover(struct http_req *, int status);

/* For a taken socket: the header lines the server would have added (CORS, X-Request-Id, and those
 * of http_add_header), each ended with CRLF, to stand in the head that the caller writes. Call it
 * before or right after http_takeover, in the same turn. */
void http_takeover_headers(struct http_req *, struct buf *out);

/* An error as {"code","details","hint","message"}, with Retry-After and Proxy-Status. */
void http_fail_json(struct http_req *, const struct err *);

/* The rules for web pages of other origins, for routes that are guarded only sometimes (events with
 * a cookie). False with 403 in err. */
MUSTCHECK bool http_guard(struct http_req *, struct err *);

/* Did it come over loopback or a unix socket? */
bool http_is_local(const struct http_req *);

/* Does it carry admin-token as its bearer token? */
bool http_has_admin_token(const struct http_req *);

/* For the access log and Server-Timing. */
void http_set_times(struct http_req *, uint64_t queue_us, uint64_t connect_us, uint64_t db_us);

/* The server of one worker. listen_fd is shared or the worker's own; the server closes nothing it
 * was given. */
struct http_server_spec {
    struct loop *loop;
    struct worker *worker;
    struct conf *conf;
    const struct route *const *routes; /* NULL-terminated */
    int listen_fd;
    bool admin;
    atomic_size_t *body_bytes; /* held by requests of all servers; borrowed, outlives them */
};
MUSTCHECK struct http_server *http_server_new(const struct http_server_spec *, struct err *);
void http_server_reconfigure(struct http_server *, struct conf *);
void http_server_quiesce(struct http_server *); /* accepts nothing more; what runs goes on */
unsigned http_server_connections(
    const struct http_server *); /* open ones, idle keep-alive not counted after quiesce */
void http_server_free(struct http_server *); /* ends everything that is left */
/* Whole metric families, summed over the servers of all workers; any thread. */
void http_servers_metrics(struct http_server *const *, size_t n, struct buf *out);

/* Listening sockets, made in main before the workers start; unix sockets too. Errors name address
 * and reason. */
MUSTCHECK int http_listen_tcp(const char *host, unsigned port, bool reuseport, unsigned *bound_port,
                              struct err *);
MUSTCHECK int http_listen_unix(const char *path, unsigned mode, struct err *);
/* One socket for each of n workers on one port. A port that another program has is found out, even
 * though the workers' sockets share it, unless shared_port (server-reuseport) allows that. */
struct http_address {
    const char *host;
    unsigned port;
    bool shared_port;
};
MUSTCHECK bool http_listen_workers(const struct http_address *, size_t n, int *fds,
                                   unsigned *bound_port, struct err *);
/* Raises the soft limit of descriptors to the hard one; false when that is below wanted. */
bool http_raise_nofile(uint64_t wanted, uint64_t *got);

#endif
