#!/usr/bin/env bats
# What /sql promises: 200 means committed, a SQLSTATE means rolled back, 08007 means nobody knows; nothing of a session
# reaches the next request; a client that leaves, or a deadline, ends its own statement and nobody else's.

load ../lib/e2e

setup_file() {
    e2e_start --sql-access open --db-pool 2 --db-pool-queue 2000 <<'SQL'
create table t (id int primary key, name text);
create table parent (id int primary key);
create table child (id int primary key, parent int references parent deferrable initially deferred);
create sequence s;
create role other;
create table slow (id int);
create function wait_at_commit() returns trigger language plpgsql as $$ begin perform pg_sleep(30); return null; end $$;
create constraint trigger slow_commit after insert on slow deferrable initially deferred
    for each row execute function wait_at_commit();
create procedure commits(n int) language plpgsql as $$ begin insert into t values (n, 'c'); commit; end $$;
create table counter (id int primary key, n int);
insert into counter values (1, 0);
SQL
}
teardown_file() { e2e_stop; }

batch() { # STATEMENTS... -> a POST of them as one batch; curl options in OPTIONS
    req POST "/sql${URL:-}" -d "$(jq -cn '$ARGS.positional' --args "$@")" "${OPTIONS[@]}"
}
query() { req POST "/sql${URL:-}" -d "$(jq -cn --arg q "$1" '{query: $q}')" "${OPTIONS[@]}"; }
refused() { # CODE [INDEX]
    [ "$status" = 400 ] || fail "status $status: $body"
    assert_json --arg c "$1" '.code == $c'
    [ $# -lt 2 ] || assert_json --argjson i "$2" '.queryIndex == $i'
}
count() { sql "select count(*) from $1"; }

@test "a batch is one transaction: the last statement's failure leaves nothing" {
    batch "insert into t values (1,'a')" "insert into t values (2,'b')" "insert into t values (1,'c')"
    refused 23505 2
    [ "$(count t)" = 0 ]
    batch "insert into t values (1,'a')" "insert into t values (2,'b')" "select count(*)::int as n from t"
    [ "$status" = 200 ]
    assert_json '.results[2].rows == [{n:2}]'
    [ "$(count t)" = 2 ]
}

@test "a deferred constraint fails at COMMIT, and the answer says so" {
    batch "insert into child values (1, 99)" "select 1"
    refused 23503
    assert_json 'has("queryIndex") and .queryIndex == null'
    query "insert into child values (1, 99)"
    refused 23503
    query "insert into child values (1, 99) returning id"
    refused 23503
    [ "$(count child)" = 0 ]
    batch "insert into child values (1, 7)" "insert into parent values (7)"
    [ "$status" = 200 ]
    [ "$(count child)" = 1 ]
}

@test "transaction control is refused before anything runs" {
    for word in begin 'start transaction' commit end rollback abort "prepare transaction 'x'" \
        'set transaction read write' '/* a /* b */ */ -- c
        ;; Commit' 'set local transaction isolation level serializable' 'rollback work and chain' 'commit;'; do
        batch "insert into t values (50,'x')" "$word"
        refused 2D000 1
        assert_json '.hint | length > 0'
    done
    [ "$(sql 'select count(*) from t where id = 50')" = 0 ]
}

@test "savepoints, locks and cursors work inside a batch" {
    batch "insert into t values (60,'x')" "savepoint a" "insert into t values (61,'y')" "rollback to savepoint a" \
        "release a" "lock table t in share mode" "declare c cursor for select 1 as one" "fetch c"
    [ "$status" = 200 ] || fail "$body"
    assert_json '.results[7].rows == [{one:1}] and .results[7].command == "FETCH"'
    [ "$(sql 'select array_agg(id) from t where id in (60,61)')" = '{60}' ]
}

@test "a procedure's COMMIT, a DO block's, and CREATE INDEX CONCURRENTLY cannot split a batch" {
    batch "insert into t values (70,'x')" "call commits(71)" "select 1/0"
    refused 2D000 1
    batch "insert into t values (70,'x')" 'do $$ begin commit; end $$'
    refused 2D000 1
    batch "insert into t values (70,'x')" "create index concurrently on t (name)"
    refused 25001 1
    [ "$(sql 'select count(*) from t where id in (70,71)')" = 0 ]
    query "call commits(72)"
    [ "$status" = 200 ]
    [ "$(sql 'select count(*) from t where id = 72')" = 1 ]
    query "vacuum t"
    [ "$status" = 200 ]
    assert_json '.command == "VACUUM"'
}

@test "a quick read-only query cannot write through what it reads, and leaves nothing behind" {
    sql "create function sneak() returns int language plpgsql volatile as 'begin insert into t values (81); return 1; end';
         create function loosen() returns int language plpgsql volatile as
            'begin perform set_config(''transaction_read_only'', ''off'', true); insert into t values (82); return 1; end';
         create view sneaky as select sneak() as n; create view loose as select loosen() as n;
         create view tells as select current_setting('transaction_read_only') as ro;
         grant select on sneaky, loose, tells to public"
    for i in 1 2 3; do
        req GET '/sql?query=table+sneaky'
        refused 25006
        req GET '/sql?query=table+loose'
        refused 25001
        req GET '/sql?query=table+tells'
        assert_json '.rows == [{ro:"on"}] and .command == "SELECT" and .rowCount == 1'
        query 'table tells'
        assert_json '.rows == [{ro:"off"}]'
    done
    [ "$(sql 'select count(*) from t where id in (81,82)')" = 0 ]
    req GET '/sql?query=select+1+from+nowhere'
    refused 42P01
    assert_json '.position == "15"'
}

@test "nothing leaves a read-only request" {
    URL='?read_only=true' query "insert into t values (80,'x')"
    refused 25006
    URL='?read_only=true' query 'do $$ begin set transaction read write; insert into t values (80); end $$'
    [ "$status" = 400 ]
    URL='?read_only=true' query 'do $$ begin rollback; insert into t values (80); end $$'
    refused 2D000
    URL='?read_only=true' batch "set transaction_read_only = off" "insert into t values (80,'x')"
    refused 25001 0
    URL='?read_only=true' batch "set local transaction_read_only to off" "insert into t values (80,'x')"
    refused 25001 0
    URL='?read_only=true' batch "reset transaction_read_only" "insert into t values (80,'x')"
    [ "$status" = 400 ]
    URL='?read_only=true' batch "select set_config('transaction_read_only','off',true)" "insert into t values (80,'x')"
    [ "$status" = 400 ]
    URL='?read_only=true' query 'begin'
    refused 2D000
    req GET '/sql?query=call+commits(80)'
    [ "$status" = 400 ]
    [ "$(sql 'select count(*) from t where id = 80')" = 0 ]
}

@test "client_encoding cannot be changed in a batch" {
    batch "set client_encoding to 'latin1'" "select 'ü' as u"
    refused 0A000 0
    batch "insert into t values (90,'x')" "select set_config('client_encoding','LATIN1',false)" "select 'ü' as u"
    refused 0A000
    [ "$(sql 'select count(*) from t where id = 90')" = 0 ]
    batch "set client_encoding to 'UTF8'" "select 'ü' as u"
    assert_json '.results[1].rows == [{u:"ü"}]'
    query "select set_config('client_encoding','LATIN1',false) as e, 'ü' as u"
    refused 0A000
    query "select current_setting('client_encoding') as e"
    assert_json '.rows == [{e:"UTF8"}]'
    query "set client_encoding to 'latin1'"
    for i in 1 2 3 4; do
        query "select 'ü' as u, current_setting('client_encoding') as e"
        assert_json '.rows == [{u:"ü",e:"UTF8"}]'
    done
}

@test "settings changed in one request do not live on in prepared statements" {
    for i in 1 2 3; do
        batch "set datestyle = 'DMY'" "select '01/02/2003'::date::text || ' ' || 'ü' as d"
        batch "set datestyle = 'MDY'" "select '01/02/2003'::date::text || ' ' || 'ü' as d"
        batch "select set_config('client_encoding','LATIN1',false)" "select '01/02/2003'::date::text || ' ' || 'ü' as d"
        query "select '01/02/2003'::date::text || ' ' || 'ü' as d"
        assert_json '.rows[0].d == "2003-01-02 ü"'
        batch "set local intervalstyle = 'sql_standard'" "select interval '-1 2:03:04' = interval '-1 day -2:03:04' as s"
        assert_json '.results[1].rows[0].s'
        batch "select 1" "select interval '-1 2:03:04' = interval '-1 day -2:03:04' as s"
        assert_json '.results[1].rows[0].s | not'
    done
}

@test "a table altered under a prepared statement is nobody's error" {
    sql "create table changing (a int); insert into changing values (1)" >/dev/null
    for i in 1 2 3 4; do
        batch "select 1 as one" "select * from changing"
        [ "$status" = 200 ] || fail "$body"
        query "select * from changing"
        [ "$status" = 200 ] || fail "$body"
        sql "alter table changing add column c$i int" >/dev/null
        batch "select 1 as one" "select * from changing"
        [ "$status" = 200 ] || fail "$body"
        assert_json --argjson n $((i + 1)) '.results[1].fields | length == $n'
    done
    query "execute nothing"
    refused 26000
}

value() { # SQL, a parameter
    req POST /sql -d "$(jq -cn --arg q "$1" --arg p "$2" '{query: $q, params: [$p]}')"
    [ "$status" = 200 ] || fail "$1: $body"
}

@test "what was prepared before a table was altered here takes the new types" {
    query "create table retyped (a int, d date, r real, t timestamp)"
    for i in 1 2 3 4 5 6; do # prepared by then, on both connections
        value "insert into retyped (a) values (\$1)" 1
        value "insert into retyped (d) values (\$1)" '2024-05-06 07:08:09'
        value "insert into retyped (r) values (\$1)" 0.1
        value "insert into retyped (t) values (\$1)" '2024-05-06 07:08:09+02'
    done
    query "truncate retyped"
    query "alter table retyped alter a type bigint, alter d type timestamp, alter r type float8, alter t type timestamptz"
    [ "$status" = 200 ] || fail "$body"
    for i in 1 2 3 4; do
        value "insert into retyped (a) values (\$1)" 3000000000
        value "insert into retyped (d) values (\$1)" '2024-05-06 07:08:09'
        value "insert into retyped (r) values (\$1)" 0.1
        value "insert into retyped (t) values (\$1)" '2024-05-06 07:08:09+02'
    done
    [ "$(sql "select distinct a, d, r, t at time zone 'utc' from retyped order by 1, 2, 3, 4")" = "3000000000|||
|2024-05-06 07:08:09||
||0.1|
|||2024-05-06 05:08:09" ] || fail "$(sql 'table retyped')"
    batch "drop table retyped" "create table retyped (a text)"
    for i in 1 2 3 4; do value "insert into retyped (a) values (\$1)" abc; done
    [ "$(sql 'select distinct a from retyped')" = abc ]
    query "do \$\$ begin alter table retyped alter a type bytea using a::bytea; end \$\$"
    for i in 1 2 3 4; do value "insert into retyped (a) values (\$1)" '\x00ff'; done
    [ "$(sql 'select count(*) from retyped where length(a) = 2')" = 4 ]
}

@test "what was prepared before a table was altered elsewhere fails with no old type's error" {
    sql "create table elsewhere (a int)" >/dev/null
    for i in 1 2 3 4 5 6; do
        value "insert into elsewhere values (\$1)" 1
        value "select a from elsewhere where a = \$1" 1
    done
    sql "alter table elsewhere alter a type text" >/dev/null
    value "select a from elsewhere where a = \$1 limit 1" 1
    for i in 1 2 3 4; do
        value "select a from elsewhere where a = \$1" 1 # text = integer
        value "insert into elsewhere values (\$1)" abc   # no integer
    done
    # behind an earlier result of a batch
    sql "alter table elsewhere rename to elsewhere_old; create table elsewhere (a int)" >/dev/null
    two() { req POST /sql -d '["select 1 as one",{"query":"insert into elsewhere values ($1) returning a","params":["'"$1"'"]}]'; }
    for i in 1 2 3 4 5 6; do two 7; done
    sql "alter table elsewhere alter a type text" >/dev/null
    for i in 1 2 3 4; do
        two abc
        [ "$status" = 200 ] || fail "$body"
        assert_json '.results[1].rows == [{a:"abc"}]'
    done
    # an error that is one stays one
    for i in 1 2 3 4; do
        req POST /sql -d '{"query":"select $1::int as n","params":["x"]}'
        refused 22P02
    done
    value "select \$1::int as n" 5
    assert_json '.rows == [{n:5}]'
}

@test "session state does not leak" {
    leak() { # each on every connection of the pool
        for i in 1 2 3 4; do query "$1"; [ "$status" = 200 ] || fail "$1: $body"; done
    }
    gone() { # expression, expected text: whatever connection answers
        for i in 1 2 3 4 5 6; do
            query "select ($1)::text as x"
            [ "$status" = 200 ] || fail "$body"
            assert_json --arg x "$2" '.rows[0].x == $x'
        done
    }
    leak "set statement_timeout = '77s'"
    gone "current_setting('statement_timeout') = '77s' or current_setting('statement_timeout') = '77000ms'" false
    leak "set search_path = pg_catalog"
    gone "current_setting('search_path') = 'pg_catalog'" false
    leak "select set_config('my.setting', 'leak', false)"
    gone "coalesce(current_setting('my.setting', true), '') = 'leak'" false
    leak "set role other"
    gone "current_user = 'other'" false
    leak "set session authorization other"
    gone "session_user = 'other'" false
    leak "create temp table if not exists leaked (a int)"
    gone "to_regclass('pg_temp.leaked') is null" true
    query "select pg_advisory_lock(4711)"
    query "select 1"
    poll_until 5 [ "$(sql 'select pg_try_advisory_lock(4711)')" = t ]
    query "select nextval('s')"
    for i in 1 2 3 4; do
        query "select currval('s')"
        refused 55000
    done
    leak "listen leak_channel"
    gone "exists (select from pg_listening_channels())" false
    query "prepare leaked as select 1"
    gone "exists (select from pg_prepared_statements where name = 'leaked')" false
    query "prepare leaked as select 1"
    [ "$status" = 200 ]
    batch "declare held cursor with hold for select 1"
    [ "$status" = 200 ]
    gone "exists (select from pg_cursors where name <> '')" false
    # hidden in a function, DO and EXECUTE
    leak "do \$\$ begin perform set_config('my.setting', 'leak', false); execute 'set role other'; end \$\$"
    gone "coalesce(current_setting('my.setting', true), '') || current_user = 'leak' or current_user = 'other'" false
}

@test "a lone statement that begins, ends or marks a transaction is refused, one for its session has a warning" {
    for word in begin 'start transaction' commit rollback end abort 'set transaction read only'; do
        query "$word"
        refused 2D000
        assert_json '.hint | test("batch")'
    done
    for word in 'savepoint a' 'release a' 'rollback to a'; do
        query "$word"
        refused 25P01
        assert_json '.hint | test("batch")'
    done
    for word in "set my.setting = 'x'" 'listen somewhere' 'prepare lone as select 1' \
        'declare lone cursor with hold for select 1'; do
        query "$word"
        [ "$status" = 200 ] || fail "$body"
        assert_json '.notices[-1].message | test("ended with the request")'
    done
    query 'reset my.setting'
    assert_json 'has("notices") | not'
    query "commit prepared 'nothing'"
    refused 42704
    [ "$(sql "select count(*) from pg_stat_activity where state like 'idle in transaction%'")" = 0 ]
}

@test "no trailer says success before the commit is known" {
    OPTIONS=(-H 'Accept: application/x-ndjson')
    query "insert into child select n, 5000 from generate_series(100001,130000) n returning *"
    [ "$(tail -1 "$body_file" | jq -r .error.code)" = 23503 ] || fail "$(tail -c 300 "$body_file")"
    [ "$(grep -c '"command"' "$body_file")" = 0 ] || fail "$(tail -c 300 "$body_file")"
    OPTIONS=()
    query "insert into child select n, 5000 from generate_series(100001,130000) n returning *"
    [ "$curl_status" != 0 ]
    [ "$(grep -c '"command"' "$body_file")" = 0 ] || fail "$(tail -c 300 "$body_file")"
}

@test "a failing batch with a big answer says why: status and SQLSTATE, or the last line of NDJSON" {
    body=$(jq -cn '[range(100000;106000) | {query: "insert into t values ($1, $2)", params: [., "x"]}] + ["insert into t values (100000, null)"]')
    printf %s "$body" >"$BATS_TEST_TMPDIR/batch"
    req POST /sql --data-binary "@$BATS_TEST_TMPDIR/batch"
    refused 23505 6000
    [ "$(sql 'select count(*) from t where id >= 100000')" = 0 ]
    req POST /sql --data-binary "@$BATS_TEST_TMPDIR/batch" -H 'Accept: application/x-ndjson'
    [ "$(tail -1 "$body_file" | jq -c '.error | [.code, .queryIndex]')" = '["23505",6000]' ]
    req POST /sql -H 'Accept: application/x-ndjson' -d '["select 1 as a", "select 2 as b where false"]'
    [ "$body" = $'{"a":1}\n{"command":"SELECT","rowCount":1,"queryIndex":0}\n{"command":"SELECT","rowCount":0,"queryIndex":1}\n{"committed":true}' ]
    req POST /sql -H 'Accept: application/x-ndjson' -d '[]'
    [ "$body" = '{"committed":true}' ]
    req POST /sql -H 'Accept: text/csv' -d '["select 1"]'
    [ "$status" = 406 ]
}

@test "a row that waits goes out, in NDJSON and CSV" {
    # PostgreSQL itself holds back what is less than 8 KB
    slow='{"query":"select repeat('"'x'"', 9000) as x, pg_sleep(0.5) from generate_series(1,4)"}'
    for type in application/x-ndjson text/csv; do
        first=$(curl -sN -o /dev/null -w '%{time_starttransfer}' -H "Accept: $type" "$SERVER_URL/sql" -d "$slow")
        [ "$(bc <<<"$first < 1.5")" = 1 ] || fail "$type: the first byte came after $first s"
    done
}

@test "paramSets: one statement with many lists of values, in one transaction" {
    req POST /sql -d '{"query":"insert into t values ($1, $2) returning id", "paramSets":[[501,"a"],[502,null],[503,"c"]]}'
    [ "$status" = 200 ] || fail "$body"
    assert_json '[.results[].rows[0].id] == [501,502,503]'
    req POST /sql -d '{"paramSets":[{"id":504,"name":"d"},{"name":"e","id":505}], "query":"insert into t values (:id, :name)", "arrayMode":true}'
    assert_json '[.results[] | .rowCount, .rowAsArray] == [1,true,1,true]'
    req POST /sql -d '{"query":"insert into t values ($1)", "paramSets":[[506],[501]]}'
    refused 23505 1
    [ "$(sql 'select count(*) from t where id between 501 and 506')" = 5 ]
    req POST /sql -d '{"query":"insert into t values ($1)", "paramSets":[]}'
    [ "$body" = '{"results":[]}' ]
    req POST /sql -d '{"query":"select $1", "params":[1], "paramSets":[[1]]}'
    refused PGH101
    req POST /sql -d '[{"query":"select $1", "paramSets":[[1]]}]'
    refused PGH101
    req POST /sql -d '{"query":"select $1", "paramSets":[1]}'
    refused PGH101
    req POST /sql -d '{"query":"select $1", "paramSets":{"a":1}}'
    refused PGH101
    req POST /sql --data-binary @<(jq -cn '{query: "insert into t values ($1)", paramSets: [range(600000;610000) | [.]]}')
    [ "$status" = 200 ]
    assert_json '.results | length == 10000'
    sql 'delete from t where id > 500' >/dev/null
}

@test "a deadline covers the whole batch, and is 57014" {
    statements=()
    for i in 1 2 3 4 5 6 7 8 9 10; do statements+=("select pg_sleep(0.2)"); done
    # curl's own clock: what bash and jq take is not the server's
    took=$(curl -s -o "$BATS_TEST_TMPDIR/answer" -w '%{time_total}' "$SERVER_URL/sql?timeout=1s" \
        -d "$(jq -cn '$ARGS.positional' --args "insert into t values (95,'x')" "${statements[@]}")")
    [ "$(jq -r .code "$BATS_TEST_TMPDIR/answer")" = 57014 ]
    [ "$(bc <<<"$took >= 0.95 && $took <= 1.1")" = 1 ] || fail "took $took s"
    [ "$(sql 'select count(*) from t where id = 95')" = 0 ]
    OPTIONS=(-H 'Pghttpd-Timeout: 300ms')
    query 'select pg_sleep(5)'
    refused 57014
    assert_json '.hint | test("timeout")'
}

active() { sql "select count(*) from pg_stat_activity where query like '%$1%' and state = 'active' and pid <> pg_backend_pid()"; }
is_active() { [ "$(active "$1")" = "$2" ]; }

@test "a client that leaves has its statement cancelled" {
    curl -s -o /dev/null "$SERVER_URL/sql" -d '{"query":"select pg_sleep(60), 4321"}' &
    pid=$!
    poll_until 5 is_active 4321 1
    kill -9 $pid
    wait $pid || true
    poll_until 5 is_active 4321 0
    query 'select 1 as alive'
    assert_json '.rows == [{alive:1}]'
}

@test "retry=N repeats a whole batch after a serialization failure" {
    pids=()
    for i in 1 2 3 4 5 6 7 8; do
        curl -s -m 20 "$SERVER_URL/sql?retry=10&isolation=serializable" -o "$BATS_TEST_TMPDIR/r$i" \
            -d '["select n from counter where id = 1","select pg_sleep(0.01)","update counter set n = n + 1 where id = 1"]' &
        pids+=($!)
    done
    wait "${pids[@]}"
    for i in 1 2 3 4 5 6 7 8; do jq -e '.results | length == 3' "$BATS_TEST_TMPDIR/r$i" >/dev/null || fail "$(cat "$BATS_TEST_TMPDIR/r$i")"; done
    [ "$(sql 'select n from counter')" = 8 ]
}

@test "500 requests at once on a pool of 2: all answered, none mixed up" {
    seq 1 500 | xargs -P 100 -I{} curl -s -m 30 "$SERVER_URL/sql" -o "$BATS_TEST_TMPDIR/m{}" \
        -d '{"query":"select $1::int as n, pg_sleep(0.002)::text","params":[{}]}'
    for i in $(seq 1 500); do
        [ "$(jq '.rows[0].n' "$BATS_TEST_TMPDIR/m$i")" = "$i" ] || fail "$i: $(cat "$BATS_TEST_TMPDIR/m$i")"
    done
}

put() { req POST /sql -d "{\"query\":\"insert into $1 values (\$1)\",\"params\":[\"$2\"]}"; }

# $1: a table with one column, $2: a value; the statements on stdin are a migration by other means.
migrated() {
    local i
    for i in 1 2 3; do # often enough to be prepared on the connections
        put "$1" "$2"
        [ "$status" = 200 ] || fail "before: $body"
    done
    cluster_psql -q
    for i in 1 2 3; do
        put "$1" "$2"
        [ "$status" = 200 ] || fail "after: $body"
    done
    [ "$(count "$1")" = 6 ]
}

@test "types that a migration replaces are noticed at the first error" {
    cluster_psql -q <<'SQL'
create type mood as enum ('a'); create table of_enum (v mood);
create table of_array (v mood[]);
create domain small as int check (value < 10); create table of_domain (v small);
create type pair as (a int, b int); create table of_pair (v pair);
SQL
    migrated of_enum a <<'SQL'
create type mood2 as enum ('a', 'b'); alter table of_enum alter v type mood2 using v::text::mood2;
alter table of_array alter v type mood2[] using v::text[]::mood2[]; drop type mood; alter type mood2 rename to mood;
SQL
    migrated of_array '{a}' <<'SQL'
create type mood3 as enum ('a', 'c'); alter table of_array alter v type mood3[] using v::text[]::mood3[];
alter table of_enum alter v type mood3 using v::text::mood3; drop type mood; alter type mood3 rename to mood;
SQL
    migrated of_domain 7 <<'SQL'
create domain small2 as int check (value < 20); alter table of_domain alter v type small2; drop domain small;
SQL
    migrated of_pair '(1,2)' <<'SQL'
create type pair2 as (a int, b int); alter table of_pair alter v type pair2 using v::text::pair2; drop type pair;
SQL
    cluster_psql -q -c 'create extension citext; create table of_extension (v citext)'
    migrated of_extension a <<'SQL'
alter table of_extension alter v type text; drop extension citext; create extension citext;
alter table of_extension alter v type citext;
SQL
}

committing() { [ "$(sql "select count(*) from pg_stat_activity where wait_event = 'PgSleep'")" = 1 ]; }

@test "a backend that is ended during COMMIT: never 503" {
    curl -s "$SERVER_URL/sql" -o "$BATS_TEST_TMPDIR/answer" -w '%{http_code}' -d '["insert into slow values (1)"]' >"$BATS_TEST_TMPDIR/status" &
    poll_until 5 committing
    sql "select pg_terminate_backend(pid) from pg_stat_activity where wait_event = 'PgSleep'" >/dev/null
    wait
    case $(cat "$BATS_TEST_TMPDIR/status") in
    400) [ "$(jq -r .code "$BATS_TEST_TMPDIR/answer")" = 57P01 ] ;;
    500) [ "$(jq -r .code "$BATS_TEST_TMPDIR/answer")" = 08007 ] ;;
    *) fail "$(cat "$BATS_TEST_TMPDIR/status" "$BATS_TEST_TMPDIR/answer")" ;;
    esac
    [ "$(count slow)" = 0 ]
}

# last, because PostgreSQL restarts all its backends after it
@test "when the answer to COMMIT is lost: 500 08007, never 503, no Retry-After" {
    for body in '["insert into slow values (1)"]' '{"query":"insert into slow values (1)"}'; do
        poll_until 20 sql 'select 1'
        poll_until 20 answers
        curl -s "$SERVER_URL/sql" -D "$BATS_TEST_TMPDIR/headers" -o "$BATS_TEST_TMPDIR/answer" -w '%{http_code}' -d "$body" >"$BATS_TEST_TMPDIR/status" &
        poll_until 5 committing
        kill -9 "$(sql "select pid from pg_stat_activity where wait_event = 'PgSleep'")"
        wait
        [ "$(cat "$BATS_TEST_TMPDIR/status")" = 500 ] || fail "$(cat "$BATS_TEST_TMPDIR/status" "$BATS_TEST_TMPDIR/answer")"
        [ "$(jq -r .code "$BATS_TEST_TMPDIR/answer")" = 08007 ]
        [ "$(jq 'keys | length' "$BATS_TEST_TMPDIR/answer")" -ge 17 ]
        if grep -i '^retry-after' "$BATS_TEST_TMPDIR/headers"; then fail 'Retry-After on 08007'; fi
    done
    poll_until 20 sql 'select 1'
    poll_until 20 answers
}
answers() { curl -sf -o /dev/null "$SERVER_URL/sql" -d '{"query":"select 1"}'; }
