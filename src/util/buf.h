/* buf: a growing byte buffer with a ceiling and a sticky error.
 *
 * Once an append does not fit (ceiling or out of memory) the buffer is broken: later appends do
 * nothing, and the caller checks buf_broken() once at the end, before it uses the bytes.
 * The owner calls buf_fini, or hands the memory on with buf_take. */
#ifndef PGH_UTIL_BUF_H
#define PGH_UTIL_BUF_H

#include "util/str.h"

struct buf {
    char *p;
    size_t n, cap, ceiling;
    bool broken;
};

#define BUF_NO_CEILING SIZE_MAX

static inline void buf_init(struct buf *b, size_t ceiling)
{
    *b = (struct buf){.ceiling = ceiling};
}

void buf_fini(struct buf *b);
void buf_clear(struct buf *b); /* keeps the memory */
/* Room for n more bytes; returns where they go (then add to b->n), or NULL when broken. */
char *buf_reserve(struct buf *b, size_t n);
void buf_add_slow(struct buf *b, const void *p, size_t n);
void buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
void buf_u64(struct buf *b, uint64_t v);
void buf_i64(struct buf *b, int64_t v);
/* Takes the memory out: the caller frees it with free(). *n is its length; the buffer is empty
 * again. */
char *buf_take(struct buf *b, size_t *n);

static inline bool buf_broken(const struct buf *b)
{
    return b->broken;
}

static inline struct str buf_str(const struct buf *b)
{
    return (struct str){b->p, b->n};
}

static inline void buf_add(struct buf *b, const void *p, size_t n)
{
    if (n <= b->cap - b->n && !b->broken && n > 0) {
        memcpy(b->p + b->n, p, n);
        b->n += n;
    } else {
        buf_add_slow(b, p, n);
    }
}

static inline void buf_char(struct buf *b, char c)
{
    if (b->n < b->cap && !b->broken)
        b->p[b->n++] = c;
    else
        buf_add(b, &c, 1);
}

static inline void buf_adds(struct buf *b, struct str s)
{
    buf_add(b, s.p, s.n);
}

#define BUF_LIT(b, literal) buf_add((b), (literal), sizeof(literal) - 1)

#endif
