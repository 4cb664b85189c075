/* stats: the numbers of one HTTP server, written by its worker alone, read by any thread. */
#ifndef PGH_HTTP_STATS_H
#define PGH_HTTP_STATS_H

#include <stdatomic.h>

#include "http/router.h"
#include "util/metrics.h"

#define STATS_STATUSES 48 /* statuses that are told apart; slot 0 is "other" */

/* A counter with one writer: a plain add, published for relaxed readers. */
typedef _Atomic uint64_t stats_counter;

static inline void stats_add(stats_counter *c, uint64_t n)
{
    atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

static inline void stats_sub(stats_counter *c, uint64_t n)
{
    stats_add(c, 0 - n);
}

struct route_stats {
    stats_counter by_status[STATS_STATUSES];
    stats_counter bucket[METRICS_BUCKETS + 1], sum_us;
    stats_counter bytes_in, bytes_out;
};

struct http_stats {
    struct route_stats routes[ROUTER_MAX + 1]; /* the last: no route found */
    stats_counter connections, accepted, refused, in_flight, gone, timeouts, takeovers, bad_heads;
};

void stats_request(struct route_stats *, int status, uint64_t us, uint64_t in, uint64_t out);

/* Whole families (HELP and TYPE too), summed over n servers that share the router's table. */
void stats_write(const struct http_stats *const *, size_t n, const struct router *,
                 struct buf *out);

#endif
