#include "http/compress.h"

#include <stdlib.h>
#include <zlib.h>

#include "util/xalloc.h"

#define GZIP_WRAPPER 16 /* added to zlib's window bits: gzip head and trailer */
#define STEP 16384

struct inflater {
    z_stream z;
    uint64_t in, out;
    bool ended;
};

/* zlib's input pointer is not const; it does not write through it. */
static Bytef *input(const char *p)
{
    union {
        const char *from;
        Bytef *to;
    } u = {.from = p};
    return u.to;
}

struct inflater *inflater_new(void)
{
    struct inflater *f = xcalloc(1, sizeof *f);
    if (inflateInit2(&f->z, MAX_WBITS + GZIP_WRAPPER) != Z_OK) {
        free(f);
        return NULL;
    }
    return f;
}

void inflater_free(struct inflater *f)
{
    if (!f)
        return;
    inflateEnd(&f->z);
    free(f);
}

static bool bad_gzip(struct err *err)
{
    return err_set(err, 400, "PGH400", "the body is not valid gzip, as Content-Encoding says");
}

/* One call of inflate into out; *again when it filled its room. */
static bool inflate_step(struct inflater *f, struct buf *out, bool *again, struct err *err)
{
    size_t room = out->ceiling - out->n;
    size_t want = room < STEP ? room + 1 : STEP; /* a byte over the ceiling tells that it is over */
    char spill[STEP + 1];
    char *to = room >= STEP ? buf_reserve(out, STEP) : spill;
    if (!to)
        return err_set(err, 413, "PGH413", "the inflated body is too large");
    f->z.next_out = (Bytef *)to;
    f->z.avail_out = (uInt)want;
    int rc = inflate(&f->z, Z_NO_FLUSH);
    size_t n = want - f->z.avail_out;
    if (rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR)
        return bad_gzip(err);
    if (n > room)
        return err_set(err, 413, "PGH413", "the inflated body is too large");
    if (to == spill)
        buf_add(out, spill, n);
    else
        out->n += n;
    f->out += n;
    f->ended = rc == Z_STREAM_END;
    *again = f->z.avail_out == 0 && !f->ended;
    return true;
}

/* Behind the end of a member another one may stand (RFC 1952; bgzip, cat a.gz b.gz). */
static bool next_member(struct inflater *f, bool *again, struct err *err)
{
    if (!f->ended || f->z.avail_in == 0)
        return true;
    f->ended = false;
    *again = true;
    return inflateReset(&f->z) == Z_OK || bad_gzip(err);
}

bool inflater_feed(struct inflater *f, struct str in, struct buf *out, struct err *err)
{
    bool again = in.n > 0;
    f->z.next_in = input(in.p);
    f->z.avail_in = (uInt)in.n;
    if (!next_member(f, &again, err))
        return false;
    while (again) {
        if (!inflate_step(f, out, &again, err) || !next_member(f, &again, err))
            return false;
        uint64_t taken = f->in + in.n - f->z.avail_in;
        if (f->out > INFLATE_FREE && f->out / INFLATE_RATIO > taken)
            return err_set(err, 413, "PGH413", "the body inflates more than %d : 1", INFLATE_RATIO);
    }
    f->in += in.n;
    return true;
}

bool inflater_end(const struct inflater *f, struct err *err)
{
    return f->ended || err_set(err, 400, "PGH400", "the gzip body ends too early");
}

struct gzipper {
    z_stream z;
};

/* Level 1: three times as fast as the default for 10 % more bytes of JSON. A stream's state is kept
 * small (window 8 KB, 64 KB in all), since there may be thousands. */
struct gzipper *gzipper_new(bool whole)
{
    struct gzipper *g = xcalloc(1, sizeof *g);
    int rc = deflateInit2(&g->z, 1, Z_DEFLATED, (whole ? MAX_WBITS : 13) + GZIP_WRAPPER,
                          whole ? 8 : 6, Z_DEFAULT_STRATEGY);
    if (rc != Z_OK) {
        free(g);
        return NULL;
    }
    return g;
}

void gzipper_free(struct gzipper *g)
{
    if (!g)
        return;
    deflateEnd(&g->z);
    free(g);
}

bool gzipper_body(struct gzipper *g, struct str in, struct buf *out)
{
    if (in.n > UINT32_MAX || deflateReset(&g->z) != Z_OK)
        return false;
    char *to = buf_reserve(out, in.n);
    if (!to)
        return false;
    g->z.next_in = input(in.p);
    g->z.avail_in = (uInt)in.n;
    g->z.next_out = (Bytef *)to;
    g->z.avail_out = (uInt)in.n;
    if (deflate(&g->z, Z_FINISH) != Z_STREAM_END)
        return false; /* did not fit into as many bytes as before */
    out->n += in.n - g->z.avail_out;
    return true;
}

bool gzipper_stream(struct gzipper *g, struct str in, enum gzip_how how, struct buf *out)
{
    int flush = how == GZIP_END ? Z_FINISH : how == GZIP_FLUSH ? Z_SYNC_FLUSH : Z_NO_FLUSH;
    int rc;
    g->z.next_in = input(in.p);
    g->z.avail_in = (uInt)in.n;
    do {
        char *to = buf_reserve(out, STEP);
        if (!to)
            return false;
        g->z.next_out = (Bytef *)to;
        g->z.avail_out = STEP;
        rc = deflate(&g->z, flush);
        out->n += STEP - g->z.avail_out;
        if (rc == Z_STREAM_ERROR)
            return false;
    } while (g->z.avail_out == 0);
    return how != GZIP_END || rc == Z_STREAM_END;
}

bool gzip_type(struct str type)
{
    type.n = str_find(type, ';', 0);
    type = str_trim(type);
    if (str_istarts(type, STR("text/")))
        return !str_ieq(type, STR("text/event-stream"));
    if (!str_istarts(type, STR("application/")))
        return false;
    struct str sub = str_from(type, 12);
    static const struct str plain[] = {
        {"json", 4}, {"x-ndjson", 8}, {"xml", 3}, {"javascript", 10}};
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        if (str_ieq(sub, plain[i]))
            return true;
    return sub.n > 5 &&
           (str_ieq(str_from(sub, sub.n - 5), STR("+json")) || str_istarts(sub, STR("vnd.pgrst.")));
}
