/* Relationships, found once per load:
 *
 * 1. Views are followed down to the tables that their columns come from, so that a view has the
 *    keys whose columns it shows whole.
 * 2. A foreign key gives one relationship between each pair of (its table, views of it) and (the
 *    table it references, views of that); a view that shows a column twice gives one for each.
 * 3. Each is there in both directions.
 * 4. A relation whose primary key holds the columns of two of its foreign keys joins the two
 *    relations they reference: many-to-many.
 * 5. A function from one row type to another replaces what was found between its table and the
 *    relation of its name. */
#include <stdlib.h>

#include "rest/catalog_build.h"
#include "util/xalloc.h"

#define M2M_KEYS_MAX 256u /* foreign keys of one junction that are paired with each other */

/* ---- 1. views ---- */

static int view_order(const void *a, const void *b)
{
    const struct build_view *x = a, *y = b;
    return (x->oid > y->oid) - (x->oid < y->oid);
}

static struct build_view *find_view(struct catalog_builder *b, unsigned oid)
{
    struct build_view key = {.oid = oid};
    return b->views.n ? bsearch(&key, b->views.v, b->views.n, sizeof key, view_order) : NULL;
}

/* The table column behind a view's column; table == 0 when it is in a circle. */
static struct build_view_column origin(struct catalog_builder *b, struct build_view_column col)
{
    for (unsigned depth = 0; depth < CATALOG_VIEW_DEPTH_MAX; depth++) {
        const struct build_view *below = find_view(b, col.table);
        if (!below)
            return col;
        size_t i = 0;
        while (i < below->n && below->columns[i].number != col.column)
            i++;
        if (i == below->n)
            break;
        col.table = below->columns[i].table;
        col.column = below->columns[i].column;
    }
    col.table = 0;
    return col;
}

static int origin_order(const void *a, const void *b)
{
    const struct build_view_column *x = a, *y = b;
    if (x->table != y->table)
        return x->table < y->table ? -1 : 1;
    if (x->column != y->column)
        return x->column < y->column ? -1 : 1;
    return (x->number > y->number) - (x->number < y->number);
}

struct use { /* a view that shows columns of a table */
    unsigned table;
    const struct build_view *view;
    struct build_table *as;
};

struct uses {
    VEC(struct use) v;
};

static int use_order(const void *a, const void *b)
{
    const struct use *x = a, *y = b;
    if (x->table != y->table)
        return x->table < y->table ? -1 : 1;
    return (x->view->oid > y->view->oid) - (x->view->oid < y->view->oid);
}

static void resolve_views(struct catalog_builder *b, struct uses *uses)
{
    if (b->views.n)
        qsort(b->views.v, b->views.n, sizeof b->views.v[0], view_order);
    struct build_view_column **resolved = xcalloc(b->views.n + 1, sizeof *resolved);
    for (size_t i = 0; i < b->views.n; i++) {
        const struct build_view *v = &b->views.v[i];
        resolved[i] = xcalloc(v->n + 1, sizeof **resolved);
        for (size_t j = 0; j < v->n; j++)
            resolved[i][j] = origin(b, v->columns[j]);
        if (v->n)
            qsort(resolved[i], v->n, sizeof **resolved, origin_order);
    }
    for (size_t i = 0; i < b->views.n; i++) { /* only now: the originals were needed above */
        struct build_view *v = &b->views.v[i];
        free(v->columns);
        v->columns = resolved[i];
        struct build_table *as = build_table(b, v->oid);
        for (size_t j = 0; as && j < v->n; j++)
            if (v->columns[j].table && (j == 0 || v->columns[j].table != v->columns[j - 1].table))
                *VEC_ADD(&uses->v) = (struct use){v->columns[j].table, v, as};
    }
    if (uses->v.n)
        qsort(uses->v.v, uses->v.n, sizeof uses->v.v[0], use_order);
    free(resolved);
}

/* First use of a table; those that follow have the same table. */
static size_t first_use(const struct uses *uses, unsigned table)
{
    size_t low = 0, high = uses->v.n;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (uses->v.v[mid].table < table)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* The view's columns for one column of a table: *first and how many. */
static size_t shown_as(const struct build_view *v, unsigned table, int column, size_t *first)
{
    size_t low = 0, high = v->n;
    while (low < high) {
        size_t mid = (low + high) / 2;
        const struct build_view_column *c = &v->columns[mid];
        if (c->table < table || (c->table == table && c->column < column))
            low = mid + 1;
        else
            high = mid;
    }
    *first = low;
    size_t n = 0;
    while (low + n < v->n && v->columns[low + n].table == table &&
           v->columns[low + n].column == column)
        n++;
    return n;
}

static struct str column_name(const struct build_table *t, int number)
{
    size_t low = 0, high = t->table->n_columns;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (t->numbers[mid] == number)
            return t->table->columns[mid].name;
        if (t->numbers[mid] < number)
            low = mid + 1;
        else
            high = mid;
    }
    return (struct str){NULL, 0};
}

/* ---- primary keys ---- */

static int str_order(const void *a, const void *b)
{
    const struct str *x = a, *y = b;
    size_t n = x->n < y->n ? x->n : y->n;
    int order = memcmp(x->p, y->p, n);
    return order ? order : (x->n > y->n) - (x->n < y->n);
}

static void table_key(struct catalog_builder *b, const struct build_key *key, struct build_table *t)
{
    struct str *names = build_alloc(b, key->n * sizeof *names);
    for (size_t i = 0; i < key->n; i++)
        names[i] = column_name(t, key->columns[i]);
    qsort(names, key->n, sizeof *names, str_order);
    t->table->key = (struct catalog_strs){names, key->n};
}

/* Adds the key to the view's own when all its columns are shown; the first of each. */
static void view_key(struct catalog_builder *b, const struct build_key *key, const struct use *use)
{
    size_t first;
    for (size_t i = 0; i < key->n; i++)
        if (shown_as(use->view, key->table, key->columns[i], &first) == 0)
            return;
    struct catalog_strs *old = &use->as->table->key;
    struct str *names = build_alloc(b, (old->n + key->n) * sizeof *names);
    if (old->n)
        memcpy(names, old->v, old->n * sizeof *names);
    for (size_t i = 0; i < key->n; i++) {
        size_t n = shown_as(use->view, key->table, key->columns[i], &first);
        if (n)
            names[old->n + i] = column_name(use->as, use->view->columns[first].number);
    }
    use->as->table->key = (struct catalog_strs){names, old->n + key->n};
}

static void primary_keys(struct catalog_builder *b, const struct uses *uses)
{
    for (size_t i = 0; i < b->keys.n; i++) {
        const struct build_key *key = &b->keys.v[i];
        if (key->kind != 'p')
            continue;
        struct build_table *t = build_table(b, key->table);
        if (t)
            table_key(b, key, t);
        for (size_t j = first_use(uses, key->table);
             j < uses->v.n && uses->v.v[j].table == key->table; j++)
            view_key(b, key, &uses->v.v[j]);
    }
}

static bool same_columns(const struct build_key *a, const struct build_key *b)
{
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++) {
        size_t j = 0;
        while (j < b->n && b->columns[j] != a->columns[i])
            j++;
        if (j == b->n)
            return false;
    }
    return true;
}

/* Keys come sorted by table. */
static void mark_one_to_one(struct catalog_builder *b)
{
    for (size_t start = 0; start < b->keys.n;) {
        size_t end = start;
        while (end < b->keys.n && b->keys.v[end].table == b->keys.v[start].table)
            end++;
        for (size_t i = start; i < end; i++)
            for (size_t j = start; b->keys.v[i].kind == 'f' && j < end; j++)
                if (b->keys.v[j].kind != 'f' && same_columns(&b->keys.v[i], &b->keys.v[j]))
                    b->keys.v[i].one_to_one = true;
        start = end;
    }
}

/* ---- 2. foreign keys between tables and views ---- */

/* One side of a foreign key: a relation and its names for the key's columns. */
struct side {
    struct build_table *relation;
    const struct str *names;
    bool base; /* the table of the key itself */
};

struct sides {
    VEC(struct side) v;
};

static void view_side(struct catalog_builder *b, const struct use *use, const int *columns,
                      size_t n, struct sides *out)
{
    size_t first[64], count[64], total = 1;
    if (n > 64)
        return;
    for (size_t i = 0; i < n; i++) {
        count[i] = shown_as(use->view, use->table, columns[i], &first[i]);
        total *= count[i];
        if (total == 0)
            return;
        if (total > CATALOG_VIEW_COMBINATIONS_MAX)
            total = CATALOG_VIEW_COMBINATIONS_MAX;
    }
    for (size_t k = 0; k < total; k++) { /* k in mixed radix says which showing of each column */
        struct str *names = build_alloc(b, n * sizeof *names);
        size_t rest = k;
        for (size_t i = n; i-- > 0;) {
            names[i] = column_name(use->as, use->view->columns[first[i] + rest % count[i]].number);
            rest /= count[i];
        }
        *VEC_ADD(&out->v) = (struct side){use->as, names, false};
    }
}

static void find_sides(struct catalog_builder *b, const struct uses *uses, unsigned table,
                       const int *columns, size_t n, struct sides *out)
{
    out->v.n = 0;
    struct build_table *t = build_table(b, table);
    if (t) {
        struct str *names = build_alloc(b, n * sizeof *names);
        for (size_t i = 0; i < n; i++)
            names[i] = column_name(t, columns[i]);
        *VEC_ADD(&out->v) = (struct side){t, names, true};
    }
    for (size_t j = first_use(uses, table); j < uses->v.n && uses->v.v[j].table == table; j++)
        view_side(b, &uses->v.v[j], columns, n, out);
}

static struct catalog_name name_of(const struct catalog_table *t)
{
    return (struct catalog_name){t->schema, t->name};
}

static struct catalog_rel *add_rel(struct catalog_builder *b, struct build_table *from,
                                   const struct catalog_rel *rel)
{
    struct catalog_rel *kept = build_alloc(b, sizeof *kept);
    *kept = *rel;
    *VEC_ADD(&from->rels) = kept;
    return kept;
}

static void add_both_ways(struct catalog_builder *b, const struct build_key *key,
                          const struct side *here, const struct side *there)
{
    const struct catalog_table *t = here->relation->table, *f = there->relation->table;
    if (!str_eq(t->schema, f->schema))
        return; /* a request sees one schema */
    struct catalog_pair *pairs = build_alloc(b, 2 * key->n * sizeof *pairs);
    for (size_t i = 0; i < key->n; i++) {
        pairs[i] = (struct catalog_pair){here->names[i], there->names[i]};
        pairs[key->n + i] = (struct catalog_pair){there->names[i], here->names[i]};
    }
    struct catalog_rel rel = {
        .table = name_of(t),
        .foreign = name_of(f),
        .foreign_table = f,
        .cardinality = key->one_to_one ? CATALOG_O2O : CATALOG_M2O,
        /* through views, only view to view can be the same relation */
        .self = here->base == there->base && t == f,
        .table_is_view = !here->base,
        .foreign_is_view = !there->base,
        .constraint = key->name,
        .pairs = {pairs, key->n},
        .to_one = true,
    };
    add_rel(b, here->relation, &rel);
    struct catalog_rel inverse = rel;
    inverse.table = rel.foreign;
    inverse.foreign = rel.table;
    inverse.foreign_table = t;
    inverse.table_is_view = rel.foreign_is_view;
    inverse.foreign_is_view = rel.table_is_view;
    inverse.pairs.v = pairs + key->n;
    inverse.cardinality = key->one_to_one ? CATALOG_O2O : CATALOG_O2M;
    inverse.parent = key->one_to_one;
    inverse.to_one = key->one_to_one;
    add_rel(b, there->relation, &inverse);
}

static void foreign_keys(struct catalog_builder *b, const struct uses *uses)
{
    struct sides here = {0}, there = {0};
    for (size_t i = 0; i < b->keys.n; i++) {
        const struct build_key *key = &b->keys.v[i];
        if (key->kind != 'f')
            continue;
        find_sides(b, uses, key->table, key->columns, key->n, &here);
        if (here.v.n == 0)
            continue;
        find_sides(b, uses, key->foreign, key->foreign_columns, key->n, &there);
        for (size_t x = 0; x < here.v.n; x++)
            for (size_t y = 0; y < there.v.n; y++)
                add_both_ways(b, key, &here.v.v[x], &there.v.v[y]);
    }
    free(here.v.v);
    free(there.v.v);
}

/* ---- 4. many-to-many ---- */

static bool in_key(const struct catalog_strs *key, const struct catalog_pairs *pairs)
{
    for (size_t i = 0; i < pairs->n; i++) {
        size_t j = 0;
        while (j < key->n && !str_eq(key->v[j], pairs->v[i].here))
            j++;
        if (j == key->n)
            return false;
    }
    return true;
}

static struct catalog_pairs swapped(struct catalog_builder *b, const struct catalog_pairs *pairs)
{
    struct catalog_pair *v = build_alloc(b, pairs->n * sizeof *v);
    for (size_t i = 0; i < pairs->n; i++)
        v[i] = (struct catalog_pair){pairs->v[i].there, pairs->v[i].here};
    return (struct catalog_pairs){v, pairs->n};
}

static struct build_table *table_of(struct catalog_builder *b, const struct catalog_table *t)
{
    return build_table(b, t->oid);
}

static void join_through(struct catalog_builder *b, const struct build_table *junction,
                         const struct catalog_rel *one, const struct catalog_rel *two)
{
    struct catalog_rel rel = {
        .table = one->foreign,
        .foreign = two->foreign,
        .foreign_table = two->foreign_table,
        .cardinality = CATALOG_M2M,
        .self = one->foreign_table == two->foreign_table,
        .table_is_view = one->foreign_is_view,
        .foreign_is_view = two->foreign_is_view,
        .junction = name_of(junction->table),
        .constraint = one->constraint,
        .constraint2 = two->constraint,
        .pairs = swapped(b, &one->pairs),
        .pairs2 = swapped(b, &two->pairs),
    };
    add_rel(b, table_of(b, one->foreign_table), &rel);
}

static void many_to_many(struct catalog_builder *b)
{
    for (size_t i = 0; i < b->tables.n; i++) {
        const struct build_table *j = &b->tables.v[i];
        if (j->table->key.n < 2)
            continue;
        const struct catalog_rel *keys[M2M_KEYS_MAX];
        size_t n = 0;
        for (size_t k = 0; k < j->rels.n && n < M2M_KEYS_MAX; k++)
            if (j->rels.v[k]->cardinality == CATALOG_M2O &&
                in_key(&j->table->key, &j->rels.v[k]->pairs))
                keys[n++] = j->rels.v[k];
        for (size_t x = 0; x < n; x++)
            for (size_t y = 0; y < n; y++)
                if (!str_eq(keys[x]->constraint, keys[y]->constraint))
                    join_through(b, j, keys[x], keys[y]);
    }
}

/* ---- 5. computed ---- */

static void add_computed(struct catalog_builder *b, const struct build_computed *c)
{
    struct build_table *t = build_table(b, c->table);
    const struct build_table *f = build_table(b, c->foreign);
    if (!t || !f || !str_eq(c->function.schema, t->table->schema))
        return;
    size_t kept = 0;
    for (size_t i = 0; i < t->rels.n; i++)
        if (t->rels.v[i]->cardinality == CATALOG_COMPUTED ||
            !catalog_name_eq(t->rels.v[i]->foreign, c->function))
            t->rels.v[kept++] = t->rels.v[i];
    t->rels.n = kept;
    struct catalog_rel rel = {
        .table = name_of(t->table),
        .foreign = name_of(f->table),
        .foreign_table = f->table,
        .cardinality = CATALOG_COMPUTED,
        .self = t == f,
        .function = c->function,
        .to_one = c->to_one,
    };
    add_rel(b, t, &rel);
}

/* ---- order: that of the details of PGRST201 ---- */

static int pairs_order(const struct catalog_pairs *a, const struct catalog_pairs *b)
{
    for (size_t i = 0; i < a->n && i < b->n; i++) {
        int order = str_order(&a->v[i].here, &b->v[i].here);
        if (order == 0)
            order = str_order(&a->v[i].there, &b->v[i].there);
        if (order)
            return order;
    }
    return (a->n > b->n) - (a->n < b->n);
}

static int name_order(const struct catalog_name *a, const struct catalog_name *b)
{
    int order = str_order(&a->schema, &b->schema);
    return order ? order : str_order(&a->name, &b->name);
}

static int rel_order(const void *a, const void *b)
{
    const struct catalog_rel *x = *(const struct catalog_rel *const *)a;
    const struct catalog_rel *y = *(const struct catalog_rel *const *)b;
    bool cx = x->cardinality == CATALOG_COMPUTED, cy = y->cardinality == CATALOG_COMPUTED;
    if (cx != cy)
        return cx ? 1 : -1;
    if (cx)
        return name_order(&x->function, &y->function);
    int order = name_order(&x->foreign, &y->foreign);
    if (order == 0)
        order = (int)x->self - (int)y->self;
    if (order == 0)
        order = (int)x->cardinality - (int)y->cardinality;
    if (order == 0 && x->cardinality == CATALOG_M2M)
        order = name_order(&x->junction, &y->junction);
    if (order == 0)
        order = str_order(&x->constraint, &y->constraint);
    if (order == 0 && x->cardinality == CATALOG_M2M)
        order = str_order(&x->constraint2, &y->constraint2);
    return order ? order : pairs_order(&x->pairs, &y->pairs);
}

/* Foreign keys of one column, as descriptions of columns name them. */
static void single_keys(struct catalog_builder *b, struct catalog_table *t)
{
    size_t n = 0;
    for (size_t i = 0; i < t->n_rels; i++)
        n += t->rels[i]->to_one && t->rels[i]->pairs.n == 1 && !t->rels[i]->parent;
    struct catalog_fk *fks = build_alloc(b, n * sizeof *fks);
    n = 0;
    for (size_t i = 0; i < t->n_rels; i++) {
        const struct catalog_rel *r = t->rels[i];
        if (r->to_one && r->pairs.n == 1 && !r->parent)
            fks[n++] = (struct catalog_fk){r->pairs.v[0].here, r->foreign, r->pairs.v[0].there,
                                           r->foreign_is_view};
    }
    t->fks = fks;
    t->n_fks = n;
}

static void finish(struct catalog_builder *b)
{
    for (size_t i = 0; i < b->tables.n; i++) {
        struct build_table *t = &b->tables.v[i];
        if (t->rels.n == 0)
            continue;
        const struct catalog_rel **rels = build_alloc(b, t->rels.n * sizeof *rels);
        memcpy(rels, t->rels.v, t->rels.n * sizeof *rels);
        qsort(rels, t->rels.n, sizeof *rels, rel_order);
        t->table->rels = rels;
        t->table->n_rels = t->rels.n;
        single_keys(b, t->table);
    }
}

void build_relationships(struct catalog_builder *b)
{
    struct uses uses = {0};
    resolve_views(b, &uses);
    primary_keys(b, &uses);
    mark_one_to_one(b);
    foreign_keys(b, &uses);
    many_to_many(b);
    for (size_t i = 0; i < b->computed.n; i++)
        add_computed(b, &b->computed.v[i]);
    finish(b);
    free(uses.v.v);
}
