#include "rest/negotiate.h"

static bool builtin(enum rest_media_kind kind, struct sqlgen_handler *out)
{
    switch (kind) {
    case REST_MEDIA_ANY:
    case REST_MEDIA_JSON: out->body = SQLGEN_JSON; return true;
    case REST_MEDIA_CSV: out->body = SQLGEN_CSV; return true;
    case REST_MEDIA_GEOJSON: out->body = SQLGEN_GEOJSON; return true;
    case REST_MEDIA_ARRAY_STRIP: out->body = SQLGEN_JSON_STRIP; return true;
    case REST_MEDIA_OBJECT: out->body = SQLGEN_OBJECT; return true;
    case REST_MEDIA_OBJECT_STRIP: out->body = SQLGEN_OBJECT_STRIP; return true;
    case REST_MEDIA_TEXT:
    case REST_MEDIA_XML:
    case REST_MEDIA_OPENAPI:
    case REST_MEDIA_FORM:
    case REST_MEDIA_OCTETS:
    case REST_MEDIA_OTHER:
    case REST_MEDIA_PLAN: break;
    }
    return false;
}

static const struct catalog_handler *custom(const struct rest_negotiation *n, struct str type)
{
    const struct catalog_handler *handler = NULL;
    if (n->default_select) {
        handler = catalog_handler(n->catalog, &n->target, STR("*/*"));
        if (!handler)
            handler = catalog_handler(n->catalog, &n->target, type);
    }
    return handler ? handler : catalog_handler(n->catalog, NULL, type);
}

/* Types of our own vendor tree have parameters and cannot be made by the database. */
static bool overridable(enum rest_media_kind kind)
{
    return kind != REST_MEDIA_OBJECT && kind != REST_MEDIA_OBJECT_STRIP &&
           kind != REST_MEDIA_ARRAY_STRIP && kind != REST_MEDIA_PLAN;
}

/* Can rows become this type? media says what was resolved. */
static bool handle(struct arena *arena, const struct rest_negotiation *n,
                   const struct rest_media *wanted, struct sqlgen_handler *out)
{
    const struct catalog_handler *handler =
        overridable(wanted->kind) ? custom(n, rest_media_name(arena, wanted)) : NULL;
    *out = (struct sqlgen_handler){.media = *wanted};
    if (handler) {
        out->body = SQLGEN_CUSTOM;
        out->custom = handler;
        out->media = rest_media_parse(arena, handler->resolved);
        return true;
    }
    if (!builtin(wanted->kind, out))
        return false;
    if (wanted->kind == REST_MEDIA_ANY)
        out->media = (struct rest_media){.kind = REST_MEDIA_JSON};
    return true;
}

static bool handle_plan(struct arena *arena, const struct rest_negotiation *n,
                        const struct rest_media *wanted, struct sqlgen_handler *out)
{
    struct rest_media target = {.kind = wanted->plan_for, .text = wanted->plan_for_text};
    if (!n->conf->db_plan_enabled || !handle(arena, n, &target, out))
        return false;
    out->plan = true;
    out->media = *wanted;
    return true;
}

bool rest_negotiate(struct arena *arena, const struct rest_negotiation *n,
                    struct sqlgen_handler *out, struct err *err)
{
    const struct rest_media_list *accept = &n->request->accept;
    for (size_t i = 0; i < accept->n; i++) {
        const struct rest_media *wanted = &accept->v[i];
        bool found = wanted->kind == REST_MEDIA_PLAN ? handle_plan(arena, n, wanted, out)
                                                     : handle(arena, n, wanted, out);
        if (!found)
            continue;
        out->content_type = rest_media_content_type(arena, &out->media);
        if (n->no_body)
            out->body = SQLGEN_NONE;
        return true;
    }
    return rest_media_none(arena, accept, err);
}

bool rest_wants_object(const struct sqlgen_handler *handler)
{
    return handler->media.kind == REST_MEDIA_OBJECT ||
           handler->media.kind == REST_MEDIA_OBJECT_STRIP;
}
