/* What libmicrohttpd reads goes past us first.
 *
 * It has no hook for that, and reads with recv() (0.9.75 to 1.0.1; src/microhttpd/connection.c,
 * recv_param_adapter). The dynamic linker, and the static one, bind that name to the definition
 * here, since the program comes before its libraries. On a thread that is not inside
 * libmicrohttpd, and for sockets that are no peer's, it is recvfrom, as glibc's own. Should a later
 * version read by another call, chunked requests are refused (server_sees_wire), and
 * tests/unit/test_http_wire.c says so. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http/mhd.h"
#include "http/priv.h"
#include "util/xalloc.h"

/* The server that is inside libmicrohttpd on this thread: recv() has no other way to know. */
static _Thread_local struct http_server *wire_server;

ssize_t wire_recv(int fd, void *to, size_t n, int flags) __asm__("recv");

void server_enter(struct http_server *s)
{
    wire_server = s;
}

void server_leave(void)
{
    wire_server = NULL;
}

void server_wire_add(struct peer *p)
{
    struct http_server *s = p->server;
    size_t need = (size_t)p->fd + 1;
    if (need > s->n_by_fd) {
        size_t n = need > 2 * s->n_by_fd ? need : 2 * s->n_by_fd;
        s->by_fd = xrealloc(s->by_fd, n * sizeof *s->by_fd);
        memset(s->by_fd + s->n_by_fd, 0, (n - s->n_by_fd) * sizeof *s->by_fd);
        s->n_by_fd = n;
    }
    s->by_fd[p->fd] = p;
}

void server_wire_remove(struct peer *p)
{
    p->server->by_fd[p->fd] = NULL;
}

bool server_sees_wire(const struct peer *p)
{
    return p->wire.heads > 0;
}

/* The answer goes out past libmicrohttpd, which is told that the connection was reset. */
static ssize_t wire_refuse(struct peer *p)
{
    struct buf out, body;
    struct err err;
    wire_fault_error(p->wire.fault, &err);
    if (!p->refused) {
        p->refused = err.status;
        int own = fcntl(p->fd, F_DUPFD_CLOEXEC, 0);
        buf_init(&out, 4096);
        buf_init(&body, 4096);
        http_error_json(&body, &err);
        buf_char(&body, '\0');
        linger_answer(&out, err.status, body.p);
        epoll_ctl(p->server->gone_ep, EPOLL_CTL_DEL, p->fd, NULL);
        if (own >= 0)
            linger_start(p->server, own, &out);
        buf_fini(&body);
        buf_fini(&out);
        stats_add(&p->server->stats->bad_heads, 1);
    }
    errno = ECONNRESET;
    return -1;
}

/* What is in front of the refused request goes on. When that is answered libmicrohttpd shall ask
 * again, which the new edge makes it do: what was read is not in the socket any more. */
static ssize_t wire_hand_on(struct peer *p, size_t n)
{
    epoll_ctl(p->server->gone_ep, EPOLL_CTL_DEL, p->fd, NULL);
    shutdown(p->fd, SHUT_RD);
    return (ssize_t)n;
}

__attribute__((visibility("default"))) ssize_t wire_recv(int fd, void *to, size_t n, int flags)
{
    struct http_server *s = wire_server;
    struct peer *p = s && fd >= 0 && (size_t)fd < s->n_by_fd ? s->by_fd[fd] : NULL;
    if (p && p->wire.state == WIRE_REFUSED)
        return wire_refuse(p);
    ssize_t got = recvfrom(fd, to, n, flags, NULL, NULL);
    if (!p || got <= 0)
        return got;
    size_t good = wire_feed(&p->wire, to, (size_t)got, s->head_max);
    if (p->wire.state != WIRE_REFUSED)
        return got;
    return good ? wire_hand_on(p, good) : wire_refuse(p);
}
