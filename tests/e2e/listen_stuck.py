"""Clients that never read beside one that does: 8 of them, 6,000 messages. Prints figures; listen_stuck.bats judges."""

import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from sse import Bad, Reader, Sql, Stream, equal, metric, rss_kb, wait_until  # noqa: E402

N = 6000
warm, sql = Stream("/listen/warm"), Sql()
sql("do $$ begin for i in 1..200 loop perform pg_notify('warm', i::text); end loop; end $$")
sql("notify warm, 'end'")
warm.until(lambda e: e.payload == "end")

stuck = [Stream("/listen/stuck", rcvbuf=4096) for _ in range(8)]
arrivals = {}


class Timed(Stream):
    def block(self, block):
        super().block(block)
        if self.events:
            arrivals[self.events[-1].payload] = time.clock_gettime(time.CLOCK_MONOTONIC)


reader = Reader(Timed("/listen/stuck"), lambda e: e.payload == "end", 60)
before = rss_kb()
sent = {}
pad = "x" * 400
began = time.monotonic()
for i in range(0, N, 4):  # 4 a transaction, at most 2,000 a second
    time.sleep(max(0, began + i / 2000 - time.monotonic()))
    for k in range(i, i + 4):
        sent[f"{k}:{pad}"] = 0
    sql("begin; " + "; ".join(f"notify stuck, '{k}:{pad}'" for k in range(i, i + 4)))
    now = time.clock_gettime(time.CLOCK_MONOTONIC)
    for k in range(i, i + 4):
        sent[f"{k}:{pad}"] = now
    sql("commit")
sql("notify stuck, 'end'")
got = reader.result()
after = rss_kb()
equal([str(e) for e in got if e.event != "message"], [], "markers on the reader's stream")
equal([e.payload for e in got[:-1]], list(sent), "what the reader saw")
took = sorted(arrivals[p] - sent[p] for p in sent)
print(f"p50_ms={took[N // 2] * 1000:.2f}")
print(f"p99_ms={took[N * 99 // 100] * 1000:.2f}")
print(f"rss_kb={after - before}")
# nothing of it is left in PostgreSQL's queue, though eight clients have not read it
wait_until(lambda: sql("select pg_notification_queue_usage()") == "0", 2, "an empty queue")

for s in stuck:
    expected, dropped, marker = 0, 0, False
    for e in s.until(lambda e: e.payload == "end"):
        if e.event == "overflow":
            if marker:
                raise Bad("two markers in a row")
            dropped += e.json["dropped"]
            expected += e.json["dropped"]
        elif e.payload != "end":
            equal(int(e.payload.split(":")[0]), expected)
            expected += 1
        marker = e.event == "overflow"
    equal(expected, N, "read and counted")
    if dropped < 1000:
        raise Bad(f"a stuck client lost only {dropped}")
print(f"dropped_total={metric('pghttpd_listen_dropped_total'):.0f}")
