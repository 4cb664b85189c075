# shellcheck shell=bash
# pg_proxy.bash: pg_proxy.py for bats files (load it after e2e).
#
#   proxy_start LISTEN SERVER    a proxy on the port LISTEN before the one on SERVER; its pid is in $PROXY_PID
#   proxy_stop_all               ends all pids in $BATS_FILE_TMPDIR/proxies

proxy_start() {
    python3 "$E2E_LIB/pg_proxy.py" "$1" "$2" </dev/null >>"$CLUSTER_DIR/proxy.log" 2>&1 3>&- 4>&- &
    export PROXY_PID=$!
    echo $PROXY_PID >>"$BATS_FILE_TMPDIR/proxies"
    poll_until 5 nc -z 127.0.0.1 "$1"
}

proxy_stop_all() {
    local pid
    while read -r pid; do kill "$pid" 2>/dev/null || true; done <"$BATS_FILE_TMPDIR/proxies"
}
