# openapi.yaml is valid OpenAPI 3.1 (that it names the routes of the program: tests/unit/test_openapi.c).

bats_require_minimum_version 1.5.0

setup_file() {
    cd "$BATS_TEST_DIRNAME/../.." || return 1
    tests/lib/npm.sh tests/schemas
}

setup() {
    [ "${MODE:-release}" = release ] || skip "says nothing about this build"
}

@test "openapi.yaml is valid" {
    cd "$BATS_TEST_DIRNAME/../schemas"
    node openapi.mjs ../../openapi.yaml
}

@test "the validator finds what is wrong" {
    cd "$BATS_TEST_DIRNAME/../schemas"
    sed 's/operationId: runSql/operationId: [1]/' ../../openapi.yaml >"$BATS_TEST_TMPDIR/bad.yaml"
    run ! node openapi.mjs "$BATS_TEST_TMPDIR/bad.yaml"
}
