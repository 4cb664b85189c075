#!/usr/bin/env python3
"""tests/lint/sql_names.py < list of files: SQL of our own names PostgreSQL's operators, functions and types in full.

A login, or any role that may create objects in a schema of somebody's search_path, can put an operator or function of
its own in front of PostgreSQL's (CVE-2018-1058). So the SQL in our string literals says OPERATOR(pg_catalog.=),
pg_catalog.lower(...), ::pg_catalog.text, or runs behind a statement that empties search_path. Files of the second kind
stand in EMPTY_PATH, with the statement that must be in them; SQL that is generated from requests, in which users' own
operators are meant to be found, is checked for functions and types alone."""

import re
import sys

EMPTY_PATH = {
    'src/rest/catalog_sql.c': "pg_catalog.set_config('search_path', '', true)",
    'src/db/conn_types.c': "pg_catalog.set_config('search_path','',true)",
}
GENERATED = ('src/rest/sqlgen', 'src/rest/rpc.c', 'src/api/rest_rows.c', 'src/api/rest_settings.c', 'src/api/rest_read.c',
             'src/rest/plan')
STRING = r'"(?:[^"\\\n]|\\.)*"'
# Syntax, not functions (PostgreSQL docs, "Conditional Expressions", "Subquery Expressions", keywords with a list).
SYNTAX = set('''and any array as by case cast coalesce coalesce conflict distinct else except exists exclude filter from greatest
    group in is join key lateral least like limit not nullif of offset on operator or order over recursive returning row select
    set some table then to union unique using values when where with within explain columns all xmlelement copy'''.split())
IS_SQL = re.compile(r'\b(select|from|where|with|union|join|insert|update|delete)\b', re.I)
OPERATOR = re.compile(r"\s(=|<>|<|>|<=|>=|\|\||~\*?|!~\*?|/|\+|%|@>|&&)\s|\b(not\s+)?(like|ilike|in|between)\b(?=\s*[('$\w])"
                      r"|=\s*any\b|\bis (not )?distinct from\b", re.I)
# PostGIS may stand in any schema of the search path.
EXTENSIONS = {'st_asgeojson'}
FUNCTION = re.compile(r'(?<![\w."])([a-z_][a-z0-9_]*)\s?\(', re.I)
CAST = re.compile(r'::\s*(?!pg_catalog\.)([a-z"_]\w*)', re.I)


def literals(text):
    """Adjacent string literals, joined, with the line of the first."""
    text = re.sub(r'/\*.*?\*/', lambda m: re.sub(r'[^\n]', ' ', m[0]), text, flags=re.S)
    text = re.sub(r'^\s*#\s*include.*$', '', text, flags=re.M)
    for m in re.finditer(rf'{STRING}(?:\s*{STRING})*', text):
        parts = re.findall(STRING, m[0])
        yield text.count('\n', 0, m.start()) + 1, ''.join(p[1:-1] for p in parts).replace('\\"', '"')


def strip_strings(sql):
    return re.sub(r"'(?:[^']|'')*'", "''", sql)


def faults(sql, generated):
    sql = strip_strings(sql)
    if not generated:
        clean = re.sub(r'operator\(pg_catalog\.[^)]*\)', ' ', sql, flags=re.I)
        for m in OPERATOR.finditer(clean):
            yield f'operator {m[0].strip()}'
    for m in FUNCTION.finditer(sql):
        if m[1].lower() not in SYNTAX | EXTENSIONS and not re.search(r'\b(as|insert into|alter \w+|with)\s*$', sql[:m.start()], re.I):
            yield f'function {m[1]}'
    for m in CAST.finditer(sql):
        yield f'type {m[1]}'


def main():
    found = False
    for path in sys.stdin.read().split():
        if not path.endswith('.c'):
            continue
        with open(path, encoding='utf-8') as file:
            text = file.read()
        if path in EMPTY_PATH:
            if EMPTY_PATH[path] not in text:
                print(f'{path}: {EMPTY_PATH[path]} is missing')
                found = True
            continue
        generated = path.startswith(GENERATED)
        for line, sql in literals(text):
            if 'pg_catalog' not in sql and not re.match(r'\s*(select|with)\b.*\b(from|where)\b', sql, re.I):
                continue
            if not IS_SQL.search(sql) and not generated:
                continue
            for fault in faults(sql, generated):
                print(f'{path}:{line}: {fault} without pg_catalog')
                found = True
    sys.exit(found)


main()
