#!/usr/bin/env bats
# Reading through /rest on the demo database: rows, embeds, ranges, counts, media types, errors, bounds.

load ../lib/e2e

setup_file() {
    e2e_start --db-schemas api --db-anon-role web_anon --db-aggregates-enabled true --db-plan-enabled true \
        <"$BATS_TEST_DIRNAME/../../config/demo.sql"
}
teardown_file() { e2e_stop; }

get() { req GET "$@"; }
code() { jq -r .code <<<"$body"; }

# N times a text
times() { printf "%0.s$2" $(seq "$1"); }

@test "a row by its key has the headers of a read" {
    get '/rest/products?id=eq.7&select=id,name'
    [ "$status" = 200 ]
    [ "$body" = "$(sql "select json_agg(t) from (select id, name from api.products where id = 7) t")" ]
    [ "$(header content-type)" = 'application/json; charset=utf-8' ]
    [ "$(header content-range)" = '0-0/*' ]
    [ "$(header content-location)" = '/products?id=eq.7&select=id%2Cname' ]
    [ "$(header content-length)" = "${#body}" ]
    grep -qi '^vary: Accept, Prefer, Range' "$headers"
}

@test "a point read with role, claims and search_path is one write and one read on the database's socket" {
    SERVER_NAME=one server_start --db-schemas api --db-anon-role web_anon --db-pool 1 --db-channel-enabled false \
        --jwt-secret 'a demo secret of more than 32 characters'
    local head=eyJhbGciOiJIUzI1NiJ9 claims token
    claims=$(printf '{"role":"staff"}' | base64 -w0 | tr '+/' '-_' | tr -d =)
    token=$head.$claims.$(printf %s "$head.$claims" | openssl dgst -sha256 -hmac 'a demo secret of more than 32 characters' -binary | base64 -w0 | tr '+/' '-_' | tr -d =)
    for _ in 1 2; do # prepared by then
        get '/rest/products?id=eq.7&select=id' -H "Authorization: Bearer $token"
    done
    one_trip get '/rest/products?id=eq.8&select=id' -H "Authorization: Bearer $token"
    [ "$status $body" = '200 [{"id":8}]' ]
    server_stop
    server_use main
}

@test "filters, orders and logic say what SQL says" {
    get '/rest/products?select=id&price=gte.10&price=lt.20&or=(stock.eq.0,and(stock.gt.5,name.ilike.*a*))&order=price.desc,id'
    [ "$status" = 200 ]
    [ "$body" = "$(sql "select coalesce(json_agg(t), '[]') from (select id from api.products where price >= 10 and price < 20
        and (stock = 0 or stock > 5 and name ilike '%a%') order by price desc, id) t")" ]
    get '/rest/products?select=id,color:attributes->>color&tags=cs.{new}&id=not.in.(1,2,3)&order=id&limit=20'
    [ "$body" = "$(sql "select coalesce(json_agg(t), '[]') from (select id, attributes->>'color' as color from api.products
        where tags @> '{new}' and not id in (1,2,3) order by id limit 20) t")" ]
}

@test "embeds of every kind" {
    get '/rest/products?select=id,categories(name,parent:parent_id(name))&id=lt.4&order=id'
    [ "$status" = 200 ]
    assert_json 'length == 3 and (.[0].categories.name | type) == "string"'
    get '/rest/categories?select=name,products!inner(id)&products.price=gt.90&products.order=id.desc&products.limit=2'
    assert_json 'all(.[]; (.products | length) >= 1 and (.products | length) <= 2)'
    get '/rest/products?select=id,...categories(category:name)&id=eq.1'
    assert_json '.[0] | keys == ["category","id"]'
    get '/rest/categories?select=name,products()&products=is.null'
    [ "$(jq length <<<"$body")" = "$(sql "select count(*) from api.categories c
        where not exists (select from api.products p where p.category_id = c.id)")" ]
}

@test "aggregates group by what else is selected" {
    get '/rest/products?select=category_id,count(),price.avg()::int&order=category_id'
    [ "$body" = "$(sql "select json_agg(t) from (select category_id, count(*), avg(price)::int as avg from api.products
        group by category_id order by category_id) t")" ]
}

@test "ranges and counts" {
    total=$(sql 'select count(*) from api.products')
    get '/rest/products?select=id&order=id' -H 'Range: 5-9' -H 'Prefer: count=exact'
    [ "$status" = 206 ]
    [ "$(header content-range)" = "5-9/$total" ]
    [ "$(header preference-applied)" = 'count=exact' ]
    [ "$body" = "$(sql 'select json_agg(t) from (select id from api.products order by id limit 5 offset 5) t')" ]
    get '/rest/products?select=id' -H 'Prefer: count=exact'
    [ "$status" = 200 ]
    [ "$(header content-range)" = "0-$((total - 1))/$total" ]
    get '/rest/products?offset=100000' -H 'Prefer: count=exact'
    [ "$status" = 416 ]
    [ "$(header content-range)" = "*/$total" ]
    [ "$(code)" = PGRST103 ]
    get '/rest/products?limit=1' -H 'Prefer: count=planned'
    [[ "$(header content-range)" =~ ^0-0/[0-9]+$ ]]
    get '/rest/products?limit=-1'
    [ "$status" = 416 ]
    get '/rest/products' -H 'Range: 9-5'
    [ "$status" = 416 ]
    get '/rest/products?limit=0' -H 'Prefer: count=exact'
    [ "$status $body $(header content-range)" = "206 [] */$total" ]
}

@test "media types" {
    get '/rest/products?select=id,name&id=lt.3&order=id' -H 'Accept: text/csv'
    [ "$(header content-type)" = 'text/csv; charset=utf-8' ]
    [ "$body" = "$(printf 'id,name\n%s' "$(sql "select string_agg(substring(t::text, 2, length(t::text) - 2), e'\n')
        from (select id, name from api.products where id < 3 order by id) t")")" ]
    get '/rest/products?id=eq.1&select=id' -H 'Accept: application/vnd.pgrst.object+json'
    [ "$body" = '{"id":1}' ]
    get '/rest/products?id=lt.3&select=id' -H 'Accept: application/vnd.pgrst.object+json'
    [ "$status $(code)" = '406 PGRST116' ]
    get '/rest/categories?parent_id=is.null&limit=1&select=id,parent_id' -H 'Accept: application/vnd.pgrst.array+json;nulls=stripped'
    assert_json '.[0] | has("parent_id") | not'
    get '/rest/products?id=eq.1' -H 'Accept: application/vnd.pgrst.plan+json'
    assert_json '.[0].Plan["Node Type"] | type == "string"'
    get '/rest/products?id=eq.1' -H 'Accept: image/png'
    [ "$status $(code)" = '406 PGRST107' ]
}

@test "HEAD has no body, OPTIONS asks nobody" {
    req HEAD '/rest/products?limit=3' -H 'Prefer: count=exact'
    [ "$status" = 206 ]
    [ -z "$(header content-length)" ]
    req OPTIONS /rest/products
    [ "$status $(header allow)" = '200 OPTIONS,GET,HEAD,POST,PUT,PATCH,DELETE' ]
    req OPTIONS /rest/nothing
    [ "$status $(code)" = '404 PGRST205' ]
}

@test "errors say what and where" {
    get '/rest/products?id=what.1'
    [ "$status $(code)" = '400 PGRST100' ]
    [ "$(jq -r .message <<<"$body")" = '"failed to parse filter (what.1)" (line 1, column 1)' ]
    get '/rest/product'
    [ "$status $(code)" = '404 PGRST205' ]
    [ "$(jq -r .hint <<<"$body")" = "Perhaps you meant the table 'api.products'" ]
    get '/rest/products?select=supplier(*)'
    [ "$status $(code)" = '400 PGRST200' ]
    [ "$(jq -r .hint <<<"$body")" = "Perhaps you meant 'suppliers' instead of 'supplier'." ]
    get '/rest/products?select=id&categories.id=eq.1'
    [ "$status $(code)" = '400 PGRST108' ]
    get '/rest/categories?select=id,products(id)&order=products(id)'
    [ "$status $(code)" = '400 PGRST118' ]
    get '/rest/products?nothing=eq.1'
    [ "$status $(code)" = '400 42703' ]
    get '/rest/products?id=eq.x'
    [ "$status $(code)" = '400 22P02' ]
    get '/rest/products' -H 'Accept-Profile: secret'
    [ "$status $(code)" = '406 PGRST106' ]
    get '/rest/customers'
    [ "$status $(code)" = '401 42501' ]
    get '/rest/products/'
    [ "$status $(code)" = '404 PGRST125' ]
}

@test "what is no UTF-8 or holds a NUL is a 400" {
    get '/rest/products?name=eq.%ff'
    [ "$status $(code)" = '400 PGRST100' ]
    get '/rest/products?name=eq.%00'
    [ "$status $(code)" = '400 PGRST100' ]
}

@test "identifiers and values are never SQL" {
    get '/rest/products?select=%22id%22%22%20from%20x%3B--%22'
    [ "$status" = 400 ]
    get "/rest/products?name=eq.%27%3B%20drop%20table%20api.products%3B--"
    [ "$status $body" = '200 []' ]
    get '/rest/products?select=id::int%3Bdrop'
    [ "$status $(code)" = '400 PGRST100' ]
    [ "$(sql 'select count(*) > 0 from api.products')" = t ]
}

@test "depth, width and length are bounded" {
    get "/rest/products?or=$(times 3000 '(')id.eq.1$(times 3000 ')')"
    [ "$status $(code)" = '400 PGRST100' ]
    get "/rest/products?or=($(times 500 'and(')id.eq.1$(times 500 ')'))"
    [ "$status $(code)" = '400 PGRST100' ]
    get "/rest/products?select=$(times 40 'categories(')id$(times 40 ')')"
    [ "$status $(code)" = '400 PGRST100' ]
    get "/rest/products?select=id$(for i in $(seq 300); do printf ',a%d:categories(id)' "$i"; done)"
    [ "$status $(code)" = '400 PGRST100' ]
    get "/rest/products?select=id&$(for i in $(seq 700); do printf '&id=neq.%d' "$i"; done)"
    [ "$status" = 200 ]
    SERVER_NAME=wide server_start --db-schemas api --db-anon-role web_anon --server-header-memory 1MB
    get "/rest/products?select=id$(times 5000 '&')"
    [ "$status $(code)" = '400 PGRST100' ]
    assert_json '.details == "The query string has more than 4096 parts"'
    python3 - "$SERVER_PORT" >"$BATS_TEST_TMPDIR/answer" <<'PY'
import http.client, sys
c = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]))
c.request("GET", "/rest/products?id=eq." + "1" * 300000)
print(c.getresponse().read().decode())
PY
    [ "$(jq -r .details "$BATS_TEST_TMPDIR/answer")" = 'The query string is longer than 262144 bytes' ]
    server_stop
    server_use main
    [ "$(python3 - "$SERVER_PORT" <<'PY'
import socket, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=10)
try:
    s.sendall(b"GET /rest/products?id=eq." + b"1" * 1000000 + b" HTTP/1.1\r\nHost: x\r\n\r\n")
except OSError:
    pass
print(s.recv(12).decode())
PY
    )" = 'HTTP/1.1 414' ]
    get '/rest/products?id=eq.1'
    [ "$status" = 200 ]
}

@test "a reload of the catalog is asked for by NOTIFY; the old one serves meanwhile" {
    get /rest/fresh
    [ "$status" = 404 ]
    cluster_psql -q -c "create table api.fresh (id int primary key, product_id int references api.products)" \
        -c "grant select on api.fresh to web_anon" -c "notify pgrst, 'reload schema'"
    there() { get '/rest/fresh?select=id,products(name)'; [ "$status $body" = '200 []' ]; }
    poll_until 10 there
    ADMIN=1 req GET /schema_cache
    assert_json '[.dbTables[] | select(.tableName == "fresh")] | length == 1'
    cluster_psql -q -c 'drop table api.fresh' -c "notify pgrst, 'reload schema'"
}
