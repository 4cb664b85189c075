/* copy: COPY FROM STDIN and TO STDOUT for one exclusive job.
 *
 * libpq knows no COPY in pipeline mode, so the connection leaves it (when all earlier results are
 * in) and comes back at the end. Its states are enum copy_state. Private to src/db. */
#include <assert.h>
#include <stdio.h>

#include "db/conn.h"

static bool send_text(struct conn *c, const char *sql)
{
    return PQsendQueryParams(c->pg, sql, 0, NULL, NULL, NULL, NULL, 0) == 1;
}

static bool send_copy(struct conn *c, struct db_job *j)
{
    j->copy.state = COPY_START;
    return send_text(c, j->spec.stmts[0].sql);
}

static bool send_begin(struct conn *c, struct db_job *j)
{
    j->copy.state = COPY_BEGIN;
    return send_text(c, j->spec.read_only ? "BEGIN READ ONLY" : "BEGIN");
}

static bool send_name(struct conn *c, struct db_job *j)
{
    char name[64]; /* NAMEDATALEN: PostgreSQL cuts it there */
    const char *values[1] = {name};
    snprintf(name, sizeof name, "%.*s", STR_ARG(j->spec.application_name));
    j->copy.state = COPY_NAME;
    c->debts |= DEBT_RESET;
    return PQsendQueryParams(c->pg, "SELECT pg_catalog.set_config('application_name',$1,false)", 1,
                             NULL, values, NULL, NULL, 0) == 1;
}

static bool send_name_or_copy(struct conn *c, struct db_job *j)
{
    return j->spec.application_name.n > 0 ? send_name(c, j) : send_copy(c, j);
}

bool copy_begin(struct conn *c, struct db_job *j)
{
    if (c->steps_n)
        return true; /* conn_became_idle asks again */
    if (conn_needs_front(c)) {
        bool sent = conn_send_front(c);
        if (sent)
            session_flush(c->session);
        return sent;
    }
    if (!PQexitPipelineMode(c->pg))
        return false;
    c->copying = true;
    c->n_placed--;
    c->head_us = job_now(j);
    j->state = JOB_SENT;
    j->attempt.fate = FATE_RUNNING;
    if (j->spec.leaves_state)
        c->debts |= DEBT_RESET;
    bool sent = j->spec.in_transaction ? send_begin(c, j) : send_name_or_copy(c, j);
    session_flush(c->session);
    return sent;
}

static void finish_copy(struct conn *c, struct db_job *j)
{
    if (PQtransactionStatus(c->pg) != PQTRANS_IDLE)
        c->debts |= DEBT_ROLLBACK;
    c->copying = false;
    if (!PQenterPipelineMode(c->pg)) {
        conn_break(c, "cannot enter pipeline mode");
        return;
    }
    job_list_remove(j);
    c->solo = false;
    c->stop_us = 0;
    if (!job_has_failed(j))
        j->attempt.fate = FATE_COMMITTED;
    conn_settle(c, j);
}

/* A command ended (its NULL came): on to the next one. False: all is over. */
static bool next_command(struct conn *c, struct db_job *j)
{
    bool failed = job_has_failed(j) || job_is_silent(j);
    if ((j->copy.state == COPY_BEGIN || j->copy.state == COPY_NAME) && !failed) {
        if (!(j->copy.state == COPY_BEGIN ? send_name_or_copy(c, j) : send_copy(c, j)))
            conn_break(c, PQerrorMessage(c->pg));
    } else if (j->copy.state != COPY_COMMIT && j->spec.in_transaction) {
        j->copy.state = COPY_COMMIT;
        if (!send_text(c, failed || j->spec.rollback ? "ROLLBACK" : "COMMIT"))
            conn_break(c, PQerrorMessage(c->pg));
    } else {
        return false;
    }
    if (c->state == CONN_UP)
        session_flush(c->session);
    return true;
}

static void announce(struct db_job *j)
{
    if (!job_is_silent(j) && !j->copy.ended && j->copy_ops.on_ready)
        j->copy_ops.on_ready(j->arg);
}

static void stop_in(struct conn *c, struct db_job *j, const char *why)
{
    j->copy.ended = true;
    j->copy.state = COPY_END;
    if (PQputCopyEnd(c->pg, why) < 0)
        conn_break(c, PQerrorMessage(c->pg));
    else
        session_flush(c->session);
}

static void on_copy_error(struct conn *c, struct db_job *j, const PGresult *res)
{
    struct db_error error;
    if (j->attempt.fate != FATE_RUNNING || !PQresultErrorField(res, PG_DIAG_SQLSTATE))
        return;
    db_error_of_result(&error, res);
    c->retire = c->retire || !outcome_made_by_postgres(&error);
    db_failure_copy(&j->attempt.failure, &error);
    j->attempt.failed = 0;
    const struct outcome_error o = {
        .error = &error, .can_write = j->spec.can_write, .at_commit = j->copy.state == COPY_COMMIT};
    j->attempt.fate = outcome_of_error(&o);
}

static void on_copy_result(struct conn *c, struct db_job *j, PGresult *res)
{
    switch ((int)PQresultStatus(res)) {
    case PGRES_COPY_IN:
        j->copy.state = COPY_IN;
        if (j->stop != STOP_NONE)
            stop_in(c, j, "canceled");
        else
            announce(j);
        break;
    case PGRES_COPY_OUT: j->copy.state = COPY_OUT; break;
    case PGRES_COMMAND_OK:
        if (j->copy.state == COPY_COMMIT && !job_has_failed(j))
            j->attempt.fate = FATE_COMMITTED;
        else if (j->copy.state == COPY_END)
            snprintf(j->copy.tag, sizeof j->copy.tag, "%s", PQcmdStatus(res));
        if (j->copy.state != COPY_START)
            break;
        __attribute__((fallthrough));
    case PGRES_TUPLES_OK:
    case PGRES_EMPTY_QUERY:
        if (j->copy.state == COPY_NAME)
            break;
        job_fail(j, FATE_FAILED, "42601", "not a COPY FROM STDIN or COPY TO STDOUT statement");
        break;
    default:
        on_copy_error(c, j, res);
        j->copy.ended = true;
        break;
    }
}

/* True: the data is over, results follow. After its deadline a job takes data still: its cancel may
 * be too late, and what succeeds must be whole. */
static bool read_data(struct conn *c, struct db_job *j)
{
    char *data;
    int n;
    while (!c->paused && c->state == CONN_UP && (n = PQgetCopyData(c->pg, &data, 1)) != 0) {
        if (n < 0) {
            j->copy.state = COPY_END;
            return true;
        }
        bool more =
            j->stop >= STOP_REFUSED || j->copy_ops.on_data(j->arg, (struct str){data, (size_t)n});
        PQfreemem(data);
        if (!more) {
            job_stop_for(j, STOP_REFUSED);
            job_fail(j, FATE_CANCELED, "57014", "canceling statement due to user request");
            conn_stop_head(c);
        }
    }
    return false;
}

void copy_read(struct conn *c)
{
    while (c->state == CONN_UP && !c->paused && c->copying) {
        struct db_job *j = c->jobs.first;
        assert(j && j->is_copy);
        if (j->copy.state == COPY_IN)
            return; /* libpq looks at nothing before the data is over */
        if (j->copy.state == COPY_OUT && !read_data(c, j))
            return;
        if (PQisBusy(c->pg))
            return;
        PGresult *res = PQgetResult(c->pg);
        if (res) {
            bool own = PQresultStatus(res) == PGRES_FATAL_ERROR &&
                       !PQresultErrorField(res, PG_DIAG_SQLSTATE);
            if (own)
                conn_on_own_error(c, res);
            else if (PQresultStatus(res) == PGRES_COPY_BOTH)
                conn_break(c, "the server answered COPY as it answers replication");
            else
                on_copy_result(c, j, res);
            PQclear(res);
            if (own)
                return;
        } else if (!next_command(c, j)) {
            finish_copy(c, j);
        }
    }
}

bool copy_stop(struct conn *c)
{
    struct db_job *j = c->jobs.first;
    if (!c->copying || !j || j->copy.state != COPY_IN || j->copy.ended)
        return false;
    stop_in(c, j, "canceled");
    return true;
}

void copy_flushed(struct conn *c)
{
    struct db_job *j = c->jobs.first;
    if (!c->copying || !j || !j->copy.full)
        return;
    j->copy.full = false;
    if (j->copy.state == COPY_IN)
        announce(j);
}

bool db_copy_put(struct db_job *j, struct str data)
{
    struct conn *c = j->conn;
    if (j->state != JOB_SENT || j->copy.state != COPY_IN || j->copy.ended)
        return true; /* its end is on its way: nothing is taken any more */
    while (data.n) { /* libpq counts in int */
        int n = data.n > 1 << 20 ? 1 << 20 : (int)data.n;
        if (PQputCopyData(c->pg, data.p, n) < 0) {
            conn_break(c, PQerrorMessage(c->pg));
            return true;
        }
        data = str_from(data, (size_t)n);
    }
    session_flush(c->session);
    j->copy.full = j->conn && session_writing(c->session);
    return !j->copy.full;
}

void db_copy_end(struct db_job *j, const char *error)
{
    if (j->state == JOB_SENT && j->copy.state == COPY_IN && !j->copy.ended)
        stop_in(j->conn, j, error);
}
