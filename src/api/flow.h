/* flow: a reply that is held until it is whole, or until it is more than fits, and streams from
 * then on: out of a drain that a database job fills, with the job paused while the client is slow.
 *
 * The owner appends to the drain and calls flow_filled; when the job ended it calls flow_end if the
 * flow is streaming, and answers by itself (http_reply) if it is not. */
#ifndef PGH_API_FLOW_H
#define PGH_API_FLOW_H

#include "db/job.h"
#include "http/server.h"
#include "sql/drain.h"

struct flow {
    struct http_req *req;
    struct drain *out;
    struct db_job *job;        /* the owner sets it; NULL: none is running */
    size_t hold;               /* bytes */
    void (*closed)(void *arg); /* streaming: sent, or the client left; calls flow_drop */
    void *arg;
    int status; /* of a stream; 0: 200 */
    bool streaming;
    bool paused; /* the job is */
    bool ended;  /* nothing more will be put in */
    bool broken; /* and the stream must not look whole */
};

static inline void flow_init(struct flow *f, struct http_req *req, struct drain *out, size_t hold)
{
    *f = (struct flow){.req = req, .out = out, .hold = hold};
}

/* More is waiting than is held: the next flow_filled makes it a stream. */
bool flow_is_over(const struct flow *);
void flow_filled(struct flow *, struct str content_type);
void flow_end(struct flow *, bool whole);
void flow_drop(struct flow *); /* cancels the job; nothing else is touched */

#endif
