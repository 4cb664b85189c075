#!/usr/bin/env bats
# alone
# /sql and /copy with more data than memory should ever see, and clients that leave at random.

load ../lib/e2e

setup_file() {
    e2e_start --sql-access open --db-pool 4 --statement-timeout 0 --response-max-bytes 0 --copy-max-bytes 0 --log-access false <<'SQL'
create unlogged table big (n int, pad text);
create table hits (n int primary key);
SQL
}
teardown_file() { e2e_stop; }

# the highest RSS while a process runs
peak_rss() { # PID
    local peak=0 now
    while kill -0 "$1" 2>/dev/null; do
        now=$(server_rss_kb)
        [ "$now" -le "$peak" ] || peak=$now
        read -rt 0.1 <> <(:) || true
    done
    echo "$peak"
}

@test "a result of 1 GB read by a slow client: under 16 MB more" {
    curl -s -o /dev/null "$SERVER_URL/sql" -d '{"query":"select 1"}'
    before=$(server_rss_kb)
    # stops after 40 s at 25 MB/s: 1 GB
    curl -s --limit-rate 40M -o /dev/null -w '%{size_download} %{http_code}' "$SERVER_URL/sql" \
        -d '{"query":"select n, repeat($$x$$, 1000) as pad from generate_series(1, 1050000) n"}' >"$BATS_TEST_TMPDIR/size" &
    pid=$!
    peak=$(peak_rss $pid)
    wait $pid
    read -r size code <"$BATS_TEST_TMPDIR/size" || true # no newline
    echo "size $size, RSS before $before kB, peak $peak kB" | tee /dev/fd/3
    [ "$code" = 200 ]
    [ "$size" -gt 1000000000 ]
    [ $((peak - before)) -lt 16384 ]
}

@test "a COPY of 1 GB in, and out to a slow client: under 16 MB more" {
    before=$(server_rss_kb)
    (yes "$(printf '1\t%01000d' 7)" | head -n 1050000 | curl -s -m 600 -o "$BATS_TEST_TMPDIR/answer" -T - -X POST \
        -H 'Expect:' "$SERVER_URL/copy?query=copy+big+from+stdin") 3>&- &
    pid=$!
    peak=$(peak_rss $pid)
    wait $pid
    echo "RSS before $before kB, peak $peak kB" | tee /dev/fd/3
    [ "$(jq .rowCount "$BATS_TEST_TMPDIR/answer")" = 1050000 ] || fail "$(cat "$BATS_TEST_TMPDIR/answer")"
    [ $((peak - before)) -lt 16384 ]
    curl -s --limit-rate 60M -o /dev/null -w '%{size_download}' "$SERVER_URL/copy?query=copy+big+to+stdout" >"$BATS_TEST_TMPDIR/size" &
    pid=$!
    peak=$(peak_rss $pid)
    wait $pid
    echo "out: $(cat "$BATS_TEST_TMPDIR/size") bytes, peak $peak kB" | tee /dev/fd/3
    [ "$(cat "$BATS_TEST_TMPDIR/size")" = $((1003 * 1050000)) ]
    [ $((peak - before)) -lt 16384 ]
}

@test "1,000 requests aborted at random under load: nobody else is cancelled, nothing is left busy" {
    python3 "$BATS_TEST_DIRNAME/sql_aborts.py" "$SERVER_PORT" 1000 >"$BATS_TEST_TMPDIR/out" || fail "$(cat "$BATS_TEST_TMPDIR/out")"
    tee /dev/fd/3 <"$BATS_TEST_TMPDIR/out"
    quiet() { [ "$(sql "select count(*) from pg_stat_activity where state <> 'idle' and backend_type = 'client backend' and pid <> pg_backend_pid()")" = 0 ]; }
    poll_until 10 quiet
    [ "$(sql "select count(*) from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()")" -le 5 ]
    [ "$(sql 'select count(*) = (select max(n) + 1 from hits) from hits')" = t ]
    ADMIN=1 req GET /metrics
    [ "$(grep -E '^pghttpd_db_pool.*busy' "$body_file" | awk '{n += $NF} END {print n + 0}')" = 0 ]
    for i in 1 2 3 4 5 6 7 8; do
        req POST /sql -d '{"query":"select 1 as fine"}'
        [ "$status" = 200 ]
    done
}
