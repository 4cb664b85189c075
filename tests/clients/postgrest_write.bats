#!/usr/bin/env bats
# @supabase/postgrest-js, unchanged, writing to the demo database and calling its functions.

load ../lib/e2e

setup_file() {
    export JWT_SECRET=a-secret-of-the-tests-that-is-long-enough
    e2e_start --db-schemas api --db-anon-role web_anon --jwt-secret "$JWT_SECRET" <"$BATS_TEST_DIRNAME/../../config/demo.sql"
}
teardown_file() { e2e_stop; }

client() { (cd "$BATS_TEST_DIRNAME" && timeout 60 node postgrest_write.mjs "$1" 3>&-); }

@test "insert, with and without the rows" { client 'insert, with and without the rows'; }
@test "upsert by key and by another column" { client 'upsert by key and by another column'; }
@test "update and delete, filtered, counted, returned" { client 'update and delete, filtered, counted, returned'; }
@test "maxAffected rolls back" { client 'maxAffected rolls back'; }
@test "functions: by POST, by GET, of rows" { client 'functions: by POST, by GET, of rows'; }
@test "a customer orders, sees the own rows, and no others" { client 'a customer orders, sees the own rows, and no others'; }
@test "throwOnError and abortSignal" { client 'throwOnError and abortSignal'; }
@test "ten thousand rows at once, unicode included" { client 'ten thousand rows at once, unicode included'; }
