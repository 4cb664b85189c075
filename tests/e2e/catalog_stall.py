"""catalog_stall.py PID PORT ADMIN_PORT LIMIT_MS reload|URL: reloads the catalog, or gets URL (what describes it), again and
again while point reads run, and wants some rounds in which worker 0's loop never kept a request waiting for longer than
LIMIT_MS.

/live on the admin port is answered by that loop alone, with no database: asked all the time, it tells how long the loop
was busy with something else. What the server's thread or this one spent waiting for a processor is subtracted (the kernel
counts it). The least of several rounds are what the program does; more than that is what else runs on the machine.
"""
import http.client
import multiprocessing
import os
import re
import signal
import sys
import time
import urllib.request

ROUNDS, CALM = 12, 3  # so many at most, and so many of them calm
pid, port, admin_port = map(int, sys.argv[1:4])
limit, what = float(sys.argv[4]), sys.argv[5]


def get(conn, path):
    conn.request("GET", path)
    answer = conn.getresponse()
    body = answer.read()
    assert answer.status == 200, (path, answer.status, body)
    return body


def read_points(done):
    conn = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    n = 0
    while not done.is_set():
        assert get(conn, f"/rest/p?id=eq.{n % 100 + 1}").startswith(b'[{"id":')
        n += 1
        time.sleep(0.001)
    print(f"{n} point reads")
    sys.exit(n == 0)


def waited_ms():
    total = 0
    for path in (f"/proc/{pid}/task/{pid}/schedstat", "/proc/thread-self/schedstat"):
        with open(path, encoding="ascii") as f:
            total += int(f.read().split()[1])
    return total / 1e6


def loads(metrics):
    assert re.search(r'^pgrst_schema_cache_loads_total\{status="FAIL"\} 0$', metrics, re.M), metrics
    return int(re.search(r'^pgrst_schema_cache_loads_total\{status="SUCCESS"\} (\d+)$', metrics, re.M)[1])


def timed(conn, path):
    """The answer, and how long it took in ms."""
    waited, asked = waited_ms(), time.monotonic()
    body = get(conn, path)
    took = (time.monotonic() - asked) * 1000
    return body.decode(), took - (waited_ms() - waited)


def reload_once(conn):
    """The longest wait, in ms, from the signal until a little after the new catalog is there."""
    before, worst, began = loads(timed(conn, "/metrics")[0]), 0.0, time.monotonic()
    look, end = began, None
    os.kill(pid, signal.SIGUSR1)
    while end is None or time.monotonic() < end:
        ask = end is None and time.monotonic() - look > 0.05
        text, took = timed(conn, "/metrics" if ask else "/live")
        worst = max(worst, took)
        if ask:
            look = time.monotonic()
            assert look - began < 60, "never loaded"
            end = look + 0.2 if loads(text) > before else None
        time.sleep(0.0005)
    return worst


def fetch(url, length):
    with urllib.request.urlopen(url, timeout=60) as answer:
        while piece := answer.read(1 << 20):
            length.value += len(piece)


def get_once(conn, url):
    """The longest wait, in ms, from before URL is asked for until all of it is there."""
    worst, length = 0.0, multiprocessing.Value("q")
    client = multiprocessing.Process(target=fetch, args=(url, length))
    client.start()
    while client.is_alive():
        worst = max(worst, timed(conn, "/live")[1])
        time.sleep(0.0005)
    assert client.exitcode == 0, url
    assert length.value > 2 << 20, f"{url}: {length.value} bytes are not worth a test"
    return worst


done = multiprocessing.Event()
reader = multiprocessing.Process(target=read_points, args=(done,))
reader.start()
probe = http.client.HTTPConnection("127.0.0.1", admin_port, timeout=30)
calm = 0
for _ in range(ROUNDS):
    now = reload_once(probe) if what == "reload" else get_once(probe, what)
    calm += now < limit
    print(f"longest wait in this round of {what} {now:.1f} ms, limit {limit:.1f} ms")
    if calm == CALM:
        break
done.set()
reader.join()
sys.exit(0 if calm == CALM and reader.exitcode == 0 else 1)
