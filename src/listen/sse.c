#include "listen/sse.h"

#include <assert.h>

#define EPOCH_DIGITS 8

static const char *const reserved_names[] = {"error",    "open", "message",
                                             "overflow", "gap",  "expired"};

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return -1;
}

bool sse_id_parse(struct str text, struct sse_id *out)
{
    *out = (struct sse_id){0};
    if (text.n < EPOCH_DIGITS + 2 || text.p[EPOCH_DIGITS] != '-')
        return false;
    for (size_t i = 0; i < EPOCH_DIGITS; i++) {
        int v = hex_value(text.p[i]);
        if (v < 0)
            return false;
        out->epoch = out->epoch << 4 | (uint32_t)v;
    }
    struct str number = str_from(text, EPOCH_DIGITS + 1);
    if (number.n > 1 && number.p[0] == '0') /* one spelling per id */
        return false;
    return str_u64(number, UINT64_MAX, &out->seq);
}

void sse_id_print(struct buf *out, struct sse_id id)
{
    char hex[EPOCH_DIGITS];
    for (size_t i = 0; i < EPOCH_DIGITS; i++)
        hex[i] = "0123456789abcdef"[id.epoch >> (28 - 4 * i) & 15];
    buf_add(out, hex, sizeof hex);
    buf_char(out, '-');
    buf_u64(out, id.seq);
}

static void id_line(struct buf *out, struct sse_id id)
{
    BUF_LIT(out, "id: ");
    sse_id_print(out, id);
    buf_char(out, '\n');
}

/* Length of the UTF-8 character at s (RFC 3629), 0 when there is none. */
static size_t character(struct str s)
{
    unsigned char c = (unsigned char)s.p[0];
    size_t n = c < 0x80                ? 1
               : c >= 0xc2 && c < 0xe0 ? 2
               : c >= 0xe0 && c < 0xf0 ? 3
               : c >= 0xf0 && c < 0xf5 ? 4
                                       : 0;
    if (n == 0 || n > s.n || !str_utf8((struct str){s.p, n}))
        return 0;
    return n;
}

/* How many bytes from the start of s are plain ASCII and need no escape in JSON. */
static size_t plain_run(struct str s)
{
    size_t i = 0;
    while (i < s.n) {
        unsigned char c = (unsigned char)s.p[i];
        if (c < 0x20 || c >= 0x80 || c == '"' || c == '\\')
            break;
        i++;
    }
    return i;
}

static void json_control(struct buf *out, unsigned char c)
{
    switch (c) {
    case '"': BUF_LIT(out, "\\\""); break;
    case '\\': BUF_LIT(out, "\\\\"); break;
    case '\n': BUF_LIT(out, "\\n"); break;
    case '\r': BUF_LIT(out, "\\r"); break;
    case '\t': BUF_LIT(out, "\\t"); break;
    case '\b': BUF_LIT(out, "\\b"); break;
    case '\f': BUF_LIT(out, "\\f"); break;
    default: {
        char u[6] = {'\\', 'u', '0', '0', "0123456789abcdef"[c >> 4], "0123456789abcdef"[c & 15]};
        buf_add(out, u, sizeof u);
    }
    }
}

#define REPLACEMENT "\xef\xbf\xbd"

/* What ends a line for some clients (httpx-sse and sseclient split as Python's splitlines does),
 * though for no EventSource: U+0085, U+2028 and U+2029 are escaped. NULL: another character. */
static const char *line_escape(struct str c)
{
    if (str_eq(c, STR("\xc2\x85")))
        return "\\u0085";
    if (str_eq(c, STR("\xe2\x80\xa8")))
        return "\\u2028";
    return str_eq(c, STR("\xe2\x80\xa9")) ? "\\u2029" : NULL;
}

static void json_character(struct buf *out, struct str c)
{
    const char *escape = line_escape(c);
    buf_adds(out, escape ? str_of(escape) : c);
}

static void json_inside(struct buf *out, struct str s)
{
    while (s.n > 0) {
        size_t n = plain_run(s);
        if (n == 0 && (unsigned char)s.p[0] < 0x80) {
            json_control(out, (unsigned char)s.p[0]);
            n = 1;
        } else if (n == 0) {
            n = character(s);
            if (n > 0)
                json_character(out, (struct str){s.p, n});
            else
                BUF_LIT(out, REPLACEMENT);
            n += n == 0;
        } else {
            buf_add(out, s.p, n);
        }
        s = str_from(s, n);
    }
}

void sse_json_string(struct buf *out, struct str s)
{
    buf_char(out, '"');
    json_inside(out, s);
    buf_char(out, '"');
}

struct hub_msg *sse_message(struct buf *b, const struct sse_event *e)
{
    buf_clear(b);
    id_line(b, e->id);
    BUF_LIT(b, "data: {\"channel\":");
    sse_json_string(b, e->channel);
    BUF_LIT(b, ",\"payload\":\"");
    size_t at = b->n;
    json_inside(b, e->payload);
    size_t end = b->n;
    BUF_LIT(b, "\",\"pid\":");
    buf_i64(b, e->pid);
    BUF_LIT(b, "}\n\n");
    struct hub_msg *m = hub_msg_new(buf_str(b), e->id.seq);
    m->payload_at = (uint32_t)at;
    m->payload_n = (uint32_t)(end - at);
    return m;
}

/* Percent-encodes what would break the line (and the percent sign, so that it can be undone). */
static void raw_name(struct buf *out, struct str name)
{
    bool tilde = name.n > 0 && name.p[0] == '~';
    for (size_t i = 0; i < sizeof reserved_names / sizeof *reserved_names; i++)
        tilde = tilde || str_eq(name, str_of(reserved_names[i]));
    if (tilde)
        buf_char(out, '~');
    while (name.n > 0) {
        size_t n = character(name);
        char c = name.p[0];
        if (c == '%')
            BUF_LIT(out, "%25");
        else if (c == '\r')
            BUF_LIT(out, "%0D");
        else if (c == '\n')
            BUF_LIT(out, "%0A");
        else if (n == 0)
            BUF_LIT(out, REPLACEMENT);
        else
            buf_add(out, name.p, n);
        name = str_from(name, n ? n : 1);
    }
}

/* The character of a \u escape of ours, in UTF-8. */
static void add_escaped(struct buf *out, unsigned v)
{
    if (v == 0x85)
        BUF_LIT(out, "\xc2\x85");
    else if (v > 0xff)
        buf_adds(out, v == 0x2028 ? STR("\xe2\x80\xa8") : STR("\xe2\x80\xa9"));
    else
        buf_char(out, (char)v);
}

static unsigned json_hex(struct str s)
{
    unsigned v = 0;
    for (size_t i = 0; i < s.n; i++)
        v = v << 4 | (unsigned)hex_value(s.p[i]);
    return v;
}

/* Reads one byte, or one escaped character, of what json_inside wrote; returns how many bytes it
 * took there. */
static size_t unescape(struct str s, unsigned *out)
{
    if (s.p[0] != '\\') {
        *out = (unsigned char)s.p[0];
        return 1;
    }
    assert(s.n >= 2);
    switch (s.p[1]) {
    case 'n': *out = '\n'; return 2;
    case 'r': *out = '\r'; return 2;
    case 't': *out = '\t'; return 2;
    case 'b': *out = '\b'; return 2;
    case 'f': *out = '\f'; return 2;
    case 'u':
        assert(s.n >= 6);
        *out = json_hex((struct str){s.p + 2, 4});
        return 6;
    default: *out = (unsigned char)s.p[1]; return 2;
    }
}

/* A data line for each line of the payload; CR LF, CR and LF end lines. */
static void raw_data(struct buf *out, struct str escaped)
{
    bool after_cr = false;
    BUF_LIT(out, "data: ");
    while (escaped.n > 0) {
        unsigned c;
        size_t n = unescape(escaped, &c);
        escaped = str_from(escaped, n);
        if (c == '\r' || (c == '\n' && !after_cr))
            BUF_LIT(out, "\ndata: ");
        else if (n == 6)
            add_escaped(out, c);
        else if (c != '\n')
            buf_char(out, (char)c);
        after_cr = c == '\r';
    }
    buf_char(out, '\n');
}

struct hub_msg *sse_message_raw(struct buf *b, const struct hub_msg *json, struct sse_id id,
                                struct str channel)
{
    struct str content = hub_msg_content(json);
    assert(json->payload_at + (size_t)json->payload_n <= content.n);
    buf_clear(b);
    id_line(b, id);
    BUF_LIT(b, "event: ");
    raw_name(b, channel);
    buf_char(b, '\n');
    raw_data(b, (struct str){content.p + json->payload_at, json->payload_n});
    buf_char(b, '\n');
    return hub_msg_new(buf_str(b), id.seq);
}

static void id_text_line(struct buf *out, struct str id)
{
    BUF_LIT(out, "id: ");
    buf_adds(out, id);
    buf_char(out, '\n');
}

struct hub_msg *sse_gap(struct buf *b, struct str id, const char *reason)
{
    buf_clear(b);
    id_text_line(b, id);
    BUF_LIT(b, "event: gap\ndata: {\"reason\":");
    sse_json_string(b, str_of(reason));
    BUF_LIT(b, "}\n\n");
    return hub_msg_new(buf_str(b), 0);
}

void sse_overflow_begin(struct buf *b, struct str id, uint64_t dropped)
{
    buf_clear(b);
    id_text_line(b, id);
    BUF_LIT(b, "event: overflow\ndata: {\"dropped\":");
    buf_u64(b, dropped);
    BUF_LIT(b, ",\"channels\":[");
}

void sse_overflow_channel(struct buf *b, struct str channel)
{
    if (b->n > 0 && b->p[b->n - 1] != '[')
        buf_char(b, ',');
    sse_json_string(b, channel);
}

struct hub_msg *sse_overflow_end(struct buf *b)
{
    BUF_LIT(b, "]}\n\n");
    struct hub_msg *m = hub_msg_new(buf_str(b), 0);
    m->marker = true;
    return m;
}

void sse_first(struct buf *out, struct str id)
{
    id_text_line(out, id);
    BUF_LIT(out, "retry: ");
    buf_u64(out, SSE_RETRY_MS);
    BUF_LIT(out, "\n: ok\n\n");
}
