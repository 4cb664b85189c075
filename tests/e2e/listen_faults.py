"""Event streams while things break: python3 listen_faults.py CASE (listen_faults.bats runs them)."""

import os
import random
import select
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

LIB = os.path.join(os.path.dirname(__file__), "..", "lib")
sys.path.insert(0, LIB)
from sse import Bad, Reader, Sql, Stream, equal, main, metric, wait_until  # noqa: E402

ADMIN = os.environ.get("SERVER_ADMIN", "")


def cluster(command):
    subprocess.run(["bash", "-c", f". {LIB}/cluster.sh; {command}"], check=True, timeout=60, stdout=subprocess.DEVNULL)


def ready():
    try:
        return urllib.request.urlopen(ADMIN + "/ready", timeout=3).status
    except urllib.error.HTTPError as e:
        return e.code


class Writer(threading.Thread):
    """One session that notifies 1, 2, 3 ... until told to stop; then 'end'."""

    def __init__(self, channel):
        super().__init__(daemon=True)
        self.sql, self.channel, self.stopping, self.n = Sql(), channel, False, 0
        self.lock = threading.Lock()
        self.start()

    def run(self):
        while not self.stopping:
            with self.lock:
                self.n += 1
                self.sql(f"select pg_notify('{self.channel}', '{self.n}')")
            time.sleep(0.0005)

    def stop(self):
        self.stopping = True
        self.join()
        self.sql(f"notify {self.channel}, 'end'")


def check(got, gaps, first=1, last=None):
    """Rising numbers, none twice, none missing but at a gap; exactly so many gaps. Returns how many are missing."""
    expected, at_gap, missing, seen = first, False, 0, 0
    for e in got:
        if e.event == "gap":
            equal(e.json, {"reason": "reconnected"})
            at_gap, seen = True, seen + 1
            continue
        equal(e.event, "message")
        if e.payload == "end":
            break
        n = int(e.payload)
        if n < expected:
            raise Bad(f"{n} came again or out of order, {expected} was next")
        if n > expected and not at_gap:
            raise Bad(f"{expected} to {n - 1} are missing and no gap says so")
        missing += n - expected
        expected, at_gap = n + 1, False
    equal(seen, gaps, "gaps")
    if last is not None and expected != last + 1 and not at_gap:
        raise Bad(f"{expected} to {last} are missing at the end")
    return missing


def listening():
    try:
        return metric("pghttpd_listen_up") == 1
    except urllib.error.URLError:
        return False


def losses():
    return int(metric("pghttpd_listen_losses_total"))


def killed(what, times):
    readers = [Reader(Stream("/listen/killed"), lambda e: e.payload == "end") for _ in range(5)]
    stuck = Stream("/listen/killed?max_buffer_size=4096", rcvbuf=4096)
    w, killer, before = Writer("killed"), Sql(), losses()
    for i in range(times):
        wait_until(lambda n=w.n: w.n > n + 100, 10)
        killer(f"select pg_terminate_backend(pid) from pg_stat_activity where {what}")
        wait_until(lambda k=i: losses() == before + k + 1, 5, "the loss of LISTEN")
        wait_until(listening, 5, "LISTEN again")
    wait_until(lambda n=w.n: w.n > n + 100, 10)
    w.stop()
    for r in readers:
        check(r.result(), times, last=w.n)
    check(stuck.until(lambda e: e.payload == "end"), times, last=w.n)


def listen_killed():
    """The LISTEN backend killed five times under load."""
    killed("application_name = 'pghttpd listen'", 5)


def all_killed():
    """All backends of the server killed three times under load."""
    killed("application_name like 'pghttpd%'", 3)


def restarted():
    """PostgreSQL stopped, away for 6 s, started: streams stay, new ones are held, one gap each."""
    sql = Sql()
    old = [Stream("/listen/away") for _ in range(3)]
    sql("notify away, '1'")
    last = [s.next().id for s in old][0]
    equal(ready(), 200)
    sql.close()
    cluster("cluster_halt")
    began = time.monotonic()
    wait_until(lambda: ready() == 503, 5, "/ready 503")
    held = [Stream("/listen/away"), Stream("/listen/away_too"), Stream("/listen/away", http10=True)]
    resumed = Stream("/listen/away", {"Last-Event-ID": last})
    unknown = Stream("/listen/away", {"Last-Event-ID": "0"})
    for s in held + [unknown]:
        equal((s.status, s.first_id.split("-")[1]), (200, "0"))
    equal(resumed.first_id, last)
    r = urllib.request.Request(os.environ["SERVER_URL"] + "/notify/away", data=b"x", method="POST")
    try:
        urllib.request.urlopen(r, timeout=3)
        raise Bad("a notification was taken though the database is away")
    except urllib.error.HTTPError as e:
        equal(e.code, 503)
        assert int(e.headers["Retry-After"]) >= 1
    for s in held + old:
        s.silent(max(0, 6 - (time.monotonic() - began)) / 6)
    time.sleep(max(0, 6 - (time.monotonic() - began)))
    if min(s.comments for s in held) < 2:
        raise Bad("held streams get no comments")
    cluster("cluster_restart")
    wait_until(listening, 15, "LISTEN again")
    wait_until(lambda: ready() == 200, 15, "/ready 200")
    sql = Sql()
    sql("notify away, '2'")
    sql("notify away_too, '2'")
    for s in old + held + [resumed, unknown]:
        equal(s.next().json, {"reason": "reconnected"})
        equal(s.next().payload, "2")
        s.silent(0.05)


class Proxy(threading.Thread):
    """Passes bytes on, and cuts each connection after so many of them: with RST, FIN, or inside an event."""

    def __init__(self, cuts):
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port, self.cuts = self.listener.getsockname()[1], cuts
        self.start()

    def run(self):
        while True:
            client, _ = self.listener.accept()
            server = socket.create_connection(("127.0.0.1", int(os.environ["SERVER_PORT"])))
            left = random.randrange(600, 4000) if self.cuts > 0 else 1 << 40
            self.cuts -= 1
            while left > 0:
                for s in select.select([client, server], [], [])[0]:
                    data = s.recv(min(left, 700))
                    left = left - len(data) if data else 0
                    try:
                        (server if s is client else client).sendall(data)
                    except OSError:
                        left = 0
            if self.cuts % 2:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            client.close()
            server.close()


def cut():
    """A client that is cut off 25 times and comes back each time sees every event once, in order."""
    proxy, w = Proxy(25), Writer("cut")
    w.lock.acquire()
    start = w.n
    s = Stream("/listen/cut", port=proxy.port)
    w.lock.release()
    got, connections, stopper, last = [], 1, None, s.first_id
    deadline = time.monotonic() + 60
    while not got or got[-1].payload != "end":
        try:
            if time.monotonic() > deadline:
                raise SystemExit("too slow")
            got.append(s.next(5))
            last = s.last_id
        except (Bad, OSError):
            last = s.last_id or last
            s.close()
            try:
                s = Stream("/listen/cut", {"Last-Event-ID": last}, port=proxy.port)
                connections += 1
            except (Bad, OSError):
                continue
        if proxy.cuts < 0 and not stopper:
            stopper = threading.Thread(target=w.stop)
            stopper.start()
    equal(check(got, 0, first=start + 1, last=w.n), 0, "missing")
    if connections < 26:
        raise Bad(f"only {connections} connections")


def two_instances():
    """Two servers on one database: each serves its clients, the ids of one are a clean gap on the other."""
    ports = [int(os.environ["PORT_A"]), int(os.environ["PORT_B"])]
    a, b = (Stream("/listen/pair", port=p) for p in ports)
    sql = Sql()
    for i in range(100):
        sql(f"notify pair, '{i}'")
    last = None
    for s in (a, b):
        for i in range(100):
            e = s.next()
            equal(e.payload, str(i))
        last = e
    moved = Stream("/listen/pair", {"Last-Event-ID": last.id}, port=ports[0])
    equal(moved.next().json, {"reason": "unknown id"})
    sql("notify pair, 'on'")
    for s in (a, b, moved):
        equal(s.next().payload, "on")


def term():
    """SIGTERM: streams end cleanly, chunked or not, also one that does not read; exit within a second or so."""
    streams = [Stream("/listen/term") for _ in range(100)] + [Stream("/listen/term", http10=True)]
    sql = Sql()
    sql("notify term, 'x'")
    [equal(s.next().payload, "x") for s in streams]
    pid, began = int(os.environ["SERVER_PID"]), time.monotonic()
    os.kill(pid, 15)
    for s in streams:
        equal(s.end(3), True, "ended cleanly")
        s.close()
    wait_until(lambda: not os.path.exists(f"/proc/{pid}"), 3, "the end of the process")
    if time.monotonic() - began > 1.5:
        raise Bad(f"it took {time.monotonic() - began:.2f} s")
    wait_until(lambda: sql("select count(*) from pg_stat_activity where application_name like 'pghttpd%'") == os.environ["BEFORE"], 2, "no backend left")


def term_stuck():
    """A client that does not read does not hold up the end."""
    sql = Sql()
    stuck = Stream("/listen/ts", rcvbuf=4096)
    for _ in range(20):
        sql("do $$ begin for i in 1..100 loop perform pg_notify('ts', i || repeat('x', 1000)); end loop; end $$")
    pid, began = int(os.environ["SERVER_PID"]), time.monotonic()
    os.kill(pid, 15)
    wait_until(lambda: not os.path.exists(f"/proc/{pid}"), 4, "the end of the process")
    del stuck, began


def silent_link():
    """A LISTEN connection that answers nothing any more is found and replaced (needs the SIGSTOPped backend's end)."""
    sql = Sql()
    s = Stream("/listen/mute")
    pid = int(sql("select pid from pg_stat_activity where application_name = 'pghttpd listen'"))
    before = losses()
    os.kill(pid, 19)
    try:
        wait_until(lambda: losses() == before + 1, 30, "the loss to be found")
        wait_until(listening, 10, "LISTEN again")
        sql("notify mute, 'x'")
        equal(s.next().json, {"reason": "reconnected"})
        equal(s.next().payload, "x")
    finally:
        os.kill(pid, 18)


main(globals())
