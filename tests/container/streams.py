"""streams.py PORT N: opens N event streams, sends one notification, and wants it on every stream within 10 seconds."""
import selectors
import socket
import sys
import time
import urllib.request

port, count = int(sys.argv[1]), int(sys.argv[2])
request = b"GET /listen/streams HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
deadline = time.monotonic() + 10


def collect(streams, marker):
    """Reads until every stream has seen marker; returns how many have."""
    poll = selectors.DefaultSelector()
    seen = {}
    for s in streams:
        poll.register(s, selectors.EVENT_READ)
        seen[s] = b""
    while poll.get_map() and time.monotonic() < deadline:
        for key, _ in poll.select(0.5):
            s = key.fileobj
            data = s.recv(65536)
            seen[s] += data
            if not data or marker in seen[s]:
                poll.unregister(s)
    return sum(marker in text for text in seen.values())


streams = []
for _ in range(count):
    s = socket.create_connection(("127.0.0.1", port))
    s.sendall(request)
    streams.append(s)
opened = collect(streams, b": ok")
urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{port}/notify/streams", data=b"hello", method="POST"))
got = collect(streams, b'"payload":"hello"')
print(f"{opened} opened, {got} got the event, of {count}")
sys.exit(0 if opened == got == count else 1)
