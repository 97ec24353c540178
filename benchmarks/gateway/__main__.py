"""`python -m benchmarks.gateway [--quick] [--json] [--only MEASURE] [--servers NAMES]`.

Starts a mock provider, every proxy that is installed, and the gateway, on loopback; the servers share one core, load
and provider another. They are measured in turns, so that what else the machine does meets all of them. What counts
are processor time and ratios; milliseconds are this machine's.
"""

from __future__ import annotations

import argparse
import gc
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Final

from benchmarks import compile_package
from benchmarks.gateway import crowds, growth, processes, requests
from benchmarks.gateway.bench import FULL, QUICK, Bench, Effort, run
from benchmarks.gateway.load import closed
from benchmarks.gateway.results import Result, table
from benchmarks.gateway.servers import KINDS, NotStarted, Server, installed, running, upstream
from benchmarks.gateway.wire import chat
from benchmarks.progress import progress

MEASURES: Final[Mapping[str, Callable[[Bench], Result]]] = {
    "memory": requests.memory,
    "throughput": requests.throughput,
    "latency": requests.latency,
    "events": requests.events,
    "streams": crowds.streams,
    "beside": crowds.beside,
    "slow": crowds.slow,
    "overload": crowds.overload,
    "prompts": requests.prompts,
    "connections": requests.connections,
    "growth": growth.growth,
}


@contextmanager
def started(servers: Sequence[str], effort: Effort, say: Callable[[str], None]) -> Iterator[Bench]:
    """What is measured, up and answering. All processes end with it."""
    found, missing = installed(servers)
    for kind in missing:
        say(f"{kind.name} is not installed ({kind.about}): left out")
    with ExitStack() as stack:
        stack.enter_context(processes.pinned(processes.cores()[1]))
        stack.enter_context(_no_collections())
        processes.raise_file_limit()
        provider = stack.enter_context(upstream())
        up = [Server("direct", provider)]
        for kind in found:
            say(f"starting {kind.name}")
            try:
                up.append(stack.enter_context(running(kind, provider)))
            except NotStarted as error:
                if kind.name.startswith("gateway"):
                    raise SystemExit(str(error)) from None
                say(f"{error}\nleft out")
        yield Bench(up, provider, effort, say)


def measured(name: str, bench: Bench) -> Result:
    """One measure, of servers that are warm; but what a server takes when idle is asked before that."""
    if name != "memory":
        for server in bench.servers:
            run(closed(server.port, chat(), connections=8, seconds=0.1))
    bench.say(f"{name}:")
    return MEASURES[name](bench)


@contextmanager
def _no_collections() -> Iterator[None]:
    """A collection in the load would show as a delay of whoever is being measured."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    kinds = [kind.name for kind in KINDS]
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gateway",
        description="The gateway beside other proxies, under one load, in front of a mock provider.",
        epilog=f"Measures: {', '.join(MEASURES)}. Servers: {', '.join(kinds)}; those not installed are left out.",
    )
    parser.add_argument("--quick", action="store_true", help="about a minute instead of eight or more")
    parser.add_argument("--only", action="append", metavar="MEASURE", choices=list(MEASURES), help="may be repeated")
    parser.add_argument("--servers", metavar="NAMES", help="separated by commas")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    options = parser.parse_args(arguments)
    options.servers = options.servers.split(",") if options.servers else kinds
    unknown = [name for name in options.servers if name not in kinds]
    if unknown:
        parser.error(f"no such server: {', '.join(unknown)}; there are {', '.join(kinds)}")
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    options = _options(arguments)
    compile_package()
    results = {}
    with started(options.servers, QUICK if options.quick else FULL, progress()) as bench:
        for name in options.only or MEASURES:
            result = measured(name, bench)
            results[name] = result.as_json()
            if not options.json:
                print(f"\n{table(result)}", flush=True)
    if options.json:
        print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
