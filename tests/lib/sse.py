"""A strict client of event streams, and a psql to talk to, for the tests of /listen.

Stream reads the socket itself: status, headers, chunks and lines are checked to the letter (UTF-8, LF alone, only the
fields id, event, data, retry and comments), so that whatever a payload could forge is found here and not in a browser.

    s = Stream("/listen/orders")         # returns when the head and the first block are there
    e = s.next(2)                        # the next event with data; Event(id, event, data)
    s.until(lambda e: e.payload == "x")  # everything up to and with it
    sql = Sql(); sql("notify orders, 'paid'")
"""

import collections
import json
import os
import select
import socket
import subprocess
import threading
import time

PORT = int(os.environ.get("SERVER_PORT", "3000"))


class Bad(AssertionError):
    """The stream broke the grammar, or did not bring what was awaited."""


class Event:
    def __init__(self, event, data, id):
        self.event, self.data, self.id = event or "message", data, id

    @property
    def json(self):
        return json.loads(self.data)

    @property
    def payload(self):
        return self.json.get("payload") if self.event == "message" else None

    @property
    def channel(self):
        return self.json.get("channel")

    def __repr__(self):
        return f"<{self.event} {self.id} {self.data[:100]!r}>"


class Stream:
    def __init__(self, path, headers=None, http10=False, rcvbuf=None, port=None, open=True, timeout=5, method="GET", sock=None):
        self.sock = sock or socket.socket()
        if rcvbuf:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        self.sock.connect(("127.0.0.1", port or PORT))
        lines = [f"{method} {path} HTTP/1.{0 if http10 else 1}", "Host: localhost"]
        lines += [f"{k}: {v}" for k, v in (headers or {}).items()]
        self.sock.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape"))
        self.raw, self.text, self.chunked = b"", b"", False
        self.events, self.comments, self.blocks = collections.deque(), 0, 0
        self.last_id = self.first_id = None
        self.eof = self.finished = False  # FIN came; the last chunk came
        self.status = None
        if open:
            self.head(timeout)

    def head(self, timeout=5):
        deadline = time.monotonic() + timeout
        while b"\r\n\r\n" not in self.raw:
            if not self.fill(deadline):
                raise Bad(f"no head: {self.raw[:200]!r}")
        head, self.raw = self.raw.split(b"\r\n\r\n", 1)
        lines = head.decode().split("\r\n")
        self.status = int(lines[0].split()[1])
        self.headers = {}
        for line in lines[1:]:
            k, v = line.split(": ", 1)
            self.headers[k.lower()] = v
        self.chunked = self.headers.get("transfer-encoding") == "chunked"
        if self.status != 200:
            return self
        while self.blocks == 0:
            self.parse()
            if self.blocks == 0 and not self.fill(deadline):
                raise Bad("no first block")
        return self

    def fill(self, deadline):
        """More bytes; False when none came in time or none will."""
        while not self.eof:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.sock], [], [], left)[0]:
                return False
            got = self.sock.recv(262144)
            self.raw += got
            self.eof = not got
            return bool(got)
        return False

    def dechunk(self):
        raw, at, out = self.raw, 0, []
        while not self.finished:
            end = raw.find(b"\r\n", at)
            if end < 0:
                break
            size = int(raw[at:end], 16)
            if len(raw) < end + 2 + size + 2:
                break
            if raw[end + 2 + size : end + 4 + size] != b"\r\n":
                raise Bad(f"chunk does not end: {raw[end + 2 + size : end + 12 + size]!r}")
            out.append(raw[end + 2 : end + 2 + size])
            at = end + 4 + size
            self.finished = size == 0
        self.raw = raw[at:]
        self.text += b"".join(out)
        if self.finished and self.raw:
            raise Bad(f"bytes behind the last chunk: {self.raw[:50]!r}")

    def parse(self):
        if self.chunked:
            self.dechunk()
        else:
            self.text, self.raw = self.text + self.raw, b""
        *blocks, self.text = self.text.split(b"\n\n")
        for block in blocks:
            self.block(block.decode("utf-8", "strict"))

    def block(self, block):
        self.blocks += 1
        if "\r" in block or "\0" in block:
            raise Bad(f"CR or NUL in {block!r}")
        event, data, has_data = None, [], False
        for n, line in enumerate(block.split("\n")):
            if line.startswith(":"):
                self.comments += 1
                continue
            field, sep, value = line.partition(": ")
            if not sep or field not in ("id", "event", "data", "retry"):
                raise Bad(f"line {line!r} in {block!r}")
            if field == "id":
                if n != 0:
                    raise Bad(f"id is not first in {block!r}")
                epoch, dash, seq = value.partition("-")
                if len(epoch) != 8 or not dash or not seq.isdigit():
                    raise Bad(f"id {value!r}")
                self.last_id = value
            elif field == "event":
                event = value
            elif field == "data":
                data.append(value)
                has_data = True
            elif value != "2000":
                raise Bad(f"retry {value!r}")
        if has_data:
            self.events.append(Event(event, "\n".join(data), self.last_id))
        elif event:
            raise Bad(f"event without data: {block!r}")
        if self.blocks == 1:
            self.first_id = self.last_id

    def next(self, timeout=5):
        deadline = time.monotonic() + timeout
        while not self.events:
            self.parse()
            if not self.events and not self.fill(deadline):
                self.parse()
                if not self.events:
                    raise Bad(f"no event within {timeout} s (eof {self.eof}, rest {self.text[:80]!r})")
        return self.events.popleft()

    def until(self, wanted, timeout=20):
        deadline, got = time.monotonic() + timeout, []
        while True:
            got.append(self.next(max(0.01, deadline - time.monotonic())))
            if wanted(got[-1]):
                return got

    def silent(self, seconds):
        """Nothing but comments for so long."""
        deadline = time.monotonic() + seconds
        self.parse()
        while not self.events and self.fill(deadline):
            self.parse()
        if self.events:
            raise Bad(f"unexpected {self.events[0]}")

    def end(self, timeout=5):
        """Reads to the end; True when it ended cleanly."""
        deadline = time.monotonic() + timeout
        while self.fill(deadline):
            self.parse()
        self.parse()
        if not self.eof:
            raise Bad("the stream did not end")
        return self.finished or not self.chunked

    def close(self):
        self.sock.close()

    def adopt(sock):
        """A stream whose request was already sent on this socket."""
        s = Stream.__new__(Stream)
        s.sock, s.raw, s.text, s.chunked, s.events, s.comments, s.blocks = sock, b"", b"", False, collections.deque(), 0, 0
        s.last_id = s.first_id = s.status = None
        s.eof = s.finished = False
        return s.head()


class Reader(threading.Thread):
    """Reads a stream all the time, until an event is the wanted one."""

    def __init__(self, stream, wanted, timeout=30):
        super().__init__(daemon=True)
        self.args, self.got, self.error = (wanted, timeout), None, None
        self.stream = stream
        self.start()

    def run(self):
        try:
            self.got = self.stream.until(*self.args)
        except Exception as e:  # shown by result()
            self.error = e

    def result(self):
        self.join()
        if self.error:
            raise self.error
        return self.got


class Sql:
    """One psql session as superuser; each call is one query string, its rows come back as lines."""

    def __init__(self):
        self.p = subprocess.Popen(
            ["psql", "-XqAt", "-v", "VERBOSITY=terse"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8",
        )  # fmt: skip

    def __call__(self, text):
        self.p.stdin.write(text + "\n;\n\\echo ==done==\n")
        self.p.stdin.flush()
        lines = []
        while True:
            line = self.p.stdout.readline()
            if not line:
                raise Bad(f"psql ended: {lines}")
            if line == "==done==\n":
                return "".join(lines).rstrip("\n")
            lines.append(line)

    def close(self):
        self.p.stdin.close()
        self.p.wait(10)


def quoted(name):
    return '"' + name.replace('"', '""') + '"'


def literal(text):
    return "E'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def wait_until(condition, timeout=10, what="the condition"):
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Bad(f"{what} did not come true within {timeout} s")
        time.sleep(0.01)


def equal(got, wanted, what=""):
    if got != wanted:
        raise Bad(f"{what}: got {got!r:.2000}, not {wanted!r:.2000}")


def metric(name):
    """One of the admin port's figures, summed over its labels."""
    import urllib.request

    text = urllib.request.urlopen(os.environ["SERVER_ADMIN"] + "/metrics", timeout=5).read().decode()
    found = [float(line.rsplit(" ", 1)[1]) for line in text.split("\n") if line.split("{")[0].split(" ")[0] == name]
    if not found:
        raise Bad(f"no metric {name}")
    return sum(found)


def rss_kb(pid=None):
    with open(f"/proc/{pid or os.environ['SERVER_PID']}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))


def cpu_s(pid=None):
    with open(f"/proc/{pid or os.environ['SERVER_PID']}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def fds(pid=None):
    return len(os.listdir(f"/proc/{pid or os.environ['SERVER_PID']}/fd"))


def main(cases):
    """python3 FILE CASE runs one of the functions; for bats."""
    import sys

    cases[sys.argv[1]](*sys.argv[2:])
