"""Measures pghttpd beside its bounds and peers on one PostgreSQL; run by `make bench` (BENCH="options" passes options).

Every case runs SECONDS at a time, all cases in turn, ROUNDS times, so that a slow minute of the machine hits all alike;
the figures are medians over the rounds (CPU: all rounds together). 32 connections, random keys, one worker; 1,000 event
streams. Writes build/bench/results.json.

  pgbench ...   no HTTP: what PostgreSQL itself gives to one pgbench thread
  floor ...     tests/bench/floor.c: the same libraries without any feature; the bar is twice its CPU. Of three
                statements: a point read, 100 rows that PostgreSQL makes JSON of, an insert
  fastify ...   fastify and pg on Node.js, what one would write otherwise
  postgrest ... and pg_eventserv (WebSockets): when they are on PATH

  event ...     20 events a second, each to all streams;  events in bursts: a transaction of 100 a second

To add a row: a line in cases(). How servers are started: servers.py; what a case is: loads.py, events.py."""
import argparse
import base64
import hashlib
import hmac
import json
import os
import re
import subprocess
import sys
import time

import servers
from events import Events
from loads import KEYS, Load, Pgbench
from report import show

READ = 'select id, name, balance from accounts where id = $1'
# The same with a function that the pool knows nothing about: its connection is reset after each.
UNSURE = READ.replace(' from', ', unsure() from')
SETUP = f"""
create table accounts (id int primary key, name text not null, balance int not null);
insert into accounts select i, 'account number ' || i, i * 7919 % 100000 from generate_series(1, {KEYS}) i;
create table entries (id bigint generated always as identity primary key, account int not null, amount int not null);
create function unsure() returns int language sql immutable as 'select 1';
create role bench login password 'bench';
create role web_anon nologin; create role web_user nologin;
grant web_anon, web_user to bench;
grant select on accounts to web_anon, web_user, bench;
grant all on entries to web_user, bench;
analyze accounts; checkpoint;
"""
FLOORS = [['floor'],
          ['floor 100 rows', 'select json_agg(t) from (select * from accounts where id >= $1::int order by id limit 100) t'],
          ['floor insert', 'insert into entries (account, amount) values ($1::int, 5) returning 1']]
EVENTS = [['event', 20], ['events in bursts', 100, '-b', '100']]
RESET = """\\set id random(1, %d)
CLOSE ALL; SET SESSION AUTHORIZATION DEFAULT; RESET ALL; UNLISTEN *; SELECT pg_advisory_unlock_all(); DISCARD TEMP; DISCARD SEQUENCES;
""" % KEYS


def jwt(claims):
    def b64(b):
        return base64.urlsafe_b64encode(b).rstrip(b'=').decode()
    head = b64(b'{"alg":"HS256","typ":"JWT"}') + '.' + b64(json.dumps(claims).encode())
    return head + '.' + b64(hmac.new(servers.SECRET.encode(), head.encode(), hashlib.sha256).digest())


def cases(started):
    """started gets the servers as they are started."""
    uri = f"postgresql://bench:bench@127.0.0.1:{os.environ['CLUSTER_PORT']}/postgres"
    body = json.dumps({'query': READ, 'params': ['{}']})
    post = ('-m', 'POST', '-H', 'Content-Type: application/json')
    token = ('-H', 'Authorization: Bearer ' + jwt({'role': 'web_user', 'sub': '42', 'exp': int(time.time()) + 36000}))

    def up(server):
        started.append(server)
        return server

    def rest(server, path, name):
        yield Load(name + ' read', server, path + '/accounts?id=eq.{}', *token)
        yield Load(name + ' read, anonymous', server, path + '/accounts?id=eq.{}')
        yield Load(name + ' 100 rows', server, path + '/accounts?id=gte.{}&order=id&limit=100', *token)
        yield Load(name + ' insert', server, path + '/entries', *post, *token, '-b', '{"account": {}, "amount": 5}')

    yield Pgbench('pgbench read', f'\\set id random(1, {KEYS})\nselect id, name, balance from accounts where id = :id;\n')
    yield Pgbench('pgbench read and reset', RESET.replace('\nCLOSE', '\nselect id, name, balance, unsure() from accounts where id = :id;\nCLOSE', 1))
    for name, *sql in FLOORS:
        yield Load(name, up(servers.floor(name.replace(' ', '-'), uri, *sql)), '/?id={}')
    fastify = up(servers.fastify('fastify', uri))
    yield Load('fastify read', fastify, '/read?id={}')
    yield Load('fastify sql', fastify, '/sql', *post, '-b', body)
    if servers.installed('postgrest', "the binary of a PostgREST release"):
        yield from rest(up(servers.postgrest('postgrest', uri)), '', 'postgrest')

    ours = up(servers.pghttpd('pghttpd', uri, '--sql-access', 'open', '--db-anon-role', 'web_anon', '--db-schemas', 'public',
                              '--jwt-secret', servers.SECRET, '--notify-access', 'open'))
    yield Load('sql open', ours, '/sql', *post, '-b', body)
    yield Load('sql open, reset', ours, '/sql', *post, '-b', json.dumps({'query': UNSURE, 'params': ['{}']}))
    yield Load('sql open, text', ours, f"/sql?query={READ.replace(' ', '%20').replace('$1', '{}')}")
    yield from rest(ours, '/rest', 'rest')
    yield Load('notify', ours, '/notify/bench', *post, '-b', '{"id": {}}')
    login = up(servers.pghttpd('pghttpd-login', uri, '--sql-access', 'login'))
    basic = ('-H', 'Authorization: Basic ' + base64.b64encode(b'bench:bench').decode())
    yield Load('sql login', login, '/sql', *post, *basic, '-b', body)

    yield from event_cases(uri)


def event_cases(uri):
    peers = {'fastify': (servers.fastify,),
             'pg_eventserv': (servers.pg_eventserv, '-w'),
             'pghttpd': (lambda name, uri: servers.pghttpd(name, uri, '--listen-access', 'open'),)}
    if not servers.installed('pg_eventserv', "CrunchyData's pg_eventserv (`go build`)"):
        del peers['pg_eventserv']
    for kind, rate, *burst in EVENTS:
        for peer, (start, *options) in peers.items():
            yield Events(f'{kind}: {peer}', lambda start=start, peer=peer: start(peer + '-events', uri), rate, *burst, *options)


def start_up(uri):
    """Milliseconds from exec to the first ready answer, and resident memory then."""
    times = []
    for _ in range(5):
        start = time.monotonic()
        server = servers.pghttpd('pghttpd-start', uri, '--sql-access', 'open')
        times.append((time.monotonic() - start) * 1000)
        rss = server.rss_mb()
        server.stop()
    return {'start to ready, ms (polled by 20)': round(min(times), 1), 'RSS idle, MB': round(rss, 1)}


def main(args):
    psql = [os.environ['CLUSTER_BIN'] + '/psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1']
    subprocess.run(psql, input=SETUP, text=True, check=True)
    started, todo = [], []
    try:
        idle = start_up(os.environ['CLUSTER_URI'])
        for case in cases(started):
            if not args.only or re.search(args.only, case.name):
                todo.append(case)
        for n in range(args.rounds):
            for case in todo:
                print(f'round {n + 1}: {case.name}', file=sys.stderr)
                case.run(args)
    finally:
        for server in started:
            server.stop()
    results = [case.result() for case in todo if not isinstance(case, Events)]
    events = [case.result() for case in todo if isinstance(case, Events)]
    ratios = show(results, events, idle)
    with open('build/bench/results.json', 'w') as f:
        json.dump({'results': results, 'events': events, 'ratios': ratios, 'idle': idle, 'cores': os.cpu_count()} | vars(args), f, indent=1)
    bad = [r['case'] for r in results if r['errors']]
    if bad:
        raise SystemExit('errors in: ' + ', '.join(bad))


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--seconds', type=float, default=3)
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--connections', type=int, default=32)
    parser.add_argument('--streams', type=int, default=1000)
    parser.add_argument('--only', help='regular expression on the names of the cases')
    main(parser.parse_args())
