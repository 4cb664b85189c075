# Real data goes in by /sql and comes out unchanged; and the program is small, quick to start and clean under valgrind.
# alone

load ../lib/e2e

setup_file() { e2e_start --sql-access open </dev/null; }
teardown_file() { e2e_stop; }

@test "every record of iso-codes, in batches, row by row" {
    [ -d /usr/share/iso-codes/json ] || skip "package iso-codes is not installed"
    run python3 "$BATS_TEST_DIRNAME/iso_codes.py" "$SERVER_URL"
    [ "$status" = 0 ] || fail "$output"
    [ "$output" -gt 10000 ]
    [ "$(sql "select count(*) from iso_3166_1")" -gt 200 ]
}

@test "under 12 MB when idle" {
    [ "${MODE:-release}" = release ] || skip "a figure of the release build"
    SERVER_NAME=idle server_start --sql-access open
    rss=$(server_rss_kb)
    server_stop
    echo "# RSS $rss kB" >&3
    [ "$rss" -lt 12288 ]
}

# 50 ms on an idle machine (make bench says); here others may be running
@test "ready soon after exec" {
    [ "${MODE:-release}" = release ] || skip "a figure of the release build"
    run python3 - "$SERVER_TOP/build/${MODE:-release}/pghttpd" "$CLUSTER_URI" "$(free_port)" "$(free_port)" <<'PY'
import http.client, subprocess, sys, time
program, uri, port, admin = sys.argv[1:]
best = 1e9
for _ in range(7):
    start = time.monotonic()
    p = subprocess.Popen([program, '--db-uri', uri, '--server-port', port, '--admin-server-port', admin], stderr=subprocess.DEVNULL)
    while time.monotonic() < start + 10:
        try:
            c = http.client.HTTPConnection('127.0.0.1', int(admin), timeout=2)
            c.request('GET', '/ready')
            if c.getresponse().status == 200:
                break
        except OSError:
            time.sleep(0.001)
    best = min(best, (time.monotonic() - start) * 1000)
    p.terminate()
    p.wait(10)
print(round(best, 1))
PY
    [ "$status" = 0 ]
    echo "# ready after $output ms" >&3
    [ "$(bc <<<"$output < 300")" = 1 ]
}

@test "valgrind finds nothing in a smoke run" {
    [ "${MODE:-release}" = release ] || skip "the sanitizers look themselves"
    command -v valgrind >/dev/null || skip "valgrind is not installed"
    export SERVER_DEADLINE=60 SERVER_STOP_DEADLINE=30 SERVER_NAME=valgrind
    SERVER_WRAP=(valgrind -q --error-exitcode=99 --leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=definite
        --log-file="$BATS_TEST_TMPDIR/valgrind.log")
    server_start --sql-access open --db-anon-role postgres --listen-access open --notify-access open
    req POST /sql -d '{"query":"select n, n::text from generate_series(1, :most) n","params":{"most":2000}}'
    [ "$status" = 200 ]
    req POST /sql -d '["create table if not exists smoke (id int)", "insert into smoke values (1)", "select 1/0"]'
    [ "$status" = 400 ]
    req POST /sql -d 'no json'
    [ "$status" = 400 ]
    sql "create table smoke (id int primary key, t text); notify pgrst, 'reload schema'"
    known() { req GET /rest/smoke && [ "$status" = 200 ]; }
    poll_until 20 known
    req POST /rest/smoke -H 'Content-Type: application/json' -d '[{"id":1,"t":"ä"},{"id":2,"t":"b"}]'
    [ "$status" = 201 ]
    req GET '/rest/smoke?id=gte.1&order=id'
    [ "$status" = 200 ]
    curl -sN -m 5 "$SERVER_URL/listen/smoke" >"$BATS_TEST_TMPDIR/stream" 3>&- &
    poll_until 5 grep -q '^: ok' "$BATS_TEST_TMPDIR/stream"
    req POST /notify/smoke -d hello
    [ "$status" = 204 ]
    poll_until 5 grep -q hello "$BATS_TEST_TMPDIR/stream"
    ADMIN=1 req GET /metrics
    [ "$status" = 200 ]
    server_stop || { cat "$BATS_TEST_TMPDIR/valgrind.log"; false; }
    [ ! -s "$BATS_TEST_TMPDIR/valgrind.log" ] || fail "$(head -50 "$BATS_TEST_TMPDIR/valgrind.log")"
}
