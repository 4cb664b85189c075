#include "db/cancel.h"

#include <stdlib.h>

#include "util/xalloc.h"

struct cancel {
    void (*on_done)(void *);
    void *arg;
    struct loop *loop;
#ifdef LIBPQ_HAS_ASYNC_CANCEL
    PGcancelConn *pg;
    struct event *ev;
    struct loop_task task;
#else
    PGcancel *pg;
#endif
};

#ifdef LIBPQ_HAS_ASYNC_CANCEL

static void destroy(void *p)
{
    struct cancel *c = p;
    PQcancelFinish(c->pg);
    free(c);
}

static void release(struct cancel *c)
{
    if (c->ev)
        event_free(c->ev);
    c->ev = NULL;
    loop_undefer(&c->task);
    loop_free_later(c->loop, destroy, c);
}

static void on_end(void *p)
{
    struct cancel *c = p;
    void (*on_done)(void *) = c->on_done;
    void *arg = c->arg;
    release(c);
    on_done(arg);
}

static void on_pollable(evutil_socket_t fd, short what, void *p);

static void advance(struct cancel *c, PostgresPollingStatusType next)
{
    short readiness = next == PGRES_POLLING_READING ? EV_READ : EV_WRITE;
    if (next == PGRES_POLLING_READING || next == PGRES_POLLING_WRITING) {
        c->ev = event_new(loop_base(c->loop), PQcancelSocket(c->pg), readiness, on_pollable, c);
        if (c->ev && event_add(c->ev, NULL) == 0)
            return;
    }
    loop_defer(c->loop, LOOP_COMPLETE, &c->task); /* sent, or it cannot be */
}

static void on_pollable(evutil_socket_t fd, short what, void *p)
{
    struct cancel *c = p;
    (void)fd, (void)what;
    loop_turn(c->loop);
    event_free(c->ev);
    c->ev = NULL;
    advance(c, PQcancelPoll(c->pg));
}

struct cancel *cancel_start(struct loop *loop, struct helpers *helpers, PGconn *pg,
                            void (*on_done)(void *), void *arg)
{
    (void)helpers;
    PGcancelConn *cancel = PQcancelCreate(pg);
    if (!cancel)
        return NULL;
    struct cancel *c = xcalloc(1, sizeof *c);
    *c = (struct cancel){.on_done = on_done, .arg = arg, .loop = loop, .pg = cancel};
    c->task = LOOP_TASK(on_end, c);
    advance(c, PQcancelStart(cancel) ? PGRES_POLLING_WRITING : PGRES_POLLING_FAILED);
    return c;
}

void cancel_forget(struct cancel *c)
{
    if (c)
        release(c);
}

#else

static void work(void *p)
{
    struct cancel *c = p;
    char why[256];
    /* A failure needs no words: the query runs on, and whoever waits for its end has a limit. */
    (void)PQcancel(c->pg, why, sizeof why);
}

static void drop(void *p)
{
    struct cancel *c = p;
    PQfreeCancel(c->pg);
    free(c);
}

static void on_worked(void *p)
{
    struct cancel *c = p;
    void (*on_done)(void *) = c->on_done;
    void *arg = c->arg;
    drop(c);
    if (on_done)
        on_done(arg);
}

struct cancel *cancel_start(struct loop *loop, struct helpers *helpers, PGconn *pg,
                            void (*on_done)(void *), void *arg)
{
    PGcancel *cancel = PQgetCancel(pg);
    if (!cancel)
        return NULL;
    struct cancel *c = xcalloc(1, sizeof *c);
    *c = (struct cancel){.on_done = on_done, .arg = arg, .loop = loop, .pg = cancel};
    helpers_run(helpers,
                &(struct helpers_job){.work = work, .done = on_worked, .drop = drop, .arg = c});
    return c;
}

/* The thread still has it: it is freed when it comes back. */
void cancel_forget(struct cancel *c)
{
    if (c)
        c->on_done = NULL;
}

#endif
