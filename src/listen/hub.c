/* hub: the link's state, publishing, watches, figures. Channels are in channel.c, readers in
 * reader.c. */
#include "listen/hub_int.h"

#include <assert.h>
#include <stdlib.h>

#include "util/xalloc.h"

/* A notification that came on a new connection before LISTEN stood on all channels. */
struct held {
    struct held *next;
    int pid;
    size_t name_n, payload_n;
    char bytes[];
};

static void list_init(struct hub_list *l)
{
    l->first = NULL;
    l->last = &l->first;
}

struct hub *hub_new(const struct hub_spec *spec)
{
    assert(spec->ports > 0 && spec->history > 0);
    struct hub *h = xcalloc(1, sizeof *h + spec->ports * sizeof *h->ports);
    h->spec = *spec;
    h->seq = 1; /* 0 is the start of streams that begin with a gap */
    pthread_mutex_init(&h->lock, NULL);
    h->channels = strmap_new();
    list_init(&h->wishes);
    list_init(&h->lingering);
    h->held_last = &h->held;
    buf_init(&h->scratch, BUF_NO_CEILING);
    buf_init(&h->id, BUF_NO_CEILING);
    for (unsigned i = 0; i < spec->ports; i++) {
        h->ports[i].hub = h;
        h->ports[i].number = i;
        h->ports[i].run_last = &h->ports[i].run;
    }
    return h;
}

static void drop_held(struct hub *h)
{
    while (h->held) {
        struct held *e = h->held;
        h->held = e->next;
        free(e);
    }
    h->held_last = &h->held;
    h->held_bytes = 0;
}

static void free_channel(void *value)
{
    struct hub_channel *c = value;
    ring_fini(&c->ring);
    free(c->refusal);
    free(c);
}

void hub_free(struct hub *h)
{
    if (!h)
        return;
    assert(h->readers == 0);
    strmap_free(h->channels, free_channel);
    drop_held(h);
    ring_fini(&h->gaps);
    buf_fini(&h->scratch);
    buf_fini(&h->id);
    free(h->watches);
    pthread_mutex_destroy(&h->lock);
    free(h);
}

struct hub_port *hub_port(struct hub *h, unsigned i)
{
    assert(i < h->spec.ports);
    return &h->ports[i];
}

/* ---- ids ---- */

struct str hub_id_text(struct hub *h, uint64_t seq)
{
    const struct hub_ids *ids = h->spec.ids;
    buf_clear(&h->id);
    if (ids)
        ids->print(ids->arg, &h->id, seq);
    else
        sse_id_print(&h->id, (struct sse_id){h->spec.epoch, seq});
    return buf_str(&h->id);
}

/* ---- publishing ---- */

static void hold(struct hub *h, struct str channel, struct str payload, int pid)
{
    struct held *e = xmalloc(sizeof *e + channel.n + payload.n);
    *e = (struct held){.pid = pid, .name_n = channel.n, .payload_n = payload.n};
    memcpy(e->bytes, channel.p, channel.n);
    memcpy(e->bytes + channel.n, payload.p, payload.n);
    *h->held_last = e;
    h->held_last = &e->next;
    h->held_bytes += sizeof *e + channel.n + payload.n;
    while (h->held &&
           h->held_bytes > HUB_HELD_BYTES) { /* the oldest: they lie before the gap to come */
        e = h->held;
        h->held_bytes -= sizeof *e + e->name_n + e->payload_n;
        h->held = e->next;
        if (!h->held)
            h->held_last = &h->held;
        free(e);
    }
}

static struct hub_channel *publish(struct hub *h, struct str channel, struct str payload, int pid)
{
    struct hub_channel *c = strmap_get(h->channels, channel);
    if (!c || (c->state != CHANNEL_LISTENING && !channel_live(c)))
        return NULL;
    struct sse_event e = {{h->spec.epoch, ++h->seq}, channel, payload, pid};
    struct hub_msg *m = sse_message(&h->scratch, &e);
    h->messages++;
    h->bytes += payload.n;
    channel_push(h, c, m);
    channel_dirty(h, c);
    return c;
}

static void tell_watches(struct hub_channel *c, struct str payload)
{
    for (struct hub_watch *w = c ? c->watches : NULL; w; w = w->next)
        w->on_payload(w->arg, payload);
}

void hub_publish(struct hub *h, struct str channel, struct str payload, int pid)
{
    struct hub_channel *c = NULL;
    pthread_mutex_lock(&h->lock);
    if (h->link == LINK_UP)
        c = publish(h, channel, payload, pid);
    else
        hold(h, channel, payload, pid);
    /* A channel with watches stays: they are this thread's own. */
    bool watched = c && c->watches;
    pthread_mutex_unlock(&h->lock);
    tell_watches(watched ? c : NULL, payload);
}

/* ---- the link ---- */

static void cover(void *arg, struct str name, void *value)
{
    const struct hub *h = arg;
    struct hub_channel *c = value;
    (void)name;
    if (channel_live(c))
        c->covered_from = h->seq;
}

static void begin(void *arg, struct str name, void *value)
{
    struct hub *h = arg;
    struct hub_channel *c = value;
    (void)name;
    if (!channel_live(c))
        return;
    sub_channel_live(h, c);
    channel_dirty(h, c);
}

static void say_gap(struct hub *h)
{
    struct hub_msg *m = sse_gap(&h->scratch, hub_id_text(h, ++h->seq), "reconnected");
    h->last_gap = m->seq = h->seq;
    ring_push(&h->gaps, m, HUB_GAPS_MAX);
}

static void publish_held(struct hub *h)
{
    while (h->held) {
        struct held *e = h->held;
        struct str channel = {e->bytes, e->name_n};
        struct str payload = {e->bytes + e->name_n, e->payload_n};
        h->held = e->next;
        hub_publish(h, channel, payload, e->pid);
        free(e);
    }
    drop_held(h);
}

void hub_up(struct hub *h)
{
    pthread_mutex_lock(&h->lock);
    assert(h->in_flight == 0);
    if (h->link == LINK_AWAY)
        say_gap(h);
    /* Readers who are held learn the reason from the link's old state. */
    strmap_each(h->channels, cover, h);
    strmap_each(h->channels, begin, h);
    h->link = LINK_UP;
    for (size_t i = 0; i < h->n_watches; i++)
        h->watches[i]->live = channel_live(h->watches[i]->channel);
    pthread_mutex_unlock(&h->lock);
    publish_held(h);
    for (size_t i = 0; i < h->n_watches; i++)
        if (h->watches[i]->on_live && h->watches[i]->live)
            h->watches[i]->on_live(h->watches[i]->arg);
}

bool hub_is_up(struct hub *h)
{
    pthread_mutex_lock(&h->lock);
    bool up = h->link == LINK_UP;
    pthread_mutex_unlock(&h->lock);
    return up;
}

static void lose(void *arg, struct str name, void *value)
{
    struct hub *h = arg;
    struct hub_channel *c = value;
    (void)name;
    sub_away(h, c);
    channel_lost(h, c); /* may free c */
}

void hub_lost(struct hub *h)
{
    pthread_mutex_lock(&h->lock);
    if (h->link == LINK_UP)
        h->losses++;
    h->link = LINK_AWAY;
    h->in_flight = 0;
    strmap_each(h->channels, lose, h);
    drop_held(h);
    pthread_mutex_unlock(&h->lock);
    for (size_t i = 0; i < h->n_watches; i++)
        if (h->watches[i]->on_lost)
            h->watches[i]->on_lost(h->watches[i]->arg);
}

bool hub_wanted(struct hub *h)
{
    pthread_mutex_lock(&h->lock);
    bool wanted = h->readers > 0;
    pthread_mutex_unlock(&h->lock);
    return wanted;
}

static void forget_idle(void *arg, struct str name, void *value)
{
    struct hub_channel *c = value;
    (void)name;
    channel_lost(arg, c);
}

bool hub_rest(struct hub *h)
{
    pthread_mutex_lock(&h->lock);
    bool rest = h->wanted == 0 && h->in_flight == 0;
    if (rest) {
        strmap_each(h->channels, forget_idle, h);
        h->link = LINK_STARTING;
        h->seq++; /* the ids given so far end here */
        drop_held(h);
    }
    pthread_mutex_unlock(&h->lock);
    return rest;
}

/* ---- watches ---- */

bool hub_watch(struct hub *h, struct str channel, struct hub_watch *w)
{
    pthread_mutex_lock(&h->lock);
    w->channel = channel_take(h, channel);
    bool live = h->link == LINK_UP && channel_live(w->channel);
    w->next = w->channel->watches;
    w->channel->watches = w;
    pthread_mutex_unlock(&h->lock);
    h->watches = xrealloc(h->watches, (h->n_watches + 1) * sizeof(struct hub_watch *));
    h->watches[h->n_watches++] = w;
    return live;
}

void hub_unwatch(struct hub *h, struct hub_watch *w)
{
    size_t i = 0;
    if (!w->channel)
        return;
    while (h->watches[i] != w)
        i++;
    h->watches[i] = h->watches[--h->n_watches];
    pthread_mutex_lock(&h->lock);
    struct hub_watch **p = &w->channel->watches;
    while (*p != w)
        p = &(*p)->next;
    *p = w->next;
    channel_give(h, w->channel);
    pthread_mutex_unlock(&h->lock);
    w->channel = NULL;
}

/* ---- figures ---- */

void hub_stats(struct hub *h, struct hub_stats *out)
{
    pthread_mutex_lock(&h->lock);
    *out = (struct hub_stats){
        .messages = h->messages,
        .bytes = h->bytes,
        .delivered = h->delivered,
        .dropped = h->dropped,
        .losses = h->losses,
        .gaps = h->gap_count,
        .channels = strmap_count(h->channels),
        .readers = h->readers,
        .history_bytes = h->ring_bytes,
        .up = h->link == LINK_UP,
    };
    pthread_mutex_unlock(&h->lock);
}

static const char *state_name(const struct hub_channel *c)
{
    switch (c->state) {
    case CHANNEL_WANTED:
    case CHANNEL_LISTENING: return "waiting";
    case CHANNEL_LIVE:
    case CHANNEL_UNWANTED: return c->refs > 0 ? "listening" : "lingering";
    case CHANNEL_UNLISTENING: return "ending";
    case CHANNEL_REFUSED: return "refused";
    default: assert(false && "unknown channel state"); return "";
    }
}

static uint64_t slowest(const struct hub *h, const struct hub_channel *c)
{
    uint64_t lag = 0;
    for (unsigned i = 0; i < h->spec.ports; i++)
        for (const struct hub_cursor *u = c->seats[i].first; u; u = u->peer)
            if (u->sub->state == HUB_SUB_LIVE && c->ring.head - u->next > lag)
                lag = c->ring.head - u->next;
    return lag;
}

struct dump {
    struct hub *hub;
    struct buf *out;
    bool more;
};

static void dump_channel(void *arg, struct str name, void *value)
{
    struct dump *d = arg;
    const struct hub_channel *c = value;
    size_t streams = 0;
    for (unsigned i = 0; i < d->hub->spec.ports; i++)
        streams += c->seats[i].count;
    if (d->more)
        buf_char(d->out, ',');
    d->more = true;
    BUF_LIT(d->out, "{\"name\":");
    sse_json_string(d->out, name);
    buf_printf(d->out,
               ",\"state\":\"%s\",\"streams\":%zu,\"messages\":%llu,\"history\":%zu,"
               "\"history_bytes\":%zu,\"slowest_lag\":%llu}",
               state_name(c), streams, (unsigned long long)c->received, ring_count(&c->ring),
               c->ring.bytes, (unsigned long long)slowest(d->hub, c));
}

void hub_dump_channels(struct hub *h, struct buf *out)
{
    struct dump d = {.hub = h, .out = out};
    pthread_mutex_lock(&h->lock);
    strmap_each(h->channels, dump_channel, &d);
    pthread_mutex_unlock(&h->lock);
}
