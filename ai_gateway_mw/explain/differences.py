"""What changes between two policies: rules, expressions and actions that came, went, moved or were changed."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeVar

from ai_gateway_mw.errors import without_keys
from ai_gateway_mw.policy import ActionSpec, Phase, Policy, Rule

T = TypeVar("T")
Kind = Literal["added", "removed", "changed", "moved"]
Pair = tuple[T | None, T | None]

_NOTHING = object()


@dataclass(frozen=True, slots=True)
class Change:
    """One change: of which `what`, in which rule, from `old` at its place to `new` at its place."""

    kind: Kind
    what: str
    phase: str
    rule: str
    old: Any = None
    new: Any = None
    old_place: str | None = None
    new_place: str | None = None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def changes(old: Policy, new: Policy) -> list[Change]:
    """All changes, phase by phase."""
    return [change for phase in Phase for change in _Phase(phase, old, new).changes()]


class _Phase:
    """The rules of one phase before and after."""

    def __init__(self, phase: Phase, old: Policy, new: Policy) -> None:
        self._phase = phase
        self._old, self._new = old, new
        self._before, self._after = tuple(old.rules.get(phase, ())), tuple(new.rules.get(phase, ()))

    def changes(self) -> Iterator[Change]:
        pairs = matched(self._before, self._after, _SAME_RULE)
        kept = [(one, other) for one, other in pairs if one is not None and other is not None]
        moved = _moved([(self._before.index(one), self._after.index(other)) for one, other in kept])
        for one, other in pairs:
            if one is None or other is None:
                yield self._one_sided(one, other)
                continue
            if self._after.index(other) in moved:
                old, new = self._before.index(one) + 1, self._after.index(other) + 1
                yield self._change("moved", "rule", one, other, f"rule {old}", f"rule {new}")
            yield from self._inside(one, other)

    def _one_sided(self, one: Rule | None, other: Rule | None) -> Change:
        rule = one or other
        assert rule is not None
        types = ", ".join(spec.type for spec in rule.actions)
        if other is None:
            return self._change("removed", "rule", rule, None, types, None)
        return self._change("added", "rule", None, rule, None, types)

    def _inside(self, one: Rule, other: Rule) -> Iterator[Change]:
        if one.name != other.name:
            yield self._change("changed", "name", one, other, one.name, other.name)
        for before, after in matched(one.expressions, other.expressions, (str, lambda text: True)):
            if before is not None and after is not None and before == after:
                continue
            kind: Kind = "added" if before is None else "removed" if after is None else "changed"
            places = (before and str(before.place_of()), after and str(after.place_of()))
            yield self._change(kind, "expression", one, other, _text(before), _text(after), places)
        keys: tuple[Callable[[ActionSpec], Any], ...] = (_spelled, lambda spec: spec.type)
        for before_spec, after_spec in matched(one.actions, other.actions, keys):
            yield from self._actions(one, other, before_spec, after_spec)

    def _actions(self, one: Rule, other: Rule, before: ActionSpec | None, after: ActionSpec | None) -> Iterator[Change]:
        if before is None or after is None:
            kind: Kind = "removed" if before is not None else "added"
            places = (None if before is None else str(before.place), None if after is None else str(after.place))
            yield self._change(
                kind, "action", one, other, before.type if before else None, after.type if after else None, places
            )
            return
        for path, old, new in _members(_plain(before.config), _plain(after.config), ()):
            kind = "added" if old is _NOTHING else "removed" if new is _NOTHING else "changed"
            places = (
                str(self._old.document.place((*before.path, "config", *path))),
                str(self._new.document.place((*after.path, "config", *path))),
            )
            what = f"{before.type}: {_dotted(path)}"
            yield self._change(kind, what, one, other, _safe(old), _safe(new), places)

    def _change(
        self,
        kind: Kind,
        what: str,
        one: Rule | None,
        other: Rule | None,
        old: Any,
        new: Any,
        places: tuple[str | None, str | None] | None = None,
    ) -> Change:
        rule, rules = (other, self._after) if other is not None else (one, self._before)
        assert rule is not None
        name = rule.name or f"{rules.index(rule) + 1} of {self._phase.value}"
        if places is None:
            places = (
                None if one is None else str(self._old.document.place(one.path)),
                None if other is None else str(self._new.document.place(other.path)),
            )
        return Change(kind, what, self._phase.value, name, old, new, *(place or None for place in places))


def matched(old: Sequence[T], new: Sequence[T], keys: Sequence[Callable[[T], Any]]) -> list[Pair[T]]:
    """What belongs together, in the order of the new ones, by the first of the keys in which they agree; what went
    comes last."""
    left, partners = list(range(len(old))), dict[int, int]()
    for key in keys:
        for place, item in enumerate(new):
            wanted = key(item)
            if place in partners or wanted is _NOTHING:
                continue
            found = next((number for number in left if key(old[number]) == wanted), None)
            if found is not None:
                partners[place] = found
                left.remove(found)
    pairs: list[Pair[T]] = [
        (old[partners[place]] if place in partners else None, item) for place, item in enumerate(new)
    ]
    return pairs + [(old[number], None) for number in left]


def _moved(places: Sequence[tuple[int, int]]) -> set[int]:
    """The new places of what no longer stands in its order: as few as possible."""
    longest: list[list[int]] = []
    for index, (before, _) in enumerate(places):
        chains = [longest[earlier] for earlier in range(index) if places[earlier][0] < before]
        longest.append([*_longest(chains), index])
    in_order = set(_longest(longest))
    return {after for index, (_, after) in enumerate(places) if index not in in_order}


def _longest(chains: list[list[int]]) -> list[int]:
    return max(chains, key=len) if chains else []


def _members(old: Any, new: Any, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], Any, Any]]:
    if isinstance(old, dict) and isinstance(new, dict):
        for name in [*old, *(name for name in new if name not in old)]:
            yield from _members(old.get(name, _NOTHING), new.get(name, _NOTHING), (*path, name))
    elif isinstance(old, list) and isinstance(new, list):
        for place in range(max(len(old), len(new))):
            one = old[place] if place < len(old) else _NOTHING
            other = new[place] if place < len(new) else _NOTHING
            yield from _members(one, other, (*path, place))
    elif old != new:
        yield path, old, new


def _written(rule: Rule) -> Hashable:
    return rule.name, tuple(map(str, rule.expressions)), tuple(map(_spelled, rule.actions))


def _spelled(spec: ActionSpec) -> Hashable:
    return spec.type, repr(_plain(spec.config))


# A rule is the same where all of it is, or its name, or what it does and when; then by when, or by types of actions.
_SAME_RULE: tuple[Callable[[Rule], Any], ...] = (
    _written,
    lambda rule: rule.name or _NOTHING,
    lambda rule: (tuple(map(str, rule.expressions)), tuple(map(_spelled, rule.actions))),
    lambda rule: tuple(map(str, rule.expressions)) or _NOTHING,
    lambda rule: tuple(spec.type for spec in rule.actions),
    lambda rule: rule.actions[-1].type if rule.actions else _NOTHING,
)


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return str(value)
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _safe(value: Any) -> Any:
    """Without what looks like a key: one may stand in a policy."""
    if value is _NOTHING:
        return None
    if isinstance(value, str):
        return without_keys(value)
    if isinstance(value, dict):
        return {name: _safe(item) for name, item in value.items()}
    return [_safe(item) for item in value] if isinstance(value, list) else value


def _text(value: str | None) -> str | None:
    return None if value is None else without_keys(str(value))


def _dotted(path: Sequence[str | int]) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")
