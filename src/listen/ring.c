#include "listen/ring.h"

#include <assert.h>
#include <stdlib.h>

#include "util/xalloc.h"

#define RING_CAP_FIRST 8

void ring_fini(struct ring *r)
{
    while (ring_count(r) > 0)
        ring_evict(r);
    free(r->slot);
    *r = (struct ring){0};
}

static void grow(struct ring *r)
{
    size_t cap = r->cap ? r->cap * 2 : RING_CAP_FIRST;
    struct hub_msg **slot = xcalloc(cap, sizeof(struct hub_msg *));
    for (uint64_t o = r->tail; o != r->head; o++)
        slot[o & (cap - 1)] = r->slot[o & (r->cap - 1)];
    free(r->slot);
    r->slot = slot;
    r->cap = cap;
}

void ring_push(struct ring *r, struct hub_msg *m, size_t max)
{
    assert(max > 0);
    while (ring_count(r) >= max)
        ring_evict(r);
    if (ring_count(r) == r->cap)
        grow(r);
    r->slot[r->head++ & (r->cap - 1)] = m;
    r->bytes += hub_msg_cost(m);
}

void ring_evict(struct ring *r)
{
    assert(ring_count(r) > 0);
    struct hub_msg **slot = &r->slot[r->tail++ & (r->cap - 1)];
    r->evicted_seq = (*slot)->seq;
    r->bytes -= hub_msg_cost(*slot) + ((*slot)->raw ? hub_msg_cost((*slot)->raw) : 0);
    hub_msg_unref(*slot);
    *slot = NULL;
}

struct hub_msg *ring_at(const struct ring *r, uint64_t ordinal)
{
    assert(ordinal >= r->tail && ordinal < r->head);
    return r->slot[ordinal & (r->cap - 1)];
}

uint64_t ring_lower_bound(const struct ring *r, uint64_t from, uint64_t seq)
{
    uint64_t low = from > r->tail ? from : r->tail, high = r->head;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (ring_at(r, middle)->seq >= seq)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}
