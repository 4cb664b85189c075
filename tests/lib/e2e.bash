# shellcheck shell=bash
# e2e.bash: what the end-to-end tests (bats) share. In tests/e2e/FEATURE.bats:
#
#   load ../lib/e2e                # (bats looks for ../lib/e2e.bash)
#   setup_file() { e2e_start <<'SQL' --sql-access open     # SQL for the cluster on stdin, settings as arguments
#   create table t (id int primary key);
#   SQL
#   }
#   teardown_file() { e2e_stop; }
#   @test "a row comes back" {
#       req POST /sql -d '{"query":"select 1 as one"}'
#       [ "$status" = 200 ]
#       [ "$(header content-type)" = "application/json" ]
#       [ "$(jq -r '.rows[0].one' <<<"$body")" = 1 ]
#   }
#
# e2e_start makes a cluster (cluster.sh) and a server (server.sh) for the file; every function and variable of these
# two is there in the tests: cluster_psql, cluster_restart, server_stop, server_start, $SERVER_URL, $CLUSTER_URI ...
# A test that needs settings of its own starts a server of its own: SERVER_NAME=b server_start ...; server_stop.
# e2e_stop fails when the server ended badly or a sanitizer found something.
#
# req METHOD PATH [curl options]    sets status, headers (a file), body (a variable), body_file (the same, as bytes).
#                                   curl_status is curl's own exit status.
#                                   ADMIN=1 req ... asks the admin port. At most 30 s.
# header NAME                       prints the value of a response header of the last req; fails when there is none
# poll_until SECONDS COMMAND...     waits for a condition
# fail TEXT                         ends the test
# assert_json FILTER                fails, showing the body, unless jq -e FILTER holds for the last body
# sql 'SELECT ...'                  one value (unaligned, tuples only) as superuser
# one_trip COMMAND...               runs it; fails unless the server made one write and one read on its databases' sockets

bats_require_minimum_version 1.5.0

E2E_LIB=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=tests/lib/cluster.sh
. "$E2E_LIB/cluster.sh"
# shellcheck source=tests/lib/server.sh
. "$E2E_LIB/server.sh"

e2e_start() {
    cluster_start || return 1
    if [ ! -t 0 ]; then
        cluster_psql -f - >"$CLUSTER_DIR/setup.log" 2>&1 || { cat "$CLUSTER_DIR/setup.log" >&2; return 1; }
    fi
    server_start "$@"
}

e2e_stop() {
    local status=0
    server_stop_all || status=1
    cluster_stop
    return $status
}

fail() {
    echo "$*" >&2
    return 1
}

req() {
    local method=$1 path=$2 url=$SERVER_URL dir=${BATS_TEST_TMPDIR:?req is for tests}
    shift 2
    [ -z "${ADMIN:-}" ] || url=$SERVER_ADMIN
    headers=$dir/headers body_file=$dir/body
    : >"$headers" && : >"$body_file"
    set -- -s -m 30 -g --path-as-is -D "$headers" -o "$body_file" -w '%{http_code}' "$@"
    case $method in HEAD) set -- -I "$@" ;; *) set -- -X "$method" "$@" ;; esac
    curl_status=0
    # shellcheck disable=SC2034 # for the tests
    status=$(curl "$@" "$url$path") || curl_status=$?
    # shellcheck disable=SC2034 # for the tests
    body=$(tr -d '\0' <"$body_file")
}

header() {
    local line
    line=$(tr -d '\r' <"$headers" | grep -i "^$1:" | tail -1) && [ -n "$line" ] || return 1
    sed 's/^[^:]*:[ ]*//' <<<"$line"
}

assert_json() {
    # jq 1.6 is content with no input at all
    [ -s "$body_file" ] && jq -e "$@" >/dev/null <"$body_file" || { printf 'not so: %s\nstatus %s, body: %.2000s\n' "$*" "$status" "$body" >&2; return 1; }
}

sql() { cluster_psql -At -c "$1"; }

# traced CALLS COMMAND...: the server's system calls of these names, while the command runs, are in $trace.
traced() {
    local calls=$1 tracer
    shift
    command -v strace >/dev/null || skip 'no strace'
    trace=$BATS_TEST_TMPDIR/trace
    strace -f -p "$SERVER_PID" -e trace="$calls" -o "$trace" 2>"$trace.err" 3>&- &
    tracer=$!
    poll_until 5 grep -q attached "$trace.err" || { kill $tracer; skip 'may not trace'; }
    "$@"
    kill -INT $tracer
    wait $tracer || true
}

one_trip() {
    local http
    traced sendto,sendmsg,write,writev,recvfrom,recvmsg,read,accept4,accept "$@"
    http=$(sed -nE 's/.*accept4?\(.*= ([0-9]+)$/\1/p' "$trace" | head -1)
    [ -n "$http" ] || fail "no connection was accepted"
    # neither the client's socket, nor the log, nor what wakes the loop (8 bytes)
    grep -E '(sendto|sendmsg|write|writev)\(' "$trace" | grep -vE "\(($http|1|2)," | grep -vE '= (8|-1 .*)$' >"$trace.out" || true
    grep -E '(recvfrom|recvmsg|read)\(' "$trace" | grep -vE "\($http," | grep -vE '= (8|-1 .*)$' >"$trace.in" || true
    cat "$trace.out" "$trace.in"
    [ "$(wc -l <"$trace.out") $(wc -l <"$trace.in")" = '1 1' ] || fail "more than one write or read"
}
