#!/usr/bin/env bats
# /sql: bodies, options, replies and refusals, on the server's own login.

load ../lib/e2e

setup_file() {
    e2e_start --sql-access open --db-pool 4 <<'SQL'
create table t (id int primary key, name text);
create table parent (id int primary key);
create table child (id int primary key, parent int references parent deferrable initially deferred);
create type mood as enum ('sad', 'ok');
create table m (id int, m mood, u uuid, j jsonb, a text[]);
create function warns(n int) returns int language plpgsql as $$
begin for i in 1..n loop raise notice 'number %', i using hint = 'h'; end loop; return n; end $$;
create procedure commits() language plpgsql as $$ begin insert into t values (900, 'c'); commit; end $$;
SQL
}
teardown_file() { e2e_stop; }

query() { # STATEMENT [PARAMS as JSON] [curl options...]
    local sql=$1 params=${2:-[]}
    shift $(($# > 1 ? 2 : 1))
    req POST "/sql${QUERY_URL:-}" -d "$(jq -cn --arg q "$sql" --argjson p "$params" '{query: $q, params: $p}')" "$@"
}

error_is() { # STATUS CODE
    [ "$status" = "$1" ] || fail "status $status: $body"
    assert_json --arg c "$2" '.code == $c'
    # always the same 17 keys, in this order
    assert_json '[keys_unsorted[] | select(. != "queryIndex")] == ["message","code","detail","hint","position",
        "internalPosition","internalQuery","severity","where","table","column","schema","dataType","constraint",
        "file","line","routine"]'
}

@test "the reply, byte for byte" {
    req POST /sql -d '{"query":"select 1 as n, null as \"a\"\"b\""}'
    [ "$status" = 200 ]
    [ "$(header content-type)" = application/json ]
    [ "$body" = '{"fields":[{"name":"n","dataTypeID":23,"tableID":0,"columnID":0,"dataTypeSize":4,"dataTypeModifier":-1,"format":"text"},{"name":"a\"b","dataTypeID":25,"tableID":0,"columnID":0,"dataTypeSize":-1,"dataTypeModifier":-1,"format":"text"}],"rows":[{"n":1,"a\"b":null}],"command":"SELECT","rowCount":1,"rowAsArray":false}' ]
}

@test "commands, empty statements, no columns" {
    query 'create table made (a int)'
    [ "$body" = '{"fields":[],"rows":[],"command":"CREATE","rowCount":null,"rowAsArray":false}' ]
    query 'insert into made values (1),(2)'
    assert_json '.command == "INSERT" and .rowCount == 2'
    query 'update made set a = a returning a'
    assert_json '.command == "UPDATE" and .rowCount == 2 and .rows == [{a:1},{a:2}] and .fields[0].tableID > 0 and .fields[0].columnID == 1'
    query ''
    assert_json '.command == "" and .rowCount == null'
    query ' -- nothing'
    assert_json '.command == "" and .rowCount == null'
    query 'select from made'
    assert_json '.rows == [{},{}] and .rowCount == 2 and .fields == []'
    query 'select from made' '[]' -H 'Neon-Array-Mode: true'
    assert_json '.rows == [[],[]] and .rowAsArray'
    query 'drop table made'
    assert_json '.command == "DROP"'
}

@test "body forms: one statement, two kinds of batch, plain SQL, GET" {
    req POST /sql -d '{"queries":["select 1 as a",{"query":"select $1::int as b","params":[2],"arrayMode":true}]}'
    assert_json '[.results[].rows] == [[{a:1}],[[2]]]'
    req POST /sql -d '["select 1 as a","select 2 as b"]'
    assert_json '[.results[].rows[0]] == [{a:1},{b:2}]'
    req POST /sql -d '[]'
    [ "$status" = 200 ]
    [ "$body" = '{"results":[]}' ]
    req POST /sql -d '{"queries":[]}'
    [ "$body" = '{"results":[]}' ]
    req POST /sql -H 'Content-Type: application/sql' --data-binary $'select \'a\nb\' as x'
    assert_json '.rows == [{x:"a\nb"}]'
    req POST '/sql?params=%5B7%5D' -H 'Content-Type: application/sql' -d 'select $1::int as x'
    assert_json '.rows == [{x:7}]'
    req GET '/sql?query=select+%24%31::int%2B1+as+x&params=%5B41%5D'
    assert_json '.rows == [{x:42}]'
    req GET '/sql?query=insert+into+t+values(800)'
    error_is 400 25006
    req POST /sql -H 'Content-Type: text/plain;charset=UTF-8' -d '{"query":"select 1"}'
    [ "$status" = 200 ]
}

@test "parameters: types are PostgreSQL's to infer, digits are kept" {
    query 'insert into m values ($1,$2,$3,$4,$5) returning *' \
        '[1,"ok","c0ffee00-0000-4000-8000-000000000000",{"k":[1,2.50,"ü"]},["a","b\"\\",null,""]]'
    assert_json '.rows == [{id:1,m:"ok",u:"c0ffee00-0000-4000-8000-000000000000",j:{k:[1,2.50,"ü"]},a:["a","b\"\\",null,""]}]'
    req POST /sql -d '{"query":"select $1::numeric as n, $2::text as t, $3::bool as b, $4::float8 as f","params":[12345678901234567890.1234567890,9007199254740993,true,1e300]}'
    grep -qF '"n":"12345678901234567890.1234567890","t":"9007199254740993","b":true,"f":1e+300' "$body_file" || fail "$body"
    query 'select $1::int[] as a, $2::text as n' '[[[1,2],[3,null]],null]'
    assert_json '.rows == [{a:[[1,2],[3,null]],n:null}]'
    query 'select :a::text as x, '"':b'"' as y, :a || :c as z -- :d' '{"a":"1","c":"2","unused":3}'
    assert_json '.rows == [{x:"1",y:":b",z:"12"}]'
    query 'select :nope' '{"a":1}'
    error_is 400 PGH103
    query 'select $1::int' '["x"]'
    error_is 400 22P02
    query 'select $1' '[]'
    [ "$status" = 400 ]
}

@test "duplicate names: objects keep the last, arrays keep all" {
    req POST /sql -d '{"query":"select 1 as a, 2 as b, 3 as a"}'
    grep -qF '"rows":[{"b":2,"a":3}]' "$body_file" || fail "$body"
    req POST /sql -d '{"query":"select 1 as a, 2 as b, 3 as a","arrayMode":true}'
    assert_json '.rows == [[1,2,3]] and .rowAsArray'
    query "select $(seq -f '%g as c' -s, 1 1600)"
    assert_json '.rows == [{c:1600}] and (.fields|length) == 1600'
}

@test "raw text" {
    query "select true as b, 1.50 as n, '{1,2}'::int[] as a, null as x" '[]' -H 'Neon-Raw-Text-Output: true'
    assert_json '.rows == [{b:"t",n:"1.50",a:"{1,2}",x:null}]'
    QUERY_URL='?raw=true&array_mode=true' query 'select 1, false'
    assert_json '.rows == [["1","f"]]'
}

@test "errors carry all that PostgreSQL says" {
    query 'select nope from t'
    error_is 400 42703
    assert_json '.position == "8" and .severity == "ERROR" and (.message|test("nope")) and .detail == null
        and (.file|type) == "string" and (.line|type) == "string" and (.routine|type) == "string"'
    query "insert into t values (1,'a'),(1,'b')"
    error_is 400 23505
    assert_json '.table == "t" and .schema == "public" and .constraint == "t_pkey" and (.detail|test("already exists"))'
    query 'insert into t (name) values (1)'
    assert_json '.column == "id"'
    query 'select 1; select 2'
    error_is 400 42601
    req POST /sql -d '["select 1","select 1/0"]'
    error_is 400 22012
    assert_json '.queryIndex == 1'
    query 'select 1/0'
    assert_json 'has("queryIndex") | not'
}

@test "errors of statements with :name speak of the client's text" {
    req POST /sql -d '{"query":"select '"'ä'"', :a_long_name::int, nope","params":{"a_long_name":1}}'
    error_is 400 42703
    assert_json '.position == "32"'
    req POST /sql -d '[{"query":"select :a::text, :b::date","params":{"a":1,"b":"x"}}]'
    error_is 400 22007
    assert_json '.queryIndex == 0 and .hint == "$2 is :b"'
    req POST /sql -d '{"query":"select :a is null","params":{"a":1}}'
    error_is 400 42P18
    assert_json '.hint == "$1 is :a" and (.message | endswith("parameter $1"))'
    req POST /sql -H 'Accept: application/x-ndjson' -d '{"query":"select :a, nope","params":{"a":1}}'
    assert_json '.position == "12"'
    req POST /sql -d '{"query":"select :a","params":{}}'
    error_is 400 PGH103
    assert_json '.message | test(":a")'
}

@test "malformed requests say what and where" {
    req POST /sql -d '{"query" "x"}'
    error_is 400 PGH100
    assert_json '.message | test("byte 10")'
    for bad in '' '1' '{}' '{"query":1}' '{"query":"x","parms":[]}' '[1]' '{"query":"select 1","params":3}'; do
        req POST /sql -d "$bad"
        error_is 400 PGH101
    done
    for bad in '{"query":"x",}' '[01]' '{"query":"x"} y' $'{"query":"a\tb"}' '["\ud800"]'; do
        req POST /sql --data-binary "$bad"
        error_is 400 PGH100
    done
    req POST /sql -d '{"query":"select '"'a\\u0000b'"'"}'
    error_is 400 22021
    printf '{"query":"select 1\0"}' | req POST /sql --data-binary @-
    printf '{"query":"select 1\0"}' >"$BATS_TEST_TMPDIR/nul"
    req POST /sql --data-binary "@$BATS_TEST_TMPDIR/nul"
    error_is 400 22021
    printf '{"query":"select \377"}' >"$BATS_TEST_TMPDIR/latin"
    req POST /sql --data-binary "@$BATS_TEST_TMPDIR/latin"
    error_is 400 22021
    req POST '/sql?tiemout=1' -d '{"query":"select 1"}'
    error_is 400 PGH102
    req POST /sql -H 'Pghttpd-Nonsense: 1' -d '{"query":"select 1"}'
    error_is 400 PGH102
    req POST '/sql?timeout=soon' -d '{"query":"select 1"}'
    error_is 400 PGH102
    req POST /sql -H 'Neon-Batch-Isolation-Level: Snapshot' -d '["select 1"]'
    error_is 400 PGH102
    req POST /sql -H 'Accept: image/png' -d '{"query":"select 1"}'
    error_is 406 PGH105
    req GET /sql
    error_is 400 PGH101
    req DELETE /sql
    [ "$status" = 405 ]
}

@test "errors say what to send instead" {
    query 'select $1::int'
    error_is 400 08P01
    assert_json '.message == "params has 0 values, but the statement needs 1"'
    query 'select 1; select 2'
    error_is 400 42601
    assert_json '.hint | test("batch")'
    query 'select $1::jsonb' '[[1,2]]'
    error_is 400 22P02
    assert_json '.hint | test("string")'
    query 'select $1::int' '[[1],[2]]'
    error_is 400 08P01
    assert_json '.hint | test("paramSets")'
    req POST /sql -d 'select 1'
    error_is 400 PGH100
    assert_json '.hint | test("application/sql")'
    req POST /sql -d $'\xef\xbb\xbf{"query":"select 1 as one"}'
    assert_json '.rows == [{one:1}]'
    req POST '/sql?timeout=10m' -d '{"query":"select 1"}'
    error_is 400 PGH102
    assert_json '.message | test("statement-timeout")'
    req GET '/copy?timeout=10m&query=copy%20t%20to%20stdout'
    error_is 400 PGH102
    req GET '/copy?timeout=200ms&query=copy%20(select%20pg_sleep(5))%20to%20stdout'
    error_is 400 57014
    assert_json '.hint | test("statement-timeout")'
}

@test "65,535 parameters go, one more is refused" {
    jq -cn '{query: "select 1", params: [range(65536) | "1"]}' >"$BATS_TEST_TMPDIR/p"
    req POST /sql --data-binary "@$BATS_TEST_TMPDIR/p"
    error_is 400 54023
    jq -cn '{query: ("select array[" + ([range(1;65536) | "$\(.)"] | join(",")) + "]::int[] as a"), params: [range(65535)]}' >"$BATS_TEST_TMPDIR/p"
    req POST /sql --data-binary "@$BATS_TEST_TMPDIR/p"
    [ "$status" = 200 ] || fail "$body"
    assert_json '.rows[0].a | length == 65535 and .[65534] == 65534'
}

@test "COPY is refused before it is sent, in every disguise" {
    for copy in 'copy t to stdout' '/* x */ Copy t (id) FROM STDIN with csv' ';copy (select 1) to stdout'; do
        query "$copy"
        error_is 400 0A000
        assert_json '.hint | test("/copy")'
    done
    req POST /sql -d '["select 1","copy t from stdin"]'
    error_is 400 0A000
    assert_json '.queryIndex == 1'
    query 'select 1 as still'
    [ "$status" = 200 ]
}

@test "notices go where they belong" {
    query 'select warns(2)'
    assert_json '.notices == [{severity:"NOTICE",code:"00000",message:"number 1",detail:null,hint:"h"},
                              {severity:"NOTICE",code:"00000",message:"number 2",detail:null,hint:"h"}]'
    req POST /sql -d '["select 1","select warns(1)","select 2","drop table if exists none"]'
    assert_json '[.results[] | has("notices")] == [false,true,false,true]'
    assert_json '.results[3].notices[0].code == "00000" and (.results[3].rows == [])'
    query 'select warns(150)'
    assert_json '(.notices | length) == 100 and .noticesDropped == 50'
    [ -z "$(grep -i 'number 1' "$SERVER_DIR/out" "$SERVER_DIR/log")" ]
}

@test "max_rows" {
    QUERY_URL='?max_rows=2' query 'select generate_series(1,5) as n'
    assert_json '.rows == [{n:1},{n:2}] and .truncated and .rowCount == 5 and .command == "SELECT"'
    QUERY_URL='?max_rows=5' query 'select generate_series(1,5) as n'
    assert_json '(.rows|length) == 5 and (has("truncated")|not)'
    QUERY_URL='?max_rows=0' query 'select 1'
    assert_json '.rows == [] and .truncated'
    start=$(date +%s%N)
    req GET '/sql?max_rows=1&query=select+n,repeat('\''x'\'',9000)+as+x,pg_sleep(n*0.01)::text+from+generate_series(0,100000)n'
    [ $((($(date +%s%N) - start) / 1000000)) -lt 5000 ]
    assert_json '(.rows|length) == 1 and .rows[0].n == 0 and .truncated and .rowCount == null'
    query 'insert into t select g, null from generate_series(100,109) g returning id' '[]' -H 'Pghttpd-Max-Rows: 3'
    assert_json '(.rows|length) == 3 and .rowCount == 10'
    [ "$(sql 'select count(*) from t where id between 100 and 109')" = 10 ]
}

@test "batch headers are echoed and obeyed" {
    req POST /sql -H 'Neon-Batch-Isolation-Level: Serializable' -H 'Neon-Batch-Read-Only: true' \
        -H 'Neon-Batch-Deferrable: true' -d '["show transaction_isolation","show transaction_read_only","show transaction_deferrable"]'
    assert_json '[.results[].rows[0] | .[]] == ["serializable","on","on"]'
    [ "$(header neon-batch-isolation-level)" = Serializable ]
    [ "$(header neon-batch-read-only)" = true ]
    [ "$(header neon-batch-deferrable)" = true ]
    for level in ReadUncommitted:'read uncommitted' ReadCommitted:'read committed' RepeatableRead:'repeatable read'; do
        req POST "/sql" -H "Neon-Batch-Isolation-Level: ${level%%:*}" -d '["show transaction_isolation"]'
        assert_json --arg l "${level#*:}" '.results[0].rows[0].transaction_isolation == $l'
    done
    req POST '/sql?isolation=repeatable%20read&read_only=true' -H 'Neon-Batch-Isolation-Level: Serializable' -d '["show transaction_isolation","show transaction_read_only"]'
    assert_json '[.results[].rows[0] | .[]] == ["repeatable read","on"]'
    # the echo is what holds, not what was asked for
    [ "$(header neon-batch-isolation-level)" = RepeatableRead ]
    req POST /sql -H 'Neon-Batch-Read-Only: yes' -d '["show transaction_read_only"]'
    assert_json '.results[0].rows[0].transaction_read_only == "off"'
    [ "$(header neon-batch-read-only)" = false ]
    req POST '/sql?read_only=false' -H 'Neon-Batch-Read-Only: true' -d '["show transaction_read_only"]'
    assert_json '.results[0].rows[0].transaction_read_only == "off"'
    [ "$(header neon-batch-read-only)" = false ]
}

@test "bad params of a URL are called that" {
    req GET '/sql?query=select+1&params=%5B1'
    error_is 400 PGH100
    assert_json '.message == "params in the URL is not valid JSON: the text ends too early, at byte 3"'
    req GET '/sql?query=select+1&params=%5B%22%5Cu0000%22%5D'
    error_is 400 22021
    assert_json '.message | startswith("params in the URL is not valid JSON")'
    req GET '/sql?query=select+1&params=%5B%5Dx'
    assert_json '.message | startswith("params in the URL")'
    req GET '/sql?query=select+1&params=1'
    error_is 400 PGH101
}

@test "CORS preflight names every header" {
    req OPTIONS /sql -H "Origin: $SERVER_URL" -H 'Access-Control-Request-Method: POST' -H 'Access-Control-Request-Headers: neon-connection-string'
    [ "$status" = 200 ]
    allowed=$(header access-control-allow-headers | tr 'A-Z' 'a-z')
    for name in neon-connection-string neon-raw-text-output neon-array-mode neon-batch-isolation-level \
        neon-batch-read-only neon-batch-deferrable authorization content-type x-request-id pghttpd-timeout; do
        case $allowed in *"$name"*) ;; *) fail "$name is not in: $allowed" ;; esac
    done
    [ "$(tr -d ' ' <<<"$allowed" | tr , '\n' | grep -c '^authorization$')" = 1 ]
}

@test "timing and request ids" {
    query 'select current_setting('"'application_name'"') as a' '[]' -H 'X-Request-Id: find-me-42'
    [ "$(header x-request-id)" = find-me-42 ]
    assert_json '.rows[0].a == "find-me-42"'
    header server-timing | grep -qE '^queue;dur=[0-9.]+, connect;dur=[0-9.]+, db;dur=[0-9.]+, total;dur=[0-9.]+$'
    query "select current_setting('application_name') as a"
    assert_json '.rows[0].a != "find-me-42"'
}

@test "a batch of 10 statements is one write and one read on the database's socket" {
    SERVER_NAME=one server_start --sql-access open --db-pool 1
    local ten='["select 1 as a","select 2 as a","select 3 as a","select 4 as a","select 5 as a","select 6 as a","select 7 as a","select 8 as a","select 9 as a","select 10 as a"]'
    req POST /sql -d "$ten"
    req POST /sql -d "$ten" # prepared by now
    one_trip req POST /sql -d "$ten"
    assert_json '[.results[].rows[0].a] == [range(1;11)]'
    server_stop
    server_use main
}
