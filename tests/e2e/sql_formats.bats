#!/usr/bin/env bats
# NDJSON, CSV, gzip, streaming past response-buffer, response-max-bytes.

load ../lib/e2e

setup_file() {
    e2e_start --sql-access open --response-buffer 16kB <<'SQL'
create table odd (id int, a text, b text);
insert into odd values (1, 'plain', 'x'), (2, 'a,b', 'say "hi"'), (3, E'two\nlines', E'\r'), (4, null, ''), (5, '\.', ' ');
create table one (a text);
insert into one values ('\.'), (null), (''), ('x');
create table parent (id int primary key);
create table child (id int, parent int references parent deferrable initially deferred, pad text);
SQL
}
teardown_file() { e2e_stop; }

query() { req POST "/sql${URL:-}" -d "$(jq -cn --arg q "$1" '{query: $q}')" "${@:2}"; }

@test "NDJSON: a row a line, and a trailer" {
    query "select g as n, 'ü' as u from generate_series(1,3) g" -H 'Accept: application/x-ndjson'
    [ "$(header content-type)" = application/x-ndjson ]
    [ "$body" = $'{"n":1,"u":"ü"}\n{"n":2,"u":"ü"}\n{"n":3,"u":"ü"}\n{"command":"SELECT","rowCount":3}' ]
    URL='?array_mode=1' query 'select 1, null' -H 'Accept: application/x-ndjson'
    [ "$body" = $'[1,null]\n{"command":"SELECT","rowCount":1}' ]
    query 'create temp table x()' -H 'Accept: application/x-ndjson'
    [ "$body" = '{"command":"CREATE","rowCount":null}' ]
    query 'select 1/0' -H 'Accept: application/x-ndjson'
    [ "$status" = 400 ]
    assert_json '.code == "22012"'
}

@test "NDJSON: fields=true puts a line with the columns first" {
    URL='?fields=true&array_mode=true' query 'select 1 as n, null::text as t where false' -H 'Accept: application/x-ndjson'
    [ "$(sed -n 1p "$body_file" | jq -c '[.fields[] | [.name, .dataTypeID]]')" = '[["n",23],["t",25]]' ]
    [ "$(sed -n 2p "$body_file")" = '{"command":"SELECT","rowCount":0}' ]
    query 'select 1 as n' -H 'Accept: application/x-ndjson' -H 'Pghttpd-Fields: true'
    [ "$(sed -n 1p "$body_file" | jq -c '[.fields[].name]')" = '["n"]' ]
    [ "$(sed -n 2p "$body_file")" = '{"n":1}' ]
    URL='?fields=1x' query 'select 1' -H 'Accept: application/x-ndjson'
    [ "$status" = 400 ]
}

@test "NDJSON: an error after rows were sent is the last line" {
    query 'select n, 1000000 / (50000 - n) as x from generate_series(1,60000) n' -H 'Accept: application/x-ndjson'
    [ "$status" = 200 ]
    [ "$curl_status" = 0 ]
    [ "$(head -1 "$body_file")" = '{"n":1,"x":20}' ]
    [ "$(tail -1 "$body_file" | jq -r .error.code)" = 22012 ]
    [ "$(wc -l <"$body_file")" = 50000 ]
}

@test "CSV is what COPY ... CSV HEADER writes" {
    for table in odd one; do
        query "select * from $table order by ctid" -H 'Accept: text/csv'
        [ "$status" = 200 ]
        [ "$(header content-type)" = 'text/csv; charset=utf-8' ]
        cluster_psql -c "copy (select * from $table order by ctid) to stdout csv header" >"$BATS_TEST_TMPDIR/want"
        cmp "$BATS_TEST_TMPDIR/want" "$body_file"
    done
    query 'select 1 as "a,""b"' -H 'Accept: text/csv'
    [ "$body" = $'"a,""b"\n1' ]
}

@test "rows that max_rows left out show in every format" {
    local five='select g as n from generate_series(1,5) g'
    URL='?max_rows=2' query "$five" -H 'Accept: application/x-ndjson'
    [ "$(tail -1 "$body_file")" = '{"command":"SELECT","rowCount":5,"truncated":true}' ]
    URL='?max_rows=2' query "$five" -H 'Accept: text/csv'
    [ "$body" = $'n\n1\n2' ]
    [ "$(header pghttpd-truncated)" = true ]
    URL='?max_rows=0' query "$five" -H 'Accept: text/csv'
    [ "$body" = n ]
    [ "$(header pghttpd-truncated)" = true ]
    for rows in 5 6; do
        URL="?max_rows=$rows" query "$five" -H 'Accept: text/csv'
        [ "$body" = $'n\n1\n2\n3\n4\n5' ]
        run ! header pghttpd-truncated
    done
    # a single statement that only reads is cancelled there
    req GET '/sql?max_rows=2&query=select+generate_series(1,100000000)+as+n' -H 'Accept: text/csv'
    [ "$status" = 200 ]
    [ "$body" = $'n\n1\n2' ]
    [ "$(header pghttpd-truncated)" = true ]
    # its head is sent before that is known
    for rows in 1000 2000 3000; do
        URL="?max_rows=$rows" query "select n, repeat('x', 100) from generate_series(1,2000) n" -H 'Accept: text/csv'
        [ "$curl_status" = 0 ]
        [ "$(header pghttpd-truncated)" = unknown ]
        [ "$(wc -l <"$body_file")" = $((rows < 2000 ? rows + 1 : 2001)) ]
    done
    query "select n, repeat('x', 100) from generate_series(1,2000) n" -H 'Accept: text/csv'
    run ! header pghttpd-truncated
    # bodies that say it themselves
    URL='?max_rows=2' query "$five"
    assert_json .truncated
    run ! header pghttpd-truncated
}

@test "a big result streams, whole and in order" {
    query "select n, repeat('x', 100) as pad from generate_series(1,20000) n"
    [ "$status" = 200 ]
    header transfer-encoding | grep -q chunked
    assert_json '(.rows | length) == 20000 and .rowCount == 20000 and ([.rows[].n] == [range(1;20001)]) and .command == "SELECT"'
    req POST /sql -d '["select repeat('"'a'"',50000) as a","select n from generate_series(1,30000) n","select 3 as c"]'
    assert_json '[.results[] | .rows | length] == [1,30000,1] and .results[2].rows == [{c:3}]'
}

@test "a late error breaks the body off" {
    query 'select n, 1000000 / (50000 - n) as x from generate_series(1,60000) n'
    [ "$curl_status" != 0 ] || fail "the body looks whole"
    if jq -e . "$body_file" >/dev/null 2>&1; then fail 'a cut body is valid JSON'; fi
    query "insert into child select n, 5, repeat('x',100) from generate_series(1,2000) n returning *"
    [ "$curl_status" != 0 ] || fail "the body looks whole"
    [ "$(sql 'select count(*) from child')" = 0 ]
    query 'select 1 as fine'
    [ "$status" = 200 ]
}

@test "gzip, both ways" {
    query "select repeat('abc', 3000) as x" --compressed -H 'Accept-Encoding: gzip'
    [ "$(header content-encoding)" = gzip ]
    assert_json '.rows[0].x | length == 9000'
    query "select n from generate_series(1,20000) n" --compressed -H 'Accept-Encoding: gzip'
    [ "$(header content-encoding)" = gzip ]
    assert_json '.rows | length == 20000'
    printf '{"query":"select 5 as x"}' | gzip >"$BATS_TEST_TMPDIR/z"
    req POST /sql -H 'Content-Encoding: gzip' --data-binary "@$BATS_TEST_TMPDIR/z"
    assert_json '.rows == [{x:5}]'
}

@test "a client that stops reading has its statement cancelled when it leaves" {
    curl -s --limit-rate 1k -o /dev/null "$SERVER_URL/sql" \
        -d '{"query":"select n, repeat('"'leaver'"',100) from generate_series(1,10000000) n"}' &
    pid=$!
    running() { [ "$(sql "select count(*) from pg_stat_activity where query like '%leaver%' and state = 'active' and pid <> pg_backend_pid()")" = "$1" ]; }
    poll_until 5 running 1
    kill -9 $pid
    wait $pid || true
    poll_until 5 running 0
    query 'select 1 as fine'
    [ "$status" = 200 ]
}

@test "past response-max-bytes: 507 while nothing is sent, cut off afterwards" {
    SERVER_NAME=small server_start --sql-access open --response-max-bytes 100kB --response-buffer 16kB
    query "select repeat('x', 200000) as x"
    [ "$status" = 507 ]
    assert_json '.code == "54000" and (.message | test("response-max-bytes"))'
    query "select repeat('x', 100) as x from generate_series(1,5000)"
    [ "$curl_status" != 0 ]
    query 'select 1 as fine'
    [ "$status" = 200 ]
    server_stop
    server_use main
}

@test "db-prepared-statements = false: for poolers that hand out another connection each time" {
    SERVER_NAME=pooled server_start --sql-access open --db-prepared-statements false
    for i in 1 2 3; do
        req POST /sql -d '{"query":"select $1::int as n","params":[7]}'
        assert_json '.rows == [{n:7}]'
        req POST /sql -d '["set local search_path = pg_catalog","select $$x$$ as x"]'
        assert_json '.results[1].rows == [{x:"x"}]'
        query 'select count(*)::int as n from pg_prepared_statements'
        assert_json '.rows == [{n:0}]'
    done
    server_stop
    server_use main
}

@test "HEAD, /-/sql, and databases that are not configured" {
    req HEAD '/sql?query=select+1'
    [ "$status" = 200 ]
    [ ! -s "$body_file" ] || [ "$(head -c 4 "$body_file")" = HTTP ]
    req POST /-/sql -d '{"query":"select 1 as n"}'
    assert_json '.rows == [{n:1}]'
    req POST /db/none/sql -d '{"query":"select 1"}'
    [ "$status" = 404 ]
}
