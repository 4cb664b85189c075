/* conn_send: jobs into libpq's pipeline. Each command put in is a step in the connection's ring;
 * conn_read takes them out again with their results.
 *
 * A group is what stands between two Syncs. Before a job's own group may stand a front group: the
 * ROLLBACK, the reset and the closing of names that earlier jobs made necessary. It has a Sync of
 * its own, because VACUUM and its like must be alone. */
#include "db/conn.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "db/ident.h"
#include "db/statement_class.h"
#include "util/xalloc.h"

/* Never DISCARD ALL or DEALLOCATE ALL: they would take the statement cache along. */
static const char *const reset_texts[] = {
    "CLOSE ALL",         "SET SESSION AUTHORIZATION DEFAULT",          "RESET ALL",
    "UNLISTEN *",        "SELECT pg_catalog.pg_advisory_unlock_all()", "DISCARD TEMP",
    "DISCARD SEQUENCES",
};

static struct step *push_step(struct conn *c, enum step_kind kind, struct db_job *j, size_t stmt)
{
    if (c->steps_n == c->steps_cap) {
        size_t cap = c->steps_cap ? c->steps_cap * 2 : 64;
        struct step *more = xmalloc(cap * sizeof *more);
        for (size_t i = 0; i < c->steps_n; i++)
            more[i] = c->steps[(c->steps_first + i) & (c->steps_cap - 1)];
        free(c->steps);
        c->steps = more;
        c->steps_first = 0;
        c->steps_cap = cap;
    }
    struct step *s = &c->steps[(c->steps_first + c->steps_n++) & (c->steps_cap - 1)];
    *s = (struct step){.job = j, .stmt = (uint32_t)stmt, .kind = (uint8_t)kind};
    return s;
}

static bool send_plain(struct conn *c, enum step_kind kind, struct db_job *j, const char *sql)
{
    push_step(c, kind, j, 0);
    return PQsendQueryParams(c->pg, sql, 0, NULL, NULL, NULL, NULL, 0) == 1;
}

static bool send_sync(struct conn *c, struct db_job *j)
{
    push_step(c, STEP_SYNC, j, 0);
#ifdef LIBPQ_HAS_SEND_PIPELINE_SYNC
    return PQsendPipelineSync(c->pg) == 1; /* without a write of its own */
#else
    return PQpipelineSync(c->pg) == 1;
#endif
}

bool conn_needs_front(const struct conn *c)
{
    return (c->debts & (DEBT_ROLLBACK | DEBT_RESET)) || c->n_user_names > 0 ||
           (c->cache && stmt_cache_has_dead(c->cache));
}

static bool send_reset(struct conn *c)
{
    bool sent = true;
    for (size_t i = 0; sent && i < sizeof reset_texts / sizeof *reset_texts; i++)
        sent = send_plain(c, STEP_OWN, NULL, reset_texts[i]);
    if (sent && (c->debts & DEBT_NAMES)) {
        sent = send_plain(c, STEP_NAMES, NULL,
                          "SELECT name FROM pg_catalog.pg_prepared_statements WHERE from_sql");
        c->names_pending = true;
    }
    c->env->stats->resets++;
    c->debts &= ~(unsigned)(DEBT_RESET | DEBT_NAMES);
    c->since_reset = 0;
    return sent;
}

static bool send_deallocate(struct conn *c, struct str name)
{
    struct buf sql;
    buf_init(&sql, 64 * 1024);
    BUF_LIT(&sql, "DEALLOCATE ");
    ident_quote(&sql, name);
    buf_char(&sql, '\0');
    bool sent = !buf_broken(&sql) && send_plain(c, STEP_OWN, NULL, sql.p);
    buf_fini(&sql);
    return sent;
}

static bool send_user_names(struct conn *c)
{
    bool sent = true;
    for (size_t i = 0; i < c->n_user_names; i++) {
        sent = sent && send_deallocate(c, str_of(c->user_names[i]));
        free(c->user_names[i]);
    }
    free(c->user_names);
    c->user_names = NULL;
    c->n_user_names = 0;
    return sent;
}

bool conn_send_front(struct conn *c)
{
    char name[STMT_NAME_MAX];
    bool sent = true;
    if (c->debts & DEBT_ROLLBACK)
        sent = send_plain(c, STEP_OWN, NULL, "ROLLBACK");
    c->debts &= ~(unsigned)DEBT_ROLLBACK;
    if (sent && (c->debts & DEBT_RESET))
        sent = send_reset(c);
    if (sent && c->n_user_names)
        sent = send_user_names(c);
    while (sent && c->cache && stmt_cache_take_dead(c->cache, name))
        sent = send_deallocate(c, str_of(name));
    return sent && send_sync(c, NULL);
}

/* A text is prepared when it comes for the second time: those that carry their values in themselves
 * come once, and would drive out the others and cost a DEALLOCATE each. */
static bool seen_before(struct conn_env *env, struct str scope, struct str text)
{
    uint64_t hash = stmt_scoped_hash(scope, text);
    uint32_t tag = (uint32_t)(hash >> 32) | 1, *at = &env->seen[hash % CONN_SEEN];
    bool seen = *at == tag;
    *at = tag;
    return seen;
}

/* PostgreSQL settles the types of parameters when it parses, and makes new plans for altered tables
 * with the old types: after `alter a type bigint` a prepared `insert ... values ($1)` would refuse
 * big values as an integer's, and after one from real to double precision store 0.1 as
 * 0.10000000149. No error tells. Changes that go through us are seen (may_alter of conn_read), as
 * is NOTIFY pgrst; others show by an error (is_suspect of conn_read) or not, hence an age that
 * nobody can measure the cost of. */
#define STMT_AGE_US 60000000

static bool is_outdated(const struct conn *c, const struct stmt_entry *e)
{
    return e->state == STMT_READY && (e->schema != atomic_load(c->env->schema) ||
                                      loop_now_us(c->env->loop) - e->born_us > STMT_AGE_US);
}

/* The name under which this statement may be executed, or NULL: send the text. *parse: a Parse has
 * to go first. */
static struct stmt_entry *named(struct conn *c, struct db_job *j, const struct db_stmt *st,
                                bool *parse)
{
    struct str text = {st->sql, st->sql_len};
    *parse = false;
    if (!c->cache || !st->prepare || j->unprepared)
        return NULL;
    struct stmt_entry *e = stmt_cache_find(c->cache, st->cache_scope, text);
    if (e && e->state == STMT_PARSING) /* of another group, which may yet fail: unnamed meanwhile */
        return NULL;
    bool outdated = e && is_outdated(c, e);
    if (outdated) {
        stmt_cache_remove(c->cache, e, true);
        e = NULL;
    }
    if (!e && (seen_before(c->env, st->cache_scope, text) || outdated)) {
        e = stmt_cache_add(c->cache, st->cache_scope, text);
        *parse = e != NULL;
    }
    if (*parse) {
        e->schema = atomic_load(c->env->schema);
        e->born_us = loop_now_us(c->env->loop);
    }
    return e;
}

/* libpq's buffers grow with what goes through them and never shrink: a connection that carried
 * something huge is closed when it is idle, so that its memory comes back. */
static bool is_bulky(const struct db_stmt *st)
{
    size_t n = st->sql_len;
    for (int i = 0; i < st->nparams && n < CONN_BULKY; i++) {
        if (!st->values[i])
            continue;
        bool binary = st->formats && st->formats[i] && st->lengths;
        n += binary ? (size_t)st->lengths[i] : strlen(st->values[i]);
    }
    return n >= CONN_BULKY;
}

static bool send_stmt(struct conn *c, struct db_job *j, const struct db_stmt *st,
                      enum step_kind kind, size_t i)
{
    bool parse;
    c->retire = c->retire || is_bulky(st);
    struct stmt_entry *e = named(c, j, st, &parse);
    if (parse) {
        push_step(c, STEP_PARSE, j, i)->entry = e;
        if (!PQsendPrepare(c->pg, e->name, st->sql, st->nparams, st->types))
            return false;
    }
    push_step(c, kind, j, i);
    if (e)
        return PQsendQueryPrepared(c->pg, e->name, st->nparams, st->values, st->lengths,
                                   st->formats, 0) == 1;
    return PQsendQueryParams(c->pg, st->sql, st->nparams, st->types, st->values, st->lengths,
                             st->formats, 0) == 1;
}

static bool send_begin(struct conn *c, struct db_job *j)
{
    static const char *const levels[] = {
        [DB_ISOLATION_DEFAULT] = "",
        [DB_READ_UNCOMMITTED] = " ISOLATION LEVEL READ UNCOMMITTED",
        [DB_READ_COMMITTED] = " ISOLATION LEVEL READ COMMITTED",
        [DB_REPEATABLE_READ] = " ISOLATION LEVEL REPEATABLE READ",
        [DB_SERIALIZABLE] = " ISOLATION LEVEL SERIALIZABLE",
    };
    const struct db_job_spec *s = &j->spec;
    if (s->isolation == DB_ISOLATION_DEFAULT && !s->read_only && !s->deferrable)
        return send_plain(c, STEP_SETTING, j, "BEGIN");
    char text[96];
    snprintf(text, sizeof text, "BEGIN%s%s%s", levels[s->isolation],
             s->read_only ? " READ ONLY" : "", s->deferrable ? " DEFERRABLE" : "");
    return send_plain(c, STEP_SETTING, j, text);
}

/* application_name for the time of the job. Inside a transaction it is local and leaves nothing; a
 * bare statement that must be alone in its group gets it before, for the session, and the reset
 * behind it takes it away. */
static bool send_application_name(struct conn *c, struct db_job *j, bool local)
{
    const struct str texts[] = {STR("SELECT pg_catalog.set_config('application_name',$1,false)"),
                                STR("SELECT pg_catalog.set_config('application_name',$1,true)")};
    char name[64]; /* NAMEDATALEN: PostgreSQL cuts it there */
    const char *values[1] = {name};
    struct str given = j->spec.application_name;
    size_t n = given.n < sizeof name ? given.n : sizeof name - 1;
    memcpy(name, given.p, n);
    name[n] = '\0';
    const struct db_stmt st = {.sql = texts[local].p,
                               .sql_len = texts[local].n,
                               .nparams = 1,
                               .values = values,
                               .prepare = local};
    if (!send_stmt(c, j, &st, STEP_SETTING, 0))
        return false;
    if (local)
        return true;
    c->debts |= DEBT_RESET;
    return send_sync(c, NULL);
}

/* Behind a pooler that knows no startup options: those of the login, "-c name=value" and
 * "--name=value", for the transaction of this group. Where there is none they cannot be had. */
static bool send_options(struct conn *c, struct db_job *j)
{
    char *options = xstrdup(c->env->options), *rest = options, *word;
    bool sent = true;
    while (sent && (word = strsep(&rest, " "))) {
        if (strcmp(word, "-c") == 0 && rest)
            word = strsep(&rest, " ");
        else if (strncmp(word, "-c", 2) == 0 || strncmp(word, "--", 2) == 0)
            word += 2;
        char *value = strchr(word, '=');
        if (!value)
            continue;
        *value++ = '\0';
        const char *values[2] = {word, value};
        const struct str text = STR("SELECT pg_catalog.set_config($1,$2,true)");
        const struct db_stmt st = {
            .sql = text.p, .sql_len = text.n, .nparams = 2, .values = values};
        sent = send_stmt(c, j, &st, STEP_SETTING, 0);
    }
    free(options);
    return sent;
}

/* Does the job run inside a transaction, so that settings can be local to it? */
static bool is_transaction(const struct db_job_spec *s)
{
    return s->in_transaction || s->travel == DB_SHARED ||
           (s->n == 1 && db_statement_plain((struct str){s->stmts[0].sql, s->stmts[0].sql_len}));
}

/* A statement that is none in a transaction (VACUUM) is not. */
bool conn_wants_mark(const struct conn *c, const struct db_job *j)
{
    const struct db_job_spec *s = &j->spec;
    enum conf_commit_lookup mode = c->env->conf->commit_lookup;
    if (mode == CONF_LOOKUP_OFF || !s->can_write || s->rollback ||
        c->identity == IDENTITY_UNAVAILABLE)
        return false;
    return s->in_transaction || (mode == CONF_LOOKUP_ALL && is_transaction(s));
}

bool conn_send_identity(struct conn *c)
{
    c->identity = IDENTITY_ASKED;
    return send_plain(c, STEP_IDENTITY, NULL, commit_identity_sql) && send_sync(c, NULL);
}

static bool send_mark(struct conn *c, struct db_job *j)
{
    const char *sql = commit_mark_sql(job_mentions(&j->spec, "notify"));
    const struct db_stmt st = {.sql = sql, .sql_len = strlen(sql), .prepare = true};
    c->uncommitted = j;
    j->attempt.commit = COMMIT_HELD;
    return send_stmt(c, j, &st, STEP_MARK, 0) && PQsendFlushRequest(c->pg) == 1;
}

static bool send_end(struct conn *c, struct db_job *j)
{
    const struct db_job_spec *s = &j->spec;
    if (s->rollback)
        return send_plain(c, STEP_SETTING, j, "SET CONSTRAINTS ALL IMMEDIATE") &&
               send_plain(c, STEP_END, j, "ROLLBACK");
    return !s->in_transaction || send_plain(c, STEP_END, j, "COMMIT");
}

/* What the job leaves behind, for whoever comes next. */
static void note_traces(struct conn *c, const struct db_job *j)
{
    if (j->spec.leaves_state) {
        c->debts |= j->may_prepare ? DEBT_RESET | DEBT_NAMES : DEBT_RESET;
    } else if (++c->since_reset >= CONN_RESET_EVERY) {
        c->debts |= DEBT_RESET | DEBT_NAMES;
    }
}

static bool send_settings(struct conn *c, struct db_job *j)
{
    const struct db_job_spec *s = &j->spec;
    bool named = s->application_name.n > 0, options = !c->env->prepared && c->env->options;
    bool local = (named || options) && is_transaction(s);
    bool sent = !s->in_transaction || send_begin(c, j);
    if (sent && named)
        sent = send_application_name(c, j, local);
    return sent && options && local ? send_options(c, j) : sent;
}

bool conn_send_job(struct conn *c, struct db_job *j)
{
    const struct db_job_spec *s = &j->spec;
    bool marked = conn_wants_mark(c, j);
    bool sent = (!conn_needs_front(c) || conn_send_front(c)) && send_settings(c, j);
    for (size_t i = 0; sent && i < s->n; i++)
        sent = send_stmt(c, j, &s->stmts[i], STEP_STMT, i);
    if (marked)
        sent = sent && send_mark(c, j);
    else
        sent = sent && send_end(c, j) && send_sync(c, j);
    note_traces(c, j);
    return sent;
}

/* Where the job is to stop, or has failed, what it did is undone. */
bool conn_send_rest(struct conn *c)
{
    struct db_job *j = c->uncommitted;
    struct job_attempt *a = &j->attempt;
    bool sent;
    c->uncommitted = NULL;
    if (j->stop > STOP_PREEMPTED || a->fate != FATE_RUNNING) {
        if (a->fate == FATE_RUNNING || a->fate == FATE_LOST)
            a->fate = FATE_UNCOMMITTED;
        sent = send_plain(c, STEP_SETTING, j, "ROLLBACK");
    } else {
        j->attempt.commit = COMMIT_SENT;
        sent = send_end(c, j);
    }
    return sent && send_sync(c, j);
}

void conn_arm_head(struct conn *c)
{
    const struct step *s = conn_head(c);
    c->own_us = s && !s->job ? loop_now_us(c->env->loop) : 0;
    if (!s || s->kind != STEP_STMT || !s->job->spec.stream_rows)
        return;
    if (s->job->spec.travel == DB_EXCLUSIVE || s->stmt + 1 == s->job->spec.n)
        PQsetSingleRowMode(c->pg); /* refused in an aborted group, where there are no rows */
}
