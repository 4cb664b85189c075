#include "json/writer.h"

#include "json/scan.h"

/* Strings up to this length are written in one pass into room for their worst case (each byte as
 * \u00XX); longer ones in pieces of it. */
#define PIECE 1024
#define WORST 6

static size_t escape_char(char *to, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";
    char short_form = 0;
    switch (c) {
    case '"': short_form = '"'; break;
    case '\\': short_form = '\\'; break;
    case '\b': short_form = 'b'; break;
    case '\f': short_form = 'f'; break;
    case '\n': short_form = 'n'; break;
    case '\r': short_form = 'r'; break;
    case '\t': short_form = 't'; break;
    default: break;
    }
    to[0] = '\\';
    if (short_form) {
        to[1] = short_form;
        return 2;
    }
    memcpy(to + 1, "u00", 3);
    to[4] = hex[c >> 4];
    to[5] = hex[c & 15];
    return 6;
}

/* to has room for WORST * n bytes. */
static size_t escape_piece(char *to, const char *p, size_t n)
{
    size_t w = 0;
    for (size_t i = 0; i < n;) {
        size_t run = json_scan_unescaped(p + i, n - i);
        memcpy(to + w, p + i, run);
        i += run;
        w += run;
        if (i < n)
            w += escape_char(to + w, (unsigned char)p[i++]);
    }
    return w;
}

void json_write_escaped(struct buf *b, struct str s)
{
    while (s.n > 0) {
        size_t run = s.n > PIECE ? json_scan_unescaped(s.p, s.n) : 0;
        if (run > PIECE) { /* one copy for a long stretch that needs no escape */
            buf_add(b, s.p, run);
        } else {
            char exact[PIECE * WORST];
            run = s.n > PIECE ? PIECE : s.n;
            /* Near the ceiling the worst case may not fit although the text does. */
            bool roomy = b->ceiling - b->n >= run * WORST;
            char *to = roomy ? buf_reserve(b, run * WORST) : exact;
            if (!to)
                return;
            size_t n = escape_piece(to, s.p, run);
            if (roomy)
                b->n += n;
            else
                buf_add(b, exact, n);
        }
        s = str_from(s, run);
    }
}

void json_write_string(struct buf *b, struct str s)
{
    buf_char(b, '"');
    json_write_escaped(b, s);
    buf_char(b, '"');
}

void json_write_cstring(struct buf *b, const char *s)
{
    if (s)
        json_write_string(b, str_of(s));
    else
        BUF_LIT(b, "null");
}

void json_write_key(struct buf *b, struct str s)
{
    json_write_string(b, s);
    buf_char(b, ':');
}
