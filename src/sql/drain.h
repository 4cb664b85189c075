/* drain: a buffer that is filled at one end and given away in pieces at the other. Offsets count
 * from the first byte that was ever put in. */
#ifndef PGH_SQL_DRAIN_H
#define PGH_SQL_DRAIN_H

#include "util/buf.h"

struct drain {
    struct buf buf;   /* append here */
    size_t given;     /* of buf: bytes that left */
    uint64_t cleared; /* bytes that stood in front of buf */
};

/* What left is closed up when it is this much and more than what waits, so that a drain which never
 * runs dry does not grow; each byte moves once at most. */
#define DRAIN_CLOSE_UP (64 * 1024)
/* Memory above this is given back when the drain runs dry: one huge row must not cost for ever. */
#define DRAIN_KEEP (1024 * 1024)

static inline void drain_init(struct drain *d)
{
    *d = (struct drain){.given = 0};
    buf_init(&d->buf, BUF_NO_CEILING);
}

static inline size_t drain_waiting(const struct drain *d)
{
    return d->buf.n - d->given;
}

static inline uint64_t drain_end(const struct drain *d) /* offset of the next byte put in */
{
    return d->cleared + d->buf.n;
}

static inline uint64_t drain_left(const struct drain *d) /* how many bytes left it */
{
    return d->cleared + d->given;
}

/* Moves up to n bytes to out. */
static inline void drain_give(struct drain *d, struct buf *out, size_t n)
{
    if (n > drain_waiting(d))
        n = drain_waiting(d);
    buf_add(out, d->buf.p + d->given, n);
    d->given += n;
    size_t waiting = drain_waiting(d);
    if (waiting > 0 && (d->given < DRAIN_CLOSE_UP || d->given < waiting))
        return;
    if (waiting > 0)
        memmove(d->buf.p, d->buf.p + d->given, waiting);
    d->cleared += d->given;
    d->given = 0;
    d->buf.n = waiting;
    if (waiting > 0)
        return;
    if (d->buf.cap > DRAIN_KEEP)
        buf_fini(&d->buf);
    else
        buf_clear(&d->buf);
}

#endif
