#!/usr/bin/env python3
"""make chaos: load on every endpoint while faults come, and a model that says whether all of it was right.

    chaos.py [--seconds 1800] [--seed N] [--variant direct|pgbouncer|sync|failover|all] [--binary PATH]
             [--only "FAULT,..."] [--plan N] [--commit-lookup VALUE] [--keep]

direct: pghttpd, a proxy of ours, PostgreSQL. pgbouncer: one in transaction mode between proxy and PostgreSQL (LISTEN goes
past it). sync: commits wait for a standby. failover: two hosts in db-uri, the synchronous standby is promoted again and
again. all: each of them for its part of the time. A seed makes the same plan of faults again; --plan prints its beginning.
The last line is `N passed, M failed`.
"""

import argparse
import asyncio
import collections
import contextlib
import itertools
import pathlib
import random
import shutil
import signal
import sys
import tempfile
import time

import faults
import report
from cluster import PASSWORD, Bouncer, Node, Trouble, free_port, own
from load import SECRET, Load, Run
from model import Model, Violations
from proxy import Proxy
from server import Server

TOP = pathlib.Path(__file__).resolve().parents[2]
VARIANTS = ("direct", "pgbouncer", "sync", "failover")
SHARES = (0.4, 0.2, 0.2, 0.2)  # of --variant all
WARM_UP = 4.0
READY_LAG = 1.5  # /ready may be this late


class Setup:
    """All processes of a run; leaves none behind."""

    def __init__(self, args, variant, violations):
        self.args, self.variant, self.violations = args, variant, violations
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="pghttpd-chaos."))
        self.folder.chmod(0o755)
        own(self.folder)
        self.nodes, self.proxies, self.bouncer, self.server = [], [], None, None

    async def start(self):
        node = Node(self.folder, "one")
        self.nodes.append(node)
        await asyncio.to_thread(node.init)
        await node.start()
        await node.script(pathlib.Path(__file__).with_name("schema.sql"))
        if self.variant in ("sync", "failover"):
            self.nodes.append(Node(self.folder, "two"))
            await self.nodes[1].clone(node)
            await faults.synchronous(node, self.nodes[1])
        targets = [n.port for n in self.nodes[: 2 if self.variant == "failover" else 1]]
        if self.variant == "pgbouncer":
            self.bouncer = Bouncer(self.folder, node.port)
            self.bouncer.write()
            await self.bouncer.start()
            targets = [self.bouncer.port, node.port]  # the second is for LISTEN
        for target in targets:
            self.proxies.append(Proxy(free_port(), target))
            await self.proxies[-1].listen()
        self.server = Server(self.folder, self.args.binary, self.settings(), self.violations)
        self.server.write_conf()
        await self.server.start()

    def uri(self, proxies, more=""):
        hosts = ",".join(f"127.0.0.1:{p.port}" for p in proxies)
        return f"postgresql://authenticator:{PASSWORD}@{hosts}/postgres?sslmode=disable&gssencmode=disable{more}"

    def settings(self):
        settings = {
            "db-uri": self.uri(self.proxies[:1]), "db-pool": 8, "db-pool-acquisition-timeout": "3s", "statement-timeout": "4s",
            "db-connect-timeout": "3s", "db-connections-max": 30, "shutdown-timeout": "4s", "jwt-secret": SECRET,
            "sql-access": "login", "listen-access": "open", "notify-access": "open", "log-level": "warn", "workers": self.args.workers,
            "login-attempts-max": 1000, "listen-buffer-max": 4096, "server-connections-max": 500,
        }  # fmt: skip
        if self.variant == "failover":
            settings["db-uri"] = self.uri(self.proxies, "&target_session_attrs=read-write")
        if self.variant == "pgbouncer":
            settings |= {"listen-uri": self.uri(self.proxies[1:]), "db-prepared-statements": "false"}
        if self.args.commit_lookup:
            settings["commit-lookup"] = self.args.commit_lookup
        return settings

    async def stop(self):
        if self.server and self.server.running:
            await self.server.stop()
        if self.server:
            self.server.sanitizer()
        for proxy in self.proxies:
            await proxy.stop()
        if self.bouncer:
            await self.bouncer.end(signal.SIGKILL)
        for node in self.nodes:
            await node.end(signal.SIGINT)
        if not self.args.keep:
            shutil.rmtree(self.folder, ignore_errors=True)


class Prober:
    """Asks /ready and /live all the time and compares with what is so."""

    def __init__(self, site):
        self.site, self.ready, self.ready_at = site, False, 0.0

    async def loop(self):
        while True:
            asked, stalled, life = time.monotonic(), self.site.run.stalled, self.site.server.life
            status = await self.site.server.admin_status("/ready")
            self.judge(asked, status, life, self.site.run.stalled - stalled)
            await asyncio.sleep(0.1)

    def judge(self, asked, status, life, stalled):
        server, away, now = self.site.server, self.site.away_since, time.monotonic()
        if status == 200 and not self.ready:
            self.ready_at = now
        self.ready = status == 200
        if away and asked - away > READY_LAG and status == 200:
            self.site.run.violations.add("ready", f"/ready is 200 {asked - away:.1f} s after PostgreSQL went away")
        took = now - asked - stalled
        if server.served(life) and (status == 0 or took > 2) and self.site.run.fault != "freeze pghttpd":
            self.site.run.violations.add("ready", f"/ready: status {status} after {took:.1f} s, during {self.site.run.fault}")


class Chaos:
    def __init__(self, args, variant, violations, setup=None):
        self.args, self.variant, self.violations = args, variant, violations
        self.setup = setup or Setup(args, variant, violations)
        self.later = {}  # tag: what GET /sql/outcome said
        self.count, self.recoveries = collections.Counter(), collections.defaultdict(list)

    async def run(self, seconds):
        try:
            await self.setup.start()
            await self.work(seconds)
        except Trouble as e:
            self.violations.add("harness", str(e))
        finally:
            await self.setup.stop()

    async def work(self, seconds):
        s = self.setup
        self.run_ = Run(Model(self.violations), s.server, s.server.port, self.variant, self.args.seed, self.args.think)
        self.site = faults.Site(self.run_, s.server, s.nodes, s.proxies, s.bouncer)
        self.load, self.prober = Load(self.run_), Prober(self.site)
        self.load.start()
        tasks = [asyncio.create_task(self.prober.loop()), asyncio.create_task(self.watch())]
        began = time.monotonic()
        try:
            await asyncio.sleep(WARM_UP)
            before = await self.baseline()
            await self.faults(began + seconds)
            self.seconds = time.monotonic() - began
            await self.finish(before)
        finally:
            for t in tasks:
                t.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.load.stop()
        await self.compare()
        report.figures(self.run_, self.count, self.seconds)
        if self.args.verbose:
            report.answers(self.run_)
        report.recovery(self.recoveries)

    async def watch(self):
        while True:
            self.setup.server.watch()
            self.setup.server.read_log()
            self.load.check()
            await asyncio.sleep(0.2)

    # ---- faults ----

    async def faults(self, end):
        only = self.args.only.split(",") if self.args.only else None
        for kind, seed, pause in faults.plan(self.args.seed, self.variant, only):
            await asyncio.sleep(pause)
            if time.monotonic() > end:
                return
            await self.fault(kind, seed)

    async def fault(self, kind, seed):
        run = self.run_
        began = time.monotonic()
        run.fault, run.mark = kind.name, float("inf")
        await kind.run(self.site, random.Random(seed))
        lifted = time.monotonic()
        self.count[kind.name] += 1
        times = await self.recover(kind, lifted)
        self.recoveries[kind.name].append(times)
        if self.args.verbose:
            shown = " ".join(f"{k} {v:.2f}" if v is not None else f"{k} -" for k, v in times.items())
            print(f"{began - self.load_began:7.1f} {kind.name:18} {lifted - began:5.1f} s  {shown}", flush=True)
        run.fault = "-"
        if kind.name == "fail over":
            await faults.rejoin(self.site, None)

    async def recover(self, kind, lifted):
        """Seconds until a write of each login, and one of REST, sent after the end of the fault succeeded, /ready is 200, and
        an event came on each stream."""
        run, times = self.run_, dict.fromkeys(report.RECOVERY)
        run.first_good, run.mark, limit = {}, lifted, kind.limit
        while None in times.values() and time.monotonic() < lifted + limit:
            await asyncio.sleep(0.02)
            now = time.monotonic() - lifted
            for what in ("app1", "app2", "rest"):
                if times[what] is None and what in run.first_good:
                    times[what] = run.first_good[what] - lifted
            if times["ready"] is None and self.prober.ready:
                times["ready"] = max(0.0, self.prober.ready_at - lifted)
            if times["event"] is None and all(x.reader.last_event_at > lifted for x in self.load.listeners if not x.naps):
                times["event"] = now
        missing = [k for k, v in times.items() if v is None]
        if missing:
            self.violations.add("recovery", f"{kind.name}: no {', '.join(missing)} {limit:.0f} s after it")
        return times

    # ---- before and after ----

    async def settle(self):
        """Quiet: the load pauses, what ran is over."""
        await self.load.quiet()
        await asyncio.sleep(1.0)

    async def baseline(self):
        await self.settle()
        figures = await self.figures()
        self.load.go_on()
        self.load_began = time.monotonic()
        return figures

    async def figures(self):
        metrics = await self.setup.server.metrics()

        def total(name):
            return sum(v for k, v in metrics.items() if k.split("{")[0] == name)

        size = int(total("pghttpd_db_pool_size"))
        return {
            "rss_kb": int(total("process_resident_memory_bytes")) // 1024, "threads": self.setup.server.threads(),
            "fds": int(total("process_open_fds")) - size, "pool": size,
            "busy": int(total("pghttpd_db_pool_busy")), "waiting": int(total("pghttpd_db_pool_waiting")),
            "connecting": int(total("pghttpd_db_pool_connecting")), "in flight": int(total("pghttpd_http_requests_in_flight")),
            "streams": int(total("pghttpd_streams")), "request memory": int(total("pghttpd_http_request_memory_bytes")),
            "response memory": int(total("pghttpd_http_response_memory_bytes")),
        }  # fmt: skip

    async def finish(self, before):
        await self.settle()
        await self.last_events()
        await self.leaks(before)
        await self.metrics_add_up()
        await self.ask_doubts()

    async def last_events(self):
        """All streams stand and have what was published."""
        for _ in range(2):
            self.load.go_on()
            await asyncio.sleep(1.0)
            await self.settle()
        await self.drained(10)

    async def drained(self, seconds):
        """Until the streams have all that was issued; what is missing then will not come."""
        end = time.monotonic() + seconds
        issued = self.run_.model.issued()
        while time.monotonic() < end and not all(self.has_all(r, issued) for r in self.run_.model.readers):
            await asyncio.sleep(0.1)
        for reader in self.run_.model.readers:
            reader.close()

    def has_all(self, reader, issued):
        model = self.run_.model
        return all(
            max(reader.seen.get(n, 0), reader.floor.get(n, 0)) >= i
            for n, i in issued.items()
            if model.publishers[n].channel in reader.channels
        )

    async def leaks(self, before):
        end = time.monotonic() + 15
        while wrong := await self.leaked(before):
            if time.monotonic() > end:
                break
            await asyncio.sleep(0.3)
        for words in wrong:
            self.violations.add("leak", words)
        self.after = await self.figures()
        print(f"before {before}\nafter  {self.after}")

    async def leaked(self, before):
        now = await self.figures()
        zero = ("busy", "waiting", "connecting", "in flight", "request memory", "response memory")
        wrong = [f"{k} is {now[k]}" for k in zero if now[k]]
        wrong += [f"{k}: {before[k]} before, {now[k]} after" for k in ("threads", "streams") if now[k] != before[k]]
        if now["fds"] > before["fds"] + 2:
            wrong.append(f"descriptors without the pool: {before['fds']} before, {now['fds']} after")
        if now["rss_kb"] > before["rss_kb"] * 1.5 + 24000 and "asan" not in str(self.args.binary):
            wrong.append(f"memory: {before['rss_kb']} KB before, {now['rss_kb']} KB after")
        if self.variant != "pgbouncer":
            backends = len(await self.site.pids())
            if backends > now["pool"] + 1:  # and LISTEN's
                wrong.append(f"{backends} backends, {now['pool']} connections in the pools")
        return wrong

    async def metrics_add_up(self):
        """Each answer that a client of this life got is counted once; more only where clients left."""
        life, metrics = self.setup.server.life, await self.setup.server.metrics()
        counted = collections.Counter()
        for key, value in metrics.items():
            if key.startswith("pghttpd_http_requests_total{"):
                labels = dict(part.split("=") for part in key[key.index("{") + 1 : -1].replace('"', "").split(","))
                counted[labels["route"], int(labels["status"])] = int(value)
        for (route, status), n in life.answers.items():
            more = counted[route, status] - n
            if not 0 <= more <= life.lost[route]:
                self.violations.add("metrics", f"{route} {status}: {n} answers, {counted[route, status]} counted, {life.lost[route]} clients left")

    async def ask_doubts(self):
        """What is said later of writes whose outcome was unknown; compare() knows what is so."""
        for doubt in self.run_.doubts:
            if doubt.in_time and self.args.commit_lookup == "all":
                self.violations.add("unknown", f"{doubt.tag} {doubt.path}, during {doubt.fault}: {doubt.answer}")
            if doubt.name and doubt.client.who in ("app1", "app2"):
                self.later[doubt.tag] = await doubt.ask()
                doubt.client.http.close()

    def compare_doubts(self, found):
        for tag, outcome in self.later.items():
            if {"committed": False, "aborted": True, "unknown": None}.get(outcome, "?") not in (tag not in found, None):
                self.violations.add("unknown", f"{tag}: asked later it is {outcome}, and it is {'' if tag in found else 'not '}there")

    async def compare(self):
        text = await self.site.node.sql(
            "select tag || ' ' || count(*) from (select tag from writes union all select tag from notes) w group by tag", 120
        )
        found = {tag: int(n) for tag, n in (line.split(" ") for line in text.split("\n") if line)}
        model = self.run_.model
        model.compare(found)
        model.compare_events(found)
        self.compare_doubts(found)
        total = await self.site.node.sql("select sum(balance) from accounts")
        if total != "20000":
            self.violations.add("sum", f"the sum of accounts is {total}")


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--seconds", type=float, default=1800)
    p.add_argument("--seed", default=None)
    p.add_argument("--variant", choices=(*VARIANTS, "all"), default="direct")
    p.add_argument("--binary", default=str(TOP / "build/release/pghttpd"))
    p.add_argument("--workers", type=int, default=1)
    p.add_argument("--think", type=float, default=0.04, help="seconds a client thinks between requests")
    p.add_argument("--only", help="these faults alone, by name")
    p.add_argument("--plan", type=int, default=0, help="print so many faults of the plan and end")
    p.add_argument("--commit-lookup", help="value of the setting of that name")
    p.add_argument("--keep", action="store_true", help="leave logs and data")
    p.add_argument("--verbose", action="store_true", help="a line for each fault")
    args = p.parse_args()
    args.seed = args.seed or str(random.SystemRandom().randrange(10**6))
    return args


def print_plan(args, variant):
    for kind, seed, pause in itertools.islice(faults.plan(args.seed, variant, args.only and args.only.split(",")), args.plan):
        print(f"{variant}: {pause:.2f} s, then {kind.name} ({seed})")


async def main(args):
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    passed = failed = 0
    parts = zip(VARIANTS, SHARES) if args.variant == "all" else [(args.variant, 1.0)]
    for variant, share in parts:
        print(f"==== {variant}, seed {args.seed}, {args.seconds * share:.0f} s, {args.binary}", flush=True)
        violations = Violations()
        await Chaos(args, variant, violations).run(args.seconds * share)
        p, f = report.checks(violations)
        passed, failed = passed + p, failed + f
        sys.stdout.flush()
    report.total(passed, failed)
    return failed == 0


if __name__ == "__main__":
    arguments_ = arguments()
    if arguments_.plan:
        for one in VARIANTS if arguments_.variant == "all" else [arguments_.variant]:
            print_plan(arguments_, one)
    else:
        with contextlib.suppress(asyncio.CancelledError):
            sys.exit(0 if asyncio.run(main(arguments_)) else 1)
        sys.exit(130)
