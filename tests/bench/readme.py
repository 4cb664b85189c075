"""Puts the figures of the last whole `make bench` (build/bench/results.json) into docs/performance.md; part of `make readme`."""
import json
import os
import re
import sys

if not os.path.exists('build/bench/results.json'):
    sys.exit(0)
with open('build/bench/results.json') as f:
    data = json.load(f)
if 'events' not in data or data['only']:
    sys.exit(0)


def cell(value, form):
    return '' if value is None else form.format(value)


lines = ['| | requests/s | p50 ms | p99 ms | CPU µs a request | RSS MB |', '|---|---:|---:|---:|---:|---:|']
for r in data['results']:
    lines.append(f"| {r['case']} | {r['rps']:,} | {cell(r['p50_ms'], '{:.2f}')} | {cell(r['p99_ms'], '{:.2f}')} "
                 f"| {cell(r['cpu_us'], '{:.1f}')} | {cell(r['rss_mb'], '{:.0f}')} |")
lines += ['', f"One event to each of {data['streams']:,} subscribers: 20 times a second, and in transactions of 100 events. RSS is with all of them idle:", '',
          '| | CPU µs a delivery | p50 ms | p99 ms | RSS MB | KB a stream |', '|---|---:|---:|---:|---:|---:|']
lines += [f"| {r['case']} | {r['cpu_us']:.2f} | {r['p50_ms']:.1f} | {r['p99_ms']:.1f} | {r['rss_mb']:.0f} | {r['stream_kb']:.1f} |" for r in data['events']]
lines += ['', f"({data['cores']} cores for everything: PostgreSQL, the server and the load; medians of {data['rounds']} rounds. "
          + '; '.join(f'{k}: {v}' for k, v in data['idle'].items()) + '.)']
with open('docs/performance.md', encoding='utf-8') as f:
    text = f.read()
text = re.sub(r'(<!-- bench: [^\n]*-->\n).*?(<!-- /bench -->)', lambda m: m[1] + '\n'.join(lines) + '\n' + m[2], text, flags=re.S)
with open('docs/performance.md', 'w', encoding='utf-8') as f:
    f.write(text)
