#!/usr/bin/env bats
# alone
# Tens of thousands of event streams: what they cost, and how fast an event reaches all. The figures are printed; those
# of time need two cores that nobody else uses (SLACK=3 trebles their limits): the kernel tells how long the server was ready
# to run and had no core, and a run that took too long is made again if that was much, up to five times.

load ../lib/e2e

setup_file() {
    e2e_start --listen-access open --notify-access open --sql-access open --db-anon-role web --log-access false --workers "${WORKERS:-1}" <<'SQL'
create role web nologin;
create table points (id int primary key, name text);
insert into points select i, 'point ' || i from generate_series(1, 10000) i;
grant select on points to web;
SQL
    export LOADS=$BATS_FILE_TMPDIR/sse_load LOAD=$BATS_FILE_TMPDIR/load
    "${CC:-cc}" -O2 -D_GNU_SOURCE -o "$LOADS" "$SERVER_TOP/tests/bench/sse_load.c"
    "${CC:-cc}" -O2 -D_GNU_SOURCE -o "$LOAD" "$SERVER_TOP/tests/bench/load.c"
}

teardown_file() { e2e_stop; }

within() { [ "$(bc <<<"$1 <= $2 * ${SLACK:-1}")" = 1 ]; }
at_most() { within "$1" "$2" || fail "$1 is more than $2 (x ${SLACK:-1})"; }
say() { echo "# $*" >&3; }

# Opens streams and holds them until release.
hold() {
    rm -f "$BATS_TEST_TMPDIR/hold"
    mkfifo "$BATS_TEST_TMPDIR/hold"
    "$LOADS" "$SERVER_PORT" "$1" hold <"$BATS_TEST_TMPDIR/hold" >"$BATS_TEST_TMPDIR/held" 3>&- &
    holder=$!
    exec 7>"$BATS_TEST_TMPDIR/hold"
    poll_until 60 grep -q ready "$BATS_TEST_TMPDIR/held"
}

release() {
    exec 7>&-
    wait "$holder"
    poll_until 10 no_streams
}

no_streams() { [ "$(curl -s "$SERVER_ADMIN/metrics" | sed -n 's/^pghttpd_listen_readers{.*} //p')" = 0 ]; }

# Milliseconds the server's threads have waited for a core.
waited_ms() { cat /proc/"$SERVER_PID"/task/*/schedstat | awk '{n += $2} END {printf "%d\n", n / 1000000}'; }

idle_ticks() { awk '/^cpu / {print $5}' /proc/stat; } # of 10 ms

# Was at least 80 % of all cores free for a second?
free_cores() {
    local before
    before=$(idle_ticks)
    read -rt 1 <> <(:) || true
    [ $(($(idle_ticks) - before)) -ge $(($(nproc) * 80)) ]
}

# sse_load, whose FIGURE (a function that reads its output) must be at most LIMIT; again when it was more but the server
# waited for a core longer than so many milliseconds meanwhile.
measure() { # FIGURE LIMIT MILLISECONDS arguments...
    local figure=$1 limit=$2 undisturbed=$3 try waited got
    shift 3
    for try in 1 2 3 4 5; do
        poll_until 60 free_cores || say "others use the cores"
        waited=$(waited_ms)
        run "$LOADS" "$SERVER_PORT" "$@"
        waited=$(($(waited_ms) - waited))
        say "$(tr '\n' ' ' <<<"$output")waited_ms=$waited"
        got=$("$figure" <<<"$output")
        [ "$status" != 0 ] || ! within "$got" "$limit" || return 0
        [ "$waited" -gt "$undisturbed" ] || break
        say "disturbed ($try)"
    done
    fail "$got is more than $limit (x ${SLACK:-1}), or something did not arrive"
}

median_round() { sed -n 's/^round_ms=//p' | sort -n | sed -n 5p; } # of ten
all_s() { sed -n 's/^all_s=//p'; }

# Microseconds of the server's CPU for one point read, the best of three runs.
point_read_us() {
    local best=999999 i before done us
    for i in 1 2 3; do
        poll_until 20 free_cores || say "others use the cores"
        before=$(server_cpu_us)
        done=$("$LOAD" -c 16 -t 3 -w 0 -k 10000 "$SERVER_PORT" '/rest/points?id=eq.{}' | jq -r '.requests // .n // .count')
        us=$(bc <<<"scale=2; ($(server_cpu_us) - $before) / $done")
        [ "$(bc <<<"$us < $best")" = 0 ] || best=$us
    done
    echo "$best"
}

@test "15,000 idle streams: at most 2 KB each, and next to no CPU" {
    curl -s -o /dev/null "$SERVER_URL/rest/points?id=eq.1"
    hold 100
    release
    local rss cpu per
    rss=$(server_rss_kb)
    hold 15000
    per=$((($(server_rss_kb) - rss) * 1024 / 15000))
    cpu=$(server_cpu_us)
    read -r -t 15 <> <(:) || true # one round of heartbeats
    cpu=$(($(server_cpu_us) - cpu))
    say "$per bytes a stream; $((cpu / 1000)) ms of CPU in 15 s, heartbeats included"
    release
    [ "$per" -le 2048 ]
    [ "$cpu" -gt 0 ]
    at_most "$cpu" 750000 # 5 % of a core
}

@test "15,000 streams on as many channels" {
    curl -s -o /dev/null "$SERVER_URL/rest/points?id=eq.1"
    export CHANNELS=15000
    hold 15000
    say "$(sed -n 's/^open_s=/opened in s: /p' "$BATS_TEST_TMPDIR/held"), RSS $(server_rss_kb) kB"
    release
}

@test "point reads beside 15,000 idle streams cost what they cost without" {
    local without with
    without=$(point_read_us)
    hold 15000
    with=$(point_read_us)
    release
    say "$without us without, $with us with"
    at_most "$with" "$without * 1.1"
}

@test "one event reaches 10,000 subscribers within 100 ms" {
    measure median_round 100 100 10000 event 10
}

@test "one event reaches 10,000 subscribers of two workers within 100 ms" {
    SERVER_NAME=two server_start --listen-access open --notify-access open --log-access false --workers 2
    measure median_round 100 600 10000 event 10 # three busy threads on two cores: they wait for each other
    server_stop
    server_use main
}

@test "1,000 events a second to 1,000 subscribers are held" {
    measure all_s 10.5 500 1000 rate 1000 10
}

@test "opened and closed 10,000 times: no descriptor, no memory is left" {
    CHURN=10000 timeout 300 python3 "$BATS_TEST_DIRNAME/../e2e/listen_promises.py" churn
}

@test "a client that does not read for 100 s keeps its stream, and finds its marker" {
    timeout 300 python3 "$BATS_TEST_DIRNAME/../e2e/listen_promises.py" stuck_for_long
}
