"""slow_get.py URL OUT: asks for URL, reads the beginning of the answer and makes OUT.begun; goes on when OUT.go is there, and
then writes the whole body to OUT. Fails unless the answer is 200 and whole."""
import http.client
import os
import socket
import sys
import time
import urllib.parse

url, out = urllib.parse.urlsplit(sys.argv[1]), sys.argv[2]
conn = http.client.HTTPConnection(url.hostname, url.port, timeout=60)
conn.sock = socket.socket()
conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)  # so that most of it stays with the server
conn.sock.settimeout(60)
conn.sock.connect((url.hostname, url.port))
conn.request("GET", url.path)
answer = conn.getresponse()
assert answer.status == 200, answer.status
begin = answer.read(1000)
with open(out + ".begun", "x", encoding="ascii"):
    pass
deadline = time.monotonic() + 60
while not os.path.exists(out + ".go"):
    assert time.monotonic() < deadline, "never told to go on"
    time.sleep(0.02)
with open(out, "wb") as f:
    f.write(begin + answer.read())
