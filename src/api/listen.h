/* listen: what a reload has to tell /listen. */
#ifndef PGH_API_LISTEN_H
#define PGH_API_LISTEN_H

struct worker;

/* The worker's settings or keys are other ones: ends its streams that they no longer allow, in
 * later turns (streams_review). On the worker's thread. */
void listen_review(struct worker *);

#endif
