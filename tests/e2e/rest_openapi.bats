#!/usr/bin/env bats
# The OpenAPI document of /rest: what is in it, and that each role sees its own.

load ../lib/e2e

setup_file() {
    export SECRET=a-secret-of-the-tests-that-is-long-enough
    e2e_start --db-anon-role web --jwt-secret "$SECRET" <<'SQL'
create role web nologin;
create role boss nologin;
comment on schema public is E'Things\nAnd what is done with them.';
create type size as enum ('small', 'big');
create table things (id int primary key, name varchar(20) not null default 'x', size size, price numeric default 1.5, tags text[], extra jsonb);
comment on table things is E'A thing\n\nThere are many.';
comment on column things.price is 'in euros';
create table parts (id bigint primary key, thing_id int references things);
create view small_things as select id, name from things where size = 'small';
create function weigh(thing int, unit text default 'kg') returns numeric language sql stable as 'select 1.0';
create function burn(thing int) returns void language sql as '';
create function sum_up(variadic n int[]) returns int language sql immutable as 'select 1';
grant select on things, small_things to web;
grant all on things, parts, small_things to boss;
revoke execute on function burn from public;
grant execute on function burn to boss;
SQL
}
teardown_file() { e2e_stop; }

token() { # ROLE
    local b64='openssl base64 -A' head
    head=$(printf '{"alg":"HS256"}' | $b64 | tr '+/' '-_' | tr -d =).$(printf '{"role":"%s"}' "$1" | $b64 | tr '+/' '-_' | tr -d =)
    printf '%s.%s' "$head" "$(printf %s "$head" | openssl dgst -sha256 -hmac "$SECRET" -binary | $b64 | tr '+/' '-_' | tr -d =)"
}

@test "tables, columns, functions" {
    req GET /rest/
    [ "$status" = 200 ]
    [ "$(header content-type)" = 'application/openapi+json; charset=utf-8' ]
    assert_json '.swagger == "2.0" and .info.title == "Things" and .info.description == "And what is done with them."'
    assert_json '.definitions.things.required == ["id", "name"]'
    assert_json '.definitions.things.properties.id.description == "Note:\nThis is a Primary Key.<pk/>"'
    assert_json '.definitions.things.properties.name == {"default":"x","maxLength":20,"format":"character varying","type":"string"}'
    assert_json '.definitions.things.properties.size.enum == ["small","big"]'
    assert_json '.definitions.things.properties.price == {"default":1.5,"description":"in euros","format":"numeric","type":"number"}'
    assert_json '.definitions.things.properties.tags == {"format":"text[]","type":"array","items":{"type":"string"}}'
    assert_json '.definitions.things.properties.extra | has("type") | not'
    assert_json '.paths["/things"].get.summary == "A thing" and .paths["/things"].get.description == "There are many."'
    assert_json '.paths["/rpc/weigh"].get.parameters | map(.name) == ["thing","unit"]'
    assert_json '.paths["/rpc/weigh"].post.parameters[0].schema.required == ["thing"]'
    assert_json '.paths["/rpc/sum_up"].get.parameters[0] | .type == "array" and .collectionFormat == "multi"'
    # every reference leads somewhere
    assert_json '. as $doc | [.. | objects | .["$ref"]? // empty | ltrimstr("#/") | split("/")] | all(. as $p | $doc | getpath($p) != null)'
}

@test "each role sees what it may, cached or not" {
    local i
    for i in 1 2; do
        req GET /rest/
        assert_json '(.paths | has("/things")) and (.paths | has("/parts") | not) and (.paths | has("/rpc/burn") | not)'
        req GET /rest/ -H "Authorization: Bearer $(token boss)"
        assert_json '(.paths | has("/parts")) and (.paths | has("/rpc/burn"))'
        assert_json '.definitions.parts.properties.thing_id.description | contains("This is a Foreign Key to `things.id`")'
    done
    req HEAD /rest/
    [ "$status" = 200 ]
}

@test "one that is made in several turns has its length, too" {
    local form
    sql "create schema many; grant usage on schema many to web; do 'begin for i in 1..80 loop
        execute format(''create table many.t%s (id int primary key, name text, price numeric, extra jsonb)'', i); end loop; end';
        grant select on all tables in schema many to web" >/dev/null
    SERVER_NAME=many server_start --db-anon-role web --db-schemas many
    for form in -0 --http1.1; do
        req GET /rest/ $form
        [ "$(header content-length)" = "$(wc -c <"$body_file")" ]
        [ "$(wc -c <"$body_file")" -gt 131072 ]
        assert_json '.definitions | length == 80'
    done
    server_stop
    server_use main
}

# Holds the question for what a role may see until $held is killed.
hold() {
    cluster_psql -q -c 'begin; lock table pg_catalog.pg_description; select pg_sleep(60)' >/dev/null 2>&1 3>&- &
    held=$!
    poll_until 10 locked
}
locked() { [ "$(sql "select count(*) from pg_locks where relation = 'pg_description'::regclass and mode = 'AccessExclusiveLock' and granted")" = 1 ]; }
let_go() {
    sql "select pg_terminate_backend(pid) from pg_locks where relation = 'pg_description'::regclass and mode = 'AccessExclusiveLock'" >/dev/null
    wait "$held" || true
}
in_flight() { curl -sf "$SERVER_ADMIN/metrics" | grep -qx "pghttpd_http_requests_in_flight $1"; }
asking() { [ "$(sql "select count(*) from pg_locks where relation = 'pg_description'::regclass and not granted")" = "$1" ]; }

@test "many ask at once: the database is asked once, whoever leaves" {
    local i pids=() first out=$BATS_TEST_TMPDIR/many
    SERVER_NAME=once server_start --db-anon-role web --jwt-secret "$SECRET"
    hold
    curl -s -m 30 "$SERVER_URL/rest/" 3>&- &
    first=$!
    poll_until 10 asking 1
    for i in 1 2 3; do
        curl -sf -m 30 "$SERVER_URL/rest/" -o "$out.$i" 3>&- &
        pids+=($!)
    done
    curl -sf -m 30 "$SERVER_URL/rest/" -H "Authorization: Bearer $(token boss)" -o "$out.boss" 3>&- &
    pids+=($!)
    poll_until 10 in_flight 5
    poll_until 10 asking 2 # the first one, and that of another role
    kill $first
    wait $first || true
    poll_until 10 in_flight 4
    poll_until 10 asking 2 # one of those who waited
    let_go
    for i in "${pids[@]}"; do wait "$i"; done
    cmp "$out.1" "$out.2"
    cmp "$out.1" "$out.3"
    jq -e '.paths | has("/things") and (has("/parts") | not)' "$out.1" >/dev/null
    jq -e '.paths | has("/parts")' "$out.boss" >/dev/null
    server_stop
    server_use main
}

@test "a reload is seen at once" {
    seen() { req GET /rest/; jq -e '.paths | has("/later")' "$body_file" >/dev/null; }
    sql 'create table later (id int); grant select on later to web' >/dev/null
    sql "notify pgrst, 'reload schema'" >/dev/null
    poll_until 10 seen
}

@test "where clients reach it: the proxy's address" {
    local line uri scheme host path
    while read -r uri scheme host path; do
        SERVER_NAME=proxied server_start --db-anon-role web --openapi-server-proxy-uri "$uri"
        req GET /rest/
        assert_json --arg s "$scheme" --arg h "$host" --arg p "$path" '.schemes == [$s] and .host == $h and .basePath == $p'
        server_stop
    done <<'URIS'
https://example.org/api https example.org:443 /api
http://example.org http example.org:80 /
http://[2001:db8::1]:8080/x/y http [2001:db8::1]:8080 /x/y
URIS
    server_use main
}

@test "only what can be given" {
    req GET /rest/ -H 'Accept: text/csv'
    [ "$status" = 406 ]
    assert_json '.code == "PGRST107"'
    req POST /rest/ -d '{}'
    [ "$status" = 405 ]
    assert_json '.code == "PGRST117"'
}
