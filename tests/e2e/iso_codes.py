"""Loads every record of Debian's iso-codes through /sql batches and compares what comes back with the files, row by row.
Usage: iso_codes.py URL. Prints the number of records, fails at the first difference."""
import glob
import http.client
import json
import re
import sys
import urllib.parse

url = urllib.parse.urlparse(sys.argv[1])
conn = http.client.HTTPConnection(url.hostname, url.port, timeout=30)


def sql(body):
    conn.request('POST', '/sql', json.dumps(body, ensure_ascii=False).encode(), {'Content-Type': 'application/json'})
    r = conn.getresponse()
    text = r.read()
    if r.status != 200:
        sys.exit(f'{r.status} {text[:500]!r}')
    return json.loads(text)


total = 0
for file in sorted(glob.glob('/usr/share/iso-codes/json/iso_*.json')):
    with open(file, encoding='utf-8') as f:
        (records,) = json.load(f).values()
    table = re.sub(r'\W', '_', file.rpartition('/')[2].removesuffix('.json'))
    columns = sorted({k for r in records for k in r})
    sql({'queries': [f'drop table if exists {table}', f'create table {table} (n int primary key, '
                     + ', '.join(f'"{c}" text' for c in columns) + ')']})
    insert = f"insert into {table} values ({', '.join('$%d' % (i + 1) for i in range(len(columns) + 1))})"
    for start in range(0, len(records), 250):
        batch = [{'query': insert, 'params': [n, *(records[n].get(c) for c in columns)]}
                 for n in range(start, min(start + 250, len(records)))]
        reply = sql({'queries': batch})
        assert [r['rowCount'] for r in reply['results']] == [1] * len(batch), table
    rows = sql({'query': f'select * from {table} order by n'})['rows']
    assert len(rows) == len(records), (table, len(rows), len(records))
    for n, (row, record) in enumerate(zip(rows, records)):
        assert row == {'n': n, **{c: record.get(c) for c in columns}}, (table, n, row, record)
    total += len(records)
assert total > 10000, total
print(total)
