"""A TCP proxy between pghttpd and PostgreSQL (or pgbouncer) that can be told to misbehave; DoublingProxy, which sends
writes twice, is for the test of the checker.

All of it runs in the loop of the harness. A Link is one connection through it.
"""

import asyncio
import re
import socket
import struct

TAG = re.compile(rb"\b[a-z]\d+:\d+")  # of a write (load.py)


def reset(writer):
    """Ends a connection by RST."""
    sock = writer.get_extra_info("socket")
    if sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class Link:
    def __init__(self, proxy, client, server):
        self.proxy, self.client, self.server = proxy, client, server
        self.cut_after = None  # bytes of PostgreSQL's that still pass before it is cut
        self.dead = False  # half open: swallows everything, tells nobody

    def end(self, rst=False):
        for writer in (self.client[1], self.server[1]):
            reset(writer) if rst else writer.close()

    async def run(self):
        pumps = [
            asyncio.create_task(self.pump(self.client[0], self.server[1], False)),
            asyncio.create_task(self.pump(self.server[0], self.client[1], True)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for p in pumps:
                p.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            self.end()

    async def pump(self, reader, writer, from_server):
        try:
            while data := await reader.read(65536):
                await self.proxy.shape(len(data))
                if self.dead:
                    if from_server:
                        await asyncio.Event().wait()
                    continue
                if from_server and self.cut_after is not None:
                    if len(data) > self.cut_after:
                        writer.write(data[: self.cut_after])
                        await writer.drain()
                        return
                    self.cut_after -= len(data)
                await self.forward(data, writer, from_server)
        except ConnectionError:
            pass
        if self.dead and from_server:
            await asyncio.Event().wait()  # the end of the other side is not told either

    async def forward(self, data, writer, _from_server):
        writer.write(data)
        await writer.drain()


class Proxy:
    link = Link

    def __init__(self, port, target):
        self.port, self.target = port, target  # of 127.0.0.1, both
        self.links, self.listener = set(), None
        self.delay, self.throttle = 0.0, 0  # seconds a piece waits; bytes a second
        self.open = asyncio.Event()  # not set: silent, nothing passes
        self.open.set()

    async def listen(self):
        self.listener = await asyncio.start_server(self.accept, "127.0.0.1", self.port, backlog=200)

    async def refuse(self):
        if self.listener:
            self.listener.close()
            await asyncio.sleep(0)
            self.listener = None

    async def shape(self, size):
        await self.open.wait()
        if self.delay:
            await asyncio.sleep(self.delay)
        if self.throttle:
            await asyncio.sleep(min(size / self.throttle, 5))

    async def accept(self, reader, writer):
        try:
            server = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            reset(writer)
            return
        link = self.link(self, (reader, writer), server)
        self.links.add(link)
        try:
            await link.run()
        except asyncio.CancelledError:
            pass
        finally:
            self.links.discard(link)

    def cut_all(self, rst):
        for link in list(self.links):
            link.end(rst)

    async def stop(self):
        await self.refuse()
        self.cut_all(True)


class DoublingLink(Link):
    """Sends each group of messages that writes (and names no statement) to PostgreSQL a second time, unseen."""

    def __init__(self, *args):
        super().__init__(*args)
        self.started, self.up, self.down = False, b"", b""
        self.swallow, self.logged_in, self.ready = False, False, asyncio.Semaphore(0)

    @staticmethod
    def messages(data):
        """(whole messages, rest)"""
        whole = []
        while len(data) >= 5:
            end = 1 + int.from_bytes(data[1:5], "big")
            if len(data) < end:
                break
            whole.append(data[:end])
            data = data[end:]
        return whole, data

    async def forward(self, data, writer, from_server):
        await (self.downward if from_server else self.upward)(data, writer)

    async def upward(self, data, writer):
        if not self.started:  # the startup message has no type
            size = int.from_bytes(data[:4], "big")
            self.started, data, first = True, data[size:], data[:size]
            await super().forward(first, writer, False)
        self.up += data
        group = b""
        whole, self.up = self.messages(self.up)
        for message in whole:
            group += message
            if message[:1] not in b"SQ":
                continue
            await super().forward(group, writer, False)
            if b"copy " not in group.lower():
                await self.ready.acquire()
                await self.again(group, writer)
            group = b""
        if group and group[:1] in b"PBDECHS":
            self.up = group + self.up  # the rest of the group is still to come
        elif group:
            await super().forward(group, writer, False)  # password, COPY data, terminate

    async def again(self, group, writer):
        named = any(m[:1] == b"P" and m[5:6] != b"\0" for m in self.messages(group)[0])
        if named or not TAG.search(group):
            return
        self.swallow = True
        await super().forward(group, writer, False)
        await self.ready.acquire()

    async def downward(self, data, writer):
        whole, self.down = self.messages(self.down + data)
        out = b""
        for message in whole:
            if not self.swallow:
                out += message
            if message[:1] == b"Z":
                self.swallow = False
                if self.logged_in:
                    self.ready.release()
                self.logged_in = True
        await super().forward(out, writer, True)


class DoublingProxy(Proxy):
    link = DoublingLink
