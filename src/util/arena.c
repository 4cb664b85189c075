#include "util/arena.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* The first block fits a usual request; later ones double, so that a big request needs few of them.
 */
#define FIRST_BLOCK 4000
#define KEPT_BLOCK (4 * FIRST_BLOCK) /* the most that waits for the next request */
#define ALIGNMENT alignof(max_align_t)

struct arena_block {
    struct arena_block *older;
    size_t size, used;
    alignas(max_align_t) char bytes[];
};

void arena_init(struct arena *a, size_t ceiling)
{
    *a = (struct arena){.ceiling = ceiling};
}

static void free_chain(struct arena_block *b)
{
    while (b) {
        struct arena_block *older = b->older;
        free(b);
        b = older;
    }
}

void arena_fini(struct arena *a)
{
    free_chain(a->head);
    *a = (struct arena){.ceiling = a->ceiling};
}

void arena_reset(struct arena *a)
{
    a->broken = false;
    if (!a->head)
        return;
    if (a->head->size > KEPT_BLOCK) {
        arena_fini(a);
        return;
    }
    free_chain(a->head->older);
    a->head->older = NULL;
    a->head->used = 0;
    a->used = a->head->size;
}

static bool add_block(struct arena *a, size_t n)
{
    size_t size = a->head ? a->head->size * 2 : FIRST_BLOCK;
    if (size > 1024 * 1024)
        size = 1024 * 1024;
    if (size < n)
        size = n;
    if (size > a->ceiling - a->used)
        size = n;
    if (n > a->ceiling - a->used)
        return false;
    struct arena_block *b = malloc(sizeof *b + size);
    if (!b)
        return false;
    *b = (struct arena_block){.older = a->head, .size = size};
    a->head = b;
    a->used += size;
    return true;
}

static void *take(struct arena *a, size_t n)
{
    if (a->broken || n > SIZE_MAX - ALIGNMENT) {
        a->broken = true;
        return NULL;
    }
    n = (n + ALIGNMENT - 1) & ~(ALIGNMENT - 1);
    if (!a->head || a->head->size - a->head->used < n) {
        if (!add_block(a, n)) {
            a->broken = true;
            return NULL;
        }
    }
    void *p = a->head->bytes + a->head->used;
    a->head->used += n;
    return p;
}

void *arena_alloc(struct arena *a, size_t n)
{
    void *p = take(a, n);
    return p ? memset(p, 0, n) : NULL;
}

void *arena_array(struct arena *a, size_t count, size_t size)
{
    size_t n;
    if (__builtin_mul_overflow(count, size, &n)) {
        a->broken = true;
        return NULL;
    }
    return arena_alloc(a, n);
}

char *arena_strdup(struct arena *a, struct str s)
{
    char *copy = s.n < SIZE_MAX ? take(a, s.n + 1) : NULL;
    if (!copy)
        return NULL;
    if (s.n)
        memcpy(copy, s.p, s.n);
    copy[s.n] = '\0';
    return copy;
}

struct str arena_str(struct arena *a, struct str s)
{
    char *copy = arena_strdup(a, s);
    return (struct str){copy, copy ? s.n : 0};
}

/* Printed straight into what is left of the block; only a text that does not fit is printed again.
 */
char *arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list args, again;
    size_t room = a->head && !a->broken ? a->head->size - a->head->used : 0;
    char *text = room ? a->head->bytes + a->head->used : NULL;
    va_start(args, fmt);
    va_copy(again, args);
    int n = vsnprintf(text, room, fmt, args);
    if (n >= 0 && (size_t)n < room) {
        size_t taken = ((size_t)n + ALIGNMENT) & ~(ALIGNMENT - 1);
        a->head->used += taken < room ? taken : room;
    } else {
        text = n < 0 ? NULL : arena_alloc(a, (size_t)n + 1);
        if (text)
            vsnprintf(text, (size_t)n + 1, fmt, again);
    }
    va_end(again);
    va_end(args);
    return text;
}
