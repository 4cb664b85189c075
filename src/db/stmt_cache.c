#include "db/stmt_cache.h"

#include <assert.h>
#include <stdlib.h>

#include "util/xalloc.h"

#define SHAPE_MAX 1024

struct stmt_cache {
    struct stmt_entry **buckets; /* a power of two of them */
    size_t mask, n, max;
    struct stmt_entry *oldest, *newest; /* by use */
    uint32_t *dead;                     /* numbers of names to be closed */
    size_t n_dead, dead_cap;
    size_t n_orphans; /* names the server may still know, at most */
    uint32_t last;    /* number of the name given last */
};

struct stmt_cache *stmt_cache_new(unsigned names_max)
{
    struct stmt_cache *c = xcalloc(1, sizeof *c);
    size_t buckets = 16;
    while (buckets < names_max)
        buckets *= 2;
    c->buckets = xcalloc(buckets, sizeof *c->buckets);
    c->mask = buckets - 1;
    c->max = names_max;
    return c;
}

void stmt_cache_free(struct stmt_cache *c)
{
    if (!c)
        return;
    for (struct stmt_entry *e = c->oldest, *next; e; e = next) {
        next = e->next;
        free(e);
    }
    free(c->buckets);
    free(c->dead);
    free(c);
}

static void list_add(struct stmt_cache *c, struct stmt_entry *e)
{
    e->next = NULL;
    e->prev = c->newest;
    *(c->newest ? &c->newest->next : &c->oldest) = e;
    c->newest = e;
}

static void list_remove(struct stmt_cache *c, struct stmt_entry *e)
{
    *(e->prev ? &e->prev->next : &c->oldest) = e->next;
    *(e->next ? &e->next->prev : &c->newest) = e->prev;
}

static uint64_t mix(uint64_t h, struct str s)
{
    const char *p = s.p;
    size_t n = s.n;
    for (; n >= 8; p += 8, n -= 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        h = (h ^ word) * 0x9e3779b97f4a7c15;
        h ^= h >> 32;
    }
    uint64_t last = n;
    if (n)
        memcpy(&last, p, n);
    h = (h ^ last ^ (uint64_t)s.n << 56) * 0x9e3779b97f4a7c15;
    return h ^ h >> 32;
}

uint64_t stmt_text_hash(struct str text)
{
    return mix(0, text);
}

uint64_t stmt_scoped_hash(struct str scope, struct str text)
{
    return mix(stmt_text_hash(text), scope);
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (unsigned char)c >= 0x80;
}

uint64_t stmt_shape_hash(struct str text)
{
    bool quoted = false, word = false; /* digits of a word are part of a name */
    uint64_t h = 0;
    for (size_t i = 0; i < text.n && i < SHAPE_MAX; i++) {
        char c = text.p[i];
        bool digit = c >= '0' && c <= '9';
        quoted = quoted != (c == '\'');
        word = is_letter(c) || (word && digit);
        if (!quoted && c != '\'' && (word || !(digit || c == '.')))
            h = (h ^ (unsigned char)c) * 0x9e3779b97f4a7c15;
    }
    return h ^ h >> 32;
}

static bool is(const struct stmt_entry *e, struct str scope, struct str text)
{
    return e->scope_n == scope.n && e->text_n == text.n &&
           (scope.n == 0 || memcmp(e->key, scope.p, scope.n) == 0) &&
           memcmp(e->key + scope.n, text.p, text.n) == 0;
}

struct stmt_entry *stmt_cache_find(struct stmt_cache *c, struct str scope, struct str text)
{
    if (text.n > STMT_CACHE_TEXT_MAX)
        return NULL;
    uint64_t hash = stmt_scoped_hash(scope, text);
    for (struct stmt_entry *e = c->buckets[hash & c->mask]; e; e = e->chain) {
        if (e->hash != hash || !is(e, scope, text))
            continue;
        if (e != c->newest) {
            list_remove(c, e);
            list_add(c, e);
        }
        return e;
    }
    return NULL;
}

static void add_dead(struct stmt_cache *c, const struct stmt_entry *e)
{
    if (c->n_dead == c->dead_cap) {
        c->dead_cap = c->dead_cap ? c->dead_cap * 2 : 8;
        c->dead = xrealloc(c->dead, c->dead_cap * sizeof *c->dead);
    }
    c->dead[c->n_dead++] = (uint32_t)strtoul(e->name + 1, NULL, 16);
}

void stmt_cache_remove(struct stmt_cache *c, struct stmt_entry *e, bool dead)
{
    struct stmt_entry **at = &c->buckets[e->hash & c->mask];
    while (*at != e)
        at = &(*at)->chain;
    *at = e->chain;
    list_remove(c, e);
    c->n--;
    if (dead)
        add_dead(c, e);
    free(e);
}

static bool evict_one(struct stmt_cache *c)
{
    for (struct stmt_entry *e = c->oldest; e; e = e->next) {
        if (e->state != STMT_READY)
            continue;
        stmt_cache_remove(c, e, true);
        return true;
    }
    return false;
}

/* "p" and the number in hexadecimal. */
static void name_of(uint32_t number, char name[STMT_NAME_MAX])
{
    static const char digits[] = "0123456789abcdef";
    size_t n = 0;
    name[n++] = 'p';
    for (int shift = 28; shift >= 0; shift -= 4)
        if (number >> shift || shift == 0)
            name[n++] = digits[(number >> shift) & 15];
    name[n] = '\0';
}

struct stmt_entry *stmt_cache_add(struct stmt_cache *c, struct str scope, struct str text)
{
    if (text.n > STMT_CACHE_TEXT_MAX || c->max == 0 || (c->n >= c->max && !evict_one(c)))
        return NULL;
    struct stmt_entry *e = xcalloc(1, sizeof *e + scope.n + text.n + 1);
    e->hash = stmt_scoped_hash(scope, text);
    e->scope_n = scope.n;
    e->text_n = text.n;
    if (scope.n)
        memcpy(e->key, scope.p, scope.n);
    memcpy(e->key + scope.n, text.p, text.n);
    name_of(++c->last, e->name);
    e->state = STMT_PARSING;
    e->chain = c->buckets[e->hash & c->mask];
    c->buckets[e->hash & c->mask] = e;
    list_add(c, e);
    c->n++;
    return e;
}

void stmt_cache_ready(struct stmt_cache *c, struct stmt_entry *e)
{
    assert(c->n > 0 && e->state == STMT_PARSING);
    e->state = STMT_READY;
}

static void drop_ready(struct stmt_cache *c)
{
    for (struct stmt_entry *e = c->oldest, *next; e; e = next) {
        next = e->next;
        if (e->state == STMT_READY)
            stmt_cache_remove(c, e, false);
    }
    c->n_dead = 0;
}

void stmt_cache_forget(struct stmt_cache *c)
{
    drop_ready(c);
    c->n_orphans = 0;
}

bool stmt_cache_distrust(struct stmt_cache *c)
{
    c->n_orphans += c->n + c->n_dead;
    drop_ready(c);
    return c->n_orphans < c->max;
}

bool stmt_cache_has_dead(const struct stmt_cache *c)
{
    return c->n_dead > 0;
}

bool stmt_cache_take_dead(struct stmt_cache *c, char name[STMT_NAME_MAX])
{
    if (c->n_dead == 0)
        return false;
    name_of(c->dead[--c->n_dead], name);
    return true;
}
