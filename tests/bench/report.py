"""What `make bench` prints: the figures of all cases, and how many times the one is the other."""


def cell(value, form, width):
    return (form % value if value is not None else '-').rjust(width)


def show_requests(results):
    print(f"\n{'':32s}{'requests/s':>11s}{'p50 ms':>9s}{'p99 ms':>9s}{'CPU us':>8s}{'RSS MB':>8s}{'errors':>8s}")
    for r in results:
        print(f"{r['case']:32s}{r['rps']:11d}{cell(r['p50_ms'], '%.2f', 9)}{cell(r['p99_ms'], '%.2f', 9)}"
              f"{cell(r['cpu_us'], '%.1f', 8)}{cell(r['rss_mb'], '%.1f', 8)}{r['errors']:8d}")


def show_events(events):
    print(f"\n{'':32s}{'':3s}{'p50 ms':>9s}{'p99 ms':>9s}{'CPU us':>8s}{'RSS MB':>8s}{'KB each':>8s}")
    for r in events:
        print(f"{r['case']:32s}{'':3s}{r['p50_ms']:9.2f}{r['p99_ms']:9.2f}{r['cpu_us']:8.2f}{r['rss_mb']:8.1f}{r['stream_kb']:8.2f}")


def show(results, events, idle):
    by_name = {r['case']: r for r in results + events}
    ratios = {}

    def ratio(label, a, b, key):
        if a in by_name and b in by_name and by_name[b][key]:
            ratios[label] = round(by_name[a][key] / by_name[b][key], 2)
    if results:
        show_requests(results)
    if events:
        show_events(events)
    ratio('sql open: CPU, times the floor', 'sql open', 'floor', 'cpu_us')
    ratio('sql login: CPU, times the floor', 'sql login', 'floor', 'cpu_us')
    ratio('rest read: CPU, times the floor', 'rest read', 'floor', 'cpu_us')
    ratio('rest 100 rows: CPU, times its floor', 'rest 100 rows', 'floor 100 rows', 'cpu_us')
    ratio('rest insert: CPU, times its floor', 'rest insert', 'floor insert', 'cpu_us')
    ratio('sql open: rate, times fastify', 'sql open', 'fastify sql', 'rps')
    ratio('rest read: rate, times fastify', 'rest read', 'fastify read', 'rps')
    for row in ('read', 'read, anonymous', '100 rows', 'insert'):
        ratio(f'rest {row}: rate, times postgrest', f'rest {row}', f'postgrest {row}', 'rps')
    ratio('sql login: rate, of pgbench', 'sql login', 'pgbench read', 'rps')
    ratio('sql open, reset: rate, of pgbench', 'sql open, reset', 'pgbench read and reset', 'rps')
    ratio('rest read: rate, of pgbench', 'rest read', 'pgbench read', 'rps')
    for kind in ('event', 'events in bursts'):
        for peer in ('fastify', 'pg_eventserv'):
            ratio(f'{kind}: CPU of {peer}, times ours', f'{kind}: {peer}', f'{kind}: pghttpd', 'cpu_us')
    print()
    for label, value in (ratios | idle).items():
        print(f'{label:44s}{value:7.2f}')
    return ratios
