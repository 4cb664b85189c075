#!/bin/bash
# tests/lib/deps.sh SECTION...: installs the missing Debian packages of these sections of tests/deps.txt; says which they
# are when it may not (neither root nor sudo without a password). Quick and silent when nothing is missing.
set -u
list=$(dirname "$0")/../deps.txt
sections=" $* "
declare -A wanted=()
section=
while read -r package substitute; do
    case $package in
    '' | '#'*) continue ;;
    '['*) section=${package:1:-1} ;;
    *) [[ $sections != *" $section "* ]] || wanted[$package]=$substitute ;;
    esac
done <"$list"
[ ${#wanted[@]} -gt 0 ] || exit 0

command -v dpkg-query >/dev/null || { echo "deps: this is not Debian; needed are: ${!wanted[*]}" >&2; exit 0; }
mapfile -t installed < <(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "${!wanted[@]}" 2>/dev/null | sed -n 's/^installed //p')
for package in "${installed[@]}"; do unset "wanted[$package]"; done
missing=()
for package in "${!wanted[@]}"; do
    substitute=${wanted[$package]}
    if [[ $substitute == /* ]]; then
        compgen -G "$substitute" >/dev/null && continue
    elif [ -n "$substitute" ]; then
        command -v "$substitute" >/dev/null && continue
    fi
    missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

as_root=()
if [ "$(id -u)" != 0 ]; then
    if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
        as_root=(sudo)
    else
        echo "deps: these Debian packages are missing; as root: apt-get install --no-install-recommends ${missing[*]}" >&2
        exit 1
    fi
fi
echo "deps: installing ${missing[*]}" >&2
install() {
    # what comes with a service is wanted as a program: nothing is started
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive SYSTEMD_OFFLINE=1 apt-get -q -y --no-install-recommends \
        -o DPkg::Lock::Timeout=120 install "${missing[@]}" >&2
}
install || { "${as_root[@]}" apt-get -q update >&2 && install; } || {
    echo "deps: apt-get could not install: ${missing[*]}" >&2
    exit 1
}
