#include "rest/request.h"

#include "util/buf.h"

#include <stdio.h>

static bool bad_path(struct err *err)
{
    return err_set(err, 404, "PGRST125", "Invalid path specified in request URL");
}

static bool segment(struct arena *arena, struct str raw, struct str *out, struct err *err)
{
    char *copy = arena_alloc(arena, raw.n + 1);
    size_t n;
    if (!copy || !str_percent_decode(raw, false, true, copy, &n))
        return bad_path(err);
    *out = (struct str){copy, n};
    if ((n > 0 && memchr(copy, '\0', n)) || !str_utf8(*out))
        return err_set(err, 400, "PGRST100", "The path is not valid UTF-8 text");
    return true;
}

/* "" is the root, "x" a relation, "rpc/x" a function, everything else nothing. */
static bool resource(struct arena *arena, const struct conf *conf, const struct conf_database *db,
                     struct str path, struct rest_request *out, struct err *err)
{
    if (path.n == 0) {
        out->resource = REST_ROOT;
        if (conf->openapi_mode == CONF_OPENAPI_DISABLED)
            return err_set(err, 404, "PGRST126", "Root endpoint metadata is disabled");
        if (db->db_root_spec) {
            out->resource = REST_ROUTINE;
            out->name = str_of(db->db_root_spec);
            size_t dot = str_find(out->name, '.', 0);
            if (dot < out->name.n)
                out->name = str_from(out->name, dot + 1);
        }
        return true;
    }
    struct str name = path;
    out->resource = REST_RELATION;
    if (str_starts(path, STR("rpc/"))) {
        out->resource = REST_ROUTINE;
        name = str_from(path, 4);
    }
    if (name.n == 0 || str_find(name, '/', 0) < name.n)
        return bad_path(err);
    return segment(arena, name, &out->name, err);
}

static bool schema(struct arena *arena, const struct conf_database *db, const struct rest_input *in,
                   struct rest_request *out, struct err *err)
{
    bool writes = in->method == REST_POST || in->method == REST_PATCH || in->method == REST_PUT ||
                  in->method == REST_DELETE;
    struct str profile = writes ? in->content_profile : in->accept_profile;
    out->profile_header = profile.p || db->db_schemas.n != 1;
    out->schema = str_of(db->db_schemas.v[0]);
    if (!profile.p)
        return true;
    struct buf list;
    buf_init(&list, 4096);
    for (size_t i = 0; i < db->db_schemas.n; i++) {
        out->schema = str_of(db->db_schemas.v[i]);
        if (str_eq(out->schema, profile)) {
            buf_fini(&list);
            return true;
        }
        buf_printf(&list, "%s%s", i ? ", " : "", db->db_schemas.v[i]);
    }
    err_set(err, 406, "PGRST106", "Invalid schema: %.*s", STR_ARG(profile));
    err->hint = arena_printf(arena, "Only the following schemas are exposed: %.*s", (int)list.n,
                             list.p ? list.p : "");
    buf_fini(&list);
    return false;
}

static bool action(const struct rest_input *in, struct rest_request *out, struct err *err)
{
    static const enum rest_action relation[] = {
        [REST_GET] = REST_READ,    [REST_HEAD] = REST_READ,    [REST_POST] = REST_INSERT,
        [REST_PUT] = REST_UPSERT,  [REST_PATCH] = REST_UPDATE, [REST_DELETE] = REST_REMOVE,
        [REST_OPTIONS] = REST_INFO};
    bool reads = in->method == REST_GET || in->method == REST_HEAD;
    out->action = REST_INFO;
    if (in->method == REST_OPTIONS)
        return true;
    if (out->resource == REST_ROUTINE) {
        out->action = REST_CALL;
        return reads || in->method == REST_POST ||
               err_set(err, 405, "PGRST101", "Cannot use the %.*s method on RPC",
                       STR_ARG(in->method_name));
    }
    out->action = REST_SPEC;
    if (out->resource == REST_ROOT && reads)
        return true;
    if (out->resource == REST_ROOT || in->method == REST_OTHER)
        return err_set(err, 405, "PGRST117", "Unsupported HTTP method: %.*s",
                       STR_ARG(in->method_name));
    out->action = relation[in->method];
    return true;
}

/* Range: 0-9 | 10- ; anything else is as if it were not there. */
static bool range_header(struct str text, uint64_t *first, uint64_t *last)
{
    size_t dash = str_find(text, '-', 0);
    *last = REST_NO_LIMIT;
    if (dash >= text.n || !str_u64((struct str){text.p, dash}, INT64_MAX, first))
        return false;
    return dash + 1 == text.n || str_u64(str_from(text, dash + 1), INT64_MAX, last);
}

static bool unsatisfiable(const char *details, struct err *err)
{
    err_set(err, 416, "PGRST103", "Requested range not satisfiable");
    err->details = details;
    return false;
}

/* Query and header are sets of row numbers: what is asked for is what they have in common. */
static bool intersect(struct rest_request *out, uint64_t first, uint64_t last, struct err *err)
{
    uint64_t end = last == REST_NO_LIMIT ? REST_NO_LIMIT : last + 1;
    uint64_t query_end = out->limit == REST_NO_LIMIT || out->limit > UINT64_MAX - 1 - out->offset
                             ? REST_NO_LIMIT
                             : out->offset + out->limit;
    if (first > last)
        return unsatisfiable("The lower boundary must be lower than or equal to the upper boundary "
                             "in the Range header.",
                             err);
    if (query_end < end)
        end = query_end;
    if (first > out->offset)
        out->offset = first;
    if (end != REST_NO_LIMIT && end <= out->offset)
        return unsatisfiable("Limit should be greater than or equal to zero.", err);
    out->limit = end == REST_NO_LIMIT ? REST_NO_LIMIT : end - out->offset;
    return true;
}

static bool ranges(const struct rest_input *in, struct rest_request *out, struct err *err)
{
    const struct rest_query *q = &out->query;
    uint64_t first, last;
    out->offset = q->has_offset ? q->offset : 0;
    out->limit = q->has_limit ? q->limit : REST_NO_LIMIT;
    out->limit_zero = q->has_limit && q->limit == 0;
    if (q->negative_limit)
        return unsatisfiable("Limit should be greater than or equal to zero.", err);
    if (in->method == REST_PUT && (q->has_limit || q->has_offset))
        return err_set(err, 400, "PGRST114",
                       "limit/offset querystring parameters are not allowed for PUT");
    if (out->limit_zero)
        out->offset = 0;
    if (in->method != REST_GET || out->limit_zero || !in->range.p ||
        !range_header(in->range, &first, &last))
        return true;
    return intersect(out, first, last, err);
}

bool rest_request_parse(struct arena *arena, const struct conf *conf,
                        const struct conf_database *db, const struct rest_input *in,
                        struct rest_request *out, struct err *err)
{
    out->method = in->method;
    out->method_name = in->method_name;
    if (!resource(arena, conf, db, in->path, out, err) || !schema(arena, db, in, out, err) ||
        !action(in, out, err))
        return false;
    bool rpc_read = out->action == REST_CALL && in->method != REST_POST;
    if (!rest_parse_query(arena, in->query, rpc_read, &out->query, err) || !ranges(in, out, err) ||
        !rest_media_accept(arena, in->accept, &out->accept, err))
        return false;
    out->content_type_text = in->content_type;
    out->content_type = REST_MEDIA_JSON;
    if (in->content_type.p)
        out->content_type = rest_media_parse(arena, in->content_type).kind;
    return true;
}

bool rest_tx_override(const struct conf *conf)
{
    return conf->db_tx_end == CONF_COMMIT_OVERRIDE || conf->db_tx_end == CONF_ROLLBACK_OVERRIDE;
}

bool rest_tx_rollback(const struct conf *conf, const struct rest_prefs *prefs)
{
    if (prefs->tx != REST_TX_NONE)
        return prefs->tx == REST_TX_ROLLBACK;
    return conf->db_tx_end == CONF_ROLLBACK || conf->db_tx_end == CONF_ROLLBACK_OVERRIDE;
}

/* Digits of v in front of end; returns where they begin. */
static char *digits(char *end, uint64_t v)
{
    do
        *--end = (char)('0' + v % 10);
    while ((v /= 10) > 0);
    return end;
}

struct str rest_content_range(struct arena *arena, uint64_t offset, uint64_t rows, int64_t total)
{
    char text[72], *end = text + sizeof text, *p = end; /* three numbers of 20 digits */
    if (total >= 0)
        p = digits(p, (uint64_t)total);
    else
        *--p = '*';
    *--p = '/';
    if (rows > 0 && total != 0) {
        p = digits(p, offset + rows - 1);
        *--p = '-';
        p = digits(p, offset);
    } else {
        *--p = '*';
    }
    struct str copy = arena_str(arena, (struct str){p, (size_t)(end - p)});
    return copy.p ? copy : STR("*/*");
}

int rest_range_status(uint64_t offset, uint64_t rows, int64_t total)
{
    if (total < 0)
        return 200;
    if (offset > (uint64_t)total)
        return 416;
    return rows < (uint64_t)total ? 206 : 200;
}

bool rest_range_outside(struct arena *arena, uint64_t offset, int64_t total, struct err *err)
{
    err_set(err, 416, "PGRST103", "Requested range not satisfiable");
    err->details =
        arena_printf(arena, "An offset of %llu was requested, but there are only %lld rows.",
                     (unsigned long long)offset, (long long)total);
    return false;
}

struct str rest_content_location(struct arena *arena, const struct rest_request *r)
{
    const char *text = arena_printf(arena, "/%.*s%s%.*s", STR_ARG(r->name),
                                    r->query.canonical.n ? "?" : "", STR_ARG(r->query.canonical));
    return text ? str_of(text) : STR("/");
}
