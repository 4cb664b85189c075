/* auth: RFC vectors, every algorithm, the times of claims, hostile tokens, the cache. */
#include "unit.h"

#include <jansson.h>
#include <jose/b64.h>
#include <jose/jwk.h>
#include <jose/jws.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "auth/auth.h"
#include "auth/jwt.h"

#define SECRET "reallyreallyreallyreallyverysafe"

/* A configuration with these options, from arguments. */
static struct conf *conf_of(const char *const *args)
{
    char *argv[16] = {(char *)(uintptr_t) "pghttpd"}, *none[] = {NULL};
    int argc = 1;
    enum conf_action action;
    struct err err = {0};
    for (; *args; args++)
        argv[argc++] = (char *)(uintptr_t)*args;
    struct conf_sources s = {.argc = argc, .argv = argv, .environ = none};
    struct conf *c = conf_load(&s, &action, &err);
    if (!c)
        fail_msg("%s", err.message);
    return c;
}

static struct auth_worker *worker_of(const char *const *args)
{
    struct err err = {0};
    struct conf *c = conf_of(args);
    struct auth *auth = auth_new(c, &err);
    if (!auth)
        fail_msg("%s", err.message);
    struct auth_worker *w = auth_worker_new(auth);
    auth_unref(auth);
    conf_unref(c);
    return w;
}
#define WORKER(...) worker_of((const char *[]){__VA_ARGS__, NULL})

/* HEADER.PAYLOAD signed by libjose with the key; header must name alg. */
static char *sign_with(const json_t *jwk, const char *header, const char *payload, size_t n)
{
    json_t *jws = json_pack("{s:o}", "payload", jose_b64_enc(payload, n));
    json_t *sig = json_pack("{s:o}", "protected", json_loads(header, 0, NULL));
    assert_true(jose_jws_sig(NULL, jws, sig, jwk));
    const char *h = json_string_value(json_object_get(jws, "protected"));
    const char *p = json_string_value(json_object_get(jws, "payload"));
    const char *s = json_string_value(json_object_get(jws, "signature"));
    size_t room = strlen(h) + strlen(p) + strlen(s) + 3;
    char *token = malloc(room);
    snprintf(token, room, "%s.%s.%s", h, p, s);
    json_decref(jws);
    json_decref(sig);
    return token;
}

static json_t *secret_key(const char *alg, const char *secret)
{
    return json_pack("{s:s,s:s,s:o}", "kty", "oct", "alg", alg, "k",
                     jose_b64_enc(secret, strlen(secret)));
}

static char *sign(const char *payload)
{
    json_t *jwk = secret_key("HS256", SECRET);
    char *token = sign_with(jwk, "{\"alg\":\"HS256\"}", payload, strlen(payload));
    json_decref(jwk);
    return token;
}

struct asked {
    bool ok;
    struct auth_identity id;
    struct err err;
    struct arena arena;
};

static struct asked ask(struct auth_worker *w, const char *token, const char *anon)
{
    struct asked a = {0};
    size_t room = strlen(token) + 8;
    char *header = malloc(room);
    snprintf(header, room, "Bearer %s", token);
    arena_init(&a.arena, 1024 * 1024);
    a.ok = auth_identify(w, &a.arena, str_of(header), str_of(anon), &a.id, &a.err);
    free(header);
    return a;
}

static void good(struct auth_worker *w, const char *token, const char *role)
{
    struct asked a = ask(w, token, "anon");
    if (!a.ok)
        fail_msg("%s %s (%s)", a.err.code, a.err.message, a.err.details ? a.err.details : "");
    assert_int_equal(a.id.role.n, strlen(role));
    assert_memory_equal(a.id.role.p, role, strlen(role));
    arena_fini(&a.arena);
}

static void bad(struct auth_worker *w, const char *token, const char *code, const char *message)
{
    struct asked a = ask(w, token, "anon");
    if (a.ok)
        fail_msg("taken: %s", token);
    assert_string_equal(a.err.code, code);
    if (strcmp(a.err.message, message) != 0)
        fail_msg("\"%s\" instead of \"%s\" for %.80s", a.err.message, message, token);
    assert_int_equal(a.err.status, strcmp(code, "PGRST300") == 0 ? 500 : 401);
    arena_fini(&a.arena);
}

#define KEY "No suitable key or wrong key type"
#define CRYPTO "JWT cryptographic operation failed"
#define DECODE "JWT couldn't be decoded"

/* RFC 7515, appendix A: the claims of A.1 to A.3 expired in 2011. */
#define RFC_PAYLOAD                                                                                \
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0"     \
    "cnVlfQ"
#define RFC_A1_KEY                                                                                 \
    "{\"kty\":\"oct\",\"k\":\"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-"                                 \
    "EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow\"}"
#define RFC_A1                                                                                     \
    "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9." RFC_PAYLOAD                                        \
    ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
#define RFC_A2_KEY                                                                                 \
    "{\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":"                                                       \
    "\"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0"  \
    "Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z" \
    "5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGh" \
    "yxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ\"}"
#define RFC_A2                                                                                     \
    "eyJhbGciOiJSUzI1NiJ9." RFC_PAYLOAD                                                            \
    ".cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2F"  \
    "p5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBM"  \
    "Hlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2"  \
    "w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"
#define RFC_A3_KEY                                                                                 \
    "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","     \
    "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}"
#define RFC_A3                                                                                     \
    "eyJhbGciOiJFUzI1NiJ9." RFC_PAYLOAD                                                            \
    ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
#define RFC_A4_KEY                                                                                 \
    "{\"kty\":\"EC\",\"crv\":\"P-521\",\"x\":"                                                     \
    "\"AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk\"" \
    ",\"y\":"                                                                                      \
    "\"ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2\"" \
    "}"
#define RFC_A4                                                                                     \
    "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA."                                                             \
    "AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw_7XdtAG8G" \
    "aSwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn"
/* A.5: unsecured */
#define RFC_A5 "eyJhbGciOiJub25lIn0." RFC_PAYLOAD "."

/* Judged at a given time. */
static const char *judged_at(const char *key, const char *token, uint64_t now)
{
    static char message[1024];
    struct err err = {0};
    struct arena a;
    struct token_facts f;
    struct jspath *path = jspath_new(STR("$.role"), &err);
    struct jwks *keys = jwks_new(str_of(key), &err);
    if (!keys)
        fail_msg("%s", err.message);
    struct jwt_rules rules = {.keys = keys, .role_path = path};
    arena_init(&a, 1024 * 1024);
    bool ok = jwt_read(&rules, &a, str_of(token), &f, &err) && jwt_judge(&f, now, &err);
    snprintf(message, sizeof message, "%s", ok ? "ok" : err.message);
    arena_fini(&a);
    jwks_free(keys);
    jspath_free(path);
    return message;
}

static void rfc_vectors(void **state)
{
    static const struct {
        const char *key, *token;
    } good_ones[] = {{RFC_A1_KEY, RFC_A1}, {RFC_A2_KEY, RFC_A2}, {RFC_A3_KEY, RFC_A3}};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        assert_string_equal(judged_at(good_ones[i].key, good_ones[i].token, 1300819380), "ok");
        assert_string_equal(judged_at(good_ones[i].key, good_ones[i].token, 1300819380 + 30), "ok");
        assert_string_equal(judged_at(good_ones[i].key, good_ones[i].token, 1300819380 + 31),
                            "JWT expired");
        for (size_t k = 0; k < 3; k++)
            if (k != i)
                assert_string_equal(judged_at(good_ones[k].key, good_ones[i].token, 1300819380),
                                    KEY);
    }
    assert_string_equal(judged_at(RFC_A4_KEY, RFC_A4, 1), "Parsing claims failed");
    assert_string_equal(judged_at(RFC_A1_KEY, RFC_A5, 1),
                        "Wrong or unsupported encoding algorithm");
}

static void every_algorithm(void **state)
{
    static const char *const algs[] = {"HS256", "HS384", "HS512", "RS256", "RS384", "RS512",
                                       "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"};
    (void)state;
    for (size_t i = 0; i < 12; i++) {
        char header[64], other[64];
        json_t *jwk = json_pack("{s:s}", "alg", algs[i]);
        assert_true(jose_jwk_gen(NULL, jwk));
        json_t *public = json_deep_copy(jwk);
        if (i >= 3)
            assert_true(jose_jwk_pub(NULL, public));
        char *private_text = json_dumps(jwk, 0), *public_text = json_dumps(public, 0);
        snprintf(header, sizeof header, "{\"alg\":\"%s\"}", algs[i]);
        snprintf(other, sizeof other, "{\"alg\":\"%s\"}", algs[(i + 1) % 12]);
        char *token = sign_with(jwk, header, "{\"role\":\"r\"}", 12);
        assert_string_equal(judged_at(public_text, token, 1), "ok");
        assert_string_equal(judged_at(private_text, token, 1), "ok");
        /* one bit of each part turned */
        for (char *dot = token; dot; dot = strchr(dot + 1, '.')) {
            char *at = dot == token ? token + 12 : dot + 3, was = *at;
            *at = was == 'A' ? 'B' : 'A';
            assert_string_not_equal(judged_at(public_text, token, 1), "ok");
            *at = was;
        }
        /* the algorithm is the key's, not the token's */
        json_object_set_new(jwk, "alg", json_string(algs[(i + 1) % 12]));
        char *wrong = json_dumps(jwk, 0);
        struct err err;
        struct jwks *keys = jwks_new(str_of(wrong), &err);
        if (keys) {
            jwks_free(keys);
            assert_string_equal(judged_at(wrong, token, 1), KEY);
        }
        free(wrong);
        free(token);
        free(private_text);
        free(public_text);
        json_decref(jwk);
        json_decref(public);
    }
}

static void key_sets(void **state)
{
    (void)state;
    json_t *a = json_pack("{s:s,s:s}", "alg", "ES256", "kid", "a");
    json_t *b = json_pack("{s:s,s:s}", "alg", "ES256", "kid", "b");
    json_t *c = json_pack("{s:s}", "alg", "ES256");
    assert_true(jose_jwk_gen(NULL, a) && jose_jwk_gen(NULL, b) && jose_jwk_gen(NULL, c));
    json_t *set = json_pack("{s:[O,O,O,{s:s,s:s,s:s}]}", "keys", a, b, c, "kty", "OKP", "crv",
                            "Ed25519", "x", "AAAA");
    char *text = json_dumps(set, 0);
    char *t = sign_with(b, "{\"alg\":\"ES256\"}", "{}", 2);
    assert_string_equal(judged_at(text, t, 1), "ok"); /* no kid: each is tried */
    free(t);
    t = sign_with(b, "{\"alg\":\"ES256\",\"kid\":\"b\"}", "{}", 2);
    assert_string_equal(judged_at(text, t, 1), "ok");
    free(t);
    t = sign_with(b, "{\"alg\":\"ES256\",\"kid\":\"a\"}", "{}", 2);
    assert_string_equal(judged_at(text, t, 1), KEY);
    free(t);
    t = sign_with(c, "{\"alg\":\"ES256\",\"kid\":\"c\"}", "{}", 2); /* a key without kid */
    assert_string_equal(judged_at(text, t, 1), KEY);
    free(t);
    free(text);
    json_decref(set);
    json_decref(a);
    json_decref(b);
    json_decref(c);
}

static void bad_keys(void **state)
{
    static const struct {
        const char *secret, *word;
    } all[] = {
        {"short", "32"},
        {"{", "32"},
        {"{}", "kty"},
        {"{\"keys\":[]}", "no usable key"},
        {"{\"keys\":[1]}", "no usable key"},
        {"{\"kty\":\"oct\",\"k\":\"AAAA\"}", "32 bytes"},
        {"{\"kty\":\"oct\"}", "missing"},
        {"{\"kty\":\"oct\",\"k\":\"!!!\"}", "base64url"},
        {"{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}", "2048"},
        {"{\"kty\":\"RSA\",\"e\":\"AQAB\"}", "missing"},
        {"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AA\"}", "missing"},
        {"{\"kty\":\"EC\",\"crv\":\"P-224\",\"x\":\"AA\",\"y\":\"AA\"}", "none of"},
        {"{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AA\"}", "EdDSA"},
        {"{\"kty\":\"oct\",\"alg\":\"RS256\",\"k\":\"AA\"}", "none of"},
        {"{\"kty\":\"oct\",\"use\":\"enc\",\"k\":\"AA\"}", "not for signatures"},
        {"{\"kty\":\"oct\",\"key_ops\":[\"encrypt\"],\"k\":\"AA\"}", "not for signatures"},
        {"{\"kty\":\"oct\",\"alg\":\"HS512\",\"k\":"
         "\"a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s\"}",
         "64 for HS512"},
        {"{\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"long enough for a text\"", "not JSON"},
        {"{\"keys\":[{a comma is missing, or so it seems}]}", "not JSON"},
        {"{password that is too short}", "32"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        struct err err = {0};
        struct jwks *keys = jwks_new(str_of(all[i].secret), &err);
        if (keys)
            fail_msg("taken: %s", all[i].secret);
        if (!strstr(err.message, all[i].word))
            fail_msg("\"%s\" is missing in: %s", all[i].word, err.message);
    }
    struct err err; /* a password may begin like that */
    struct jwks *keys = jwks_new(STR("{Xw8)-long-enough-for-a-good-key-\"k\""), &err);
    assert_non_null(keys);
    jwks_free(keys);
}

static void claims_and_times(void **state)
{
    (void)state;
    static const struct {
        const char *payload, *answer;
    } all[] = {
        {"{}", "ok"},
        {"{\"exp\":1000}", "ok"},
        {"{\"exp\":970}", "ok"},
        {"{\"exp\":969}", "JWT expired"},
        {"{\"exp\":969.9}", "JWT expired"},
        {"{\"exp\":1e3}", "ok"},
        {"{\"exp\":0}", "JWT expired"},
        {"{\"exp\":-5}", "JWT expired"},
        {"{\"exp\":1e300}", "ok"},
        {"{\"exp\":null}", "ok"},
        {"{\"exp\":\"1000\"}", "The JWT 'exp' claim must be a number"},
        {"{\"exp\":true}", "The JWT 'exp' claim must be a number"},
        {"{\"exp\":[1000]}", "The JWT 'exp' claim must be a number"},
        {"{\"nbf\":1030}", "ok"},
        {"{\"nbf\":1031}", "JWT not yet valid"},
        {"{\"nbf\":{}}", "The JWT 'nbf' claim must be a number"},
        {"{\"iat\":1030}", "ok"},
        {"{\"iat\":1031}", "JWT issued at future"},
        {"{\"iat\":\"x\"}", "The JWT 'iat' claim must be a number"},
        {"{\"aud\":7,\"iat\":\"x\",\"nbf\":99999,\"exp\":1}", "JWT expired"},
        {"{\"aud\":7,\"iat\":\"x\",\"nbf\":99999}", "JWT not yet valid"},
        {"{\"aud\":7,\"iat\":\"x\"}", "The JWT 'iat' claim must be a number"},
        {"{\"aud\":7}", "The JWT 'aud' claim must be a string or an array of strings"},
        {"{\"aud\":[\"a\",7]}", "The JWT 'aud' claim must be a string or an array of strings"},
        {"{\"aud\":{}}", "The JWT 'aud' claim must be a string or an array of strings"},
        {"{\"aud\":\"anybody\"}", "ok"},
        {"{\"exp\":1,\"exp\":1000}", "ok"}, /* the last one counts */
        {"{\"exp\":1000,\"exp\":1}", "JWT expired"},
        {"[]", "Parsing claims failed"},
        {"\"x\"", "Parsing claims failed"},
        {"{\"a\":1,}", "Parsing claims failed"},
        {"{\"a\":\"\\u0000\"}", "Parsing claims failed"},
        {"{\"a\":\"\xff\"}", "Parsing claims failed"},
        {"{\"a\":\"\\ud800\"}", "Parsing claims failed"},
        {"{} {}", "Parsing claims failed"},
        {"", "Parsing claims failed"},
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        char *token = sign(all[i].payload);
        const char *answer = judged_at(SECRET, token, 1000);
        if (strcmp(answer, all[i].answer) != 0)
            fail_msg("%s: \"%s\" instead of \"%s\"", all[i].payload, answer, all[i].answer);
        free(token);
    }
}

static void audience(void **state)
{
    (void)state;
    static const struct {
        const char *payload;
        bool ok;
    } all[] = {{"{\"aud\":\"me\"}", true},
               {"{\"aud\":\"you\"}", false},
               {"{\"aud\":[\"you\",\"me\"]}", true},
               {"{\"aud\":[\"you\"]}", false},
               {"{\"aud\":[]}", true},
               {"{\"aud\":null}", true},
               {"{}", true},
               {"{\"aud\":\"\"}", false},
               {"{\"aud\":\"me \"}", false}};
    struct auth_worker *w = WORKER("--jwt-secret", SECRET, "--jwt-aud", "me");
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        char *token = sign(all[i].payload);
        if (all[i].ok)
            good(w, token, "anon");
        else
            bad(w, token, "PGRST303", "JWT not in audience");
        free(token);
    }
    auth_worker_free(w);
}

static char *part(const char *text, size_t n)
{
    json_t *s = jose_b64_enc(text, n);
    char *out = strdup(json_string_value(s));
    json_decref(s);
    return out;
}

/* A token whose header is any text, signed properly with the secret as HS256. */
static char *forge(const char *header, size_t n, const char *payload)
{
    json_t *jwk = secret_key("HS256", SECRET);
    char *good_token = sign_with(jwk, "{\"alg\":\"HS256\"}", payload, strlen(payload));
    char *h = part(header, n);
    size_t room = strlen(h) + strlen(good_token) + 1;
    char *out = malloc(room);
    snprintf(out, room, "%s%s", h, strchr(good_token, '.'));
    free(h);
    free(good_token);
    json_decref(jwk);
    return out;
}

static void hostile_headers(void **state)
{
    static const struct {
        const char *header, *message;
    } all[] = {
        {"{\"alg\":\"none\"}", "Wrong or unsupported encoding algorithm"},
        {"{\"alg\":\"None\"}", "Wrong or unsupported encoding algorithm"},
        {"{\"alg\":\"NONE\",\"typ\":\"JWT\"}", "Wrong or unsupported encoding algorithm"},
        {"{\"alg\":\"nOnE\"}", "Wrong or unsupported encoding algorithm"},
        {"{\"alg\":\"\"}", KEY},
        {"{\"alg\":\"HS256 \"}", KEY},
        {"{\"alg\":\"hs256\"}", KEY},
        {"{\"alg\":\"HS384\"}", KEY},
        {"{\"alg\":\"HS512\"}", KEY},
        {"{\"alg\":\"RS256\"}", KEY},
        {"{\"alg\":\"ES256\"}", KEY},
        {"{\"alg\":\"EdDSA\"}", KEY},
        {"{\"alg\":\"A256GCMKW\"}", KEY},
        {"{\"alg\":256}", DECODE},
        {"{\"alg\":null}", DECODE},
        {"{\"alg\":[\"HS256\"]}", DECODE},
        {"{\"alg\":\"HS256\",\"alg\":\"none\"}", DECODE},
        {"{\"alg\":\"none\",\"alg\":\"HS256\"}", DECODE},
        {"{\"alg\":\"HS256\",\"crit\":[\"exp\"],\"exp\":1}", DECODE},
        {"{\"alg\":\"HS256\",\"crit\":[\"b64\"],\"b64\":false}", DECODE},
        {"{\"alg\":\"dir\",\"enc\":\"A128GCM\"}", DECODE},
        {"{\"alg\":\"HS256\",\"kid\":\"../../etc/passwd\"}", KEY},
        {"{\"alg\":\"HS256\",\"kid\":7}", DECODE},
        {"{\"alg\":\"HS256\",\"kid\":\"\"}", KEY},
        /* keys that the token brings along are never used */
        {"{\"alg\":\"HS256\",\"jwk\":{\"kty\":\"oct\",\"k\":\"AAAA\"}}", KEY},
        {"{\"alg\":\"HS256\",\"jku\":\"http://127.0.0.1/\",\"x5u\":\"http://127.0.0.1/\"}", KEY},
        {"{}", DECODE},
        {"[]", DECODE},
        {"\"HS256\"", DECODE},
        {"{\"alg\":\"HS256\"", DECODE},
        {"{\"alg\":\"HS256\"}x", DECODE},
        {"{'alg':'HS256'}", DECODE},
        {"{\"alg\":\"HS256\xff\"}", DECODE},
        {"", DECODE},
        {"null", DECODE},
    };
    (void)state;
    struct auth_worker *w = WORKER("--jwt-secret", SECRET);
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        char *token = forge(all[i].header, strlen(all[i].header), "{\"role\":\"root\"}");
        bad(w, token, "PGRST301", all[i].message);
        free(token);
    }
    char *zero = forge("{\"alg\":\"HS256\"}\0", 16, "{\"role\":\"root\"}");
    bad(w, zero, "PGRST301", DECODE);
    free(zero);
    assert_int_equal(auth_worker_counts(w).entries, 0);
    auth_worker_free(w);
}

static void hostile_tokens(void **state)
{
    (void)state;
    struct auth_worker *w = WORKER("--jwt-secret", SECRET);
    char *token = sign("{\"role\":\"web\"}"), text[4096];
    good(w, token, "web");
    size_t n = strlen(token), signature = (size_t)(strrchr(token, '.') - token) + 1;
    bad(w, "", "PGRST301", "Empty JWT is sent in Authorization header");
    bad(w, "x", "PGRST301", "Expected 3 parts in JWT; got 1");
    bad(w, "x.y", "PGRST301", "Expected 3 parts in JWT; got 2");
    bad(w, "x.y.z.u", "PGRST301", "Expected 3 parts in JWT; got 4");
    bad(w, "a.b.c.d.e", "PGRST301", "Expected 3 parts in JWT; got 5"); /* encrypted ones */
    bad(w, "..", "PGRST301", DECODE);
    bad(w, "....", "PGRST301", "Expected 3 parts in JWT; got 5");
    for (size_t cut = 1; cut < n; cut += 3) { /* cut off anywhere */
        snprintf(text, sizeof text, "%.*s", (int)(n - cut), token);
        struct asked a = ask(w, text, "anon");
        assert_false(a.ok);
        arena_fini(&a.arena);
    }
    snprintf(text, sizeof text, "%.*s", (int)signature, token); /* no signature */
    bad(w, text, "PGRST301", KEY);
    snprintf(text, sizeof text, "%s=", token);
    bad(w, text, "PGRST301", CRYPTO);
    snprintf(text, sizeof text, "%sA", token);
    bad(w, text, "PGRST301", KEY);
    snprintf(text, sizeof text, "%sAA", token);
    bad(w, text, "PGRST301", CRYPTO);
    snprintf(text, sizeof text, "%.*s+%s", (int)signature, token, token + signature + 1);
    bad(w, text, "PGRST301", CRYPTO);
    snprintf(text, sizeof text, "\xc3\xa9%s", token);
    bad(w, text, "PGRST301", CRYPTO);
    snprintf(text, sizeof text, "%s", token);
    text[n - 1] = text[n - 1] == 'A' ? 'B' : (char)(text[n - 1] ^ 1); /* stray bits at the end */
    struct asked stray = ask(w, text, "anon");
    assert_false(stray.ok);
    arena_fini(&stray.arena);
    /* a giant one */
    char *giant = malloc(200001);
    memset(giant, 'A', 200000);
    giant[200000] = '\0';
    giant[100] = giant[200] = '.';
    bad(w, giant, "PGRST301", DECODE);
    free(giant);
    /* deeply nested claims, well signed */
    char deep[2400] = "{\"role\":";
    memset(deep + 8, '[', 1000);
    memset(deep + 1008, ']', 1000);
    memcpy(deep + 2008, "}", 2);
    char *nested = sign(deep);
    bad(w, nested, "PGRST303", "Parsing claims failed");
    free(nested);
    assert_int_equal(auth_worker_counts(w).entries, 1);
    free(token);
    auth_worker_free(w);
}

/* A public key must not serve as the secret of an HMAC. */
static void confusion(void **state)
{
    (void)state;
    json_t *jwk = json_pack("{s:s}", "alg", "RS256");
    assert_true(jose_jwk_gen(NULL, jwk) && jose_jwk_pub(NULL, jwk));
    char *text = json_dumps(jwk, 0);
    json_t *as_secret = secret_key("HS256", text);
    char *token = sign_with(as_secret, "{\"alg\":\"HS256\"}", "{\"role\":\"root\"}", 15);
    struct auth_worker *w = WORKER("--jwt-secret", text);
    bad(w, token, "PGRST301", KEY);
    auth_worker_free(w);
    json_object_del(jwk, "alg");
    char *without_alg = json_dumps(jwk, 0);
    w = WORKER("--jwt-secret", without_alg);
    bad(w, token, "PGRST301", KEY);
    auth_worker_free(w);
    free(without_alg);
    free(token);
    free(text);
    json_decref(as_secret);
    json_decref(jwk);
}

static void identities(void **state)
{
    (void)state;
    struct err err = {0};
    struct arena a;
    struct auth_identity id;
    struct auth_worker *w = WORKER("--jwt-secret", SECRET), *bare = WORKER("--db-pool", "2");
    arena_init(&a, 1024 * 1024);
    assert_true(auth_identify(w, &a, (struct str){NULL, 0}, STR("anon"), &id, &err));
    assert_true(id.anonymous);
    assert_str(id.role, "anon");
    assert_str(id.claims, "{\"role\":\"anon\"}");
    assert_true(auth_identify(w, &a, STR("Basic dTpw"), STR("we\"b"), &id, &err));
    assert_str(id.claims, "{\"role\":\"we\\\"b\"}");
    assert_false(auth_identify(w, &a, (struct str){NULL, 0}, (struct str){NULL, 0}, &id, &err));
    assert_string_equal(err.code, "PGRST302");
    assert_str(auth_challenge(&a, &err), "Bearer");
    char *token = sign("{\"role\":\"web\",\"n\":1.50,\"big\":12345678901234567890,\"role\":\"x\"}");
    struct asked q = ask(w, token, "anon");
    assert_true(q.ok);
    assert_false(q.id.anonymous);
    assert_str(q.id.claims, "{\"n\":1.50,\"big\":12345678901234567890,\"role\":\"x\"}");
    arena_fini(&q.arena);
    bad(bare, token, "PGRST300", "Server lacks JWT secret");
    free(token);
    token = sign("{\"exp\":99999999999}");
    q = ask(w, token, "anon");
    assert_str(q.id.claims, "{\"exp\":99999999999,\"role\":\"anon\"}");
    assert_int_equal(q.id.exp, 99999999999);
    assert_false(q.id.anonymous);
    arena_fini(&q.arena);
    q = ask(w, token, NULL);
    assert_string_equal(q.err.code, "PGRST302");
    arena_fini(&q.arena);
    assert_true(auth_token(w, &a, str_of(token), &id, &err));
    assert_int_equal(id.role.n, 0);
    assert_str(id.claims, "{\"exp\":99999999999}");
    free(token);
    token = sign("{\"role\":{\"a\":[1,null,true,\"x\"]}}");
    good(w, token, "{\"a\":[1,null,true,\"x\"]}");
    free(token);
    assert_false(auth_identify(w, &a, STR("Bearer"), STR("anon"), &id, &err));
    assert_str(auth_challenge(&a, &err), "Bearer error=\"invalid_token\", error_description="
                                         "\"Empty JWT is sent in Authorization header\"");
    assert_true(auth_identify(w, &a, STR("Bearerx y"), STR("anon"), &id, &err));
    assert_true(id.anonymous);
    struct err other = {.code = "42501"};
    assert_int_equal(auth_challenge(&a, &other).n, 0);
    arena_fini(&a);
    auth_worker_free(w);
    auth_worker_free(bare);
}

#define LETTERS_63 "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijk"

/* PostgreSQL takes SET ROLE none as the login itself. */
static void no_roles(void **state)
{
    (void)state;
    struct auth_worker *w = WORKER("--jwt-secret", SECRET);
    static const char *const all[][2] = {
        {"{\"role\":\"none\"}", "role \"none\" does not exist"},
        {"{\"role\":\"web\",\"role\":\"none\"}", "role \"none\" does not exist"},
        {"{\"role\":\"\"}", "role \"\" does not exist"},
        /* 64 bytes, which PostgreSQL would cut to a role that may exist */
        {"{\"role\":\"" LETTERS_63 "x\"}", "role \"" LETTERS_63 "x\" does not exist"},
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        char *token = sign(all[i][0]);
        bad(w, token, "22023", all[i][1]);
        free(token);
    }
    char *token = sign("{\"role\":\"None\"}"); /* another name, which a role may have */
    good(w, token, "None");
    free(token);
    token = sign("{\"role\":\"" LETTERS_63 "\"}");
    good(w, token, LETTERS_63);
    free(token);
    auth_worker_free(w);
}

static void schemes(void **state)
{
    static const struct {
        const char *header, *token;
    } all[] = {{"Bearer x", "x"}, {"bearer x", "x"}, {"BEARER   x  ", "x"}, {"Bearer\tx", "x"},
               {"Bearer", ""},    {"Bearer ", ""},   {"Basic x", NULL},     {"", NULL},
               {"Bearerx", NULL}, {"x", NULL}};
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        struct str token;
        assert_int_equal(auth_bearer(str_of(all[i].header), &token), all[i].token != NULL);
        if (all[i].token)
            assert_str(token, all[i].token);
    }
}

static void cache(void **state)
{
    (void)state;
    struct auth_worker *w = WORKER("--jwt-secret", SECRET, "--jwt-cache-max-entries", "3");
    char *tokens[10], payload[64];
    for (int i = 0; i < 10; i++) {
        snprintf(payload, sizeof payload, "{\"role\":\"r%d\"}", i);
        tokens[i] = sign(payload);
    }
    for (int round = 0; round < 5; round++)
        for (int i = 0; i < 10; i++) {
            good(w, tokens[0], "r0"); /* a favourite stays */
            snprintf(payload, sizeof payload, "r%d", i);
            good(w, tokens[i], payload);
        }
    struct auth_counts counts = auth_worker_counts(w);
    assert_int_equal(counts.entries, 3);
    assert_int_equal(counts.requests, 100);
    assert_true(counts.hits >= 49 && counts.hits < 70);
    assert_true(counts.evictions >= 40);
    for (int i = 0; i < 10; i++)
        free(tokens[i]);
    auth_worker_free(w);
}

static void cache_respects_time_and_keys(void **state)
{
    (void)state;
    char payload[64];
    struct err err = {0};
    struct auth_worker *w = WORKER("--jwt-secret", SECRET);
    snprintf(payload, sizeof payload, "{\"role\":\"r\",\"exp\":%lld}", (long long)time(NULL) - 29);
    char *token = sign(payload);
    good(w, token, "r");
    assert_int_equal(auth_worker_counts(w).entries, 1);
    /* the same token once its grace is over: judged again although it is cached */
    struct timespec pause = {.tv_nsec = 20000000};
    time_t deadline = time(NULL) + 5;
    struct asked a = ask(w, token, "anon");
    while (a.ok && time(NULL) < deadline) {
        arena_fini(&a.arena);
        nanosleep(&pause, NULL);
        a = ask(w, token, "anon");
    }
    assert_false(a.ok);
    assert_string_equal(a.err.message, "JWT expired");
    arena_fini(&a.arena);
    free(token);
    token = sign("{\"role\":\"r\"}");
    good(w, token, "r");
    /* the same keys: the cache stays; other keys: it is gone */
    struct conf *same = conf_of((const char *[]){"--jwt-secret", SECRET, "--db-pool=3", NULL});
    struct conf *other =
        conf_of((const char *[]){"--jwt-secret", "another secret of thirty-two bytes", NULL});
    struct auth *same_auth = auth_new(same, &err), *other_auth = auth_new(other, &err);
    auth_worker_set(w, same_auth);
    assert_int_equal(auth_worker_counts(w).entries, 2);
    good(w, token, "r");
    auth_worker_set(w, other_auth);
    assert_int_equal(auth_worker_counts(w).entries, 0);
    bad(w, token, "PGRST301", KEY);
    auth_unref(same_auth);
    auth_unref(other_auth);
    conf_unref(same);
    conf_unref(other);
    free(token);
    auth_worker_free(w);
}

static void strangers_cannot_fill_it(void **state)
{
    (void)state;
    struct auth_worker *w = WORKER("--jwt-secret", SECRET, "--jwt-aud", "me");
    char *good_token = sign("{\"role\":\"r\",\"aud\":\"you\"}"), text[400];
    for (int i = 0; i < 200; i++) {
        snprintf(text, sizeof text, "eyJhbGciOiJIUzI1NiJ9.e30.%043d", i);
        struct asked a = ask(w, text, "anon");
        assert_false(a.ok);
        arena_fini(&a.arena);
    }
    bad(w, good_token, "PGRST303", "JWT not in audience");
    assert_int_equal(auth_worker_counts(w).entries, 0);
    free(good_token);
    auth_worker_free(w);
}

static void no_cache(void **state)
{
    (void)state;
    struct auth_worker *w = WORKER("--jwt-secret", SECRET, "--jwt-cache-max-entries=0");
    char *token = sign("{\"role\":\"r\"}");
    good(w, token, "r");
    good(w, token, "r");
    assert_int_equal(auth_worker_counts(w).hits, 0);
    free(token);
    auth_worker_free(w);
}

static void claim_lists(void **state)
{
    (void)state;
    struct auth_identity id = {
        .claims = STR("{\"channels\":[\"orders\",\"room-*\",7],\"notify\":\"*\",\"x\":7}")};
    assert_true(auth_claim_allows(&id, STR("channels"), STR("orders")));
    assert_true(auth_claim_allows(&id, STR("channels"), STR("room-1")));
    assert_true(auth_claim_allows(&id, STR("channels"), STR("room-")));
    assert_false(auth_claim_allows(&id, STR("channels"), STR("room")));
    assert_false(auth_claim_allows(&id, STR("channels"), STR("orders2")));
    assert_false(auth_claim_allows(&id, STR("channels"), STR("Orders")));
    assert_false(auth_claim_allows(&id, STR("channels"), STR("")));
    assert_true(auth_claim_allows(&id, STR("notify"), STR("anything")));
    assert_false(auth_claim_allows(&id, STR("x"), STR("7")));
    assert_false(auth_claim_allows(&id, STR("absent"), STR("orders")));
    id.claims = (struct str){NULL, 0};
    assert_false(auth_claim_allows(&id, STR("channels"), STR("orders")));
    id.claims = STR("{\"channels\":[\"a\"],\"channels\":[]}");
    assert_false(auth_claim_allows(&id, STR("channels"), STR("a")));
}

static void role_from_path(void **state)
{
    (void)state;
    struct auth_worker *w = WORKER("--jwt-secret", SECRET, "--jwt-role-claim-key",
                                   "$.realm.roles[?(@ == 'web' || search(@, '^ad'))]");
    char *token = sign("{\"role\":\"no\",\"realm\":{\"roles\":[\"x\",\"admin\",\"web\"]}}");
    good(w, token, "admin");
    struct asked a = ask(w, token, "anon");
    assert_str(a.id.claims, "{\"realm\":{\"roles\":[\"x\",\"admin\",\"web\"]},\"role\":\"admin\"}");
    arena_fini(&a.arena);
    free(token);
    token = sign("{\"role\":\"no\"}");
    good(w, token, "anon");
    free(token);
    auth_worker_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rfc_vectors),
        cmocka_unit_test(every_algorithm),
        cmocka_unit_test(key_sets),
        cmocka_unit_test(bad_keys),
        cmocka_unit_test(claims_and_times),
        cmocka_unit_test(audience),
        cmocka_unit_test(hostile_headers),
        cmocka_unit_test(hostile_tokens),
        cmocka_unit_test(confusion),
        cmocka_unit_test(identities),
        cmocka_unit_test(no_roles),
        cmocka_unit_test(schemes),
        cmocka_unit_test(cache),
        cmocka_unit_test(cache_respects_time_and_keys),
        cmocka_unit_test(strangers_cannot_fill_it),
        cmocka_unit_test(no_cache),
        cmocka_unit_test(claim_lists),
        cmocka_unit_test(role_from_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
