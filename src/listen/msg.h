/* msg: one event as the bytes that go to clients, formatted once and shared by reference count.
 *
 * The bytes are a complete chunk of HTTP/1.1 (RFC 9112, 7.1): hex length, CR LF, content, CR LF.
 * HTTP/1.0 clients get the content alone, from the same memory. Any thread may hold a reference;
 * the bytes never change. */
#ifndef PGH_LISTEN_MSG_H
#define PGH_LISTEN_MSG_H

#include <stdatomic.h>

#include "util/str.h"

struct hub_msg {
    atomic_uint refs;
    uint32_t len;        /* the whole chunk, or the plain bytes */
    uint64_t seq;        /* 0 for what is not in a ring */
    struct hub_msg *raw; /* the same event as format=raw; made on demand, under the hub's lock */
    uint16_t inner;      /* where the content begins; 0: plain bytes, not a chunk */
    bool marker;         /* an overflow marker: what follows it is written with it */
    uint32_t payload_at, payload_n; /* the payload's JSON string inside content, without quotes */
    char bytes[];
};

struct hub_msg *hub_msg_new(struct str content, uint64_t seq); /* frames it as a chunk */
struct hub_msg *hub_msg_plain(struct str bytes);               /* as it is, for heads and ends */
struct hub_msg *hub_msg_ref(struct hub_msg *);
void hub_msg_unref(struct hub_msg *); /* accepts NULL */
struct str hub_msg_bytes(const struct hub_msg *, bool chunked);
struct str hub_msg_content(const struct hub_msg *);
size_t hub_msg_cost(const struct hub_msg *); /* bytes of memory, for the budgets */

#endif
