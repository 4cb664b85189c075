/* base64: reads RFC 4648's, as credentials, keys and tokens have it. */
#ifndef PGH_UTIL_BASE64_H
#define PGH_UTIL_BASE64_H

#include "util/str.h"

enum base64_alphabet {
    BASE64_STANDARD, /* section 4: + and / */
    BASE64_URL,      /* section 5: - and _ */
    BASE64_EITHER
};

/* s has no padding any more. out has room for three quarters of s.n, and may be s.p itself. False:
 * a character of no digit, or a length that no bytes have. Bits left over at the end are dropped;
 * clean, where given, says whether they were zero. */
MUSTCHECK bool base64_decode(struct str s, enum base64_alphabet, char *out, size_t *n, bool *clean);

#endif
