# Several workers: one port, one hub, one configuration for all of them.

load ../lib/e2e

setup_file() {
    e2e_start --workers 3 --db-pool 6 --sql-access open --listen-access open --notify-access open --db-anon-role web_anon <<'SQL'
create role web_anon nologin;
create table t as select i as id, 'name ' || i as name from generate_series(1, 100) i;
grant select on t to web_anon;
SQL
}

teardown_file() {
    e2e_stop
}

all_open() { [ "$(grep -l '^: ok' "$BATS_TEST_TMPDIR"/stream.* | wc -l)" = 24 ]; }
all_have() { [ "$(grep -l "\"payload\":\"$1\"" "$BATS_TEST_TMPDIR"/stream.* | wc -l)" = 24 ]; }

@test "streams on different workers see the same ids in the same order" {
    local i streams=()
    for i in $(seq 24); do
        curl -sN -m 20 "$SERVER_URL/listen/w" >"$BATS_TEST_TMPDIR/stream.$i" 3>&- &
        streams+=($!)
    done
    poll_until 10 all_open
    for i in 1 2 3 4 5; do
        req POST /notify/w -d "m$i"
        [ "$status" = 204 ]
    done
    poll_until 10 all_have m5
    kill "${streams[@]}"
    wait "${streams[@]}" || true
    for i in $(seq 24); do
        sed -n '/^data/!d; p' "$BATS_TEST_TMPDIR/stream.$i" >"$BATS_TEST_TMPDIR/data.$i"
        grep '^id: ' "$BATS_TEST_TMPDIR/stream.$i" | tail -5 >"$BATS_TEST_TMPDIR/ids.$i"
        cmp "$BATS_TEST_TMPDIR/data.1" "$BATS_TEST_TMPDIR/data.$i"
        cmp "$BATS_TEST_TMPDIR/ids.1" "$BATS_TEST_TMPDIR/ids.$i"
    done
    [ "$(wc -l <"$BATS_TEST_TMPDIR/data.1")" = 5 ]
}

@test "reloads while requests run: none fails" {
    local i clients=()
    for i in 1 2 3 4 5 6; do
        (for _ in $(seq 30); do curl -s -m 20 -o /dev/null -w '%{http_code}\n' "$SERVER_URL/rest/t?id=eq.$i"; done) \
            >"$BATS_TEST_TMPDIR/codes.$i" 3>&- &
        clients+=($!)
    done
    for i in 1 2 3; do
        server_signal HUP
        server_signal USR1
        sql "notify pgrst, 'reload schema'"
    done
    wait "${clients[@]}"
    [ "$(cat "$BATS_TEST_TMPDIR"/codes.* | sort | uniq -c | tr -s ' ')" = " 180 200" ]
}

@test "the metrics are those of all workers together" {
    local before after
    count() { curl -s "$SERVER_ADMIN/metrics" | awk '/^pghttpd_http_requests_total\{.*route="rest"/ {n += $2} END {print n + 0}'; }
    before=$(count)
    for _ in $(seq 30); do req GET '/rest/t?id=eq.1'; done
    after=$(count)
    echo "$before $after"
    [ $((after - before)) = 30 ]
}

@test "everything at once: reads, clients that leave, streams, reloads, metrics" {
    local i others=() end=$((SECONDS + 6))
    again() { while [ $SECONDS -lt $end ]; do "$@" >/dev/null 2>&1 || true; done; }
    often() { again sh -c "$1; sleep 0.2"; }
    for i in 1 2 3; do
        (again curl -s -m 0.15 "$SERVER_URL/sql" -d '{"query":"select pg_sleep(2)"}') 3>&- &
        others+=($!)
        (again curl -sN -m 1 "$SERVER_URL/listen/w") 3>&- &
        others+=($!)
    done
    (again curl -s -m 5 "$SERVER_URL/notify/w" -d hello) 3>&- &
    others+=($!)
    (often "curl -s -m 5 '$SERVER_ADMIN/metrics' '$SERVER_ADMIN/schema_cache' '$SERVER_ADMIN/listen'") 3>&- &
    others+=($!)
    (often "kill -HUP $SERVER_PID; sleep 0.2; kill -USR1 $SERVER_PID") 3>&- &
    others+=($!)
    while [ $SECONDS -lt $end ]; do
        for i in "t?id=eq.7" t ""; do curl -s -m 20 -o /dev/null -w "%{http_code}\n" "$SERVER_URL/rest/$i"; done
    done >"$BATS_TEST_TMPDIR/codes"
    wait "${others[@]}"
    [ "$(sort -u "$BATS_TEST_TMPDIR/codes")" = 200 ]
}
