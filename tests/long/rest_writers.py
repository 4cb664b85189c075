#!/usr/bin/env python3
"""rest_writers.py URL SECONDS CLIENTS OUT: clients that insert rows with keys of their own, one after the other on
keep-alive connections, and write down what they were told: lines `KEY STATUS CODE` in OUT. Every third insert is of
three rows at once, whose keys stand or fall together."""
import asyncio
import json
import sys
import time
from urllib.parse import urlsplit


async def answer(reader):
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    status = int(lines[0].split()[1])
    headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:] if line)}
    body = b""
    if "content-length" in headers:
        body = await reader.readexactly(int(headers["content-length"]))
    code = json.loads(body).get("code", "-") if body and status >= 300 else "-"
    return status, code, headers.get("connection", "").lower() == "close"


async def client(number, host, port, end, out):
    reader = writer = None
    turn = 0
    while time.monotonic() < end:
        turn += 1
        keys = [f"c{number}-{turn}-{i}" for i in range(3 if turn % 3 == 0 else 1)]
        body = json.dumps([{"key": k} for k in keys]).encode()
        try:
            if writer is None:
                reader, writer = await asyncio.open_connection(host, port)
            writer.write(b"POST /rest/written HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            status, code, close = await asyncio.wait_for(answer(reader), 30)
        except (OSError, asyncio.IncompleteReadError, asyncio.TimeoutError) as e:
            status, code, close = 0, type(e).__name__, True
        for k in keys:
            out.write(f"{k} {status} {code}\n")
        if close:
            if writer is not None:
                writer.close()
            reader = writer = None
        if status == 503:
            await asyncio.sleep(0.01)


async def main():
    url, seconds, clients, name = urlsplit(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    end = time.monotonic() + seconds
    with open(name, "w", encoding="ascii") as out:
        await asyncio.gather(*(client(i, url.hostname, url.port, end, out) for i in range(clients)))


asyncio.run(main())
