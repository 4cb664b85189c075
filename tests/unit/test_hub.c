/* hub: order, completeness, exact counts, resume, gaps, LISTEN and UNLISTEN with their races. */
#include "unit.h"

#include <stdio.h>

#include "listen/hub.h"

#define EPOCH 0x0000abcd
#define ITEMS 64

struct reader {
    struct hub_sub *sub;
    unsigned wakes;
};

static struct hub *make(size_t history, size_t bytes, uint64_t linger_us)
{
    return hub_new(&(struct hub_spec){.epoch = EPOCH,
                                      .ports = 2,
                                      .history = history,
                                      .history_bytes = bytes,
                                      .linger_us = linger_us});
}

static void on_wake(void *arg)
{
    struct reader *r = arg;
    r->wakes++;
}

static struct reader join_on(struct hub *h, unsigned port, const char *names, size_t buffer,
                             const char *last_id, bool raw)
{
    struct str channels[10], rest = str_of(names);
    struct hub_want want = {
        .channels = channels, .max_buffer = buffer, .raw = raw, .last_id = str_of(last_id)};
    struct err err;
    while (str_next(&rest, ' ', &channels[want.n]))
        want.n++;
    struct reader r = {.sub = hub_subscribe(hub_port(h, port), &want, &err)};
    assert_non_null(r.sub);
    return r;
}

static struct reader join(struct hub *h, const char *names)
{
    return join_on(h, 0, names, 1000, NULL, false);
}

/* Fulfils all wishes; returns them as "+a -b". */
static const char *grant(struct hub *h, bool refuse)
{
    static char text[1000];
    struct hub_wish w[20];
    struct err no;
    size_t at = 0, n = hub_wishes(h, w, 20);
    err_set(&no, 400, "22021", "no such character");
    text[0] = 0;
    for (size_t i = 0; i < n; i++)
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%c%.*s", i ? " " : "",
                               w[i].listen ? '+' : '-', STR_ARG(w[i].name));
    for (size_t i = 0; i < n; i++)
        hub_wish_done(h, w[i].channel, refuse ? &no : NULL);
    return text;
}

static void up(struct hub *h)
{
    grant(h, false);
    hub_up(h);
}

static void say(struct hub *h, const char *channel, unsigned from, unsigned to)
{
    char payload[20];
    for (unsigned i = from; i <= to; i++) {
        snprintf(payload, sizeof payload, "%u", i);
        hub_publish(h, str_of(channel), str_of(payload), 1);
    }
}

static void note(struct buf *out, const struct hub_msg *m)
{
    struct str s = hub_msg_content(m);
    const char *p = memmem(s.p, s.n, "\"payload\":\"", 11), *d = memmem(s.p, s.n, "dropped\":", 9),
               *g = memmem(s.p, s.n, "reason\":\"", 9), *r = memmem(s.p, s.n, "data: ", 6);
    struct str rest;
    size_t n;
    if (out->n)
        buf_char(out, ' ');
    if (p)
        rest = str_from(s, (size_t)(p - s.p) + 11);
    else if (d)
        rest = str_from(s, (size_t)(d - s.p) + 9);
    else if (g)
        rest = str_from(s, (size_t)(g - s.p) + 9);
    else
        rest = str_from(s, (size_t)(r - s.p) + 6);
    n = str_find(rest, d && !p ? ',' : p || g ? '"' : '\n', 0);
    if (d && !p)
        BUF_LIT(out, "lost:");
    if (g && !p)
        BUF_LIT(out, "gap:");
    buf_add(out, rest.p, n);
}

/* Takes everything (at most max at once), as "1 2 lost:3 6 gap:reconnected". */
static const char *drain_by(struct reader *r, size_t max)
{
    static struct buf out;
    struct hub_item items[ITEMS];
    size_t n;
    buf_fini(&out);
    buf_init(&out, 1000000);
    while ((n = hub_take(r->sub, items, max)) > 0)
        for (size_t i = 0; i < n; i++) {
            note(&out, items[i].msg);
            hub_msg_unref(items[i].msg);
        }
    buf_char(&out, 0);
    return out.p;
}

static const char *drain(struct reader *r)
{
    return drain_by(r, ITEMS);
}

static const char *start_of(struct reader *r)
{
    static char text[100];
    struct buf first;
    buf_init(&first, sizeof text);
    hub_sub_first(r->sub, &first);
    buf_char(&first, 0);
    assert_true(sscanf(first.p, "id: %99[^\n]", text) == 1);
    buf_fini(&first);
    return text;
}

static void leave(struct reader *r)
{
    hub_unsubscribe(r->sub);
    r->sub = NULL;
}

/* ---- tests ---- */

static void head_waits_for_listen(void **state)
{
    struct hub *h = make(100, 1 << 20, 0);
    struct hub_wish w[2];
    (void)state;
    hub_up(h);
    struct reader r = join(h, "a b");
    hub_sub_owner(r.sub, on_wake, &r);
    assert_int_equal(hub_sub_state(r.sub), HUB_SUB_WAITING);
    assert_int_equal(hub_wishes(h, w, 2), 2);
    hub_publish(h, STR("a"), STR("early"), 1); /* committed before the head: may be seen or not */
    hub_wish_done(h, w[0].channel, NULL);
    assert_int_equal(hub_sub_state(r.sub), HUB_SUB_WAITING);
    assert_false(hub_port_next(hub_port(h, 0)));
    hub_wish_done(h, w[1].channel, NULL);
    assert_int_equal(hub_sub_state(r.sub), HUB_SUB_LIVE);
    while (hub_port_next(hub_port(h, 0)))
        ;
    assert_true(r.wakes > 0);
    say(h, "a", 1, 2);
    say(h, "b", 3, 3);
    say(h, "a", 4, 4);
    assert_string_equal(drain(&r), "1 2 3 4");
    leave(&r);
    hub_free(h);
}

static void wakes_are_once_a_batch(void **state)
{
    struct hub *h = make(100, 1 << 20, 0);
    (void)state;
    hub_up(h);
    struct reader a = join(h, "a b"), b = join_on(h, 1, "a", 10, NULL, false);
    grant(h, false);
    hub_sub_owner(a.sub, on_wake, &a);
    hub_sub_owner(b.sub, on_wake, &b);
    while (hub_port_next(hub_port(h, 0)) || hub_port_next(hub_port(h, 1)))
        ;
    a.wakes = b.wakes = 0;
    say(h, "a", 1, 5);
    say(h, "b", 6, 9);
    while (hub_port_next(hub_port(h, 0)))
        ;
    assert_int_equal(b.wakes, 0);
    while (hub_port_next(hub_port(h, 1)))
        ;
    assert_in_range(a.wakes, 1, 2);
    assert_int_equal(b.wakes, 1);
    assert_string_equal(drain(&a), "1 2 3 4 5 6 7 8 9");
    assert_string_equal(drain(&b), "1 2 3 4 5");
    leave(&a);
    leave(&b);
    hub_free(h);
}

static void overflow_counts_exactly(void **state)
{
    struct hub *h = make(4096, 1 << 24, 0);
    (void)state;
    hub_up(h);
    struct reader r = join_on(h, 0, "a", 2, NULL, false), z = join_on(h, 0, "a", 0, NULL, false);
    grant(h, false);
    say(h, "a", 1, 1);
    assert_string_equal(drain(&r), "1");
    say(h, "a", 2, 3);
    assert_string_equal(drain(&r), "2 3");
    say(h, "a", 4, 6);
    assert_string_equal(drain(&r), "lost:1 5 6");
    say(h, "a", 7, 5006);
    assert_string_equal(drain(&r), "lost:4998 5005 5006");
    assert_string_equal(drain(&r), "");
    assert_string_equal(drain(&z), "lost:5006");
    assert_string_equal(drain(&z), "");
    leave(&r);
    leave(&z);
    hub_free(h);
}

static void overflow_over_channels_drops_the_oldest(void **state)
{
    struct hub *h = make(100, 1 << 20, 0);
    struct hub_item items[ITEMS];
    (void)state;
    hub_up(h);
    struct reader r = join_on(h, 0, "a b c", 3, NULL, false);
    grant(h, false);
    say(h, "a", 1, 2);
    say(h, "b", 3, 4);
    say(h, "a", 5, 6);
    assert_int_equal(hub_take(r.sub, items, ITEMS), 4);
    struct str s = hub_msg_content(items[0].msg);
    assert_str(s, "id: 0000abcd-7\nevent: overflow\n"
                  "data: {\"dropped\":3,\"channels\":[\"a\",\"b\"]}\n\n");
    for (int i = 0; i < 4; i++)
        hub_msg_unref(items[i].msg);
    say(h, "c", 7, 7);
    assert_string_equal(drain(&r), "7");
    leave(&r);
    hub_free(h);
}

static void a_busy_channel_spares_a_quiet_one(void **state)
{
    struct hub *h = make(10, 1 << 20, 0);
    (void)state;
    hub_up(h);
    struct reader r = join_on(h, 0, "a b", 10, NULL, false);
    grant(h, false);
    struct reader q = join_on(h, 0, "b", 10, NULL, false);
    say(h, "b", 1, 1);
    say(h, "a", 100, 200);
    assert_string_equal(drain(&q), "1");
    assert_string_equal(drain(&r), "lost:92 191 192 193 194 195 196 197 198 199 200");
    leave(&r);
    leave(&q);
    hub_free(h);
}

static void byte_budget_evicts_the_largest(void **state)
{
    struct hub *h = make(1000, 64 << 10, 0);
    struct hub_stats stats;
    static char big[8000];
    (void)state;
    memset(big, 'x', sizeof big);
    hub_up(h);
    struct reader r = join_on(h, 0, "a b", 1000, NULL, false), b = join(h, "b");
    grant(h, false);
    say(h, "b", 1, 5);
    for (int i = 0; i < 100; i++) {
        hub_publish(h, STR("a"), (struct str){big, sizeof big}, 1);
        hub_stats(h, &stats);
        assert_true(stats.history_bytes <= 64 << 10);
    }
    assert_string_equal(drain(&b), "1 2 3 4 5");
    struct hub_item items[ITEMS];
    size_t n = hub_take(r.sub, items, ITEMS), lost = 0;
    assert_true(items[0].msg->marker);
    sscanf(strstr(hub_msg_content(items[0].msg).p, "dropped\":") + 9, "%zu", &lost);
    assert_int_equal(lost + n - 1, 105);
    for (size_t i = 0; i < n; i++)
        hub_msg_unref(items[i].msg);
    leave(&r);
    leave(&b);
    hub_free(h);
}

static void put_back_is_taken_again(void **state)
{
    struct hub *h = make(100, 1 << 20, 0);
    struct hub_item items[ITEMS];
    (void)state;
    hub_up(h);
    struct reader r = join_on(h, 0, "a b", 100, NULL, false);
    grant(h, false);
    say(h, "a", 1, 2);
    say(h, "b", 3, 4);
    say(h, "a", 5, 6);
    assert_int_equal(hub_take(r.sub, items, ITEMS), 6);
    hub_put_back(r.sub, items + 2, 4);
    hub_msg_unref(items[0].msg);
    hub_msg_unref(items[1].msg);
    assert_string_equal(drain_by(&r, 2), "3 4 5 6");
    leave(&r);
    hub_free(h);
}

static void gap_once_per_loss(void **state)
{
    struct hub *h = make(100, 1 << 20, 1000000);
    struct hub_wish w[4];
    (void)state;
    hub_up(h);
    struct reader r = join(h, "a b"), slow = join(h, "a");
    grant(h, false);
    say(h, "a", 1, 2);
    assert_string_equal(drain(&r), "1 2");
    hub_lost(h);
    hub_lost(h); /* an attempt that failed */
    assert_string_equal(drain(&r), "");
    assert_int_equal(hub_wishes(h, w, 4), 2);
    hub_wish_done(h, w[0].channel, NULL);
    hub_publish(h, w[0].name, STR("between"), 1); /* belongs behind the gap */
    assert_string_equal(drain(&r), "");
    hub_lost(h); /* lost again before it stood: still one loss, and nothing came */
    assert_string_equal(grant(h, false)[0] ? "some" : "none", "some");
    hub_publish(h, STR("a"), STR("3"), 1);
    hub_up(h);
    say(h, "b", 4, 4);
    assert_string_equal(drain(&r), "gap:reconnected 3 4");
    assert_string_equal(drain(&slow), "1 2 gap:reconnected 3");
    assert_string_equal(drain(&r), "");
    leave(&r);
    leave(&slow);
    hub_free(h);
}

static void gaps_and_overflow_keep_their_sides(void **state)
{
    struct hub *h = make(100, 1 << 20, 0);
    (void)state;
    hub_up(h);
    struct reader r = join_on(h, 0, "a", 3, NULL, false);
    grant(h, false);
    say(h, "a", 1, 2);
    hub_lost(h);
    up(h);
    say(h, "a", 3, 4);
    hub_lost(h);
    up(h);
    say(h, "a", 5, 9);
    assert_string_equal(drain(&r), "lost:2 gap:reconnected lost:2 gap:reconnected lost:2 7 8 9");
    leave(&r);
    hub_free(h);
}

static void held_while_away(void **state)
{
    struct hub *h = make(100, 1 << 20, 0);
    (void)state;
    struct reader first = join(h, "a"); /* before the first connection: waits, not held */
    assert_int_equal(hub_sub_state(first.sub), HUB_SUB_WAITING);
    up(h);
    assert_int_equal(hub_sub_state(first.sub), HUB_SUB_LIVE);
    say(h, "a", 1, 1);
    assert_string_equal(drain(&first), "1");
    struct reader waits = join(h, "b");
    assert_int_equal(hub_sub_state(waits.sub), HUB_SUB_WAITING);
    hub_lost(h);
    assert_int_equal(hub_sub_state(waits.sub), HUB_SUB_HELD);
    assert_string_equal(start_of(&waits), "0000abcd-0");
    struct reader held = join(h, "a c"), resumed = join_on(h, 0, "a", 10, "0000abcd-0", false),
                  exact = join_on(h, 0, "a", 10, start_of(&first), false);
    assert_int_equal(hub_sub_state(held.sub), HUB_SUB_HELD);
    assert_int_equal(hub_sub_state(resumed.sub), HUB_SUB_HELD);
    assert_int_equal(hub_sub_state(exact.sub), HUB_SUB_LIVE);
    assert_string_equal(drain(&exact), "1");
    assert_string_equal(drain(&held), "");
    up(h);
    say(h, "a", 2, 2);
    assert_string_equal(drain(&held), "gap:reconnected 2");
    assert_string_equal(drain(&waits), "gap:reconnected");
    assert_string_equal(drain(&resumed), "gap:reconnected 2");
    assert_string_equal(drain(&exact), "gap:reconnected 2");
    assert_string_equal(drain(&first), "gap:reconnected 2");
    leave(&first), leave(&waits), leave(&held), leave(&resumed), leave(&exact);
    hub_free(h);
}

static void held_too_long(void **state)
{
    struct hub *h = make(100, 1 << 20, 0);
    struct hub_wish w[2];
    (void)state;
    hub_up(h);
    struct reader r = join(h, "a");
    assert_int_equal(hub_wishes(h, w, 2), 1);
    hub_sub_hold(r.sub);
    hub_publish(h, STR("a"), STR("before"), 1);
    assert_string_equal(drain(&r), "");
    hub_wish_done(h, w[0].channel, NULL);
    say(h, "a", 1, 1);
    assert_string_equal(drain(&r), "gap:not listening then 1");
    leave(&r);
    hub_free(h);
}

static const char *resumed(struct hub *h, const char *channels, const char *id, size_t buffer)
{
    struct reader r = join_on(h, 1, channels, buffer, id, false);
    assert_int_equal(hub_sub_state(r.sub), HUB_SUB_LIVE);
    assert_string_equal(start_of(&r), id);
    const char *text = drain(&r);
    leave(&r);
    return text;
}

static void resume_is_exact_or_a_gap(void **state)
{
    struct hub *h = make(5, 1 << 20, 1000000000);
    (void)state;
    hub_up(h);
    struct reader a = join(h, "a b");
    grant(h, false);
    say(h, "a", 1, 3); /* ids 4 to 6 */
    say(h, "b", 4, 4);
    say(h, "a", 5, 6);
    assert_string_equal(resumed(h, "a b", "0000abcd-4", 100), "2 3 4 5 6");
    assert_string_equal(resumed(h, "a b", "0000abcd-7", 100), "5 6");
    assert_string_equal(resumed(h, "a", "0000abcd-7", 1), "5 6"); /* replay is not cut */
    assert_string_equal(resumed(h, "a b", "0000abcd-9", 100), "");
    struct reader future = join_on(h, 0, "a", 9, "0000abcd-10", false);
    assert_string_equal(drain(&future), "gap:unknown id");
    assert_string_equal(start_of(&future), "0000abcd-0");
    struct reader other = join_on(h, 0, "a", 9, "0000abce-2", false);
    assert_string_equal(drain(&other), "gap:unknown id");
    struct reader bad = join_on(h, 0, "a", 9, "nonsense", false);
    assert_string_equal(drain(&bad), "gap:unknown id");
    struct reader zero = join_on(h, 0, "a", 9, "0000abcd-0", false);
    assert_string_equal(drain(&zero), "gap:not listening then");
    say(h, "a", 11, 16);
    struct reader lost = join_on(h, 0, "a", 9, "0000abcd-5", false);
    assert_string_equal(drain(&lost), "gap:history lost");
    struct reader quiet = join_on(h, 0, "b", 9, "0000abcd-6", false);
    assert_string_equal(drain(&quiet), "4"); /* the busy channel cost it nothing */
    struct reader late = join(h, "new");
    grant(h, false);
    struct reader then = join_on(h, 0, "a new", 9, "0000abcd-9", false);
    assert_string_equal(drain(&then), "gap:not listening then");
    hub_lost(h);
    up(h);
    struct reader across = join_on(h, 0, "b", 9, "0000abcd-7", false);
    assert_string_equal(drain(&across), "gap:reconnected");
    leave(&a), leave(&future), leave(&other), leave(&bad), leave(&zero), leave(&lost);
    leave(&quiet), leave(&late), leave(&then), leave(&across);
    hub_free(h);
}

/* The newest id of all is as old as any other for a channel that was not listened to then. */
static void resume_on_a_channel_that_is_new(void **state)
{
    struct hub *h = make(100, 1 << 20, 0);
    char id[40];
    (void)state;
    hub_up(h);
    struct reader a = join(h, "a");
    grant(h, false);
    snprintf(id, sizeof id, "%s", start_of(&a));
    /* here b was notified */
    struct reader b = join_on(h, 0, "b", 9, id, false);
    grant(h, false);
    assert_string_equal(drain(&b), "gap:not listening then");
    leave(&b); /* left, and listened to again */
    hub_tick(h);
    assert_string_equal(grant(h, false), "-b");
    b = join(h, "b");
    grant(h, false);
    snprintf(id, sizeof id, "%s", start_of(&b));
    leave(&b);
    hub_tick(h);
    assert_string_equal(grant(h, false), "-b");
    b = join_on(h, 0, "b", 9, id, false);
    grant(h, false);
    assert_string_equal(drain(&b), "gap:not listening then");
    snprintf(id, sizeof id, "%s", start_of(&a));
    leave(&a), leave(&b); /* nobody is left, the connection is closed and made again */
    assert_true(hub_rest(h));
    a = join_on(h, 0, "a", 9, id, false);
    up(h);
    assert_string_equal(drain(&a), "gap:not listening then");
    leave(&a);
    a = join(h, "c");
    grant(h, false);
    snprintf(id, sizeof id, "%s", start_of(&a));
    leave(&a);
    assert_true(hub_rest(h));
    a = join_on(h, 0, "c", 9, id, false);
    up(h);
    assert_string_equal(drain(&a), "gap:not listening then");
    leave(&a);
    hub_free(h);
}

/* The id of the gap, of the marker and of the first block are good points to resume from. */
static void marker_ids_resume(void **state)
{
    struct hub *h = make(100, 1 << 20, 1000000000);
    struct hub_item items[ITEMS];
    char id[40];
    (void)state;
    hub_up(h);
    struct reader r = join_on(h, 0, "a b", 1, NULL, false);
    grant(h, false);
    snprintf(id, sizeof id, "%s", start_of(&r));
    say(h, "a", 1, 2);
    assert_string_equal(resumed(h, "a b", id, 9), "1 2");
    assert_int_equal(hub_take(r.sub, items, ITEMS), 2);
    struct str text = hub_msg_content(items[0].msg);
    snprintf(id, sizeof id, "%.*s", (int)str_find(text, '\n', 0) - 4, text.p + 4);
    assert_string_equal(resumed(h, "a b", id, 9), "2");
    hub_msg_unref(items[0].msg), hub_msg_unref(items[1].msg);
    hub_lost(h);
    up(h);
    assert_int_equal(hub_take(r.sub, items, ITEMS), 1);
    text = hub_msg_content(items[0].msg);
    snprintf(id, sizeof id, "%.*s", (int)str_find(text, '\n', 0) - 4, text.p + 4);
    hub_msg_unref(items[0].msg);
    say(h, "b", 3, 3);
    assert_string_equal(resumed(h, "a b", id, 9), "3");
    leave(&r);
    hub_free(h);
}

static void a_long_replay_is_whole(void **state)
{
    struct hub *h = make(4000, 1 << 24, 0);
    struct hub_item items[ITEMS];
    size_t got = 0;
    (void)state;
    hub_up(h);
    struct reader a = join(h, "a");
    grant(h, false);
    say(h, "a", 1, 3000);
    struct reader r = join_on(h, 0, "a", 10, "0000abcd-3", false);
    while (got < 2999) {
        size_t n = hub_take(r.sub, items, ITEMS), wrote = n < 7 ? n : 7;
        assert_true(n > 0);
        for (size_t i = 0; i < wrote; i++) {
            assert_false(items[i].msg->marker);
            hub_msg_unref(items[i].msg);
        }
        hub_put_back(r.sub, items + wrote, n - wrote);
        got += wrote;
    }
    assert_string_equal(drain(&r), "");
    say(h, "a", 1, 11);
    assert_string_equal(drain(&r), "lost:1 2 3 4 5 6 7 8 9 10 11");
    leave(&a);
    leave(&r);
    hub_free(h);
}

static void listen_and_unlisten_race(void **state)
{
    struct hub *h = make(100, 1 << 20, 0);
    struct hub_wish w[4];
    (void)state;
    hub_up(h);
    struct reader r = join(h, "a");
    leave(&r); /* before LISTEN was sent: nothing to send */
    assert_string_equal(grant(h, false), "");

    r = join(h, "a"); /* leaves while LISTEN is under way, comes back before it is done */
    assert_int_equal(hub_wishes(h, w, 4), 1);
    leave(&r);
    r = join(h, "a");
    hub_wish_done(h, w[0].channel, NULL);
    assert_int_equal(hub_sub_state(r.sub), HUB_SUB_LIVE);

    leave(&r); /* lingers, is to be unlistened, and somebody comes before it was sent */
    hub_tick(h);
    struct reader again = join(h, "a");
    assert_int_equal(hub_sub_state(again.sub), HUB_SUB_LIVE);
    assert_string_equal(grant(h, false), "");

    leave(&again); /* UNLISTEN is under way when somebody comes */
    hub_tick(h);
    assert_int_equal(hub_wishes(h, w, 4), 1);
    assert_false(w[0].listen);
    again = join(h, "a");
    assert_int_equal(hub_sub_state(again.sub), HUB_SUB_WAITING);
    hub_publish(h, STR("a"), STR("straggler"), 1);
    assert_int_equal(hub_wishes(h, w + 1, 3), 0);
    hub_wish_done(h, w[0].channel, NULL);
    assert_string_equal(grant(h, false), "+a");
    assert_int_equal(hub_sub_state(again.sub), HUB_SUB_LIVE);
    assert_string_equal(drain(&again), "");

    leave(&again); /* left while UNLISTEN and then LISTEN are under way */
    hub_tick(h);
    assert_string_equal(grant(h, false), "-a");
    assert_false(hub_wanted(h));
    assert_true(hub_rest(h));
    hub_free(h);
}

static void losses_in_every_state(void **state)
{
    struct hub *h = make(100, 1 << 20, 0);
    struct hub_wish w[4];
    (void)state;
    hub_up(h);
    struct reader live = join(h, "live");
    grant(h, false);
    struct reader gone = join(h, "gone"), back = join(h, "back");
    grant(h, false);
    leave(&gone);
    leave(&back);
    hub_tick(h);
    assert_int_equal(hub_wishes(h, w, 4), 2); /* both UNLISTEN under way */
    back = join(h, "back");
    struct reader fresh = join(h, "fresh");
    assert_int_equal(hub_wishes(h, w, 4), 1);
    hub_lost(h);
    up(h);
    say(h, "live", 1, 1);
    say(h, "back", 2, 2);
    say(h, "fresh", 3, 3);
    say(h, "gone", 4, 4);
    assert_string_equal(drain(&live), "gap:reconnected 1");
    assert_string_equal(drain(&back), "gap:reconnected 2");
    assert_string_equal(drain(&fresh), "gap:reconnected 3");
    leave(&live), leave(&back), leave(&fresh);
    hub_free(h);
}

static void history_lasts_while_it_lingers(void **state)
{
    struct hub *h = make(100, 1 << 20, 1000000000);
    (void)state;
    hub_up(h);
    struct reader r = join(h, "a");
    grant(h, false);
    say(h, "a", 1, 2);
    leave(&r);
    hub_tick(h);
    say(h, "a", 3, 3);
    assert_string_equal(resumed(h, "a", "0000abcd-3", 9), "2 3");
    assert_string_equal(grant(h, false), "");
    hub_free(h);
}

static void refused_names_end_their_streams(void **state)
{
    struct hub *h = make(100, 1 << 20, 0);
    struct err err;
    (void)state;
    hub_up(h);
    struct reader good = join(h, "good");
    grant(h, false);
    struct reader bad = join(h, "good bad");
    grant(h, true);
    assert_int_equal(hub_sub_state(bad.sub), HUB_SUB_REFUSED);
    hub_sub_error(bad.sub, &err);
    assert_string_equal(err.code, "22021");
    assert_int_equal(hub_sub_state(good.sub), HUB_SUB_LIVE);
    leave(&bad);
    bad = join(h, "bad");
    assert_string_equal(grant(h, false), "+bad");
    assert_int_equal(hub_sub_state(bad.sub), HUB_SUB_LIVE);
    leave(&good), leave(&bad);
    hub_free(h);
}

static void raw_readers_share_their_bytes(void **state)
{
    struct hub *h = make(100, 1 << 20, 0);
    struct hub_item x[2], y[2];
    (void)state;
    hub_up(h);
    struct reader a = join_on(h, 0, "a", 9, NULL, true), b = join_on(h, 1, "a", 9, NULL, true),
                  j = join(h, "a");
    grant(h, false);
    hub_publish(h, STR("a"), STR("1\n2"), 1);
    assert_int_equal(hub_take(a.sub, x, 2), 1);
    assert_int_equal(hub_take(b.sub, y, 2), 1);
    assert_ptr_equal(x[0].msg, y[0].msg);
    assert_str(hub_msg_content(x[0].msg), "id: 0000abcd-3\nevent: a\ndata: 1\ndata: 2\n\n");
    hub_msg_unref(x[0].msg);
    hub_msg_unref(y[0].msg);
    assert_string_equal(drain(&j), "1\\n2");
    leave(&a), leave(&b), leave(&j);
    hub_free(h);
}

static void on_payload(void *arg, struct str payload)
{
    buf_adds(arg, payload);
    buf_char(arg, ';');
}

static void on_live(void *arg)
{
    BUF_LIT((struct buf *)arg, "live;");
}

static void on_lost(void *arg)
{
    BUF_LIT((struct buf *)arg, "lost;");
}

static void watches_see_payloads_and_reconnections(void **state)
{
    struct hub *h = make(100, 1 << 20, 0);
    struct buf seen;
    (void)state;
    buf_init(&seen, 1000);
    struct hub_watch w = {.on_payload = on_payload, .on_live = on_live, .on_lost = on_lost, &seen};
    assert_false(hub_watch(h, STR("pgrst"), &w));
    up(h);
    say(h, "pgrst", 1, 2);
    hub_lost(h);
    up(h);
    say(h, "pgrst", 3, 3);
    assert_str(buf_str(&seen), "live;1;2;lost;live;3;");
    assert_false(hub_wanted(h)); /* a watch is no reader, but is not left alone either */
    assert_false(hub_rest(h));
    hub_unwatch(h, &w);
    assert_true(hub_watch(h, STR("pgrst"), &w)); /* it still lingers */
    hub_unwatch(h, &w);
    hub_tick(h);
    assert_string_equal(grant(h, false), "-pgrst");
    buf_clear(&seen); /* beside what others listen to */
    assert_false(hub_watch(h, STR("pgrst"), &w));
    assert_str(buf_str(&seen), "");
    assert_string_equal(grant(h, false), "+pgrst");
    assert_str(buf_str(&seen), "live;");
    hub_unwatch(h, &w);
    assert_true(hub_rest(h));
    buf_fini(&seen);
    hub_free(h);
}

static void too_many_channels(void **state)
{
    struct hub *h = make(1, 1 << 20, 0);
    static struct reader r[HUB_CHANNELS_MAX / 100 + 1];
    static char names[100][12];
    struct str channels[100];
    struct hub_want want = {.channels = channels, .n = 100, .max_buffer = 1};
    struct err err;
    size_t n = 0;
    (void)state;
    for (; n < sizeof r / sizeof *r; n++) {
        for (unsigned i = 0; i < 100; i++) {
            snprintf(names[i], sizeof names[i], "%zu", n * 100 + i);
            channels[i] = str_of(names[i]);
        }
        r[n].sub = hub_subscribe(hub_port(h, 0), &want, &err);
        if (!r[n].sub)
            break;
    }
    assert_int_equal(n, HUB_CHANNELS_MAX / 100);
    assert_int_equal(err.status, 503);
    while (n-- > 0)
        leave(&r[n]);
    hub_free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(head_waits_for_listen),
        cmocka_unit_test(wakes_are_once_a_batch),
        cmocka_unit_test(overflow_counts_exactly),
        cmocka_unit_test(overflow_over_channels_drops_the_oldest),
        cmocka_unit_test(a_busy_channel_spares_a_quiet_one),
        cmocka_unit_test(byte_budget_evicts_the_largest),
        cmocka_unit_test(put_back_is_taken_again),
        cmocka_unit_test(gap_once_per_loss),
        cmocka_unit_test(gaps_and_overflow_keep_their_sides),
        cmocka_unit_test(held_while_away),
        cmocka_unit_test(held_too_long),
        cmocka_unit_test(resume_is_exact_or_a_gap),
        cmocka_unit_test(resume_on_a_channel_that_is_new),
        cmocka_unit_test(marker_ids_resume),
        cmocka_unit_test(a_long_replay_is_whole),
        cmocka_unit_test(listen_and_unlisten_race),
        cmocka_unit_test(losses_in_every_state),
        cmocka_unit_test(history_lasts_while_it_lingers),
        cmocka_unit_test(refused_names_end_their_streams),
        cmocka_unit_test(raw_readers_share_their_bytes),
        cmocka_unit_test(watches_see_payloads_and_reconnections),
        cmocka_unit_test(too_many_channels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
