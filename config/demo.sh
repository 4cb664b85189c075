#!/bin/bash
# config/demo.sh (make run): a private PostgreSQL under .run, the demo database in it, pghttpd in front on 127.0.0.1:3000.
# Ctrl-C stops both. The data stays in .run for a quick second start; remove that folder to begin anew.
# PORT=3010 ADMIN_PORT=3011 make run takes other ports, DEMO_DATA=DIR another folder; arguments go to pghttpd.
set -u
cd "$(dirname "$0")/.." || exit 1
# shellcheck source=tests/lib/cluster.sh
. tests/lib/cluster.sh
port=${PORT:-3000} admin_port=${ADMIN_PORT:-$((port + 1))}
program=build/${MODE:-release}/pghttpd
server=

say() { printf '%s\n' "$*" >&2; }
die() {
    say "make run: $*"
    exit 1
}

stop() {
    trap '' INT TERM HUP
    if [ -n "$server" ]; then
        kill -TERM "$server" 2>/dev/null
        wait "$server" 2>/dev/null
    fi
    cluster_stop
}

listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

place() {
    local data=${DEMO_DATA:-$PWD/.run} user
    mkdir -p "$data" 2>/dev/null && [ -w "$data" ] || die "cannot write to $data: check who owns it"
    if [ "$(id -u)" = 0 ]; then
        # PostgreSQL does not run as root, and its user must be able to reach the data
        user=$(cluster_as_ id -un)
        if ! cluster_as_ test -x "$(dirname "$data")"; then
            data=/var/tmp/pghttpd-demo-$(printf %s "$PWD" | cksum | cut -d' ' -f1)
            say "User $user may not enter $PWD: the data is kept in $data."
            mkdir -p "$data" || die "cannot write to /var/tmp"
            chown "$user": "$data"
        fi
    fi
    [ "$(df --output=avail -m "$data" | tail -1)" -ge 200 ] ||
        die "the disk is full: $data needs 200 MB, $(df --output=avail -h "$data" | tail -1 | tr -d ' ') are left"
    exec 9>>"$data/lock" || die "cannot write to $data: check who owns it"
    flock -n 9 || die "the demo of this tree is running already"
    export CLUSTER_KEEP=$data/postgresql
}

# A postgres that a killed demo left behind.
leftover() {
    local pid
    pid=$(head -1 "$CLUSTER_KEEP/data/postmaster.pid" 2>/dev/null) || return 0
    if tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -qF "$CLUSTER_KEEP/data"; then
        kill -INT "$pid" && poll_until 15 gone "$pid"
    fi
}

database() {
    [ "$(cluster_psql -At -c "select count(*) from pg_database where datname = 'demo'")" = 1 ] &&
        [ "$(cluster_psql -At -d demo -c "select shobj_description(oid, 'pg_database') from pg_database where datname = 'demo'")" = "$1" ] && return 0
    say "Loading the demo database ..."
    cluster_psql -c 'set client_min_messages = error' -c 'drop database if exists demo' -c 'create database demo' &&
        cluster_psql -d demo -f config/demo.sql >/dev/null &&
        cluster_psql -c "comment on database demo is '$1'"
}

answers() { gone "$server" || curl -sf -m 2 -o /dev/null "http://127.0.0.1:$admin_port/ready"; }

[ -x "$program" ] || die "$program is not built: make"
for p in "$port" "$admin_port"; do
    ! listens "$p" || die "port $p of 127.0.0.1 is taken; another one: PORT=$((port + 10)) make run"
done
place
trap stop EXIT
trap 'exit 0' INT TERM HUP
leftover
# in the background of this shell no key reaches PostgreSQL; it is stopped after pghttpd
cluster_start || die "PostgreSQL does not start; more in $CLUSTER_KEEP (remove that folder to begin anew)"
# the comment holds the file's checksum: a changed demo.sql is loaded again
database "demo.sql $(cksum <config/demo.sql | cut -d' ' -f1)" || die "the demo database could not be loaded"

uri=postgresql://demo:demo@127.0.0.1:$CLUSTER_PORT/demo
(
    unset "${!PGH@}" PGPORT PGUSER PGDATABASE "${!CLUSTER_@}"
    exec setsid "$program" --server-port "$port" --admin-server-port "$admin_port" --db-uri "$uri" "$@" config/demo.conf 9>&-
) &
server=$!
poll_until 15 answers
gone "$server" && { server=; die "pghttpd did not start"; }

cat <<TXT

pghttpd is on http://127.0.0.1:$port (PostgreSQL on port $CLUSTER_PORT; psql -h 127.0.0.1 -p $CLUSTER_PORT -U demo demo, password demo). Try:

  curl localhost:$port/sql -d '{"query":"select 1 as one"}'
  curl 'localhost:$port/rest/products?select=name,price,category:categories(name)&order=price.desc&limit=3'
  curl -N localhost:$port/listen/orders &
  curl localhost:$port/sql -d '{"query":"insert into orders (customer_id) values (7) returning id"}'

Ctrl-C stops both.
TXT
wait "$server"
status=$?
server=
[ $status = 0 ] || die "pghttpd ended with status $status"
