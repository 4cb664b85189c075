#!/usr/bin/env bats
# alone
# /rest with a million rows out, a hundred thousand in, and a catalog of ten thousand tables: time beside psql, and memory.

load ../lib/e2e

setup_file() {
    e2e_start --db-anon-role web --db-schemas api --statement-timeout 0 --response-max-bytes 0 --request-max-bytes 64MB \
        --log-access false <<'SQL'
create schema api;
create role web nologin;
grant usage on schema api to web;
create unlogged table api.million (id int primary key, name text, price numeric, at timestamptz);
insert into api.million select n, 'row number ' || n, n / 100.0, '2025-01-01'::timestamptz + n * interval '1 min'
    from generate_series(1, 1000000) n;
create unlogged table api.items (id int, name text, price numeric, tags jsonb);
grant all on all tables in schema api to web;
vacuum analyze api.million;
SQL
}
teardown_file() { e2e_stop; }

peak_since() { awk '/VmHWM/ {print $2}' "/proc/$SERVER_PID/status"; }
forget_peak() { echo 5 >"/proc/$SERVER_PID/clear_refs"; }

# Seconds of the fastest of three runs of each, taken in turns; the ratio of the second to the first.
race() {
    local i first=() second=() start
    for i in 1 2 3; do
        start=$EPOCHREALTIME
        "$1" || return 1
        first+=("$(bc <<<"$EPOCHREALTIME - $start")")
        start=$EPOCHREALTIME
        "$2" || return 1
        second+=("$(bc <<<"$EPOCHREALTIME - $start")")
    done
    echo "$1 ${first[*]}, $2 ${second[*]} s; load $(cut -d' ' -f1 /proc/loadavg)" >&3
    ratio=$(bc <<<"scale=2; $(printf '%s\n' "${second[@]}" | sort -n | head -1) / $(printf '%s\n' "${first[@]}" | sort -n | head -1)")
    echo "ratio $ratio" >&3
}

@test "1,000,000 rows to a fast client: within 1.3 times what psql takes" {
    psql_out() { cluster_psql -At -c 'select row_to_json(t)::text from (select * from api.million) t' -o "$BATS_TEST_TMPDIR/psql"; }
    rest_out() { curl -sf -o "$BATS_TEST_TMPDIR/rest" "$SERVER_URL/rest/million"; }
    race psql_out rest_out
    [ "$(jq length "$BATS_TEST_TMPDIR/rest")" = 1000000 ]
    [ "$(bc <<<"$ratio <= 1.3")" = 1 ] || fail "$ratio times psql"
}

@test "1,000,000 rows to a slow client: under 16 MB more" {
    local before after
    req GET '/rest/million?limit=2000'
    before=$(server_rss_kb)
    forget_peak
    curl -sf --limit-rate 8M -o "$BATS_TEST_TMPDIR/slow" "$SERVER_URL/rest/million"
    after=$(peak_since)
    echo "resident: $before kB before, at most $after kB" >&3
    [ "$(tail -c 1 "$BATS_TEST_TMPDIR/slow")" = ']' ]
    [ $((after - before)) -lt 16384 ]
}

@test "100,000 rows in (20 MB of JSON): within 1.3 times what psql takes, and bounded memory" {
    local json=$BATS_TEST_TMPDIR/big.json before after
    python3 - >"$json" <<'PY'
import json, sys
rows = [{"id": i, "name": "row %d %s" % (i, "x" * 120), "price": i / 100, "tags": {"a": i, "b": ["x", "y"]}} for i in range(100000)]
json.dump(rows, sys.stdout)
PY
    {
        printf "insert into api.items (id, name, price, tags) select id, name, price, tags from json_to_recordset(\$j\$"
        cat "$json"
        printf "\$j\$) as _ (id int, name text, price numeric, tags jsonb);"
    } >"$BATS_TEST_TMPDIR/big.sql"
    psql_in() { sql 'truncate api.items' >/dev/null && cluster_psql -f "$BATS_TEST_TMPDIR/big.sql"; }
    rest_in() {
        sql 'truncate api.items' >/dev/null
        curl -sf -o /dev/null -H 'Content-Type: application/json' -H 'Expect:' --data-binary @"$json" "$SERVER_URL/rest/items"
    }
    before=$(server_rss_kb)
    forget_peak
    race psql_in rest_in
    after=$(peak_since)
    echo "$(stat -c %s "$json") bytes; resident: $before kB before, at most $after kB" >&3
    [ "$(sql 'select count(*) from api.items')" = 100000 ]
    [ "$(bc <<<"$ratio <= 1.3")" = 1 ] || fail "$ratio times psql"
    # the body itself, what libpq sends of it, and room for growth
    [ $((after - before)) -lt $((4 * $(stat -c %s "$json") / 1024)) ]
}

@test "a catalog of 10,000 tables: loaded in seconds, in bounded memory, while requests run" {
    local before after took start worst
    before=$(server_rss_kb)
    sql "do \$\$ begin for i in 1..10000 loop
        execute format('create table api.t%s (id int primary key, name text not null, parent int %s, a int, b jsonb, c timestamptz)',
            i, case when i > 1 then 'references api.t' || i - 1 else '' end);
        if i % 500 = 0 then commit; end if; end loop; end \$\$" >/dev/null
    sql 'grant all on all tables in schema api to web' >/dev/null
    known() { curl -sf -o /dev/null "$SERVER_URL/rest/t10000?select=id,t9999(id)"; }
    # what others see while it is loaded
    while [ ! -e "$BATS_TEST_TMPDIR/loaded" ]; do
        curl -s -o /dev/null -w '%{time_total}\n' "$SERVER_URL/rest/million?id=eq.7"
    done >"$BATS_TEST_TMPDIR/times" 3>&- &
    start=$EPOCHREALTIME
    sql "notify pgrst, 'reload schema'"
    poll_until 60 known
    took=$(bc <<<"$EPOCHREALTIME - $start")
    touch "$BATS_TEST_TMPDIR/loaded"
    wait $!
    after=$(server_rss_kb)
    worst=$(sort -n "$BATS_TEST_TMPDIR/times" | tail -1)
    echo "loaded in $took s; resident $before kB before, $after kB after; worst point read meanwhile $worst s" >&3
    [ "$(bc <<<"$took < 10")" = 1 ]
    [ $((after - before)) -lt $((120 * 1024)) ]
    req GET '/rest/'
    [ "$status" = 200 ]
    echo "description: $(stat -c %s "$body_file") bytes" >&3
    # an unknown name is looked for among all of them for the hint
    req GET '/rest/t10001x'
    [ "$status" = 404 ]
    server_stop
    start=$EPOCHREALTIME
    server_start --db-anon-role web --db-schemas api
    echo "start to ready: $(bc <<<"$EPOCHREALTIME - $start") s" >&3
}
