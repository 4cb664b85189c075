# The documentation holds: every command in README.md and docs/ is run against the demo, every configuration is read, every
# metric has its line. What is not run says so in its page (<!-- not run: REASON -->); tests/lib/docs.py has the rules.

load ../lib/e2e

setup_file() {
    cluster_start || return 1
    cluster_psql -c 'create database demo' && cluster_psql -d demo -f config/demo.sql >/dev/null || return 1
    server_start --db-uri "$(cluster_uri demo demo demo)" "$SERVER_TOP/config/demo.conf"
}

teardown_file() {
    e2e_stop
}

pages() { ls README.md CONTRIBUTING.md docs/*.md; }
docs() { python3 tests/lib/docs.py "$@"; }

# What the commands of a page find: curl, judged by its status, and the demo's ports.
page_run() {
    {
        cat <<'SH'
curl() {
    local want=$WANT line=$LINE out=$DOCS_DIR/out.$BASHPID rc=0 code most=20
    case " $* " in *' -N '*) most=4 out=$DOCS_DIR/stream ;; esac
    command curl -sS -m $most -D "$out.head" -o "$out" "$@" 2>"$out.err" || rc=$?
    code=$(grep -a '^HTTP/' "$out.head" 2>/dev/null | tail -1 | cut -d' ' -f2)
    [ $rc = 0 ] || [ $most:$rc = 4:28 ] || echo "$line: curl: $(cat "$out.err")" >>"$DOCS_DIR/failed"
    case ${want:-2}:$code in
    2:2*) ;;
    "$code:$code") ;;
    *) echo "$line: status $code instead of ${want:-2xx}: $(head -c 500 "$out")" >>"$DOCS_DIR/failed" ;;
    esac
    echo "$line" >>"$DOCS_DIR/ran"
    cat "$out"
}
docs_settle() {
    local i
    for i in $(seq 100); do grep -qs '^: ok' "$DOCS_DIR/stream" && return; sleep 0.05; done
    echo "$LINE: the stream did not begin" >>"$DOCS_DIR/failed"
}
# A block that left a stream running and then did something shows an event.
docs_block_ends() {
    [ -n "$(jobs -r)" ] || { rm -f "$DOCS_DIR/stream"; return 0; }
    wait
    grep -qs '^data: ..*' "$DOCS_DIR/stream" || echo "$LINE: no event came" >>"$DOCS_DIR/failed"
    rm -f "$DOCS_DIR/stream"
}
trap 'echo "$LINE: failed: $BASH_COMMAND" >>"$DOCS_DIR/failed"' ERR
SH
        docs sh "$1" | sed "s/localhost:3000/127.0.0.1:$SERVER_PORT/g; s/localhost:3001/127.0.0.1:$SERVER_ADMIN_PORT/g"
    } >"$DOCS_DIR/script"
    PATH=$SERVER_TOP/build/${MODE:-release}:$PATH timeout -k 5 120 bash "$DOCS_DIR/script" >"$DOCS_DIR/printed" 2>&1 </dev/null 3>&-
}

@test "every command of every page" {
    local page ran=0
    export DOCS_DIR=$BATS_TEST_TMPDIR
    for page in $(pages); do
        rm -rf "$DOCS_DIR"/*
        page_run "$page" || echo "$page: the script ended with $?" >>"$DOCS_DIR/failed"
        [ ! -s "$DOCS_DIR/failed" ] || fail "$(cat "$DOCS_DIR/failed"; tail -5 "$DOCS_DIR/printed")"
        [ ! -e "$DOCS_DIR/ran" ] || ran=$((ran + $(wc -l <"$DOCS_DIR/ran")))
    done
    echo "$ran requests of the documentation were made"
    [ "$ran" -ge 30 ]
}

@test "each block that is not run has a reason, and README has at most 150 lines" {
    # shellcheck disable=SC2046 # names of pages
    docs excepted $(pages)
    [ "$(wc -l <README.md)" -le 150 ]
}

@test "every JavaScript example is JavaScript, and those that import a package run" {
    local page n=0 dir=build/docs-js example
    [ -d tests/clients/node_modules ] || skip 'make clients-installed'
    rm -rf "$dir" && mkdir -p "$dir" && ln -s ../../tests/clients/node_modules "$dir/node_modules"
    for page in $(pages); do
        while IFS= read -r -d '' example; do
            n=$((n + 1))
            sed "s/localhost:3000/127.0.0.1:$SERVER_PORT/g" <<<"$example" >"$dir/$n.mjs"
            node --check "$dir/$n.mjs" || fail "$page: $example"
            case $example in *"import "*) timeout 20 node "$dir/$n.mjs" || fail "$page: $example" ;; esac
        done < <(docs js "$page")
    done
    [ "$n" -ge 3 ]
}

@test "every configuration file is one" {
    local page n=0 example
    for page in $(pages); do
        while IFS= read -r -d '' example; do
            n=$((n + 1))
            printf %s "$example" >"$BATS_TEST_TMPDIR/$n.conf"
            env PASSWORD=x "build/${MODE:-release}/pghttpd" --dump-config "$BATS_TEST_TMPDIR/$n.conf" >/dev/null || fail "$page: $example"
        done < <(docs conf "$page")
    done
    [ "$n" -ge 1 ]
}

@test "every SQL example runs" {
    local page example
    for page in $(pages); do
        while IFS= read -r -d '' example; do
            { echo 'begin; set local search_path = api;'; printf '%s\n' "$example"; echo ';rollback;'; } >"$BATS_TEST_TMPDIR/x.sql"
            cluster_psql -d demo -f "$BATS_TEST_TMPDIR/x.sql" >/dev/null || fail "$page: $example"
        done < <(docs sql "$page")
    done
}

@test "docs/metrics.md has every metric and no other" {
    ADMIN=1 req GET /metrics
    [ "$status" = 200 ]
    diff <(sed -nE 's/^# TYPE ([^ ]+) .*/\1/p' "$body_file" | sort) <(sed -nE 's/^\| `([a-z_]+)` \|.*/\1/p' docs/metrics.md | sort)
}
