/* hubs: the hubs of the process, one per database, made at first use. An idle one keeps nothing but
 * what it counted, so that metrics do not go backwards (feed.h says when).
 *
 * All LISTEN connections live on worker 0's loop. hubs_get may be called by any worker; the other
 * calls belong to worker 0's thread, hubs_free to the main thread after all loops have ended. */
#ifndef PGH_LISTEN_HUBS_H
#define PGH_LISTEN_HUBS_H

#include "conf/conf.h"
#include "listen/hub.h"

struct hubs;
struct loop;
struct db_pools;

struct hubs_spec {
    struct loop *const *loops; /* of all workers; [0] also carries the LISTEN connections */
    unsigned workers;
    struct db_pools *pools; /* worker 0's, for the self-test */
    struct conf *conf;
};

MUSTCHECK struct hubs *hubs_new(const struct hubs_spec *, struct err *);
/* New settings for what is made from now on. */
void hubs_reconfigure(struct hubs *, struct conf *);
/* Closes the LISTEN connections, without telling the streams: they are about to end. */
void hubs_stop(struct hubs *);
void hubs_free(struct hubs *);

/* NULL with err when it cannot be made. */
MUSTCHECK struct hub *hubs_get(struct hubs *, const struct conf_database *, struct err *);

/* For /ready (degraded): false when the configured database's LISTEN connection is wanted and away,
 * or deaf (behind a pooler in transaction mode); reason says why. Any thread. */
bool hubs_ready(struct hubs *, char *reason, size_t reason_size);
void hubs_metrics(struct hubs *, struct buf *out); /* any thread */
/* [{"database":"","state":"up","channels":[...]}], for the admin port. Any thread. */
void hubs_dump(struct hubs *, struct buf *out);

#endif
