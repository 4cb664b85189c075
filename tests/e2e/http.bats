# The HTTP side of the whole program: the page, errors found before an endpoint runs, web pages of other origins,
# compression, logs, the admin port, sockets, clients that leave.

load ../lib/e2e

setup_file() {
    e2e_start --sql-access open --listen-access open --notify-access open --db-pool 4 --log-level info \
        --db-anon-role web_anon --server-trace-header X-Correlation-Id --server-trusted-proxies 127.0.0.1 <<'SQL'
create role web_anon;
create table items (id int primary key, name text);
insert into items select i, 'item ' || i from generate_series(1, 2000) i;
create table written (n int);
grant select on items to web_anon;
SQL
}

teardown_file() {
    e2e_stop
}

@test "a browser gets the page, a program gets JSON" {
    req GET / -H 'Accept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8'
    [ "$status" = 200 ]
    [ "$(header content-type)" = "text/html; charset=utf-8" ]
    [[ "$(header content-security-policy)" == *"script-src 'self'"* ]]
    [[ "$body" == *"<title>pghttpd</title>"* ]]
    # every file it names is there
    local file
    for file in $(grep -oE '(src|href)="[^"]+"' <<<"$body" | cut -d'"' -f2); do
        req GET "/$file"
        [ "$status" = 200 ] || fail "$file"
        [ -s "$body_file" ]
    done
    req GET /
    [ "$(header content-type)" = "application/json; charset=utf-8" ]
    assert_json '.name == "pghttpd"'
    req HEAD /
    [ "$status" = 200 ]
    req GET /console/../../etc/passwd
    [ "$status" = 404 ]
    req GET /console/nothing
    [ "$status" = 404 ]
}

@test "unknown paths and methods" {
    req GET /nothing
    [ "$status" = 404 ]
    assert_json '.code == "PGH404" and has("message") and has("hint") and has("details")'
    [ "$(header proxy-status)" = "pghttpd; error=PGH404" ]
    req DELETE /sql
    [ "$status" = 405 ]
    [ "$(header allow)" = "GET, HEAD, POST, OPTIONS" ]
    req GET /notify/x
    [ "$status" = 405 ]
    req TRACE /rest/items
    [ "$status" = 405 ]
    assert_json '.code == "PGRST117"'
    req GET /-/sql?query=select+1
    [ "$status" = 200 ]
}

@test "a foreign page is refused before anything runs" {
    local before
    req POST /sql -H 'Origin: http://evil.example' -d '{"query":"insert into written values (1)"}'
    [ "$status" = 403 ]
    req POST /sql -H 'Sec-Fetch-Site: cross-site' -d '{"query":"insert into written values (1)"}'
    [ "$status" = 403 ]
    req GET '/sql?query=select+1' -H 'Sec-Fetch-Site: cross-site' -H 'Sec-Fetch-Mode: no-cors'
    [ "$status" = 403 ]
    req POST /sql -H 'Host: rebound.example' -d '{"query":"insert into written values (1)"}'
    [ "$status" = 421 ]
    req POST '/copy?query=copy+written+from+stdin' -H 'Origin: null' --data-binary $'1\n'
    [ "$status" = 403 ]
    req POST /notify/x -H 'Origin: http://evil.example' -d hello
    [ "$status" = 403 ]
    [ "$(sql 'select count(*) from written')" = 0 ]
    req POST /sql -H "Origin: $SERVER_URL" -d '{"query":"select 1"}'
    [ "$status" = 200 ]
}

@test "preflights" {
    req OPTIONS /sql
    [ "$status" = 200 ]
    local name
    for name in Neon-Connection-String Neon-Raw-Text-Output Neon-Array-Mode Neon-Batch-Isolation-Level Neon-Batch-Read-Only \
        Neon-Batch-Deferrable Pghttpd-Timeout Pghttpd-Max-Rows Authorization Content-Type; do
        [[ ", $(header access-control-allow-headers), " == *", $name,"* ]] || fail "$name: $(header access-control-allow-headers)"
    done
    req OPTIONS /rest/items -H 'Origin: http://app.example' -H 'Access-Control-Request-Method: PATCH' \
        -H 'Access-Control-Request-Headers: apikey, content-type'
    [ "$status" = 200 ]
    [ "$(header access-control-allow-origin)" = "*" ]
    [ "$(header access-control-allow-methods)" = "GET, POST, PATCH, PUT, DELETE, OPTIONS, HEAD" ]
    [ "$(header access-control-allow-headers)" = "Authorization, apikey, content-type, Accept, Accept-Language, Content-Language" ]
    [ "$(header access-control-max-age)" = 86400 ]
    # OPTIONS that is no preflight: the header once, a browser refuses two of them
    for name in /rest/items /rest/ /sql; do
        for origin in 'X-None: x' 'Origin: http://app.example'; do
            req OPTIONS "$name" -H "$origin"
            [ "$status" = 200 ]
            [ "$(grep -ci '^access-control-allow-origin:' "$headers")" -le 1 ] || fail "$name, $origin: $(cat "$headers")"
        done
    done
    req OPTIONS /rest/items
    [ "$(header access-control-allow-origin)" = "*" ]
    req GET /rest/items?limit=1 -H 'Origin: http://app.example'
    [ "$status" = 200 ]
    [ "$(header access-control-allow-origin)" = "*" ]
    [[ "$(header access-control-expose-headers)" == "Content-Encoding, Content-Location, Content-Range,"* ]]
}

@test "gzip both ways" {
    req GET /rest/items
    cp "$body_file" "$BATS_TEST_TMPDIR/plain"
    req GET /rest/items -H 'Accept-Encoding: gzip'
    [ "$(header content-encoding)" = gzip ]
    [[ "$(grep -i '^vary' "$headers")" == *[Aa]ccept-[Ee]ncoding* ]]
    gunzip <"$body_file" | cmp - "$BATS_TEST_TMPDIR/plain"
    echo '{"query":"select 42 as n"}' | gzip >"$BATS_TEST_TMPDIR/request.gz"
    req POST /sql -H 'Content-Encoding: gzip' --data-binary "@$BATS_TEST_TMPDIR/request.gz"
    assert_json '.rows[0].n == 42'
    head -c 200000000 /dev/zero | gzip -9 >"$BATS_TEST_TMPDIR/bomb.gz"
    local rss
    rss=$(server_rss_kb)
    req POST /sql -H 'Content-Encoding: gzip' --data-binary "@$BATS_TEST_TMPDIR/bomb.gz"
    [ "$status" = 413 ]
    [ $(($(server_rss_kb) - rss)) -lt 40000 ]
}

@test "log-format = json: every line is an object, with the parts of a traceparent" {
    SERVER_NAME=json server_start --sql-access open --log-format json --log-level info
    req GET "/sql?query=select+'%FF%22'" -H 'X-Request-Id: id-4713' -H 'User-Agent: "\' \
        -H 'traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
    logged() { server_log | grep -q '"id":"id-4713"'; }
    poll_until 5 logged
    server_log | jq -es 'length > 2 and all(.[]; (.ts | test("^2[0-9]{3}-.*Z$")) and .level and .msg)' >/dev/null
    server_log | jq -es 'map(select(.id == "id-4713")) | .[0] | .msg == "request" and .method == "GET" and .path == "/sql?query=***" and .route == "sql"
        and .status >= 200 and (.ms | type) == "number" and (.queue_ms, .db_ms) >= 0 and .addr == "127.0.0.1"
        and .trace_id == "0af7651916cd43dd8448eb211c80319c" and .span_id == "b7ad6b7169203331" and (.traceparent | startswith("00-0af"))' >/dev/null
    server_stop
}

@test "the access log: one line a request, no secrets" {
    req GET '/rest/items?limit=1&access_token=sesame' -H 'X-Request-Id: id-4711' -H 'X-Forwarded-For: 198.51.100.7' \
        -H 'traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01' -H 'X-Correlation-Id: corr-1'
    [ "$(header x-request-id)" = id-4711 ]
    [ "$(header x-correlation-id)" = corr-1 ]
    logged() { server_log | grep -q 'id=id-4711'; }
    poll_until 5 logged
    local line
    line=$(server_log | grep 'id=id-4711')
    [ "$(wc -l <<<"$line")" = 1 ]
    [[ "$line" == *'method=GET path="/rest/items?limit=1&access_token=***" route=rest status='* ]]
    [[ "$line" == *'addr=198.51.100.7'* ]]
    [[ "$line" == *'trace=00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'* ]]
    [[ "$line" =~ ms=[0-9]+\.[0-9]{3}\ queue_ms=[0-9]+\.[0-9]{3}\ db_ms= ]]
    req GET '/sql?query=select+%27hidden%27&params=[]' -H 'X-Request-Id: id-4712'
    logged() { server_log | grep -q 'id=id-4712'; }
    poll_until 5 logged
    [ "$(server_log | grep -c 'hidden\|sesame')" = 0 ]
    # nobody forges a line
    req GET $'/rest/items?x=%0Alevel=crit' -H 'X-Request-Id: a b'
    [ "$(server_log | grep -c '^level=crit')" = 0 ]
}

@test "the admin port" {
    ADMIN=1 req GET /live
    [ "$status" = 200 ]
    ADMIN=1 req GET /ready
    [ "$status" = 200 ]
    ADMIN=1 req GET /config
    [ "$status" = 200 ]
    [ "$(grep -c "$CLUSTER_PASSWORD" "$body_file")" = 0 ]
    ADMIN=1 req GET /listen
    assert_json 'type == "array" or type == "object"'
    ADMIN=1 req GET /schema_cache
    [ "$status" = 200 ]
    assert_json 'has("dbTables") and has("dbRelationships") and has("dbRoutines")'
    ADMIN=1 req GET /schema_cache?database=nothing
    [ "$status" = 404 ]
    ADMIN=1 req GET /sql
    [ "$status" = 404 ]
    ADMIN=1 req POST /live -d x
    [ "$status" = 405 ]
    ADMIN=1 req GET /metrics -H 'X-Forwarded-For: 198.51.100.7'
    [ "$status" = 401 ]
    req GET /metrics
    [ "$status" = 404 ]
}

@test "a web page whose name was made to mean this machine learns nothing from the admin port" {
    SERVER_NAME=named server_start --admin-token 'a token of the admin' --server-names inside.example
    for path in /metrics /config /schema_cache /listen; do
        ADMIN=1 req GET $path -H 'Host: evil.example'
        [ "$status" = 421 ] || fail "$path: $status"
        ADMIN=1 req GET $path -H "Host: localhost:$SERVER_ADMIN_PORT"
        [ "$status" = 200 ]
        ADMIN=1 req GET $path -H 'Host: inside.example'
        [ "$status" = 200 ]
        ADMIN=1 req GET $path -H 'Host: pod.monitoring' -H 'Authorization: Bearer a token of the admin'
        [ "$status" = 200 ]
    done
    ADMIN=1 req GET /live -H 'Host: any.example' # asked by probes of every kind
    [ "$status" = 200 ]
    server_stop
    server_use main
}

@test "metrics are in Prometheus's format and count" {
    local before after
    count_sql() { ADMIN=1 req GET /metrics && sed -n 's/^pghttpd_http_requests_total{route="sql",status="200"} //p' "$body_file"; }
    req POST /sql -d '{"query":"select 1"}'
    before=$(count_sql)
    req POST /sql -d '{"query":"select 1"}'
    req POST /sql -d '{"query":"select 1"}'
    after=$(count_sql)
    [ $((after - before)) = 2 ]
    ADMIN=1 req GET /metrics
    [ "$(header content-type)" = "text/plain; version=0.0.4; charset=utf-8" ]
    python3 tests/lib/exposition.py <"$body_file"
    local name
    for name in process_resident_memory_bytes pghttpd_loop_lag_seconds pghttpd_db_pool_waiting pgrst_db_pool_max \
        pgrst_schema_cache_loads_total pgrst_jwt_cache_hits_total pghttpd_streams pghttpd_http_connections; do
        grep -q "^$name" "$body_file" || fail "$name is missing"
    done
}

@test "a client that leaves frees its query" {
    running() { [ "$(sql "select count(*) from pg_stat_activity where query like '%pg_sleep(31)%' and state = 'active' and pid <> pg_backend_pid()")" = "$1" ]; }
    curl -s -m 40 "$SERVER_URL/sql" -d '{"query":"select pg_sleep(31)"}' 3>&- &
    local pid=$!
    poll_until 5 running 1
    kill $pid
    poll_until 4 running 0
}

@test "a client that sends no more, but reads, gets its answer however long it takes" {
    python3 - "$SERVER_PORT" <<'PY'
import socket, sys
for version in ('1.0', '1.1'):
    s = socket.create_connection(('127.0.0.1', int(sys.argv[1])))
    s.settimeout(20)
    s.sendall(f'GET /sql?query=select+7+as+n+from+pg_sleep(3) HTTP/{version}\r\nHost: localhost\r\n\r\n'.encode())
    s.shutdown(socket.SHUT_WR)
    answer = b''
    while True:
        piece = s.recv(65536)
        if not piece:
            break
        answer += piece
    assert b'HTTP/1.1 200 ' in answer and b'"rows":[{"n":7}]' in answer, (version, answer)
PY
}

@test "half a request and none at all cost nobody anything" {
    exec 7<>"/dev/tcp/127.0.0.1/$SERVER_PORT"
    printf 'POST /sql HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{"query' >&7
    req POST /sql -d '{"query":"select 1"}'
    [ "$status" = 200 ]
    exec 7>&-
}

@test "a proxy on the unix socket stays trusted across a reload" {
    local socket=$BATS_TEST_TMPDIR/http.sock conf=$BATS_TEST_TMPDIR/a.conf
    printf 'server-trusted-proxies = "127.0.0.1"\nserver-unix-socket = "%s"\nlog-level = info\n' "$socket" >"$conf"
    WAIT=live SERVER_NAME=unix server_start "$conf"
    python3 - "$socket" "$SERVER_PID" "$SERVER_DIR/log" <<'PY'
import os, signal, socket, sys, time
s = socket.socket(socket.AF_UNIX)
s.settimeout(10)
s.connect(sys.argv[1])
def ask(client):
    s.sendall(f'HEAD / HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: {client}\r\n\r\n'.encode())
    answer = b''
    while b'\r\n\r\n' not in answer:
        answer += s.recv(4096)
def said(text):
    end = time.monotonic() + 10
    while text not in open(sys.argv[3]).read():
        assert time.monotonic() < end, text
        time.sleep(0.02)
ask('203.0.113.1')
said('addr=203.0.113.1')
os.kill(int(sys.argv[2]), signal.SIGHUP)
said('settings taken over')
time.sleep(0.2)
ask('203.0.113.2')
said('addr=203.0.113.2')
PY
    server_stop
}

@test "a body that is too large, of any size, is answered 413, not a broken connection" {
    python3 - "$SERVER_PORT" <<'PY'
import socket, sys
for mb in (17, 60):
    s = socket.create_connection(('127.0.0.1', int(sys.argv[1])))
    s.settimeout(20)
    s.sendall(f'POST /sql HTTP/1.1\r\nHost: localhost\r\nContent-Length: {mb << 20}\r\n\r\n'.encode())
    for _ in range(mb):
        s.sendall(bytes(1 << 20))  # EPIPE or ECONNRESET where the server stops reading
    answer = b''
    while True:
        piece = s.recv(65536)
        if not piece:
            break
        answer += piece
    assert answer.startswith(b'HTTP/1.1 413 '), answer[:100]
PY
}

@test "a port in use is named" {
    run -1 "build/${MODE:-release}/pghttpd" --server-port "$SERVER_PORT" --admin-server-port off --db-uri "$CLUSTER_URI"
    [[ "$output" == *"$SERVER_PORT"* ]]
    [[ "$output" == *"in use"* ]]
}

@test "two workers share a port, unix sockets work" {
    SERVER_NAME=two server_start --sql-access open --workers 2 --db-pool 4
    local i
    for i in 1 2 3 4 5 6 7 8 9 10; do
        req POST /sql -d '{"query":"select '$i' as n"}'
        assert_json ".rows[0].n == $i"
    done
    ADMIN=1 req GET /metrics
    python3 tests/lib/exposition.py <"$body_file"
    grep -q 'pghttpd_loop_lag_seconds{worker="1"}' "$body_file"
    run -1 "build/${MODE:-release}/pghttpd" --server-port "$SERVER_PORT" --admin-server-port off --db-uri "$CLUSTER_URI"
    [[ "$output" == *"in use"* ]]
    SERVER_NAME=two server_stop
    local socket=$BATS_TEST_TMPDIR/api.sock
    WAIT=no SERVER_NAME=unix server_start --sql-access open --server-unix-socket "$socket" --server-unix-socket-mode 600
    answers() { curl -sf --unix-socket "$socket" http://localhost/sql -d '{"query":"select 5 as n"}' | jq -e '.rows[0].n == 5'; }
    poll_until 5 answers
    [ "$(stat -c %a "$socket")" = 600 ]
    server_stop
    SERVER_NAME=main server_use main
}
