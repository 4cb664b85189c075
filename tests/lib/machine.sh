# shellcheck shell=bash
# machine.sh (sourced): this machine once more, as if it had just been started by systemd: a copy on write of its root folder,
# namespaces of its own for everything, and systemd as process 1 with no units but a bare basic.target and those of
# /usr/local/lib/systemd/system, and of the folders in MACHINE_UNITS (A:B), which are empty there. Root only. Nothing of it is left behind.
#
#   machine_missing           prints why there can be none here, or nothing
#   machine_start FOLDER      FOLDER holds its files; FOLDER/console is what process 1 says
#   machine COMMAND...        runs it in there
#   machine_stop

# shellcheck source=tests/lib/poll.sh
. "$(dirname "${BASH_SOURCE[0]}")/poll.sh"

machine_missing() {
    [ "$(id -u)" = 0 ] || { echo "not root"; return; }
    [ -x /lib/systemd/systemd ] || { echo "systemd is not installed"; return; }
    # shellcheck disable=SC2016 # expanded inside
    unshare -U true 2>/dev/null && unshare -m -p -n -C -u -i -f --kill-child sh -c 'd=$(mktemp -d) && mount -t tmpfs tmpfs "$d" && mkdir "$d/c" "$d/u" "$d/w" "$d/r" &&
        mount -t cgroup2 cgroup2 "$d/c" && mkdir "$d/c/test-$$" && rmdir "$d/c/test-$$" &&
        mount -t overlay -o "lowerdir=/,upperdir=$d/u,workdir=$d/w" overlay "$d/r"; rc=$?; umount -R "$d"; rmdir "$d"; exit $rc' \
        >/dev/null 2>&1 || echo "no namespaces, cgroups or overlays here"
}

# In namespaces of mounts, processes, network and so on: puts the root folder together and becomes systemd.
machine_boot_() {
    set -e
    local name folder=$1 top=$2
    mount --make-rprivate /
    ip link set lo up
    hostname machine
    mkdir "$folder/files"
    mount -t tmpfs tmpfs "$folder/files"
    cd "$folder/files"
    mkdir upper work root
    mount -t overlay -o lowerdir=/,upperdir=upper,workdir=work overlay root
    cd root
    mount -t proc proc proc
    mount --bind proc/sys proc/sys
    mount -o remount,bind,ro proc/sys # the kernel's settings are not ours
    mount -t sysfs -o ro sys sys
    [ -d sys/fs/cgroup ] && mount -t cgroup2 cgroup2 sys/fs/cgroup
    for name in dev run tmp; do mount -t tmpfs -o mode=755 tmpfs $name; done
    chmod 1777 tmp
    mkdir -p ".$top" # which may be in one of these
    mount --bind "$top" ".$top"
    mkdir dev/shm dev/pts run/units
    for name in null zero full random urandom tty; do
        : >"dev/$name"
        mount --bind "/dev/$name" "dev/$name"
    done
    ln -s /proc/self/fd dev/fd
    ln -s pts/ptmx dev/ptmx
    : >dev/console
    mount --bind "$folder/console" dev/console
    : >etc/fstab
    for name in basic.target sysinit.target shutdown.target network-online.target; do
        printf '[Unit]\nDefaultDependencies=no\n' >"run/units/$name"
    done
    for name in ${MACHINE_UNITS//:/ }; do mount -t tmpfs -o mode=755 tmpfs ".$(readlink -f "$name")"; done
    pivot_root . mnt
    umount -l /mnt
    exec env -i container=machine PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        SYSTEMD_UNIT_PATH="/run/units:/usr/local/lib/systemd/system${MACHINE_UNITS:+:$MACHINE_UNITS}" \
        /lib/systemd/systemd --log-target=console --log-level=info --show-status=0 --unit=basic.target </dev/null
}

# In a mount namespace: a cgroup for it, the rest, and away with the cgroup.
machine_hold_() {
    local folder=$1 group=$1/cgroup/machine-$$
    mkdir "$folder/cgroup" && mount -t cgroup2 cgroup2 "$folder/cgroup" && mkdir "$group" && echo $$ >"$group/cgroup.procs" || return
    # shellcheck disable=SC2016 # expanded inside
    unshare -m -p -n -C -u -i -f --kill-child bash -c '. "$0" && machine_boot_ "$@"' "$MACHINE_LIB" "$@" &
    echo $! >"$folder/pid"
    wait $!
    echo $$ >"$folder/cgroup/cgroup.procs"
    poll_until 5 machine_empty_ "$group"
    find "$group" -depth -type d -exec rmdir {} +
}
machine_empty_() { grep -qx 'populated 0' "$1/cgroup.events"; }

MACHINE_LIB=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/machine.sh

machine_up_() {
    [ -s "$MACHINE_DIR/pid" ] || return 1
    MACHINE_PID=$(pgrep -P "$(cat "$MACHINE_DIR/pid")") && [ "$(cat "/proc/$MACHINE_PID/comm" 2>/dev/null)" = systemd ] &&
        machine systemctl is-active -q basic.target 2>/dev/null
}

machine_start() {
    export MACHINE_DIR=$1 MACHINE_PID
    : >"$MACHINE_DIR/console"
    # shellcheck disable=SC2016 # expanded inside
    unshare -m bash -c '. "$0" && machine_hold_ "$@"' "$MACHINE_LIB" "$MACHINE_DIR" "$(cd "$(dirname "$MACHINE_LIB")/../.." && pwd)" \
        </dev/null >"$MACHINE_DIR/log" 2>&1 3>&- 4>&- &
    export MACHINE_HOLDER=$!
    poll_until 20 machine_up_ || { cat "$MACHINE_DIR/log" "$MACHINE_DIR/console" >&2; return 1; }
}

machine() {
    nsenter -t "$MACHINE_PID" -m -u -i -n -p -C -r -w env -i HOME=/root LC_ALL=C.UTF-8 \
        PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"
}

machine_stop() {
    kill -KILL "$MACHINE_PID"
    poll_until 10 gone "$MACHINE_HOLDER"
}
