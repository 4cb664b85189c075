/* reader: a place in the rings, and what of them to write next. */
#include "listen/hub_int.h"

#include <assert.h>
#include <stdlib.h>

#include "util/xalloc.h"

/* ---- the port's list of readers to wake ---- */

void port_work(struct hub_port *p)
{
    if (p->told)
        return;
    p->told = true;
    if (p->on_work)
        p->on_work(p->arg);
}

void sub_run(struct hub_sub *s)
{
    struct hub_port *p = s->port;
    if (!s->prev) {
        s->next = NULL;
        s->prev = p->run_last;
        *p->run_last = s;
        p->run_last = &s->next;
    }
    port_work(p);
}

void sub_unrun(struct hub_sub *s)
{
    if (!s->prev)
        return;
    *s->prev = s->next;
    if (s->next)
        s->next->prev = s->prev;
    else
        s->port->run_last = s->prev;
    s->next = NULL;
    s->prev = NULL;
}

void hub_port_init(struct hub_port *p, void (*on_work)(void *), void *arg)
{
    pthread_mutex_lock(&p->hub->lock);
    p->on_work = on_work;
    p->arg = arg;
    pthread_mutex_unlock(&p->hub->lock);
}

/* The readers of a channel with news, onto the list. */
static void spread(struct hub_port *p)
{
    struct hub_seat *seat = &p->dirty->seats[p->number];
    p->dirty = seat->next_dirty;
    seat->dirty = false;
    for (struct hub_cursor *u = seat->first; u; u = u->peer)
        if (u->sub->state == HUB_SUB_LIVE)
            sub_run(u->sub);
}

static bool busy(const struct hub *h)
{
    for (unsigned i = 0; i < h->spec.ports; i++)
        if (h->ports[i].told)
            return true;
    return false;
}

bool hub_busy(struct hub *h)
{
    pthread_mutex_lock(&h->lock);
    bool yes = h->tell_quiet = busy(h);
    pthread_mutex_unlock(&h->lock);
    return yes;
}

/* The port has nothing to do any more. */
static void quiet(struct hub_port *p)
{
    struct hub *h = p->hub;
    p->told = false;
    if (!h->tell_quiet || busy(h))
        return;
    h->tell_quiet = false;
    if (h->spec.on_quiet)
        h->spec.on_quiet(h->spec.arg);
}

bool hub_port_next(struct hub_port *p)
{
    void (*wake)(void *) = NULL;
    void *arg = NULL;
    pthread_mutex_lock(&p->hub->lock);
    while (!p->run && p->dirty)
        spread(p);
    struct hub_sub *s = p->run;
    if (s) {
        sub_unrun(s);
        wake = s->wake;
        arg = s->arg;
    } else {
        quiet(p);
    }
    pthread_mutex_unlock(&p->hub->lock);
    if (wake)
        wake(arg);
    return s;
}

/* ---- where a reader begins ---- */

/* Why its id cannot be resumed from; NULL: it can, exactly. */
static const char *resume_trouble(const struct hub *h, const struct hub_sub *s)
{
    if (s->resume_state == RESUME_UNKNOWN || s->resume > h->seq)
        return "unknown id";
    if (s->resume == 0) /* the id of a stream that was to begin with a gap */
        return "not listening then";
    if (s->resume < h->last_gap)
        return "reconnected";
    for (uint32_t i = 0; i < s->n; i++)
        if (s->cursor[i].channel->covered_from > s->resume)
            return "not listening then";
    for (uint32_t i = 0; i < s->n; i++)
        if (s->cursor[i].channel->ring.evicted_seq > s->resume)
            return "history lost";
    return NULL;
}

static void begin_with_gap(struct hub *h, struct hub_sub *s, const char *reason)
{
    s->gap_reason = reason;
    s->start = 0;
    s->resume = ++h->seq; /* the gap's own */
    for (uint32_t i = 0; i < s->n; i++)
        s->cursor[i].next = s->cursor[i].channel->ring.head;
}

static void resume(struct hub_sub *s)
{
    uint64_t replay = 0;
    s->start = s->resume;
    for (uint32_t i = 0; i < s->n; i++) {
        struct hub_cursor *u = &s->cursor[i];
        u->next = ring_lower_bound(&u->channel->ring, 0, s->resume + 1);
        replay += u->channel->ring.head - u->next;
    }
    s->allow = replay < UINT32_MAX ? (uint32_t)replay : UINT32_MAX;
}

static void go_live(struct hub *h, struct hub_sub *s)
{
    const char *trouble = s->resume_state == RESUME_NONE ? NULL : resume_trouble(h, s);
    if (s->state == HUB_SUB_HELD)
        trouble = h->link == LINK_AWAY ? "reconnected" : "not listening then";
    s->gap_next = h->gaps.head;
    s->state = HUB_SUB_LIVE;
    if (trouble) {
        begin_with_gap(h, s, trouble);
    } else if (s->resume_state == RESUME_ID) {
        resume(s);
    } else {
        s->start = h->seq;
        for (uint32_t i = 0; i < s->n; i++)
            s->cursor[i].next = s->cursor[i].channel->ring.head;
    }
    sub_run(s);
}

static bool all_live(const struct hub_sub *s)
{
    for (uint32_t i = 0; i < s->n; i++)
        if (!channel_live(s->cursor[i].channel))
            return false;
    return true;
}

void sub_channel_live(struct hub *h, struct hub_channel *c)
{
    for (unsigned i = 0; i < h->spec.ports; i++) {
        for (struct hub_cursor *u = c->seats[i].first; u; u = u->peer) {
            bool waits = u->sub->state == HUB_SUB_WAITING || u->sub->state == HUB_SUB_HELD;
            if (waits && all_live(u->sub))
                go_live(h, u->sub);
        }
    }
}

void sub_channel_refused(struct hub *h, struct hub_channel *c)
{
    for (unsigned i = 0; i < h->spec.ports; i++) {
        for (struct hub_cursor *u = c->seats[i].first; u; u = u->peer) {
            u->sub->state = HUB_SUB_REFUSED;
            sub_run(u->sub);
        }
    }
}

/* While the database is away a stream that resumes starts with what the rings still have for it;
 * the others are held. */
static void begin_away(struct hub *h, struct hub_sub *s)
{
    if (s->state == HUB_SUB_WAITING && s->resume_state == RESUME_ID && !resume_trouble(h, s)) {
        go_live(h, s);
    } else if (s->state == HUB_SUB_WAITING) {
        s->state = HUB_SUB_HELD;
        sub_run(s);
    }
}

void sub_away(struct hub *h, struct hub_channel *c)
{
    for (unsigned i = 0; i < h->spec.ports; i++)
        for (struct hub_cursor *u = c->seats[i].first; u; u = u->peer)
            begin_away(h, u->sub);
}

/* ---- coming and going ---- */

static void sit_down(struct hub_cursor *u, struct hub_sub *s, struct hub_channel *c)
{
    struct hub_seat *seat = &c->seats[s->port->number];
    *u = (struct hub_cursor){.channel = c, .sub = s, .peer = seat->first, .back = &seat->first};
    if (u->peer)
        u->peer->back = &u->peer;
    seat->first = u;
    seat->count++;
}

static void get_up(struct hub *h, struct hub_cursor *u)
{
    *u->back = u->peer;
    if (u->peer)
        u->peer->back = u->back;
    u->channel->seats[u->sub->port->number].count--;
    channel_give(h, u->channel);
}

static void read_last_id(const struct hub *h, struct hub_sub *s, struct str text)
{
    struct sse_id id;
    if (!text.p)
        return;
    bool known = sse_id_parse(text, &id) && id.epoch == h->spec.epoch;
    s->resume_state = known ? RESUME_ID : RESUME_UNKNOWN;
    s->resume = known ? id.seq : 0;
}

struct hub_sub *hub_subscribe(struct hub_port *p, const struct hub_want *want, struct err *err)
{
    struct hub *h = p->hub;
    assert(want->n > 0 && want->max_buffer <= HUB_BUFFER_MAX);
    struct hub_sub *s = xcalloc(1, sizeof *s + want->n * sizeof *s->cursor);
    *s = (struct hub_sub){.port = p,
                          .state = HUB_SUB_WAITING,
                          .max_buffer = (uint32_t)want->max_buffer,
                          .raw = want->raw,
                          .n = (uint32_t)want->n};
    read_last_id(h, s, want->last_id);
    pthread_mutex_lock(&h->lock);
    if (strmap_count(h->channels) + want->n > HUB_CHANNELS_MAX) {
        pthread_mutex_unlock(&h->lock);
        free(s);
        err_set(err, 503, "PGH503", "too many channels are listened to");
        return NULL;
    }
    for (size_t i = 0; i < want->n; i++)
        sit_down(&s->cursor[i], s, channel_take(h, want->channels[i]));
    h->readers++;
    if (h->link == LINK_UP && all_live(s))
        go_live(h, s);
    else if (h->link == LINK_AWAY)
        begin_away(h, s);
    pthread_mutex_unlock(&h->lock);
    return s;
}

void hub_unsubscribe(struct hub_sub *s)
{
    if (!s)
        return;
    struct hub *h = s->port->hub;
    pthread_mutex_lock(&h->lock);
    sub_unrun(s);
    for (uint32_t i = 0; i < s->n; i++)
        get_up(h, &s->cursor[i]);
    h->readers--;
    pthread_mutex_unlock(&h->lock);
    free(s);
}

void hub_sub_owner(struct hub_sub *s, void (*wake)(void *), void *arg)
{
    s->wake = wake; /* read by the port's own thread alone */
    s->arg = arg;
}

enum hub_sub_state hub_sub_state(struct hub_sub *s)
{
    pthread_mutex_lock(&s->port->hub->lock);
    enum hub_sub_state state = (enum hub_sub_state)s->state;
    pthread_mutex_unlock(&s->port->hub->lock);
    return state;
}

void hub_sub_error(struct hub_sub *s, struct err *err)
{
    pthread_mutex_lock(&s->port->hub->lock);
    err_set(err, 400, "PGH400", "the channel was refused");
    for (uint32_t i = 0; i < s->n; i++)
        if (s->cursor[i].channel->refusal)
            *err = *s->cursor[i].channel->refusal;
    pthread_mutex_unlock(&s->port->hub->lock);
}

void hub_sub_hold(struct hub_sub *s)
{
    pthread_mutex_lock(&s->port->hub->lock);
    if (s->state == HUB_SUB_WAITING)
        s->state = HUB_SUB_HELD;
    pthread_mutex_unlock(&s->port->hub->lock);
}

void hub_sub_first(struct hub_sub *s, struct buf *out)
{
    struct hub *h = s->port->hub;
    pthread_mutex_lock(&h->lock);
    assert(s->state != HUB_SUB_WAITING);
    sse_first(out, hub_id_text(h, s->state == HUB_SUB_LIVE ? s->start : 0));
    pthread_mutex_unlock(&h->lock);
}

/* What these two read is set once, in hub_subscribe. */
size_t hub_sub_channels(const struct hub_sub *s)
{
    return s->n;
}

struct str hub_sub_channel(const struct hub_sub *s, size_t i)
{
    assert(i < s->n);
    return s->cursor[i].channel->name;
}

void hub_sub_again(struct hub_sub *s)
{
    pthread_mutex_lock(&s->port->hub->lock);
    sub_run(s);
    pthread_mutex_unlock(&s->port->hub->lock);
}

/* ---- what comes next ---- */

#define CURSOR_MARKER (UINT32_MAX - 1)
#define CURSOR_GAP UINT32_MAX

static uint64_t next_gap(const struct hub *h, struct hub_sub *s)
{
    if (s->gap_next < h->gaps.tail)
        s->gap_next = h->gaps.tail;
    return s->gap_next < h->gaps.head ? ring_at(&h->gaps, s->gap_next)->seq : HUB_NO_SEQ;
}

static uint64_t pending(const struct hub_sub *s)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < s->n; i++)
        n += s->cursor[i].channel->ring.head - s->cursor[i].next;
    return n;
}

static uint64_t pending_from(const struct hub_sub *s, uint64_t seq)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < s->n; i++) {
        const struct ring *r = &s->cursor[i].channel->ring;
        n += r->head - ring_lower_bound(r, s->cursor[i].next, seq);
    }
    return n;
}

/* The smallest sequence number from which on at most limit messages wait. By halving, so that a
 * stuck reader of a hundred channels costs some ten thousand steps, not a merge of its rings. */
static uint64_t keep_from(const struct hub *h, const struct hub_sub *s, uint64_t limit)
{
    uint64_t low = 0, high = h->seq + 1;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (pending_from(s, middle) <= limit)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static void lose_until(struct hub *h, struct hub_sub *s, struct hub_cursor *u, uint64_t next)
{
    uint64_t n = next - u->next;
    u->next = next;
    u->lost += n;
    h->dropped += n;
    s->allow -= n < s->allow ? (uint32_t)n : s->allow;
}

/* Moves the cursors past what the rings have evicted and past what is more than may wait, but not
 * past the next gap: a marker stands on its messages' side of it. Returns how many messages are
 * lost and not yet told. */
static uint64_t settle(struct hub *h, struct hub_sub *s, uint64_t gap)
{
    uint64_t lost = 0;
    for (uint32_t i = 0; i < s->n; i++) {
        struct hub_cursor *u = &s->cursor[i];
        if (u->next < u->channel->ring.tail)
            lose_until(h, s, u, u->channel->ring.tail);
    }
    uint64_t limit = (uint64_t)s->max_buffer + s->allow;
    if (pending(s) > limit) {
        uint64_t from = keep_from(h, s, limit);
        for (uint32_t i = 0; i < s->n; i++) {
            struct hub_cursor *u = &s->cursor[i];
            lose_until(h, s, u,
                       ring_lower_bound(&u->channel->ring, u->next, from < gap ? from : gap));
        }
    }
    for (uint32_t i = 0; i < s->n; i++)
        lost += s->cursor[i].lost;
    return lost;
}

/* The reader's oldest message; NULL when none waits. */
static struct hub_msg *oldest(const struct hub_sub *s, uint32_t *cursor)
{
    struct hub_msg *found = NULL;
    for (uint32_t i = 0; i < s->n; i++) {
        const struct ring *r = &s->cursor[i].channel->ring;
        if (s->cursor[i].next == r->head)
            continue;
        struct hub_msg *m = ring_at(r, s->cursor[i].next);
        if (!found || m->seq < found->seq) {
            found = m;
            *cursor = i;
        }
    }
    return found;
}

static struct hub_msg *marker(struct hub *h, struct hub_sub *s, uint64_t lost, uint64_t gap)
{
    uint32_t cursor;
    const struct hub_msg *first = oldest(s, &cursor);
    uint64_t before = first && first->seq < gap ? first->seq : gap;
    sse_overflow_begin(&h->scratch, hub_id_text(h, before == HUB_NO_SEQ ? h->seq : before - 1),
                       lost);
    for (uint32_t i = 0; i < s->n; i++) {
        if (s->cursor[i].lost > 0)
            sse_overflow_channel(&h->scratch, s->cursor[i].channel->name);
        s->cursor[i].lost = 0;
    }
    return sse_overflow_end(&h->scratch);
}

/* The message in the reader's format, as a new reference. */
static struct hub_msg *in_format(struct hub *h, const struct hub_sub *s, struct hub_msg *m,
                                 uint32_t cursor)
{
    if (!s->raw)
        return hub_msg_ref(m);
    if (!m->raw) {
        struct hub_channel *c = s->cursor[cursor].channel;
        struct sse_id id = {h->spec.epoch, m->seq};
        m->raw = sse_message_raw(&h->scratch, m, id, c->name);
        c->ring.bytes += hub_msg_cost(m->raw);
        h->ring_bytes += hub_msg_cost(m->raw);
    }
    return hub_msg_ref(m->raw);
}

/* The gap or message that comes next; false when there is none. */
static bool take_one(struct hub *h, struct hub_sub *s, uint64_t gap, struct hub_item *out)
{
    uint32_t cursor = 0;
    struct hub_msg *m = oldest(s, &cursor);
    if (gap != HUB_NO_SEQ && (!m || gap < m->seq)) {
        *out = (struct hub_item){hub_msg_ref(ring_at(&h->gaps, s->gap_next)), CURSOR_GAP, false};
        s->gap_next++;
        h->gap_count++;
        return true;
    }
    if (!m)
        return false;
    *out = (struct hub_item){in_format(h, s, m, cursor), cursor, s->allow > 0};
    s->cursor[cursor].next++;
    s->allow -= out->replayed;
    h->delivered++;
    return true;
}

static size_t take_own_gap(struct hub *h, struct hub_sub *s, struct hub_item *out)
{
    if (!s->gap_reason)
        return 0;
    *out = (struct hub_item){sse_gap(&h->scratch, hub_id_text(h, s->resume), s->gap_reason),
                             CURSOR_MARKER, false};
    s->gap_reason = NULL;
    h->gap_count++;
    return 1;
}

static size_t take(struct hub *h, struct hub_sub *s, struct hub_item *items, size_t max)
{
    size_t n = take_own_gap(h, s, items);
    uint64_t gap = next_gap(h, s), lost = settle(h, s, gap);
    if (lost > 0 && n > 0)
        return n;
    if (lost > 0)
        items[n++] = (struct hub_item){marker(h, s, lost, gap), CURSOR_MARKER, false};
    while (n < max && take_one(h, s, gap, &items[n]))
        if (items[n++].cursor == CURSOR_GAP)
            break; /* what is lost behind it begins the next call */
    return n;
}

size_t hub_take(struct hub_sub *s, struct hub_item *items, size_t max)
{
    struct hub *h = s->port->hub;
    assert(max >= 2);
    pthread_mutex_lock(&h->lock);
    size_t n = s->state == HUB_SUB_LIVE ? take(h, s, items, max) : 0;
    pthread_mutex_unlock(&h->lock);
    return n;
}

bool hub_take_more(const struct hub_item *items, size_t n, size_t max)
{
    return n == max || (n > 0 && items[n - 1].cursor >= CURSOR_MARKER);
}

void hub_put_back(struct hub_sub *s, const struct hub_item *items, size_t n)
{
    struct hub *h = s->port->hub;
    if (n == 0)
        return;
    pthread_mutex_lock(&h->lock);
    for (size_t i = n; i-- > 0;) {
        assert(items[i].cursor != CURSOR_MARKER);
        if (items[i].cursor == CURSOR_GAP) {
            s->gap_next--;
            h->gap_count--;
        } else {
            s->cursor[items[i].cursor].next--;
            s->allow += items[i].replayed;
            h->delivered--;
        }
    }
    pthread_mutex_unlock(&h->lock);
    for (size_t i = 0; i < n; i++)
        hub_msg_unref(items[i].msg);
}
