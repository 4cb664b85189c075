"""What a run prints: figures, recovery by kind of fault, one line for each check, and the sum."""

from model import CHECKS, Fate

RECOVERY = ("app1", "app2", "rest", "event", "ready")  # of what: two logins of /sql, ...


def answers(run):
    """Which errors of service the clients got, by fault."""
    rows = [("fault", "route", "status", "code", "count")]
    rows += [(*key, n) for key, n in sorted(run.failed.items())]
    print("\nanswers of 5xx and 57014")
    table(rows)


def table(rows):
    widths = [max(len(str(r[i])) for r in rows) for i in range(len(rows[0]))]
    for row in rows:
        print("  " + "  ".join(str(c).ljust(w) if i == 0 else str(c).rjust(w) for i, (c, w) in enumerate(zip(row, widths))))


def figures(run, faults, seconds):
    model = run.model
    f = model.fates
    events = sum(r.events for r in model.readers)
    print(f"\n{seconds:.0f} s, {run.requests} requests, {sum(faults.values())} faults of {len(faults)} kinds")
    print(f"writes: {f[Fate.OK]} acknowledged, {f[Fate.NO]} refused, {f[Fate.UNKNOWN]} unknown (08007), "
          f"{f[Fate.LEFT]} whose client left, {f[Fate.CUT]} cut off by the end of pghttpd")  # fmt: skip
    print(f"events: {events}, {sum(r.gaps for r in model.readers)} gaps, {sum(r.overflows for r in model.readers)} overflows")
    if model.unknown_by:
        in_time = sum(d.in_time for d in run.doubts)
        print(f"unknown where the database came back in time: {in_time}; by fault: " + ", ".join(f"{k} {n}" for k, n in model.unknown_by.most_common()))


def recovery(times):
    """times: {kind: [{column: seconds}]}"""
    print("\nrecovery after a fault was lifted, in seconds (median / worst)")
    rows = [("fault", "count", *RECOVERY)]
    for kind in sorted(times):
        cells = []
        for column in RECOVERY:
            got = sorted(t[column] for t in times[kind] if t.get(column) is not None)
            cells.append(f"{got[len(got) // 2]:.2f} / {got[-1]:.2f}" if got else "-")
        rows.append((kind, len(times[kind]), *cells))
    table(rows)


def checks(violations):
    """Prints a line for each; returns (passed, failed)."""
    print()
    failed = 0
    for check, words in CHECKS.items():
        n = violations.count[check]
        failed += n > 0
        print(f"{'not ok' if n else 'ok'} - {words}" + (f" ({n} times not)" if n else ""))
        for example in violations.words[check] if n else []:
            print(f"    {example}")
    return len(CHECKS) - failed, failed


def total(passed, failed):
    print(f"{passed} passed, {failed} failed")
