#include "util/base64.h"

/* -1: none */
static int digit_of(char c, enum base64_alphabet alphabet)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (alphabet != BASE64_URL && (c == '+' || c == '/'))
        return c == '+' ? 62 : 63;
    if (alphabet != BASE64_STANDARD && (c == '-' || c == '_'))
        return c == '-' ? 62 : 63;
    return -1;
}

bool base64_decode(struct str s, enum base64_alphabet alphabet, char *out, size_t *n, bool *clean)
{
    unsigned bits = 0, have = 0;
    *n = 0;
    for (size_t i = 0; i < s.n; i++) {
        int digit = digit_of(s.p[i], alphabet);
        if (digit < 0)
            return false;
        bits = (bits << 6 | (unsigned)digit) & 0xffff;
        have += 6;
        if (have >= 8) {
            have -= 8;
            out[(*n)++] = (char)(bits >> have & 0xff);
        }
    }
    if (clean)
        *clean = (bits & ((1u << have) - 1)) == 0;
    return have < 6;
}
