#include "http/negotiate.h"

/* End of the piece that starts at from: the next separator outside quotes, or s.n. */
static size_t piece_end(struct str s, char separator, size_t from)
{
    bool quoted = false;
    for (size_t i = from; i < s.n; i++) {
        char c = s.p[i];
        if (quoted && c == '\\' && i + 1 < s.n)
            i++;
        else if (c == '"')
            quoted = !quoted;
        else if (c == separator && !quoted)
            return i;
    }
    return s.n;
}

static bool next_piece(struct str *rest, char separator, struct str *part)
{
    if (!rest->p)
        return false;
    size_t end = piece_end(*rest, separator, 0);
    *part = str_trim((struct str){rest->p, end});
    *rest = end == rest->n ? (struct str){NULL, 0} : str_from(*rest, end + 1);
    return true;
}

/* qvalue: 0[.ddd] or 1[.000]. */
static bool parse_q(struct str s, unsigned *q)
{
    if (s.n == 0 || s.n > 5 || (s.p[0] != '0' && s.p[0] != '1') || (s.n > 1 && s.p[1] != '.'))
        return false;
    unsigned value = s.p[0] == '1' ? 1000 : 0, weight = 100;
    for (size_t i = 2; i < s.n; i++, weight /= 10) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
        value += (unsigned)(s.p[i] - '0') * weight;
    }
    *q = value;
    return value <= 1000;
}

static bool token_char(unsigned char c)
{
    return c > ' ' && c < 0x7f && !strchr("\"(),:;<=>?@[\\]{}", c);
}

bool accept_next(struct str *rest, struct accept_item *out)
{
    struct str item;
    while (next_piece(rest, ',', &item)) {
        struct str params = item, part;
        *out = (struct accept_item){.q = 1000};
        if (item.n == 0 || !next_piece(&params, ';', &out->range) || out->range.n == 0)
            continue;
        bool ok = true;
        for (size_t i = 0; i < out->range.n; i++)
            ok = ok && token_char((unsigned char)out->range.p[i]);
        const char *end = NULL;
        while (ok && next_piece(&params, ';', &part)) {
            if (part.n >= 2 && (part.p[0] | 0x20) == 'q' && part.p[1] == '=') {
                ok = parse_q(str_from(part, 2), &out->q);
                break; /* what follows q are Accept's own extensions */
            }
            if (!out->params.p)
                out->params.p = part.p;
            end = part.p + part.n;
        }
        if (end)
            out->params.n = (size_t)(end - out->params.p);
        if (ok)
            return true;
    }
    return false;
}

/* How exactly a range names a type: 0 not at all, 1 by any/any, 2 by its first half, 3 whole. */
static unsigned match(struct str range, struct str type)
{
    if (str_eq(range, STR("*/*")) || str_eq(range, STR("*")))
        return 1;
    if (str_ieq(range, type))
        return 3;
    size_t slash = str_find(type, '/', 0);
    if (range.n == slash + 2 && range.p[range.n - 1] == '*' &&
        str_istarts(range, (struct str){type.p, slash + 1}))
        return 2;
    return 0;
}

/* q of one type: the most exact range decides. */
static unsigned quality(struct str accept, struct str type, unsigned *exactness)
{
    struct accept_item item;
    unsigned q = 0;
    *exactness = 0;
    while (accept_next(&accept, &item)) {
        unsigned m = match(item.range, type);
        if (m > *exactness || (m && m == *exactness && item.q > q)) {
            *exactness = m;
            q = item.q;
        }
    }
    return q;
}

size_t negotiate_type(struct str accept, const struct str *offers, size_t n)
{
    size_t best = n;
    unsigned best_q = 0, best_exactness = 0;
    if (!accept.p)
        return 0;
    for (size_t i = 0; i < n; i++) {
        unsigned exactness, q = quality(accept, offers[i], &exactness);
        if (q > best_q || (q && q == best_q && exactness > best_exactness)) {
            best = i;
            best_q = q;
            best_exactness = exactness;
        }
    }
    return best;
}

bool negotiate_gzip(struct str accept_encoding)
{
    struct accept_item item;
    bool by_star = false, named = false, yes = false;
    while (accept_next(&accept_encoding, &item)) {
        if (str_ieq(item.range, STR("gzip")) || str_ieq(item.range, STR("x-gzip"))) {
            named = true;
            yes = yes || item.q > 0;
        } else if (str_eq(item.range, STR("*"))) {
            by_star = item.q > 0;
        }
    }
    return named ? yes : by_star;
}
