"""A proxy between a client and PostgreSQL that spoils the answer of a request which asks for it.

    pg_proxy.py LISTEN_PORT SERVER_PORT

It passes everything on, and reads the messages of both sides (PostgreSQL docs, "Message Formats").
A request says by one of its values what is to happen to the answer of its group (all that stands
before the same Sync). It happens to what comes after that Sync was sent, when PostgreSQL has finished:

    proxy:cut                      both connections are closed instead
    proxy:error:FATAL:08P01:close  an error without file, line and routine, as poolers make them, then the end
    proxy:error:ERROR:08006:stay   the same error, then ReadyForQuery
    proxy:forged:FATAL:57P01:close the error has file, line and routine, as if PostgreSQL had made it
    proxy:raw:4500...              these bytes, in hexadecimal, come instead, and then nothing
    proxy:silent                   nothing is passed on any more, in either direction, and nothing is closed
    proxy:then-silent              the answer is passed on, and nothing after it

`proxy:early:...` does it to the first message that answers the group, even if its Sync is yet to be sent.
`proxy:before:...` does the same when the request is sent, which PostgreSQL then never sees.
SIGUSR1 makes all connections that there are silent; new ones work. SIGUSR2 makes new ones silent, too.
Only for clients that ask for neither TLS nor GSS (sslmode=disable gssencmode=disable)."""

import asyncio
import re
import signal
import struct
import sys

MARKER = re.compile(rb"proxy:(before:|early:)?(cut|silent|then-silent|raw:[0-9a-f]+|(?:error|forged):[A-Z]+:[0-9A-Z]+:(?:close|stay))")
pairs = set()
silent_for_new = asyncio.Event()


class Messages:
    """Takes bytes, gives whole messages; the first of a client has no type."""

    def __init__(self, typed):
        self.typed = typed
        self.buf = b""

    def feed(self, data):
        self.buf += data
        while True:
            head = 5 if self.typed else 4
            if len(self.buf) < head:
                return
            size = struct.unpack("!I", self.buf[head - 4:head])[0] + head - 4
            if len(self.buf) < size:
                return
            message, self.buf = self.buf[:size], self.buf[size:]
            kind = message[:1] if self.typed else b""
            self.typed = True
            yield kind, message


def error_message(severity, code, forged):
    fields = b"S" + severity + b"\0V" + severity + b"\0C" + code + b"\0Mserver conn crashed?\0"
    if forged:
        fields += b"Fpostgres.c\0L1\0Rf\0"
    body = fields + b"\0"
    return b"E" + struct.pack("!I", len(body) + 4) + body


class Pair:
    def __init__(self, client, server):
        self.client_reader, self.client_writer = client
        self.server_reader, self.server_writer = server
        self.groups_sent = self.groups_answered = 0
        self.spoil = {}  # group number: what is to happen to its answer
        self.held = b""
        self.silent = silent_for_new.is_set()

    def close(self):
        for writer in (self.client_writer, self.server_writer):
            writer.transport.abort()

    def act(self, action):
        """True: the connection goes on."""
        words = action.split(b":")
        if words[0].endswith(b"silent"):
            self.silent = True
            return True
        if words[0] == b"raw":
            self.client_writer.write(bytes.fromhex(words[1].decode()))
            self.silent = True
            return True
        if words[0] == b"cut":
            self.close()
            return False
        self.client_writer.write(error_message(words[1], words[2], words[0] == b"forged"))
        if words[3] == b"stay":
            self.client_writer.write(b"Z\0\0\0\5I")
            return True
        self.client_writer.close()
        self.server_writer.transport.abort()
        return False

    async def to_server(self):
        messages = Messages(typed=False)
        while data := await self.client_reader.read(65536):
            for kind, message in messages.feed(data):
                found = MARKER.search(message)
                if found and found[1] == b"before:" and not self.act(found[2]):
                    return
                if found and found[1] != b"before:":
                    self.spoil[self.groups_sent] = (found[2], found[1] is not None)
                if kind in (b"S", b"Q"):
                    self.groups_sent += 1
                if not self.silent:
                    self.server_writer.write(message)
            await self.server_writer.drain()

    async def to_client(self):
        messages = Messages(typed=True)
        started = False
        while data := await self.server_reader.read(65536):
            for kind, message in messages.feed(data):
                action, early = self.spoil.get(self.groups_answered, (None, False)) if started else (None, False)
                if action and early and not self.act(action):
                    return
                if self.groups_sent <= self.groups_answered:
                    action = None
                ends_group = kind == b"Z"
                if ends_group and started:
                    self.groups_answered += 1
                if ends_group:
                    started = True
                passes = not self.silent and action in (None, b"then-silent")
                if passes:
                    self.client_writer.write(message)
                if action and ends_group and not self.act(action):
                    return
            await self.client_writer.drain()

    async def run(self):
        pairs.add(self)
        try:
            await self.pass_on()
        finally:
            pairs.discard(self)

    async def pass_on(self):
        tasks = [asyncio.create_task(self.to_server()), asyncio.create_task(self.to_client())]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.client_writer.close()
        self.server_writer.close()


async def serve(listen_port, server_port):
    async def on_client(reader, writer):
        try:
            server = await asyncio.open_connection("127.0.0.1", server_port)
        except OSError:
            writer.close()
            return
        await Pair((reader, writer), server).run()

    def silence():
        for pair in pairs:
            pair.silent = True

    def silence_new():
        silence()
        silent_for_new.set()

    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, silence)
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR2, silence_new)
    server = await asyncio.start_server(on_client, "127.0.0.1", listen_port)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    try:
        asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2])))
    except KeyboardInterrupt:
        pass
