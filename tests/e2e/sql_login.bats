#!/usr/bin/env bats
# Who may use /sql: PostgreSQL logins, by Neon's connection string or HTTP Basic; open mode; off; web pages.

load ../lib/e2e

setup_file() {
    e2e_start --sql-access login --login-attempts-max 1000 <<'SQL'
create role alice login password 'a:l@i/c%e';
create role bob login password 'bob';
create role "odd user" login password 'pw';
create role carol login password 'pw';
alter role carol set standard_conforming_strings = off;
create role limited login password 'pw' connection limit 1;
create database second;
create database "odd db";
create table mine (a int);
alter table mine owner to alice;
SQL
}
teardown_file() { e2e_stop; }

neon() { req POST /sql -H "Neon-Connection-String: $1" -d "{\"query\":\"${2:-select current_user::text as u, current_database()::text as d}\"}" "${@:3}"; }
basic() { req POST /sql -u "$1" -d '{"query":"select current_user::text as u, current_database()::text as d"}' "${@:2}"; }
error_is() {
    [ "$status" = "$1" ] || fail "status $status: $body"
    assert_json --arg c "$2" '.code == $c and (keys | length) == 17'
}

@test "a login runs as itself" {
    neon 'postgresql://alice:a%3Al%40i%2Fc%25e@anything.example:1/postgres?sslmode=require'
    [ "$status" = 200 ] || fail "$body"
    assert_json '.rows == [{u:"alice",d:"postgres"}]'
    basic 'alice:a:l@i/c%e'
    assert_json '.rows == [{u:"alice",d:"postgres"}]'
    neon 'postgres://bob:bob@x/postgres'
    assert_json '.rows == [{u:"bob",d:"postgres"}]'
    neon 'postgres://odd%20user:pw@x'
    assert_json '.rows == [{u:"odd user",d:"postgres"}]'
    neon 'postgres://bob:bob@x/postgres' 'select * from mine'
    error_is 400 42501
    neon 'postgres://bob:bob@x/postgres' 'reset role; '
    neon 'postgres://bob:bob@x/postgres' 'set role postgres'
    error_is 400 42501
}

@test "operators of one login's own do not decide how values of another are written" {
    cluster_psql -q <<'SQL'
create type mood as enum ('a', 'b');
create schema hers authorization alice;
set role alice;
create function hers.never("char", "char") returns bool language sql immutable as 'select false';
create operator hers.= (leftarg = "char", rightarg = "char", function = hers.never);
SQL
    neon 'postgres://alice:a%3Al%40i%2Fc%25e@x/postgres?options=-c%20search_path=hers,pg_catalog,public' "select '{a,b}'::public.mood[] as m"
    [ "$status" = 200 ]
    neon 'postgres://bob:bob@x/postgres' "select '{a,b}'::public.mood[] as m"
    assert_json '.rows[0].m == ["a", "b"]'
}

@test "percent signs that encode nothing stay" {
    sql "alter role bob password '100%'" >/dev/null
    neon 'postgres://bob:100%@x/postgres'
    [ "$status" = 200 ] || fail "$body"
    sql "alter role bob password 'bob'" >/dev/null
}

@test "a login that names no database gets the configured one, though db-uri names none either" {
    sql 'create database alice' >/dev/null
    # libpq's rule for db-uri: the database is called as the user; for a login of its own it would be alice
    SERVER_NAME=unnamed server_start --sql-access login --db-uri "$(sed 's|/postgres\(?.*\)\?$|/\1|' <<<"$CLUSTER_URI")"
    basic 'alice:a:l@i/c%e'
    [ "$status" = 200 ] || fail "$body"
    assert_json '.rows == [{u:"alice",d:"postgres"}]'
    neon 'postgres://alice:a%3Al%40i%2Fc%25e@x/postgres'
    assert_json '.rows == [{u:"alice",d:"postgres"}]'
    neon 'postgres://alice:a%3Al%40i%2Fc%25e@x/alice'
    error_is 400 3D000
    server_stop
    SERVER_NAME=all server_start --sql-access login --login-databases '*'
    neon 'postgres://alice:a%3Al%40i%2Fc%25e@x/alice'
    [ "$status" = 200 ] || fail "$body"
    assert_json '.rows == [{u:"alice",d:"alice"}]'
    basic 'alice:a:l@i/c%e'
    assert_json '.rows == [{u:"alice",d:"postgres"}]'
    server_stop
    server_use main
}

@test "a login has db-pool connections, however many options it names" {
    local n statuses began
    SERVER_NAME=share server_start --sql-access login --db-pool 3 --db-connections-max 8 --login-attempts-max 1000
    local pids=()
    for n in {1..24}; do
        curl -s -m 30 -o /dev/null -w '%{http_code}\n' -d '{"query":"select pg_sleep(0.3)"}' "$SERVER_URL/sql" \
            -H "Neon-Connection-String: postgres://alice:a%3Al%40i%2Fc%25e@x/postgres?options=-c%20my.opt%3D$n" >>"$BATS_TEST_TMPDIR/statuses" 3>&- &
        pids+=($!)
    done
    poll_until 5 sh -c "[ \$(psql -XAtc \"select count(*) from pg_stat_activity where usename = 'alice' and query like '%pg_sleep%'\") = 3 ]"
    # others are served meanwhile
    began=$(date +%s%N)
    neon 'postgres://bob:bob@x/postgres'
    [ "$status" = 200 ] || fail "$body"
    [ $((($(date +%s%N) - began) / 1000000)) -lt 1500 ]
    for n in {1..8}; do
        [ "$(sql "select count(*) from pg_stat_activity where usename = 'alice' and state = 'active'")" -le 3 ] # backends of closed connections may linger
        sleep 0.1
    done
    wait "${pids[@]}"
    # and all of its own come to their turn
    statuses=$(sort "$BATS_TEST_TMPDIR/statuses" | uniq -c | xargs)
    [ "$statuses" = "24 200" ] || fail "$statuses"
    server_stop
    server_use main
}

@test "login-attempts-max counts logins that fail; right ones wait their turn" {
    local n pids=() said
    SERVER_NAME=attempts server_start --sql-access login --login-attempts-max 3 --server-trusted-proxies 127.0.0.1 --db-pool 12
    # 15 new pools from one address at once, all with the right password
    for n in {1..15}; do
        curl -s -m 30 -o /dev/null -w '%{http_code}\n' -d '{"query":"select 1"}' "$SERVER_URL/sql" \
            -H "Neon-Connection-String: postgres://alice:a%3Al%40i%2Fc%25e@x/postgres?options=-c%20my.opt%3D$n" >>"$BATS_TEST_TMPDIR/right" 3>&- &
        pids+=($!)
    done
    wait "${pids[@]}"
    [ "$(sort "$BATS_TEST_TMPDIR/right" | uniq -c | xargs)" = '15 200' ] || fail "$(sort "$BATS_TEST_TMPDIR/right" | uniq -c)"
    # wrong ones, from a network of 64 bits: 429 with what to do; the log names the network, and what a proxy needs
    said=''
    for n in {1..12}; do
        basic "alice:wrong$n" -H "X-Forwarded-For: 2001:db8:1:2::$n"
        [ "$status" = 400 ] || [ "$status" = 429 ]
        said+="$status "
        [ "$status" != 429 ] || { error_is 429 53300; [ "$(header retry-after)" = 1 ]; }
    done
    [[ "$said" == *429* ]] || fail "$said"
    server_log | grep -q 'level=error msg="3 logins of 2001:db8:1:2::/64 failed within a second .*server-trusted-proxies'
    # another network is another customer
    basic alice:wrong0 -H 'X-Forwarded-For: 2001:db8:1:3::1'
    error_is 400 28P01
    server_stop
    server_use main
}

@test "options and application_name of the string count, nothing else does" {
    neon 'postgres://bob:bob@x/postgres?options=-c%20my.opt%3Dyes&application_name=myapp&host=evil&port=1&user=alice' \
        "select current_setting('my.opt') as o, current_setting('application_name') as a, current_user::text as u"
    assert_json '.rows == [{o:"yes",a:"myapp",u:"bob"}]'
}

@test "a plus is a space, what belongs to Neon's proxy is dropped, unknown keys of the driver are ignored" {
    neon 'postgres://bob:bob@x/postgres?options=-c+statement_timeout%3D150+endpoint%3Dep-1&application_name=my+app' \
        "select current_setting('statement_timeout') as t, current_setting('application_name') as a"
    assert_json '.rows == [{t:"150ms",a:"my app"}]'
    neon 'postgres://bob:bob@x/postgres?options=project%3Dmy-project' 'select 1 as one'
    assert_json '.rows == [{one:1}]'
    req POST /sql -H 'Neon-Connection-String: postgres://bob:bob@x/postgres' \
        -d '{"query":"select 1 as one","later":{"a":[1]},"also":1}'
    assert_json '.rows == [{one:1}]'
}

@test "each request has its own application_name, though they share connections" {
    called() { # QUERY-OF-THE-STRING NAME [curl options]
        neon "postgres://odd%20user:pw@x/postgres$1" 'show application_name' "${@:3}"
        assert_json --arg n "$2" '.rows == [{application_name: $n}]'
    }
    called '?application_name=first' first
    called '?application_name=second' second
    called '' pghttpd
    called '?application_name=second' my-request -H 'X-Request-Id: my-request'
    called '?application_name=first' first
    called "?application_name=$(printf 'x%.0s' {1..62})%c3%a4" "$(printf 'x%.0s' {1..62})"
    req GET "/copy?query=copy%20(select%20current_setting('application_name'))%20to%20stdout" \
        -H 'Neon-Connection-String: postgres://odd%20user:pw@x/postgres?application_name=third'
    [ "$body" = third ] || fail "$body"
}

@test "a login whose strings take backslashes" {
    carol() { req POST /sql -H 'Neon-Connection-String: postgres://carol:pw@x/postgres' -d "$(jq -cn --arg q "$1" '{query: $q, params: {a: 1}}')"; }
    carol 'show standard_conforming_strings'
    assert_json '.rows[0].standard_conforming_strings == "off"'
    carol "select 'it\\' :b' as s, :a::int as n"
    [ "$status" = 200 ] || fail "$body"
    assert_json '.rows[0].s == "it'"'"' :b" and .rows[0].n == 1'
    # read the other way the call is inside a string
    carol "select '\\'', set_config('my.leak', 'yes', false), '\\' -- '"
    [ "$status" = 200 ] || fail "$body"
    for _ in 1 2 3; do
        carol "select coalesce(current_setting('my.leak', true), '') as leak"
        assert_json '.rows[0].leak == ""'
    done
}

@test "strings are read as the session reads them in a login's first request, too" {
    local i q form
    # another database or options make another pool: each of these is a first request
    for i in 1 2 3; do
        req POST /sql -H "Neon-Connection-String: postgres://carol:pw@x/postgres?options=-c%20my.opt%3D$i" \
            -d "$(jq -cn --arg q "select 'it\\' :b' as s, :a::int as n" '{query: $q, params: {a: 1}}')"
        [ "$status" = 200 ] || fail "$body"
        assert_json '.rows[0].s == "it'"'"' :b" and .rows[0].n == 1'
    done
    for i in 4 5; do
        req POST /sql -H "Neon-Connection-String: postgres://carol:pw@x/postgres?options=-c%20my.opt%3D$i" \
            -d "$(jq -cn --arg q "select 'it\\' :b' as s, :a::int as n" '["select 1", {query: $q, params: {a: 1}}]')"
        [ "$status" = 200 ] || fail "$body"
        assert_json '.results[1].rows[0] == {s: "it'"'"' :b", n: 1}'
    done
    q='select%20%27it%5C%27%20:b%27%20as%20s,%20:a::int%20as%20n'
    req GET "/sql?query=$q&params=%7B%22a%22:1%7D" -H 'Neon-Connection-String: postgres://carol:pw@x/postgres?options=-c%20my.opt%3D6'
    assert_json '.rows[0].s == "it'"'"' :b" and .rows[0].n == 1'
    req POST '/sql?params=%7B%22a%22:1%7D' -H 'Content-Type: application/sql' --data-binary "select 'it\\' :b' as s, :a::int as n" \
        -H 'Neon-Connection-String: postgres://carol:pw@x/postgres?options=-c%20my.opt%3D7'
    assert_json '.rows[0].s == "it'"'"' :b" and .rows[0].n == 1'
    # strings of the other kind, first requests as well
    for i in 1 2; do
        req POST /sql -H "Neon-Connection-String: postgres://bob:bob@x/postgres?options=-c%20my.opt%3D$i" \
            -d "$(jq -cn --arg q "select 'it\\' || :b as s" '{query: $q, params: {b: "!"}}')"
        [ "$status" = 200 ] || fail "$body"
        assert_json '.rows[0].s == "it\\!"'
    done
    # what goes wrong on the way there is told as ever
    for form in '{"query":"select $$\\$$ || :b","params":{"b":1}}' '{"query":"select 1\n, :b::int","params":{"b":1}}'; do
        req POST /sql -H 'Neon-Connection-String: postgres://carol:wrong@x/postgres?options=-c%20my.opt%3D8' -d "$form"
        error_is 400 28P01
    done
    req POST /sql -H 'Neon-Connection-String: postgres://carol:pw@x/postgres?options=-c%20my.opt%3D9' -d '{"query":"select \n :c","params":{"b":1}}'
    error_is 400 PGH103
}

@test "refused logins carry PostgreSQL's own error" {
    neon 'postgres://alice:wrong@x/postgres'
    error_is 400 28P01
    assert_json '.severity == "FATAL" and (.file|type) == "string" and (.routine|type) == "string"'
    neon 'postgres://nobody:x@x/postgres'
    error_is 400 28P01
    neon 'postgres://alice:@x/postgres'
    [ "$status" = 400 ]
    neon 'postgres://alice@x/postgres'
    [ "$status" = 400 ]
    basic 'bob:'
    [ "$status" = 400 ]
    # the right password still works, and a wrong one after it does not
    neon 'postgres://bob:bob@x/postgres'
    [ "$status" = 200 ]
    neon 'postgres://bob:bobb@x/postgres'
    error_is 400 28P01
}

@test "other databases are refused, whatever their name says" {
    neon 'postgres://bob:bob@x/second'
    error_is 400 3D000
    neon 'postgres://bob:bob@x/host%3D127.0.0.1%20port%3D1'
    error_is 400 3D000
    neon 'postgres://bob:bob@x/postgres%20host%3Devil'
    error_is 400 3D000
    SERVER_NAME=two server_start --sql-access login --login-databases postgres,second,none
    neon 'postgres://bob:bob@x/second'
    assert_json '.rows == [{u:"bob",d:"second"}]'
    neon 'postgres://bob:bob@x/none'
    error_is 400 3D000
    assert_json '.severity == "FATAL"'
    neon 'postgres://bob:bob@x/second'
    # a database that is gone: PostgreSQL's own word for it, also when it is not asked each time
    sql "select pg_terminate_backend(pid) from pg_stat_activity where datname = 'second'" >/dev/null
    sql 'alter database second rename to third'
    said=$(curl -s -m 30 -o /dev/null -w '%{http_code}\n' -H 'Neon-Connection-String: postgres://bob:bob@x/second' \
        -d '{"query":"select 1"}' "$SERVER_URL/sql#[1-50]" | sort | uniq -c)
    sql 'alter database third rename to second'
    [ "$(awk '{print $2}' <<<"$said")" = 400 ] || fail "$said"
    server_stop
    server_use main
}

@test "no credentials: 401, with a challenge for programs only" {
    req POST /sql -d '{"query":"select 1"}'
    error_is 401 28000
    [ "$(header www-authenticate)" = 'Basic realm="PostgreSQL", charset="UTF-8"' ]
    req POST /sql -H 'Sec-Fetch-Mode: cors' -d '{"query":"select 1"}'
    error_is 401 28000
    if header www-authenticate; then fail 'a browser is asked for credentials'; fi
    req POST /sql -H 'Authorization: Bearer abc' -d '{"query":"select 1"}'
    error_is 401 28000
}

@test "garbage connection strings, and very long ones" {
    for bad in x 'postgres:' 'http://u:p@h/d' 'postgres://' '%' 'postgres://@x/d' 'postgres://:p@x/d'; do
        neon "$bad"
        [ "$status" = 400 ] || fail "$bad: $status $body"
    done
    long=$(head -c 7000 /dev/zero | tr '\0' a)
    neon "postgres://bob:$long@x/postgres"
    error_is 400 28P01
    SERVER_NAME=big server_start --sql-access login --server-header-memory 128kB
    long=$(head -c 32768 /dev/zero | tr '\0' a)
    neon "postgres://bob:$long@x/postgres"
    [ "$status" = 400 ] || fail "$status $body"
    neon "postgres://bob:bob@x/postgres?ignored=$long"
    [ "$status" = 200 ] || fail "$status $body"
    server_stop
    server_use main
}

@test "wrong passwords at rate do not lock out the right one" {
    seq 1 100 | xargs -P 10 -I{} curl -s -o /dev/null "$SERVER_URL/sql" -H 'Neon-Connection-String: postgres://bob:wrong{}@x/postgres' -d '{"query":"select 1"}' &
    for i in 1 2 3 4 5 6 7 8 9 10; do
        neon 'postgres://bob:bob@x/postgres'
        [ "$status" = 200 ] || fail "$body"
    done
    wait
}

@test "too many connections is PostgreSQL's 53300" {
    cluster_psql -c "select pg_sleep(0)" >/dev/null
    PGPASSWORD=pw psql -h 127.0.0.1 -p "$CLUSTER_PORT" -U limited -d postgres -c 'select pg_sleep(3)' >/dev/null &
    one() { [ "$(sql "select count(*) from pg_stat_activity where usename = 'limited'")" = 1 ]; }
    poll_until 5 one
    neon 'postgres://limited:pw@x/postgres'
    error_is 400 53300
    wait
}

@test "web pages are kept out" {
    req POST /sql -H 'Origin: https://evil.example' -u bob:bob -d '{"query":"select 1"}'
    [ "$status" = 403 ]
    assert_json 'keys | length == 17'
    req POST /sql -H 'Sec-Fetch-Site: cross-site' -u bob:bob -d '{"query":"select 1"}'
    [ "$status" = 403 ]
    req POST /sql -H "Origin: $SERVER_URL" -u bob:bob -d '{"query":"select 1"}'
    [ "$status" = 200 ]
}

@test "open mode: foreign Host 421; credentials are not looked at" {
    SERVER_NAME=open server_start --sql-access open
    req POST /sql -d '{"query":"select current_user::text as u"}'
    assert_json '.rows == [{u:"postgres"}]'
    req POST /sql -H 'Host: evil.example' -d '{"query":"select 1"}'
    [ "$status" = 421 ]
    req POST /sql -H 'Host: localhost:99' -d '{"query":"select 1"}'
    [ "$status" = 200 ]
    server_stop
    SERVER_NAME=off server_start --sql-access off
    req POST /sql -d '{"query":"select 1"}'
    [ "$status" = 404 ]
    req GET '/copy?query=copy+mine+to+stdout'
    [ "$status" = 404 ]
    server_stop
    server_use main
}

@test "NOTIFY pgrst: a login's prepared statements take the new types of altered tables" {
    sql "create table readings (r real); grant all on readings to bob" >/dev/null
    put() { req POST /sql -u bob:bob -d '{"query":"insert into readings values ($1) returning r::text","params":["0.1"]}'; }
    for i in 1 2 3; do
        put
        [ "$status" = 200 ] || fail "$body"
    done
    sql "alter table readings alter r type float8; notify pgrst, 'reload schema'" >/dev/null
    exact() { put && jq -e '.rows == [{r:"0.1"}]' <<<"$body" >/dev/null; }
    poll_until 5 exact || fail "$body"
}
