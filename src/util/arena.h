/* arena: memory that lives as long as one request, freed at once and never singly.
 *
 * Every arena has a ceiling. arena_alloc returns NULL at the ceiling (or out of memory) and the
 * arena stays broken: callers on a parse path may check arena_broken() once at the end, but must
 * not use a NULL. Pointers are aligned for any type and zeroed. */
#ifndef PGH_UTIL_ARENA_H
#define PGH_UTIL_ARENA_H

#include "util/str.h"

struct arena {
    struct arena_block *head; /* the block being filled; older ones behind it */
    size_t used, ceiling;     /* bytes handed out by the system, and the most it may be */
    bool broken;
};

void arena_init(struct arena *, size_t ceiling); /* allocates nothing yet */
void arena_fini(struct arena *);  /* frees everything; may be used again after arena_init */
void arena_reset(struct arena *); /* frees all but the last block, for reuse */
MUSTCHECK void *arena_alloc(struct arena *, size_t n);
MUSTCHECK void *arena_array(struct arena *, size_t count, size_t size); /* checks the product */
MUSTCHECK char *arena_strdup(struct arena *, struct str s);             /* NUL-terminated copy */
MUSTCHECK char *arena_printf(struct arena *, const char *fmt, ...) PRINTF_LIKE(2, 3);
struct str arena_str(struct arena *, struct str s); /* copy; {NULL, 0} at the ceiling */

static inline bool arena_broken(const struct arena *a)
{
    return a->broken;
}

#define ARENA_NEW(arena, type) ((type *)arena_alloc((arena), sizeof(type)))

#endif
