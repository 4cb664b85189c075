# sql_aborts.py PORT N: N requests are left by their clients at random moments while 8 others work. Every other request
# must be answered with its own marker; none may see a 57014 that was not its own. Some of both kinds are bare reads,
# which share a connection; others are not.
import json, random, socket, sys, threading, time

port, wanted = int(sys.argv[1]), int(sys.argv[2])
random.seed(4)
stop = threading.Event()
lock = threading.Lock()
done, wrong, hits = 0, [], 0


def request(query, params):
    body = json.dumps({"query": query, "params": params}).encode()
    return b"POST /sql HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


def answer(s):
    data = b""
    while b"\r\n\r\n" not in data:
        piece = s.recv(65536)
        if not piece:
            raise OSError("closed")
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(int(l.split(b":")[1]) for l in head.split(b"\r\n") if l.lower().startswith(b"content-length:"))
    while len(body) < length:
        body += s.recv(65536)
    return int(head.split()[1]), json.loads(body)


def worker(me):
    global done, hits
    s = socket.create_connection(("127.0.0.1", port), 30)
    n = 0
    while not stop.is_set():
        n += 1
        marker = f"{me}-{n}"
        if n % 10 == 0:
            with lock:
                mine, hits = hits, hits + 1
            s.sendall(request("insert into hits values ($1::int) returning $2::text as m", [mine, marker]))
        elif n % 3:
            s.sendall(request("select $1::text as m", [marker]))
        else:
            s.sendall(request("select $1::text as m, pg_sleep(0.001)::text", [marker]))
        status, body = answer(s)
        if status != 200 or body["rows"][0]["m"] != marker:
            with lock:
                wrong.append((marker, status, body))
        with lock:
            done += 1
    s.close()


def leaver():
    s = socket.create_connection(("127.0.0.1", port), 30)
    kind = random.random()
    if kind < 0.2:
        s.sendall(request("select count(*) from generate_series(1, $1::int)", [10 ** random.randint(1, 7)]))
    elif kind < 0.4:
        s.sendall(request("select pg_sleep(30)", []))
    elif kind < 0.7:
        s.sendall(request("select pg_sleep(0.002), repeat('x', 100) from generate_series(1, 100000)", []))
    else:
        s.sendall(request("select 1", []))
    time.sleep(random.random() * 0.03)
    if random.random() < 0.7:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset
    s.close()


threads = [threading.Thread(target=worker, args=(i,)) for i in range(8)]
for t in threads:
    t.start()
begin = time.monotonic()
for _ in range(wanted):
    leaver()
stop.set()
for t in threads:
    t.join(60)
print(f"{wanted} left, {done} others answered in {time.monotonic() - begin:.1f} s, {len(wrong)} wrong")
for w in wrong[:5]:
    print(w)
sys.exit(bool(wrong) or any(t.is_alive() for t in threads) or done == 0)
