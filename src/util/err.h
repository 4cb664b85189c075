/* err: one error value from the place where a thing is known to be wrong up to the reply.
 *
 * Filled by the function that fails, never reworded on the way up, answered once at the edge.
 * details and hint are borrowed: they are literals or live in the request's arena. */
#ifndef PGH_UTIL_ERR_H
#define PGH_UTIL_ERR_H

#include "util/str.h"

#define ERR_CODE_MAX 9

struct err {
    int status;              /* HTTP status the edge answers with; 0 = no error */
    char code[ERR_CODE_MAX]; /* SQLSTATE, PGRSTnnn or PGHnnn; empty when there is none */
    char message[1024];      /* one line; longer texts are cut at a character boundary */
    const char *details;     /* NULL when absent */
    const char *hint;        /* NULL when absent */
    bool details_json;       /* details is JSON text to be inlined, not a string */
    unsigned retry_after;    /* seconds; 0: no header. err_set says 1 with every 503 */
};

/* Fills err and returns false, so that `return err_set(err, 400, "PGRST100", ...)` reads as one
 * line. */
bool err_set(struct err *err, int status, const char *code, const char *fmt, ...) PRINTF_LIKE(4, 5);

static inline void err_clear(struct err *err)
{
    *err = (struct err){0};
}

#endif
