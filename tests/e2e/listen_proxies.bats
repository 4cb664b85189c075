# Event streams through nginx, haproxy and Caddy, with the settings that docs/deploy.md gives, and through nginx with none at all.

load ../lib/e2e

setup_file() {
    e2e_start --listen-access open --notify-access open --listen-heartbeat 500ms
}

teardown_file() { e2e_stop; }

# Through the proxy on $port: the head, an event at once, heartbeats, and the server learns when the client leaves.
through() {
    curl -sN -m 10 -i "http://127.0.0.1:$port/listen/proxied" "$@" >"$BATS_TEST_TMPDIR/out" &
    local client=$! i
    poll_until 5 grep -q '^: ok' "$BATS_TEST_TMPDIR/out"
    for i in 1 2 3; do
        req POST /notify/proxied -d "event $i"
        poll_until 1 grep -q "event $i" "$BATS_TEST_TMPDIR/out"
    done
    poll_until 3 grep -q '^: heartbeat' "$BATS_TEST_TMPDIR/out"
    kill "$client"
    poll_until 3 nobody
}

nobody() { [ "$(curl -s "$SERVER_ADMIN/listen" | jq '[.[].channels[] | select(.name == "proxied") | .streams] | add')" = 0 ]; }

with_nginx() {
    command -v nginx >/dev/null || [ -x /usr/sbin/nginx ] || skip "nginx is not installed"
    PATH=$PATH:/usr/sbin
    local dir=$BATS_TEST_TMPDIR/nginx
    port=$(free_port)
    mkdir -p "$dir"
    printf '%s\n' "pid $dir/pid;" 'daemon off;' 'events {}' "error_log $dir/error;" 'http {' 'access_log off; gzip on; gzip_types text/event-stream;' \
        "client_body_temp_path $dir; proxy_temp_path $dir; fastcgi_temp_path $dir; uwsgi_temp_path $dir; scgi_temp_path $dir;" \
        "server { listen 127.0.0.1:$port; location / { proxy_pass $SERVER_URL; $1 } } }" >"$dir/conf"
    nginx -p "$dir" -c "$dir/conf" >/dev/null 2>&1 3>&- &
    proxy=$!
    poll_until 5 curl -s -o /dev/null "http://127.0.0.1:$port/"
}

@test "nginx with the settings of docs/deploy.md" {
    with_nginx 'proxy_http_version 1.1; proxy_set_header Connection ""; proxy_read_timeout 1h;'
    through
    kill "$proxy"
}

@test "nginx with no settings: HTTP/1.0 to us, its buffer off by our header" {
    with_nginx ''
    through
    through -H 'Accept-Encoding: identity'
    kill "$proxy"
}

@test "haproxy" {
    command -v haproxy >/dev/null || [ -x /usr/sbin/haproxy ] || skip "haproxy is not installed"
    PATH=$PATH:/usr/sbin
    port=$(free_port)
    printf '%s\n' 'defaults' ' mode http' ' timeout connect 5s' ' timeout client 60s' ' timeout server 60s' \
        "listen all" " bind 127.0.0.1:$port" " server one 127.0.0.1:$SERVER_PORT" >"$BATS_TEST_TMPDIR/cfg"
    haproxy -db -f "$BATS_TEST_TMPDIR/cfg" >/dev/null 2>&1 3>&- &
    proxy=$!
    poll_until 5 curl -s -o /dev/null "http://127.0.0.1:$port/"
    through
    kill "$proxy"
}

# Caddy with the lines of a site block.
with_caddy() {
    command -v caddy >/dev/null || skip "caddy is not installed"
    port=$(free_port)
    printf '%s\n' '{' 'admin off' 'auto_https off' '}' "http://127.0.0.1:$port {" "$@" '}' >"$BATS_TEST_TMPDIR/Caddyfile"
    HOME=$BATS_TEST_TMPDIR caddy run --adapter caddyfile --config "$BATS_TEST_TMPDIR/Caddyfile" >"$BATS_TEST_TMPDIR/caddy.log" 2>&1 3>&- &
    proxy=$!
    poll_until 10 curl -s -o /dev/null "http://127.0.0.1:$port/"
}

@test "Caddy with the one line of docs/deploy.md" {
    with_caddy "reverse_proxy localhost:$SERVER_PORT"
    through
    kill "$proxy"
}

@test "Caddy that compresses what it can" {
    with_caddy 'encode gzip' "reverse_proxy localhost:$SERVER_PORT"
    through
    through --compressed
    kill "$proxy"
}
