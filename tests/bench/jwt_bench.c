/* jwt_bench: what one token costs. Prints microseconds of CPU per request: from the cache, and
 * verified by each algorithm. `make build/release/bench/jwt_bench` builds it. */
#include "auth/auth.h"

#include <jansson.h>
#include <jose/b64.h>
#include <jose/jwk.h>
#include <jose/jws.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double cpu_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static char *sign(const json_t *jwk, const char *alg, const char *payload)
{
    json_t *jws = json_pack("{s:o}", "payload", jose_b64_enc(payload, strlen(payload)));
    json_t *sig = json_pack("{s:{s:s,s:s}}", "protected", "alg", alg, "typ", "JWT");
    if (!jose_jws_sig(NULL, jws, sig, jwk))
        abort();
    const char *h = json_string_value(json_object_get(jws, "protected"));
    const char *p = json_string_value(json_object_get(jws, "payload"));
    const char *s = json_string_value(json_object_get(jws, "signature"));
    size_t room = 8 + strlen(h) + strlen(p) + strlen(s) + 3;
    char *token = malloc(room);
    snprintf(token, room, "Bearer %s.%s.%s", h, p, s);
    json_decref(jws);
    json_decref(sig);
    return token;
}

static struct auth_worker *worker(const char *key, const char *entries)
{
    char *argv[] = {(char *)(uintptr_t) "x",    (char *)(uintptr_t) "--jwt-secret",
                    (char *)(uintptr_t)key,     (char *)(uintptr_t) "--jwt-cache-max-entries",
                    (char *)(uintptr_t)entries, NULL};
    char *none[] = {NULL};
    struct conf_sources s = {.argc = 5, .argv = argv, .environ = none};
    enum conf_action action;
    struct err err;
    struct conf *c = conf_load(&s, &action, &err);
    struct auth *auth = c ? auth_new(c, &err) : NULL;
    if (!auth) {
        fprintf(stderr, "%s\n", err.message);
        exit(1);
    }
    struct auth_worker *w = auth_worker_new(auth);
    auth_unref(auth);
    conf_unref(c);
    return w;
}

static double measure(struct auth_worker *w, const char *header, int rounds)
{
    struct arena a;
    arena_init(&a, 1 << 20);
    double best = 1e9;
    for (int batch = 0; batch < 5; batch++) {
        double start = cpu_us();
        for (int i = 0; i < rounds; i++) {
            struct auth_identity id;
            struct err err;
            if (!auth_identify(w, &a, str_of(header), STR("anon"), &id, &err)) {
                fprintf(stderr, "%s\n", err.message);
                exit(1);
            }
            arena_reset(&a);
        }
        double each = (cpu_us() - start) / rounds;
        best = each < best ? each : best;
    }
    arena_fini(&a);
    return best;
}

int main(void)
{
    static const char *const algs[] = {"HS256", "HS512", "RS256", "PS256", "ES256", "ES512"};
    const char *payload =
        "{\"sub\":\"1234567890\",\"role\":\"web_user\",\"exp\":99999999999,\"iat\":1516239022,"
        "\"email\":\"someone@example.com\",\"channels\":[\"orders\",\"room-*\"]}";
    for (size_t i = 0; i < sizeof algs / sizeof algs[0]; i++) {
        json_t *jwk = json_pack("{s:s}", "alg", algs[i]);
        if (!jose_jwk_gen(NULL, jwk))
            abort();
        char *token = sign(jwk, algs[i], payload), *key = json_dumps(jwk, 0);
        struct auth_worker *cached = worker(key, "1000"), *bare = worker(key, "0");
        printf("%s: verified %.2f us, cached %.3f us\n", algs[i], measure(bare, token, 2000),
               measure(cached, token, 100000));
        auth_worker_free(cached);
        auth_worker_free(bare);
        free(token);
        free(key);
        json_decref(jwk);
    }
    return 0;
}
