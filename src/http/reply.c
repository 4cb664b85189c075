/* Answers: response headers, whole bodies, errors, OPTIONS, and the two ways out of libmicrohttpd:
 * a socket taken over by an event stream, and an answer to a request whose body is not read. */
#include <assert.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "http/mhd.h"
#include "http/priv.h"
#include "util/xalloc.h"

#define STANDARD_HEAD 2048 /* status line, Date, lengths, CORS, ids */

/* --- response headers --- */

bool reply_token(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i], lower = c | 0x20;
        if ((lower >= 'a' && lower <= 'z') || c == '-') /* nearly every one of them */
            continue;
        if (c <= ' ' || c >= 0x7f || strchr("\"(),/:;<=>?@[\\]{}", c))
            return false;
    }
    return s.n > 0;
}

static bool field_value(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if ((c < ' ' && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

/* The framing of the answer is the server's own business. */
static bool reserved(struct str name)
{
    static const struct str names[] = {{"Content-Length", 14}, {"Transfer-Encoding", 17},
                                       {"Connection", 10},     {"Trailer", 7},
                                       {"Upgrade", 7},         {"Date", 4},
                                       {"Keep-Alive", 10},     {"TE", 2}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (str_ieq(name, names[i]))
            return true;
    return false;
}

bool http_header_ok(struct str name, struct str value)
{
    return reply_token(name) && field_value(value) && !reserved(name);
}

static bool append(struct request *q, struct str name, struct str value)
{
    struct headers *h = &q->out;
    if (h->n >= 256)
        return false;
    struct header one = {arena_str(&q->arena, name), arena_str(&q->arena, str_trim(value))};
    if (!one.name.p || !one.value.p)
        return false;
    if (h->n == h->cap) {
        h->cap = h->cap ? h->cap * 2 : 16;
        h->v = xrealloc(h->v, h->cap * sizeof *h->v);
    }
    h->v[h->n++] = one;
    return true;
}

bool http_add_header(struct http_req *r, struct str name, struct str value)
{
    return http_header_ok(name, value) && append(request_of(r), name, value);
}

static struct header *find_out(const struct request *q, struct str name)
{
    for (size_t i = 0; i < q->out.n; i++)
        if (str_ieq(q->out.v[i].name, name))
            return &q->out.v[i];
    return NULL;
}

void http_set_header(struct http_req *r, struct str name, struct str value)
{
    struct request *q = request_of(r);
    size_t kept = 0;
    if (!http_header_ok(name, value))
        return;
    for (size_t i = 0; i < q->out.n; i++)
        if (!str_ieq(q->out.v[i].name, name))
            q->out.v[kept++] = q->out.v[i];
    q->out.n = kept;
    (void)append(q, name, value);
}

bool http_has_header(const struct http_req *r, struct str name)
{
    return find_out((const struct request *)(const void *)r, name) != NULL;
}

/* REST's own has other parts, and is not on errors: as PostgREST. */
static void add_server_timing(struct request *q, reply_add *add, void *arg)
{
    char text[160];
    if (q->pub.route && q->pub.route->flags & ROUTE_REST)
        return;
    uint64_t total = loop_now_us(q->server->loop) - q->pub.received_us;
    if (!q->server->conf->server_timing_enabled || !(q->queue_us || q->db_us) ||
        http_has_header(&q->pub, STR("Server-Timing")))
        return;
    snprintf(text, sizeof text, "queue;dur=%.1f, connect;dur=%.1f, db;dur=%.1f, total;dur=%.1f",
             (double)q->queue_us / 1e3, (double)q->connect_us / 1e3, (double)q->db_us / 1e3,
             (double)total / 1e3);
    add(arg, "Server-Timing", text);
}

static void add_trace_header(struct request *q, reply_add *add, void *arg)
{
    const char *name = q->server->conf->server_trace_header;
    if (!name || !*name || strcasecmp(name, "X-Request-Id") == 0)
        return;
    struct str value = http_header(&q->pub, name);
    char *text = value.p ? arena_strdup(&q->arena, value) : NULL;
    if (text && field_value(value) && !find_out(q, str_of(name)))
        add(arg, name, text);
}

static const char *terminated(struct request *q, struct str s)
{
    if (s.p == q->id_text)
        return q->id_text;
    const char *text = arena_strdup(&q->arena, s);
    return text ? text : "";
}

void reply_heads(struct request *q, reply_add *add, void *arg)
{
    for (size_t i = 0; i < q->out.n; i++)
        add(arg, q->out.v[i].name.p, q->out.v[i].value.p);
    if (q->origin.p || q->pub.method == HTTP_OPTIONS) {
        struct cors_request cors = head_cors(q);
        struct buf scratch;
        buf_init(&scratch, 16384);
        cors_headers(&cors, &q->server->conf->server_cors_allowed_origins, &scratch, add, arg);
        buf_fini(&scratch);
    }
    if (q->pub.id.n && !find_out(q, STR("X-Request-Id")))
        add(arg, "X-Request-Id", terminated(q, q->pub.id));
    if (!find_out(q, STR("Server")))
        add(arg, "Server", "pghttpd/" PGHTTPD_VERSION);
    add_trace_header(q, add, arg);
    add_server_timing(q, add, arg);
}

/* --- sockets out of libmicrohttpd's hands --- */

int reply_take_socket(struct request *q)
{
    int own = fcntl(q->peer->fd, F_DUPFD_CLOEXEC, 0);
    if (own < 0)
        return -1;
    /* By the old number: once libmicrohttpd closed it, the entry would live on through the copy. */
    epoll_ctl(q->server->gone_ep, EPOLL_CTL_DEL, q->peer->fd, NULL);
    setsockopt(own, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    return own;
}

int http_takeover(struct http_req *r, int status)
{
    struct request *q = request_of(r);
    assert(q->state == REQ_RUNNING);
    if (!q->peer || q->body_expected || q->peer->hup)
        return -1;
    int own = reply_take_socket(q);
    if (own < 0)
        return -1;
    stats_add(&q->server->stats->takeovers, 1);
    q->status = status;
    q->exit = EXIT_TAKEN;
    request_answered(q);
    return own;
}

static void add_line(void *arg, const char *name, const char *value)
{
    struct buf *out = arg;
    if (!value)
        return;
    buf_adds(out, str_of(name));
    BUF_LIT(out, ": ");
    buf_adds(out, str_of(value));
    BUF_LIT(out, "\r\n");
}

void http_takeover_headers(struct http_req *r, struct buf *out)
{
    reply_heads(request_of(r), add_line, out);
}

/* The body of the request is not read: our answer, then the end of the connection. */
static void reply_past(struct request *q, struct str type, struct str body)
{
    struct buf out;
    int fd = reply_take_socket(q);
    q->exit = EXIT_TAKEN;
    if (fd >= 0) {
        buf_init(&out, BUF_NO_CEILING);
        buf_printf(&out, "HTTP/1.1 %d %s\r\n", q->status,
                   MHD_get_reason_phrase_for((unsigned)q->status));
        if (type.p && !find_out(q, STR("Content-Type"))) {
            BUF_LIT(&out, "Content-Type: ");
            buf_adds(&out, type);
            BUF_LIT(&out, "\r\n");
        }
        reply_heads(q, add_line, &out);
        buf_printf(&out, "Content-Length: %zu\r\nConnection: close\r\n\r\n", body.n);
        if (!q->head_only)
            buf_adds(&out, body);
        linger_start(q->server, fd, &out);
        buf_fini(&out);
    } else if (!q->in_handler) {
        shutdown(q->peer->fd, SHUT_RDWR);
    }
    request_answered(q);
}

/* --- whole bodies --- */

static void add_to_response(void *arg, const char *name, const char *value)
{
    if (value && *value)
        (void)MHD_add_response_header(arg, name, value);
}

static ssize_t no_body(void *arg, uint64_t at, char *out, size_t max)
{
    (void)arg, (void)at, (void)out, (void)max;
    return MHD_CONTENT_READER_END_OF_STREAM;
}

/* HEAD without Content-Length. Where libmicrohttpd cannot say that, the connection ends instead. */
struct MHD_Response *reply_head_response(void)
{
#if MHD_VERSION >= 0x00097701
    struct MHD_Response *r = MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
    if (r)
        MHD_set_response_options(r, MHD_RF_HEAD_ONLY_RESPONSE, MHD_RO_END);
#else
    struct MHD_Response *r =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 16, no_body, NULL, NULL);
    if (r)
        MHD_set_response_options(r, MHD_RF_HTTP_1_0_COMPATIBLE_STRICT, MHD_RO_END);
#endif
    (void)no_body;
    return r;
}

struct MHD_Response *reply_decorate(struct request *q, struct MHD_Response *response,
                                    struct str type)
{
    char text[256];
    if (!response)
        return NULL;
    if (type.p && type.n < sizeof text && !find_out(q, STR("Content-Type"))) {
        memcpy(text, type.p, type.n);
        text[type.n] = '\0';
        add_to_response(response, "Content-Type", text);
    }
    reply_heads(q, add_to_response, response);
    if (q->close || q->server->quiesced) {
        q->close = true;
        add_to_response(response, "Connection", "close");
    }
    return response;
}

static bool bodiless(const struct request *q)
{
    return q->status == 204 || q->status == 304 || q->status < 200;
}

struct str reply_type(const struct request *q, struct str type)
{
    const struct header *own = find_out(q, STR("Content-Type"));
    return own ? own->value : type;
}

/* Says in Vary that the client could have had gzip, too. */
static bool wants_gzip(struct request *q, struct str type, size_t n)
{
    if (n < GZIP_MIN || find_out(q, STR("Content-Encoding")) || !gzip_type(reply_type(q, type)))
        return false;
    if (n <= GZIP_WHOLE_MAX) /* http_stream says it for the others */
        (void)http_add_header(&q->pub, STR("Vary"), STR("Accept-Encoding"));
    return q->gzip_ok && !q->head_only;
}

static void gzip_whole(struct request *q, struct buf *body)
{
    struct http_server *s = q->server;
    struct buf packed;
    buf_init(&packed, BUF_NO_CEILING);
    if (!s->gzipper)
        s->gzipper = gzipper_new(true);
    if (s->gzipper && gzipper_body(s->gzipper, buf_str(body), &packed)) {
        buf_fini(body);
        *body = packed;
        (void)http_add_header(&q->pub, STR("Content-Encoding"), STR("gzip"));
    } else {
        buf_fini(&packed);
    }
}

/* A large body is compressed piece by piece as the client takes it: all at once would hold up
 * everybody else (100 MB take a second). */
struct pieces {
    struct buf body;
    size_t given;
};

static enum http_pull pull_piece(void *arg, struct buf *out, size_t want)
{
    struct pieces *p = arg;
    size_t n = p->body.n - p->given;
    if (n > want)
        n = want;
    buf_add(out, p->body.p + p->given, n);
    p->given += n;
    return p->given == p->body.n ? HTTP_END : HTTP_MORE;
}

static void free_pieces(void *arg)
{
    struct pieces *p = arg;
    buf_fini(&p->body);
    free(p);
}

static void reply_in_pieces(struct request *q, struct str type, struct buf *body)
{
    static const struct http_source source = {.pull = pull_piece, .closed = free_pieces};
    struct pieces *p = xmalloc(sizeof *p);
    *p = (struct pieces){.body = *body};
    *body = (struct buf){.ceiling = body->ceiling};
    q->body_out = 0; /* counted as it goes */
    http_stream(&q->pub, q->status, type, &source, p);
}

static void give(struct request *q, struct MHD_Response *response, struct str type)
{
    q->response = reply_decorate(q, response, type);
    if (!q->response)
        q->exit = EXIT_ABORT; /* out of memory: the connection ends */
    request_answered(q);
}

/* libmicrohttpd builds the answer's head in what the request's left of the connection's memory; a
 * head that is too long for that would be no answer at all. */
bool reply_head_fits(const struct request *q)
{
    size_t room = q->server->conf->server_header_memory, used = q->head_bytes + STANDARD_HEAD;
    for (size_t i = 0; i < q->out.n; i++)
        used += q->out.v[i].name.n + q->out.v[i].value.n + 4;
    return used <= room;
}

void http_reply(struct http_req *r, int status, struct str type, struct buf *body)
{
    struct request *q = request_of(r);
    struct buf none = {.ceiling = 0};
    assert(q->state == REQ_RUNNING || q->state == REQ_BODY);
    if (!body)
        body = &none;
    if (request_orphan_done(q)) {
        buf_fini(body);
        return;
    }
    if (buf_broken(body)) {
        buf_fini(body);
        http_reply_static(r, 507, STR("application/json; charset=utf-8"),
                          STR("{\"code\":\"PGH507\",\"details\":null,\"hint\":null,"
                              "\"message\":\"the answer is too large\"}"));
        return;
    }
    q->status = status;
    q->body_out = bodiless(q) || q->head_only ? 0 : body->n;
    if (!request_body_short(q) || !reply_head_fits(q)) {
        reply_past(q, type, buf_str(body));
        buf_fini(body);
        return;
    }
    q->discard = !q->body_done;
    bool head = q->head_only && !(q->pub.route && q->pub.route->flags & ROUTE_HEAD_LENGTH);
    if (head || bodiless(q) || body->n == 0) {
        buf_fini(body);
        give(q,
             head && !bodiless(q)
                 ? reply_head_response()
                 : MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT),
             type);
        return;
    }
    if (wants_gzip(q, type, body->n)) {
        if (body->n > GZIP_WHOLE_MAX && q->body_done) {
            reply_in_pieces(q, type, body);
            return;
        }
        gzip_whole(q, body);
    }
    size_t n;
    char *p = buf_take(body, &n);
    struct MHD_Response *response = MHD_create_response_from_buffer(n, p, MHD_RESPMEM_MUST_FREE);
    if (!response)
        free(p);
    give(q, response, type);
}

void http_reply_static(struct http_req *r, int status, struct str type, struct str body)
{
    struct buf copy;
    buf_init(&copy, BUF_NO_CEILING);
    buf_adds(&copy, body);
    http_reply(r, status, type, &copy);
}

void reply_options(struct request *q)
{
    if (!find_out(q, STR("Allow")) && q->allow && !(q->pub.route->flags & ROUTE_REST))
        (void)http_add_header(&q->pub, STR("Allow"), str_of(q->allow));
    http_reply(&q->pub, 200, (struct str){NULL, 0}, NULL);
}

/* --- errors --- */

static void json_text(struct buf *out, struct str s)
{
    static const char digits[] = "0123456789abcdef";
    buf_char(out, '"');
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c == '"' || c == '\\') {
            buf_char(out, '\\');
            buf_char(out, (char)c);
        } else if (c < ' ' || c == 0x7f) {
            char escape[6] = {'\\', 'u', '0', '0', digits[c >> 4], digits[c & 15]};
            buf_add(out, escape, sizeof escape);
        } else {
            buf_char(out, (char)c);
        }
    }
    buf_char(out, '"');
}

static void json_text_or_null(struct buf *out, const char *s, bool is_json)
{
    if (!s)
        BUF_LIT(out, "null");
    else if (is_json)
        buf_adds(out, str_of(s));
    else
        json_text(out, str_of(s));
}

void http_error_json(struct buf *out, const struct err *err)
{
    struct str message = str_of(err->message);
    BUF_LIT(out, "{\"code\":");
    json_text_or_null(out, err->code[0] ? err->code : NULL, false);
    BUF_LIT(out, ",\"details\":");
    json_text_or_null(out, err->details, err->details_json);
    BUF_LIT(out, ",\"hint\":");
    json_text_or_null(out, err->hint, false);
    BUF_LIT(out, ",\"message\":");
    json_text(out, str_utf8(message) ? message : STR("(not UTF-8)"));
    buf_char(out, '}');
}

void http_fail_json(struct http_req *r, const struct err *err)
{
    struct buf body;
    char text[64];
    buf_init(&body, 65536);
    http_error_json(&body, err);
    if (err->code[0]) {
        int n = snprintf(text, sizeof text, "pghttpd; error=%s", err->code);
        http_set_header(r, STR("Proxy-Status"), (struct str){text, (size_t)n});
    }
    if (err->retry_after) {
        int n = snprintf(text, sizeof text, "%u", err->retry_after);
        http_set_header(r, STR("Retry-After"), (struct str){text, (size_t)n});
    }
    http_reply(r, err->status, STR("application/json; charset=utf-8"), &body);
}
