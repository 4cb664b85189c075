#!/usr/bin/env python3
"""Records what the catalog queries give: record.py CONNINFO SCHEMA[,SCHEMA..] > tests/golden/schema.tsv

The queries are read out of src/rest/catalog_sql.c, so nothing is kept twice. For tests/golden/schema.tsv the
database holds tests/golden/schema.sql and nothing else."""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
ORDER = ["settings", "domains", "enums", "casts", "relations", "constraints", "computed", "routines", "handlers",
         "roles", "views"]


def queries():
    text = (ROOT / "src/rest/catalog_sql.c").read_text()
    for name in ORDER:
        body = re.search(r"static const char %s\[\] =(.*?);\n" % name, text, re.S).group(1)
        yield "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', body)).replace("\\\\", "\\")


def literal(words):
    return "'{" + ",".join('"%s"' % w for w in words) + "}'"


def main():
    conninfo, schemas = sys.argv[1], literal(sys.argv[2].split(","))
    others = {"views": literal(["public"]), "routines": literal(["statement_timeout", "plan_filter.statement_cost_limit"])}
    for number, (name, sql) in enumerate(zip(ORDER, queries())):
        sql = sql.replace("$1", schemas).replace("$2", others.get(name, "'{}'"))
        out = subprocess.run(["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", conninfo, "-c", "SET search_path = ''",
                              "-c", "COPY (%s) TO STDOUT" % sql], capture_output=True, text=True)
        if out.returncode:
            sys.exit("%s: %s" % (name, out.stderr))
        for line in out.stdout.splitlines():
            print("%d\t%s" % (number, line))


main()
