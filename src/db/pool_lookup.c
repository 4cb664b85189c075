/* pool_lookup: what became of a transaction whose connection was lost with its COMMIT on the way:
 * it is asked for on another connection of the pool, again and again while it is in progress or the
 * database is away, until the request's time is over (commit_mark.h). */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "db/pool_int.h"
#include "util/xalloc.h"

#define LOOKUP_AGAIN_US (50 * 1000ull)
#define LOOKUP_TRY_US (2 * 1000000ull) /* for one question, the wait for a connection included */
/* Past its deadline a job is looked up for so long, so that a lost COMMIT is mostly found. */
#define LOOKUP_GRACE_US (1 * 1000000ull)
#define LOOKUP_MAX_US (30 * 1000000ull)

/* One question at a time, for a job whose caller waits, or for db_look_up. Owned by itself. */
struct lookup {
    struct db_pool *pool;
    struct db_job *job; /* JOB_LOOKING */
    struct db_job *asking;
    struct commit_mark mark;
    enum db_fate fate;
    uint64_t until_us;
    struct loop_timer again;
    struct db_stmt stmt;
    char xid[24];
    const char *values[1];
};

static void lookup_ask(struct lookup *);

static void lookup_free(void *p)
{
    free(p);
}

static void lookup_end(struct lookup *l)
{
    loop_timer_stop(&l->again);
    loop_free_later(l->pool->pools->loop, lookup_free, l);
}

static void lookup_settle(struct lookup *l)
{
    struct db_job *j = l->job, *asking = l->asking;
    static const enum attempt_fate fates[] = {[DB_FATE_UNKNOWN] = FATE_LOST,
                                              [DB_FATE_IN_PROGRESS] = FATE_LOST,
                                              [DB_FATE_COMMITTED] = FATE_COMMITTED,
                                              [DB_FATE_ABORTED] = FATE_UNCOMMITTED};
    j->lookup = NULL;
    j->looked_up = true;
    j->attempt.fate = fates[l->fate];
    j->stats->lookups++;
    j->stats->lookups_unknown += j->attempt.fate == FATE_LOST;
    j->repeats.losses++; /* no other attempt: its caller has waited enough */
    job_list_remove(j);
    job_conclude(j, job_verdict(j), NULL, true);
    l->asking = NULL;
    if (asking) {
        l->pool->extra--;
        db_cancel(asking);
    }
    lookup_end(l);
}

static bool lookup_on_result(void *arg, size_t i, const struct db_result *r)
{
    struct lookup *l = arg;
    struct commit_lookup answer;
    (void)i;
    if (commit_lookup_read(r, &answer))
        l->fate = commit_mark_judge(&l->mark, &answer);
    return true;
}

/* A database that is away may be back in a moment, another server may be promoted. */
static void lookup_on_done(void *arg, const struct db_outcome *o)
{
    struct lookup *l = arg;
    (void)o;
    l->asking = NULL;
    l->pool->extra--;
    bool known = l->fate == DB_FATE_COMMITTED || l->fate == DB_FATE_ABORTED;
    if (known || loop_now_us(l->pool->pools->loop) + LOOKUP_AGAIN_US >= l->until_us ||
        l->pool->state == POOL_ENDED)
        lookup_settle(l);
    else
        loop_timer_set(&l->again, LOOKUP_AGAIN_US);
}

static void lookup_on_again(void *arg)
{
    lookup_ask(arg);
}

static void lookup_ask(struct lookup *l)
{
    static const struct db_ops ops = {.on_result = lookup_on_result, .on_done = lookup_on_done};
    const struct db_job_spec spec = {
        .stmts = &l->stmt, .n = 1, .travel = DB_SHARED, .timeout_us = LOOKUP_TRY_US};
    l->fate = DB_FATE_UNKNOWN;
    l->pool->extra++; /* all connections of the pool may be dead */
    l->asking = pool_submit_first(l->pool, &spec, &ops, l);
}

static void lookup_init(struct lookup *l, struct db_pool *p, const struct commit_mark *mark)
{
    l->pool = p;
    l->mark = *mark;
    snprintf(l->xid, sizeof l->xid, "%lu", (unsigned long)mark->xid);
    l->values[0] = l->xid;
    l->stmt = (struct db_stmt){.sql = commit_lookup_sql,
                               .sql_len = strlen(commit_lookup_sql),
                               .nparams = 1,
                               .values = l->values};
    loop_timer_init(&l->again, p->pools->loop, lookup_on_again, l);
}

void pool_on_look_up(void *pool, struct db_job *j)
{
    struct db_pool *p = pool;
    struct lookup *l = xcalloc(1, sizeof *l);
    uint64_t now = job_now(j), until = j->deadline_us > now ? j->deadline_us : now;
    assert(!j->list && j->attempt.commit == COMMIT_SENT);
    lookup_init(l, p, &j->attempt.mark);
    until += LOOKUP_GRACE_US;
    l->until_us = !j->deadline_us || until > now + LOOKUP_MAX_US ? now + LOOKUP_MAX_US : until;
    l->job = j;
    j->lookup = l;
    j->conn = NULL;
    j->state = JOB_LOOKING;
    job_list_push(&p->looking, j);
    loop_timer_set(&l->again, 0); /* not from within the loss of a connection */
}

void pool_settle_look_ups(struct db_pool *p)
{
    while (p->looking.first) {
        p->looking.first->lookup->fate = DB_FATE_UNKNOWN;
        lookup_settle(p->looking.first->lookup);
    }
}

void pool_stop_look_up(struct db_job *j)
{
    struct lookup *l = j->lookup;
    j->lookup = NULL;
    job_list_remove(j);
    if (l->asking) {
        l->pool->extra--;
        db_cancel(l->asking);
    }
    lookup_end(l);
}
