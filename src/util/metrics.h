/* metrics: counters, gauges and histograms in Prometheus's text format 0.0.4.
 *
 * A module keeps its numbers in its own struct (plain uint64_t, one writer: the worker's thread)
 * and appends them here when asked; readers of other threads load them relaxed. */
#ifndef PGH_UTIL_METRICS_H
#define PGH_UTIL_METRICS_H

#include "util/buf.h"

enum metrics_kind { METRICS_COUNTER, METRICS_GAUGE, METRICS_HISTOGRAM };

/* # HELP and # TYPE; call once per name, before its samples. */
void metrics_head(struct buf *out, const char *name, enum metrics_kind, const char *help);
/* One sample. labels is NULL or a finished list: route="/sql",status="200" (values escaped with
 * metrics_label). */
void metrics_u64(struct buf *out, const char *name, const char *labels, uint64_t value);
void metrics_double(struct buf *out, const char *name, const char *labels, double value);
void metrics_label(struct buf *out, const char *key, struct str value); /* key="escaped value" */

/* Fixed buckets of seconds, 100 us to 10 s. */
#define METRICS_BUCKETS 16
struct metrics_histogram {
    uint64_t bucket[METRICS_BUCKETS + 1]; /* not cumulative; the last one is +Inf */
    uint64_t sum_us, count;
};
void metrics_observe(struct metrics_histogram *, uint64_t us);
void metrics_histogram(struct buf *out, const char *name, const char *labels,
                       const struct metrics_histogram *);

/* The largest value of the last METRICS_RECENT_US to twice that: a gauge that shows what happened
 * between two scrapes. Times are those of the values, and never go back. */
#define METRICS_RECENT_US 30000000
struct metrics_recent {
    uint64_t since_us, largest, before; /* before: of the METRICS_RECENT_US before since_us */
};
void metrics_recent_note(struct metrics_recent *, uint64_t now_us, uint64_t value);
uint64_t metrics_recent_largest(const struct metrics_recent *, uint64_t now_us);

#endif
