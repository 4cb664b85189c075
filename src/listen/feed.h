/* feed: brings one database's notifications into its hub, over one LISTEN connection.
 *
 * It connects when somebody wants a channel, and disconnects when nobody does and there was no
 * reader for db-pool-max-idletime. On a new connection: LISTEN on all channels first, then the hub
 * tells its readers of the gap, then a self-test: a NOTIFY through the pool that must come back,
 * because a pooler in transaction mode accepts LISTEN and delivers nothing.
 *
 * On worker 0's thread, but feed_health. */
#ifndef PGH_LISTEN_FEED_H
#define PGH_LISTEN_FEED_H

#include "conf/conf.h"
#include "db/pool.h"
#include "listen/hub.h"
#include "util/loop.h"

struct feed;

enum feed_health {
    FEED_IDLE,       /* nobody wants anything: not connected */
    FEED_CONNECTING, /* the first attempt */
    FEED_UP,
    FEED_DEAF, /* connected, but nothing arrives */
    FEED_AWAY, /* lost, or cannot be made */
};

struct feed_spec {
    struct loop *loop;
    struct db_pools *pools; /* worker 0's */
    const char *database;   /* its name in the settings */
    const char *listen_uri;
    uint64_t connect_timeout_us;
    uint32_t epoch;
    unsigned workers;
    size_t history, history_bytes;
};

/* Makes the hub as well. Any thread; the rest of it then happens on the loop's. */
struct feed *feed_new(const struct feed_spec *);
void feed_stop(struct feed *); /* closes the connection for good; streams are not told */
void feed_free(struct feed *); /* and the hub: its readers are gone */
struct hub *feed_hub(struct feed *);
/* The configuration from now on, for finding the pool of the self-test. */
void feed_reconfigure(struct feed *, struct conf *);
/* Any thread. reason (of at least 1024 bytes) gets why it is DEAF or AWAY. */
enum feed_health feed_health(struct feed *, char *reason, size_t reason_size);

#endif
