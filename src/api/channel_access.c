#include "api/channel_access.h"

static enum conf_access mode(const struct worker *w, enum channel_use use)
{
    return use == CHANNEL_LISTEN ? w->conf->listen_access : w->conf->notify_access;
}

const struct conf_database *channel_database(struct worker *w, const struct http_req *req,
                                             enum channel_use use, struct err *err)
{
    const struct conf_database *d = conf_database(w->conf, req->database);
    if (mode(w, use) == CONF_OFF || mode(w, use) == CONF_LOGIN) {
        err_set(err, 404, "PGH404", "%s is switched off here",
                use == CHANNEL_LISTEN ? "listening to channels" : "notifying channels");
        err->hint =
            use == CHANNEL_LISTEN ? "the setting listen-access" : "the setting notify-access";
        return NULL;
    }
    if (!d)
        err_set(err, 404, "3D000", "no database of this name is configured");
    return d;
}

/* The value of a cookie (RFC 6265, 4.2.1). */
static bool cookie(struct str header, struct str name, struct str *out)
{
    struct str part;
    while (str_next(&header, ';', &part)) {
        part = str_trim(part);
        size_t eq = str_find(part, '=', 0);
        if (eq == part.n || !str_eq((struct str){part.p, eq}, name))
            continue;
        *out = str_from(part, eq + 1);
        if (out->n >= 2 && out->p[0] == '"' && out->p[out->n - 1] == '"')
            *out = (struct str){out->p + 1, out->n - 2};
        return true;
    }
    return false;
}

/* Finds the token; foreign: it came by itself with a request that another site's page may have
 * caused. */
static bool find_token(const struct worker *w, const struct http_req *req, enum channel_use use,
                       struct str parameter, struct str *token, bool *ambient)
{
    *ambient = false;
    if (auth_bearer(http_header(req, "Authorization"), token))
        return true;
    if (use != CHANNEL_LISTEN)
        return false;
    if (w->conf->listen_query_token && parameter.p) {
        *token = parameter;
        return true;
    }
    *ambient = w->conf->listen_cookie &&
               cookie(http_header(req, "Cookie"), str_of(w->conf->listen_cookie), token);
    return *ambient;
}

bool channel_identity(struct worker *w, struct http_req *req, enum channel_use use,
                      struct str *token, struct auth_identity *out, struct err *err)
{
    struct str parameter = *token;
    bool ambient;
    *token = (struct str){NULL, 0};
    *out = (struct auth_identity){.anonymous = true};
    bool found = find_token(w, req, use, parameter, token, &ambient);
    if (mode(w, use) == CONF_OPEN) {
        out->anonymous = !found;
        return true;
    }
    if (!found)
        return true; /* channel_allowed says 401 */
    if (ambient && !http_guard(req, err))
        return false;
    return auth_token(w->auth, req->arena, *token, out, err);
}

bool channel_still_open(struct worker *w, enum channel_use use, struct str token,
                        struct arena *arena, struct auth_identity *out, struct err *err)
{
    *out = (struct auth_identity){.anonymous = !token.p};
    switch (mode(w, use)) {
    case CONF_OPEN: return true;
    case CONF_JWT: return !token.p || auth_token(w->auth, arena, token, out, err);
    case CONF_OFF:
    case CONF_LOGIN: break;
    }
    return false;
}

static bool listed(const struct conf_list *patterns, struct str channel)
{
    for (size_t i = 0; i < patterns->n; i++) {
        struct str p = str_of(patterns->v[i]);
        bool prefix = p.n > 0 && p.p[p.n - 1] == '*';
        if (prefix ? str_starts(channel, (struct str){p.p, p.n - 1}) : str_eq(channel, p))
            return true;
    }
    return patterns->n == 0;
}

static bool may(const struct worker *w, const struct conf_database *d, enum channel_use use,
                const struct auth_identity *who, struct str channel)
{
    struct str claim = use == CHANNEL_LISTEN ? STR("channels") : STR("notify");
    if (str_eq(channel, str_of(d->db_channel ? d->db_channel : "pgrst")) ||
        !listed(&w->conf->listen_channels, channel))
        return false;
    return mode(w, use) == CONF_OPEN || (!who->anonymous && auth_claim_allows(who, claim, channel));
}

bool channel_allowed(struct worker *w, const struct conf_database *d, enum channel_use use,
                     const struct auth_identity *who, struct str channel, struct err *err)
{
    if (may(w, d, use, who, channel))
        return true;
    if (who->anonymous)
        return err_set(err, 401, "PGRST302", "%s this channel needs a token that allows it",
                       use == CHANNEL_LISTEN ? "listening to" : "notifying");
    return err_set(err, 403, "PGH403", "the token does not allow %s the channel \"%.*s\"",
                   use == CHANNEL_LISTEN ? "listening to" : "notifying", STR_ARG(channel));
}

void channel_fail(struct http_req *req, const struct err *err)
{
    struct str challenge = {NULL, 0};
    if (err->status == 401)
        challenge = auth_challenge(req->arena, err);
    if (err->status == 401 && challenge.n == 0)
        challenge = STR("Bearer");
    if (challenge.n > 0)
        http_set_header(req, STR("WWW-Authenticate"), challenge);
    http_fail_json(req, err);
}
