"""What became of a request, written for people."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, Final

from ai_gateway_mw.explain.course import ActionTaken, Considered, Course, RuleTaken, Sent

Line = tuple[str, str]  # a text, and its style

_VERDICTS: Final = {
    "matched": ("✓", "bold green"),
    "not matched": ("·", "dim"),
    "not reached": ("·", "dim"),
    "failed": ("✗", "bold red"),
}
_OUTCOMES: Final = {
    "refused": "bold red",
    "failed": "bold red",
    "would have refused": "bold yellow",
    "answered": "green",
}
_DEEPEST: Final = 6
_TURNS: Final = 6
_LONGEST: Final = 600
_ALIKE: Final = 10  # models of which the same is said, one after the other


def lines_of(course: Course, *, scripted: bool = False) -> Iterator[Line]:
    """The request, the rules of every phase, what was chosen and sent, and the answer; `scripted` where an exchange has
    said what providers answer."""
    asked = course.request
    yield f"{asked['method']} {asked['path']} from {asked['ip']}", "bold"
    for phase, rules in groupby(course.rules, key=lambda rule: rule.phase):
        yield "", ""
        yield phase, "bold"
        for rule in rules:
            yield from _rule(rule)
    yield from _considered("models", course.models)
    yield from _considered("keys", course.keys)
    if course.called:
        yield "", ""
        yield f"what actions would call{'' if scripted else ', which got a canned answer'}", "bold"
    for number, called in enumerate(course.called, 1):
        yield from _sent(number, called)
    if course.sent:
        yield "", ""
        yield "what would be sent", "bold"
    for number, sent in enumerate(course.sent, 1):
        yield from _sent(number, sent)
    yield from _considered("whose turn would come, had that failed", course.then)
    yield "", ""
    yield from _answer(course, "that of the exchange" if scripted else "a canned one")
    for note in course.notes:
        yield f"note: {note}", "yellow"


def _rule(rule: RuleTaken) -> Iterator[Line]:
    mark, style = _VERDICTS[rule.verdict]
    always = ", always" if rule.verdict == "matched" and not rule.why else ""
    yield f"  {mark} {rule.name}: {rule.verdict}{always}  ({rule.place})", style
    for told in rule.why:
        yield from _explanation(told, 6)
    for action in rule.actions:
        yield from _action(action)


def _action(action: ActionTaken) -> Iterator[Line]:
    yield f"    {action.type}: {action.outcome}", _OUTCOMES.get(action.outcome, "")
    if action.error is not None:
        why = action.error.get("reason") or action.error["message"]
        yield f"      {action.error['code']}: {why}", "red"
    yield from _expressions(action.expressions)
    for name, value in action.vars.items():
        yield f"      vars.{name} = {_json(value)}", "cyan"
    if action.result not in (None, {}, []):
        yield f"      result {_bounded(_json(action.result))}", "dim"


def _expressions(expressions: Sequence[Mapping[str, Any]]) -> Iterator[Line]:
    """Those of strategies for keys below the models that they are for, where there are several."""
    wanted = [told["for"] for told in expressions if "for" in told]
    several = any(len(models) > 1 or models != wanted[0] for models in wanted)
    for models, alike in groupby(expressions, key=lambda told: told.get("for")):
        if models and several:
            yield f"      for {', '.join(models[:_TURNS])}{', …' if len(models) > _TURNS else ''}", "bold"
        for told in alike:
            yield from _explanation(told, 8 if models and several else 6)


def _explanation(told: Mapping[str, Any], indent: int, depth: int = 0) -> Iterator[Line]:
    turn = "".join(f"{name} is {_json(value)}: " for name, value in told.get("with", {}).items())
    pad = " " * indent
    if "error" in told:
        yield f"{pad}{turn}{told['source']} ! {told['error']}", "red"
    elif told.get("reached") is False:
        yield f"{pad}{turn}{told['source']} (not reached)", "dim"
    else:
        yield f"{pad}{turn}{told['source']} = {_json(told['value'])}", "" if depth == 0 else "dim"
    parts: Sequence[Mapping[str, Any]] = told.get("parts", ())
    if depth == _DEEPEST:
        return
    turns = 0
    for part in parts:
        turns += "with" in part
        if turns <= _TURNS:
            yield from _explanation(part, indent + 2, depth + 1)
    if (left := turns - _TURNS + told.get("untold", 0)) > 0 and turns > _TURNS:
        yield f"{pad}  … and {left} more turns", "dim"


def _considered(title: str, considered: Sequence[Considered]) -> Iterator[Line]:
    if not considered:
        return
    yield "", ""
    yield title, "bold"
    for (is_dropped, reason), alike in groupby(considered, key=lambda one: (one.order is None, one.reason)):
        told, style = list(alike), "dim" if is_dropped else ""
        why = f"  ({reason})" if reason else ""
        for one in told if len(told) <= _ALIKE + 1 else told[:_ALIKE]:
            order = "-" if one.order is None else f"{one.order}."
            yield f"  {order:<3} {one.name}{why}", style
        if len(told) > _ALIKE + 1:
            yield f"      … and {len(told) - _ALIKE} more{why}", style


def _sent(number: int, sent: Sent) -> Iterator[Line]:
    by = f" with {sent.key}" if sent.key else ""
    status = f" ({sent.status})" if sent.status >= 300 else ""
    yield f"  {number}. {sent.candidate}{by}: {sent.outcome}{status}", ""
    yield f"     {sent.method} {sent.url}", ""
    for name, value in sent.fields:
        yield f"     {name.lower()}: {value}", "dim"
    if sent.body:
        yield f"     {sent.body}", ""


def _answer(course: Course, answered: str) -> Iterator[Line]:
    how = f" ({answered}, through the policy)" if course.sent and course.refused is None else ""
    yield f"answer: {course.status}{how}", "bold green" if course.status < 400 else "bold red"
    if course.refused is not None:
        yield f"  {course.refused['code']}: {course.refused.get('reason') or course.refused['message']}", "red"
    for name, value in course.fields:
        yield f"  {name}: {value}", "dim"
    if course.body:
        yield f"  {course.body}", ""


def _bounded(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… (--json has all of it)"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
