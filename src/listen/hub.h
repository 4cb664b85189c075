/* hub: what one database's notifications are for this process: channels with a ring of their last
 * messages each, and readers with a place in those rings. No I/O, no HTTP: feed.c brings the
 * notifications in, stream.c carries them out, unit tests do both by hand.
 *
 * Threads: everything is behind the hub's one mutex, held for microseconds. The feeding calls
 * (hub_wishes to hub_tick, hub_watch) belong to the thread of the LISTEN connection. A reader
 * belongs to the worker of its port, which alone may call its functions. Sequence numbers are given
 * under the lock, so ids and order are the same for every worker.
 *
 * Life of a channel: WANTED (LISTEN to be sent) -> LISTENING (sent) -> LIVE (committed) -> nobody
 * left for the linger time -> UNWANTED (UNLISTEN to be sent) -> UNLISTENING (sent) -> gone.
 * Somebody who comes back finds it LIVE in UNWANTED, and waits for a new LISTEN in UNLISTENING.
 * When the connection is lost all that somebody wants are WANTED again. REFUSED: PostgreSQL does
 * not take the name.
 *
 * Life of a reader: WAITING until LISTEN is committed on all its channels -> LIVE. Before its head
 * may wait no longer, or while the database is away, it is HELD: its stream begins with comments,
 * and its first event is a gap once it is live.
 *
 *     struct hub_sub *s = hub_subscribe(port, &want, err);
 *     hub_sub_owner(s, on_wake, arg);            -- woken when its state or its messages change
 *     while ((n = hub_take(s, items, COUNT)))    -- references to write, in order
 *         ...
 *     hub_unsubscribe(s); */
#ifndef PGH_LISTEN_HUB_H
#define PGH_LISTEN_HUB_H

#include "listen/sse.h"
#include "util/err.h"

#define HUB_CHANNEL_BYTES_MAX 63  /* NAMEDATALEN - 1: PostgreSQL cuts longer names silently */
#define HUB_CHANNELS_MAX 100000   /* all readers' together; each costs the backend a list entry */
#define HUB_BUFFER_MAX 1000000    /* messages; the setting's own bound is lower */
#define HUB_HELD_BYTES (8u << 20) /* what may arrive between the first LISTEN and the gap */

struct hub;
struct hub_port;
struct hub_sub;
struct hub_channel;

/* Ids of another kind than EPOCH-SEQ. Both are called under the lock, by any thread. */
struct hub_ids {
    /* The id that says: everything up to seq was seen. */
    void (*print)(void *arg, struct buf *out, uint64_t seq);
    /* The sequence number up to which a client with this id saw everything. NULL when that is
     * known; else why it is not. */
    const char *(*find)(void *arg, struct str id, uint64_t *seq);
    void *arg;
};

struct hub_spec {
    uint32_t epoch;             /* random, differs between all hubs of all processes */
    const struct hub_ids *ids;  /* NULL: EPOCH-SEQ. Outlives the hub */
    unsigned ports;             /* workers */
    size_t history;             /* messages kept per channel */
    size_t history_bytes;       /* over all channels */
    uint64_t linger_us;         /* how long a channel nobody reads stays listened to */
    void (*on_wish)(void *arg); /* hub_wishes has something; any thread, under the lock */
    /* Asked for by hub_busy: all readers had their turn; any thread, under the lock. */
    void (*on_quiet)(void *arg);
    void *arg;
};

struct hub *hub_new(const struct hub_spec *);
void hub_free(struct hub *); /* after its readers and watches are gone */

/* ---- readers: on the port's own thread ---- */

/* Worker i's end of the hub. on_work says that hub_port_next has something: any thread, under the
 * lock, once until hub_port_next returned NULL. Set before the first subscription. */
struct hub_port *hub_port(struct hub *, unsigned i);
void hub_port_init(struct hub_port *, void (*on_work)(void *arg), void *arg);
/* Wakes the next reader that has something to do; false when there is none. */
bool hub_port_next(struct hub_port *);

struct hub_want {
    const struct str
        *channels; /* no two the same, each 1 to HUB_CHANNEL_BYTES_MAX bytes of UTF-8 */
    size_t n;
    size_t max_buffer;  /* messages that may wait for it */
    bool raw;           /* format=raw */
    struct str last_id; /* Last-Event-ID as sent; p == NULL: none */
};

enum hub_sub_state { HUB_SUB_WAITING, HUB_SUB_HELD, HUB_SUB_LIVE, HUB_SUB_REFUSED };

MUSTCHECK struct hub_sub *hub_subscribe(struct hub_port *, const struct hub_want *, struct err *);
void hub_unsubscribe(struct hub_sub *);
void hub_sub_owner(struct hub_sub *, void (*wake)(void *arg), void *arg);
enum hub_sub_state hub_sub_state(struct hub_sub *);
/* Why it is REFUSED. */
void hub_sub_error(struct hub_sub *, struct err *);
/* The head cannot wait any longer: WAITING becomes HELD. */
void hub_sub_hold(struct hub_sub *);
/* Writes the stream's first block, with the id that it starts at; not while WAITING. */
void hub_sub_first(struct hub_sub *, struct buf *out);
/* Its channels; the names live as long as the reader. */
size_t hub_sub_channels(const struct hub_sub *);
struct str hub_sub_channel(const struct hub_sub *, size_t i);
/* Puts it at the end of its port's list again, because it has more than it may write in one go. */
void hub_sub_again(struct hub_sub *);

/* Up to max messages in order, as references that are the caller's. A marker (of lost messages) is
 * only ever the first of them. What was not written goes back with hub_put_back: the last n of the
 * same call, before any other call; never the first item, nor the one behind a marker. */
struct hub_item {
    struct hub_msg *msg;
    uint32_t cursor; /* the hub's own, as is replayed */
    bool replayed;
};
size_t hub_take(struct hub_sub *, struct hub_item *items, size_t max);
/* There may be more behind these n of max; false: whatever comes wakes the reader again. */
bool hub_take_more(const struct hub_item *items, size_t n, size_t max);
void hub_put_back(struct hub_sub *, const struct hub_item *items, size_t n);

/* ---- the feeding side: on the thread of the LISTEN connection ---- */

struct hub_wish {
    struct hub_channel *channel;
    struct str name;
    bool listen; /* or UNLISTEN */
};
/* Takes up to max wishes, which are then under way until hub_wish_done or hub_lost. */
size_t hub_wishes(struct hub *, struct hub_wish *, size_t max);
/* Committed, or refused by PostgreSQL for the reason err (NULL: committed). */
void hub_wish_done(struct hub *, struct hub_channel *, const struct err *err);
/* All wishes are fulfilled on a new connection: readers get their gap, then what came since. */
void hub_up(struct hub *);
bool hub_is_up(struct hub *);
/* The connection is lost, or cannot be made. */
void hub_lost(struct hub *);
void hub_publish(struct hub *, struct str channel, struct str payload, int pid);
/* Are readers yet to have their turn? Then on_quiet follows. */
bool hub_busy(struct hub *);
void hub_tick(struct hub *);   /* every second or so: lingering channels end */
bool hub_wanted(struct hub *); /* is there any reader? Watches want nothing by themselves */
/* Nobody wants anything, no watch either, and nothing is under way: the connection may be closed
 * (true), and the next one begins as at the start. */
bool hub_rest(struct hub *);

/* For the program itself. The callbacks run on the feeding thread, outside the lock, and may be
 * NULL but for on_payload; they may not add or remove watches. payload is borrowed. */
struct hub_watch {
    void (*on_payload)(void *arg, struct str payload);
    /* LISTEN stands on its channel from now on; what came before may have been missed. */
    void (*on_live)(void *arg);
    void (*on_lost)(void *arg); /* the connection is lost, or cannot be made */
    void *arg;
    struct hub_channel *channel; /* the hub's own, as what follows */
    struct hub_watch *next;
    bool live;
};
/* True: LISTEN stands already, no on_live follows. */
bool hub_watch(struct hub *, struct str channel, struct hub_watch *);
void hub_unwatch(struct hub *, struct hub_watch *);

/* ---- any thread ---- */
struct hub_stats {
    uint64_t messages, bytes, delivered, dropped, losses, gaps;
    size_t channels, readers, history_bytes;
    bool up;
};
void hub_stats(struct hub *, struct hub_stats *);
/* {"name":"orders","streams":2,...},... without brackets. */
void hub_dump_channels(struct hub *, struct buf *out);

#endif
