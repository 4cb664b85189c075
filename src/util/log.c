#include "util/log.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* A pipe or socket that is full: its reader has this long, then lines are dropped until there is
 * room again. Whoever reads the log must not stop the server. */
#define FULL_WAIT_MS 100
#define PIECE 4096u /* as much goes into a pipe that has any room (PIPE_BUF) */

static const char *const level_names[] = {"crit", "error", "warn", "info", "debug"};
static _Atomic(enum log_level) log_threshold = LOG_INFO;
static _Atomic(enum log_format) log_form = LOG_TEXT;
static pthread_mutex_t log_sink = PTHREAD_MUTEX_INITIALIZER;
static enum { SINK_UNKNOWN, SINK_FILE, SINK_PIPE, SINK_FULL } log_sink_state;
static unsigned long log_dropped;
static bool log_cut; /* in the middle of a line */

void log_set_level(enum log_level level)
{
    atomic_store(&log_threshold, level);
}

enum log_level log_get_level(void)
{
    return atomic_load(&log_threshold);
}

void log_set_format(enum log_format format)
{
    atomic_store(&log_form, format);
}

enum log_format log_format(void)
{
    return atomic_load(&log_form);
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

/* A byte of a JSON string (RFC 8259, section 7). What is no UTF-8 is shown as \\xNN, as in text. */
static void json_byte(struct buf *line, unsigned char c, bool text)
{
    if (c == '"' || c == '\\') {
        buf_char(line, '\\');
        buf_char(line, (char)c);
    } else if (c < ' ' || c == 0x7f) {
        buf_printf(line, "\\u%04x", c);
    } else if (c >= 0x80 && !text) {
        buf_printf(line, "\\\\x%02x", c);
    } else {
        buf_char(line, (char)c);
    }
}

static void json_text(struct buf *line, struct str s)
{
    size_t n = s.n > LOG_VALUE_MAX ? LOG_VALUE_MAX : s.n;
    while (n < s.n && n > 0 && ((unsigned char)s.p[n] & 0xc0) == 0x80)
        n--; /* not in the middle of a character */
    bool text = str_utf8((struct str){s.p, n});
    buf_char(line, '"');
    for (size_t i = 0; i < n; i++)
        json_byte(line, (unsigned char)s.p[i], text);
    if (n < s.n)
        BUF_LIT(line, "...");
    buf_char(line, '"');
}

void log_value(struct buf *line, enum log_format format, struct str value)
{
    if (format == LOG_JSON)
        json_text(line, value);
    else
        log_quote(line, value);
}

void log_head(struct buf *line, enum log_format format, struct str stamp, enum log_level level)
{
    buf_adds(line, format == LOG_JSON ? STR("{\"ts\":\"") : STR("ts="));
    buf_adds(line, stamp);
    buf_adds(line, format == LOG_JSON ? STR("\",\"level\":\"") : STR(" level="));
    buf_adds(line, str_of(level_names[level]));
    if (format == LOG_JSON)
        buf_char(line, '"');
}

void log_tail(struct buf *line, enum log_format format)
{
    if (format == LOG_JSON)
        buf_char(line, '}');
}

static void head_now(struct buf *line, enum log_format format, enum log_level level)
{
    struct timespec now;
    struct tm utc;
    char text[32];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    size_t n = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
    n += (size_t)snprintf(text + n, sizeof text - n, ".%03dZ", (int)(now.tv_nsec / 1000000));
    log_head(line, format, (struct str){text, n}, level);
}

/* One line: time, level, msg. */
static void say(struct buf *line, enum log_level level, struct str message)
{
    enum log_format format = log_format();
    head_now(line, format, level);
    LOG_MEMBER(line, format, "msg", message);
    log_tail(line, format);
}

static bool has_room(void)
{
    struct stat about;
    struct pollfd p = {.fd = STDERR_FILENO, .events = POLLOUT};
    if (log_sink_state == SINK_UNKNOWN)
        log_sink_state =
            fstat(STDERR_FILENO, &about) == 0 && S_ISREG(about.st_mode) ? SINK_FILE : SINK_PIPE;
    if (log_sink_state == SINK_FILE)
        return true;
    bool full = poll(&p, 1, log_sink_state == SINK_FULL ? 0 : FULL_WAIT_MS) == 0;
    log_sink_state = full ? SINK_FULL : SINK_PIPE;
    return !full;
}

/* A line that fits is one write(2). */
static bool put(struct str line)
{
    for (bool begun = false; line.n; begun = true) {
        if (!has_room()) {
            log_cut = log_cut || begun;
            return false;
        }
        size_t n = log_sink_state != SINK_FILE && line.n > PIECE ? PIECE : line.n;
        ssize_t written = write(STDERR_FILENO, line.p, n);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return true; /* a full disk, a reader that is gone: nobody to tell */
        line = str_from(line, (size_t)written);
    }
    return true;
}

static void put_dropped(void)
{
    struct buf line;
    buf_init(&line, BUF_NO_CEILING);
    if (log_cut)
        buf_char(&line, '\n');
    char text[80];
    snprintf(text, sizeof text, "%lu lines of the log were dropped: nobody read them", log_dropped);
    say(&line, LOG_WARN, str_of(text));
    buf_char(&line, '\n');
    if (put(buf_str(&line))) {
        log_dropped = 0;
        log_cut = false;
    }
    buf_fini(&line);
}

void log_raw(struct str line)
{
    struct buf out;
    buf_init(&out, BUF_NO_CEILING);
    buf_adds(&out, line);
    buf_char(&out, '\n');
    pthread_mutex_lock(&log_sink);
    if (log_dropped && has_room())
        put_dropped();
    if (log_dropped || !put(buf_str(&out)))
        log_dropped++;
    pthread_mutex_unlock(&log_sink);
    buf_fini(&out);
}

__attribute__((format(printf, 2, 0))) static void log_va(enum log_level level, const char *fmt,
                                                         va_list args)
{
    struct buf line;
    char text[LOG_VALUE_MAX + 1];
    vsnprintf(text, sizeof text, fmt, args);
    buf_init(&line, BUF_NO_CEILING);
    say(&line, level, str_of(text));
    log_raw(buf_str(&line));
    buf_fini(&line);
}

void log_line(enum log_level level, const char *fmt, ...)
{
    va_list args;
    if (level > log_get_level())
        return;
    va_start(args, fmt);
    log_va(level, fmt, args);
    va_end(args);
}

void log_always(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    log_va(LOG_INFO, fmt, args);
    va_end(args);
}
