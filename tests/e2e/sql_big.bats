#!/usr/bin/env bats
# Big requests and replies: limits say so, what is under them works, and memory comes back.

load ../lib/e2e

setup_file() {
    e2e_start --sql-access open --db-pool 2 --request-max-bytes 300MB --statement-timeout 120s <<'SQL'
create table t (id int primary key, name text);
SQL
}
teardown_file() { e2e_stop; }

# req gives up after 30 s; a loaded machine may need more for these
big() { # FILE [curl options...]
    status=$(curl -s -m 120 -o "$BATS_TEST_TMPDIR/body" -w '%{http_code}' "$SERVER_URL/sql" --data-binary "@$1" "${@:2}")
    body_file=$BATS_TEST_TMPDIR/body
    body=$(head -c 300 "$body_file")
}
fill() { head -c "$1" /dev/zero | tr '\0' "$2"; }

@test "a statement of 20 MB" {
    { printf '{"query":"select length('"'"; fill 20000000 x; printf "') as n\"}"; } >"$BATS_TEST_TMPDIR/q"
    sed -i "s/') as n/') as n/" "$BATS_TEST_TMPDIR/q"
    big "$BATS_TEST_TMPDIR/q"
    [ "$status" = 200 ] || fail "$body"
    [ "$(jq '.rows[0].n' "$body_file")" = 20000000 ]
    { printf 'select length('"'"; fill 20000000 y; printf "') as n"; } >"$BATS_TEST_TMPDIR/q"
    big "$BATS_TEST_TMPDIR/q" -H 'Content-Type: application/sql'
    [ "$(jq '.rows[0].n' "$body_file")" = 20000000 ]
}

@test "a parameter of 100 MB, and memory comes back after it" {
    { printf '{"query":"select length($1) as n, md5($1) as m","params":["'; fill 100000000 p; printf '"]}'; } >"$BATS_TEST_TMPDIR/q"
    big "$BATS_TEST_TMPDIR/q"
    [ "$status" = 200 ] || fail "$body"
    [ "$(jq -c '.rows[0]' "$body_file")" = "{\"n\":100000000,\"m\":\"$(fill 100000000 p | md5sum | cut -d' ' -f1)\"}" ]
    small() { [ "$(server_rss_kb)" -lt 60000 ]; }
    [ "$MODE" = asan ] || poll_until 20 small || fail "$(server_rss_kb) kB"
}

@test "a cell of 100 MB" {
    echo '{"query":"select repeat('"'c'"',100000000) as c"}' >"$BATS_TEST_TMPDIR/q"
    big "$BATS_TEST_TMPDIR/q"
    [ "$status" = 200 ] || fail "$body"
    [ "$(jq '.rows[0].c | length' "$body_file")" = 100000000 ]
    big "$BATS_TEST_TMPDIR/q" --compressed -H 'Accept-Encoding: gzip'
    [ "$(jq '.rows[0].c | length' "$body_file")" = 100000000 ]
    small() { [ "$(server_rss_kb)" -lt 60000 ]; }
    [ "$MODE" = asan ] || poll_until 20 small || fail "$(server_rss_kb) kB"
}

@test "1,600 columns, and one that PostgreSQL does not take" {
    jq -n '{query: ("select " + ([range(1600) | "\(.) as column_\(.)"] | join(","))), arrayMode: false}' >"$BATS_TEST_TMPDIR/q"
    big "$BATS_TEST_TMPDIR/q"
    [ "$(jq '.rows[0] | length' "$body_file")" = 1600 ]
    jq -n '{query: ("select " + ([range(1665) | "\(.)"] | join(",")))}' >"$BATS_TEST_TMPDIR/q"
    big "$BATS_TEST_TMPDIR/q"
    [ "$status" = 400 ]
    [ "$(jq -r .code "$body_file")" = 54011 ]
}

@test "a batch of 10,000 statements, and one too many" {
    jq -cn '[range(10000) | "select \(.) as n"]' >"$BATS_TEST_TMPDIR/q"
    big "$BATS_TEST_TMPDIR/q"
    [ "$status" = 200 ] || fail "$body"
    [ "$(jq '[.results[].rows[0].n] == [range(10000)]' "$body_file")" = true ]
    jq -cn '[range(10001) | "select 1"]' >"$BATS_TEST_TMPDIR/q"
    big "$BATS_TEST_TMPDIR/q"
    [ "$status" = 400 ]
    [ "$(jq -r .code "$body_file")" = 54000 ]
}

@test "bombs: depth, width, repeated keys, long numbers" {
    { printf '{"query":"select 1","params":['; fill 100000 '['; } >"$BATS_TEST_TMPDIR/q"
    big "$BATS_TEST_TMPDIR/q"
    [ "$status" = 400 ]
    [ "$(jq -r .code "$body_file")" = 54001 ]
    { printf '{"query":"select 1","params":[["'; fill 5000000 a | sed 's/aaaa/","/g'; printf '"]]}'; } >"$BATS_TEST_TMPDIR/q"
    big "$BATS_TEST_TMPDIR/q"
    [ "$status" = 400 ] || [ "$status" = 200 ]
    jq -cn '{query: "select :a", params: ([range(65535) | {key: "k\(.)", value: .}] | from_entries)}' >"$BATS_TEST_TMPDIR/q"
    big "$BATS_TEST_TMPDIR/q"
    [ "$status" = 400 ]
    [ "$(jq -r .code "$body_file")" = PGH103 ]
    { printf '{"query":"select length($1::numeric::text) as n","params":['; fill 100000 7; printf ']}'; } >"$BATS_TEST_TMPDIR/q"
    big "$BATS_TEST_TMPDIR/q"
    [ "$(jq '.rows[0].n' "$body_file")" = 100000 ]
    { printf 'select 1 '; fill 10000000 '('; } >"$BATS_TEST_TMPDIR/q"
    big "$BATS_TEST_TMPDIR/q" -H 'Content-Type: application/sql'
    [ "$status" = 400 ]
}

@test "a body over request-max-bytes is 413, in the shape of this endpoint" {
    SERVER_NAME=small server_start --sql-access open --request-max-bytes 100kB
    { printf '{"query":"'; fill 200000 x; printf '"}'; } >"$BATS_TEST_TMPDIR/q"
    big "$BATS_TEST_TMPDIR/q"
    [ "$status" = 413 ]
    [ "$(jq 'keys | length' "$body_file")" = 17 ]
    big "$BATS_TEST_TMPDIR/q" -H 'Transfer-Encoding: chunked'
    [ "$status" = 413 ]
    gzip -c "$BATS_TEST_TMPDIR/q" >"$BATS_TEST_TMPDIR/z"
    big "$BATS_TEST_TMPDIR/z" -H 'Content-Encoding: gzip'
    [ "$status" = 413 ]
    server_stop
    server_use main
}
