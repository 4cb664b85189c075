# Real data goes in by /sql and comes out unchanged; and a smoke run is clean under valgrind.

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
