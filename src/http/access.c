#include "http/access.h"

#include <stdio.h>

#include "util/log.h"

#define FLUSH_AT 60000 /* bytes; one write a turn is enough below that */

void access_init(struct access_log *a)
{
    *a = (struct access_log){.second = -1};
    buf_init(&a->lines, 1024 * 1024);
}

void access_fini(struct access_log *a)
{
    access_flush(a);
    buf_fini(&a->lines);
}

void access_flush(struct access_log *a)
{
    if (a->lines.n > 1 && !buf_broken(&a->lines))
        log_raw((struct str){a->lines.p, a->lines.n - 1}); /* it adds the last newline */
    buf_clear(&a->lines);
}

/* Query parameters whose values are secrets, wherever they stand. */
static bool secret_name(struct str raw, bool show_sql)
{
    static const struct str names[] = {
        {"access_token", 12}, {"token", 5},          {"password", 8},       {"passwd", 6},
        {"pwd", 3},           {"secret", 6},         {"apikey", 6},         {"api_key", 7},
        {"jwt", 3},           {"params", 6},         {"auth", 4},           {"authorization", 13},
        {"id_token", 8},      {"refresh_token", 13}, {"client_secret", 13}, {"admin-token", 11},
        {"admin_token", 11}};
    char decoded[64];
    size_t n;
    if (raw.n > sizeof decoded)
        return true; /* no parameter of ours is that long: better safe */
    if (!str_percent_decode(raw, true, true, decoded, &n))
        return true;
    struct str name = {decoded, n};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (str_ieq(name, names[i]))
            return true;
    return !show_sql && str_ieq(name, STR("query"));
}

void access_redact(struct buf *out, struct str target, bool show_sql)
{
    size_t mark = str_find(target, '?', 0);
    if (mark == target.n) {
        buf_adds(out, target);
        return;
    }
    buf_add(out, target.p, mark + 1);
    struct str rest = str_from(target, mark + 1), part;
    for (bool first = true; str_next(&rest, '&', &part); first = false) {
        size_t equals = str_find(part, '=', 0);
        if (!first)
            buf_char(out, '&');
        if (equals == part.n || !secret_name((struct str){part.p, equals}, show_sql)) {
            buf_adds(out, part);
            continue;
        }
        buf_add(out, part.p, equals + 1);
        BUF_LIT(out, "***");
    }
}

/* The time as the log shows it, made anew once a second but for its milliseconds. */
static struct str stamp(struct access_log *a)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (now.tv_sec != a->second) {
        struct tm utc;
        gmtime_r(&now.tv_sec, &utc);
        strftime(a->stamp, sizeof a->stamp, "%Y-%m-%dT%H:%M:%S.000Z", &utc);
        a->second = now.tv_sec;
    }
    unsigned ms = (unsigned)(now.tv_nsec / 1000000);
    a->stamp[20] = (char)('0' + ms / 100);
    a->stamp[21] = (char)('0' + ms / 10 % 10);
    a->stamp[22] = (char)('0' + ms % 10);
    return (struct str){a->stamp, 24};
}

/* Milliseconds with three decimals. */
static void add_ms(struct buf *line, uint64_t us)
{
    unsigned part = (unsigned)(us % 1000);
    char tail[4] = {'.', (char)('0' + part / 100), (char)('0' + part / 10 % 10),
                    (char)('0' + part % 10)};
    buf_u64(line, us / 1000);
    buf_add(line, tail, sizeof tail);
}

/* W3C trace context: version-trace-parent-flags, the lengths checked when the head was read. */
static void add_trace(struct buf *line, enum log_format format, struct str trace)
{
    if (format != LOG_JSON) {
        LOG_MEMBER(line, format, "trace", trace);
        return;
    }
    LOG_MEMBER(line, format, "traceparent", trace);
    if (trace.n < 52)
        return;
    struct str trace_id = {trace.p + 3, 32}, span_id = {trace.p + 36, 16};
    LOG_MEMBER(line, format, "trace_id", trace_id);
    LOG_MEMBER(line, format, "span_id", span_id);
}

static void add_numbers(struct buf *line, enum log_format format, const struct access_entry *e)
{
    LOG_KEY(line, format, "status");
    buf_u64(line, (uint64_t)e->status);
    LOG_KEY(line, format, "bytes");
    buf_u64(line, e->bytes);
    LOG_KEY(line, format, "ms");
    add_ms(line, e->us);
    LOG_KEY(line, format, "queue_ms");
    add_ms(line, e->queue_us);
    LOG_KEY(line, format, "db_ms");
    add_ms(line, e->db_us);
}

void access_add(struct access_log *a, const struct access_entry *e)
{
    enum log_format format = log_format();
    struct buf *line = &a->lines;
    struct buf path = {.p = NULL, .ceiling = BUF_NO_CEILING};
    struct str shown = e->target;
    if (str_find(e->target, '?', 0) < e->target.n) {
        access_redact(&path, e->target, a->show_sql);
        shown = buf_str(&path);
    }
    log_head(line, format, stamp(a), LOG_INFO);
    LOG_MEMBER(line, format, "msg", STR("request"));
    LOG_MEMBER(line, format, "method", e->method);
    LOG_MEMBER(line, format, "path", shown);
    LOG_MEMBER(line, format, "route", e->route);
    add_numbers(line, format, e);
    LOG_MEMBER(line, format, "id", e->id);
    LOG_MEMBER(line, format, "addr", e->address);
    if (e->trace.n)
        add_trace(line, format, e->trace);
    log_tail(line, format);
    buf_char(line, '\n');
    buf_fini(&path);
    if (line->n > FLUSH_AT)
        access_flush(a);
}
