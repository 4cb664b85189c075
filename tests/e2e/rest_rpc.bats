#!/usr/bin/env bats
# Functions through /rest/rpc: which one is meant, with what, in what transaction, and what comes back.

load ../lib/e2e

setup_file() {
    e2e_start --db-anon-role web --db-pool 1 <<'SQL'
create role web nologin;
create table items (id int primary key, name text);
create table parts (item_id int references items, n int);
insert into items select i, 'item ' || i from generate_series(1, 5) i;
insert into parts values (1, 10), (1, 11), (2, 20);
grant all on items, parts to web;
create function add(a int, b int) returns int language sql immutable return a + b;
create function greet(name text, mark text default '!') returns text language sql immutable return 'hello ' || name || mark;
create function over(a int) returns text language sql immutable return 'one';
create function over(a int, b int) returns text language sql immutable return 'two';
create function twin(a int) returns text language sql immutable return 'int';
create function twin(a text) returns text language sql immutable return 'text';
create function total(variadic n int[]) returns bigint language sql immutable return (select sum(x) from unnest(n) x);
create function all_items() returns setof items language sql stable as 'select * from items order by id';
create function one_item(i int) returns items language sql stable as 'select * from items where id = i';
create function numbers(n int) returns setof int language sql immutable return generate_series(1, n);
create function pair(out a int, out b text) language sql immutable as $$ select 1, 'x' $$;
create function grid(n int) returns table (x int, y int) language sql immutable as 'select i, i * i from generate_series(1, n) i';
create function nothing() returns void language sql as '';
create function raw_json(json) returns json language sql immutable as 'select $1';
create function raw_text(text) returns text language sql immutable as $$ select upper($1) $$;
create function raw_bytes(bytea) returns int language sql immutable as 'select length($1)';
create function maybe_text(text default 'none') returns text language sql immutable as 'select $1';
create function maybe_json(jsonb default '"none"') returns jsonb language sql immutable as 'select $1';
create function rename_all(new text) returns setof items language sql as 'update items set name = new where id > 3 returning *';
create function writes_on_get() returns int language sql as $$ insert into items values (99, 'x') returning id $$;
create function read_only() returns text language sql stable as $$ select current_setting('transaction_read_only') $$;
create function mode() returns text language sql volatile as $$ select current_setting('transaction_read_only') $$;
create function slow() returns text language sql stable set statement_timeout = '100ms' as $$ select current_setting('statement_timeout') $$;
create function level() returns text language sql stable set default_transaction_isolation = 'serializable' as $$ select current_setting('transaction_isolation') $$;
create function leave() returns text language sql volatile as $$ select set_config('my.secret', 'x', false) || pg_advisory_lock(77) $$;
create function find() returns json language sql stable as $$ select json_build_object('secret', current_setting('my.secret', true),
    'locks', (select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid())) $$;
create function teapot() returns void language sql as $$ select set_config('response.status', '418', true),
    set_config('response.headers', '[{"X-Tea":"green"},{"Set-Cookie":"a=1"},{"Set-Cookie":"b=2"}]', true); $$;
create function sets_header(name text, value text) returns int language sql as $$
    select 1 from set_config('response.headers', json_build_array(json_build_object(name, value))::text, true) $$;
create view keeps_headers as select set_config('response.status', '418', false) as status,
    set_config('response.headers', '[{"X-Tea":"kept"}]', false) as headers;
grant select on keeps_headers to web;
create function to_latin() returns text language plpgsql as $$ begin
    perform set_config('client_encoding', 'LATIN1', false); return 'é'; end $$;
create function broken_headers() returns void language sql as $$ select set_config('response.headers', '{"a":1}', true) $$;
create function early() returns void language sql as $$ select set_config('response.status', '103', true) $$;
create function raises(state text) returns void language plpgsql as $$ begin raise sqlstate 'PT402' using message = 'pay', hint = state; end $$;
create function full_control() returns void language plpgsql as $$ begin raise sqlstate 'PGRST' using
    message = '{"code":"X1","message":"no","details":"d","hint":"h"}', detail = '{"status":332,"headers":{"X-A":"b"}}'; end $$;
create function raises_text(message text, detail text) returns void language plpgsql as $$ begin
    if detail is null then raise sqlstate 'PGRST' using message = message; end if;
    raise sqlstate 'PGRST' using message = message, detail = detail; end $$;
create domain "image/x-dot" as bytea;
create domain "text/x-list" as text;
create function dot() returns "image/x-dot" language sql immutable as $$ select '\x00ff0a41'::bytea $$;
create function list_step(state "text/x-list", item items) returns "text/x-list" language sql immutable as $$ select state || item.id || ';' $$;
create function taint() returns int language sql volatile as
    $$ select 1 from (select set_config('my.secret', 'x', false), pg_advisory_lock(77)) s $$;
create table leaving (id int primary key, a int);
create function leaves(leaving) returns int language sql volatile as 'select taint()';
create view leaving_view as select id, taint() from leaving;
create view leaving_top as select id from (select id, t.taint from leaving_view t offset 0) s where taint = 1;
create view bare_view as select pg_advisory_lock(77)::text as l, set_config('my.secret', 'x', false) as s;
create table guarded (id int);
alter table guarded enable row level security;
create policy p on guarded using (taint() = 1);
create function taint_trigger() returns trigger language plpgsql as $$ begin perform taint(); return new; end $$;
create table leaving_trigger (a int);
create trigger t before insert on leaving_trigger for each row execute function taint_trigger();
create view leaving_trigger_view as select a from leaving_trigger;
create table leaving_default (a int, b int default taint());
insert into leaving values (1, 1);
insert into guarded values (1);
grant all on leaving, leaving_view, leaving_top, bare_view, guarded, leaving_trigger, leaving_trigger_view, leaving_default to web;
create aggregate list(items) (sfunc = list_step, stype = "text/x-list", initcond = '');
SQL
}
teardown_file() { e2e_stop; }

call() { req POST "/rest/rpc/$1" -H 'Content-Type: application/json' -d "$2" "${@:3}"; }

@test "GET, POST and HEAD; defaults" {
    req GET '/rest/rpc/add?a=2&b=3'
    [ "$status" = 200 ]
    [ "$body" = 5 ]
    [ "$(header content-range)" = '0-0/*' ]
    call add '{"a":2,"b":40}'
    [ "$body" = 42 ]
    req POST /rest/rpc/add -d 'a=1&b=1'
    [ "$body" = 2 ]
    req HEAD '/rest/rpc/add?a=2&b=3'
    [ "$status" = 200 ]
    [ "$(header content-range)" = '0-0/*' ]
    call greet '{"name":"you"}'
    [ "$body" = '"hello you!"' ]
    req GET '/rest/rpc/greet?name=you&mark=.'
    [ "$body" = '"hello you."' ]
    req OPTIONS /rest/rpc/add
    [ "$status" = 200 ]
}

@test "overloads are told apart by the names of their arguments" {
    call over '{"a":1}'
    [ "$body" = '"one"' ]
    call over '{"a":1,"b":2}'
    [ "$body" = '"two"' ]
    call over '{"c":1}'
    [ "$status" = 404 ]
    assert_json '.code == "PGRST202" and .message == "Could not find the function public.over(c) in the schema cache"'
    call twin '{"a":1}'
    [ "$status" = 300 ]
    assert_json '.code == "PGRST203" and (.message | contains("public.twin(a => integer), public.twin(a => text)"))'
    call nope '{}'
    [ "$status" = 404 ]
}

@test "variadic: repeated in a query, an array in JSON" {
    req GET '/rest/rpc/total?n=1&n=2&n=39'
    [ "$body" = 42 ]
    call total '{"n":[40,2]}'
    [ "$body" = 42 ]
}

@test "a single parameter without a name takes the body" {
    call raw_json '{"any":["thing"]}'
    [ "$body" = '{"any":["thing"]}' ]
    req POST /rest/rpc/raw_text -H 'Content-Type: text/plain' -d 'abc'
    [ "$body" = '"ABC"' ]
    for bad in 'a\0b' 'a\377b'; do # never cut, never passed on
        printf "$bad" >"$BATS_TEST_TMPDIR/bad"
        req POST /rest/rpc/raw_text -H 'Content-Type: text/plain' --data-binary @"$BATS_TEST_TMPDIR/bad"
        [ "$status" = 400 ] || fail "$bad: $status $body"
        assert_json '.code == "PGRST102" and (.message | test("UTF-8"))'
    done
    req POST /rest/rpc/raw_bytes -H 'Content-Type: application/octet-stream' --data-binary $'\x01\xff\x02x'
    [ "$body" = 4 ]
}

@test "shapes of results" {
    req GET '/rest/rpc/numbers?n=3'
    [ "$body" = '[1, 2, 3]' ]
    req GET /rest/rpc/pair
    [ "$body" = '{"a":1,"b":"x"}' ]
    req GET '/rest/rpc/one_item?i=2'
    [ "$body" = '{"id":2,"name":"item 2"}' ]
    req GET '/rest/rpc/grid?n=2'
    assert_json '. == [{"x":1,"y":1},{"x":2,"y":4}]'
    call nothing '{}'
    [ "$status" = 204 ]
    [ -z "$body" ]
    [ -z "$(header content-type)" ]
}

@test "select, filters, order, limit and embeds work on rows of a function" {
    req GET '/rest/rpc/all_items?select=name,parts(n)&id=lt.3&order=id.desc&parts.order=n.desc'
    assert_json '. == [{"name":"item 2","parts":[{"n":20}]},{"name":"item 1","parts":[{"n":11},{"n":10}]}]'
    req GET '/rest/rpc/all_items?limit=2&offset=1&select=id' -H 'Prefer: count=exact'
    [ "$status" = 206 ]
    [ "$(header content-range)" = '1-2/5' ]
    call all_items '{}' -H 'Accept: text/csv'
    [ "$(head -2 <<<"$body")" = $'id,name\n1,"item 1"' ]
    req GET '/rest/rpc/all_items?offset=50' -H 'Prefer: count=exact'
    [ "$status" = 416 ]
}

@test "read-only where it must be" {
    req GET /rest/rpc/mode
    [ "$body" = '"on"' ]
    call mode '{}'
    [ "$body" = '"off"' ]
    call read_only '{}'
    [ "$body" = '"on"' ]
    req GET /rest/rpc/writes_on_get
    [ "$status" = 405 ]
    assert_json '.code == "25006"'
    [ "$(sql 'select count(*) from items where id = 99')" = 0 ]
}

@test "settings of a function hold for its whole transaction" {
    req GET /rest/rpc/slow
    [ "$body" = '"100ms"' ]
    req GET /rest/rpc/level
    [ "$body" = '"serializable"' ]
}

@test "what a function leaves behind reaches nobody else" {
    call leave '{}'
    [ "$status" = 200 ]
    req GET /rest/rpc/find
    assert_json '.secret == null or .secret == ""'
    assert_json '.locks == 0'
}

@test "what functions behind views, policies, computed fields, triggers and defaults leave reaches nobody else" {
    clean() { # whether the next request finds the session as it should be
        req GET /rest/rpc/find
        assert_json '(.secret // "") == "" and .locks == 0'
    }
    for path in '/rest/leaving_view' '/rest/leaving_top?select=id' '/rest/guarded' '/rest/leaving?select=id,leaves' \
        '/rest/leaving?select=id&leaves=eq.1' '/rest/leaving?select=id&order=leaves' '/rest/bare_view'; do
        req GET "$path"
        [ "$status" = 200 ] || fail "$path: $body"
        clean || fail "$path"
    done
    for table in leaving_trigger leaving_default leaving_trigger_view; do
        req POST "/rest/$table" -H 'Content-Type: application/json' -d '{"a":1}'
        [ "$status" = 201 ] || fail "$table: $body"
        clean || fail "$table"
    done
}

@test "status and headers that a view left in the session are nobody else's" {
    for path in '/rest/rpc/add?a=2&b=3' '/rest/items?select=id&id=gt.1&limit=2' '/rest/items?id=eq.1'; do
        req GET /rest/keeps_headers
        [ "$status" = 200 ]
        req GET "$path"
        [ "$status" = 200 ] || fail "$path: $status"
        [ -z "$(header x-tea)" ]
    done
    req GET /rest/keeps_headers
    req PATCH '/rest/items?id=eq.77' -H 'Content-Type: application/json' -d '{"name":"x"}'
    [ "$status" = 204 ]
    # what the operator gave the login for every answer stays
    sql "alter role postgres set \"response.headers\" = '[{\"X-House\":\"yes\"}]'"
    SERVER_NAME=house server_start --db-anon-role web --db-pool 1
    req GET /rest/keeps_headers
    req GET '/rest/rpc/add?a=2&b=3'
    [ "$status $(header x-house)" = '200 yes' ]
    server_stop
    server_use main
    sql 'alter role postgres reset "response.headers"'
}

@test "a function that changes client_encoding: no answer in another encoding, and none for those behind" {
    call to_latin '{}'
    [ "$status" = 500 ]
    assert_json '.code == "08007"'
    req GET '/rest/rpc/greet?name=%C3%A9'
    [ "$body" = '"hello é!"' ]
}

@test "max-affected and single objects roll back" {
    call rename_all '{"new":"x"}' -H 'Prefer: handling=strict, max-affected=1'
    [ "$status" = 400 ]
    assert_json '.code == "PGRST124" and .details == "The query affects 2 rows"'
    call rename_all '{"new":"x"}' -H 'Accept: application/vnd.pgrst.object+json'
    [ "$status" = 406 ]
    [ "$(sql "select count(*) from items where name = 'x'")" = 0 ]
    call add '{"a":1,"b":2}' -H 'Prefer: handling=strict, max-affected=1'
    assert_json '.code == "PGRST128"'
    call rename_all '{"new":"x"}' -H 'Prefer: handling=strict, max-affected=2'
    [ "$status" = 200 ]
    [ "$(sql "select count(*) from items where name = 'x'")" = 2 ]
}

@test "functions decide over status and headers" {
    call teapot '{}'
    [ "$status" = 418 ]
    [ "$(header x-tea)" = green ]
    [ "$(grep -ci '^set-cookie:' "$headers")" = 2 ]
    call broken_headers '{}'
    [ "$status" = 500 ]
    assert_json '.code == "PGRST111"'
    [ -z "$(header content-range)" ]
    for bad in 'X-A: a\r\nX-Evil: 1' 'Content-Type: text/x\r\nX-Evil: 1' 'Vary: a\nX-Evil: 1' 'Content-Length: 1' 'a b: c'; do
        call sets_header "$(jq -cn --arg n "${bad%%:*}" --argjson v "\"${bad#*: }\"" '{name: $n, value: $v}')"
        [ "$status" = 500 ] || fail "$bad: $status"
        assert_json '.code == "PGRST111"'
        [ -z "$(header content-range)$(header x-evil)$(header vary)" ]
        [ "$(header content-type)" = 'application/json; charset=utf-8' ]
    done
    call sets_header '{"name":"Content-Type","value":"text/x"}'
    [ "$status $(header content-type)" = '200 text/x' ]
    call early '{}'
    [ "$status" = 500 ]
    assert_json '.code == "PGRST112"'
    call raises '{"state":"x"}'
    [ "$status" = 402 ]
    assert_json '.message == "pay" and .hint == "x" and .code == "PT402"'
    call full_control '{}'
    [ "$status" = 332 ]
    [ "$(header x-a)" = b ]
    assert_json '. == {"code":"X1","details":"d","hint":"h","message":"no"}'
}

@test "RAISE SQLSTATE 'PGRST' with what is no JSON says so" {
    call raises_text '{"message":"no","detail":"{}"}'
    [ "$status" = 500 ]
    assert_json '.code == "PGRST121" and (.details | contains("for MESSAGE: '"'no'"'"))'
    for message in '{"code":"X"}' '[]' '{"code":1,"message":"m"}'; do
        call raises_text "$(jq -cn --arg m "$message" '{message: $m, detail: "{\"status\":400,\"headers\":{}}"}')"
        assert_json '.code == "PGRST121" and (.hint | startswith("MESSAGE must be"))'
    done
    call raises_text '{"message":"{\"code\":\"X\",\"message\":\"m\"}","detail":null}'
    assert_json '.code == "PGRST121" and .details == "DETAIL is missing in the RAISE statement"'
    for detail in no '{"status":99,"headers":{}}' '{"status":400}' '{"status":400,"headers":{"X-A":1}}'; do
        call raises_text "$(jq -cn --arg d "$detail" '{message: "{\"code\":\"X\",\"message\":\"m\"}", detail: $d}')"
        [ "$status" = 500 ]
        assert_json '.code == "PGRST121" and (.hint | startswith("DETAIL must be"))'
    done
}

@test "media types of the database's own: bytes of a function, rows through an aggregate" {
    req GET /rest/rpc/dot -H 'Accept: image/x-dot'
    [ "$status $(header content-type)" = '200 image/x-dot' ]
    [ "$(od -An -tx1 "$body_file" | tr -d ' ')" = 00ff0a41 ]
    req GET '/rest/items?id=lt.4&order=id.desc' -H 'Accept: text/x-list'
    [ "$status" = 200 ] || fail "$body"
    [[ $(header content-type) == text/x-list* ]]
    [ "$body" = '3;2;1;' ]
    req GET '/rest/rpc/all_items?limit=2' -H 'Accept: text/x-list'
    [ "$body" = '1;2;' ]
    # what the handler was not made for
    req GET '/rest/items?select=id' -H 'Accept: text/x-list'
    [ "$status" = 406 ]
    req GET '/rest/parts' -H 'Accept: text/x-list'
    [ "$status" = 406 ]
}

@test "an unnamed parameter takes the whole body, also when the key \"\" names it or it has a default" {
    call raw_json '{"":{"a":1}}'
    [ "$status" = 200 ] || fail "$body"
    [ "$body" = '{"":{"a":1}}' ]
    call raw_text '{"":"x"}' # no text/plain, hence found by the key alone
    [ "$status" = 200 ]
    [ "$body" = '"{\"\":\"X\"}"' ]
    call raw_bytes '{"":"x"}'
    [ "$status $body" = '200 8' ]
    req POST /rest/rpc/maybe_text -H 'Content-Type: text/plain' -d 'abc'
    [ "$status $body" = '200 "abc"' ]
    call maybe_json '[{"a":1},{"a":2}]'
    [ "$status $body" = '200 [{"a": 1}, {"a": 2}]' ]
    call maybe_json '{"a":1}'
    [ "$status $body" = '200 {"a": 1}' ]
    # nothing else is a body
    req GET /rest/rpc/maybe_text
    [ "$status $body" = '200 "none"' ]
    req GET '/rest/rpc/raw_text?=x'
    [ "$status" = 400 ]
    assert_json '.code == "PGRST100"'
    req POST /rest/rpc/raw_text -d '=x'
    [ "$status" = 404 ]
    assert_json '.code == "PGRST202"'
    call raw_text '{"a":"x"}'
    [ "$status" = 404 ]
}

@test "bad calls" {
    call add '{"a":1'
    [ "$status" = 400 ]
    assert_json '.code == "PGRST102"'
    call add '{"a":"x","b":1}'
    [ "$status" = 400 ]
    assert_json '.code == "22P02"'
    req PUT /rest/rpc/add -d '{}'
    [ "$status" = 405 ]
    assert_json '.code == "PGRST101"'
    req GET '/rest/rpc/add/more'
    [ "$status" = 404 ]
    req POST /rest/rpc/raw_text -H 'Content-Type: text/xml' -d '<a/>'
    [ "$status" = 404 ]
    assert_json '.details | contains("with a single unnamed xml parameter")'
}

@test "Prefer: timeout bounds the whole request" {
    sql 'create or replace function nap() returns void language sql as $$ select pg_sleep(5) $$' >/dev/null
    sql "notify pgrst, 'reload schema'" >/dev/null
    napped() { req POST /rest/rpc/nap -d '' -H 'Content-Type: application/json' -H 'Prefer: timeout=0.2'; [ "$status" = 500 ]; }
    poll_until 10 napped
    assert_json '.code == "57014"'
}
