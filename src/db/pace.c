#include "db/pace.h"

#include <stdlib.h>

#include "util/xalloc.h"

#define PLACES 512 /* 4 KB a pool */

struct place {
    uint32_t tag; /* of the text; 0: empty */
    uint32_t us;
};

struct pace {
    struct place places[PLACES];
};

struct pace *pace_new(void)
{
    return xcalloc(1, sizeof(struct pace));
}

void pace_free(struct pace *p)
{
    free(p);
}

static uint32_t tag_of(uint64_t key)
{
    return (uint32_t)(key >> 32) | 1;
}

uint32_t pace_us(const struct pace *p, uint64_t key)
{
    const struct place *at = &p->places[key % PLACES];
    return at->tag == tag_of(key) ? at->us : PACE_UNKNOWN;
}

void pace_note(struct pace *p, uint64_t key, uint64_t us)
{
    struct place *at = &p->places[key % PLACES];
    uint32_t seen = us < PACE_SLOW_US ? (uint32_t)us : PACE_SLOW_US;
    if (at->tag != tag_of(key))
        *at = (struct place){.tag = tag_of(key), .us = seen};
    else if (seen < at->us)
        at->us -= (at->us - seen + 7) / 8;
    else if (seen > at->us)
        at->us += at->us / 64 + 1;
}

void pace_slow(struct pace *p, uint64_t key)
{
    p->places[key % PLACES] = (struct place){.tag = tag_of(key), .us = PACE_SLOW_US};
}
