/* rest_run: the life of a REST request around its statement.
 *
 * rest_run_start: who asks (auth) -> the catalog -> method, path, headers, query string -> the
 * action's own file (rest_read.c, rest_write.c, rest_rpc.c, rest_openapi.c), which plans, appends
 * its statements with rest_run_settings and rest_run_add, and hands the group over with
 * rest_run_submit. Its on_result gets what comes back; on_done, called only when the group was
 * committed (or rolled back as asked), answers with rest_run_reply. Every failure on the way ends
 * in rest_run_fail.
 *
 * One struct rest_run lives in the request's arena. It holds references to the configuration and
 * the catalog as they were when the request came; rest_run_end gives them back, after the answer or
 * when the client left.
 *
 * To add an action: a value in enum rest_action, a file with its rest_*_start, a line in
 * rest_run.c's dispatch(). */
#ifndef PGH_API_REST_RUN_H
#define PGH_API_REST_RUN_H

#include "app.h"
#include "auth/auth.h"
#include "db/job.h"
#include "http/server.h"
#include "rest/body.h"
#include "rest/catalogs.h"
#include "rest/errors.h"
#include "rest/negotiate.h"
#include "rest/plan_write.h"
#include "rest/request.h"
#include "rest/rpc.h"
#include "rest/sqlgen.h"
#include "rest/sqlgen_write.h"

#define REST_STMTS_MAX 6u

/* Where the time went, for Server-Timing; microseconds. */
struct rest_times {
    uint64_t mark, jwt, parse, plan, transaction, response;
};

/* One row of the main statement, as PostgREST's statements give it. */
struct rest_row {
    bool seen;
    int64_t total;    /* -1: not counted */
    uint64_t page;    /* rows of the page */
    int64_t inserted; /* -1: not counted */
    struct buf body;
    struct str headers, status; /* settings left by functions; copied into the arena */
    struct str location;        /* JSON pairs */
};

struct rest_run {
    struct worker *worker;
    struct http_req *req;
    struct arena *arena;
    struct conf *conf;              /* own reference */
    const struct conf_database *db; /* inside conf */
    struct catalog *catalog;        /* own reference */
    struct auth_identity who;
    struct rest_request request;
    bool rpc_anonymous;

    /* the action's */
    const struct catalog_table *table;
    struct rest_body body;
    struct rest_plan plan;
    struct sqlgen_handler handler;
    struct plan_write write;
    struct rest_call call;
    void *own;

    /* the group */
    struct db_stmt stmts[REST_STMTS_MAX];
    size_t n_stmts, main; /* main: index of the main statement */
    struct db_job_spec spec;
    struct db_job *job;
    bool (*on_result)(struct rest_run *, size_t stmt, const struct db_result *);
    bool (*on_again)(struct rest_run *); /* as in db/job.h; may be NULL */
    void (*on_done)(struct rest_run *);
    /* Sees every end before all else; true: it was answered. May be NULL. */
    bool (*on_outcome)(struct rest_run *, const struct db_outcome *);
    void (*on_end)(struct rest_run *); /* frees what the action made itself; may be NULL */

    struct rest_row row;
    struct loop_timer again; /* see rest_run_wait */
    bool waiting;
    uint64_t came_us;
    struct rest_times times;
    bool streamed; /* the connection's end is told to the stream, not to the run */
    bool ended;
};

void rest_run_start(struct worker *, struct http_req *);

/* For what others are about to have, as the first catalog after the start: again(run) looks whether
 * it is there, in a while. False: it waited long enough. */
MUSTCHECK bool rest_run_wait(struct rest_run *, uint64_t most_us, void (*again)(void *run));

/* Answers with an error; the run is over. */
void rest_run_fail(struct rest_run *, const struct err *);
void rest_run_problem(struct rest_run *, const struct rest_problem *);

/* The first statement of the group: settings of the transaction, and the pre-request function
 * behind it. */
struct rest_run_mode {
    bool read_only;
    bool leaves_state; /* runs functions that may: the connection is reset afterwards, as
                          db-reset-after-rpc says */
    bool response;     /* the answer depends on response.headers and response.status */
    const struct catalog_routine *routine; /* its hoisted settings and isolation; NULL: none */
};
MUSTCHECK bool rest_run_settings(struct rest_run *, const struct rest_run_mode *, struct err *);

/* Begins a statement in the worker's scratch; finish it with rest_run_add before another begins. */
void rest_run_sql(struct rest_run *, struct sql *);
MUSTCHECK bool rest_run_add(struct rest_run *, struct sql *, bool is_main, struct err *);

/* Sends the group. Without an on_result of the action's own, rest_run_read_main gets what the
 * main statement gives. */
void rest_run_submit(struct rest_run *);
/* What the main statement gave: its row, or the lines of its plan. */
void rest_run_read_main(struct rest_run *, const struct db_result *);

/* Headers that every successful answer has: Vary, Preference-Applied, Warning, Server-Timing; and
 * Content-Profile when there is a Content-Type. */
void rest_run_header(struct rest_run *, struct str name, struct str value);

struct rest_reply {
    int status;
    struct str content_type;        /* p == NULL: none, and no body */
    const struct rest_prefs *prefs; /* that had an effect; NULL: no Preference-Applied */
};
/* Sends row.body (nothing when there is no content type) with status and headers as functions
 * changed them; the run is over. */
void rest_run_reply(struct rest_run *, const struct rest_reply *);
/* The headers of such an answer, for one that is streamed: its type and status as functions changed
 * them. False: the run is over, with an error. */
MUSTCHECK bool rest_run_head(struct rest_run *, const struct rest_reply *, struct str *type,
                             int *status);
/* The run's own end, for an answer that did not go through rest_run_reply. */
void rest_run_end(struct rest_run *);
/* Makes the body say that the offset is behind the last row (416). */
void rest_run_outside(struct rest_run *);
/* The EXPLAIN that was asked for. */
void rest_run_reply_plan(struct rest_run *);
/* 507 54000, as /sql says it. */
void rest_run_too_big(const struct rest_run *, struct err *);

/* Actions. */
void rest_read_start(struct rest_run *);
void rest_write_start(struct rest_run *);
void rest_rpc_start(struct rest_run *);
void rest_openapi_start(struct rest_run *);

extern const struct route rest_route;

#endif
