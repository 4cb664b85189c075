#include "rest/relations.h"

#include <stdlib.h>

#include "json/writer.h"

static bool has_constraint(const struct catalog_rel *r)
{
    return r->cardinality == CATALOG_O2M || r->cardinality == CATALOG_M2O ||
           r->cardinality == CATALOG_O2O;
}

static bool by_constraint(const struct catalog_rel *r, struct str name)
{
    return has_constraint(r) && str_eq(r->constraint, name);
}

static bool by_column(const struct catalog_rel *r, struct str name)
{
    return has_constraint(r) && r->pairs.n == 1 && str_eq(r->pairs.v[0].here, name);
}

static bool by_foreign_column(const struct catalog_rel *r, struct str name)
{
    return has_constraint(r) && r->pairs.n == 1 && str_eq(r->pairs.v[0].there, name);
}

/* A relation and itself: its own name means its children, the column of the foreign key its
 * parent. */
static bool matches_self(const struct relations_query *q, const struct catalog_rel *r)
{
    bool children = str_eq(q->target, r->foreign.name) && r->cardinality == CATALOG_O2M;
    if (q->hint.p)
        return children && by_foreign_column(r, q->hint);
    return children || (r->cardinality == CATALOG_M2O && by_column(r, q->target));
}

static bool matches(const struct relations_query *q, const struct catalog_rel *r)
{
    if (r->cardinality == CATALOG_COMPUTED)
        return str_eq(q->target, r->function.name);
    if (r->self)
        return matches_self(q, r);
    bool named = str_eq(q->target, r->foreign.name);
    if (!q->hint.p)
        return named ||
               (!r->foreign_is_view && (by_constraint(r, q->target) || by_column(r, q->target)));
    return named &&
           (by_constraint(r, q->hint) || by_column(r, q->hint) || by_foreign_column(r, q->hint) ||
            (r->cardinality == CATALOG_M2M && str_eq(r->junction.name, q->hint)));
}

/* ---- nothing found ---- */

static struct str suggest(struct arena *arena, const struct relations_query *q,
                          const struct catalog_table *origin)
{
    const struct catalog_table *const *tables;
    size_t n = 0, all = catalog_tables(q->catalog, q->schema, &tables);
    struct str *names = arena_array(arena, origin ? origin->n_rels : all, sizeof *names);
    double score = 0;
    if (!names)
        return (struct str){NULL, 0};
    if (origin) {
        for (size_t i = 0; i < origin->n_rels; i++)
            names[n++] = origin->rels[i]->foreign.name;
        struct str best = catalog_closest(q->target, names, n, 0.33, &score);
        return score < 1 ? best : (struct str){NULL, 0};
    }
    for (size_t i = 0; i < all && n < 500; i++)
        if (tables[i]->n_rels)
            names[n++] = tables[i]->name;
    return catalog_closest(q->origin, names, n, 0.33, &score);
}

static void none(struct arena *arena, const struct relations_query *q,
                 const struct catalog_table *origin, struct err *err)
{
    err_set(err, 400, "PGRST200",
            "Could not find a relationship between '%.*s' and '%.*s' in the schema cache",
            STR_ARG(q->origin), STR_ARG(q->target));
    err->details = arena_printf(
        arena,
        "Searched for a foreign key relationship between '%.*s' and '%.*s'%s%.*s%s in the schema "
        "'%.*s', but no matches were found.",
        STR_ARG(q->origin), STR_ARG(q->target), q->hint.p ? " using the hint '" : "",
        STR_ARG(q->hint), q->hint.p ? "'" : "", STR_ARG(q->schema));
    struct str best = suggest(arena, q, origin);
    if (best.p)
        err->hint = arena_printf(arena, "Perhaps you meant '%.*s' instead of '%.*s'.",
                                 STR_ARG(best), STR_ARG(origin ? q->target : q->origin));
}

/* ---- several found ---- */

static void columns(struct buf *out, const struct catalog_pairs *pairs, bool there)
{
    buf_char(out, '(');
    for (size_t i = 0; i < pairs->n; i++) {
        if (i)
            BUF_LIT(out, ", ");
        json_write_escaped(out, there ? pairs->v[i].there : pairs->v[i].here);
    }
    buf_char(out, ')');
}

static void describe(struct buf *out, const struct catalog_rel *r)
{
    static const char *const names[] = {
        [CATALOG_O2M] = "one-to-many",   [CATALOG_M2O] = "many-to-one",
        [CATALOG_O2O] = "one-to-one",    [CATALOG_M2M] = "many-to-many",
        [CATALOG_COMPUTED] = "computed",
    };
    buf_printf(out, "{\"cardinality\":\"%s\",\"embedding\":\"", names[r->cardinality]);
    json_write_escaped(out, r->table.name);
    BUF_LIT(out, " with ");
    json_write_escaped(out, r->foreign.name);
    BUF_LIT(out, "\",\"relationship\":\"");
    if (r->cardinality == CATALOG_M2M) {
        json_write_escaped(out, r->junction.name);
        BUF_LIT(out, " using ");
        json_write_escaped(out, r->constraint);
        columns(out, &r->pairs, true);
        BUF_LIT(out, " and ");
        json_write_escaped(out, r->constraint2);
        columns(out, &r->pairs2, true);
    } else {
        json_write_escaped(out, r->constraint);
        BUF_LIT(out, " using ");
        json_write_escaped(out, r->table.name);
        columns(out, &r->pairs, false);
        BUF_LIT(out, " and ");
        json_write_escaped(out, r->foreign.name);
        columns(out, &r->pairs, true);
    }
    BUF_LIT(out, "\"}");
}

#define AMBIGUOUS_MAX 65536u /* bytes of details and of the hint */

static const char *kept(struct arena *arena, struct buf *text)
{
    const char *copy = buf_broken(text) ? NULL : arena_strdup(arena, buf_str(text));
    buf_fini(text);
    return copy;
}

static void several(struct arena *arena, const struct relations_query *q,
                    const struct catalog_table *origin, struct err *err)
{
    struct buf details, hint;
    buf_init(&details, AMBIGUOUS_MAX);
    buf_init(&hint, AMBIGUOUS_MAX);
    buf_char(&details, '[');
    buf_printf(&hint, "Try changing '%.*s' to one of the following: ", STR_ARG(q->target));
    bool first = true;
    for (size_t i = 0; i < origin->n_rels; i++) {
        const struct catalog_rel *r = origin->rels[i];
        if (!matches(q, r))
            continue;
        if (!first) {
            buf_char(&details, ',');
            BUF_LIT(&hint, ", ");
        }
        first = false;
        describe(&details, r);
        struct str by = r->cardinality == CATALOG_M2M ? r->junction.name : r->constraint;
        buf_printf(&hint, "'%.*s!%.*s'", STR_ARG(r->foreign.name), STR_ARG(by));
    }
    buf_char(&details, ']');
    BUF_LIT(&hint, ". Find the desired relationship in the 'details' key.");
    err_set(err, 300, "PGRST201",
            "Could not embed because more than one relationship was found for '%.*s' and '%.*s'",
            STR_ARG(q->origin), STR_ARG(q->target));
    err->details = kept(arena, &details);
    err->details_json = err->details != NULL;
    err->hint = kept(arena, &hint);
}

const struct catalog_rel *relations_find(struct arena *arena, const struct relations_query *q,
                                         struct err *err)
{
    const struct catalog_table *origin = catalog_table(q->catalog, q->schema, q->origin);
    const struct catalog_rel *found = NULL;
    size_t n = 0;
    for (size_t i = 0; origin && i < origin->n_rels; i++) {
        if (!matches(q, origin->rels[i]))
            continue;
        found = origin->rels[i];
        n++;
    }
    if (n == 1)
        return found;
    if (n == 0)
        none(arena, q, origin, err);
    else
        several(arena, q, origin, err);
    return NULL;
}
