# The console for who has no mouse, a screen reader, a small window or a dark one (parts of console.mjs).

load ../lib/e2e

setup_file() {
    cluster_start || return 1
    cluster_psql -c 'create database demo' && cluster_psql -d demo -f config/demo.sql >/dev/null || return 1
    server_start --db-uri "$(cluster_uri demo demo demo)" "$SERVER_TOP/config/demo.conf"
}

teardown_file() {
    e2e_stop
}

console() {
    [ -n "$(command -v chromium chromium-browser google-chrome)" ] || skip "no Chromium"
    timeout -k 5 200 node tests/clients/console.mjs "$@"
}

@test "with the keyboard alone" { console keyboard; }
@test "axe-core finds nothing, nothing is wider than 360 px" { console accessible; }
