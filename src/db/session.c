#include "db/session.h"

#include <assert.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "db/resolve.h"
#include "util/log.h"
#include "util/xalloc.h"

#define PARAMS_MAX 96 /* libpq 17 knows 50 keywords; ours come on top */

/* RESOLVING: a helper thread looks names up; on_resolved goes on.
 * CONNECTING: PQconnectPoll says which readiness to wait for.
 * UP: on_up was called; reading, and writing while libpq holds bytes.
 * DOWN: on_down was called, or is queued. Nothing happens any more.
 * CLOSED: the owner let go; freed at the end of the turn. */
enum session_state {
    SESSION_RESOLVING,
    SESSION_CONNECTING,
    SESSION_UP,
    SESSION_DOWN,
    SESSION_CLOSED
};

struct lookup {
    struct session *session; /* NULL when the session was closed meanwhile */
    struct resolve r;
};

/* libpq while the login is under way. A step of it that reads may be long: scram-sha-256 computes
 * for 3 to 8 ms, a TLS handshake for one; a helper's thread has this for the time of the step, and
 * the loop leaves it alone. */
struct login {
    struct session *session; /* NULL when the session was closed, or had to end, meanwhile */
    PGconn *pg;
    PostgresPollingStatusType next;
    struct db_failure failure; /* a FATAL of PostgreSQL's */
    struct loop_timer next_turn;
    bool stepping; /* a helper has it */
};

struct params {
    const char *keys[PARAMS_MAX + 1];
    char *values[PARAMS_MAX + 1];
    size_t n;
};

/* target_session_attrs=prefer-standby: all hosts are asked for a standby, then for any server. */
enum attrs_pass { ATTRS_AS_GIVEN, ATTRS_STANDBY, ATTRS_ANY };

struct session {
    struct loop *loop;
    struct session_ops ops;
    void *arg;
    PGconn *pg; /* UP, and later */
    enum session_state state;
    struct event *read_ev, *write_ev; /* UP */
    struct event *poll_ev;            /* CONNECTING */
    bool paused, writing, client_login;
    struct loop_timer timeout;
    struct loop_task down_task;
    struct lookup *lookup;
    struct login *login; /* CONNECTING */
    struct helpers *logins;
    struct params params; /* until it is connected, or no host is left; wiped */
    struct hosts hosts;
    size_t next_host;
    struct host_memory *host_memory;
    uint64_t connect_timeout_us;
    enum attrs_pass attrs_pass;
    struct db_failure failure;
    uint64_t started_us, connect_us;
};

/* ---- parameters ---- */

static void wipe(char *value)
{
    if (value)
        explicit_bzero(value, strlen(value));
    free(value);
}

static void param_set(struct params *p, const char *key, const char *value)
{
    for (size_t i = 0; i < p->n; i++) {
        if (strcmp(p->keys[i], key) != 0)
            continue;
        wipe(p->values[i]);
        p->values[i] = xstrdup(value);
        return;
    }
    assert(p->n < PARAMS_MAX);
    p->keys[p->n] = key;
    p->values[p->n++] = xstrdup(value);
}

static const char *param_get(const struct params *p, const char *key)
{
    for (size_t i = 0; i < p->n; i++)
        if (strcmp(p->keys[i], key) == 0)
            return p->values[i];
    return NULL;
}

static void param_default(struct params *p, const char *key, const char *value)
{
    if (!param_get(p, key))
        param_set(p, key, value);
}

static void params_wipe(struct params *p)
{
    for (size_t i = 0; i < p->n; i++)
        wipe(p->values[i]);
    p->n = 0;
}

/* A keyword of libpq's own table, whose strings live for ever (the parsed copy does not). */
static const char *const taken_from_uri[] = {
    "authtype",
    "service",
    "user",
    "password",
    "connect_timeout",
    "dbname",
    "host",
    "hostaddr",
    "port",
    "client_encoding",
    "options",
    "application_name",
    "fallback_application_name",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "tcp_user_timeout",
    "sslmode",
    "sslnegotiation",
    "sslcompression",
    "sslcert",
    "sslkey",
    "sslcertmode",
    "sslpassword",
    "sslrootcert",
    "sslcrl",
    "sslcrldir",
    "sslsni",
    "passfile",
    "channel_binding",
    "require_auth",
    "requirepeer",
    "requiressl",
    "ssl_min_protocol_version",
    "ssl_max_protocol_version",
    "min_protocol_version",
    "max_protocol_version",
    "gssencmode",
    "krbsrvname",
    "gsslib",
    "gssdelegation",
    "target_session_attrs",
    "load_balance_hosts",
};

static const char *known_keyword(const char *keyword)
{
    for (size_t i = 0; i < sizeof taken_from_uri / sizeof *taken_from_uri; i++)
        if (strcmp(taken_from_uri[i], keyword) == 0)
            return taken_from_uri[i];
    return NULL;
}

/* What stands in the uri. False: it cannot be parsed, failure says why. */
static bool params_from_uri(struct session *s, const char *uri)
{
    char *message = NULL;
    PQconninfoOption *options = PQconninfoParse(uri, &message);
    if (!options) {
        PQfreemem(message); /* it may quote the password */
        db_failure_set(&s->failure, "08001", "the configured connection string is malformed", NULL);
        return false;
    }
    for (PQconninfoOption *o = options; o->keyword; o++) {
        const char *key = o->val ? known_keyword(o->keyword) : NULL;
        if (key)
            param_set(&s->params, key, o->val);
        if (o->val)
            explicit_bzero(o->val, strlen(o->val));
    }
    PQconninfoFree(options);
    return true;
}

/* A client's login gets nothing of our own identity: no password file, client certificate,
 * Kerberos ticket or service entry. An empty value would mean "as in the environment" to libpq, so
 * switched-off things get a value that names nothing. */
static void params_for_client(struct params *p, const struct session_spec *spec)
{
    param_set(p, "passfile", "/dev/null");
    param_set(p, "sslcert", "/dev/null/none");
    param_set(p, "sslkey", "/dev/null/none");
    param_set(p, "gssencmode", "disable");
    param_set(p, "service", "");
    if (getenv("PGOPTIONS") && !(spec->options && *spec->options))
        param_set(p, "options", " ");
}

static void params_build(struct session *s, const struct session_spec *spec)
{
    struct params *p = &s->params;
    if (spec->user)
        param_set(p, "user", spec->user);
    if (spec->password)
        param_set(p, "password", spec->password);
    if (spec->database)
        param_set(p, "dbname", spec->database);
    if (spec->options)
        param_set(p, "options", spec->options);
    if (spec->application_name && *spec->application_name)
        param_set(p, "application_name", spec->application_name);
    if (spec->target_session_attrs)
        param_set(p, "target_session_attrs", spec->target_session_attrs);
    if (spec->client_login)
        params_for_client(p, spec);
    param_set(p, "client_encoding", "UTF8");
    param_default(p, "fallback_application_name", "pghttpd");
    param_default(p, "gssencmode", "disable"); /* a Kerberos library would block the loop */
    param_default(p, "keepalives_idle", "15");
    param_default(p, "keepalives_interval", "5");
    param_default(p, "keepalives_count", "3");
    param_default(p, "tcp_user_timeout", "15000");
}

/* The host libpq would take when none is given: from PGHOST. */
static const char *effective_host(const struct params *p)
{
    const char *host = param_get(p, "host");
    return host && *host ? host : getenv("PGHOST");
}

/* ---- going down ---- */

static void on_down_task(void *arg)
{
    struct session *s = arg;
    if (s->state == SESSION_DOWN)
        s->ops.on_down(s->arg, &s->failure.error);
}

static void login_free(void *arg)
{
    struct login *l = arg;
    PQfinish(l->pg);
    db_failure_fini(&l->failure);
    free(l);
}

static void stop_login(struct session *s)
{
    struct login *l = s->login;
    s->login = NULL;
    if (l && l->stepping) {
        l->session = NULL;
    } else if (l) {
        loop_timer_stop(&l->next_turn);
        login_free(l);
    }
}

static void stop_events(struct session *s)
{
    loop_timer_stop(&s->timeout);
    if (s->poll_ev)
        event_free(s->poll_ev);
    if (s->read_ev)
        event_free(s->read_ev);
    if (s->write_ev)
        event_free(s->write_ev);
    s->poll_ev = s->read_ev = s->write_ev = NULL;
    if (s->lookup)
        s->lookup->session = NULL;
    s->lookup = NULL;
    stop_login(s);
}

/* failure was filled. on_down comes in this turn, but not from within our caller. */
static void go_down(struct session *s)
{
    if (s->state == SESSION_DOWN || s->state == SESSION_CLOSED)
        return;
    stop_events(s);
    s->state = SESSION_DOWN;
    s->down_task = LOOP_TASK(on_down_task, s);
    loop_defer(s->loop, LOOP_COMPLETE, &s->down_task);
}

/* What PostgreSQL said last (a FATAL of its own) or else what libpq says. */
static void go_down_lost(struct session *s)
{
    if (!db_failure_any(&s->failure))
        db_failure_text(&s->failure, PQerrorMessage(s->pg), "08006");
    go_down(s);
}

static void destroy(void *p)
{
    struct session *s = p;
    PQfinish(s->pg);
    params_wipe(&s->params);
    hosts_fini(&s->hosts);
    db_failure_fini(&s->failure);
    free(s);
}

void session_close(struct session *s)
{
    if (!s || s->state == SESSION_CLOSED)
        return;
    stop_events(s);
    loop_undefer(&s->down_task);
    s->state = SESSION_CLOSED;
    loop_free_later(s->loop, destroy, s);
}

/* ---- up ---- */

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct session *s = arg;
    (void)fd, (void)what;
    loop_turn(s->loop);
    bool alive = PQconsumeInput(s->pg) == 1;
    s->ops.on_input(s->arg); /* also when it broke: what came before is still to be read */
    if (s->state == SESSION_UP && (!alive || PQstatus(s->pg) == CONNECTION_BAD))
        go_down_lost(s);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    struct session *s = arg;
    (void)fd, (void)what;
    loop_turn(s->loop);
    session_flush(s);
}

void session_flush(struct session *s)
{
    if (s->state != SESSION_UP)
        return;
    int rest = PQflush(s->pg);
    if (rest < 0) {
        /* PostgreSQL may have said why before it closed: read that first. */
        PQconsumeInput(s->pg);
        s->ops.on_input(s->arg);
        if (s->state == SESSION_UP)
            go_down_lost(s);
        return;
    }
    if ((rest == 1) == s->writing)
        return;
    s->writing = rest == 1;
    if (s->writing)
        event_add(s->write_ev, NULL);
    else
        event_del(s->write_ev);
    if (!s->writing && s->ops.on_flushed)
        s->ops.on_flushed(s->arg);
}

void session_cork(struct session *s, bool on)
{
    if (s->state == SESSION_UP)
        (void)setsockopt(PQsocket(s->pg), IPPROTO_TCP, TCP_CORK, &(int){on}, sizeof(int));
}

bool session_writing(const struct session *s)
{
    return s->writing;
}

void session_pause(struct session *s, bool paused)
{
    if (s->paused == paused || s->state != SESSION_UP)
        return;
    s->paused = paused;
    if (paused)
        event_del(s->read_ev);
    else
        event_add(s->read_ev, NULL);
}

static bool is_fatal(const PGresult *res)
{
    const char *severity = PQresultErrorField(res, PG_DIAG_SEVERITY_NONLOCALIZED);
    return severity && (strcmp(severity, "FATAL") == 0 || strcmp(severity, "PANIC") == 0);
}

/* Never prints. A FATAL outside of a query is why the connection is about to end. */
static void on_pq_notice(void *arg, const PGresult *res)
{
    struct session *s = arg;
    if (is_fatal(res))
        db_failure_result(&s->failure, res);
    else if (s->state == SESSION_UP && s->ops.on_notice)
        s->ops.on_notice(s->arg, res);
}

static void go_up(struct session *s)
{
    if (s->client_login && !PQconnectionUsedPassword(s->pg)) {
        db_failure_set(&s->failure, "28P01",
                       "this login needs no password, so it is not open to clients",
                       "In pg_hba.conf this user is let in without a password (trust, peer, cert): "
                       "use scram-sha-256.");
        go_down(s);
        return;
    }
    struct event_base *base = loop_base(s->loop);
    loop_timer_stop(&s->timeout);
    s->read_ev = event_new(base, PQsocket(s->pg), EV_READ | EV_PERSIST, on_readable, s);
    s->write_ev = event_new(base, PQsocket(s->pg), EV_WRITE | EV_PERSIST, on_writable, s);
    if (!s->read_ev || !s->write_ev || event_add(s->read_ev, NULL) < 0 ||
        PQsetnonblocking(s->pg, 1) < 0) {
        db_failure_set(&s->failure, "53200", "out of memory or descriptors for a connection", NULL);
        go_down(s);
        return;
    }
    s->connect_us = loop_now_us(s->loop) - s->started_us;
    s->state = SESSION_UP;
    s->ops.on_up(s->arg);
}

/* ---- connecting ---- */

static void on_pollable(evutil_socket_t fd, short what, void *arg);

static void await(struct session *s, short readiness)
{
    s->poll_ev = event_new(loop_base(s->loop), PQsocket(s->login->pg), readiness, on_pollable, s);
    if (s->poll_ev && event_add(s->poll_ev, NULL) == 0)
        return;
    db_failure_set(&s->failure, "53200", "out of memory or descriptors for a connection", NULL);
    go_down(s);
}

/* The next host may be better where this one was not reached, gave no answer, starts up, or is not
 * what target_session_attrs asks for; a login that is refused ends the attempt. */
static bool is_of_host(const struct db_error *why)
{
    return strncmp(why->code, "08", 2) == 0 || strncmp(why->code, "57P", 3) == 0;
}

static bool connect_next(struct session *s);

static void go_on_or_down(struct session *s)
{
    if (!is_of_host(&s->failure.error) || !connect_next(s))
        go_down(s);
}

static void on_refused(struct session *s)
{
    struct login *l = s->login;
    if (db_failure_any(&l->failure))
        db_failure_copy(&s->failure, &l->failure.error);
    else
        db_failure_text(&s->failure, PQerrorMessage(l->pg), "08001");
    go_on_or_down(s);
}

static void on_login_notice(void *arg, const PGresult *res)
{
    struct login *l = arg;
    if (is_fatal(res))
        db_failure_result(&l->failure, res);
}

static void login_done(struct session *s)
{
    s->pg = s->login->pg;
    s->login->pg = NULL;
    PQsetNoticeReceiver(s->pg, on_pq_notice, s);
    stop_login(s);
    params_wipe(&s->params);
    db_failure_fini(&s->failure); /* of hosts before this one */
    go_up(s);
}

static void login_step(struct login *l)
{
    l->next = PQconnectPoll(l->pg);
}

/* On a helper's thread. What OpenSSL keeps for the thread goes now: when the thread ends, exit()
 * may be at taking OpenSSL away. */
static void login_step_apart(void *arg)
{
    login_step(arg);
    OPENSSL_thread_stop();
}

static void on_step(void *arg)
{
    struct login *l = arg;
    struct session *s = l->session;
    l->stepping = false;
    if (!s)
        login_free(l);
    else if (l->next == PGRES_POLLING_READING)
        await(s, EV_READ);
    else if (l->next == PGRES_POLLING_WRITING)
        await(s, EV_WRITE);
    else if (l->next == PGRES_POLLING_OK)
        login_done(s);
    else
        on_refused(s);
}

static void on_next_turn(void *arg)
{
    struct login *l = arg;
    l->stepping = true;
    helpers_run(l->session->logins,
                &(struct helpers_job){
                    .work = login_step_apart, .done = on_step, .drop = login_free, .arg = l});
}

/* The socket may be another one after every step (next address, TLS refused), so its event is made
 * anew, and gone before libpq can close the old one: out of epoll in the next turn. */
static void on_pollable(evutil_socket_t fd, short what, void *arg)
{
    struct session *s = arg;
    struct login *l = s->login;
    (void)fd;
    loop_turn(s->loop);
    event_free(s->poll_ev);
    s->poll_ev = NULL;
    if (what & EV_READ) {
        loop_timer_init(&l->next_turn, s->loop, on_next_turn, l);
        loop_timer_set(&l->next_turn, 0);
        return;
    }
    login_step(l);
    on_step(l);
}

static void on_connect_timeout(void *arg)
{
    struct session *s = arg;
    db_failure_set(&s->failure, "08001", "timeout expired while connecting to the database", NULL);
    if (s->host_memory && s->next_host > 0)
        host_memory_note(s->host_memory, &s->hosts.v[s->next_host - 1], loop_now_us(s->loop));
    go_on_or_down(s);
}

/* What connect_timeout in the uri says (libpq takes nothing below 2), else an equal share. */
static uint64_t host_timeout_us(const struct session *s)
{
    const char *given = param_get(&s->params, "connect_timeout");
    uint64_t seconds;
    if (given && str_u64(str_of(given), 3600, &seconds) && seconds > 0)
        return (seconds < 2 ? 2 : seconds) * 1000000;
    return s->connect_timeout_us / (s->hosts.n ? s->hosts.n : 1);
}

static void connect_start(struct session *s)
{
    struct login *l = s->login = xcalloc(1, sizeof *l);
    uint64_t timeout_us = host_timeout_us(s);
    l->session = s;
    s->params.keys[s->params.n] = NULL;
    s->params.values[s->params.n] = NULL;
    s->state = SESSION_CONNECTING;
    if (timeout_us)
        loop_timer_set(&s->timeout, timeout_us);
    l->pg = PQconnectStartParams(s->params.keys, (const char *const *)s->params.values, 0);
    if (!l->pg) {
        db_failure_set(&s->failure, "53200", "out of memory for a connection", NULL);
        go_down(s);
        return;
    }
    PQsetErrorVerbosity(l->pg, PQERRORS_VERBOSE); /* SQLSTATE in the text of a failed login */
    PQsetNoticeReceiver(l->pg, on_login_notice, l);
    if (PQstatus(l->pg) == CONNECTION_BAD)
        on_refused(s);
    else
        await(s, EV_WRITE); /* as the first PQconnectPoll wants it (libpq docs) */
}

/* False: there is none left. */
static bool connect_next(struct session *s)
{
    if (s->next_host >= s->hosts.n && s->attrs_pass == ATTRS_STANDBY) {
        s->attrs_pass = ATTRS_ANY;
        s->next_host = 0;
        param_set(&s->params, "target_session_attrs", "any");
    }
    if (s->next_host >= s->hosts.n)
        return false;
    const struct host *h = &s->hosts.v[s->next_host++];
    if (s->poll_ev)
        event_free(s->poll_ev);
    s->poll_ev = NULL;
    stop_login(s);
    param_set(&s->params, "host", h->name);
    param_set(&s->params, "hostaddr", h->address);
    param_set(&s->params, "port", h->port);
    connect_start(s);
    return true;
}

/* One host, or lists that libpq has something to say about: libpq does it all. */
static void connect_first(struct session *s)
{
    const char *balance = param_get(&s->params, "load_balance_hosts"),
               *attrs = param_get(&s->params, "target_session_attrs"),
               *port = param_get(&s->params, "port");
    bool random = balance && strcmp(balance, "random") == 0;
    if (!hosts_parse(&s->hosts, effective_host(&s->params), param_get(&s->params, "hostaddr"),
                     port ? port : getenv("PGPORT")) ||
        s->hosts.n < 2) {
        hosts_fini(&s->hosts);
        connect_start(s);
        return;
    }
    if (random)
        hosts_shuffle(&s->hosts, (uint64_t)(uintptr_t)s ^ loop_clock_us());
    if (s->host_memory)
        hosts_put_silent_last(&s->hosts, s->host_memory, loop_now_us(s->loop));
    if (attrs && strcmp(attrs, "prefer-standby") == 0) {
        s->attrs_pass = ATTRS_STANDBY;
        param_set(&s->params, "target_session_attrs", "standby");
    }
    connect_next(s);
}

static void lookup_free(void *arg)
{
    struct lookup *l = arg;
    resolve_fini(&l->r);
    free(l);
}

static void lookup_work(void *arg)
{
    struct lookup *l = arg;
    resolve_run(&l->r);
}

static void on_resolved(void *arg)
{
    struct lookup *l = arg;
    struct session *s = l->session;
    if (s && l->r.error) {
        s->lookup = NULL;
        db_failure_set(&s->failure, "08001", l->r.error, NULL);
        go_down(s);
    } else if (s) {
        s->lookup = NULL;
        param_set(&s->params, "host", l->r.host);
        param_set(&s->params, "hostaddr", l->r.hostaddr);
        param_set(&s->params, "port", l->r.port);
        connect_first(s);
    }
    lookup_free(l);
}

static void lookup_start(struct session *s, struct helpers *helpers)
{
    const char *port = param_get(&s->params, "port");
    if (!port)
        port = getenv("PGPORT");
    s->lookup = xcalloc(1, sizeof *s->lookup);
    s->lookup->session = s;
    s->lookup->r.host = xstrdup(effective_host(&s->params));
    s->lookup->r.port = xstrdup(port ? port : "");
    helpers_run(helpers, &(struct helpers_job){.work = lookup_work,
                                               .done = on_resolved,
                                               .drop = lookup_free,
                                               .arg = s->lookup});
}

struct session *session_start(struct loop *loop, struct helpers *helpers,
                              const struct session_spec *spec, const struct session_ops *ops,
                              void *arg)
{
    struct session *s = xcalloc(1, sizeof *s);
    s->loop = loop;
    s->ops = *ops;
    s->arg = arg;
    s->client_login = spec->client_login;
    s->logins = spec->logins;
    s->host_memory = spec->host_memory;
    s->connect_timeout_us = spec->connect_timeout_us;
    s->started_us = loop_now_us(loop);
    loop_timer_init(&s->timeout, loop, on_connect_timeout, s);
    if (!params_from_uri(s, spec->uri ? spec->uri : "")) {
        go_down(s);
        return s;
    }
    params_build(s, spec);
    if (spec->connect_timeout_us)
        loop_timer_set(&s->timeout, spec->connect_timeout_us);
    if (!param_get(&s->params, "hostaddr") && resolve_needed(effective_host(&s->params)))
        lookup_start(s, helpers);
    else
        connect_first(s);
    return s;
}

PGconn *session_pg(const struct session *s)
{
    return s->pg;
}

uint64_t session_connect_us(const struct session *s)
{
    return s->connect_us;
}
