#include "rest/rpc.h"

#include <stdlib.h>

#include "rest/plan_write.h"

static int by_bytes(const void *left, const void *right)
{
    const struct str *a = left, *b = right;
    size_t n = a->n < b->n ? a->n : b->n;
    int order = n ? memcmp(a->p, b->p, n) : 0;
    return order ? order : (a->n > b->n) - (a->n < b->n);
}

static void sort_unique(struct str *v, size_t *n)
{
    size_t kept = 0;
    if (*n > 1)
        qsort(v, *n, sizeof *v, by_bytes);
    for (size_t i = 0; i < *n; i++)
        if (kept == 0 || !str_eq(v[i], v[kept - 1]))
            v[kept++] = v[i];
    *n = kept;
}

/* The names of the arguments, sorted, each once. */
static bool argument_names(struct arena *arena, const struct rest_call_spec *spec,
                           struct catalog_strs *out, struct err *err)
{
    size_t n = 0;
    if (spec->body) {
        *out = (struct catalog_strs){spec->body->keys, spec->body->n_keys};
        return true;
    }
    for (const struct rest_param *p = spec->request->query.params; p; p = p->next)
        n++;
    struct str *names = arena_array(arena, n + 1, sizeof *names);
    if (!names)
        return err_set(err, 400, "PGRST100", "The call has too many arguments");
    n = 0;
    for (const struct rest_param *p = spec->request->query.params; p; p = p->next)
        names[n++] = p->name;
    sort_unique(names, &n);
    *out = (struct catalog_strs){names, n};
    return true;
}

static bool has_name(struct catalog_strs names, struct str name)
{
    return names.n > 0 && bsearch(&name, names.v, names.n, sizeof *names.v, by_bytes);
}

static bool single_unnamed(const struct catalog_routine *r)
{
    return r->n_params == 1 && r->params[0].name.n == 0;
}

/* A body that only a single unnamed parameter can take. */
static bool raw_body(const struct rest_call_spec *spec)
{
    return spec->body && spec->body->kind == REST_BODY_RAW;
}

/* A body that goes to an unnamed parameter whole: {"": 1} names it too, as generated clients do. */
static bool body_to_unnamed(const struct rest_call_spec *spec)
{
    return raw_body(spec) || (spec->body && spec->body->kind == REST_BODY_JSON);
}

static bool takes(const struct catalog_routine *r, const struct rest_call_spec *spec,
                  struct catalog_strs names)
{
    size_t known = 0;
    if (r->n_params == 0)
        return names.n == 0 && !raw_body(spec);
    if (single_unnamed(r) && names.n > 0 && !body_to_unnamed(spec))
        return false;
    for (size_t i = 0; i < r->n_params; i++) {
        bool given = has_name(names, r->params[i].name);
        if (!given && r->params[i].required)
            return false;
        known += given;
    }
    return known == names.n;
}

/* The type that a single unnamed parameter may have to take this body, or two for JSON. */
static bool takes_whole(const struct catalog_routine *r, const struct rest_call_spec *spec)
{
    if (!spec->body || !single_unnamed(r))
        return false;
    struct str type = r->params[0].type;
    enum rest_media_kind content = spec->request->content_type;
    return (content == REST_MEDIA_JSON &&
            (str_eq(type, STR("json")) || str_eq(type, STR("jsonb")))) ||
           (content == REST_MEDIA_TEXT && str_eq(type, STR("text"))) ||
           (content == REST_MEDIA_XML && str_eq(type, STR("xml"))) ||
           (content == REST_MEDIA_OCTETS && str_eq(type, STR("bytea")));
}

/* ------------------------------------------------------------ which function */

static void list(struct buf *out, const struct str *v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            BUF_LIT(out, ", ");
        buf_adds(out, v[i]);
    }
}

/* "(a, b)" of the sorted parameter names: what lists of names are compared as. */
static struct str signature(struct arena *arena, const struct str *v, size_t n)
{
    struct buf out;
    buf_init(&out, 65536);
    buf_char(&out, '(');
    list(&out, v, n);
    buf_char(&out, ')');
    struct str text = buf_broken(&out) ? STR("()") : arena_str(arena, buf_str(&out));
    buf_fini(&out);
    return text;
}

static struct str closest_signature(struct arena *arena, const struct catalog_routine *first,
                                    struct catalog_strs names)
{
    size_t n = 0, i = 0;
    for (const struct catalog_routine *r = first; r; r = r->next)
        n++;
    struct str *among = arena_array(arena, n + 1, sizeof *among);
    if (!among)
        return (struct str){0};
    for (const struct catalog_routine *r = first; r; r = r->next) {
        size_t params = r->n_params;
        struct str *v = arena_array(arena, params + 1, sizeof *v);
        if (!v)
            return (struct str){0};
        for (size_t k = 0; k < params; k++)
            v[k] = r->params[k].name;
        if (params > 1)
            qsort(v, params, sizeof *v, by_bytes);
        among[i++] = signature(arena, v, params);
    }
    double score;
    return catalog_closest(signature(arena, names.v, names.n), among, n, 0.33, &score);
}

static struct str closest_name(struct arena *arena, const struct rest_call_spec *spec)
{
    const struct catalog_routine *const *all;
    size_t n = catalog_routines(spec->catalog, spec->request->schema, &all);
    struct str *among = arena_array(arena, n + 1, sizeof *among);
    double score;
    if (!among)
        return (struct str){0};
    for (size_t i = 0; i < n; i++)
        among[i] = all[i]->name;
    return catalog_closest(spec->request->name, among, n, 0.75, &score);
}

static const char *missing_hint(struct arena *arena, const struct rest_call_spec *spec,
                                const struct catalog_routine *first, struct catalog_strs names)
{
    struct str schema = spec->request->schema;
    struct str best = first ? closest_signature(arena, first, names) : closest_name(arena, spec);
    if (!best.p)
        return NULL;
    return arena_printf(arena, "Perhaps you meant to call the function %.*s.%.*s%.*s",
                        STR_ARG(schema), first ? (int)first->name.n : 0, first ? first->name.p : "",
                        STR_ARG(best));
}

/* How the message and the details name the arguments. */
static const char *missing_arguments(struct arena *arena, struct catalog_strs names,
                                     const char *before, const char *behind)
{
    struct buf all;
    const char *text;
    if (names.n == 0)
        return " without parameters";
    buf_init(&all, 8192);
    list(&all, names.v, names.n);
    text = arena_printf(arena, "%s%.*s%s", before, (int)all.n, all.p ? all.p : "", behind);
    buf_fini(&all);
    return text ? text : "";
}

static const char *missing_raw(enum rest_media_kind type)
{
    return type == REST_MEDIA_TEXT  ? " with a single unnamed text parameter"
           : type == REST_MEDIA_XML ? " with a single unnamed xml parameter"
                                    : " with a single unnamed bytea parameter";
}

static bool missing(struct arena *arena, const struct rest_call_spec *spec,
                    const struct catalog_routine *first, struct catalog_strs names, struct err *err)
{
    const struct rest_request *r = spec->request;
    bool raw = raw_body(spec);
    bool json = !raw && spec->body && r->content_type == REST_MEDIA_JSON;
    const char *looked =
        raw ? missing_raw(r->content_type)
            : missing_arguments(arena, names,
                                names.n > 1 ? " with parameters " : " with parameter ", "");
    err_set(err, 404, "PGRST202", "Could not find the function %.*s.%.*s%s in the schema cache",
            STR_ARG(r->schema), STR_ARG(r->name),
            raw ? "" : missing_arguments(arena, names, "(", ")"));
    err->details = arena_printf(
        arena,
        "Searched for the function %.*s.%.*s%s%s, but no matches were found in the schema cache.",
        STR_ARG(r->schema), STR_ARG(r->name), looked,
        json ? " or with a single unnamed json/jsonb parameter" : "");
    if (names.n && catalog_looks_json(names.v[0]))
        err->hint = CATALOG_HINT_JSON;
    else if (!raw)
        err->hint = missing_hint(arena, spec, first, names);
    return false;
}

static bool ambiguous(const struct catalog_routine **found, size_t n, struct err *err)
{
    struct buf all;
    buf_init(&all, 8192);
    for (size_t i = 0; i < n; i++) {
        const struct catalog_routine *r = found[i];
        buf_printf(&all, "%s%.*s.%.*s(", i ? ", " : "", STR_ARG(r->schema), STR_ARG(r->name));
        for (size_t k = 0; k < r->n_params; k++)
            buf_printf(&all, "%s%.*s => %.*s", k ? ", " : "", STR_ARG(r->params[k].name),
                       STR_ARG(r->params[k].type));
        buf_char(&all, ')');
    }
    err_set(err, 300, "PGRST203", "Could not choose the best candidate function between: %.*s",
            (int)all.n, all.p ? all.p : "");
    buf_fini(&all);
    err->hint = "Try renaming the parameters or the function itself in the database so function "
                "overloading can be resolved";
    return false;
}

#define CANDIDATES_MAX 64u /* overloads named in an answer; more are no help to anybody */

static bool given_params(struct arena *arena, struct catalog_strs names, struct rest_call *out,
                         struct err *err)
{
    const struct catalog_routine *r = out->routine;
    out->args = arena_array(arena, r->n_params + 1, sizeof(struct catalog_param *));
    if (!out->args)
        return err_set(err, 400, "PGRST100", "The call has too many arguments");
    for (size_t i = 0; !out->whole && i < r->n_params; i++)
        if (has_name(names, r->params[i].name))
            out->args[out->n_args++] = &r->params[i];
    return true;
}

bool rest_call_find(struct arena *arena, const struct rest_call_spec *spec, struct rest_call *out,
                    struct err *err)
{
    const struct rest_request *request = spec->request;
    const struct catalog_routine *first =
        catalog_routine(spec->catalog, request->schema, request->name);
    const struct catalog_routine *by_name[CANDIDATES_MAX], *whole[CANDIDATES_MAX];
    size_t n_by_name = 0, n_whole = 0;
    struct catalog_strs names = {0};
    if (!argument_names(arena, spec, &names, err))
        return false;
    for (const struct catalog_routine *r = first; r; r = r->next)
        if (takes(r, spec, names)) {
            if (n_by_name < CANDIDATES_MAX)
                by_name[n_by_name++] = r;
        } else if (takes_whole(r, spec) && n_whole < CANDIDATES_MAX) {
            whole[n_whole++] = r;
        }
    if (n_by_name == 0 && n_whole == 0)
        return missing(arena, spec, first, names, err);
    if (n_by_name > 1 || (n_by_name == 0 && n_whole > 1))
        return n_by_name > 1 ? ambiguous(by_name, n_by_name, err) : ambiguous(whole, n_whole, err);
    *out = (struct rest_call){.routine = n_by_name ? by_name[0] : whole[0],
                              .request = request,
                              .body = spec->body,
                              .max_affected = REST_NO_CEILING};
    out->whole = single_unnamed(out->routine) && body_to_unnamed(spec);
    if (!spec->body)
        out->params = request->query.params;
    else if (spec->body->kind == REST_BODY_FORM)
        out->params = spec->body->params;
    else
        out->by_json = spec->body->kind == REST_BODY_JSON;
    return given_params(arena, names, out, err);
}

/* ------------------------------------------------------------ what comes of it */

bool rest_call_plan(struct arena *arena, const struct rest_plan *plan, struct rest_call *call,
                    struct err *err)
{
    const struct rest_prefs *prefs = &call->request->prefs;
    call->read_only =
        call->request->method != REST_POST || call->routine->volatility != CATALOG_VOLATILE;
    if (prefs->has_max_affected && prefs->handling == REST_HANDLING_STRICT) {
        if (rest_call_single(call->routine))
            return err_set(err, 400, "PGRST128",
                           "Function must return SETOF or TABLE when max-affected preference is "
                           "used with handling=strict");
        call->max_affected = prefs->max_affected;
    }
    call->columns = rest_plan_needs(arena, plan, (struct catalog_strs){0});
    if (call->columns.n == 1 && str_eq(call->columns.v[0], STR("*")))
        return true;
    if (call->columns.n == 0)
        return true;
    struct catalog_strs filters = rest_plan_filter_names(arena, plan);
    size_t n = call->columns.n + filters.n;
    struct str *all = arena_array(arena, n + 1, sizeof *all);
    if (!all)
        return err_set(err, 400, "PGRST100", "The request needs too much memory");
    memcpy(all, call->columns.v, call->columns.n * sizeof *all);
    if (filters.n > 0)
        memcpy(all + call->columns.n, filters.v, filters.n * sizeof *all);
    sort_unique(all, &n);
    call->columns = (struct catalog_strs){all, n};
    return true;
}

struct str rest_call_target(const struct catalog_routine *r)
{
    return r->composite ? r->returns.name : r->name;
}

bool rest_call_single(const struct catalog_routine *r)
{
    return !r->set;
}

bool rest_call_void(const struct catalog_routine *r)
{
    return !r->set && !r->composite && str_eq(r->returns.schema, STR("pg_catalog")) &&
           str_eq(r->returns.name, STR("void"));
}
