/* prefs: the Prefer header (RFC 7240) as REST understands it.
 *
 * Values are compared as exact strings; the first of a kind wins; anything unknown is kept for
 * handling=strict. */
#ifndef PGH_REST_PREFS_H
#define PGH_REST_PREFS_H

#include "util/arena.h"
#include "util/err.h"

enum rest_resolution { REST_RESOLUTION_NONE, REST_MERGE_DUPLICATES, REST_IGNORE_DUPLICATES };
enum rest_return {
    REST_RETURN_NONE,
    REST_RETURN_REPRESENTATION,
    REST_RETURN_MINIMAL,
    REST_RETURN_HEADERS_ONLY
};
enum rest_count { REST_COUNT_NONE, REST_COUNT_EXACT, REST_COUNT_PLANNED, REST_COUNT_ESTIMATED };
enum rest_tx { REST_TX_NONE, REST_TX_COMMIT, REST_TX_ROLLBACK };
enum rest_missing { REST_MISSING_NONE, REST_MISSING_DEFAULT, REST_MISSING_NULL };
enum rest_handling { REST_HANDLING_NONE, REST_HANDLING_STRICT, REST_HANDLING_LENIENT };

struct rest_prefs {
    enum rest_resolution resolution;
    enum rest_return returning;
    enum rest_count count;
    enum rest_tx tx; /* REST_TX_NONE unless db-tx-end allows the override */
    enum rest_missing missing;
    enum rest_handling handling;
    struct str timezone;  /* p == NULL: none */
    int64_t max_affected; /* has_max_affected; counts only with handling=strict */
    uint64_t timeout_us;  /* timeout=5 or 2.5 (seconds); has_timeout */
    struct str timeout;   /* as it was written, for Preference-Applied */
    bool has_max_affected, has_timeout;
    struct str invalid; /* "a, b": unknown ones in their order; n == 0: none */
};

/* Adds the preferences of one Prefer header line; call for each line in order, on a zeroed struct.
 */
MUSTCHECK bool rest_prefs_add(struct arena *, struct str value, bool tx_override,
                              struct rest_prefs *, struct err *);

/* 400 PGRST122 when handling=strict and something was not understood. */
MUSTCHECK bool rest_prefs_check(struct arena *, const struct rest_prefs *, struct err *);

/* The value of Preference-Applied for the preferences that are set in the struct; callers clear
 * those that had no effect. n == 0: no header. */
struct str rest_prefs_applied(struct arena *, const struct rest_prefs *);

#endif
