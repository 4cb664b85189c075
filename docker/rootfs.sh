#!/bin/sh
# rootfs.sh PROGRAM FOLDER: what the image `final` consists of, put together in FOLDER: the program, the libraries it loads, the
# certificates that TLS to PostgreSQL may need, a user, and of each Debian package that something is of: its copyright file
# and its entry in dpkg's database, which scanners read. Leaves the packages' names in /tmp/pkgs (the target `debian`).
set -eu
program=$1 r=$2
own=$(dirname "$0")

mkdir -p "$r/etc/ssl/certs" "$r/var/lib/dpkg/status.d"
install -d -m 1777 "$r/tmp"
install -D -m 0755 "$program" "$r/usr/bin/pghttpd"
cp /etc/ssl/certs/ca-certificates.crt "$r/etc/ssl/certs/"
cp /etc/os-release "$r/etc/os-release"
printf '%s\n' 'root:x:0:0:root:/:/sbin/nologin' 'nonroot:x:65532:65532:nonroot:/:/sbin/nologin' >"$r/etc/passwd"
printf '%s\n' 'root:x:0:' 'nonroot:x:65532:' >"$r/etc/group"
echo 'hosts: files dns' >"$r/etc/nsswitch.conf"

libs_of() { ldd "$1" | grep -o '/[^ ]*'; }
libs_of "$program" | grep -E '/lib(pq|microhttpd)[.]' | xargs "$own/stubs.sh" /tmp/stubs
LD_LIBRARY_PATH=/tmp/stubs
export LD_LIBRARY_PATH
libs_of "$program" | grep -v '^/tmp/stubs/' | sort -u >/tmp/libs
unset LD_LIBRARY_PATH

echo ca-certificates >/tmp/owners
while read -r lib; do
    real=$(realpath "$lib")
    install -D -m 0755 "$real" "$r$lib"
    # Debian 13 has diversions of libc's, which dpkg-query mentions, too
    dpkg-query -S "*/$(basename "$real")" | sed '/^diversion by/d; s/:.*//' >>/tmp/owners
done </tmp/libs
cp /tmp/stubs/* "$r$(dirname "$(grep /libpq /tmp/libs)")"
sort -u /tmp/owners >/tmp/pkgs
while read -r package; do
    dpkg-query -s "$package" >"$r/var/lib/dpkg/status.d/$package"
    install -D -m 0644 "/usr/share/doc/$package/copyright" "$r/usr/share/doc/$package/copyright"
done </tmp/pkgs

# every symbol of every library is there
LD_BIND_NOW=1 chroot "$r" /usr/bin/pghttpd --version
