/* wire: the bytes of a connection as they come, before libmicrohttpd sees them. It follows where
 * requests begin and end, more strictly than libmicrohttpd (0.9.75 to 1.0.1) does, and finds what
 * that gets wrong:
 *
 *   - a chunk's line that ends in LF alone, which a proxy in front may read on (RFC 9112, 7.1);
 *   - a Content-Length that is no number, or two: 0.9.75 answers with two heads, the second as the
 *     first one's body;
 *   - a request line or a head that is too long: answered by libmicrohttpd in HTML.
 *
 * Pure: the caller gives it the bytes and acts on what it says (server_wire.c). */
#ifndef PGH_HTTP_WIRE_H
#define PGH_HTTP_WIRE_H

#include "util/err.h"
#include "util/str.h"

enum wire_state {
    WIRE_START,   /* before a request line, or in it */
    WIRE_HEADER,  /* in a header line */
    WIRE_BODY,    /* `left` more bytes of a body that says its length */
    WIRE_CHUNKS,  /* in a chunked body: see chunk */
    WIRE_REFUSED, /* whatever comes now is not looked at */
};

enum wire_chunk {
    CHUNK_SIZE_FIRST, /* a line with a chunk's size: its first digit */
    CHUNK_SIZE,
    CHUNK_EXTENSION,
    CHUNK_SIZE_LF,
    CHUNK_DATA, /* `left` more bytes */
    CHUNK_DATA_CR,
    CHUNK_DATA_LF,
    CHUNK_TRAILER_FIRST, /* at the beginning of a trailer's line, or of the empty one */
    CHUNK_TRAILER,
    CHUNK_TRAILER_LF,
    CHUNK_END_LF,
};

enum wire_fault { WIRE_LENGTH = 1, WIRE_CHUNK, WIRE_LONG_LINE, WIRE_LONG_HEAD };

#define WIRE_KEPT 64 /* of a header line: enough for a length of 20 digits */

struct wire {
    enum wire_state state;
    enum wire_chunk chunk;
    enum wire_fault fault; /* in WIRE_REFUSED */
    uint64_t left;
    size_t head; /* bytes of the head so far, and what its lines cost libmicrohttpd */
    size_t line; /* bytes of the line so far */
    bool has_length, chunked;
    unsigned heads; /* that were seen to their end */
    char kept[WIRE_KEPT];
};

/* Looks at n more bytes. Returns how many may be handed on: n, or, when the request that goes on or
 * begins in them is refused (state, fault), those in front of it. head_max: bytes of a head. */
size_t wire_feed(struct wire *, const char *bytes, size_t n, size_t head_max);

/* The answer for a fault: status, code, message, hint. */
void wire_fault_error(enum wire_fault, struct err *);

#endif
