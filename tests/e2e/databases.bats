# Further databases (database NAME { ... }): made at first use, ended when nobody used them for db-pool-max-idletime:
# their connections, their catalogs and their LISTEN connections; and never wrong afterwards.

load ../lib/e2e

setup_file() {
    cluster_start
    cluster_psql -q <<'SQL'
create role anon;
create schema api; grant usage on schema api to anon;
create table api.here as select 1 as n; grant select on api.here to anon;
create database other; create database third;
SQL
    in_db other <<'SQL'
create schema api; grant usage on schema api to anon;
create table api.first as select 7 as n; grant select on api.first to anon;
create function api.nap(s float8) returns int language sql as $$ select 5 from pg_sleep(s) $$;
SQL
    cat >"$BATS_FILE_TMPDIR/two.conf" <<CONF
db-schemas = api
db-anon-role = anon
database second { db-uri = "$(uri_of other)" }
CONF
    server_start "$BATS_FILE_TMPDIR/two.conf" --sql-access open --listen-access open --notify-access open \
        --db-pool-max-idletime 2s --log-level info
}

teardown_file() { e2e_stop; }

uri_of() { cluster_uri postgres "$CLUSTER_PASSWORD" "$1"; }
in_db() { local db=$1; shift; psql -X -q -v ON_ERROR_STOP=1 "$(uri_of "$db")" "$@"; }
# connections DATABASE [application_name pattern]
connections() {
    sql "select count(*) from pg_stat_activity where datname = '$1' and application_name like '${2:-%}' and backend_type = 'client backend'"
}
has() { [ "$(connections "$1" "${3:-%}")" = "$2" ]; }
metric() { curl -s "$SERVER_ADMIN/metrics" | awk -v name="$1" 'index($0, name " ") == 1 {print $NF}'; }

@test "left alone, a further database has no connection any more; the configured one keeps its own" {
    req GET /rest/here
    [ "$status" = 200 ]
    req GET /db/second/rest/first
    [ "$status" = 200 ]
    [ "$(connections other)" -ge 2 ] # its pool, and LISTEN for NOTIFY pgrst
    # PostgREST's metrics are those of the one pool that it has
    curl -s "$SERVER_ADMIN/metrics" >"$BATS_TEST_TMPDIR/metrics"
    [ "$(awk '$1 == "pgrst_db_pool_available" {print $2}' "$BATS_TEST_TMPDIR/metrics")" = \
        "$(awk '$1 == "pghttpd_db_pool_idle{worker=\"0\",database=\"\",user=\"\"}" {print $2}' "$BATS_TEST_TMPDIR/metrics")" ]
    poll_until 10 has other 0
    [ "$(connections postgres 'pghttpd%')" -ge 2 ]
    ADMIN=1 req GET /ready
    [ "$status" = 200 ]
    # what was counted stays
    [ "$(metric 'pghttpd_db_pool_size{worker="0",database="second",user=""}')" = 0 ]
    [ "$(metric 'pghttpd_db_pool_jobs_total{worker="0",database="second",user=""}')" -ge 1 ]
    [ "$(metric 'pghttpd_listen_up{database="second"}')" = 0 ]
    [ "$(metric 'pghttpd_listen_up{database=""}')" = 1 ]
    # the configured one's catalog has not gone
    ADMIN=1 req GET /schema_cache
    [ "$status" = 200 ]
}

@test "its next use is answered, by what the database is then" {
    poll_until 10 has other 0
    in_db other -c "create table api.later as select 8 as n; grant select on api.later to anon; drop table if exists api.gone"
    req GET /db/second/rest/later
    [ "$status" = 200 ]
    assert_json '. == [{"n": 8}]'
    # and again, with the catalog of an hour ago forgotten
    poll_until 10 has other 0
    in_db other -c "alter table api.later rename n to m"
    req GET '/db/second/rest/later?select=m'
    [ "$status" = 200 ]
    assert_json '. == [{"m": 8}]'
    in_db other -c 'drop table api.later'
}

@test "use keeps it: no connection is made anew while requests come" {
    local i before
    req GET /db/second/rest/first
    before=$(metric 'pghttpd_db_pool_connects_total{worker="0",database="second",user=""}')
    loads=$(metric 'pgrst_schema_cache_loads_total{status="SUCCESS"}')
    for i in 1 2 3 4 5; do
        sleep 1
        req GET /db/second/rest/first
        [ "$status" = 200 ]
    done
    [ "$(metric 'pghttpd_db_pool_connects_total{worker="0",database="second",user=""}')" = "$before" ]
    [ "$(metric 'pgrst_schema_cache_loads_total{status="SUCCESS"}')" = "$loads" ]
    [ "$(connections other 'pghttpd listen')" = 1 ]
}

@test "a request that takes longer than the idle time is answered" {
    req POST /db/second/rest/rpc/nap -H 'Content-Type: application/json' -d '{"s": 5}'
    [ "$status" = 200 ]
    [ "$body" = 5 ]
    poll_until 10 has other 0
}

@test "NOTIFY pgrst in a further database reloads its catalog while it is in use" {
    req GET /db/second/rest/first
    [ "$status" = 200 ]
    poll_until 5 has other 1 'pghttpd listen'
    in_db other -c "create table api.told as select 9 as n; grant select on api.told to anon"
    req GET /db/second/rest/told
    [ "$status" = 404 ]
    in_db other -c "notify pgrst, 'reload schema'"
    finds() { req GET /db/second/rest/told && [ "$status" = 200 ]; }
    poll_until 5 finds
    # at once after the first use: nothing falls between loading and listening
    poll_until 10 has other 0
    req GET /db/second/rest/told
    in_db other -c "alter table api.told rename to renamed; notify pgrst"
    finds() { req GET /db/second/rest/renamed && [ "$status" = 200 ]; }
    poll_until 5 finds
    in_db other -c 'drop table api.renamed'
}

@test "a stream stays, whatever else ends; without it LISTEN ends too" {
    local client
    curl -sN -m 60 "$SERVER_URL/db/second/listen/orders" >"$BATS_TEST_TMPDIR/events" &
    client=$!
    poll_until 5 grep -q '^: ok' "$BATS_TEST_TMPDIR/events"
    req GET /db/second/rest/first
    [ "$status" = 200 ]
    poll_until 10 has other 1 # the pool went, LISTEN is left
    sleep 3
    [ "$(connections other 'pghttpd listen')" = 1 ]
    in_db other -c "notify orders, 'still here'"
    poll_until 5 grep -q 'still here' "$BATS_TEST_TMPDIR/events"
    # a gap would say that it was away
    run ! grep -q 'event: gap' "$BATS_TEST_TMPDIR/events"
    # the catalog comes back beside it, and is told of changes over the same connection
    req GET /db/second/rest/first
    [ "$status" = 200 ]
    [ "$(connections other 'pghttpd listen')" = 1 ]
    in_db other -c "create table api.beside as select 1 as n; grant select on api.beside to anon; notify pgrst"
    finds() { req GET /db/second/rest/beside && [ "$status" = 200 ]; }
    poll_until 5 finds
    in_db other -c 'drop table api.beside'
    kill "$client"
    poll_until 15 has other 0
    # and a new one is served again
    curl -sN -m 60 "$SERVER_URL/db/second/listen/orders" >"$BATS_TEST_TMPDIR/events2" &
    client=$!
    poll_until 5 grep -q '^: ok' "$BATS_TEST_TMPDIR/events2"
    req POST /db/second/notify/orders -d again
    [ "$status" = 204 ]
    poll_until 5 grep -q again "$BATS_TEST_TMPDIR/events2"
    kill "$client"
}

@test "requests at the very moment it ends are answered all the same" {
    cat >"$BATS_TEST_TMPDIR/edge.conf" <<CONF
db-schemas = api
db-anon-role = anon
database second { db-uri = "$(uri_of other)" }
CONF
    SERVER_NAME=edge server_start "$BATS_TEST_TMPDIR/edge.conf" --workers 2 --sql-access open --db-pool-max-idletime 1s
    local i
    for i in $(seq 12); do
        curl -s -o /dev/null -w '%{http_code}\n' "$SERVER_URL/db/second/rest/first"
        curl -s -o /dev/null -w '%{http_code}\n' "$SERVER_URL/db/second/sql?query=select+1"
        sleep "1.$((i * 7 % 10))$((i * 3 % 10))"
    done >"$BATS_TEST_TMPDIR/codes"
    [ "$(sort "$BATS_TEST_TMPDIR/codes" | uniq -c | awk '{print $1 ":" $2}')" = 24:200 ]
    server_signal HUP
    req GET /db/second/rest/first
    [ "$status" = 200 ]
    poll_until 10 has other 0
    server_stop
    server_use main
}

@test "a further database that is away: 503 PGRST002 at first use, and nobody calls when nobody asks" {
    poll_until 10 has other 0
    sql "alter database other with allow_connections false"
    req GET /db/second/rest/first
    [ "$status" = 503 ]
    [ "$(header retry-after)" -ge 1 ]
    assert_json '.code == "PGRST002"'
    ADMIN=1 req GET /ready
    [ "$status" = 200 ]
    tries() { metric 'pghttpd_db_pool_connects_total{worker="0",database="second",user=""}'; }
    quiet() { local before; before=$(tries); sleep 3; [ "$(tries)" = "$before" ]; }
    poll_until 30 quiet
    sql "alter database other with allow_connections true"
    back() { req GET /db/second/rest/first && [ "$status" = 200 ]; }
    poll_until 5 back
}

@test "without db-channel, and where LISTEN is impossible, it works as well" {
    cat >"$BATS_TEST_TMPDIR/listen.conf" <<CONF
db-schemas = api
db-anon-role = anon
database quiet { db-uri = "$(uri_of other)"  db-channel-enabled = false }
database deaf { db-uri = "$(uri_of other)"  listen-uri = "postgresql://nobody@127.0.0.1:1/none" }
CONF
    SERVER_NAME=listen server_start "$BATS_TEST_TMPDIR/listen.conf" --db-pool-max-idletime 2s
    poll_until 10 has other 0
    req GET /db/quiet/rest/first
    [ "$status" = 200 ]
    [ "$(connections other)" = 1 ]
    poll_until 10 has other 0
    req GET /db/deaf/rest/first
    [ "$status" = 200 ]
    poll_until 10 has other 0
    # its attempts to LISTEN end with it
    silent() { local n; n=$(grep -c LISTEN "$SERVER_DIR/log"); sleep 3; [ "$(grep -c LISTEN "$SERVER_DIR/log")" = "$n" ]; }
    poll_until 30 silent
    server_stop
    server_use main
}

@test "a reload changes the idle time and the channel" {
    cat >"$BATS_TEST_TMPDIR/re.conf" <<CONF
db-schemas = api
db-anon-role = anon
db-pool-max-idletime = 0
database second { db-uri = "$(uri_of other)"  db-channel = one }
CONF
    SERVER_NAME=re server_start "$BATS_TEST_TMPDIR/re.conf" --log-level info
    req GET /db/second/rest/first
    [ "$status" = 200 ]
    sleep 4
    [ "$(connections other)" -ge 2 ] # 0 is never
    sed -i 's/db-channel = one/db-channel = "two words"/' "$BATS_TEST_TMPDIR/re.conf"
    server_signal HUP
    poll_until 5 grep -q 'settings taken over' "$SERVER_DIR/log"
    in_db other -c "create table api.fresh as select 1 as n; grant select on api.fresh to anon"
    finds() { in_db other -c 'notify "two words"'; req GET /db/second/rest/fresh && [ "$status" = 200 ]; }
    poll_until 5 finds
    sed -i 's/idletime = 0/idletime = 1s/' "$BATS_TEST_TMPDIR/re.conf"
    server_signal HUP
    poll_until 10 has other 0
    in_db other -c 'drop table api.fresh'
    server_stop
    server_use main
}

@test "an idle connection of a further database makes room for others" {
    cat >"$BATS_TEST_TMPDIR/room.conf" <<CONF
db-schemas = api
db-anon-role = anon
database second { db-uri = "$(uri_of other)"  db-channel-enabled = false  db-pool = 1 }
database third { db-uri = "$(uri_of third)"  db-channel-enabled = false  db-pool = 1 }
CONF
    SERVER_NAME=room server_start "$BATS_TEST_TMPDIR/room.conf" --sql-access open --db-pool 1 --db-connections-max 2 \
        --db-pool-acquisition-timeout 3s --db-pool-max-idletime 60s
    local i
    for i in 1 2; do
        req GET /db/second/rest/first
        [ "$status" = 200 ]
        req GET '/db/third/sql?query=select+current_database()'
        [ "$status" = 200 ]
        assert_json '.rows[0].current_database == "third"'
    done
    server_stop
    server_use main
}
