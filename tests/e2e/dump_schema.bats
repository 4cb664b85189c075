# --dump-schema: the catalog of /rest as JSON, without starting a server.

load ../lib/e2e

setup_file() {
    cluster_start
    cluster_psql -c "create table things (id int primary key, name text not null)"
}

teardown_file() {
    cluster_stop
}

dump() {
    timeout 10 "$SERVER_TOP/build/${MODE:-release}/pghttpd" --dump-schema --db-uri "$@"
}

@test "prints the exposed tables" {
    dump "$CLUSTER_URI" >"$BATS_TEST_TMPDIR/out"
    jq -e '.. | strings | select(. == "things")' "$BATS_TEST_TMPDIR/out"
}

@test "a database that is away: exit 1 and the reason" {
    local rc=0
    dump "postgresql://nobody@127.0.0.1:1/none" >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err" || rc=$?
    cat "$BATS_TEST_TMPDIR/err"
    [ $rc = 1 ]
    [ ! -s "$BATS_TEST_TMPDIR/out" ]
    grep -qi 'refused' "$BATS_TEST_TMPDIR/err"
}
