/* listener: the one connection that LISTENs, on its own and never inside a transaction.
 *
 * It connects by itself, again and again (0.1 s to 10 s apart, with jitter), tells what came, and
 * takes one batch of LISTENs and UNLISTENs at a time. It is always read: a listener that does not
 * read pins the notification queue of the whole cluster (PostgreSQL docs, NOTIFY). A dead link is
 * found by an empty query every so often with a limit on its answer, and by TCP keepalive.
 *
 * Everything on the loop's thread. No callback runs before db_listener_start or db_listener_send
 * returned, none after db_listener_stop. */
#ifndef PGH_DB_LISTENER_H
#define PGH_DB_LISTENER_H

#include "db/job.h"
#include "util/loop.h"

struct db_listener;

struct db_listener_spec {
    const char *uri;
    uint64_t connect_timeout_us;
    uint64_t probe_us; /* the empty query; 0: the default of 5 s */
};

struct db_listener_ops {
    void (*on_up)(void *arg); /* a new connection, which listens to nothing yet */
    /* It was lost, or could not be made; the next attempt follows by itself. */
    void (*on_down)(void *arg, const struct db_error *why);
    void (*on_notify)(void *arg, struct str channel, struct str payload, int pid);
    /* The batch was committed (why == NULL) or rolled back as a whole. Not after on_down. */
    void (*on_done)(void *arg, const struct db_error *why);
};

struct db_listen {
    struct str channel; /* no NUL */
    bool listen;        /* or UNLISTEN */
};

MUSTCHECK struct db_listener *db_listener_new(struct loop *, const struct db_listener_spec *,
                                              const struct db_listener_ops *, void *arg,
                                              struct err *);
void db_listener_free(struct db_listener *); /* accepts NULL */
void db_listener_start(struct db_listener *);
void db_listener_stop(struct db_listener *); /* closes it; may be started again */
bool db_listener_started(const struct db_listener *);
/* Closes the connection and makes another: on_down(why) now, inside this call. */
void db_listener_reconnect(struct db_listener *, const struct db_error *why);

bool db_listener_idle(const struct db_listener *); /* up, and no batch under way */
void db_listener_send(struct db_listener *, const struct db_listen *, size_t n); /* when idle */
/* Hands nothing over and reads nothing until resumed, for at most as long as given: the server's
 * queue must not be pinned. May be called inside on_notify. */
void db_listener_pause(struct db_listener *, uint64_t at_most_us);
void db_listener_resume(struct db_listener *);
/* Seconds until the next attempt, for logs; 0 while connected or connecting. */
double db_listener_wait(const struct db_listener *);

#endif
