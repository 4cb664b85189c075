#include "app_config.h"

#include <stdio.h>
#include <stdlib.h>

#include "db/ident.h"
#include "util/arena.h"
#include "util/log.h"
#include "util/xalloc.h"

/* A read is: the job (pre-config function, then the settings) -> pairs -> conf_reload. When those
 * pairs name another db-pre-config than the one that was called, the job runs once more. When the
 * function fails, the job runs without it: perhaps it is not wanted any more. If it still is, what
 * the database said before stays. */

#define PAIRS_MAX 128
#define TIMEOUT_US UINT64_C(10000000)
#define RETRY_FIRST_US UINT64_C(100000)
#define RETRY_MAX_US UINT64_C(2000000)

struct app_config {
    struct loop *loop;
    struct db_pools *pools;
    const struct conf_sources *sources;
    struct conf *current;
    bool until_up, again, second_round;
    bool bare; /* the function failed: the job runs without it */
    app_config_done done;
    void *done_arg;
    struct auth *auth; /* made from what with_pairs gave last; NULL: it gave nothing */

    struct db_job *job;
    struct loop_task finish_task;
    struct loop_timer retry_timer;
    uint64_t retry_us;
    char trouble[300];         /* what was logged last; empty: all is well */
    struct arena request;      /* the job's texts */
    struct arena fresh, known; /* pairs being read; pairs that made the settings in force */
    struct conf_pair *fresh_pairs, *known_pairs; /* NULL: none were read */
    size_t n_fresh, n_known;
};

/* Weights: a setting for the role in this database, for the role everywhere, from the function. A
 * setting of another session's function is '' afterwards, not NULL. */
static const char settings_sql[] =
    "with named as (select pg_catalog.unnest($1::pg_catalog.text[]) as k), "
    "role_setting as (select s.setdatabase, c from pg_catalog.pg_db_role_setting s, "
    "pg_catalog.unnest(s.setconfig) c "
    "where s.setrole OPERATOR(pg_catalog.=) (select oid from pg_catalog.pg_roles "
    "where rolname OPERATOR(pg_catalog.=) current_user) "
    "and (s.setdatabase OPERATOR(pg_catalog.=) 0 or s.setdatabase OPERATOR(pg_catalog.=) "
    "(select oid from pg_catalog.pg_database "
    "where datname OPERATOR(pg_catalog.=) pg_catalog.current_database()))), "
    "found as ("
    "select pg_catalog.split_part(c, '=', 1) as k, "
    "pg_catalog.substr(c, pg_catalog.strpos(c, '=') OPERATOR(pg_catalog.+) 1) as v, "
    "case when setdatabase OPERATOR(pg_catalog.=) 0 then 1 else 2 end as weight from role_setting "
    "union all select k, pg_catalog.current_setting(k, true), 0 from named "
    "where $2::pg_catalog.bool and pg_catalog.current_setting(k, true) "
    "OPERATOR(pg_catalog.<>) '') "
    "select distinct on (k) pg_catalog.substr(k, 7), v from found "
    "where k OPERATOR(pg_catalog.=) any (select k from named) and v is not null "
    "order by k, weight desc";

static void submit(struct app_config *);

struct app_config *app_config_new(struct loop *loop, struct db_pools *pools,
                                  const struct conf_sources *sources)
{
    struct app_config *c = xcalloc(1, sizeof *c);
    c->loop = loop;
    c->pools = pools;
    c->sources = sources;
    arena_init(&c->request, 64 * 1024);
    arena_init(&c->fresh, 4 * 1024 * 1024);
    arena_init(&c->known, 4 * 1024 * 1024);
    return c;
}

void app_config_free(struct app_config *c)
{
    if (!c)
        return;
    if (c->job)
        db_cancel(c->job);
    loop_undefer(&c->finish_task);
    if (c->retry_timer.fn)
        loop_timer_stop(&c->retry_timer);
    conf_unref(c->current);
    auth_unref(c->auth);
    arena_fini(&c->request);
    arena_fini(&c->fresh);
    arena_fini(&c->known);
    free(c);
}

static void restart(struct app_config *c)
{
    c->again = c->second_round = c->bare = false;
    submit(c);
}

static void keep_pairs(struct app_config *c)
{
    arena_fini(&c->known);
    c->known = c->fresh;
    c->known_pairs = c->fresh_pairs;
    c->n_known = c->n_fresh;
    arena_init(&c->fresh, 4 * 1024 * 1024);
    c->fresh_pairs = NULL;
    c->n_fresh = 0;
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

/* Keys and paths of tokens are settings, too, but auth alone can tell whether they can be used. */
static struct conf *with_pairs(struct app_config *c, bool fresh, struct err *err)
{
    struct conf_sources sources = *c->sources;
    sources.in_db = fresh ? c->fresh_pairs : c->known_pairs;
    sources.n_in_db = fresh ? c->n_fresh : c->n_known;
    struct conf *now = conf_reload(c->current, &sources, err);
    auth_unref(c->auth);
    c->auth = now ? auth_new(now, err) : NULL;
    if (c->auth)
        return now;
    conf_unref(now);
    return NULL;
}

/* Of all sources: with what the database said now, or before when it said nothing. */
static struct conf *gather(struct app_config *c, bool *fresh, struct err *err)
{
    *fresh = c->fresh_pairs != NULL;
    struct conf *now = with_pairs(c, *fresh, err);
    if (now && *fresh && c->bare && c->known_pairs &&
        same_text(now->db_pre_config, c->current->db_pre_config)) {
        conf_unref(now); /* without what the function says */
        *fresh = false;
        now = with_pairs(c, false, err);
    }
    return now;
}

static void say(struct app_config *c, const char *why)
{
    if (!c->until_up || strncmp(c->trouble, why, sizeof c->trouble - 1) != 0)
        log_error("the settings in the database cannot be read: %s", why);
    snprintf(c->trouble, sizeof c->trouble, "%s", why);
}

static void on_retry(void *arg)
{
    restart(arg);
}

static void retry(struct app_config *c)
{
    loop_timer_init(&c->retry_timer, c->loop, on_retry, c);
    loop_timer_set(&c->retry_timer, c->retry_us);
    c->retry_us = c->retry_us * 2 < RETRY_MAX_US ? c->retry_us * 2 : RETRY_MAX_US;
}

/* At the start there are no settings in force that could stay: until those of the database can be
 * used nothing is served by the others alone. */
static bool too_early(struct app_config *c, const struct conf *now, const struct err *err)
{
    bool unsaid = c->bare && now && same_text(now->db_pre_config, c->current->db_pre_config);
    if (!c->until_up || c->known_pairs || (now ? !unsaid : !c->fresh_pairs))
        return false;
    if (!now)
        say(c, err->message);
    return true;
}

/* All sources once more; the end of a read, unless it has to begin again. */
static void finish(void *arg)
{
    struct app_config *c = arg;
    struct err err = {0};
    if (c->again) {
        restart(c);
        return;
    }
    bool fresh;
    struct conf *now = gather(c, &fresh, &err);
    if (too_early(c, now, &err)) {
        conf_unref(now);
        retry(c);
        return;
    }
    if (now && now->db_config && !c->second_round &&
        !same_text(now->db_pre_config, c->current->db_pre_config)) {
        conf_unref(c->current);
        c->current = now;
        c->second_round = true;
        c->bare = false;
        submit(c);
        return;
    }
    if (now && fresh)
        keep_pairs(c);
    if (now)
        c->trouble[0] = '\0';
    app_config_done done = c->done;
    struct auth *auth = c->auth;
    c->done = NULL;
    c->auth = NULL;
    conf_unref(c->current);
    c->current = NULL;
    done(c->done_arg, now, auth, now ? NULL : &err);
}

/* The function that this round calls, or NULL. */
static const char *function_of(const struct app_config *c)
{
    return c->bare ? NULL : c->current->db_pre_config;
}

/* Each pair is a setting's name without "pgrst." and its text. */
static bool on_result(void *arg, size_t i, const struct db_result *r)
{
    struct app_config *c = arg;
    if (i + 1 < (function_of(c) ? 2u : 1u) || db_result_columns(r) != 2)
        return true;
    size_t rows = db_result_rows(r) < PAIRS_MAX ? db_result_rows(r) : PAIRS_MAX;
    c->fresh_pairs = arena_array(&c->fresh, rows + 1, sizeof *c->fresh_pairs);
    for (size_t row = 0; row < rows && c->fresh_pairs; row++) {
        const char *name = arena_strdup(&c->fresh, db_result_value(r, row, 0));
        const char *value = arena_strdup(&c->fresh, db_result_value(r, row, 1));
        if (!name || !value)
            return false;
        c->fresh_pairs[c->n_fresh++] = (struct conf_pair){.name = name, .value = value};
    }
    return c->fresh_pairs != NULL;
}

static void on_done(void *arg, const struct db_outcome *o)
{
    struct app_config *c = arg;
    c->job = NULL;
    if (o->end == DB_DONE) {
        finish(c);
        return;
    }
    bool refused = o->end == DB_FAILED || o->end == DB_TIMED_OUT;
    if (refused || !c->until_up)
        say(c, o->error.message ? o->error.message : "the connection was lost");
    c->fresh_pairs = NULL;
    if (refused && function_of(c)) {
        c->bare = true;
        submit(c);
    } else if (c->until_up) {
        retry(c);
    } else {
        finish(c); /* with what the database said last */
    }
}

/* select "schema"."function"() */
static bool pre_config_sql(struct app_config *c, struct db_stmt *out)
{
    struct str name = str_of(c->current->db_pre_config);
    size_t dot = str_find(name, '.', 0);
    struct buf sql;
    buf_init(&sql, 4096);
    BUF_LIT(&sql, "select ");
    if (dot < name.n) {
        ident_quote(&sql, (struct str){name.p, dot});
        buf_char(&sql, '.');
    }
    ident_quote(&sql, dot < name.n ? str_from(name, dot + 1) : name);
    BUF_LIT(&sql, "()");
    *out = (struct db_stmt){.sql = arena_strdup(&c->request, buf_str(&sql)), .sql_len = sql.n};
    buf_fini(&sql);
    return out->sql != NULL;
}

/* The settings that the database may have, as an array literal: {pgrst.db_anon_role,...}. */
static char *names_literal(struct app_config *c)
{
    struct buf names;
    const char *name;
    buf_init(&names, 16384);
    buf_char(&names, '{');
    for (size_t i = 0; (name = conf_in_db_key(i)); i++) {
        if (i)
            buf_char(&names, ',');
        BUF_LIT(&names, "pgrst.");
        for (; *name; name++)
            buf_char(&names, *name == '-' ? '_' : *name);
    }
    buf_char(&names, '}');
    char *text = arena_strdup(&c->request, buf_str(&names));
    buf_fini(&names);
    return text;
}

static void submit(struct app_config *c)
{
    static const struct db_ops ops = {.on_result = on_result, .on_done = on_done};
    bool function = function_of(c) != NULL;
    arena_fini(&c->request);
    arena_fini(&c->fresh);
    c->fresh_pairs = NULL;
    c->n_fresh = 0;
    const char **values = arena_array(&c->request, 2, sizeof *values);
    struct db_stmt *stmts = arena_array(&c->request, 2, sizeof *stmts);
    if (!c->current->db_config || !values || !stmts || (function && !pre_config_sql(c, stmts))) {
        c->finish_task = LOOP_TASK(finish, c);
        loop_defer(c->loop, LOOP_COMPLETE, &c->finish_task);
        return;
    }
    values[0] = names_literal(c);
    values[1] = function ? "t" : "f";
    stmts[function] = (struct db_stmt){
        .sql = settings_sql, .sql_len = sizeof settings_sql - 1, .nparams = 2, .values = values};
    const struct db_job_spec spec = {.stmts = stmts,
                                     .n = 1 + (size_t)function,
                                     .travel = DB_EXCLUSIVE,
                                     .in_transaction = true,
                                     .read_only = true,
                                     .leaves_state = function,
                                     .timeout_us = TIMEOUT_US};
    struct db_pool *pool = db_pools_own(c->pools, &c->current->databases[0]);
    c->job = db_submit(pool, &spec, &ops, c);
}

bool app_config_troubled(const struct app_config *c)
{
    return c->trouble[0];
}

void app_config_read(struct app_config *c, struct conf *current, bool until_up,
                     app_config_done done, void *arg)
{
    bool running = c->done != NULL;
    c->done = done;
    c->done_arg = arg;
    if (running) {
        c->again = true;
        if (c->retry_timer.fn && loop_timer_pending(&c->retry_timer))
            loop_timer_set(&c->retry_timer, 0);
        return;
    }
    c->current = conf_ref(current);
    c->until_up = until_up;
    c->retry_us = RETRY_FIRST_US;
    restart(c);
}
