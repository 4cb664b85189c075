#!/usr/bin/env bats
# Clients that do not read keep nobody else from the database: a pool of two connections and three of them.

load ../lib/e2e

setup_file() {
    e2e_start --db-schemas api --db-anon-role web_anon --sql-access open --db-pool 2 <<'SQL'
create role web_anon;
create schema api;
create table api.wide as select id, repeat('x', 3000) as text from generate_series(1, 2000) id;
grant usage on schema api to web_anon;
grant select on api.wide to web_anon;
SQL
    SERVER_NAME=little server_start --db-schemas api --db-anon-role web_anon --sql-access open --db-pool 2 --response-memory-max 1MB --log-level warn
    server_use main
}
teardown_file() { e2e_stop; }

none_ahead() { curl -s "$SERVER_ADMIN/metrics" | grep -qx 'pghttpd_http_response_memory_bytes 0'; }

@test "what slow clients have not taken is read ahead of them" {
    python3 "$BATS_TEST_DIRNAME/slow_readers.py" ahead "$SERVER_PORT"
    poll_until 5 none_ahead
}

@test "what does not fit is broken off when its client takes nothing and others wait" {
    server_use little
    python3 "$BATS_TEST_DIRNAME/slow_readers.py" stuck "$SERVER_PORT"
    [ "$(server_log | grep -c "level=warn.*broken off")" = 2 ]
    none_ahead
}

@test "when nobody waits it is not" {
    server_use little
    python3 "$BATS_TEST_DIRNAME/slow_readers.py" alone "$SERVER_PORT"
}
