#!/bin/bash
# config/debian/build.sh VERSION (make deb): the Debian package, in build/deb. MAINTAINER="Name <address>" signs it.
set -eu
cd "$(dirname "$0")/../.."
version=$1
maintainer=${MAINTAINER:-pghttpd maintainers <maintainers@pghttpd.org>}
tree=build/deb/pghttpd-$version
rm -rf build/deb
mkdir -p "$tree"
cp -r LICENSE Makefile README.md SECURITY.md CHANGELOG.md config docs src "$tree"
mv "$tree/config/debian" "$tree/debian"
rm "$tree/debian/build.sh"
sed -i "s|@MAINTAINER@|$maintainer|" "$tree/debian/control"
printf 'pghttpd (%s-1) unstable; urgency=medium\n\n  * Version %s; its changes are in changelog.gz.\n\n -- %s  %s\n' \
    "$version" "$version" "$maintainer" "$(date -R -d "@${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}")" >"$tree/debian/changelog"
mkdir -p "$tree/debian/source"
echo '3.0 (quilt)' >"$tree/debian/source/format"
(cd "$tree" && dpkg-buildpackage -b -us -uc) >build/deb/log 2>&1 || {
    tail -n 40 build/deb/log >&2
    exit 1
}
echo "build/deb/$(cd build/deb && ls pghttpd_*.deb)"
