# shellcheck shell=bash
# server.sh (sourced): starts build/$MODE/pghttpd for a test, waits until it is ready, stops it and judges how it ended.
#
#   . tests/lib/server.sh
#   server_start [--setting value ...]   on free ports; db-uri is CLUSTER_URI unless given; waits for /ready (10 s)
#                                        WAIT=live waits for /live only (a database that is away), WAIT=no not at all
#   server_stop_all                      all that were started (by any process that inherited SERVER_ROOT)
#   server_stop [SIGNAL]                 TERM by default; fails when the exit status is not 0, when it takes longer than
#                                        12 s, or when a sanitizer had something to say (its words are printed)
#   server_signal SIGNAL
#   server_log                           the whole of its standard error
#   server_rss_kb, server_cpu_us, server_fds    of the running process
#
# After server_start these are exported: SERVER_PID SERVER_PORT SERVER_ADMIN_PORT SERVER_URL (http://127.0.0.1:PORT)
# SERVER_ADMIN (the same of the admin port) SERVER_DIR (log, pid, exit status). Settings are the long options of the
# command line. The environment is cleaned of PG*, PGRST_* and PGHTTPD_*; what a test wants there it gives in
# SERVER_ENV=(NAME=value ...). SERVER_BIN overrides the program; SERVER_WRAP=(valgrind ...) is put in front of it.
#
# A second server beside the first: SERVER_NAME=b server_start ...; then the variables are those of b, and
# server_use a makes the other one current again (names are any word; the unnamed one is "main").

# shellcheck source=tests/lib/poll.sh
. "$(dirname "${BASH_SOURCE[0]}")/poll.sh"

SERVER_TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
export SERVER_TOP

# The environment of the server: nothing of the tests' own PostgreSQL settings may help it along.
server_env_() {
    local name
    for name in $(compgen -e); do
        case $name in PG* | CLUSTER_* | BATS_*) printf '%s\0%s\0' -u "$name" ;; esac
    done
}

server_spawn_() {
    local unset=() sanitize=$SERVER_DIR/sanitizer
    mapfile -d '' unset < <(server_env_)
    rm -f "$SERVER_DIR/status" "$SERVER_DIR/pid"
    {
        # shellcheck disable=SC2016 # expanded by the inner shell
        env "${unset[@]}" \
            ASAN_OPTIONS="exitcode=99:detect_leaks=1:detect_stack_use_after_return=1:log_path=$sanitize${ASAN_OPTIONS:+:$ASAN_OPTIONS}" \
            UBSAN_OPTIONS="print_stacktrace=1:halt_on_error=1:exitcode=99:log_path=$sanitize" \
            TSAN_OPTIONS="exitcode=99:second_deadlock_stack=1:log_path=$sanitize${TSAN_OPTIONS:+:$TSAN_OPTIONS}" \
            "${SERVER_ENV[@]}" sh -c 'echo $$ >"$0/pid"; exec "$@"' "$SERVER_DIR" "${SERVER_WRAP[@]}" \
            "${SERVER_BIN:-$SERVER_TOP/build/${MODE:-release}/pghttpd}" "$@" </dev/null
        echo $? >"$SERVER_DIR/status"
    } >>"$SERVER_DIR/out" 2>>"$SERVER_DIR/log" 3>&- 4>&- &
    poll_until 5 test -s "$SERVER_DIR/pid" || return 1
    SERVER_PID=$(cat "$SERVER_DIR/pid")
}

server_ended_() { [ -s "$SERVER_DIR/status" ]; }

server_answers_() {
    server_ended_ || curl -sf -m 2 -o /dev/null "$SERVER_ADMIN/$1"
}

server_given_() {
    local want=$1 arg
    shift
    for arg; do case $arg in "$want" | "$want"=*) return 0 ;; esac; done
    return 1
}

server_use() {
    local var
    SERVER_NAME=$1
    SERVER_DIR=$(cat "${SERVER_ROOT:?}/$1.dir") || return 1
    for var in SERVER_PID SERVER_PORT SERVER_ADMIN_PORT SERVER_URL SERVER_ADMIN; do
        export "$var=$(cat "$SERVER_DIR/$var")"
    done
}

server_start() {
    local args try var
    SERVER_NAME=${SERVER_NAME:-main}
    [ -n "${SERVER_ROOT:-}" ] || SERVER_ROOT=$(mktemp -d "${TMPDIR:-/tmp}/pghttpd-server.XXXXXX")
    export SERVER_ROOT SERVER_NAME
    for try in 1 2 3 4 5; do
        SERVER_DIR=$SERVER_ROOT/$SERVER_NAME.$try
        mkdir -p "$SERVER_DIR" && : >"$SERVER_DIR/log"
        SERVER_PORT=$(free_port) && SERVER_ADMIN_PORT=$(free_port) || return 1
        SERVER_URL=http://127.0.0.1:$SERVER_PORT SERVER_ADMIN=http://127.0.0.1:$SERVER_ADMIN_PORT
        export SERVER_DIR SERVER_PORT SERVER_ADMIN_PORT SERVER_URL SERVER_ADMIN SERVER_PID
        args=(--server-port "$SERVER_PORT" --admin-server-port "$SERVER_ADMIN_PORT")
        server_given_ --db-uri "$@" || args+=(--db-uri "${CLUSTER_URI:?cluster_start comes first}")
        server_spawn_ "${args[@]}" "$@" || return 1
        echo "$SERVER_DIR" >"$SERVER_ROOT/$SERVER_NAME.dir"
        for var in SERVER_PID SERVER_PORT SERVER_ADMIN_PORT SERVER_URL SERVER_ADMIN; do
            echo "${!var}" >"$SERVER_DIR/$var"
        done
        [ "${WAIT:-ready}" != no ] || return 0
        poll_until "${SERVER_DEADLINE:-10}" server_answers_ "${WAIT:-ready}" || break
        server_ended_ || return 0
        grep -qi 'in use' "$SERVER_DIR/log" || break # lost the race for a port: once more
    done
    echo "pghttpd did not get ready:" >&2
    tail -30 "$SERVER_DIR/log" >&2
    server_ended_ || kill -KILL "$SERVER_PID" 2>/dev/null
    server_sanitizer_ >&2
    return 1
}

# Prints what a sanitizer wrote; fails when there was something.
server_sanitizer_() {
    local file found=0
    for file in "$SERVER_DIR"/sanitizer*; do
        [ -s "$file" ] || continue
        # LeakSanitizer's note on suppressions is no finding
        grep -qE 'ERROR|WARNING: ThreadSanitizer|runtime error' "$file" || continue
        found=1
        head -120 "$file"
    done
    return $found
}

server_signal() { kill -"$1" "$SERVER_PID"; }
server_log() { cat "$SERVER_DIR/log"; }
server_rss_kb() { awk '/^VmRSS/ {print $2}' "/proc/$SERVER_PID/status"; }
server_fds() { find "/proc/$SERVER_PID/fd" -mindepth 1 | wc -l; }
server_cpu_us() { awk '{sub(/.*\) /, ""); print ($12 + $13) * 10000}' "/proc/$SERVER_PID/stat"; }

server_stop() {
    local status=0 name=${SERVER_NAME:-main}
    [ -n "${SERVER_DIR:-}" ] || return 0
    if ! server_ended_; then
        kill -"${1:-TERM}" "$SERVER_PID" 2>/dev/null
        if ! poll_until "${SERVER_STOP_DEADLINE:-12}" server_ended_; then
            echo "pghttpd did not stop in time; log:" >&2
            tail -20 "$SERVER_DIR/log" >&2
            kill -KILL "$SERVER_PID"
            poll_until 5 server_ended_
            status=1
        fi
    fi
    if [ "$(cat "$SERVER_DIR/status")" != 0 ] && [ "${1:-TERM}" != KILL ]; then
        echo "pghttpd exit status $(cat "$SERVER_DIR/status"); log:" >&2
        tail -20 "$SERVER_DIR/log" >&2
        status=1
    fi
    server_sanitizer_ >&2 || status=1
    rm -rf "${SERVER_ROOT:?}/$name".*
    unset SERVER_DIR SERVER_PID SERVER_NAME
    return $status
}

# Stops every server that was started here, also those another process of the test restarted.
server_stop_all() {
    local file status=0
    [ -n "${SERVER_ROOT:-}" ] || return 0
    for file in "$SERVER_ROOT"/*.dir; do
        [ -e "$file" ] || continue
        file=${file##*/}
        server_use "${file%.dir}" && server_stop || status=1
    done
    rm -rf "$SERVER_ROOT"
    unset SERVER_ROOT
    return $status
}
