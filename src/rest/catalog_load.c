#include "rest/catalog_load.h"

#include <stdlib.h>

#include "rest/catalog_private.h"
#include "util/xalloc.h"

#define LOAD_TIMEOUT_US (5 * 60 * 1000000ull)
#define COLUMNS_MAX 16

struct catalog_load {
    struct loop *loop;
    struct db_job *job;
    struct catalog_builder *builder;
    struct arena arena;
    void (*done)(void *arg, struct catalog *, const struct err *);
    void *arg;
    uint64_t started_us;
    struct err err; /* of a row that was not understood */
};

static void load_free(struct catalog_load *l)
{
    catalog_builder_free(l->builder);
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

static void on_done(void *arg, const struct db_outcome *outcome)
{
    struct catalog_load *l = arg;
    struct catalog *catalog = NULL;
    if (outcome->end == DB_DONE && l->err.status == 0) {
        catalog = catalog_builder_finish(l->builder, &l->err);
        if (catalog)
            catalog->info.load_us = loop_now_us(l->loop) - l->started_us;
    } else if (l->err.status == 0) {
        err_set(&l->err, 503, "PGRST002", "%s%s%s", outcome->error.code ? outcome->error.code : "",
                outcome->error.code ? " " : "",
                outcome->error.message ? outcome->error.message : "the catalog was not read");
    }
    l->job = NULL;
    l->done(l->arg, catalog, &l->err);
    load_free(l);
}

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

struct catalog_load *catalog_load_start(struct loop *loop, struct db_pool *pool,
                                        const struct conf *conf, const struct conf_database *db,
                                        void (*done)(void *, struct catalog *, const struct err *),
                                        void *arg)
{
    static const struct db_ops ops = {.on_result = on_result, .on_done = on_done};
    struct catalog_load *l = xcalloc(1, sizeof *l);
    l->loop = loop;
    l->done = done;
    l->arg = arg;
    l->builder = catalog_builder_new();
    l->started_us = loop_now_us(loop);
    arena_init(&l->arena, 1024 * 1024);
    struct db_stmt *stmts = arena_array(&l->arena, CATALOG_QUERIES, sizeof *stmts);
    if (stmts)
        fill(l, conf, db, stmts);
    struct db_job_spec spec = {.stmts = stmts,
                               .n = stmts ? CATALOG_QUERIES : 0,
                               .travel = DB_EXCLUSIVE,
                               .in_transaction = true,
                               .read_only = true,
                               .stream_rows = true,
                               .timeout_us = LOAD_TIMEOUT_US};
    l->job = db_submit(pool, &spec, &ops, l);
    return l;
}

void catalog_load_cancel(struct catalog_load *l)
{
    if (l->job)
        db_cancel(l->job);
    load_free(l);
}
