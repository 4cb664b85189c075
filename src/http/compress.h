/* compress: gzip in both directions (RFC 1952, by zlib).
 *
 * In: an inflater takes pieces of a body as they come. Bombs: the caller bounds the bytes that come
 * out, and past the first megabyte more than INFLATE_RATIO bytes out for one in are refused.
 * Out: whole bodies by one reused deflate state per server; streams by a state of their own. */
#ifndef PGH_HTTP_COMPRESS_H
#define PGH_HTTP_COMPRESS_H

#include "util/buf.h"
#include "util/err.h"

#define INFLATE_RATIO 100
#define INFLATE_FREE (1024 * 1024) /* bytes out before the ratio counts */
#define GZIP_MIN 2048 /* smaller bodies are not worth 30 us of deflate to save a packet */

/* Larger bodies are compressed as streams, a piece at a time. */
#define GZIP_WHOLE_MAX (512 * 1024)

struct inflater;
struct inflater *inflater_new(void);
void inflater_free(struct inflater *);
/* Appends what in inflates to; out's ceiling is the limit (413 past it). */
MUSTCHECK bool inflater_feed(struct inflater *, struct str in, struct buf *out, struct err *);
/* The body ended: false when the gzip stream did not. */
MUSTCHECK bool inflater_end(const struct inflater *, struct err *);

struct gzipper;
struct gzipper *gzipper_new(bool whole); /* whole: for bodies in one piece, reusable */
void gzipper_free(struct gzipper *);
/* A whole body; false when it did not get smaller or memory is short: send it as it is. */
MUSTCHECK bool gzipper_body(struct gzipper *, struct str in, struct buf *out);
/* A piece of a stream. flush: the reader shall see all bytes so far. end: the last piece. */
enum gzip_how { GZIP_MORE, GZIP_FLUSH, GZIP_END };
MUSTCHECK bool gzipper_stream(struct gzipper *, struct str in, enum gzip_how, struct buf *out);

/* Text-like types; never event streams. */
bool gzip_type(struct str content_type);

#endif
