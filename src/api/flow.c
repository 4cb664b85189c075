#include "api/flow.h"

#include "util/log.h"

#define PATIENCE_US 1000000 /* for a client to make room */
#define STALLED_MAX 5       /* patiences without taking anything, while others wait */
#define SHARES 8            /* a stream's part of response-memory-max */
#define AHEAD_STEP 65536    /* what is read ahead counts in steps of this */

/* ---- what is read ahead ---- */

static void ahead_set(struct flow *f, size_t bytes)
{
    atomic_fetch_add(&f->worker->app->ahead_bytes, bytes - f->ahead);
    f->ahead = bytes;
}

/* Counts what is in the drain beyond what is held anyway. False: that is as much as it may be. */
static bool ahead_count(struct flow *f)
{
    size_t limit = f->worker->conf->response_memory_max;
    size_t over = f->out->buf.n > f->hold ? f->out->buf.n - f->hold : 0;
    size_t bytes = (over + AHEAD_STEP - 1) / AHEAD_STEP * AHEAD_STEP;
    if (bytes != f->ahead)
        ahead_set(f, bytes);
    return bytes <= limit / SHARES && atomic_load(&f->worker->app->ahead_bytes) <= limit;
}

/* ---- the job's pauses ---- */

static void pause_job(struct flow *f)
{
    f->paused = true;
    f->stalled = 0;
    db_job_pause(f->job);
    loop_timer_set(&f->timer, PATIENCE_US);
}

static void resume_job(struct flow *f)
{
    f->paused = false;
    loop_timer_stop(&f->timer);
    db_job_resume(f->job);
}

/* Its connection goes to those who wait. What is left of the answer goes to nobody. */
static void break_off(struct flow *f)
{
    log_warn("id=%.*s: its client takes nothing and others wait for its connection: broken off",
             STR_ARG(f->req->id));
    flow_drop(f);
    buf_fini(&f->out->buf);
    f->out->given = 0;
    flow_end(f, false);
}

static void on_patience(void *arg)
{
    struct flow *f = arg;
    if (!f->paused || !f->job)
        return;
    f->slow = true;
    if (ahead_count(f))
        resume_job(f);
    else if (++f->stalled >= STALLED_MAX && db_job_awaited(f->job))
        break_off(f);
    else
        loop_timer_set(&f->timer, PATIENCE_US);
}

/* ---- the stream ---- */

static enum http_pull pull(void *arg, struct buf *out, size_t want)
{
    struct flow *f = arg;
    if (f->broken || buf_broken(&f->out->buf))
        return HTTP_BREAK;
    f->stalled = 0;
    drain_give(f->out, out, want);
    if (f->ahead)
        (void)ahead_count(f);
    if (f->paused && f->job && drain_waiting(f->out) <= f->hold / 2)
        resume_job(f);
    if (drain_waiting(f->out) > 0 || out->n > 0)
        return HTTP_MORE;
    return f->ended ? HTTP_END : HTTP_WAIT;
}

static void on_closed(void *arg)
{
    struct flow *f = arg;
    f->closed(f->arg);
}

void flow_init(struct flow *f, struct worker *w, struct http_req *req, struct drain *out)
{
    *f = (struct flow){.worker = w, .req = req, .out = out, .hold = w->conf->response_buffer};
    loop_timer_init(&f->timer, w->loop, on_patience, f);
}

bool flow_is_over(struct flow *f)
{
    bool keep = f->keep && !f->streaming;
    return drain_waiting(f->out) > f->hold && !(keep && ahead_count(f));
}

void flow_begin(struct flow *f, struct str content_type)
{
    static const struct http_source source = {.pull = pull, .closed = on_closed};
    f->streaming = true;
    http_stream(f->req, f->status ? f->status : 200, content_type, &source, f);
}

void flow_filled(struct flow *f, struct str content_type)
{
    bool over = flow_is_over(f);
    if (!f->streaming && !over)
        return;
    if (over && !f->paused && !(f->slow && ahead_count(f)))
        pause_job(f);
    if (f->streaming)
        http_stream_wake(f->req);
    else
        flow_begin(f, content_type);
}

void flow_end(struct flow *f, bool whole)
{
    f->ended = true;
    f->broken = f->broken || !whole;
    http_stream_wake(f->req);
}

void flow_drop(struct flow *f)
{
    struct db_job *job = f->job;
    f->job = NULL;
    loop_timer_stop(&f->timer);
    if (f->ahead)
        ahead_set(f, 0);
    if (job)
        db_cancel(job);
}
