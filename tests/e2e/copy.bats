#!/usr/bin/env bats
# /copy: COPY FROM STDIN and TO STDOUT as streams, all or nothing.

load ../lib/e2e

setup_file() {
    e2e_start --sql-access open --db-pool 2 <<'SQL'
create table t (id int primary key, name text);
create table big (id int, pad text);
SQL
}
teardown_file() { e2e_stop; }

encode() { jq -rn --arg s "$1" '$s|@uri'; }
copy_in() { req POST "/copy?query=$(encode "$1")" --data-binary "${@:2}"; }
copy_out() { req GET "/copy?query=$(encode "$1")" "${@:2}"; }

@test "in and out again, byte for byte" {
    printf '1\ta\\tb\n2\t\\N\n3\tü\n' >"$BATS_TEST_TMPDIR/in"
    copy_in 'copy t from stdin' "@$BATS_TEST_TMPDIR/in"
    [ "$status" = 200 ] || fail "$body"
    [ "$body" = '{"command":"COPY","rowCount":3}' ]
    copy_out 'copy t to stdout'
    [ "$status" = 200 ]
    [ "$(header content-type)" = 'text/plain; charset=utf-8' ]
    cmp "$BATS_TEST_TMPDIR/in" "$body_file"
    copy_out 'copy (select * from t order by id) to stdout csv header'
    [ "$(header content-type)" = 'text/csv; charset=utf-8' ]
    [ "$body" = $'id,name\n1,a\tb\n2,\n3,ü' ]
    copy_out 'copy t to stdout (format binary)'
    [ "$(header content-type)" = application/octet-stream ]
    cluster_psql -c 'copy t to stdout (format binary)' >"$BATS_TEST_TMPDIR/want"
    cmp "$BATS_TEST_TMPDIR/want" "$body_file"
    sql 'truncate t' >/dev/null
    copy_in 'copy t from stdin (format binary)' "@$BATS_TEST_TMPDIR/want"
    [ "$(jq .rowCount <<<"$body")" = 3 ]
}

@test "empty bodies and empty tables" {
    sql 'truncate t' >/dev/null
    copy_in 'copy t from stdin' ''
    [ "$body" = '{"command":"COPY","rowCount":0}' ]
    copy_out 'copy t to stdout'
    [ "$status" = 200 ]
    [ ! -s "$body_file" ]
}

@test "all or nothing: a bad line, a cut upload" {
    sql 'truncate t' >/dev/null
    (seq -f '%.0f	x' 1 50000; echo 'bad	line	here') >"$BATS_TEST_TMPDIR/in"
    copy_in 'copy t from stdin' "@$BATS_TEST_TMPDIR/in"
    [ "$status" = 400 ]
    assert_json '.code == "22P04"'
    [ "$(sql 'select count(*) from t')" = 0 ]
    # 1 MB promised, less sent, and then the client is gone
    exec 9<>"/dev/tcp/127.0.0.1/$SERVER_PORT"
    printf 'POST /copy?query=copy+t+from+stdin HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000000\r\n\r\n1\ta\n2\tb\n' >&9
    copying() { [ "$(sql "select count(*) from pg_stat_activity where query like 'copy t from%' and state = 'active'")" = "$1" ]; }
    poll_until 5 copying 1
    exec 9>&-
    poll_until 10 copying 0
    [ "$(sql 'select count(*) from t')" = 0 ]
    copy_in 'copy t from stdin' $'1\tfine'
    [ "$status" = 200 ]
}

@test "a big COPY in, chunked, and out, gzip" {
    seq -f '%.0f	0123456789012345678901234567890123456789012345678901234567890123456789' 1 200000 >"$BATS_TEST_TMPDIR/in"
    copy_in 'copy big from stdin' "@$BATS_TEST_TMPDIR/in" -H 'Transfer-Encoding: chunked'
    [ "$body" = '{"command":"COPY","rowCount":200000}' ] || fail "$body"
    copy_out 'copy big to stdout'
    cmp "$BATS_TEST_TMPDIR/in" "$body_file"
    header transfer-encoding | grep -q chunked
    copy_out 'copy big to stdout' --compressed
    cmp "$BATS_TEST_TMPDIR/in" "$body_file"
    sql 'truncate big' >/dev/null
    gzip -k "$BATS_TEST_TMPDIR/in"
    copy_in 'copy big from stdin' "@$BATS_TEST_TMPDIR/in.gz" -H 'Content-Encoding: gzip'
    [ "$body" = '{"command":"COPY","rowCount":200000}' ] || fail "$body"
}

@test "errors in the middle of COPY OUT break the body off" {
    copy_out 'copy (select 1000000 / (150000 - n), repeat($$x$$, 50) from generate_series(1,200000) n) to stdout'
    [ "$curl_status" != 0 ]
    copy_out 'copy (select 1/0) to stdout'
    [ "$status" = 400 ]
    assert_json '.code == "22012"'
    copy_out 'copy nope to stdout'
    [ "$status" = 400 ]
    assert_json '.code == "42P01" and (keys|length) == 17'
}

@test "refusals" {
    copy_in 'select 1' ''
    [ "$status" = 400 ]
    assert_json '.code == "PGH101"'
    copy_in 'copy t to stdout' ''
    [ "$status" = 400 ]
    assert_json '.code == "PGH101"'
    copy_out 'copy t from stdin'
    [ "$status" = 400 ]
    assert_json '.code == "PGH101"'
    copy_out "copy t to '/tmp/x'"
    [ "$status" = 400 ]
    req GET '/copy'
    [ "$status" = 400 ]
    req GET '/copy?query=copy+t+to+stdout&max_rows=1'
    [ "$status" = 400 ]
    assert_json '.code == "PGH102"'
    req POST '/copy?query=copy+t+from+stdin;select+1' -d '1'
    [ "$status" = 400 ]
    assert_json '.code == "42601"'
    copy_out 'copy t to stdout'
    [ "$status" = 200 ]
}

@test "where backslashes escape, a statement may go the other way than it looks: refused all the same" {
    sql 'alter role postgres set standard_conforming_strings = off' >/dev/null
    SERVER_NAME=old server_start --sql-access open
    for rows in 1 100000; do
        for sent in '' 'some body'; do
            copy_in "copy (select 'a\\') from stdin -- ' from generate_series(1, $rows)) to stdout" "$sent"
            [ "$status" = 400 ] || fail "$rows, $sent: $status $body"
            assert_json '.code == "PGH101"'
        done
    done
    sql 'alter role postgres reset standard_conforming_strings' >/dev/null
    server_stop
    server_use main
}

@test "GET is read only, and a POST is not: read_only is refused there" {
    sql "truncate t; insert into t values (1, 'kept')" >/dev/null
    copy_out 'copy (delete from t returning *) to stdout'
    [ "$status" = 400 ]
    assert_json '.code == "25006"'
    req HEAD "/copy?query=$(encode 'copy (delete from t returning *) to stdout')"
    [ "$(sql 'select count(*) from t')" = 1 ]
    copy_out "copy (select set_config('transaction_read_only', 'off', false)) to stdout"
    [ "$status" = 400 ]
    copy_out 'copy t to stdout'
    [ "$status" = 200 ]
    [ "$body" = $'1\tkept' ]
    req POST "/copy?read_only=true&query=$(encode 'copy t from stdin')" -d $'2\tnew'
    [ "$status" = 400 ]
    assert_json '.code == "PGH102"'
    [ "$(sql 'select count(*) from t')" = 1 ]
    copy_in 'copy t from stdin' $'2\tnew'
    [ "$status" = 200 ]
}

@test "the DBA sees the id of a request while it copies, and not afterwards" {
    sql 'truncate big' >/dev/null
    seen() { [ "$(sql "select count(*) from pg_stat_activity where application_name = '$1'")" = "$2" ]; }
    curl -s -o /dev/null -H 'X-Request-Id: out-id' "$SERVER_URL/copy?query=$(encode 'copy (select pg_sleep(2)) to stdout')" &
    poll_until 5 seen out-id 1
    wait $!
    { echo 7; sleep 2; echo 8; } | curl -s -o /dev/null -H 'X-Request-Id: in-id' -T - -X POST "$SERVER_URL/copy?query=$(encode 'copy big (id) from stdin')" &
    poll_until 5 seen in-id 1
    wait $!
    copy_out 'copy (select 1) to stdout' -H 'X-Request-Id: no-id'
    poll_until 5 seen in-id 0
    seen out-id 0
    seen no-id 0
    [ "$(sql 'select count(*) from big where id in (7, 8)')" = 2 ]
}

@test "gzip of several members, as bgzip writes it" {
    sql 'truncate big' >/dev/null
    { seq 1 5000 | gzip; seq 5001 10000 | gzip; printf '' | gzip; } >"$BATS_TEST_TMPDIR/in.gz"
    copy_in 'copy big (id) from stdin' "@$BATS_TEST_TMPDIR/in.gz" -H 'Content-Encoding: gzip'
    [ "$body" = '{"command":"COPY","rowCount":10000}' ] || fail "$body"
    echo junk >>"$BATS_TEST_TMPDIR/in.gz"
    copy_in 'copy big (id) from stdin' "@$BATS_TEST_TMPDIR/in.gz" -H 'Content-Encoding: gzip'
    [ "$status" = 400 ]
    [ "$(sql 'select count(*), sum(id) from big')" = '10000|50005000' ]
}

@test "copy-max-bytes" {
    SERVER_NAME=small server_start --sql-access open --copy-max-bytes 10kB
    sql 'truncate big' >/dev/null
    seq -f '%.0f	x' 1 10000 >"$BATS_TEST_TMPDIR/in"
    copy_in 'copy big from stdin' "@$BATS_TEST_TMPDIR/in"
    [ "$status" = 413 ]
    assert_json '.message | test("copy-max-bytes")'
    [ "$(sql 'select count(*) from big')" = 0 ]
    copy_in 'copy big from stdin' $'1\tfine'
    [ "$status" = 200 ]
    server_stop
    server_use main
}

@test "the deadline ends a COPY" {
    req GET "/copy?timeout=300ms&query=$(encode 'copy (select pg_sleep(10)) to stdout')"
    [ "$status" = 400 ]
    assert_json '.code == "57014"'
}

# The server stands still over the deadline. PostgreSQL has sent everything, so the cancel is too late, and the rest
# is read behind the deadline.
@test "a deadline in the middle of a COPY OUT: every row, or an error" {
    local pid got=$BATS_TEST_TMPDIR/got
    asleep() { [ "$(sql "select count(*) from pg_stat_activity where wait_event = 'PgSleep'")" = 1 ]; }
    for _ in 1 2 3; do
        curl -s -m 20 -w '%{http_code}' -o "$got" "$SERVER_URL/copy?timeout=500ms&query=$(encode \
            'copy (select g from pg_sleep(0.3), generate_series(1, 30000) g) to stdout')" >"$got.status" &
        pid=$!
        poll_until 5 asleep
        server_signal STOP
        sleep 0.6
        server_signal CONT
        wait $pid
        [ "$(cat "$got.status")" = 400 ] || cmp <(seq 1 30000) "$got"
    done
}

@test "a client that leaves has its COPY ended" {
    curl -s --limit-rate 1k -o /dev/null "$SERVER_URL/copy?query=$(encode 'copy (select n, repeat($$leaver$$, 100) from generate_series(1,10000000) n) to stdout')" &
    pid=$!
    running() { [ "$(sql "select count(*) from pg_stat_activity where query like '%leaver%' and state = 'active' and pid <> pg_backend_pid()")" = "$1" ]; }
    poll_until 5 running 1
    kill -9 $pid
    wait $pid || true
    poll_until 5 running 0
}
