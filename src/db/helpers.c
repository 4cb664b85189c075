#include "db/helpers.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "util/xalloc.h"

#define FINISH_S 3                /* for work that ends soon by its nature */
#define HELPER_STACK (256 * 1024) /* getaddrinfo with its NSS modules and PQcancel fit well */

struct task {
    struct helpers_job job;
    struct task *next;
};

struct line { /* first in, first out */
    struct task *first, **last;
};

struct helpers {
    struct loop *loop;
    struct event *ev;
    pthread_mutex_t lock; /* guards everything below */
    pthread_cond_t ended; /* a thread did */
    struct line waiting, finished;
    unsigned threads, threads_max;
    int fd; /* eventfd: finished is not empty; -1 once closed */
    bool closed;
};

static void line_init(struct line *l)
{
    l->first = NULL;
    l->last = &l->first;
}

static void line_add(struct line *l, struct task *t)
{
    t->next = NULL;
    *l->last = t;
    l->last = &t->next;
}

static struct task *line_take(struct line *l)
{
    struct task *t = l->first;
    if (t) {
        l->first = t->next;
        if (!l->first)
            l->last = &l->first;
    }
    return t;
}

static void on_finished(evutil_socket_t fd, short what, void *arg)
{
    struct helpers *h = arg;
    uint64_t count;
    (void)what;
    loop_turn(h->loop);
    if (read(fd, &count, sizeof count) < 0)
        return;
    pthread_mutex_lock(&h->lock);
    struct task *t = h->finished.first;
    line_init(&h->finished);
    pthread_mutex_unlock(&h->lock);
    while (t) {
        struct task *next = t->next;
        t->job.done(t->job.arg);
        free(t);
        t = next;
    }
}

struct helpers *helpers_new(struct loop *loop, unsigned threads, struct err *err)
{
    struct helpers *h = xcalloc(1, sizeof *h);
    assert(threads > 0);
    pthread_mutex_init(&h->lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&h->ended, &monotonic);
    pthread_condattr_destroy(&monotonic);
    line_init(&h->waiting);
    line_init(&h->finished);
    h->loop = loop;
    h->threads_max = threads;
    h->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (h->fd >= 0)
        h->ev = event_new(loop_base(loop), h->fd, EV_READ | EV_PERSIST, on_finished, h);
    if (!h->ev || event_add(h->ev, NULL) < 0) {
        err_set(err, 500, "PGH500", "cannot make a helper's eventfd: out of descriptors");
        helpers_free(h);
        return NULL;
    }
    return h;
}

static void destroy(struct helpers *h)
{
    pthread_cond_destroy(&h->ended);
    pthread_mutex_destroy(&h->lock);
    free(h);
}

static void drop_all(struct line *l)
{
    struct task *t;
    while ((t = line_take(l))) {
        t->job.drop(t->job.arg);
        free(t);
    }
}

void helpers_finish(struct helpers *h)
{
    struct timespec end;
    if (!h)
        return;
    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += FINISH_S;
    pthread_mutex_lock(&h->lock);
    drop_all(&h->waiting);
    while (h->threads > 0 && pthread_cond_timedwait(&h->ended, &h->lock, &end) == 0)
        ;
    pthread_mutex_unlock(&h->lock);
    helpers_free(h);
}

void helpers_free(struct helpers *h)
{
    if (!h)
        return;
    if (h->ev)
        event_free(h->ev);
    pthread_mutex_lock(&h->lock);
    h->closed = true;
    if (h->fd >= 0) /* here, not by the last thread: the loop may still have it in its changelist */
        close(h->fd);
    h->fd = -1;
    drop_all(&h->waiting);
    drop_all(&h->finished);
    bool last = h->threads == 0;
    pthread_mutex_unlock(&h->lock);
    if (last)
        destroy(h); /* otherwise the last thread does it */
}

static void *helper_main(void *arg)
{
    struct helpers *h = arg;
    uint64_t one = 1;
    struct task *t;
    pthread_mutex_lock(&h->lock);
    while ((t = line_take(&h->waiting))) {
        pthread_mutex_unlock(&h->lock);
        t->job.work(t->job.arg);
        pthread_mutex_lock(&h->lock);
        if (h->closed) {
            t->job.drop(t->job.arg);
            free(t);
            continue;
        }
        line_add(&h->finished, t);
        ssize_t ignored = write(h->fd, &one, sizeof one); /* full: a wake is pending */
        (void)ignored;
    }
    h->threads--;
    pthread_cond_signal(&h->ended);
    bool last = h->closed && h->threads == 0;
    pthread_mutex_unlock(&h->lock);
    if (last)
        destroy(h);
    return NULL;
}

/* Signals belong to the main thread: helpers start with all of them blocked. */
static bool start_thread(struct helpers *h)
{
    pthread_attr_t attr;
    pthread_t thread;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, HELPER_STACK);
    bool started = pthread_create(&thread, &attr, helper_main, h) == 0;
    pthread_attr_destroy(&attr);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return started;
}

void helpers_widen(struct helpers *h, unsigned threads)
{
    pthread_mutex_lock(&h->lock);
    if (h->threads_max < threads)
        h->threads_max = threads;
    pthread_mutex_unlock(&h->lock);
}

void helpers_run(struct helpers *h, const struct helpers_job *job)
{
    struct task *t = xcalloc(1, sizeof *t);
    t->job = *job;
    pthread_mutex_lock(&h->lock);
    assert(!h->closed);
    line_add(&h->waiting, t);
    if (h->threads < h->threads_max) {
        h->threads++;
        if (!start_thread(h))
            h->threads--;
    }
    bool alone = h->threads == 0; /* no thread to be had: better late than never */
    if (alone)
        h->threads++;
    pthread_mutex_unlock(&h->lock);
    if (alone)
        helper_main(h);
}
