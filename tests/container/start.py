"""start.py first PORT LIMIT_MS REMOVE COMMAND... or start.py term REMOVE WAIT COMMAND...

COMMAND starts a container of pghttpd in the background, REMOVE (one word, split at spaces) removes it, WAIT waits for its end
and prints its exit status.
first: 5 starts, or as many as a minute allows until once the time from COMMAND to the first 200 of /live on PORT is below
LIMIT_MS. The smallest of several is what engine and program need; more than that is what else runs on the machine (on the
other half of a core, too, where no priority helps).
term: SIGTERM at several moments of the first 50 ms after exec, starting with the first at which the program holds the signal:
each time it must end by itself, with status 0, within a second.
"""
import http.client
import os
import signal
import subprocess
import sys
import time

TERM = 1 << (signal.SIGTERM - 1)


def running(old):
    """The process of the container: pid 1 of its own namespace, not there before."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if pid not in old:
            try:
                if os.readlink(f"/proc/{pid}/exe") == "/usr/bin/pghttpd" and status(pid, "NSpid")[-1] == "1":
                    return pid
            except OSError:
                pass  # ended, or a thread of the kernel
    return None


def status(pid, field):
    with open(f"/proc/{pid}/status", encoding="utf-8") as f:
        for line in f:
            if line.startswith(field + ":"):
                return line.split()[1:]
    raise ProcessLookupError(pid)


def start(command):
    """Runs it; returns the engine's process, the container's pid and the time of its exec."""
    old = set(os.listdir("/proc"))
    began = time.monotonic()
    engine = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    pid = None
    while not pid:
        if time.monotonic() - began > 30 or engine.poll():
            sys.exit(f"{command[0]} started nothing")
        time.sleep(0.001)  # the engine needs the processor, too
        pid = running(old)
    return engine, pid, time.monotonic()


def alive(port):
    try:
        conn = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        conn.request("GET", "/live")
        return conn.getresponse().status == 200
    except OSError:
        return False


def first(port, limit, remove, command):
    whole = []
    end = time.monotonic() + 60
    while len(whole) < 5 or (min(whole) >= limit and time.monotonic() < end):
        began = time.monotonic()
        engine = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        while not alive(port):
            time.sleep(0.002)
            if time.monotonic() - began > 30 or engine.poll():
                sys.exit(f"{command[0]} started nothing")
        whole.append((time.monotonic() - began) * 1000)
        engine.wait(30)
        subprocess.run(remove, check=True, stdout=subprocess.DEVNULL)
    own = []
    for _ in range(3):
        engine, _, execed = start(command)
        while not alive(port):
            time.sleep(0.0005)
        own.append((time.monotonic() - execed) * 1000)
        engine.wait(30)
        subprocess.run(remove, check=True, stdout=subprocess.DEVNULL)
    whole.sort()
    print(f"# start to first 200, {len(whole)} times: min {whole[0]:.0f} ms, median {whole[len(whole) // 2]:.0f} ms "
          f"(of it the program, from exec: {min(own):.0f} ms; load {os.getloadavg()[0]:.1f})")
    return whole[0] < limit


def held(pid):
    return any(int(status(pid, field)[0], 16) & TERM for field in ("SigBlk", "SigCgt"))


def term(remove, wait, command):
    good = True
    for delay in (0, 0.005, 0.015, 0.030, 0.045):
        engine, pid, execed = start(command)
        while not held(pid) and time.monotonic() - execed < 1:
            pass
        ready = time.monotonic() - execed
        time.sleep(max(0, execed + delay - time.monotonic()))
        os.kill(int(pid), signal.SIGTERM)
        sent = time.monotonic()
        while os.path.exists(f"/proc/{pid}") and time.monotonic() - sent < 5:
            time.sleep(0.001)
        took = time.monotonic() - sent
        engine.wait(30)
        code = subprocess.run(wait, check=True, capture_output=True, text=True).stdout.strip()
        subprocess.run(remove, check=True, stdout=subprocess.DEVNULL)
        print(f"# held after {ready * 1000:.1f} ms, SIGTERM {(sent - execed) * 1000:.1f} ms after exec: "
              f"status {code} after {took * 1000:.0f} ms")
        good = good and code == "0" and took < 1
    return good


if sys.argv[1] == "first":
    ok = first(int(sys.argv[2]), int(sys.argv[3]), sys.argv[4].split(), sys.argv[5:])
else:
    ok = term(sys.argv[2].split(), sys.argv[3].split(), sys.argv[4:])
sys.exit(0 if ok else 1)
