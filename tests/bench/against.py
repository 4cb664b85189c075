"""Compares two builds, or two sets of settings, case by case in turn (make against BINARY=... or SETTINGS=...).

One side is build/release/pghttpd; the other is --binary, or the same program with --settings. Each case runs SECONDS on
one side, then on the other, ROUNDS times, so that a slow minute of the machine hits both alike. Printed are ratios of the
other side to this one (medians over the rounds): below 1 in requests/s, above 1 in CPU and p99 is worse.
--fsync on: commits wait for the disk."""
import argparse
import os
import shlex
import statistics
import subprocess

import servers
from bench import SETUP, jwt
from loads import Load

INSERT = '{"query":"insert into entries (account, amount) values ($1, 5)","params":[{}]}'
CASES = [
    ['sql read', '/sql', '-m', 'POST', '-b', '{"query":"select id, name, balance from accounts where id = $1","params":[{}]}'],
    ['sql insert', '/sql', '-m', 'POST', '-b', INSERT],
    ['sql batch', '/sql', '-m', 'POST', '-b', f'[{INSERT},{INSERT},{INSERT}]'],
    ['rest read', '/rest/accounts?id=eq.{}', 'token'],
    ['rest 100 rows', '/rest/accounts?id=gte.{}&order=id&limit=100', 'token'],
    ['rest insert', '/rest/entries', '-m', 'POST', '-b', '{"account":{},"amount":5}', '-H', 'Content-Type: application/json', 'token'],
]


def side(name, binary, uri, settings):
    common = ['--sql-access', 'open', '--db-anon-role', 'web_anon', '--jwt-secret', servers.SECRET, '--db-channel-enabled', 'false']
    return servers.pghttpd(name, uri, *common, *settings, binary=binary)


def loads(server):
    token = ['-H', 'Authorization: Bearer ' + jwt({'role': 'web_user'})]
    for name, target, *options in CASES:
        if options and options[-1] == 'token':
            options = options[:-1] + token
        yield Load(name, server, target, *options)


def ratio(ours, theirs, key):
    pairs = [b[key] / a[key] for a, b in zip(ours.runs, theirs.runs) if a[key]]
    return statistics.median(pairs) if pairs else float('nan')


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--binary', default='build/release/pghttpd')
    parser.add_argument('--settings', default='')
    parser.add_argument('--cases', default='', help='only those whose name contains it')
    parser.add_argument('--seconds', type=float, default=2)
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--connections', type=int, default=32)
    parser.add_argument('--fsync', choices=['on', 'off'], default='off')
    args = parser.parse_args()
    psql = ['psql', '-qX', '-v', 'ON_ERROR_STOP=1', os.environ['CLUSTER_URI']]
    subprocess.run(psql, input=SETUP, text=True, check=True)
    for setting in (['fsync = on', 'synchronous_commit = on'] if args.fsync == 'on' else []):
        subprocess.run([*psql, '-c', f'alter system set {setting}'], check=True)
    subprocess.run([*psql, '-c', 'select pg_reload_conf()'], check=True, stdout=subprocess.DEVNULL)
    uri = os.environ['CLUSTER_URI'].split('@', 1)[1]
    uri = 'postgresql://bench:bench@' + uri
    ours, theirs = side('ours', 'build/release/pghttpd', uri, []), side('theirs', args.binary, uri, shlex.split(args.settings))
    try:
        pairs = [(a, b) for a, b in zip(loads(ours), loads(theirs)) if args.cases in a.name]
        for _ in range(args.rounds):
            for pair in pairs:
                for load in pair:
                    load.run(args)
        print(f'{"case":16} {"requests/s":>11} {"other/ours":>11} {"p50":>6} {"p99":>6} {"CPU":>6}')
        for a, b in pairs:
            cpu = (b.cpu / max(1, b.requests)) / (a.cpu / max(1, a.requests))
            print(f'{a.name:16} {round(a.result()["rps"]):11,} {ratio(a, b, "rps"):11.2f} {ratio(a, b, "p50_ms"):6.2f} '
                  f'{ratio(a, b, "p99_ms"):6.2f} {cpu:6.2f}')
    finally:
        ours.stop()
        theirs.stop()


main()
