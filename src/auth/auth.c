#include "auth/auth.h"

#include <stdlib.h>
#include <time.h>

#include <openssl/crypto.h>

#include "auth/jwt.h"
#include "util/xalloc.h"
#include "json/reader.h"
#include "json/writer.h"

struct auth {
    unsigned references; /* atomic */
    struct conf *conf;   /* what the rest was made from */
    struct jwks *keys;   /* NULL: no jwt-secret */
    struct jspath *role_path;
};

struct auth_worker {
    struct auth *auth;
    struct jwt_rules rules; /* keys: this worker's own copy */
    struct token_cache *cache;
    struct arena scratch; /* of one verification; empty between them */
    uint64_t requests, hits;
};

#define SCRATCH_MAX (4 * 1024 * 1024)

struct auth *auth_new(const struct conf *conf, struct err *err)
{
    struct jwks *keys = NULL;
    struct jspath *path = jspath_new(str_of(conf->jwt_role_claim_key), err);
    if (!path) {
        (void)conf_blame(conf, "jwt-role-claim-key", err);
        return NULL;
    }
    if (conf->jwt_secret) {
        keys = jwks_new((struct str){conf->jwt_secret, conf->jwt_secret_len}, err);
        if (!keys) {
            (void)conf_blame(conf, "jwt-secret", err);
            jspath_free(path);
            return NULL;
        }
    }
    if (jspath_is_old(path))
        log_warn("jwt-role-claim-key: this form is old; the same as a JSON path begins with $");
    struct auth *auth = xcalloc(1, sizeof *auth);
    *auth = (struct auth){.references = 1,
                          .conf = conf_ref((struct conf *)(uintptr_t)conf),
                          .keys = keys,
                          .role_path = path};
    return auth;
}

struct auth *auth_ref(struct auth *auth)
{
    __atomic_add_fetch(&auth->references, 1, __ATOMIC_RELAXED);
    return auth;
}

void auth_unref(struct auth *auth)
{
    if (!auth || __atomic_sub_fetch(&auth->references, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    jwks_free(auth->keys);
    jspath_free(auth->role_path);
    conf_unref(auth->conf);
    free(auth);
}

static void set_rules(struct auth_worker *w, struct auth *auth)
{
    w->auth = auth_ref(auth);
    w->rules = (struct jwt_rules){.keys = auth->keys ? jwks_copy(auth->keys) : NULL,
                                  .role_path = auth->role_path,
                                  .aud = auth->conf->jwt_aud};
}

struct auth_worker *auth_worker_new(struct auth *auth)
{
    struct auth_worker *w = xcalloc(1, sizeof *w);
    set_rules(w, auth);
    w->cache = token_cache_new(auth->conf->jwt_cache_max_entries);
    arena_init(&w->scratch, SCRATCH_MAX);
    return w;
}

void auth_worker_free(struct auth_worker *w)
{
    if (!w)
        return;
    token_cache_free(w->cache);
    jwks_free(w->rules.keys);
    auth_unref(w->auth);
    arena_fini(&w->scratch);
    free(w);
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static bool same_rules(const struct conf *a, const struct conf *b)
{
    return auth_equal((struct str){a->jwt_secret, a->jwt_secret_len},
                      (struct str){b->jwt_secret, b->jwt_secret_len}) &&
           same_text(a->jwt_aud, b->jwt_aud) &&
           same_text(a->jwt_role_claim_key, b->jwt_role_claim_key) &&
           a->jwt_cache_max_entries == b->jwt_cache_max_entries;
}

void auth_worker_set(struct auth_worker *w, struct auth *auth)
{
    struct auth *old = w->auth;
    jwks_free(w->rules.keys);
    set_rules(w, auth);
    if (!same_rules(old->conf, auth->conf)) {
        token_cache_free(w->cache);
        w->cache = token_cache_new(auth->conf->jwt_cache_max_entries);
    }
    auth_unref(old);
}

bool auth_equal(struct str a, struct str b)
{
    return a.n == b.n && (a.n == 0 || CRYPTO_memcmp(a.p, b.p, a.n) == 0);
}

static uint64_t now_seconds(void)
{
    time_t now = time(NULL);
    return now < 0 ? 0 : (uint64_t)now;
}

/* Copies what is known about a token to the request's arena: the cache may forget it before the
 * request is over. */
static bool give(struct arena *a, const struct token_facts *f, struct auth_identity *out,
                 struct err *err)
{
    *out = (struct auth_identity){.exp = f->exp};
    out->claims = arena_str(a, f->claims);
    if (f->role.n)
        out->role = arena_str(a, f->role);
    return !arena_broken(a) || err_set(err, 431, "54000", "the token is too long");
}

static bool verify(struct auth_worker *w, struct arena *a, struct str token, uint64_t now,
                   struct auth_identity *out, struct err *err)
{
    struct token_facts f;
    bool ok = jwt_read(&w->rules, &w->scratch, token, &f, err) && jwt_judge(&f, now, err) &&
              give(a, &f, out, err);
    if (ok)
        token_cache_put(w->cache, token, &f);
    arena_fini(&w->scratch);
    return ok;
}

bool auth_token(struct auth_worker *w, struct arena *a, struct str token, struct auth_identity *out,
                struct err *err)
{
    uint64_t now = now_seconds();
    if (!w->rules.keys)
        return err_set(err, 500, "PGRST300", "Server lacks JWT secret");
    w->requests++;
    const struct token_facts *known = token_cache_get(w->cache, token);
    if (!known)
        return verify(w, a, token, now, out, err);
    w->hits++;
    return jwt_judge(known, now, err) && give(a, known, out, err);
}

bool auth_bearer(struct str header, struct str *token)
{
    struct str s = str_trim(header);
    if (!str_istarts(s, STR("Bearer")) || (s.n > 6 && s.p[6] != ' ' && s.p[6] != '\t'))
        return false;
    *token = str_trim(str_from(s, 6));
    return true;
}

/* {"role":"anon"}, or the claims of a token without role with the anonymous one put in. */
static bool as_anonymous(struct arena *a, struct str anon, struct auth_identity *id,
                         struct err *err)
{
    struct buf json;
    struct str claims = id->claims.n ? id->claims : STR("{}");
    if (!anon.n)
        return err_set(err, 401, "PGRST302", "Anonymous access is disabled");
    buf_init(&json, claims.n + 6 * anon.n + 64);
    buf_add(&json, claims.p, claims.n - 1);
    if (claims.n > 2)
        buf_char(&json, ',');
    BUF_LIT(&json, "\"role\":");
    json_write_string(&json, anon);
    buf_char(&json, '}');
    id->claims = arena_str(a, buf_str(&json));
    id->role = arena_str(a, anon);
    buf_fini(&json);
    return !arena_broken(a) || err_set(err, 431, "54000", "the token is too long");
}

bool auth_identify(struct auth_worker *w, struct arena *a, struct str header, struct str anon_role,
                   struct auth_identity *out, struct err *err)
{
    struct str token;
    if (!auth_bearer(header, &token)) {
        *out = (struct auth_identity){.anonymous = true};
        return as_anonymous(a, anon_role, out, err);
    }
    if (!auth_token(w, a, token, out, err))
        return false;
    return out->role.n || as_anonymous(a, anon_role, out, err);
}

static bool pattern_allows(struct str pattern, struct str name)
{
    if (pattern.n && pattern.p[pattern.n - 1] == '*')
        return str_starts(name, (struct str){pattern.p, pattern.n - 1});
    return str_eq(pattern, name);
}

static bool value_allows(struct json_reader *r, struct str name)
{
    enum json_event event = json_next(r);
    if (event == JSON_STRING)
        return pattern_allows(r->text, name);
    if (event == JSON_ARRAY)
        while (json_next(r) == JSON_STRING)
            if (pattern_allows(r->text, name))
                return true;
    return false;
}

bool auth_claim_allows(const struct auth_identity *id, struct str claim, struct str name)
{
    struct arena scratch;
    struct json_reader r, inner;
    struct str value;
    bool allowed = false;
    arena_init(&scratch, SCRATCH_MAX);
    json_reader_init(&r, id->claims, &scratch);
    bool walking = id->claims.n && json_next(&r) == JSON_OBJECT;
    while (walking && json_next(&r) == JSON_KEY) {
        bool wanted = str_eq(r.text, claim);
        walking = json_skip(&r, &value);
        if (!walking || !wanted)
            continue;
        json_reader_init(&inner, value, &scratch); /* of two claims of a name the last counts */
        allowed = value_allows(&inner, name);
    }
    arena_fini(&scratch);
    return allowed;
}

struct str auth_challenge(struct arena *a, const struct err *err)
{
    if (strcmp(err->code, "PGRST302") == 0)
        return STR("Bearer");
    if (strcmp(err->code, "PGRST301") != 0 && strcmp(err->code, "PGRST303") != 0)
        return (struct str){NULL, 0};
    char *text =
        arena_printf(a, "Bearer error=\"invalid_token\", error_description=\"%s\"", err->message);
    return str_of(text);
}

struct auth_counts auth_worker_counts(const struct auth_worker *w)
{
    return (struct auth_counts){.requests = w->requests,
                                .hits = w->hits,
                                .evictions = token_cache_evictions(w->cache),
                                .entries = token_cache_count(w->cache)};
}
