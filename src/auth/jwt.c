#include "auth/jwt.h"

#include <stdlib.h>

#include "json/reader.h"
#include "json/writer.h"

#define CLAIMS_DEPTH 64
#define ROLE_BYTES_MAX 63 /* NAMEDATALEN - 1: PostgreSQL cuts longer names silently */

static bool undecodable(struct err *err, const char *message, const char *details)
{
    err_set(err, 401, "PGRST301", "%s", message);
    err->details = details;
    return false;
}

static bool bad_claim(struct err *err, const char *message)
{
    return err_set(err, 401, "PGRST303", "%s", message);
}

/* The three parts between two dots. */
static bool split(struct str token, struct str part[3], struct err *err)
{
    size_t n = 1;
    if (token.n == 0)
        return undecodable(err, "Empty JWT is sent in Authorization header", NULL);
    for (size_t i = 0; i < token.n; i++)
        n += token.p[i] == '.';
    if (n != 3)
        return err_set(err, 401, "PGRST301", "Expected 3 parts in JWT; got %zu", n);
    for (size_t i = 0; i < 3; i++)
        (void)str_next(&token, '.', &part[i]);
    return token.n <= JWT_MAX || undecodable(err, "JWT couldn't be decoded", NULL);
}

static bool decode(struct arena *a, struct str part, struct str *out, struct err *err)
{
    char *bytes = arena_alloc(a, part.n + 1);
    if (!bytes || !jwks_base64url(part, bytes, &out->n))
        return undecodable(err, "JWT cryptographic operation failed", NULL);
    bytes[out->n] = '\0';
    out->p = bytes;
    return true;
}

struct header {
    struct str alg, kid;
};

static bool header_member(struct json_reader *r, struct header *out)
{
    struct str name = r->text;
    bool alg = str_eq(name, STR("alg")), kid = str_eq(name, STR("kid"));
    if (str_eq(name, STR("crit")) || str_eq(name, STR("enc")))
        return false; /* extensions that must be understood; encrypted tokens */
    if (!alg && !kid)
        return json_skip(r, NULL);
    if (json_next(r) != JSON_STRING)
        return false;
    struct str *field = alg ? &out->alg : &out->kid;
    if (field->p)
        return false; /* named twice */
    *field = r->text;
    return true;
}

static bool read_header(struct arena *a, struct str text, struct header *out, struct err *err)
{
    struct json_reader r;
    *out = (struct header){0};
    json_reader_init(&r, text, a);
    bool ok = json_next(&r) == JSON_OBJECT;
    while (ok && json_next(&r) == JSON_KEY)
        ok = header_member(&r, out);
    if (!ok || r.event != JSON_OBJECT_END || !json_finish(&r) || !out->alg.p)
        return undecodable(err, "JWT couldn't be decoded", NULL);
    if (str_ieq(out->alg, STR("none")))
        return undecodable(err, "Wrong or unsupported encoding algorithm",
                           "JWT is unsecured but expected 'alg' was not 'none'");
    return true;
}

static bool check_signature(const struct jwt_rules *rules, struct arena *a,
                            const struct str part[3], struct err *err)
{
    struct str text;
    struct header header;
    if (!decode(a, part[0], &text, err) || !read_header(a, text, &header, err) ||
        !decode(a, part[2], &text, err))
        return false;
    switch (jwks_verify(rules->keys, header.alg, header.kid, part)) {
    case JWKS_GOOD: return true;
    case JWKS_NO_KEY:
        return undecodable(err, "No suitable key or wrong key type",
                           "No suitable key was found to decode the JWT");
    case JWKS_BAD:
    default:
        return undecodable(err, "No suitable key or wrong key type",
                           "None of the keys was able to decode the JWT");
    }
}

/* NumericDate (RFC 7519 section 2): seconds, fractions allowed. Before 1970 counts as 1. */
static bool read_time(struct json_reader *r, uint64_t *out)
{
    char text[64];
    enum json_event event = json_next(r);
    *out = 0;
    if (event == JSON_NULL)
        return true;
    if (event != JSON_NUMBER || r->text.n >= sizeof text)
        return false;
    memcpy(text, r->text.p, r->text.n);
    text[r->text.n] = '\0';
    double v = strtod(text, NULL);
    *out = !(v >= 1) ? 1 : v >= 9e15 ? UINT64_C(9000000000000000) : (uint64_t)v;
    return true;
}

/* A string or an array of strings; null and [] name nobody and so everybody. */
static unsigned read_aud(struct json_reader *r, const char *wanted)
{
    enum json_event event = json_next(r);
    bool found = !wanted;
    size_t n = 0;
    if (event == JSON_NULL)
        return 0;
    if (event == JSON_STRING)
        return found || str_eq(r->text, str_of(wanted)) ? 0 : JWT_OTHER_AUD;
    if (event != JSON_ARRAY)
        return JWT_BAD_AUD;
    for (; json_next(r) == JSON_STRING; n++)
        found |= wanted && str_eq(r->text, str_of(wanted));
    if (r->event != JSON_ARRAY_END)
        return JWT_BAD_AUD;
    return found || n == 0 ? 0 : JWT_OTHER_AUD;
}

/* One member of the claims. The value's source text is read a second time where it is judged, so
 * that a value of the wrong type never stops the walk. Of members named twice the last counts. */
static void claim(struct arena *a, struct str name, struct str value, const char *aud,
                  struct token_facts *f)
{
    struct json_reader r;
    unsigned bit = str_eq(name, STR("exp"))   ? JWT_BAD_EXP
                   : str_eq(name, STR("nbf")) ? JWT_BAD_NBF
                   : str_eq(name, STR("iat")) ? JWT_BAD_IAT
                                              : 0;
    if (!bit && !str_eq(name, STR("aud")))
        return;
    json_reader_init(&r, value, a);
    if (!bit) {
        f->bad = (f->bad & ~(unsigned)(JWT_BAD_AUD | JWT_OTHER_AUD)) | read_aud(&r, aud);
        return;
    }
    uint64_t *field = bit == JWT_BAD_EXP ? &f->exp : bit == JWT_BAD_NBF ? &f->nbf : &f->iat;
    f->bad = read_time(&r, field) ? f->bad & ~bit : f->bad | bit;
}

/* Walks the top level; writes all members but "role" to out, as they are written in the token. */
static bool read_claims(struct arena *a, struct str text, const char *aud, struct token_facts *f,
                        struct buf *out)
{
    struct json_reader r;
    struct str value;
    json_reader_init(&r, text, a);
    if (json_next(&r) != JSON_OBJECT)
        return false;
    buf_char(out, '{');
    while (json_next(&r) == JSON_KEY) {
        struct str name = r.text;
        size_t start = r.start;
        if (!json_skip(&r, &value))
            return false;
        claim(a, name, value, aud, f);
        if (str_eq(name, STR("role")))
            continue;
        if (out->n > 1)
            buf_char(out, ',');
        buf_add(out, text.p + start, (size_t)(value.p + value.n - text.p) - start);
    }
    return r.event == JSON_OBJECT_END && json_finish(&r);
}

/* A value that is no string becomes its JSON text: PostgreSQL will not know such a role. */
static void write_node(struct buf *out, const struct json_node *node, unsigned depth)
{
    int64_t number;
    bool first = true;
    switch (depth > CLAIMS_DEPTH ? JSON_IS_NULL : json_node_kind(node)) {
    case JSON_IS_STRING: json_write_string(out, json_node_string(node)); break;
    case JSON_IS_BOOL: buf_adds(out, json_node_true(node) ? STR("true") : STR("false")); break;
    case JSON_IS_NUMBER:
        if (json_node_i64(node, &number))
            buf_i64(out, number);
        else
            BUF_LIT(out, "0.0");
        break;
    case JSON_IS_ARRAY:
    case JSON_IS_OBJECT:
        buf_char(out, json_node_kind(node) == JSON_IS_ARRAY ? '[' : '{');
        for (const struct json_node *c = json_node_first(node); c; c = json_node_next(c)) {
            if (!first)
                buf_char(out, ',');
            first = false;
            if (json_node_kind(node) == JSON_IS_OBJECT)
                json_write_key(out, json_node_key(c));
            write_node(out, c, depth + 1);
        }
        buf_char(out, json_node_kind(node) == JSON_IS_ARRAY ? ']' : '}');
        break;
    case JSON_IS_NULL:
    default: BUF_LIT(out, "null");
    }
}

static bool find_role(const struct jspath *path, struct arena *a, struct str claims,
                      struct str *role, struct err *err)
{
    struct json_node *root = json_doc_parse(claims, "the claims", err);
    if (!root)
        return bad_claim(err, "Parsing claims failed");
    const struct json_node *node = jspath_find(path, root);
    struct buf text;
    buf_init(&text, JWT_MAX);
    if (node && json_node_kind(node) == JSON_IS_STRING)
        buf_adds(&text, json_node_string(node));
    else if (node)
        write_node(&text, node, 0);
    *role = text.n ? arena_str(a, buf_str(&text)) : (struct str){NULL, 0};
    bool wrong = node && (text.n == 0 || str_eq(buf_str(&text), STR("none")));
    buf_fini(&text);
    json_doc_free(root);
    /* set_config('role', 'none') would be the login itself, a cut name somebody else: no role can
     * have any of these names. */
    return !(wrong || role->n > ROLE_BYTES_MAX) ||
           err_set(err, 401, "22023", "role \"%.*s\" does not exist", (int)role->n,
                   role->n ? role->p : "");
}

bool jwt_read(const struct jwt_rules *rules, struct arena *a, struct str token,
              struct token_facts *out, struct err *err)
{
    struct str part[3] = {{0}}, payload;
    struct buf json;
    *out = (struct token_facts){0};
    if (!split(token, part, err) || !check_signature(rules, a, part, err) ||
        !decode(a, part[1], &payload, err))
        return false;
    buf_init(&json, 2 * JWT_MAX);
    bool ok =
        read_claims(a, payload, rules->aud, out, &json) || bad_claim(err, "Parsing claims failed");
    ok = ok && find_role(rules->role_path, a, payload, &out->role, err);
    if (ok && out->role.n) {
        if (json.n > 1)
            buf_char(&json, ',');
        BUF_LIT(&json, "\"role\":");
        json_write_string(&json, out->role);
    }
    buf_char(&json, '}');
    if (ok)
        out->claims = arena_str(a, buf_str(&json));
    bool room = !arena_broken(a) && !buf_broken(&json);
    buf_fini(&json);
    return ok && (room || undecodable(err, "JWT couldn't be decoded", NULL));
}

bool jwt_judge(const struct token_facts *f, uint64_t now, struct err *err)
{
    if (f->bad & JWT_BAD_EXP)
        return bad_claim(err, "The JWT 'exp' claim must be a number");
    if (f->exp && now > f->exp + JWT_SKEW)
        return bad_claim(err, "JWT expired");
    if (f->bad & JWT_BAD_NBF)
        return bad_claim(err, "The JWT 'nbf' claim must be a number");
    if (f->nbf > now + JWT_SKEW)
        return bad_claim(err, "JWT not yet valid");
    if (f->bad & JWT_BAD_IAT)
        return bad_claim(err, "The JWT 'iat' claim must be a number");
    if (f->iat > now + JWT_SKEW)
        return bad_claim(err, "JWT issued at future");
    if (f->bad & JWT_BAD_AUD)
        return bad_claim(err, "The JWT 'aud' claim must be a string or an array of strings");
    if (f->bad & JWT_OTHER_AUD)
        return bad_claim(err, "JWT not in audience");
    return true;
}
