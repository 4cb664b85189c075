/* A connection that gets its last answer outside libmicrohttpd: past a limit, refused before its
 * body was read, too slow. A plain close with unread bytes in the socket would be a reset, and the
 * client's kernel would throw our answer away unread. So: write, shut down our half, read and drop
 * what still comes for a moment, then close both halves (which also ends libmicrohttpd's own copy
 * of the socket, where there is one). */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "http/mhd.h"
#include "http/priv.h"
#include "util/xalloc.h"

#define LINGER_MAX 256          /* sockets; more are closed at once */
#define LINGER_US 5000000       /* a client that sends nothing more has this to read */
#define LINGER_MOST_US 30000000 /* and one that goes on sending this */
#define LINGER_DRAIN                                                                               \
    (512 * 1024 * 1024) /* bytes read and dropped at most: node's fetch gives EPIPE                \
                           instead of the answer when its body is cut off */

struct lingerer {
    struct http_server *server;
    struct event ev;
    struct lingerer *next, *prev;
    struct buf out;
    size_t sent, drained;
    uint64_t deadline_us, most_us;
    int fd;
};

static void linger_end(struct lingerer *l)
{
    struct http_server *s = l->server;
    event_del(&l->ev);
    if (l->prev)
        l->prev->next = l->next;
    else
        s->lingering = l->next;
    if (l->next)
        l->next->prev = l->prev;
    s->n_lingering--;
    shutdown(l->fd, SHUT_RDWR);
    close(l->fd);
    buf_fini(&l->out);
    loop_free_later(s->loop, free, l);
}

/* False when the socket is of no more use. */
static bool linger_write(struct lingerer *l)
{
    while (l->sent < l->out.n) {
        ssize_t n =
            send(l->fd, l->out.p + l->sent, l->out.n - l->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0)
            return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
        l->sent += (size_t)n;
    }
    shutdown(l->fd, SHUT_WR);
    return true;
}

static bool linger_drain(struct lingerer *l)
{
    char scrap[16384];
    for (int i = 0; i < 8; i++) {
        ssize_t n = recv(l->fd, scrap, sizeof scrap, MSG_DONTWAIT);
        if (n < 0)
            return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
        l->drained += (size_t)n;
        if (n == 0 || l->drained > LINGER_DRAIN)
            return false;
    }
    l->deadline_us = loop_now_us(l->server->loop) + LINGER_US;
    if (l->deadline_us > l->most_us)
        l->deadline_us = l->most_us;
    return true;
}

static void on_linger(evutil_socket_t fd, short what, void *arg)
{
    struct lingerer *l = arg;
    (void)fd;
    loop_turn(l->server->loop);
    bool writing = l->sent < l->out.n;
    if ((writing && !linger_write(l)) || ((what & EV_READ) && !linger_drain(l))) {
        linger_end(l);
        return;
    }
    if (writing && l->sent == l->out.n) {
        event_del(&l->ev);
        event_assign(&l->ev, loop_base(l->server->loop), l->fd, EV_READ | EV_PERSIST, on_linger, l);
        event_add(&l->ev, NULL);
    }
}

void linger_answer(struct buf *out, int status, const char *json)
{
    buf_printf(out,
               "HTTP/1.1 %d %s\r\nContent-Type: application/json; charset=utf-8\r\n"
               "Content-Length: %zu\r\n%sConnection: close\r\n\r\n%s",
               status, MHD_get_reason_phrase_for((unsigned)status), strlen(json),
               status == 503 ? "Retry-After: 1\r\n" : "", json);
}

void linger_start(struct http_server *s, int fd, struct buf *answer)
{
    struct lingerer *l = xcalloc(1, sizeof *l);
    *l = (struct lingerer){.server = s, .fd = fd, .out = *answer, .next = s->lingering};
    l->deadline_us = loop_now_us(s->loop) + LINGER_US;
    l->most_us = loop_now_us(s->loop) + LINGER_MOST_US;
    *answer = (struct buf){.ceiling = answer->ceiling};
    if (s->lingering)
        s->lingering->prev = l;
    s->lingering = l;
    s->n_lingering++;
    bool ok = linger_write(l);
    short events = l->sent < l->out.n ? EV_READ | EV_WRITE | EV_PERSIST : EV_READ | EV_PERSIST;
    event_assign(&l->ev, loop_base(s->loop), fd, events, on_linger, l);
    if (!ok || s->n_lingering > LINGER_MAX || event_add(&l->ev, NULL) < 0) {
        if (ok)
            linger_drain(l);
        linger_end(l);
    }
}

void linger_tick(struct http_server *s, uint64_t now_us)
{
    for (struct lingerer *l = s->lingering, *next; l; l = next) {
        next = l->next;
        if (now_us >= l->deadline_us || s->closing)
            linger_end(l);
    }
}

void linger_free_all(struct http_server *s)
{
    while (s->lingering)
        linger_end(s->lingering);
}
