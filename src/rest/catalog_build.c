/* The builder: rows of the catalog queries -> a snapshot. Strings are kept once each, because the
 * names of types, columns and schemas repeat. */
#include "rest/catalog_build.h"

#include <stdlib.h>

#include "util/log.h"
#include "util/xalloc.h"

#define CHUNK 65536u

struct catalog_builder *catalog_builder_new(void)
{
    struct catalog_builder *b = xcalloc(1, sizeof *b);
    b->catalog = xcalloc(1, sizeof *b->catalog);
    atomic_init(&b->catalog->refs, 1);
    arena_init(&b->catalog->arena, CATALOG_BYTES_MAX);
    arena_init(&b->spill, SIZE_MAX);
    b->arena = &b->catalog->arena;
    return b;
}

void catalog_builder_free(struct catalog_builder *b)
{
    if (!b)
        return;
    for (size_t i = 0; i < b->tables.n; i++)
        free(b->tables.v[i].rels.v);
    for (size_t i = 0; i < b->views.n; i++)
        free(b->views.v[i].columns);
    free(b->strings.v);
    free(b->string_hash.slots);
    free(b->domains.v);
    free(b->enums.v);
    free(b->casts.v);
    free(b->tables.v);
    free(b->keys.v);
    free(b->views.v);
    free(b->computed.v);
    free(b->routines.v);
    free(b->handlers.v);
    free(b->roles.v);
    catalog_unref(b->catalog); /* may point into spill */
    arena_fini(&b->spill);
    free(b);
}

void *build_alloc(struct catalog_builder *b, size_t n)
{
    void *p = arena_alloc(b->arena, n ? n : 1);
    if (!p) /* broken: the whole load fails at its end */
        p = arena_alloc(&b->spill, n ? n : 1);
    if (!p) {
        log_crit("out of memory while a catalog was loaded");
        abort();
    }
    return p;
}

/* ---- strings ---- */

static void grow_strings(struct catalog_builder *b)
{
    size_t size = b->string_hash.slots ? (b->string_hash.mask + 1) * 2 : 4096;
    free(b->string_hash.slots);
    b->string_hash.slots = xcalloc(size, sizeof(uint32_t));
    b->string_hash.mask = size - 1;
    for (size_t i = 0; i < b->strings.n; i++) {
        size_t at = str_hash(b->strings.v[i]) & b->string_hash.mask;
        while (b->string_hash.slots[at])
            at = (at + 1) & b->string_hash.mask;
        b->string_hash.slots[at] = (uint32_t)i + 1;
    }
}

static char *pack(struct catalog_builder *b, struct str s)
{
    size_t need = s.n + 1;
    if (need > CHUNK / 4) {
        char *own = build_alloc(b, need);
        memcpy(own, s.p, s.n);
        return own;
    }
    if (need > b->chunk_left) {
        b->chunk = build_alloc(b, CHUNK);
        b->chunk_left = CHUNK;
    }
    char *at = b->chunk;
    memcpy(at, s.p, s.n);
    at[s.n] = '\0';
    b->chunk += need;
    b->chunk_left -= need;
    return at;
}

struct str build_str(struct catalog_builder *b, struct str s)
{
    if (!s.p)
        return s;
    if (s.n == 0)
        return STR("");
    if (!b->string_hash.slots || b->strings.n * 2 > b->string_hash.mask)
        grow_strings(b);
    size_t at = str_hash(s) & b->string_hash.mask;
    for (; b->string_hash.slots[at]; at = (at + 1) & b->string_hash.mask) {
        struct str known = b->strings.v[b->string_hash.slots[at] - 1];
        if (str_eq(known, s))
            return known;
    }
    struct str kept = {pack(b, s), s.n};
    *VEC_ADD(&b->strings) = kept;
    b->string_hash.slots[at] = (uint32_t)b->strings.n;
    return kept;
}

/* ---- cells ---- */

unsigned build_oid(struct str s)
{
    uint64_t v;
    return str_u64(s, UINT32_MAX, &v) ? (unsigned)v : 0;
}

int build_int(struct str s)
{
    int64_t v;
    return str_i64(s, &v) && v >= INT32_MIN && v <= INT32_MAX ? (int)v : 0;
}

/* One element from *i on, decoded to out; leaves *i behind it. */
static bool element(struct str text, size_t *i, struct buf *out, bool *null)
{
    bool quoted = *i < text.n && text.p[*i] == '"';
    size_t start = out->n;
    *i += quoted;
    for (; *i < text.n; (*i)++) {
        char c = text.p[*i];
        if (quoted ? c == '"' : c == ',' || c == '}')
            break;
        if (c == '\\' && ++*i >= text.n)
            return false;
        buf_char(out, text.p[*i]);
    }
    if (*i >= text.n)
        return false;
    *i += quoted;
    *null = !quoted && out->n - start == 4 && memcmp(out->p + start, "NULL", 4) == 0;
    return true;
}

bool build_array(struct str text, struct buf *scratch, struct str **out, size_t *n)
{
    VEC(struct str) found = {0};
    buf_clear(scratch);
    *out = NULL;
    *n = 0;
    if (!text.p)
        return true;
    if (text.n < 2 || text.p[0] != '{')
        return false;
    if (!buf_reserve(scratch, text.n)) /* never moves from here on */
        return false;
    size_t i = 1;
    while (i < text.n && text.p[i] != '}') {
        size_t start = scratch->n;
        bool null;
        if (!element(text, &i, scratch, &null))
            goto fail;
        *VEC_ADD(&found) = (struct str){null ? NULL : scratch->p + start, scratch->n - start};
        if (null)
            found.v[found.n - 1].n = 0;
        if (i < text.n && text.p[i] == ',')
            i++;
    }
    *out = found.v;
    *n = found.n;
    return true;
fail:
    free(found.v);
    return false;
}

/* ---- the small queries ---- */

static bool domain_row(struct catalog_builder *b, const struct str *c)
{
    *VEC_ADD(&b->domains) = (struct build_domain){
        .oid = build_oid(c[0]),
        .base = build_oid(c[1]),
        .modifier = build_int(c[2]),
        .default_sql = build_str(b, c[3]),
        .not_null = str_eq(c[4], STR("t")),
        .base_text = build_str(b, c[5]),
        .base_builtin = str_eq(c[6], STR("t")),
        .base_name = {build_str(b, c[7]), build_str(b, c[8])},
        .base_kind = c[9].n ? c[9].p[0] : 'b',
    };
    return true;
}

const struct build_domain *build_domain(const struct catalog_builder *b, unsigned oid)
{
    size_t low = 0, high = b->domains.n;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (b->domains.v[mid].oid == oid)
            return &b->domains.v[mid];
        if (b->domains.v[mid].oid < oid)
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}

const struct build_domain *build_domain_base(const struct catalog_builder *b, unsigned oid)
{
    const struct build_domain *d = build_domain(b, oid);
    for (unsigned depth = 0; d && d->base_kind == 'd' && depth < 64; depth++) {
        const struct build_domain *below = build_domain(b, d->base);
        if (!below)
            break;
        d = below;
    }
    return d;
}

static bool enum_row(struct catalog_builder *b, const struct str *c)
{
    struct buf scratch;
    struct str *labels;
    size_t n;
    buf_init(&scratch, BUF_NO_CEILING);
    bool ok = build_array(c[1], &scratch, &labels, &n);
    if (ok) {
        struct str *kept = build_alloc(b, n * sizeof *kept);
        for (size_t i = 0; i < n; i++)
            kept[i] = build_str(b, labels[i]);
        *VEC_ADD(&b->enums) = (struct build_enum){build_oid(c[0]), {kept, n}};
        free(labels);
    }
    buf_fini(&scratch);
    return ok;
}

static bool cast_row(struct catalog_builder *b, const struct str *c)
{
    *VEC_ADD(&b->casts) =
        (struct build_cast){build_str(b, c[0]), build_str(b, c[1]), build_str(b, c[2])};
    return true;
}

static int *numbers(struct catalog_builder *b, struct str text, size_t *n)
{
    struct buf scratch;
    struct str *cells;
    buf_init(&scratch, BUF_NO_CEILING);
    int *out = NULL;
    if (build_array(text, &scratch, &cells, n)) {
        out = build_alloc(b, *n * sizeof *out);
        for (size_t i = 0; i < *n; i++)
            out[i] = build_int(cells[i]);
        free(cells);
    }
    buf_fini(&scratch);
    return out;
}

static bool key_row(struct catalog_builder *b, const struct str *c)
{
    size_t n, foreign_n;
    int *columns = numbers(b, c[3], &n);
    int *foreign = numbers(b, c[5], &foreign_n);
    if (!columns || !foreign || n == 0 || c[0].n != 1 || !memchr("puf", c[0].p[0], 3))
        return false;
    bool fk = c[0].p[0] == 'f';
    if (fk && foreign_n != n)
        return false;
    *VEC_ADD(&b->keys) = (struct build_key){
        .kind = c[0].p[0],
        .name = build_str(b, c[1]),
        .table = build_oid(c[2]),
        .columns = columns,
        .n = n,
        .foreign = build_oid(c[4]),
        .foreign_columns = foreign,
    };
    return true;
}

static bool computed_row(struct catalog_builder *b, const struct str *c)
{
    *VEC_ADD(&b->computed) = (struct build_computed){
        .function = {build_str(b, c[0]), build_str(b, c[1])},
        .table = build_oid(c[2]),
        .foreign = build_oid(c[3]),
        .to_one = str_eq(c[4], STR("t")),
    };
    return true;
}

static bool handler_row(struct catalog_builder *b, const struct str *c)
{
    struct str type = build_str(b, c[5]);
    *VEC_ADD(&b->handlers) = (struct catalog_handler){
        .function = {build_str(b, c[0]), build_str(b, c[1])},
        .any = str_eq(c[2], STR("t")),
        .target = {build_str(b, c[3]), build_str(b, c[4])},
        .media_type = type,
        .resolved = str_eq(type, STR("*/*")) ? STR("application/octet-stream") : type,
    };
    return true;
}

static bool role_row(struct catalog_builder *b, const struct str *c)
{
    struct buf scratch;
    struct str *config;
    size_t n;
    buf_init(&scratch, BUF_NO_CEILING);
    if (!build_array(c[1], &scratch, &config, &n)) {
        buf_fini(&scratch);
        return false;
    }
    struct catalog_role *role = VEC_ADD(&b->roles);
    *role = (struct catalog_role){.name = build_str(b, c[0])};
    build_settings(b, config, n, &role->settings, &role->isolation);
    free(config);
    buf_fini(&scratch);
    return true;
}

void build_settings(struct catalog_builder *b, const struct str *config, size_t n,
                    struct catalog_settings *out, enum catalog_isolation *isolation)
{
    struct catalog_setting *v = build_alloc(b, n * sizeof *v);
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        size_t eq = str_find(config[i], '=', 0);
        if (eq >= config[i].n)
            continue;
        struct str name = {config[i].p, eq}, value = str_from(config[i], eq + 1);
        if (str_eq(name, STR("default_transaction_isolation"))) {
            if (str_ieq(value, STR("repeatable read")))
                *isolation = CATALOG_REPEATABLE_READ;
            else if (str_ieq(value, STR("serializable")))
                *isolation = CATALOG_SERIALIZABLE;
            else
                *isolation = CATALOG_READ_COMMITTED;
        } else {
            v[kept++] = (struct catalog_setting){build_str(b, name), build_str(b, value)};
        }
    }
    *out = (struct catalog_settings){v, kept};
}

/* Comes behind the relations, in their order. */
static bool state_row(struct catalog_builder *b, const struct str *c)
{
    struct build_table *t = build_table(b, build_oid(c[0]));
    if (!t)
        return true; /* a partition */
    t->table->state_of_reads = str_eq(c[1], STR("t"));
    t->table->state_of_writes = true;
    return true;
}

bool catalog_builder_row(struct catalog_builder *b, enum catalog_query query,
                         const struct str *cells, size_t n, struct err *err)
{
    bool ok = n == catalog_sql[query].columns;
    if (ok) {
        switch (query) {
        case CATALOG_Q_SETTINGS: b->catalog->info.server_version = build_oid(cells[4]); break;
        case CATALOG_Q_DOMAINS: ok = domain_row(b, cells); break;
        case CATALOG_Q_ENUMS: ok = enum_row(b, cells); break;
        case CATALOG_Q_CASTS: ok = cast_row(b, cells); break;
        case CATALOG_Q_RELATIONS: ok = build_relation(b, cells); break;
        case CATALOG_Q_STATE: ok = state_row(b, cells); break;
        case CATALOG_Q_CONSTRAINTS: ok = key_row(b, cells); break;
        case CATALOG_Q_COMPUTED: ok = computed_row(b, cells); break;
        case CATALOG_Q_ROUTINES: ok = build_routine(b, cells); break;
        case CATALOG_Q_HANDLERS: ok = handler_row(b, cells); break;
        case CATALOG_Q_ROLES: ok = role_row(b, cells); break;
        case CATALOG_Q_VIEWS: ok = build_view(b, cells); break;
        case CATALOG_QUERIES:
        default: ok = false;
        }
    }
    return ok ||
           err_set(err, 503, "PGRST002", "Row of catalog query %d is not understood", (int)query);
}

/* ---- the end ---- */

static int by_name(struct str schema_a, struct str a, struct str schema_b, struct str b)
{
    size_t n = schema_a.n < schema_b.n ? schema_a.n : schema_b.n;
    int order = memcmp(schema_a.p, schema_b.p, n);
    if (order == 0)
        order = (schema_a.n > schema_b.n) - (schema_a.n < schema_b.n);
    if (order)
        return order;
    n = a.n < b.n ? a.n : b.n;
    order = memcmp(a.p, b.p, n);
    return order ? order : (a.n > b.n) - (a.n < b.n);
}

static int table_order(const void *a, const void *b)
{
    const struct catalog_table *x = *(const struct catalog_table *const *)a;
    const struct catalog_table *y = *(const struct catalog_table *const *)b;
    return by_name(x->schema, x->name, y->schema, y->name);
}

static int routine_order(const void *a, const void *b)
{
    const struct catalog_routine *x = *(const struct catalog_routine *const *)a;
    const struct catalog_routine *y = *(const struct catalog_routine *const *)b;
    int order = by_name(x->schema, x->name, y->schema, y->name);
    if (order == 0)
        order = (x->n_params > y->n_params) - (x->n_params < y->n_params);
    for (size_t i = 0; order == 0 && i < x->n_params; i++)
        order = by_name(x->params[i].name, x->params[i].type, y->params[i].name, y->params[i].type);
    return order;
}

static struct hash new_hash(struct catalog_builder *b, size_t n)
{
    size_t size = 16;
    while (size < n * 2)
        size *= 2;
    return (struct hash){build_alloc(b, size * sizeof(uint32_t)), size - 1};
}

static void hash_add(struct hash *h, uint64_t hash, size_t index)
{
    size_t at = hash & h->mask;
    while (h->slots[at])
        at = (at + 1) & h->mask;
    h->slots[at] = (uint32_t)index + 1;
}

static void finish_tables(struct catalog_builder *b)
{
    struct catalog *c = b->catalog;
    struct catalog_table **sorted = build_alloc(b, b->tables.n * sizeof *sorted);
    for (size_t i = 0; i < b->tables.n; i++)
        sorted[i] = b->tables.v[i].table;
    if (b->tables.n)
        qsort(sorted, b->tables.n, sizeof(void *), table_order);
    c->table_hash = new_hash(b, b->tables.n);
    for (size_t i = 0; i < b->tables.n; i++) {
        sorted[i]->number = i;
        hash_add(&c->table_hash, catalog_hash_name(sorted[i]->schema, sorted[i]->name), i);
    }
    c->tables = (const struct catalog_table *const *)sorted;
    c->n_tables = c->info.tables = b->tables.n;
    for (size_t i = 0; i < b->tables.n; i++)
        c->info.relationships += sorted[i]->n_rels;
}

static void finish_routines(struct catalog_builder *b)
{
    struct catalog *c = b->catalog;
    if (b->routines.n)
        qsort(b->routines.v, b->routines.n, sizeof(void *), routine_order);
    struct catalog_routine **first = build_alloc(b, b->routines.n * sizeof *first);
    size_t n = 0;
    for (size_t i = 0; i < b->routines.n; i++) {
        struct catalog_routine *r = b->routines.v[i];
        r->number = i;
        if (i && str_eq(b->routines.v[i - 1]->name, r->name) &&
            str_eq(b->routines.v[i - 1]->schema, r->schema))
            b->routines.v[i - 1]->next = r;
        else
            first[n++] = r;
    }
    c->routine_hash = new_hash(b, n);
    for (size_t i = 0; i < n; i++)
        hash_add(&c->routine_hash, catalog_hash_name(first[i]->schema, first[i]->name), i);
    c->routines = (const struct catalog_routine *const *)first;
    c->n_routines = n;
    c->info.routines = b->routines.n;
}

struct catalog *catalog_builder_finish(struct catalog_builder *b, struct err *err)
{
    struct catalog *c = b->catalog;
    build_relationships(b);
    finish_tables(b);
    finish_routines(b);
    struct catalog_handler *handlers = build_alloc(b, b->handlers.n * sizeof *handlers);
    if (b->handlers.n)
        memcpy(handlers, b->handlers.v, b->handlers.n * sizeof *handlers);
    struct catalog_role *roles = build_alloc(b, b->roles.n * sizeof *roles);
    if (b->roles.n)
        memcpy(roles, b->roles.v, b->roles.n * sizeof *roles);
    c->handlers = handlers;
    c->n_handlers = c->info.handlers = b->handlers.n;
    c->roles = roles;
    c->n_roles = b->roles.n;
    c->info.representations = b->casts.n;
    if (arena_broken(&c->arena)) {
        err_set(err, 503, "PGRST002", "The catalog of the database is larger than %zu MB",
                CATALOG_BYTES_MAX >> 20);
        return NULL;
    }
    c->info.bytes = c->arena.used;
    b->catalog = NULL;
    return c;
}
