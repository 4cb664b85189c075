/* fuzz_jwt: the first byte chooses what the rest is: a token as it comes, the claims or the header
 * of a token that is signed well, a role path, an Authorization header. Properties: a token that
 * nobody signed is never taken; the claims given on are valid JSON with the role in them. */
#include "auth/auth.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>

#include "auth/jspath.h"
#include "json/reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SECRET "reallyreallyreallyreallyverysafe"

static void require(bool truth)
{
    if (!truth)
        abort();
}

static struct auth_worker *new_worker(void)
{
    char *argv[] = {(char *)(uintptr_t) "pghttpd", (char *)(uintptr_t) "--jwt-secret",
                    (char *)(uintptr_t)SECRET,     (char *)(uintptr_t) "--jwt-aud",
                    (char *)(uintptr_t) "me",      NULL};
    char *none[] = {NULL};
    struct conf_sources s = {.argc = 5, .argv = argv, .environ = none};
    enum conf_action action;
    struct err err;
    struct conf *c = conf_load(&s, &action, &err);
    require(c != NULL);
    struct auth *auth = auth_new(c, &err);
    require(auth != NULL);
    struct auth_worker *w = auth_worker_new(auth);
    auth_unref(auth);
    conf_unref(c);
    return w;
}

static void add_base64url(struct buf *out, const void *p, size_t n)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const uint8_t *b = p;
    for (size_t i = 0; i < n; i += 3) {
        unsigned v = (unsigned)b[i] << 16 | (i + 1 < n ? (unsigned)b[i + 1] << 8 : 0) |
                     (i + 2 < n ? b[i + 2] : 0);
        size_t take = n - i >= 3 ? 4 : n - i + 1;
        for (size_t k = 0; k < take; k++)
            buf_char(out, digits[v >> (18 - 6 * k) & 63]);
    }
}

static void sign(struct buf *out, struct str header, struct str payload)
{
    unsigned char mac[32];
    unsigned n = sizeof mac;
    add_base64url(out, header.p, header.n);
    buf_char(out, '.');
    add_base64url(out, payload.p, payload.n);
    require(HMAC(EVP_sha256(), SECRET, (int)strlen(SECRET), (const unsigned char *)out->p, out->n,
                 mac, &n) != NULL);
    buf_char(out, '.');
    add_base64url(out, mac, n);
}

static void check(struct auth_worker *w, struct str token, bool may_be_good)
{
    struct arena a;
    struct err err = {0};
    struct auth_identity id;
    struct json_reader r;
    bool role = false;
    arena_init(&a, 16 << 20);
    bool ok = auth_token(w, &a, token, &id, &err);
    require(!ok || may_be_good);
    require(ok || err.status == 401 || err.status == 431);
    if (ok) {
        json_reader_init(&r, id.claims, &a);
        require(json_next(&r) == JSON_OBJECT);
        while (json_next(&r) == JSON_KEY) {
            role = str_eq(r.text, STR("role"));
            require(json_skip(&r, NULL));
        }
        require(r.event == JSON_OBJECT_END && json_finish(&r));
        require(role == (id.role.n > 0)); /* it stands at the end */
        (void)auth_claim_allows(&id, STR("channels"), STR("a"));
        require(auth_token(w, &a, token, &id, &err)); /* now from the cache */
    }
    arena_fini(&a);
}

static void check_path(struct str text)
{
    struct err err = {0};
    static const char json[] =
        "{\"a\":[1,\"x\",{\"b\":[null,true,\"y\"]}],\"role\":\"r\",\"c\":{\"d\":{\"e\":\"z\"}}}";
    struct jspath *p = jspath_new(text, &err);
    struct json_node *root = json_doc_parse(str_of(json), "it", &err);
    if (p)
        (void)jspath_find(p, root);
    json_doc_free(root);
    jspath_free(p);
}

static void check_header(struct str text)
{
    struct str token;
    if (auth_bearer(text, &token))
        require(token.p >= text.p && token.p + token.n <= text.p + text.n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > 20000)
        return 0;
    struct str rest = {(const char *)data + 1, size - 1};
    struct auth_worker *w = new_worker();
    struct buf token;
    buf_init(&token, BUF_NO_CEILING);
    switch (data[0] % 5) {
    case 0: check(w, rest, false); break;
    case 1:
        sign(&token, STR("{\"alg\":\"HS256\"}"), rest);
        check(w, buf_str(&token), true);
        break;
    case 2:
        sign(&token, rest, STR("{\"role\":\"r\"}"));
        check(w, buf_str(&token), true);
        break;
    case 3: check_path(rest); break;
    default: check_header(rest);
    }
    buf_fini(&token);
    auth_worker_free(w);
    return 0;
}
