"""HTTP/1.1 over one kept-alive connection, and event streams: just what the load needs, checked strictly.

Http.ask() returns a whole Answer or raises: Cut (the connection ended before the answer was whole), Late (the limit was
over). After either the connection is closed. Nobody shares a Http: each worker of the load has its own.
"""

import asyncio
import json


class Cut(Exception):
    """No whole answer: the connection ended."""


class Late(Exception):
    """No whole answer within the limit."""


class Answer:
    __slots__ = ("status", "headers", "body", "id")

    def __init__(self, status, headers, body, id):
        self.status, self.headers, self.body, self.id = status, headers, body, id

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def code(self):
        """The code of an error, "" where the body has none."""
        try:
            return self.json.get("code") or ""
        except (ValueError, AttributeError):
            return ""

    def __str__(self):
        return f"{self.status} {self.body[:300]!r}"


def head_bytes(method, path, headers, body):
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost"]
    lines += [f"{k}: {v}" for k, v in headers.items()]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def read_head(reader):
    try:
        raw = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError) as e:
        raise Cut(f"no head ({e})") from None
    first, *rest = raw.decode("latin-1").split("\r\n")[:-2]
    return int(first.split()[1]), {k.lower(): v for k, v in (line.split(": ", 1) for line in rest)}


async def chunks(reader):
    """The chunks of a body up to its last one; Cut when it is broken off."""
    try:
        while True:
            size = int(await reader.readuntil(b"\r\n"), 16)
            data = await reader.readexactly(size + 2)
            if not size:
                return
            yield data[:-2]
    except (asyncio.IncompleteReadError, ConnectionError):
        raise Cut("broken off in the body") from None


async def read_body(reader, headers):
    if headers.get("transfer-encoding") == "chunked":
        return b"".join([c async for c in chunks(reader)])
    try:
        return await reader.readexactly(int(headers.get("content-length", 0)))
    except (asyncio.IncompleteReadError, ConnectionError):
        raise Cut("broken off in the body") from None


class Http:
    def __init__(self, port):
        self.port, self.reader, self.writer = port, None, None

    async def connect(self):
        try:
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 20)
        except OSError as e:
            raise ConnectionRefusedError(str(e)) from None

    def close(self):
        if self.writer:
            self.writer.transport.abort()
        self.reader = self.writer = None

    async def send(self, method, path, headers, body):
        """A connection that could not be made is ConnectionRefusedError: nothing was sent then."""
        if not self.writer or self.reader.at_eof():
            self.close()
            await self.connect()
        try:
            self.writer.write(head_bytes(method, path, headers, body) + (body or b""))
            await self.writer.drain()
        except ConnectionError as e:
            raise Cut(str(e)) from None

    async def read(self):
        status, headers = await read_head(self.reader)
        body = b"" if status in (204, 304) else await read_body(self.reader, headers)
        if headers.get("connection") == "close":
            self.close()
        return Answer(status, headers, body, headers.get("x-request-id"))

    async def ask(self, method, path, headers=None, body=None, limit=10.0):
        try:
            async with asyncio.timeout(limit):
                await self.send(method, path, headers or {}, body)
                return await self.read()
        except TimeoutError:
            self.close()
            raise Late(f"{method} {path}: no answer in {limit:.1f} s") from None
        except Cut:
            self.close()
            raise


class Event:
    __slots__ = ("id", "event", "data")

    def __init__(self, id, event, data):
        self.id, self.event, self.data = id, event, data

    @property
    def json(self):
        return json.loads(self.data)


def parse_block(block):
    """One block of a stream: Event, with event "" for one that dispatches nothing."""
    id, event, data = None, "", None
    for line in block.decode().split("\n"):
        field, _, value = line.partition(": ")
        if field == "id":
            id = value
        elif field == "event":
            event = value
        elif field == "data":
            data = value if data is None else data + "\n" + value
    if data is not None and not event:
        event = "message"
    return Event(id, event, data)


class EventStream:
    """GET of a stream. open() returns the status; then `async for` brings each block, heartbeats and the first one too."""

    def __init__(self, port):
        self.http, self.rest = Http(port), b""

    async def open(self, path, last_id=None, limit=10.0):
        headers = {"Accept": "text/event-stream"}
        if last_id:
            headers["Last-Event-ID"] = last_id
        try:
            async with asyncio.timeout(limit):
                await self.http.send("GET", path, headers, None)
                status, self.headers = await read_head(self.http.reader)
        except TimeoutError:
            self.close()
            raise Late(f"GET {path}: no head in {limit:.1f} s") from None
        return status

    async def blocks(self):
        async for chunk in chunks(self.http.reader):
            *whole, self.rest = (self.rest + chunk).split(b"\n\n")
            for block in whole:
                yield parse_block(block)

    def close(self):
        self.http.close()
