/* ring: the last messages of one channel, each under its ordinal.
 *
 * Ordinals count the messages of this ring from 0 and are never reused, so that the number of
 * messages a reader lost is a difference of two ordinals. Sequence numbers rise along the ring.
 * Belongs to the hub, under its lock. */
#ifndef PGH_LISTEN_RING_H
#define PGH_LISTEN_RING_H

#include "listen/msg.h"

struct ring {
    struct hub_msg **slot; /* a power of two of them, grown as needed */
    size_t cap;
    uint64_t tail, head;  /* ordinals: tail is the oldest kept, head the next to come */
    uint64_t evicted_seq; /* sequence number of the last one that was evicted; 0: none yet */
    size_t bytes;
};

void ring_fini(struct ring *);
/* Takes the reference; evicts the oldest while there are more than max (at least 1). */
void ring_push(struct ring *, struct hub_msg *, size_t max);
void ring_evict(struct ring *); /* the oldest; the ring must not be empty */
struct hub_msg *ring_at(const struct ring *,
                        uint64_t ordinal); /* borrowed; tail <= ordinal < head */
/* The first ordinal, from `from` on, whose sequence number is at least seq; head when there is
 * none. */
uint64_t ring_lower_bound(const struct ring *, uint64_t from, uint64_t seq);

static inline size_t ring_count(const struct ring *r)
{
    return (size_t)(r->head - r->tail);
}

#endif
