#!/usr/bin/env bats
# Clients whose network is gone, in a network namespace of their own: nothing says that they left.

load ../lib/e2e

setup_file() {
    export NS=pghttpd$$
    ip netns add "$NS" 2>/dev/null || skip "no network namespaces here"
    ip link add "v$$" type veth peer name "w$$" netns "$NS"
    ip addr add 10.213.7.1/30 dev "v$$"
    ip link set "v$$" up
    ip -n "$NS" addr add 10.213.7.2/30 dev "w$$"
    ip -n "$NS" link set "w$$" up
    export LINK=v$$
    e2e_start --listen-access open --server-host 0.0.0.0 --trusted-network true --listen-heartbeat 1s
}

teardown_file() {
    [ -n "${LINK:-}" ] || return 0
    e2e_stop
    ip link del "$LINK"
    ip netns del "$NS"
}

streams() { [ "$(curl -s "$SERVER_ADMIN/metrics" | sed -n 's/^pghttpd_streams //p')" = "$1" ]; }
blocked() { [ "$(curl -s "$SERVER_ADMIN/metrics" | sed -n 's/^pghttpd_streams_blocked_total //p')" -gt 0 ]; }

@test "a client that read, and one that did not, are dropped within a minute" {
    ip netns exec "$NS" curl -sN "http://10.213.7.1:$SERVER_PORT/listen/gone" >"$BATS_TEST_TMPDIR/reads" 3>&- &
    local clients=($!)
    # stopped as soon as it has its head, so that its socket fills
    ip netns exec "$NS" curl -sN "http://10.213.7.1:$SERVER_PORT/listen/gone" >"$BATS_TEST_TMPDIR/stops" 3>&- &
    clients+=($!)
    poll_until 5 grep -q '^: ok' "$BATS_TEST_TMPDIR/reads"
    poll_until 5 grep -q '^: ok' "$BATS_TEST_TMPDIR/stops"
    kill -STOP "${clients[1]}"
    fill() {
        sql "do \$\$ begin for i in 1..400 loop perform pg_notify('gone', i || repeat('x', 1000)); end loop; end \$\$"
        blocked
    }
    poll_until 20 fill
    streams 2
    ip link set "$LINK" down
    poll_until 60 streams 0
    kill -CONT "${clients[1]}"
    kill "${clients[@]}"
}
