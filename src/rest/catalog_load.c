#include "rest/catalog_load.h"

#include <stdlib.h>

#include "rest/catalog_private.h"
#include "util/xalloc.h"

#define LOAD_TIMEOUT_US (5 * 60 * 1000000ull)
#define COLUMNS_MAX 16

/* Life: the job runs and feeds the builder; then a helper has builder, catalog and err until
 * on_built; or the job fails. Cancelled meanwhile, done is NULL and on_built only frees. */
struct catalog_load {
    struct loop *loop;
    struct helpers *helpers;
    struct db_job *job; /* NULL: it ended */
    struct catalog_builder *builder;
    struct catalog *catalog; /* made of it */
    struct arena arena;
    void (*done)(void *arg, struct catalog *, const struct err *);
    void *arg;
    uint64_t started_us;
    struct err err; /* why there is no catalog; status 0: none */
};

static void load_free(void *arg)
{
    struct catalog_load *l = arg;
    catalog_builder_free(l->builder);
    catalog_unref(l->catalog);
    arena_fini(&l->arena);
    free(l);
}

/* {"a","b"}: a text[] as PostgreSQL reads it. */
static const char *array_text(struct arena *arena, const struct conf_list *list)
{
    size_t n = 3;
    for (size_t i = 0; i < list->n; i++)
        n += 3 + 2 * strlen(list->v[i]);
    char *text = arena_alloc(arena, n), *p = text;
    if (!text)
        return "{}";
    *p++ = '{';
    for (size_t i = 0; i < list->n; i++) {
        if (i)
            *p++ = ',';
        *p++ = '"';
        for (const char *s = list->v[i]; *s; s++) {
            if (*s == '"' || *s == '\\')
                *p++ = '\\';
            *p++ = *s;
        }
        *p++ = '"';
    }
    *p++ = '}';
    *p = '\0';
    return text;
}

static bool on_result(void *arg, size_t i, const struct db_result *result)
{
    struct catalog_load *l = arg;
    struct str cells[COLUMNS_MAX];
    size_t columns = db_result_columns(result);
    if (i >= CATALOG_QUERIES || columns > COLUMNS_MAX)
        return false;
    for (size_t row = 0; row < db_result_rows(result); row++) {
        for (size_t c = 0; c < columns; c++)
            cells[c] = db_result_value(result, row, c);
        if (!catalog_builder_row(l->builder, (enum catalog_query)i, cells, columns, &l->err))
            return false;
    }
    return true;
}

/* ---- the end ---- */

/* On the helper's thread. */
static void build(void *arg)
{
    struct catalog_load *l = arg;
    l->catalog = catalog_builder_finish(l->builder, &l->err);
    catalog_builder_free(l->builder);
    l->builder = NULL;
}

static void load_end(void *arg)
{
    struct catalog_load *l = arg;
    struct catalog *catalog = l->catalog;
    if (l->done) {
        l->catalog = NULL;
        if (catalog)
            catalog->info.load_us = loop_now_us(l->loop) - l->started_us;
        l->done(l->arg, catalog, &l->err);
    }
    load_free(l);
}

static void on_done(void *arg, const struct db_outcome *outcome)
{
    struct catalog_load *l = arg;
    l->job = NULL;
    if (outcome->end != DB_DONE && l->err.status == 0)
        err_set(&l->err, 503, "PGRST002", "%s%s%s", outcome->error.code ? outcome->error.code : "",
                outcome->error.code ? " " : "",
                outcome->error.message ? outcome->error.message : "the catalog was not read");
    if (l->err.status == 0 && l->helpers) {
        helpers_run(l->helpers, &(struct helpers_job){
                                    .work = build, .done = load_end, .drop = load_free, .arg = l});
        return;
    }
    if (l->err.status == 0)
        build(l);
    load_end(l);
}

/* ---- the job ---- */

static void fill(struct catalog_load *l, const struct conf *conf, const struct conf_database *db,
                 struct db_stmt *stmts)
{
    const char *lists[3] = {array_text(&l->arena, &db->db_schemas),
                            array_text(&l->arena, &db->db_extra_search_path),
                            array_text(&l->arena, &conf->db_hoisted_tx_settings)};
    for (size_t i = 0; i < CATALOG_QUERIES; i++) {
        const char **values = arena_alloc(&l->arena, sizeof lists);
        int n = 0;
        for (unsigned k = 0; values && k < 3; k++)
            if (catalog_sql[i].params & 1u << k)
                values[n++] = lists[k];
        stmts[i] = (struct db_stmt){.sql = catalog_sql[i].text,
                                    .sql_len = strlen(catalog_sql[i].text),
                                    .nparams = n,
                                    .values = values};
    }
}

struct catalog_load *catalog_load_start(const struct catalog_load_spec *spec)
{
    static const struct db_ops ops = {.on_result = on_result, .on_done = on_done};
    struct catalog_load *l = xcalloc(1, sizeof *l);
    l->loop = spec->loop;
    l->helpers = spec->helpers;
    l->done = spec->done;
    l->arg = spec->arg;
    l->builder = catalog_builder_new();
    l->started_us = loop_now_us(l->loop);
    arena_init(&l->arena, 1024 * 1024);
    struct db_stmt *stmts = arena_array(&l->arena, CATALOG_QUERIES, sizeof *stmts);
    if (stmts)
        fill(l, spec->conf, spec->db, stmts);
    struct db_job_spec job = {.stmts = stmts,
                              .n = stmts ? CATALOG_QUERIES : 0,
                              .travel = DB_EXCLUSIVE,
                              .in_transaction = true,
                              .read_only = true,
                              .stream_rows = true,
                              .timeout_us = LOAD_TIMEOUT_US};
    l->job = db_submit(spec->pool, &job, &ops, l);
    return l;
}

void catalog_load_cancel(struct catalog_load *l)
{
    if (!l->job) {
        l->done = NULL; /* the helper has it */
        return;
    }
    db_cancel(l->job);
    load_free(l);
}
