"""Cases of requests and answers: against a server by tests/bench/load.c, or without one by pgbench."""
import json
import os
import re
import statistics
import subprocess
import sys

KEYS = 100000


class Load:
    """Requests against a server; CPU is its own over the requests it answered meanwhile."""

    def __init__(self, name, server, target, *options):
        self.name, self.server, self.target, self.options = name, server, target, options
        self.runs, self.cpu, self.requests, self.rss = [], 0, 0, 0

    def run(self, args):
        before = self.server.cpu_us()
        out = subprocess.run(['build/bench/load', '-c', str(args.connections), '-t', str(args.seconds), '-k', str(KEYS), *self.options,
                              str(self.server.port), self.target], capture_output=True, text=True, timeout=args.seconds + 60)
        if out.returncode:
            raise SystemExit(f'{self.name}: {out.stderr}{out.stdout}')
        r = json.loads(out.stdout)
        if out.stderr:
            print(f'{self.name}: {out.stderr.strip()}', file=sys.stderr)
        self.cpu += self.server.cpu_us() - before
        self.requests += r['requests']
        self.rss = max(self.rss, self.server.rss_mb())
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

    def run(self, args):
        out = subprocess.run([os.environ['CLUSTER_BIN'] + '/pgbench', '-n', '-M', self.mode(), '-c', str(args.connections), '-j', '1',
                              '-T', str(max(3, round(args.seconds))), '-f', self.file, '-P', '1', os.environ['CLUSTER_URI']],
                             capture_output=True, text=True, timeout=args.seconds + 60)
        tps = re.search(r'tps = ([\d.]+)', out.stdout)
        if out.returncode or not tps:
            raise SystemExit(f'{self.name}: {out.stderr}{out.stdout}')
        self.runs.append((float(tps.group(1)), float(re.search(r'latency average = ([\d.]+)', out.stdout).group(1))))

    def mode(self):
        return 'simple' if 'reset' in self.name else 'prepared'

    def result(self):
        return {'case': self.name, 'rps': round(statistics.median(r[0] for r in self.runs)), 'p50_ms': None, 'p99_ms': None,
                'mean_ms': statistics.median(r[1] for r in self.runs), 'cpu_us': None, 'rss_mb': None, 'errors': 0}
