/* conn_read: results out of libpq's pipeline, each to the step it belongs to.
 *
 * PQgetResult is called only while PQisBusy is 0, so it never waits. Every command gives its
 * results and then one NULL; a Sync gives one result and no NULL. Results of a shared job are kept
 * until its Sync, because it may have to be sent again; those of an exclusive one go on at once. */
#include "db/private.h"

#include <assert.h>
#include <stdlib.h>

#include "util/xalloc.h"

/* A COPY that slipped through leaves the protocol in a state no pipeline recovers from. */
#define COPY_MESSAGE "COPY FROM STDIN and TO STDOUT are not possible here"

static struct step *head(const struct conn *c)
{
    assert(c->steps_n > 0);
    return &c->steps[c->steps_first];
}

static void pop_step(struct conn *c)
{
    assert(c->steps_n > 0);
    c->steps_first = (c->steps_first + 1) & (c->steps_cap - 1);
    c->steps_n--;
    conn_arm_head(c);
}

/* ---- the end of a job ---- */

/* Before a second try: what was delivered of the first is taken back. */
static bool take_back(struct db_job *j)
{
    return !j->delivered || (j->ops.on_again && j->ops.on_again(j->arg));
}

/* A second try, unseen: after a cancel that was meant for a neighbour or made room for those
 * behind, or when the server did not know a prepared name or could not go on using its plan. */
static bool try_again(struct conn *c, struct db_job *j)
{
    bool stopped = j->spec.travel == DB_SHARED && strcmp(j->failure.error.code, "57014") == 0;
    bool thrown = stopped && j->thrown;
    bool hit = stopped && j->hit && j->hits < JOB_HITS_MAX;
    bool stale = j->stale_name && !j->unprepared;
    if (j->cancelled || j->timed_out || (j->refused && !thrown) || !(thrown || hit || stale) ||
        !take_back(j))
        return false;
    if (thrown) {
        if (j->key)
            pace_slow(c->pool->pace, j->key);
        j->alone = true;
        c->need_reset = true; /* locks of its session would stand in its own way */
    } else if (hit) {
        j->hits++; /* each of them another cancel of another job */
    } else {
        j->unprepared = true;
    }
    c->pool->stats.resends++;
    job_forget_try(j);
    job_list_remove(j);
    pool_requeue(j);
    return true;
}

/* What it wrote is committed, but its rows are lost: that is neither success nor a roll-back. */
static void end_unreadable(struct db_job *j)
{
    static const char why[] = "client_encoding was changed: the result cannot be given as UTF-8";
    if (j->spec.can_write)
        job_fail(j, "08007", "the outcome is not known: it may have been committed", why);
    else
        job_fail(j, "0A000", why, NULL);
    job_end(j, j->spec.can_write ? DB_UNKNOWN : DB_FAILED);
}

static void end_job(struct db_job *j)
{
    if (j->cancelled) {
        job_drop(j);
        return;
    }
    if (j->unreadable && !j->failing) {
        end_unreadable(j);
        return;
    }
    if (j->refused && !j->failing)
        job_fail(j, "57014", "canceling statement due to user request", NULL);
    if (!j->failing) {
        job_end(j, DB_DONE);
        return;
    }
    bool deadline = j->timed_out && strcmp(j->failure.error.code, "57014") == 0;
    job_end(j, deadline ? DB_TIMED_OUT : DB_FAILED);
}

static void on_job_sync(struct conn *c, struct db_job *j)
{
    /* With more groups behind libpq says ACTIVE, whatever this one left: nothing, being shared. */
    PGTransactionStatusType tx = PQtransactionStatus(c->pg);
    if (tx != PQTRANS_IDLE && (tx != PQTRANS_ACTIVE || j->spec.travel == DB_EXCLUSIVE)) {
        c->need_rollback = true;
        j->left_transaction = !j->failing && !j->spec.in_transaction;
    }
    /* PostgreSQL reports a change just before ReadyForQuery, behind the rows. */
    if (PQclientEncoding(c->pg) != c->utf8) {
        c->need_reset = true;
        j->unreadable = j->rows;
    }
    assert(j == c->jobs.first);
    job_list_remove(j);
    if (j->alters || (j->suspect && !j->failing))
        pools_schema_changed(c->pool->pools);
    if (j->key && !j->failing && !j->cancelled && c->n_ended < CONN_ENDED_MAX)
        c->ended[c->n_ended++] = j->key;
    c->head_us = loop_now_us(c->pool->pools->loop);
    if (c->jobs.n == 0)
        c->solo = false;
    j->conn = NULL;
    if (!(j->failing && try_again(c, j)))
        end_job(j);
    if (c->state == CONN_UP)
        conn_stop_head(c);
}

/* ---- results ---- */

static bool is_stale_plan(const PGresult *res, const char *code)
{
    const char *routine = PQresultErrorField(res, PG_DIAG_SOURCE_FUNCTION);
    return strcmp(code, "0A000") == 0 && routine && strcmp(routine, "RevalidateCachedQuery") == 0;
}

/* Errors that a statement parsed afresh would perhaps not have: of its analysis, which went well
 * when it was parsed, and of a parameter's text, which may now be another type's. (In a server that
 * speaks another language the latter goes unseen: there it ends with the statement's age.) */
static bool is_suspect(const PGresult *res, const char *code)
{
    const char *where = PQresultErrorField(res, PG_DIAG_CONTEXT);
    return (strncmp(code, "42", 2) == 0 && PQresultErrorField(res, PG_DIAG_STATEMENT_POSITION)) ||
           (strncmp(code, "22", 2) == 0 && where && strstr(where, "portal parameter $"));
}

static void suspect_name(struct conn *c, struct db_job *j, struct stmt_entry *e)
{
    if (!e || e->state != STMT_READY)
        return;
    if (j->delivered)
        stmt_cache_remove(c->cache, e, true); /* no second try will tell */
    j->stale_name = j->suspect = true;
}

/* Did the statement fail because of its name? Then the name is dropped here. */
static void check_name(struct conn *c, struct db_job *j, size_t i, const PGresult *res)
{
    const char *code = PQresultErrorField(res, PG_DIAG_SQLSTATE);
    const struct db_stmt *st = &j->spec.stmts[i];
    bool unknown = code && strcmp(code, "26000") == 0;
    bool stale = code && is_stale_plan(res, code);
    if (!code || j->cancelled || !c->cache || !st->prepare || j->unprepared ||
        !(unknown || stale || is_suspect(res, code)))
        return;
    struct stmt_entry *e =
        stmt_cache_find(c->cache, st->cache_scope, (struct str){st->sql, st->sql_len});
    if (!unknown && !stale) {
        suspect_name(c, j, e);
        return;
    }
    if (stale)
        pools_schema_changed(c->pool->pools);
    if (e && e->state == STMT_READY)
        stmt_cache_remove(c->cache, e, !unknown);
    if (unknown) /* if one is gone, others are too */
        stmt_cache_forget(c->cache);
    j->stale_name = true;
}

/* The connection itself broke: libpq made this result, PostgreSQL did not. on_down follows. */
static bool is_own_error(const PGresult *res)
{
    return !PQresultErrorField(res, PG_DIAG_SQLSTATE);
}

static void on_error(struct conn *c, struct step *s, const PGresult *res)
{
    const char *severity = PQresultErrorField(res, PG_DIAG_SEVERITY_NONLOCALIZED);
    struct db_job *j = s->job;
    if (severity && strcmp(severity, "ERROR") != 0) {
        c->fatal = true;
        c->fatal_job = j;
    }
    if (!j) {
        c->retire = true; /* a reset failed: nobody may use it any more */
        return;
    }
    if (j->failing)
        return;
    db_failure_result(&j->failure, res);
    j->failing = true;
    j->unclear = s->kind == STEP_END || s->kind == STEP_SYNC;
    if (s->kind == STEP_PARSE || s->kind == STEP_STMT)
        j->failed = s->stmt;
    if (s->kind == STEP_STMT)
        check_name(c, j, s->stmt, res);
    else if (s->kind == STEP_SETTING && c->cache && !j->unprepared &&
             strcmp(j->failure.error.code, "26000") == 0) { /* the name of our own set_config */
        stmt_cache_forget(c->cache);
        j->stale_name = true;
    }
}

static bool hand_over(struct db_job *j, size_t stmt, const PGresult *res)
{
    j->delivered = true;
    return j->ops.on_result(j->arg, stmt, (const struct db_result *)(const void *)res) ||
           j->cancelled;
}

static void on_rows(struct conn *c, struct step *s, PGresult *res)
{
    struct db_job *j = s->job;
    j->rows = j->rows || PQntuples(res) > 0;
    if (j->cancelled || j->refused || j->failing)
        PQclear(res);
    else if (!conn_park(c, j, s->stmt, res))
        conn_deliver(c, j, s->stmt, res);
}

/* In row mode a shared job's earlier results wait for the first row of its last. */
void conn_deliver(struct conn *c, struct db_job *j, size_t stmt, PGresult *res)
{
    bool last = stmt + 1 == j->spec.n, more = true;
    c->retire = c->retire || PQresultMemorySize(res) >= CONN_BULKY; /* see is_bulky */
    if (j->spec.travel == DB_SHARED && !(j->spec.stream_rows && last)) {
        job_hold(j, stmt, res);
        return;
    }
    for (size_t i = 0; i < j->n_held && more && !j->cancelled; i++)
        more = hand_over(j, j->held[i].stmt, j->held[i].res);
    job_drop_held(j);
    if (more && !j->cancelled)
        more = hand_over(j, stmt, res);
    PQclear(res);
    if (!more && j->state == JOB_SENT) {
        j->refused = true;
        if (c->state == CONN_UP)
            conn_stop_head(c);
    }
}

/* Commands that may change what other statements were parsed by. A new table or index does not, and
 * temporary tables are made often. */
static bool may_alter(const char *tag)
{
    return strncmp(tag, "ALTER ", 6) == 0 || strncmp(tag, "DROP ", 5) == 0 ||
           strcmp(tag, "DO") == 0 ||
           (strncmp(tag, "CREATE ", 7) == 0 && strcmp(tag + 7, "TABLE") != 0 &&
            strcmp(tag + 7, "INDEX") != 0);
}

/* DISCARD ALL and DEALLOCATE ALL took the names of the cache along. */
static void check_tag(struct conn *c, struct db_job *j, PGresult *res)
{
    const char *tag = PQcmdStatus(res);
    j->alters = j->alters || may_alter(tag);
    if (c->cache && (strcmp(tag, "DISCARD ALL") == 0 || strcmp(tag, "DEALLOCATE ALL") == 0))
        stmt_cache_forget(c->cache);
}

static void on_names(struct conn *c, const PGresult *res)
{
    int n = PQntuples(res);
    c->names_pending = false;
    if (n <= 0 || c->user_names)
        return;
    c->user_names = xcalloc((size_t)n, sizeof *c->user_names);
    for (int i = 0; i < n; i++)
        c->user_names[c->n_user_names++] = xstrdup(PQgetvalue(res, i, 0));
}

/* A result that is no error and no row of a statement. */
static void on_answer(struct conn *c, struct step *s, const PGresult *res)
{
    if (s->kind == STEP_PARSE && s->entry)
        stmt_cache_ready(c->cache, s->entry);
    else if (s->kind == STEP_NAMES)
        on_names(c, res);
    else if (s->kind == STEP_END && !s->job->failing)
        s->job->committed = true;
    s->entry = NULL;
}

/* Not answered with success, and never will be. */
static void on_lost_step(struct conn *c, struct step *s)
{
    if (s->kind == STEP_PARSE && s->entry)
        stmt_cache_remove(c->cache, s->entry, false);
    if (s->kind == STEP_NAMES)
        c->names_pending = false;
    s->entry = NULL;
}

static void on_copy(struct conn *c, struct step *s)
{
    if (s->job && !s->job->failing)
        job_fail(s->job, "57014", COPY_MESSAGE, NULL);
    conn_break(c, COPY_MESSAGE);
}

/* Takes res. */
static void on_result(struct conn *c, PGresult *res)
{
    struct step *s = head(c);
    s->seen = true;
    switch ((int)PQresultStatus(res)) {
    case PGRES_FATAL_ERROR:
    case PGRES_BAD_RESPONSE:
        if (!is_own_error(res)) {
            on_error(c, s, res);
            on_lost_step(c, s);
        }
        break;
    case PGRES_PIPELINE_ABORTED: on_lost_step(c, s); break;
    case PGRES_COPY_IN:
    case PGRES_COPY_OUT:
    case PGRES_COPY_BOTH:
        PQclear(res);
        on_copy(c, s);
        return;
    case PGRES_COMMAND_OK:
        if (s->kind == STEP_STMT)
            check_tag(c, s->job, res);
        __attribute__((fallthrough));
    default:
        if (s->kind == STEP_STMT) {
            on_rows(c, s, res);
            return;
        }
        on_answer(c, s, res);
        break;
    }
    PQclear(res);
}

static void on_sync(struct conn *c)
{
    struct step *s = head(c);
    struct db_job *j = s->job;
    pop_step(c);
    if (j)
        on_job_sync(c, j);
    else
        conn_stop_head(c);
}

/* What ended in one reading shares the time since the end of what was before it. The clock is read
 * afresh: a turn of ours is longer than many a statement. */
static void note_pace(struct conn *c, uint64_t now_us)
{
    uint64_t each = c->n_ended ? (now_us - c->work_us) / c->n_ended : 0;
    if (!c->n_ended)
        return;
    for (size_t i = 0; i < c->n_ended; i++)
        pace_note(c->pool->pace, c->ended[i], each);
    c->n_ended = 0;
    c->work_us = now_us;
}

void conn_read(struct conn *c)
{
    uint64_t now_us = loop_clock_us();
    c->reading = true;
    while (c->state == CONN_UP && !c->paused && !c->parked && c->steps_n && !c->copying &&
           !PQisBusy(c->pg)) {
        PGresult *res = PQgetResult(c->pg);
        bool sync = head(c)->kind == STEP_SYNC;
        if (!res) {
            if (!head(c)->seen)
                break; /* the connection is gone */
            if (sync)
                head(c)->seen = false; /* a deferred constraint failed; its Sync comes next */
            else
                pop_step(c);
        } else if (PQresultStatus(res) == PGRES_PIPELINE_SYNC && sync) {
            PQclear(res);
            on_sync(c);
        } else if (PQresultStatus(res) == PGRES_FATAL_ERROR && is_own_error(res)) {
            PQclear(res);
            break; /* on_down follows */
        } else if (sync && PQresultStatus(res) != PGRES_FATAL_ERROR) {
            PQclear(res);
            conn_break(c, "the connection lost its order of results");
        } else {
            on_result(c, res);
        }
    }
    c->reading = false;
    note_pace(c, now_us);
    if (c->copying && c->state == CONN_UP)
        copy_read(c);
    if (c->state == CONN_UP)
        conn_became_idle(c);
}

void conn_on_notice(struct conn *c, const PGresult *res)
{
    const struct step *s = conn_head(c);
    struct db_job *j = s ? s->job : NULL;
    if (c->copying)
        j = c->jobs.first;
    else if (s && s->kind != STEP_STMT && s->kind != STEP_PARSE)
        j = NULL;
    if (j && !j->cancelled)
        job_notice(j, s ? s->stmt : 0, res);
}
