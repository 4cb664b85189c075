/* The builder's relations, functions and views: the rows with arrays in them. */
#include <stdlib.h>

#include "rest/catalog_build.h"
#include "util/xalloc.h"

#define INDEX_FROM 12u /* columns from which a table gets a hash of its own */

enum {
    A_NUMS,
    A_NAMES,
    A_TYPES,
    A_NOMINALS,
    A_OIDS,
    A_MODS,
    A_NOTNULLS,
    A_DEFAULTS,
    A_COMMENTS,
    ARRAYS
};

struct arrays {
    struct str *v[ARRAYS];
    struct buf scratch[ARRAYS];
    size_t n;
};

static void arrays_free(struct arrays *a)
{
    for (int i = 0; i < ARRAYS; i++) {
        free(a->v[i]);
        buf_fini(&a->scratch[i]);
    }
}

static bool arrays_read(const struct str *cells, struct arrays *a)
{
    *a = (struct arrays){0};
    for (int i = 0; i < ARRAYS; i++)
        buf_init(&a->scratch[i], BUF_NO_CEILING);
    for (int i = 0; i < ARRAYS; i++) {
        size_t n;
        if (!build_array(cells[i], &a->scratch[i], &a->v[i], &n) || (i > 0 && n != a->n)) {
            arrays_free(a);
            return false;
        }
        a->n = n;
    }
    return true;
}

/* information_schema's character_maximum_length */
static int max_length(unsigned type, int modifier)
{
    if (modifier < 0)
        return 0;
    if (type == 1042 || type == 1043) /* bpchar, varchar: with the header's four bytes */
        return modifier > 4 ? modifier - 4 : 0;
    return type == 1560 || type == 1562 ? modifier : 0; /* bit, varbit */
}

static struct catalog_strs enum_labels(const struct catalog_builder *b, unsigned type)
{
    size_t low = 0, high = b->enums.n;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (b->enums.v[mid].oid == type)
            return b->enums.v[mid].labels;
        if (b->enums.v[mid].oid < type)
            low = mid + 1;
        else
            high = mid;
    }
    return (struct catalog_strs){NULL, 0};
}

static struct str cast_function(const struct catalog_builder *b, struct str source,
                                struct str target)
{
    for (size_t i = 0; i < b->casts.n; i++)
        if (str_eq(b->casts.v[i].source, source) && str_eq(b->casts.v[i].target, target))
            return b->casts.v[i].function;
    return (struct str){NULL, 0};
}

static void fill_column(struct catalog_builder *b, const struct arrays *a, size_t i,
                        struct catalog_column *col)
{
    unsigned type = build_oid(a->v[A_OIDS][i]), base_type = type;
    int modifier = build_int(a->v[A_MODS][i]);
    const struct build_domain *domain = build_domain(b, type);
    const struct build_domain *base = build_domain_base(b, type);
    col->name = build_str(b, a->v[A_NAMES][i]);
    col->description = build_str(b, a->v[A_COMMENTS][i]);
    col->type = build_str(b, a->v[A_TYPES][i]);
    col->nominal = build_str(b, a->v[A_NOMINALS][i]);
    col->default_sql = build_str(b, a->v[A_DEFAULTS][i]);
    col->nullable = !str_eq(a->v[A_NOTNULLS][i], STR("t"));
    col->max_length =
        max_length(domain ? domain->base : type, domain ? domain->modifier : modifier);
    if (domain) {
        base_type = base->base;
        if (base->base_builtin)
            col->type = base->base_text;
        else
            col->type = col->nominal;
        if (domain->not_null)
            col->nullable = false;
        if (!col->default_sql.p)
            col->default_sql = domain->default_sql;
        col->to_json = cast_function(b, col->nominal, STR("json"));
        col->from_json = cast_function(b, STR("json"), col->nominal);
        col->from_text = cast_function(b, STR("text"), col->nominal);
    }
    col->enums = enum_labels(b, base_type);
    col->json = str_eq(col->nominal, STR("json")) || str_eq(col->nominal, STR("jsonb"));
    col->tsvector = str_eq(col->type, STR("tsvector"));
}

static void index_columns(struct catalog_builder *b, struct catalog_table *t)
{
    if (t->n_columns < INDEX_FROM)
        return;
    size_t size = 32;
    while (size < t->n_columns * 2)
        size *= 2;
    uint16_t *slots = build_alloc(b, size * sizeof *slots);
    for (size_t i = 0; i < t->n_columns && i < UINT16_MAX; i++) {
        size_t at = str_hash(t->columns[i].name) & (size - 1);
        while (slots[at])
            at = (at + 1) & (size - 1);
        slots[at] = (uint16_t)(i + 1);
    }
    t->column_index = slots;
    t->column_mask = size - 1;
}

bool build_relation(struct catalog_builder *b, const struct str *c)
{
    struct arrays a;
    if (!c[4].n || !arrays_read(c + 7, &a))
        return false;
    struct catalog_table *t = build_alloc(b, sizeof *t);
    int *nums = build_alloc(b, a.n * sizeof *nums);
    struct catalog_column *columns = build_alloc(b, a.n * sizeof *columns);
    int can = build_int(c[6]);
    *t = (struct catalog_table){
        .oid = build_oid(c[0]),
        .schema = build_str(b, c[1]),
        .name = build_str(b, c[2]),
        .description = build_str(b, c[3]),
        .is_view = c[4].p[0] == 'v' || c[4].p[0] == 'm',
        .row_security = str_eq(c[5], STR("t")),
        .insertable = (can & 8) != 0,
        .updatable = (can & 4) != 0,
        .deletable = (can & 16) != 0,
        .columns = columns,
        .n_columns = a.n,
    };
    for (size_t i = 0; i < a.n; i++) {
        nums[i] = build_int(a.v[A_NUMS][i]);
        fill_column(b, &a, i, &columns[i]);
        if (columns[i].to_json.n)
            t->representations = true;
    }
    index_columns(b, t);
    arrays_free(&a);
    struct build_table *bt = VEC_ADD(&b->tables);
    *bt = (struct build_table){.table = t, .oid = t->oid, .numbers = nums};
    return true;
}

struct build_table *build_table(struct catalog_builder *b, unsigned oid)
{
    size_t low = 0, high = b->tables.n;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (b->tables.v[mid].oid == oid)
            return &b->tables.v[mid];
        if (b->tables.v[mid].oid < oid)
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}

/* ---- functions ---- */

struct routine_arrays {
    struct str *names, *modes, *types, *config;
    size_t n_names, n_modes, n_types, n_config;
    struct buf scratch[4];
};

static void routine_arrays_free(struct routine_arrays *r)
{
    free(r->names);
    free(r->modes);
    free(r->types);
    free(r->config);
    for (int i = 0; i < 4; i++)
        buf_fini(&r->scratch[i]);
}

static bool routine_arrays_read(const struct str *c, struct routine_arrays *r)
{
    *r = (struct routine_arrays){0};
    for (int i = 0; i < 4; i++)
        buf_init(&r->scratch[i], BUF_NO_CEILING);
    if (build_array(c[3], &r->scratch[0], &r->names, &r->n_names) &&
        build_array(c[4], &r->scratch[1], &r->modes, &r->n_modes) &&
        build_array(c[5], &r->scratch[2], &r->types, &r->n_types) &&
        build_array(c[14], &r->scratch[3], &r->config, &r->n_config))
        return true;
    routine_arrays_free(r);
    return false;
}

/* bit and character without a length would cut what is given. */
static struct str any_length(struct str type)
{
    static const char *const pairs[][2] = {{"bit", "bit varying"},
                                           {"bit[]", "bit varying[]"},
                                           {"character", "character varying"},
                                           {"character[]", "character varying[]"}};
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++)
        if (str_eq(type, str_of(pairs[i][0])))
            return str_of(pairs[i][1]);
    return type;
}

static bool unnamed_callable(struct str type)
{
    return str_eq(type, STR("bytea")) || str_eq(type, STR("json")) || str_eq(type, STR("jsonb")) ||
           str_eq(type, STR("text")) || str_eq(type, STR("xml"));
}

/* Fills the input parameters; false when REST cannot name them: more than one has no name, or one
 * without a name is of no type that takes a whole body. */
static bool fill_params(struct catalog_builder *b, const struct routine_arrays *a, int required,
                        struct catalog_routine *r)
{
    struct catalog_param *params = build_alloc(b, a->n_types * sizeof *params);
    size_t n = 0, unnamed = 0;
    for (size_t i = 0; i < a->n_types; i++) {
        char mode = i < a->n_modes && a->modes[i].n ? a->modes[i].p[0] : 'i';
        if (mode == 't' || mode == 'b' || mode == 'o')
            r->composite = true;
        if (mode == 't' || mode == 'o')
            continue;
        struct str name = i < a->n_names && a->names[i].p ? a->names[i] : STR("");
        struct str type = build_str(b, a->types[i]);
        params[n] = (struct catalog_param){.name = build_str(b, name),
                                           .type = type,
                                           .type_any_length = any_length(type),
                                           .required = (int)n < required,
                                           .variadic = mode == 'v'};
        unnamed += name.n == 0;
        n++;
    }
    r->params = params;
    r->n_params = n;
    return unnamed == 0 || (unnamed == 1 && unnamed_callable(params[0].type));
}

bool build_routine(struct catalog_builder *b, const struct str *c)
{
    struct routine_arrays a;
    if (!c[8].n || !c[13].n || !routine_arrays_read(c, &a))
        return false;
    unsigned type = build_oid(c[10]);
    const struct build_domain *base = build_domain_base(b, type);
    struct catalog_routine *r = build_alloc(b, sizeof *r);
    *r = (struct catalog_routine){
        .schema = build_str(b, c[0]),
        .name = build_str(b, c[1]),
        .description = build_str(b, c[2]),
        .has_variadic = str_eq(c[7], STR("t")),
        .volatility = c[8].p[0] == 'i'   ? CATALOG_IMMUTABLE
                      : c[8].p[0] == 's' ? CATALOG_STABLE
                                         : CATALOG_VOLATILE,
        .set = str_eq(c[9], STR("t")),
        .returns = {build_str(b, c[11]), build_str(b, c[12])},
        .composite = c[13].p[0] == 'c',
    };
    if (base) {
        r->returns = base->base_name;
        r->composite = base->base_kind == 'c';
        r->composite_alias = true;
    }
    bool callable =
        fill_params(b, &a, build_int(c[6]), r) &&
        !(str_eq(r->returns.name, STR("trigger")) && str_eq(r->returns.schema, STR("pg_catalog")));
    build_settings(b, a.config, a.n_config, &r->settings, &r->isolation);
    if (callable)
        *VEC_ADD(&b->routines) = r;
    routine_arrays_free(&a);
    return true;
}
