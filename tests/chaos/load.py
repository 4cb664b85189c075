"""The load: clients of every endpoint, each a task that asks, checks the answer, tells the model, thinks, and asks again.

`Run` is what they share. tests/bench measures how fast; this measures whether it is right, so the rate is modest.
"""

import asyncio
import base64
import collections
import contextlib
import hashlib
import hmac
import itertools
import json
import random
import re
import time
import urllib.parse

from cluster import PASSWORD
from http_client import Cut, EventStream, Http, Late
from model import Fate, Reader

SECRET = "a chaos secret of more than 32 characters"
CHANNELS = ("chaos_a", "chaos_b", "chaos_n")  # of writes, of writes, of /notify
STATEMENT_TIMEOUT = 4.0
# A request's own time, half a second to learn what a cancelled write did, and what a busy machine may add.
LIMIT = STATEMENT_TIMEOUT + 0.5 + 2.5
ACCOUNTS, TOTAL = 20, 20000


class Run:
    """One run. `fault` names what is at work, "-" when nothing is; `stalled` is the time that pghttpd (stopped by us) or
    this process could not do its work, so far: limits are longer by what of it falls into them."""

    def __init__(self, model, server, port, variant, seed, think=0.04):
        self.model, self.violations, self.server, self.variant = model, model.violations, server, variant
        self.port, self.seed, self.think = port, seed, think
        self.fault, self.stalled, self.stopping = "-", 0.0, asyncio.Event()
        self.paused, self.patience = False, 8.0  # with a request that is over its limit, to see how long it takes
        self.ids, self.tags, self.names = itertools.count(1), itertools.count(1), itertools.count(1)
        self.requests = 0
        self.doubts, self.unreachable = [], []  # Doubts; (from, to) of times without PostgreSQL
        self.first_good = {}  # login, or "rest": time of the first success since the mark
        self.mark = float("inf")
        self.failed = collections.Counter()  # (fault, route, status, code) of answers of 5xx and of 57014

    def good(self, who, sent_at):
        """For recovery: the first success of a request sent after the fault was lifted."""
        if sent_at >= self.mark:
            self.first_good.setdefault(who, time.monotonic())

    async def watch_stalls(self):
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.05)
            self.stalled += max(0.0, time.monotonic() - before - 0.1)


def token(role, nonce):
    def part(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=")

    claims = {"role": role, "sub": role, "nonce": nonce}
    text = part(b'{"alg":"HS256"}') + b"." + part(json.dumps(claims).encode())
    return (text + b"." + part(hmac.digest(SECRET.encode(), text, hashlib.sha256))).decode()


def basic(user):
    return "Basic " + base64.b64encode(f"{user}:{PASSWORD}".encode()).decode()


def fate_of(answer):
    if answer.status < 300:
        return Fate.OK
    return Fate.UNKNOWN if answer.status == 500 and answer.code == "08007" else Fate.NO


class Doubt:
    """A write whose answer was 08007. name: of its transaction, by which GET /sql/outcome tells more later."""

    def __init__(self, tag, client, path, sent_at, answer):
        self.tag, self.client, self.path, self.sent_at, self.fault = tag, client, path, sent_at, client.run.fault
        self.answer = answer
        found = re.search(r"GET /sql/outcome/(\S+) ", answer.json.get("hint") or "")
        self.name = found and found[1]

    @property
    def in_time(self):
        """PostgreSQL could be reached in the last second of the request's time, and commits of this kind are looked up."""
        end = self.sent_at + STATEMENT_TIMEOUT
        away = any(a < end and b > end - 1 for a, b in self.client.run.unreachable)
        return not away and not self.path.startswith("/copy")

    async def ask(self):
        """What pghttpd says now: (committed, aborted, in progress, unknown)."""
        answer, _ = await self.client.ask("GET", f"/sql/outcome/{self.name}")
        return answer.json["outcome"] if answer and answer.status == 200 else str(answer)


class Client:
    """One caller: a login of /sql, or a role of /rest. once() is one round."""

    pace = 1.0  # think times are longer by this

    def __init__(self, run, who, number=0):
        self.run, self.who, self.http = run, who, Http(run.port)
        self.random = random.Random(f"{run.seed}/{type(self).__name__}/{who}/{number}")
        self.name = f"{type(self).__name__}({who})"

    def headers(self, nonce="-"):
        if self.who in ("alice", "bob"):
            return {"Authorization": "Bearer " + token(self.who, nonce), "Content-Type": "application/json"}
        return {"Authorization": basic(self.who)} if self.who else {}

    async def ask(self, method, path, body=None, headers=None):
        """(answer or None, fate). None: the fate says why."""
        run, server = self.run, self.run.server
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        route, sent_at, stalled, life = path.lstrip("/").split("/")[0].split("?")[0], time.monotonic(), run.stalled, server.life
        headers = {**self.headers(), "X-Request-Id": f"x{next(run.ids)}", **(headers or {})}
        run.requests += 1
        try:
            answer = await self.http.ask(method, path, headers, body, LIMIT + run.patience)
        except ConnectionRefusedError as e:
            self.unserved(life, f"{method} {path}: {e}")
            return None, Fate.NO
        except (Cut, Late) as e:
            life.lost[route] += 1
            self.unserved(life, f"{method} {path}: {e}", "late" if isinstance(e, Late) else "no answer")
            return None, Fate.CUT
        took, allowed = time.monotonic() - sent_at, LIMIT + run.stalled - stalled
        if took > allowed:
            run.violations.add("late", f"{method} {path[:80]}: {took:.1f} s (limit {allowed:.1f}), {answer}, during {run.fault}")
        server.answered(route, answer.id, answer.status)
        fate = fate_of(answer)
        if answer.status >= 500 or answer.status == 400 and answer.code == "57014":
            run.failed[run.fault, route, answer.status, answer.code] += 1
        if fate is Fate.OK and not (answer.id or "").startswith("x"):
            run.violations.add("wrong", f"{method} {path}: X-Request-Id {answer.id}")
        return answer, fate

    def unserved(self, life, words, check="no answer"):
        """No answer is right only where pghttpd was ended by us meanwhile (or is not back yet)."""
        if self.run.server.served(life):
            self.run.violations.add(check, f"{self.name}: {words}, during {self.run.fault}")

    def wrong(self, words, check="wrong"):
        self.run.violations.add(check, f"{self.name}: {words}, during {self.run.fault}")

    async def once(self):
        raise NotImplementedError

    async def loop(self):
        run = self.run
        while not run.stopping.is_set():
            if run.paused:
                self.http.close()
                await asyncio.sleep(0.05)
                continue
            await self.once()
            pause = run.think * self.pace * self.random.uniform(0.3, 1.7)
            await asyncio.sleep(pause if run.server.wanted else pause + 0.1)
        self.http.close()


class Writer(Client):
    """A client whose writes have tags. With a channel it is a publisher (model.py)."""

    channel = None

    def __init__(self, run, who, number=0, channel=None):
        super().__init__(run, who, number)
        self.channel, self.publisher = channel or self.channel, None

    def tag(self):
        if not self.channel:
            return f"w{next(self.run.tags)}:1"
        if not self.publisher:
            self.publisher = self.run.model.publisher(f"p{next(self.run.names)}", self.channel)
        self.publisher.issued += 1
        return f"{self.publisher.name}:{self.publisher.issued}"

    async def write(self, tag, rows, method, path, body, headers=None):
        self.run.model.sent(tag, rows)
        sent_at = time.monotonic()
        answer, fate = await self.ask(method, path, body, headers)
        self.told(tag, fate)
        self.doubt(fate, tag, path, sent_at, answer)
        if fate is Fate.OK:
            self.run.good("rest" if path.startswith("/rest") else self.who, sent_at)
        return answer if fate is Fate.OK else None

    def doubt(self, fate, tag, path, sent_at, answer):
        if fate is Fate.UNKNOWN:
            self.run.doubts.append(Doubt(tag, self, path, sent_at, answer))

    def told(self, tag, fate):
        self.run.model.told(tag, fate, self.run.fault)
        if fate not in (Fate.OK, Fate.NO):
            self.publisher = None


class Single(Writer):
    async def once(self):
        tag = self.tag()
        body = {"query": "insert into writes (tag, channel) values ($1, $2) returning tag, by", "params": [tag, self.channel]}
        if answer := await self.write(tag, 1, "POST", "/sql", body):
            if answer.json.get("rows") != [{"tag": tag, "by": self.who}]:
                self.wrong(f"asked for {tag}, got {answer}")


class Batch(Writer):
    async def once(self):
        tag, k = self.tag(), self.random.randint(2, 5)
        insert = "insert into writes (tag, n, channel) values ($1, $2, $3)"
        queries = [{"query": insert, "params": [tag, i, self.channel]} for i in range(1, k + 1)]
        if answer := await self.write(tag, k, "POST", "/sql", queries):
            if [r["rowCount"] for r in answer.json["results"]] != [1] * k:
                self.wrong(f"batch of {k}: {answer}")


class Transfer(Writer):
    """Moves money between two accounts, in their order or (serializable, with retries) in none."""

    async def once(self):
        tag, amount = self.tag(), self.random.randint(1, 50)
        a, b = self.random.sample(range(1, ACCOUNTS + 1), 2)
        steps = [(a, -amount), (b, amount)]
        options = "?isolation=Serializable&retry=3"
        if self.who == "app1":
            steps.sort()
            options = ""
        move = "update accounts set balance = balance + $2 where id = $1"
        queries = [{"query": move, "params": [i, n]} for i, n in steps]
        queries.append({"query": "insert into writes (tag) values ($1)", "params": [tag]})
        await self.write(tag, 1, "POST", "/sql" + options, queries)


class Sum(Client):
    pace = 3

    async def once(self):
        query = urllib.parse.quote("select sum(balance)::int as total, count(*)::int as n from accounts")
        answer, fate = await self.ask("GET", f"/sql?query={query}")
        if fate is Fate.OK and answer.json["rows"] != [{"total": TOTAL, "n": ACCOUNTS}]:
            self.wrong(f"sum of accounts: {answer}", "sum")


class Fails(Writer):
    """Writes that PostgreSQL must refuse: at once, at the end of a batch, at COMMIT."""

    pace = 2

    async def once(self):
        tag = self.tag()
        insert = {"query": "insert into writes (tag) values ($1)", "params": [tag]}
        child = {"query": "insert into children values ($1, -1)", "params": [tag]}
        body = self.random.choice([
            [insert, "select 1/0"],
            [insert, child],
            {"query": "with w as (insert into writes (tag) values ($1)) insert into children values ($1, -1)", "params": [tag]},
            {"query": "insert into writes (tag, n) values ($1, null)", "params": [tag]},
        ])  # fmt: skip
        if answer := await self.write(tag, 1, "POST", "/sql", body):
            self.wrong(f"a write that must fail: {answer}")


class RestNotes(Writer):
    """Makes a note, as one of two roles, and reads: only its own are there."""

    async def once(self):
        tag = self.tag()
        headers = {"Prefer": "return=representation"}
        answer = await self.write(tag, 1, "POST", "/rest/notes?select=owner,tag", {"tag": tag}, headers)
        if answer and answer.json != [{"owner": self.who, "tag": tag}]:
            self.wrong(f"made {tag}: {answer}", "foreign")
        answer, fate = await self.ask("GET", "/rest/notes?select=owner&order=id.desc&limit=20")
        if fate is Fate.OK and any(row["owner"] != self.who for row in answer.json):
            self.wrong(f"notes: {answer}", "foreign")


class RestForeign(Writer):
    """A note in another's name is refused."""

    pace = 5

    async def once(self):
        tag, other = self.tag(), "bob" if self.who == "alice" else "alice"
        if answer := await self.write(tag, 1, "POST", "/rest/notes", {"tag": tag, "owner": other}):
            self.wrong(f"a note of {other}: {answer}", "foreign")


class Upsert(Writer):
    """By turns POST with merge-duplicates and PATCH of a row that it alone writes."""

    rounds = 0

    async def once(self):
        tag = self.tag()
        self.rounds += 1
        key = f"{self.who}-kv"
        if self.rounds % 2:
            prefer = {"Prefer": "resolution=merge-duplicates"}
            await self.write(tag, 1, "POST", "/rest/kv", {"k": key, "tag": tag}, prefer)
        else:
            await self.patch(tag, key)

    async def patch(self, tag, key):
        """Where the row was never made, a PATCH rightly changes nothing."""
        self.run.model.sent(tag, 1)
        path, sent_at = f"/rest/kv?k=eq.{key}", time.monotonic()
        answer, fate = await self.ask("PATCH", path, {"tag": tag}, {"Prefer": "return=representation"})
        self.doubt(fate, tag, path, sent_at, answer)
        if fate is Fate.OK and answer.json == []:
            fate = Fate.NO
        self.told(tag, fate)


class Rpc(Writer):
    async def once(self):
        tag = self.tag()
        answer = await self.write(tag, 1, "POST", "/rest/rpc/put", {"tag": tag, "channel": self.channel})
        if answer and answer.json != tag:
            self.wrong(f"put {tag}: {answer}")


class Nonce(Client):
    """Who am I? The answer must be for this very request."""

    async def once(self):
        nonce = f"{self.who}-{self.random.getrandbits(48):x}"
        if self.who in ("alice", "bob"):
            answer, fate = await self.ask("GET", f"/rest/rpc/whoami?mark={nonce}", None, self.headers(nonce))
            want = {"mark": nonce, "role": self.who, "sub": self.who, "nonce": nonce}
            got = answer.json if fate is Fate.OK else want
        else:
            query = "select $1::text as mark, current_user::text as role, nullif(current_setting('chaos.mark', true), '') as sub"
            answer, fate = await self.ask("POST", "/sql", {"query": query, "params": [nonce]})
            want = {"mark": nonce, "role": self.who, "sub": None}
            got = answer.json["rows"][0] if fate is Fate.OK else want
        if got != want:
            self.wrong(f"asked {want}, got {got}", "foreign")
        if self.who == "app1" and self.run.variant != "pgbouncer":  # a pooler in transaction mode keeps no session
            await self.ask("POST", "/sql", {"query": "select set_config('chaos.mark', $1, false)", "params": [nonce]})


class Copy(Writer):
    """COPY in, all or nothing, and out, every row."""

    pace = 4

    async def once(self):
        tag, k = self.tag(), self.random.randint(1, 200)
        query = urllib.parse.quote("copy writes (tag, n) from stdin")
        rows = "".join(f"{tag}\t{i}\n" for i in range(1, k + 1)).encode()
        await self.write(tag, k, "POST", f"/copy?query={query}", rows)
        query = urllib.parse.quote("copy (select generate_series(1, 2000)) to stdout")
        answer, fate = await self.ask("GET", f"/copy?query={query}")
        if fate is Fate.OK and answer.body.split() != [b"%d" % i for i in range(1, 2001)]:
            self.wrong(f"copy out: {len(answer.body)} bytes, {answer.headers}")

    def unserved(self, life, words, check="no answer"):
        """A download that has begun can only be broken off."""
        if not ("GET" in words and "in the body" in words and self.run.fault != "-"):
            super().unserved(life, words, check)


class Stream(Client):
    """A long result as NDJSON: whole and in order, or it says so."""

    pace = 5

    async def once(self):
        body = {"query": "select g from generate_series(1, 20000) g"}
        answer, fate = await self.ask("POST", "/sql", body, {"Accept": "application/x-ndjson"})
        if fate is not Fate.OK:
            return
        *lines, last = answer.body.decode().split("\n")[:-1]
        if "error" not in json.loads(last) and [json.loads(x)["g"] for x in lines] != list(range(1, 20001)):
            self.wrong(f"{len(lines)} lines of 20000, end {last}")

    unserved = Copy.unserved


class Notify(Writer):
    """POST /notify: 204 is delivered, an error is not. It leaves no row; the model keeps its fate itself."""

    channel, pace = "chaos_n", 2

    async def once(self):
        if not self.publisher:
            self.publisher = self.run.model.publisher(f"n{next(self.run.names)}", self.channel)
        p = self.publisher
        p.issued += 1
        n, path, sent_at = p.issued, f"/notify/{self.channel}", time.monotonic()
        answer, fate = await self.ask("POST", path, f"{p.name}:{n}".encode())
        self.doubt(fate, f"{p.name}:{n}", path, sent_at, answer)
        if fate is Fate.OK:
            self.run.model.notify_ok[p.name].add(n)
        elif fate is Fate.NO:
            self.run.model.notify_no[p.name].add(n)
        else:
            self.publisher = None


class Listener:
    """An event stream that comes back with Last-Event-ID whenever it ended, and now and then leaves by itself."""

    def __init__(self, run, reader, options="", naps=0.0):
        self.run, self.reader, self.naps = run, reader, naps
        self.path = "/listen?" + "&".join(f"channel={c}" for c in reader.channels) + options
        self.random = random.Random(f"{run.seed}/{reader.name}")
        self.stream, self.up, self.life = None, False, None

    async def loop(self):
        while not self.run.stopping.is_set():
            self.stream, self.up, self.life = EventStream(self.run.port), False, self.run.server.life
            try:
                await self.visit()
            except (Cut, ConnectionError) as e:
                self.ended(e)
            except Late as e:
                if self.run.server.served(self.life):
                    self.run.violations.add("late", f"{self.reader.name}: {e}, during {self.run.fault}")
            finally:
                self.stream.close()
            await asyncio.sleep(0.1)

    def ended(self, e):
        if self.up and self.run.server.served(self.life):
            self.run.violations.add("no answer", f"{self.reader.name}: {e}, during {self.run.fault}")

    async def visit(self):
        resumes = self.reader.last_id
        status = await self.stream.open(self.path, resumes, LIMIT)
        if status != 200:
            if status != 503 or self.run.server.served(self.life):
                self.run.violations.add("wrong", f"{self.reader.name}: status {status}, during {self.run.fault}")
            return
        self.up = True
        if not resumes:
            self.reader.began()
        leave = time.monotonic() + self.random.uniform(3, 20)
        async for block in self.stream.blocks():
            self.reader.take(block)
            if self.run.paused or self.run.stopping.is_set():
                continue
            if self.naps and self.random.random() < 0.02:
                await asyncio.sleep(self.random.uniform(0, self.naps))
            if time.monotonic() > leave:
                return


class Load:
    """All tasks of a run."""

    def __init__(self, run):
        self.run, self.tasks = run, []
        a, b, _ = CHANNELS
        self.clients = [
            Single(run, "app1", 1, a), Single(run, "app2", 1, b), Single(run, "app1", 2), Single(run, "app2", 2, a),
            Batch(run, "app1", 1, b), Batch(run, "app2", 1), Transfer(run, "app1"), Transfer(run, "app2"),
            Sum(run, "app1"), Sum(run, "app2"), Fails(run, "app1"), Fails(run, "app2"), RestNotes(run, "alice"), RestNotes(run, "bob"),
            RestForeign(run, "alice"), Upsert(run, "alice"), Upsert(run, "bob"), Rpc(run, "alice", 1, a), Rpc(run, "bob", 1, b),
            Nonce(run, "alice"), Nonce(run, "bob"), Nonce(run, "app1"), Nonce(run, "app2"), Copy(run, "app1"), Stream(run, "app2"),
            Notify(run, None),
        ]  # fmt: skip
        wants = [("ear-a", [a], "", 0), ("ear-b", [b], "", 0), ("ear-all", list(CHANNELS), "", 0),
                 ("ear-slow", [a, b], "&max_buffer_size=20", 1.5), ("ear-n", [CHANNELS[2]], "", 0)]  # fmt: skip
        self.listeners = [Listener(run, Reader(run.model, n, c), o, naps) for n, c, o, naps in wants]

    def start(self):
        for one in [*self.listeners, *self.clients]:
            self.tasks.append(asyncio.create_task(one.loop()))
        self.tasks.append(asyncio.create_task(self.run.watch_stalls()))

    def check(self):
        """A task that broke is the harness's own fault."""
        for task in self.tasks:
            if task.done() and not task.cancelled() and task.exception():
                raise task.exception()

    async def quiet(self):
        """Clients stop after what they are at; streams stay."""
        self.run.paused = True
        end = time.monotonic() + LIMIT + self.run.patience + 2
        while any(c.http.writer for c in self.clients) and time.monotonic() < end:
            await asyncio.sleep(0.05)

    def go_on(self):
        self.run.paused = False

    async def stop(self):
        self.run.stopping.set()
        for task in self.tasks:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*self.tasks, return_exceptions=True)
