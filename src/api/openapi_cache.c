#include "api/openapi_cache.h"

#include <stdlib.h>

#include "util/xalloc.h"

struct slot {
    struct conf *conf; /* a reference: its address stays its own */
    uint64_t catalog, made_us;
    char *database, *schema, *role;
    struct buf document;
};

struct openapi_cache {
    struct slot slots[OPENAPI_CACHE_SLOTS];
};

struct openapi_cache *openapi_cache_new(void)
{
    return xcalloc(1, sizeof(struct openapi_cache));
}

static void slot_clear(struct slot *s)
{
    conf_unref(s->conf);
    free(s->database);
    free(s->schema);
    free(s->role);
    buf_fini(&s->document);
    *s = (struct slot){0};
}

void openapi_cache_free(struct openapi_cache *c)
{
    for (size_t i = 0; c && i < OPENAPI_CACHE_SLOTS; i++)
        if (c->slots[i].conf)
            slot_clear(&c->slots[i]);
    free(c);
}

static bool same(const struct slot *s, const struct openapi_cache_key *k)
{
    return s->conf == k->conf && s->catalog == k->catalog && str_eq(str_of(s->role), k->role) &&
           str_eq(str_of(s->schema), k->schema) && str_eq(str_of(s->database), k->database);
}

struct str openapi_cache_get(struct openapi_cache *c, const struct openapi_cache_key *k,
                             uint64_t now_us)
{
    for (size_t i = 0; i < OPENAPI_CACHE_SLOTS; i++) {
        struct slot *s = &c->slots[i];
        if (!s->conf || !same(s, k))
            continue;
        if (now_us - s->made_us < OPENAPI_CACHE_US)
            return buf_str(&s->document);
        slot_clear(s);
    }
    return (struct str){NULL, 0};
}

void openapi_cache_put(struct openapi_cache *c, const struct openapi_cache_key *k,
                       struct str document, uint64_t now_us)
{
    struct slot *to = &c->slots[0];
    if (document.n > OPENAPI_CACHE_DOCUMENT_MAX)
        return;
    for (size_t i = 0; i < OPENAPI_CACHE_SLOTS && to->conf; i++)
        if (!c->slots[i].conf || c->slots[i].made_us < to->made_us)
            to = &c->slots[i];
    if (to->conf)
        slot_clear(to);
    buf_init(&to->document, OPENAPI_CACHE_DOCUMENT_MAX);
    buf_adds(&to->document, document);
    if (buf_broken(&to->document)) {
        buf_fini(&to->document);
        return;
    }
    /* The key's configuration is referenced by the request that asks. */
    to->conf = conf_ref((struct conf *)(uintptr_t)k->conf);
    to->catalog = k->catalog;
    to->made_us = now_us;
    to->database = xstrndup(k->database);
    to->schema = xstrndup(k->schema);
    to->role = xstrndup(k->role);
}
