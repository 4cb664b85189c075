/* priv: what the files of src/http share about a server, its connections and its requests.
 * Nobody outside src/http includes it.
 *
 * A connection is a struct peer from accept to close; libmicrohttpd's socket_context points at it.
 * A request is a struct request from its request line (the URI callback) to libmicrohttpd's
 * completed callback; libmicrohttpd's con_cls points at it. Both come from free lists. A request
 * whose connection died while its handler still owes an answer is kept as an orphan until the
 * answer comes. */
#ifndef PGH_HTTP_PRIV_H
#define PGH_HTTP_PRIV_H

#include <netinet/in.h>
#include <sys/socket.h>

#include "http/access.h"
#include "http/compress.h"
#include "http/cors.h"
#include "http/proxy.h"
#include "http/route.h"
#include "http/router.h"
#include "http/stats.h"
#include "http/wire.h"

struct MHD_Connection;
struct MHD_Daemon;
struct MHD_Response;

enum peer_phase {
    PEER_FRESH, /* accepted, no whole request line yet: has server-timeout-header for its head */
    PEER_IDLE,  /* between two requests: has server-timeout-idle */
    PEER_HEAD,  /* a request line came, its headers have not: server-timeout-header */
    PEER_BODY,  /* the body comes in: a floor under its rate */
    PEER_BUSY,  /* ours to answer, or the answer is on its way: libmicrohttpd's own timeout */
};

struct peer {
    struct http_server *server;
    struct MHD_Connection *mc;
    struct request *req; /* the one that is going on, or NULL */
    struct peer *next, *prev;
    struct peer *grace_next, *grace_prev; /* while in_grace */
    uint64_t since_us;                    /* when the phase began */
    uint64_t grace_us; /* when a waiting request counts as abandoned; 0: libmicrohttpd is shown the
                          FIN */
    int fd;
    enum peer_phase phase;
    bool fin, hup, in_grace;
    bool trusted; /* a proxy whose X-Forwarded-For counts */
    bool local;   /* loopback or unix socket */
    bool unix_socket;
    unsigned served; /* requests answered on it */
    int refused;     /* status of the answer to what wire.c refused; 0: nothing */
    struct wire wire;
    unsigned char address_n;
    char address[INET6_ADDRSTRLEN];
};

enum req_state {
    REQ_HEAD,     /* the request line is here */
    REQ_BODY,     /* the head was accepted; the body comes in, or is thrown away (discard) */
    REQ_RUNNING,  /* run() was called and owes an answer */
    REQ_ANSWERED, /* an answer is there and will be queued at the end of the handler call */
    REQ_SENDING,  /* libmicrohttpd has it */
};

/* libmicrohttpd's first call for a request comes again when the request was suspended in it. */
enum first_call { FIRST_AHEAD, FIRST_RUNNING, FIRST_SUSPENDED, FIRST_OVER };

/* Does its connection go on? */
enum req_exit {
    EXIT_NONE,
    EXIT_ABORT, /* the next handler call returns MHD_NO */
    EXIT_TAKEN, /* the socket was taken over, or the answer went out by linger */
};

/* Does the sink take more of the body? */
enum sink_state { SINK_READY, SINK_FULL, SINK_ENDED };

struct header {
    struct str name, value;
};

struct headers {
    struct header *v;
    size_t n, cap;
};

struct request {
    struct http_req pub; /* first: handlers see this part */
    struct http_server *server;
    struct peer *peer; /* NULL for an orphan */
    struct MHD_Connection *mc;
    struct arena arena;
    enum req_state state;
    unsigned route_index; /* in the router's table, for the statistics */
    unsigned methods;     /* of the route */
    const char *allow;
    enum first_call first_call;
    enum req_exit exit;
    bool in_handler;    /* inside libmicrohttpd's handler call for this request */
    bool suspended;     /* taken out of libmicrohttpd's loop by us */
    bool run_called;    /* the handler knows this request */
    bool body_done;     /* the last byte of the body is here */
    bool body_expected; /* Content-Length > 0 or chunked */
    bool discard;       /* body bytes are thrown away */
    bool head_only;     /* HEAD */
    bool chunked_reply; /* a broken one shows as such */
    bool close;         /* Connection: close after this one */
    bool gzip_ok;       /* the client takes gzip */
    bool chunked, expects_continue;
    bool no_discard;    /* where the request ends cannot be known, or is too far away */
    bool counted;       /* in in_flight */
    bool asked;         /* its client sent a FIN, and was asked whether it still reads */
    bool forwarded;     /* the address comes from X-Forwarded-For */
    struct err *failed; /* found before run; answered when the body was thrown away */
    uint64_t content_length, body_in; /* wire bytes announced and come */
    size_t head_bytes;
    unsigned n_host, n_content_length, n_transfer_encoding;
    bool bad_line;        /* a header that is not as RFC 9112, section 5, has it */
    const char *line_end; /* of the last header looked at */
    struct str host, origin, sec_fetch_site, content_encoding, accept_encoding, forwarded_for;
    struct str transfer_encoding, expect, ask_method, ask_headers, trace_value;
    struct headers in, out;
    struct buf body;
    size_t charged; /* of body, in the server's body_bytes */
    struct inflater *inflater;

    /* body to a sink */
    const struct http_body_sink *sink;
    void *sink_arg;
    enum sink_state sink_state;
    struct buf held; /* inflated bytes that wait for http_body_resume */

    /* the answer */
    struct MHD_Response *response;
    int status;
    uint64_t body_out; /* bytes of the body handed over */
    struct stream *stream;
    void (*on_gone)(void *arg);
    void *gone_arg;

    uint64_t began_us; /* head complete */
    uint64_t queue_us, connect_us, db_us;
    char id_text[24];
    struct request *next_free;
};

struct http_server {
    struct loop *loop;
    struct worker *worker;
    struct conf *conf;
    const struct route *const *routes;
    struct router *router;
    bool admin, quiesced, accepting, closing;
    int listen_fd;
    struct event *accept_ev;
    int reserve_fd; /* given up for a moment at EMFILE, to say 503 */

    struct MHD_Daemon *daemon;
    struct event *daemon_ev, *again_ev;
    struct loop_task kick;
    size_t head_max; /* bytes of a request head that leave room for the answer's head */

    int gone_ep; /* epoll of all connections for RDHUP alone */
    struct event *gone_ev;
    struct peer *peers, *free_peers;
    struct peer **by_fd; /* of n_by_fd, by descriptor; NULL where there is none */
    size_t n_by_fd;
    struct peer *grace_first, *grace_last;
    struct loop_timer grace_timer, tick;
    unsigned n_peers, n_free_peers;

    struct request *free_requests;
    unsigned n_free_requests;

    struct lingerer *lingering;
    unsigned n_lingering;

    struct cidr_list *trusted;
    atomic_size_t *body_bytes; /* borrowed; shared with the servers of other workers */
    uint32_t id_prefix, id_count;
    struct gzipper *gzipper; /* made by the first body it compresses: 256 KB */
    struct request *orphans;

    struct access_log access;
    struct loop_task access_task;
    struct http_stats *stats; /* of its own allocation: metrics of other workers read it */
};

static inline struct request *request_of(struct http_req *r)
{
    return (struct request *)(void *)r;
}

/* server.c */
void server_kick(struct http_server *);
void peer_phase_set(struct peer *, enum peer_phase);
void peer_watch_gone(struct peer *); /* its request waits: a FIN seen earlier starts the grace */
void peer_grace_end(struct peer *);

/* server_wire.c: libmicrohttpd is only ever called between these two, on the server's thread. */
void server_enter(struct http_server *);
void server_leave(void);
void server_wire_add(struct peer *);
void server_wire_remove(struct peer *);
/* Did its requests come past us? If not, their chunks cannot be judged. */
bool server_sees_wire(const struct peer *);

/* request.c */
struct request *request_new(struct http_server *, struct peer *, struct MHD_Connection *,
                            const char *target);
void request_free_pool(struct http_server *); /* also lets go of orphans */
void request_resume(struct request *);        /* lets libmicrohttpd call us again for it */
void request_gone(struct request *);          /* the client left while it was suspended */
void request_lost(struct request *);          /* its connection ends and it was not completed */
void request_end(struct request *);           /* the server ends while it was suspended */
void request_fail(struct request *, const struct err *);
void request_answered(struct request *);         /* response, or taken, is set */
bool request_body_short(const struct request *); /* what is left of it may be read and dropped */
bool request_orphan_done(struct request *);      /* true: it was one, and is freed now */

/* head.c: what a request's head says, before its body is looked at. */
/* Looks at one header after the other, and at what is behind the last: bad_line (head_lines.c). */
void head_line(struct request *, struct str name, struct str value);
void head_lines_end(struct request *, const char *method);
/* A word of RFC 9110, section 5.6.2. */
bool reply_token(struct str);
bool head_read(struct request *, const char *method, const char *version, struct err *);
bool head_route(struct request *, struct err *); /* false: refused, with err */
bool head_is_options_here(const struct request *);
struct cors_request head_cors(const struct request *);

/* reply.c */
typedef void reply_add(void *arg, const char *name, const char *value);
void reply_heads(struct request *, reply_add *, void *arg); /* all but those about the body */
struct MHD_Response *reply_decorate(struct request *, struct MHD_Response *, struct str type);
/* The answer's Content-Type: the handler's header, else type. */
struct str reply_type(const struct request *, struct str type);
bool reply_head_fits(const struct request *);
struct MHD_Response *reply_head_response(void); /* HEAD without Content-Length */
void http_error_json(struct buf *out, const struct err *);
int reply_take_socket(struct request *); /* a copy out of libmicrohttpd's hands; -1: none left */
void reply_options(struct request *);    /* OPTIONS that no handler wants */

/* stream.c */
void stream_gone(struct request *);
void stream_free(struct request *);

/* linger.c: sockets that get a last answer: written, shut down, drained for a moment so that the
 * close does not become a reset that eats the answer, and closed. Takes fd. */
void linger_answer(struct buf *out, int status, const char *json); /* such an answer, whole */
void linger_start(struct http_server *, int fd, struct buf *answer);
void linger_tick(struct http_server *, uint64_t now_us);
void linger_free_all(struct http_server *);

#endif
