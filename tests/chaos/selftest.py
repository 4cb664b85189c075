#!/usr/bin/env python3
"""The checker is checked: each sabotage must be found as what it is, and without one nothing may be found.

    selftest.py [--binary PATH] [SABOTAGE...]

Short runs without faults over one pghttpd and one PostgreSQL: through a Front (sabotage.py), or with a proxy in front of
PostgreSQL that sends writes twice. The last line is `N passed, M failed`.
"""

import argparse
import asyncio
import pathlib
import sys

import chaos
import faults
import load
import proxy
import sabotage
from cluster import free_port
from model import Model, Violations

SECONDS = 2.0
# What must be found; other checks may fail, too.
EXPECTED = {
    "none": set(),
    "double": {"doubled"},
    "early": {"refused", "lost"},  # either: the write that PostgreSQL refuses was acknowledged
    "swallow": {"lost"},
    "disown": {"refused"},
    "mix": {"foreign"},
    "hang": {"late"},
    "rough": {"no answer"},
    "status": {"log"},
    "drop-event": {"event lost"},
    "double-event": {"event doubled"},
    "swap-events": {"event doubled"},
    "false-event": {"event doubled", "event false"},
}


class Trial:
    def __init__(self, setup, mode):
        self.setup, self.mode = setup, mode
        self.violations = Violations(lambda words: None)

    async def run(self):
        await self.setup.nodes[0].sql("truncate writes, notes")
        front = sabotage.Front(free_port(), self.setup.server.port, "none" if self.mode == "double" else self.mode)
        await front.listen()
        server = self.setup.server
        server.violations, server.life = self.violations, type(server.life)()
        server.read_log()
        server.life.logged.clear()
        work = chaos.Chaos(self.setup.args, "direct", self.violations, self.setup)
        work.run_ = run = load.Run(Model(self.violations), server, front.port, "direct", self.mode, 0.02)
        run.patience = 0.5
        work.site = faults.Site(run, server, self.setup.nodes, self.setup.proxies)
        work.load = load.Load(run)
        await self.measure(work)
        await front.stop()

    async def measure(self, work):
        work.load.start()
        await asyncio.sleep(SECONDS)
        work.load.check()
        await work.load.quiet()
        await work.drained(3)
        await work.load.stop()
        await asyncio.sleep(0.3)
        self.setup.server.judge_log()
        await work.compare()

    def found(self):
        return {check for check, n in self.violations.count.items() if n}


def judge(mode, trial):
    found, expected = trial.found(), EXPECTED[mode]
    ok = bool(found & expected) if expected else not found
    print(f"{'ok' if ok else 'not ok'} - {mode}: found {', '.join(sorted(found)) or 'nothing'}", flush=True)
    for check in found if not ok else []:
        for words in trial.violations.words[check][:3]:
            print(f"    {check}: {words}")
    return ok


async def replace_proxy(setup, kind):
    """PostgreSQL is behind a proxy of this kind from now on; connections through the former one are lost."""
    old = setup.proxies[0]
    await old.stop()
    setup.proxies[0] = kind(old.port, old.target)
    await setup.proxies[0].listen()


async def try_one(setup, mode):
    if mode == "double":
        await replace_proxy(setup, proxy.DoublingProxy)
    trial = Trial(setup, mode)
    await trial.run()
    if mode == "double":
        await replace_proxy(setup, proxy.Proxy)
    return judge(mode, trial)


async def main(args):
    setup = chaos.Setup(args, "direct", Violations())
    passed = failed = 0
    try:
        await setup.start()
        for mode in args.modes or EXPECTED:
            ok = await try_one(setup, mode)
            passed, failed = passed + ok, failed + (not ok)
    finally:
        setup.server.violations = setup.violations
        await setup.stop()
    for check, words in setup.violations.words.items():
        print(f"not ok - {check}: {words[0]}")
        failed += 1
    print(f"{passed} passed, {failed} failed")
    return failed == 0


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--binary", default=str(pathlib.Path(chaos.TOP) / "build/release/pghttpd"))
    p.add_argument("modes", nargs="*", metavar="SABOTAGE", help=", ".join(EXPECTED))
    # the rest of what chaos.Setup reads
    return p.parse_args(namespace=argparse.Namespace(workers=1, keep=False, commit_lookup=None))


if __name__ == "__main__":
    sys.exit(0 if asyncio.run(main(arguments())) else 1)
