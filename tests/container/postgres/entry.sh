#!/bin/sh
# Makes the cluster at the first start (with a certificate of its own for TLS), then becomes the server.
set -eu
data=/var/lib/postgresql/data
password=${POSTGRES_PASSWORD:-$(cat "${POSTGRES_PASSWORD_FILE:?}")}
if [ ! -s "$data/PG_VERSION" ]; then
	printf %s "$password" >/tmp/password
	initdb -D "$data" -U postgres --auth-host=scram-sha-256 --auth-local=trust --pwfile=/tmp/password >/dev/null
	rm /tmp/password
	echo "host all all all scram-sha-256" >>"$data/pg_hba.conf"
	openssl req -new -x509 -days 2 -nodes -subj "/CN=${TLS_NAME:-db}" -addext "subjectAltName=DNS:${TLS_NAME:-db},IP:127.0.0.1" \
		-keyout "$data/server.key" -out "$data/server.crt" 2>/dev/null
	chmod 600 "$data/server.key"
	pg_ctl -D "$data" -o "-c listen_addresses='' -c fsync=off" -w start >/dev/null
	psql -qU postgres -c "create database ${POSTGRES_DB:-app}" || [ "${POSTGRES_DB:-postgres}" = postgres ]
	for f in /docker-entrypoint-initdb.d/*.sql; do
		[ ! -e "$f" ] || psql -qU postgres -v ON_ERROR_STOP=1 -d "${POSTGRES_DB:-postgres}" -f "$f"
	done
	pg_ctl -D "$data" -m fast -w stop >/dev/null
fi
exec postgres -D "$data" -c listen_addresses='*' -c port="$PGPORT" -c fsync=off -c ssl=on \
	-c unix_socket_directories=/var/run/postgresql
