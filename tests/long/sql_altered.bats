#!/usr/bin/env bats
# Tables altered by others than pghttpd, without a word to it.

load ../lib/e2e

setup_file() { e2e_start --sql-access open --db-pool 1 <<<'create table readings (r real)'; }
teardown_file() { e2e_stop; }

put() {
    req POST /sql -d '{"query":"insert into readings values ($1) returning r::text","params":["0.1"]}'
    [ "$status" = 200 ] || fail "$body"
}
exact() { put && jq -e '.rows == [{r:"0.1"}]' <<<"$body" >/dev/null; }

@test "a busy prepared statement takes the new type within a minute" {
    put
    put
    sql 'alter table readings alter r type float8' >/dev/null
    put
    assert_json '.rows != [{r:"0.1"}]' # else this test shows nothing
    poll_until 70 exact || fail "$body"
}
