/* sse: the event stream grammar (HTML standard, "Server-sent events") that clients read.
 *
 * Nothing a database or a client sent can forge a line: JSON escapes CR and LF, raw payloads are
 * split on CR LF, CR and LF alike, and names are percent-encoded. Bytes that are not UTF-8 (a
 * database of encoding SQL_ASCII can hold them) become U+FFFD. Ids are EPOCH-SEQ: eight hex digits
 * that differ in each process, a dash, a decimal number. */
#ifndef PGH_LISTEN_SSE_H
#define PGH_LISTEN_SSE_H

#include "listen/msg.h"
#include "util/buf.h"

#define SSE_RETRY_MS 2000
#define SSE_HEARTBEAT ": heartbeat\n\n"

struct sse_id {
    uint32_t epoch;
    uint64_t seq;
};

/* False for anything that is not exactly such an id; its length does not matter. */
MUSTCHECK bool sse_id_parse(struct str text, struct sse_id *out);
void sse_id_print(struct buf *out, struct sse_id);

struct sse_event {
    struct sse_id id;
    struct str channel, payload;
    int pid;
};

/* The event as format=json; the caller owns the reference. scratch is emptied first. */
struct hub_msg *sse_message(struct buf *scratch, const struct sse_event *);
/* The same event as format=raw, made from what sse_message made. */
struct hub_msg *sse_message_raw(struct buf *scratch, const struct hub_msg *json, struct sse_id,
                                struct str channel);
/* Markers and the first block take the id as text: each hub has its own kind (hub.h). */
struct hub_msg *sse_gap(struct buf *scratch, struct str id, const char *reason);

/* An overflow marker: begin, a channel at a time, end. */
void sse_overflow_begin(struct buf *scratch, struct str id, uint64_t dropped);
void sse_overflow_channel(struct buf *scratch, struct str channel);
struct hub_msg *sse_overflow_end(struct buf *scratch);

/* The first block: it sets the client's resume point and dispatches nothing. */
void sse_first(struct buf *out, struct str id);

/* "..." with quotes; for every JSON text of this layer. */
void sse_json_string(struct buf *out, struct str s);

#endif
