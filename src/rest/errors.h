/* errors: what is told to a REST client when something failed.
 *
 * struct err is enough for what pghttpd finds wrong itself. PostgreSQL's messages may be longer,
 * its codes are its own, and RAISE SQLSTATE 'PGRST' decides over status and headers: a
 * struct rest_problem holds all of that. Its strings live in the arena or with what it was made of.
 *
 * Checks inside of statements: a statement that finds that its result must not be committed raises
 * by casting REST_CHECK_MARK, a code and a number to an integer; the error is recognised here and
 * becomes the PGRST code. See rest/sqlgen_write.h. */
#ifndef PGH_REST_ERRORS_H
#define PGH_REST_ERRORS_H

#include "db/job.h"
#include "util/arena.h"
#include "util/buf.h"

#define REST_CHECK_MARK "pghttpd:"
#define REST_CHECK_SINGULAR "PGRST116" /* not exactly one row */
#define REST_CHECK_AFFECTED "PGRST124" /* more rows than max-affected */
#define REST_CHECK_PUT "PGRST115"      /* the body's key is not the URL's */

struct rest_header {
    const struct rest_header *next;
    struct str name, value;
};

struct rest_problem {
    int status;
    struct str code, message, details, hint; /* details and hint: p == NULL is null */
    bool details_json;                       /* details is JSON text, not a string */
    unsigned retry_after;                    /* seconds; 0: no header */
    const struct rest_header *headers;       /* from RAISE SQLSTATE 'PGRST' */
};

/* The problem borrows err. */
struct rest_problem rest_problem_of(const struct err *);

/* anonymous: nobody is logged in, so that "permission denied" means "log in". checked: the
 * statement had checks; without them a text that looks like one is the client's own. Not for
 * DB_DONE. */
struct rest_problem rest_problem_of_outcome(struct arena *, const struct db_outcome *,
                                            bool anonymous, bool checked);

/* {"code":..,"details":..,"hint":..,"message":..}; minimal leaves code and message. */
void rest_problem_body(struct buf *out, const struct rest_problem *, bool minimal);

/* The value of Proxy-Status: "pghttpd; error=PGRST100". */
struct str rest_problem_proxy_status(struct arena *, const struct rest_problem *);

#define REST_GUC_HEADERS_MAX 100u

/* The settings response.headers and response.status that a function or trigger left, as text
 * ({NULL, 0}: not set). PGRST111 and PGRST112 when they are not what they must be. A status of 0
 * means: not set. */
MUSTCHECK bool rest_guc_headers(struct arena *, struct str text, const struct rest_header **out,
                                struct err *);
/* Fills err with PGRST111; returns false. For headers that HTTP does not allow. */
bool rest_guc_headers_bad(struct err *);
MUSTCHECK bool rest_guc_status(struct str text, int *out, struct err *);

#endif
