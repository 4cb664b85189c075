#include "api/event_stream.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "listen/streams.h"
#include "util/xalloc.h"

#define WAIT_US 900000u /* "within a second" */
#define BUSY_RETRY_S 2

struct opening {
    struct worker *worker;
    struct http_req *req;
    struct hub_sub *sub;
    struct loop_timer timer;
    struct event_right right;
    unsigned reviews;
};

static struct event_grant *event_grant_new(enum channel_use use, struct str database,
                                           struct str token)
{
    struct event_grant *g = xmalloc(sizeof *g + database.n + token.n);
    memcpy(g->bytes, database.n ? database.p : "", database.n);
    memcpy(g->bytes + database.n, token.n ? token.p : "", token.n);
    g->use = use;
    g->database = (struct str){g->bytes, database.n};
    g->token = (struct str){token.p ? g->bytes + database.n : NULL, token.n};
    return g;
}

static void event_close_opening(struct opening *o)
{
    loop_timer_stop(&o->timer);
    hub_unsubscribe(o->sub);
    o->sub = NULL;
}

static void event_on_gone(void *arg)
{
    event_close_opening(arg);
}

static void event_refuse(struct opening *o, const struct err *err)
{
    http_on_gone(o->req, NULL, NULL);
    event_close_opening(o);
    channel_fail(o->req, err);
}

static void event_add_date(struct buf *head)
{
    char text[40];
    struct tm tm;
    time_t now = time(NULL);
    gmtime_r(&now, &tm);
    buf_add(head, text, strftime(text, sizeof text, "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &tm));
}

static void event_write_head(struct http_req *req, struct buf *head)
{
    BUF_LIT(head, "HTTP/1.1 200 OK\r\n"
                  "Content-Type: text/event-stream; charset=utf-8\r\n"
                  "Cache-Control: no-store, no-transform\r\n"
                  "X-Accel-Buffering: no\r\n");
    event_add_date(head);
    http_takeover_headers(req, head);
    if (!req->http10)
        BUF_LIT(head, "Transfer-Encoding: chunked\r\n");
    BUF_LIT(head, "Connection: close\r\n\r\n");
}

static void event_begin(struct opening *o)
{
    struct http_req *req = o->req;
    struct buf head;
    struct err err;
    http_on_gone(req, NULL, NULL);
    loop_timer_stop(&o->timer);
    buf_init(&head, BUF_NO_CEILING);
    event_write_head(req, &head);
    struct stream_spec spec = {.sub = o->sub,
                               .head = buf_str(&head),
                               .chunked = !req->http10,
                               .expires = o->right.expires,
                               .reviews = o->reviews};
    struct streams *streams = o->worker->streams;
    struct event_grant *grant = event_grant_new(o->right.use, req->database, o->right.token);
    spec.fd = http_takeover(req, 200); /* the request is over, and o with it */
    if (spec.fd >= 0) {
        spec.grant = grant;
        streams_add(streams, &spec);
    } else {
        free(grant);
        hub_unsubscribe(spec.sub);
        err_set(&err, 503, "PGH503", "no descriptor is left for an event stream");
        err.retry_after = BUSY_RETRY_S;
        http_fail_json(req, &err);
    }
    buf_fini(&head);
}

/* The reader's state may have changed. */
static void event_on_wake(void *arg)
{
    struct opening *o = arg;
    struct err err;
    switch (hub_sub_state(o->sub)) {
    case HUB_SUB_WAITING: break;
    case HUB_SUB_HELD:
    case HUB_SUB_LIVE: event_begin(o); break;
    case HUB_SUB_REFUSED:
        hub_sub_error(o->sub, &err);
        event_refuse(o, &err);
        break;
    }
}

static void event_on_waited(void *arg)
{
    struct opening *o = arg;
    hub_sub_hold(o->sub);
    event_on_wake(o);
}

void event_stream_open(struct worker *w, struct http_req *req, struct hub_sub *sub,
                       const struct event_right *right)
{
    struct opening *o = ARENA_NEW(req->arena, struct opening);
    if (!o) {
        struct err err;
        hub_unsubscribe(sub);
        err_set(&err, 400, "PGH400", "the request is too long");
        http_fail_json(req, &err);
        return;
    }
    *o = (struct opening){.worker = w,
                          .req = req,
                          .sub = sub,
                          .right = *right,
                          .reviews = streams_reviews(w->streams)};
    loop_timer_init(&o->timer, w->loop, event_on_waited, o);
    if (hub_sub_state(sub) != HUB_SUB_WAITING) {
        event_on_wake(o);
        return;
    }
    http_on_gone(req, event_on_gone, o);
    loop_timer_set(&o->timer, WAIT_US);
    hub_sub_owner(sub, event_on_wake, o);
}

/* EventSource gives up for ever on a 503, so these two are the only ones. */
bool event_stream_room(const struct worker *w, struct err *err)
{
    if (atomic_load(&w->app->phase) >= APP_DRAINING)
        err_set(err, 503, "PGH503", "the server is shutting down");
    else if (w->conf->server_streams_max > 0 &&
             streams_total(w->streams) >= w->conf->server_streams_max)
        err_set(err, 503, "PGH503", "the limit of %u event streams is reached",
                w->conf->server_streams_max);
    else
        return true;
    err->retry_after = BUSY_RETRY_S;
    return false;
}

/* A stream ends with its token to the second. The skew that a single request is allowed would make
 * an EventSource come back with the same token every other second until it is over. */
bool event_stream_current(const struct auth_identity *who, struct err *err)
{
    if (who->exp == 0 || (uint64_t)time(NULL) < who->exp)
        return true;
    return err_set(err, 401, "PGRST303", "JWT expired");
}

void event_stream_head(struct http_req *req)
{
    http_set_header(req, STR("Cache-Control"), STR("no-store, no-transform"));
    http_set_header(req, STR("X-Accel-Buffering"), STR("no"));
    http_reply(req, 200, STR("text/event-stream; charset=utf-8"), NULL);
}
