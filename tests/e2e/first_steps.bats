# What a new user meets first: each mistake is named where it is seen, with what to do, at the default log-level.

load ../lib/e2e

setup_file() {
    cluster_start || return 1
    cluster_psql -c "create role app login password 'app'" -c 'create role web_anon nologin' -c 'create role lonely nologin' -c 'grant web_anon to app' \
        -c 'create schema api' -c 'create table api.things (id int primary key, name text)' -c 'create table api.secrets (id int)' \
        -c 'grant usage on schema api to web_anon' -c 'grant select, insert on api.things to web_anon' \
        -c 'create function api.add(a int, b int) returns int language sql return a + b' || return 1
}

teardown_file() {
    e2e_stop
}

teardown() {
    [ -z "${SERVER_DIR:-}" ] || SERVER_NAME=first server_stop
}

# A server with these settings, ready or not.
given() { SERVER_NAME=first WAIT=${WAIT:-ready} server_start --db-uri "${URI:-$(cluster_uri app app)}" "$@"; }
said() { server_log | grep -q "$1"; }
json() { req POST "$1" -H 'Content-Type: application/json' -d "$2"; }

@test "it says where it listens" {
    given
    said 'msg="listening on http://127.0.0.1:'
    said 'msg="admin server on http://127.0.0.1:'
}

@test "no database, a wrong password, no such database: in the log, at /ready, in the answer" {
    URI=postgresql://app:app@127.0.0.1:$(free_port)/app WAIT=live given --sql-access open
    poll_until 5 said 'level=error msg="database .* is away: .*Connection refused'
    ADMIN=1 req GET /ready
    [ "$status" = 503 ]
    grep -q 'Connection refused' <<<"$body"
    json /sql '{"query":"select 1"}'
    [ "$status" = 503 ]
    assert_json '.message | test("Connection refused")'
    server_stop
    URI=$(cluster_uri app wrong) WAIT=live given
    poll_until 5 said 'level=error .*password authentication failed for user'
    ADMIN=1 req GET /ready
    grep -q 'password authentication failed' <<<"$body"
    server_stop
    URI=$(cluster_uri app app nothing) WAIT=live given
    poll_until 5 said 'level=error .*database \\"nothing\\" does not exist'
}

@test "a role that is missing, or not granted to the login" {
    given --db-schemas api --db-anon-role nobody_here
    req GET /rest/things
    [ "$status" = 401 ]
    assert_json '.message == "role \"nobody_here\" does not exist" and (.hint | test("db-anon-role.*CREATE ROLE.*GRANT"))'
    server_stop
    given --db-schemas api --db-anon-role lonely
    req GET /rest/things
    [ "$status" = 401 ]
    assert_json '.message == "permission denied to set role \"lonely\"" and (.hint | test("GRANT this role TO the login"))'
}

@test "a schema that is missing" {
    given --db-schemas nowhere --db-anon-role web_anon --log-level warn
    poll_until 5 said 'db-schemas: .* is found in the schema \\"nowhere\\": does it exist?'
    req GET /rest/things
    [ "$status" = 404 ]
    assert_json ".hint == \"No table or view is known in the schema 'nowhere': does it exist?\""
}

@test "no grant, a wrong table, a wrong function" {
    given --db-schemas api --db-anon-role web_anon
    req GET /rest/secrets
    [ "$status" = 401 ]
    assert_json '.code == "42501" and .message == "permission denied for table secrets"'
    req GET /rest/thing
    assert_json ".hint == \"Perhaps you meant the table 'api.things'\""
    json /rest/rpc/add '{"a":1,"c":2}'
    assert_json '.hint | test("api.add")'
}

@test "curl -d without a Content-Type" {
    given --db-schemas api --db-anon-role web_anon --sql-access open
    req POST /rest/things -d '{"id":1,"name":"x"}'
    [ "$status" = 400 ]
    assert_json '.hint | test("Content-Type: application/json")'
    req POST /rest/rpc/add -d '{"a":1,"b":2}'
    [ "$status" = 404 ]
    assert_json '.hint | test("Content-Type: application/json")'
    req POST /rest/things -H 'Content-Type: text/html' -d x
    assert_json '.message == "Content-Type not acceptable: text/html"'
    req POST /sql -d 'select 1'
    [ "$status" = 400 ]
    assert_json '.code == "PGH100" and (.hint | test("Content-Type: application/sql"))'
}

@test "a port in use, a setting misspelled, a value that is none" {
    given
    run "$SERVER_TOP/build/${MODE:-release}/pghttpd" --server-port "$SERVER_PORT" --admin-server-port off
    [ "$status" = 1 ]
    grep -q "cannot listen on 127.0.0.1 port $SERVER_PORT: the port is in use by another program" <<<"$output"
    echo 'sever-port = 1' >"$BATS_TEST_TMPDIR/x.conf"
    run "$SERVER_TOP/build/${MODE:-release}/pghttpd" "$BATS_TEST_TMPDIR/x.conf"
    [ "$status" = 1 ]
    grep -q 'x.conf:1: sever-port: no such setting; did you mean server-port?' <<<"$output"
    echo 'server-port = many' >"$BATS_TEST_TMPDIR/x.conf"
    run "$SERVER_TOP/build/${MODE:-release}/pghttpd" "$BATS_TEST_TMPDIR/x.conf"
    [ "$status" = 1 ]
    grep -q 'x.conf:1: server-port' <<<"$output"
}
