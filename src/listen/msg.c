#include "listen/msg.h"

#include <assert.h>
#include <stdlib.h>

#include "util/xalloc.h"

#define CHUNK_HEAD_MAX 10 /* eight hex digits, CR LF */

static struct hub_msg *allocate(size_t len, uint64_t seq)
{
    assert(len < UINT32_MAX);
    struct hub_msg *m = xmalloc(sizeof *m + len);
    *m = (struct hub_msg){.len = (uint32_t)len, .seq = seq};
    atomic_init(&m->refs, 1);
    return m;
}

static size_t hex(char *out, size_t n)
{
    char digits[CHUNK_HEAD_MAX];
    size_t at = sizeof digits;
    do
        digits[--at] = "0123456789abcdef"[n & 15];
    while ((n >>= 4) > 0 && at > 0);
    memcpy(out, digits + at, sizeof digits - at);
    return sizeof digits - at;
}

struct hub_msg *hub_msg_new(struct str content, uint64_t seq)
{
    char head[CHUNK_HEAD_MAX + 2];
    size_t n = hex(head, content.n);
    head[n++] = '\r';
    head[n++] = '\n';
    struct hub_msg *m = allocate(n + content.n + 2, seq);
    m->inner = (uint16_t)n;
    memcpy(m->bytes, head, n);
    if (content.n > 0)
        memcpy(m->bytes + n, content.p, content.n);
    memcpy(m->bytes + n + content.n, "\r\n", 2);
    return m;
}

struct hub_msg *hub_msg_plain(struct str bytes)
{
    struct hub_msg *m = allocate(bytes.n, 0);
    if (bytes.n > 0)
        memcpy(m->bytes, bytes.p, bytes.n);
    return m;
}

struct hub_msg *hub_msg_ref(struct hub_msg *m)
{
    atomic_fetch_add_explicit(&m->refs, 1, memory_order_relaxed);
    return m;
}

void hub_msg_unref(struct hub_msg *m)
{
    if (!m || atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel) > 1)
        return;
    hub_msg_unref(m->raw);
    free(m);
}

struct str hub_msg_content(const struct hub_msg *m)
{
    if (!m->inner)
        return (struct str){m->bytes, m->len};
    return (struct str){m->bytes + m->inner, m->len - m->inner - 2};
}

struct str hub_msg_bytes(const struct hub_msg *m, bool chunked)
{
    return chunked ? (struct str){m->bytes, m->len} : hub_msg_content(m);
}

size_t hub_msg_cost(const struct hub_msg *m)
{
    return sizeof *m + m->len + 16; /* and malloc's own */
}
