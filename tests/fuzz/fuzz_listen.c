/* fuzz_listen: any bytes as a request to /listen (path, query and Last-Event-ID, each on its line),
 * and as an event. What the parser takes is what PostgreSQL takes; no payload and no name may forge
 * a line of the stream; the same event says the same in both formats. */
#include "listen/hub.h"
#include "listen/request.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool truth)
{
    if (!truth)
        abort();
}

static void fuzz_request(struct str text)
{
    static const struct conf conf = {
        .listen_channels_max = 20, .listen_buffer = 1024, .listen_buffer_max = 4096};
    struct listen_request out;
    struct arena arena;
    struct err err;
    struct sse_id id;
    struct str path = {NULL, 0}, query = {NULL, 0};
    arena_init(&arena, 1 << 20);
    (void)str_next(&text, '\n', &path);
    (void)str_next(&text, '\n', &query);
    if (listen_request_parse(&arena, &conf, path, query, text, &out, &err)) {
        require(out.n > 0 && out.n <= 20 && out.max_buffer <= 4096);
        for (size_t i = 0; i < out.n; i++) {
            struct str c = out.channels[i];
            require(c.n > 0 && c.n <= HUB_CHANNEL_BYTES_MAX && str_utf8(c) && !memchr(c.p, 0, c.n));
            for (size_t j = 0; j < i; j++)
                require(!str_eq(c, out.channels[j]));
        }
    } else {
        require(err.status == 400 && err.message[0]);
    }
    if (sse_id_parse(text, &id)) {
        struct buf again;
        buf_init(&again, 100);
        sse_id_print(&again, id);
        require(str_eq(buf_str(&again), text));
        buf_fini(&again);
    }
    arena_fini(&arena);
}

/* Every line is one of the grammar's, and the block has one end. */
static void check_block(struct str content, bool raw)
{
    static const char *const fields[] = {"id: ", "event: ", "data: "};
    struct str line;
    size_t n = 0, events = 0;
    require(str_utf8(content) && !memchr(content.p, 0, content.n));
    require(!memchr(content.p, '\r', content.n));
    require(content.n > 2 && content.p[content.n - 1] == '\n' && content.p[content.n - 2] == '\n');
    content.n -= 2;
    while (str_next(&content, '\n', &line)) {
        size_t expected = n == 0 ? 0 : raw && n == 1 ? 1 : 2;
        require(str_starts(line, str_of(fields[expected])));
        events += expected == 2;
        n++;
    }
    require(raw ? events >= 1 : n == 2);
}

static void fuzz_event(struct str text)
{
    struct buf scratch;
    struct str channel;
    if (!str_next(&text, '\n', &channel) || channel.n == 0 ||
        (text.n > 0 && memchr(text.p, 0, text.n)) || memchr(channel.p, 0, channel.n))
        return;
    buf_init(&scratch, BUF_NO_CEILING);
    struct sse_event e = {{0x5f3a9c1e, 17}, channel, text, 1};
    struct hub_msg *m = sse_message(&scratch, &e);
    check_block(hub_msg_content(m), false);
    struct hub_msg *r = sse_message_raw(&scratch, m, e.id, channel);
    check_block(hub_msg_content(r), true);
    require(hub_msg_bytes(m, true).n == m->len);
    hub_msg_unref(m);
    hub_msg_unref(r);
    buf_fini(&scratch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = {(const char *)data, size};
    if (size == 0)
        return 0;
    fuzz_request(text);
    fuzz_event(text);
    return 0;
}
