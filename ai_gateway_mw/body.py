"""A JSON request body: its top-level members by name, and edits that leave every other byte alone.

A quick reader takes the bodies that have nothing special about them. Whatever it refuses, or may read in another way
than the next reader, goes to an exact one, which says what is wrong and where.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, KeysView, Mapping
from json.decoder import JSONDecoder, scanstring  # type: ignore[attr-defined]
from json.scanner import make_scanner
from typing import Any, NamedTuple, NoReturn

from jiter import from_json

from ai_gateway_mw.errors import BadBody

# Keys that routing, limits or streaming depend on. A second spelling of one would be read differently by the next
# parser: Go's JSON, for one, matches member names without regard to case.
DECISIVE = frozenset(
    ["model", "models", "stream", "background", "max_tokens", "max_completion_tokens", "max_output_tokens"]
)
_MAX_DEPTH = 128
_MAX_MEMBERS = 10_000  # of the outermost object
_MAX_CONTAINERS = 250_000  # lists and objects: each costs as much as a page of text
_MAX_COLONS = 500_000  # of members, in texts too: to read a million members takes seconds
_SHORT = 4 * _MAX_COLONS  # bytes that hold no more members
_SPACES = re.compile(r"[ \t\r\n]+")
_CONTAINERS = frozenset({dict, list})


class JSONBody:
    """The parsed body; `value` is plain data, and not to be changed. Raises `BadBody` for what is no JSON object in
    UTF-8, for a member given twice, and for what the next reader may refuse or read in another way: half a surrogate
    pair, deep nesting, `Model` for `model`."""

    __slots__ = ("get", "raw", "value")

    get: Callable[[str], Any]
    """The member of a name, None where there is none."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.value = _quickly_read(raw) or _exactly_read(raw)
        self.get = self.value.get

    @property
    def names(self) -> KeysView[str]:
        return self.value.keys()

    def edited(self, changes: Mapping[str, Any], dropped: frozenset[str] = frozenset()) -> bytes:
        """The body with top-level members set and dropped; with nothing to change, the client's own bytes."""
        dropped = dropped & self.value.keys() - changes.keys()  # a member to set stays, also where it is set already
        changes = {name: value for name, value in changes.items() if not self._holds(name, value)}
        if not changes and not dropped:
            return self.raw
        text = self.raw.decode()
        text = _without(text, dropped, changes) if dropped else _replaced(text, changes, changes.keys() & self.value)
        added = [f"{_encoded(name)}:{_encoded(value)}" for name, value in changes.items() if name not in self.value]
        if added:
            separator = "," if len(self.value) > len(dropped) else ""
            text = f"{text[: text.rindex('}')]}{separator}{','.join(added)}}}"
        return text.encode()

    def _holds(self, name: str, value: Any) -> bool:
        held = self.value.get(name)
        if isinstance(value, str):
            return bool(held == value)
        return name in self.value and _encoded(held) == _encoded(value)  # to `==`, 1 is True


class _Member(NamedTuple):
    """One member of the top-level object; offsets count characters."""

    name: str
    value: Any
    key_start: int
    value_start: int
    end: int


class _Malformed(ValueError):
    pass


def _quickly_read(raw: bytes) -> dict[str, Any] | None:
    """The body, or None where the exact reader must have a look at it. What this one takes, that one reads alike."""
    opened = _opened(raw)
    if opened > _MAX_CONTAINERS or (len(raw) > _SHORT and _has_many_colons(raw)):
        return None
    try:
        value = from_json(raw, allow_inf_nan=False, cache_mode="none", catch_duplicate_keys=True)
    except ValueError:
        return None
    if type(value) is not dict or not DECISIVE.isdisjoint(map(str.casefold, value.keys() - DECISIVE)):
        return None
    if len(value) > _MAX_MEMBERS:
        return None
    return value if opened <= _MAX_DEPTH or not _is_too_deep(value) else None  # what opens so seldom is no deeper


def _opened(raw: bytes) -> int:
    """How many brackets open in it, in texts too. To take them out takes a tenth of the time of `count`."""
    most = _MAX_CONTAINERS + 1
    return 2 * len(raw) - len(raw.replace(b"[", b"", most)) - len(raw.replace(b"{", b"", most))


def _has_many_colons(raw: bytes) -> bool:
    return len(raw) - len(raw.replace(b":", b"", _MAX_COLONS + 1)) > _MAX_COLONS


def _exactly_read(raw: bytes) -> dict[str, Any]:
    try:
        text = raw.decode("utf-8")
        if _opened(raw) > _MAX_CONTAINERS:
            raise _Malformed("it has too many lists and objects")
        if _has_many_colons(raw):
            raise _Malformed("it has too many members")
        value: dict[str, Any] = {}
        for member in _members(text):
            if len(value) == _MAX_MEMBERS:
                raise _Malformed("it has too many members")
            if member.name in value:
                raise _Malformed(f"`{member.name}` is given twice")
            if _other_spellings((member.name,)):
                raise _Malformed(f"`{member.name.casefold()}` is spelled in another way")
            value[member.name] = member.value
        if "\\ud" in text or "\\uD" in text:
            _encoded(value).encode()  # fails where an escaped surrogate has no partner: no UTF-8 text can hold that
        if _is_too_deep(value):
            raise RecursionError
        return value
    except UnicodeError:
        raise BadBody("Invalid request body: it is not UTF-8 text.") from None
    except RecursionError:
        raise BadBody("Invalid request body: it is nested too deeply.") from None
    except (ValueError, StopIteration) as error:
        detail = f": {error}" if isinstance(error, _Malformed) else ""
        raise BadBody(f"Invalid request body: it is not a JSON object{detail}.") from None


def _other_spellings(names: Iterable[str]) -> list[str]:
    return [name for name in names if name not in DECISIVE and name.casefold() in DECISIVE]


def _is_too_deep(value: dict[str, Any]) -> bool:
    """Nothing that is done with the body may depend on how much of Python's stack the app around us has left."""
    level: list[Any] = [value]
    for _ in range(_MAX_DEPTH):
        level = [
            item
            for each in level
            for item in (each.values() if type(each) is dict else each)
            if type(item) in _CONTAINERS
        ]
        if not level:
            return False
    return True


def _refuse_constant(name: str) -> NoReturn:
    raise _Malformed(f"{name} is not JSON")


def _encoded(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _replaced(text: str, changes: Mapping[str, Any], names: set[str]) -> str:
    """The text with other values for the members of these names, all of which it has."""
    pieces, at = [], 0
    members = _members(text) if names else iter(())
    for member in members:
        if member.name in names:
            pieces += [text[at : member.value_start], _encoded(changes[member.name])]
            at = member.end
            if len(pieces) == 2 * len(names):
                break
    return "".join(pieces) + text[at:]


def _without(text: str, dropped: frozenset[str], changes: Mapping[str, Any]) -> str:
    """The object without some of its members, and with other values for some."""
    pieces = []
    for member in _members(text):
        if member.name in changes:
            pieces.append(text[member.key_start : member.value_start] + _encoded(changes[member.name]))
        elif member.name not in dropped:
            pieces.append(text[member.key_start : member.end])
    return "{" + ",".join(pieces) + "}"


_scan_value = make_scanner(JSONDecoder(parse_constant=_refuse_constant))  # type: ignore[arg-type]


def _members(text: str) -> Iterator[_Member]:
    """The members of the outermost object, one after the other."""
    at = _after_space(text, 0)
    if text[at : at + 1] != "{":
        raise _Malformed("expected `{`")
    at = _after_space(text, at + 1)
    if text[at : at + 1] == "}":
        _refuse_text_after(text, at + 1)
        return
    while True:
        key_start = at
        if text[at : at + 1] != '"':
            raise _Malformed(f"expected a member name at character {at + 1}")
        name, at = scanstring(text, at + 1)
        at = _after_space(text, at)
        if text[at : at + 1] != ":":
            raise _Malformed(f"expected `:` at character {at + 1}")
        value_start = _after_space(text, at + 1)
        try:
            value, end = _scan_value(text, value_start)
        except StopIteration:
            raise ValueError from None  # a generator must not let it out
        yield _Member(name, value, key_start, value_start, end)
        at = _after_space(text, end)
        if text[at : at + 1] == "}":
            _refuse_text_after(text, at + 1)
            return
        if text[at : at + 1] != ",":
            raise _Malformed(f"expected `,` or `}}` at character {at + 1}")
        at = _after_space(text, at + 1)


def _after_space(text: str, at: int) -> int:
    found = _SPACES.match(text, at)
    return found.end() if found else at


def _refuse_text_after(text: str, at: int) -> None:
    if _after_space(text, at) != len(text):
        raise _Malformed(f"text after the object, at character {at + 1}")
