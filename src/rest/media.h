/* media: media types of Accept and Content-Type, and which of them can be answered.
 *
 * Parsing knows the types that are built in; every other one is REST_MEDIA_OTHER with its text.
 * Accept is kept in the order of the client's preference: by q, then as written. */
#ifndef PGH_REST_MEDIA_H
#define PGH_REST_MEDIA_H

#include "util/arena.h"
#include "util/err.h"

enum rest_media_kind {
    REST_MEDIA_JSON,
    REST_MEDIA_GEOJSON,
    REST_MEDIA_CSV,
    REST_MEDIA_TEXT,
    REST_MEDIA_XML,
    REST_MEDIA_OPENAPI,
    REST_MEDIA_FORM,
    REST_MEDIA_OCTETS,
    REST_MEDIA_ANY,
    REST_MEDIA_OTHER,
    REST_MEDIA_ARRAY_STRIP, /* application/vnd.pgrst.array+json;nulls=stripped */
    REST_MEDIA_OBJECT,      /* application/vnd.pgrst.object+json */
    REST_MEDIA_OBJECT_STRIP,
    REST_MEDIA_PLAN
};

enum rest_plan_option {
    REST_PLAN_ANALYZE = 1,
    REST_PLAN_VERBOSE = 2,
    REST_PLAN_SETTINGS = 4,
    REST_PLAN_BUFFERS = 8,
    REST_PLAN_WAL = 16
};

struct rest_media {
    enum rest_media_kind kind;
    struct str text;               /* the type as sent, parameters included (REST_MEDIA_OTHER) */
    enum rest_media_kind plan_for; /* REST_MEDIA_PLAN: the answer whose plan is wanted */
    struct str plan_for_text;      /* when plan_for is REST_MEDIA_OTHER */
    bool plan_json;                /* else text */
    unsigned plan_options;         /* enum rest_plan_option */
};

#define REST_ACCEPT_MAX 64u /* media ranges in one Accept header */

struct rest_media_list {
    const struct rest_media *v;
    size_t n;
};

/* One media type, e.g. a Content-Type. Never fails: what is not understood is REST_MEDIA_OTHER. */
struct rest_media rest_media_parse(struct arena *, struct str text);

/* An Accept header; absent (p == NULL) means anything. */
MUSTCHECK bool rest_media_accept(struct arena *, struct str header, struct rest_media_list *out,
                                 struct err *);

/* "application/json"; normalised for the known ones, the text as sent for the others. */
struct str rest_media_name(struct arena *, const struct rest_media *);

/* The same as a Content-Type header: with "; charset=utf-8" for all but octets and others. */
struct str rest_media_content_type(struct arena *, const struct rest_media *);

/* 406 PGRST107 with the list of what was asked for. Always false. */
bool rest_media_none(struct arena *, const struct rest_media_list *, struct err *);

#endif
