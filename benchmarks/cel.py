"""How much an expression costs beside a Python function written by hand: `python -m benchmarks.cel [--json]`.

Each of 23 expressions of the kind that a gateway runs stands beside such a function, its floor; both are timed in
turns, from plain dicts to the result. What counts is the ratio. Other CEL engines (`cel-python`, `cel-expr-python`,
`common-expression-language`) are timed in the same turns where they are installed; none is needed.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import logging
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import repeat
from statistics import geometric_mean, median
from typing import Any, Protocol

from ai_gateway_mw.cel import DYN, INT, STRING, TIMESTAMP, Environment, ListType, MapType, Type, Variable

Data = Mapping[str, Any]
Evaluate = Callable[[Data], Any]

VARIABLES: dict[str, Type] = {
    "request": MapType(STRING, DYN),
    "caller": MapType(STRING, DYN),
    "keys": ListType(DYN),
    "models": ListType(DYN),
    "received": TIMESTAMP,
    "opened": TIMESTAMP,
    "attempts": INT,
    "limit": INT,
    "region": STRING,
}
_SHAPE = re.compile(r"^Bearer gw_[a-z]+_[0-9A-F]{24}$")
_SINCE = datetime(2025, 6, 1, tzinfo=UTC)
_WINDOW = timedelta(minutes=5)


def _key(number: int) -> dict[str, Any]:
    return {
        "id": f"k-{number:04d}",
        "left": number * 53 % 600,
        "weight": number % 9,
        "cooling": number % 11 == 0,
        "errors": {"total": number * 17 % 100 / 400, "rate_limit": number * 7 % 100 / 1000},
        "tags": {"zone": "abc"[number % 3]},
    }


def _model(number: int) -> dict[str, Any]:
    features = ["tools", "vision"] if number % 3 == 0 else ["tools"]
    return {"id": f"model-{number}", "context": 32_000 * (1 + number % 8), "features": features}


def data(keys: int) -> dict[str, Any]:
    """What a request looks like to expressions: plain dicts, lists, strings, numbers and times."""
    return {
        "request": {
            "method": "POST",
            "host": "gw.example.org",
            "path": "/v1/messages",
            "headers": {
                "host": ["gw.example.org"],
                "content-type": ["application/json"],
                "user-agent": ["sdk/4.2"],
                "authorization": ["Bearer gw_live_0123456789ABCDEF01234567"],
                "x-team": ["search"],
            },
            "body": {
                "model": "claude-sonnet-4-5",
                "max_tokens": 1024,
                "tools": [{"name": "lookup"}],
                "messages": [{"role": "user" if turn % 2 == 0 else "assistant", "content": "…"} for turn in range(7)],
            },
        },
        "caller": {"id": "u-7", "team": "search", "scopes": ["embeddings", "chat"], "budget": 50.0, "spent": 12.75},
        "keys": [_key(number) for number in range(keys)],
        "models": [_model(number) for number in range(40)],
        "received": datetime(2026, 3, 5, 14, 30, 15, tzinfo=UTC),
        "opened": datetime(2026, 3, 5, 14, 28, 2, tzinfo=UTC),
        "attempts": 2,
        "limit": 5,
        "region": "eu-central",
    }


@dataclass(frozen=True, slots=True)
class Case:
    """An expression, and the function that does the same; `keys` says how many keys the list of keys has."""

    name: str
    text: str
    floor: Evaluate
    keys: int = 5


def _tools_only(d: Data) -> bool:
    body = d["request"]["body"]
    return "tools" in body and "functions" not in body and body["max_tokens"] <= 4096


def _summary(d: Data) -> dict[str, Any]:
    body = d["request"]["body"]
    return {"team": d["caller"]["team"], "model": body["model"], "turns": len(body["messages"])}


_LEFT = "keys.filter(key, key.left > 200)"
_HEALTHY = "keys.filter(key, key.errors.total < 0.15 && !key.cooling)"


def _left(d: Data) -> list[Any]:
    return [key for key in d["keys"] if key["left"] > 200]


def _healthy(d: Data) -> list[Any]:
    return [key for key in d["keys"] if key["errors"]["total"] < 0.15 and not key["cooling"]]


CASES = (
    Case("constant", "false", lambda d: False),
    Case("arithmetic", "attempts * 2 - 1 < limit", lambda d: d["attempts"] * 2 - 1 < d["limit"]),
    Case(
        "route",
        "request.path.startsWith('/v1/') && request.method != 'GET'",
        lambda d: d["request"]["path"].startswith("/v1/") and d["request"]["method"] != "GET",
    ),
    Case(
        "hosts",
        "request.host in ['gw.example.net', 'gw.example.org'] || request.path == '/healthz'",
        lambda d: d["request"]["host"] in ("gw.example.net", "gw.example.org") or d["request"]["path"] == "/healthz",
    ),
    Case(
        "scopes",
        "'chat' in caller.scopes && caller.budget - caller.spent > 1.0",
        lambda d: "chat" in d["caller"]["scopes"] and d["caller"]["budget"] - d["caller"]["spent"] > 1.0,
    ),
    Case(
        "field guard",
        "'authorization' in request.headers && request.headers['authorization'][0].startsWith('Bearer gw_')",
        lambda d: (
            "authorization" in d["request"]["headers"]
            and d["request"]["headers"]["authorization"][0].startswith("Bearer gw_")
        ),
    ),
    Case(
        "pattern",
        "request.headers['authorization'][0].matches('^Bearer gw_[a-z]+_[0-9A-F]{24}$')",
        lambda d: _SHAPE.search(d["request"]["headers"]["authorization"][0]) is not None,
    ),
    Case(
        "some field",
        "request.headers.exists(name, name.endsWith('-team'))",
        lambda d: any(name.endswith("-team") for name in d["request"]["headers"]),
    ),
    Case(
        "joined text",
        "caller.team + ':' + request.body.model + ':' + region",
        lambda d: d["caller"]["team"] + ":" + d["request"]["body"]["model"] + ":" + d["region"],
    ),
    Case(
        "presence",
        "has(request.body.tools) && !has(request.body.functions) && request.body.max_tokens <= 4096",
        _tools_only,
    ),
    Case(
        "choice",
        "attempts > 3 ? region : caller.team",
        lambda d: d["region"] if d["attempts"] > 3 else d["caller"]["team"],
    ),
    Case(
        "time window",
        "received - opened < duration('5m') && opened > timestamp('2025-06-01T00:00:00Z')",
        lambda d: d["received"] - d["opened"] < _WINDOW and d["opened"] > _SINCE,
    ),
    Case(
        "time of day",
        "received.getHours() < 8 || received.getDayOfWeek() == 4",
        lambda d: d["received"].hour < 8 or d["received"].isoweekday() % 7 == 4,
    ),
    Case(
        "map made",
        "{'team': caller.team, 'model': request.body.model, 'turns': size(request.body.messages)}",
        _summary,
    ),
    Case("quota of 5", _LEFT, _left, keys=5),
    Case("quota of 60", _LEFT, _left, keys=60),
    Case("quota of 500", _LEFT, _left, keys=500),
    Case("errors of 60", _HEALTHY, _healthy, keys=60),
    Case("errors of 500", _HEALTHY, _healthy, keys=500),
    Case(
        "search of 60",
        "keys.exists(key, key.id == 'k-0055' && key.tags.zone == 'b')",
        lambda d: any(key["id"] == "k-0055" and key["tags"]["zone"] == "b" for key in d["keys"]),
        keys=60,
    ),
    Case(
        "all of 500",
        "keys.all(key, key.left >= 0 && key.weight < 10)",
        lambda d: all(key["left"] >= 0 and key["weight"] < 10 for key in d["keys"]),
        keys=500,
    ),
    Case(
        "names",
        "models.filter(model, model.context > 100000 && 'vision' in model.features).map(model, model.id)",
        lambda d: [
            model["id"] for model in d["models"] if model["context"] > 100_000 and "vision" in model["features"]
        ],
    ),
    Case(
        "roles",
        "request.body.messages.all(message, message.role in ['user', 'assistant', 'system'])",
        lambda d: all(m["role"] in ("user", "assistant", "system") for m in d["request"]["body"]["messages"]),
    ),
)


class Engine(Protocol):
    """What turns a text into a function of plain data."""

    def __call__(self, text: str) -> Evaluate: ...


def ours() -> Engine:
    environment = Environment(variables=[Variable(name, type_) for name, type_ in VARIABLES.items()])
    return environment.expression


def _cel_python() -> Engine:
    logging.disable(logging.WARNING)  # it tells of every value that it meets
    celpy = importlib.import_module("celpy")
    environment = celpy.Environment()

    def compiled(text: str) -> Evaluate:
        program = environment.program(environment.compile(text))
        return lambda d: program.evaluate({name: celpy.json_to_cel(value) for name, value in d.items()})

    return compiled


def _cel_expr_python() -> Engine:
    cel = importlib.import_module("cel_expr_python.cel")
    known = {INT: cel.Type.INT, STRING: cel.Type.STRING, TIMESTAMP: cel.Type.TIMESTAMP, DYN: cel.Type.DYN}
    many = {"list": cel.Type.List, "map": cel.Type.Map}

    def type_of(type_: Type) -> Any:
        return known[type_] if type_ in known else many[type_.name](*map(type_of, type_.params))

    environment = cel.NewEnv(variables={name: type_of(type_) for name, type_ in VARIABLES.items()})

    def compiled(text: str) -> Evaluate:
        expression = environment.compile(text)
        return lambda d: expression.eval(data=d).plain_value()

    return compiled


def _common_expression_language() -> Engine:
    cel = importlib.import_module("cel")

    def compiled(text: str) -> Evaluate:
        program: Evaluate = cel.compile(text).execute
        return program

    return compiled


PEERS: dict[str, Callable[[], Engine]] = {
    "cel-expr-python": _cel_expr_python,
    "common-expression-language": _common_expression_language,
    "cel-python": _cel_python,
}


def installed() -> dict[str, Engine]:
    """Ours, and the peers that can be imported."""
    engines = {"ours": ours()}
    for name, make in PEERS.items():
        try:
            engines[name] = make()
        except ImportError:
            continue
    return engines


def same(found: Any, expected: Any) -> bool:
    """True if a peer's value is what the floor gives, whatever classes the peer uses for numbers and texts."""
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(same, found, expected))
    if isinstance(expected, dict):
        return len(found) == len(expected) and all(same(found[key], value) for key, value in expected.items())
    return bool(found == expected)


def _runnable(case: Case, engines: Mapping[str, Engine], given: Data) -> dict[str, Callable[[], Any]]:
    """The floor, and what each engine that gives the same makes of the expression."""
    expected = case.floor(given)
    runs: dict[str, Callable[[], Any]] = {"floor": lambda: case.floor(given)}
    for name, engine in engines.items():
        try:
            run = engine(case.text)
            right = same(run(given), expected)
        except Exception:  # noqa: BLE001 - a peer may lack something
            right = False
        if right:
            runs[name] = lambda run=run: run(given)  # type: ignore[misc]
        elif name == "ours":
            raise SystemExit(f"`{case.text}` does not give what its floor gives")
    return runs


def _turn(run: Callable[[], Any], calls: int) -> float:
    start = time.perf_counter()
    for _ in repeat(None, calls):
        run()
    return (time.perf_counter() - start) / calls


def _calls(run: Callable[[], Any], seconds: float) -> int:
    """How many calls take about so long."""
    calls, once = 1, _turn(run, 1)
    while calls * once < seconds / 10:
        calls *= 4
        once = _turn(run, calls)
    return max(1, int(seconds / once))


def in_turns(runs: Mapping[str, Callable[[], Any]], *, seconds: float, rounds: int = 9) -> dict[str, float]:
    """Median seconds of a call of each, taken in turns; after three rounds it ends when the time is over."""
    end = time.perf_counter() + seconds
    each = seconds / (rounds + 2) / len(runs)
    calls = {name: _calls(run, each) for name, run in runs.items()}
    seen: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds):
        if number >= 3 and time.perf_counter() > end:
            break
        for name in list(runs)[:: 1 if number % 2 else -1]:
            seen[name].append(_turn(runs[name], calls[name]))
    return {name: median(times) for name, times in seen.items()}


def measured(case: Case, engines: Mapping[str, Engine], *, seconds: float) -> dict[str, Any]:
    """One expression: nanoseconds of the floor, how many times as long each engine takes, and what compiling takes."""
    compiled = engines["ours"]
    words = set(re.findall(r"\w+", case.text))
    given = {name: value for name, value in data(case.keys).items() if name in words}
    times = in_turns(_runnable(case, engines, given), seconds=seconds * 0.9)
    floor = times.pop("floor")
    compiling = in_turns({"compile": lambda: compiled(case.text)}, seconds=seconds * 0.1)["compile"]
    ratios = {name: times[name] / floor if name in times else None for name in engines}
    return {"text": case.text, "floor_ns": floor * 1e9, "ratios": ratios, "compile_us": compiling * 1e6}


def import_ms(rounds: int = 7) -> dict[str, float]:
    """A fresh interpreter that imports the engine, beside one that imports nothing."""
    programs = {"empty": "pass", "import": "import ai_gateway_mw.cel"}
    seen: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(rounds + 1):
        for name, program in programs.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", program], check=True)
            seen[name].append((time.perf_counter() - start) * 1e3)
    first_left_out = {name: median(times[1:]) for name, times in seen.items()}
    return {**first_left_out, "more": first_left_out["import"] - first_left_out["empty"]}


def run(*, seconds: float) -> dict[str, Any]:
    """Every case's figures, and what they come to."""
    engines = installed()
    gc.collect()
    gc.disable()
    try:
        cases = {case.name: measured(case, engines, seconds=seconds / len(CASES)) for case in CASES}
    finally:
        gc.enable()
    means = {name: _mean(case["ratios"][name] for case in cases.values()) for name in engines}
    compiling = [case["compile_us"] for case in cases.values()]
    compile_us = {"median": median(compiling), "most": max(compiling)}
    return {"cases": cases, "geometric_mean": means, "compile_us": compile_us, "import_ms": import_ms()}


def _mean(ratios: Iterable[float | None]) -> float | None:
    known = [ratio for ratio in ratios if ratio is not None]
    return geometric_mean(known) if known else None


def table(result: dict[str, Any]) -> str:
    engines = list(result["geometric_mean"])
    head = "".join(f" {name[:16]:>16}" for name in engines)
    lines = [f"{'':15} {'floor ns':>10} {'compile µs':>11}{head}"]
    for name, case in result["cases"].items():
        ratios = "".join(_shown(case["ratios"][engine]) for engine in engines)
        lines.append(f"{name:15} {case['floor_ns']:10.0f} {case['compile_us']:11.0f}{ratios}")
    means = "".join(_shown(mean) for mean in result["geometric_mean"].values())
    lines.append(f"{'geometric mean':15} {'':10} {result['compile_us']['median']:11.0f}{means}")
    imports = result["import_ms"]
    lines.append(
        f"import ai_gateway_mw.cel: {imports['more']:.0f} ms more than an interpreter's {imports['empty']:.0f} ms"
    )
    return "\n".join(lines)


def _shown(ratio: float | None) -> str:
    return f" {'-':>16}" if ratio is None else f" {ratio:15.{1 if ratio < 100 else 0}f}x"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cel", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=15.0, help="how long to measure, all in all (default 15)")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    options = parser.parse_args()
    result = run(seconds=options.seconds)
    print(json.dumps(result, indent=2) if options.json else table(result))


if __name__ == "__main__":
    main()
