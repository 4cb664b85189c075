/* channel: one name, who wants it, and its history. Everything here runs under the hub's lock. */
#include "listen/hub_int.h"

#include <assert.h>
#include <stdlib.h>
#include <time.h>

#include "util/xalloc.h"

uint64_t hub_now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

void hub_list_add(struct hub_list *l, struct hub_channel *c)
{
    assert(!c->prev);
    c->next = NULL;
    c->prev = l->last;
    *l->last = c;
    l->last = &c->next;
}

static void list_remove(struct hub_list *l, struct hub_channel *c)
{
    assert(c->prev);
    *c->prev = c->next;
    if (c->next)
        c->next->prev = c->prev;
    else
        l->last = c->prev;
    c->next = NULL;
    c->prev = NULL;
}

static void unlink_from(struct hub *h, struct hub_channel *c)
{
    if (!c->prev)
        return;
    bool wish = c->state == CHANNEL_WANTED || c->state == CHANNEL_UNWANTED;
    list_remove(wish ? &h->wishes : &h->lingering, c);
}

static void wish(struct hub *h, struct hub_channel *c, enum channel_state state)
{
    unlink_from(h, c);
    c->state = state;
    hub_list_add(&h->wishes, c);
    if (h->spec.on_wish)
        h->spec.on_wish(h->spec.arg);
}

bool channel_live(const struct hub_channel *c)
{
    return c->state == CHANNEL_LIVE || c->state == CHANNEL_UNWANTED;
}

static struct hub_channel *channel_new(struct hub *h, struct str name)
{
    size_t seats = h->spec.ports * sizeof(struct hub_seat);
    struct hub_channel *c = xcalloc(1, sizeof *c + seats + name.n + 1);
    char *copy = (char *)c + sizeof *c + seats;
    memcpy(copy, name.p, name.n);
    c->name = (struct str){copy, name.n};
    c->covered_from = HUB_NO_SEQ;
    strmap_put(h->channels, c->name, c);
    return c;
}

void channel_forget(struct hub *h, struct hub_channel *c)
{
    h->ring_bytes -= c->ring.bytes;
    ring_fini(&c->ring);
    c->covered_from = HUB_NO_SEQ;
}

static void undirty(struct hub *h, struct hub_channel *c)
{
    for (unsigned i = 0; i < h->spec.ports; i++) {
        struct hub_channel **p = &h->ports[i].dirty;
        if (!c->seats[i].dirty)
            continue;
        while (*p != c)
            p = &(*p)->seats[i].next_dirty;
        *p = c->seats[i].next_dirty;
    }
}

static void channel_destroy(struct hub *h, struct hub_channel *c)
{
    assert(c->refs == 0);
    unlink_from(h, c);
    undirty(h, c);
    channel_forget(h, c);
    strmap_remove(h->channels, c->name);
    free(c->refusal);
    free(c);
}

struct hub_channel *channel_take(struct hub *h, struct str name)
{
    struct hub_channel *c = strmap_get(h->channels, name);
    if (!c) {
        c = channel_new(h, name);
        wish(h, c, CHANNEL_WANTED);
    } else if (c->state == CHANNEL_REFUSED) { /* perhaps the database takes it by now */
        wish(h, c, CHANNEL_WANTED);
    } else if (c->state == CHANNEL_UNWANTED) {
        unlink_from(h, c);
        c->state = CHANNEL_LIVE;
    } else if (c->state == CHANNEL_LIVE && c->refs == 0) {
        unlink_from(h, c);
    }
    h->wanted += c->refs++ == 0;
    return c;
}

static void linger(struct hub *h, struct hub_channel *c)
{
    c->idle_since_us = hub_now_us();
    hub_list_add(&h->lingering, c);
}

void channel_give(struct hub *h, struct hub_channel *c)
{
    assert(c->refs > 0);
    if (--c->refs > 0)
        return;
    h->wanted--;
    switch (c->state) {
    case CHANNEL_WANTED:
    case CHANNEL_REFUSED: channel_destroy(h, c); break;
    case CHANNEL_LIVE: linger(h, c); break;
    case CHANNEL_LISTENING:
    case CHANNEL_UNLISTENING: break; /* hub_wish_done sees that nobody is left */
    case CHANNEL_UNWANTED:
    default: assert(false && "a channel somebody wants is not UNWANTED");
    }
}

void channel_lost(struct hub *h, struct hub_channel *c)
{
    if (c->refs == 0) {
        channel_destroy(h, c);
        return;
    }
    if (c->state != CHANNEL_WANTED) {
        unlink_from(h, c);
        c->state = CHANNEL_WANTED;
        hub_list_add(&h->wishes, c);
    }
}

void channel_dirty(struct hub *h, struct hub_channel *c)
{
    for (unsigned i = 0; i < h->spec.ports; i++) {
        struct hub_seat *seat = &c->seats[i];
        if (!seat->first || seat->dirty)
            continue;
        seat->dirty = true;
        seat->next_dirty = h->ports[i].dirty;
        h->ports[i].dirty = c;
        port_work(&h->ports[i]);
    }
}

struct largest {
    struct hub_channel *channel;
    size_t second;
};

static void compare(void *arg, struct str name, void *value)
{
    struct largest *l = arg;
    struct hub_channel *c = value;
    size_t bytes = c->ring.bytes;
    (void)name;
    if (!l->channel || bytes > l->channel->ring.bytes) {
        l->second = l->channel ? l->channel->ring.bytes : 0;
        l->channel = c;
    } else if (bytes > l->second) {
        l->second = bytes;
    }
}

/* The budget of all rings: the oldest messages of the largest ring go. Each pass over the channels
 * frees a good part of the budget or makes the largest one equal to the next, so passes are rare.
 */
static void keep_budget(struct hub *h)
{
    size_t goal = h->spec.history_bytes - h->spec.history_bytes / 64;
    while (h->ring_bytes > goal) {
        struct largest l = {0};
        strmap_each(h->channels, compare, &l);
        struct ring *r = &l.channel->ring;
        while (h->ring_bytes > goal && ring_count(r) > 0 && r->bytes >= l.second) {
            size_t before = r->bytes;
            ring_evict(r);
            h->ring_bytes -= before - r->bytes;
        }
    }
}

void channel_push(struct hub *h, struct hub_channel *c, struct hub_msg *m)
{
    size_t before = c->ring.bytes;
    c->received++;
    ring_push(&c->ring, m, h->spec.history);
    h->ring_bytes = h->ring_bytes - before + c->ring.bytes;
    if (h->ring_bytes > h->spec.history_bytes)
        keep_budget(h);
}

/* ---- wishes ---- */

size_t hub_wishes(struct hub *h, struct hub_wish *out, size_t max)
{
    size_t n = 0;
    pthread_mutex_lock(&h->lock);
    while (n < max && h->wishes.first) {
        struct hub_channel *c = h->wishes.first;
        bool listen = c->state == CHANNEL_WANTED;
        list_remove(&h->wishes, c);
        c->state = listen ? CHANNEL_LISTENING : CHANNEL_UNLISTENING;
        if (!listen)
            channel_forget(h, c);
        out[n++] = (struct hub_wish){.channel = c, .name = c->name, .listen = listen};
    }
    h->in_flight += n;
    pthread_mutex_unlock(&h->lock);
    return n;
}

/* True: LISTEN stands on it from now on. */
static bool listen_done(struct hub *h, struct hub_channel *c, const struct err *refused)
{
    if (refused) {
        c->state = CHANNEL_REFUSED;
        free(c->refusal);
        c->refusal = xmalloc(sizeof *c->refusal);
        *c->refusal = *refused;
        sub_channel_refused(h, c);
        if (c->refs == 0)
            channel_destroy(h, c);
        return false;
    }
    c->state = CHANNEL_LIVE;
    if (h->link == LINK_UP) {
        c->covered_from = ++h->seq; /* an id given before, be it the newest, does not cover it */
        sub_channel_live(h, c);
    }
    if (c->refs == 0)
        linger(h, c);
    return h->link == LINK_UP;
}

void hub_wish_done(struct hub *h, struct hub_channel *c, const struct err *refused)
{
    pthread_mutex_lock(&h->lock);
    assert(h->in_flight > 0);
    h->in_flight--;
    bool live = false;
    if (c->state == CHANNEL_LISTENING)
        live = listen_done(h, c, refused);
    else if (c->refs > 0)
        wish(h, c, CHANNEL_WANTED);
    else
        channel_destroy(h, c);
    /* Watches are this thread's own, and keep their channel. */
    const struct hub_watch *watches = live ? c->watches : NULL;
    pthread_mutex_unlock(&h->lock);
    for (const struct hub_watch *w = watches; w; w = w->next)
        if (w->on_live)
            w->on_live(w->arg);
}

void hub_tick(struct hub *h)
{
    uint64_t now = hub_now_us();
    pthread_mutex_lock(&h->lock);
    for (struct hub_channel *c = h->lingering.first, *next; c; c = next) {
        next = c->next;
        if (now - c->idle_since_us < h->spec.linger_us)
            break;
        wish(h, c, CHANNEL_UNWANTED);
    }
    pthread_mutex_unlock(&h->lock);
}
