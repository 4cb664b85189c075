"""What events-streams promise, each as a case: python3 listen_promises.py CASE (listen_promises.bats runs them)."""

import os
import random
import sys
import threading
import time
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from sse import Bad, Reader, Sql, Stream, equal, literal, main, wait_until  # noqa: E402


def at(channel, **params):
    return "/listen?" + urllib.parse.urlencode([("channel", channel), *params.items()])


def many(channels, **params):
    return "/listen?" + urllib.parse.urlencode([("channel", c) for c in channels] + list(params.items()))


def payloads(events):
    return [e.payload for e in events]


# ---- order and completeness ----


def burst():
    """1,000 notifications of one transaction: all of them, in order, once."""
    s, sql = Stream("/listen/burst"), Sql()
    sql("do $$ begin for i in 1..1000 loop perform pg_notify('burst', i::text); end loop; end $$")
    sql("notify burst, 'end'")
    got = s.until(lambda e: e.payload == "end")
    equal(payloads(got)[:-1], [str(i) for i in range(1, 1001)])
    ids = [int(e.id.split("-")[1]) for e in got]
    equal(ids, sorted(set(ids)), "ids rise")


def writers():
    """4 writers x 50 transactions over two channels: every reader sees the same order, each transaction in one
    piece, each writer's transactions in its own order."""
    streams = [Stream(many(["w_a", "w_b"])) for _ in range(3)] + [Stream(many(["w_b", "w_a"], format="raw"))]

    def write(n):
        sql = Sql()
        for i in range(50):
            sql(
                f"begin; notify w_a, '{n}.{i}.0'; notify w_b, '{n}.{i}.1'; notify w_a, '{n}.{i}.2'; "
                + ("rollback" if i % 10 == 9 else "commit")
            )

    threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    Sql()("notify w_b, 'end'")
    seen = [[e.data if s is streams[3] else e.payload for e in s.until(lambda e: "end" in e.data)][:-1] for s in streams]
    for other in seen[1:]:
        equal(other, seen[0], "another reader's order")
    equal(len(seen[0]), 4 * 45 * 3)
    groups = [seen[0][i : i + 3] for i in range(0, len(seen[0]), 3)]
    for g in groups:
        equal([p.rsplit(".", 1)[1] for p in g], ["0", "1", "2"], "a transaction in one piece")
        equal(len({p.rsplit(".", 1)[0] for p in g}), 1)
    for n in range(4):
        mine = [int(g[0].split(".")[1]) for g in groups if g[0].startswith(f"{n}.")]
        equal(mine, [i for i in range(50) if i % 10 != 9], f"writer {n}")


def semantics():
    """PostgreSQL's own: duplicates fold within a transaction, a rollback (or savepoint) sends nothing."""
    s, sql = Stream("/listen/sem"), Sql()
    sql("begin; notify sem, 'a'; notify sem, 'a'; notify sem, 'b'; commit")
    sql("begin; notify sem, 'never'; rollback")
    sql("begin; notify sem, 'c'; savepoint p; notify sem, 'never'; rollback to p; commit")
    sql("notify sem, 'a'")
    sql("notify sem")
    sql("notify sem, 'end'")
    got = s.until(lambda e: e.payload == "end")
    equal(payloads(got), ["a", "b", "c", "a", "", "end"])
    pid = int(sql("select pg_backend_pid()"))
    equal({e.json["pid"] for e in got}, {pid})
    equal(set(got[0].json), {"channel", "payload", "pid"})


def head_means_listen():
    """A NOTIFY sent after the client saw the head is never lost: 200 new channels, some left again at once."""
    sql = Sql()
    streams = []
    for i in range(200):
        channel = f"head_{i % 150}"
        began = time.monotonic()
        s = Stream(f"/listen/{channel}")
        if time.monotonic() - began > 1:
            raise Bad("the head took more than a second")
        sql(f"notify {channel}, '{i}'")
        equal(s.next(2).payload, str(i))
        if i % 3:
            s.close()
        else:
            streams.append(s)


def reload_keeps_history():
    """A page that is reloaded: nobody is left for a moment, yet nothing is lost."""
    sql = Sql()
    s = Stream("/listen/reload")
    sql("notify reload, '1'")
    last = s.next().id
    s.close()
    time.sleep(0.1)
    sql("notify reload, '2'")
    s = Stream("/listen/reload", {"Last-Event-ID": last})
    equal(s.first_id, last)
    equal(s.next().payload, "2")


# ---- names and payloads ----

NAMES = [
    "a", "A", "MixedCase", "with space", " leading", "trailing ", "dot.ted", "dash-ed", "under_score", "semi;colon", "comma,",
    "quote'", 'double"quote', '""', "back\\slash", "$1", "$$", "per%cent", "%41", "%", "plus+", "amp&", "eq=", "hash#",
    "question?", "slash/es", "//", "..", ".", "*", "select", "LISTEN", "UNLISTEN *", "grün", "日本語", "𝄞", "emoji 😀",
    "e\u0301", "\u200bzero", "tab\t", "new\nline", "cr\rlf\r\n", "\x01", "\x7f", "error", "~tilde", "x" * 63, "ü" * 31,
]  # fmt: skip


def names():
    """Awkward channel names, all on one stream and each on its own; a name is what it says, byte for byte."""
    sql = Sql()
    assert len(NAMES) >= 46 and len(set(NAMES)) == len(NAMES)
    both = Stream(many(NAMES))
    raw = Stream(many(NAMES, format="raw"))
    for i, name in enumerate(NAMES):
        own = Stream("/listen/" + urllib.parse.quote(name, safe=""))
        sql(f"select pg_notify({literal(name)}, '{i}')")
        for s in (own, both):
            e = s.next()
            equal((e.channel, e.payload), (name, str(i)))
        e = raw.next()
        wanted = name.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
        if name in ("error", "~tilde"):
            wanted = "~" + wanted
        equal((e.event, e.data), (wanted, str(i)))
        own.close()
    sql("notify mixedcase, 'not this one'")
    both.silent(0.2)


SHAPES = [
    "", " ", "  x  ", "a", "'", '"', "\\", "\\n", "\n", "\n\n", "a\nb", "a\n", "\na", "a\rb", "a\r\nb", "\r", "\r\n\r\n",
    "\n\r\n\r", "data: x", "\ndata: x\n\n", "id: 1", "event: gap\ndata: {}\n\n", ": comment", ":", "retry: 1\n\n",
    '{"a":1}', '{"channel":"x","payload":"y","pid":1}', "[1,2,3]", "null", "\x01\x02\x1f", "\t\b\f\v", "\x7f\x80\x9f",
    "grün", "日本語テキスト", "😀👨‍👩‍👧", "\u2028\u2029", "\ufeffbom", "</script>", "x" * 7999, "é" * 3999, "\n" * 7999, "\x01" * 7999,
]  # fmt: skip


def shapes():
    """Payload shapes, through JSON unchanged and raw with their lines kept, by SQL and by /notify."""
    import http.client

    assert len(SHAPES) >= 40
    sql, j, raw = Sql(), Stream("/listen/shapes"), Stream("/listen/shapes?format=raw")
    h = http.client.HTTPConnection("127.0.0.1", int(os.environ["SERVER_PORT"]))
    for i, payload in enumerate(SHAPES):
        if i % 2:
            sql(f"select pg_notify('shapes', {literal(payload)})")
        else:
            h.request("POST", "/notify/shapes", payload.encode())
            r = h.getresponse()
            equal((r.status, r.read()), (204, b""), repr(payload[:50]))
        equal(j.next().payload, payload)
        lines = payload.replace("\r\n", "\n").replace("\r", "\n")
        e = raw.next()
        equal((e.event, e.data), ("shapes", lines))


# ---- bounded ----


def stuck(n, buffer, wait_for, payload="x" * 180, channel="stuck"):
    """A client that does not read while n messages come. Returns what it then finds."""
    sql = Sql()
    s = Stream(at(channel, max_buffer_size=buffer), rcvbuf=4096)
    probe = Stream(at(channel, max_buffer_size=4096))
    for base in range(0, n, 500):
        upto = min(base + 500, n)
        sql(f"do $$ begin for i in {base + 1}..{upto} loop perform pg_notify('{channel}', i || ':{payload}'); end loop; end $$")
        probe.until(lambda e, u=upto: e.payload and e.payload.startswith(f"{u}:"))
    probe.close()
    sql(f"notify {channel}, 'end'")
    return s.until(wait_for, 20)


def check_counts(got, n):
    """Order, exact counts, no two markers in a row: returns the numbers that were lost together."""
    expected, dropped, marker = 1, 0, False
    for e in got:
        if e.event == "overflow":
            if marker:
                raise Bad("two markers in a row")
            equal(e.json["channels"], ["stuck"])
            expected += e.json["dropped"]
            dropped += e.json["dropped"]
        elif e.payload != "end":
            equal(int(e.payload.split(":")[0]), expected, "what comes next")
            expected += 1
        marker = e.event == "overflow"
    equal(expected, n + 1, "messages and counted losses together")
    return dropped


def overflow():
    got = stuck(6000, 10, lambda e: e.payload == "end")
    dropped = check_counts(got, 6000)
    if dropped < 1000:
        raise Bad(f"only {dropped} were dropped")
    at_marker = max(i for i, e in enumerate(got) if e.event == "overflow")
    kept = len(got) - at_marker - 1
    if kept not in (10, 11):  # 10 in the ring, and one written together with the marker
        raise Bad(f"{kept} are kept behind the marker")


def overflow_small_buffers():
    """Buffers of 1 to 3, where a marker is as likely as a message to find the socket full: its message stays with it."""
    sql, n = Sql(), 6000
    streams = [Stream(at("stuck", max_buffer_size=1 + i % 3), rcvbuf=4096 + 200 * i) for i in range(30)]
    for i in range(1, n, 6):
        sql("begin; " + "; ".join(f"notify stuck, '{k}'" for k in range(i, i + 6)) + "; commit")
    sql("notify stuck, 'end'")
    for reader in [Reader(s, lambda e: e.payload == "end", 60) for s in streams]:
        check_counts(reader.result(), n)


def stuck_for_long():
    """A client that does not read for 100 s keeps its stream, and finds its marker."""
    sql = Sql()
    s = Stream(at("stuck", max_buffer_size=5), rcvbuf=4096)
    for base in range(0, 5000, 500):
        sql(f"do $$ begin for i in {base + 1}..{base + 500} loop perform pg_notify('stuck', i || ':' || repeat('x', 300)); end loop; end $$")
    time.sleep(100)
    sql("notify stuck, 'end'")
    check_counts(s.until(lambda e: e.payload == "end", 120), 5000)


def overflow_whole_burst_fits():
    """The default buffer takes a burst of 1,000 whole, even when nobody reads meanwhile."""
    got = stuck(1000, 1024, lambda e: e.payload == "end", payload="x")
    equal(check_counts(got, 1000), 0)


def overflow_markers_alone():
    """max_buffer_size=0: markers alone, whose numbers add up."""
    sql = Sql()
    s = Stream("/listen/alone?max_buffer_size=0")
    for i in range(20):
        sql("do $$ begin for i in 1..100 loop perform pg_notify('alone', i::text); end loop; end $$")
    total, last = 0, None
    while total < 2000:
        e = s.next()
        equal(e.event, "overflow")
        total, last = total + e.json["dropped"], e.id
    equal(total, 2000)
    s.close()
    again = Stream("/listen/alone", {"Last-Event-ID": last})
    sql("notify alone, 'next'")
    equal(again.next().payload, "next")


def overflow_resume():
    """The marker's id is the place behind what was lost."""
    got = stuck(3000, 5, lambda e: e.payload == "end")
    i = max(i for i, e in enumerate(got) if e.event == "overflow")
    again = Stream("/listen/stuck", {"Last-Event-ID": got[i].id})
    equal(payloads(again.until(lambda e: e.payload == "end")), payloads(got[i + 1 :]))


def slow_is_alone():
    """A stuck client costs its neighbours nothing: they see everything."""
    sql = Sql()
    stuck = [Stream("/listen/slow", rcvbuf=4096) for _ in range(4)]
    reader = Reader(Stream("/listen/slow"), lambda e: e.payload == "end")
    for i in range(100):
        sql(f"do $$ begin for i in 1..50 loop perform pg_notify('slow', {i} || '.' || i || repeat('x', 100)); end loop; end $$")
    sql("notify slow, 'end'")
    got = reader.result()
    equal(len(got), 5001)
    equal({e.event for e in got}, {"message"})
    del stuck


def bursts_reach_whoever_reads():
    """A burst larger than the buffer, to 200 clients whose sockets can take it: nobody loses anything."""
    streams = [Stream("/listen/flood") for _ in range(200)]
    sql = Sql()
    sql("do $$ begin for i in 1..1800 loop perform pg_notify('flood', i::text); end loop; end $$")
    sql("notify flood, 'end'")
    for s in streams:
        equal(payloads(s.until(lambda e: e.payload == "end")), [str(i) for i in range(1, 1801)] + ["end"])


# ---- resume ----


def resume():
    sql = Sql()
    s = Stream(many(["r_a", "r_b"]))
    for i in range(10):
        sql(f"notify r_{'ab'[i % 2]}, '{i}'")
    got = s.until(lambda e: e.payload == "9")
    for i, e in enumerate(got):
        for headers, query in (({"Last-Event-ID": e.id}, {}), ({}, {"last_event_id": e.id})):
            again = Stream(many(["r_b", "r_a"], **query), headers)
            equal(again.first_id, e.id, "the first block's id")
            sql("notify r_b, 'live'")
            replay = payloads(again.until(lambda e: e.payload == "live"))
            equal([p for p in replay if p != "live"], [str(k) for k in range(i + 1, 10)])
            equal(replay[-1], "live")
            again.close()
            s.until(lambda e: e.payload == "live")
    only_a = Stream("/listen/r_a", {"Last-Event-ID": got[3].id})
    equal([only_a.next().payload for _ in range(3)], ["4", "6", "8"])


def resume_refused():
    """Whatever the ring does not know: one gap with its reason, then live. Never an error, never a wrong replay."""
    sql = Sql()
    s = Stream("/listen/rr")
    sql("notify rr, '1'")
    epoch, seq = s.next().id.split("-")
    flipped = f"{int(epoch, 16) ^ 1:08x}"
    bad = {
        f"{flipped}-{seq}": "unknown id",
        f"{epoch}-{int(seq) + 1000}": "unknown id",
        f"{epoch}-18446744073709551615": "unknown id",
        f"{epoch}-99999999999999999999999": "unknown id",
        "nonsense": "unknown id",
        "-": "unknown id",
        f"{epoch}-": "unknown id",
        f"{epoch}-{seq}x": "unknown id",
        f"{epoch.upper()}X-{seq}": "unknown id",
        "0": "unknown id",
        "\u00fc": "unknown id",
        "x" * 3000: "unknown id",
        f"{epoch}-0": "not listening then",
    }
    for id, reason in bad.items():
        again = Stream("/listen/rr", {"Last-Event-ID": id})
        equal(again.first_id, f"{epoch}-0")
        e = again.next()
        equal((e.event, e.json), ("gap", {"reason": reason}), id[:60])
        sql("notify rr, 'live'")
        e = again.next()
        equal(e.payload, "live")
        third = Stream("/listen/rr", {"Last-Event-ID": e.id})
        equal(third.first_id, e.id)
        third.close()
        again.close()
    fresh = Stream("/listen/rr_new", {"Last-Event-ID": f"{epoch}-{seq}"})
    equal(fresh.next().json, {"reason": "not listening then"})
    newest = Stream("/listen/rr").first_id  # of all, and yet older than the LISTEN of a new channel
    sql("notify rr_newer, 'unheard'")
    fresh = Stream("/listen/rr_newer", {"Last-Event-ID": newest})
    equal(fresh.next().json, {"reason": "not listening then"})


def resume_history_lost():
    """Needs --listen-history 100 --listen-buffer-max 100: a busy channel loses its old ids, a quiet one does not."""
    sql = Sql()
    s, quiet = Stream("/listen/busy"), Stream("/listen/quiet")
    sql("notify busy, 'first'")
    sql("notify quiet, 'first'")
    first, first_quiet = s.next().id, quiet.next().id
    sql("notify quiet, 'second'")
    sql("do $$ begin for i in 1..500 loop perform pg_notify('busy', i::text); end loop; end $$")
    sql("notify busy, 'end'")
    s.until(lambda e: e.payload == "end")
    again = Stream("/listen/busy", {"Last-Event-ID": first})
    equal(again.next().json, {"reason": "history lost"})
    again = Stream("/listen/quiet", {"Last-Event-ID": first_quiet})
    equal(again.next().payload, "second")


# ---- one connection ----


def one_connection():
    """However many clients: one LISTEN connection, idle outside transactions, UNLISTEN after the last left."""
    sql = Sql()
    streams = [Stream(many([f"one_{i}", "one_all"])) for i in range(50)]
    rows = sql("select state, xact_start is null from pg_stat_activity where application_name = 'pghttpd listen'")
    equal(rows, "idle|t")
    sql("notify one_all, 'x'")
    [equal(s.next().payload, "x") for s in streams]
    [s.close() for s in streams]
    last = "select query from pg_stat_activity where application_name = 'pghttpd listen'"
    wait_until(lambda: 'UNLISTEN "one_all"' in sql(last), 15, "UNLISTEN")


def leaves():
    """Clients that leave are seen at once, whether by FIN or by RST, and their descriptors come back."""
    import socket
    import struct

    from sse import fds

    before = fds()
    streams = [Stream("/listen/leaves") for _ in range(100)]
    if fds() < before + 100:
        raise Bad("descriptors are not counted as thought")
    for i, s in enumerate(streams):
        if i % 2:
            s.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        s.close()
    wait_until(lambda: fds() <= before + 2, 2, "descriptors of clients that left")


def half_close_and_garbage():
    """A client that stops sending gets a clean end; what it sends behind its head is dropped, but not for ever."""
    sql = Sql()
    s = Stream("/listen/garbage")
    s.sock.sendall(b"GET /listen/other HTTP/1.1\r\nHost: x\r\n\r\n" + os.urandom(20000))
    sql("notify garbage, '1'")
    equal(s.next().payload, "1")
    import socket

    s.sock.shutdown(socket.SHUT_WR)
    equal(s.end(), True, "ended cleanly")
    s = Stream("/listen/garbage")
    try:
        for _ in range(1000):
            s.sock.sendall(b"x" * 65536)
    except OSError:
        return
    raise Bad("64 MB of garbage were taken")


def pipelined():
    """A second request in the same packet: the stream is served, the rest is dropped."""
    import socket

    k = socket.socket()
    k.connect(("127.0.0.1", int(os.environ["SERVER_PORT"])))
    k.sendall(b"GET /listen/pipe HTTP/1.1\r\nHost: localhost\r\n\r\n" b"GET /listen/pipe HTTP/1.1\r\nHost: localhost\r\n\r\n")
    s = Stream.adopt(k)
    Sql()("notify pipe, '1'")
    equal(s.next().payload, "1")
    s.silent(0.2)


def behind_keep_alive():
    """A stream as the second request of a connection."""
    import socket

    k = socket.socket()
    k.connect(("127.0.0.1", int(os.environ["SERVER_PORT"])))
    k.sendall(b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n")
    got = b""
    while b"}" not in got:
        got += k.recv(4096)
    assert b"404" in got.split(b"\r\n")[0], got
    k.sendall(b"GET /listen/second HTTP/1.1\r\nHost: localhost\r\n\r\n")
    s = Stream.adopt(k)
    Sql()("notify second, '1'")
    equal(s.next().payload, "1")


def heartbeat():
    """Needs --listen-heartbeat 300ms."""
    s = Stream("/listen/beat")
    s.silent(1.5)
    if not 4 <= s.comments <= 8:  # one is the first block's
        raise Bad(f"{s.comments} comments in 1.5 s")


def http10():
    sql = Sql()
    s = Stream("/listen/ten", http10=True)
    equal(s.headers.get("transfer-encoding"), None)
    equal(s.headers.get("connection"), "close")
    for payload in ("1", "", "zwei\nDrei"):
        sql(f"select pg_notify('ten', {literal(payload)})")
        equal(s.next().payload, payload)


def churn():
    """Open and close many times, on channels that come and go: no descriptor, no memory is left behind."""
    from sse import fds, rss_kb

    rounds = int(os.environ.get("CHURN", "2000"))

    def some(n, name):
        for i in range(n):
            s = Stream(f"/listen/{name}_{random.randrange(20)}")
            s.close()

    some(200, "warm")
    before, memory = fds(), rss_kb()
    threads = [threading.Thread(target=some, args=(rounds // 4, f"churn{k}")) for k in range(4)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    wait_until(lambda: fds() <= before + 2, 5, "descriptors back")
    grown = rss_kb() - memory
    if grown > 2048 and not os.environ.get("SANITIZED"):
        raise Bad(f"RSS grew by {grown} kB in {rounds} rounds")


main(globals())
