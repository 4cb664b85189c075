#include "json/scan.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

static inline bool special(unsigned char c)
{
    return c < 0x20 || c == '"' || c == '\\';
}

#ifdef __SSE2__
/* Bit i is set where byte i needs care: control characters, quote, backslash, and with high also
 * 0x80.. (signed, those are smaller than 0x20 like the control characters). */
static inline unsigned special_mask(const char *p, bool high)
{
    __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
    __m128i quote =
        _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('"')), _mm_cmpeq_epi8(v, _mm_set1_epi8('\\')));
    __m128i low = high ? _mm_cmplt_epi8(v, _mm_set1_epi8(0x20))
                       : _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(0x1f)), v);
    return (unsigned)_mm_movemask_epi8(_mm_or_si128(quote, low));
}

static inline size_t scan_blocks(const char *p, size_t n, bool high, bool *hit)
{
    size_t i = 0;
    for (; n - i >= 16; i += 16) {
        unsigned mask = special_mask(p + i, high);
        if (mask) {
            *hit = true;
            return i + (size_t)__builtin_ctz(mask);
        }
    }
    return i;
}
#else
static inline size_t scan_blocks(const char *p, size_t n, bool high, bool *hit)
{
    (void)p, (void)n, (void)high, (void)hit;
    return 0;
}
#endif

size_t json_scan_plain(const char *p, size_t n)
{
    bool hit = false;
    size_t i = scan_blocks(p, n, true, &hit);
    while (!hit && i < n && !special((unsigned char)p[i]) && (unsigned char)p[i] < 0x80)
        i++;
    return i;
}

size_t json_scan_unescaped(const char *p, size_t n)
{
    bool hit = false;
    size_t i = scan_blocks(p, n, false, &hit);
    while (!hit && i < n && !special((unsigned char)p[i]))
        i++;
    return i;
}

static inline bool utf8_tail(const unsigned char *p, size_t n, unsigned char low,
                             unsigned char high)
{
    bool good = p[1] >= low && p[1] <= high && (p[2] & 0xc0) == 0x80;
    return good && (n == 3 || (p[3] & 0xc0) == 0x80);
}

/* Length of the valid sequence at p, or 0. */
static inline size_t utf8_sequence(const unsigned char *p, size_t n)
{
    unsigned char c = p[0];
    if (c >= 0xc2 && c <= 0xdf)
        return n >= 2 && (p[1] & 0xc0) == 0x80 ? 2 : 0;
    if (c >= 0xe0 && c <= 0xef)
        return n >= 3 && utf8_tail(p, 3, c == 0xe0 ? 0xa0 : 0x80, c == 0xed ? 0x9f : 0xbf) ? 3 : 0;
    if (c >= 0xf0 && c <= 0xf4)
        return n >= 4 && utf8_tail(p, 4, c == 0xf0 ? 0x90 : 0x80, c == 0xf4 ? 0x8f : 0xbf) ? 4 : 0;
    return 0;
}

size_t json_scan_utf8(const unsigned char *p, size_t n)
{
    size_t i = 0;
    while (i < n && p[i] >= 0x80) {
        size_t length = utf8_sequence(p + i, n - i);
        if (length == 0)
            break;
        i += length;
    }
    return i;
}
