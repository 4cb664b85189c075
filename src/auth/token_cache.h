/* token_cache: tokens that were verified, so that the next request with one costs a hash.
 *
 * Only tokens whose signature and claims were found good are put in, so strangers cannot fill it.
 * Lookup is by a keyed hash (str_hash) and then by all bytes of the token. At the limit SIEVE
 * decides who goes (Zhang et al., NSDI 2024): a hand moves from the oldest entry to the newest and
 * takes the first that was not asked for since it last passed. Belongs to one worker. */
#ifndef PGH_AUTH_TOKEN_CACHE_H
#define PGH_AUTH_TOKEN_CACHE_H

#include "util/str.h"

struct token_cache;

/* What is known about a token; strings belong to the cache. */
struct token_facts {
    struct str role;        /* empty: no claim gives one */
    struct str claims;      /* JSON object; with "role" when role is set */
    uint64_t exp, nbf, iat; /* Unix seconds; 0 = absent */
    unsigned bad;           /* enum jwt_bad bits; tokens with any are never cached */
};

#define TOKEN_CACHED_MAX 8192 /* longer tokens are verified each time */

struct token_cache *token_cache_new(size_t max_entries);
void token_cache_free(struct token_cache *);
const struct token_facts *token_cache_get(struct token_cache *, struct str token);
/* Copies everything. */
void token_cache_put(struct token_cache *, struct str token, const struct token_facts *);
void token_cache_clear(struct token_cache *);
size_t token_cache_count(const struct token_cache *);
uint64_t token_cache_evictions(const struct token_cache *);

#endif
