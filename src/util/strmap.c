#include "util/strmap.h"

#include <stdlib.h>

#include "util/xalloc.h"

#define HASH_FUNCTION(keyptr, keylen, hashv)                                                       \
    ((hashv) = (unsigned)str_hash((struct str){(const char *)(keyptr), (keylen)}))
#include <uthash.h>

struct entry {
    UT_hash_handle hh;
    void *value;
    char key[];
};

struct strmap {
    struct entry *head;
};

struct strmap *strmap_new(void)
{
    return xcalloc(1, sizeof(struct strmap));
}

void strmap_free(struct strmap *m, void (*free_value)(void *))
{
    struct entry *e, *next;
    if (!m)
        return;
    HASH_ITER (hh, m->head, e, next) {
        HASH_DEL(m->head, e);
        if (free_value)
            free_value(e->value);
        free(e);
    }
    free(m);
}

static struct entry *find(const struct strmap *m, struct str key)
{
    struct entry *e;
    HASH_FIND(hh, m->head, key.p, key.n, e);
    return e;
}

void *strmap_get(const struct strmap *m, struct str key)
{
    struct entry *e = find(m, key);
    return e ? e->value : NULL;
}

void *strmap_put(struct strmap *m, struct str key, void *value)
{
    struct entry *e = find(m, key);
    if (e) {
        void *old = e->value;
        e->value = value;
        return old;
    }
    e = xcalloc(1, sizeof *e + key.n + 1);
    if (key.n)
        memcpy(e->key, key.p, key.n);
    e->value = value;
    HASH_ADD(hh, m->head, key, key.n, e);
    return NULL;
}

void *strmap_remove(struct strmap *m, struct str key)
{
    struct entry *e = find(m, key);
    if (!e)
        return NULL;
    void *value = e->value;
    HASH_DEL(m->head, e);
    free(e);
    return value;
}

size_t strmap_count(const struct strmap *m)
{
    return HASH_COUNT(m->head);
}

void strmap_each(struct strmap *m, void (*fn)(void *, struct str, void *), void *arg)
{
    struct entry *e, *next;
    HASH_ITER (hh, m->head, e, next)
        fn(arg, (struct str){e->key, e->hh.keylen}, e->value);
}
