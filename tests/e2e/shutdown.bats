# What still runs in PostgreSQL when the time to stop is over: it is cancelled, and nothing of it goes on for nobody.
# alone

load ../lib/e2e

setup_file() {
    # at the end it would sleep for a second by itself while a thread is left
    export TSAN_OPTIONS="atexit_sleep_ms=0${TSAN_OPTIONS:+:$TSAN_OPTIONS}"
    cluster_start
    cluster_psql -q <<'SQL'
create table written (id int);
create function sleep_long() returns int language sql volatile as $$ insert into written values (1); select pg_sleep(600); select 1 $$;
create view slow as select pg_sleep(600)::text as slept;
SQL
}

teardown_file() {
    cluster_stop
}

teardown() {
    if [ -n "${frozen:-}" ]; then
        # shellcheck disable=SC2086 # several
        kill -CONT $frozen
    fi
    [ -z "${SERVER_DIR:-}" ] || server_stop
    sql "select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name like 'pghttpd%'"
    sql 'truncate written'
}

start() {
    server_start --sql-access open --db-anon-role postgres --log-level warn --db-pool 8 "$@"
}

sleeping() { sql "select count(*) from pg_stat_activity where application_name like 'pghttpd%' and wait_event = 'PgSleep'"; }
asleep() { [ "$(sleeping)" = "$1" ]; }
active() { [ "$(sql "select count(*) from pg_stat_activity where application_name like 'pghttpd%' and state = 'active'")" = "$1" ]; }
no_backends() { [ "$(sql "select count(*) from pg_stat_activity where application_name like 'pghttpd%'")" = 0 ]; }

# ask NAME curl-arguments...: in the background; its status and body are in the files NAME.status and NAME.body.
clients=()
ask() {
    local name=$BATS_TEST_TMPDIR/$1
    shift
    curl -s -m 30 -o "$name.body" -w '%{http_code}' "$@" >"$name.status" <&0 3>&- &
    clients+=($!)
}
ask_everything() {
    ask sql "$SERVER_URL/sql" -d '{"query":"select pg_sleep(600)"}'
    ask batch "$SERVER_URL/sql" -d '["insert into written values (2)", "select pg_sleep(600)"]'
    ask read "$SERVER_URL/rest/slow"
    ask rpc -X POST "$SERVER_URL/rest/rpc/sleep_long"
    ask copy -G "$SERVER_URL/copy" --data-urlencode 'query=copy (select pg_sleep(600)) to stdout'
    poll_until 5 asleep 5
}
answer() { echo "$(cat "$BATS_TEST_TMPDIR/$1.status") $(jq -r .code "$BATS_TEST_TMPDIR/$1.body")"; }

# ended_within MS: the server ends, well and in that time, after what was done at $t0.
ended_within() {
    local ms most=$1
    [ -z "${SANITIZED:-}" ] || most=$((most + 500))
    poll_until 10 server_ended_
    ms=$((($(date +%s%N) - t0) / 1000000))
    echo "ended after $ms ms; log: $(server_log)"
    [ $ms -lt "$most" ]
    [ "$(cat "$SERVER_DIR/status")" = 0 ]
    wait "${clients[@]}" || true
}

# Cancelled and rolled back, and told so.
all_cut() {
    local name
    for name in sql batch read rpc copy; do
        echo "$name: $(answer $name) $(cat "$BATS_TEST_TMPDIR/$name.body")"
    done
    [ "$(answer sql)" = '400 57014' ]
    jq -e '.hint | test("shutdown-timeout")' "$BATS_TEST_TMPDIR/sql.body"
    [ "$(answer batch)" = '400 57014' ]
    [ "$(answer read)" = '500 57014' ]
    [ "$(answer rpc)" = '500 57014' ]
    [ "$(answer copy)" = '400 57014' ]
    poll_until 1 no_backends
    [ "$(sql 'select count(*) from written')" = 0 ]
}

@test "shutdown-timeout: what runs is cancelled, its clients hear so, no backend is left" {
    local t0
    start --shutdown-timeout 200ms
    ask_everything
    t0=$(date +%s%N)
    server_signal TERM
    ended_within 700
    grep -q 'shutdown-timeout is over' "$SERVER_DIR/log"
    all_cut
}

@test "a second SIGTERM: the same, at once" {
    local t0
    start
    ask_everything
    server_signal TERM
    poll_until 2 eval '! server_answers_ ready'
    asleep 5
    t0=$(date +%s%N)
    server_signal TERM
    ended_within 500
    grep -q 'a second signal' "$SERVER_DIR/log"
    all_cut
}

@test "what waits behind others is not begun: 503, or cancelled when it was sent already" {
    local t0 i
    start --shutdown-timeout 200ms --db-pool 2
    for i in 1 2 3 4 5 6; do
        ask "sql$i" "$SERVER_URL/sql" -d '{"query":"insert into written select 3 from pg_sleep(600)"}'
    done
    for i in 1 2 3 4; do
        ask "read$i" "$SERVER_URL/rest/slow"
    done
    poll_until 5 asleep 2
    t0=$(date +%s%N)
    server_signal TERM
    ended_within 700
    grep -h . "$BATS_TEST_TMPDIR"/*.status "$BATS_TEST_TMPDIR"/*.body
    for i in 1 2 3 4 5 6; do
        [[ $(answer "sql$i") == '400 57014' || $(answer "sql$i") == '503 57P03' ]]
    done
    for i in 1 2 3 4; do
        [[ $(answer "read$i") == '500 57014' || $(cat "$BATS_TEST_TMPDIR/read$i.status") == 503 ]]
    done
    poll_until 1 no_backends
    [ "$(sql 'select count(*) from written')" = 0 ]
}

@test "several workers, each with its own" {
    local t0 i
    start --shutdown-timeout 200ms --workers 3 --db-pool 30
    for i in $(seq 9); do
        ask "sql$i" "$SERVER_URL/sql" -d '{"query":"select pg_sleep(600)"}'
    done
    poll_until 5 asleep 9
    t0=$(date +%s%N)
    server_signal TERM
    ended_within 700
    for i in $(seq 9); do
        [ "$(answer "sql$i")" = '400 57014' ]
    done
    poll_until 1 no_backends
}

@test "a client that reads too slowly, or sends, is not waited for" {
    local t0
    start --shutdown-timeout 200ms
    ask slow --limit-rate 1k "$SERVER_URL/sql" -d '{"query":"select repeat($$x$$, 1000) from generate_series(1, 1000000)"}'
    ask upload -X POST -T - "$SERVER_URL/copy?query=copy%20written%20from%20stdin" < <(echo 4; sleep 5)
    poll_until 5 active 2
    t0=$(date +%s%N)
    server_signal TERM
    ended_within 700
    poll_until 1 no_backends
    [ "$(sql 'select count(*) from written')" = 0 ]
}

# A network that is gone: PostgreSQL takes no cancel and answers nothing.
@test "PostgreSQL does not answer: ends in time all the same, and says that the outcome is unknown" {
    local t0 name
    start --shutdown-timeout 200ms
    ask_everything
    frozen="$CLUSTER_PID $(sql "select string_agg(pid::text, ' ') from pg_stat_activity where application_name like 'pghttpd%'")"
    # shellcheck disable=SC2086 # several
    kill -STOP $frozen
    t0=$(date +%s%N)
    server_signal TERM
    ended_within 1000
    for name in sql batch read rpc copy; do
        echo "$name: $(answer $name) $(cat "$BATS_TEST_TMPDIR/$name.body")"
    done
    [ "$(answer batch)" = '500 08007' ]
    [ "$(answer rpc)" = '500 08007' ]
    [ "$(answer read)" = '500 57014' ]
    # shellcheck disable=SC2086
    kill -CONT $frozen
    frozen=
    # libpq 17 asks for TLS before it sends a cancel: to PostgreSQL that does not answer it sends none
    if [ "$(pkg-config --modversion libpq | cut -d. -f1)" -ge 17 ]; then
        sql "select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name like 'pghttpd%'"
    fi
    poll_until 5 no_backends
    [ "$(sql 'select count(*) from written')" = 0 ]
}

@test "a second SIGTERM while PostgreSQL does not answer: half a second" {
    local t0
    start
    ask_everything
    frozen="$CLUSTER_PID $(sql "select string_agg(pid::text, ' ') from pg_stat_activity where application_name like 'pghttpd%'")"
    # shellcheck disable=SC2086 # several
    kill -STOP $frozen
    server_signal TERM
    poll_until 2 eval '! server_answers_ ready'
    t0=$(date +%s%N)
    server_signal TERM
    ended_within 800
}
