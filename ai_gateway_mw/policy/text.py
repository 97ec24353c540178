"""Strings of a policy that know where they stood in its file, and the file's text that turns offsets into places."""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Self

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import PydanticCustomError, core_schema

from ai_gateway_mw.errors import Place

_BLANK = frozenset(" \t\r\n")
_ESCAPE_WIDTHS = {"x": 4, "u": 6, "U": 10}
_LINE = re.compile(r"[^\r\n]{0,500}(?![^\r\n])")
_CONTINUED_LINE = re.compile(r"\\(?:\r\n|\r|\n)[ \t]*")

WITH_PLACES = "policy"
"""Key of the validation context under which texts want the file's own spelling of `true`, `1.10` and the like."""


class Source:
    """The text of a file, or of a string in one: then `origin` is that string, and places are those of the file."""

    def __init__(self, name: str, text: str, origin: Text | None = None) -> None:
        self.name = name
        self.text = text
        self.origin = origin

    def place(self, offset: int) -> Place:
        if self.origin is not None:
            return self.origin.place_of(offset)
        offset = max(0, min(offset, len(self.text)))
        line = bisect_right(self._line_starts, offset)
        start = self._line_starts[line - 1]
        return Place(self.name, line, offset - start + 1, self._line_at(start))

    @cached_property
    def _line_starts(self) -> list[int]:
        return [0, *(found.end() for found in re.finditer(r"\r\n|\r|\n", self.text))]

    def _line_at(self, start: int) -> str:
        """The line that starts there, or nothing where it is too long to be shown."""
        found = _LINE.match(self.text, start)
        return found.group() if found else ""


@dataclass(frozen=True, slots=True)
class Span:
    """The stretch of a source that one node takes; `style` is PyYAML's: `'`, `"`, `|`, `>`, or empty."""

    source: Source
    start: int
    end: int
    style: str = ""

    @property
    def place(self) -> Place:
        return self.source.place(self.start)

    @property
    def spelling(self) -> str:
        return self.source.text[self.start : self.end]


class Text(str):
    """A string of a policy. Without a span it is its own source, as are strings that no file holds."""

    __slots__ = ("_stands", "span")

    span: Span | None
    _stands: list[int] | None
    json_schema: ClassVar[dict[str, Any]] = {"type": "string"}
    expected: ClassVar[str] = "text"

    def __new__(cls, value: str = "", span: Span | None = None) -> Self:
        text = super().__new__(cls, value)
        text.span = span
        text._stands = None
        return text

    @classmethod
    def of(cls, value: str) -> Self:
        """The same string as this class, with the place that it knows."""
        return cls(value, value.span if isinstance(value, Text) else None)

    def place_of(self, offset: int = 0) -> Place:
        """Where the character at `offset` stands in the file; offsets outside the string count as its ends."""
        offset = max(0, min(offset, len(self)))
        if self.span is None:
            return Source("<text>", str(self)).place(offset)
        if not self:
            return self.span.place
        if self._stands is None:
            self._stands = _offsets(self.span.spelling, str(self), self.span.style)
        within = self._stands[offset] if offset < len(self) else self._stands[-1] + 1
        return self.span.source.place(self.span.start + within)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.with_info_plain_validator_function(
            cls._validated, serialization=core_schema.plain_serializer_function_ser_schema(str)
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return dict(cls.json_schema)

    @classmethod
    def _validated(cls, value: Any, info: core_schema.ValidationInfo) -> Self:
        if isinstance(value, str):
            return cls.of(value)
        raise PydanticCustomError("shape", "must be {expected}", {"expected": cls.expected})


class ExpressionText(Text):
    """A CEL expression, not parsed yet."""

    __slots__ = ()

    json_schema: ClassVar[dict[str, Any]] = {"type": "string", "format": "cel"}
    expected: ClassVar[str] = "a CEL expression"


class TemplateText(Text):
    """A string that may hold CEL interpolations, not split yet. `true`, `1` and `1.5` are taken as they are spelled."""

    __slots__ = ()

    json_schema: ClassVar[dict[str, Any]] = {"type": ["string", "number", "boolean"], "format": "template"}

    @classmethod
    def _validated(cls, value: Any, info: core_schema.ValidationInfo) -> Self:
        if not isinstance(value, bool | int | float):
            return super()._validated(value, info)
        if info.context and WITH_PLACES in info.context:
            raise PydanticCustomError("text_spelling", "the file knows how this is spelled")
        return cls(str(value).lower() if isinstance(value, bool) else str(value))


def _offsets(raw: str, value: str, style: str) -> list[int]:
    """Where each character of `value` stands in `raw`, its spelling: YAML folds blanks, doubles quotes, has escapes."""
    at = _content_start(raw, style)
    offsets = []
    for character in value:
        at = _next(raw, at, style, blank=character in _BLANK)
        at = min(at, len(raw))
        offsets.append(at)
        at += _width(raw, at, style, blank=character in _BLANK)
    return offsets


def _content_start(raw: str, style: str) -> int:
    if style in ("|", ">"):  # the header has the first line for itself
        return len(raw.partition("\n")[0]) + 1
    return 1 if style else 0


def _next(raw: str, at: int, style: str, *, blank: bool) -> int:
    """The first offset from `at` on where the next character of the value can stand."""
    if style == '"':
        while continued := _CONTINUED_LINE.match(raw, at):
            at = continued.end()
    while not blank and raw[at : at + 1] in _BLANK:
        at += 1
    return at


def _width(raw: str, at: int, style: str, *, blank: bool) -> int:
    if style == '"' and raw[at : at + 1] == "\\":
        return _ESCAPE_WIDTHS.get(raw[at + 1 : at + 2], 2)
    if blank:  # a run of blanks may be longer in the file than in the value, or shorter
        return 1 if raw[at : at + 1] in _BLANK else 0
    return 2 if style == "'" and raw.startswith("''", at) else 1
