"""What a pool of four does under more than it can serve at once.

fairness.py many PORT     500 /sql requests at the same time: every one is answered with its own marker, first come
                          first served: the longest wait is at most 1.5 times the median wait of the last tenth
fairness.py slow PORT     point queries from 4 clients, with and without a slow query (pg_sleep) beside them, five times in
                          turn: the 99th percentile moves by at most 2 ms (the median of the five: other load of the machine
                          comes in gusts)
"""
import asyncio
import json
import statistics
import sys
import time


async def post(reader, writer, text):
    body = json.dumps({"query": text}).encode()
    writer.write(b"POST /sql HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(int(h.split(b":")[1]) for h in head.split(b"\r\n") if h.lower().startswith(b"content-length:"))
    return int(head.split(b" ")[1]), json.loads(await reader.readexactly(length))


async def many(port):
    count = 500
    conns = []
    for _ in range(count):
        conns.append(await asyncio.open_connection("127.0.0.1", port))

    async def one(i):
        began = time.monotonic()
        status, answer = await post(*conns[i], f"select 'marker {i}' as m, pg_sleep(0.005)::text")
        assert status == 200, (status, answer)
        assert answer["rows"][0]["m"] == f"marker {i}", (i, answer)
        return time.monotonic() - began

    waits = await asyncio.gather(*(one(i) for i in range(count)))
    last = statistics.median(waits[-count // 10:])
    print(f"longest wait {max(waits) * 1000:.0f} ms, median of the last tenth {last * 1000:.0f} ms")
    assert max(waits) <= 1.5 * last


async def window(port, seconds):
    """Latencies of point queries from four clients for some seconds."""
    times = []

    async def client():
        conn = await asyncio.open_connection("127.0.0.1", port)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            began = time.monotonic()
            status, _ = await post(*conn, "select 1 as one")
            assert status == 200
            times.append(time.monotonic() - began)
            await asyncio.sleep(0.002)
        conn[1].close()

    await asyncio.gather(*(client() for _ in range(4)))
    return times


def p99(times):
    return sorted(times)[len(times) * 99 // 100] * 1000


async def slow(port):
    moved = []
    for _ in range(5):
        without = await window(port, 1.2)
        conn = await asyncio.open_connection("127.0.0.1", port)
        sleeper = asyncio.create_task(post(*conn, "select pg_sleep(1.6)::text"))
        await asyncio.sleep(0.1)
        beside = await window(port, 1.2)
        assert not sleeper.done()
        assert (await sleeper)[0] == 200
        print(f"p99 without {p99(without):.2f} ms of {len(without)}, beside a slow query {p99(beside):.2f} ms of {len(beside)}")
        moved.append(p99(beside) - p99(without))
    assert statistics.median(moved) <= 2, moved


asyncio.run({"many": many, "slow": slow}[sys.argv[1]](int(sys.argv[2])))
