#!/usr/bin/env bats
# alone
# Big reads and those of a key: the shapes of an answer are the same bytes; streams stay in bounded memory, break when they fail, and
# end in the database when the client leaves.

load ../lib/e2e

setup_file() {
    e2e_start --db-schemas api --db-anon-role web_anon --response-buffer 64KB < <(
        cat "$BATS_TEST_DIRNAME/../../config/demo.sql"
        cat <<'SQL'
create table api.big as select i as id, 'row number ' || i as name, i * 1.5 as amount, null::text as nothing,
    case when i % 7 = 0 then e'quote " backslash \\ newline \n end' end as odd from generate_series(1, 400000) i;
alter table api.big add primary key (id);
create view api.failing as select id, 1 / (300000 - id) as broken from api.big;
create view api.slow as select id, repeat('x', 1000) as filler, pg_sleep(case when id % 100 = 0 then 0.01 else 0 end)::text
    as nap from api.big;
create table api.parent (id int primary key, at timestamptz, doc jsonb);
create table api.child () inherits (api.parent);
insert into api.parent values (1, '2024-02-29 12:00+02', '{"b": [1, null], "a": "x"}'), (2, null, null);
insert into api.child values (1, 'infinity', '"two of that id"');
create function api.noisy(api.parent) returns int language sql as
    $$ select length(set_config('response.headers', '[{"X-Noise":"yes"}]', true)) $$;
grant select on api.parent, api.big, api.failing, api.slow to web_anon;
analyze api.big;
SQL
    )
    # the same database, but what is bounded comes row by row as well
    SERVER_NAME=rows server_start --db-schemas api --db-anon-role web_anon --rest-stream-rows 0
    server_use main
}
teardown_file() { e2e_stop; }

@test "aggregated and row by row are the same bytes" {
    local url
    for url in \
        'products?limit=500' \
        'products?select=id,name,attributes,tags,on_sale&order=id&limit=1000' \
        'products?select=id,category:categories(*)&order=id&limit=100' \
        'categories?select=name,...products(product:name)&order=name&limit=100' \
        'categories?select=*,products!inner(name)&products.name=like.*a*&limit=1000' \
        'products?select=a:attributes->>color,id::text&limit=999&order=price.desc,id' \
        'products?id=lt.0&limit=10' \
        'products?limit=0' \
        'big?select=odd,nothing&limit=1000' \
        'products?select=&limit=3'; do
        server_use main
        req GET "/rest/$url" -H 'Prefer: count=exact'
        [ "$status" = 200 ] || [ "$status" = 206 ] || fail "$url: $body"
        cp "$body_file" "$BATS_TEST_TMPDIR/aggregated"
        grep -viE '^(date|x-request-id):' "$headers" >"$BATS_TEST_TMPDIR/aggregated.head"
        server_use rows
        req GET "/rest/$url" -H 'Prefer: count=exact'
        cmp "$body_file" "$BATS_TEST_TMPDIR/aggregated" || fail "$url"
        diff <(grep -viE '^(date|x-request-id):' "$headers") "$BATS_TEST_TMPDIR/aggregated.head" || fail "$url"
    done
    local stripped='Accept: application/vnd.pgrst.array+json;nulls=stripped'
    server_use main
    req GET '/rest/big?limit=20' -H "$stripped"
    cp "$body_file" "$BATS_TEST_TMPDIR/aggregated"
    server_use rows
    req GET '/rest/big?limit=20' -H "$stripped"
    server_use main
    cmp "$body_file" "$BATS_TEST_TMPDIR/aggregated"
}

# Without a count a row of a plain table is read as it is; with one it is aggregated.
@test "a row by its key is the same bytes, whatever the shape" {
    local url accept
    for url in 'big?id=eq.7' 'big?id=eq.7&select=odd,n:name' 'big?id=eq.0' 'parent?id=eq.1' 'parent?id=eq.1&select=doc->b,doc->>a,at' \
        'parent?id=eq.2' 'parent?id=eq.1&limit=1' 'parent?id=eq.1&limit=0' 'parent?id=eq.1&offset=1' 'parent?id=eq.1&order=at' \
        'parent?id=eq.2&select=' 'parent?id=eq.1&doc->>a=eq.x' 'products?id=eq.3' 'products?id=eq.3&select=*,category:categories(name)'; do
        for accept in application/json 'application/vnd.pgrst.array+json;nulls=stripped' application/vnd.pgrst.object+json; do
            req GET "/rest/$url" -H "Accept: $accept"
            cp "$body_file" "$BATS_TEST_TMPDIR/plain"
            grep -viE '^(date|x-request-id|content-range|preference-applied):' "$headers" >"$BATS_TEST_TMPDIR/plain.head"
            local plain_status=$status
            req GET "/rest/$url" -H "Accept: $accept" -H 'Prefer: count=exact'
            [ "$plain_status" = "${status/206/200}" ] || fail "$url $accept: $plain_status, $status"
            cmp "$body_file" "$BATS_TEST_TMPDIR/plain" || fail "$url $accept"
            [ "$status" != 200 ] ||
                diff <(grep -viE '^(date|x-request-id|content-range|preference-applied):' "$headers") "$BATS_TEST_TMPDIR/plain.head" || fail "$url $accept"
        done
    done
    req GET '/rest/parent?id=eq.1'
    assert_json 'length == 2'
    [ "$(header content-range)" = '0-1/*' ]
    req GET '/rest/parent?id=eq.9'
    [ "$body" = '[]' ]
    [ "$(header content-range)" = '*/*' ]
}

# What the connection was told last is what pg_stat_activity shows: every hundredth time a reset, so twice.
asked() { # WORD COUNT URL [HEADER...]
    local i
    for i in 1 2; do
        req GET "$3" "${@:4}"
        [ "$(sql "select count(*) from pg_stat_activity where query like '%\"id\" = \$1%' and pid <> pg_backend_pid() and query like '%$1%'")" != "$2" ] ||
            return 0
    done
    fail "$*"
}
@test "a row by its key costs no aggregate, all columns or some" {
    local url
    for url in 'big?id=eq.7' 'big?id=eq.7&select=*' 'big?id=eq.7&select=id,name'; do
        asked json_agg 1 "/rest/$url" -H 'Prefer: count=exact'
        asked json_agg 0 "/rest/$url"
        asked row_to_json 1 "/rest/$url"
    done
}

@test "functions that run in a read by key can set response headers" {
    req GET '/rest/parent?id=eq.1&order=noisy'
    [ "$(header x-noise)" = yes ]
    req GET '/rest/parent?id=eq.1&select=noisy'
    [ "$(header x-noise)" = yes ]
    req GET '/rest/parent?id=eq.1'
    [ -z "$(header x-noise)" ]
}

@test "a streamed answer is what json_agg gives" {
    req GET '/rest/big?order=id&limit=5000'
    [ "$status" = 200 ]
    [ "$(header content-range)" = '*/*' ]
    [ "$(header transfer-encoding)" = chunked ]
    sql 'select json_agg(t) from (select * from api.big order by id limit 5000) t' >"$BATS_TEST_TMPDIR/whole"
    cmp "$body_file" <(head -c -1 "$BATS_TEST_TMPDIR/whole")
    req GET '/rest/big?order=id&limit=5000' -H 'Prefer: count=exact'
    [ "$status $(header content-range)" = '206 */400000' ]
}

@test "a slow reader costs little memory" {
    [ "${MODE:-release}" = release ] || skip "sanitizers keep what was freed"
    local before after
    req GET '/rest/big?limit=2000'
    before=$(server_rss_kb)
    timeout 4 curl -s --limit-rate 6M -o "$BATS_TEST_TMPDIR/part" "$SERVER_URL/rest/big" || true
    [ "$(stat -c %s "$BATS_TEST_TMPDIR/part")" -gt 10000000 ]
    after=$(awk '/VmHWM/ {print $2}' "/proc/$SERVER_PID/status")
    echo "resident: $before kB before, at most $after kB"
    [ $((after - before)) -lt 16384 ]
}

@test "an error in the middle breaks the body" {
    local rc=0
    curl -s -m 30 -o "$BATS_TEST_TMPDIR/part" "$SERVER_URL/rest/failing?order=id" || rc=$?
    [ "$rc" = 18 ] || fail "curl ended with $rc"
    [ "$(stat -c %s "$BATS_TEST_TMPDIR/part")" -gt 65536 ]
    [ "$(tail -c 1 "$BATS_TEST_TMPDIR/part")" != ']' ]
    req GET '/rest/failing?id=eq.300000' # held: a plain error
    [ "$status $(jq -r .code <<<"$body")" = '400 22012' ]
}

@test "when the client leaves its query ends, and nobody else notices" {
    running() { [ "$(sql "select count(*) from pg_stat_activity where state = 'active' and query like '%\"slow\"%' and pid <> pg_backend_pid()")" = "$1" ]; }
    curl -s -m 60 -o "$BATS_TEST_TMPDIR/part" "$SERVER_URL/rest/slow" 3>&- &
    local pid=$!
    poll_until 10 running 1
    poll_until 10 test -s "$BATS_TEST_TMPDIR/part"
    for _ in $(seq 20); do
        req GET '/rest/products?id=eq.1&select=id'
        [ "$status $body" = '200 [{"id":1}]' ]
    done
    kill $pid
    for _ in $(seq 20); do
        req GET '/rest/products?id=eq.1&select=id'
        [ "$status $body" = '200 [{"id":1}]' ]
    done
    poll_until 10 running 0
}
