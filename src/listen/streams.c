#include "listen/streams.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "util/xalloc.h"

#define BATCH 128               /* messages in one write; at 64 bursts of 100 cost a fifth more */
#define PUMP_BYTES (256u << 10) /* written to one client before the others have their turn */
#define SEND_BUFFER 65536 /* a client that does not read otherwise holds 3.9 MB in the kernel */
#define JUNK_MAX 65536    /* bytes a client may send behind its request before it is cut off */
#define SLOTS 64          /* of the heartbeat wheel */
#define TICK_MIN_US 10000u
#define TICK_MAX_US 250000u
#define EXPIRY_BUCKETS 256 /* seconds */
#define CLOSE_US 1000000u  /* for a client to take its end and close, too */
#define EVENTS 256
#define REVIEWS_A_TURN 16 /* at up to 200 us each, where the signature is ES256 */
#define DEAD_MS 30000u    /* nothing acknowledged for this long, though something was sent */
#define DEAD_PROBES 3     /* of a full client's window without an answer: one may be under way */

static const struct str last_chunk = {"0\r\n\r\n", 5};

/* OPEN: written to. ENDING: the last bytes are on their way. CLOSING: FIN was sent; what the client
 * sends is dropped until its own. DEAD: closed, freed at the end of the turn. */
enum stream_state { STREAM_OPEN, STREAM_ENDING, STREAM_CLOSING, STREAM_DEAD };

struct stream {
    struct streams *owner;
    struct hub_sub *sub;         /* NULL unless OPEN */
    struct hub_msg *part, *then; /* to be written before anything else; part from off on */
    struct stream *beat_next, **beat_prev; /* heartbeat slot */
    struct stream *due_next,
        **due_prev; /* OPEN: expiry bucket; ENDING, CLOSING: the closing list */
    uint64_t due;   /* OPEN: Unix seconds; else loop time */
    void *grant;
    unsigned reviews; /* as those of the whole: judged by the newest rules */
    int fd;
    uint32_t off, junk;
    uint8_t state;
    bool chunked, blocked, held;
};

struct due_list {
    struct stream *first, **last;
};

struct streams {
    struct loop *loop;
    int epoll_fd;
    struct event *event;
    struct loop_timer tick;
    uint64_t slot_us, slot_due_us;
    unsigned slot, place; /* place: where the next stream goes, so that they spread */
    struct stream *slots[SLOTS];
    struct due_list expiry[EXPIRY_BUCKETS], closing;
    uint64_t expiry_done; /* Unix seconds up to which buckets were looked through */
    struct hub_msg *heartbeat;
    unsigned reviews, review_slot; /* slots below were gone through */
    streams_allowed *allowed;
    void *allowed_arg;
    struct loop_timer review_timer;
    atomic_uint *total;
    struct streams_stats stats;
    void (*on_drained)(void *arg);
    void *drained_arg;
    struct loop_task drained_task;
};

/* ---- lists ---- */

static void beat_add(struct streams *o, struct stream *s)
{
    struct stream **slot = &o->slots[o->place];
    o->place = (o->place + 37) % SLOTS; /* coprime: all slots in turn, far apart */
    s->beat_next = *slot;
    s->beat_prev = slot;
    if (*slot)
        (*slot)->beat_prev = &s->beat_next;
    *slot = s;
}

static void beat_remove(struct stream *s)
{
    if (!s->beat_prev)
        return;
    *s->beat_prev = s->beat_next;
    if (s->beat_next)
        s->beat_next->beat_prev = s->beat_prev;
    s->beat_prev = NULL;
}

static void due_add(struct due_list *l, struct stream *s, uint64_t due)
{
    assert(!s->due_prev);
    s->due = due;
    s->due_next = NULL;
    s->due_prev = l->last;
    *l->last = s;
    l->last = &s->due_next;
}

static void due_remove(struct due_list *l, struct stream *s)
{
    if (!s->due_prev)
        return;
    *s->due_prev = s->due_next;
    if (s->due_next)
        s->due_next->due_prev = s->due_prev;
    else
        l->last = s->due_prev;
    s->due_prev = NULL;
}

static struct due_list *due_list_of(struct stream *s)
{
    return s->state == STREAM_OPEN ? &s->owner->expiry[s->due % EXPIRY_BUCKETS]
                                   : &s->owner->closing;
}

/* ---- ending ---- */

static void on_drained(void *arg)
{
    struct streams *o = arg;
    o->on_drained(o->drained_arg);
}

static void let_go(struct stream *s)
{
    hub_unsubscribe(s->sub);
    s->sub = NULL;
    beat_remove(s);
    due_remove(due_list_of(s), s);
}

static void destroy(struct stream *s)
{
    struct streams *o = s->owner;
    if (s->state == STREAM_DEAD)
        return;
    let_go(s);
    s->state = STREAM_DEAD;
    hub_msg_unref(s->part);
    hub_msg_unref(s->then);
    free(s->grant);
    s->grant = NULL;
    close(s->fd);
    loop_free_later(o->loop, free, s);
    o->stats.open--;
    o->stats.closed++;
    atomic_fetch_sub_explicit(o->total, 1, memory_order_relaxed);
    if (o->stats.open == 0 && o->on_drained)
        loop_defer(o->loop, LOOP_COMPLETE, &o->drained_task);
}

static void flush(struct stream *s);

/* content, the last chunk, FIN. A message behind a marker makes room: the client that comes back
 * with the marker's id gets it again. */
static void end(struct stream *s, struct str content)
{
    struct buf b;
    buf_init(&b, 1000);
    struct hub_msg *m = hub_msg_new(content, 0);
    if (content.n > 0)
        buf_adds(&b, hub_msg_bytes(m, s->chunked));
    if (s->chunked)
        buf_adds(&b, last_chunk);
    hub_msg_unref(m);
    m = hub_msg_plain(buf_str(&b));
    buf_fini(&b);
    let_go(s);
    s->state = STREAM_ENDING;
    due_add(&s->owner->closing, s, loop_now_us(s->owner->loop) + CLOSE_US);
    if (!s->part) {
        s->part = m;
        s->off = 0;
    } else {
        hub_msg_unref(s->then);
        s->then = m;
    }
    flush(s);
}

/* Everything is out: FIN, and what the client still sends is dropped until it closes, too; else our
 * close would send a reset, which can overtake the last bytes. */
static void close_gently(struct stream *s)
{
    shutdown(s->fd, SHUT_WR);
    s->state = STREAM_CLOSING;
}

/* ---- writing ---- */

/* One event to ten thousand streams is ten thousand times one piece: send is the shorter way. */
static ssize_t write_once(const struct stream *s, struct iovec *iov, size_t n)
{
    const int flags = MSG_NOSIGNAL | MSG_DONTWAIT;
    if (n == 1)
        return send(s->fd, iov->iov_base, iov->iov_len, flags);
    return sendmsg(s->fd, &(struct msghdr){.msg_iov = iov, .msg_iovlen = n}, flags);
}

static ssize_t write_some(struct stream *s, struct iovec *iov, size_t n)
{
    ssize_t wrote;
    do
        wrote = write_once(s, iov, n);
    while (wrote < 0 && errno == EINTR);
    if (wrote < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        wrote = 0;
    if (wrote > 0)
        s->owner->stats.sent_bytes += (uint64_t)wrote;
    return wrote;
}

static struct iovec piece(const struct stream *s, const struct hub_msg *m, size_t off)
{
    struct str b = str_from(hub_msg_bytes(m, s->chunked), off);
    return (struct iovec){.iov_base = (void *)(uintptr_t)b.p, .iov_len = b.n};
}

static void block(struct stream *s)
{
    s->owner->stats.blocked += !s->blocked;
    s->blocked = true; /* until epoll says that there is room */
}

/* Writes part and then. False when they are not yet out, or the stream is over. */
static bool write_parts(struct stream *s)
{
    while (s->part) {
        struct iovec iov[2] = {piece(s, s->part, s->off)};
        size_t first = iov[0].iov_len;
        if (s->then)
            iov[1] = piece(s, s->then, 0);
        ssize_t wrote = write_some(s, iov, s->then ? 2 : 1);
        if (wrote < 0) {
            destroy(s);
            return false;
        }
        if ((size_t)wrote < first) {
            s->off += (uint32_t)wrote;
            block(s);
            return false;
        }
        hub_msg_unref(s->part);
        s->part = s->then;
        s->then = NULL;
        s->off = (uint32_t)((size_t)wrote - first);
        if (s->part && s->off == hub_msg_bytes(s->part, s->chunked).n) {
            hub_msg_unref(s->part);
            s->part = NULL;
        }
    }
    return true;
}

/* wrote bytes of the items are out: the rest is kept or goes back. */
static void settle_items(struct stream *s, struct hub_item *items, size_t n, size_t wrote)
{
    size_t i = 0;
    bool marker = items[0].msg->marker;
    for (; i < n && wrote >= hub_msg_bytes(items[i].msg, s->chunked).n; i++) {
        wrote -= hub_msg_bytes(items[i].msg, s->chunked).n;
        hub_msg_unref(items[i].msg);
    }
    if (i == n)
        return;
    block(s);
    if (i == 0 || wrote > 0 || (i == 1 && marker)) {
        bool first = i == 0;
        s->part = items[i++].msg;
        s->off = (uint32_t)wrote;
        if (first && marker && i < n)
            s->then = items[i++].msg;
    }
    hub_put_back(s->sub, items + i, n - i);
}

/* Returns the bytes there were; more: it is worth asking again. */
static size_t write_items(struct stream *s, bool *more)
{
    struct hub_item items[BATCH];
    struct iovec iov[BATCH];
    size_t total = 0, n = hub_take(s->sub, items, BATCH);
    *more = hub_take_more(items, n, BATCH);
    if (n == 0)
        return 0;
    s->held = false;
    for (size_t i = 0; i < n; i++) {
        iov[i] = piece(s, items[i].msg, 0);
        total += iov[i].iov_len;
    }
    ssize_t wrote = write_some(s, iov, n);
    if (wrote < 0) {
        for (size_t i = 0; i < n; i++)
            hub_msg_unref(items[i].msg);
        destroy(s);
        return 0;
    }
    settle_items(s, items, n, (size_t)wrote);
    return total;
}

/* Writes what there is and what the client takes; no more than its turn. */
static void flush(struct stream *s)
{
    size_t wrote = 0;
    bool more = true;
    if (s->state >= STREAM_CLOSING || s->blocked || !write_parts(s))
        return;
    if (s->state == STREAM_ENDING) {
        close_gently(s);
        return;
    }
    while (more && s->state == STREAM_OPEN && !s->blocked && wrote < PUMP_BYTES)
        wrote += write_items(s, &more);
    if (s->state != STREAM_OPEN || s->blocked)
        return;
    if (more)
        hub_sub_again(s->sub);
    else if (s->held && hub_sub_state(s->sub) == HUB_SUB_REFUSED)
        end(s, (struct str){NULL, 0});
}

static void on_wake(void *arg)
{
    flush(arg);
}

/* ---- reading: a client has nothing to say ---- */

enum heard { HEARD_NOTHING, HEARD_FIN, HEARD_TOO_MUCH };

static enum heard drop_input(struct stream *s)
{
    char junk[4096];
    for (;;) {
        ssize_t n = recv(s->fd, junk, sizeof junk, MSG_DONTWAIT);
        if (n == 0)
            return HEARD_FIN;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN || errno == EWOULDBLOCK ? HEARD_NOTHING : HEARD_TOO_MUCH;
        s->junk += (uint32_t)n;
        if (s->junk > JUNK_MAX)
            return HEARD_TOO_MUCH;
    }
}

/* The client closed its side. Nobody can tell a client that left from one that only stopped
 * sending, so the stream ends as cleanly as it can, at once. */
static void on_fin(struct stream *s)
{
    if (s->state == STREAM_OPEN && !s->part && s->chunked) {
        struct iovec iov = {.iov_base = (void *)(uintptr_t)last_chunk.p, .iov_len = last_chunk.n};
        ssize_t ignored = write_some(s, &iov, 1);
        (void)ignored;
    }
    destroy(s);
}

static void on_ready(struct stream *s, uint32_t what)
{
    if (s->state == STREAM_DEAD)
        return;
    if (what & (EPOLLERR | EPOLLHUP)) {
        destroy(s);
        return;
    }
    if (what & EPOLLOUT && s->blocked) {
        s->blocked = false;
        flush(s);
    }
    if (s->state == STREAM_DEAD || !(what & (EPOLLIN | EPOLLRDHUP)))
        return;
    enum heard heard = drop_input(s);
    if (heard == HEARD_TOO_MUCH)
        destroy(s);
    else if (heard == HEARD_FIN)
        on_fin(s);
}

static void on_epoll(evutil_socket_t fd, short what, void *arg)
{
    const struct streams *o = arg;
    struct epoll_event events[EVENTS];
    (void)what;
    loop_turn(o->loop);
    int n = epoll_wait(fd, events, EVENTS, 0);
    for (int i = 0; i < n; i++)
        on_ready(events[i].data.ptr, events[i].events);
}

/* ---- time ---- */

/* Who acknowledges nothing. A client that only does not read answers the probes of its window. */
static bool is_dead(const struct stream *s)
{
    struct tcp_info info;
    socklen_t n = sizeof info;
    if (getsockopt(s->fd, IPPROTO_TCP, TCP_INFO, &info, &n) < 0)
        return false; /* a unix socket */
    bool waits = info.tcpi_unacked > 0 || info.tcpi_probes >= DEAD_PROBES;
    return waits && info.tcpi_last_ack_recv > DEAD_MS;
}

static void beat(struct stream *s)
{
    if (is_dead(s)) {
        destroy(s);
        return;
    }
    if (s->blocked || s->part)
        return;
    s->owner->stats.heartbeats++;
    s->part = hub_msg_ref(s->owner->heartbeat);
    s->off = 0;
    write_parts(s);
}

static void beat_slots(struct streams *o, uint64_t now)
{
    for (unsigned i = 0; i < SLOTS && o->slot_due_us <= now; i++) {
        struct stream *next;
        o->slot = (o->slot + 1) % SLOTS;
        o->slot_due_us += o->slot_us;
        for (struct stream *s = o->slots[o->slot]; s; s = next) {
            next = s->beat_next;
            beat(s);
        }
    }
    if (o->slot_due_us <= now)
        o->slot_due_us = now + o->slot_us;
}

static uint64_t unix_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec;
}

static void expire(struct streams *o)
{
    uint64_t now = unix_now();
    if (now - o->expiry_done > EXPIRY_BUCKETS)
        o->expiry_done = now - EXPIRY_BUCKETS;
    while (o->expiry_done < now) {
        struct stream *next;
        o->expiry_done++;
        for (struct stream *s = o->expiry[o->expiry_done % EXPIRY_BUCKETS].first; s; s = next) {
            next = s->due_next;
            if (s->due > now)
                continue;
            o->stats.expired++;
            end(s, STR("event: expired\ndata: {}\n\n"));
        }
    }
}

static void set_tick(struct streams *o)
{
    uint64_t us = o->slot_us < TICK_MAX_US ? o->slot_us : TICK_MAX_US;
    loop_timer_set(&o->tick, us > TICK_MIN_US ? us : TICK_MIN_US);
}

static void on_tick(void *arg)
{
    struct streams *o = arg;
    uint64_t now = loop_now_us(o->loop);
    beat_slots(o, now);
    expire(o);
    while (o->closing.first && o->closing.first->due <= now)
        destroy(o->closing.first);
    if (o->stats.open > 0)
        set_tick(o);
}

/* ---- rights ---- */

static void review_from(struct streams *o, unsigned slot)
{
    o->review_slot = slot;
    loop_timer_set(&o->review_timer, 0);
}

static bool review_due(const struct streams *o, const struct stream *s)
{
    return s->state == STREAM_OPEN && s->reviews != o->reviews;
}

static void review(struct stream *s)
{
    struct streams *o = s->owner;
    s->reviews = o->reviews;
    if (o->allowed(o->allowed_arg, s->grant, s->sub))
        return;
    o->stats.revoked++;
    end(s, STR("event: expired\ndata: {\"reason\":\"settings\"}\n\n"));
}

static void on_review(void *arg)
{
    struct streams *o = arg;
    unsigned left = REVIEWS_A_TURN;
    for (; o->review_slot < SLOTS; o->review_slot++) {
        struct stream *next;
        for (struct stream *s = o->slots[o->review_slot]; s; s = next) {
            next = s->beat_next;
            if (!review_due(o, s))
                continue;
            if (left-- == 0) {
                review_from(o, o->review_slot);
                return;
            }
            review(s);
        }
    }
}

void streams_review(struct streams *o, streams_allowed *allowed, void *arg)
{
    o->allowed = allowed;
    o->allowed_arg = arg;
    o->reviews++;
    review_from(o, 0);
}

unsigned streams_reviews(const struct streams *o)
{
    return o->reviews;
}

/* ---- life ---- */

void streams_reconfigure(struct streams *o, uint64_t heartbeat_us)
{
    o->slot_us = heartbeat_us / SLOTS > 0 ? heartbeat_us / SLOTS : 1;
}

struct streams *streams_new(const struct streams_spec *spec, struct err *err)
{
    struct streams *o = xcalloc(1, sizeof *o);
    o->loop = spec->loop;
    o->total = spec->total;
    for (size_t i = 0; i < EXPIRY_BUCKETS; i++)
        o->expiry[i].last = &o->expiry[i].first;
    o->closing.last = &o->closing.first;
    o->drained_task = LOOP_TASK(on_drained, o);
    o->heartbeat = hub_msg_new(STR(SSE_HEARTBEAT), 0);
    loop_timer_init(&o->tick, o->loop, on_tick, o);
    loop_timer_init(&o->review_timer, o->loop, on_review, o);
    o->review_slot = SLOTS;
    streams_reconfigure(o, spec->heartbeat_us);
    o->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (o->epoll_fd >= 0)
        o->event = event_new(loop_base(o->loop), o->epoll_fd, EV_READ | EV_PERSIST, on_epoll, o);
    if (!o->event || event_add(o->event, NULL) < 0) {
        err_set(err, 500, "PGH500", "cannot watch event streams: out of descriptors or memory");
        streams_free(o);
        return NULL;
    }
    return o;
}

void streams_free(struct streams *o)
{
    if (!o)
        return;
    for (unsigned i = 0; i < SLOTS; i++)
        while (o->slots[i])
            destroy(o->slots[i]);
    while (o->closing.first)
        destroy(o->closing.first);
    loop_undefer(&o->drained_task);
    loop_timer_stop(&o->tick);
    loop_timer_stop(&o->review_timer);
    if (o->event)
        event_free(o->event);
    if (o->epoll_fd >= 0)
        close(o->epoll_fd);
    hub_msg_unref(o->heartbeat);
    free(o);
}

unsigned streams_total(const struct streams *o)
{
    return atomic_load_explicit(o->total, memory_order_relaxed);
}

static struct hub_msg *opening(const struct stream_spec *spec)
{
    struct buf b, first;
    buf_init(&b, BUF_NO_CEILING);
    buf_init(&first, BUF_NO_CEILING);
    hub_sub_first(spec->sub, &first);
    struct hub_msg *m = hub_msg_new(buf_str(&first), 0);
    buf_adds(&b, spec->head);
    buf_adds(&b, hub_msg_bytes(m, spec->chunked));
    hub_msg_unref(m);
    m = hub_msg_plain(buf_str(&b));
    buf_fini(&first);
    buf_fini(&b);
    return m;
}

void streams_add(struct streams *o, const struct stream_spec *spec)
{
    struct stream *s = xmalloc(sizeof *s);
    const int size = SEND_BUFFER, never = 0;
    *s = (struct stream){.owner = o,
                         .sub = spec->sub,
                         .part = opening(spec),
                         .fd = spec->fd,
                         .grant = spec->grant,
                         .reviews = spec->reviews,
                         .state = STREAM_OPEN,
                         .chunked = spec->chunked,
                         .held = true};
    setsockopt(s->fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    /* The listening socket's would reset a client that does not read for a minute. */
    setsockopt(s->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &never, sizeof never);
    if (o->stats.open++ == 0 && !loop_timer_pending(&o->tick)) {
        o->slot_due_us = loop_now_us(o->loop) + o->slot_us;
        o->expiry_done = unix_now();
        set_tick(o);
    }
    o->stats.opened++;
    atomic_fetch_add_explicit(o->total, 1, memory_order_relaxed);
    beat_add(o, s);
    if (spec->expires > 0) {
        uint64_t due = spec->expires > o->expiry_done ? spec->expires : o->expiry_done + 1;
        due_add(&o->expiry[due % EXPIRY_BUCKETS], s, due);
    }
    if (s->reviews != o->reviews)
        review_from(o, 0); /* the rules changed while it waited for LISTEN */
    hub_sub_owner(s->sub, on_wake, s);
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = s};
    if (epoll_ctl(o->epoll_fd, EPOLL_CTL_ADD, s->fd, &e) < 0)
        destroy(s);
    else if (o->on_drained)
        end(s, (struct str){NULL, 0}); /* it waited for LISTEN while the server began to stop */
    else
        flush(s);
}

void streams_drain(struct streams *o, void (*fn)(void *), void *arg)
{
    o->on_drained = fn;
    o->drained_arg = arg;
    for (unsigned i = 0; i < SLOTS; i++)
        while (o->slots[i])
            end(o->slots[i], (struct str){NULL, 0});
    if (o->stats.open == 0)
        loop_defer(o->loop, LOOP_COMPLETE, &o->drained_task);
    else
        loop_timer_set(&o->tick, TICK_MIN_US);
}

void streams_stats(const struct streams *o, struct streams_stats *out)
{
    *out = o->stats;
}
