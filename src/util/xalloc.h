/* xalloc: small allocations of our own. They do not fail: out of memory is logged and aborts, and
 * the service manager starts a new process. Sizes that a client controls go through buf or arena,
 * which fail as errors. */
#ifndef PGH_UTIL_XALLOC_H
#define PGH_UTIL_XALLOC_H

#include "util/str.h"

void *xmalloc(size_t n);
void *xcalloc(size_t count, size_t n); /* zeroed */
void *xrealloc(void *p, size_t n);
char *xstrdup(const char *s); /* NULL gives NULL */
char *xstrndup(struct str s); /* NUL-terminated copy */
char *xasprintf(const char *fmt, ...) PRINTF_LIKE(1, 2);

#endif
