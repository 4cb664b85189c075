# The files of docker/ without an engine: schemas, lint, and what engines of Debian 12 cannot build.
# (tests/container builds and runs the image.)

bats_require_minimum_version 1.5.0

setup_file() {
    cd "$BATS_TEST_DIRNAME/../.." || return 1
    tests/lib/npm.sh tests/schemas
}

setup() {
    [ "${MODE:-release}" = release ] || skip "says nothing about this build"
    top=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
    cd "$top/tests/schemas" || return 1
}

@test "manifests are valid" {
    node manifests.mjs "$top"/docker/kubernetes/*.yaml
}

@test "a field that does not exist, or has the wrong type, is noticed" {
    sed 's/readOnlyRootFilesystem/readOnlyRootFileSystem/' "$top/docker/kubernetes/deployment.yaml" >"$BATS_TEST_TMPDIR/a.yaml"
    run ! node manifests.mjs "$BATS_TEST_TMPDIR/a.yaml"
    sed 's/replicas: 2/replicas: two/' "$top/docker/kubernetes/deployment.yaml" >"$BATS_TEST_TMPDIR/b.yaml"
    run ! node manifests.mjs "$BATS_TEST_TMPDIR/b.yaml"
}

@test "the deployment keeps to the rules: liveness without database, no service links, nothing writable" {
    python3 - "$top/docker/kubernetes/deployment.yaml" <<'PY'
import sys
import yaml
spec = yaml.safe_load(open(sys.argv[1]))['spec']['template']['spec']
c = spec['containers'][0]
assert c['livenessProbe']['httpGet']['path'] == '/live'
assert c['readinessProbe']['httpGet']['path'] == '/ready'
assert spec['enableServiceLinks'] is False and spec['automountServiceAccountToken'] is False
assert spec['securityContext']['runAsNonRoot'] and spec['securityContext']['seccompProfile']['type'] == 'RuntimeDefault'
s = c['securityContext']
assert s['readOnlyRootFilesystem'] and not s['allowPrivilegeEscalation'] and s['capabilities'] == {'drop': ['ALL']}
delay = {e['name']: e.get('value') for e in c['env']}['PGHTTPD_SHUTDOWN_DELAY']
assert spec['terminationGracePeriodSeconds'] > int(delay.rstrip('s')) + 8
PY
}

@test "one pod may always go, a node may always be drained, and both are not on one node where there are two" {
    python3 - "$top/docker/kubernetes" <<'PY'
import sys
import yaml
read = lambda name: yaml.safe_load(open(f'{sys.argv[1]}/{name}.yaml'))
spec = read('deployment')['spec']
budget = read('poddisruptionbudget')['spec']
assert budget['maxUnavailable'] == 1 and budget['unhealthyPodEvictionPolicy'] == 'AlwaysAllow'
assert budget['selector'] == spec['selector']
spread = spec['template']['spec']['topologySpreadConstraints'][0]
assert spread['topologyKey'] == 'kubernetes.io/hostname' and spread['labelSelector'] == spec['selector']
PY
}

@test "kustomization, secret and ingress fit the deployment and the program's defaults" {
    "$top/build/release/pghttpd" --example >"$BATS_TEST_TMPDIR/example"
    python3 - "$top/docker/kubernetes" "$BATS_TEST_TMPDIR/example" <<'PY'
import glob
import os
import re
import sys
import yaml
folder = sys.argv[1]
read = lambda name: yaml.safe_load(open(f'{folder}/{name}'))
setting = lambda key: re.search(rf'^#{key} = "?([^"\n]*)', open(sys.argv[2]).read(), re.M).group(1)
seconds = lambda text: int(text.rstrip('s'))
custom, deployment, secret, ingress = map(read, ('kustomization.yaml', 'deployment.yaml', 'secret.example.yaml', 'ingress.example.yaml'))
there = {os.path.basename(f) for f in glob.glob(f'{folder}/*.yaml')}
assert set(custom['resources']) == {f for f in there if 'example' not in f} - {'kustomization.yaml'}
pod = deployment['spec']['template']['spec']
c = pod['containers'][0]
assert [i['name'] for i in custom['images']] == [c['image'].split(':')[0]]
wanted = {i['key'] for v in pod['volumes'] for i in v['secret']['items']}
wanted |= {e['valueFrom']['secretKeyRef']['key'] for e in c['env'] if 'valueFrom' in e}
assert wanted == set(secret['stringData']), wanted
service = read('service.yaml')
assert ingress['spec']['rules'][0]['http']['paths'][0]['backend']['service']['port']['name'] == service['spec']['ports'][0]['name']
notes = {k.split('/')[1]: v for k, v in ingress['metadata']['annotations'].items()}
assert int(notes['proxy-read-timeout']) > seconds(setting('listen-heartbeat'))
assert notes['proxy-body-size'].upper() + 'B' == setting('request-max-bytes')
assert pod['terminationGracePeriodSeconds'] > 5 + seconds(setting('shutdown-timeout'))
bodies, answers = (next(int(e['value'].rstrip('MB')) for e in c['env'] if e['name'] == f'PGHTTPD_{name}_MEMORY_MAX') for name in ('REQUEST', 'RESPONSE'))
assert int(c['resources']['limits']['memory'].rstrip('Mi')) > 12 + 64 + 3 * bodies + answers and setting('listen-history-bytes') == '64MB'
assert bodies >= int(setting('request-max-bytes').rstrip('MB'))
PY
    if command -v kubectl >/dev/null; then kubectl kustomize "$top/docker/kubernetes" | grep -q '^kind: Deployment'; fi
}

@test "the Dockerfile is clean, and the linter finds what is wrong" {
    node dockerfile.mjs "$top/docker/Dockerfile"
    sed 's/^WORKDIR .*/WORKDIR build/' "$top/docker/Dockerfile" >"$BATS_TEST_TMPDIR/Dockerfile"
    run ! node dockerfile.mjs "$BATS_TEST_TMPDIR/Dockerfile"
}

@test "the Dockerfile has nothing that BuildKit or buildah of Debian 12 do not know" {
    run ! grep -nE '^# *syntax=|<<-?["'"'"']?[A-Z]+|COPY .*--(link|exclude)|RUN .*--network|FROM --platform' "$top/docker/Dockerfile"
}

@test "compose.yaml: health before start, hardened, secrets as files" {
    python3 - "$top/docker/compose.yaml" <<'PY'
import sys
import yaml
doc = yaml.safe_load(open(sys.argv[1]))
s = doc['services']['pghttpd']
assert s['depends_on']['db']['condition'] == 'service_healthy'
assert s['read_only'] and s['cap_drop'] == ['ALL'] and 'no-new-privileges:true' in s['security_opt']
assert all(p.startswith('127.0.0.1:') for p in s['ports'])
for name, service in doc['services'].items(): # they come back, and their logs end somewhere
    assert service['restart'] == 'unless-stopped', name
    assert set(service['logging']['options']) == {'max-size', 'max-file'}, name
assert all('file' in v for v in doc['secrets'].values())
assert 'PASSWORD' not in str(s['environment'])
PY
    # where a compose is installed it has the last word
    command -v docker-compose >/dev/null || return 0
    docker-compose -f "$top/docker/compose.yaml" config -q
    POSTGRES_VOLUME=/var/lib/postgresql docker-compose -f "$top/docker/compose.yaml" config | grep -q 'data:/var/lib/postgresql:rw'
}

@test "the image is built from all that make install needs" {
    local file missing=
    for file in $(sed -nE 's/^\tinstall -D -m [0-9]+ ([a-z][^ $]*|LICENSE) .*/\1/p' "$top/Makefile"); do
        # copied into the stage that builds, and allowed into the context
        grep -qE "^COPY .*\\b(${file%%/*}|$(dirname "$file")|$file)\\b" "$top/docker/Dockerfile" &&
            grep -qxE "!(${file%%/*}|$(dirname "$file")|$file)" "$top/docker/Dockerfile.dockerignore" || missing+=" $file"
    done
    [ -z "$missing" ] || { echo "not in the context of the image:$missing"; false; }
}

@test "make install with DESTDIR: program, settings, unit, its user, example" {
    local root=$BATS_TEST_TMPDIR/root
    make -s -C "$top" MODE="${MODE:-release}" install DESTDIR="$root" PREFIX=/usr
    cd "$root"
    [ -x usr/bin/pghttpd ]
    [ -s usr/share/doc/pghttpd/pghttpd.conf.example ]
    [ -s usr/share/doc/pghttpd/copyright ]
    [ -s usr/share/man/man1/pghttpd.1 ]
    [ -s usr/share/man/man5/pghttpd.conf.5 ]
    [ -s usr/share/bash-completion/completions/pghttpd ]
    [ -s usr/share/zsh/site-functions/_pghttpd ]
    [ "$(stat -c %a etc/pghttpd/pghttpd.conf)" = 640 ]
    grep -qx 'ExecStart=/usr/bin/pghttpd /etc/pghttpd/pghttpd.conf' usr/lib/systemd/system/pghttpd.service
    grep -qx 'Documentation=file:/usr/share/doc/pghttpd/pghttpd.conf.example' usr/lib/systemd/system/pghttpd.service
    grep -q '^u pghttpd ' usr/lib/sysusers.d/pghttpd.conf
    grep -q '^z /etc/pghttpd/pghttpd.conf 0640 root pghttpd' usr/lib/tmpfiles.d/pghttpd.conf
    run ! grep -r '@[A-Z]*@' usr/lib
    # once more, elsewhere: what the operator wrote stays
    echo 'server-port = 3005' >etc/pghttpd/pghttpd.conf
    make -s -C "$top" MODE="${MODE:-release}" install DESTDIR="$root" PREFIX=/usr
    [ "$(cat etc/pghttpd/pghttpd.conf)" = 'server-port = 3005' ]
    make -s -C "$top" MODE="${MODE:-release}" install DESTDIR="$root" PREFIX=/opt/pg SYSCONFDIR=/opt/etc
    grep -qx 'ExecStart=/opt/pg/bin/pghttpd /opt/etc/pghttpd/pghttpd.conf' opt/pg/lib/systemd/system/pghttpd.service
    grep -qx 'Documentation=file:/opt/pg/share/doc/pghttpd/pghttpd.conf.example' opt/pg/lib/systemd/system/pghttpd.service
    [ -e opt/etc/pghttpd/pghttpd.conf ]
}

@test "systemd finds nothing wrong with the unit, and little exposed" {
    command -v systemd-analyze >/dev/null || skip "systemd-analyze is not installed"
    local unit=$BATS_TEST_TMPDIR/pghttpd.service
    sed "s|@PREFIX@/bin|$top/build/release|; s|@PREFIX@|/usr|; s|@ETC@|/etc/pghttpd|" "$top/config/pghttpd.service" >"$unit"
    run systemd-analyze verify "$unit"
    echo "$output"
    [ "$status" = 0 ]
    [ -z "$output" ]
    systemd-analyze security --offline=yes --threshold=15 "$unit" # tenths of its scale of 10
    # and it would find something
    sed -i 's/^ExecStart=.*/ExecStart=relative/' "$unit"
    run ! systemd-analyze verify "$unit"
}
