/* flow: a reply that is held until it is whole, or until it is more than fits, and streams from
 * then on: out of a drain that a database job fills. One that is to be kept (a batch, whose failure
 * is told by the status) is held as long as memory lets it, in the same share as below.
 *
 * Whose client is behind by more than is held pauses its job, and so keeps a connection of the
 * pool. Not for long: when it has made no room for a second, the answer is read ahead of it into
 * memory, within response-memory-max, which all streams share (an eighth of it each at most). What
 * is too large for that is broken off when its client took nothing for five seconds and others wait
 * for the connection.
 *
 * A write that is broken off may have been committed: PostgreSQL has done its work before it sends
 * the first row. Its client knows as little as behind any other connection that broke.
 *
 * The owner appends to the drain and calls flow_filled; when the job ended it calls flow_end if the
 * flow is streaming, and answers by itself (http_reply) if it is not. */
#ifndef PGH_API_FLOW_H
#define PGH_API_FLOW_H

#include "app.h"
#include "db/job.h"
#include "http/server.h"
#include "sql/drain.h"

struct flow {
    struct worker *worker;
    struct http_req *req;
    struct drain *out;
    struct db_job *job;        /* the owner sets it; NULL: none is running */
    size_t hold;               /* bytes */
    size_t ahead;              /* of what is in out, in the app's ahead_bytes */
    void (*closed)(void *arg); /* streaming: sent, or the client left; calls flow_drop */
    void *arg;
    struct loop_timer timer; /* while it is paused */
    int status;              /* of a stream; 0: 200 */
    unsigned stalled;        /* times the timer ran without the client taking anything */
    bool keep; /* held to its end, as long as it may be read ahead; the owner sets it */
    bool streaming;
    bool paused; /* the job is */
    bool slow;   /* the client is: what does not fit may be read ahead of it */
    bool ended;  /* nothing more will be put in */
    bool broken; /* and the stream must not look whole */
};

void flow_init(struct flow *, struct worker *, struct http_req *, struct drain *out);
/* More is waiting than is held: the next flow_filled makes it a stream. */
bool flow_is_over(struct flow *);
void flow_filled(struct flow *, struct str content_type);
void flow_begin(struct flow *,
                struct str content_type); /* streams from now on, however little it is */
void flow_end(struct flow *, bool whole);
void flow_drop(struct flow *); /* cancels the job; nothing else is touched */

#endif
