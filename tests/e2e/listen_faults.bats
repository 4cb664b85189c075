# Event streams while things break (listen_faults.py).

load ../lib/e2e

setup_file() {
    e2e_start --listen-access open --notify-access open --listen-heartbeat 1s --workers "${WORKERS:-1}"
}

teardown_file() { e2e_stop; }

fault() { timeout 120 python3 "$BATS_TEST_DIRNAME/listen_faults.py" "$@"; }

own_server() {
    SERVER_NAME=$1
    shift
    server_start --listen-access open --notify-access open "$@"
}

@test "the LISTEN backend killed five times under load: one gap each, all else once and in order" {
    fault listen_killed
}

@test "all backends killed three times under load" {
    fault all_killed
}

@test "a client cut off 25 times by a proxy sees every event once, in order" {
    fault cut
}

@test "a LISTEN connection that went mute is found and replaced" {
    fault silent_link
}

@test "PostgreSQL restarted and away for 6 s: streams stay, new ones are held, one gap each" {
    fault restarted
}

@test "two servers on one database: ids of one are a clean gap on the other" {
    export PORT_A=$SERVER_PORT
    own_server two
    export PORT_B=$SERVER_PORT
    fault two_instances
    server_stop
    server_use main
}

@test "SIGTERM ends 100 streams cleanly, and the process in time" {
    BEFORE=$(sql "select count(*) from pg_stat_activity where application_name like 'pghttpd%'")
    export BEFORE
    own_server term
    fault term
    SERVER_NAME=term server_stop
    server_use main
}

@test "SIGTERM is not held up by a client that does not read" {
    own_server stuck
    fault term_stuck
    SERVER_NAME=stuck server_stop
    server_use main
}
