#include "db/outcome.h"

#include <assert.h>

/* What becomes of a job, by the fate of its attempt and by whether it can write:
 *
 *   repeat     nobody stopped it (or it was preempted), and another attempt is allowed
 *   end        the same, and no other attempt is allowed
 *   refused    its caller needs no more of it
 *   deadline   its time is over
 *   shutdown   the server stops
 *
 * A job that its caller left, and a placeholder, are dropped, whatever happened. */
struct outcome_row {
    enum verdict repeat, end, refused, deadline, shutdown;
};

#define ALL_ENDS(v)                                                                                \
    {                                                                                              \
        VERDICT_##v, VERDICT_##v, VERDICT_##v, VERDICT_##v, VERDICT_##v                            \
    }
#define ROW(r, e, f, d, s)                                                                         \
    {                                                                                              \
        VERDICT_##r, VERDICT_##e, VERDICT_##f, VERDICT_##d, VERDICT_##s                            \
    }

/* clang-format off */
static const struct outcome_row rows[FATES][2] = {
    /*                               repeat  end       refused   deadline   shutdown */
    [FATE_UNSENT]           = {  ROW(AGAIN,  NOT_SENT, NOT_SENT, TIMED_OUT, NOT_SENT),
               /* can write */   ROW(AGAIN,  NOT_SENT, NOT_SENT, TIMED_OUT, NOT_SENT) },
    [FATE_NOT_RUN]          = {  ROW(AGAIN,  NOT_SENT, NOT_SENT, TIMED_OUT, NOT_SENT),
                                 ROW(AGAIN,  NOT_SENT, NOT_SENT, TIMED_OUT, NOT_SENT) },
    /* Asked about while it runs: only when its end will not be waited for. */
    [FATE_RUNNING]          = {  ROW(NOT_SENT, NOT_SENT, FAILED,  TIMED_OUT, TIMED_OUT),
                                 ALL_ENDS(UNKNOWN) },
    [FATE_STALE_NAME]       = {  ROW(AGAIN,  FAILED,   FAILED,   FAILED,    FAILED),
                                 ROW(AGAIN,  FAILED,   FAILED,   FAILED,    FAILED) },
    [FATE_CANCELED]         = {  ROW(AGAIN,  FAILED,   FAILED,   TIMED_OUT, TIMED_OUT),
                                 ROW(AGAIN,  FAILED,   FAILED,   TIMED_OUT, TIMED_OUT) },
    [FATE_TERMINATED]       = {  ROW(AGAIN,  FAILED,   FAILED,   FAILED,    FAILED),
                                 ROW(AGAIN,  FAILED,   FAILED,   FAILED,    FAILED) },
    [FATE_UNCOMMITTED]      = {  ROW(AGAIN,  NOT_SENT, FAILED,   TIMED_OUT, TIMED_OUT),
                                 ROW(AGAIN,  NOT_SENT, FAILED,   TIMED_OUT, TIMED_OUT) },
    [FATE_FAILED]           = {  ALL_ENDS(FAILED), ALL_ENDS(FAILED) },
    [FATE_FAILED_AT_COMMIT] = {  ALL_ENDS(FAILED), ALL_ENDS(FAILED) },
    [FATE_COMMITTED]        = {  ROW(DONE,   DONE,     FAILED,   DONE,      DONE),
                                 ALL_ENDS(DONE) },
    [FATE_UNREADABLE]       = {  ALL_ENDS(FAILED), ALL_ENDS(UNKNOWN) },
    [FATE_LOST]             = {  ROW(AGAIN,  NOT_SENT, FAILED,   TIMED_OUT, TIMED_OUT),
                                 ALL_ENDS(UNKNOWN) },
};
/* clang-format on */

enum verdict outcome_verdict(const struct outcome_case *o)
{
    assert(o->fate < FATES);
    if (o->fate == FATE_LOST && o->can_write && o->can_look_up && o->stop < STOP_MOVED)
        return VERDICT_LOOK_UP;
    const struct outcome_row *row = &rows[o->fate][o->can_write];
    switch (o->stop) {
    case STOP_NONE:
    case STOP_PREEMPTED: return o->may_repeat ? row->repeat : row->end;
    case STOP_REFUSED: return row->refused;
    case STOP_DEADLINE: return row->deadline;
    case STOP_SHUTDOWN: return row->shutdown;
    case STOP_MOVED:
    case STOP_CALLER_LEFT: return VERDICT_DROP;
    }
    return VERDICT_UNKNOWN;
}

enum attempt_fate outcome_after_loss(enum attempt_fate fate)
{
    /* An error for the COMMIT is certain only with the ReadyForQuery behind it: a session can be
     * terminated after its commit record was written. */
    return fate == FATE_RUNNING || fate == FATE_FAILED_AT_COMMIT ? FATE_LOST : fate;
}

bool outcome_made_by_postgres(const struct db_error *e)
{
    return e->file && e->line && e->routine;
}

bool outcome_ends_session(const struct db_error *e)
{
    return strcmp(e->severity, "FATAL") == 0 || strcmp(e->severity, "PANIC") == 0;
}

enum attempt_fate outcome_of_error(const struct outcome_error *o)
{
    const struct db_error *e = o->error;
    bool fatal = outcome_ends_session(e), connection = strncmp(e->code, "08", 2) == 0;
    if (!outcome_made_by_postgres(e) && (o->can_write || fatal || connection))
        return FATE_LOST;
    if (fatal && connection)
        return FATE_LOST;
    if (o->at_commit && fatal)
        return FATE_LOST;
    if (fatal)
        return FATE_TERMINATED;
    if (o->stale_name)
        return FATE_STALE_NAME;
    if (strcmp(e->code, "57014") == 0)
        return FATE_CANCELED;
    return o->at_commit ? FATE_FAILED_AT_COMMIT : FATE_FAILED;
}
