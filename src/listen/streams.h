/* streams: the sockets of one worker that event streams are written to.
 *
 * A stream is a socket taken over from the HTTP server, a reader of a hub, and at most two messages
 * that the socket has not yet taken (the one half written, and the one behind a marker). It is
 * written straight from the hub's shared bytes, without blocking, when its reader is woken and when
 * the socket can take more; a client that does not read costs nothing but its kernel buffer. All
 * sockets hang in one edge-triggered epoll of their own, nested in the worker's loop; heartbeats
 * come from one wheel, not from a timer each. About 350 bytes of ours per stream, and its token.
 *
 * Ends: the client leaves, the token expires, a reload takes its right away (streams_review), the
 * server stops. All but the first end cleanly: last chunk, FIN, what the client still sends is read
 * and dropped, then close. */
#ifndef PGH_LISTEN_STREAMS_H
#define PGH_LISTEN_STREAMS_H

#include <stdatomic.h>

#include "listen/hub.h"
#include "util/loop.h"

struct streams;

struct streams_spec {
    struct loop *loop;
    uint64_t heartbeat_us;
    atomic_uint *total; /* streams of the whole process, counted here */
};

MUSTCHECK struct streams *streams_new(const struct streams_spec *, struct err *);
void streams_free(struct streams *); /* closes what is left */
void streams_reconfigure(struct streams *, uint64_t heartbeat_us);
unsigned streams_total(const struct streams *); /* of all workers */

struct stream_spec {
    int fd;              /* non-blocking; the stream's from here on */
    struct hub_sub *sub; /* not WAITING; the stream's from here on */
    struct str head;     /* the response head, with its empty line; copied */
    bool chunked;        /* false: HTTP/1.0 */
    uint64_t expires;    /* Unix seconds when the token ends; 0: never */
    void *grant;         /* what streams_review judges it by; the stream's, for free() */
    unsigned reviews;    /* streams_reviews() when that was found good */
};
void streams_add(struct streams *, const struct stream_spec *);

/* After a reload: ends the streams that `allowed` no longer allows, with `event: expired`, a few in
 * each turn, since a signature may have to be verified for each. */
typedef bool streams_allowed(void *arg, const void *grant, const struct hub_sub *);
void streams_review(struct streams *, streams_allowed *, void *arg);
unsigned streams_reviews(const struct streams *);

/* Ends all streams cleanly. on_drained runs once, in a later turn, when the last socket is closed;
 * a client that does not read is cut off after a second. */
void streams_drain(struct streams *, void (*on_drained)(void *arg), void *arg);

struct streams_stats {
    uint64_t opened, closed, expired, revoked, sent_bytes, heartbeats, blocked;
    unsigned open;
};
void streams_stats(const struct streams *, struct streams_stats *);
/* Samples of one worker; heads are written by the caller (hubs_metrics). */

#endif
