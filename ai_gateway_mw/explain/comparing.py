"""Which requests two policies answer otherwise: the same request to both, and what comes of it side by side."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import httpx

from ai_gateway_mw.errors import PolicyError, Problem
from ai_gateway_mw.explain.asked import Asked, NoRequest
from ai_gateway_mw.explain.course import Course
from ai_gateway_mw.explain.exchanges import load_exchanges
from ai_gateway_mw.explain.judging import Difference, asked_of
from ai_gateway_mw.explain.rehearsal import Rehearsal
from ai_gateway_mw.explain.script import Answers, Script
from ai_gateway_mw.policy import Policy
from ai_gateway_mw.settings import Settings

if TYPE_CHECKING:
    from ai_gateway_mw.middleware import Gateway

_OURS: Final = "x-request-id"


@dataclass(frozen=True, slots=True)
class Sample:
    """A request to compare by; `times` is how often the log has it."""

    name: str
    asked: Asked
    key: str | None = None
    times: int = 1
    upstream: tuple[tuple[str, Answers], ...] = ()


@dataclass(frozen=True, slots=True)
class Compared:
    """A request that is answered otherwise: what was expected of the old policy is what there was."""

    sample: Sample
    differences: Sequence[Difference]

    def as_json(self) -> dict[str, Any]:
        differences = [{"what": one.what, "old": one.expected, "new": one.got} for one in self.differences]
        return {"request": self.sample.name, "times": self.sample.times, "differences": differences}


def samples_of(path: Path, key: str | None = None) -> list[Sample]:
    """The requests of a request log (JSON lines) or of an exchanges.yaml. Raises `PolicyError`, and `NoRequest`."""
    if path.suffix in (".yaml", ".yml"):
        return [
            Sample(str(each.name), asked_of(each.request), each.request.key or key, 1, tuple(each.upstream.items()))
            for each in load_exchanges(path).exchanges
        ]
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise PolicyError([Problem(f"{path}: cannot be read: {error.strerror or error}")]) from None
    counted = Counter(_logged(lines))
    if not counted:
        raise PolicyError([Problem(f"{path}: holds no lines of a request log")])
    return [_sample(*logged, key, times) for logged, times in counted.items()]


def _logged(lines: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """Method, path and model of each record; a logger may have put something before it."""
    for line in lines:
        try:
            record = json.loads(line[line.index("{") :])
            yield str(record["method"]), str(record["path"]), str(record.get("model") or "")
        except (ValueError, KeyError, TypeError):
            continue


def _sample(method: str, path: str, model: str, key: str | None, times: int) -> Sample:
    """The log holds no bodies: the one made here names the model that was used."""
    body = json.dumps({"model": model, "messages": []} if model else {"messages": []}).encode()
    asked = Asked(method, path, (), body if method == "POST" else b"")
    return Sample(f"{method} {path}{f' for {model}' if model else ''}", asked, key, times)


async def compared(
    old: Policy, new: Policy, settings: Settings, make: Callable[..., Gateway], samples: Sequence[Sample]
) -> list[Compared]:
    """The requests that are answered otherwise by the new policy. Raises `PolicyError` and `NoRequest`."""
    found = []
    async with AsyncExitStack() as stack:
        before = await stack.enter_async_context(Rehearsal(old, settings, make, own_secrets=False))
        after = await stack.enter_async_context(Rehearsal(new, settings, make, own_secrets=False))
        for sample in samples:
            courses = [await _course(rehearsal, sample) for rehearsal in (before, after)]
            differences = list(_differences(*courses))
            if differences:
                found.append(Compared(sample, differences))
    return found


async def _course(rehearsal: Rehearsal, sample: Sample) -> Course:
    script = Script(dict(sample.upstream))

    async def answer(request: httpx.Request) -> httpx.Response:
        return script.answer(request, rehearsal.names_of_turn)

    rehearsal.providers.answer = answer
    rehearsal.gateway.stores.random.seed(1)  # chance shall make no difference
    return await rehearsal.ask(sample.asked, sample.key)


def _differences(old: Course, new: Course) -> Iterator[Difference]:
    for (what, one), (_, other) in zip(_facts(old), _facts(new), strict=True):
        if one != other:
            yield Difference(what, one, other)


def _facts(course: Course) -> list[tuple[str, Any]]:
    """What a client or a provider would notice."""
    request_id = dict(course.fields).get(_OURS, "")
    body = course.answer.replace(request_id, "") if request_id else course.answer
    return [
        ("status", course.status),
        ("refused", course.refused and course.refused["code"]),
        ("models", [one.name for one in course.models if one.order is not None]),
        ("keys", [one.name for one in course.keys if one.order is not None]),
        ("tried", course.tried),
        ("headers", [f"{name}: {value}" for name, value in course.fields if name != _OURS]),
        ("body", body),
        ("sent", [_sent_text(course, place) for place in range(len(course.sent))]),
    ]


def _sent_text(course: Course, place: int) -> str:
    sent = course.sent[place]
    head = [f"{sent.method} {sent.url}", *(f"{name.lower()}: {value}" for name, value in sent.fields)]
    return "\n".join([*head, "", sent.content])


__all__ = ["Compared", "NoRequest", "Sample", "compared", "samples_of"]
