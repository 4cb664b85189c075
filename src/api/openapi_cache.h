/* openapi_cache: the last OpenAPI documents of a worker, by database, schema and role.
 *
 * A document serves as long as catalog and configuration are the ones it was made of, and at most
 * OPENAPI_CACHE_US: rights may be granted without a reload. Bounded in number and bytes; belongs to
 * the worker's thread. */
#ifndef PGH_API_OPENAPI_CACHE_H
#define PGH_API_OPENAPI_CACHE_H

#include "conf/conf.h"
#include "util/buf.h"

#define OPENAPI_CACHE_US 10000000u                    /* 10 s */
#define OPENAPI_CACHE_SLOTS 16u                       /* roles that ask at the same time */
#define OPENAPI_CACHE_DOCUMENT_MAX (4u * 1024 * 1024) /* bytes; larger ones are made each time */

struct openapi_cache;

struct openapi_cache_key {
    const struct conf *conf;
    uint64_t catalog; /* its version */
    struct str database, schema, role;
};

struct openapi_cache *openapi_cache_new(void);
void openapi_cache_free(struct openapi_cache *); /* NULL is fine */
/* {NULL, 0}: there is none. Borrowed until the next call. */
struct str openapi_cache_get(struct openapi_cache *, const struct openapi_cache_key *,
                             uint64_t now_us);
void openapi_cache_put(struct openapi_cache *, const struct openapi_cache_key *,
                       struct str document, uint64_t now_us);

#endif
