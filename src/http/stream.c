/* Bodies of unknown length, pulled from the handler as the client reads.
 *
 * libmicrohttpd asks for bytes when the socket takes them. We hand out what the handler's source
 * gave in its last pull; when that is used up we pull again; when the source has nothing yet the
 * connection is suspended until http_stream_wake. So at most one pull is in memory, plus
 * libmicrohttpd's own buffer.
 *
 * HTTP_BREAK must not look like an end: a chunked body stays without its last chunk; an HTTP/1.0
 * body, which ends with the connection, ends with a reset. */
#include <assert.h>
#include <stdlib.h>

#include "http/mhd.h"
#include "http/priv.h"
#include "util/xalloc.h"

#define PULL 65536                  /* bytes asked of the source at a time */
#define BLOCK 32768                 /* libmicrohttpd's buffer for unchunked bodies */
#define HELD_MAX (64 * 1024 * 1024) /* a source that gives more than asked is bounded here */

struct stream {
    const struct http_source *source;
    void *arg;
    struct gzipper *gzip;
    struct buf held, raw; /* raw: before compression */
    size_t given;         /* of held */
    bool ended, broken, woken, waiting;
};

static void reset_on_close(struct request *q)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    setsockopt(q->peer->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

/* One pull into held. */
static enum http_pull stream_pull(struct request *q)
{
    struct stream *st = q->stream;
    struct buf *to = st->gzip ? &st->raw : &st->held;
    buf_clear(&st->held);
    st->given = 0;
    if (st->gzip)
        buf_clear(&st->raw);
    enum http_pull how = st->source->pull(st->arg, to, PULL);
    q->body_out += to->n;
    if (buf_broken(to) || how == HTTP_BREAK)
        return HTTP_BREAK;
    if (st->gzip) {
        enum gzip_how flush = how == HTTP_END    ? GZIP_END
                              : how == HTTP_WAIT ? GZIP_FLUSH
                                                 : GZIP_MORE;
        if ((st->raw.n || how == HTTP_END) &&
            !gzipper_stream(st->gzip, buf_str(&st->raw), flush, &st->held))
            return HTTP_BREAK;
    }
    st->ended = how == HTTP_END;
    return how;
}

/* The body's end is that of the connection. */
static bool unframed(const struct request *q)
{
    return q->pub.http10 || !q->chunked_reply;
}

/* libmicrohttpd closes what it gave up when it runs again and something happened on that socket, or
 * when no other connection is older. It does run, and something happens. The reset needs the close
 * itself. */
static void end_now(struct request *q)
{
    shutdown(q->peer->fd, unframed(q) ? SHUT_RD : SHUT_RDWR);
    server_kick(q->server);
}

static ssize_t stream_break(struct request *q)
{
    q->stream->broken = true;
    if (unframed(q))
        reset_on_close(q);
    return MHD_CONTENT_READER_END_WITH_ERROR;
}

static ssize_t on_read(void *arg, uint64_t at, char *out, size_t max)
{
    struct request *q = arg;
    struct stream *st = q->stream;
    (void)at;
    if (!st || q->exit == EXIT_ABORT || q->server->closing)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    while (st->given == st->held.n) {
        if (st->ended)
            return MHD_CONTENT_READER_END_OF_STREAM;
        st->woken = false;
        enum http_pull how = stream_pull(q);
        if (how == HTTP_BREAK)
            return stream_break(q);
        if (how == HTTP_WAIT && st->held.n == 0 && !st->woken) {
            q->suspended = true;
            MHD_suspend_connection(q->mc);
            if (q->peer->hup)
                request_gone(q);
            else
                peer_watch_gone(q->peer);
            return 0;
        }
    }
    size_t n = st->held.n - st->given;
    if (n > max)
        n = max;
    memcpy(out, st->held.p + st->given, n);
    st->given += n;
    return (ssize_t)n;
}

void http_stream(struct http_req *r, int status, struct str type, const struct http_source *source,
                 void *arg)
{
    struct request *q = request_of(r);
    assert(q->state == REQ_RUNNING || q->state == REQ_BODY);
    if (q->peer && (!q->body_done || !reply_head_fits(q))) {
        struct err err;
        err_set(&err, 500, "PGH500", "the answer's headers are too long to be streamed");
        source->closed(arg);
        http_fail_json(r, &err);
        return;
    }
    if (request_orphan_done(q)) {
        source->closed(arg);
        return;
    }
    struct stream *st = xcalloc(1, sizeof *st);
    *st = (struct stream){.source = source, .arg = arg};
    buf_init(&st->held, HELD_MAX);
    buf_init(&st->raw, HELD_MAX);
    q->stream = st;
    q->status = status;
    q->chunked_reply = !q->pub.http10;
    if (gzip_type(reply_type(q, type)) && !http_has_header(r, STR("Content-Encoding"))) {
        (void)http_add_header(r, STR("Vary"), STR("Accept-Encoding"));
        if (q->gzip_ok && !q->head_only)
            st->gzip = gzipper_new(false);
        if (st->gzip)
            (void)http_add_header(r, STR("Content-Encoding"), STR("gzip"));
    }
    q->response = reply_decorate(
        q,
        q->head_only ? reply_head_response()
                     : MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK, on_read, q, NULL),
        type);
    if (!q->response)
        q->exit = EXIT_ABORT;
    request_answered(q);
}

void http_stream_wake(struct http_req *r)
{
    struct request *q = request_of(r);
    if (q->stream)
        q->stream->woken = true;
    if (q->state == REQ_SENDING)
        request_resume(q);
}

/* The client left, or the server ends, while it was suspended: one more call ends it. */
void stream_gone(struct request *q)
{
    q->exit = EXIT_ABORT;
    if (q->stream && !q->stream->ended)
        reset_on_close(q);
    request_resume(q);
}

void stream_free(struct request *q)
{
    struct stream *st = q->stream;
    if (!st)
        return;
    q->stream = NULL;
    if (st->broken)
        end_now(q);
    st->source->closed(st->arg);
    gzipper_free(st->gzip);
    buf_fini(&st->held);
    buf_fini(&st->raw);
    free(st);
}
