"""The faults, and the plan that a seed makes of them.

A fault is a coroutine of (Site, random): it breaks something, waits while it is broken, mends it, and returns when all is
as before. FAULTS says in which variants it may come and how often. `away` tells the prober of /ready that PostgreSQL can
not be reached: while it is set /ready must be 503 (after READY_LAG), and 200 again in time after it.
The plan (kind, its own seed, pause before it) depends on the seed and the variant alone, not on how fast anything ran.
"""

import asyncio
import contextlib
import os
import random
import signal
import time

import load
from cluster import Trouble, alive
from http_client import Cut, Http, Late
from model import Fate


class Site:
    """What faults work on. `node` is the primary; `proxies` stand in front of what pghttpd connects to."""

    def __init__(self, run, server, nodes, proxies, bouncer=None):
        self.run, self.server, self.nodes, self.proxies, self.bouncer = run, server, nodes, proxies, bouncer
        self.node = nodes[0]
        self.away_since = None

    @property
    def standby(self):
        return next(n for n in self.nodes if n is not self.node)

    @contextlib.contextmanager
    def unreachable(self):
        """A commit cannot be looked up meanwhile."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.run.unreachable.append((began, time.monotonic()))

    @contextlib.contextmanager
    def away(self):
        """Nor does pghttpd have a connection: /ready must say so."""
        with self.unreachable():
            self.away_since = time.monotonic()
            try:
                yield
            finally:
                self.away_since = None

    async def pids(self, where="true"):
        """Backends of the load."""
        text = await self.node.sql(
            f"select pid from pg_stat_activity where backend_type = 'client backend' and usename in ('authenticator','app1','app2') and {where}"
        )
        return [int(p) for p in text.split()]


# ---- PostgreSQL ----


async def terminate_one(site, r):
    pids = await site.pids()
    if pids:
        await site.node.sql(f"select pg_terminate_backend({r.choice(pids)})")


async def terminate_all(site, _):
    await site.node.sql("select count(pg_terminate_backend(pid)) from pg_stat_activity where usename in ('authenticator','app1','app2')")


async def cancel_active(site, _):
    for _ in range(5):
        pids = await site.pids("state = 'active'")
        if pids:
            await site.node.sql(f"select {', '.join(f'pg_cancel_backend({p})' for p in pids)}")
        await asyncio.sleep(0.1)


async def restart(site, r, how):
    """Down for up to three seconds. pgbouncer keeps its clients meanwhile: pghttpd cannot see it then."""
    node = site.node
    with site.unreachable(), site.away() if not site.bouncer else contextlib.nullcontext():
        await node.end(how)
        await asyncio.sleep(r.uniform(0.2, 3))
        site.away_since = None  # from here on it may be back
        await node.start()


async def restart_fast(site, r):
    await restart(site, r, signal.SIGINT)


async def restart_immediate(site, r):
    await restart(site, r, signal.SIGQUIT)


async def crash(site, r):
    """A backend dies; PostgreSQL ends all the others and recovers."""
    pids = await site.pids()
    if pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(r.choice(pids), signal.SIGKILL)
        with site.unreachable():
            await asyncio.sleep(0.5)
            await reachable(site)


async def reachable(site):
    end = time.monotonic() + 30
    while True:
        try:
            return await site.node.sql("select 1", 5)
        except Trouble:
            if time.monotonic() > end:
                raise
            await asyncio.sleep(0.1)


@contextlib.contextmanager
def frozen(pids):
    """Stopped by SIGSTOP; always let go again."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            if alive(pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)


async def freeze_some(site, r):
    pids = await site.pids()
    with frozen(r.sample(pids, min(len(pids), r.randint(1, 4)))):
        await asyncio.sleep(r.uniform(0.5, 6))


async def freeze_all(site, r):
    """No backend runs and none can be made."""
    with site.unreachable(), frozen([site.node.process.pid, *await site.pids()]):
        await asyncio.sleep(r.uniform(0.5, 3))


async def exhaust(site, r):
    """All connections are taken while pghttpd loses its own."""
    fillers, began = [], time.monotonic()
    try:
        for _ in range(60):
            fillers.append(await fill(site.node))
        await terminate_all(site, r)
        for _ in range(20):
            fillers.append(await fill(site.node))
        await asyncio.sleep(r.uniform(0.5, 2))
    finally:
        for writer in fillers:
            writer.transport.abort()
        site.run.unreachable.append((began, time.monotonic()))


async def fill(node):
    """One session of the role filler (trusted on the unix socket), or a try."""
    _, writer = await asyncio.open_unix_connection(f"{node.folder}/.s.PGSQL.{node.port}")
    body = b"\0\3\0\0user\0filler\0database\0postgres\0\0"
    writer.write((len(body) + 4).to_bytes(4, "big") + body)
    return writer


async def ddl(site, r):
    """A migration of tables in use, told by NOTIFY pgrst. May lose to the load's locks."""
    n = r.getrandbits(32)
    with contextlib.suppress(Trouble):
        await site.node.sql(
            f"set lock_timeout = '2s'; begin; alter table writes add column c{n} int default {n % 100}; "
            f"alter table notes add column c{n} text; alter table kv add column c{n} int; "
            f"create table m{n} (id int primary key); grant select on m{n} to alice; notify pgrst, 'reload schema'; commit"
        )
    await asyncio.sleep(0.5)
    with contextlib.suppress(Trouble):
        await site.node.sql(
            f"set lock_timeout = '2s'; begin; alter table writes drop column if exists c{n}; alter table notes drop column if exists c{n}; "
            f"alter table kv drop column if exists c{n}; drop table if exists m{n}; notify pgrst, 'reload schema'; commit"
        )


async def reload_catalog(site, r):
    for _ in range(r.randint(2, 6)):
        await site.node.sql("notify pgrst, 'reload schema'")
        site.server.signal(signal.SIGUSR1)
        await asyncio.sleep(0.1)


async def lock(site, r):
    """An exclusive lock on what everybody writes, sometimes for longer than requests may take."""
    table, seconds = r.choice(["writes", "notes", "accounts", "kv"]), r.uniform(0.3, 6)
    await site.node.sql(f"begin; lock table {table} in access exclusive mode; select pg_sleep({seconds}); commit", 60)


async def burst(site, r):
    """One transaction with so many events that slow readers must lose some."""
    p = site.run.model.publisher(f"p{next(site.run.names)}", r.choice(load.CHANNELS[:2]))
    p.issued = n = r.randint(500, 3000)
    writer = load.Writer(site.run, "app1", p.name)
    tags = [f"{p.name}:{i}" for i in range(1, n + 1)]
    for tag in tags:
        site.run.model.sent(tag)
    query = "insert into writes (tag, channel) select $1 || ':' || g, $2 from generate_series(1, $3::int) g"
    _, fate = await writer.ask("POST", "/sql", {"query": query, "params": [p.name, p.channel, str(n)]})
    for tag in tags:
        site.run.model.told(tag, fate, site.run.fault)
    writer.http.close()


# ---- the network ----


async def delay(site, r):
    for p in site.proxies:
        p.delay = r.uniform(0.01, 0.15)
    await asyncio.sleep(r.uniform(1, 3))
    for p in site.proxies:
        p.delay = 0.0


async def throttle(site, r):
    for p in site.proxies:
        p.throttle = r.choice([5000, 50000])
    with site.unreachable():  # a login may take longer than a request
        await asyncio.sleep(r.uniform(1, 3))
    for p in site.proxies:
        p.throttle = 0


async def cut(site, r):
    for p in site.proxies:
        p.cut_all(r.random() < 0.5)


async def cut_in_message(site, r):
    """Each connection ends after some bytes more from PostgreSQL, most of them within a message."""
    for _ in range(4):
        for p in site.proxies:
            for link in p.links:
                link.cut_after = r.randint(0, 300)
        await asyncio.sleep(0.2)


async def silence(site, r):
    """Nothing passes; then everything goes on."""
    for p in site.proxies:
        p.open.clear()
    with site.unreachable():
        await asyncio.sleep(r.uniform(0.3, 6))
    for p in site.proxies:
        p.open.set()


async def half_open(site, r):
    """The connections there are swallow everything for ever; new ones are good."""
    for p in site.proxies:
        for link in p.links:
            link.dead = True
    await asyncio.sleep(r.uniform(0, 1))


async def refuse(site, r):
    with site.away():
        for p in site.proxies:
            await p.refuse()
            p.cut_all(False)
        await asyncio.sleep(r.uniform(0.2, 3))
    for p in site.proxies:
        await p.listen()


# ---- clients ----


async def vanish(site, r):
    """Clients that leave while their write runs, or in the middle of an upload."""
    writes = [vanish_one(site, r.uniform(0, 0.03)) for _ in range(30)]
    uploads = [vanish_upload(site, r.uniform(0, 0.1)) for _ in range(5)]
    await asyncio.gather(*writes, *uploads)


async def vanish_one(site, wait):
    run, tag = site.run, f"v{next(site.run.tags)}:1"
    http = Http(run.port)
    run.model.sent(tag)
    site.server.life.lost["sql"] += 1
    body = b'{"query":"insert into writes (tag) values ($1)","params":["%s"]}' % tag.encode()
    with contextlib.suppress(Cut, ConnectionError):
        await http.send("POST", "/sql", {"Authorization": load.basic("app1"), "X-Request-Id": "gone"}, body)
        await asyncio.sleep(wait)
    http.close()
    run.model.told(tag, Fate.LEFT)


async def vanish_upload(site, wait):
    """Half of a COPY is nothing."""
    run, tag = site.run, f"v{next(site.run.tags)}:1"
    http = Http(run.port)
    run.model.sent(tag, 1000)
    site.server.life.lost["copy"] += 1
    rows = "".join(f"{tag}\t{i}\n" for i in range(1, 501)).encode()
    headers = {"Authorization": load.basic("app1"), "X-Request-Id": "gone", "Content-Length": 2 * len(rows)}
    with contextlib.suppress(Cut, ConnectionError):
        await http.send("POST", "/copy?query=copy%20writes%20(tag,n)%20from%20stdin", headers, None)
        http.writer.write(rows)
        await asyncio.sleep(wait)
    http.close()
    run.model.told(tag, Fate.NO)


async def slow_readers(site, r):
    """Clients that read a big result slowly and then leave."""
    await asyncio.gather(*(slow_reader(site, r.uniform(1, 4)) for _ in range(6)))


async def slow_reader(site, seconds):
    http, end = Http(site.run.port), time.monotonic() + seconds
    site.server.life.lost["sql"] += 1
    body = b'{"query":"select g, repeat(\'x\', 100) from generate_series(1, 300000) g"}'
    headers = {"Authorization": load.basic("app2"), "X-Request-Id": "slow", "Accept": "application/x-ndjson"}
    with contextlib.suppress(Cut, ConnectionError):
        await http.send("POST", "/sql", headers, body)
        while time.monotonic() < end and await http.reader.read(2000):
            await asyncio.sleep(0.05)
    http.close()


async def slow_senders(site, r):
    """Clients that send a write a few bytes at a time; half of them never finish."""
    await asyncio.gather(*(slow_sender(site, n % 2 == 0, r.randint(5, 40)) for n in range(10)))


async def slow_sender(site, whole, piece):
    run, tag = site.run, f"v{next(site.run.tags)}:1"
    http = Http(run.port)
    body = b'{"query":"insert into writes (tag) values ($1)","params":["%s"]}' % tag.encode()
    run.model.sent(tag)
    site.server.life.lost["sql"] += 1
    sent = body if whole else body[:-5]
    with contextlib.suppress(Cut, Late, ConnectionError):
        await http.send("POST", "/sql", {"Authorization": load.basic("app2"), "X-Request-Id": "slow", "Content-Length": len(body)}, None)
        for at in range(0, len(sent), piece):
            http.writer.write(sent[at : at + piece])
            await asyncio.sleep(0.1)
        if whole:
            async with asyncio.timeout(1):
                await http.read()
    http.close()
    run.model.told(tag, Fate.LEFT)


# ---- pghttpd ----


async def hup(site, r):
    site.server.write_conf(db_pipeline_depth=r.choice([1, 4, 16]), listen_heartbeat=r.choice(["5s", "15s"]))
    site.server.signal(signal.SIGHUP)
    await asyncio.sleep(0.2)


async def term(site, r):
    await site.server.stop()
    await asyncio.sleep(r.uniform(0, 0.5))
    await site.server.start()


async def kill(site, r):
    await site.server.kill()
    await asyncio.sleep(r.uniform(0, 0.5))
    await site.server.start()


async def freeze_pghttpd(site, r):
    began = time.monotonic()
    with frozen([site.server.process.pid]):
        await asyncio.sleep(r.uniform(0.3, 2))
    site.run.stalled += time.monotonic() - began


# ---- the variants' own ----


async def bouncer_restart(site, r):
    with site.away():
        await site.bouncer.end(r.choice([signal.SIGKILL, signal.SIGTERM]))
        await asyncio.sleep(r.uniform(0.2, 2))
    await site.bouncer.start()


async def bouncer_freeze(site, r):
    with site.unreachable(), frozen([site.bouncer.process.pid]):
        await asyncio.sleep(r.uniform(0.3, 3))


async def standby_away(site, r):
    """Commits wait for a standby that is not there; cancelled or terminated, they are committed all the same."""
    await site.standby.end(r.choice([signal.SIGINT, signal.SIGQUIT]))
    await asyncio.sleep(r.uniform(0.3, 1))
    meanwhile = r.choice([None, None, terminate_all, cancel_active])
    if meanwhile:
        await meanwhile(site, r)
    await asyncio.sleep(r.uniform(0, 5))
    await site.standby.start()


async def standby_freeze(site, r):
    with frozen([site.standby.process.pid, *site.standby.backends()]):
        await asyncio.sleep(r.uniform(0.5, 3))


async def fail_over(site, r):
    """The primary dies at once; the synchronous standby is promoted; the old primary comes back as its standby."""
    old, new, began = site.node, site.standby, time.monotonic()
    with site.away():
        await site.proxies[site.nodes.index(old)].refuse()  # as the port of a machine that lives would
        await old.end(signal.SIGQUIT)
        await asyncio.sleep(r.uniform(0, 1))
    site.node = new
    await new.sql("alter system set synchronous_standby_names = ''")
    await new.sql("select pg_reload_conf(), pg_promote()", 70)
    # numbers of the old timeline mean nothing on the new one: none of these commits can be looked up
    site.run.unreachable.append((began, time.monotonic() + load.STATEMENT_TIMEOUT))


async def rejoin(site, _):
    """After a fail-over: the old primary is made anew, and commits wait for it again."""
    standby = site.standby
    if not standby.running:
        await standby.clone(site.node)
        await site.proxies[site.nodes.index(standby)].listen()
        await synchronous(site.node, standby)


async def synchronous(primary, standby):
    await primary.sql(f"alter system set synchronous_standby_names = '{standby.name}'")
    await primary.sql("select pg_reload_conf()")
    end = time.monotonic() + 30
    while await primary.sql("select count(*) from pg_stat_replication where sync_state = 'sync'") != "1":
        if time.monotonic() > end:
            raise Trouble("the standby does not become synchronous")
        await asyncio.sleep(0.1)


class Kind:
    """A fault; `only` in one variant; `limit`: seconds until all is served again after it."""

    def __init__(self, run, weight=2, only=None, limit=6.0):
        self.run, self.weight, self.only, self.limit = run, weight, only, limit
        self.name = run.__name__.replace("_", " ")


# Reconnecting backs off up to 10 s. A half-open connection is found at a request's deadline, LISTEN's by a question every
# 15 s that is waited for 5 s.
FAULTS = [
    Kind(terminate_one), Kind(terminate_all), Kind(cancel_active), Kind(restart_fast), Kind(restart_immediate), Kind(crash),
    Kind(freeze_some), Kind(freeze_all), Kind(exhaust), Kind(ddl), Kind(reload_catalog), Kind(lock), Kind(burst),
    Kind(delay), Kind(throttle), Kind(cut), Kind(cut_in_message), Kind(silence), Kind(half_open, limit=25.0), Kind(refuse),
    Kind(vanish), Kind(slow_readers), Kind(slow_senders), Kind(hup), Kind(term, 1), Kind(kill, 1), Kind(freeze_pghttpd, 1),
    Kind(bouncer_restart, 6, "pgbouncer"), Kind(bouncer_freeze, 3, "pgbouncer"),
    Kind(standby_away, 8, "sync"), Kind(standby_freeze, 4, "sync"), Kind(fail_over, 6, "failover", limit=12.0),
]  # fmt: skip
# A fail-over takes its connections with it; what else ends PostgreSQL would leave no one to promote.
ENDS_POSTGRES = {"restart fast", "restart immediate", "crash"}


def kinds_of(variant):
    kinds = [k for k in FAULTS if k.only in (None, variant)]
    return [k for k in kinds if variant != "failover" or k.name not in ENDS_POSTGRES]


def plan(seed, variant, only=None):
    """Endless: (Kind, seed of the fault, pause before it). First every kind once, the variant's own before the others;
    then by weight."""
    r = random.Random(f"{seed}/{variant}")
    kinds = [k for k in kinds_of(variant) if not only or k.name in only]
    first = sorted(r.sample(kinds, len(kinds)), key=lambda k: k.only is not None)  # taken from the end
    while True:
        kind = first.pop() if first else r.choices(kinds, [k.weight for k in kinds])[0]
        yield kind, r.getrandbits(32), r.uniform(0.5, 1.5)
