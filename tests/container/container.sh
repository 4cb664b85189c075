#!/bin/bash
# container.sh: builds docker/Dockerfile from this tree for real and judges the running image. TAP, then `N passed, M failed`.
#   ENGINE=podman|docker   which engine (from Debian's packages)      SUITE=bookworm|trixie   which base
# Skipped with a reason where no engine can run. Bases are cached in $CACHE.
set -u
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
: "${W:=$(mktemp -d /var/tmp/pghttpd-container.XXXXXX)}" "${SUITE:=bookworm}" "${CACHE:=/var/cache/pghttpd}"
image=localhost/pghttpd:test port=18180 admin=18181
passed=0 failed=0

# shellcheck source=tests/container/engine.sh
. "$here/engine.sh"
why=$(eng_missing)
if [ -n "$why" ]; then
	echo "1..0 # SKIP $why"
	echo "0 passed, 0 failed, 1 skipped"
	exit 0
fi
finish() {
	eng_stop_all
	cp "$W/last" /tmp/pghttpd-container-last 2>/dev/null
	rm -rf "$W" 2>/dev/null
}
trap finish EXIT
trap 'exit 1' INT TERM

t() { # t DESCRIPTION COMMAND...: one test
	local what=$1
	shift
	if "$@" >"$W/last" 2>&1; then
		passed=$((passed + 1))
		echo "ok $((passed + failed)) - $what"
	else
		failed=$((failed + 1))
		echo "not ok $((passed + failed)) - $what"
		tail -n 20 "$W/last" | sed 's/^/# /'
	fi
}
is() { [ "$1" = "$2" ] || { echo "got '$1', wanted '$2'"; return 1; }; }
below() { [ "$1" -lt "$2" ] || { echo "$1 is not below $2"; return 1; }; }
now_ms() { echo $(($(date +%s%N) / 1000000)); }
until_ok() { # until_ok TENTHS COMMAND...
	local n=$1
	shift
	while [ "$n" -gt 0 ]; do
		"$@" && return 0
		n=$((n - 1))
		sleep 0.1
	done
	return 1
}
inspect() { eng image inspect "$image" -f "$1"; }
status() { curl -s -m 5 -o /dev/null -w '%{http_code}' "$@"; }
answers() { [ "$(status "127.0.0.1:$admin/live")" = 200 ]; }
ready() { [ "$(status "127.0.0.1:$admin/ready")" = 200 ]; }
rss_kb() { awk '/VmRSS/ {print $2}' "/proc/$(eng inspect "$1" -f '{{.State.Pid}}')/status"; }

hardened=(--network host --read-only --cap-drop ALL --security-opt no-new-privileges --memory 64m --pids-limit 64)
ports=(-e "PGHTTPD_SERVER_PORT=$port" -e "PGHTTPD_ADMIN_SERVER_PORT=$admin")
run() { # run NAME OPTION... : pghttpd in the background against the test's database
	local name=$1
	shift
	eng run -d --name "$name" "${hardened[@]}" "${ports[@]}" --no-healthcheck "$@" "$image"
}
uri="postgresql://postgres:se%20cret@127.0.0.1:18432/app"
open=(-e "PGHTTPD_DB_URI=$uri" -e PGHTTPD_SQL_ACCESS=open -e PGHTTPD_LISTEN_ACCESS=open -e PGHTTPD_NOTIFY_ACCESS=open
	-e PGHTTPD_DB_ANON_ROLE=postgres -e PGHTTPD_DB_SCHEMAS=public -e PGHTTPD_TRUSTED_NETWORK=true)

image_is_as_promised() {
	t "$SUITE: user is numeric and not root" is "$(inspect '{{.Config.User}}')" 65532:65532
	t "$SUITE: entrypoint" is "$(inspect '{{json .Config.Entrypoint}}')" '["/usr/bin/pghttpd"]'
	t "$SUITE: version label" is "$(inspect '{{index .Config.Labels "org.opencontainers.image.version"}}')" 1.2.3
	t "$SUITE: stop signal" is "$(inspect '{{.Config.StopSignal}}')" SIGTERM
	local field='{{json .Config.Healthcheck.Test}}'
	[ "$ENGINE" = docker ] || field='{{json .HealthCheck.Test}}'
	t "$SUITE: health check" is "$(inspect "$field")" '["CMD","/usr/bin/pghttpd","--healthcheck"]'
	t "$SUITE: at most ${MAX_MB:-20} MB" below "$(inspect '{{.Size}}')" $((${MAX_MB:-20} * 1000000))
	echo "# image $(inspect '{{.Size}}') bytes"
	t "$SUITE: runs at all" eng run --rm --network host --no-healthcheck "$image" --version
	t "$SUITE: no shell" bash -c '! "$@"' _ "$([ "$ENGINE" = docker ] && echo /usr/bin/docker || echo podman)" \
		run --rm --network host --no-healthcheck --entrypoint /bin/sh "$image" -c true
}

without_database() {
	local t0 ms
	t0=$(now_ms)
	t "starts hardened with the database away" run away -e PGHTTPD_DB_URI=postgresql://nobody@127.0.0.1:1/none
	t "is alive" until_ok 50 answers
	ms=$(($(now_ms) - t0))
	echo "# start to first 200: $ms ms (the engine's own share included)"
	t "is not ready" is "$(status "127.0.0.1:$admin/ready")" 503
	t "healthcheck says alive" eng exec away /usr/bin/pghttpd --healthcheck
	t "--ready says not ready" is "$(eng exec away /usr/bin/pghttpd --ready >/dev/null 2>&1; echo $?)" 1
	t0=$(now_ms)
	t "stops" eng stop -t 5 away
	ms=$(($(now_ms) - t0))
	t "within a second" below "$ms" 1000
	t "exit code 0" is "$(eng inspect away -f '{{.State.ExitCode}}')" 0
	eng rm -f away >/dev/null

	run early -e PGHTTPD_DB_URI=postgresql://nobody@127.0.0.1:1/none >/dev/null
	eng kill -s TERM early >/dev/null
	t "SIGTERM right at the start: exit code 0" is "$(eng wait early)" 0
	eng rm -f early >/dev/null
}

with_database() {
	eng run -d --name db --network host --no-healthcheck -e POSTGRES_PASSWORD="se cret" -e POSTGRES_DB=app -e PGPORT=18432 \
		-e TLS_NAME=localhost postgres:15 >/dev/null
	t "database is up" until_ok 300 eng exec db pg_isready -q -h 127.0.0.1 -p 18432 -d app
	eng exec db psql -qU postgres -p 18432 -d app -c "create table t as select 1 as id, 'one' as name" >/dev/null
	t "runs hardened" run c1 --ulimit nofile=4096:4096 --ulimit nproc=4096:4096 "${open[@]}"
	t "is ready" until_ok 100 ready
	t "SQL" bash -o pipefail -c "curl -sf 127.0.0.1:$port/sql -d '{\"query\":\"select 1 as one\"}' | jq -e '.rows == [{\"one\":1}]'"
	t "REST" bash -o pipefail -c "curl -sf 127.0.0.1:$port/rest/t | jq -e '. == [{\"id\":1,\"name\":\"one\"}]'"
	echo "# RSS idle: $(rss_kb c1) kB"
	t "RSS at most 12 MB" below "$(rss_kb c1)" 12288
	t "1,000 streams in 64 MB get an event" python3 "$here/streams.py" "$port" 1000
	echo "# RSS with streams gone: $(rss_kb c1) kB"
	curl -sN "127.0.0.1:$port/listen/x" >"$W/stream" &
	local curl_pid=$! t0 ms
	t "a stream opens" until_ok 50 grep -q '^: ok' "$W/stream"
	t0=$(now_ms)
	t "stops with a stream open" eng stop -t 5 c1
	ms=$(($(now_ms) - t0))
	t "within a second" below "$ms" 1000
	t "exit code 0" is "$(eng inspect c1 -f '{{.State.ExitCode}}')" 0
	t "the stream ended cleanly" wait "$curl_pid"
	eng rm -f c1 >/dev/null

	t "arbitrary uid" run c2 --user 1000610000:0 "${open[@]}"
	t "is ready" until_ok 100 ready
	eng rm -f c2 >/dev/null

	eng cp db:/var/lib/postgresql/data/server.crt "$W/ca.crt" && chmod 644 "$W/ca.crt"
	t "TLS, verify-full" run c3 -v "$W/ca.crt:/ca.crt:ro" "${open[@]}" \
		-e "PGHTTPD_DB_URI=postgresql://postgres:se%20cret@localhost:18432/app?sslmode=verify-full&sslrootcert=/ca.crt"
	t "is ready" until_ok 100 ready
	t "really over TLS" bash -o pipefail -c "curl -sf 127.0.0.1:$port/sql -d '{\"query\":\"select ssl from pg_stat_ssl where pid=pg_backend_pid()\"}' | jq -e '.rows[0].ssl'"
	eng rm -f c3 >/dev/null
	t "TLS, another CA is refused" run c4 "${open[@]}" \
		-e "PGHTTPD_DB_URI=postgresql://postgres:se%20cret@localhost:18432/app?sslmode=verify-full&sslrootcert=/etc/ssl/certs/ca-certificates.crt"
	t "is alive" until_ok 50 answers
	t "is not ready" is "$(status "127.0.0.1:$admin/ready")" 503
	eng rm -f c4 >/dev/null
}

# docker/compose.yaml as it is: the demo, and two instances behind the balancer.
compose() {
	PGHTTPD_IMAGE="$image" PORT=18280 BALANCED_PORT=18281 docker-compose -p pghttpd-test -f "$top/docker/compose.yaml" \
		--profile balanced "$@"
}
streams_of() { # connections to port 3000 that NAME holds
	local pid
	pid=$(eng inspect "$1" -f '{{.State.Pid}}')
	nsenter -t "$pid" -n ss -Htn state established '( sport = :3000 )' | wc -l
}
with_compose() {
	local one two t0
	t "balancer image builds" eng_build --build-arg "DEBIAN=debian:$SUITE-slim" -t nginx:stable "$here/nginx"
	t0=$(now_ms)
	t "compose up waits for the database" compose up -d --no-build
	echo "# compose up: $(($(now_ms) - t0)) ms"
	one=$(compose ps -q pghttpd) two=$(compose ps -q pghttpd2)
	t "answers" until_ok 100 curl -sf -o /dev/null 127.0.0.1:18280/
	t "the balancer answers" until_ok 100 curl -sf -o /dev/null 127.0.0.1:18281/
	t "the demo is in it" bash -o pipefail -c "curl -sf '127.0.0.1:18280/rest/products?limit=1' | jq -e 'length == 1'"
	t "becomes healthy" until_ok 300 is_healthy "$one"
	curl -sN 127.0.0.1:18281/listen/orders >"$W/stream1" &
	local curl1=$!
	t "a stream opens through the balancer" until_ok 50 grep -q '^: ok' "$W/stream1"
	curl -sN 127.0.0.1:18281/listen/orders >"$W/stream2" &
	local curl2=$!
	t "and a second one" until_ok 50 grep -q '^: ok' "$W/stream2"
	t "each instance has one" is "$(streams_of "$one") $(streams_of "$two")" "1 1"
	t "an order is placed by SQL" curl -sf 127.0.0.1:18280/sql -d '{"query":"insert into orders (customer_id) values (7)"}'
	t "the first stream has it" until_ok 30 grep -q '^data:.*insert' "$W/stream1"
	t "the second stream has it" until_ok 30 grep -q '^data:.*insert' "$W/stream2"
	t0=$(now_ms)
	t "one instance stops" eng stop -t 5 "$two"
	t "within a second" below "$(($(now_ms) - t0))" 1000
	t "exit code 0" is "$(eng inspect "$two" -f '{{.State.ExitCode}}')" 0
	t "the balancer goes on with the other" until_ok 30 curl -sf -o /dev/null 127.0.0.1:18281/
	kill $curl1 $curl2 2>/dev/null
	t "compose down" compose down -v -t 5
}
is_healthy() { [ "$(eng inspect "$1" -f '{{.State.Health.Status}}')" = healthy ]; }

eng_start || exit 1
base="$CACHE/base-$SUITE.tar"
mkdir -p "$CACHE"
[ -s "$base" ] || "$here/mkbase.sh" "$base" "$SUITE" >/dev/null 2>&1
t "$SUITE: base" eng_import "$base" "debian:$SUITE-slim"
ignore=(--ignorefile "$top/docker/Dockerfile.dockerignore") # BuildKit finds it by its name
[ "$ENGINE" = podman ] || ignore=()
t "$SUITE: image builds" eng_build --build-arg "DEBIAN=debian:$SUITE-slim" --build-arg VERSION=1.2.3 -f "$top/docker/Dockerfile" \
	"${ignore[@]}" -t "$image" "$top"
[ "$failed" = 0 ] || { echo "1..$((passed + failed))"; echo "$passed passed, $failed failed"; exit 1; }
image_is_as_promised
without_database
t "database image builds" eng_build --build-arg "DEBIAN=debian:$SUITE-slim" -t postgres:15 "$here/postgres"
with_database
if [ "$ENGINE" = docker ] && command -v docker-compose >/dev/null; then
	with_compose
else
	echo "# compose: skipped (needs ENGINE=docker and docker-compose)"
fi
echo "1..$((passed + failed))"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
