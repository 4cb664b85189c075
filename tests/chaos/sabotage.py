"""HTTP between the load and pghttpd, spoiled on purpose, so that the checker can be checked (selftest.py).

    none          everything is passed on as it is
    early         POST /sql: 200 before the write is committed (it is sent on, and what becomes of it nobody waits for)
    swallow       POST /sql: 200, and nothing is sent on
    disown        POST /sql: 503 in place of an answer of 200
    mix           the answer of another's "who am I?"
    hang          an answer never comes, now and then
    rough         a connection is closed without an answer, now and then
    status        an answer says 201 where pghttpd said 200
    drop-event, double-event, swap-events, false-event    of event streams
"""

import asyncio
import json
import re

MODES = ("none", "early", "swallow", "disown", "mix", "hang", "rough", "status", "drop-event", "double-event", "swap-events", "false-event")


async def head(reader):
    """(bytes of the head, its lower-cased headers)"""
    raw = await reader.readuntil(b"\r\n\r\n")
    return raw, {k.lower(): v for k, v in (line.split(b": ", 1) for line in raw.split(b"\r\n")[1:-2])}


async def body(reader, headers):
    if headers.get(b"transfer-encoding") != b"chunked":
        return await reader.readexactly(int(headers.get(b"content-length", 0)))
    got = b""
    while True:
        size = await reader.readuntil(b"\r\n")
        data = await reader.readexactly(int(size, 16) + 2)
        got += size + data
        if len(data) == 2:
            return got


def answer(status, headers, text):
    id = headers.get(b"x-request-id", b"-").decode()
    return f"HTTP/1.1 {status}\r\nX-Request-Id: {id}\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode()


def canned(request):
    """What Single awaits, so that only the database shows that it is a lie."""
    asked = json.loads(request)
    if isinstance(asked, list):
        return json.dumps({"results": [{"rowCount": 1}] * len(asked)})
    params = asked.get("params", [])
    return json.dumps({"rows": [{"tag": params[0], "by": "app1"}]}) if params else "{}"


class Front:
    def __init__(self, port, target, mode):
        assert mode in MODES, mode
        self.port, self.target, self.mode = port, target, mode
        self.count, self.kept, self.tasks = 0, None, set()

    async def listen(self):
        self.listener = await asyncio.start_server(self.accept, "127.0.0.1", self.port)

    async def stop(self):
        self.listener.close()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def accept(self, reader, writer):
        task = asyncio.current_task()
        self.tasks.add(task)
        try:
            server = await asyncio.open_connection("127.0.0.1", self.target, limit=1 << 20)
            try:
                while True:
                    await self.request(reader, writer, *server)
            finally:
                server[1].close()
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            self.tasks.discard(task)

    def now_and_then(self):
        self.count += 1
        return self.count % 40 == 0

    async def request(self, reader, writer, from_server, to_server):
        raw, headers = await head(reader)
        request = await body(reader, headers)
        if self.mode in ("early", "swallow") and raw.startswith(b"POST /sql ") and b"insert" in request:
            if self.mode == "early":
                self.tasks.add(asyncio.create_task(self.send_on(raw + request)))
            writer.write(answer("200 OK", headers, canned(request)))
            return
        to_server.write(raw + request)
        if raw.startswith(b"GET /listen"):
            await self.events(from_server, writer)
            raise ConnectionError
        reply, reply_headers = await head(from_server)
        content = await body(from_server, reply_headers)
        await self.reply(raw, headers, reply, content, writer)

    async def send_on(self, data):
        """On a connection of its own."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.target)
        writer.write(data)
        await reader.read(65536)
        writer.close()

    async def reply(self, raw, headers, reply, content, writer):
        ok = reply.startswith(b"HTTP/1.1 200")
        if self.mode == "disown" and ok and raw.startswith(b"POST /sql") and self.now_and_then():
            writer.write(answer("503 Service Unavailable", headers, '{"code":"57P03"}'))
            return
        if self.mode == "hang" and self.now_and_then():
            await asyncio.sleep(3600)
        if self.mode == "rough" and self.now_and_then():
            raise ConnectionError
        if self.mode == "mix" and b"/rpc/whoami" in raw:
            content, self.kept = self.kept or content, content
            reply = re.sub(rb"(?i)content-length: \d+", b"Content-Length: %d" % len(content), reply)
        if self.mode == "status" and ok and self.now_and_then():
            reply = reply.replace(b"200 OK", b"201 Created", 1)
        writer.write(reply + content)
        await writer.drain()

    # ---- event streams ----

    async def events(self, reader, writer):
        raw, _ = await head(reader)
        writer.write(raw)
        held = b""
        while True:
            size = int(await reader.readuntil(b"\r\n"), 16)
            chunk = (await reader.readexactly(size + 2))[:-2]
            *blocks, rest = chunk.split(b"\n\n")
            out = b""
            for block in blocks:
                block, held = self.event(block + b"\n\n", held)
                out += block
            self.write_chunk(writer, out + rest)
            if not size:
                return
            await writer.drain()

    @staticmethod
    def write_chunk(writer, data):
        if data:
            writer.write(b"%x\r\n%s\r\n" % (len(data), data))

    def event(self, block, held):
        """(what is written, what is held back)"""
        if held:
            return block + held, b""
        if b"payload" not in block or not self.now_and_then():
            return block, b""
        if self.mode == "drop-event":
            return b"", b""
        if self.mode == "double-event":
            return block + block, b""
        if self.mode == "swap-events":
            return b"", block
        if self.mode == "false-event":
            number = re.search(rb":(\d+)\"", block)[1]
            return block + block.replace(b":%s\"" % number, b":%d\"" % (int(number) + 1000)), b""
        return block, b""
