#include "util/metrics.h"

#include <stdio.h>

static const double bucket_seconds[METRICS_BUCKETS] = {
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025,
    0.05,   0.1,     0.25,   0.5,   1,      2.5,   5,    10};

void metrics_head(struct buf *out, const char *name, enum metrics_kind kind, const char *help)
{
    static const char *const kinds[] = {"counter", "gauge", "histogram"};
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kinds[kind]);
}

static void sample_head(struct buf *out, const char *name, const char *labels)
{
    buf_adds(out, str_of(name));
    if (labels && *labels)
        buf_printf(out, "{%s}", labels);
    buf_char(out, ' ');
}

void metrics_u64(struct buf *out, const char *name, const char *labels, uint64_t value)
{
    sample_head(out, name, labels);
    buf_u64(out, value);
    buf_char(out, '\n');
}

void metrics_double(struct buf *out, const char *name, const char *labels, double value)
{
    sample_head(out, name, labels);
    buf_printf(out, "%.9g\n", value);
}

void metrics_label(struct buf *out, const char *key, struct str value)
{
    buf_printf(out, "%s=\"", key);
    for (size_t i = 0; i < value.n; i++) {
        char c = value.p[i];
        if (c == '"' || c == '\\')
            buf_char(out, '\\');
        if (c == '\n')
            BUF_LIT(out, "\\n");
        else
            buf_char(out, c);
    }
    buf_char(out, '"');
}

void metrics_observe(struct metrics_histogram *h, uint64_t us)
{
    size_t i = 0;
    while (i < METRICS_BUCKETS && (double)us > bucket_seconds[i] * 1e6)
        i++;
    h->bucket[i]++;
    h->sum_us += us;
    h->count++;
}

void metrics_histogram(struct buf *out, const char *name, const char *labels,
                       const struct metrics_histogram *h)
{
    const char *comma = labels && *labels ? "," : "";
    uint64_t below = 0;
    for (size_t i = 0; i < METRICS_BUCKETS; i++) {
        below += h->bucket[i];
        buf_printf(out, "%s_bucket{%s%sle=\"%g\"} %lu\n", name, labels ? labels : "", comma,
                   bucket_seconds[i], (unsigned long)below);
    }
    buf_printf(out, "%s_bucket{%s%sle=\"+Inf\"} %lu\n", name, labels ? labels : "", comma,
               (unsigned long)h->count);
    char full[128];
    snprintf(full, sizeof full, "%s_sum", name);
    metrics_double(out, full, labels, (double)h->sum_us / 1e6);
    snprintf(full, sizeof full, "%s_count", name);
    metrics_u64(out, full, labels, h->count);
}

void metrics_recent_note(struct metrics_recent *m, uint64_t now_us, uint64_t value)
{
    uint64_t passed = now_us - m->since_us;
    if (passed >= METRICS_RECENT_US) {
        m->before = passed < 2 * METRICS_RECENT_US ? m->largest : 0;
        m->largest = 0;
        m->since_us = now_us;
    }
    if (value > m->largest)
        m->largest = value;
}

uint64_t metrics_recent_largest(const struct metrics_recent *m, uint64_t now_us)
{
    uint64_t passed = now_us - m->since_us;
    if (passed >= 2 * METRICS_RECENT_US)
        return 0;
    return passed < METRICS_RECENT_US && m->before > m->largest ? m->before : m->largest;
}
