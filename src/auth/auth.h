/* auth: who is asking. Authorization header (or a bare token) -> role and claims.
 *
 * struct auth is the keys and options of one configuration: immutable, reference-counted, shared by
 * all threads. struct auth_worker is one worker's view of it: a bounded cache of tokens that were
 * verified, so that a client which comes back costs a hash instead of a signature check. Only valid
 * tokens enter the cache, so strangers cannot fill it; an entry ends with the token's `exp`, and
 * the whole cache when the keys change.
 *
 * Signatures: JWS compact serialization (RFC 7515) with HS, RS, PS and ES 256, 384 and 512, by
 * libjose. EdDSA is not supported. Nothing here blocks; verifying costs 10 us (HS256) to about
 * 200 us (ES256) on the loop.
 *
 *     struct auth_identity who;
 *     if (!auth_identify(worker->auth, req->arena, http_header(req, "Authorization"),
 *                        str_of(database->db_anon_role), &who, &err)) {
 *         struct str challenge = auth_challenge(req->arena, &err);
 *         if (challenge.n)
 *             http_set_header(req, STR("WWW-Authenticate"), challenge);
 *         ... answer err
 *     }
 */
#ifndef PGH_AUTH_AUTH_H
#define PGH_AUTH_AUTH_H

#include "conf/conf.h"
#include "util/arena.h"

struct auth;
struct auth_worker;

struct auth_identity {
    struct str role;   /* database role; empty only from auth_token without a role claim */
    struct str claims; /* JSON object for request.jwt.claims; holds "role" whenever role is set */
    uint64_t exp;      /* when the token ends, Unix seconds, without the allowed skew; 0 = never */
    bool anonymous;    /* no token was sent (a token without role claim is not anonymous) */
};

/* NULL with err (400) when jwt-secret or jwt-role-claim-key cannot be used; the message names the
 * key. Without a jwt-secret every token is refused with PGRST300. */
MUSTCHECK struct auth *auth_new(const struct conf *, struct err *);
struct auth *auth_ref(struct auth *);
void auth_unref(struct auth *);

struct auth_worker *auth_worker_new(struct auth *); /* holds its own reference */
void auth_worker_free(struct auth_worker *);
/* After a reload: takes the new keys; cached tokens survive only when nothing that judges them
 * changed. */
void auth_worker_set(struct auth_worker *, struct auth *);

/* The whole judgement for REST: header is the Authorization header's value ({NULL, 0} when absent;
 * schemes other than Bearer count as absent), anon_role is what a request without a role gets
 * ({NULL, 0}: none). False with err: PGRST300 (500), PGRST301, 302, 303 (401). Strings of *out live
 * in the arena. */
MUSTCHECK bool auth_identify(struct auth_worker *, struct arena *, struct str header,
                             struct str anon_role, struct auth_identity *out, struct err *);

/* The same for a token by itself (cookie, query parameter); role stays empty when no claim gives
 * one. For event streams, where rights come from claims and not from roles. */
MUSTCHECK bool auth_token(struct auth_worker *, struct arena *, struct str token,
                          struct auth_identity *out, struct err *);

/* The token of a header `Bearer TOKEN` (scheme without regard to case). False when there is no such
 * header; an empty token is true with n == 0. */
bool auth_bearer(struct str header, struct str *token);

/* Does the claim (a string or an array of strings in `claims`) allow the name: equal to it, or a
 * pattern `prefix*`? For channels: claims `channels` and `notify`. */
bool auth_claim_allows(const struct auth_identity *, struct str claim, struct str name);

/* Value of WWW-Authenticate for an error of this module: `Bearer` for PGRST302, `Bearer
 * error="invalid_token", error_description="..."` for 301 and 303, {NULL, 0} for anything else. */
struct str auth_challenge(struct arena *, const struct err *);

/* Comparison whose time depends on the lengths alone. */
bool auth_equal(struct str a, struct str b);

struct auth_counts {
    uint64_t requests, hits, evictions; /* of the cache, since the worker started */
    size_t entries;
};
struct auth_counts auth_worker_counts(const struct auth_worker *);

#endif
