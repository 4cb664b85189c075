# The page at / in headless Chromium.

load ../lib/e2e

setup_file() {
    e2e_start --sql-access open --listen-access open --notify-access open --db-anon-role web_anon <<'SQL'
create role web_anon;
create table items (id int primary key, name text);
insert into items select i, 'item ' || i from generate_series(1, 30) i;
create table seen (n int);
grant select on items to web_anon;
SQL
}

teardown_file() {
    e2e_stop
}

@test "the page runs SQL, asks REST and shows events" {
    [ -n "$(command -v chromium chromium-browser google-chrome)" ] || skip "no Chromium"
    node tests/clients/console.mjs "$SERVER_URL"
}
