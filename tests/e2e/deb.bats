# The Debian package: built, judged by lintian, installed, upgraded and removed on a machine that systemd really runs.
# alone

bats_require_minimum_version 1.5.0
# shellcheck source=tests/lib/machine.sh
. "$BATS_TEST_DIRNAME/../lib/machine.sh"

conf=/etc/pghttpd/pghttpd.conf

setup_file() {
    export TOP WHY_NOT DEBS
    TOP=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
    DEBS=$BATS_FILE_TMPDIR/debs
    WHY_NOT=$(machine_missing)
    command -v dh dpkg-buildpackage >/dev/null || WHY_NOT="debhelper is not installed: tests/lib/deps.sh deb"
    [ "${MODE:-release}" = release ] || WHY_NOT="the package is a release"
    [ -z "$WHY_NOT" ] || return 0
    mkdir "$DEBS"
    make -s -C "$TOP" deb && cp "$TOP"/build/deb/pghttpd_*.deb "$DEBS/old.deb" || return 1
    # the next version is the same but for its number and its settings
    dpkg-deb -R "$DEBS/old.deb" "$DEBS/new" && sed -i 's/^Version: .*/Version: 99.0.0-1/' "$DEBS/new/DEBIAN/control" &&
        echo '# new' >>"$DEBS/new/etc/pghttpd/pghttpd.conf" && dpkg-deb --root-owner-group -b "$DEBS/new" "$DEBS/new.deb" || return 1
    export MACHINE_UNITS=/etc/systemd/system:/lib/systemd/system
    machine_start "$BATS_FILE_TMPDIR"
    printf '[Unit]\nDefaultDependencies=no\n' | machine tee /run/units/multi-user.target >/dev/null
    machine rm -f /usr/sbin/policy-rc.d # a container's own: services start here
    machine mkdir /debs
    local deb
    for deb in old new; do machine tee "/debs/$deb.deb" <"$DEBS/$deb.deb" >/dev/null; done
}

setup() {
    [ -z "$WHY_NOT" ] || skip "$WHY_NOT"
}

teardown_file() {
    [ -z "${MACHINE_PID:-}" ] || machine_stop
}

show() { machine systemctl show -P "$1" pghttpd; }
code() { machine curl -s -m 5 -o /dev/null -w '%{http_code}' "$@"; }
is_live() { [ "$(code 127.0.0.1:3001/live)" = 200 ]; }
version() { dpkg-deb -f "$DEBS/old.deb" Version | sed 's/-.*//'; }
dpkg_() { machine env DEBIAN_FRONTEND=noninteractive PATH="$PATH" dpkg "$@"; }

@test "lintian has nothing to say" {
    command -v lintian >/dev/null || skip "lintian is not installed"
    run lintian --allow-root --fail-on error,warning "$TOP"/build/deb/*.changes
    [ "$status" = 0 ]
    [ -z "$output" ]
}

@test "what is in it" {
    dpkg -c "$DEBS/old.deb" | awk '{print $1, $6}' >"$BATS_TEST_TMPDIR/list"
    for file in usr/bin/pghttpd etc/pghttpd/pghttpd.conf usr/share/man/man1/pghttpd.1.gz usr/share/man/man5/pghttpd.conf.5.gz \
        usr/share/doc/pghttpd/pghttpd.conf.example usr/share/doc/pghttpd/README.md usr/share/bash-completion/completions/pghttpd; do
        grep -q " ./$file$" "$BATS_TEST_TMPDIR/list" || { echo "$file is missing"; false; }
    done
    grep -q '^-rw-r----- ./etc/pghttpd/pghttpd.conf$' "$BATS_TEST_TMPDIR/list"
    [ "$(version)" = "$(sed -n 's/^VERSION := //p' "$TOP/Makefile")" ]
}

@test "installed: the service runs as a user of its own, which alone may read the settings" {
    run ! machine id pghttpd
    dpkg_ -i /debs/old.deb
    poll_until 10 is_live
    [ "$(show ActiveState)" = active ]
    [ "$(show User)" = pghttpd ]
    machine systemctl is-enabled pghttpd
    [ "$(machine stat -c '%U %G %a' "$conf")" = 'root pghttpd 640' ]
    run ! machine setpriv --reuid=nobody --regid=nogroup --clear-groups cat "$conf"
    machine pghttpd --version | grep -qF "$(version)"
}

@test "upgraded: what the operator wrote stays, the new program runs" {
    local pid
    pid=$(show MainPID)
    printf 'server-port = 3055\n' | machine tee "$conf" >/dev/null
    dpkg_ --force-confdef --force-confold -i /debs/new.deb
    poll_until 10 is_live
    [ "$(show MainPID)" != "$pid" ]
    [ "$(machine cat "$conf")" = 'server-port = 3055' ]
    [ "$(machine stat -c '%U %G %a' "$conf")" = 'root pghttpd 640' ]
    [ "$(code 127.0.0.1:3055/)" = 200 ]
    [ "$(machine dpkg-query -W -f '${Version}' pghttpd)" = 99.0.0-1 ]
}

@test "removed: it stops and the settings stay; purged: nothing is left" {
    dpkg_ -r pghttpd
    [ "$(show ActiveState)" != active ]
    run ! machine test -e /usr/bin/pghttpd
    machine test -e "$conf"
    dpkg_ -P pghttpd
    run machine find /etc /usr /lib /var/lib /var/cache /run -name '*pghttpd*' -not -path "$TOP/*"
    [ -z "$output" ] || { echo "left: $output"; false; }
}
