/* db_world: what the tests of the pool share: a cluster, a configuration made by hand, a loop with
 * pools on it, and requests that remember what came of them. */
#ifndef PGH_TESTS_DB_WORLD_H
#define PGH_TESTS_DB_WORLD_H

#include "cluster.h"
#include "db/pool_int.h"

static struct cluster cluster;

/* ---- a configuration made by hand ---- */

static struct conf_database databases[1];
static struct conf conf;

__attribute__((weak)) struct conf *conf_ref(struct conf *c)
{
    return c;
}

__attribute__((weak)) void conf_unref(struct conf *c)
{
    (void)c;
}

__attribute__((weak)) const struct conf_database *conf_database(const struct conf *c,
                                                                struct str name)
{
    return name.n ? NULL : &c->databases[0];
}

static inline void conf_default(void)
{
    databases[0] = (struct conf_database){
        .name = "", .db_uri = cluster.uri, .db_prepared_statements = true, .db_pool = 4};
    conf = (struct conf){.workers = 1,
                         .databases = databases,
                         .n_databases = 1,
                         .db_connections_max = 50,
                         .db_pool_queue = 1000,
                         .db_pool_acquisition_timeout_us = 10000000,
                         .db_pool_max_idletime_us = 30000000,
                         .db_pool_max_lifetime_us = 1800000000,
                         .db_connect_timeout_us = 5000000,
                         .db_pipeline_patience_us = 1000,
                         .db_pipeline_depth = 8,
                         .db_statement_cache = 100,
                         .login_recheck_us = 60000000,
                         .login_attempts_max = 1000};
}

/* ---- a world: a loop with pools ---- */

struct world {
    struct loop *loop;
    struct db_budget *budget;
    struct db_pools *pools;
    struct loop_timer deadline, poll;
    bool (*done)(void *);
    void *done_arg;
};

static inline void on_deadline(void *arg)
{
    (void)arg;
    fail_msg("not done in time");
}

static inline void on_poll(void *arg)
{
    struct world *w = arg;
    if (w->done(w->done_arg))
        loop_stop(w->loop);
    else
        loop_timer_set(&w->poll, 1000);
}

static inline void world_start(struct world *w)
{
    struct err err;
    w->loop = loop_new(&err);
    w->budget = db_budget_new(conf.db_connections_max);
    w->pools = db_pools_new(w->loop, &conf, w->budget);
    loop_timer_init(&w->deadline, w->loop, on_deadline, w);
    loop_timer_init(&w->poll, w->loop, on_poll, w);
}

static inline void world_end(struct world *w)
{
    loop_timer_stop(&w->deadline);
    loop_timer_stop(&w->poll);
    db_pools_free(w->pools);
    loop_free(w->loop);
    db_budget_free(w->budget);
}

static inline void run_until(struct world *w, bool (*done)(void *), void *arg, unsigned seconds)
{
    w->done = done;
    w->done_arg = arg;
    loop_timer_set(&w->deadline, seconds * 1000000ull);
    loop_timer_set(&w->poll, 0);
    loop_run(w->loop);
    loop_timer_stop(&w->deadline);
    loop_timer_stop(&w->poll);
}

static inline struct db_pool *own(struct world *w)
{
    return db_pools_own(w->pools, &databases[0]);
}

/* ---- a request: a job and what came of it ---- */

#define STMTS_MAX 16

struct request {
    struct db_stmt stmts[STMTS_MAX];
    const char *values[STMTS_MAX][2];
    struct db_job_spec spec;
    struct db_job *job;
    bool ended, refuse;
    enum db_end end;
    char code[16], message[256], hint[256], text[256], notice[128];
    size_t failed, rows, results, n_notices, dropped;
    uint64_t queue_us, connect_us, db_us, bytes;
    bool queue_timeout, login_refused, left_transaction;
    unsigned retry_after_s;
    unsigned number, *order; /* *order is taken and counted up at the end */
};

static inline bool on_result(void *arg, size_t i, const struct db_result *r)
{
    struct request *q = arg;
    assert_false(q->ended);
    assert_true(i < q->spec.n);
    q->results++;
    q->rows += db_result_rows(r);
    if (db_result_rows(r) && db_result_columns(r)) {
        struct str v = db_result_value(r, 0, 0);
        q->bytes += v.n;
        snprintf(q->text, sizeof q->text, "%.*s", STR_ARG(v));
    } else if (db_result_kind(r) == DB_RESULT_COMMAND) {
        snprintf(q->text, sizeof q->text, "%.*s", STR_ARG(db_result_tag(r)));
    }
    return !q->refuse;
}

static inline void on_done(void *arg, const struct db_outcome *o)
{
    struct request *q = arg;
    assert_false(q->ended);
    q->ended = true;
    q->end = o->end;
    q->failed = o->failed;
    q->queue_us = o->queue_us;
    q->connect_us = o->connect_us;
    q->db_us = o->db_us;
    q->queue_timeout = o->queue_timeout;
    q->login_refused = o->login_refused;
    q->retry_after_s = o->retry_after_s;
    q->left_transaction = o->left_transaction;
    q->n_notices = o->n_notices;
    q->dropped = o->notices_dropped;
    if (o->n_notices)
        snprintf(q->notice, sizeof q->notice, "%zu:%s", o->notice_stmt[0], o->notices[0].message);
    if (o->end != DB_DONE) {
        snprintf(q->code, sizeof q->code, "%s", o->error.code);
        snprintf(q->message, sizeof q->message, "%s", o->error.message);
        snprintf(q->hint, sizeof q->hint, "%s", o->error.hint ? o->error.hint : "");
    }
    if (q->order)
        q->number = (*q->order)++;
}

static const struct db_ops ops
    __attribute__((unused)) = {.on_result = on_result, .on_done = on_done};

static inline void stmt(struct request *q, const char *sql)
{
    struct db_stmt *s = &q->stmts[q->spec.n++];
    *s = (struct db_stmt){.sql = sql, .sql_len = strlen(sql)};
    q->spec.stmts = q->stmts;
}

static inline void param(struct request *q, const char *value)
{
    size_t i = q->spec.n - 1;
    q->values[i][q->stmts[i].nparams++] = value;
    q->stmts[i].values = q->values[i];
}

static inline void shared(struct request *q, const char *sql)
{
    *q = (struct request){.spec = {.travel = DB_SHARED, .can_write = true}};
    stmt(q, sql);
}

static inline void exclusive(struct request *q, const char *sql)
{
    *q =
        (struct request){.spec = {.travel = DB_EXCLUSIVE, .can_write = true, .leaves_state = true}};
    stmt(q, sql);
}

static inline void batch(struct request *q, const char *sql)
{
    exclusive(q, sql);
    q->spec.in_transaction = true;
}

static inline void submit(struct world *w, struct request *q)
{
    q->job = db_submit(own(w), &q->spec, &ops, q);
    assert_false(q->ended);
}

static inline bool has_ended(void *arg)
{
    return ((struct request *)arg)->ended;
}

static inline void run(struct world *w, struct request *q)
{
    submit(w, q);
    run_until(w, has_ended, q, 20);
}

static inline void run_ok(struct world *w, struct request *q, const char *text)
{
    run(w, q);
    assert_string_equal(q->message, "");
    assert_int_equal(q->end, DB_DONE);
    if (text)
        assert_string_equal(q->text, text);
}

static inline void take_stats(void *arg, const char *database, const char *user,
                              const struct db_pool_stats *s)
{
    (void)database, (void)user;
    *(struct db_pool_stats *)arg = *s;
}

static inline struct db_pool_stats stats(struct world *w)
{
    struct db_pool_stats s = {0};
    db_pools_each(w->pools, take_stats, &s);
    return s;
}

static inline bool is_idle(void *arg)
{
    struct db_pool_stats s = stats(arg);
    return s.busy == 0 && s.waiting == 0 && s.idle == s.size - s.connecting;
}

/* A cancel may still be on its way when the job it was for has ended. */
static inline void check_idle(struct world *w)
{
    run_until(w, is_idle, w, 5);
}

struct crowd {
    struct request *q;
    size_t n;
};

static inline bool all_ended(void *arg)
{
    struct crowd *c = arg;
    for (size_t i = 0; i < c->n; i++)
        if (!c->q[i].ended)
            return false;
    return true;
}

static inline int setup(void **state)
{
    (void)state;
    cluster_start(&cluster);
    return 0;
}

static inline int before_each(void **state)
{
    (void)state;
    conf_default();
    return 0;
}

static inline int teardown(void **state)
{
    (void)state;
    cluster_stop(&cluster);
    return 0;
}

#endif
