#include "api/openapi_cache.h"

#include <assert.h>
#include <stdlib.h>

#include "util/xalloc.h"

struct slot {
    struct conf *conf; /* a reference: its address stays its own */
    uint64_t catalog, heard_us;
    char *database, *schema, *role;
    struct openapi_access *access; /* NULL: somebody asks */
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
    openapi_access_unref(s->access);
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

static struct slot *find(struct openapi_cache *c, const struct openapi_cache_key *k)
{
    for (size_t i = 0; i < OPENAPI_CACHE_SLOTS; i++)
        if (c->slots[i].conf && same(&c->slots[i], k))
            return &c->slots[i];
    return NULL;
}

struct openapi_access *openapi_cache_get(struct openapi_cache *c, const struct openapi_cache_key *k,
                                         uint64_t now_us, bool *asked)
{
    struct slot *s = find(c, k);
    *asked = s && !s->access;
    if (s && s->access && now_us - s->heard_us < OPENAPI_CACHE_US)
        return openapi_access_ref(s->access);
    if (s && s->access)
        slot_clear(s);
    return NULL;
}

/* A free one, or the oldest that nobody waits for. */
static struct slot *make_room(struct openapi_cache *c)
{
    struct slot *oldest = NULL;
    for (size_t i = 0; i < OPENAPI_CACHE_SLOTS; i++) {
        struct slot *s = &c->slots[i];
        if (!s->conf)
            return s;
        if (s->access && (!oldest || s->heard_us < oldest->heard_us))
            oldest = s;
    }
    if (oldest)
        slot_clear(oldest);
    return oldest;
}

bool openapi_cache_ask(struct openapi_cache *c, const struct openapi_cache_key *k)
{
    struct slot *s = make_room(c);
    if (!s)
        return false;
    /* The key's configuration is referenced by the request that asks. */
    *s = (struct slot){.conf = conf_ref((struct conf *)(uintptr_t)k->conf),
                       .catalog = k->catalog,
                       .database = xstrndup(k->database),
                       .schema = xstrndup(k->schema),
                       .role = xstrndup(k->role)};
    return true;
}

void openapi_cache_put(struct openapi_cache *c, const struct openapi_cache_key *k,
                       struct openapi_access *access, uint64_t now_us)
{
    struct slot *s = find(c, k);
    assert(s && !s->access);
    s->access = openapi_access_ref(access);
    s->heard_us = now_us;
}

void openapi_cache_give_up(struct openapi_cache *c, const struct openapi_cache_key *k)
{
    struct slot *s = find(c, k);
    assert(s && !s->access);
    slot_clear(s);
}
