# shellcheck shell=bash
# engine.sh, sourced: starts a private container engine below $W and defines eng (its CLI, which eng_words begins), eng_build,
# eng_import, eng_stop_all. ENGINE=podman (default) or docker, both from Debian's packages. Needs root. Writes nothing
# outside $W but transient cgroups and network devices.
: "${ENGINE:=podman}" "${W:?work directory}"
mkdir -p "$W"

# Why no engine can run here, or nothing when one can.
eng_missing() {
	[ "$(id -u)" = 0 ] || { echo "not root"; return; }
	local c
	for c in $([ "$ENGINE" = podman ] && echo podman runc /usr/lib/podman/netavark || echo dockerd /usr/bin/docker) \
		mmdebstrap curl jq python3 ss; do
		command -v "$c" >/dev/null || { echo "$c is not installed"; return; }
	done
}

start_podman() {
	local driver=vfs
	mkdir -p "$W"/o/{l,u,w,m} "$W/tmp"
	if mount -t overlay overlay -o "lowerdir=$W/o/l,upperdir=$W/o/u,workdir=$W/o/w" "$W/o/m" 2>/dev/null; then
		umount "$W/o/m"
		driver=overlay
	fi
	cat >"$W/storage.conf" <<-C
		[storage]
		driver = "$driver"
		graphroot = "$W/graph"
		runroot = "$W/run"
	C
	# podman asks for more descriptors and processes than may be had without CAP_SYS_RESOURCE.
	cat >"$W/containers.conf" <<-C
		[containers]
		cgroups = "enabled"
		cgroupns = "host"
		netns = "host"
		default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
		log_driver = "k8s-file"
		[network]
		network_backend = "netavark"
		network_config_dir = "$W/networks"
		[engine]
		runtime = "runc"
		cgroup_manager = "cgroupfs"
		events_logger = "file"
		tmp_dir = "$W/libpod"
	C
	cat >"$W/registries.conf" <<-C
		unqualified-search-registries = []
		[aliases]
		"debian" = "docker.io/library/debian"
		"postgres" = "docker.io/library/postgres"
	C
	export CONTAINERS_STORAGE_CONF="$W/storage.conf" CONTAINERS_CONF="$W/containers.conf" \
		CONTAINERS_REGISTRIES_CONF="$W/registries.conf" TMPDIR="$W/tmp" DISABLE_HC_SYSTEMD=true
	eng_words=(podman)
	eng_build() { podman build --pull=never --isolation chroot --format docker --network host "$@"; }
	eng_import() { podman import -q -c 'CMD ["bash"]' "$1" "docker.io/library/$2"; }
	eng_stop_all() {
		podman rm -fa -t 2
		podman network prune -f
		podman system reset -f
		rmdir /sys/fs/cgroup/*/libpod_parent/* /sys/fs/cgroup/*/libpod_parent
	} >/dev/null 2>&1
}

start_docker() {
	local docker=/usr/bin/docker i=0 # Debian's own CLI: BuildKit without the buildx plugin
	export DOCKER_HOST="unix://$W/docker.sock"
	dockerd --data-root "$W/data" --exec-root "$W/exec" -p "$W/dockerd.pid" -H "$DOCKER_HOST" \
		--bridge=none --iptables=false --ip6tables=false --ip-forward=false --ip-masq=false \
		--oom-score-adjust 0 >"$W/dockerd.log" 2>&1 &
	until $docker version >/dev/null 2>&1; do
		i=$((i + 1))
		[ $i -le 100 ] || { tail "$W/dockerd.log" >&2; return 1; }
		sleep 0.1
	done
	eng_words=(/usr/bin/docker)
	eng_build() { DOCKER_BUILDKIT=1 /usr/bin/docker build --network host --progress plain "$@"; }
	eng_import() { /usr/bin/docker import -c 'CMD ["bash"]' "$1" "$2"; }
	eng_stop_all() {
		local p
		/usr/bin/docker ps -aq | xargs -r /usr/bin/docker rm -f
		/usr/bin/docker network prune -f
		p=$(cat "$W/dockerd.pid") && kill "$p" && while kill -0 "$p"; do sleep 0.1; done
		umount "$W"/exec/netns/*
		find /sys/fs/cgroup/*/docker -depth -type d -exec rmdir {} \;
	} >/dev/null 2>&1
}

eng() { "${eng_words[@]}" "$@"; }

# eng_priority NICE: of the engine's daemons, threads and all, before other load of the machine (or, with 0, beside it).
eng_priority() {
	local p t
	[ -e "$W/dockerd.pid" ] || return 0
	for p in $(cat "$W/dockerd.pid") $(pgrep -P "$(cat "$W/dockerd.pid")"); do
		for t in "/proc/$p/task"/*; do renice -n "$1" -p "${t##*/}"; done
	done >/dev/null
}

eng_start() { "start_$ENGINE"; }
