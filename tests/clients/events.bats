#!/usr/bin/env bats
# EventSource against /listen: the npm package `eventsource`, and a page in headless Chromium.

load ../lib/e2e

SECRET=a-secret-of-at-least-thirty-two-characters

setup_file() {
    # the page is of another origin
    e2e_start --listen-access open --notify-access open --server-cors-allowed-origins '*'
    SERVER_NAME=jwt server_start --listen-access jwt --jwt-secret "$SECRET" --listen-query-token true --server-cors-allowed-origins '*'
    JWT_URL=$SERVER_URL
    export JWT_URL
    server_use main
}

teardown_file() { e2e_stop; }

b64() { base64 -w0 | tr '+/' '-_' | tr -d '='; }

# A URL whose token lives so many seconds.
token_url() {
    local head body
    head=$(printf '{"alg":"HS256"}' | b64)
    body=$(printf '{"channels":"*","exp":%s}' $(($(date +%s) + $1)) | b64)
    printf '%s/listen/web?access_token=%s.%s.%s' "$JWT_URL" "$head" "$body" \
        "$(printf '%s' "$head.$body" | openssl dgst -sha256 -hmac "$SECRET" -binary | b64)"
}

@test "npm's eventsource: payloads, reconnection with Last-Event-ID, the end of a token" {
    TOKEN_URL=$(token_url 5) timeout 90 node "$BATS_TEST_DIRNAME/events.mjs" npm
}

@test "Chromium's EventSource: the same" {
    command -v chromium >/dev/null || skip "chromium is not installed"
    TOKEN_URL=$(token_url 8) timeout 90 node "$BATS_TEST_DIRNAME/events.mjs" chromium
}
