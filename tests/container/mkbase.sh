#!/bin/sh
# mkbase.sh OUT [SUITE] [PACKAGE...]: a stand-in for debian:SUITE-slim, made from this machine's own apt sources, as a
# tar file or (OUT without .tar) a folder. No mirror is named here: addresses and Acquire:: options come from the running apt.
set -eu
out=$1 suite=${2:-bookworm}
shift
[ $# -eq 0 ] || shift
include=$(IFS=,; echo "usr-is-merged$(printf ',%s' "$@")" | sed 's/,$//')
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# Our own release's sources, with the suite's name put in where another is asked for.
own=$(. /etc/os-release && echo "$VERSION_CODENAME")
# shellcheck disable=SC2016  # apt expands these
apt-get indextargets --format 'deb $(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' 'Origin: Debian' |
	grep -E "^deb [^ ]+ $own(-updates|-security)? " | sed "s/ $own/ $suite/" | sort -u >"$tmp/sources.list"
[ -s "$tmp/sources.list" ] || {
	echo "mkbase.sh: apt knows no Debian source here (run apt-get update)" >&2
	exit 1
}
apt-config dump --format '%F "%v";%n' Acquire::http Acquire::https Acquire::Check-Valid-Until Acquire::Check-Date \
	Acquire::Max-FutureTime >"$tmp/acquire.conf"
# What the official image's docker-clean does, so that sizes compare.
cat >>"$tmp/acquire.conf" <<'C'
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/archives/partial/*.deb /var/cache/apt/*.bin || true"; };
Acquire::Languages "none";
Acquire::GzipIndexes "true";
C
mmdebstrap --quiet --variant=apt --mode=root --include="$include" \
	--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr --aptopt="$tmp/acquire.conf" \
	--dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/info/*' \
	--dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
	--dpkgopt='path-include=/usr/share/doc/*/copyright' "$suite" "$out" "$tmp/sources.list"
