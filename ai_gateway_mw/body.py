"""A JSON request body: its top-level members where they stand, and edits that leave every other byte alone."""

from __future__ import annotations

import json
from collections.abc import KeysView, Mapping
from functools import cached_property
from json.decoder import JSONDecoder, scanstring  # type: ignore[attr-defined]
from json.scanner import make_scanner
from typing import Any, NamedTuple, NoReturn

from ai_gateway_mw.errors import BadBody

# Keys that routing, limits or streaming depend on. A second spelling of one would be read differently by the next
# parser: Go's JSON, for one, matches member names without regard to case.
DECISIVE = frozenset({"model", "models", "stream"})
_MAX_DEPTH = 128
_SPACE = " \t\r\n"


class Member(NamedTuple):
    """One member of the top-level object; offsets count characters."""

    value: Any
    key_start: int
    value_start: int
    end: int


class JSONBody:
    """The parsed body. Raises `BadBody` for what is no JSON object in UTF-8, for a member given twice, and for what
    the next reader may refuse or read in another way: half a surrogate pair, deep nesting, `Model` for `model`."""

    __slots__ = ("__dict__", "members", "raw", "text")

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        try:
            self.text = raw.decode("utf-8")
            self.members = _top_level(self.text)
            _refuse_half_pairs(self.text, self.value)
            _refuse_depth(self.text, self.value)
        except UnicodeError:
            raise BadBody("Invalid request body: it is not UTF-8 text.") from None
        except RecursionError:
            raise BadBody("Invalid request body: it is nested too deeply.") from None
        except (ValueError, StopIteration) as error:
            detail = f": {error}" if isinstance(error, _Malformed) else ""
            raise BadBody(f"Invalid request body: it is not a JSON object{detail}.") from None

    @cached_property
    def value(self) -> dict[str, Any]:
        """The body as plain data; not to be changed."""
        return {name: member.value for name, member in self.members.items()}

    @property
    def names(self) -> KeysView[str]:
        return self.members.keys()

    def get(self, name: str) -> Any:
        member = self.members.get(name)
        return None if member is None else member.value

    def edited(self, changes: Mapping[str, Any], dropped: frozenset[str] = frozenset()) -> bytes:
        """The body with top-level members set and dropped; with nothing to change, the client's own bytes."""
        dropped = dropped & self.members.keys() - changes.keys()  # a member to set stays, also where it is set already
        changes = {name: value for name, value in changes.items() if not self._holds(name, value)}
        if not changes and not dropped:
            return self.raw
        pieces = []
        for name, member in self.members.items():
            if name in changes:
                pieces.append(self.text[member.key_start : member.value_start] + _encoded(changes[name]))
            elif name not in dropped:
                pieces.append(self.text[member.key_start : member.end])
        added = [f"{_encoded(name)}:{_encoded(value)}" for name, value in changes.items() if name not in self.members]
        return ("{" + ",".join(pieces + added) + "}").encode()

    def _holds(self, name: str, value: Any) -> bool:
        member = self.members.get(name)
        if member is None:
            return False
        if isinstance(value, str):
            return bool(member.value == value)
        return _encoded(member.value) == _encoded(value)  # to `==`, 1 is True


class _Malformed(ValueError):
    pass


def _refuse_constant(name: str) -> NoReturn:
    raise _Malformed(f"{name} is not JSON")


def _encoded(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


_scan_value = make_scanner(JSONDecoder(parse_constant=_refuse_constant))  # type: ignore[arg-type]


def _top_level(text: str) -> dict[str, Member]:
    """The members of the outermost object."""
    members: dict[str, Member] = {}
    at = _after_space(text, 0)
    if text[at : at + 1] != "{":
        raise _Malformed("expected `{`")
    at = _after_space(text, at + 1)
    if text[at : at + 1] == "}":
        _refuse_text_after(text, at + 1)
        return members
    while True:
        key_start = at
        if text[at : at + 1] != '"':
            raise _Malformed(f"expected a member name at character {at + 1}")
        name, at = scanstring(text, at + 1)
        at = _after_space(text, at)
        if text[at : at + 1] != ":":
            raise _Malformed(f"expected `:` at character {at + 1}")
        value_start = _after_space(text, at + 1)
        value, end = _scan_value(text, value_start)
        if name in members:
            raise _Malformed(f"`{name}` is given twice")
        _refuse_other_spelling(name)
        members[name] = Member(value, key_start, value_start, end)
        at = _after_space(text, end)
        if text[at : at + 1] == "}":
            _refuse_text_after(text, at + 1)
            return members
        if text[at : at + 1] != ",":
            raise _Malformed(f"expected `,` or `}}` at character {at + 1}")
        at = _after_space(text, at + 1)


def _refuse_other_spelling(name: str) -> None:
    folded = name.casefold()
    if folded in DECISIVE and folded != name:
        raise _Malformed(f"`{folded}` is spelled in another way")


def _refuse_half_pairs(text: str, value: dict[str, Any]) -> None:
    """Raises UnicodeError where an escaped surrogate has no partner: no UTF-8 text can hold that."""
    if "\\ud" in text or "\\uD" in text:
        _encoded(value).encode()


def _refuse_depth(text: str, value: dict[str, Any]) -> None:
    """Nothing that is done with the body may depend on how much of Python's stack the app around us has left."""
    if text.count("[") + text.count("{") <= _MAX_DEPTH:
        return
    level: list[Any] = [value]
    for _ in range(_MAX_DEPTH):
        items = (item for each in level for item in (each.values() if isinstance(each, dict) else each))
        level = [item for item in items if isinstance(item, dict | list)]
        if not level:
            return
    raise RecursionError


def _after_space(text: str, at: int) -> int:
    while text[at : at + 1] and text[at] in _SPACE:
        at += 1
    return at


def _refuse_text_after(text: str, at: int) -> None:
    if _after_space(text, at) != len(text):
        raise _Malformed(f"text after the object, at character {at + 1}")
