/* str: borrowed bytes with a length. Not NUL-terminated; whoever hands one out says how long it
 * lives. */
#ifndef PGH_UTIL_STR_H
#define PGH_UTIL_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#define MUSTCHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))

struct str {
    const char *p;
    size_t n;
};

#define STR(literal) ((struct str){(literal), sizeof(literal) - 1})
/* For printf's "%.*s": STR_ARG(s) expands to the precision and the pointer. */
#define STR_ARG(s) (int)(s).n, (s).p

static inline struct str str_of(const char *cstr)
{
    return (struct str){cstr, cstr ? strlen(cstr) : 0};
}

static inline bool str_eq(struct str a, struct str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool str_ieq(struct str a, struct str b)
{
    return a.n == b.n && (a.n == 0 || strncasecmp(a.p, b.p, a.n) == 0);
}

static inline bool str_starts(struct str s, struct str prefix)
{
    return s.n >= prefix.n && (prefix.n == 0 || memcmp(s.p, prefix.p, prefix.n) == 0);
}

static inline bool str_istarts(struct str s, struct str prefix)
{
    return s.n >= prefix.n && (prefix.n == 0 || strncasecmp(s.p, prefix.p, prefix.n) == 0);
}

static inline struct str str_from(struct str s, size_t offset)
{
    return offset >= s.n ? (struct str){s.p + s.n, 0} : (struct str){s.p + offset, s.n - offset};
}

/* Without spaces and tabs at both ends. */
struct str str_trim(struct str s);

/* Position of the first c at or after from, or s.n. */
size_t str_find(struct str s, char c, size_t from);

/* The part before the next separator; moves *rest behind it. False when *rest is used up (p ==
 * NULL). */
bool str_next(struct str *rest, char separator, struct str *part);

/* A whole decimal number, no sign, no spaces; false when it is anything else or over max. */
MUSTCHECK bool str_u64(struct str s, uint64_t max, uint64_t *out);
/* The same with an optional leading minus. */
MUSTCHECK bool str_i64(struct str s, int64_t *out);

/* Valid UTF-8 (RFC 3629: no surrogates, no overlong forms, at most U+10FFFF). NUL counts as valid.
 */
bool str_utf8(struct str s);

/* Percent-decodes in place of out (at least s.n bytes); plus_is_space as in forms. A stray % is
 * false unless lenient, where it stays as it is. */
MUSTCHECK bool str_percent_decode(struct str s, bool plus_is_space, bool lenient, char *out,
                                  size_t *n);

/* Keyed hash of bytes (SipHash-1-3): keys come from clients, so the secret differs in each process.
 */
uint64_t str_hash(struct str s);

#endif
