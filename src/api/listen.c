/* /listen: a request becomes a reader of the hub, and once LISTEN is committed its socket becomes
 * an event stream. Until then the request waits here; after WAIT_US its stream begins with comments
 * and a gap instead, so that the head does not keep the client waiting. */
#include "api/listen.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "api/channel_access.h"
#include "api/routes.h"
#include "listen/hubs.h"
#include "listen/request.h"
#include "listen/streams.h"
#include "util/xalloc.h"

#define WAIT_US 900000u /* "within a second" */
#define BUSY_RETRY_S 2
#define GRANT_SCRATCH (4 * 1024 * 1024) /* for the claims of one token */

struct opening {
    struct worker *worker;
    struct http_req *req;
    struct hub_sub *sub;
    struct loop_timer timer;
    uint64_t expires;
    struct str token;
    unsigned reviews;
};

/* What a stream is judged by again after a reload. One piece of memory. */
struct grant {
    struct str database; /* empty: the configured one */
    struct str token;    /* p == NULL: none */
    char bytes[];
};

static struct grant *grant_new(struct str database, struct str token)
{
    struct grant *g = xmalloc(sizeof *g + database.n + token.n);
    memcpy(g->bytes, database.n ? database.p : "", database.n);
    memcpy(g->bytes + database.n, token.n ? token.p : "", token.n);
    g->database = (struct str){g->bytes, database.n};
    g->token = (struct str){token.p ? g->bytes + database.n : NULL, token.n};
    return g;
}

static void close_opening(struct opening *o)
{
    loop_timer_stop(&o->timer);
    hub_unsubscribe(o->sub);
    o->sub = NULL;
}

static void on_gone(void *arg)
{
    close_opening(arg);
}

static void refuse(struct opening *o, const struct err *err)
{
    http_on_gone(o->req, NULL, NULL);
    close_opening(o);
    channel_fail(o->req, err);
}

static void add_date(struct buf *head)
{
    char text[40];
    struct tm tm;
    time_t now = time(NULL);
    gmtime_r(&now, &tm);
    buf_add(head, text, strftime(text, sizeof text, "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &tm));
}

static void write_head(struct http_req *req, struct buf *head)
{
    BUF_LIT(head, "HTTP/1.1 200 OK\r\n"
                  "Content-Type: text/event-stream; charset=utf-8\r\n"
                  "Cache-Control: no-store, no-transform\r\n"
                  "X-Accel-Buffering: no\r\n");
    add_date(head);
    http_takeover_headers(req, head);
    if (!req->http10)
        BUF_LIT(head, "Transfer-Encoding: chunked\r\n");
    BUF_LIT(head, "Connection: close\r\n\r\n");
}

static void begin(struct opening *o)
{
    struct http_req *req = o->req;
    struct buf head;
    struct err err;
    http_on_gone(req, NULL, NULL);
    loop_timer_stop(&o->timer);
    buf_init(&head, BUF_NO_CEILING);
    write_head(req, &head);
    struct stream_spec spec = {.sub = o->sub,
                               .head = buf_str(&head),
                               .chunked = !req->http10,
                               .expires = o->expires,
                               .reviews = o->reviews};
    struct streams *streams = o->worker->streams;
    struct grant *grant = grant_new(req->database, o->token);
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
static void on_wake(void *arg)
{
    struct opening *o = arg;
    struct err err;
    switch (hub_sub_state(o->sub)) {
    case HUB_SUB_WAITING: break;
    case HUB_SUB_HELD:
    case HUB_SUB_LIVE: begin(o); break;
    case HUB_SUB_REFUSED:
        hub_sub_error(o->sub, &err);
        refuse(o, &err);
        break;
    }
}

static void on_waited(void *arg)
{
    struct opening *o = arg;
    hub_sub_hold(o->sub);
    on_wake(o);
}

static void open_stream(struct worker *w, struct http_req *req, struct hub_sub *sub,
                        const struct auth_identity *who, struct str token)
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
                          .expires = who->exp,
                          .token = token,
                          .reviews = streams_reviews(w->streams)};
    loop_timer_init(&o->timer, w->loop, on_waited, o);
    if (hub_sub_state(sub) != HUB_SUB_WAITING) {
        on_wake(o);
        return;
    }
    http_on_gone(req, on_gone, o);
    loop_timer_set(&o->timer, WAIT_US);
    hub_sub_owner(sub, on_wake, o);
}

/* EventSource gives up for ever on a 503, so these two are the only ones. */
static bool has_room(const struct worker *w, struct err *err)
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
static bool still_valid(const struct auth_identity *who, struct err *err)
{
    if (who->exp == 0 || (uint64_t)time(NULL) < who->exp)
        return true;
    return err_set(err, 401, "PGRST303", "JWT expired");
}

static bool check(struct worker *w, struct http_req *req, const struct conf_database *d,
                  struct listen_request *want, struct auth_identity *who, struct str *token,
                  struct err *err)
{
    if (!listen_request_parse(req->arena, w->conf, req->rest, req->query,
                              http_header(req, "Last-Event-ID"), want, err))
        return false;
    *token = want->token;
    if (!channel_identity(w, req, CHANNEL_LISTEN, token, who, err) || !still_valid(who, err))
        return false;
    for (size_t i = 0; i < want->n; i++)
        if (!channel_allowed(w, d, CHANNEL_LISTEN, who, want->channels[i], err))
            return false;
    return has_room(w, err);
}

static void answer_head(struct http_req *req)
{
    http_set_header(req, STR("Cache-Control"), STR("no-store, no-transform"));
    http_set_header(req, STR("X-Accel-Buffering"), STR("no"));
    http_reply(req, 200, STR("text/event-stream; charset=utf-8"), NULL);
}

/* The rules of `check` that a reload may change. */
static bool listen_still_allowed(void *arg, const void *grant, const struct hub_sub *sub)
{
    struct worker *w = arg;
    const struct grant *g = grant;
    const struct conf_database *d = conf_database(w->conf, g->database);
    struct auth_identity who = {.anonymous = !g->token.p};
    struct arena scratch;
    struct err err;
    arena_init(&scratch, GRANT_SCRATCH);
    bool allowed = d && channel_still_open(w, CHANNEL_LISTEN, g->token, &scratch, &who, &err);
    for (size_t i = 0; allowed && i < hub_sub_channels(sub); i++)
        allowed = channel_allowed(w, d, CHANNEL_LISTEN, &who, hub_sub_channel(sub, i), &err);
    arena_fini(&scratch);
    return allowed;
}

void listen_review(struct worker *w)
{
    streams_review(w->streams, listen_still_allowed, w);
}

static void run_listen(struct worker *w, struct http_req *req)
{
    struct listen_request want;
    struct auth_identity who;
    struct str token;
    struct err err;
    err_clear(&err);
    const struct conf_database *d = channel_database(w, req, CHANNEL_LISTEN, &err);
    if (!d || !check(w, req, d, &want, &who, &token, &err)) {
        channel_fail(req, &err);
        return;
    }
    if (req->method == HTTP_HEAD) {
        answer_head(req);
        return;
    }
    struct hub *hub = hubs_get(w->app->hubs, d, &err);
    struct hub_want sub_want = {.channels = want.channels,
                                .n = want.n,
                                .max_buffer = want.max_buffer,
                                .raw = want.raw,
                                .last_id = want.last_id};
    struct hub_sub *sub = hub ? hub_subscribe(hub_port(hub, w->number), &sub_want, &err) : NULL;
    if (sub)
        open_stream(w, req, sub, &who, token);
    else
        channel_fail(req, &err);
}

static enum conf_access listen_mode(const struct conf *conf)
{
    return conf->listen_access;
}

#define LISTEN_ROUTE                                                                               \
    .name = "listen", .methods = "GET", .flags = ROUTE_DATABASE | ROUTE_NO_BODY,                   \
    .run = run_listen, .fail = channel_fail, .access = listen_mode,                                \
    .cors_headers = "Last-Event-ID, Cache-Control"

const struct route listen_route = {.path = "/listen", LISTEN_ROUTE};
const struct route listen_channel_route = {.path = "/listen/", LISTEN_ROUTE};
