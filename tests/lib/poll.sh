# shellcheck shell=bash
# poll.sh (sourced): waiting for a condition instead of for a time, and free ports.

# poll_until SECONDS COMMAND...: repeats COMMAND until it succeeds; fails when SECONDS are over.
poll_until() {
    local end
    end=$(($(date +%s%N) / 1000000 + $1 * 1000))
    shift
    until "$@"; do
        [ $(($(date +%s%N) / 1000000)) -lt "$end" ] || return 1
        sleep 0.02
    done
}

# free_port: prints a TCP port of 127.0.0.1 on which nothing listens, below the ephemeral range.
# Whoever binds it must still be ready to lose the race and ask again. TEST_PORT_BASE narrows the
# choice to the hundred ports from there.
free_port() {
    local port base=${TEST_PORT_BASE:-20000} span=10000
    [ -z "${TEST_PORT_BASE:-}" ] || span=100
    for _ in $(seq 200); do
        port=$((base + (RANDOM * 32768 + RANDOM) % span))
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || {
            echo "$port"
            return 0
        }
    done
    echo "no free port from $base on" >&2
    return 1
}

# gone PID: no such process any more (a zombie counts as gone).
gone() {
    ! kill -0 "$1" 2>/dev/null || [ "$(ps -o stat= -p "$1" 2>/dev/null | cut -c1)" = Z ]
}
