/* access: one line a request on stderr, gathered over a turn of the loop and written at
 * once, as logfmt or (log-format = json) as JSON, which has the parts of a traceparent, too.
 *
 *     ts=... level=info msg=request method=GET path="/rest/items?id=eq.1" route=rest status=200
 *     bytes=37 ms=0.812 queue_ms=0.010 db_ms=0.501 id=... addr=127.0.0.1 [trace=...]
 *
 * Secrets in the query (access_token, password, params and their kind) are shown as ***, and so is
 * SQL text unless log-query is on. */
#ifndef PGH_HTTP_ACCESS_H
#define PGH_HTTP_ACCESS_H

#include <time.h>

#include "util/buf.h"

struct access_log {
    struct buf lines;
    time_t second; /* of the text below */
    char stamp[25];
    bool show_sql;
};

struct access_entry {
    struct str method, target, route, id, address, trace;
    int status;
    uint64_t bytes, us, queue_us, db_us;
};

void access_init(struct access_log *);
void access_fini(struct access_log *);
void access_add(struct access_log *, const struct access_entry *);
void access_flush(struct access_log *);

/* target with the secrets of its query replaced. */
void access_redact(struct buf *out, struct str target, bool show_sql);

#endif
