#include "http/stats.h"

#include <stdio.h>

/* Slots of by_status. 0 is for all others. */
static const int statuses[STATS_STATUSES] = {
    0,   200, 201, 204, 400, 401, 403, 404, 409, 500, 503, 206, 304, 405, 406, 408,
    412, 413, 414, 415, 416, 421, 422, 429, 431, 499, 501, 502, 504, 507, 202, 203,
    205, 300, 301, 302, 303, 307, 308, 402, 410, 411, 417, 418, 428, 332, 505, 299};

static size_t status_slot(int status)
{
    for (size_t i = 1; i < STATS_STATUSES; i++)
        if (statuses[i] == status)
            return i;
    return 0;
}

/* Upper bounds in microseconds, as util/metrics.c has them in seconds. */
static const uint64_t bounds_us[METRICS_BUCKETS] = {
    100,   250,    500,    1000,   2500,    5000,    10000,   25000,
    50000, 100000, 250000, 500000, 1000000, 2500000, 5000000, 10000000};

void stats_request(struct route_stats *r, int status, uint64_t us, uint64_t in, uint64_t out)
{
    size_t i = 0;
    while (i < METRICS_BUCKETS && us > bounds_us[i])
        i++;
    stats_add(&r->by_status[status_slot(status)], 1);
    stats_add(&r->bucket[i], 1);
    stats_add(&r->sum_us, us);
    if (in)
        stats_add(&r->bytes_in, in);
    if (out)
        stats_add(&r->bytes_out, out);
}

struct family {
    const struct http_stats *const *v;
    size_t n;
    const struct router *router;
    struct buf *out;
};

static uint64_t load(const stats_counter *c)
{
    return atomic_load_explicit(c, memory_order_relaxed);
}

/* Sum over the servers of the counter at this offset of struct http_stats. */
static uint64_t sum(const struct family *f, size_t offset)
{
    uint64_t total = 0;
    for (size_t i = 0; i < f->n; i++)
        total += load((const stats_counter *)(const void *)((const char *)f->v[i] + offset));
    return total;
}

static size_t route_offset(unsigned route, size_t member)
{
    return offsetof(struct http_stats, routes) + route * sizeof(struct route_stats) + member;
}

static const char *route_label(const struct family *f, unsigned i)
{
    const struct route *route = router_route(f->router, i);
    return route ? route->name : "none";
}

static void plain(const struct family *f, const char *name, enum metrics_kind kind,
                  const char *help, size_t offset)
{
    metrics_head(f->out, name, kind, help);
    metrics_u64(f->out, name, NULL, sum(f, offset));
}

/* fn for each route that has a name of its own in the table, and for "none". Routes that share a
 * name (as /listen and /listen/) are added up under the first. */
static bool first_of_name(const struct family *f, unsigned i)
{
    for (unsigned k = 0; k < i; k++)
        if (strcmp(route_label(f, k), route_label(f, i)) == 0)
            return false;
    return true;
}

static uint64_t sum_name(const struct family *f, unsigned i, size_t member)
{
    uint64_t total = 0;
    for (unsigned k = i; k <= router_count(f->router); k++) {
        unsigned slot = k == router_count(f->router) ? ROUTER_MAX : k;
        if (strcmp(route_label(f, k), route_label(f, i)) == 0)
            total += sum(f, route_offset(slot, member));
    }
    return total;
}

static void by_status(const struct family *f)
{
    metrics_head(f->out, "pghttpd_http_requests_total", METRICS_COUNTER,
                 "Requests answered, by route and status");
    for (unsigned i = 0; i <= router_count(f->router); i++) {
        if (!first_of_name(f, i))
            continue;
        for (size_t s = 0; s < STATS_STATUSES; s++) {
            char labels[96];
            uint64_t n =
                sum_name(f, i, offsetof(struct route_stats, by_status) + s * sizeof(stats_counter));
            if (n == 0)
                continue;
            if (s)
                snprintf(labels, sizeof labels, "route=\"%s\",status=\"%d\"", route_label(f, i),
                         statuses[s]);
            else
                snprintf(labels, sizeof labels, "route=\"%s\",status=\"other\"", route_label(f, i));
            metrics_u64(f->out, "pghttpd_http_requests_total", labels, n);
        }
    }
}

static void latency(const struct family *f)
{
    metrics_head(f->out, "pghttpd_http_request_duration_seconds", METRICS_HISTOGRAM,
                 "Time from the last byte of a request to the end of its answer");
    for (unsigned i = 0; i <= router_count(f->router); i++) {
        struct metrics_histogram h = {0};
        char labels[80];
        if (!first_of_name(f, i))
            continue;
        for (size_t b = 0; b <= METRICS_BUCKETS; b++) {
            h.bucket[b] =
                sum_name(f, i, offsetof(struct route_stats, bucket) + b * sizeof(stats_counter));
            h.count += h.bucket[b];
        }
        h.sum_us = sum_name(f, i, offsetof(struct route_stats, sum_us));
        snprintf(labels, sizeof labels, "route=\"%s\"", route_label(f, i));
        if (h.count)
            metrics_histogram(f->out, "pghttpd_http_request_duration_seconds", labels, &h);
    }
}

static void bytes(const struct family *f, const char *name, const char *help, size_t member)
{
    metrics_head(f->out, name, METRICS_COUNTER, help);
    for (unsigned i = 0; i <= router_count(f->router); i++) {
        char labels[80];
        uint64_t n = first_of_name(f, i) ? sum_name(f, i, member) : 0;
        if (n == 0)
            continue;
        snprintf(labels, sizeof labels, "route=\"%s\"", route_label(f, i));
        metrics_u64(f->out, name, labels, n);
    }
}

void stats_write(const struct http_stats *const *v, size_t n, const struct router *router,
                 struct buf *out)
{
    struct family f = {v, n, router, out};
    by_status(&f);
    latency(&f);
    bytes(&f, "pghttpd_http_request_bytes_total", "Bytes of request bodies, as they came",
          offsetof(struct route_stats, bytes_in));
    bytes(&f, "pghttpd_http_response_bytes_total", "Bytes of response bodies, before compression",
          offsetof(struct route_stats, bytes_out));
    plain(&f, "pghttpd_http_connections", METRICS_GAUGE, "Open connections, streams not counted",
          offsetof(struct http_stats, connections));
    plain(&f, "pghttpd_http_requests_in_flight", METRICS_GAUGE, "Requests without a whole answer",
          offsetof(struct http_stats, in_flight));
    plain(&f, "pghttpd_http_connections_accepted_total", METRICS_COUNTER, "Connections accepted",
          offsetof(struct http_stats, accepted));
    plain(&f, "pghttpd_http_connections_refused_total", METRICS_COUNTER,
          "Connections turned away: limit or descriptors", offsetof(struct http_stats, refused));
    plain(&f, "pghttpd_http_client_gone_total", METRICS_COUNTER,
          "Requests whose client left before the answer", offsetof(struct http_stats, gone));
    plain(&f, "pghttpd_http_timeouts_total", METRICS_COUNTER,
          "Connections ended because the client was too slow",
          offsetof(struct http_stats, timeouts));
    plain(&f, "pghttpd_http_takeovers_total", METRICS_COUNTER,
          "Sockets handed over to event streams", offsetof(struct http_stats, takeovers));
    plain(&f, "pghttpd_http_malformed_total", METRICS_COUNTER, "Requests refused as malformed HTTP",
          offsetof(struct http_stats, bad_heads));
}
