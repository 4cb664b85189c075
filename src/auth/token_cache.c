#include "auth/token_cache.h"

#include <assert.h>
#include <stdlib.h>

#include <openssl/crypto.h>

#include "util/xalloc.h"

struct entry {
    struct entry *chain;         /* next of the same bucket */
    struct entry *newer, *older; /* of the queue */
    uint64_t hash;
    bool visited;
    struct token_facts facts;
    size_t token_len;
    char bytes[]; /* token, role, claims */
};

struct token_cache {
    size_t max, count, mask;
    struct entry **buckets;
    struct entry *newest, *oldest, *hand;
    uint64_t evictions;
};

struct token_cache *token_cache_new(size_t max_entries)
{
    struct token_cache *c = xcalloc(1, sizeof *c);
    size_t buckets = 16;
    while (buckets < max_entries)
        buckets *= 2;
    c->max = max_entries;
    c->mask = buckets - 1;
    if (max_entries)
        c->buckets = xcalloc(buckets, sizeof(struct entry *));
    return c;
}

static struct entry **place(const struct token_cache *c, const struct entry *e)
{
    struct entry **at = &c->buckets[e->hash & c->mask];
    while (*at != e)
        at = &(*at)->chain;
    return at;
}

static void take_out(struct token_cache *c, struct entry *e)
{
    *place(c, e) = e->chain;
    *(e->newer ? &e->newer->older : &c->newest) = e->older;
    *(e->older ? &e->older->newer : &c->oldest) = e->newer;
    if (c->hand == e)
        c->hand = e->newer;
    c->count--;
    explicit_bzero(e->bytes, e->token_len);
    free(e);
}

void token_cache_clear(struct token_cache *c)
{
    for (struct entry *e = c->oldest, *newer; e; e = newer) {
        newer = e->newer;
        take_out(c, e);
    }
    assert(c->count == 0);
}

void token_cache_free(struct token_cache *c)
{
    if (!c)
        return;
    token_cache_clear(c);
    free(c->buckets);
    free(c);
}

static struct entry *find(const struct token_cache *c, struct str token, uint64_t hash)
{
    struct entry *e = c->buckets[hash & c->mask];
    while (e && !(e->hash == hash && e->token_len == token.n &&
                  CRYPTO_memcmp(e->bytes, token.p, token.n) == 0))
        e = e->chain;
    return e;
}

const struct token_facts *token_cache_get(struct token_cache *c, struct str token)
{
    if (!c->count || token.n > TOKEN_CACHED_MAX)
        return NULL;
    struct entry *e = find(c, token, str_hash(token));
    if (!e)
        return NULL;
    e->visited = true;
    return &e->facts;
}

static void evict(struct token_cache *c)
{
    struct entry *e = c->hand ? c->hand : c->oldest;
    while (e->visited) {
        e->visited = false;
        e = e->newer ? e->newer : c->oldest;
    }
    c->hand = e;
    take_out(c, e);
    c->evictions++;
}

static struct str copy(char **at, struct str s)
{
    struct str out = {*at, s.n};
    if (s.n)
        memcpy(*at, s.p, s.n);
    *at += s.n;
    return out;
}

void token_cache_put(struct token_cache *c, struct str token, const struct token_facts *facts)
{
    if (!c->max || token.n > TOKEN_CACHED_MAX)
        return;
    uint64_t hash = str_hash(token);
    struct entry *e = find(c, token, hash);
    if (e)
        take_out(c, e);
    else if (c->count == c->max)
        evict(c);
    e = xmalloc(sizeof *e + token.n + facts->role.n + facts->claims.n);
    *e = (struct entry){.hash = hash, .facts = *facts, .token_len = token.n};
    char *at = e->bytes;
    (void)copy(&at, token);
    e->facts.role = copy(&at, facts->role);
    e->facts.claims = copy(&at, facts->claims);
    e->chain = c->buckets[hash & c->mask];
    c->buckets[hash & c->mask] = e;
    e->older = c->newest;
    *(c->newest ? &c->newest->newer : &c->oldest) = e;
    c->newest = e;
    c->count++;
    assert(c->count <= c->max);
}

size_t token_cache_count(const struct token_cache *c)
{
    return c->count;
}

uint64_t token_cache_evictions(const struct token_cache *c)
{
    return c->evictions;
}
