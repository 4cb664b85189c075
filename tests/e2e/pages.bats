# Which web pages of other origins may read what: every path of openapi.yaml (tests/unit/test_openapi.c: these are all routes
# there are, of both ports), so that a new one cannot be forgotten.

load ../lib/e2e

setup_file() {
    e2e_start --sql-access open --listen-access open --notify-access open --db-anon-role web_anon <<'SQL'
create role web_anon;
create table items (id int);
grant select on items to web_anon;
SQL
}

teardown_file() {
    e2e_stop
}

# "PORT PATH DATABASE" of each, with values for what stands in braces.
paths() {
    awk '/^paths:/ {in_paths = 1; next} /^[a-z]/ {in_paths = 0} !in_paths {next}
        /^  \// {path = $1; sub(/:$/, "", path); sub(/#.*/, "", path); order[++n] = path; port[n] = "api"; db[n] = 0}
        /^    x-admin: true/ {port[n] = "admin"}
        /^    x-database: true/ {db[n] = 1}
        END {for (i = 1; i <= n; i++) print port[i], order[i], db[i]}' "$SERVER_TOP/openapi.yaml" |
        sed 's/{resource}/items/; s/{channel}/news/; s/{file}/console.js/'
}

# The value of Access-Control-Allow-Origin, for curl's arguments: - for none. Streams are cut off after their head.
allowed_origin() {
    local line
    line=$(curl -s -m 1 -o /dev/null -D - -H "Origin: $origin" "$@" | tr -d '\r' | grep -i '^access-control-allow-origin:') || true
    [ "$(wc -l <<<"$line")" = 1 ] || line="twice: $line"
    echo "${line:--}" | sed 's/^[^:]*: *//'
}

# pages ORIGIN REST OTHERS: what every path says to a page of this origin, by GET, by POST, and as a preflight.
pages() {
    local origin=$1 port path db url expected said n=0
    while read -r port path db; do
        [ "$port" = api ] && url=$SERVER_URL || url=$SERVER_ADMIN
        case $port$path in admin*) expected=- ;; api/rest/*) expected=$2 ;; *) expected=$3 ;; esac
        [ "$path" != /listen ] || [ "$port" = admin ] || path='/listen?channel=news'
        for path in "$path" "/-$path" "/nothing$path"; do
            case $path in /nothing*) [ "$expected" = - ] || expected=$3 ;; esac
            said="$(allowed_origin "$url$path") $(allowed_origin "$url$path" -d '{}') $(allowed_origin -X OPTIONS "$url$path" -H 'Access-Control-Request-Method: GET')"
            [ "$said" = "$expected $expected $expected" ] || fail "$port $path, $origin: $said, not $expected"
            n=$((n + 1))
        done
    done < <(paths)
    [ "$n" -ge 42 ] || fail "only $n paths"
}

@test "no page of another origin reads anything but REST, where nothing is set" {
    pages http://evil.example '*' -
}

@test "with origins listed, their pages read the API, no others, and none the admin port" {
    SERVER_NAME=listed server_start --sql-access open --listen-access open --notify-access open --db-anon-role web_anon \
        --server-cors-allowed-origins https://shop.example
    pages https://shop.example https://shop.example https://shop.example
    pages http://evil.example - -
    server_stop
}
