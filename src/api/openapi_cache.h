/* openapi_cache: what roles may see in OpenAPI, as a worker last heard, by database, schema and
 * role.
 *
 * It serves as long as catalog and configuration are the ones it was asked for, and at most
 * OPENAPI_CACHE_US: rights may be granted without a reload. Bounded in number, and one of them is a
 * bit for each thing in the catalog; belongs to the worker's thread.
 *
 * The question takes PostgreSQL 60 ms with 10,000 tables, so it is put once: who finds nothing asks
 * (openapi_cache_ask, then openapi_cache_put or openapi_cache_give_up), and others who come
 * meanwhile see that somebody does. */
#ifndef PGH_API_OPENAPI_CACHE_H
#define PGH_API_OPENAPI_CACHE_H

#include "conf/conf.h"
#include "rest/openapi.h"

#define OPENAPI_CACHE_US 10000000u /* 10 s */
#define OPENAPI_CACHE_SLOTS 16u    /* roles that ask at the same time */

struct openapi_cache;

struct openapi_cache_key {
    const struct conf *conf;
    uint64_t catalog; /* its version */
    struct str database, schema, role;
};

struct openapi_cache *openapi_cache_new(void);
void openapi_cache_free(struct openapi_cache *); /* NULL is fine */
/* A reference for the caller; NULL: there is none, *asked: but somebody asks. */
struct openapi_access *openapi_cache_get(struct openapi_cache *, const struct openapi_cache_key *,
                                         uint64_t now_us, bool *asked);
/* After that found nothing and nobody. False: there is no room, nobody will see it. */
MUSTCHECK bool openapi_cache_ask(struct openapi_cache *, const struct openapi_cache_key *);
/* What was heard; takes a reference of its own. */
void openapi_cache_put(struct openapi_cache *, const struct openapi_cache_key *,
                       struct openapi_access *, uint64_t now_us);
void openapi_cache_give_up(struct openapi_cache *, const struct openapi_cache_key *);

#endif
