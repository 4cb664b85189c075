/* The life of a request, driven by libmicrohttpd's calls of request_on_access:
 *
 *     first call       head read and judged. A route with a body sink is run now.
 *     calls with data  the body is collected (bounded), handed to the sink, or thrown away.
 *     final call       the body is whole: run() of the others. Answered inside run(): queued at
 *                      once. Not yet: the connection is suspended, out of everybody's way.
 *     after a resume   the answer is queued.
 *
 * An answer to the first call would make libmicrohttpd close the connection, so answers wait for
 * the final call (which follows without a system call when there is no body). The exception is a
 * body that is not worth reading: then the answer goes out past libmicrohttpd (linger.c). */
#include <assert.h>
#include <stdlib.h>

#include "http/mhd.h"
#include "http/priv.h"
#include "util/log.h"
#include "util/xalloc.h"

#define DISCARD_MAX 65536  /* a refused body up to this is read and dropped, for keep-alive */
#define RESERVE_MAX 262144 /* of an announced Content-Length, taken in advance */
#define KEEP_BODY 65536    /* memory a pooled request keeps */
#define CHARGE_STEP 65536  /* bodies count in steps of this; up to one step they do not count */
#define FREE_REQUESTS 128
#define ARENA_EXTRA (16 * 1024 * 1024)

/* --- made and freed --- */

struct request *request_new(struct http_server *s, struct peer *p, struct MHD_Connection *mc,
                            const char *target)
{
    if (p->req)
        request_lost(p->req);
    struct request *q = s->free_requests;
    if (q) {
        s->free_requests = q->next_free;
        s->n_free_requests--;
    } else {
        q = xcalloc(1, sizeof *q);
        arena_init(&q->arena, 0);
        buf_init(&q->body, 0);
    }
    struct arena arena = q->arena;
    struct headers in = {q->in.v, 0, q->in.cap}, out = {q->out.v, 0, q->out.cap};
    struct buf body = q->body;
    *q = (struct request){.server = s,
                          .peer = p,
                          .mc = mc,
                          .arena = arena,
                          .in = in,
                          .out = out,
                          .body = body,
                          .route_index = ROUTER_MAX};
    size_t max = s->conf->request_max_bytes;
    q->arena.ceiling = max < SIZE_MAX / 8 ? max * 4 + ARENA_EXTRA : SIZE_MAX;
    q->body.ceiling = max < SIZE_MAX ? max + 1 : max;
    q->pub.worker = s->worker;
    q->pub.arena = &q->arena;
    q->pub.target = arena_str(&q->arena, str_of(target));
    q->pub.address = (struct str){p->address, p->address_n};
    q->pub.body = STR("");
    p->req = q;
    if (p->phase != PEER_FRESH)
        peer_phase_set(p, PEER_HEAD); /* a fresh one has its time from the accept on */
    else
        p->phase = PEER_HEAD;
    return q;
}

static void request_destroy(struct request *q)
{
    arena_fini(&q->arena);
    buf_fini(&q->body);
    free(q->in.v);
    free(q->out.v);
    free(q);
}

/* What the body counts in request-memory-max. */
static void body_charge(struct request *q, size_t bytes)
{
    if (q->server)
        atomic_fetch_add(q->server->body_bytes, bytes - q->charged);
    q->charged = bytes;
}

static void request_release(struct request *q)
{
    struct http_server *s = q->server;
    if (q->charged)
        body_charge(q, 0);
    inflater_free(q->inflater);
    buf_fini(&q->held);
    if (q->response)
        MHD_destroy_response(q->response);
    if (!s || s->n_free_requests >= FREE_REQUESTS) {
        request_destroy(q);
        return;
    }
    arena_reset(&q->arena);
    if (q->body.cap > KEEP_BODY)
        buf_fini(&q->body);
    buf_clear(&q->body);
    q->next_free = s->free_requests;
    s->free_requests = q;
    s->n_free_requests++;
}

/* Its connection is gone, its handler does not know: kept until the handler answers. */
static void request_orphan(struct request *q)
{
    /* What its handler may still look at was in the connection's memory. */
    q->pub.address = arena_str(&q->arena, q->pub.address);
    q->pub.id = arena_str(&q->arena, q->pub.id);
    q->pub.traceparent = arena_str(&q->arena, q->pub.traceparent);
    q->pub.method_name = arena_str(&q->arena, q->pub.method_name);
    q->in.n = 0;
    q->peer = NULL;
    q->mc = NULL;
    q->next_free = q->server->orphans;
    q->server->orphans = q;
}

bool request_orphan_done(struct request *q)
{
    if (q->peer)
        return false;
    if (q->server) {
        struct request **at = &q->server->orphans;
        while (*at != q)
            at = &(*at)->next_free;
        *at = q->next_free;
    }
    request_release(q);
    return true;
}

void request_free_pool(struct http_server *s)
{
    for (struct request *q = s->orphans; q; q = q->next_free)
        q->server = NULL;
    for (struct request *q = s->free_requests, *next; q; q = next) {
        next = q->next_free;
        request_destroy(q);
    }
}

/* --- suspended and resumed --- */

static void request_suspend(struct request *q)
{
    /* Chunks that are in its buffer already are handed over although it is suspended; a second
     * MHD_suspend_connection would spoil its list. */
    if (q->suspended)
        return;
    q->suspended = true;
    if (q->first_call == FIRST_RUNNING)
        q->first_call = FIRST_SUSPENDED;
    peer_phase_set(q->peer, PEER_BUSY);
    MHD_suspend_connection(q->mc);
    if (q->peer->hup)
        request_gone(q);
    else
        peer_watch_gone(q->peer);
}

void request_resume(struct request *q)
{
    if (!q->suspended)
        return;
    q->suspended = false;
    peer_grace_end(q->peer);
    if (!q->body_done)
        peer_phase_set(q->peer, PEER_BODY);
    MHD_resume_connection(q->mc);
    server_kick(q->server);
}

static void tell_gone(struct request *q)
{
    void (*fn)(void *) = q->on_gone;
    q->on_gone = NULL;
    if (fn)
        fn(q->gone_arg);
}

void request_gone(struct request *q)
{
    if (q->stream) {
        stats_add(&q->server->stats->gone, 1);
        stream_gone(q);
        return;
    }
    if (q->state != REQ_RUNNING || !q->on_gone || q->exit == EXIT_ABORT)
        return; /* the answer is written into the void when it comes */
    stats_add(&q->server->stats->gone, 1);
    q->status = 499;
    q->exit = EXIT_ABORT;
    tell_gone(q);
    q->run_called = false; /* it knows now */
    request_resume(q);
}

void request_end(struct request *q)
{
    if (q->stream) {
        stream_gone(q);
        return;
    }
    q->exit = EXIT_ABORT;
    if (q->on_gone) {
        tell_gone(q);
        q->run_called = false;
    }
    request_resume(q);
}

/* --- answers --- */

void request_answered(struct request *q)
{
    q->state = REQ_ANSWERED;
    q->on_gone = NULL;
    q->sink = NULL;
    if (!q->in_handler)
        request_resume(q);
}

void request_fail(struct request *q, const struct err *err)
{
    if (q->pub.route && q->pub.route->fail)
        q->pub.route->fail(&q->pub, err);
    else
        http_fail_json(&q->pub, err);
}

static void keep_failure(struct request *q, const struct err *err)
{
    q->failed = ARENA_NEW(&q->arena, struct err);
    if (q->failed)
        *q->failed = *err;
    else
        q->exit = EXIT_ABORT;
}

/* --- body --- */

static bool body_limit(struct request *q, struct err *err)
{
    err_set(err, 413, "PGH413", "the body is larger than %zu bytes",
            q->server->conf->request_max_bytes);
    err->hint = "request-max-bytes";
    return false;
}

static bool body_memory(struct request *q, struct err *err)
{
    size_t steps = q->body.n / CHARGE_STEP, limit = q->server->conf->request_memory_max;
    if (steps * CHARGE_STEP <= q->charged)
        return true;
    body_charge(q, steps * CHARGE_STEP);
    if (atomic_load(q->server->body_bytes) <= limit)
        return true;
    buf_fini(&q->body);
    body_charge(q, 0);
    err_set(err, 503, "PGH503", "the bodies of other requests take up the %zu bytes there are",
            limit);
    err->hint = "request-memory-max";
    err->retry_after = 1;
    return false;
}

static bool body_add(struct request *q, struct str piece, struct err *err)
{
    struct buf *b = &q->body;
    if (q->inflater)
        return inflater_feed(q->inflater, piece, b, err);
    if (piece.n > q->server->conf->request_max_bytes - b->n)
        return body_limit(q, err);
    if (b->n == 0 && q->content_length > piece.n)
        buf_reserve(b, q->content_length < RESERVE_MAX ? q->content_length + 1 : RESERVE_MAX);
    buf_adds(b, piece);
    return !buf_broken(b) || body_limit(q, err);
}

static bool body_collect(struct request *q, struct str piece, struct err *err)
{
    return body_add(q, piece, err) && body_memory(q, err);
}

static void sink_give(struct request *q, struct str piece, bool at_end)
{
    if (!q->sink || q->state != REQ_RUNNING)
        return;
    if (at_end)
        q->sink_state = SINK_ENDED;
    if (!q->sink->on_body(q->sink_arg, piece, at_end) && !at_end)
        q->sink_state = SINK_FULL;
}

/* Inflated bytes may be many for one piece: what the sink does not take waits in held. */
static bool sink_inflate(struct request *q, struct str piece, struct err *err)
{
    if (q->held.ceiling == 0)
        buf_init(&q->held, (size_t)64 * 1024 * 1024);
    if (!inflater_feed(q->inflater, piece, &q->held, err))
        return false;
    if (q->sink_state != SINK_FULL && q->held.n) {
        struct buf out = q->held;
        q->held = (struct buf){.ceiling = out.ceiling};
        sink_give(q, buf_str(&out), false);
        buf_fini(&out);
    }
    return true;
}

static bool body_piece(struct request *q, struct str piece, struct err *err)
{
    q->body_in += piece.n;
    if (q->discard)
        return true;
    if (!(q->pub.route->flags & ROUTE_BODY_STREAM))
        return body_collect(q, piece, err);
    if (q->inflater)
        return sink_inflate(q, piece, err);
    sink_give(q, piece, false);
    return true;
}

void http_body_sink(struct http_req *r, const struct http_body_sink *sink, void *arg)
{
    struct request *q = request_of(r);
    q->sink = sink;
    q->sink_arg = arg;
    if (!q->in_handler)
        request_resume(q);
}

void http_body_resume(struct http_req *r)
{
    struct request *q = request_of(r);
    if (q->sink_state == SINK_FULL)
        q->sink_state = SINK_READY;
    if (q->held.n && q->sink_state == SINK_READY) {
        struct buf out = q->held;
        q->held = (struct buf){.ceiling = out.ceiling};
        sink_give(q, buf_str(&out), false);
        buf_fini(&out);
    }
    if (q->sink_state == SINK_READY && !q->in_handler)
        request_resume(q);
}

void http_on_gone(struct http_req *r, void (*fn)(void *arg), void *arg)
{
    struct request *q = request_of(r);
    q->on_gone = fn;
    q->gone_arg = arg;
}

/* --- libmicrohttpd's calls --- */

static void request_run(struct request *q)
{
    q->state = REQ_RUNNING;
    q->run_called = true;
    stats_add(&q->server->stats->in_flight, 1);
    q->counted = true;
    q->pub.route->run(q->server->worker, &q->pub);
}

/* Is the rest of the body short enough to be read for the sake of the connection? */
bool request_body_short(const struct request *q)
{
    return q->body_done || (!q->expects_continue && !q->chunked && !q->no_discard &&
                            q->content_length - q->body_in <= DISCARD_MAX);
}

static void first_call(struct request *q, const char *method, const char *version)
{
    struct err err = {0};
    q->state = REQ_BODY;
    q->began_us = loop_now_us(q->server->loop);
    if (q->server->quiesced)
        q->close = true;
    bool ok = head_read(q, method, version, &err);
    q->no_discard = !ok;
    if (!ok)
        stats_add(&q->server->stats->bad_heads, 1);
    ok = ok && head_route(q, &err);
    if (!ok)
        keep_failure(q, &err);
    q->no_discard = q->no_discard || err.status == 413;
    peer_phase_set(q->peer, q->body_expected ? PEER_BODY : PEER_BUSY);
    if (!ok) {
        q->discard = true;
        if (q->no_discard || (q->body_expected && !request_body_short(q)))
            request_fail(q, &err); /* past libmicrohttpd, since the body is not done */
    } else if (q->pub.route->flags & ROUTE_BODY_STREAM && q->body_expected &&
               !head_is_options_here(q)) {
        q->pub.received_us = q->began_us;
        request_run(q);
    }
}

static void data_call(struct request *q, struct str piece)
{
    struct err err = {0};
    if (q->state == REQ_ANSWERED || body_piece(q, piece, &err))
        return;
    q->close = true;
    q->discard = true;
    if (q->state == REQ_RUNNING && !q->on_gone) {
        q->exit = EXIT_ABORT; /* its handler still holds it: no answer of ours, an orphan */
        return;
    }
    if (q->state == REQ_RUNNING) {
        tell_gone(q); /* a sink: its handler has the request no more, we answer */
        q->state = REQ_BODY;
    }
    request_fail(q, &err);
}

static void final_call(struct request *q)
{
    struct err err = {0};
    q->body_done = true;
    q->pub.received_us = loop_now_us(q->server->loop);
    peer_phase_set(q->peer, PEER_BUSY);
    if (q->state == REQ_ANSWERED)
        return; /* while its body came in */
    if (!q->failed && q->inflater && !q->discard && !inflater_end(q->inflater, &err))
        keep_failure(q, &err);
    if (q->state == REQ_RUNNING && !q->failed)
        return; /* after_call tells the sink */
    if (q->state == REQ_RUNNING)
        tell_gone(q);
    if (q->failed) {
        request_fail(q, q->failed);
        return;
    }
    if (head_is_options_here(q)) {
        reply_options(q);
        return;
    }
    if (q->body.n || q->body_expected) {
        buf_char(&q->body, '\0'); /* for readers that want it; not counted */
        q->pub.body = (struct str){q->body.p, q->body.n ? q->body.n - 1 : 0};
    }
    request_run(q);
}

/* What libmicrohttpd shall do with the connection now. */
static enum MHD_Result after_call(struct request *q)
{
    if (q->state == REQ_RUNNING && q->body_done && q->sink && q->sink_state == SINK_READY) {
        q->in_handler = true;
        sink_give(q, STR(""), true);
        q->in_handler = false;
    }
    if (q->exit != EXIT_NONE)
        return MHD_NO;
    bool waits_for_sink =
        q->state == REQ_RUNNING && !q->body_done && (!q->sink || q->sink_state == SINK_FULL);
    bool waits = waits_for_sink || (q->state == REQ_RUNNING && q->body_done);
    if (!waits) /* a piece that came although it was suspended may have made room, or an answer */
        request_resume(q);
    if (q->state == REQ_ANSWERED && q->body_done) {
        enum MHD_Result queued = MHD_queue_response(q->mc, (unsigned)q->status, q->response);
        MHD_destroy_response(q->response);
        q->response = NULL;
        q->state = REQ_SENDING;
        return queued;
    }
    if (waits)
        request_suspend(q);
    return MHD_YES;
}

/* NOLINTNEXTLINE(readability-function-size): libmicrohttpd's signature */
/* NOLINTNEXTLINE(readability-function-size): libmicrohttpd's parameters */
enum MHD_Result request_on_access(void *arg, struct MHD_Connection *mc, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_size, void **context)
{
    struct request *q = *context;
    (void)arg, (void)mc, (void)url;
    if (!q || q->exit != EXIT_NONE || q->server->closing)
        return MHD_NO;
    q->in_handler = true;
    if (q->state == REQ_HEAD) {
        first_call(q, method, version);
        q->first_call = FIRST_RUNNING;
    } else if (q->first_call == FIRST_SUSPENDED) {
        q->first_call = FIRST_RUNNING;
    } else if (*upload_size) {
        q->first_call = FIRST_OVER;
        data_call(q, (struct str){upload, *upload_size});
        *upload_size = 0;
    } else if (!q->body_done && q->state != REQ_SENDING) {
        q->first_call = FIRST_OVER;
        final_call(q);
    }
    q->in_handler = false;
    return after_call(q);
}

static void request_log(struct request *q, uint64_t now)
{
    struct http_server *s = q->server;
    uint64_t from = q->pub.received_us ? q->pub.received_us : q->began_us ? q->began_us : now;
    stats_request(&s->stats->routes[q->route_index], q->status, now - from, q->body_in,
                  q->body_out);
    if (!s->conf->log_access)
        return;
    access_add(&s->access, &(struct access_entry){
                               .method = q->pub.method_name,
                               .target = q->pub.target,
                               .route = q->pub.route ? str_of(q->pub.route->name) : STR("none"),
                               .id = q->pub.id,
                               .address = q->pub.address,
                               .trace = q->pub.traceparent,
                               .status = q->status,
                               .bytes = q->body_out,
                               .us = now - from,
                               .queue_us = q->queue_us,
                               .db_us = q->db_us,
                           });
    loop_defer(s->loop, LOOP_FREE, &s->access_task);
}

/* Requests that never reached the handler: libmicrohttpd refused the head by itself (400 and its
 * kind), or the client left. */
static void head_only_status(struct request *q, enum MHD_RequestTerminationCode how)
{
    bool answered =
        how == MHD_REQUEST_TERMINATED_COMPLETED_OK || how == MHD_REQUEST_TERMINATED_WITH_ERROR;
    q->status = q->peer->refused ? q->peer->refused : answered ? 400 : 499;
    q->pub.method_name = STR("-");
    if (answered && !q->peer->refused) /* those are counted */
        stats_add(&q->server->stats->bad_heads, 1);
}

static void request_completed(struct request *q, enum MHD_RequestTerminationCode how)
{
    struct http_server *s = q->server;
    struct peer *p = q->peer;
    if (q->state == REQ_HEAD)
        head_only_status(q, how);
    else if (q->peer->refused && q->state != REQ_SENDING)
        q->status = q->peer->refused;
    else if (q->status == 0)
        q->status = 499;
    if (q->counted)
        stats_sub(&s->stats->in_flight, 1);
    request_log(q, loop_now_us(s->loop));
    stream_free(q);
    peer_grace_end(p);
    p->req = NULL;
    p->served++;
    peer_phase_set(p, PEER_IDLE);
    if (s->quiesced && !q->close)
        shutdown(p->fd, SHUT_RDWR);
    if (q->state == REQ_RUNNING && q->on_gone) {
        tell_gone(q);
        request_release(q);
    } else if (q->state == REQ_RUNNING && q->run_called) {
        request_orphan(q);
    } else {
        request_release(q);
    }
}

void request_on_completed(void *arg, struct MHD_Connection *mc, void **context,
                          enum MHD_RequestTerminationCode how)
{
    struct request *q = *context;
    (void)arg, (void)mc;
    *context = NULL;
    if (q)
        request_completed(q, how);
}

/* libmicrohttpd 0.9.75 forgets to tell when it gives up on a head that needs too much memory. */
void request_lost(struct request *q)
{
    request_completed(q, MHD_REQUEST_TERMINATED_WITH_ERROR);
}

void http_set_times(struct http_req *r, uint64_t queue_us, uint64_t connect_us, uint64_t db_us)
{
    struct request *q = request_of(r);
    q->queue_us = queue_us;
    q->connect_us = connect_us;
    q->db_us = db_us;
}
