#!/usr/bin/env bats
# Values: for every line of tests/values/values.txt, raw mode gives the bytes that psql gives, and typed mode the JSON
# that stands there; and back: the text sent as a parameter makes the same value.

load ../lib/e2e

setup_file() {
    e2e_start --sql-access open --db-pool 1 <<'SQL'
create type mood as enum ('sad', 'happy');
create domain positive as int check (value > 0);
create domain doc as jsonb;
create domain flag as bool;
create domain bigdom as int8;
create domain intlist as int[];
create type pair as (a int, b text);
SQL
    export EXPRESSIONS=$BATS_FILE_TMPDIR/expressions EXPECTED=$BATS_FILE_TMPDIR/expected
    grep -v '^#' "$BATS_TEST_DIRNAME/../values/values.txt" >"$BATS_FILE_TMPDIR/all"
    sed 's/ => .*//' "$BATS_FILE_TMPDIR/all" >"$EXPRESSIONS"
    sed 's/.* => //' "$BATS_FILE_TMPDIR/all" >"$EXPECTED"
}
teardown_file() { e2e_stop; }

# The whole list as one row: psql's own text, NUL-free, separated by \x1f.
select_all() { awk '{printf "%s%s as c%d", (NR > 1 ? ", " : "select "), $0, NR}' "$EXPRESSIONS"; }

@test "at least 60 types and forms" {
    [ "$(wc -l <"$EXPRESSIONS")" -ge 60 ]
}

@test "raw mode is PostgreSQL's text" {
    cluster_psql -At -F $'\x1f' -P null=NULL -c "$(select_all)" >"$BATS_TEST_TMPDIR/psql"
    jq -n --arg q "$(select_all)" '{query: $q, arrayMode: true}' >"$BATS_TEST_TMPDIR/q"
    req POST '/sql?raw=true' -d "@$BATS_TEST_TMPDIR/q"
    [ "$status" = 200 ] || fail "$body"
    jq -j '.rows[0] | map(. // "NULL") | join("\u001f") + "\n"' "$body_file" >"$BATS_TEST_TMPDIR/http"
    cmp "$BATS_TEST_TMPDIR/psql" "$BATS_TEST_TMPDIR/http"
}

@test "typed mode" {
    jq -n --arg q "$(select_all)" '{query: $q, arrayMode: true}' >"$BATS_TEST_TMPDIR/q"
    req POST '/sql?raw=true' -d "@$BATS_TEST_TMPDIR/q"
    cp "$body_file" "$BATS_TEST_TMPDIR/raw"
    req POST /sql -d "@$BATS_TEST_TMPDIR/q"
    [ "$status" = 200 ] || fail "$body"
    # compared as bytes, because jq would change numbers: python keeps the source of each value
    python3 - "$EXPRESSIONS" "$EXPECTED" "$BATS_TEST_TMPDIR/raw" "$body_file" <<'PY'
import json, sys
class Num(str): pass
keep = dict(parse_int=Num, parse_float=Num, parse_constant=Num)
expressions, expected = ([line.rstrip("\n") for line in open(f, encoding="utf-8")] for f in sys.argv[1:3])
raw = json.load(open(sys.argv[3], encoding="utf-8"))["rows"][0]
source = open(sys.argv[4], encoding="utf-8").read()
decoder = json.JSONDecoder(**keep)
at = source.index('"rows":[[') + len('"rows":[[')
values = []
while True:
    _, end = decoder.raw_decode(source, at)
    values.append(source[at:end])
    at = end + 1
    if source[end] == "]": break
assert len(values) == len(expressions), (len(values), len(expressions))
bad = 0
for e, want, text, got in zip(expressions, expected, raw, values):
    allowed = [json.dumps(text, ensure_ascii=False)] if want == "-" else want.split(" | ")
    if got not in allowed:
        bad += 1
        print(f"{e}: {got}, not {want}")
sys.exit(bad > 0)
PY
}

@test "and back: text as a parameter, cast to the type, is the same value" {
    # types whose text is not their input are left out
    python3 - "$EXPRESSIONS" >"$BATS_TEST_TMPDIR/q" <<'PY'
import json, sys
skip = ("::void", "row(1,null")
queries = []
for line in open(sys.argv[1], encoding="utf-8"):
    e = line.rstrip("\n")
    if any(s in e for s in skip): continue
    queries.append(f"select ({e})::text as t, pg_typeof({e})::text as y")
print(json.dumps({"queries": queries}))
PY
    req POST '/sql?raw=true' -d "@$BATS_TEST_TMPDIR/q"
    [ "$status" = 200 ] || fail "$body"
    jq '[.results[].rows[0] | {query: "select ($1::\(.y | if . == "\"char\"" then . elif . == "character" then "bpchar" elif . == "bit" then "varbit" else . end))::text as t", params: [.t]}] | {queries: .}' "$body_file" >"$BATS_TEST_TMPDIR/q2"
    jq -c '[.results[].rows[0].t]' "$body_file" >"$BATS_TEST_TMPDIR/want"
    req POST '/sql?raw=true' -d "@$BATS_TEST_TMPDIR/q2"
    [ "$status" = 200 ] || fail "$body"
    jq -c '[.results[].rows[0].t]' "$body_file" >"$BATS_TEST_TMPDIR/got"
    diff <(jq .[] "$BATS_TEST_TMPDIR/want") <(jq .[] "$BATS_TEST_TMPDIR/got")
}

@test "dates under any DateStyle, IntervalStyle and TimeZone are PostgreSQL's text" {
    value="'2020-03-29 01:30:00+00'::timestamptz as a, '2020-12-31'::date as b, '1 year -2 days 03:04:05'::interval as c, '2020-01-02 03:04:05'::timestamp as d, array['2020-12-31 23:59:60+00'::timestamptz] as e"
    for style in ISO SQL,DMY SQL,MDY German Postgres,DMY; do
        for zone in UTC Europe/Prague America/St_Johns; do
            for interval in postgres sql_standard iso_8601 postgres_verbose; do
                settings="set datestyle = '$style'; set timezone = '$zone'; set intervalstyle = '$interval'"
                cluster_psql -qAt -F $'\x1f' -c "$settings" -c "select $value" >"$BATS_TEST_TMPDIR/psql"
                jq -n --arg s "$style" --arg z "$zone" --arg i "$interval" --arg q "select $value" '["set datestyle = \u0027\($s)\u0027", "set timezone = \u0027\($z)\u0027", "set intervalstyle = \u0027\($i)\u0027", {query: $q, arrayMode: true}]' >"$BATS_TEST_TMPDIR/q"
                req POST '/sql?raw=1' -d "@$BATS_TEST_TMPDIR/q"
                jq -j '.results[3].rows[0] | join("\u001f") + "\n"' "$body_file" >"$BATS_TEST_TMPDIR/http"
                cmp "$BATS_TEST_TMPDIR/psql" "$BATS_TEST_TMPDIR/http" || fail "$settings"
                req POST /sql -d "@$BATS_TEST_TMPDIR/q"
                jq -j '.results[3].rows[0][0:4] | join("\u001f")' "$body_file" >"$BATS_TEST_TMPDIR/typed"
                [ "$(cut -d $'\x1f' -f 1-4 "$BATS_TEST_TMPDIR/psql")" = "$(cat "$BATS_TEST_TMPDIR/typed")" ] || fail "typed: $settings"
            done
        done
    done
}

@test "extra_float_digits, bytea_output and the like do not break typed values" {
    req POST /sql -d '["set extra_float_digits = -10","select 0.1::float8 + 0.2 as f, 1e-5::float4 as g"]'
    assert_json '.results[1].rows[0].f == 0.3'
    req POST /sql -d '["set bytea_output = '"'escape'"'","select '"'\\\\x5c41'"'::bytea as b"]'
    assert_json '.results[1].rows[0].b == "\\\\A"'
}
