#include "listen/request.h"

#include "listen/hub.h"
#include "util/strmap.h"

#define CODE "PGH400"
#define SHOWN_MAX 80 /* of a bad value in a message */

struct parsing {
    struct arena *arena;
    const struct conf *conf;
    struct listen_request *out;
    struct strmap *seen;
    size_t cap;
    bool has_buffer, has_format, has_id;
};

static bool out_of_room(struct err *err)
{
    return err_set(err, 400, CODE, "the request is too long");
}

static bool decode(struct arena *a, struct str raw, bool query, const char *what, struct str *out,
                   struct err *err)
{
    char *p = arena_alloc(a, raw.n + 1);
    *out = (struct str){p, 0};
    if (!p)
        return out_of_room(err);
    if (!str_percent_decode(raw, query, false, p, &out->n))
        return err_set(err, 400, CODE, "%s is not percent-encoded correctly", what);
    return true;
}

static bool check_channel(struct str name, struct err *err)
{
    if (name.n == 0)
        return err_set(err, 400, CODE, "a channel name is empty");
    if (name.n > HUB_CHANNEL_BYTES_MAX)
        return err_set(err, 400, CODE, "a channel name has %zu bytes; PostgreSQL takes %d", name.n,
                       HUB_CHANNEL_BYTES_MAX);
    if (memchr(name.p, 0, name.n))
        return err_set(err, 400, CODE, "a channel name contains a NUL byte");
    if (!str_utf8(name))
        return err_set(err, 400, CODE, "a channel name is not valid UTF-8");
    return true;
}

bool listen_channel_parse(struct arena *a, struct str path, struct str *out, struct err *err)
{
    if (path.n > 0 && memchr(path.p, '/', path.n)) {
        err_set(err, 400, CODE, "the path goes on behind the channel name");
        err->hint = "a slash in a channel name is written %2F";
        return false;
    }
    if (path.n > 3 * HUB_CHANNEL_BYTES_MAX)
        return err_set(err, 400, CODE, "a channel name is longer than %d bytes",
                       HUB_CHANNEL_BYTES_MAX);
    return decode(a, path, false, "the channel name", out, err) && check_channel(*out, err);
}

static bool add_channel(struct parsing *p, struct str name, struct err *err)
{
    struct listen_request *r = p->out;
    if (strmap_put(p->seen, name, p))
        return true;
    if (r->n == p->conf->listen_channels_max) {
        err_set(err, 400, CODE, "more than %u channels in one request",
                p->conf->listen_channels_max);
        err->hint = "the setting listen-channels-max";
        return false;
    }
    if (r->n == p->cap) {
        size_t cap = p->cap ? p->cap * 2 : 4;
        struct str *bigger = arena_array(p->arena, cap, sizeof *bigger);
        if (!bigger)
            return out_of_room(err);
        if (r->n)
            memcpy(bigger, r->channels, r->n * sizeof *bigger);
        r->channels = bigger;
        p->cap = cap;
    }
    r->channels[r->n++] = name;
    return true;
}

static bool once(bool *seen, const char *name, struct err *err)
{
    if (*seen)
        return err_set(err, 400, CODE, "%s is given twice", name);
    return *seen = true;
}

static bool read_buffer(struct parsing *p, struct str value, struct err *err)
{
    uint64_t n;
    if (!once(&p->has_buffer, "max_buffer_size", err))
        return false;
    if (!str_u64(value, p->conf->listen_buffer_max, &n))
        return err_set(
            err, 400, CODE, "max_buffer_size must be a number from 0 to %u, not \"%.*s\"",
            p->conf->listen_buffer_max, value.n > SHOWN_MAX ? SHOWN_MAX : (int)value.n, value.p);
    p->out->max_buffer = (size_t)n;
    return true;
}

static bool read_format(struct parsing *p, struct str value, struct err *err)
{
    if (!once(&p->has_format, "format", err))
        return false;
    p->out->raw = str_eq(value, STR("raw"));
    if (!p->out->raw && !str_eq(value, STR("json")))
        return err_set(err, 400, CODE, "format must be json or raw");
    return true;
}

enum parameter { CHANNEL, BUFFER, LAST_ID, FORMAT, TOKEN, IGNORED };

/* Last-Event-ID has a name of its own in each client that cannot send the header: ours, those of
 * event-source-polyfill and better-sse, of Mercure, of PHP libraries, of Remy Sharp's polyfill
 * (which adds evs_preamble, too). "_" is what pages add against caches. */
static const struct {
    struct str name;
    enum parameter what;
} parameters[] = {
    {{"channel", 7}, CHANNEL},
    {{"max_buffer_size", 15}, BUFFER},
    {{"format", 6}, FORMAT},
    {{"access_token", 12}, TOKEN},
    {{"last_event_id", 13}, LAST_ID},
    {{"lastEventId", 11}, LAST_ID},
    {{"lastEventID", 11}, LAST_ID},
    {{"Last-Event-ID", 13}, LAST_ID},
    {{"evs_last_event_id", 17}, LAST_ID},
    {{"evs_preamble", 12}, IGNORED},
    {{"_", 1}, IGNORED},
};

static bool unknown_parameter(struct str name, struct err *err)
{
    err_set(err, 400, CODE, "there is no parameter \"%.*s\"",
            name.n > SHOWN_MAX ? SHOWN_MAX : (int)name.n, name.p);
    err->hint = "channel, format, max_buffer_size, last_event_id, access_token";
    return false;
}

static bool read_parameter(struct parsing *p, struct str name, struct str raw, struct err *err)
{
    const size_t n = sizeof parameters / sizeof *parameters;
    size_t i = 0;
    struct str value;
    while (i < n && !str_eq(name, parameters[i].name))
        i++;
    if (i == n)
        return name.n == 0 || unknown_parameter(name, err);
    if (!decode(p->arena, raw, true, parameters[i].name.p, &value, err))
        return false;
    switch (parameters[i].what) {
    case CHANNEL: return check_channel(value, err) && add_channel(p, value, err);
    case BUFFER: return read_buffer(p, value, err);
    case LAST_ID: p->out->last_id = value; return once(&p->has_id, "last_event_id", err);
    case FORMAT: return read_format(p, value, err);
    case TOKEN: p->out->token = value; return true;
    case IGNORED: break;
    }
    return true;
}

static bool read_query(struct parsing *p, struct str query, struct err *err)
{
    struct str part;
    while (str_next(&query, '&', &part)) {
        size_t eq = str_find(part, '=', 0);
        struct str name;
        if (!decode(p->arena, (struct str){part.p, eq}, true, "a parameter's name", &name, err) ||
            !read_parameter(p, name, str_from(part, eq + 1), err))
            return false;
    }
    return true;
}

bool listen_request_parse(struct arena *a, const struct conf *conf, struct str path,
                          struct str query, struct str last_event_id, struct listen_request *out,
                          struct err *err)
{
    struct parsing p = {.arena = a, .conf = conf, .out = out};
    struct str name = {NULL, 0};
    *out = (struct listen_request){.max_buffer = conf->listen_buffer < conf->listen_buffer_max
                                                     ? conf->listen_buffer
                                                     : conf->listen_buffer_max};
    p.seen = strmap_new();
    bool ok =
        path.n == 0 || (listen_channel_parse(a, path, &name, err) && add_channel(&p, name, err));
    ok = ok && (!query.p || read_query(&p, query, err));
    strmap_free(p.seen, NULL);
    if (!ok)
        return false;
    if (last_event_id.n > 0)
        out->last_id = last_event_id;
    if (out->last_id.n == 0)
        out->last_id = (struct str){NULL, 0};
    if (out->n > 0)
        return true;
    err_set(err, 400, CODE, "no channel is named");
    err->hint = "/listen/CHANNEL or /listen?channel=a&channel=b";
    return false;
}
