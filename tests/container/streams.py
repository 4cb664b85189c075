"""streams.py PORT N [FILE]: opens N event streams, sends one notification, and wants it on every stream within 10 seconds.
With FILE it makes that then, and wants the server to end every stream, in order, within 10 seconds."""
import selectors
import socket
import sys
import time
import urllib.request

port, count = int(sys.argv[1]), int(sys.argv[2])
request = b"GET /listen/streams HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


def collect(streams, marker):
    """Reads until every stream has seen marker, or its end where marker is None; returns how many have."""
    poll = selectors.DefaultSelector()
    seen = {}
    found = 0
    deadline = time.monotonic() + 10
    for s in streams:
        poll.register(s, selectors.EVENT_READ)
        seen[s] = b""
    while poll.get_map() and time.monotonic() < deadline:
        for key, _ in poll.select(0.5):
            s = key.fileobj
            try:
                data = s.recv(65536)
            except ConnectionResetError:
                poll.unregister(s)
                continue
            seen[s] += data
            if not data or (marker and marker in seen[s]):
                poll.unregister(s)
                found += marker in seen[s] if marker else True
    return found


streams = []
for _ in range(count):
    s = socket.create_connection(("127.0.0.1", port))
    s.sendall(request)
    streams.append(s)
opened = collect(streams, b": ok")
urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{port}/notify/streams", data=b"hello", method="POST"))
got = collect(streams, b'"payload":"hello"')
print(f"{opened} opened, {got} got the event, of {count}")
if not opened == got == count:
    sys.exit(1)
if len(sys.argv) > 3:
    with open(sys.argv[3], "w", encoding="utf-8"):
        pass
    ended = collect(streams, None)
    print(f"{ended} were ended")
    sys.exit(0 if ended == count else 1)
