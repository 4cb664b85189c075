/* event_stream: how a request becomes an event stream, for /listen and /changes. The request waits
 * here until its reader is live (LISTEN is committed), then its socket becomes a stream. After
 * WAIT_US the stream begins with comments instead, so that the head does not keep the client
 * waiting; a reader that is refused makes the request fail. */
#ifndef PGH_API_EVENT_STREAM_H
#define PGH_API_EVENT_STREAM_H

#include "api/channel_access.h"
#include "listen/hub.h"

/* By what right a stream is opened; borrowed from the request. */
struct event_right {
    enum channel_use use;
    struct str token; /* p == NULL: none */
    uint64_t expires; /* Unix seconds; 0: never */
};

/* What a stream is judged by again after a reload (streams_review). One piece of memory. */
struct event_grant {
    enum channel_use use;
    struct str database; /* empty: the configured one */
    struct str token;    /* p == NULL: none */
    char bytes[];
};

/* Is there room for one more stream? False: 503. */
MUSTCHECK bool event_stream_room(const struct worker *, struct err *);
/* Has the token not ended, to the second? False: 401. */
MUSTCHECK bool event_stream_current(const struct auth_identity *, struct err *);
void event_stream_head(struct http_req *); /* answers HEAD */
/* Answers the request, now or later; the reader is the stream's from here on. */
void event_stream_open(struct worker *, struct http_req *, struct hub_sub *,
                       const struct event_right *);

#endif
