"""`python -m benchmarks.contract NAME`: shows one promise, or `all`; the exit code is 1 where one is broken."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from importlib import import_module
from typing import Any

from benchmarks import compile_package
from benchmarks.contract.verdict import Effort, Verdict
from benchmarks.progress import progress

PROMISES = {
    "p1": ("p1_failover", "every fault of the matrix: one whole answer each, from whom the matrix says"),
    "p2": ("p2_cuts", "streams cut at random bytes never look complete, read by the real SDKs"),
    "p3": ("p2_cuts", "the same cuts: nobody else is asked after the first content"),
    "p5": ("p5_leaving", "a client that leaves ends the upstream call, in every phase"),
    "p6": ("p6_revocation", "a revoked key is dead in every worker within a second, and its streams with it"),
    "p10": ("p10_isolation", "100,000 requests, surplus bytes among them: no answer reaches another client"),
    "p11": (
        "p11_audit",
        "nothing reaches a provider before the audit log has it, whose every edit is found",
    ),
    "p12": ("p12_crash", "50 times SIGKILL under load: nothing that was committed is lost, nothing spent is forgotten"),
    "p13": ("p13_limits", "bursts at the boundary of a limit: exactly what is left passes, in all workers"),
    "p14": ("p14_reloads", "reloads under load: none fails, and a bad policy leaves the last in force"),
    "p15": ("p15_soak", "minutes of streams and faults: memory, files and tasks are in the end what they were"),
    "p17": ("p17_bulkheads", "a provider that hangs takes nothing from the others"),
    "p18": ("p18_shutdown", "SIGTERM with 100 open streams: none is cut silently"),
    "p19": ("p19_recovery", "a provider that was down is probed by one request at a time"),
}


def shown(name: str, effort: Effort) -> Verdict:
    """The verdict of one campaign."""
    campaign: Callable[[Effort], Coroutine[Any, Any, Verdict]]
    campaign = import_module(f"benchmarks.contract.{PROMISES[name][0]}").campaign
    begun = time.monotonic()
    verdict = asyncio.run(campaign(effort))
    verdict.counts["seconds"] = round(time.monotonic() - begun, 1)
    return verdict


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.contract",
        description="Promises of failover and of gateway keys, shown on a real gateway before providers that fail.",
        epilog="; ".join(f"{name}: {about}" for name, (_, about) in PROMISES.items()),
    )
    parser.add_argument("names", nargs="*", choices=[*PROMISES, "all", []], metavar="NAME", help="without one: a list")
    parser.add_argument("--quick", action="store_true", help="seconds instead of minutes")
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies what a full run does")
    parser.add_argument("--json", action="store_true", help="print the verdicts as JSON")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    if not options.names:
        print("\n".join(f"{name:<4} {about}" for name, (_, about) in PROMISES.items()))
        return 0
    compile_package()
    verdicts = []
    for name in PROMISES if "all" in options.names else options.names:
        verdict = shown(name, Effort(options.quick, options.scale, progress(name)))
        verdicts.append(verdict)
        if not options.json:
            print(verdict, flush=True)
    if options.json:
        print(json.dumps([verdict.as_json() for verdict in verdicts], indent=2))
    return 0 if all(verdict.kept for verdict in verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
