# alone
# Eight clients that never read beside one that does: it must not notice, memory must not grow, each finds its count.

load ../lib/e2e

setup_file() { e2e_start --listen-access open; }
teardown_file() { e2e_stop; }

figure() { sed -n "s/^$1=//p" <<<"$output"; }

@test "8 stuck clients, 6,000 messages: the reader has each within 50 ms (p99), RSS + < 8 MB, exact markers" {
    run timeout 200 python3 "$BATS_TEST_DIRNAME/listen_stuck.py"
    echo "$output"
    [ "$status" = 0 ]
    [ "${MODE:-release}" != release ] && skip "figures count in a release build: $(tr '\n' ' ' <<<"$output")"
    [ "$(bc <<<"$(figure p99_ms) <= 50")" = 1 ]
    [ "$(figure rss_kb)" -lt 8192 ]
}
