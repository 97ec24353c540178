"""Runs the exchanges of a file, and says in what each of them came out otherwise than expected."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from ai_gateway_mw.errors import Place, PolicyError, Problem
from ai_gateway_mw.explain.asked import Asked, NoRequest, numbered, of_data
from ai_gateway_mw.explain.course import Course, Sent
from ai_gateway_mw.explain.doubles import Providers
from ai_gateway_mw.explain.exchanges import (
    Exchange,
    Exchanges,
    Expected,
    Request,
    SentExpected,
    load_exchanges,
    policy_of,
)
from ai_gateway_mw.explain.rehearsal import Rehearsal
from ai_gateway_mw.explain.script import Script
from ai_gateway_mw.policy import Policy, load_file
from ai_gateway_mw.settings import Settings

if TYPE_CHECKING:
    from ai_gateway_mw.middleware import Gateway


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that came out otherwise: what it is, what was expected, and what there was."""

    what: str
    expected: Any
    got: Any


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one exchange; without differences it passed."""

    file: str
    name: str
    place: Place
    differences: Sequence[Difference] = ()
    course: Course | None = field(default=None, repr=False)

    @property
    def passed(self) -> bool:
        return not self.differences

    def as_json(self) -> dict[str, Any]:
        differences = [{"what": d.what, "expected": d.expected, "got": d.got} for d in self.differences]
        place = {"file": self.file, "line": self.place.line, "column": self.place.column}
        return {**place, "name": self.name, "passed": self.passed, "differences": differences}


async def judged(path: Path, settings: Settings, make: Callable[..., Gateway]) -> list[Verdict]:
    """The verdicts on a file of exchanges. Raises `PolicyError` where it, or its policy, cannot be used."""
    exchanges = load_exchanges(path)
    run = _Run(path, exchanges, load_file(policy_of(path, exchanges), strict=False), settings, make)
    try:
        return [await run.verdict(exchange) for exchange in exchanges.exchanges]
    finally:
        await run.aclose()


async def explained(
    text: str,
    policy: Policy,
    settings: Settings,
    make: Callable[..., Gateway],
    edited: Callable[[Asked], Asked],
    key: str | None = None,
) -> Course:
    """What this policy does with an exchange, `FILE` or `FILE#3` (counted from 1), once those before it have taken
    place; its request is edited first, and `key` comes before the key that it has. Raises `PolicyError`, and
    `NoRequest`."""
    name, number = numbered(text)
    path = Path(name)
    try:
        exchanges = load_exchanges(path)
    except PolicyError as error:
        raise NoRequest(str(error)) from None
    if not 0 < number <= len(exchanges.exchanges):
        raise NoRequest(f"{path}: there is no exchange {number}")
    *before, wanted = exchanges.exchanges[:number]
    run = _Run(path, exchanges, policy, settings, make)
    try:
        for exchange in before:
            ask = await run.asking(exchange)
            for _ in range(exchange.repeat):
                await ask()
        return await (await run.asking(wanted, edited, key))()
    finally:
        await run.aclose()


def asked_of(request: Request) -> Asked:
    """The request as it is asked. Raises `NoRequest`."""
    data: dict[str, Any] = {"path": request.path, "headers": request.headers, "body": request.body, "ip": request.ip}
    body_or_chat = request.body is not None or request.path == Asked().target
    return of_data({**data, "method": request.method or ("POST" if body_or_chat else "GET")})


class _Run:
    """One file; a gateway for each gateway key that clients pretend, and for each fresh beginning."""

    def __init__(
        self, path: Path, exchanges: Exchanges, policy: Policy, settings: Settings, make: Callable[..., Gateway]
    ) -> None:
        self._path = path
        self._make = make
        self._settings = settings
        self._policy = policy
        self._given = {vault: {n: str(v) for n, v in names.items()} for vault, names in exchanges.secrets.items()}
        self._rehearsal: Rehearsal | None = None
        self._key: str | None = None

    async def asking(
        self, exchange: Exchange, edited: Callable[[Asked], Asked] | None = None, key: str | None = None
    ) -> Callable[[], Awaitable[Course]]:
        """What sends its request once more, to providers that go on with their answers."""
        rehearsal = await self._ready(exchange)
        script = Script(exchange.upstream)

        async def answer(request: httpx.Request) -> httpx.Response:
            return script.answer(request, rehearsal.names_of_turn)

        async def ask() -> Course:
            asked = asked_of(exchange.request)
            return await rehearsal.ask(asked if edited is None else edited(asked), key or exchange.request.key)

        rehearsal.providers.answer = answer
        return ask

    async def verdict(self, exchange: Exchange) -> Verdict:
        ask = await self.asking(exchange)
        course, found = None, []
        for _ in range(exchange.repeat):
            try:
                course = await ask()
            except NoRequest as error:
                raise PolicyError([Problem(str(error), exchange.name.place_of())]) from None
            found = list(_differences(exchange.expect, course))
            if found:
                break
        return Verdict(str(self._path), str(exchange.name), exchange.name.place_of(), found, course)

    async def _ready(self, exchange: Exchange) -> Rehearsal:
        if self._rehearsal is None or exchange.fresh:
            await self.aclose()
            self._rehearsal = Rehearsal(
                self._policy, self._settings, self._make, providers=Providers(), given=self._given, own_secrets=False
            )
        return self._rehearsal

    async def aclose(self) -> None:
        if self._rehearsal is not None:
            await self._rehearsal.aclose()
            self._rehearsal = None


def _differences(expected: Expected, course: Course) -> Iterator[Difference]:
    simple: list[tuple[str, Any, Any]] = [
        ("status", expected.status, course.status),
        ("refused", expected.refused, course.refused and course.refused["code"]),
        ("matched", expected.matched, [rule.name for rule in course.matched]),
        ("tried", expected.tried, course.tried),
        ("models", expected.models, [one.name for one in course.models if one.order is not None]),
        ("keys", expected.keys, [one.name for one in course.keys if one.order is not None]),
    ]
    for what, wanted, got in simple:
        listed = list(wanted) if isinstance(wanted, tuple) else wanted
        if listed is not None and listed != got:
            yield Difference(what, listed, got)
    if expected.tried_any_order is not None and Counter(expected.tried_any_order) != Counter(course.tried):
        yield Difference("tried_any_order", sorted(expected.tried_any_order), sorted(course.tried))
    yield from _fields("headers", expected.headers, course.fields)
    yield from _body("body", expected.body, course.answer)
    if expected.body_contains is not None and expected.body_contains not in course.answer:
        yield Difference("body_contains", expected.body_contains, course.answer)
    for name, value in expected.vars.items():
        if course.vars.get(name) != value:
            yield Difference(f"vars.{name}", value, course.vars.get(name))
    if expected.sent is not None:
        yield from _all_sent(expected.sent, course.sent)


def _all_sent(expected: Sequence[SentExpected], sent: Sequence[Sent]) -> Iterator[Difference]:
    if len(expected) != len(sent):
        yield Difference("number of requests sent", len(expected), len(sent))
    for number, (wanted, got) in enumerate(zip(expected, sent, strict=False), 1):
        to = f"{got.candidate} with {got.key}" if got.key else got.candidate
        for what, one, other in (
            ("to", wanted.to, to),
            ("method", wanted.method, got.method),
            ("url", wanted.url, got.url),
        ):
            if one is not None and one != other:
                yield Difference(f"sent[{number}].{what}", one, other)
        yield from _fields(f"sent[{number}].headers", wanted.headers, got.fields)
        yield from _body(f"sent[{number}].body", wanted.body, got.content)


def _fields(what: str, expected: Mapping[str, Any], got: Sequence[tuple[str, str]]) -> Iterator[Difference]:
    there: dict[str, str] = {}
    for name, value in got:
        there[name.lower()] = f"{there[name.lower()]}, {value}" if name.lower() in there else value
    for name, value in expected.items():
        found = there.get(name.lower())
        if found != value:
            yield Difference(f"{what}.{name}", value and str(value), found)


def _body(what: str, expected: Any, got: str) -> Iterator[Difference]:
    if expected is None:
        return
    if isinstance(expected, str):
        if expected != got:
            yield Difference(what, str(expected), got)
        return
    try:
        value = json.loads(got)
    except ValueError:
        yield Difference(what, expected, got)
        return
    yield from _members(what, expected, value)


def _members(what: str, expected: Any, got: Any) -> Iterator[Difference]:
    """What is missing of what must be there at least."""
    if isinstance(expected, dict) and isinstance(got, dict):
        for name, value in expected.items():
            if name not in got:
                yield Difference(f"{what}.{name}", value, None)
            else:
                yield from _members(f"{what}.{name}", value, got[name])
    elif isinstance(expected, list) and isinstance(got, list) and len(expected) == len(got):
        for number, (one, other) in enumerate(zip(expected, got, strict=True)):
            yield from _members(f"{what}[{number}]", one, other)
    elif expected != got:
        yield Difference(what, expected, got)
