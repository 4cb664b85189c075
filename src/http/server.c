/* One server on one loop: its libmicrohttpd daemon, its connections, its clocks.
 *
 * libmicrohttpd runs in external epoll mode: its epoll descriptor is an event of our loop, and
 * MHD_run is called once a turn, in LOOP_KICK, when that descriptor was readable, a connection was
 * added or a request was resumed. MHD_run does all work: it reads, calls request.c's handler, and
 * writes.
 *
 * We accept ourselves (MHD_add_connection), because libmicrohttpd's own accepting stalls at its
 * connection limit and spins when descriptors run out; here both are an answer of 503.
 *
 * A client that leaves while its request waits is seen by a second epoll descriptor that watches
 * every connection for RDHUP alone, edge triggered, entered once: no system calls per request. A
 * reset counts at once. A FIN may be a half-close by somebody who still reads (nc -N, HTTP/1.0
 * tools): after GRACE_US peer_ask makes the client's kernel say which it was. */
#include "http/server.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <unistd.h>

#include "http/mhd.h"
#include "http/priv.h"
#include "util/log.h"
#include "util/xalloc.h"

#define GRACE_US 1000000      /* between a FIN and asking whether its sender still reads */
#define ASK_IDLE_S 15         /* keepalive of a connection whose client sent its FIN */
#define DRAIN_HEAD_US 1000000 /* what is left for half-sent heads once the server ends */
#define TICK_US 1000000       /* timeouts are looked at this often */
#define ACCEPTS_A_TURN 64     /* then others get their turn */
#define BODY_RATE 500         /* bytes a second a body must come with, on the whole */
#define END_ROUNDS 8          /* of libmicrohttpd, to let go of all connections */
#define FREE_PEERS 256        /* kept for reuse */
#define WRITE_SLACK_S 5       /* libmicrohttpd's own timeout is the last resort, so a bit longer */

static const char *const too_many =
    "{\"code\":\"PGH503\",\"details\":null,\"hint\":\"raise server-connections-max\","
    "\"message\":\"too many connections\"}";
static const char *const no_descriptor =
    "{\"code\":\"PGH503\",\"details\":null,\"hint\":\"raise the limit of open files\","
    "\"message\":\"no descriptor left for this connection\"}";
static const char *const too_slow = "{\"code\":\"PGH408\",\"details\":null,\"hint\":null,"
                                    "\"message\":\"the request did not arrive in time\"}";

static void peer_show_fin_later(struct peer *p);

/* --- connections --- */

void peer_phase_set(struct peer *p, enum peer_phase phase)
{
    p->phase = phase;
    p->since_us = loop_now_us(p->server->loop);
    peer_show_fin_later(p);
}

/* By the settings as they are now: at the accept, and again at a reload. Whoever may connect to the
 * unix socket is a proxy as soon as any is trusted. */
static void peer_judge(struct peer *p)
{
    p->trusted = cidr_list_has(p->server->trusted, (struct str){p->address, p->address_n}) ||
                 (p->unix_socket && p->server->conf->server_trusted_proxies.n);
}

static void peer_describe(struct peer *p, const struct sockaddr *address)
{
    p->unix_socket = !address || address->sa_family == AF_UNIX;
    p->address_n =
        (unsigned char)proxy_address_text(address, p->address, sizeof p->address, &p->local);
    peer_judge(p);
}

static void peer_new(struct http_server *s, struct MHD_Connection *mc, void **context)
{
    struct peer *p = s->free_peers;
    if (p) {
        s->free_peers = p->next;
        s->n_free_peers--;
    } else {
        p = xmalloc(sizeof *p);
    }
    int fd = MHD_get_connection_info(mc, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    *p = (struct peer){.server = s, .mc = mc, .fd = fd, .next = s->peers};
    if (s->peers)
        s->peers->prev = p;
    s->peers = p;
    peer_phase_set(p, PEER_FRESH);
    peer_describe(p, MHD_get_connection_info(mc, MHD_CONNECTION_INFO_CLIENT_ADDRESS)->client_addr);
    struct epoll_event e = {.events = EPOLLRDHUP | EPOLLET, .data.ptr = p};
    if (epoll_ctl(s->gone_ep, EPOLL_CTL_ADD, fd, &e) < 0)
        log_warn("cannot watch a connection for its end: %s", strerror(errno));
    server_wire_add(p);
    s->n_peers++;
    stats_add(&s->stats->connections, 1);
    stats_add(&s->stats->accepted, 1);
    *context = p;
}

static void peer_free(struct peer *p)
{
    struct http_server *s = p->server;
    if (p->req)
        request_lost(p->req);
    peer_grace_end(p);
    server_wire_remove(p);
    if (p->prev)
        p->prev->next = p->next;
    else
        s->peers = p->next;
    if (p->next)
        p->next->prev = p->prev;
    s->n_peers--;
    stats_sub(&s->stats->connections, 1);
    if (s->n_free_peers >= FREE_PEERS) {
        free(p);
        return;
    }
    p->next = s->free_peers;
    s->free_peers = p;
    s->n_free_peers++;
}

static void on_connection(void *arg, struct MHD_Connection *mc, void **context,
                          enum MHD_ConnectionNotificationCode what)
{
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        peer_new(arg, mc, context);
    } else if (*context) {
        struct peer *p = *context;
        void *request = p->req;
        if (request) /* an answer's head that had no room: libmicrohttpd closes without a word */
            request_on_completed(arg, mc, &request, MHD_REQUEST_TERMINATED_WITH_ERROR);
        peer_free(p);
        *context = NULL;
    }
}

/* --- clients that leave --- */

void peer_grace_end(struct peer *p)
{
    struct http_server *s = p->server;
    if (!p->in_grace)
        return;
    if (p->grace_prev)
        p->grace_prev->grace_next = p->grace_next;
    else
        s->grace_first = p->grace_next;
    if (p->grace_next)
        p->grace_next->grace_prev = p->grace_prev;
    else
        s->grace_last = p->grace_prev;
    p->grace_next = p->grace_prev = NULL;
    p->in_grace = false;
}

/* When bytes and the FIN behind them come as one edge, libmicrohttpd reads the bytes, takes the
 * socket for empty, and never looks again. This makes a new edge; unread bytes stay readable. */
static void peer_show_fin(struct peer *p)
{
    if (p->phase != PEER_BUSY)
        shutdown(p->fd, SHUT_RD);
}

/* In the next turn, when libmicrohttpd has read what it knows of. In front of all that wait for
 * their grace to be over. */
static void peer_show_fin_later(struct peer *p)
{
    struct http_server *s = p->server;
    if (!p->fin || p->phase == PEER_BUSY)
        return;
    peer_grace_end(p);
    p->grace_us = 0;
    p->in_grace = true;
    p->grace_next = s->grace_first;
    if (s->grace_first)
        s->grace_first->grace_prev = p;
    else
        s->grace_last = p;
    s->grace_first = p;
    loop_timer_set(&s->grace_timer, 0);
}

/* The list is in order of time, since the grace is the same for all. */
void peer_watch_gone(struct peer *p)
{
    struct http_server *s = p->server;
    if (!p->fin || (p->in_grace && p->grace_us > 0))
        return;
    peer_grace_end(p);
    p->grace_us = loop_now_us(s->loop) + GRACE_US;
    p->in_grace = true;
    p->grace_prev = s->grace_last;
    if (s->grace_last)
        s->grace_last->grace_next = p;
    else
        s->grace_first = p;
    s->grace_last = p;
    if (!loop_timer_pending(&s->grace_timer))
        loop_timer_set(&s->grace_timer, GRACE_US);
}

/* The kernel of a client that closed answers any byte with a reset, which on_gone_ready sees; one
 * that only stopped sending passes over an interim answer (RFC 9110, section 15.2). HTTP/1.0 has
 * none of these, and in the middle of an answer there is no place for one: there keepalive, or the
 * next write, finds out. */
static void peer_ask(struct peer *p)
{
    static const char interim[] = "HTTP/1.1 100 Continue\r\n\r\n";
    struct request *q = p->req;
    if (q->asked || p->unix_socket) /* a unix socket that is closed says HUP by itself */
        return;
    q->asked = true;
    setsockopt(p->fd, IPPROTO_TCP, TCP_KEEPIDLE, &(int){ASK_IDLE_S}, sizeof(int));
    if (q->state != REQ_RUNNING || !q->body_done || q->pub.http10)
        return;
    if (send(p->fd, interim, sizeof interim - 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 &&
        errno != EAGAIN)
        request_gone(q);
}

static void on_grace(void *arg)
{
    struct http_server *s = arg;
    uint64_t now = loop_now_us(s->loop);
    struct peer *p;
    while ((p = s->grace_first) && p->grace_us <= now) {
        peer_grace_end(p);
        if (p->req && p->req->suspended)
            peer_ask(p);
        else
            peer_show_fin(p);
    }
    if (p)
        loop_timer_set(&s->grace_timer, p->grace_us - now);
}

static void peer_gone(struct peer *p, uint32_t events)
{
    bool known = p->fin; /* showing it makes an edge here, too */
    p->fin = true;
    p->hup = p->hup || events & (EPOLLHUP | EPOLLERR);
    if (p->req && p->req->suspended && p->hup)
        request_gone(p->req);
    else if (p->req && p->req->suspended)
        peer_watch_gone(p);
    else if (!known)
        peer_show_fin_later(p);
}

static void on_gone_ready(evutil_socket_t fd, short what, void *arg)
{
    struct http_server *s = arg;
    struct epoll_event events[64];
    int n;
    (void)what;
    loop_turn(s->loop);
    do {
        n = epoll_wait(fd, events, 64, 0);
        for (int i = 0; i < n; i++)
            peer_gone(events[i].data.ptr, events[i].events);
    } while (n == 64);
}

/* --- timeouts --- */

static bool sent_anything(const struct peer *p)
{
    struct tcp_info info;
    socklen_t n = sizeof info;
    if (p->unix_socket || getsockopt(p->fd, IPPROTO_TCP, TCP_INFO, &info, &n) < 0)
        return false;
    return info.tcpi_bytes_received > 0;
}

/* libmicrohttpd finds the shut-down socket readable and closes it. */
static void peer_expire(struct peer *p, bool say_why)
{
    struct buf out;
    buf_init(&out, 1024);
    if (say_why) {
        linger_answer(&out, 408, too_slow);
        if (send(p->fd, out.p, out.n, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
            say_why = false;
    }
    buf_fini(&out);
    shutdown(p->fd, SHUT_RDWR);
    stats_add(&p->server->stats->timeouts, 1);
}

static bool body_too_slow(const struct peer *p, uint64_t age_us, const struct conf *conf)
{
    const struct request *q = p->req;
    if (!q || q->suspended || age_us < conf->server_timeout_header_us)
        return false;
    uint64_t allowance = (age_us - conf->server_timeout_header_us) / 1000000 * BODY_RATE;
    return q->body_in < allowance || (q->body_in == 0 && allowance > 0);
}

static void peer_tick(struct peer *p, uint64_t now, const struct conf *conf)
{
    uint64_t age = now - p->since_us, head_us = conf->server_timeout_header_us;
    if (p->server->quiesced && head_us > DRAIN_HEAD_US)
        head_us = DRAIN_HEAD_US;
    switch (p->phase) {
    case PEER_FRESH:
        if (age > head_us)
            peer_expire(p, sent_anything(p));
        break;
    case PEER_HEAD:
        if (age > head_us)
            peer_expire(p, true);
        break;
    case PEER_IDLE:
        if (age > conf->server_timeout_idle_us)
            peer_expire(p, false);
        break;
    case PEER_BODY:
        if (body_too_slow(p, age, conf))
            peer_expire(p, true);
        break;
    case PEER_BUSY: break;
    }
}

static void on_tick(void *arg)
{
    struct http_server *s = arg;
    uint64_t now = loop_now_us(s->loop);
    for (struct peer *p = s->peers; p; p = p->next)
        peer_tick(p, now, s->conf);
    linger_tick(s, now);
    if (s->reserve_fd < 0)
        s->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (s->accepting && s->reserve_fd >= 0 && !event_pending(s->accept_ev, EV_READ, NULL))
        event_add(s->accept_ev, NULL);
    server_kick(s); /* libmicrohttpd's own timeouts */
    loop_timer_set(&s->tick, TICK_US);
}

/* --- accepting --- */

static void turn_away(struct http_server *s, int fd, const char *body)
{
    struct buf out;
    buf_init(&out, 1024);
    linger_answer(&out, 503, body);
    stats_add(&s->stats->refused, 1);
    linger_start(s, fd, &out);
    buf_fini(&out);
}

/* No descriptor for the connection that waits: the reserve is given up for it, so that it hears
 * why. */
static void accept_with_reserve(struct http_server *s)
{
    if (s->reserve_fd >= 0) {
        close(s->reserve_fd);
        int fd = accept4(s->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            struct buf out;
            char scrap[4096];
            buf_init(&out, 1024);
            linger_answer(&out, 503, no_descriptor);
            if (send(fd, out.p, out.n, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
                shutdown(fd, SHUT_WR);
            buf_fini(&out);
            while (recv(fd, scrap, sizeof scrap, MSG_DONTWAIT) > 0)
                ;
            close(fd);
            stats_add(&s->stats->refused, 1);
        }
        s->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    }
    if (s->reserve_fd < 0) {
        event_del(s->accept_ev); /* on_tick tries again */
        log_error("no descriptor left: not accepting for a second");
    }
}

static void on_accept(evutil_socket_t listen_fd, short what, void *arg)
{
    struct http_server *s = arg;
    (void)what;
    loop_turn(s->loop);
    for (int i = 0; i < ACCEPTS_A_TURN; i++) {
        struct sockaddr_storage address = {0};
        socklen_t n = sizeof address;
        int fd = accept4(listen_fd, (struct sockaddr *)&address, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno == EMFILE || errno == ENFILE)
                accept_with_reserve(s);
            else if (errno == ECONNABORTED || errno == EINTR)
                continue;
            return;
        }
        if (s->n_peers >= s->conf->server_connections_max) {
            turn_away(s, fd, too_many);
            continue;
        }
        server_enter(s);
        if (MHD_add_connection(s->daemon, fd, (struct sockaddr *)&address, n) == MHD_YES)
            server_kick(s);
        server_leave();
    }
}

/* --- the turn --- */

void server_kick(struct http_server *s)
{
    loop_defer(s->loop, LOOP_KICK, &s->kick);
}

static void on_kick(void *arg)
{
    struct http_server *s = arg;
    MHD_UNSIGNED_LONG_LONG wait = 1;
    server_enter(s);
    MHD_run(s->daemon);
    server_leave();
    /* Bytes of the next request are in its buffers already (pipelining): not in this turn, so that
     * one client cannot hold the loop. */
    if (MHD_get_timeout(s->daemon, &wait) == MHD_YES && wait == 0)
        event_active(s->again_ev, EV_TIMEOUT, 0);
}

static void on_daemon_ready(evutil_socket_t fd, short what, void *arg)
{
    struct http_server *s = arg;
    (void)fd, (void)what;
    loop_turn(s->loop);
    server_kick(s);
}

/* --- life --- */

static size_t keep_escapes(void *arg, struct MHD_Connection *mc, char *s)
{
    (void)arg, (void)mc;
    return strlen(s); /* everything here works on the raw target */
}

static void flush_access(void *arg)
{
    access_flush(arg);
}

/* A workaround for libmicrohttpd 0.9.75 to 1.0.1; tests/unit/test_http_server.c,
 * takes_many_arguments_and_headers. The query is ours to parse (the request has a copy).
 * libmicrohttpd would parse it too, right after the callback: each argument costs memory of the
 * connection, and 300 of them are more than it has (0.9.75 then loses the request without telling
 * us). So the query it sees is cut to nothing. The bytes are its own read buffer, which it is about
 * to write into itself. */
static void hide_query(const char *target)
{
    union {
        const char *from;
        char *to;
    } mark = {.from = strchr(target, '?')};
    if (mark.to && mark.to[1])
        mark.to[1] = '\0';
}

static void *on_target(void *arg, const char *target, struct MHD_Connection *mc)
{
    struct http_server *s = arg;
    struct request *q = request_new(
        s, MHD_get_connection_info(mc, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context, mc,
        target);
    hide_query(target);
    return q;
}

static bool start_daemon(struct http_server *s, struct err *err)
{
    const struct conf *conf = s->conf;
    unsigned flags =
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_TURBO | MHD_USE_NO_LISTEN_SOCKET;
#if MHD_VERSION >= 0x00097707
    flags |= MHD_USE_NO_THREAD_SAFETY; /* no eventfd write and read per resume */
#endif
    uint64_t longest = conf->server_timeout_idle_us > conf->server_timeout_header_us
                           ? conf->server_timeout_idle_us
                           : conf->server_timeout_header_us;
    unsigned timeout_s = (unsigned)(longest / 1000000) + WRITE_SLACK_S;
    s->head_max = conf->server_header_memory / 4 * 3; /* the rest is for the answer's head */
    s->daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, &request_on_access, s, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        conf->server_header_memory, MHD_OPTION_CONNECTION_LIMIT, 1u << 20,
        MHD_OPTION_CONNECTION_TIMEOUT, timeout_s, MHD_OPTION_URI_LOG_CALLBACK, &on_target, s,
        MHD_OPTION_UNESCAPE_CALLBACK, &keep_escapes, NULL, MHD_OPTION_NOTIFY_COMPLETED,
        &request_on_completed, s, MHD_OPTION_NOTIFY_CONNECTION, &on_connection, s, MHD_OPTION_END);
    return s->daemon || err_set(err, 500, "PGH500", "libmicrohttpd did not start");
}

static bool start_events(struct http_server *s, struct err *err)
{
    struct event_base *base = loop_base(s->loop);
    int fd = MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
    s->daemon_ev = event_new(base, fd, EV_READ | EV_PERSIST, on_daemon_ready, s);
    s->again_ev = event_new(base, -1, 0, on_daemon_ready, s);
    s->gone_ev = event_new(base, s->gone_ep, EV_READ | EV_PERSIST, on_gone_ready, s);
    s->accept_ev = event_new(base, s->listen_fd, EV_READ | EV_PERSIST, on_accept, s);
    if (!s->daemon_ev || !s->again_ev || !s->gone_ev || !s->accept_ev ||
        event_add(s->daemon_ev, NULL) < 0 || event_add(s->gone_ev, NULL) < 0 ||
        event_add(s->accept_ev, NULL) < 0)
        return err_set(err, 500, "PGH500", "cannot register the server's events");
    s->accepting = true;
    loop_timer_set(&s->tick, TICK_US);
    return true;
}

static void apply_conf(struct http_server *s, struct conf *conf)
{
    s->conf = conf_ref(conf);
    s->trusted = cidr_list_new(&conf->server_trusted_proxies);
    s->access.show_sql = conf->log_query;
}

struct http_server *http_server_new(const struct http_server_spec *spec, struct err *err)
{
    struct http_server *s = xcalloc(1, sizeof *s);
    s->loop = spec->loop;
    s->worker = spec->worker;
    s->routes = spec->routes;
    s->admin = spec->admin;
    s->listen_fd = spec->listen_fd;
    s->body_bytes = spec->body_bytes;
    s->stats = xcalloc(1, sizeof *s->stats);
    s->kick = LOOP_TASK(on_kick, s);
    loop_timer_init(&s->tick, s->loop, on_tick, s);
    loop_timer_init(&s->grace_timer, s->loop, on_grace, s);
    access_init(&s->access);
    s->access_task = LOOP_TASK(flush_access, &s->access);
    apply_conf(s, spec->conf);
    s->router = router_new(s->routes, spec->conf->rest_path, s->admin);
    s->gone_ep = epoll_create1(EPOLL_CLOEXEC);
    s->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (getrandom(&s->id_prefix, sizeof s->id_prefix, 0) < 0)
        s->id_prefix = (uint32_t)loop_now_us(s->loop);
    if (s->gone_ep < 0 || s->reserve_fd < 0)
        err_set(err, 500, "PGH500", "out of descriptors");
    else if (start_daemon(s, err) && start_events(s, err))
        return s;
    http_server_free(s);
    return NULL;
}

void http_server_reconfigure(struct http_server *s, struct conf *conf)
{
    struct cidr_list *trusted = s->trusted;
    struct conf *old = s->conf;
    apply_conf(s, conf); /* rest-path stays: requests under way point into the router */
    cidr_list_free(trusted);
    conf_unref(old);
    for (struct peer *p = s->peers; p; p = p->next)
        peer_judge(p);
}

void http_server_quiesce(struct http_server *s)
{
    if (s->quiesced)
        return;
    s->quiesced = true;
    s->accepting = false;
    event_del(s->accept_ev);
    for (struct peer *p = s->peers; p; p = p->next)
        if (p->phase == PEER_IDLE)
            shutdown(p->fd, SHUT_RDWR);
    server_kick(s);
}

unsigned http_server_connections(const struct http_server *s)
{
    unsigned n = 0;
    if (!s->quiesced)
        return s->n_peers;
    for (const struct peer *p = s->peers; p; p = p->next)
        n += p->phase != PEER_IDLE && p->phase != PEER_FRESH;
    return n;
}

/* MHD_stop_daemon aborts the process while a connection is suspended: end them all first. From
 * `closing` on nothing is suspended any more (request_on_access, stream.c). */
static void end_requests(struct http_server *s)
{
    for (int round = 0; round < END_ROUNDS && s->n_peers; round++) {
        for (struct peer *p = s->peers; p; p = p->next) {
            if (p->req && p->req->suspended)
                request_end(p->req);
            shutdown(p->fd, SHUT_RDWR);
        }
        MHD_run(s->daemon);
    }
    for (struct peer *p = s->peers; p; p = p->next)
        log_error("a connection is left at the end: phase %d, state %d", (int)p->phase,
                  p->req ? (int)p->req->state : -1);
}

static void free_event(struct event *ev)
{
    if (ev)
        event_free(ev);
}

void http_server_free(struct http_server *s)
{
    if (!s)
        return;
    s->closing = true;
    loop_timer_stop(&s->tick);
    loop_timer_stop(&s->grace_timer);
    if (s->daemon) {
        end_requests(s);
        if (s->n_peers == 0) /* else it would end the process, and this is the end anyway */
            MHD_stop_daemon(s->daemon);
    }
    linger_free_all(s);
    loop_undefer(&s->kick);
    loop_undefer(&s->access_task);
    free_event(s->daemon_ev);
    free_event(s->again_ev);
    free_event(s->gone_ev);
    free_event(s->accept_ev);
    if (s->gone_ep >= 0)
        close(s->gone_ep);
    if (s->reserve_fd >= 0)
        close(s->reserve_fd);
    request_free_pool(s);
    for (struct peer *p = s->free_peers, *next; p; p = next) {
        next = p->next;
        free(p);
    }
    free(s->by_fd);
    access_fini(&s->access);
    gzipper_free(s->gzipper);
    router_free(s->router);
    cidr_list_free(s->trusted);
    conf_unref(s->conf);
    free(s->stats);
    free(s);
}

#define SERVERS_MAX 256

void http_servers_metrics(struct http_server *const *servers, size_t n, struct buf *out)
{
    const struct http_stats *stats[SERVERS_MAX];
    if (n > SERVERS_MAX)
        n = SERVERS_MAX;
    for (size_t i = 0; i < n; i++)
        stats[i] = servers[i]->stats;
    if (n == 0)
        return;
    stats_write(stats, n, servers[0]->router, out);
    metrics_head(out, "pghttpd_http_request_memory_bytes", METRICS_GAUGE,
                 "What request bodies take up, as request-memory-max counts it");
    metrics_u64(out, "pghttpd_http_request_memory_bytes", NULL,
                atomic_load(servers[0]->body_bytes));
}
