"""Clients that take their answers slowly, beside one that only wants a row.

slow_readers.py ahead PORT    three that read nothing for a while, each with an answer of 6 MB (/rest, /sql, /copy), and a pool of two
                              connections: the other one is answered within 3 s, and then all three get every byte
slow_readers.py stuck PORT    the same with more than may be read ahead: the other one is answered within 9 s, since two that take
                              nothing are broken off, and what they got does not look whole
slow_readers.py alone PORT    one that takes nothing for 8 s while nobody waits: it gets every byte then
"""
import http.client
import json
import socket
import sys
import time

ROWS = 2000


class Slow:
    def __init__(self, port, request):
        self.sock = socket.socket()
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)  # the rest is pghttpd's
        self.sock.connect(('127.0.0.1', port))
        self.sock.sendall(request)

    def read(self):
        """The body, or None when it was cut."""
        self.sock.settimeout(40)
        response = http.client.HTTPResponse(self.sock)
        response.begin()
        assert response.status == 200, response.status
        try:
            return response.read()
        except (http.client.IncompleteRead, ConnectionResetError):
            return None


def get(path):
    return f'GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n'.encode()


def post(path, value):
    body = json.dumps(value)
    return f'POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n{body}'.encode()


def quick(port):
    """How long a client waits that wants little."""
    began = time.monotonic()
    conn = http.client.HTTPConnection('127.0.0.1', port, timeout=30)
    conn.request('GET', '/rest/wide?id=eq.1&select=id')
    response = conn.getresponse()
    assert (response.status, json.loads(response.read())) == (200, [{'id': 1}]), response.status
    return time.monotonic() - began


def readers(port):
    return [Slow(port, get('/rest/wide')), Slow(port, post('/sql', {'query': 'select * from api.wide'})),
            Slow(port, get('/copy?query=copy%20api.wide%20to%20stdout%20(format%20csv)'))]


def rows(bodies):
    rest, sql, copy = bodies
    return [len(json.loads(rest)), len(json.loads(sql)['rows']), copy.count(b'\n')]


def ahead(port):
    slow = readers(port)
    time.sleep(0.3)
    waited = quick(port)
    print(f'the other one waited {waited:.2f} s')
    assert waited < 3
    assert rows([s.read() for s in slow]) == [ROWS] * 3


def stuck(port):
    slow = readers(port)
    time.sleep(0.3)
    waited = quick(port)
    print(f'the other one waited {waited:.2f} s')
    assert 4 < waited < 9
    bodies = [s.read() for s in slow]
    assert bodies[0] is None, len(bodies[0])
    assert bodies.count(None) == 2, 'the third had a connection when others were broken off'


def alone(port):
    slow = Slow(port, get('/rest/wide'))
    time.sleep(8)
    assert len(json.loads(slow.read())) == ROWS


{'ahead': ahead, 'stuck': stuck, 'alone': alone}[sys.argv[1]](int(sys.argv[2]))
