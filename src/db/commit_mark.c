#include "db/commit_mark.h"

#include <stdio.h>

/* A standby's WAL has no position to be asked for, and its timeline may change under it. */
#define TIMELINE                                                                                   \
    "CASE WHEN pg_catalog.pg_is_in_recovery() THEN NULL ELSE pg_catalog.substr("                   \
    "pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()), 1, 8) END"
#define STATS                                                                                      \
    "(SELECT (pg_catalog.date_part('epoch', stats_reset) OPERATOR(pg_catalog.*) "                  \
    "1000000)::pg_catalog.int8 FROM pg_catalog.pg_stat_bgwriter)"
#define SYSTEM "(SELECT system_identifier FROM pg_catalog.pg_control_system())"

const char commit_identity_sql[] = "SELECT " SYSTEM ", " TIMELINE ", " STATS;

/* Checkpoints are counted in pg_stat_bgwriter, from PostgreSQL 17 on in pg_stat_checkpointer. */
const char commit_lookup_sql[] =
    "SELECT " SYSTEM ", " TIMELINE ", " STATS ", "
    "CASE WHEN $1::pg_catalog.int8 OPERATOR(pg_catalog.>=) "
    "pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot()) THEN 'aborted' "
    "ELSE pg_catalog.txid_status($1::pg_catalog.int8) END, "
    "(SELECT checkpoint_lsn OPERATOR(pg_catalog.-) '0/0'::pg_catalog.pg_lsn "
    "FROM pg_catalog.pg_control_checkpoint()), "
    "(SELECT pg_catalog.sum(v::pg_catalog.int8) FROM pg_catalog.regexp_matches("
    "pg_catalog.query_to_xml(CASE WHEN pg_catalog.to_regclass('pg_catalog.pg_stat_checkpointer') "
    "IS NULL THEN 'SELECT checkpoints_timed, checkpoints_req FROM pg_catalog.pg_stat_bgwriter' "
    "ELSE 'SELECT num_timed, num_requested FROM pg_catalog.pg_stat_checkpointer' END, "
    "false, false, '')::pg_catalog.text, '>([0-9]+)<', 'g') m, pg_catalog.unnest(m) v)";

static const char mark_sql[] =
    "SELECT pg_catalog.txid_current_if_assigned(), "
    "CASE WHEN pg_catalog.txid_current_if_assigned() IS NOT NULL THEN "
    "pg_catalog.pg_current_wal_insert_lsn() OPERATOR(pg_catalog.-) '0/0'::pg_catalog.pg_lsn END";
static const char forced_mark_sql[] =
    "SELECT pg_catalog.txid_current(), "
    "pg_catalog.pg_current_wal_insert_lsn() OPERATOR(pg_catalog.-) '0/0'::pg_catalog.pg_lsn";

const char *commit_mark_sql(bool force)
{
    return force ? forced_mark_sql : mark_sql;
}

/* ---- text ---- */

void commit_mark_format(const struct commit_mark *m, char text[COMMIT_MARK_TEXT_MAX])
{
    snprintf(text, COMMIT_MARK_TEXT_MAX, "%lx-%x-%lx-%lx-%lx", (unsigned long)m->server.system,
             m->server.timeline, (unsigned long)m->server.stats_us, (unsigned long)m->lsn,
             (unsigned long)m->xid);
}

static bool read_hex(struct str s, uint64_t *out)
{
    uint64_t n = 0;
    if (s.n == 0 || s.n > 16)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        unsigned digit = c >= '0' && c <= '9' ? (unsigned)(c - '0') : (unsigned)(c - 'a') + 10;
        if (digit > 15)
            return false;
        n = n << 4 | digit;
    }
    *out = n;
    return true;
}

bool commit_mark_parse(struct str text, struct commit_mark *m)
{
    uint64_t parts[5];
    struct str part;
    for (int i = 0; i < 5; i++)
        if (!str_next(&text, '-', &part) || !read_hex(part, &parts[i]))
            return false;
    if (text.p || parts[1] > UINT32_MAX || parts[4] == 0 || parts[4] > INT64_MAX)
        return false;
    *m = (struct commit_mark){
        .xid = parts[4], .lsn = parts[3], .server = {parts[0], (uint32_t)parts[1], parts[2]}};
    return true;
}

/* ---- results ---- */

static bool read_number(const struct db_result *r, size_t column, uint64_t *out)
{
    return !db_result_null(r, 0, column) && str_u64(db_result_value(r, 0, column), UINT64_MAX, out);
}

static bool read_timeline(const struct db_result *r, size_t column, uint32_t *out)
{
    struct str text = db_result_value(r, 0, column);
    char lower[9] = {0};
    uint64_t n;
    for (size_t i = 0; i < text.n && i < 8; i++)
        lower[i] = (char)(text.p[i] >= 'A' && text.p[i] <= 'F' ? text.p[i] + 32 : text.p[i]);
    if (db_result_null(r, 0, column) || !read_hex(str_of(lower), &n))
        return false;
    *out = (uint32_t)n;
    return true;
}

bool commit_identity_read(const struct db_result *r, struct server_identity *s)
{
    *s = (struct server_identity){0};
    return db_result_rows(r) == 1 && db_result_columns(r) >= 3 && read_number(r, 0, &s->system) &&
           read_timeline(r, 1, &s->timeline) && read_number(r, 2, &s->stats_us);
}

bool commit_mark_read(const struct db_result *r, struct commit_mark *m)
{
    m->xid = m->lsn = 0;
    if (db_result_rows(r) != 1 || db_result_columns(r) != 2)
        return false;
    return db_result_null(r, 0, 0) || (read_number(r, 0, &m->xid) && read_number(r, 1, &m->lsn));
}

bool commit_lookup_read(const struct db_result *r, struct commit_lookup *l)
{
    static const struct {
        struct str text;
        enum db_fate status;
    } words[] = {{{"committed", 9}, DB_FATE_COMMITTED},
                 {{"aborted", 7}, DB_FATE_ABORTED},
                 {{"in progress", 11}, DB_FATE_IN_PROGRESS}};
    uint64_t checkpoints;
    *l = (struct commit_lookup){.status = DB_FATE_UNKNOWN};
    if (db_result_rows(r) != 1 || db_result_columns(r) != 6)
        return false;
    l->knows_server = commit_identity_read(r, &l->server);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (str_eq(db_result_value(r, 0, 3), words[i].text))
            l->status = words[i].status;
    l->one_checkpoint = read_number(r, 4, &l->checkpoint_lsn) && read_number(r, 5, &checkpoints) &&
                        checkpoints <= 1;
    return true;
}

/* ---- judgement ---- */

static bool same_history(const struct server_identity *a, const struct server_identity *b)
{
    return a->system == b->system && a->timeline == b->timeline;
}

enum db_fate commit_mark_judge(const struct commit_mark *m, const struct commit_lookup *l)
{
    if (!l->knows_server || !same_history(&m->server, &l->server))
        return DB_FATE_UNKNOWN;
    if (l->status == DB_FATE_IN_PROGRESS && m->server.stats_us == l->server.stats_us)
        return DB_FATE_IN_PROGRESS;
    if (l->status == DB_FATE_ABORTED)
        return DB_FATE_ABORTED;
    if (m->server.stats_us == l->server.stats_us)
        return l->status == DB_FATE_COMMITTED ? DB_FATE_COMMITTED : DB_FATE_UNKNOWN;
    /* It crashed meanwhile. WAL behind the end of that recovery is lost, and numbers that only it
     * had are given to other transactions. The recovery ended in a checkpoint: if that stands
     * behind the mark, the number is still ours; if not, our COMMIT, which stands behind the mark,
     * is lost. */
    if (l->checkpoint_lsn && l->checkpoint_lsn <= m->lsn)
        return DB_FATE_ABORTED;
    return l->status == DB_FATE_COMMITTED && l->one_checkpoint ? DB_FATE_COMMITTED
                                                               : DB_FATE_UNKNOWN;
}
