/* fuzz_rest_query: any bytes as a query string, and as a body. What the parser takes must be UTF-8
 * without NUL, and its canonical form must parse again (to itself, when no key stood twice). */
#include "rest/body.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool truth)
{
    if (!truth)
        abort();
}

static void text(struct str s)
{
    require(s.n == 0 || (s.p && str_utf8(s) && !memchr(s.p, '\0', s.n)));
}

static void fields(const struct rest_field *f)
{
    text(f->name);
    for (const struct rest_json_step *s = f->path; s; s = s->next)
        text(s->key);
}

static void selects(const struct rest_select *s, unsigned depth)
{
    require(depth <= REST_DEPTH_MAX + 1);
    for (; s; s = s->next) {
        fields(&s->field);
        text(s->alias);
        text(s->cast);
        text(s->hint);
        selects(s->children, depth + 1);
    }
}

static void logics(const struct rest_logic *l, unsigned depth)
{
    require(depth <= REST_DEPTH_MAX + 1);
    for (; l; l = l->next) {
        if (l->filter)
            fields(&l->filter->field);
        logics(l->children, depth + 1);
    }
}

static void bodies(struct arena *arena, struct str bytes)
{
    static const enum rest_media_kind kinds[] = {REST_MEDIA_JSON, REST_MEDIA_CSV, REST_MEDIA_FORM};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        struct rest_request r = {.action = REST_INSERT, .content_type = kinds[i]};
        struct rest_body body;
        struct err err;
        if (!rest_body_parse(arena, &r, bytes, &body, &err)) {
            require(err.status >= 400 && err.code[0] != '\0');
            continue;
        }
        for (size_t k = 0; k < body.n_keys; k++)
            text(body.keys[k]);
        rest_body_fini(&body);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str bytes = {(const char *)data, size};
    struct rest_query query, again;
    struct arena arena;
    struct err err = {0};
    arena_init(&arena, 32u << 20);
    if (rest_parse_query(&arena, bytes, size % 2, &query, &err)) {
        selects(query.select, 0);
        logics(query.logic, 0);
        for (const struct rest_filter *f = query.filters; f; f = f->next)
            fields(&f->field), text(f->value);
        text(query.canonical);
        (void)!rest_parse_query(&arena, query.canonical, true, &again, &err);
    } else {
        require(err.status == 400 && strcmp(err.code, "PGRST100") == 0);
    }
    bodies(&arena, bytes);
    arena_fini(&arena);
    return 0;
}
