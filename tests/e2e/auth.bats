# Tokens, roles and what PostgreSQL is told about them; settings in the database; reload; several databases.

load ../lib/e2e

SECRET=a-secret-of-at-least-thirty-two-bytes

setup_file() {
    e2e_start --rest-path / --db-schemas api --db-anon-role anon --jwt-secret "$SECRET" --db-pool 4 --log-level info \
        --listen-access jwt --notify-access jwt --app.settings.from_args 'a "b" $c' <<'SQL'
create role anon; create role web; create role slow;
grant web, slow to postgres;
alter role slow set statement_timeout = '150ms';
alter role web set default_transaction_isolation = 'repeatable read';
alter role slow set client_encoding = 'LATIN1';
create schema api; grant usage on schema api to anon, web, slow;
create table api.secrets (id int primary key, owner text default current_user);
insert into api.secrets values (1, 'web');
grant select on api.secrets to web;
create function api.who() returns json language sql stable as $$
  select json_build_object('user', current_user, 'claims', current_setting('request.jwt.claims')::json,
    'method', current_setting('request.method'), 'path', current_setting('request.path'),
    'headers', current_setting('request.headers')::json, 'cookies', current_setting('request.cookies')::json,
    'app', current_setting('app.settings.from_args', true), 'isolation', current_setting('transaction_isolation'),
    'name', current_setting('application_name')) $$;
create function api.say(text text) returns text language sql stable as $$ select text $$;
create function api.nap() returns void language sql stable as $$ select pg_sleep(2) $$;
create function api.check_request() returns void language plpgsql as $$ begin
  if current_setting('request.jwt.claims')::json->>'sub' = 'evil' then
    raise insufficient_privilege using message = 'no, you are evil', hint = 'stop it'; end if;
  perform set_config('response.headers', '[{"X-Checked": "yes"}]', true); end $$;
grant execute on all functions in schema api to anon, web, slow;
create role login_of_b login noinherit password 'b'; grant anon to login_of_b; grant web to login_of_b;
create database other;
SQL
    CLUSTER_DB=other
    psql -X -q -v ON_ERROR_STOP=1 "$(other_uri)" -c "create schema api; grant usage on schema api to anon;
        create table api.only_here as select 7 as n; grant select on api.only_here to anon"
}

teardown_file() { e2e_stop; }

other_uri() { sed 's|/[^/?]*\(?.*\)\?$|/other|' <<<"$CLUSTER_URI"; }

b64() { openssl base64 -A | tr '+/' '-_' | tr -d '='; }

# token CLAIMS [SECRET] [HEADER]: signed by HS256
token() {
    local head body
    head=$(printf '%s' "${3:-{\"alg\":\"HS256\",\"typ\":\"JWT\"\}}" | b64)
    body=$(printf '%s' "$1" | b64)
    printf '%s.%s.%s' "$head" "$body" "$(printf '%s.%s' "$head" "$body" | openssl dgst -sha256 -hmac "${2:-$SECRET}" -binary | b64)"
}

as() { local t; t=$(token "$1"); shift; req "$@" -H "Authorization: Bearer $t"; }

@test "without a token: the anonymous role" {
    req GET /rpc/who
    [ "$status" = 200 ]
    assert_json '.user == "anon" and .claims == {"role": "anon"}'
    req GET /secrets
    [ "$status" = 401 ]
    [ "$(header www-authenticate)" = Bearer ]
    assert_json '.code == "42501"'
    req GET /rpc/who -H 'Authorization: Basic dTpw'
    assert_json '.user == "anon"'
}

@test "with a token: its role and all its claims, exactly as they are written" {
    as '{"role":"web","sub":"é\"x","n":1.50,"big":12345678901234567890,"deep":{"a":[null,true]}}' GET /rpc/who
    [ "$status" = 200 ]
    assert_json '.user == "web" and .claims.role == "web" and .claims.sub == "é\"x" and .claims.deep == {"a":[null,true]}'
    [[ "$body" == *'"n":1.50'* && "$body" == *'"big":12345678901234567890'* ]]
    as '{"role":"web"}' GET /secrets
    [ "$status" = 200 ]
    as '{"sub":"nobody"}' GET /rpc/who
    assert_json '.user == "anon" and .claims == {"sub": "nobody", "role": "anon"}'
    as '{"role":"no_such_role"}' GET /rpc/who
    [ "$status" = 401 ]
    assert_json '.code == "22023"'
    as "{\"role\":\"web'; drop table api.secrets; --\"}" GET /rpc/who
    [ "$status" = 401 ]
    [ "$(sql 'select count(*) from api.secrets')" = 1 ]
}

@test "method, path, headers, cookies and settings reach SQL" {
    as '{"role":"web"}' GET /rpc/who -H 'X-Thing: ümlaut "q"' -H 'Cookie: a=1; b=x y' -H 'X-Request-Id: find-me'
    assert_json '.method == "GET" and .path == "/rpc/who" and .headers["x-thing"] == "ümlaut \"q\""'
    assert_json '.headers | has("cookie") | not'
    assert_json '.cookies == {"a": "1", "b": "x y"}'
    assert_json '.app == "a \"b\" $c"'
    assert_json '.name == "find-me"'
    req GET /rpc/who -H 'traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
    assert_json '.name == "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"'
    req GET /rpc/who
    assert_json '.name | startswith("00-") | not'
    server_log | grep -q 'trace=00-0af7651916cd43dd8448eb211c80319c'
}

@test "a header that is no UTF-8 hides nothing from SQL" {
    req GET /rpc/who -H 'X-Kept: yes' -H $'X-Odd: a\xe9\xc3\xa9\xf0\x9f' -H $'Cookie: a=\xff; b=2'
    [ "$status" = 200 ]
    assert_json '.headers["x-kept"] == "yes" and .headers["x-odd"] == "a\ufffd\u00e9\ufffd\ufffd"'
    assert_json '.cookies == {"a": "\ufffd", "b": "2"}'
}

@test "the settings of the role hold for the request" {
    as '{"role":"web"}' GET /rpc/who
    assert_json '.isolation == "repeatable read"'
    req GET /rpc/who
    assert_json '.isolation == "read committed"'
    as '{"role":"slow"}' GET /rpc/nap
    [ "$status" = 500 ]
    assert_json '.code == "57014"'
}

@test "a role's client_encoding does not hold: everything is UTF-8" {
    as '{"role":"slow","sub":"é"}' GET '/rpc/say?text=%C5%BC%C3%A9'
    [ "$status $body" = '200 "żé"' ]
    [ "$(sql "select 'żé' = '$(jq -r . <<<"$body")'")" = t ]
    as '{"role":"slow","sub":"é"}' GET /rpc/who
    assert_json '.claims.sub == "é"'
}

@test "tokens that do not hold: 401 with the contract's words" {
    local now t
    now=$(date +%s)
    refused_with() {
        [ "$status" = 401 ] || fail "$status $body"
        jq -e --arg c "$1" --arg m "$2" '.code == $c and .message == $m and .hint == null' <"$body_file" >/dev/null || fail "$body"
        [ "$(header www-authenticate)" = "Bearer error=\"invalid_token\", error_description=\"$2\"" ]
        [ "$(header proxy-status)" = "pghttpd; error=$1" ]
    }
    as "{\"role\":\"web\",\"exp\":$((now - 31))}" GET /secrets
    refused_with PGRST303 'JWT expired'
    as "{\"role\":\"web\",\"exp\":$((now - 20))}" GET /secrets
    [ "$status" = 200 ]
    as "{\"role\":\"web\",\"nbf\":$((now + 60))}" GET /secrets
    refused_with PGRST303 'JWT not yet valid'
    as "{\"role\":\"web\",\"iat\":$((now + 60))}" GET /secrets
    refused_with PGRST303 'JWT issued at future'
    as '{"role":"web","exp":"1"}' GET /secrets
    refused_with PGRST303 "The JWT 'exp' claim must be a number"
    req GET /secrets -H 'Authorization: Bearer '
    refused_with PGRST301 'Empty JWT is sent in Authorization header'
    req GET /secrets -H 'Authorization: Bearer a.b'
    refused_with PGRST301 'Expected 3 parts in JWT; got 2'
    t=$(token '{"role":"web"}' another-secret-of-thirty-two-bytes!!)
    req GET /secrets -H "Authorization: Bearer $t"
    refused_with PGRST301 'No suitable key or wrong key type'
    t=$(token '{"role":"web"}' "$SECRET" '{"alg":"none"}')
    req GET /secrets -H "Authorization: Bearer ${t%.*}."
    refused_with PGRST301 'Wrong or unsupported encoding algorithm'
    assert_json '.details | startswith("JWT is unsecured")'
    t=$(token '[1]')
    req GET /secrets -H "Authorization: Bearer $t"
    refused_with PGRST303 'Parsing claims failed'
    # nothing of a token is ever logged
    as '{"role":"web","jti":"needle"}' GET '/secrets?select=id'
    if server_log | grep -E 'eyJ|needle'; then fail 'a token in the log'; fi
}

@test "a cached token is judged by the clock, and metrics count" {
    local t before after
    t=$(token "{\"role\":\"web\",\"exp\":$(($(date +%s) - 28))}")
    req GET /secrets -H "Authorization: Bearer $t"
    [ "$status" = 200 ]
    poll_until 8 sh -c "[ \$(curl -s -o /dev/null -w '%{http_code}' -H 'Authorization: Bearer $t' $SERVER_URL/secrets) = 401 ]"
    ADMIN=1 req GET /metrics
    before=$(awk '$1 == "pgrst_jwt_cache_hits_total" {print $2}' "$body_file")
    as '{"role":"web","k":1}' GET /secrets
    as '{"role":"web","k":1}' GET /secrets
    ADMIN=1 req GET /metrics
    after=$(awk '$1 == "pgrst_jwt_cache_hits_total" {print $2}' "$body_file")
    [ "$after" -gt "$before" ]
}

@test "the pre-request function sees the claims, may refuse and may add headers" {
    SERVER_NAME=pre server_start --rest-path / --db-schemas api --db-anon-role anon --jwt-secret "$SECRET" --db-pre-request api.check_request \
        --server-timing-enabled true
    as '{"role":"web","sub":"evil"}' GET /secrets
    [ "$status" = 403 ]
    assert_json '.code == "42501" and .message == "no, you are evil" and .hint == "stop it"'
    run ! header server-timing # as PostgREST: not on errors
    as '{"role":"web","sub":"good"}' GET /secrets
    [ "$status" = 200 ]
    [ "$(header x-checked)" = yes ]
    [[ "$(header server-timing)" == "jwt;dur="*", parse;dur="*", plan;dur="*", transaction;dur="*", response;dur="* ]]
    server_stop
}

@test "keys: JWK set with kid, role path, audience, no anonymous role, no secret" {
    openssl genrsa -out "$BATS_TEST_TMPDIR/k.pem" 2048 2>/dev/null
    local n jwks head data t
    n=$(openssl rsa -in "$BATS_TEST_TMPDIR/k.pem" -noout -modulus | cut -d= -f2 | basenc --base16 -d | b64)
    jwks="{\"keys\":[{\"kty\":\"oct\",\"kid\":\"x\",\"k\":\"$(printf %s "$SECRET" | b64)\"},{\"kty\":\"RSA\",\"kid\":\"r\",\"use\":\"sig\",\"n\":\"$n\",\"e\":\"AQAB\"}]}"
    printf '%s\n' "$jwks" >"$BATS_TEST_TMPDIR/jwks.json"
    SERVER_NAME=keys server_start --rest-path / --db-schemas api --jwt-secret "@$BATS_TEST_TMPDIR/jwks.json" --jwt-aud me \
        --jwt-role-claim-key '$.realm.roles[?search(@, "^we")]'
    head=$(printf '{"alg":"RS256","kid":"r"}' | b64)
    data=$head.$(printf '{"realm":{"roles":["x","web"]},"aud":["you","me"]}' | b64)
    t=$data.$(printf %s "$data" | openssl dgst -sha256 -sign "$BATS_TEST_TMPDIR/k.pem" -binary | b64)
    req GET /rpc/who -H "Authorization: Bearer $t"
    [ "$status" = 200 ]
    assert_json '.user == "web" and .claims.role == "web" and .claims.realm.roles[0] == "x"'
    t=$(token '{"realm":{"roles":["web"]},"aud":"you"}')
    req GET /rpc/who -H "Authorization: Bearer $t"
    assert_json '.message == "JWT not in audience"'
    # the public key is no HMAC secret, and a key serves its own kid alone
    t=$(token '{"realm":{"roles":["web"]}}' "$(cat "$BATS_TEST_TMPDIR/jwks.json")")
    req GET /rpc/who -H "Authorization: Bearer $t"
    [ "$status" = 401 ]
    t=$(token '{"realm":{"roles":["web"]}}' "$SECRET" '{"alg":"HS256","kid":"r"}')
    req GET /rpc/who -H "Authorization: Bearer $t"
    [ "$status" = 401 ]
    t=$(token '{"realm":{"roles":["web"]}}' "$SECRET" '{"alg":"HS256","kid":"x"}')
    req GET /rpc/who -H "Authorization: Bearer $t"
    [ "$status" = 200 ]
    req GET /rpc/who
    [ "$status" = 401 ]
    [ "$(header www-authenticate)" = Bearer ]
    assert_json '.code == "PGRST302" and .message == "Anonymous access is disabled"'
    server_stop
    SERVER_NAME=bare server_start --rest-path / --db-schemas api --db-anon-role anon
    as '{"role":"web"}' GET /rpc/who
    [ "$status" = 500 ]
    assert_json '.code == "PGRST300" and .message == "Server lacks JWT secret"'
    server_stop
}

@test "reload: a new secret from its file, a bad one keeps the old" {
    local conf=$BATS_TEST_TMPDIR/a.conf t
    printf '%s' "$SECRET" >"$BATS_TEST_TMPDIR/secret"
    printf 'rest-path = /\ndb-schemas = api\ndb-anon-role = anon\njwt-secret = "@%s"\ndb-max-rows = 5\n' "$BATS_TEST_TMPDIR/secret" >"$conf"
    SERVER_NAME=re server_start --log-level info "$conf"
    t=$(token '{"role":"web"}')
    req GET /secrets -H "Authorization: Bearer $t"
    [ "$status" = 200 ]
    # the cached token is forgotten with its key
    printf 'another-secret-of-thirty-two-bytes!!' >"$BATS_TEST_TMPDIR/secret"
    server_signal USR2
    poll_until 5 sh -c "[ \$(curl -s -o /dev/null -w '%{http_code}' -H 'Authorization: Bearer $t' $SERVER_URL/secrets) = 401 ]"
    t=$(token '{"role":"web"}' another-secret-of-thirty-two-bytes!!)
    req GET /secrets -H "Authorization: Bearer $t"
    [ "$status" = 200 ]
    # a bad file, a bad secret: as before, and the log says why
    sed -i 's/^db-max-rows.*/db-max-rows = many/' "$conf"
    server_signal HUP
    poll_until 5 sh -c "grep -q 'stay as they were: $conf:5: db-max-rows' $SERVER_DIR/log"
    req GET /secrets -H "Authorization: Bearer $t"
    [ "$status" = 200 ]
    sed -i 's/^db-max-rows.*/db-max-rows = 7/' "$conf"
    printf 'short' >"$BATS_TEST_TMPDIR/secret"
    server_signal HUP
    poll_until 5 sh -c "grep -q 'stay as they were: .*jwt-secret: has 5 bytes' $SERVER_DIR/log"
    req GET /secrets -H "Authorization: Bearer $t"
    [ "$status" = 200 ]
    # what needs a restart is said and left
    printf '%s' "$SECRET" >"$BATS_TEST_TMPDIR/secret"
    printf 'workers = 2\n' >>"$conf"
    server_signal HUP
    poll_until 5 sh -c "grep -q 'workers: changed, but this takes a restart' $SERVER_DIR/log"
    t=$(token '{"role":"web"}')
    poll_until 5 sh -c "[ \$(curl -s -o /dev/null -w '%{http_code}' -H 'Authorization: Bearer $t' $SERVER_URL/secrets) = 200 ]"
    ADMIN=1 req GET /config
    [[ "$body" == *'db-max-rows = 7'* && "$body" == *'workers = 1'* && "$body" != *"$SECRET"* ]]
    server_stop
}

@test "secrets on the command line: the list of processes shows them no more, the log says so, a reload still knows them" {
    local secret=a-secret-of-thirty-two-characters-and-more
    SERVER_NAME=argv server_start --jwt-secret "$secret" --admin-token=token-in-ps \
        --app.settings.key key-in-ps --log-level info --db-anon-role postgres
    tr '\0' ' ' <"/proc/$SERVER_PID/cmdline" >"$BATS_TEST_TMPDIR/cmdline"
    run ! grep -E "$CLUSTER_PASSWORD|$secret|token-in-ps|key-in-ps" "$BATS_TEST_TMPDIR/cmdline"
    grep -q -- '--db-uri postgresql://postgres:\*\*\*@' "$BATS_TEST_TMPDIR/cmdline" || fail "$(cat "$BATS_TEST_TMPDIR/cmdline")"
    grep -q -- '--log-level info' "$BATS_TEST_TMPDIR/cmdline"
    server_log | grep -q -- 'level=warn msg="--db-uri, --jwt-secret, --admin-token, --app.settings.key: '
    run ! grep -E "$CLUSTER_PASSWORD|$secret|token-in-ps|key-in-ps" "$SERVER_DIR/log"
    server_signal HUP
    poll_until 5 grep -q 'settings taken over' "$SERVER_DIR/log"
    ADMIN=1 req GET /config -H 'Authorization: Bearer token-in-ps' -H 'X-Forwarded-For: 192.0.2.1'
    [ "$status" = 200 ]
    [ "$(grep -c '\*\*\*' "$body_file")" -ge 3 ]
    server_stop
}

@test "no core dump, and its user's other processes cannot look into it" {
    [ "$(id -u)" = 0 ] || skip "starts it as another user"
    setpriv --reuid=nobody --regid=nogroup --clear-groups test -x "$SERVER_TOP/build/${MODE:-release}/pghttpd" || skip "nobody may not run it"
    SERVER_WRAP=(setpriv --reuid=nobody --regid=nogroup --clear-groups)
    SERVER_NAME=nobody server_start
    SERVER_WRAP=()
    [ "$(awk '/^Uid:/ {print $2}' "/proc/$SERVER_PID/status")" = "$(id -u nobody)" ]
    # of a process that may be dumped these are its user's (prctl(2), PR_SET_DUMPABLE)
    [ "$(stat -c %U "/proc/$SERVER_PID/environ")" = root ]
    run ! setpriv --reuid=nobody --regid=nogroup --clear-groups cat "/proc/$SERVER_PID/environ"
    ADMIN=1 req GET /metrics
    grep -E '^process_open_fds [1-9]' <<<"$body"
    server_stop
}

@test "settings out of a pipe hold after the database was asked for its own, and after a reload" {
    local n
    SERVER_NAME=piped server_start --log-level info <(printf 'rest-path = /\ndb-schemas = api\ndb-anon-role = web\n')
    n=$(grep -c 'settings taken over' "$SERVER_DIR/log" || true)
    req GET /secrets
    [ "$status" = 200 ]
    server_signal HUP
    more() { [ "$(grep -c 'settings taken over' "$SERVER_DIR/log")" -gt "$n" ]; }
    poll_until 5 more
    req GET /secrets
    [ "$status" = 200 ]
    server_stop
}

@test "a reload that replaces every connection fails no request" {
    local conf=$BATS_TEST_TMPDIR/p.conf i
    printf 'rest-path = /\ndb-schemas = api\ndb-anon-role = anon\ndb-pool = 1\ndb-config = false\nsql-access = open\ndb-prepared-statements = true\n' >"$conf"
    SERVER_NAME=prep server_start --log-level info "$conf"
    for i in 1 2 3 4 5 6; do
        curl -s -o /dev/null -w '%{http_code}\n' "$SERVER_URL/-/sql" -d '{"query":"select pg_sleep(0.4)"}' >"$BATS_TEST_TMPDIR/code.$i" &
    done
    waiting() { [ "$(curl -s "$SERVER_ADMIN/metrics" | awk '/^pghttpd_db_pool_waiting/ {n += $NF} END {print n}')" -gt 0 ]; }
    poll_until 5 waiting
    sed -i 's/true/false/' "$conf"
    server_signal HUP
    finished() { [ "$(cat "$BATS_TEST_TMPDIR"/code.* | wc -l)" = 6 ]; }
    poll_until 15 finished
    [ "$(cat "$BATS_TEST_TMPDIR"/code.* | sort | uniq -c | awk '{print $1 ":" $2}')" = 6:200 ] || fail "$(cat "$BATS_TEST_TMPDIR"/code.*)"
    # and the new ones have no names
    req GET /secrets
    req GET /secrets
    ADMIN=1 req GET /config
    [[ "$body" == *'db-prepared-statements = false'* ]]
    server_stop
}

@test "settings in the database, by role and by db-pre-config, at the start and on NOTIFY" {
    cluster_psql -q <<'SQL'
alter role login_of_b set pgrst.db_anon_role = 'nobody';
alter role login_of_b in database postgres set pgrst.db_anon_role = 'anon';
alter role login_of_b set pgrst.db_schemas = 'api';
alter role login_of_b set pgrst.db_pre_config = 'public.conf';
alter role login_of_b set pgrst.server_port = '1';
alter role login_of_b set pgrst.jwt_secret = 'from-the-database-thirty-two-bytes!!';
create function public.conf() returns void language sql as $$
  select set_config('pgrst.jwt_aud', 'me', true), set_config('pgrst.db_schemas', 'overruled', true) $$;
SQL
    local uri t
    uri=$(sed 's|//[^@]*@|//login_of_b:b@|' <<<"$CLUSTER_URI")
    SERVER_NAME=indb server_start --db-uri "$uri" --rest-path / --db-anon-role from_args_is_stronger --log-level info
    # the command line is stronger than the database
    req GET /rpc/who
    [ "$status" = 401 ]
    server_stop
    SERVER_ENV=(PGRST_DB_ANON_ROLE=weaker PGRST_JWT_SECRET=weaker-weaker-weaker-weaker-weaker) SERVER_NAME=indb2 server_start --db-uri "$uri" --rest-path / --log-level info
    req GET /rpc/who
    [ "$status" = 200 ]
    assert_json '.user == "anon"'
    t=$(token '{"role":"web","aud":"you"}' from-the-database-thirty-two-bytes!!)
    req GET /rpc/who -H "Authorization: Bearer $t"
    assert_json '.message == "JWT not in audience"'
    t=$(token '{"role":"web","aud":"me"}' from-the-database-thirty-two-bytes!!)
    req GET /rpc/who -H "Authorization: Bearer $t"
    assert_json '.user == "web"'
    ADMIN=1 req GET /config
    [[ "$body" == *'db-anon-role = "anon"  # database'* && "$body" == *'db-schemas = "api"  # database'* ]]
    cluster_psql -q -c "alter role login_of_b in database postgres set pgrst.db_anon_role = 'web'; notify pgrst, 'something else'"
    cluster_psql -q -c "notify pgrst, 'reload config'"
    poll_until 5 sh -c "curl -s $SERVER_URL/rpc/who | grep -q '\"user\" : \"web\"\|\"user\":\"web\"'"
    # a bad one is refused whole
    cluster_psql -q -c "alter role login_of_b in database postgres set pgrst.db_tx_end = 'never'; notify pgrst, 'reload config'"
    poll_until 5 sh -c "grep -q 'setting in the database: db-tx-end' $SERVER_DIR/log"
    req GET /rpc/who
    assert_json '.user == "web"'
    run env -i "$SERVER_TOP/build/${MODE:-release}/pghttpd" --dump-config --db-uri "$uri"
    [ "$status" = 0 ]
    # a function that fails: what it said before stays
    cluster_psql -q -c "alter role login_of_b in database postgres reset pgrst.db_tx_end; alter role login_of_b in database postgres set pgrst.db_anon_role = 'anon'"
    cluster_psql -q -c "create or replace function public.conf() returns void language plpgsql as \$\$ begin raise 'not today'; end \$\$; notify pgrst, 'reload config'"
    poll_until 5 grep -q 'cannot be read: not today' "$SERVER_DIR/log"
    req GET /rpc/who -H "Authorization: Bearer $(token '{"role":"web","aud":"you"}' from-the-database-thirty-two-bytes!!)"
    assert_json '.message == "JWT not in audience"'
    # and one that is not wanted any more holds nothing up
    cluster_psql -q -c "drop function public.conf(); alter role login_of_b reset pgrst.db_pre_config; notify pgrst, 'reload config'"
    gone() { ADMIN=1 req GET /config && [[ "$body" == *'jwt-aud = ""'* && "$body" == *'db-pre-config = ""'* && "$body" == *'db-anon-role = "anon"  # database'* ]]; }
    poll_until 5 gone
    server_stop
}

@test "settings in the database that cannot be used at the start: REST waits until they can" {
    cluster_psql -q <<'SQL'
create role login_of_c login noinherit password 'c'; grant anon to login_of_c;
alter role login_of_c set pgrst.db_schemas = 'api';
alter role login_of_c set pgrst.db_anon_role = 'anon';
alter role login_of_c set pgrst.db_max_rows = 'many';
SQL
    local uri
    uri=$(sed 's|//[^@]*@|//login_of_c:c@|' <<<"$CLUSTER_URI")
    SERVER_NAME=indb3 WAIT=live server_start --db-uri "$uri" --rest-path / --log-level info
    poll_until 5 grep -q 'setting in the database: db-max-rows' "$SERVER_DIR/log"
    req GET /rpc/who
    [ "$status" = 503 ] || fail "$status $body $(tail -5 "$SERVER_DIR/log")"
    assert_json '.code == "PGRST002"'
    ADMIN=1 req GET /ready
    [ "$status" = 503 ]
    [[ "$body" == *"settings in the database cannot be used"* ]]
    served() { req GET /rpc/who && [ "$status" = 200 ]; }
    cluster_psql -q -c "alter role login_of_c set pgrst.db_max_rows = '5'" # nobody has to tell it
    poll_until 8 served
    ADMIN=1 req GET /ready
    [ "$status" = 200 ]
    server_stop
    # the same for a function that fails
    cluster_psql -q -c "alter role login_of_c set pgrst.db_pre_config = 'public.missing'"
    SERVER_NAME=indb4 WAIT=live server_start --db-uri "$uri" --rest-path / --log-level info
    poll_until 5 grep -q 'function public.missing() does not exist' "$SERVER_DIR/log"
    req GET /rpc/who
    [ "$status" = 503 ]
    cluster_psql -q -c "create function public.missing() returns void language sql as \$\$ select set_config('pgrst.db_max_rows', '7', true) \$\$"
    poll_until 8 served
    [ "$(grep -c 'public.missing() does not exist' "$SERVER_DIR/log")" = 1 ]
    server_stop
    # and for what only the reader of tokens can judge: else the function would not be called
    cluster_psql -q -c "alter role login_of_c set pgrst.jwt_role_claim_key = 'nowhere'; alter role login_of_c set pgrst.db_pre_request = 'public.missing'"
    SERVER_NAME=indb5 WAIT=live server_start --db-uri "$uri" --rest-path / --db-anon-role anon --db-schemas api
    poll_until 5 grep -q 'setting in the database: jwt-role-claim-key' "$SERVER_DIR/log"
    req GET /rpc/who
    [ "$status" = 503 ] || fail "$status $body"
    ADMIN=1 req GET /ready
    [ "$status" = 503 ]
    cluster_psql -q -c "alter role login_of_c set pgrst.jwt_role_claim_key = '\$.role'; alter role login_of_c set pgrst.jwt_secret = '{\"kty\":\"oct\"}'"
    poll_until 5 grep -q 'setting in the database: jwt-secret' "$SERVER_DIR/log"
    req GET /rpc/who
    [ "$status" = 503 ]
    cluster_psql -q -c "alter role login_of_c reset pgrst.jwt_secret"
    poll_until 8 served
    server_stop
}

@test "the database away at the start: nothing is served by half the settings" {
    SERVER_NAME=away WAIT=live server_start --db-uri 'postgresql://nobody@127.0.0.1:1/x' --rest-path / --db-anon-role anon
    req GET /rpc/who
    [ "$status" = 503 ]
    assert_json '.code == "PGRST002"'
    ADMIN=1 req GET /ready
    [ "$status" = 503 ]
    server_stop
}

@test "db-pool-automatic-recovery = false: exit 1 with the reason" {
    run timeout 10 "$SERVER_TOP/build/${MODE:-release}/pghttpd" --db-uri 'postgresql://nobody@127.0.0.1:1/x' \
        --server-port 0 --admin-server-port off --db-pool-automatic-recovery false
    [ "$status" = 1 ]
    [[ "$output" == *"db-pool-automatic-recovery is off"*"refused"* ]]
}

@test "several databases: each with its tables, made at first use" {
    cat >"$BATS_TEST_TMPDIR/two.conf" <<CONF
db-schemas = api
db-anon-role = anon
database second { db-uri = "$(other_uri)" }
CONF
    SERVER_NAME=two server_start --sql-access open "$BATS_TEST_TMPDIR/two.conf"
    req GET /rest/secrets
    [ "$status" = 401 ]
    [ "$(sql "select count(*) from pg_stat_activity where datname = 'other'")" = 0 ] # nobody asked for it yet
    req GET /db/second/rest/only_here
    [ "$status" = 200 ]
    assert_json '. == [{"n": 7}]'
    req GET /db/second/rest/secrets
    [ "$status" = 404 ]
    req GET '/db/second/sql?query=select+current_database()'
    assert_json '.rows[0].current_database == "other"'
    req GET '/sql?query=select+current_database()'
    assert_json '.rows[0].current_database == "postgres"'
    req GET /db/third/rest/only_here
    [ "$status" = 404 ]
    server_stop
}

@test "rights on channels come from claims" {
    local t
    t=$(token '{"channels":["orders","room-*"],"notify":["orders"]}')
    req POST /notify/orders -d hello -H "Authorization: Bearer $t"
    [ "$status" = 404 ] # rest-path / owns the plain paths
    req POST /-/notify/orders -d hello -H "Authorization: Bearer $t"
    [ "$status" = 204 ]
    req POST /-/notify/room-1 -d hello -H "Authorization: Bearer $t"
    [ "$status" = 403 ]
    req POST /-/notify/orders -d hello
    [ "$status" = 401 ]
    req GET /-/listen/secret -H "Authorization: Bearer $t"
    [ "$status" = 403 ]
}

@test "ready and healthcheck ask the server of the same settings" {
    local bin=$SERVER_TOP/build/${MODE:-release}/pghttpd
    run "$bin" --ready --admin-server-port "$SERVER_ADMIN_PORT" --admin-server-host 0.0.0.0
    [ "$status" = 0 ]
    [ "$output" = "OK: http://127.0.0.1:$SERVER_ADMIN_PORT/ready" ]
    run env PGRST_ADMIN_SERVER_PORT="$SERVER_ADMIN_PORT" "$bin" --healthcheck
    [ "$status" = 0 ]
    WAIT=no SERVER_NAME=sock server_start --admin-server-unix-socket "$BATS_TEST_TMPDIR/a.sock"
    poll_until 10 "$bin" --ready --admin-server-unix-socket "$BATS_TEST_TMPDIR/a.sock"
    [ "$(stat -c %a "$BATS_TEST_TMPDIR/a.sock")" = 660 ]
    server_stop
    run "$bin" --healthcheck --admin-server-unix-socket "$BATS_TEST_TMPDIR/a.sock"
    [ "$status" = 1 ]
}
