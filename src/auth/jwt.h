/* jwt: one token (RFC 7519 in the compact form of RFC 7515) -> its claims, or why not.
 *
 * Errors are PostgREST's: PGRST301 for a token that cannot be decoded, PGRST303 for claims that do
 * not hold now. The order of the checks is fixed: parts, header, algorithm, signature, claims,
 * exp, nbf, iat, aud. Nothing of a token is looked at before its signature is good but the header's
 * alg, kid and crit. */
#ifndef PGH_AUTH_JWT_H
#define PGH_AUTH_JWT_H

#include "auth/jspath.h"
#include "auth/jwks.h"
#include "auth/token_cache.h"
#include "util/arena.h"

struct jwt_rules {
    struct jwks *keys;
    const struct jspath *role_path;
    const char *aud; /* NULL: any */
};

#define JWT_SKEW 30 /* seconds that clocks may differ */
#define JWT_MAX 65536

enum jwt_bad {
    JWT_BAD_EXP = 1, /* not a number */
    JWT_BAD_NBF = 2,
    JWT_BAD_IAT = 4,
    JWT_BAD_AUD = 8,   /* neither a string nor an array of strings */
    JWT_OTHER_AUD = 16 /* does not name ours */
};

/* Parts, header, signature, the claims' syntax, the role. Strings live in the arena. */
MUSTCHECK bool jwt_read(const struct jwt_rules *, struct arena *, struct str token,
                        struct token_facts *out, struct err *);
/* exp, nbf, iat (against now, Unix seconds) and aud, in this order. */
MUSTCHECK bool jwt_judge(const struct token_facts *, uint64_t now, struct err *);

#endif
