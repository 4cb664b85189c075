#include "listen/hubs.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/random.h>

#include "listen/feed.h"
#include "listen/outlet.h"
#include "util/log.h"
#include "util/loop.h"
#include "util/metrics.h"
#include "util/xalloc.h"

struct hub_entry {
    struct hub_entry *next;
    struct hubs *hubs;
    char *database;
    struct feed *feed;
    struct outlet outlets[];
};

struct hubs {
    pthread_mutex_t lock; /* of the list and of conf */
    struct hub_entry *first;
    struct conf *conf;
    struct db_pools *pools;
    unsigned workers;
    struct loop *loops[];
};

struct hubs *hubs_new(const struct hubs_spec *spec, struct err *err)
{
    (void)err;
    struct hubs *hs = xcalloc(1, sizeof *hs + spec->workers * sizeof *hs->loops);
    pthread_mutex_init(&hs->lock, NULL);
    hs->conf = conf_ref(spec->conf);
    hs->pools = spec->pools;
    hs->workers = spec->workers;
    for (unsigned i = 0; i < spec->workers; i++)
        hs->loops[i] = spec->loops[i];
    return hs;
}

static struct hub_entry *entry_new(struct hubs *hs, const struct conf_database *d, struct err *err)
{
    struct feed_spec spec = {.loop = hs->loops[0],
                             .pools = hs->pools,
                             .database = d->name,
                             .listen_uri = d->listen_uri ? d->listen_uri : d->db_uri,
                             .connect_timeout_us = hs->conf->db_connect_timeout_us,
                             .workers = hs->workers,
                             .history = hs->conf->listen_history,
                             .history_bytes = hs->conf->listen_history_bytes};
    if (getrandom(&spec.epoch, sizeof spec.epoch, 0) != sizeof spec.epoch) {
        err_set(err, 500, "PGH500", "no random bytes for the ids of events");
        return NULL;
    }
    struct feed *feed = feed_new(&spec);
    struct hub_entry *e = xcalloc(1, sizeof *e + hs->workers * sizeof *e->outlets);
    e->hubs = hs;
    e->feed = feed;
    e->database = xstrdup(d->name);
    feed_reconfigure(feed, hs->conf);
    for (unsigned i = 0; i < hs->workers; i++)
        outlet_init(&e->outlets[i], hub_port(feed_hub(feed), i), hs->loops[i]);
    return e;
}

static struct hub_entry *find(struct hubs *hs, const char *database)
{
    struct hub_entry *e = hs->first;
    while (e && strcmp(e->database, database) != 0)
        e = e->next;
    return e;
}

struct hub *hubs_get(struct hubs *hs, const struct conf_database *d, struct err *err)
{
    pthread_mutex_lock(&hs->lock);
    struct hub_entry *e = find(hs, d->name);
    if (!e && (e = entry_new(hs, d, err))) {
        e->next = hs->first;
        hs->first = e;
    }
    pthread_mutex_unlock(&hs->lock);
    return e ? feed_hub(e->feed) : NULL;
}

void hubs_reconfigure(struct hubs *hs, struct conf *conf)
{
    pthread_mutex_lock(&hs->lock);
    struct conf *old = hs->conf;
    hs->conf = conf_ref(conf);
    for (struct hub_entry *e = hs->first; e; e = e->next)
        feed_reconfigure(e->feed, conf);
    pthread_mutex_unlock(&hs->lock);
    conf_unref(old);
}

void hubs_stop(struct hubs *hs)
{
    pthread_mutex_lock(&hs->lock);
    for (struct hub_entry *e = hs->first; e; e = e->next)
        feed_stop(e->feed);
    pthread_mutex_unlock(&hs->lock);
}

void hubs_free(struct hubs *hs)
{
    if (!hs)
        return;
    while (hs->first) {
        struct hub_entry *e = hs->first;
        hs->first = e->next;
        for (unsigned i = 0; i < hs->workers; i++)
            outlet_stop(&e->outlets[i]);
        feed_free(e->feed);
        free(e->database);
        free(e);
    }
    conf_unref(hs->conf);
    pthread_mutex_destroy(&hs->lock);
    free(hs);
}

/* ---- what others want to know ---- */

bool hubs_ready(struct hubs *hs, char *reason, size_t reason_size)
{
    enum feed_health health = FEED_IDLE;
    pthread_mutex_lock(&hs->lock);
    struct hub_entry *e = find(hs, "");
    if (e)
        health = feed_health(e->feed, reason, reason_size);
    pthread_mutex_unlock(&hs->lock);
    return health != FEED_AWAY && health != FEED_DEAF;
}

static const char *health_name(enum feed_health health)
{
    switch (health) {
    case FEED_IDLE: return "idle";
    case FEED_CONNECTING: return "connecting";
    case FEED_UP: return "up";
    case FEED_DEAF: return "deaf";
    case FEED_AWAY: return "away";
    default: return "";
    }
}

/* The database's name in the settings; the configured one has none. */
static struct str shown(const struct hub_entry *e)
{
    return str_of(e->database);
}

struct figure {
    const char *name;
    enum metrics_kind kind;
    const char *help;
    uint64_t (*value)(const struct hub_stats *);
};

static uint64_t of_messages(const struct hub_stats *s)
{
    return s->messages;
}

static uint64_t of_bytes(const struct hub_stats *s)
{
    return s->bytes;
}

static uint64_t of_delivered(const struct hub_stats *s)
{
    return s->delivered;
}

static uint64_t of_dropped(const struct hub_stats *s)
{
    return s->dropped;
}

static uint64_t of_gaps(const struct hub_stats *s)
{
    return s->gaps;
}

static uint64_t of_losses(const struct hub_stats *s)
{
    return s->losses;
}

static uint64_t of_channels(const struct hub_stats *s)
{
    return s->channels;
}

static uint64_t of_readers(const struct hub_stats *s)
{
    return s->readers;
}

static uint64_t of_history(const struct hub_stats *s)
{
    return s->history_bytes;
}

static uint64_t of_up(const struct hub_stats *s)
{
    return s->up;
}

static const struct figure figures[] = {
    {"pghttpd_listen_up", METRICS_GAUGE, "1 while LISTEN stands", of_up},
    {"pghttpd_listen_losses_total", METRICS_COUNTER, "Losses of the LISTEN connection", of_losses},
    {"pghttpd_listen_channels", METRICS_GAUGE, "Channels listened to or wanted", of_channels},
    {"pghttpd_listen_readers", METRICS_GAUGE, "Event streams, open or opening", of_readers},
    {"pghttpd_listen_history_bytes", METRICS_GAUGE, "Memory of the channels' rings", of_history},
    {"pghttpd_listen_messages_total", METRICS_COUNTER, "Notifications received", of_messages},
    {"pghttpd_listen_payload_bytes_total", METRICS_COUNTER, "Payload bytes received", of_bytes},
    {"pghttpd_listen_delivered_total", METRICS_COUNTER, "Notifications written to streams",
     of_delivered},
    {"pghttpd_listen_dropped_total", METRICS_COUNTER,
     "Notifications that streams lost because they did not read", of_dropped},
    {"pghttpd_listen_gaps_total", METRICS_COUNTER, "Gap events written to streams", of_gaps},
};

void hubs_metrics(struct hubs *hs, struct buf *out)
{
    pthread_mutex_lock(&hs->lock);
    for (size_t i = 0; hs->first && i < sizeof figures / sizeof *figures; i++) {
        const struct figure *f = &figures[i];
        metrics_head(out, f->name, f->kind, f->help);
        for (struct hub_entry *e = hs->first; e; e = e->next) {
            struct hub_stats stats;
            struct buf label;
            hub_stats(feed_hub(e->feed), &stats);
            buf_init(&label, 4096);
            metrics_label(&label, "database", shown(e));
            buf_char(&label, 0);
            metrics_u64(out, f->name, label.p, f->value(&stats));
            buf_fini(&label);
        }
    }
    pthread_mutex_unlock(&hs->lock);
}

void hubs_dump(struct hubs *hs, struct buf *out)
{
    char reason[1024];
    pthread_mutex_lock(&hs->lock);
    buf_char(out, '[');
    for (struct hub_entry *e = hs->first; e; e = e->next) {
        enum feed_health health = feed_health(e->feed, reason, sizeof reason);
        buf_printf(out, "%s{\"database\":", e == hs->first ? "" : ",");
        sse_json_string(out, shown(e));
        buf_printf(out, ",\"state\":\"%s\",\"reason\":", health_name(health));
        sse_json_string(out, str_of(reason));
        BUF_LIT(out, ",\"channels\":[");
        hub_dump_channels(feed_hub(e->feed), out);
        BUF_LIT(out, "]}");
    }
    buf_char(out, ']');
    pthread_mutex_unlock(&hs->lock);
}
