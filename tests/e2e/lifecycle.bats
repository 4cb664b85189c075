# Starting, stopping, and PostgreSQL going away in the middle.
# alone

load ../lib/e2e

setup_file() {
    cluster_start
}

teardown_file() {
    cluster_stop
}

# A server of its own for each test: most of them end it.
setup() {
    start
}

teardown() {
    [ -z "${SERVER_DIR:-}" ] || server_stop
}

start() {
    server_start --sql-access open --listen-access open --notify-access open --db-pool 4 "$@"
}

backends() { # the server's own connections, as PostgreSQL counts them
    sql "select count(*) from pg_stat_activity where application_name like 'pghttpd%'"
}

no_backends() { [ "$(backends)" = 0 ]; }

query() { # query TEXT [curl options]: status of a /sql request
    local text=$1
    shift
    curl -s -m 20 -o "$BATS_TEST_TMPDIR/answer" -w '%{http_code}' "$@" "$SERVER_URL/sql" --data-binary "$(jq -n --arg q "$text" '{query: $q}')"
}

stream_is_open() { grep -q '^: ok' "$BATS_TEST_TMPDIR/stream"; }
is_ready() { [ "$(curl -s -o /dev/null -w '%{http_code}' "$SERVER_ADMIN/ready")" = 200 ]; }
sleeps() { [ "$(sql "select count(*) from pg_stat_activity where query like '%pg_sleep(0.7)%' and state = 'active' and pid <> pg_backend_pid()")" -ge 1 ]; }

@test "ready within 50 ms of exec, and idle in under 12 MB" {
    [ "${MODE:-release}" = release ] || skip "figures are for the release build"
    python3 "$SERVER_TOP/tests/e2e/start_time.py" "$SERVER_TOP/build/${MODE:-release}/pghttpd" "$CLUSTER_URI"
    # 12 MB with OpenSSL 3.0 of Debian 12; of 3.5 (Debian 13) a MB more is mapped, pages of its file
    local most=12288
    [[ $(openssl version) == "OpenSSL 3.0."* ]] || most=13312
    echo "rss $(server_rss_kb) kB, limit $most"
    [ "$(server_rss_kb)" -lt $most ]
}

@test "SIGTERM lets a query finish, ends a stream cleanly, exits 0 and leaves no backend" {
    local rc t0 ms
    curl -sN "$SERVER_URL/listen/x" >"$BATS_TEST_TMPDIR/stream" 3>&- &
    local stream=$!
    poll_until 5 stream_is_open
    query "select pg_sleep(0.7)::text, 'done' as mark" >"$BATS_TEST_TMPDIR/status" 3>&- &
    local running=$!
    poll_until 5 sleeps
    t0=$(date +%s%N)
    server_stop TERM
    ms=$((($(date +%s%N) - t0) / 1000000))
    echo "stopped after $ms ms"
    [ $ms -lt 1700 ]
    wait $running
    [ "$(cat "$BATS_TEST_TMPDIR/status")" = 200 ]
    grep -q done "$BATS_TEST_TMPDIR/answer"
    rc=0
    wait $stream || rc=$?
    [ $rc = 0 ] # curl: the chunked body was whole
    poll_until 5 no_backends
}

@test "while it drains /ready is 503 and requests are still taken for shutdown-delay" {
    server_stop
    start --shutdown-delay 2s
    server_signal TERM
    poll_until 1 eval '! is_ready'
    [ "$(query 'select 1')" = 200 ]
    server_stop TERM || true # a second SIGTERM: now
}

@test "a second SIGTERM stops at once" {
    local t0 ms
    query "select pg_sleep(6)" >/dev/null 3>&- &
    poll_until 5 eval '[ "$(sql "select count(*) from pg_stat_activity where query like '"'%pg_sleep(6)%'"' and state = '"'active'"' and pid <> pg_backend_pid()")" -ge 1 ]'
    t0=$(date +%s%N)
    server_signal TERM
    poll_until 2 eval '! is_ready'
    server_stop TERM
    ms=$((($(date +%s%N) - t0) / 1000000))
    echo "stopped after $ms ms"
    [ $ms -lt 1500 ]
}

@test "what runs longer than shutdown-timeout is ended" {
    local t0 ms running
    server_stop
    start --shutdown-timeout 1s --log-level warn
    query "select pg_sleep(0.7) from generate_series(1, 20)" >"$BATS_TEST_TMPDIR/status" 3>&- &
    running=$!
    poll_until 5 sleeps
    t0=$(date +%s%N)
    server_signal TERM
    poll_until 5 server_ended_
    ms=$((($(date +%s%N) - t0) / 1000000))
    echo "stopped after $ms ms: $(cat "$SERVER_DIR/log")"
    [ $ms -ge 1000 ]
    [ $ms -lt 2500 ]
    grep -q 'shutdown-timeout is over' "$SERVER_DIR/log"
    wait $running || true
    [ "$(cat "$BATS_TEST_TMPDIR/status")" != 200 ]
}

@test "a port that is taken: exit 1, naming address and port" {
    local out rc=0
    out=$("$SERVER_TOP/build/${MODE:-release}/pghttpd" --db-uri "$CLUSTER_URI" --server-port "$SERVER_PORT" --admin-server-port off 2>&1) || rc=$?
    echo "$out"
    [ $rc = 1 ]
    [[ $out == *"$SERVER_PORT"* ]]
}

@test "PostgreSQL away: fails fast with 503 and a reason; back: works again without a restart" {
    local t0 ms
    cluster_halt
    poll_until 5 eval '[ "$(query "select 1")" = 503 ]'
    t0=$(date +%s%N)
    for _ in 1 2 3 4 5; do
        [ "$(query 'select 1' -D "$BATS_TEST_TMPDIR/head")" = 503 ]
    done
    ms=$((($(date +%s%N) - t0) / 1000000))
    echo "five refusals in $ms ms: $(cat "$BATS_TEST_TMPDIR/answer")"
    [ $ms -lt 1000 ]
    grep -qi '^retry-after:' "$BATS_TEST_TMPDIR/head"
    jq -e '.message | length > 10' "$BATS_TEST_TMPDIR/answer"
    [ "$(curl -s -o /dev/null -w '%{http_code}' "$SERVER_ADMIN/live")" = 200 ]
    [ "$(curl -s -o /dev/null -w '%{http_code}' "$SERVER_ADMIN/ready")" = 503 ]
    cluster_restart
    poll_until 15 is_ready
    [ "$(query 'select 1')" = 200 ]
}

# Failed attempts of the pool to connect.
attempts() { curl -s "$SERVER_ADMIN/metrics" | awk '/^pghttpd_[a-z_]*connect_failures_total/ {n += $2} END {print n + 0}'; }

@test "PostgreSQL away for longer: it is looked for every few seconds, and found when it is back" {
    local n
    cluster_halt
    sleep 13 # pauses that went on doubling would be over 4.8 s by now
    n=$(attempts)
    [ "$n" -ge 5 ]
    sleep 6
    [ "$(attempts)" -ge $((n + 2)) ]
    cluster_restart
    poll_until 3 is_ready
    [ "$(query 'select 1')" = 200 ]
}

@test "every backend killed under load: requests fail or succeed, none hangs, and all is well afterwards" {
    local i clients=()
    for i in 1 2 3 4 5 6 7 8; do
        (for _ in $(seq 40); do query "select pg_sleep(0.005)"; echo; done) >"$BATS_TEST_TMPDIR/load.$i" 3>&- &
        clients+=($!)
    done
    for _ in 1 2 3; do
        sql "select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name like 'pghttpd%'"
    done
    wait "${clients[@]}"
    [ "$(cat "$BATS_TEST_TMPDIR"/load.* | grep -cE '^[0-9]+$')" = 320 ]
    if grep -E '^(000|504)' "$BATS_TEST_TMPDIR"/load.*; then fail 'a request hung or was cut off'; fi
    poll_until 10 is_ready
    [ "$(query 'select 1')" = 200 ]
}

@test "a log that nobody reads stops nobody, and says afterwards how much of it is missing" {
    local fifo=$BATS_TEST_TMPDIR/fifo reader said
    server_stop
    mkfifo "$fifo"
    sleep 60 <"$fifo" 3>&- &
    reader=$!
    SERVER_WRAP=(sh -c "exec \"\$0\" \"\$@\" 2>'$fifo'")
    start --log-level info
    unset SERVER_WRAP
    # a pipe holds 64 KB
    said=$(timeout 20 curl -s -m 20 -o /dev/null -w '%{http_code}\n' "$SERVER_URL/sql?query=select+1#[1-1500]" | sort | uniq -c | tr -s ' ')
    [ "$said" = ' 1500 200' ] || fail "$said"
    cat "$fifo" >"$BATS_TEST_TMPDIR/log" 3>&- &
    poll_until 5 test -s "$BATS_TEST_TMPDIR/log"
    kill $reader
    for _ in 1 2 3; do query 'select 2' >/dev/null; done
    grep -q 'level=warn msg="[0-9]* lines of the log were dropped: nobody read them"' "$BATS_TEST_TMPDIR/log"
    server_stop
    # all of them: those that came and those that were counted
    said=$(sed -nE 's/.*msg="([0-9]+) lines of the log were dropped.*/\1/p' "$BATS_TEST_TMPDIR/log")
    [ $((said + $(grep -c 'msg=request .*route=sql' "$BATS_TEST_TMPDIR/log"))) = 1503 ]
}
