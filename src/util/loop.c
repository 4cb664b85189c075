#include "util/loop.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "util/metrics.h"
#include "util/xalloc.h"

struct loop_queue {
    struct loop_task *first, **last;
};

struct garbage {
    void (*free_fn)(void *);
    void *p;
};

struct posted {
    void (*fn)(void *);
    void *arg;
};

/* The clock of one turn: read by the turn's first callback (loop_turn), forgotten when the turn
 * ends. Reading it at the end of the turn before would be wrong by the whole wait; libevent, which
 * knows when the wait ended, tells nobody. */
struct turn_clock {
    uint64_t now_us; /* 0: not read in this turn */
};

struct loop {
    struct event_base *base;
    struct turn_clock *clock; /* its own allocation, so that a const loop can tell the time */
    struct loop_queue queue[LOOP_PHASES];
    struct garbage *garbage; /* freed after the phases, in the order given */
    size_t garbage_n, garbage_cap;
    struct metrics_recent turns; /* how long they took */
    int wake_fd;
    struct event *wake_ev;
    bool stopped;
    pthread_mutex_t post_lock; /* guards the three below */
    struct posted *posted;
    size_t posted_n, posted_cap;
};

uint64_t loop_clock_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* Takes the whole list out under the lock, so that what runs may post again. */
static void run_posted(struct loop *l)
{
    pthread_mutex_lock(&l->post_lock);
    struct posted *list = l->posted;
    size_t n = l->posted_n;
    l->posted = NULL;
    l->posted_n = l->posted_cap = 0;
    pthread_mutex_unlock(&l->post_lock);
    for (size_t i = 0; i < n; i++)
        list[i].fn(list[i].arg);
    free(list);
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
    uint64_t count;
    (void)what;
    loop_turn(arg);
    if (read(fd, &count, sizeof count) > 0)
        run_posted(arg);
}

struct loop *loop_new(struct err *err)
{
    struct loop *l = xcalloc(1, sizeof *l);
    l->clock = xcalloc(1, sizeof *l->clock);
    struct event_config *config = event_config_new();
    pthread_mutex_init(&l->post_lock, NULL);
    l->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (config) {
        event_config_set_flag(config,
                              EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST);
        l->base = event_base_new_with_config(config);
        event_config_free(config);
    }
    for (int i = 0; i < LOOP_PHASES; i++)
        l->queue[i].last = &l->queue[i].first;
    if (l->base && l->wake_fd >= 0)
        l->wake_ev = event_new(l->base, l->wake_fd, EV_READ | EV_PERSIST, on_wake, l);
    if (!l->wake_ev || event_add(l->wake_ev, NULL) < 0) {
        err_set(err, 500, "PGH500", "cannot make an event loop: out of descriptors or memory");
        loop_free(l);
        return NULL;
    }
    return l;
}

static void run_garbage(struct loop *l)
{
    for (size_t i = 0; i < l->garbage_n; i++) /* a free function may add more at the end */
        l->garbage[i].free_fn(l->garbage[i].p);
    l->garbage_n = 0;
}

void loop_free(struct loop *l)
{
    if (!l)
        return;
    run_garbage(l);
    if (l->wake_ev)
        event_free(l->wake_ev);
    if (l->base)
        event_base_free(l->base);
    if (l->wake_fd >= 0)
        close(l->wake_fd);
    free(l->garbage);
    free(l->clock);
    free(l->posted);
    pthread_mutex_destroy(&l->post_lock);
    free(l);
}

struct event_base *loop_base(struct loop *l)
{
    return l->base;
}

void loop_defer(struct loop *l, enum loop_phase phase, struct loop_task *t)
{
    struct loop_queue *q = &l->queue[phase];
    if (t->queue)
        return;
    t->next = NULL;
    t->prev = q->last;
    t->queue = q;
    *q->last = t;
    q->last = &t->next;
}

void loop_undefer(struct loop_task *t)
{
    if (!t->queue)
        return;
    *t->prev = t->next;
    if (t->next)
        t->next->prev = t->prev;
    else
        t->queue->last = t->prev;
    t->next = NULL;
    t->prev = NULL;
    t->queue = NULL;
}

static bool run_phase(struct loop *l, enum loop_phase phase)
{
    bool any = false;
    while (l->queue[phase].first) {
        struct loop_task *t = l->queue[phase].first;
        loop_undefer(t);
        t->run(t->arg);
        any = true;
    }
    return any;
}

/* Completions cause flushes, flushes cause completions, both cause kicks: go round until all is
 * quiet. */
static void after_turn(struct loop *l)
{
    bool any;
    do {
        any = run_phase(l, LOOP_COMPLETE);
        any = run_phase(l, LOOP_FLUSH) || any;
        any = run_phase(l, LOOP_KICK) || any;
    } while (any);
    run_phase(l, LOOP_FREE);
    run_garbage(l);
}

void loop_free_later(struct loop *l, void (*free_fn)(void *), void *p)
{
    if (l->garbage_n == l->garbage_cap) {
        l->garbage_cap = l->garbage_cap ? l->garbage_cap * 2 : 64;
        l->garbage = xrealloc(l->garbage, l->garbage_cap * sizeof *l->garbage);
    }
    l->garbage[l->garbage_n++] = (struct garbage){free_fn, p};
}

uint64_t loop_now_us(const struct loop *l)
{
    if (!l->clock->now_us)
        l->clock->now_us = loop_clock_us();
    return l->clock->now_us;
}

uint64_t loop_lag_us(const struct loop *l)
{
    return metrics_recent_largest(&l->turns, loop_now_us(l));
}

void loop_run(struct loop *l)
{
    l->stopped = false;
    after_turn(l);
    while (!l->stopped) {
        l->clock->now_us = 0;
        event_base_loop(l->base, EVLOOP_ONCE);
        uint64_t began = loop_now_us(l);
        after_turn(l);
        metrics_recent_note(&l->turns, began, loop_clock_us() - began);
    }
    l->clock->now_us = 0;
}

void loop_stop(struct loop *l)
{
    l->stopped = true;
}

void loop_wake(struct loop *l)
{
    uint64_t one = 1;
    ssize_t ignored = write(l->wake_fd, &one, sizeof one); /* full means that a wake is pending */
    (void)ignored;
}

void loop_post(struct loop *l, void (*fn)(void *), void *arg)
{
    pthread_mutex_lock(&l->post_lock);
    if (l->posted_n == l->posted_cap) {
        l->posted_cap = l->posted_cap ? l->posted_cap * 2 : 16;
        l->posted = xrealloc(l->posted, l->posted_cap * sizeof *l->posted);
    }
    l->posted[l->posted_n++] = (struct posted){fn, arg};
    bool first = l->posted_n == 1;
    pthread_mutex_unlock(&l->post_lock);
    if (first)
        loop_wake(l);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct loop_timer *t = arg;
    (void)fd, (void)what;
    loop_turn(t->loop);
    t->fn(t->arg);
}

void loop_timer_init(struct loop_timer *t, struct loop *l, void (*fn)(void *), void *arg)
{
    t->loop = l;
    t->fn = fn;
    t->arg = arg;
    evtimer_assign(&t->ev, l->base, on_timer, t);
}

void loop_timer_set(struct loop_timer *t, uint64_t after_us)
{
    struct timeval tv = {.tv_sec = (time_t)(after_us / 1000000),
                         .tv_usec = (suseconds_t)(after_us % 1000000)};
    evtimer_add(&t->ev, &tv);
}

void loop_timer_stop(struct loop_timer *t)
{
    if (t->fn)
        evtimer_del(&t->ev);
}

bool loop_timer_pending(const struct loop_timer *t)
{
    return t->fn && evtimer_pending(&t->ev, NULL);
}
