#include "http/wire.h"

#define LINE_COST 72 /* what libmicrohttpd's structure for a header takes beside its bytes */

static bool refuse(struct wire *w, enum wire_fault fault)
{
    w->state = WIRE_REFUSED;
    w->fault = fault;
    return false;
}

/* ---- chunked bodies (RFC 9112, section 7.1) ---- */

static int hex_value(unsigned char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void begin_request(struct wire *w)
{
    *w = (struct wire){.state = WIRE_START, .heads = w->heads};
}

static void chunk_line_over(struct wire *w)
{
    w->chunk = w->left ? CHUNK_DATA : CHUNK_TRAILER_FIRST;
}

static bool chunk_size(struct wire *w, unsigned char c)
{
    int digit = hex_value(c);
    if (digit >= 0) {
        bool first = w->chunk == CHUNK_SIZE_FIRST;
        if (!first && w->left > UINT64_MAX >> 5)
            return false;
        w->left = (first ? 0 : w->left << 4) + (uint64_t)digit;
        w->chunk = CHUNK_SIZE;
        return true;
    }
    if (w->chunk == CHUNK_SIZE_FIRST || (c != ';' && c != '\r'))
        return false;
    w->chunk = c == ';' ? CHUNK_EXTENSION : CHUNK_SIZE_LF;
    return true;
}

/* One byte between the data. False: not as the RFC has it. */
static bool chunk_byte(struct wire *w, unsigned char c)
{
    switch (w->chunk) {
    case CHUNK_SIZE_FIRST:
    case CHUNK_SIZE: return chunk_size(w, c);
    case CHUNK_EXTENSION:
    case CHUNK_TRAILER:
        if (c == '\r')
            w->chunk = w->chunk == CHUNK_TRAILER ? CHUNK_TRAILER_LF : CHUNK_SIZE_LF;
        return c == '\r' || c == '\t' || (c >= ' ' && c != 0x7f);
    case CHUNK_SIZE_LF: chunk_line_over(w); return c == '\n';
    case CHUNK_DATA_CR: w->chunk = CHUNK_DATA_LF; return c == '\r';
    case CHUNK_DATA_LF: w->chunk = CHUNK_SIZE_FIRST; return c == '\n';
    case CHUNK_TRAILER_FIRST:
        w->chunk = c == '\r' ? CHUNK_END_LF : CHUNK_TRAILER;
        return c == '\r' || c > ' ';
    case CHUNK_TRAILER_LF: w->chunk = CHUNK_TRAILER_FIRST; return c == '\n';
    case CHUNK_END_LF: begin_request(w); return c == '\n';
    case CHUNK_DATA: break;
    }
    return false;
}

/* Of n bytes of a body. Returns those that were looked at; false in *ok when it is refused. */
static size_t feed_chunks(struct wire *w, const char *bytes, size_t n, bool *ok)
{
    size_t i = 0;
    while (i < n && *ok && w->state == WIRE_CHUNKS) {
        if (w->chunk != CHUNK_DATA) {
            *ok = chunk_byte(w, (unsigned char)bytes[i++]) || refuse(w, WIRE_CHUNK);
            continue;
        }
        size_t step = w->left < n - i ? (size_t)w->left : n - i;
        w->left -= step;
        i += step;
        if (w->left == 0)
            w->chunk = CHUNK_DATA_CR;
    }
    return i;
}

/* ---- heads ---- */

static bool take_length(struct wire *w, struct str value)
{
    bool first = !w->has_length;
    w->has_length = true;
    return (first && str_u64(str_trim(value), UINT64_MAX / 2, &w->left)) || refuse(w, WIRE_LENGTH);
}

/* A whole header line, of which the beginning is kept. */
static bool header_line(struct wire *w)
{
    struct str kept = {w->kept, w->line < WIRE_KEPT ? w->line : WIRE_KEPT};
    struct str name = {kept.p, str_find(kept, ':', 0)}, value = str_from(kept, name.n + 1);
    w->head += LINE_COST;
    if (str_ieq(name, STR("Content-Length")))
        return w->line <= WIRE_KEPT ? take_length(w, value) : refuse(w, WIRE_LENGTH);
    if (str_ieq(name, STR("Transfer-Encoding")))
        w->chunked = str_ieq(str_trim(value), STR("chunked")); /* head.c refuses all others */
    return true;
}

static void head_over(struct wire *w)
{
    uint64_t length = w->left;
    bool chunked = w->chunked;
    w->heads++;
    begin_request(w);
    if (chunked)
        w->state = WIRE_CHUNKS;
    else if (length)
        w->state = WIRE_BODY;
    w->left = length;
}

/* The line is whole, without its LF. */
static bool line_over(struct wire *w)
{
    bool cr = w->line > 0 && w->line <= WIRE_KEPT && w->kept[w->line - 1] == '\r';
    w->line -= cr;
    bool ok = true;
    if (w->state == WIRE_HEADER && w->line == 0) {
        head_over(w);
        return true;
    }
    if (w->state == WIRE_HEADER)
        ok = header_line(w);
    else if (w->line > 0) /* empty lines in front of a request line count for nothing */
        w->state = WIRE_HEADER;
    w->line = 0;
    return ok;
}

static size_t feed_head(struct wire *w, const char *bytes, size_t n, size_t max, bool *ok)
{
    const char *lf = memchr(bytes, '\n', n);
    size_t step = lf ? (size_t)(lf - bytes) : n;
    if (w->line < WIRE_KEPT) {
        size_t room = WIRE_KEPT - w->line;
        memcpy(w->kept + w->line, bytes, step < room ? step : room);
    }
    w->line += step;
    w->head += step;
    if (w->head > max)
        *ok = refuse(w, w->state == WIRE_START ? WIRE_LONG_LINE : WIRE_LONG_HEAD);
    else if (lf)
        *ok = line_over(w);
    return step + (lf != NULL);
}

size_t wire_feed(struct wire *w, const char *bytes, size_t n, size_t head_max)
{
    size_t i = 0, start = 0;
    bool ok = w->state != WIRE_REFUSED;
    while (i < n && ok) {
        bool begins = w->state == WIRE_START && w->line == 0;
        if (begins)
            start = i;
        if (w->state == WIRE_CHUNKS) {
            i += feed_chunks(w, bytes + i, n - i, &ok);
        } else if (w->state == WIRE_BODY) {
            size_t step = w->left < n - i ? (size_t)w->left : n - i;
            w->left -= step;
            i += step;
            if (w->left == 0)
                begin_request(w);
        } else {
            i += feed_head(w, bytes + i, n - i, head_max, &ok);
        }
    }
    return ok ? n : start;
}

void wire_fault_error(enum wire_fault fault, struct err *err)
{
    static const char *const too_long = "Three quarters of server-header-memory is the limit.";
    err_clear(err);
    switch (fault) {
    case WIRE_LENGTH:
        err_set(err, 400, "PGH400", "more than one Content-Length, or not a number");
        break;
    case WIRE_CHUNK:
        err_set(err, 400, "PGH400", "the chunks of the body are not as RFC 9112 has them");
        err->hint = "Each line of a chunked body ends in CR LF.";
        break;
    case WIRE_LONG_LINE:
        err_set(err, 414, "PGH414", "the request target is too long");
        err->hint = too_long;
        break;
    case WIRE_LONG_HEAD:
        err_set(err, 431, "PGH431", "the request target and headers together are too long");
        err->hint = too_long;
        break;
    }
}
