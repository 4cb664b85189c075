#!/usr/bin/env bats
# alone
# 200 clients insert rows for a minute while backends are killed at random. Afterwards every key is looked up: what was
# answered 2xx is in the database; what was answered with an SQLSTATE of PostgreSQL or a 503 is not; 08007 alone leaves
# it open. Rows of one request are there together or not at all.

load ../lib/e2e

setup_file() {
    e2e_start --db-anon-role web --db-pool 8 <<'SQL'
create role web nologin;
create table written (key text primary key);
grant all on written to web;
create table told (key text, status int, code text);
SQL
}
teardown_file() { e2e_stop; }

@test "200 writers, killed backends: every answer is true" {
    local seconds=${SECS:-60} killed=0 end writers
    python3 "$BATS_TEST_DIRNAME/rest_writers.py" "$SERVER_URL" "$seconds" 200 "$BATS_TEST_TMPDIR/told" 3>&- &
    writers=$!
    end=$((SECONDS + seconds))
    while [ $SECONDS -lt $end ] && kill -0 $writers 2>/dev/null; do
        killed=$((killed + $(sql "select count(pg_terminate_backend(pid)) from (select pid from pg_stat_activity
            where backend_type = 'client backend' and pid <> pg_backend_pid() order by random() limit 1) x, pg_sleep(0.15)")))
    done
    wait $writers
    cluster_psql -q -c "\\copy told from '$BATS_TEST_TMPDIR/told' with (format text, delimiter ' ')"
    sql "select status, code, count(*), count(w.key) as written from told t left join written w using (key) group by 1, 2 order by 1, 2" | sed 's/^/# /' >&3
    echo "# $killed backends killed" >&3
    [ "$killed" -gt 20 ]
    # enough was written for this to mean something
    [ "$(sql "select count(*) > 1000 from told where status = 201")" = t ]
    [ "$(sql "select count(*) from told t where status between 200 and 299 and not exists (select from written w where w.key = t.key)")" = 0 ]
    [ "$(sql "select count(*) from told t join written w using (key) where status not between 200 and 299 and code <> '08007'")" = 0 ]
    # nothing but a broken connection is an answer: 503, 500 with 57P01 or 08007
    [ "$(sql "select count(*) from told where status = 0")" = 0 ]
    # rows of one request
    [ "$(sql "select count(*) from (select substring(key from '^c[0-9]+-[0-9]+') as request, count(w.key) as n, count(*) as of
        from told t left join written w using (key) group by 1) x where n not in (0, of)")" = 0 ]
    # nobody wrote what nobody was told about
    [ "$(sql "select count(*) from written w where not exists (select from told t where t.key = w.key)")" = 0 ]
}
