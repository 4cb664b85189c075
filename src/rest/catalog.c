#include "rest/catalog.h"

#include <stdlib.h>

#include "rest/catalog_private.h"

struct catalog *catalog_ref(struct catalog *c)
{
    atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
    return c;
}

void catalog_unref(struct catalog *c)
{
    if (!c || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1)
        return;
    arena_fini(&c->arena);
    free(c);
}

uint64_t catalog_hash_name(struct str schema, struct str name)
{
    return str_hash(name) * 31 + str_hash(schema);
}

const struct catalog_table *catalog_table(const struct catalog *c, struct str schema,
                                          struct str name)
{
    if (!c->table_hash.slots)
        return NULL;
    size_t mask = c->table_hash.mask;
    for (size_t i = catalog_hash_name(schema, name) & mask; c->table_hash.slots[i];
         i = (i + 1) & mask) {
        const struct catalog_table *t = c->tables[c->table_hash.slots[i] - 1];
        if (str_eq(t->name, name) && str_eq(t->schema, schema))
            return t;
    }
    return NULL;
}

const struct catalog_column *catalog_column(const struct catalog_table *t, struct str name)
{
    if (!t)
        return NULL;
    if (!t->column_index) {
        for (size_t i = 0; i < t->n_columns; i++)
            if (str_eq(t->columns[i].name, name))
                return &t->columns[i];
        return NULL;
    }
    for (size_t i = str_hash(name) & t->column_mask; t->column_index[i];
         i = (i + 1) & t->column_mask) {
        const struct catalog_column *col = &t->columns[t->column_index[i] - 1];
        if (str_eq(col->name, name))
            return col;
    }
    return NULL;
}

const struct catalog_routine *catalog_routine(const struct catalog *c, struct str schema,
                                              struct str name)
{
    if (!c->routine_hash.slots)
        return NULL;
    size_t mask = c->routine_hash.mask;
    for (size_t i = catalog_hash_name(schema, name) & mask; c->routine_hash.slots[i];
         i = (i + 1) & mask) {
        const struct catalog_routine *r = c->routines[c->routine_hash.slots[i] - 1];
        if (str_eq(r->name, name) && str_eq(r->schema, schema))
            return r;
    }
    return NULL;
}

const struct catalog_handler *
catalog_handler(const struct catalog *c, const struct catalog_name *target, struct str media_type)
{
    for (size_t i = 0; i < c->n_handlers; i++) {
        const struct catalog_handler *h = &c->handlers[i];
        if (h->any == (target == NULL) && str_ieq(h->media_type, media_type) &&
            (!target || catalog_name_eq(h->target, *target)))
            return h;
    }
    return NULL;
}

const struct catalog_role *catalog_role(const struct catalog *c, struct str name)
{
    for (size_t i = 0; i < c->n_roles; i++)
        if (str_eq(c->roles[i].name, name))
            return &c->roles[i];
    return NULL;
}

/* Both lists are sorted by schema first. */
typedef struct str schema_at(const struct catalog *, size_t i);

static struct str table_schema(const struct catalog *c, size_t i)
{
    return c->tables[i]->schema;
}

static struct str routine_schema(const struct catalog *c, size_t i)
{
    return c->routines[i]->schema;
}

static bool is_before(struct str a, struct str b)
{
    int order = memcmp(a.p, b.p, a.n < b.n ? a.n : b.n);
    return order < 0 || (order == 0 && a.n < b.n);
}

/* How many of n are before schema; with its own, before the next one. */
static size_t count_before(const struct catalog *c, schema_at *at, size_t n, struct str schema,
                           bool own)
{
    size_t low = 0, high = n;
    while (low < high) {
        size_t mid = (low + high) / 2;
        struct str s = at(c, mid);
        if (is_before(s, schema) || (own && str_eq(s, schema)))
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

size_t catalog_tables(const struct catalog *c, struct str schema,
                      const struct catalog_table *const **out)
{
    size_t first = count_before(c, table_schema, c->n_tables, schema, false);
    *out = c->tables + first;
    return count_before(c, table_schema, c->n_tables, schema, true) - first;
}

size_t catalog_routines(const struct catalog *c, struct str schema,
                        const struct catalog_routine *const **out)
{
    size_t first = count_before(c, routine_schema, c->n_routines, schema, false);
    *out = c->routines + first;
    return count_before(c, routine_schema, c->n_routines, schema, true) - first;
}

struct catalog_info catalog_info(const struct catalog *c)
{
    return c->info;
}
