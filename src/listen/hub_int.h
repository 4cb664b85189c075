/* hub_int: the hub's structures, for hub.c, channel.c and reader.c alone. */
#ifndef PGH_LISTEN_HUB_INT_H
#define PGH_LISTEN_HUB_INT_H

#include <pthread.h>

#include "listen/hub.h"
#include "listen/ring.h"
#include "util/strmap.h"

#define HUB_GAPS_MAX 64 /* losses of LISTEN that a reader who lags behind is told one by one */
#define HUB_NO_SEQ UINT64_MAX

enum channel_state {
    CHANNEL_WANTED,      /* on the wish list: LISTEN */
    CHANNEL_LISTENING,   /* LISTEN is under way */
    CHANNEL_LIVE,        /* LISTEN is committed */
    CHANNEL_UNWANTED,    /* on the wish list: UNLISTEN; still live */
    CHANNEL_UNLISTENING, /* UNLISTEN is under way; what comes is dropped */
    CHANNEL_REFUSED,     /* LISTEN failed for a reason that stays */
};

/* One reader's place in one channel. */
struct hub_cursor {
    struct hub_channel *channel;
    struct hub_sub *sub;
    uint64_t next;                   /* ordinal */
    uint64_t lost;                   /* not yet told */
    struct hub_cursor *peer, **back; /* the channel's readers on the same port */
};

struct hub_seat { /* a channel's readers on one port */
    struct hub_cursor *first;
    size_t count;
    bool dirty; /* on the port's list of channels with news */
    struct hub_channel *next_dirty;
};

struct hub_channel {
    enum channel_state state;
    unsigned refs;         /* cursors and watches */
    uint64_t covered_from; /* LISTEN stands unbroken since this sequence number */
    uint64_t idle_since_us;
    struct hub_channel *next, **prev; /* the wish list, or the list of those that linger */
    struct hub_watch *watches;
    struct ring ring;
    uint64_t received;
    struct str name;
    struct err *refusal;
    struct hub_seat seats[]; /* one per port; the name's bytes follow */
};

struct hub_list {
    struct hub_channel *first, **last;
};

struct hub_port {
    struct hub *hub;
    unsigned number;
    void (*on_work)(void *arg);
    void *arg;
    bool told;                       /* on_work was called and the list is not yet empty again */
    struct hub_sub *run, **run_last; /* readers to wake */
    struct hub_channel *dirty;       /* channels whose readers are to be put on that list */
};

struct hub_sub {
    struct hub_port *port;
    void (*wake)(void *arg);
    void *arg;
    struct hub_sub *next, **prev; /* the port's run list */
    uint64_t gap_next;            /* ordinal in the ring of gaps */
    uint64_t start;               /* sequence number of the first block */
    uint64_t resume;              /* Last-Event-ID's, with resume_state RESUME_ID */
    const char *gap_reason;       /* a gap of its own comes first */
    uint32_t max_buffer, allow;   /* allow: replayed messages that do not count against it */
    uint32_t n, waiting;          /* channels, and how many of them are not live */
    uint8_t state, resume_state;
    bool raw, held;
    struct hub_cursor cursor[];
};

enum resume_state { RESUME_NONE, RESUME_UNKNOWN, RESUME_ID };

struct hub {
    pthread_mutex_t lock;
    struct hub_spec spec;
    enum { LINK_STARTING, LINK_UP, LINK_AWAY } link;
    uint64_t seq; /* the last one given */
    uint64_t last_gap;
    struct strmap *channels;
    struct hub_list wishes, lingering;
    bool tell_quiet;  /* hub_busy was true */
    size_t in_flight; /* wishes under way */
    size_t wanted;    /* channels with references */
    struct ring gaps;
    size_t ring_bytes; /* all channels' rings */
    struct buf scratch, id;
    struct held *held, **held_last; /* what came before the gap could be said */
    size_t held_bytes;
    struct hub_watch **watches; /* all of them; the feeding thread's own */
    size_t n_watches;
    uint64_t messages, bytes, delivered, dropped, losses, gap_count;
    size_t readers;
    struct hub_port ports[];
};

/* hub.c; under the lock. Good until the next call */
struct str hub_id_text(struct hub *, uint64_t seq);

/* channel.c; all under the lock */
struct hub_channel *channel_take(struct hub *, struct str name); /* counts a reference */
void channel_give(struct hub *, struct hub_channel *);
void channel_push(struct hub *, struct hub_channel *, struct hub_msg *);
void channel_dirty(struct hub *, struct hub_channel *);
void channel_forget(struct hub *, struct hub_channel *); /* clears its history */
void channel_lost(struct hub *, struct hub_channel *);   /* the connection is gone */
void channel_unlink(struct hub_channel *);
void hub_list_add(struct hub_list *, struct hub_channel *);
uint64_t hub_now_us(void);
bool channel_live(const struct hub_channel *);

/* reader.c; all under the lock */
void sub_run(struct hub_sub *); /* puts it on its port's list */
void sub_unrun(struct hub_sub *);
void sub_channel_live(struct hub *, struct hub_channel *);
void sub_channel_refused(struct hub *, struct hub_channel *);
void sub_away(struct hub *, struct hub_channel *);
void port_work(struct hub_port *);

#endif
