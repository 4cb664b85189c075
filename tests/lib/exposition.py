#!/usr/bin/env python3
"""Checks Prometheus's text format 0.0.4 on stdin, as promtool check metrics does: names, HELP and TYPE before the
samples, families in one piece, no sample twice, histograms whole and rising. Prints what is wrong; exit status 1."""
import re
import sys

LABELS = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(,|$)')
SAMPLE = re.compile(r'^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$')
wrong, families, current, seen, samples = [], {}, None, set(), []


def labels(text, line):
    out, at = {}, 0
    while at < len(text):
        m = LABELS.match(text, at)
        if not m:
            wrong.append(f"labels: {line}")
            return out
        if m[1] in out:
            wrong.append(f"label twice: {line}")
        out[m[1]] = m[2]
        at = m.end()
    return out


data = sys.stdin.read()
if not data.endswith("\n"):
    wrong.append("no newline at the end")
for line in data.splitlines():
    if line.startswith("# HELP "):
        current = line.split(" ", 3)[2]
        if current in families:
            wrong.append(f"family twice: {current}")
        families[current] = {"type": None, "n": 0}
        if len(line.split(" ", 3)) < 4:
            wrong.append(f"empty help: {current}")
        continue
    if line.startswith("# TYPE "):
        name, kind = line.split(" ")[2:4]
        if name != current or families[name]["type"]:
            wrong.append(f"TYPE out of place: {line}")
        elif kind not in ("counter", "gauge", "histogram"):
            wrong.append(f"unknown type: {line}")
        else:
            families[name]["type"] = kind
        continue
    m = SAMPLE.match(line)
    if not m:
        wrong.append(f"no sample: {line!r}")
        continue
    name, pairs, value = m[1], labels(m[2] or "", line), m[3]
    try:
        number = float(value)
    except ValueError:
        wrong.append(f"no number: {line}")
        continue
    base = name
    if current and families[current]["type"] == "histogram":
        base = re.sub(r"_(bucket|sum|count)$", "", name)
    if base != current or not families[current]["type"]:
        wrong.append(f"sample outside its family: {line}")
        continue
    key = (name, tuple(sorted(pairs.items())))
    if key in seen:
        wrong.append(f"sample twice: {line}")
    seen.add(key)
    families[base]["n"] += 1
    if families[base]["type"] == "counter" and not name.endswith("_total"):
        wrong.append(f"counter without _total: {name}")
    if families[base]["type"] != "gauge" and number < 0:
        wrong.append(f"negative: {line}")
    samples.append((base, name, pairs, number))
for name, family in families.items():
    if not family["type"]:
        wrong.append(f"no type: {name}")
groups = {}
for base, name, pairs, number in samples:
    if families[base]["type"] == "histogram":
        rest = tuple(sorted((k, v) for k, v in pairs.items() if k != "le"))
        group = groups.setdefault((base, rest), {"le": [], "sum": None, "count": None})
        if name.endswith("_bucket"):
            group["le"].append((float(pairs.get("le", "nan")), number))
        else:
            group[name.rsplit("_", 1)[1]] = number
for (base, rest), g in groups.items():
    if not g["le"] or g["le"] != sorted(g["le"]) or g["le"][-1][0] != float("inf"):
        wrong.append(f"buckets of {base}{rest}")
    elif [n for _, n in g["le"]] != sorted(n for _, n in g["le"]) or g["le"][-1][1] != g["count"] or g["sum"] is None:
        wrong.append(f"counts of {base}{rest}")
if not samples:
    wrong.append("no samples at all")
print("\n".join(wrong) if wrong else f"{len(families)} families, {len(samples)} samples")
sys.exit(1 if wrong else 0)
