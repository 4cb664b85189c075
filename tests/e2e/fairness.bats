# A pool of four connections and more requests than it can serve at once.
# alone

load ../lib/e2e

setup_file() {
    e2e_start --sql-access open --db-pool 4 </dev/null
}

teardown_file() {
    e2e_stop
}

@test "500 requests at once: each gets its own answer, first come first served" {
    python3 "$SERVER_TOP/tests/e2e/fairness.py" many "$SERVER_PORT"
}

@test "a slow query does not move the p99 of the others by more than 2 ms" {
    [ "${MODE:-release}" = release ] || skip "figures are for the release build"
    python3 "$SERVER_TOP/tests/e2e/fairness.py" slow "$SERVER_PORT"
}
