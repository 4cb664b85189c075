# alone
# A catalog of 10,000 tables: loading it disturbs nobody, nor does describing it, and neither does stopping meanwhile.

load ../lib/e2e

setup_file() {
    export TABLES=10000
    [ -z "${SANITIZED:-}" ] || TABLES=2000 # slow, and not measured
    e2e_start --db-anon-role web --db-schemas api --log-access false <<SQL
create schema api;
create role web nologin;
grant usage on schema api to web;
create table api.p (id int primary key, name text);
insert into api.p select n, 'name ' || n from generate_series(1, 100) n;
do \$\$ begin for i in 1..$TABLES loop
    execute format('create table api.t%s (id int primary key, name text not null, parent int %s, a int, b jsonb, c timestamptz)',
        i, case when i > 1 then 'references api.t' || i - 1 else '' end);
    if i % 500 = 0 then commit; end if; end loop; end \$\$;
grant all on all tables in schema api to web;
SQL
}
teardown_file() { e2e_stop; }

stall() { # WHAT
    local limit
    limit=$(bc <<<"15 * ${SLACK:-1}")
    [ -z "${SANITIZED:-}" ] || limit=10000 # no request fails, and no finding
    run -0 python3 "$SERVER_TOP/tests/e2e/catalog_stall.py" "$SERVER_PID" "$SERVER_PORT" "$SERVER_ADMIN_PORT" "$limit" "$1"
    echo "$output" >&3
}

@test "reloading while requests run: none waits for it" {
    stall reload
    req GET "/rest/t$TABLES?select=id,t$((TABLES - 1))(id)"
    [ "$status" = 200 ]
}

@test "describing it while requests run: none waits for it" {
    stall "$SERVER_ADMIN/schema_cache"
}

loads() { curl -sf "$SERVER_ADMIN/metrics" | awk '/^pgrst_schema_cache_loads_total\{status="SUCCESS"\}/ {print $2}'; }
loaded() { [ "$(loads)" -ge "$want" ]; }
reload() {
    local want
    want=$(($(loads) + 1))
    server_signal USR1
    poll_until 30 loaded
}

@test "the memory of a load is given back, however often it is loaded" {
    local before after i
    [ -z "${SANITIZED:-}" ] || skip "sanitizers keep memory"
    before=$(server_rss_kb)
    for i in 1 2 3 4 5; do reload; done
    less() { after=$(server_rss_kb) && [ $((after - before)) -lt 8192 ]; } # the old one leaves in the background
    poll_until 5 less || fail "resident: $before kB before, $after kB after"
    alone() { [ "$(ls "/proc/$SERVER_PID/task" | wc -l)" = 1 ]; }
    poll_until 5 alone # no thread stays
}

@test "stopping at any time of a load: at once, and clean" {
    local wait
    for wait in 0.05 0.2 0.3 0.4 0.5 0.7; do
        server_signal USR1
        sleep "$wait" # any time will do
        server_stop
        WAIT=live server_start --db-anon-role web --db-schemas api --log-access false
        sleep "$wait"
        server_stop
        server_start --db-anon-role web --db-schemas api --log-access false
    done
}
