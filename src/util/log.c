#include "util/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static const char *const level_names[] = {"crit", "error", "warn", "info", "debug"};
static _Atomic(enum log_level) log_threshold = LOG_INFO;

void log_set_level(enum log_level level)
{
    atomic_store(&log_threshold, level);
}

enum log_level log_get_level(void)
{
    return atomic_load(&log_threshold);
}

static bool plain(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c <= ' ' || c >= 0x7f || c == '"' || c == '\\' || c == '=')
            return false;
    }
    return s.n > 0;
}

static void quote_byte(struct buf *line, unsigned char c)
{
    switch (c) {
    case '"': BUF_LIT(line, "\\\""); break;
    case '\\': BUF_LIT(line, "\\\\"); break;
    case '\n': BUF_LIT(line, "\\n"); break;
    case '\r': BUF_LIT(line, "\\r"); break;
    case '\t': BUF_LIT(line, "\\t"); break;
    default:
        if (c < ' ' || c == 0x7f)
            buf_printf(line, "\\x%02x", c);
        else
            buf_char(line, (char)c);
    }
}

void log_quote(struct buf *line, struct str s)
{
    bool cut = s.n > LOG_VALUE_MAX;
    if (cut)
        s.n = LOG_VALUE_MAX;
    if (!cut && plain(s)) {
        buf_adds(line, s);
        return;
    }
    bool text = str_utf8(s);
    buf_char(line, '"');
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c >= 0x80 && !text)
            buf_printf(line, "\\x%02x", c);
        else
            quote_byte(line, c);
    }
    if (cut)
        BUF_LIT(line, "...");
    buf_char(line, '"');
}

void log_raw(struct str line)
{
    struct buf out;
    buf_init(&out, BUF_NO_CEILING);
    buf_adds(&out, line);
    buf_char(&out, '\n');
    ssize_t written;
    do
        written = write(STDERR_FILENO, out.p, out.n);
    while (written < 0 && errno == EINTR);
    buf_fini(&out);
}

static void add_timestamp(struct buf *line)
{
    struct timespec now;
    struct tm utc;
    char text[32];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
    buf_printf(line, "ts=%s.%03ldZ", text, now.tv_nsec / 1000000);
}

void log_line(enum log_level level, const char *fmt, ...)
{
    if (level > log_get_level())
        return;
    struct buf line;
    char text[LOG_VALUE_MAX + 1];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    buf_init(&line, BUF_NO_CEILING);
    add_timestamp(&line);
    buf_printf(&line, " level=%s msg=", level_names[level]);
    log_quote(&line, str_of(text));
    log_raw(buf_str(&line));
    buf_fini(&line);
}
