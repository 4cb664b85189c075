"""What must be so. The model is told of each write before it is sent and of its answer, and of each event that a stream
got; at the end it compares all of it with what PostgreSQL has.

A write has a tag that no other has, and inserts `rows` rows with that tag. Its fate is what its client was told:

    OK      2xx with a whole body              exactly `rows` rows must be there
    NO      4xx, 503, 504, an error that is
            not 08007, connection refused      no row
    UNKNOWN 500 with code 08007                all rows or none; counted
    LEFT    the client went away itself        all rows or none
    CUT     pghttpd was ended by us            all rows or none

A publisher is a sequence of writes, each sent after the former has its answer, that notify `NAME:NUMBER` on one channel;
it ends at the first whose fate is not known (that one may still be committed later than its successor). So its events
come in the order of their numbers. Events.Reader, one for each stream, says what a missing number means.
"""

import collections
import enum
import time


class Fate(enum.IntEnum):
    SENT = 0
    OK = 1
    NO = 2
    UNKNOWN = 3
    LEFT = 4
    CUT = 5


CERTAIN = (Fate.OK, Fate.NO)

# Each is one line of the report, passed or failed.
CHECKS = {
    "lost": "acknowledged writes are in the database",
    "doubled": "no write is there more than once",
    "refused": "writes that were refused left nothing",
    "torn": "a batch is there as a whole or not at all",
    "sum": "the sum of all accounts is always the same",
    "foreign": "nobody saw rows, role, nonce or session of another",
    "wrong": "answers are what was asked for",
    "late": "every request ended within its limits",
    "no answer": "every request got an answer while pghttpd ran",
    "event lost": "no event was lost without gap or overflow",
    "event doubled": "no event came twice or out of order",
    "event false": "no event came of a write that was refused",
    "event wrong": "ids, markers and payloads of streams are right",
    "ready": "/ready said 503 while the database was away and 200 after",
    "metrics": "the counters of /metrics add up",
    "log": "the log has one line for each answer, with its status",
    "leak": "pool, memory, descriptors, threads and backends are at their baseline",
    "unknown": "with commit-lookup no outcome is unknown where the database came back in time, and what is asked later is so",
    "process": "pghttpd ended only when told to, and cleanly",
    "recovery": "service was back after each fault within its limit",
    "harness": "the run itself went as planned",
}


class Violations:
    """What was found, by check; the first few of each in words."""

    SHOWN = 8

    def __init__(self, say=print):
        self.count, self.words, self.say = collections.Counter(), collections.defaultdict(list), say

    def add(self, check, words):
        assert check in CHECKS, check
        self.count[check] += 1
        if len(self.words[check]) < self.SHOWN:
            self.words[check].append(words)
            self.say(f"VIOLATION {check}: {words}")


class Publisher:
    __slots__ = ("name", "channel", "issued")

    def __init__(self, name, channel):
        self.name, self.channel, self.issued = name, channel, 0


class Model:
    def __init__(self, violations):
        self.violations = violations
        self.writes = {}  # tag: (rows, Fate)
        self.fates = collections.Counter()
        self.unknown_by = collections.Counter()  # what was at work when the outcome was unknown
        self.publishers = {}  # name: Publisher
        self.notify_ok = collections.defaultdict(set)  # of /notify, which has no row: name: numbers
        self.notify_no = collections.defaultdict(set)
        self.readers = []
        self.ids = collections.OrderedDict()  # the last ids of events: payload

    # ---- writes ----

    def sent(self, tag, rows=1):
        self.writes[tag] = (rows, Fate.SENT)

    def told(self, tag, fate, during="-"):
        rows, before = self.writes[tag]
        assert before is Fate.SENT, (tag, before)
        self.writes[tag] = (rows, fate)
        self.fates[fate] += 1
        if fate is Fate.UNKNOWN:
            self.unknown_by[during] += 1
        if fate is Fate.NO:
            for reader in self.readers:
                reader.refused(tag)

    def compare(self, found):
        """found: {tag: rows in the database}."""
        add = self.violations.add
        for tag, (rows, fate) in self.writes.items():
            n = found.get(tag, 0)
            if n > rows:
                add("doubled", f"{tag} ({fate.name}) has {n} rows, not {rows}")
            elif fate is Fate.OK and n == 0:
                add("lost", f"{tag} was acknowledged and is not there")
            elif fate is Fate.NO and n:
                add("refused", f"{tag} was refused and is there ({n} rows)")
            elif n not in (0, rows):
                add("torn", f"{tag} ({fate.name}) has {n} rows of {rows}")
        for tag in found:
            if tag not in self.writes:
                add("harness", f"{tag} is in the database and was never sent")

    # ---- events ----

    def publisher(self, name, channel):
        p = self.publishers[name] = Publisher(name, channel)
        return p

    def issued(self):
        return {name: p.issued for name, p in self.publishers.items()}

    def know_id(self, id, payload):
        """The same id is the same event on every stream."""
        known = self.ids.setdefault(id, payload)
        if known != payload:
            self.violations.add("event wrong", f"id {id} is {known} on one stream and {payload} on another")
        if len(self.ids) > 50000:
            self.ids.popitem(last=False)

    def compare_events(self, found):
        for reader in self.readers:
            reader.judge(found)


class Segment:
    """What a stream got between two gaps: numbers it did not get, and how many it was told to have lost."""

    __slots__ = ("holes", "dropped", "ended")

    def __init__(self):
        self.holes, self.dropped, self.ended = [], 0, False


class Reader:
    """The events of one client through all its reconnections.

    A number below `floor` was issued before the client could know that its stream stood, and may be missing; above it, a
    number that was committed and is not seen is lost, unless a gap came (floor is raised to what is issued by then) or
    overflows in this segment account for it. `seen` only grows: a number twice, or lower than the last, is wrong.
    """

    def __init__(self, model, name, channels):
        self.model, self.name, self.channels = model, name, channels
        self.floor, self.seen, self.segments = {}, {}, [Segment()]
        self.last_id, self.gaps, self.overflows, self.events = None, 0, 0, 0
        self.notified = collections.defaultdict(set)
        self.last_event_at = 0.0
        model.readers.append(self)

    def began(self):
        """A stream that did not resume stands."""
        self.floor = self.model.issued()
        self.segments.append(Segment())

    def take(self, event):
        """A block of the stream."""
        if event.id:
            self.check_id(event.id)
        if event.event == "message":
            self.message(event)
        elif event.event == "gap":
            self.gaps += 1
            self.began()
        elif event.event == "overflow":
            self.overflows += 1
            self.segments[-1].dropped += event.json["dropped"]
        elif event.event:
            self.model.violations.add("event wrong", f"{self.name}: event {event.event} {event.data}")

    def check_id(self, id):
        if self.last_id:
            epoch, seq = id.split("-")
            last_epoch, last_seq = self.last_id.split("-")
            if epoch == last_epoch and int(seq) and int(seq) < int(last_seq):
                self.model.violations.add("event wrong", f"{self.name}: id {id} after {self.last_id}")
        self.last_id = id

    def message(self, event):
        got = event.json
        name, _, number = got["payload"].partition(":")
        publisher = self.model.publishers.get(name)
        if got["channel"] not in self.channels or not publisher or publisher.channel != got["channel"]:
            self.model.violations.add("event wrong", f"{self.name}: foreign event {event.data}")
            return
        self.model.know_id(event.id, got["payload"])
        if self.model.writes.get(got["payload"], (0, Fate.SENT))[1] is Fate.NO:
            self.model.violations.add("event false", f"{self.name}: {got['payload']} was refused before")
        self.events += 1
        self.last_event_at = time.monotonic()
        self.number(name, int(number))

    def number(self, name, n):
        seen = self.seen.get(name, 0)
        if n <= seen:
            self.model.violations.add("event doubled", f"{self.name}: {name}:{n} after {name}:{seen}")
            return
        after = max(seen, self.floor.get(name, 0))
        if n > after + 1:
            self.segments[-1].holes.append((name, after + 1, n))
        self.seen[name] = n
        if name.startswith("n"):
            self.notified[name].add(n)

    def refused(self, tag):
        """A publisher's next number is sent after the answer, so only the last one seen can be this one."""
        name, number = tag.split(":")
        if self.seen.get(name) == int(number):
            self.model.violations.add("event false", f"{self.name}: {tag} came and was refused")

    def close(self):
        """The stream is quiet and live: what is not here now will not come."""
        for name, p in self.model.publishers.items():
            after = max(self.seen.get(name, 0), self.floor.get(name, 0))
            if p.channel in self.channels and p.issued > after:
                self.segments[-1].holes.append((name, after + 1, p.issued + 1))
        self.segments[-1].ended = True

    def judge(self, found):
        for segment in self.segments:
            missing = [t for hole in segment.holes for t in self.committed(hole, found)]
            few = " ".join(missing[:5])
            if len(missing) > segment.dropped:
                self.model.violations.add(
                    "event lost", f"{self.name}: {len(missing)} missing, {segment.dropped} said to be dropped: {few}"
                )
            elif segment.ended and len(missing) != segment.dropped:
                self.model.violations.add(
                    "event wrong", f"{self.name}: {len(missing)} missing, {segment.dropped} said to be dropped"
                )
        for name, seen in self.seen.items():
            if not name.startswith("n"):
                self.judge_false(name, seen, found)
        for name, numbers in self.notified.items():
            for n in numbers & self.model.notify_no[name]:
                self.model.violations.add("event false", f"{self.name}: {name}:{n} was refused")

    def committed(self, hole, found):
        name, first, end = hole
        for n in range(first, end):
            if n in self.model.notify_ok[name] if name.startswith("n") else f"{name}:{n}" in found:
                yield f"{name}:{n}"

    def judge_false(self, name, seen, found):
        """The last one seen is in the database (those before it: refused())."""
        if f"{name}:{seen}" not in found:
            self.model.violations.add("event false", f"{self.name}: {name}:{seen} is not in the database")
