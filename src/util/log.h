/* log: the program's own words, one line an event on stderr, as logfmt (ts=... level=... msg="..."
 * key=value) or as a JSON object with the same keys.
 *
 * Every byte that comes from outside passes log_value or log_quote, so that nobody can forge a
 * line. Secrets are never passed in. This is one of the two places with state of the whole process
 * (the sink, its level and its form). */
#ifndef PGH_UTIL_LOG_H
#define PGH_UTIL_LOG_H

#include "util/buf.h"

enum log_level { LOG_CRIT, LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

enum log_format { LOG_TEXT, LOG_JSON };

void log_set_level(enum log_level);
enum log_level log_get_level(void);
void log_set_format(enum log_format);

/* A whole line; the message is printf-formatted and quoted as one value. Any thread. */
void log_line(enum log_level, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* As level info, whatever log-level is: where it listens, which everybody who starts it wants to
 * see. */
void log_always(const char *fmt, ...) PRINTF_LIKE(1, 2);

#define log_crit(...) log_line(LOG_CRIT, __VA_ARGS__)
#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)
#define log_warn(...) log_line(LOG_WARN, __VA_ARGS__)
#define log_info(...) log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_DEBUG, __VA_ARGS__)

/* Appends s as a logfmt value: bare when it is plain, else in quotes with \" \\ \n \r \t \xNN. At
 * most LOG_VALUE_MAX bytes of s, then "...". */
#define LOG_VALUE_MAX 2048
void log_quote(struct buf *line, struct str s);

/* A line in the form that is set, built of its parts: log_head (time and level), then a member
 * each, log_tail. A caller that builds a line calls log_format once and passes it to all of them: a
 * reload may change the form meanwhile. */
enum log_format log_format(void);
void log_head(struct buf *line, enum log_format, struct str stamp, enum log_level);
/* The key, a literal, of the value that follows: a bare number, or log_value. */
#define LOG_KEY(line, format, key)                                                                 \
    do {                                                                                           \
        if ((format) == LOG_JSON)                                                                  \
            BUF_LIT(line, ",\"" key "\":");                                                        \
        else                                                                                       \
            BUF_LIT(line, " " key "=");                                                            \
    } while (0)
#define LOG_MEMBER(line, format, key, value)                                                       \
    do {                                                                                           \
        LOG_KEY(line, format, key);                                                                \
        log_value(line, format, value);                                                            \
    } while (0)
void log_value(struct buf *line, enum log_format, struct str value);
void log_tail(struct buf *line, enum log_format);

/* Writes a finished line (no newline) with one write(2); for the access log. Dropped and counted
 * where stderr is a pipe or a socket that nobody reads. Any thread. */
void log_raw(struct str line);

#endif
