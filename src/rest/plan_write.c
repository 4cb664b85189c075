#include "rest/plan_write.h"

static bool written_columns(struct arena *arena, const struct plan_write_spec *spec,
                            struct plan_write *out, struct err *err)
{
    const struct catalog_column **columns =
        arena_array(arena, spec->body->n_keys + 1, sizeof(struct catalog_column *));
    if (!columns)
        return err_set(err, 413, "PGRST102", "The body has too many keys");
    for (size_t i = 0; i < spec->body->n_keys; i++) {
        columns[i] = catalog_column(spec->table, spec->body->keys[i]);
        if (!columns[i])
            return catalog_column_missing(spec->table, spec->body->keys[i], err);
    }
    out->columns = columns;
    out->n_columns = spec->body->n_keys;
    return true;
}

static bool is_key(const struct catalog_table *table, struct str name)
{
    for (size_t i = 0; i < table->key.n; i++)
        if (str_eq(table->key.v[i], name))
            return true;
    return false;
}

/* PUT: each column of the key exactly once as name=eq.value, and nothing else. */
static bool names_one_row(const struct rest_request *request, const struct catalog_table *table)
{
    size_t n = 0;
    if (request->query.logic || table->key.n == 0)
        return false;
    for (const struct rest_filter *f = request->query.filters; f; f = f->next) {
        if (f->path.n > 0 || f->field.path || !is_key(table, f->field.name))
            return false;
        if (f->op != REST_OP_EQ || f->negated || f->quantifier != REST_QUANT_NONE)
            return false;
        for (const struct rest_filter *g = request->query.filters; g != f; g = g->next)
            if (str_eq(g->field.name, f->field.name))
                n--; /* the same column again is one condition more, not one column more */
        n++;
    }
    return n == table->key.n;
}

static bool conflict_target(struct arena *arena, const struct plan_write_spec *spec,
                            struct plan_write *out, struct err *err)
{
    const struct rest_query *query = &spec->request->query;
    size_t n = 0;
    out->conflict = spec->table->key;
    if (spec->request->action == REST_UPSERT) {
        out->resolution = REST_MERGE_DUPLICATES;
        return true;
    }
    out->resolution = spec->request->prefs.resolution;
    if (!query->has_on_conflict)
        return true;
    for (const struct rest_name *c = query->on_conflict; c; c = c->next)
        n++;
    struct str *names = arena_array(arena, n + 1, sizeof *names);
    if (!names)
        return err_set(err, 400, "PGRST100", "on_conflict names too many columns");
    n = 0;
    for (const struct rest_name *c = query->on_conflict; c; c = c->next)
        names[n++] = c->name;
    out->conflict = (struct catalog_strs){names, n};
    return true;
}

bool rest_plan_write(struct arena *arena, const struct plan_write_spec *spec,
                     struct plan_write *out, struct err *err)
{
    const struct rest_request *request = spec->request;
    const struct rest_prefs *prefs = &request->prefs;
    *out = (struct plan_write){.action = request->action,
                               .table = spec->table,
                               .body = spec->body,
                               .max_affected = REST_NO_CEILING};
    if (request->action == REST_UPSERT && !names_one_row(request, spec->table))
        return err_set(err, 405, "PGRST105",
                       "Filters must include all and only primary key columns with 'eq' "
                       "operators");
    if (request->action != REST_REMOVE && !written_columns(arena, spec, out, err))
        return false;
    if ((request->action == REST_INSERT || request->action == REST_UPSERT) &&
        !conflict_target(arena, spec, out, err))
        return false;
    if (request->action != REST_INSERT &&
        !rest_plan_where(arena, spec->table, request, &out->where, err))
        return false;
    if (prefs->returning == REST_RETURN_REPRESENTATION ||
        prefs->returning == REST_RETURN_HEADERS_ONLY)
        out->returning = rest_plan_needs(arena, spec->read, spec->table->key);
    out->defaults = prefs->missing == REST_MISSING_DEFAULT && request->action != REST_UPSERT &&
                    request->action != REST_REMOVE;
    out->location = request->action == REST_INSERT && prefs->returning == REST_RETURN_HEADERS_ONLY;
    bool limited = request->action == REST_UPDATE || request->action == REST_REMOVE;
    if (limited && prefs->has_max_affected && prefs->handling == REST_HANDLING_STRICT)
        out->max_affected = prefs->max_affected;
    return true;
}

bool plan_write_counts_inserted(const struct plan_write *w)
{
    return w->action == REST_UPSERT ||
           (w->action == REST_INSERT && w->resolution == REST_MERGE_DUPLICATES);
}

struct rest_prefs plan_write_applied(const struct rest_request *request,
                                     const struct catalog_table *table)
{
    struct rest_prefs prefs = request->prefs;
    if (request->action != REST_INSERT || (table->key.n == 0 && !request->query.has_on_conflict))
        prefs.resolution = REST_RESOLUTION_NONE;
    if (request->action != REST_INSERT && request->action != REST_UPDATE)
        prefs.missing = REST_MISSING_NONE;
    if (request->action != REST_UPDATE && request->action != REST_REMOVE)
        prefs.has_max_affected = false;
    return prefs;
}
