#!/bin/bash
# container.sh: builds docker/Dockerfile from this tree for real and judges the running image. TAP, then
# `N passed, M failed, K skipped`.
#   ENGINE=podman|docker   which engine (from Debian's packages)      SUITE=bookworm|trixie   which base
# Skipped with a reason where no engine can run. Bases are cached in $CACHE. With KEEP=1 the engine goes on running in $W.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
: "${W:=$(mktemp -d /var/tmp/pghttpd-container.XXXXXX)}" "${SUITE:=bookworm}" "${CACHE:=/var/cache/pghttpd}"
image=localhost/pghttpd:test
# A TLS connection makes OpenSSL touch most of itself (and the kernel maps 64 kB around that): 5 MB on Debian 12, on 13
# 7 MB of OpenSSL 3.5, pages of the image's files all of them.
postgres=postgres:15 tls_rss=10240
[ "$SUITE" = bookworm ] || postgres=postgres:17 tls_rss=12288
passed=0 failed=0 skipped=0

# shellcheck source=tests/container/engine.sh
. "$here/engine.sh"
why=$(eng_missing)
if [ -n "$why" ]; then
	echo "1..0 # SKIP $why"
	echo "0 passed, 0 failed, 1 skipped"
	exit 0
fi
free_ports() { # free_ports N
	python3 -c 'import socket, sys
s = [socket.create_server(("127.0.0.1", 0)) for _ in range(int(sys.argv[1]))]
print(*(x.getsockname()[1] for x in s))' "$1"
}
read -r port admin db_port compose_port balanced_port < <(free_ports 5)
finish() {
	[ -z "${KEEP:-}" ] || return
	eng_stop_all
	rm -rf "$W" 2>/dev/null
}
trap finish EXIT
trap 'exit 1' INT TERM

t() { # t DESCRIPTION COMMAND...: one test; what the command prints is shown when it fails, and lines with # always
	local what=$1
	shift
	if "$@" >"$W/last" 2>&1; then
		passed=$((passed + 1))
		echo "ok $((passed + failed + skipped)) - $what"
		grep '^# ' "$W/last"
	else
		failed=$((failed + 1))
		echo "not ok $((passed + failed + skipped)) - $what"
		tail -n 20 "$W/last" | sed 's/^/# /'
	fi
}
skip() { # skip DESCRIPTION REASON
	skipped=$((skipped + 1))
	echo "ok $((passed + failed + skipped)) - $1 # SKIP $2"
}
summary() {
	echo "1..$((passed + failed + skipped))"
	echo "$passed passed, $failed failed, $skipped skipped"
	[ "$failed" = 0 ]
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
is_healthy() { [ "$(eng inspect "$1" -f '{{.State.Health.Status}}')" = healthy ]; }
json() { # json CONDITION: of the text that comes in; nothing at all is not right, either
	local text
	text=$(cat)
	[ -n "$text" ] && jq -e "$1" <<<"$text" >/dev/null || { echo "not so: $1 of '$text'"; return 1; }
}
sql() { jq -n --arg q "$1" '{query: $q}' | curl -sf -m 10 "127.0.0.1:$port/sql" -d @-; }

pid_of() { eng inspect "$1" -f '{{.State.Pid}}'; }
proc() { awk -v key="$2:" '$1 == key {print $2}' "/proc/$(pid_of "$1")/status"; } # proc NAME FIELD
memory_limit() { # of the container's cgroup, in bytes
	local path
	path=$(sed -n 's/^[0-9]*:memory://p' "/proc/$(pid_of "$1")/cgroup")
	if [ -n "$path" ]; then
		cat "/sys/fs/cgroup/memory$path/memory.limit_in_bytes"
	else
		cat "/sys/fs/cgroup$(sed -n 's/^0:://p' "/proc/$(pid_of "$1")/cgroup")/memory.max"
	fi
}
stops() { # stops NAME: by SIGTERM, within a second, with status 0
	local t0 ms
	is "$(eng inspect "$1" -f '{{.State.Running}}')" true || return 1
	t0=$(now_ms)
	eng stop -t 5 "$1" || return 1
	ms=$(($(now_ms) - t0))
	echo "# stopped after $ms ms"
	below "$ms" 1000 && is "$(eng inspect "$1" -f '{{.State.ExitCode}}')" 0
}

hardened=(--network host --read-only --cap-drop ALL --security-opt no-new-privileges --memory 64m --pids-limit 64 --no-healthcheck)
ports=(-e "PGHTTPD_SERVER_PORT=$port" -e "PGHTTPD_ADMIN_SERVER_PORT=$admin")
files=(--ulimit nofile=4096:4096 --ulimit nproc=4096:4096) # podman's default of the second may be more than may be had
away=(-e PGHTTPD_DB_URI=postgresql://nobody@127.0.0.1:1/none)
uri="postgresql://postgres:se%20cret@127.0.0.1:$db_port/app"
open=(-e "PGHTTPD_DB_URI=$uri" -e PGHTTPD_SQL_ACCESS=open -e PGHTTPD_LISTEN_ACCESS=open -e PGHTTPD_NOTIFY_ACCESS=open
	-e PGHTTPD_DB_ANON_ROLE=postgres -e PGHTTPD_DB_SCHEMAS=public -e PGHTTPD_TRUSTED_NETWORK=true)
run() { # run NAME OPTION... : pghttpd in the background
	local name=$1
	shift
	eng run -d --name "$name" "${hardened[@]}" "${ports[@]}" "$@" "$image"
}
rm_c() { eng rm -f "$1" >/dev/null; }

# What is in the image, as `tar -tv` prints it.
contents() {
	eng create --name contents "$image" >/dev/null && eng export contents | tar -tv >"$W/contents"
	rm_c contents
	[ -s "$W/contents" ]
}
has_files() {
	local f
	for f; do grep -q " $f\$" "$W/contents" || { echo "no $f"; return 1; }; done
}
has_none() { ! grep -E "$1" "$W/contents"; }
# Each Debian package in the list has its copyright file, and the other way round.
packages_have_copyrights() {
	local listed kept
	listed=$(sed -n 's|.* var/lib/dpkg/status.d/\(.\)|\1|p' "$W/contents" | sort)
	kept=$(sed -n 's|.* usr/share/doc/\(.*\)/copyright$|\1|p' "$W/contents" | grep -vx pghttpd | sort)
	echo "# packages: $(tr '\n' ' ' <<<"$listed")"
	[ "$(wc -l <<<"$listed")" -gt 5 ] && is "$listed" "$kept"
}

image_is_as_promised() {
	local field='{{json .Config.Healthcheck.Test}}'
	[ "$ENGINE" = docker ] || field='{{json .HealthCheck.Test}}'
	t "user is numeric and not root" is "$(inspect '{{.Config.User}}')" 65532:65532
	t "entrypoint" is "$(inspect '{{json .Config.Entrypoint}}')" '["/usr/bin/pghttpd"]'
	t "no other command" is "$(inspect '{{len .Config.Cmd}}')" 0
	t "listens to other hosts" is "$(inspect '{{json .Config.Env}}' | jq -c 'map(select(startswith("PATH=") | not))')" \
		'["PGHTTPD_SERVER_HOST=0.0.0.0","PGHTTPD_ADMIN_SERVER_HOST=0.0.0.0"]'
	t "exposed ports" is "$(inspect '{{json .Config.ExposedPorts}}')" '{"3000/tcp":{},"3001/tcp":{}}'
	t "labels" is "$(inspect '{{json .Config.Labels}}' | jq -r '[.["org.opencontainers.image." + ("title", "licenses", "version", "revision")]] | join(" ")')" \
		"pghttpd MIT 1.2.3 abcdef"
	t "stop signal" is "$(inspect '{{.Config.StopSignal}}')" SIGTERM
	t "health check" is "$(inspect "$field")" '["CMD","/usr/bin/pghttpd","--healthcheck"]'
	t "at most ${MAX_MB:-20} MB" below "$(inspect '{{.Size}}')" $((${MAX_MB:-20} * 1000000))
	echo "# image: $(inspect '{{.Size}}') bytes"
	t "its files can be listed" contents
	t "program, certificates, user, license" has_files usr/bin/pghttpd etc/ssl/certs/ca-certificates.crt etc/passwd \
		etc/nsswitch.conf usr/share/doc/pghttpd/copyright usr/share/doc/libpq5/copyright
	t "package list and copyrights" packages_have_copyrights
	t "no shell, no package manager" has_none ' (usr/)?(s?bin)/(ba|da|z|)sh|busybox|/(apt|dpkg)$'
	# libpq 17 calls log() and sqrt(), nobody else does
	t "no library that could be done without" has_none "/lib(idn2|unistring|krb5|sasl2$([ "$SUITE" != bookworm ] || echo '|m'))[.]so"
	t "nothing runs as its owner" has_none '^-(..s|.....s)'
	t "runs at all" is "$(eng run --rm --network none --no-healthcheck "$image" --version)" "pghttpd 1.2.3"
}

debian_target() {
	t "target debian: builds" build --target debian -t localhost/pghttpd:debian
	t "target debian: has a shell, is not root" is "$(eng run --rm --network none --no-healthcheck --entrypoint /bin/sh \
		localhost/pghttpd:debian -c 'id -u; pghttpd --version' | tr '\n' ' ')" "65532 pghttpd 1.2.3 "
	t "target debian: starts hardened" eng run -d --name shell "${hardened[@]}" "${ports[@]}" "${away[@]}" localhost/pghttpd:debian
	t "target debian: is alive" until_ok 50 answers
	t "target debian: stops" stops shell
	rm_c shell
}

without_database() {
	local commands=("${eng_words[@]}" run -d --name start "${hardened[@]}" "${ports[@]}" "${away[@]}" "$image")
	eng_priority -15 # what is measured shall be ours, not the rest of the machine
	t "start to first 200 within 200 ms" nice -n -15 python3 "$here/start.py" first "$admin" 200 "${eng_words[*]} rm -f start" "${commands[@]}"
	eng_priority 0
	t "SIGTERM within 50 ms of start" python3 "$here/start.py" term "${eng_words[*]} rm -f start" "${eng_words[*]} wait start" "${commands[@]}"

	t "starts with the database away" run away "${open[@]}" # no database listens on that port yet
	t "is alive" until_ok 50 answers
	t "is not ready" is "$(status "127.0.0.1:$admin/ready")" 503
	t "healthcheck says alive" eng exec away /usr/bin/pghttpd --healthcheck
	t "--ready says not ready" is "$(eng exec away /usr/bin/pghttpd --ready >/dev/null 2>&1; echo $?)" 1
}

database_comes() {
	t "database image builds" eng_build --build-arg "DEBIAN=debian:$SUITE-slim" -t "$postgres" "$here/postgres"
	t "database starts" eng run -d --name db --network host --no-healthcheck -e POSTGRES_PASSWORD="se cret" -e POSTGRES_DB=app \
		-e "PGPORT=$db_port" -e TLS_NAME=localhost "$postgres"
	t "database is up" until_ok 300 eng exec db pg_isready -q -h 127.0.0.1 -p "$db_port" -d app
	eng exec db psql -qU postgres -p "$db_port" -d app -c "create table t as select 1 as id, 'one' as name" >/dev/null
	t "what was waiting becomes ready" until_ok 100 ready
	t "--ready says so" eng exec away /usr/bin/pghttpd --ready
	t "stops" stops away
	rm_c away
}

# As the kernel sees it, not as the engine was told.
is_hardened() { # NAME
	local pid
	pid=$(pid_of "$1")
	is "$(proc "$1" Uid) $(proc "$1" Gid)" "65532 65532" && is "$(proc "$1" CapEff)" 0000000000000000 &&
		is "$(proc "$1" NoNewPrivs)" 1 && is "$(memory_limit "$1")" 67108864 &&
		is "$(awk '$5 == "/" {print substr($6, 1, 2)}' "/proc/$pid/mountinfo")" ro &&
		is "$(awk '/^Max open files/ {print $4, $5}' "/proc/$pid/limits")" "4096 4096"
}
rss_at_most() { # NAME KB
	echo "# RSS: $(proc "$1" VmRSS) kB"
	[ "$(proc "$1" VmRSS)" -le "$2" ]
}
answers_all() {
	sql "select 1 as one" | json '.rows == [{"one": 1}]' &&
		curl -sf -m 10 "127.0.0.1:$port/rest/t" | json '. == [{"id": 1, "name": "one"}]'
}
same_process() { # NAME PID: neither killed nor started again
	is "$(pid_of "$1") $(eng inspect "$1" -f '{{.State.OOMKilled}}')" "$2 false"
}

with_database() {
	local pid python
	t "runs hardened" run plain "${files[@]}" "${open[@]}" -e "PGHTTPD_DB_URI=$uri?sslmode=disable"
	t "is ready" until_ok 100 ready
	t "SQL and REST" answers_all
	t "RSS at most 10 MB" rss_at_most plain 10240
	rm_c plain

	t "runs hardened" run c1 "${files[@]}" "${open[@]}"
	t "is ready" until_ok 100 ready
	t "uid, capabilities, memory limit, read-only root, descriptors" is_hardened c1
	t "SQL and REST" answers_all
	t "RSS with TLS to the database at most $((tls_rss / 1024)) MB" rss_at_most c1 "$tls_rss"
	pid=$(pid_of c1)
	python3 "$here/streams.py" "$port" 1000 "$W/streaming" >"$W/streams" 2>&1 &
	python=$!
	t "1,000 streams in 64 MB get an event" until_ok 200 test -e "$W/streaming"
	t "SQL and REST beside them" answers_all
	t "in the same process" same_process c1 "$pid"
	t "RSS with 1,000 streams below 48 MB" rss_at_most c1 49152
	t "stops with 1,000 streams open" stops c1
	t "all of them ended in order" wait "$python"
	sed 's/^/# /' "$W/streams"
	rm_c c1

	t "arbitrary uid" run c2 --user 1000610000:0 "${open[@]}"
	t "is ready" until_ok 100 ready
	t "has that uid" is "$(proc c2 Uid) $(proc c2 Gid)" "1000610000 0"
	t "SQL and REST" answers_all
	rm_c c2
}

tls_uri() { echo "postgresql://postgres:se%20cret@$1:$db_port/app?sslmode=verify-full&sslrootcert=$2"; }
why_not() { curl -s -m 5 "127.0.0.1:$admin/ready" | grep "$1"; }
refused() { # refused NAME WORDS URI [OPTION...]: lives, is not ready, and says why
	local name=$1 words=$2 uri=$3
	shift 3
	run "$name" "${open[@]}" "$@" -e "PGHTTPD_DB_URI=$uri" && until_ok 50 answers &&
		until_ok 50 why_not "$words" && is "$(status "127.0.0.1:$admin/ready")" 503
	local rc=$?
	[ $rc = 0 ] || { curl -s -m 5 "127.0.0.1:$admin/ready"; eng logs "$name" 2>&1 | tail -3; }
	rm_c "$name"
	return $rc
}
with_tls() {
	local service='[app]\nldap://127.0.0.1:1/dc=example?description?one?(cn=app)\n'
	eng cp db:/var/lib/postgresql/data/server.crt "$W/ca.crt" && chmod 644 "$W/ca.crt"
	t "TLS, verify-full" run c3 -v "$W/ca.crt:/ca.crt:ro" "${open[@]}" -e "PGHTTPD_DB_URI=$(tls_uri localhost /ca.crt)"
	t "is ready" until_ok 100 ready
	t "really over TLS" json '.rows[0].ssl == true' < <(sql "select ssl from pg_stat_ssl where pid = pg_backend_pid()")
	rm_c c3
	t "TLS, another CA is refused" refused c4 'certificate verify failed' "$(tls_uri localhost /etc/ssl/certs/ca-certificates.crt)"
	t "TLS, another name is refused" refused c5 'does not match host name' \
		"$(tls_uri elsewhere /ca.crt)&hostaddr=127.0.0.1" -v "$W/ca.crt:/ca.crt:ro"
	# what docker/stubs.sh stands for
	t "Kerberos cannot be had, in words" refused c6 GSSAPI "$uri?gssencmode=require"
	# shellcheck disable=SC2059 # a format on purpose
	printf "$service" >"$W/service"
	t "nor LDAP" refused c7 LDAP "postgresql://postgres@/app?service=app" -v "$W/service:/service:ro" -e PGSERVICEFILE=/service
}

# docker/compose.yaml as it is: the demo, and two instances behind the balancer.
compose() {
	PATH=/usr/bin:$PATH COMPOSE_DOCKER_CLI_BUILD=1 DOCKER_BUILDKIT=1 BUILD_NETWORK=host PGHTTPD_IMAGE=${compose_image:-$image} \
		POSTGRES_IMAGE="$postgres" PORT="$compose_port" BALANCED_PORT="$balanced_port" docker-compose -p pghttpd-test \
		-f "$top/docker/compose.yaml" --profile balanced "$@"
}
streams_of() { # connections to port 3000 that NAME holds
	nsenter -t "$(pid_of "$1")" -n ss -Htn state established '( sport = :3000 )' | wc -l
}
# By the engine's own record: pghttpd was started after the database was healthy.
# The end is now, to the nanosecond: in whole seconds the last events would be missing.
started_after_healthy() { # SINCE
	eng events --since "$1" --until "$(date +%s.%N)" --format '{{.TimeNano}} {{.Action}} {{index .Actor.Attributes "com.docker.compose.service"}}' |
		awk '{print} /health_status: healthy db$/ {healthy = 1} / start pghttpd/ {n++; if (!healthy) early = 1} END {exit !(n == 2 && !early)}'
}
with_compose() {
	local one two since
	[ "$ENGINE" = docker ] || {
		skip compose "Debian's docker-compose waits for health checks, which podman runs by timers of systemd only"
		return
	}
	command -v docker-compose >/dev/null || { skip compose "docker-compose is not installed"; return; }
	if [ "$SUITE" = bookworm ]; then # the file's default base
		compose_image=localhost/pghttpd:compose t "compose builds the image" compose build pghttpd
	fi
	t "balancer image builds" eng_build --build-arg "DEBIAN=debian:$SUITE-slim" -t nginx:stable "$here/nginx"
	since=$(date +%s)
	t "compose up" compose up -d --no-build
	t "waited for the database's health" started_after_healthy "$since"
	one=$(compose ps -q pghttpd) two=$(compose ps -q pghttpd2)
	t "answers" until_ok 100 curl -sf -o /dev/null "127.0.0.1:$compose_port/"
	t "the balancer answers" until_ok 100 curl -sf -o /dev/null "127.0.0.1:$balanced_port/"
	t "the demo is in it" json 'length == 1' < <(curl -sf "127.0.0.1:$compose_port/rest/products?limit=1")
	t "becomes healthy" until_ok 300 is_healthy "$one"
	t "so does the second" until_ok 300 is_healthy "$two"
	balanced_streams "$one" "$two"
	t "logs have an end" is "$(eng inspect "$one" -f '{{json .HostConfig.LogConfig}}')" \
		'{"Type":"json-file","Config":{"max-file":"3","max-size":"10m"}}'
	t "killed, it is started again" killed_comes_back "$one"
	t "and answers" until_ok 100 curl -sf -o /dev/null "127.0.0.1:$compose_port/"
	t "stopped by hand, it stays so" is "$(eng inspect "$two" -f '{{.State.Running}}')" false
	t "compose down" compose down -v -t 5
}
balanced_streams() { # the containers of both instances
	curl -sN "127.0.0.1:$balanced_port/listen/orders" >"$W/stream1" &
	local curl1=$! curl2
	t "a stream opens through the balancer" until_ok 50 grep -q '^: ok' "$W/stream1"
	curl -sN "127.0.0.1:$balanced_port/listen/orders" >"$W/stream2" &
	curl2=$!
	t "and a second one" until_ok 50 grep -q '^: ok' "$W/stream2"
	t "each instance has one" is "$(streams_of "$1") $(streams_of "$2")" "1 1"
	t "an order is placed by SQL" curl -sf "127.0.0.1:$compose_port/sql" -d '{"query":"insert into orders (customer_id) values (7)"}'
	t "the first stream has it" until_ok 30 grep -q '^data:.*insert' "$W/stream1"
	t "the second stream has it" until_ok 30 grep -q '^data:.*insert' "$W/stream2"
	t "one instance stops with its stream open" stops "$2"
	t "the balancer goes on with the other" until_ok 30 curl -sf -o /dev/null "127.0.0.1:$balanced_port/"
	kill $curl1 $curl2 2>/dev/null
}
killed_comes_back() { # NAME
	local old
	old=$(pid_of "$1")
	kill -KILL "$old"
	until_ok 100 another_process "$1" "$old"
}
another_process() { # NAME PID: it runs, and is not that one
	[ "$(eng inspect "$1" -f '{{.State.Running}}')" = true ] && [ "$(pid_of "$1")" != "$2" ]
}

ignore=(--ignorefile "$top/docker/Dockerfile.dockerignore") # BuildKit finds it by its name
[ "$ENGINE" = podman ] || ignore=()
build() { # build OPTION...
	eng_build --build-arg "DEBIAN=debian:$SUITE-slim" --build-arg VERSION=1.2.3 --build-arg REVISION=abcdef \
		-f "$top/docker/Dockerfile" "${ignore[@]}" "$@" "$top"
}
with_buildah() {
	[ "$ENGINE" = podman ] || return
	command -v buildah >/dev/null || { skip "buildah builds it" "buildah is not installed"; return; }
	t "buildah builds it" buildah bud --pull-never --isolation chroot --format docker --network host --layers \
		--build-arg "DEBIAN=debian:$SUITE-slim" --build-arg VERSION=1.2.4 -f "$top/docker/Dockerfile" "${ignore[@]}" \
		-t localhost/pghttpd:buildah "$top"
	t "and that runs" is "$(eng run --rm --network none --no-healthcheck localhost/pghttpd:buildah --version)" "pghttpd 1.2.4"
}

eng_start || exit 1
base="$CACHE/base-$SUITE.tar"
mkdir -p "$CACHE"
[ -s "$base" ] || "$here/mkbase.sh" "$base" "$SUITE" >/dev/null 2>&1
t "$SUITE: base" eng_import "$base" "debian:$SUITE-slim"
t "$SUITE: image builds" build -t "$image"
[ "$failed" = 0 ] || { summary; exit 1; }
image_is_as_promised
debian_target
without_database
database_comes
with_database
with_tls
rm_c db
with_compose
with_buildah
summary
