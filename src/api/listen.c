/* /listen: a request becomes a reader of the hub; event_stream.c makes a stream of both. */
#include "api/listen.h"

#include "api/channel_access.h"
#include "api/event_stream.h"
#include "api/routes.h"
#include "listen/hubs.h"
#include "listen/request.h"
#include "listen/streams.h"

#define GRANT_SCRATCH (4 * 1024 * 1024) /* for the claims of one token */

static bool check(struct worker *w, struct http_req *req, const struct conf_database *d,
                  struct listen_request *want, struct auth_identity *who, struct str *token,
                  struct err *err)
{
    if (!listen_request_parse(req->arena, w->conf, req->rest, req->query,
                              http_header(req, "Last-Event-ID"), want, err))
        return false;
    *token = want->token;
    if (!channel_identity(w, req, CHANNEL_LISTEN, token, who, err) ||
        !event_stream_current(who, err))
        return false;
    for (size_t i = 0; i < want->n; i++)
        if (!channel_allowed(w, d, CHANNEL_LISTEN, who, want->channels[i], err))
            return false;
    return event_stream_room(w, err);
}

/* The rules of `check` that a reload may change. */
static bool listen_still_allowed(void *arg, const void *grant, const struct hub_sub *sub)
{
    struct worker *w = arg;
    const struct event_grant *g = grant;
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
        event_stream_head(req);
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
        event_stream_open(w, req, sub, &(struct event_right){CHANNEL_LISTEN, token, who.exp});
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
