#include "db/listener.h"

#include <assert.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "db/error.h"
#include "db/ident.h"
#include "db/session.h"
#include "util/xalloc.h"

#define PROBE_US 5000000u        /* silence after which an empty query asks whether it lives */
#define PROBE_ANSWER_US 3000000u /* longest wait for the answer to that */
#define ANSWER_US 5000000u       /* longest wait for the answer to a batch ... */
#define ANSWER_PER_ITEM_US 5000u /* ... and for each LISTEN in it: they search a list */
#define BACKOFF_FIRST_US 100000u
#define BACKOFF_LAST_US 10000000u

/* A role or database may have limits that would end an idle connection. Settings that the server
 * does not know (idle_session_timeout before 14) are not in pg_settings. */
static const char setup_sql[] =
    "SELECT pg_catalog.set_config(name, '0', false) FROM pg_catalog.pg_settings"
    " WHERE name OPERATOR(pg_catalog.=) ANY ('{idle_session_timeout,statement_timeout,lock_timeout,"
    "transaction_timeout,idle_in_transaction_session_timeout}'::pg_catalog.text[])";

/* STOPPED -> CONNECTING -> SETUP -> IDLE <-> BATCH or PROBE; from any of them WAITING when the
 * connection is lost, and CONNECTING again when the wait is over. */
enum listener_state {
    LISTENER_STOPPED,
    LISTENER_WAITING,
    LISTENER_CONNECTING,
    LISTENER_SETUP,
    LISTENER_IDLE,
    LISTENER_PROBE,
    LISTENER_BATCH,
};

struct db_listener {
    struct loop *loop;
    struct helpers *helpers, *logins;
    struct db_listener_ops ops;
    void *arg;
    char *uri;
    uint64_t connect_timeout_us, probe_us;
    struct host_memory host_memory;
    struct session *session;
    enum listener_state state;
    struct db_failure failure; /* of the batch under way */
    uint64_t backoff_us, wait_us;
    /* WAITING: the next attempt. IDLE: the next probe. SETUP, PROBE, BATCH: the answer's limit. */
    struct loop_timer timer, pause_timer;
    bool paused;
    struct buf sql;
};

static void on_timer(void *arg);
static void on_pause_over(void *arg);

struct db_listener *db_listener_new(struct loop *loop, const struct db_listener_spec *spec,
                                    const struct db_listener_ops *ops, void *arg, struct err *err)
{
    struct helpers *helpers = helpers_new(loop, 1, err);
    struct helpers *logins = helpers ? helpers_new(loop, 1, err) : NULL;
    if (!logins) {
        helpers_free(helpers);
        return NULL;
    }
    struct db_listener *l = xcalloc(1, sizeof *l);
    l->loop = loop;
    l->helpers = helpers;
    l->logins = logins;
    l->ops = *ops;
    l->arg = arg;
    l->uri = xstrdup(spec->uri);
    l->connect_timeout_us = spec->connect_timeout_us;
    l->probe_us = spec->probe_us ? spec->probe_us : PROBE_US;
    buf_init(&l->sql, BUF_NO_CEILING);
    loop_timer_init(&l->timer, loop, on_timer, l);
    loop_timer_init(&l->pause_timer, loop, on_pause_over, l);
    return l;
}

void db_listener_free(struct db_listener *l)
{
    if (!l)
        return;
    db_listener_stop(l);
    helpers_free(l->helpers);
    helpers_finish(l->logins);
    db_failure_fini(&l->failure);
    buf_fini(&l->sql);
    free(l->uri);
    free(l);
}

/* ---- connecting, losing ---- */

static uint64_t jitter(uint64_t us)
{
    uint32_t r = 0;
    if (getrandom(&r, sizeof r, GRND_NONBLOCK) != sizeof r)
        r = (uint32_t)us;
    return us / 2 + us / 2 * (r >> 16) / 65536;
}

static void lost(struct db_listener *l, const struct db_error *why)
{
    session_close(l->session);
    l->session = NULL;
    l->paused = false;
    loop_timer_stop(&l->pause_timer);
    if (l->backoff_us == 0)
        l->backoff_us = BACKOFF_FIRST_US;
    l->wait_us = jitter(l->backoff_us);
    l->backoff_us = l->backoff_us * 2 < BACKOFF_LAST_US ? l->backoff_us * 2 : BACKOFF_LAST_US;
    buf_clear(&l->sql);
    l->state = LISTENER_WAITING;
    loop_timer_set(&l->timer, l->wait_us);
    l->ops.on_down(l->arg, why);
}

static void on_session_down(void *arg, const struct db_error *why)
{
    lost(arg, why);
}

void db_listener_reconnect(struct db_listener *l, const struct db_error *why)
{
    if (l->state > LISTENER_WAITING)
        lost(l, why);
}

static void no_answer(struct db_listener *l)
{
    struct db_failure f = {0};
    db_failure_set(&f, "08006", "the LISTEN connection does not answer", NULL);
    lost(l, &f.error);
    db_failure_fini(&f);
}

static void ask(struct db_listener *l, enum listener_state state, const char *sql, uint64_t limit)
{
    l->state = state;
    loop_timer_set(&l->timer, limit);
    if (PQsendQuery(session_pg(l->session), sql))
        session_flush(l->session); /* a failure here becomes on_session_down */
    else
        no_answer(l);
}

/* Shorter than the session's own: nobody waits for an answer here, so only probes tell. */
static void set_keepalive(int fd)
{
    const int on = 1, idle = 10, interval = 5, count = 3, user_timeout_ms = 15000;
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &user_timeout_ms, sizeof user_timeout_ms);
}

static void on_session_up(void *arg)
{
    struct db_listener *l = arg;
    set_keepalive(PQsocket(session_pg(l->session)));
    ask(l, LISTENER_SETUP, setup_sql, ANSWER_US);
}

static void on_session_input(void *arg);

static void connect_now(struct db_listener *l)
{
    static const struct session_ops ops = {
        .on_up = on_session_up, .on_down = on_session_down, .on_input = on_session_input};
    /* A standby takes no LISTEN. "primary" rather than "read-write": a role whose transactions are
     * read-only by default may well listen. */
    struct session_spec spec = {.uri = l->uri,
                                .application_name = "pghttpd listen",
                                .target_session_attrs = "primary",
                                .logins = l->logins,
                                .connect_timeout_us = l->connect_timeout_us,
                                .host_memory = &l->host_memory};
    l->state = LISTENER_CONNECTING;
    l->session = session_start(l->loop, l->helpers, &spec, &ops, l);
}

void db_listener_start(struct db_listener *l)
{
    if (l->state == LISTENER_STOPPED)
        connect_now(l);
}

void db_listener_stop(struct db_listener *l)
{
    loop_timer_stop(&l->timer);
    session_close(l->session);
    l->session = NULL;
    l->paused = false;
    loop_timer_stop(&l->pause_timer);
    l->backoff_us = 0;
    buf_clear(&l->sql);
    l->state = LISTENER_STOPPED;
}

bool db_listener_started(const struct db_listener *l)
{
    return l->state != LISTENER_STOPPED;
}

double db_listener_wait(const struct db_listener *l)
{
    return l->state == LISTENER_WAITING ? (double)l->wait_us / 1e6 : 0;
}

static void on_timer(void *arg)
{
    struct db_listener *l = arg;
    switch (l->state) {
    case LISTENER_WAITING: connect_now(l); break;
    case LISTENER_IDLE: ask(l, LISTENER_PROBE, "", PROBE_ANSWER_US); break;
    case LISTENER_SETUP:
    case LISTENER_PROBE:
    case LISTENER_BATCH: no_answer(l); break;
    case LISTENER_STOPPED:
    case LISTENER_CONNECTING: break; /* the session has its own limit */
    default: assert(false && "unknown state of a listener");
    }
}

/* ---- what is said over it ---- */

bool db_listener_idle(const struct db_listener *l)
{
    return (l->state == LISTENER_IDLE || l->state == LISTENER_PROBE) && l->sql.n == 0;
}

static void send_batch(struct db_listener *l)
{
    size_t limit = ANSWER_US;
    for (size_t i = 0; i < l->sql.n; i++)
        limit += l->sql.p[i] == ';' ? ANSWER_PER_ITEM_US : 0;
    ask(l, LISTENER_BATCH, l->sql.p, limit);
}

/* A batch that comes while a probe is under way waits for its answer. */
void db_listener_send(struct db_listener *l, const struct db_listen *items, size_t n)
{
    assert(db_listener_idle(l) && n > 0);
    for (size_t i = 0; i < n; i++) {
        if (items[i].listen)
            BUF_LIT(&l->sql, "LISTEN ");
        else
            BUF_LIT(&l->sql, "UNLISTEN ");
        ident_quote(&l->sql, items[i].channel);
        buf_char(&l->sql, ';');
    }
    buf_char(&l->sql, 0);
    if (l->state == LISTENER_IDLE)
        send_batch(l);
}

static void answered(struct db_listener *l)
{
    enum listener_state was = l->state;
    struct db_failure failure = l->failure;
    l->failure = (struct db_failure){0};
    l->state = LISTENER_IDLE;
    loop_timer_set(&l->timer, l->probe_us);
    if (was == LISTENER_SETUP && db_failure_any(&failure)) {
        lost(l, &failure.error);
    } else if (was == LISTENER_SETUP) {
        l->backoff_us = 0; /* the next attempts begin with the shortest wait */
        buf_clear(&l->sql);
        l->ops.on_up(l->arg);
    } else if (was == LISTENER_BATCH) {
        buf_clear(&l->sql);
        l->ops.on_done(l->arg, db_failure_any(&failure) ? &failure.error : NULL);
    } else if (l->sql.n > 0) {
        send_batch(l);
    }
    db_failure_fini(&failure);
}

/* Hands over what came; false when the connection was closed or paused meanwhile. */
static bool tell(struct db_listener *l)
{
    const struct session *s = l->session;
    PGnotify *n;
    while (s && l->session == s && !l->paused && (n = PQnotifies(session_pg(s)))) {
        l->ops.on_notify(l->arg, str_of(n->relname), str_of(n->extra), n->be_pid);
        PQfreemem(n);
    }
    return s && l->session == s && !l->paused;
}

static bool asked(const struct db_listener *l)
{
    return l->state == LISTENER_SETUP || l->state == LISTENER_PROBE || l->state == LISTENER_BATCH;
}

/* One result; false when the answer is complete. */
static bool collect(struct db_listener *l)
{
    PGresult *r = PQgetResult(session_pg(l->session));
    if (!r)
        return false;
    ExecStatusType status = PQresultStatus(r);
    if (status == PGRES_FATAL_ERROR || status == PGRES_BAD_RESPONSE)
        db_failure_result(&l->failure, r);
    PQclear(r);
    return true;
}

static void on_session_input(void *arg)
{
    struct db_listener *l = arg;
    if (l->state == LISTENER_IDLE)
        loop_timer_set(&l->timer, l->probe_us);
    while (tell(l) && asked(l) && !PQisBusy(session_pg(l->session)))
        if (!collect(l))
            answered(l);
}

void db_listener_pause(struct db_listener *l, uint64_t at_most_us)
{
    if (!l->session || l->paused)
        return;
    l->paused = true;
    session_pause(l->session, true);
    loop_timer_set(&l->pause_timer, at_most_us);
}

void db_listener_resume(struct db_listener *l)
{
    if (!l->paused)
        return;
    l->paused = false;
    loop_timer_stop(&l->pause_timer);
    session_pause(l->session, false);
    on_session_input(l); /* what libpq has already read */
}

static void on_pause_over(void *arg)
{
    db_listener_resume(arg);
}
