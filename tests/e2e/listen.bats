# /listen and /notify as HTTP: heads, parameters, rights, refusals. (What streams promise: listen_promises.bats.)

load ../lib/e2e

SECRET=a-secret-of-at-least-thirty-two-characters

setup_file() {
    e2e_start --listen-access open --notify-access open --listen-channels 'orders*,stock,pgrst,grün' --listen-channels-max 5 \
        --server-cors-allowed-origins https://shop.example
    SERVER_NAME=jwt server_start --listen-access jwt --notify-access jwt --jwt-secret "$SECRET" --listen-cookie events \
        --listen-query-token true --server-cors-allowed-origins https://shop.example --listen-heartbeat 500ms
    SERVER_NAME=strict server_start --listen-access jwt --jwt-secret "$SECRET"
    server_use main
}

# pgbouncer runs as another user behind setpriv, so its own pid file says which process it is.
teardown() {
    local pid=$CLUSTER_DIR/bouncer/pid
    [ ! -s "$pid" ] || kill "$(cat "$pid")"
}

teardown_file() { e2e_stop; }

# A stream for so many seconds: its head in $headers, what it said in $body.
stream() {
    local seconds=$1 path=$2
    shift 2
    headers=$BATS_TEST_TMPDIR/headers
    status=$(curl -sN -m "$seconds" -D "$headers" -o "$BATS_TEST_TMPDIR/stream" -w '%{http_code}' "$@" "$SERVER_URL$path") || true
    body=$(tr -d '\0' <"$BATS_TEST_TMPDIR/stream")
}

b64() { base64 -w0 | tr '+/' '-_' | tr -d '='; }

token() {
    local head body
    head=$(printf '{"alg":"HS256","typ":"JWT"}' | b64)
    body=$(printf '%s' "$1" | b64)
    printf '%s.%s.%s' "$head" "$body" "$(printf '%s' "$head.$body" | openssl dgst -sha256 -hmac "$SECRET" -binary | b64)"
}

@test "the head and the first block of a stream" {
    stream 0.5 /listen/orders
    [ "$status" = 200 ]
    [ "$(header content-type)" = "text/event-stream; charset=utf-8" ]
    [ "$(header cache-control)" = "no-store, no-transform" ]
    [ "$(header x-accel-buffering)" = no ]
    [ "$(header transfer-encoding)" = chunked ]
    run ! header content-length
    run ! header content-encoding
    grep -qE '^id: [0-9a-f]{8}-[0-9]+$' <<<"$body"
    [ "$(sed 1d <<<"$body")" = $'retry: 2000\n: ok' ]
}

@test "no compression, whatever the client takes" {
    stream 0.5 /listen/orders -H 'Accept-Encoding: gzip, br'
    run ! header content-encoding
    grep -q '^: ok' <<<"$body"
}

@test "an event by /notify and by SQL, word for word" {
    curl -sN -m 5 "$SERVER_URL/listen/orders" >"$BATS_TEST_TMPDIR/out" &
    local client=$!
    poll_until 3 grep -q '^: ok' "$BATS_TEST_TMPDIR/out"
    req POST /notify/orders -d 'paid "now"'
    [ "$status" = 204 ]
    [ -z "$body" ]
    local pid
    pid=$(sql "select pg_backend_pid() from pg_notify('orders', '')")
    poll_until 3 grep -q '"payload":""' "$BATS_TEST_TMPDIR/out"
    kill "$client"
    grep -qE '^data: \{"channel":"orders","payload":"paid \\"now\\"","pid":[0-9]+\}$' "$BATS_TEST_TMPDIR/out"
    grep -qFx 'data: {"channel":"orders","payload":"","pid":'"$pid"'}' "$BATS_TEST_TMPDIR/out"
}

@test "several channels by parameter, repeated names count once" {
    stream 0.5 '/listen?channel=orders&channel=stock&channel=orders&channel=stock&channel=stock&channel=orders'
    [ "$status" = 200 ]
    stream 0.5 '/listen/gr%C3%BCn?channel=orders%2Fpaid'
    [ "$status" = 200 ]
}

@test "names that PostgreSQL would cut or refuse are 400" {
    local name
    for name in '' '%00' 'a%00b' '%ff' '%c3' '%zz' '%' a/b "$(printf 'x%.0s' {1..64})" "$(printf '%%C3%%BC%.0s' {1..32})"; do
        req GET "/listen/$name"
        [ "$status" = 400 ] || fail "$name: $status"
        assert_json '.code == "PGH400" and (.message | length > 10)'
    done
    req GET /listen
    [ "$status" = 400 ]
    req GET '/listen?channel='
    [ "$status" = 400 ]
}

@test "too many channels, and parameters that are none" {
    local query
    req GET "/listen?$(printf 'channel=orders_%d&' {1..6})"
    [ "$status" = 400 ]
    query=$(printf 'channel=orders_%d&' {1..1000})
    req GET "/listen?$query"
    [[ $status = 400 || $status = 414 ]]
    for query in max_buffer_size=-1 max_buffer_size=4097 max_buffer_size=x max_buffer_size= format=xml format=; do
        req GET "/listen/orders?$query"
        [ "$status" = 400 ] || fail "$query: $status"
    done
}

@test "parameters that do not exist are named; Last-Event-ID goes by every name that clients have" {
    local name
    req GET '/listen/orders?max_bufer_size=5'
    [ "$status" = 400 ]
    assert_json '.message == "there is no parameter \"max_bufer_size\""'
    req POST '/notify/orders?payload=x' -d x
    [ "$status" = 400 ]
    assert_json '.message == "there is no parameter \"payload\""'
    for name in last_event_id lastEventId lastEventID Last-Event-ID evs_last_event_id; do
        stream 0.5 "/listen/orders?$name=nonsense&_=17"
        grep -q '"reason":"unknown id"' <<<"$body" || fail "$name: $status $body"
    done
}

@test "a Last-Event-ID of 16 KB does no harm" {
    stream 0.5 /listen/orders -H "Last-Event-ID: $(printf 'x%.0s' {1..16384})"
    [[ $status = 200 || $status = 431 ]] || fail "$status"
    stream 0.5 /listen/orders -H "Last-Event-ID: $(printf 'x%.0s' {1..2000})"
    [ "$status" = 200 ]
    grep -q '"reason":"unknown id"' <<<"$body"
}

@test "HEAD answers like GET and ends; other methods are 405" {
    req HEAD /listen/orders
    [ "$status" = 200 ]
    [ "$(header content-type)" = "text/event-stream; charset=utf-8" ]
    [ "$curl_status" = 0 ]
    req HEAD /listen/secret
    [ "$status" = 401 ]
    local method
    for method in POST PUT DELETE PATCH; do
        req "$method" /listen/orders
        [ "$status" = 405 ] || fail "$method: $status"
        header allow | grep -q GET
    done
    req GET /notify/orders
    [ "$status" = 405 ]
    req GET /listen/orders -d body
    [ "$status" = 400 ]
}

@test "only the channels of listen-channels, and db-channel never" {
    local path
    for path in /listen/secret /listen/order /listen/stocks '/listen?channel=orders&channel=secret' /listen/pgrst; do
        req GET "$path"
        [ "$status" = 401 ] || fail "$path: $status"
    done
    req POST /notify/pgrst -d 'reload schema'
    [ "$status" = 401 ]
    req POST /notify/secret -d x
    [ "$status" = 401 ]
    req POST /notify/orders_new -d x
    [ "$status" = 204 ]
}

@test "/notify: 7,999 bytes are taken, more are 413; empty is fine; NUL and bad UTF-8 are 400" {
    head -c 7999 /dev/zero | tr '\0' x >"$BATS_TEST_TMPDIR/p"
    req POST /notify/orders --data-binary "@$BATS_TEST_TMPDIR/p"
    [ "$status" = 204 ]
    head -c 8000 /dev/zero | tr '\0' x >"$BATS_TEST_TMPDIR/p"
    req POST /notify/orders --data-binary "@$BATS_TEST_TMPDIR/p"
    [ "$status" = 413 ]
    assert_json '.code == "22023"'
    req POST /notify/orders -d ''
    [ "$status" = 204 ]
    printf 'a\0b' >"$BATS_TEST_TMPDIR/p"
    req POST /notify/orders --data-binary "@$BATS_TEST_TMPDIR/p"
    [ "$status" = 400 ]
    printf 'a\377b' >"$BATS_TEST_TMPDIR/p"
    req POST /notify/orders --data-binary "@$BATS_TEST_TMPDIR/p"
    [ "$status" = 400 ]
    req POST "/notify/$(printf 'x%.0s' {1..64})" -d x
    [ "$status" = 400 ]
    req POST /notify/ -d x
    [ "$status" = 400 ]
}

@test "web pages: CORS on streams, foreign pages may not notify" {
    stream 0.5 /listen/orders -H 'Origin: https://shop.example'
    [ "$status" = 200 ]
    [ "$(header access-control-allow-origin)" = https://shop.example ]
    req OPTIONS /listen/orders -H 'Origin: https://shop.example' -H 'Access-Control-Request-Method: GET' \
        -H 'Access-Control-Request-Headers: Last-Event-ID, Authorization'
    [ "$status" = 200 ] || [ "$status" = 204 ]
    header access-control-allow-headers | grep -qi last-event-id
    req POST /notify/orders -d x -H 'Origin: https://evil.example'
    [ "$status" = 403 ]
    req POST /notify/orders -d x -H 'Sec-Fetch-Site: cross-site'
    [ "$status" = 403 ]
    req GET /listen/orders -H 'Host: evil.example'
    [ "$status" = 421 ]
}

@test "jwt: 401 without a token or with a bad one, 403 for a channel it does not name" {
    server_use jwt
    local t
    t=$(token '{"channels":["orders","stock*"],"notify":"orders"}')
    req GET /listen/orders
    [ "$status" = 401 ]
    header www-authenticate | grep -qi '^bearer'
    req GET /listen/orders -H "Authorization: Bearer ${t}x"
    [ "$status" = 401 ]
    req GET /listen/other -H "Authorization: Bearer $t"
    [ "$status" = 403 ]
    req GET '/listen?channel=orders&channel=other' -H "Authorization: Bearer $t"
    [ "$status" = 403 ]
    req GET /listen/orders_too -H "Authorization: Bearer $t"
    [ "$status" = 403 ]
    stream 0.5 '/listen?channel=orders&channel=stock_7' -H "Authorization: Bearer $t"
    [ "$status" = 200 ]
    req GET /listen/orders -H "Authorization: Bearer $(token '{"role":"postgres"}')"
    [ "$status" = 403 ]
    req GET /listen/pgrst -H "Authorization: Bearer $(token '{"channels":["*"]}')"
    [ "$status" = 403 ]
}

@test "jwt: the right to notify is another" {
    server_use jwt
    req POST /notify/orders -d x -H "Authorization: Bearer $(token '{"channels":["*"],"notify":"orders"}')"
    [ "$status" = 204 ]
    req POST /notify/orders -d x -H "Authorization: Bearer $(token '{"channels":["*"]}')"
    [ "$status" = 403 ]
    req POST /notify/orders -d x
    [ "$status" = 401 ]
    req POST /notify/orders -d x -H "Cookie: events=$(token '{"notify":["*"]}')"
    [ "$status" = 401 ]
    req POST "/notify/orders?access_token=$(token '{"notify":["*"]}')" -d x
    [ "$status" = 400 ] # no such parameter here
}

@test "jwt: token by cookie and by parameter where switched on; never in the log" {
    server_use jwt
    local t
    t=$(token '{"channels":"orders"}')
    stream 0.5 /listen/orders -H "Cookie: a=b; events=$t; c=d"
    [ "$status" = 200 ]
    stream 0.5 "/listen/orders?access_token=$t"
    [ "$status" = 200 ]
    req GET /listen/orders -H "Cookie: event=$t"
    [ "$status" = 401 ]
    req GET "/listen/orders?access_token=${t}x"
    [ "$status" = 401 ]
    run ! grep -F "${t##*.}" "$SERVER_DIR/log"
    server_use strict
    req GET /listen/orders -H "Cookie: events=$t"
    [ "$status" = 401 ]
    req GET "/listen/orders?access_token=$t"
    [ "$status" = 401 ]
    run ! grep -F "${t##*.}" "$SERVER_DIR/log"
}

@test "jwt: another site's page cannot use the visitor's cookie" {
    server_use jwt
    local t
    t=$(token '{"channels":"orders"}')
    req GET /listen/orders -H "Cookie: events=$t" -H 'Origin: https://evil.example'
    [ "$status" = 403 ]
    req GET /listen/orders -H "Cookie: events=$t" -H 'Sec-Fetch-Site: cross-site'
    [ "$status" = 403 ]
    stream 0.5 /listen/orders -H "Cookie: events=$t" -H 'Origin: https://shop.example'
    [ "$status" = 200 ]
    [ "$(header access-control-allow-origin)" = https://shop.example ]
    [ "$(header access-control-allow-credentials)" = true ]
}

@test "jwt: the stream ends when the token does, and the same token is then 401" {
    server_use jwt
    local t began=$SECONDS
    t=$(token "{\"channels\":\"orders\",\"exp\":$(($(date +%s) + 2))}")
    curl -sN -m 10 "$SERVER_URL/listen/orders" -H "Authorization: Bearer $t" >"$BATS_TEST_TMPDIR/out"
    [ $((SECONDS - began)) -le 4 ]
    [ "$(tail -3 "$BATS_TEST_TMPDIR/out")" = $'event: expired\ndata: {}' ]
    req GET /listen/orders -H "Authorization: Bearer $t" # at once, though other requests are allowed 30 s of skew
    [ "$status" = 401 ]
    header www-authenticate | grep -q 'invalid_token'
    t=$(token "{\"channels\":\"orders\",\"exp\":$(($(date +%s) - 60))}")
    req GET /listen/orders -H "Authorization: Bearer $t"
    [ "$status" = 401 ]
}

# until the stream whose curl is $1 has ended
ended() { ! kill -0 "$1" 2>/dev/null; }

@test "jwt: a reload ends the streams that the new settings do not allow, and no others" {
    local conf=$BATS_TEST_TMPDIR/a.conf out=$BATS_TEST_TMPDIR name
    printf 'listen-access = jwt\nlisten-channels = "orders*,stock"\njwt-secret = "%s"\n' "$SECRET" >"$conf"
    SERVER_NAME=reload server_start "$conf"
    local orders stock
    orders=$(token '{"channels":["orders","stock"]}')
    curl -sN -m 25 "$SERVER_URL/listen/orders" -H "Authorization: Bearer $orders" >"$out/orders" 3>&- &
    local orders_pid=$!
    curl -sN -m 25 "$SERVER_URL/listen/stock" -H "Authorization: Bearer $orders" >"$out/stock" 3>&- &
    local stock_pid=$!
    for name in orders stock; do poll_until 5 grep -q '^: ok' "$out/$name"; done
    # nothing that concerns them
    printf 'db-max-rows = 5\n' >>"$conf"
    server_signal HUP
    poll_until 5 sh -c "curl -s $SERVER_ADMIN/config | grep -q 'db-max-rows = 5'"
    # one of the channels is closed: its stream ends, the other goes on
    sed -i 's/^listen-channels.*/listen-channels = "orders*"/' "$conf"
    server_signal HUP
    poll_until 5 ended $stock_pid
    [ "$(tail -3 "$out/stock")" = $'event: expired\ndata: {"reason":"settings"}' ]
    kill -0 $orders_pid
    sql "notify orders, 'still there'"
    poll_until 5 grep -q 'still there' "$out/orders"
    # the key is another one: a stream whose token has no end ends
    sed -i 's/^jwt-secret.*/jwt-secret = "another-secret-of-thirty-two-bytes!!"/' "$conf"
    server_signal HUP
    poll_until 5 ended $orders_pid
    [ "$(tail -3 "$out/orders")" = $'event: expired\ndata: {"reason":"settings"}' ]
    req GET /listen/orders -H "Authorization: Bearer $orders"
    [ "$status" = 401 ]
    ADMIN=1 req GET /metrics
    grep -qx 'pghttpd_streams_revoked_total 2' <<<"$body"
    server_stop
}

@test "off by default" {
    SERVER_NAME=off server_start
    req GET /listen/orders
    [ "$status" = 404 ]
    req POST /notify/orders -d x
    [ "$status" = 404 ]
    server_stop
    server_use main
}

@test "another database has a hub of its own; an unknown one is 404" {
    sql 'create database other'
    printf 'database other {\n db-uri = "%s"\n}\n' "$(cluster_uri postgres "$CLUSTER_PASSWORD" other)" >"$BATS_TEST_TMPDIR/two.conf"
    SERVER_NAME=two server_start "$BATS_TEST_TMPDIR/two.conf" --listen-access open --notify-access open
    curl -sN -m 5 "$SERVER_URL/db/other/listen/orders" >"$BATS_TEST_TMPDIR/other" &
    local clients=($!)
    curl -sN -m 5 "$SERVER_URL/listen/orders" >"$BATS_TEST_TMPDIR/main" &
    clients+=($!)
    poll_until 4 grep -q '^: ok' "$BATS_TEST_TMPDIR/other"
    poll_until 4 grep -q '^: ok' "$BATS_TEST_TMPDIR/main"
    req POST /db/other/notify/orders -d in-other
    [ "$status" = 204 ]
    req POST /notify/orders -d in-main
    poll_until 3 grep -q in-other "$BATS_TEST_TMPDIR/other"
    poll_until 3 grep -q in-main "$BATS_TEST_TMPDIR/main"
    kill "${clients[@]}"
    run ! grep -q in-main "$BATS_TEST_TMPDIR/other"
    run ! grep -q in-other "$BATS_TEST_TMPDIR/main"
    run ! diff <(grep -m1 -o '^id: [0-9a-f]*' "$BATS_TEST_TMPDIR/main") <(grep -m1 -o '^id: [0-9a-f]*' "$BATS_TEST_TMPDIR/other")
    req GET /db/nothere/listen/orders
    [ "$status" = 404 ]
    server_stop
    server_use main
}

@test "the limit of streams: 503 with Retry-After, and room again when one leaves" {
    SERVER_NAME=few server_start --listen-access open --server-streams-max 3
    local i clients=()
    for i in 1 2 3; do
        curl -sN -m 20 "$SERVER_URL/listen/few" >"$BATS_TEST_TMPDIR/few$i" &
        clients+=($!)
        poll_until 3 grep -q '^: ok' "$BATS_TEST_TMPDIR/few$i"
    done
    req GET /listen/few
    [ "$status" = 503 ]
    [ "$(header retry-after)" -ge 1 ]
    kill "${clients[0]}"
    # shellcheck disable=SC2016
    poll_until 3 bash -c '[ "$(curl -sN -m 0.5 -o /dev/null -w "%{http_code}" "$SERVER_URL/listen/few")" = 200 ]'
    kill "${clients[@]:1}"
    server_stop
    server_use main
}

@test "what the admin port says about events" {
    curl -sN -m 10 "$SERVER_URL/listen?channel=orders_a&channel=orders_b" >"$BATS_TEST_TMPDIR/out" &
    local client=$!
    poll_until 3 grep -q '^: ok' "$BATS_TEST_TMPDIR/out"
    req POST /notify/orders_a -d x
    ADMIN=1 req GET /listen
    [ "$status" = 200 ]
    assert_json '.[] | select(.database == "") | .state == "up" and ([.channels[] | select(.name == "orders_a")][0] |
        .streams == 1 and .messages == 1 and .state == "listening" and .slowest_lag == 0)'
    ADMIN=1 req GET /metrics
    local name
    for name in up losses_total channels readers history_bytes messages_total payload_bytes_total delivered_total \
        dropped_total gaps_total; do
        grep -q "^pghttpd_listen_$name{" <<<"$body" || fail "no $name"
    done
    kill "$client"
}

@test "a pooler in transaction mode is found out" {
    command -v pgbouncer >/dev/null || command -v /usr/sbin/pgbouncer >/dev/null || skip "pgbouncer is not installed"
    local port dir=$CLUSTER_DIR/bouncer
    port=$(free_port)
    cluster_as_ mkdir "$dir"
    printf '%s\n' '[databases]' "* = host=127.0.0.1 port=$CLUSTER_PORT user=postgres password=$CLUSTER_PASSWORD" '[pgbouncer]' \
        'listen_addr=127.0.0.1' "listen_port=$port" 'auth_type=any' 'pool_mode=transaction' 'unix_socket_dir=' \
        'ignore_startup_parameters=extra_float_digits,options' "logfile=$dir/log" "pidfile=$dir/pid" |
        cluster_as_ sh -c "cat >'$dir/ini'"
    PATH=$PATH:/usr/sbin
    cluster_as_ pgbouncer "$dir/ini" >/dev/null 2>&1 3>&- &
    poll_until 5 psql -h 127.0.0.1 -p "$port" -U postgres -Atqc 'select 1' postgres
    SERVER_NAME=deaf WAIT=live server_start --listen-access open --db-channel-enabled false \
        --listen-uri "postgresql://postgres:$CLUSTER_PASSWORD@127.0.0.1:$port/postgres"
    curl -sN -m 1 "$SERVER_URL/listen/orders" >/dev/null || true
    # shellcheck disable=SC2016
    poll_until 10 bash -c 'curl -s "$SERVER_ADMIN/ready" | grep -q "^ready, degraded: .*pooler"'
    ADMIN=1 req GET /listen
    assert_json '.[0].state == "deaf"'
    grep -q 'pooler' "$SERVER_DIR/log"
    server_stop
    server_use main
}
