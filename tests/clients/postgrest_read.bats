#!/usr/bin/env bats
# @supabase/postgrest-js, unchanged, reading the demo database.

load ../lib/e2e

setup_file() {
    export JWT_SECRET=a-secret-of-the-tests-that-is-long-enough
    e2e_start --db-schemas api --db-anon-role web_anon --db-plan-enabled true --jwt-secret "$JWT_SECRET" \
        <"$BATS_TEST_DIRNAME/../../config/demo.sql"
}
teardown_file() { e2e_stop; }

client() { (cd "$BATS_TEST_DIRNAME" && timeout 60 node postgrest_read.mjs "$1" 3>&-); }

@test "filters" { client 'filters'; }
@test "columns, order, range" { client 'columns, order, range'; }
@test "embeds" { client 'embeds'; }
@test "counts" { client 'counts'; }
@test "csv" { client 'csv'; }
@test "single and maybeSingle" { client 'single and maybeSingle'; }
@test "explain" { client 'explain'; }
@test "functions of rows, and their columns" { client 'functions of rows, and their columns'; }
@test "abortSignal" { client 'abortSignal'; }
