"""Measures pghttpd beside its bounds and peers on one PostgreSQL; run by `make bench` (BENCH="options" passes options).

Every case runs SECONDS at a time, all cases in turn, ROUNDS times, so that a slow minute of the machine hits all alike;
the figures are medians over the rounds (CPU: all rounds together). 32 connections, random keys, one worker.
CPU is utime + stime of the server process over the requests it answered meanwhile. Writes build/bench/results.json.

  pgbench ...   no HTTP: what PostgreSQL itself gives to one pgbench thread
  floor ...     tests/bench/floor.c: the same libraries without any feature; the bar is twice its CPU. Of three
                statements: a point read, 100 rows that PostgreSQL makes JSON of, an insert
  fastify       fastify and pg on Node.js, what one would write otherwise

To add a row: a line in cases()."""
import argparse
import base64
import hashlib
import hmac
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import time
import urllib.request

SECRET = 'a-secret-of-at-least-32-characters'
KEYS = 100000
READ = 'select id, name, balance from accounts where id = $1'
# The same with a function that the pool knows nothing about: its connection is reset after each.
UNSURE = READ.replace(' from', ', unsure() from')
SETUP = f"""
create table accounts (id int primary key, name text not null, balance int not null);
insert into accounts select i, 'account number ' || i, i * 7919 % 100000 from generate_series(1, {KEYS}) i;
create table entries (id bigint generated always as identity primary key, account int not null, amount int not null);
create function unsure() returns int language sql immutable as 'select 1';
create role bench login password 'bench';
create role web_anon nologin; create role web_user nologin;
grant web_anon, web_user to bench;
grant select on accounts to web_anon, web_user, bench;
grant all on entries to web_user, bench;
analyze accounts; checkpoint;
"""
FLOORS = [['floor'],
          ['floor 100 rows', 'select json_agg(t) from (select * from accounts where id >= $1::int order by id limit 100) t'],
          ['floor insert', 'insert into entries (account, amount) values ($1::int, 5) returning 1']]
RESET = """\\set id random(1, %d)
CLOSE ALL; SET SESSION AUTHORIZATION DEFAULT; RESET ALL; UNLISTEN *; SELECT pg_advisory_unlock_all(); DISCARD TEMP; DISCARD SEQUENCES;
""" % KEYS


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def jwt(claims):
    def b64(b):
        return base64.urlsafe_b64encode(b).rstrip(b'=').decode()
    head = b64(b'{"alg":"HS256","typ":"JWT"}') + '.' + b64(json.dumps(claims).encode())
    return head + '.' + b64(hmac.new(SECRET.encode(), head.encode(), hashlib.sha256).digest())


def proc_cpu_us(pid):
    with open(f'/proc/{pid}/stat') as f:
        fields = f.read().rpartition(') ')[2].split()
    return (int(fields[11]) + int(fields[12])) * 1e6 / os.sysconf('SC_CLK_TCK')


def proc_rss_mb(pid):
    with open(f'/proc/{pid}/status') as f:
        return int(re.search(r'VmRSS:\s+(\d+)', f.read()).group(1)) / 1024


class Server:
    def __init__(self, name, argv, port, ready):
        env = {k: v for k, v in os.environ.items() if not k.startswith('PG')}
        self.name, self.port = name, port
        self.log = open(f'build/bench/{name}.log', 'w')
        self.proc = subprocess.Popen(argv, env=env, stdout=self.log, stderr=self.log)
        self.pid = self.proc.pid
        end = time.monotonic() + 15
        while True:
            try:
                urllib.request.urlopen(ready, timeout=2).read()
                break
            except OSError:
                if self.proc.poll() is not None or time.monotonic() > end:
                    self.stop()
                    raise SystemExit(f'{name} did not start: build/bench/{name}.log')
                time.sleep(0.02)

    def stop(self):
        if self.proc.poll() is None:
            self.proc.send_signal(signal.SIGTERM)
            try:
                self.proc.wait(15)
            except subprocess.TimeoutExpired:
                self.proc.kill()
                self.proc.wait()


class Load:
    """One case: requests against a server by tests/bench/load.c."""

    def __init__(self, name, server, target, *options):
        self.name, self.server, self.target, self.options = name, server, target, options
        self.runs, self.cpu, self.requests, self.rss = [], 0, 0, 0

    def run(self, seconds):
        before = proc_cpu_us(self.server.pid)
        out = subprocess.run(['build/bench/load', '-c', str(args.connections), '-t', str(seconds), '-k', str(KEYS), *self.options,
                              str(self.server.port), self.target], capture_output=True, text=True, timeout=seconds + 60)
        if out.returncode:
            raise SystemExit(f'{self.name}: {out.stderr}{out.stdout}')
        r = json.loads(out.stdout)
        if out.stderr:
            print(f'{self.name}: {out.stderr.strip()}', file=sys.stderr)
        self.cpu += proc_cpu_us(self.server.pid) - before
        self.requests += r['requests']
        self.rss = max(self.rss, proc_rss_mb(self.server.pid))
        self.runs.append(r)

    def result(self):
        def median(key):
            return statistics.median(r[key] for r in self.runs)
        return {'case': self.name, 'rps': round(median('rps')), 'p50_ms': median('p50_ms'), 'p99_ms': median('p99_ms'),
                'cpu_us': round(self.cpu / max(1, self.requests), 2), 'rss_mb': round(self.rss, 1),
                'errors': sum(r['errors'] for r in self.runs), 'rps_of_rounds': [r['rps'] for r in self.runs]}


class Pgbench:
    def __init__(self, name, script):
        self.name, self.runs = name, []
        self.file = f"build/bench/{name.replace(' ', '-')}.sql"
        with open(self.file, 'w') as f:
            f.write(script)

    def run(self, seconds):
        out = subprocess.run([os.environ['CLUSTER_BIN'] + '/pgbench', '-n', '-M', self.mode(), '-c', str(args.connections), '-j', '1',
                              '-T', str(max(3, round(seconds))), '-f', self.file, '-P', '1', os.environ['CLUSTER_URI']],
                             capture_output=True, text=True, timeout=seconds + 60)
        tps = re.search(r'tps = ([\d.]+)', out.stdout)
        if out.returncode or not tps:
            raise SystemExit(f'{self.name}: {out.stderr}{out.stdout}')
        self.runs.append((float(tps.group(1)), float(re.search(r'latency average = ([\d.]+)', out.stdout).group(1))))

    def mode(self):
        return 'simple' if 'reset' in self.name else 'prepared'

    def result(self):
        return {'case': self.name, 'rps': round(statistics.median(r[0] for r in self.runs)), 'p50_ms': None, 'p99_ms': None,
                'mean_ms': statistics.median(r[1] for r in self.runs), 'cpu_us': None, 'rss_mb': None, 'errors': 0}


def pghttpd(name, uri, *settings):
    port, admin = free_port(), free_port()
    return Server(name, ['build/release/pghttpd', '--server-port', str(port), '--admin-server-port', str(admin), '--db-uri', uri,
                         '--log-access', 'false', *settings], port, f'http://127.0.0.1:{admin}/ready')


def cases(servers):
    uri = f"postgresql://bench:bench@127.0.0.1:{os.environ['CLUSTER_PORT']}/postgres"
    body = json.dumps({'query': READ, 'params': ['{}']})
    post = ('-m', 'POST', '-H', 'Content-Type: application/json')
    yield Pgbench('pgbench read', f'\\set id random(1, {KEYS})\nselect id, name, balance from accounts where id = :id;\n')
    yield Pgbench('pgbench read and reset', RESET.replace('\nCLOSE', '\nselect id, name, balance, unsure() from accounts where id = :id;\nCLOSE', 1))

    for name, *sql in FLOORS:
        port = free_port()
        servers.append(Server(name.replace(' ', '-'), ['build/bench/floor', str(port), uri, *sql], port, f'http://127.0.0.1:{port}/?id=1'))
        yield Load(name, servers[-1], '/?id={}')
    port = free_port()
    servers.append(Server('fastify', ['node', 'build/bench/fastify/server.js', str(port), uri], port, f'http://127.0.0.1:{port}/read?id=1'))
    yield Load('fastify read', servers[-1], '/read?id={}')
    yield Load('fastify sql', servers[-1], '/sql', *post, '-b', body)

    ours = pghttpd('pghttpd', uri, '--sql-access', 'open', '--db-anon-role', 'web_anon', '--db-schemas', 'public', '--jwt-secret', SECRET,
                   '--notify-access', 'open')
    servers.append(ours)
    yield Load('sql open', ours, '/sql', *post, '-b', body)
    yield Load('sql open, reset', ours, '/sql', *post, '-b', json.dumps({'query': UNSURE, 'params': ['{}']}))
    yield Load('sql open, text', ours, f"/sql?query={READ.replace(' ', '%20').replace('$1', '{}')}")
    token = ('-H', 'Authorization: Bearer ' + jwt({'role': 'web_user', 'sub': '42', 'exp': int(time.time()) + 36000}))
    yield Load('rest read', ours, '/rest/accounts?id=eq.{}', *token)
    yield Load('rest read, anonymous', ours, '/rest/accounts?id=eq.{}')
    yield Load('rest 100 rows', ours, '/rest/accounts?id=gte.{}&order=id&limit=100', *token)
    yield Load('rest insert', ours, '/rest/entries', *post, *token, '-b', '{"account": {}, "amount": 5}')
    yield Load('notify', ours, '/notify/bench', *post, '-b', '{"id": {}}')

    login = pghttpd('pghttpd-login', uri, '--sql-access', 'login')
    servers.append(login)
    basic = ('-H', 'Authorization: Basic ' + base64.b64encode(b'bench:bench').decode())
    yield Load('sql login', login, '/sql', *post, *basic, '-b', body)


def show(results, idle):
    by_name = {r['case']: r for r in results}

    def cell(v, form):
        return form % v if v is not None else '-'
    print(f"\n{'':24s}{'requests/s':>11s}{'p50 ms':>9s}{'p99 ms':>9s}{'CPU us':>8s}{'RSS MB':>8s}{'errors':>8s}")
    for r in results:
        print(f"{r['case']:24s}{r['rps']:11d}{cell(r['p50_ms'], '%9.2f'):>9s}{cell(r['p99_ms'], '%9.2f'):>9s}"
              f"{cell(r['cpu_us'], '%8.1f'):>8s}{cell(r['rss_mb'], '%8.1f'):>8s}{r['errors']:8d}")
    ratios = {}

    def ratio(label, a, b, key):
        if a in by_name and b in by_name and by_name[b][key]:
            ratios[label] = round(by_name[a][key] / by_name[b][key], 2)
    ratio('sql open: CPU, times the floor', 'sql open', 'floor', 'cpu_us')
    ratio('sql login: CPU, times the floor', 'sql login', 'floor', 'cpu_us')
    ratio('rest read: CPU, times the floor', 'rest read', 'floor', 'cpu_us')
    ratio('rest 100 rows: CPU, times its floor', 'rest 100 rows', 'floor 100 rows', 'cpu_us')
    ratio('rest insert: CPU, times its floor', 'rest insert', 'floor insert', 'cpu_us')
    ratio('sql open: rate, times fastify', 'sql open', 'fastify sql', 'rps')
    ratio('rest read: rate, times fastify', 'rest read', 'fastify read', 'rps')
    ratio('sql login: rate, of pgbench', 'sql login', 'pgbench read', 'rps')
    ratio('sql open, reset: rate, of pgbench', 'sql open, reset', 'pgbench read and reset', 'rps')
    ratio('rest read: rate, of pgbench', 'rest read', 'pgbench read', 'rps')
    print()
    for label, value in ratios.items():
        print(f'{label:36s}{value:7.2f}')
    for label, value in idle.items():
        print(f'{label:36s}{value:7.2f}')
    return ratios


def start_up(uri):
    """Milliseconds from exec to the first ready answer, and resident memory then."""
    times = []
    for _ in range(5):
        start = time.monotonic()
        server = pghttpd('pghttpd-start', uri, '--sql-access', 'open')
        times.append((time.monotonic() - start) * 1000)
        rss = proc_rss_mb(server.pid)
        server.stop()
    return {'start to ready, ms (polled by 20)': round(min(times), 1), 'RSS idle, MB': round(rss, 1)}


def main():
    psql = [os.environ['CLUSTER_BIN'] + '/psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1']
    subprocess.run(psql, input=SETUP, text=True, check=True)
    servers, todo = [], []
    try:
        idle = start_up(os.environ['CLUSTER_URI'])
        for case in cases(servers):
            if not args.only or re.search(args.only, case.name):
                todo.append(case)
        for n in range(args.rounds):
            for case in todo:
                print(f'round {n + 1}: {case.name}', file=sys.stderr)
                case.run(args.seconds)
    finally:
        for server in servers:
            server.stop()
    results = [case.result() for case in todo]
    ratios = show(results, idle)
    with open('build/bench/results.json', 'w') as f:
        json.dump({'results': results, 'ratios': ratios, 'idle': idle, 'connections': args.connections, 'seconds': args.seconds,
                   'rounds': args.rounds, 'cores': os.cpu_count()}, f, indent=1)
    bad = [r['case'] for r in results if r['errors']]
    if bad:
        raise SystemExit('errors in: ' + ', '.join(bad))


parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
parser.add_argument('--seconds', type=float, default=3)
parser.add_argument('--rounds', type=int, default=3)
parser.add_argument('--connections', type=int, default=32)
parser.add_argument('--only', help='regular expression on the names of the cases')
args = parser.parse_args()
main()
