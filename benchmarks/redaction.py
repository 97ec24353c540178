"""What `redact` costs: `python -m benchmarks.redaction [--rounds N] [--json]`.

Bodies of ordinary English in a chat request, through all presets; and a stream of a token in each message, with no
rule, with a find-replace of each message, with one across messages, and through all presets. The least of several
rounds counts: it is what the work costs when nothing else disturbs.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from ai_gateway_mw.actions.redact import Redact
from ai_gateway_mw.policy import Phase
from ai_gateway_mw.runtime import Runtime
from ai_gateway_mw.settings import Settings
from ai_gateway_mw.stores import Stores
from ai_gateway_mw.streams import EventMessage, MessageCutter, Windows
from ai_gateway_mw.texts import Replacer, expander, replaced

_TEXT: Final = (
    "The quick brown fox jumps over the lazy dog, and in 2024 some 1,234 people saw it. They wrote to the editor; "
    "nobody answered for 12 days. "
)
_TOKENS: Final = 400
_SSN: Final = r"\b\d{3}-\d{2}-\d{4}\b"


def prompt(size: int) -> bytes:
    """A chat request whose text has about so many bytes."""
    text = _TEXT * (size // len(_TEXT) + 1)
    return json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": text[:size]}]}).encode()


def stream() -> bytes:
    """A chat stream of 400 words."""
    words = [f"{word} " for word in (_TEXT * _TOKENS).split()[:_TOKENS]]
    bodies = [{"id": "c", "object": "chunk", "choices": [{"index": 0, "delta": {"content": word}}]} for word in words]
    return b"".join(b"data: " + json.dumps(body).encode() + b"\n\n" for body in bodies)


def _action(phase: Phase) -> Any:
    return Redact(Redact.Config(), Runtime(Stores(Settings()), phase))


def through_windows(events: bytes, replacers: Sequence[Replacer]) -> None:
    """A stream cut into messages and through these replacers, across messages."""
    windows = Windows()
    for raw in MessageCutter().feed(events):
        windows.take(EventMessage(raw), replacers)
    windows.flush()


def message_by_message(events: bytes, replacer: Replacer) -> None:
    """The same with each message for itself."""
    for raw in MessageCutter().feed(events):
        replaced(EventMessage(raw).data, replacer)


def least(work: Callable[[], object], rounds: int) -> float:
    """Microseconds of the quickest round."""
    best = float("inf")
    for _ in range(rounds):
        begun = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - begun)
    return best * 1e6


def measured(rounds: int) -> dict[str, float]:
    """Microseconds: for a request of 1 KiB and of 64 KiB, and for one message of a stream."""
    edit = _action(Phase.ON_HTTP_REQUEST)._edit({})
    every = _action(Phase.ON_EVENT_STREAM_MESSAGE)._replacers
    across, alone, events = Replacer(_SSN, expander("#"), reach=64), Replacer(_SSN, expander("#")), stream()
    rows: dict[str, float] = {}
    for size in (1, 64):
        body = prompt(size * 1024)
        rows[f"redact a request of {size} KiB"] = least(partial(edit, body), rounds)
    streams: dict[str, Callable[[], object]] = {
        "cut a message": lambda: through_windows(events, ()),
        "find-replace in a message": lambda: message_by_message(events, alone),
        "find-replace across messages": lambda: through_windows(events, [across]),
        "redact across messages": lambda: through_windows(events, every),
    }
    return rows | {name: least(work, rounds) / _TOKENS for name, work in streams.items()}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    rows = measured(options.rounds)
    if options.json:
        json.dump(rows, sys.stdout)
        return
    for name, microseconds in rows.items():
        print(f"{name:<32} {microseconds:>10.1f} us")


if __name__ == "__main__":
    main()
