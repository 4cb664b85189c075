/* request: what a client asks of /listen, out of the path, the query string and Last-Event-ID.
 * Pure.
 *
 * Channels are percent-encoded names, as many `channel=` as there are, or one in the path; a name
 * that comes again counts once. What PostgreSQL would cut or refuse is refused here: LISTEN with 64
 * bytes or more listens to another name and says so in a notice nobody reads. */
#ifndef PGH_LISTEN_REQUEST_H
#define PGH_LISTEN_REQUEST_H

#include "conf/conf.h"
#include "util/arena.h"

struct listen_request {
    struct str *channels;
    size_t n;
    size_t max_buffer;
    bool raw;
    struct str last_id; /* p == NULL: none */
    struct str token;   /* access_token=, decoded; p == NULL: none */
};

/* last_event_id: the header ({NULL, 0}: none); it counts more than the parameter, which stays in an
 * EventSource's URL for ever. False with err: 400. */
MUSTCHECK bool listen_request_parse(struct arena *, const struct conf *, struct str path,
                                    struct str query, struct str last_event_id,
                                    struct listen_request *out, struct err *);

/* One percent-encoded channel name out of a path. */
MUSTCHECK bool listen_channel_parse(struct arena *, struct str path, struct str *out, struct err *);

#endif
