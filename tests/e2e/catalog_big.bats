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
    stall "$SERVER_URL/rest/"
    stall "$SERVER_ADMIN/schema_cache"
}

# slow FILE URL: a client that reads the beginning of what describes the catalog and then waits for FILE.go
slow() {
    python3 "$SERVER_TOP/tests/e2e/slow_get.py" "$2" "$1" 3>&- &
    pids+=($!)
    poll_until 30 test -e "$1.begun"
}

loads() { curl -sf "$SERVER_ADMIN/metrics" | awk '/^pgrst_schema_cache_loads_total\{status="SUCCESS"\}/ {print $2}'; }
loaded() { [ "$(loads)" -ge "$want" ]; }
reload() {
    local want
    want=$(($(loads) + 1))
    server_signal USR1
    poll_until 30 loaded
}

@test "a client that takes it slowly gets it as it was, and costs no memory" {
    local pids=() i out=$BATS_TEST_TMPDIR/slow before after
    [ "$(curl -sf "$SERVER_URL/rest/" | jq '.definitions | length')" = $((TABLES + 1)) ]
    before=$(server_rss_kb)
    for i in 1 2 3 4; do
        slow "$out.$i" "$SERVER_URL/rest/"
        slow "$out.admin.$i" "$SERVER_ADMIN/schema_cache"
    done
    after=$(server_rss_kb)
    [ -n "${SANITIZED:-}" ] || [ $((after - before)) -lt 8192 ] || fail "resident: $before kB before, $after kB with 8 slow clients"
    sql 'create table api.later (id int primary key); grant all on api.later to web' >/dev/null
    reload
    [ "$(curl -sf "$SERVER_URL/rest/" | jq '.definitions | length')" = $((TABLES + 2)) ]
    for i in 1 2 3 4; do touch "$out.$i.go" "$out.admin.$i.go"; done
    wait "${pids[@]}"
    for i in 1 2 3 4; do
        jq -e --argjson n $((TABLES + 1)) '(.definitions | length) == $n and (.definitions | has("later") | not)' "$out.$i" >/dev/null
        jq -e --argjson n $((TABLES + 1)) '(.dbTables | length) == $n' "$out.admin.$i" >/dev/null
        cmp "$out.$i" "$out.1"
        cmp "$out.admin.$i" "$out.admin.1"
    done
    sql 'drop table api.later' >/dev/null
    reload
}

@test "clients that leave in the middle of it: nothing stays" {
    local i before pids=() out=$BATS_TEST_TMPDIR/gone
    req HEAD /rest/
    before=$(server_fds)
    for i in 1 2 3; do
        slow "$out.$i" "$SERVER_URL/rest/"
        slow "$out.admin.$i" "$SERVER_ADMIN/schema_cache"
    done
    [ "$(server_fds)" = $((before + 6)) ]
    kill "${pids[@]}"
    wait "${pids[@]}" || true
    gone() { [ "$(server_fds)" = "$before" ]; }
    poll_until 5 gone
    [ "$(curl -sf "$SERVER_URL/rest/" | jq '.definitions | length')" = $((TABLES + 1)) ]
}

@test "HEAD makes no description" {
    local before got head
    cost() { # OPTIONS...: 10 of them, in us of the server's processor time
        before=$(server_cpu_us)
        curl -sf "$@" "$SERVER_URL/rest/?[1-10]" >/dev/null
        got=$(($(server_cpu_us) - before))
    }
    req HEAD /rest/ # the role's rights are asked for
    cost -I
    head=$got
    cost
    [ "$head" -lt $((got / 4)) ] || fail "10 HEADs took $head us, 10 GETs $got us"
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

@test "stopping while it is described: what was begun breaks off, and nothing is left behind" {
    local i pids=() out=$BATS_TEST_TMPDIR/stop signal
    for signal in once twice; do
        SERVER_NAME=$signal server_start --db-anon-role web --db-schemas api --log-access false --shutdown-timeout 1s
        slow "$out.$signal" "$SERVER_URL/rest/"
        slow "$out.$signal.admin" "$SERVER_ADMIN/schema_cache"
        if [ $signal = twice ]; then server_signal TERM; fi
        server_stop
        touch "$out.$signal.go" "$out.$signal.admin.go"
    done
    server_use main
    for i in "${pids[@]}"; do
        run wait "$i"
        # none takes it for whole; that of few tables fits into the sockets' buffers
        [ "$status" != 0 ] || [ -n "${SANITIZED:-}" ]
    done
}
