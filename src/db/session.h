/* session: one libpq connection as a state machine on the loop: name lookup (helper thread),
 * PQconnectStart/PQconnectPoll (the long steps on a helper thread, too), reading, flushing,
 * closing. What is said over it is the owner's matter: db/conn.c pipelines jobs over it,
 * db/listener.c listens on it. Private to src/db.
 *
 *     struct session_spec spec = {.uri = "postgresql://", .connect_timeout_us = 10000000};
 *     s = session_start(loop, helpers, &spec, &ops, me);   -- then on_up or on_down, later
 *     ... in on_up:    PQsendQuery(session_pg(s), "LISTEN x"); session_flush(s);
 *     ... in on_input: while (!PQisBusy(pg)) ... PQgetResult(pg) / PQnotifies(pg) ...
 *     session_close(s);                                    -- at any time, also inside a callback
 *
 * Owned by whoever started it, also after on_down: close it. No callback runs before session_start
 * returned, none after session_close. Everything happens on the loop's thread. */
#ifndef PGH_DB_SESSION_H
#define PGH_DB_SESSION_H

#include <libpq-fe.h>

#include "db/error.h"
#include "db/helpers.h"
#include "db/hosts.h"

struct session;

struct session_spec {
    const char *uri; /* ours: a URI or keyword string, host and port come from it alone */
    /* Over what the uri says; NULL: as there. Borrowed until session_start returns. */
    const char *user, *password, *database, *options, *application_name;
    const char *target_session_attrs;
    struct helpers *logins; /* compute what a login needs; not those that may hang in a lookup */
    bool client_login; /* the login is a client's: nothing of the server's own identity may help it
                          in, and a connection that did not need the password is refused (28P01) */
    /* Name lookup takes at most this; then each host its share of it, or what connect_timeout in
     * the uri says. 0: no limit. */
    uint64_t connect_timeout_us;
    struct host_memory *host_memory; /* shared by sessions of one uri; outlives them. NULL: none */
};

struct session_ops {
    void (*on_up)(void *arg); /* logged in, non-blocking, reading */
    /* Not connected, or no longer. Called once. */
    void (*on_down)(void *arg, const struct db_error *why);
    /* Bytes came (PQconsumeInput was called). After it on_down may follow at once. */
    void (*on_input)(void *arg);
    void (*on_notice)(void *arg, const PGresult *); /* may be NULL */
    void (*on_flushed)(void *arg); /* what had to wait for the socket was sent; may be NULL */
};

struct session *session_start(struct loop *, struct helpers *, const struct session_spec *,
                              const struct session_ops *, void *arg);
void session_close(struct session *); /* NULL is fine */

PGconn *session_pg(const struct session *); /* from on_up on */
/* Sends what libpq holds, the rest when the socket takes it. A failure becomes on_down. */
void session_flush(struct session *);
bool session_writing(const struct session *); /* something waits for the socket */
/* Between on and off what libpq sends piece by piece leaves in one segment and wakes PostgreSQL
 * once (TCP_CORK; over a unix socket it does nothing). Off sends what is held back. */
void session_cork(struct session *, bool on);
/* Backpressure: no reading until resumed. */
void session_pause(struct session *, bool paused);
uint64_t session_connect_us(const struct session *); /* how long lookup and login took */

#endif
