"""pghttpd: started, ended, killed, and what it says of itself. Life is one process; its log is read while it is written.

The log of a life must have, for each answer that a client got, one line with that request's id and status. read_log()
compares and forgets; what is left at the end of a life (but not after SIGKILL, which loses the last turn) is a fault.
"""

import asyncio
import collections
import os
import pathlib
import re
import signal
import time

from cluster import Daemon, Trouble, free_port
from http_client import Cut, Http, Late

LINE = re.compile(rb" route=(\S+) status=(\d+) .* id=\"?(x\d+)\"?")
BAD = re.compile(rb"level=crit|[Aa]ssert|runtime error|Sanitizer|ABORTING")


class Life:
    def __init__(self):
        self.began = time.monotonic()
        self.answers = collections.Counter()  # (route, status) that our clients got
        self.lost = collections.Counter()  # route: requests whose answer no client waited for
        self.told, self.logged = {}, {}  # request id: status, while only one side has said it
        self.logged_total = 0


class Server(Daemon):
    as_ourselves = True

    def __init__(self, folder, binary, settings, violations):
        super().__init__(folder / "pghttpd.log")
        self.folder, self.binary, self.violations = folder, pathlib.Path(binary).resolve(), violations
        self.port, self.admin = free_port(), free_port()
        self.conf = folder / "pghttpd.conf"
        self.settings = {"server-port": self.port, "admin-server-port": self.admin, **settings}
        self.life, self.log_at, self.log_rest = Life(), 0, b""
        self.wanted = self.serving = False  # it should run; it does, and is ready

    def write_conf(self, **changes):
        self.settings.update({k.replace("_", "-"): v for k, v in changes.items()})
        self.conf.write_text("".join(f'{k} = "{v}"\n' for k, v in self.settings.items()))

    def launch_it(self):
        self.life, self.wanted = Life(), True
        options = f"exitcode=99:detect_leaks=1:log_path={self.folder}/sanitizer"
        os.environ.update(ASAN_OPTIONS=options, UBSAN_OPTIONS=f"print_stacktrace=1:halt_on_error=1:{options}")
        self.launch(self.binary, self.conf)

    async def start(self, limit=15):
        self.launch_it()
        end = time.monotonic() + limit
        while await self.admin_status("/ready") != 200:
            if not self.running or time.monotonic() > end:
                raise Trouble(f"pghttpd did not get ready: {self.log.read_text(errors='replace')[-1500:]}")
            await asyncio.sleep(0.05)
        self.serving = True

    def served(self, life):
        """It has served all the time since its life was `life`."""
        return self.serving and self.life is life

    async def admin_get(self, path, limit=3):
        http = Http(self.admin)
        try:
            return await http.ask("GET", path, limit=limit)
        finally:
            http.close()

    async def admin_status(self, path, limit=3):
        """0 where there was no answer."""
        try:
            return (await self.admin_get(path, limit)).status
        except (Cut, Late, ConnectionError):
            return 0

    async def metrics(self):
        """{name{labels}: value}"""
        body = (await self.admin_get("/metrics", 5)).body.decode()
        return {k: float(v) for k, v in (line.rsplit(" ", 1) for line in body.split("\n") if line and line[0] != "#")}

    # ---- ends ----

    async def stop(self):
        """SIGTERM. Running requests have shutdown-timeout (4 s)."""
        self.wanted = self.serving = False
        await self.end(signal.SIGTERM, 10)
        self.judge_end(0)

    async def kill(self):
        self.wanted = self.serving = False
        await self.end(signal.SIGKILL)
        self.read_log()

    def judge_end(self, wanted):
        code = self.process.returncode
        if code != wanted:
            self.violations.add("process", f"pghttpd ended with {code}: {self.log.read_text(errors='replace')[-800:]}")
        self.judge_log()

    def watch(self):
        """Called again and again: it ends only when told to."""
        if self.wanted and not self.running:
            self.wanted = self.serving = False
            self.judge_end("running")
            raise Trouble("pghttpd ended by itself")

    def sanitizer(self):
        for file in self.folder.glob("sanitizer*"):
            text = file.read_text(errors="replace")
            if re.search(r"ERROR|runtime error", text):
                self.violations.add("process", f"sanitizer: {text[:3000]}")

    # ---- the log ----

    def answered(self, route, id, status):
        life = self.life
        life.answers[route, status] += 1
        if id is None:
            self.violations.add("log", f"an answer of {route} has no X-Request-Id")
        else:
            self.settle(id, status, life.told, life.logged)

    def settle(self, id, status, mine, others):
        other = others.pop(id, None)
        if other is None:
            mine[id] = status
        elif other != status:
            self.violations.add("log", f"{id}: answered and logged with {other} and {status}")

    def read_log(self):
        with open(self.log, "rb") as f:
            f.seek(self.log_at)
            data = f.read()
        self.log_at += len(data)
        *lines, self.log_rest = (self.log_rest + data).split(b"\n")
        for line in lines:
            if m := LINE.search(line):
                self.life.logged_total += 1
                self.settle(m[3].decode(), int(m[2]), self.life.logged, self.life.told)
            elif BAD.search(line):
                self.violations.add("process", f"log: {line.decode(errors='replace')[:500]}")

    def judge_log(self):
        """At the end of a life: everything that was answered is logged. (Logged without an answer: clients that left.)"""
        self.read_log()
        if self.life.told:
            id, status = next(iter(self.life.told.items()))
            self.violations.add("log", f"{len(self.life.told)} answers have no line, e.g. {id} ({status})")
        self.life.told.clear()

    def threads(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"Threads:\s+(\d+)", status)[1])
