/* helpers: a few threads for what would block the loop: name lookup, the long steps of a login,
 * libpq 15's PQcancel, and making the snapshot of a big catalog.
 *
 * At most `threads` run at once, the rest waits in line; a thread ends when nothing waits.
 * Everything but `work` runs on the loop's thread. helpers_free does not wait for a thread stuck in
 * a lookup: the thread finishes alone and throws its result away. */
#ifndef PGH_DB_HELPERS_H
#define PGH_DB_HELPERS_H

#include "util/loop.h"

struct helpers;

struct helpers_job {
    void (*work)(void *arg); /* on a thread: touches nothing but arg */
    void (*done)(void *arg); /* on the loop, after work; frees arg in the end */
    void (*drop)(void *arg); /* instead of done, when helpers_free came first: frees arg. Any
                                thread. */
    void *arg;
};

MUSTCHECK struct helpers *helpers_new(struct loop *, unsigned threads, struct err *);
void helpers_free(struct helpers *);
/* The same, once what runs has ended (it takes milliseconds; 3 s at most are waited). For work that
 * uses OpenSSL, which exit() takes away from under a thread. */
void helpers_finish(struct helpers *);
void helpers_run(struct helpers *, const struct helpers_job *);
/* So many may run from now on, if that is more: for a last bout in which nothing may wait behind
 * what hangs. */
void helpers_widen(struct helpers *, unsigned threads);

#endif
