"""Cases of event streams: one event to many subscribers, by tests/bench/sse_load.c.

A server of its own for each round, so that its memory is not what an earlier load left. The events are sent by psql, for all
servers alike. The round is run once before it counts, so that a runtime that compiles while it runs has done so. CPU is the
server's own (its heartbeats too) over the events it delivered: one event to 1,000 streams is 1,000 deliveries."""
import os
import statistics
import subprocess
import time

SETTLE_S = 1  # after the streams are open; pg_eventserv answers before it LISTENs


class Events:
    def __init__(self, name, start, rate, *options):
        """start() returns a server; rate is events a second; options are those of sse_load."""
        self.name, self.start, self.rate, self.options = name, start, rate, options
        self.runs, self.cpu, self.delivered = [], 0, 0

    def run(self, args):
        server = self.start()
        try:
            self.runs.append(self.measure(server, args))
        finally:
            server.stop()

    def measure(self, server, args):
        alone = server.rss_mb()
        psql = os.environ['CLUSTER_BIN'] + '/psql -X -q'
        with subprocess.Popen(['build/bench/sse_load', *self.options, '-g', '-e', psql, str(server.port), str(args.streams), 'rate',
                               str(self.rate), str(round(args.seconds))], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              text=True) as load:
            self.read(load, 'ready')
            time.sleep(SETTLE_S)
            idle = server.rss_mb()
            before = self.go(load)
            warm = server.cpu_us()
            r = self.go(load)
            self.cpu += server.cpu_us() - warm
            self.delivered += r['arrived'] - before['arrived']
        return r | {'rss_mb': idle, 'stream_kb': (idle - alone) * 1024 / args.streams}

    def go(self, load):
        load.stdin.write('\n')
        load.stdin.flush()
        r = self.read(load, 'closed')
        if r['closed'] or r['disorder']:
            raise SystemExit(f'{self.name}: {r}')
        return r

    def read(self, load, last):
        """The key=value lines up to that of the last key."""
        r = {}
        for line in load.stdout:
            key, _, value = line.strip().partition('=')
            r[key] = float(value or 0)
            if key == last:
                return r
        raise SystemExit(f'{self.name}: sse_load ended: {r}')

    def result(self):
        def median(key, digits):
            return round(statistics.median(r[key] for r in self.runs), digits)
        return {'case': self.name, 'cpu_us': round(self.cpu / max(1, self.delivered), 2), 'p50_ms': median('p50_ms', 2),
                'p99_ms': median('p99_ms', 2), 'rss_mb': median('rss_mb', 1), 'stream_kb': median('stream_kb', 2), 'errors': 0}
