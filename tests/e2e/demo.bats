# make run as a newcomer meets it: the lines it prints work, Ctrl-C leaves nothing behind, what is in the way is said.

load ../lib/e2e

setup_file() {
    export DEMO_DATA DEMO_OUT PORT ADMIN_PORT
    DEMO_DATA=$(mktemp -d "${TMPDIR:-/tmp}/pghttpd-demo.XXXXXX")
    DEMO_OUT=$(mktemp "${TMPDIR:-/tmp}/pghttpd-demo-out.XXXXXX")
    chmod 755 "$DEMO_DATA"
    PORT=$(free_port)
    ADMIN_PORT=$(free_port)
    demo_start
}

teardown_file() {
    [ ! -s "$DEMO_DATA/pid" ] || kill -TERM "$(cat "$DEMO_DATA/pid")" 2>/dev/null || true
    poll_until 15 demo_gone
    poll_until 5 test -s "$DEMO_DATA/ctrl-c.status" || true # the terminal's last word comes after
    rm -rf "$DEMO_DATA" "$DEMO_OUT"
}

demo() { timeout -k 20 20 "$BATS_TEST_DIRNAME/../../config/demo.sh" "$@"; }
demo_up() { grep -q 'Ctrl-C stops both' "$DEMO_OUT" || gone "$(cat "$DEMO_DATA/pid")"; }
demo_gone() { ! pgrep -f "$DEMO_DATA/postgresql/data" >/dev/null && ! (exec 3<>"/dev/tcp/127.0.0.1/$PORT") 2>/dev/null; }

# In a terminal of its own, so that a Ctrl-C can be typed.
demo_start() {
    : >"$DEMO_OUT" && rm -f "$DEMO_DATA/pid" "$DEMO_DATA/ctrl-c.status"
    python3 - "$BATS_TEST_DIRNAME/../../config/demo.sh" "$DEMO_OUT" "$DEMO_DATA/pid" "$DEMO_DATA/ctrl-c" >/dev/null 2>&1 3>&- <<'PY' &
import os, pty, select, signal, sys, time
script, out, pid_file, ctrl_c = sys.argv[1:]
pid, fd = pty.fork()
if pid == 0:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell's background job ignores it
    os.execv(script, [script])
with open(pid_file, 'w') as f:
    f.write(str(pid))
end = time.monotonic() + 280
while time.monotonic() < end:
    if select.select([fd], [], [], 0.05)[0]:
        try:
            data = os.read(fd, 4096)
        except OSError:
            break
        with open(out, 'ab') as f:
            f.write(data)
    if os.path.exists(ctrl_c):
        os.unlink(ctrl_c)
        os.write(fd, b'\x03')
status = os.waitpid(pid, 0)[1]
with open(ctrl_c + '.status', 'w') as f:
    f.write(str(os.waitstatus_to_exitcode(status)))
PY
    poll_until 5 test -s "$DEMO_DATA/pid"
    poll_until 60 demo_up
    grep -q 'Ctrl-C stops both' "$DEMO_OUT" || { cat "$DEMO_OUT" >&2; return 1; }
}

@test "the lines that it prints work" {
    mapfile -t lines < <(tr -d '\r' <"$DEMO_OUT" | sed -n 's/^  \(curl .*\)/\1/p')
    [ ${#lines[@]} = 4 ]
    [ "$(bash -c "${lines[0]/curl/curl -s}" | jq -c .rows)" = '[{"one":1}]' ]
    [ "$(bash -c "${lines[1]/curl/curl -s}" | jq 'length')" = 3 ]
    bash -c "${lines[1]/curl/curl -s}" | jq -e '.[0].category.name' >/dev/null
    bash -c "${lines[2]/curl -N/curl -sN -m 20}" >"$BATS_TEST_TMPDIR/stream" 3>&- # ends in & itself
    poll_until 10 grep -q '^: ok' "$BATS_TEST_TMPDIR/stream"
    id=$(bash -c "${lines[3]/curl/curl -s}" | jq '.rows[0].id')
    poll_until 5 grep -q "\"op.*insert.*$id" "$BATS_TEST_TMPDIR/stream"
}

@test "a batch whose last statement fails leaves nothing behind" {
    sql() { curl -s -m 10 "localhost:$PORT/sql" -d "$1"; }
    before=$(sql '{"query":"select count(*) as n from orders"}' | jq -r '.rows[0].n')
    sql '["insert into orders (customer_id) values (7)", "insert into orders (customer_id) values (8)", "select 1/0"]' | jq -e '.code == "22012"'
    [ "$(sql '{"query":"select count(*) as n from orders"}' | jq -r '.rows[0].n')" = "$before" ]
}

@test "a second one in the same tree, and a port that is taken: said clearly" {
    run demo
    [ "$status" = 1 ]
    grep -q "port $PORT of 127.0.0.1 is taken" <<<"$output"
    PORT=$(free_port) ADMIN_PORT=$(free_port) run demo
    [ "$status" = 1 ]
    grep -q 'running already' <<<"$output"
}

@test "a folder that cannot be written: said clearly" {
    DEMO_DATA=/proc/nothing PORT=$(free_port) ADMIN_PORT=$(free_port) run demo
    [ "$status" = 1 ]
    grep -q 'cannot write to /proc/nothing' <<<"$output"
}

@test "a full disk: said clearly" {
    [ "$(id -u)" = 0 ] && mkdir "$DEMO_DATA/disk" && mount -t tmpfs -o size=8m tmpfs "$DEMO_DATA/disk" || skip "needs root and mount"
    DEMO_DATA=$DEMO_DATA/disk/run PORT=$(free_port) ADMIN_PORT=$(free_port) run demo
    umount "$DEMO_DATA/disk"
    [ "$status" = 1 ]
    grep -q 'the disk is full' <<<"$output"
}

@test "Ctrl-C stops both; a second start is quick and has the data" {
    touch "$DEMO_DATA/ctrl-c"
    poll_until 20 demo_gone
    poll_until 5 test -s "$DEMO_DATA/ctrl-c.status"
    [ "$(cat "$DEMO_DATA/ctrl-c.status")" = 0 ]
    demo_start
    run ! grep -q Loading "$DEMO_OUT"
    [ "$(curl -s "localhost:$PORT/sql" -d '{"query":"select count(*) > 20000 as kept from orders"}' | jq '.rows[0].kept')" = true ]
}

@test "make run that is ended leaves neither of them behind" {
    local data out=$BATS_TEST_TMPDIR/out make
    data=$(mktemp -d "${TMPDIR:-/tmp}/pghttpd-demo.XXXXXX")
    chmod 755 "$data"
    DEMO_DATA=$data PORT=$(free_port) ADMIN_PORT=$(free_port) make -C "$BATS_TEST_DIRNAME/../.." -s run MODE="${MODE:-release}" >"$out" 2>&1 3>&- &
    make=$!
    made() { grep -q 'Ctrl-C stops both' "$out" || gone "$make"; }
    poll_until 60 made
    grep -q 'Ctrl-C stops both' "$out" || fail "$(cat "$out")"
    kill -TERM "$make"
    left() { pgrep -f "$data/postgresql/data" >/dev/null; }
    none() { ! left; }
    poll_until 15 none
    if left; then
        pkill -f "$data/postgresql/data"
        fail "PostgreSQL is left: $(cat "$out")"
    fi
    rm -rf "$data"
}
