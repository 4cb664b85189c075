# The service as an operator gets it: `make install` on a machine that systemd really runs (tests/lib/machine.sh), its unit,
# its user and its settings, with a PostgreSQL beside it.

bats_require_minimum_version 1.5.0
# shellcheck source=tests/lib/machine.sh
. "$BATS_TEST_DIRNAME/../lib/machine.sh"

conf=/etc/pghttpd/pghttpd.conf

setup_file() {
    export TOP WHY_NOT
    TOP=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
    WHY_NOT=$(machine_missing)
    [ "${MODE:-release}" = release ] || WHY_NOT="sanitizers need more than the unit allows"
    [ -z "$WHY_NOT" ] || return 0
    machine_start "$BATS_FILE_TMPDIR"
    machine make -s -C "$TOP" MODE=release install
    # only that it can be read here
    machine mkdir /run/units/pghttpd.service.d /run/cluster
    printf '[Service]\nStandardError=append:/run/log\n' | machine tee /run/units/pghttpd.service.d/log.conf >/dev/null
    machine systemctl daemon-reload
}

setup() {
    [ -z "$WHY_NOT" ] || skip "$WHY_NOT"
}

teardown_file() {
    [ -z "${MACHINE_PID:-}" ] || machine_stop
}

# What a failed test wants to be read.
teardown() {
    [ -z "$WHY_NOT" ] || return 0
    machine systemctl --no-pager -l status pghttpd || true
    machine tail -n 5 /run/log || true
}

show() { machine systemctl show -P "$1" pghttpd; }
code() { machine curl -s -m 5 -o /dev/null -w '%{http_code}' "$@"; }
is_code() { [ "$(code "${@:2}")" = "$1" ]; }
settings() { machine tee "$conf" >/dev/null; } # from stdin; as an editor does, which leaves owner and mode alone

# PostgreSQL inside: uri and the folder of its socket; a user of the service's name comes in by its socket as `peer`.
cluster() {
    machine test -e /run/cluster/uri || machine env TMPDIR=/run/cluster bash -c '
        chmod 755 /run/cluster
        . "$0/tests/lib/cluster.sh"
        cluster_start && cluster_psql -c "create role pghttpd login" -c "create table t as select 1 as id" -c "grant select on t to pghttpd" &&
            sed -i "1i local all pghttpd peer" "$CLUSTER_DIR/data/pg_hba.conf" && cluster_psql -c "select pg_reload_conf()" &&
            chmod 711 "$CLUSTER_DIR" "$CLUSTER_SOCKETS" && echo "$CLUSTER_SOCKETS" >/run/cluster/sockets && echo "$CLUSTER_PORT" >/run/cluster/port &&
            echo "$CLUSTER_URI" >/run/cluster/uri' "$TOP" </dev/null >"$BATS_FILE_TMPDIR/cluster" 2>&1 3>&- 4>&-
    uri=$(machine cat /run/cluster/uri)
}

@test "a user of its own, who may read the settings; others than root may not" {
    [ "$(machine stat -c '%U %G %a' "$conf")" = "root pghttpd 640" ]
    machine setpriv --reuid=pghttpd --regid=pghttpd --init-groups cat "$conf" >"$BATS_TEST_TMPDIR/a"
    cmp "$BATS_TEST_TMPDIR/a" "$TOP/config/pghttpd.conf"
    run ! machine setpriv --reuid=nobody --regid=nogroup --clear-groups cat "$conf"
    [ "$(machine id -g pghttpd)" != 0 ]
}

@test "as it is installed it starts, without a database, and says what is missing" {
    machine systemctl start pghttpd
    [ "$(show ActiveState)" = active ]
    [ "$(code 127.0.0.1:3001/live)" = 200 ]
    [ "$(code 127.0.0.1:3001/ready)" = 503 ]
    machine systemctl stop pghttpd
}

@test "with a database: SQL, REST and events, by all that the unit allows and no more" {
    cluster
    # a name to look up, unix sockets beside TCP, a thread for each core
    settings <<C
db-uri = "${uri/127.0.0.1/localhost}"
db-anon-role = "postgres"
sql-access = "open"
listen-access = "open"
notify-access = "open"
workers = auto
server-unix-socket = "/run/pghttpd/http.sock"
C
    machine systemctl start pghttpd
    poll_until 10 is_code 200 127.0.0.1:3001/ready
    local at=(--unix-socket /run/pghttpd/http.sock) pid
    [ "$(machine curl -s "${at[@]}" localhost/sql -d '{"query":"select 1 as one"}' | jq -c .rows)" = '[{"one":1}]' ]
    [ "$(machine curl -s "${at[@]}" localhost/rest/t)" = '[{"id":1}]' ]
    machine timeout 3 curl -sN "${at[@]}" localhost/listen/a >"$BATS_TEST_TMPDIR/stream" &
    poll_until 3 grep -q '^: ok' "$BATS_TEST_TMPDIR/stream"
    [ "$(code "${at[@]}" -d hello localhost/notify/a)" = 204 ]
    poll_until 3 grep -q hello "$BATS_TEST_TMPDIR/stream"
    wait
    machine curl -sf 127.0.0.1:3001/metrics | grep -E '^process_(open_fds|resident_memory_bytes|cpu_seconds_total) [1-9]' | wc -l | grep -qx 2
    pid=$(show MainPID)
    machine cat "/proc/$pid/status" >"$BATS_TEST_TMPDIR/status"
    [ "$(awk '$1 == "Uid:" {print $2}' "$BATS_TEST_TMPDIR/status")" = "$(machine id -u pghttpd)" ]
    grep -E '^(CapEff|CapBnd):\s0{16}$' "$BATS_TEST_TMPDIR/status" | wc -l | grep -qx 2
    grep -qE '^NoNewPrivs:\s1$' "$BATS_TEST_TMPDIR/status"
    grep -qE '^Seccomp:\s2$' "$BATS_TEST_TMPDIR/status"
    [ "$(show NRestarts)" = 0 ]
    machine systemctl stop pghttpd
}

@test "PostgreSQL may know it by its user: peer over the unix socket" {
    cluster
    settings <<C
db-uri = "postgresql:///postgres?host=$(machine cat /run/cluster/sockets)&port=$(machine cat /run/cluster/port)"
db-anon-role = "pghttpd"
C
    machine systemctl start pghttpd
    poll_until 10 is_code 200 127.0.0.1:3001/ready
    [ "$(machine curl -s 127.0.0.1:3000/rest/t)" = '[{"id":1}]' ]
    machine systemctl stop pghttpd
}

@test "reload takes new settings over, and keeps the old ones when they are wrong" {
    cluster
    printf 'db-uri = "%s"\nlog-level = "info"\n' "$uri" | settings
    machine systemctl start pghttpd
    local pid
    pid=$(show MainPID)
    printf 'db-uri = "%s"\nserver-trace-header = "X-Trace"\n' "$uri" | settings
    machine systemctl reload pghttpd
    poll_until 5 machine sh -c 'curl -sI -H "X-Trace: abc" 127.0.0.1:3000/ | grep -i "^x-trace: abc"'
    echo 'no-such-key = 1' | settings
    machine systemctl reload pghttpd
    poll_until 5 machine grep -q 'no-such-key' /run/log
    machine curl -sI -H "X-Trace: abc" 127.0.0.1:3000/ | grep -i "^x-trace: abc"
    [ "$(show ActiveState) $(show MainPID)" = "active $pid" ]
    machine systemctl stop pghttpd
}

@test "killed it comes back; stopped with a stream open it is gone within a second, in order" {
    cluster
    printf 'db-uri = "%s"\nsql-access = open\nlisten-access = open\n' "$uri" | settings
    machine systemctl start pghttpd
    machine systemctl kill -s KILL pghttpd
    poll_until 5 is_code 200 127.0.0.1:3001/ready
    [ "$(show NRestarts)" = 1 ]
    machine timeout 5 curl -sN 127.0.0.1:3000/listen/a >"$BATS_TEST_TMPDIR/stream" &
    poll_until 3 grep -q '^: ok' "$BATS_TEST_TMPDIR/stream"
    local from=${EPOCHREALTIME/./}
    machine systemctl stop pghttpd
    [ $((${EPOCHREALTIME/./} - from)) -lt 1000000 ]
    [ "$(show ActiveState) $(show Result)" = "inactive success" ]
    wait
}

@test "settings that are wrong: it does not try for ever" {
    echo 'no-such-key = 1' | settings
    run ! machine systemctl start pghttpd
    machine grep -q "$conf:1.*no-such-key" /run/log
    failed() { [ "$(show ActiveState)" = failed ]; }
    poll_until 15 failed
    machine systemctl reset-failed pghttpd
}

@test "installed again it leaves the settings alone" {
    echo 'server-port = 3005' | settings
    machine make -s -C "$TOP" MODE=release install
    [ "$(machine cat "$conf")" = 'server-port = 3005' ]
    [ "$(machine stat -c '%U %G %a' "$conf")" = "root pghttpd 640" ]
}
