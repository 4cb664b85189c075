#!/bin/bash
# cluster.sh: a private PostgreSQL cluster for a test, for the bench and for the demo.
#
#   . tests/lib/cluster.sh
#   cluster_start [postgres options...]    e.g. cluster_start -c max_connections=20
#   cluster_psql [psql options...]         as superuser over the unix socket; stops at an error
#   cluster_restart [postgres options...]  same port and data
#   cluster_stop                           stops PostgreSQL and removes the data
#   cluster_halt                           stops PostgreSQL, keeps the data (cluster_restart goes on)
# or, to run one command with a cluster around it:
#   tests/lib/cluster.sh run COMMAND...
#
# After cluster_start these are exported:
#   CLUSTER_DIR (all its files; postgres.log is in it), CLUSTER_PID, CLUSTER_PORT, CLUSTER_PASSWORD (postgres'),
#   CLUSTER_URI   postgresql://postgres:PASSWORD@127.0.0.1:PORT/postgres
#   PGHOST (CLUSTER_SOCKETS, the unix socket's directory), PGPORT, PGUSER, PGDATABASE: plain psql just works
#   CLUSTER_BIN   the directory of initdb, postgres, pgbench ...
# cluster_uri USER PASSWORD [DATABASE] prints the URI of another login.
#
# Over TCP every login needs its password (scram-sha-256); over the unix socket (mode 0700 directory of
# the cluster's own user, opened to root) the superuser comes in by trust and all others need theirs.
# As root the cluster runs as user postgres (or nobody). fsync is off: the data lives as long as the test.
# CLUSTER_KEEP=DIR puts the data into DIR and cluster_stop keeps it (the demo does so).
# PG_BIN chooses among several installed versions (default: the newest).

# shellcheck source=tests/lib/poll.sh
. "$(dirname "${BASH_SOURCE[0]}")/poll.sh"

cluster_bin_() {
    [ -z "${PG_BIN:-}" ] || { echo "$PG_BIN"; return; }
    local dir
    dir=$(find /usr/lib/postgresql -path '*/bin/initdb' 2>/dev/null | sort -V | tail -1)
    [ -n "$dir" ] || dir=$(command -v initdb) || { echo "initdb not found: install postgresql" >&2; return 1; }
    dirname "$dir"
}

# Runs a command as the cluster's user; never as root. In a subshell it replaces that (so $! is the command).
cluster_as_() {
    if [ "$(id -u)" = 0 ]; then
        local user=postgres
        id "$user" >/dev/null 2>&1 || user=nobody
        set -- setpriv --reuid="$user" --regid="$(id -gn "$user")" --init-groups "$@"
    fi
    if [ "$BASH_SUBSHELL" -gt "${CLUSTER_SUBSHELL_:-$BASH_SUBSHELL}" ]; then exec "$@"; else "$@"; fi
}

cluster_initdb_() {
    local hba=$CLUSTER_DIR/data/pg_hba.conf
    [ "$(id -u)" != 0 ] || chown "$(cluster_as_ id -un):" "$CLUSTER_DIR"
    printf %s "$CLUSTER_PASSWORD" | cluster_as_ sh -c "umask 077; cat > '$CLUSTER_DIR/password'"
    (cd "$CLUSTER_DIR" && cluster_as_ env LC_ALL=C "$CLUSTER_BIN/initdb" -D data -U postgres -N -E UTF8 --no-locale \
        --pwfile=password --auth=scram-sha-256) >"$CLUSTER_DIR/initdb.log" 2>&1 ||
        { cat "$CLUSTER_DIR/initdb.log" >&2; return 1; }
    printf '%s\n' 'local all postgres trust' 'local all all scram-sha-256' 'host all all 127.0.0.1/32 scram-sha-256' \
        'host all all ::1/128 scram-sha-256' 'local replication postgres trust' |
        cluster_as_ sh -c "cat > '$hba'"
    printf '%s\n' "listen_addresses = '127.0.0.1'" 'fsync = off' \
        'full_page_writes = off' 'synchronous_commit = off' "timezone = 'UTC'" 'log_line_prefix = '"'%m [%p] %q%u@%d '" \
        'max_connections = 100' 'logging_collector = off' |
        cluster_as_ sh -c "cat >> '$CLUSTER_DIR/data/postgresql.conf'"
}

# Its own socket answers (another server may stand on the port), or it has given up.
cluster_up_() {
    "$CLUSTER_BIN/pg_isready" -q -h "$CLUSTER_SOCKETS" -p "$CLUSTER_PORT" -t 1 || gone "$CLUSTER_PID"
}

# Starts postgres on CLUSTER_PORT; 2 when the port was taken meanwhile.
cluster_launch_() {
    local log=$CLUSTER_DIR/postgres.log
    : >>"$log"
    local from
    from=$(wc -c <"$log")
    # A session of its own: a Ctrl-C at the terminal is for us, and we stop it in order.
    local CLUSTER_SUBSHELL_=$BASH_SUBSHELL
    (cd "$CLUSTER_DIR" && cluster_as_ setsid "$CLUSTER_BIN/postgres" -D "$CLUSTER_DIR/data" -p "$CLUSTER_PORT" -k "$CLUSTER_SOCKETS" "$@") \
        </dev/null >>"$log" 2>&1 3>&- 4>&- 9>&- &
    export CLUSTER_PID=$!
    poll_until 30 cluster_up_
    if ! gone "$CLUSTER_PID" && "$CLUSTER_BIN/pg_isready" -q -h "$CLUSTER_SOCKETS" -p "$CLUSTER_PORT" -t 3; then
        return 0
    fi
    tail -c +$((from + 1)) "$log" | grep -q 'Address already in use' && return 2
    tail -c +$((from + 1)) "$log" | tail -20 >&2
    return 1
}

cluster_uri() {
    echo "postgresql://$1:$2@127.0.0.1:$CLUSTER_PORT/${3:-postgres}"
}

cluster_start() {
    CLUSTER_BIN=$(cluster_bin_) || return 1
    CLUSTER_DIR=${CLUSTER_KEEP:-$(mktemp -d "${TMPDIR:-/tmp}/pghttpd-pg.XXXXXX")}
    CLUSTER_PASSWORD=${CLUSTER_PASSWORD:-top-secret}
    export CLUSTER_BIN CLUSTER_DIR CLUSTER_PASSWORD
    if [ ! -s "$CLUSTER_DIR/data/PG_VERSION" ]; then
        mkdir -p "$CLUSTER_DIR" && chmod 0700 "$CLUSTER_DIR" && cluster_initdb_ || return 1
    fi
    export CLUSTER_SOCKETS=$CLUSTER_DIR
    if [ ${#CLUSTER_DIR} -gt 80 ]; then # a socket's path ends at 107 bytes
        CLUSTER_SOCKETS=$(mktemp -d "${TMPDIR:-/tmp}/pghttpd-pg.XXXXXX") || return 1
        [ "$(id -u)" != 0 ] || chown "$(cluster_as_ id -un):" "$CLUSTER_SOCKETS"
    fi
    local rc
    for _ in 1 2 3 4 5; do
        CLUSTER_PORT=${CLUSTER_FIXED_PORT:-$(free_port)} || return 1
        export CLUSTER_PORT
        rc=0
        cluster_launch_ "$@" || rc=$?
        [ $rc = 2 ] || break
    done
    [ $rc = 0 ] || return 1
    CLUSTER_URI=$(cluster_uri postgres "$CLUSTER_PASSWORD")
    export CLUSTER_URI PGHOST=$CLUSTER_SOCKETS PGPORT=$CLUSTER_PORT PGUSER=postgres PGDATABASE=postgres
}

cluster_psql() {
    "$CLUSTER_BIN/psql" -X -q -v ON_ERROR_STOP=1 -h "$CLUSTER_SOCKETS" -p "$CLUSTER_PORT" -U postgres "$@"
}

# Fast shutdown (SIGINT: backends are ended), after 15 s an immediate one.
cluster_halt() {
    [ -n "${CLUSTER_DIR:-}" ] || return 0
    # another process of the test may have restarted it
    CLUSTER_PID=$(head -1 "$CLUSTER_DIR/data/postmaster.pid" 2>/dev/null) || { unset CLUSTER_PID; return 0; }
    kill -INT "$CLUSTER_PID" 2>/dev/null
    poll_until 15 gone "$CLUSTER_PID" || { kill -QUIT "$CLUSTER_PID" && poll_until 5 gone "$CLUSTER_PID"; }
    unset CLUSTER_PID
}

cluster_restart() {
    cluster_halt && cluster_launch_ "$@"
}

cluster_stop() {
    cluster_halt
    [ -n "${CLUSTER_KEEP:-}" ] || [ -z "${CLUSTER_DIR:-}" ] || rm -rf "$CLUSTER_DIR"
    [ "${CLUSTER_SOCKETS:-}" = "${CLUSTER_DIR:-}" ] || rm -rf "$CLUSTER_SOCKETS"
    unset CLUSTER_DIR CLUSTER_SOCKETS CLUSTER_PORT CLUSTER_URI PGHOST PGPORT PGUSER PGDATABASE
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
    [ "${1:-}" = run ] && shift && [ $# -gt 0 ] || { echo "usage: $0 run COMMAND..." >&2; exit 2; }
    trap cluster_stop EXIT
    trap 'exit 130' INT TERM
    cluster_start || exit 1
    "$@"
    exit $?
fi
