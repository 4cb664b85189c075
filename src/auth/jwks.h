/* jwks: the keys that tokens may be signed with (RFC 7517), and the check of one signature.
 *
 * A set is made from jwt-secret: text (one HS256 key), a JWK, or a JWK set. Each key knows before
 * any token is seen which algorithms it may serve, so a token cannot choose: an RSA key never
 * serves as an HMAC secret, a key with "alg" serves that one alone, one with "use": "enc" none.
 *
 * libjose's configuration object and jansson's values count references without locks: each worker
 * works on its own copy (jwks_copy). jose.h and jansson.h are included by jwks.c alone. */
#ifndef PGH_AUTH_JWKS_H
#define PGH_AUTH_JWKS_H

#include "util/err.h"

struct jwks;

/* NULL with err (400) when the text is no usable key. */
MUSTCHECK struct jwks *jwks_new(struct str secret, struct err *);
struct jwks *jwks_copy(const struct jwks *);
void jwks_free(struct jwks *);

enum jwks_answer {
    JWKS_GOOD,
    JWKS_NO_KEY, /* no key of the set serves this algorithm and key id */
    JWKS_BAD     /* some do, but none made this signature */
};

/* The three parts as they stand in the token (base64url). kid p == NULL: the header names none. */
enum jwks_answer jwks_verify(struct jwks *, struct str alg, struct str kid,
                             const struct str part[3]);

/* base64url without padding (RFC 7515 section 2), strict: no other bytes, no stray bits. False when
 * it is not; out has room for n * 3 / 4 bytes. */
MUSTCHECK bool jwks_base64url(struct str s, char *out, size_t *n);

#endif
