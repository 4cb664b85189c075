# Settings: every source, every mistake, what --dump-config and the other actions print. No database but where it says.

setup() {
    bin=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)/build/${MODE:-release}/pghttpd
    cd "$BATS_TEST_TMPDIR" || exit 1
}

# dump VARIABLE=... -- ARGUMENTS: the settings, without the database's
dump() {
    local variables=()
    while [ "$1" != -- ]; do variables+=("$1"); shift; done
    shift
    run env -i "${variables[@]}" "$bin" --dump-config --db-config false "$@"
}

# The last dump shows the line (without the comment on where it comes from).
shows() {
    grep -qxF -- "$1" <<<"$(sed 's/  # .*//' <<<"$output")" || { echo "missing: $1"; echo "$output"; return 1; }
}

# refused TEXT-OF-A-FILE WORD...: exit 1, one line, with each of the words
refused() {
    local word
    printf '%s\n' "$1" >bad.conf
    shift
    run env -i "$bin" bad.conf
    [ "$status" = 1 ] || { echo "taken ($status): $(cat bad.conf)"; return 1; }
    [ "${#lines[@]}" = 1 ] || { echo "$output"; return 1; }
    for word; do
        [[ "$output" == *"$word"* ]] || { echo "'$word' is missing in: $output"; return 1; }
    done
}

@test "the actions print and end with 0" {
    run "$bin" --version
    [ "$status" = 0 ]
    [[ "$output" =~ ^pghttpd\ [0-9]+\.[0-9]+ ]]
    run "$bin" --help
    [ "$status" = 0 ]
    [[ "$output" == *"--db-schemas A,B (public)"* && "$output" == *"--healthcheck"* ]]
    "$bin" --example >example.conf
    dump -- example.conf
    [ "$status" = 0 ]
    run diff <(sed 's/  # .*//' <<<"$output") <(env -i "$bin" --dump-config --db-config false | sed 's/  # .*//')
    [ "$status" = 0 ]
    run "$bin" --example --no-such-option 1
    [ "$status" = 1 ]
}

@test "command line over environment over file over default, and a dump says which" {
    printf 'server-port = 4001\ndb-pool = 3\ndb-anon-role = "file"\nlog-query = true\n' >a.conf
    dump PGRST_SERVER_PORT=4002 PGHTTPD_SERVER_PORT=4003 PGRST_DB_ANON_ROLE=env PGRST_DB_SCHEMAS="a, b" -- a.conf --db-pool 7 --log-level=debug
    [ "$status" = 0 ]
    grep -qxF 'server-port = 4003  # environment: PGHTTPD_SERVER_PORT' <<<"$output"
    grep -qxF 'db-pool = 7  # command line' <<<"$output"
    grep -qxF 'log-query = true  # a.conf:4' <<<"$output"
    grep -qxF 'admin-server-port = 3001' <<<"$output"
    shows 'db-anon-role = "env"'
    shows 'db-schemas = "a,b"'
    shows 'log-level = "debug"'
}

@test "every setting of PostgREST, by file and by variables of both prefixes" {
    cat >pgrst.conf <<'CONF'
admin-server-host = "127.0.0.9"
admin-server-port = 3999
admin-server-unix-socket = "/tmp/admin.sock"
admin-server-unix-socket-mode = "666"
app.settings.test = "a $$ b"
client-error-verbosity = "minimal"
db-aggregates-enabled = true
db-anon-role = "root"
db-channel = "postgrest"
db-channel-enabled = false
db-config = false
db-extra-search-path = "public, test"
db-hoisted-tx-settings = "work_mem"
db-max-rows = 1000
db-plan-enabled = true
db-pool = 2
db-pool-acquisition-timeout = 30
db-pool-automatic-recovery = false
db-pool-max-idletime = 60
db-pool-max-lifetime = 3600
db-pre-config = "postgrest.pre_config"
db-pre-request = "please_run_fast"
db-prepared-statements = false
db-root-spec = "openapi_v3"
db-schemas = "multi,   tenant,setup"
db-tx-end = "rollback-allow-override"
db-uri = "postgresql://u:secret@h/d"
jwt-aud = "https://example.org"
jwt-cache-max-entries = 86400
jwt-role-claim-key = "$$.user[0].real_role"
jwt-secret = "c2VjdXJpdHl0aHJvdWdob2JzY3VyaXR5aW5iYXNlNjQ="
jwt-secret-is-base64 = true
log-level = "info"
log-query = true
openapi-mode = "ignore-privileges"
openapi-security-active = true
openapi-server-proxy-uri = "https://example.org/api"
server-cors-allowed-origins = "http://a.example, http://b.example"
server-host = "127.0.0.8"
server-port = 8080
server-reuseport = true
server-timing-enabled = true
server-trace-header = "X-Request-Id"
server-unix-socket = "/tmp/api.sock"
server-unix-socket-mode = "777"
url-use-legacy-target-names = false
CONF
    cat >want <<'WANT'
admin-server-host = "127.0.0.9"
admin-server-port = 3999
admin-server-unix-socket = "/tmp/admin.sock"
admin-server-unix-socket-mode = "666"
app.settings.test = "***"
client-error-verbosity = "minimal"
db-aggregates-enabled = true
db-anon-role = "root"
db-channel = "postgrest"
db-channel-enabled = false
db-config = false
db-extra-search-path = "public,test"
db-hoisted-tx-settings = "work_mem"
db-max-rows = 1000
db-plan-enabled = true
db-pool = 2
db-pool-acquisition-timeout = 30s
db-pool-automatic-recovery = false
db-pool-max-idletime = 60s
db-pool-max-lifetime = 3600s
db-pre-config = "postgrest.pre_config"
db-pre-request = "please_run_fast"
db-prepared-statements = false
db-root-spec = "openapi_v3"
db-schemas = "multi,tenant,setup"
db-tx-end = "rollback-allow-override"
db-uri = "postgresql://u:***@h/d"
jwt-aud = "https://example.org"
jwt-cache-max-entries = 86400
jwt-role-claim-key = "$$.user[0].real_role"
jwt-secret = "***"
jwt-secret-is-base64 = true
log-level = "info"
log-query = true
openapi-mode = "ignore-privileges"
openapi-security-active = true
openapi-server-proxy-uri = "https://example.org/api"
server-cors-allowed-origins = "http://a.example,http://b.example"
server-host = "127.0.0.8"
server-port = 8080
server-reuseport = true
server-timing-enabled = true
server-trace-header = "X-Request-Id"
server-unix-socket = "/tmp/api.sock"
server-unix-socket-mode = "777"
url-use-legacy-target-names = false
WANT
    dump -- pgrst.conf
    [ "$status" = 0 ]
    while IFS= read -r line; do shows "$line"; done <want
    # the same as variables: quotes off, $$ is $ again
    local prefix key value variables
    for prefix in PGRST PGHTTPD; do
        variables=()
        while IFS= read -r line; do
            key=${line%% =*} value=${line#* = }
            value=${value#\"} value=${value%\"} value=${value//\$\$/\$}
            case $key in
            app.settings.*) key=APP_SETTINGS_${key#app.settings.} ;;
            *) key=${key^^} ;;
            esac
            variables+=("${prefix}_${key//-/_}=$value")
        done <pgrst.conf
        dump "${variables[@]}" --
        [ "$status" = 0 ]
        while IFS= read -r line; do shows "$line"; done <want
    done
}

@test "PostgREST's older names, empty values, quotes in an env file" {
    dump PGRST_DB_SCHEMA=s PGRST_DB_POOL_TIMEOUT=5 PGRST_MAX_ROWS=9 PGRST_PRE_REQUEST=p PGRST_ROOT_SPEC=r \
        PGRST_ROLE_CLAIM_KEY='$.x' PGRST_SECRET_IS_BASE64=0 PGRST_DB_POOL= PGRST_DB_EXTRA_SEARCH_PATH= \
        PGRST_LOG_QUERY='"true"' PGRST_DB_USE_LEGACY_GUCS=false PGRST_NOT_EXISTING=1 --
    [ "$status" = 0 ]
    shows 'db-schemas = "s"'
    shows 'db-pool-max-idletime = 5s'
    shows 'db-max-rows = 9'
    shows 'db-pre-request = "p"'
    shows 'db-root-spec = "r"'
    shows 'jwt-role-claim-key = "$$.x"'
    shows 'db-pool = 10'
    shows 'db-extra-search-path = ""'
    shows 'log-query = true'
}

@test "service links do not stop it, a misspelt variable is named" {
    dump PGHTTPD_PORT=tcp://10.0.0.1:3000 PGHTTPD_SERVER_PORT=tcp://10.0.0.1:3000 PGHTTPD_SERVICE_HOST=10.0.0.1 \
        PGHTTPD_SERVICE_PORT_HTTP=3000 PGHTTPD_PORT_3000_TCP=tcp://10.0.0.1:3000 PGHTTPD_PORT_3000_TCP_PROTO=tcp \
        PGHTTPD_PORT_3000_TCP_ADDR=10.0.0.1 PGRST_SERVER_PORT=tcp://10.0.0.2:3000 --
    [ "$status" = 0 ]
    [[ "$output" != *level=warn* ]]
    shows 'server-port = 3000'
    dump PGHTTPD_DB_POOLS=3 --
    [ "$status" = 0 ]
    [[ "$output" == *"PGHTTPD_DB_POOLS: no such setting"*"db-pool"* ]]
}

@test "variables in a file; secrets from files; what looks like a variable in a secret" {
    printf 'a secret of more than thirty-two bytes\n' >secret
    printf '  postgresql://from@file/x \n\n' >uri
    printf 'db-uri = "@uri"\njwt-secret = "@secret"\nserver-port = ${PORT}\ndb-anon-role = "${NOBODY:-anon}"\n' >a.conf
    dump PORT=4711 -- a.conf
    [ "$status" = 0 ]
    shows 'db-uri = "postgresql://from@file/x"'
    shows 'jwt-secret = "***"'
    shows 'server-port = 4711'
    shows 'db-anon-role = "anon"'
    printf 'jwt-secret = "abc ${NOT_A_VARIABLE} $(NEITHER ................"\n' >b.conf
    dump -- b.conf
    [ "$status" = 0 ]
    [[ "$output" != *NOT_A* ]]
    dump SECRET="0123456789 0123456789 0123456789" -- --jwt-secret @/dev/stdin <<<'0123456789 0123456789 0123456789'
    [ "$status" = 0 ]
    refused 'server-port = ${NOBODY_SET_IT}' bad.conf:1: server-port 'NOBODY_SET_IT is not set'
    refused 'jwt-secret = "@/nonexistent"' bad.conf:1: jwt-secret 'cannot read /nonexistent' 'No such file'
    refused 'db-uri = "@/etc"' bad.conf:1: db-uri 'Is a directory'
}

@test "mistakes in a file: place, key, reason, remedy" {
    refused $'server-port = 1\nserver_prot = 2' bad.conf:2: server_prot 'did you mean server-port?'
    refused 'zzz = 2' bad.conf:1: zzz 'no such setting' --example
    refused $'\n\nserver-port = 70000' bad.conf:3: server-port 70000 '0 to 65535'
    refused 'db-pool = many' bad.conf:1: db-pool 'a number from 1'
    refused 'statement-timeout = "5 parsecs"' bad.conf:1: statement-timeout 'like 5s'
    refused 'request-max-bytes = big' bad.conf:1: request-max-bytes 'like 16MB'
    refused 'log-query = maybe' bad.conf:1: log-query 'true or false'
    refused 'db-tx-end = never' bad.conf:1: db-tx-end commit-allow-override
    refused 'sql-access = jwt' bad.conf:1: sql-access 'off, login, open'
    refused 'server-unix-socket-mode = "999"' bad.conf:1: server-unix-socket-mode octal
    refused 'db-schemas = "a, pg_catalog"' bad.conf:1: db-schemas pg_catalog
    refused 'db-anon-role = "abc' bad.conf:1: 'closing quote'
    refused 'db-anon-role =' bad.conf 'value is missing'
    refused $'yaml:\n  is: not' bad.conf:1: 'key = value'
    refused $'server-port = 1\nkey only\n\n# more\nlog-level = info' bad.conf:2: key 'must follow'
    refused 'database x { db-schemas = a }' bad.conf:1: x db-uri
    refused $'database x {\n server-port = 1\n}' bad.conf:2: server-port 'outside the braces'
    refused $'database x { db-uri = a' bad.conf:1: 'not closed'
    refused 'jwt-secret = short' bad.conf:1: jwt-secret '32'
    refused $'jwt-secret = "%%%"\njwt-secret-is-base64 = true' bad.conf:1: jwt-secret base64
    refused 'jwt-secret = "{\"kty\":\"OKP\"}"' jwt-secret EdDSA
    refused 'jwt-role-claim-key = "$$.a["' jwt-role-claim-key character
    refused 'jwt-aud = "a b:c"' bad.conf:1: jwt-aud URI
    refused 'openapi-server-proxy-uri = x' bad.conf:1: openapi-server-proxy-uri https://
    refused 'server-trace-header = "a b"' bad.conf:1: server-trace-header
    refused 'rest-path = rest' bad.conf:1: rest-path 'begins with /'
    refused 'rest-path = /listen' bad.conf:1: rest-path taken
}

@test "settings that exclude each other" {
    refused $'server-host = 0.0.0.0\nsql-access = open' bad.conf:2: sql-access trusted-network 0.0.0.0
    refused $'server-host = "::"\nlisten-access = open' listen-access trusted-network
    refused $'notify-access = open\nserver-host = pg.example.com' notify-access trusted-network
    refused 'admin-server-port = 3000' bad.conf:1: admin-server-port 'same as server-port'
    refused $'listen-history = 10\nlisten-buffer-max = 20' listen-buffer-max listen-history
    refused $'listen-buffer-max = 20\nlisten-buffer = 30' listen-buffer
    refused $'db-pool = 60\ndb-connections-max = 50' db-connections-max
    refused $'db-pool = 2\nworkers = 3' workers 'needs a connection'
    refused $'response-max-bytes = 1KB\nresponse-buffer = 2KB' response-buffer response-max-bytes
    dump -- --server-host 0.0.0.0 --sql-access open --trusted-network true
    [ "$status" = 0 ]
    dump -- --db-pool 100
    [ "$status" = 0 ]
    shows 'db-connections-max = 100'
}

@test "mistakes elsewhere" {
    run env -i PGRST_SERVER_PORT=http "$bin"
    [ "$status" = 1 ]
    [[ "$output" == *"environment variable PGRST_SERVER_PORT: server-port: "* ]]
    run env -i "$bin" --server-prot 1
    [ "$status" = 1 ]
    [[ "$output" == *"did you mean --server-port?"* ]]
    run env -i "$bin" --server-port
    [ "$status" = 1 ]
    [[ "$output" == *"--server-port: a value must follow"* ]]
    run env -i "$bin" -x
    [ "$status" = 1 ]
    run env -i "$bin" one two
    [ "$status" = 1 ]
    [[ "$output" == *"two files"* ]]
    run env -i "$bin" /nonexistent/pghttpd.conf
    [ "$status" = 1 ]
    [[ "$output" == *"/nonexistent/pghttpd.conf: No such file"* ]]
    printf '\0' >nul.conf
    run env -i "$bin" nul.conf
    [ "$status" = 1 ]
    [[ "$output" == *"NUL"* ]]
    printf 'mine' >file.sock
    run env -i "$bin" --server-unix-socket file.sock --admin-server-port off
    [ "$status" = 1 ]
    [[ "$output" == *"file.sock: it exists and is no socket"* ]]
    [ "$(cat file.sock)" = mine ]
    head -c 3000000 /dev/zero | tr '\0' '#' >big.conf
    run env -i "$bin" big.conf
    [ "$status" = 1 ]
    [[ "$output" == *"1 MB"* ]]
}

@test "keys and paths that cannot be used: a dump refuses them too, and says where they stand" {
    dump PGRST_JWT_ROLE_CLAIM_KEY='role.other' --
    [ "$status" = 1 ]
    [[ "$output" == *"environment variable PGRST_JWT_ROLE_CLAIM_KEY: jwt-role-claim-key: "*"character 1"* ]]
    printf 'server-port = 4000\njwt-role-claim-key = "$$.a;;b"\n' >role.conf
    dump -- role.conf
    [ "$status" = 1 ]
    [[ "$output" == *"role.conf:2: jwt-role-claim-key: "* ]]
    printf '{"kty":"RSA","n":"AQAB","e":"AQAB"}' >key.json
    run env -i "$bin" --jwt-secret @key.json
    [ "$status" = 1 ]
    [[ "$output" == *"command line: jwt-secret: "*"2048 bits"* ]]
    refused 'jwt-secret = "{\"keys\":[]}"' bad.conf:1: jwt-secret 'no usable key'
    refused 'jwt-aud = "http://%%localhost.invalid"' bad.conf:1: jwt-aud URI
    dump -- --jwt-aud 'urn:a:b%20c'
    [ "$status" = 0 ]
}

@test "the admin server listens where the server does, unless told otherwise" {
    dump PGRST_SERVER_HOST=::1 --
    shows 'admin-server-host = "::1"'
    dump -- --server-host '*' --admin-server-host 127.0.0.1
    shows 'admin-server-host = "127.0.0.1"'
    dump --
    shows 'admin-server-host = "127.0.0.1"'
    run env -i PGRST_SERVER_HOST='!6' PGRST_ADMIN_SERVER_PORT=1 "$bin" --healthcheck
    [[ "$output" == "not alive: http://[::1]:1/live: "* ]]
}

@test "settings for SQL stay secret in a dump" {
    dump PGRST_APP_SETTINGS_JWT_SECRET=needle-1 -- --app.settings.key needle-2
    [ "$status" = 0 ]
    shows 'app.settings.JWT_SECRET = "***"'
    shows 'app.settings.key = "***"'
    [[ "$output" != *needle* ]]
}

@test "ready and healthcheck say whom they asked" {
    run env -i "$bin" --ready --admin-server-host 0.0.0.0 --admin-server-port 1
    [ "$status" = 1 ]
    [[ "$output" == "not ready: http://127.0.0.1:1/ready: Connection refused" ]]
    run env -i "$bin" --healthcheck --admin-server-host :: --admin-server-port 1
    [ "$status" = 1 ]
    [[ "$output" == "not alive: http://[::1]:1/live: "* ]]
    run env -i "$bin" --healthcheck --admin-server-unix-socket "$PWD/none.sock"
    [ "$status" = 1 ]
    [[ "$output" == "not alive: unix:$PWD/none.sock/live: No such file or directory" ]]
    run env -i "$bin" --ready --admin-server-port off
    [ "$status" = 1 ]
    [[ "$output" == *"admin-server-port must be a fixed port"* ]]
}
