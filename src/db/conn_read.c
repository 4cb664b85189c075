/* conn_read: results out of libpq's pipeline, each to the step it belongs to.
 *
 * PQgetResult is called only while PQisBusy is 0, so it never waits. Every command gives its
 * results and then one NULL; a Sync gives one result and no NULL. Results of a shared job are kept
 * until its Sync, because it may have to be sent again; those of an exclusive one go on at once. */
#include "db/conn.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdio.h>
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
    bool mark = head(c)->kind == STEP_MARK;
    c->steps_first = (c->steps_first + 1) & (c->steps_cap - 1);
    c->steps_n--;
    if (mark) {
        if (conn_send_rest(c))
            session_flush(c->session);
        else
            conn_break(c, PQerrorMessage(c->pg));
    }
    if (c->state == CONN_UP)
        conn_arm_head(c);
}

/* Statements parsed before are to be parsed again. */
static void conn_schema_changed(const struct conn *c)
{
    atomic_fetch_add(c->env->schema, 1);
}

/* ---- the end of a job ---- */

static void send_again(struct conn *c, struct db_job *j)
{
    if (j->stop == STOP_PREEMPTED) {
        if (j->cost_key)
            pace_slow(c->env->costs, j->cost_key);
        c->debts |= DEBT_RESET; /* locks of its session would stand in its own way */
        j->stop = STOP_NONE;
    }
    c->env->stats->resends++;
    job_reset_attempt(j);
    c->ops->requeue(c->owner, j);
}

void conn_settle(struct conn *c, struct db_job *j)
{
    enum verdict verdict = job_verdict(j);
    j->conn = NULL;
    if (verdict == VERDICT_AGAIN)
        send_again(c, j);
    else if (verdict == VERDICT_LOOK_UP)
        c->ops->look_up(c->owner, j);
    else
        job_conclude(j, verdict, NULL, false);
}

/* What its end leaves on the connection. */
static void note_session(struct conn *c, struct db_job *j)
{
    /* With more groups behind libpq says ACTIVE, whatever this one left: nothing, being shared. */
    PGTransactionStatusType tx = PQtransactionStatus(c->pg);
    if (tx != PQTRANS_IDLE && (tx != PQTRANS_ACTIVE || j->spec.travel == DB_EXCLUSIVE)) {
        c->debts |= DEBT_ROLLBACK;
        j->attempt.left_transaction = !job_has_failed(j) && !j->spec.in_transaction;
    }
    if (!job_has_failed(j)) {
        j->attempt.fate = FATE_COMMITTED;
        *c->env->trouble = '\0';
    }
    /* PostgreSQL reports a change just before ReadyForQuery, behind the rows. */
    if (PQclientEncoding(c->pg) != c->utf8) {
        c->debts |= DEBT_RESET;
        if (j->attempt.fate == FATE_COMMITTED && j->attempt.gave_rows)
            j->attempt.fate = FATE_UNREADABLE;
    }
    if (j->attempt.alters || (j->suspects_names && !job_has_failed(j)))
        conn_schema_changed(c);
}

static void on_job_sync(struct conn *c, struct db_job *j)
{
    assert(j == c->jobs.first);
    note_session(c, j);
    job_list_remove(j);
    if (j->cost_key && !job_has_failed(j) && !job_is_silent(j) && c->n_ended < CONN_ENDED_MAX)
        c->ended[c->n_ended++] = j->cost_key;
    c->head_us = loop_now_us(c->env->loop);
    if (c->jobs.n == 0)
        c->solo = false;
    conn_settle(c, j);
    if (c->state == CONN_UP)
        conn_stop_head(c);
}

/* ---- results ---- */

static bool is_stale_plan(const PGresult *res, const char *code)
{
    const char *routine = PQresultErrorField(res, PG_DIAG_SOURCE_FUNCTION);
    return strcmp(code, "0A000") == 0 && routine && strcmp(routine, "RevalidateCachedQuery") == 0;
}

/* A name of ours that is not there: not one of a function's own, nor the same code raised by one.
 */
static bool is_unknown_name(const PGresult *res, const char *code)
{
    const char *routine = PQresultErrorField(res, PG_DIAG_SOURCE_FUNCTION);
    return strcmp(code, "26000") == 0 && routine &&
           strcmp(routine, "FetchPreparedStatement") == 0 &&
           !PQresultErrorField(res, PG_DIAG_CONTEXT);
}

/* Errors that a statement parsed afresh would perhaps not have: of its analysis, which went well
 * when it was parsed; of a parameter's text, which may now be another type's; of a parameter's type
 * that was dropped. (In a server that speaks another language the second goes unseen: there it ends
 * with the statement's age.) All of them come before the statement is run. */
static bool is_suspect(const PGresult *res, const char *code)
{
    const char *where = PQresultErrorField(res, PG_DIAG_CONTEXT),
               *message = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
    bool at_bind = where && strstr(where, "portal parameter $");
    if (strncmp(code, "42", 2) == 0)
        return PQresultErrorField(res, PG_DIAG_STATEMENT_POSITION);
    if (strcmp(code, "XX000") == 0)
        return (at_bind || !where) && message && strncmp(message, "cache lookup failed", 19) == 0;
    return strncmp(code, "22", 2) == 0 && at_bind;
}

/* True: another attempt without names will tell. */
static bool suspect_name(struct conn *c, struct db_job *j, struct stmt_entry *e)
{
    if (!e || e->state != STMT_READY)
        return false;
    if (j->attempt.delivered)
        stmt_cache_remove(c->cache, e, true);
    j->suspects_names = true;
    return true;
}

/* Did the statement fail because of its name? Then the name is dropped here. */
static bool is_stmt_name_to_blame(struct conn *c, struct db_job *j, size_t i, const PGresult *res)
{
    const char *code = PQresultErrorField(res, PG_DIAG_SQLSTATE);
    const struct db_stmt *st = &j->spec.stmts[i];
    bool unknown = is_unknown_name(res, code), stale = is_stale_plan(res, code);
    if (!st->prepare || !(unknown || stale || is_suspect(res, code)))
        return false;
    struct stmt_entry *e =
        stmt_cache_find(c->cache, st->cache_scope, (struct str){st->sql, st->sql_len});
    if (!unknown && !stale)
        return suspect_name(c, j, e);
    if (stale)
        conn_schema_changed(c);
    if (e && e->state == STMT_READY)
        stmt_cache_remove(c->cache, e, !unknown);
    if (unknown) /* if one is gone, others may be, too */
        c->retire = !stmt_cache_distrust(c->cache) || c->retire;
    return true;
}

static bool is_name_to_blame(struct conn *c, const struct step *s, const PGresult *res)
{
    struct db_job *j = s->job;
    if (job_is_silent(j) || !c->cache || j->unprepared)
        return false;
    if (s->kind == STEP_STMT)
        return is_stmt_name_to_blame(c, j, s->stmt, res);
    const char *code = PQresultErrorField(res, PG_DIAG_SQLSTATE);
    if (s->kind != STEP_SETTING || !is_unknown_name(res, code))
        return false;
    c->retire = !stmt_cache_distrust(c->cache) || c->retire; /* our own set_config's name */
    return true;
}

/* libpq made this result, PostgreSQL did not: the connection broke, or the server does not keep to
 * the protocol (an error without SQLSTATE). */
static bool is_own_error(const PGresult *res)
{
    return !PQresultErrorField(res, PG_DIAG_SQLSTATE);
}

void conn_on_own_error(struct conn *c, const PGresult *res)
{
    if (PQstatus(c->pg) != CONNECTION_BAD) /* else session.c says so in a moment */
        conn_break(c, PQresultErrorMessage(res));
}

/* Only where PostgreSQL itself ends the session it is sure that the jobs behind were not run; what
 * a pooler has sent to PostgreSQL, and what state its session is in, is not known. */
static void note_death(struct conn *c, struct db_job *j, const struct db_error *error)
{
    if (!outcome_made_by_postgres(error)) {
        c->retire = true;
        snprintf(c->env->trouble, sizeof c->env->trouble, "%s", error->message);
    } else if (outcome_ends_session(error)) {
        c->death = j ? DEATH_IN_JOB : DEATH_IN_OWN;
        c->death_job = j;
    }
}

/* Where the login may not read it, its commits are not marked. Any other error (a pooler's, which
 * has lost PostgreSQL) says nothing of the kind, and no job is sent behind it without a mark. */
static void on_no_identity(struct conn *c, const struct db_error *error)
{
    bool denied = strncmp(error->code, "42", 2) == 0;
    c->identity = denied ? IDENTITY_UNAVAILABLE : IDENTITY_LOST;
    if (!denied)
        conn_break(c, error->message);
}

static void on_error(struct conn *c, struct step *s, const PGresult *res)
{
    struct db_job *j = s->job;
    struct db_error error;
    db_error_of_result(&error, res);
    note_death(c, j, &error);
    if (s->kind == STEP_IDENTITY) {
        on_no_identity(c, &error);
        return;
    }
    if (!j) {
        c->retire = true; /* a reset failed: no other job may use the session */
        return;
    }
    if (j->attempt.fate != FATE_RUNNING)
        return; /* it has its end already */
    db_failure_copy(&j->attempt.failure, &error);
    if (s->kind == STEP_PARSE || s->kind == STEP_STMT)
        j->attempt.failed = s->stmt;
    const struct outcome_error o = {.error = &error,
                                    .can_write = j->spec.can_write,
                                    .at_commit = s->kind == STEP_END || s->kind == STEP_SYNC,
                                    .stale_name = is_name_to_blame(c, s, res)};
    j->attempt.fate = outcome_of_error(&o);
}

static bool hand_over(struct db_job *j, size_t stmt, const PGresult *res)
{
    j->attempt.delivered = true;
    return j->ops.on_result(j->arg, stmt, (const struct db_result *)(const void *)res) ||
           job_is_silent(j);
}

static void on_rows(struct conn *c, struct step *s, PGresult *res)
{
    struct db_job *j = s->job;
    j->attempt.gave_rows = j->attempt.gave_rows || PQntuples(res) > 0;
    if (j->stop >= STOP_REFUSED || job_has_failed(j))
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
    const struct job_attempt *a = &j->attempt;
    for (size_t i = 0; i < a->n_held && more && !job_is_silent(j); i++)
        more = hand_over(j, a->held[i].stmt, a->held[i].res);
    job_drop_held(j);
    if (more && !job_is_silent(j))
        more = hand_over(j, stmt, res);
    PQclear(res);
    if (!more && j->state == JOB_SENT) {
        job_stop_for(j, STOP_REFUSED);
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
    j->attempt.alters = j->attempt.alters || may_alter(tag);
    if (c->cache && (strcmp(tag, "DISCARD ALL") == 0 || strcmp(tag, "DEALLOCATE ALL") == 0))
        stmt_cache_forget(c->cache);
}

static void on_identity(struct conn *c, const struct db_result *r)
{
    c->identity = commit_identity_read(r, &c->server) ? IDENTITY_KNOWN : IDENTITY_UNASKED;
}

/* Where this server's identity is not known, the mark is worth nothing. */
static void on_mark(struct conn *c, struct db_job *j, const struct db_result *r)
{
    struct commit_mark *m = &j->attempt.mark;
    if (!commit_mark_read(r, m) || c->identity != IDENTITY_KNOWN)
        j->looked_up = true;
    m->server = c->server;
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
    const struct db_result *r = (const struct db_result *)(const void *)res;
    if (s->kind == STEP_PARSE && s->entry)
        stmt_cache_ready(c->cache, s->entry);
    else if (s->kind == STEP_IDENTITY)
        on_identity(c, r);
    else if (s->kind == STEP_MARK)
        on_mark(c, s->job, r);
    else if (s->kind == STEP_NAMES)
        on_names(c, res);
    else if (s->kind == STEP_END && s->job->attempt.fate == FATE_RUNNING)
        s->job->attempt.fate = FATE_COMMITTED;
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
    if (s->job && s->job->attempt.fate == FATE_RUNNING)
        job_fail(s->job, FATE_FAILED, "57014", COPY_MESSAGE);
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
    pop_step(c); /* a Sync: nothing is sent here */
    if (j) {
        on_job_sync(c, j);
    } else {
        c->probing = false;
        conn_stop_head(c);
    }
}

/* What ended in one reading shares the time since the end of what was before it. The clock is read
 * afresh: a turn of ours is longer than many a statement. */
static void note_pace(struct conn *c, uint64_t now_us)
{
    uint64_t each = c->n_ended ? (now_us - c->work_us) / c->n_ended : 0;
    if (!c->n_ended)
        return;
    for (size_t i = 0; i < c->n_ended; i++)
        pace_note(c->env->costs, c->ended[i], each);
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
            conn_on_own_error(c, res);
            PQclear(res);
            break;
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
    if (j && !job_is_silent(j))
        job_notice(j, s ? s->stmt : 0, res);
}
