"""Which answer a request gets: what the test has said, or else what the name of the request's API key says."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.fake_upstream.answers import Answer, close, error, hang, not_http, ok, plain, redirect
from tests.fake_upstream.ledger import Received
from tests.fake_upstream.wire import Reply

# Keys that name their fate. Anything may follow after "-" and a letter, so that keys can differ: sk-429-b, sk-ok-two.
KEY_NAMES: tuple[tuple[str, Callable[..., Answer]], ...] = (
    (r"sk-429-retry-(\d+)", lambda seconds: error(429, retry_after=seconds)),
    (r"sk-quota", lambda: error(429, kind="insufficient_quota", code="insufficient_quota")),
    (r"sk-(\d{3})", error),
    (r"sk-hang", hang),
    (r"sk-close", close),
    (r"sk-reset", lambda: close(reset=True)),
    (r"sk-cut-after-(\d+)", lambda pieces: ok(chunks=10, cut_after=pieces)),
    (r"sk-cut-at-(\d+)", lambda size: ok(chunks=10, cut_at=size)),
    (r"sk-reset-after-(\d+)", lambda pieces: ok(chunks=10, cut_after=pieces, reset=True)),
    (r"sk-stall-after-(\d+)", lambda pieces: ok(chunks=10, stall_after=pieces)),
    (r"sk-error-after-(\d+)", lambda pieces: ok(chunks=10, error_after=pieces)),
    (r"sk-no-terminator", lambda: ok(terminator=False)),
    (r"sk-slow-(\d+)", lambda milliseconds: ok(delay=milliseconds / 1000)),
    (r"sk-drip-(\d+)", lambda milliseconds: ok(chunks=10, gap=milliseconds / 1000)),
    (r"sk-short", lambda: ok(declared_length=100_000, framing="length")),
    (r"sk-surplus", lambda: ok(surplus=b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")),
    (r"sk-gzip", lambda: ok(gzip=True)),
    (r"sk-redirect", redirect),
    (r"sk-garbage", lambda: plain(b"<html>not what you asked for</html>", content_type="text/html")),
    (r"sk-empty", plain),
    (r"sk-not-http", not_http),
)


def by_key_name(received: Received) -> Reply:
    """The answer that the key's name asks for; any other key is a good one."""
    for pattern, answer in KEY_NAMES:
        if found := re.fullmatch(rf"{pattern}(?:-[a-z]\w*)?", received.key or ""):
            return answer(*map(int, found.groups()))(received)
    return ok()(received)


@dataclass(slots=True)
class _Rule:
    answers: tuple[Answer, ...]
    conditions: dict[str, object]
    used: int = 0

    def matches(self, received: Received) -> bool:
        return all(getattr(received, name) == wanted for name, wanted in self.conditions.items())

    def next(self) -> Answer:
        answer = self.answers[min(self.used, len(self.answers) - 1)]
        self.used += 1
        return answer


@dataclass(slots=True)
class Script:
    """Rules, the newest first; each gives its answers in turn and stays with its last."""

    _rules: list[_Rule] = field(default_factory=list)

    def on(self, *answers: Answer, **conditions: object) -> None:
        self._rules.insert(0, _Rule(answers, conditions))

    def reply(self, received: Received) -> Reply:
        rule = next((rule for rule in self._rules if rule.matches(received)), None)
        return rule.next()(received) if rule else by_key_name(received)
