#include "api/flow.h"

static enum http_pull pull(void *arg, struct buf *out, size_t want)
{
    struct flow *f = arg;
    if (f->broken || buf_broken(&f->out->buf))
        return HTTP_BREAK;
    drain_give(f->out, out, want);
    if (f->paused && f->job && drain_waiting(f->out) <= f->hold / 2) {
        f->paused = false;
        db_job_resume(f->job);
    }
    if (drain_waiting(f->out) > 0 || out->n > 0)
        return HTTP_MORE;
    return f->ended ? HTTP_END : HTTP_WAIT;
}

static void on_closed(void *arg)
{
    struct flow *f = arg;
    f->closed(f->arg);
}

bool flow_is_over(const struct flow *f)
{
    return drain_waiting(f->out) > f->hold;
}

void flow_filled(struct flow *f, struct str content_type)
{
    static const struct http_source source = {.pull = pull, .closed = on_closed};
    bool over = flow_is_over(f);
    if (!f->streaming && !over)
        return;
    if (over && !f->paused) {
        f->paused = true;
        db_job_pause(f->job);
    }
    if (f->streaming) {
        http_stream_wake(f->req);
        return;
    }
    f->streaming = true;
    http_stream(f->req, f->status ? f->status : 200, content_type, &source, f);
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
    if (job)
        db_cancel(job);
}
