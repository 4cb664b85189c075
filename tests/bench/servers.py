"""The servers that `make bench` measures: how each is started, when it is ready, what it costs."""
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request

SECRET = 'a-secret-of-at-least-32-characters'


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


class Server:
    """Started, and ready: `ready` is a URL that answers 200 then."""

    def __init__(self, name, argv, port, ready, **more_env):
        env = {k: v for k, v in os.environ.items() if not k.startswith('PG')} | more_env
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

    def cpu_us(self):
        with open(f'/proc/{self.pid}/stat') as f:
            fields = f.read().rpartition(') ')[2].split()
        return (int(fields[11]) + int(fields[12])) * 1e6 / os.sysconf('SC_CLK_TCK')

    def rss_mb(self):
        with open(f'/proc/{self.pid}/status') as f:
            return int(re.search(r'VmRSS:\s+(\d+)', f.read()).group(1)) / 1024


def installed(program, what):
    """Whether a peer is on PATH; if not, its rows are left out."""
    if shutil.which(program):
        return True
    print(f'bench: no rows of {program}: put {what} on PATH', file=sys.stderr)
    return False


def pghttpd(name, uri, *settings, binary='build/release/pghttpd'):
    port, admin = free_port(), free_port()
    return Server(name, [binary, '--server-port', str(port), '--admin-server-port', str(admin), '--db-uri', uri,
                         '--log-access', 'false', *settings], port, f'http://127.0.0.1:{admin}/ready')


def floor(name, uri, *sql):
    port = free_port()
    return Server(name, ['build/bench/floor', str(port), uri, *sql], port, f'http://127.0.0.1:{port}/?id=1')


def fastify(name, uri):
    port = free_port()
    return Server(name, ['node', 'build/bench/fastify/server.js', str(port), uri], port, f'http://127.0.0.1:{port}/read?id=1')


def postgrest(name, uri):
    """As ours: the same roles, the same token, a pool of ten connections; nothing but errors is logged."""
    port, admin = free_port(), free_port()
    with open(f'build/bench/{name}.conf', 'w') as f:
        f.write(f'db-uri = "{uri}"\ndb-schemas = "public"\ndb-anon-role = "web_anon"\ndb-pool = 10\njwt-secret = "{SECRET}"\n'
                f'server-host = "127.0.0.1"\nserver-port = {port}\nadmin-server-port = {admin}\nlog-level = "crit"\n')
    return Server(name, ['postgrest', f'build/bench/{name}.conf'], port, f'http://127.0.0.1:{admin}/ready')


def pg_eventserv(name, uri):
    port = free_port()
    return Server(name, ['pg_eventserv'], port, f'http://127.0.0.1:{port}/', DATABASE_URL=uri, ES_HTTPHOST='127.0.0.1',
                  ES_HTTPPORT=str(port))
