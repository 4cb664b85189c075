#!/usr/bin/env bats
# @neondatabase/serverless and drizzle-orm's neon-http, unchanged, against pghttpd in login mode.

load ../lib/e2e

setup_file() {
    e2e_start --sql-access login --server-header-memory 64kB --login-attempts-max 1000 <<'SQL'
create role app login password 'p@ss:w/rd%';
grant create on schema public to app;
create type mood as enum ('sad', 'ok');
create table items (id int primary key, name text);
insert into items values (1, 'one'), (2, 'two'), (3, 'three');
create table child (id int primary key, parent int references items);
create table noted (id int);
alter table noted owner to app;
create domain pos as int constraint is_positive check (value > 0);
create table positive (n pos);
create table authors (id serial primary key, name varchar(100) not null, mood mood);
create table books (id serial primary key, author int references authors, title text not null, price numeric(10,2), big int8,
    tags text[], meta jsonb, in_stock bool default true, published timestamptz, key uuid);
alter table items owner to app;
alter table child owner to app;
alter table positive owner to app;
alter table authors owner to app;
alter table books owner to app;
SQL
    LOGIN_URI="postgresql://app:p%40ss%3Aw%2Frd%25@127.0.0.1:$CLUSTER_PORT/postgres"
    export LOGIN_URI
}
teardown_file() { e2e_stop; }

client() { (cd "$BATS_TEST_DIRNAME" && env -u PGHOST -u PGPORT -u PGUSER -u PGDATABASE timeout 60 node "$1.mjs" "$2" 3>&-); }

@test "neon: tagged templates, query, unsafe" { client neon 'tagged templates, query, unsafe'; }
@test "neon: arrayMode and fullResults" { client neon 'arrayMode and fullResults'; }
@test "neon: commands and counts as pg reports them" { client neon 'commands and counts as pg reports them'; }
@test "neon: values come back as pg gives them" { client neon 'values come back as pg gives them'; }
@test "neon: parameters of every JavaScript type" { client neon 'parameters of every JavaScript type'; }
@test "neon: error fields equal what pg reports" { client neon 'error fields equal what pg reports'; }
@test "neon: login errors" { client neon 'login errors'; }
@test "neon: transactions with all options" { client neon 'transactions with all options'; }
@test "neon: own type parsers" { client neon 'own type parsers'; }
@test "neon: abort cancels the statement" { client neon 'abort cancels the statement'; }
@test "neon: fifty at once" { client neon 'fifty at once'; }
@test "neon: long connection strings" { client neon 'long connection strings'; }
@test "drizzle: insert, select, update, delete with every column type" { client drizzle 'insert, select, update, delete with every column type'; }
@test "drizzle: joins, aggregates, relational queries" { client drizzle 'joins, aggregates, relational queries'; }
@test "drizzle: upsert and prepared statements" { client drizzle 'upsert and prepared statements'; }
@test "drizzle: batch is one transaction" { client drizzle 'batch is one transaction'; }
@test "drizzle: errors keep their fields" { client drizzle 'errors keep their fields'; }
@test "drizzle: raw execute" { client drizzle 'raw execute'; }
