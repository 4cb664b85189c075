#include "rest/catalogs.h"

#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "db/helpers.h"
#include "rest/catalog_load.h"
#include "rest/catalog_private.h"
#include "util/log.h"
#include "util/xalloc.h"

/* Between failed attempts: 1, 2, 4 ... 32 s, as long as it takes. */
#define RETRY_FIRST_US 1000000ull
#define RETRY_LAST_US 32000000ull

/* One database. name is fixed; current and state are read by all threads under the lock of all
 * slots (held for a few instructions), the rest belongs to worker 0. */
struct slot {
    char *name;
    struct catalog *current;
    enum rest_catalog_state state;
    struct rest_catalogs *all;
    struct catalog_load *load;
    struct loop_timer retry;
    uint64_t retry_us;
    bool again; /* a reload was asked for while one runs */
    /* under the lock */
    bool wanted; /* somebody asked for it, or it is the configured one */
    bool further;
    uint64_t used_us; /* a further one: when it was asked for, or first loaded */
};

struct rest_catalogs {
    pthread_mutex_t lock;
    struct slot **slots;
    size_t n;
    struct rest_catalogs_stats stats;
    uint64_t version;
    struct loop *asked; /* loop for those who want a catalog; NULL: not running */
    /* worker 0 */
    struct conf *conf;
    struct loop *loop;
    struct helpers *helpers; /* one thread, for what would hold up the loop */
    struct db_pools *pools;
    struct rest_catalogs_ops ops;
    void *arg;
    struct loop_timer idle; /* set while a further one is wanted */
};

/* Any thread's; the loops' clocks stand still within a turn, but a turn is short. */
static uint64_t clock_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static struct slot *slot_add(struct rest_catalogs *c, const char *name)
{
    struct slot *s = xcalloc(1, sizeof *s);
    s->name = xstrdup(name);
    s->all = c;
    s->retry_us = RETRY_FIRST_US;
    s->further = *name;
    s->wanted = !s->further;
    c->slots = xrealloc(c->slots, (c->n + 1) * sizeof(struct slot *));
    c->slots[c->n++] = s;
    return s;
}

static struct slot *slot_find(struct rest_catalogs *c, struct str name)
{
    for (size_t i = 0; i < c->n; i++)
        if (str_eq(str_of(c->slots[i]->name), name))
            return c->slots[i];
    return NULL;
}

struct rest_catalogs *rest_catalogs_new(struct conf *conf)
{
    struct rest_catalogs *c = xcalloc(1, sizeof *c);
    pthread_mutex_init(&c->lock, NULL);
    c->conf = conf_ref(conf);
    for (size_t i = 0; i < conf->n_databases; i++)
        slot_add(c, conf->databases[i].name);
    return c;
}

void rest_catalogs_free(struct rest_catalogs *c)
{
    if (!c)
        return;
    rest_catalogs_stop(c);
    for (size_t i = 0; i < c->n; i++) {
        catalog_unref(c->slots[i]->current);
        free(c->slots[i]->name);
        free(c->slots[i]);
    }
    free(c->slots);
    conf_unref(c->conf);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

/* ---- giving back memory: a helper's thread ---- */

struct leaving {
    struct catalog *old;
};

static void drop_leaving(void *arg)
{
    struct leaving *l = arg;
    catalog_unref(l->old);
    free(l);
}

/* Rows of a load and old snapshots are tens of megabytes with big catalogs. */
static void leave(void *arg)
{
    struct leaving *l = arg;
    catalog_unref(l->old); /* a request that still has it frees it */
    l->old = NULL;
    malloc_trim(0);
}

static void let_leave(struct rest_catalogs *c, struct catalog *old)
{
    struct leaving *l = xcalloc(1, sizeof *l);
    l->old = old;
    helpers_run(
        c->helpers,
        &(struct helpers_job){.work = leave, .done = drop_leaving, .drop = drop_leaving, .arg = l});
}

/* ---- loading: worker 0 ---- */

static void load(struct slot *s);

static void on_retry(void *arg)
{
    load(arg);
}

static void publish(struct slot *s, struct catalog *catalog)
{
    struct rest_catalogs *c = s->all;
    struct catalog *old = NULL;
    pthread_mutex_lock(&c->lock);
    if (catalog) {
        catalog->info.version = ++c->version;
        old = s->current;
        s->used_us = old ? s->used_us : clock_us();
        s->current = catalog;
        s->state = REST_CATALOG_LOADED;
        c->stats.loads++;
        c->stats.query_seconds = (double)catalog->info.load_us / 1e6;
    } else {
        s->state = REST_CATALOG_FAILED;
        c->stats.failures++;
    }
    pthread_mutex_unlock(&c->lock);
    if (catalog)
        let_leave(c, old);
}

/* A schema that is misspelled has nothing in it, either. */
static void say_empty(const struct catalog *catalog, const struct conf_database *db)
{
    const struct catalog_table *const *tables;
    const struct catalog_routine *const *routines;
    for (size_t i = 0; db && i < db->db_schemas.n; i++) {
        struct str schema = str_of(db->db_schemas.v[i]);
        if (catalog_tables(catalog, schema, &tables) + catalog_routines(catalog, schema, &routines))
            continue;
        log_warn("db-schemas: no table, view or function is found in the schema \"%s\": does it "
                 "exist?",
                 db->db_schemas.v[i]);
    }
}

static void loaded(void *arg, struct catalog *catalog, const struct err *err)
{
    struct slot *s = arg;
    struct rest_catalogs *c = s->all;
    s->load = NULL;
    if (catalog) {
        struct catalog_info i = catalog_info(catalog);
        log_info("catalog loaded: %zu relations, %zu relationships, %zu functions, %zu kB, %llu ms",
                 i.tables, i.relationships, i.routines, i.bytes / 1024,
                 (unsigned long long)(i.load_us / 1000));
        say_empty(catalog, conf_database(c->conf, str_of(s->name)));
        s->retry_us = RETRY_FIRST_US;
    } else {
        log_error("the catalog could not be loaded, trying again in %llu s: %s",
                  (unsigned long long)(s->retry_us / 1000000), err->message);
    }
    publish(s, catalog);
    if (!catalog) {
        loop_timer_set(&s->retry, s->retry_us);
        s->retry_us = s->retry_us * 2 > RETRY_LAST_US ? RETRY_LAST_US : s->retry_us * 2;
    } else if (s->again) {
        loop_timer_set(&s->retry, 0);
    }
    s->again = false;
    if (c->ops.on_loaded)
        c->ops.on_loaded(c->arg, conf_database(c->conf, str_of(s->name)), catalog != NULL);
}

static bool is_wanted(struct slot *s)
{
    pthread_mutex_lock(&s->all->lock);
    bool wanted = s->wanted;
    pthread_mutex_unlock(&s->all->lock);
    return wanted;
}

static void load(struct slot *s)
{
    struct rest_catalogs *c = s->all;
    const struct conf_database *db = conf_database(c->conf, str_of(s->name));
    if (!c->loop || !db || !is_wanted(s))
        return;
    if (s->load) {
        s->again = true;
        return;
    }
    loop_timer_stop(&s->retry);
    s->load = catalog_load_start(&(struct catalog_load_spec){.loop = c->loop,
                                                             .helpers = c->helpers,
                                                             .pool = db_pools_own(c->pools, db),
                                                             .conf = c->conf,
                                                             .db = db,
                                                             .done = loaded,
                                                             .arg = s});
}

/* ---- a further database's end, when nobody asks for it: worker 0 ---- */

/* Microseconds until its end, from when nobody asks any more; 0: now. A load that runs is not
 * broken off: somebody with patience may come back for it. Under the lock. */
static uint64_t time_left(const struct slot *s, uint64_t idle_us)
{
    uint64_t end = s->used_us + idle_us, now = clock_us();
    if (end > now)
        return end - now;
    return s->load ? idle_us : 0;
}

static void slot_end(struct slot *s)
{
    struct rest_catalogs *c = s->all;
    loop_timer_stop(&s->retry);
    s->retry_us = RETRY_FIRST_US;
    s->again = false;
    log_info("database %s: its catalog is forgotten, nobody used it", s->name);
    if (c->ops.on_ended)
        c->ops.on_ended(c->arg, conf_database(c->conf, str_of(s->name)));
}

/* Whoever asks from now on wants it anew. */
static struct catalog *take_away(struct slot *s)
{
    struct catalog *old = s->current;
    s->current = NULL;
    s->state = REST_CATALOG_PENDING;
    s->wanted = false;
    return old;
}

static void on_idle(void *arg)
{
    struct rest_catalogs *c = arg;
    uint64_t idle_us = c->conf->db_pool_max_idletime_us, next = 0;
    if (idle_us == 0)
        return;
    for (size_t i = 0; i < c->n; i++) {
        struct slot *s = c->slots[i];
        if (!s->further)
            continue;
        struct catalog *old = NULL;
        pthread_mutex_lock(&c->lock);
        bool wanted = s->wanted;
        uint64_t left = wanted ? time_left(s, idle_us) : 0;
        if (wanted && left == 0)
            old = take_away(s);
        pthread_mutex_unlock(&c->lock);
        if (wanted && left == 0) {
            let_leave(c, old);
            slot_end(s);
        } else if (wanted && (next == 0 || left < next)) {
            next = left;
        }
    }
    if (next)
        loop_timer_set(&c->idle, next);
}

static void slot_start(struct rest_catalogs *c, struct slot *s)
{
    loop_timer_init(&s->retry, c->loop, on_retry, s);
    load(s);
}

bool rest_catalogs_start(struct rest_catalogs *c, struct loop *loop, struct db_pools *pools,
                         const struct rest_catalogs_ops *ops, void *arg, struct err *err)
{
    c->helpers = helpers_new(loop, 1, err);
    if (!c->helpers)
        return false;
    c->loop = loop;
    c->pools = pools;
    c->ops = *ops;
    c->arg = arg;
    loop_timer_init(&c->idle, loop, on_idle, c);
    for (size_t i = 0; i < c->n; i++)
        slot_start(c, c->slots[i]);
    pthread_mutex_lock(&c->lock);
    c->asked = loop;
    pthread_mutex_unlock(&c->lock);
    return true;
}

void rest_catalogs_stop(struct rest_catalogs *c)
{
    if (!c->loop)
        return;
    pthread_mutex_lock(&c->lock);
    c->asked = NULL;
    pthread_mutex_unlock(&c->lock);
    loop_timer_stop(&c->idle);
    for (size_t i = 0; i < c->n; i++) {
        struct slot *s = c->slots[i];
        loop_timer_stop(&s->retry);
        if (s->load)
            catalog_load_cancel(s->load);
        s->load = NULL;
    }
    helpers_free(c->helpers);
    c->helpers = NULL;
    c->loop = NULL;
}

void rest_catalogs_reconfigure(struct rest_catalogs *c, struct conf *conf)
{
    struct conf *old = c->conf;
    c->conf = conf_ref(conf);
    conf_unref(old);
    for (size_t i = 0; i < conf->n_databases; i++) {
        if (slot_find(c, str_of(conf->databases[i].name)))
            continue;
        pthread_mutex_lock(&c->lock);
        struct slot *s = slot_add(c, conf->databases[i].name);
        pthread_mutex_unlock(&c->lock);
        if (c->loop)
            loop_timer_init(&s->retry, c->loop, on_retry, s);
    }
    if (c->loop)
        loop_timer_set(&c->idle, 0); /* the idle time may be another */
    rest_catalogs_reload_all(c);
}

void rest_catalogs_reload(struct rest_catalogs *c, struct str database)
{
    struct slot *s = slot_find(c, database);
    if (s)
        load(s);
}

void rest_catalogs_reload_all(struct rest_catalogs *c)
{
    for (size_t i = 0; i < c->n; i++)
        load(c->slots[i]);
}

/* ---- any thread ---- */

static void on_wanted(void *arg)
{
    struct slot *s = arg;
    struct rest_catalogs *c = s->all;
    if (!c->loop || !is_wanted(s))
        return;
    if (!loop_timer_pending(&c->idle) && c->conf->db_pool_max_idletime_us)
        loop_timer_set(&c->idle, c->conf->db_pool_max_idletime_us);
    c->ops.on_wanted(c->arg, conf_database(c->conf, str_of(s->name)));
}

/* A further database is loaded when it is asked for. Under the lock. */
static void want(struct rest_catalogs *c, struct slot *s)
{
    if (s->further)
        s->used_us = clock_us();
    if (s->wanted || !c->asked)
        return;
    s->wanted = true;
    loop_post(c->asked, on_wanted, s);
}

struct catalog *rest_catalogs_get(struct rest_catalogs *c, const struct conf_database *db)
{
    struct catalog *catalog = NULL;
    pthread_mutex_lock(&c->lock);
    struct slot *s = slot_find(c, str_of(db->name));
    if (s)
        want(c, s);
    if (s && s->current)
        catalog = catalog_ref(s->current);
    pthread_mutex_unlock(&c->lock);
    return catalog;
}

struct catalog *rest_catalogs_need(struct rest_catalogs *c, const struct conf_database *db,
                                   struct err *err)
{
    struct catalog *catalog = rest_catalogs_get(c, db);
    if (!catalog) {
        err_set(err, 503, "PGRST002",
                "Could not query the database for the schema cache. Retrying.");
        err->retry_after = 1;
    }
    return catalog;
}

enum rest_catalog_state rest_catalogs_state(struct rest_catalogs *c, struct str database)
{
    enum rest_catalog_state state = REST_CATALOG_PENDING;
    pthread_mutex_lock(&c->lock);
    struct slot *s = slot_find(c, database);
    if (s)
        state = s->current ? REST_CATALOG_LOADED : s->state;
    pthread_mutex_unlock(&c->lock);
    return state;
}

struct rest_catalogs_stats rest_catalogs_stats(struct rest_catalogs *c)
{
    pthread_mutex_lock(&c->lock);
    struct rest_catalogs_stats stats = c->stats;
    pthread_mutex_unlock(&c->lock);
    return stats;
}
