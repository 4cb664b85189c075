#include "auth/jwks.h"

#include <jansson.h>
#include <jose/b64.h>
#include <jose/jwk.h>
#include <jose/jws.h>
#include <stdlib.h>

#include "util/base64.h"
#include "util/log.h"
#include "util/xalloc.h"

#define KEYS_MAX 100
#define HMAC_MIN 32 /* bytes; RFC 7518 section 3.2 for HS256 */

struct key {
    json_t *jwk;
    const char *kid; /* NULL: none */
    unsigned serves; /* bit per row of algorithms[] */
};

struct jwks {
    jose_cfg_t *cfg;
    size_t n;
    struct key keys[KEYS_MAX];
};

static const struct {
    const char *name, *kty, *curve;
    size_t least; /* bytes of an oct key: as many as the hash has (RFC 7518 section 3.2) */
} algorithms[] = {
    {"HS256", "oct", NULL, 32},  {"HS384", "oct", NULL, 48},  {"HS512", "oct", NULL, 64},
    {"RS256", "RSA", NULL, 0},   {"RS384", "RSA", NULL, 0},   {"RS512", "RSA", NULL, 0},
    {"PS256", "RSA", NULL, 0},   {"PS384", "RSA", NULL, 0},   {"PS512", "RSA", NULL, 0},
    {"ES256", "EC", "P-256", 0}, {"ES384", "EC", "P-384", 0}, {"ES512", "EC", "P-521", 0},
};
#define N_ALGORITHMS (sizeof algorithms / sizeof algorithms[0])

static int algorithm(struct str name)
{
    for (size_t i = 0; i < N_ALGORITHMS; i++)
        if (str_eq(name, str_of(algorithms[i].name)))
            return (int)i;
    return -1;
}

/* libjose prints every failed key to stderr unless it is given somewhere to report to. */
static void on_jose_error(void *misc, const char *file, int line, uint64_t error, const char *fmt,
                          va_list args)
{
    (void)misc, (void)file, (void)line, (void)error, (void)fmt, (void)args;
}

static struct jwks *new_set(void)
{
    struct jwks *set = xcalloc(1, sizeof *set);
    set->cfg = jose_cfg();
    if (!set->cfg)
        abort();
    jose_cfg_set_err_func(set->cfg, on_jose_error, NULL);
    return set;
}

void jwks_free(struct jwks *set)
{
    if (!set)
        return;
    for (size_t i = 0; i < set->n; i++)
        json_decref(set->keys[i].jwk);
    jose_cfg_decref(set->cfg);
    free(set);
}

static const char *text_of(const json_t *jwk, const char *name)
{
    return json_string_value(json_object_get(jwk, name));
}

static bool may_verify(const json_t *jwk)
{
    const char *use = text_of(jwk, "use");
    const json_t *ops = json_object_get(jwk, "key_ops");
    if (use && strcmp(use, "sig") != 0)
        return false;
    if (!json_is_array(ops))
        return !ops;
    for (size_t i = 0; i < json_array_size(ops); i++) {
        const char *op = json_string_value(json_array_get(ops, i));
        if (op && (strcmp(op, "verify") == 0 || strcmp(op, "sign") == 0))
            return true;
    }
    return false;
}

/* The algorithms the key may serve; 0 with why when none. */
static unsigned served(const json_t *jwk, const char **why)
{
    const char *kty = text_of(jwk, "kty"), *alg = text_of(jwk, "alg"), *curve = text_of(jwk, "crv");
    unsigned bits = 0;
    *why = "kty is missing";
    if (!kty)
        return 0;
    *why = "it is not for signatures (use, key_ops)";
    if (!may_verify(jwk))
        return 0;
    *why = "its kty, crv and alg are none of HS, RS, PS and ES 256, 384 and 512 (EdDSA is not "
           "supported)";
    for (size_t i = 0; i < N_ALGORITHMS; i++)
        if (strcmp(kty, algorithms[i].kty) == 0 &&
            (!algorithms[i].curve || (curve && strcmp(curve, algorithms[i].curve) == 0)) &&
            (!alg || strcmp(alg, algorithms[i].name) == 0))
            bits |= 1u << i;
    return bits;
}

/* Length of a member's bytes; SIZE_MAX when it is missing or no base64url. */
static size_t decoded(const json_t *jwk, const char *name)
{
    const char *text = text_of(jwk, name);
    size_t n = SIZE_MAX;
    if (!text || !*text)
        return SIZE_MAX;
    char *bytes = xmalloc(strlen(text));
    if (!jwks_base64url(str_of(text), bytes, &n))
        n = SIZE_MAX;
    explicit_bzero(bytes, strlen(text));
    free(bytes);
    return n;
}

/* Has the key what its type needs, in sizes that are safe? */
static bool complete(const json_t *jwk, const char **why)
{
    const char *kty = text_of(jwk, "kty");
    bool oct = strcmp(kty, "oct") == 0, rsa = strcmp(kty, "RSA") == 0;
    size_t n = decoded(jwk, oct ? "k" : rsa ? "n" : "x");
    *why = "a member that its kty needs is missing or is not base64url";
    if (n == SIZE_MAX || (!oct && decoded(jwk, rsa ? "e" : "y") == SIZE_MAX))
        return false;
    *why = oct ? "k is shorter than 32 bytes" : "n is shorter than 2048 bits";
    return n >= (oct ? HMAC_MIN : rsa ? 256 : 0);
}

/* Without the algorithms that need a longer key. */
static unsigned long_enough(const json_t *jwk, unsigned bits)
{
    for (size_t i = 0; i < N_ALGORITHMS; i++)
        if ((bits & 1u << i) && algorithms[i].least && decoded(jwk, "k") < algorithms[i].least)
            bits &= ~(1u << i);
    return bits;
}

/* We only verify: a private key that was given by mistake is reduced to its public half, and
 * key_ops that only name "sign" become "verify". */
static json_t *for_verifying(jose_cfg_t *cfg, const json_t *jwk)
{
    json_t *copy = json_deep_copy(jwk);
    const char *kty = text_of(jwk, "kty");
    if (!copy)
        abort();
    if (strcmp(kty, "oct") != 0)
        (void)jose_jwk_pub(cfg, copy);
    json_object_del(copy, "key_ops");
    json_object_del(copy, "use");
    return copy;
}

static bool add(struct jwks *set, const json_t *jwk, const char **why)
{
    unsigned bits;
    *why = "it is not an object";
    if (!json_is_object(jwk))
        return false;
    bits = served(jwk, why);
    if (!bits || !complete(jwk, why))
        return false;
    *why = "k is shorter than its alg needs: 48 bytes for HS384, 64 for HS512";
    bits = long_enough(jwk, bits);
    if (!bits)
        return false;
    *why = "more than 100 keys";
    if (set->n == KEYS_MAX)
        return false;
    struct key *key = &set->keys[set->n++];
    key->jwk = for_verifying(set->cfg, jwk);
    key->kid = text_of(key->jwk, "kid");
    key->serves = bits;
    return true;
}

static bool add_all(struct jwks *set, const json_t *keys, struct err *err)
{
    const char *why = "it is empty";
    for (size_t i = 0; i < json_array_size(keys); i++)
        if (!add(set, json_array_get(keys, i), &why))
            log_warn("jwt-secret: key %zu of the set is left out: %s", i + 1, why);
    return set->n > 0 ||
           err_set(err, 400, "PGHCONF", "jwt-secret: the set has no usable key: %s", why);
}

static bool add_text(struct jwks *set, struct str secret, struct err *err)
{
    const char *why;
    if (secret.n < HMAC_MIN)
        return err_set(
            err, 400, "PGHCONF",
            "jwt-secret: has %zu bytes; it must be at least 32 long, or a JWK or JWK set",
            secret.n);
    json_t *jwk = json_object();
    json_object_set_new(jwk, "kty", json_string("oct"));
    json_object_set_new(jwk, "alg", json_string("HS256"));
    json_object_set_new(jwk, "k", jose_b64_enc(secret.p, secret.n));
    bool ok = add(set, jwk, &why);
    json_decref(jwk);
    return ok || err_set(err, 400, "PGHCONF", "jwt-secret: cannot be used: %s", why);
}

/* A password may begin with {. But keys with a mistake in them are never taken as text: everybody
 * may know the public ones, and could sign with them. */
static bool no_key_in(struct str secret)
{
    return !memmem(secret.p, secret.n, "\"kty\"", 5) && !memmem(secret.p, secret.n, "\"keys\"", 6);
}

static bool add_json(struct jwks *set, struct str secret, struct err *err)
{
    json_error_t where;
    const char *why;
    json_t *doc = json_loadb(secret.p, secret.n, JSON_REJECT_DUPLICATES, &where);
    bool ok;
    if (!doc && no_key_in(secret)) {
        log_warn("jwt-secret: begins with { but is not JSON: taken as text");
        return add_text(set, secret, err);
    }
    if (!doc)
        return err_set(err, 400, "PGHCONF",
                       "jwt-secret: begins with { but is not JSON: %s (line %d, column %d)",
                       where.text, where.line, where.column);
    const json_t *keys = json_object_get(doc, "keys");
    if (json_is_array(keys))
        ok = add_all(set, keys, err);
    else
        ok = add(set, doc, &why) ||
             err_set(err, 400, "PGHCONF", "jwt-secret: not a usable JWK: %s", why);
    json_decref(doc);
    return ok;
}

struct jwks *jwks_new(struct str secret, struct err *err)
{
    struct jwks *set = new_set();
    struct str start = secret;
    while (start.n && strchr(" \t\r\n", start.p[0]))
        start = str_from(start, 1);
    if (start.n && start.p[0] == '{' ? add_json(set, secret, err) : add_text(set, secret, err))
        return set;
    jwks_free(set);
    return NULL;
}

struct jwks *jwks_copy(const struct jwks *from)
{
    struct jwks *set = new_set();
    set->n = from->n;
    for (size_t i = 0; i < from->n; i++) {
        struct key *key = &set->keys[i];
        key->jwk = json_deep_copy(from->keys[i].jwk);
        if (!key->jwk)
            abort();
        key->kid = text_of(key->jwk, "kid");
        key->serves = from->keys[i].serves;
    }
    return set;
}

static bool same_kid(const struct key *key, struct str kid)
{
    return !kid.p || (key->kid && str_eq(str_of(key->kid), kid));
}

static json_t *signature_object(const struct str part[3])
{
    json_t *jws = json_object();
    if (!jws || json_object_set_new(jws, "protected", json_stringn(part[0].p, part[0].n)) < 0 ||
        json_object_set_new(jws, "payload", json_stringn(part[1].p, part[1].n)) < 0 ||
        json_object_set_new(jws, "signature", json_stringn(part[2].p, part[2].n)) < 0) {
        json_decref(jws);
        return NULL;
    }
    return jws;
}

enum jwks_answer jwks_verify(struct jwks *set, struct str alg, struct str kid,
                             const struct str part[3])
{
    int number = algorithm(alg);
    enum jwks_answer answer = JWKS_NO_KEY;
    json_t *jws = NULL;
    for (size_t i = 0; number >= 0 && i < set->n; i++) {
        const struct key *key = &set->keys[i];
        if (!(key->serves & 1u << number) || !same_kid(key, kid))
            continue;
        answer = JWKS_BAD;
        if (!jws && !(jws = signature_object(part)))
            break;
        if (jose_jws_ver(set->cfg, jws, NULL, key->jwk, false)) {
            answer = JWKS_GOOD;
            break;
        }
    }
    json_decref(jws);
    return answer;
}

bool jwks_base64url(struct str s, char *out, size_t *n)
{
    bool clean;
    return base64_decode(s, BASE64_URL, out, n, &clean) && clean;
}
