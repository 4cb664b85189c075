#include "db/types.h"

#include <stdlib.h>

#include "util/xalloc.h"

/* Open addressing; at most half full. When it has TYPES_MAX entries it is emptied: a database with
 * that many types in its results asks again. */
#define TYPES_MAX 32768

struct db_types {
    struct db_type *slots; /* oid 0: free */
    size_t cap, n;
};

struct db_types *db_types_new(void)
{
    return xcalloc(1, sizeof(struct db_types));
}

void db_types_free(struct db_types *t)
{
    if (!t)
        return;
    free(t->slots);
    free(t);
}

static struct db_type *slot_of(const struct db_types *t, db_oid oid)
{
    size_t i = (size_t)(oid * 2654435769u) & (t->cap - 1);
    while (t->slots[i].oid && t->slots[i].oid != oid)
        i = (i + 1) & (t->cap - 1);
    return &t->slots[i];
}

static void grow(struct db_types *t)
{
    struct db_types more = {.cap = t->cap ? t->cap * 2 : 64};
    more.slots = xcalloc(more.cap, sizeof *more.slots);
    for (size_t i = 0; i < t->cap; i++)
        if (t->slots[i].oid)
            *slot_of(&more, t->slots[i].oid) = t->slots[i];
    more.n = t->n;
    free(t->slots);
    *t = more;
}

void db_types_add(struct db_types *t, const struct db_type *type)
{
    if (t->n >= TYPES_MAX) {
        free(t->slots);
        *t = (struct db_types){0};
    }
    if (t->n * 2 >= t->cap)
        grow(t);
    struct db_type *slot = slot_of(t, type->oid);
    t->n += slot->oid == 0;
    *slot = *type;
}

const struct db_type *db_types_find(const struct db_types *t, db_oid oid)
{
    if (!t || oid < DB_FIRST_USER_OID || t->cap == 0)
        return NULL;
    const struct db_type *slot = slot_of(t, oid);
    return slot->oid ? slot : NULL;
}
