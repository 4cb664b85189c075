# Event streams: what events-api promises. The cases themselves are in listen_promises.py, with a client that checks every byte.

load ../lib/e2e

setup_file() {
    e2e_start --listen-access open --notify-access open --workers "${WORKERS:-1}"
}

teardown_file() { e2e_stop; }

promise() { timeout 100 python3 "$BATS_TEST_DIRNAME/listen_promises.py" "$@"; }

own_server() {
    SERVER_NAME=own server_start --listen-access open --notify-access open "$@"
}

@test "1,000 notifications of one transaction: all of them, in order, once" {
    promise burst
}

@test "4 writers x 50 transactions over two channels: every reader sees the same order, each transaction in one piece, each writer's transactions in its own order" {
    promise writers
}

@test "PostgreSQL's own: duplicates fold within a transaction, a rollback (or savepoint) sends nothing" {
    promise semantics
}

@test "a NOTIFY sent after the client saw the head is never lost: 200 new channels, some left again at once" {
    promise head_means_listen
}

@test "a page that is reloaded: nobody is left for a moment, yet nothing is lost" {
    promise reload_keeps_history
}

@test "awkward channel names, all on one stream and each on its own; a name is what it says, byte for byte" {
    promise names
}

@test "payload shapes, through JSON unchanged and raw with their lines kept, by SQL and by /notify" {
    promise shapes
}

@test "a stuck reader finds markers with exact counts, and the newest behind the last" {
    promise overflow
}

@test "buffers of 1 to 3, where a marker is as likely as a message to find the socket full: its message stays with it" {
    promise overflow_small_buffers
}

@test "the default buffer takes a burst of 1,000 whole, even when nobody reads meanwhile" {
    promise overflow_whole_burst_fits
}

@test "max_buffer_size=0: markers alone, whose numbers add up" {
    promise overflow_markers_alone
}

@test "the marker's id is the place behind what was lost" {
    promise overflow_resume
}

@test "a stuck client costs its neighbours nothing: they see everything" {
    promise slow_is_alone
}

@test "a burst larger than the buffer, to 200 clients whose sockets can take it: nobody loses anything" {
    promise bursts_reach_whoever_reads
}

hundred_to_three() {
    local reader readers=()
    for reader in 1 2 3; do
        curl -sN "$SERVER_URL/listen/hundred" >"$BATS_TEST_TMPDIR/$reader" 3>&- &
        readers+=($!)
        poll_until 5 grep -q '^: ok' "$BATS_TEST_TMPDIR/$reader"
    done
    sql "do \$\$ begin for i in 1..100 loop perform pg_notify('hundred', i::text); end loop; end \$\$"
    for reader in 1 2 3; do poll_until 5 grep -q '"payload":"100"' "$BATS_TEST_TMPDIR/$reader"; done
    kill "${readers[@]}"
}

@test "a transaction of 100 events is one write to each stream" {
    traced sendto,sendmsg hundred_to_three
    local writes
    writes=$(grep -oE '(sendto|sendmsg)(\(| resumed).* = [0-9]{4,}$' "$trace" | sed 's/.* = //' | sort | uniq -c)
    echo "times, bytes: $writes"
    [[ $writes =~ ^\ *3\ [0-9]+$ ]]
}

@test "Last-Event-ID resumes exactly, by header and by parameter" {
    promise resume
}

@test "whatever the ring does not know: one gap with its reason, then live. Never an error, never a wrong replay" {
    promise resume_refused
}

@test "a busy channel loses its old ids, a quiet one does not" {
    own_server --listen-history 100 --listen-buffer 100 --listen-buffer-max 100
    promise resume_history_lost
    server_stop
    server_use main
}

@test "however many clients: one LISTEN connection, idle outside transactions, UNLISTEN after the last left" {
    promise one_connection
}

@test "clients that leave are seen at once, whether by FIN or by RST, and their descriptors come back" {
    promise leaves
}

@test "a client that stops sending gets a clean end; what it sends behind its head is dropped, but not for ever" {
    promise half_close_and_garbage
}

@test "a second request in the same packet: the stream is served, the rest is dropped" {
    promise pipelined
}

@test "a stream as the second request of a connection" {
    promise behind_keep_alive
}

@test "heartbeats come at their interval" {
    own_server --listen-heartbeat 300ms
    promise heartbeat
    server_stop
    server_use main
}

@test "HTTP/1.0 clients get the same stream without chunks" {
    promise http10
}

@test "open and close many times, on channels that come and go: no descriptor, no memory is left behind" {
    promise churn
}

