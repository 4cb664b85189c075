#include "util/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define FIRST_SIZE 256

void buf_fini(struct buf *b)
{
    free(b->p);
    *b = (struct buf){.ceiling = b->ceiling};
}

void buf_clear(struct buf *b)
{
    b->n = 0;
    b->broken = false;
}

char *buf_reserve(struct buf *b, size_t n)
{
    if (b->broken || n > b->ceiling - b->n) {
        b->broken = true;
        return NULL;
    }
    if (n > b->cap - b->n) {
        size_t cap = b->cap > SIZE_MAX / 2 ? SIZE_MAX : b->cap * 2;
        if (cap < FIRST_SIZE)
            cap = FIRST_SIZE;
        if (cap < b->n + n)
            cap = b->n + n;
        if (cap > b->ceiling) /* buf_char looks at cap alone */
            cap = b->ceiling;
        char *p = realloc(b->p, cap);
        if (!p) {
            b->broken = true;
            return NULL;
        }
        b->p = p;
        b->cap = cap;
    }
    return b->p + b->n;
}

void buf_add_slow(struct buf *b, const void *p, size_t n)
{
    char *to = n ? buf_reserve(b, n) : NULL;
    if (!to)
        return;
    memcpy(to, p, n);
    b->n += n;
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    size_t room = b->broken ? 0 : b->cap - b->n;
    int n = vsnprintf(room ? b->p + b->n : NULL, room, fmt, args);
    if (n >= 0 && (size_t)n < room) {
        b->n += (size_t)n;
    } else {
        char *to = n < 0 ? NULL : buf_reserve(b, (size_t)n + 1);
        if (to) {
            vsnprintf(to, (size_t)n + 1, fmt, again);
            b->n += (size_t)n;
        }
    }
    va_end(again);
    va_end(args);
}

void buf_u64(struct buf *b, uint64_t v)
{
    char digits[20];
    size_t i = sizeof digits;
    do {
        digits[--i] = (char)('0' + v % 10);
        v /= 10;
    } while (v);
    buf_add(b, digits + i, sizeof digits - i);
}

void buf_i64(struct buf *b, int64_t v)
{
    if (v < 0)
        buf_char(b, '-');
    buf_u64(b, v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
}

char *buf_take(struct buf *b, size_t *n)
{
    char *p = b->p;
    *n = b->n;
    *b = (struct buf){.ceiling = b->ceiling};
    return p;
}
