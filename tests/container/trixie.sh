#!/bin/bash
# [PATTERNS="sql rest"] trixie.sh [KIND...]: the unit and end-to-end tests on Debian 13 (libpq 17, libmicrohttpd 1.0,
# gcc 14, PostgreSQL 17), built from this tree inside a root made by mmdebstrap. Needs root; skipped with a reason
# otherwise. RETRY=1: as tests/run says. The root is cached in $CACHE (about 1.5 GB). All mounts, ports and processes live in
# namespaces of their own and end with the script.
set -u
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
: "${CACHE:=/var/cache/pghttpd}"
root=$CACHE/root-trixie

skip() {
	echo "1..0 # SKIP $1"
	echo "0 passed, 0 failed"
	exit 0
}
[ "$(id -u)" = 0 ] || skip "not root"
command -v mmdebstrap >/dev/null || skip "mmdebstrap is not installed"
unshare -m -p -n -f true 2>/dev/null || skip "no namespaces here"

cd "$top" || exit 1
# npm itself is not needed: what the tests use of it was installed outside (pure JavaScript); the proxies are for listen_proxies
mapfile -t packages < <({
	awk '/^\[/ {in_it = /build|run|test/} in_it && /^[a-z]/ && $1 != "npm" {print $1}' tests/deps.txt
	printf '%s\n' nginx-light haproxy systemd
} | sort -u)
if [ "$(cat "$root/.complete" 2>/dev/null)" != "${packages[*]}" ]; then
	rm -rf "$root"
	mkdir -p "$CACHE"
	"$here/mkbase.sh" "$root" trixie "${packages[@]}" || { echo "not ok - a Debian 13 root"; echo "0 passed, 1 failed"; exit 1; }
	echo "${packages[*]}" >"$root/.complete"
fi
tests/lib/npm.sh tests/schemas
tests/lib/npm.sh tests/clients
mkdir -p "$root/src"
find "$root/src" -mindepth 1 -maxdepth 1 ! -name build -exec rm -rf {} +
{ git ls-files -co --exclude-standard; find tests/schemas/node_modules tests/clients/node_modules ! -type d 2>/dev/null; } |
	while IFS= read -r f; do [ ! -e "$f" ] || printf '%s\n' "$f"; done | tar -c -T - | tar -x -C "$root/src"
export root KINDS="${*:-unit e2e}" MODE="${MODE:-release}"
# pivot_root, and chroot only after it: no user namespaces can be made under a mere chroot (the unit of systemd.bats has one)
# shellcheck disable=SC2016 # expanded inside
exec unshare -m -p -n -f --kill-child bash -c '
	ip link set lo up && mount --make-rprivate / && mount --bind "$root" "$root" && mount -t proc proc "$root/proc" && mount --rbind /dev "$root/dev" &&
		mount -t tmpfs tmpfs "$root/dev/shm" && mount -t tmpfs tmpfs "$root/tmp" && mount -t sysfs sys "$root/sys" &&
		cd "$root" && pivot_root . mnt && umount -l /mnt && exec chroot . env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 KINDS="$KINDS" MODE="$MODE" PATTERNS="${PATTERNS:-}" JOBS="${JOBS:-2}" RETRY="${RETRY:-}" bash -c "
			cd /src
			. /etc/os-release
			echo \"# \$PRETTY_NAME, \$(gcc --version | head -1), libpq \$(pkg-config --modversion libpq), libmicrohttpd \$(pkg-config --modversion libmicrohttpd)\"
			make -j2 MODE=\$MODE tests-built 2>&1 | grep -E \"warning:|error:\" | sort -u
			make -s MODE=\$MODE tests-built || { echo 0 passed, 1 failed; exit 1; }
			tests/run \$PATTERNS"'
