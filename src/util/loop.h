/* loop: one event loop per worker thread: libevent's base plus the work done after each turn.
 *
 * A turn is event_base_loop(EVLOOP_ONCE), then the phases of enum loop_phase in order, repeated
 * until none is left, and at last the frees. This is where batching comes from: however many
 * requests of a turn touched a connection, it is flushed once; however many were answered, the HTTP
 * library runs once.
 *
 * Everything here belongs to the thread that runs the loop, but loop_wake, which any thread may
 * call.
 *
 *     struct loop_task done = LOOP_TASK(on_done, job);
 *     loop_defer(loop, LOOP_COMPLETE, &done);   -- runs this turn; a task already queued stays once
 */
#ifndef PGH_UTIL_LOOP_H
#define PGH_UTIL_LOOP_H

#include <event2/event.h>
#include <event2/event_struct.h>

#include "util/err.h"

enum loop_phase {
    LOOP_COMPLETE, /* completions: tell callers that their work ended */
    LOOP_FLUSH,    /* one libpq flush per touched connection */
    LOOP_KICK,     /* one run of the HTTP library if anything was resumed */
    LOOP_FREE, /* frees of what died this turn; nothing may be queued to other phases from here */
    LOOP_PHASES
};

struct loop_task {
    void (*run)(void *arg);
    void *arg;
    struct loop_task *next, **prev; /* prev and queue are set while queued */
    struct loop_queue *queue;
};

#define LOOP_TASK(fn, argument) ((struct loop_task){.run = (fn), .arg = (argument)})

struct loop;

MUSTCHECK struct loop *loop_new(struct err *err);
void loop_free(struct loop *); /* nothing may be queued or registered any more */
struct event_base *loop_base(struct loop *);

/* Queues an embedded task; queued twice runs once. The task must stay where it is until it ran. */
void loop_defer(struct loop *, enum loop_phase, struct loop_task *);
void loop_undefer(struct loop_task *); /* takes it out again if it is queued */

/* Frees p with free_fn at the end of this turn, when no callback of the turn can point at it any
 * more. */
void loop_free_later(struct loop *, void (*free_fn)(void *), void *p);

uint64_t
loop_now_us(const struct loop *); /* monotonic microseconds; read once a turn, after the wait */
uint64_t loop_clock_us(void);     /* the same clock, read afresh */
/* The longest turn of the last 30 to 60 seconds (not the one under way): so long something that was
 * ready waited for others. */
uint64_t loop_lag_us(const struct loop *);
/* First thing in a callback of libevent's: reads the clock of the turn if it is the turn's first.
 * Whoever registers an event with loop_base does this; without it the turn seems to begin only
 * where the time is asked for. Timers and posts do it by themselves. */
static inline void loop_turn(const struct loop *l)
{
    (void)loop_now_us(l);
}

void loop_run(struct loop *); /* until loop_stop */
void loop_stop(struct loop *);
void loop_wake(struct loop *); /* any thread, any signal handler: makes the loop turn once */

/* Any thread: runs fn(arg) on the loop's own thread in its next turn, in the order posted. What is
 * still posted when the loop is freed is dropped, so arg must not be the only way to its memory
 * then. */
void loop_post(struct loop *, void (*fn)(void *arg), void *arg);

/* A timer: embedded, re-armed by loop_timer_set, silenced by loop_timer_stop. fn runs inside the
 * turn. */
struct loop_timer {
    struct event ev;
    struct loop *loop;
    void (*fn)(void *arg);
    void *arg;
};

void loop_timer_init(struct loop_timer *, struct loop *, void (*fn)(void *), void *arg);
void loop_timer_set(struct loop_timer *, uint64_t after_us);
void loop_timer_stop(struct loop_timer *); /* also before freeing what it is embedded in */
bool loop_timer_pending(const struct loop_timer *);

#endif
