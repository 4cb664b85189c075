#include "db/ident.h"

/* Copies s with every c in it doubled. */
static void add_doubling(struct buf *out, struct str s, const char *doubled)
{
    size_t from = 0;
    if (s.n == 0)
        return;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] != doubled[0] && s.p[i] != doubled[1])
            continue;
        buf_add(out, s.p + from, i + 1 - from);
        from = i; /* the character itself once more */
    }
    buf_add(out, s.p + from, s.n - from);
}

void ident_quote(struct buf *out, struct str name)
{
    buf_char(out, '"');
    add_doubling(out, name, "\"\"");
    buf_char(out, '"');
}

void ident_literal(struct buf *out, struct str value)
{
    /* With a backslash the E form means the same whatever standard_conforming_strings says; the
     * space keeps the E apart from a word before it. */
    if (value.n && memchr(value.p, '\\', value.n))
        BUF_LIT(out, " E");
    buf_char(out, '\'');
    add_doubling(out, value, "'\\");
    buf_char(out, '\'');
}
