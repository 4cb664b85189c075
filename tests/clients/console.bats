# The console at / in Chromium, driven by Playwright (console.mjs); what the server says to it.

load ../lib/e2e

setup_file() {
    cluster_start || return 1
    cluster_psql -c 'create database demo' && cluster_psql -d demo -f config/demo.sql >/dev/null || return 1
    server_start --db-uri "$(cluster_uri demo demo demo)" --listen-buffer 64 --listen-buffer-max 64 "$SERVER_TOP/config/demo.conf"
}

teardown_file() {
    e2e_stop
}

# A test's own server does not outlive it, also when the test fails.
teardown() {
    [ -z "${OWN_SERVER:-}" ] || SERVER_NAME=own server_stop
}
own_server() {
    OWN_SERVER=1
    SERVER_NAME=own server_start --db-uri "$(cluster_uri demo demo demo)" "$@"
}

console() {
    [ -n "$(command -v chromium chromium-browser google-chrome)" ] || skip "no Chromium"
    timeout -k 5 200 node tests/clients/console.mjs "$@"
}

@test "parts that need no browser: statements, completion, copies, quantiles, requests" { node tests/clients/console_parts.mjs; }
@test "SQL: types, NULL, several results, the selection" { console sql; }
@test "SQL: completion of tables, columns, functions and keywords" { console complete; }
@test "SQL: the grid sorts, copies, opens cells, draws as one scrolls" { console grid; }
@test "SQL: errors at their place, one transaction" { console errors; }
@test "SQL: rows while it runs, Cancel in PostgreSQL, plans, history" { console running; }
@test "Browse: filter, order, embed, request, insert, edit, delete, call" { console browse; }
@test "Browse: what is not granted says what would allow it" { console denied; }
@test "Events: channels, NOTIFY, filter, pause, a restart, an overflow" { console events; }
@test "Server: charts, own queries, what /ready says across a restart" { console server; }

@test "a server with its defaults: what it does not allow is shown with the setting" {
    own_server --db-schemas api --admin-token 'an admin token'
    console closed
}

@test "the page: strict policy, no inline script or style, under 200 KB, asked for again by its ETag" {
    req GET / -H 'Accept: text/html'
    [ "$status" = 200 ]
    header content-security-policy | grep -q "default-src 'none'; script-src 'self'; style-src 'self'"
    run ! grep -qE "unsafe|data:|blob:" <<<"$(header content-security-policy)"
    run ! grep -qiE '<style|style=|<script>| on[a-z]+=' <<<"$body"
    [ "$(cat src/console/* | wc -c)" -lt 200000 ]
    local file etag
    for file in src/console/*; do
        req GET "/console/${file##*/}"
        [ "$status" = 200 ]
        cmp "$file" "$body_file"
        etag=$(header etag)
        req GET "/console/${file##*/}" -H "If-None-Match: $etag"
        [ "$status" = 304 ]
        [ ! -s "$body_file" ]
    done
    req GET /console/../conf
    [ "$status" = 404 ]
}

@test "what the server does is shown where all is open, or to who has the admin token" {
    req GET /console/metrics
    [ "$status" = 200 ]
    grep -q '^pghttpd_db_pool_size' "$body_file"
    req GET /console/metrics -H 'Origin: http://evil.example'
    [ "$status" = 403 ]
    req GET /console/metrics -H 'Host: evil.example'
    [ "$status" = 421 ]
    own_server --admin-token 'an admin token'
    req GET /console/metrics
    [ "$status" = 401 ]
    assert_json '.hint | test("admin-token")'
    req GET /console/ready -H 'Authorization: Bearer wrong'
    [ "$status" = 403 ]
    req GET /console/ready -H 'Authorization: Bearer an admin token'
    [ "$status" = 200 ]
    [ "$body" = ready ]
}

@test "console = off: there is no page" {
    own_server --console off --sql-access open
    req GET / -H 'Accept: text/html'
    [ "$(header content-type)" = 'application/json; charset=utf-8' ]
    for path in app.js config.json metrics ready; do
        req GET /console/$path
        [ "$status" = 404 ]
        assert_json '.hint == "console = on"'
    done
}
