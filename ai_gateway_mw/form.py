"""A multipart form body (uploads of audio and images): its text fields, and edits that leave the files alone.

Read strictly: what two parsers could read in two ways is refused, or a policy would see one model and the provider
another.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from ai_gateway_mw.body import DECISIVE
from ai_gateway_mw.errors import BadBody

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PARAMETER = re.compile(rb";[ \t]*(" + _TOKEN + rb')[ \t]*=[ \t]*(?:"([^"\\\r\n]*)"|(' + _TOKEN + rb"))[ \t]*")
_FIELD = re.compile(_TOKEN + rb":[^\r\n]*")
_PLAIN_ENCODINGS = frozenset({b"7bit", b"8bit", b"binary"})
_BOUNDARY = re.compile(rb"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")  # RFC 2046 5.1.1
_MAX_PARTS = 64


def form_boundary(content_type: bytes) -> bytes | None:
    """The boundary of a multipart form, None where the body is something else. Raises `BadBody` where it is unclear."""
    if content_type == b"application/json":  # as nearly always
        return None
    media_type, _, rest = content_type.strip().partition(b";")
    if media_type.strip().lower() != b"multipart/form-data":
        return None
    parameters = _parameters(b";" + rest, "its Content-Type is malformed")
    boundary = parameters.get(b"boundary", b"")
    if not _BOUNDARY.fullmatch(boundary) or not parameters.keys() <= {b"boundary", b"charset"}:
        raise _malformed("its Content-Type names no boundary, or more than that")
    return boundary


class FormBody:
    """The text fields of a form (RFC 7578). Raises `BadBody` for what is no form, and for a field given twice."""

    __slots__ = ("__dict__", "_spans", "raw")

    def __init__(self, raw: bytes, boundary: bytes) -> None:
        self.raw = raw
        self._spans: dict[str, tuple[int, int]] = {}
        delimiter = b"--" + boundary
        at = 0 if raw.startswith(delimiter) else -1
        for _ in range(_MAX_PARTS):
            start = at + len(delimiter)
            if at < 0 or raw[start : start + 2] not in (b"\r\n", b"--"):
                raise _malformed("it is not a multipart form")
            if raw[start : start + 2] == b"--":
                return
            at = raw.find(b"\r\n" + delimiter, start)
            self._note(start + 2, at)
            at += 2
        raise _malformed(f"a form may have at most {_MAX_PARTS} parts")

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self._spans)

    @cached_property
    def value(self) -> dict[str, str]:
        """The text fields by name; not to be changed."""
        return {name: self.raw[start:end].decode("utf-8", "replace") for name, (start, end) in self._spans.items()}

    def get(self, name: str) -> str | None:
        return self.value.get(name)

    def edited(self, changes: Mapping[str, Any], dropped: frozenset[str] = frozenset()) -> bytes:
        """The form with the text of fields replaced. Fields are neither added nor dropped: their order is the
        client's, and a form has no place for a nested value."""
        body = self.raw
        for name, (start, end) in sorted(self._spans.items(), key=lambda item: -item[1][0]):
            if name in changes and isinstance(changes[name], str):
                body = body[:start] + changes[name].encode() + body[end:]
        return body

    def _note(self, start: int, end: int) -> None:
        """Remember where a part's text stands, unless it is a file."""
        head_end = self.raw.find(b"\r\n\r\n", start, end if end > 0 else None)
        if end < 0 or head_end < 0:
            raise _malformed("a part of the form has no head or no end")
        name, is_file = _field_of(self.raw[start:head_end])
        if name.casefold() in DECISIVE and (is_file or name in self._spans or name.casefold() != name):
            raise _malformed(f"`{name.casefold()}` must be one field of text")
        if not is_file:
            self._spans.setdefault(name, (head_end + 4, end))


def _field_of(head: bytes) -> tuple[str, bool]:
    """The name of a part, and whether it is a file."""
    lines = head.split(b"\r\n")
    fields = {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
    kind, _, rest = fields.get(b"content-disposition", b"").partition(b";")
    encoding = fields.get(b"content-transfer-encoding", b"binary").lower()
    if len(fields) != len(lines) or not all(map(_FIELD.fullmatch, lines)) or encoding not in _PLAIN_ENCODINGS:
        raise _malformed("a part of the form has an unusual head")
    parameters = _parameters(b";" + rest, "a part of the form has an unusual head")
    known = parameters.keys() <= {b"name", b"filename", b"filename*"}
    if kind.strip().lower() != b"form-data" or b"name" not in parameters or not known:
        raise _malformed("a part of the form has no name, or more than a name")
    return parameters[b"name"].decode("utf-8", "replace"), len(parameters) > 1


def _parameters(text: bytes, fault: str) -> dict[bytes, bytes]:
    """The parameters after a `;`, by lower-case name; quoted ones have no escapes, and none may come twice."""
    found = _PARAMETER.findall(text)
    made = {name.lower(): quoted or token for name, quoted, token in found}
    if len(made) != len(found) or _PARAMETER.sub(b"", text).strip():
        raise _malformed(fault)
    return made


def _malformed(fault: str) -> BadBody:
    return BadBody(f"Invalid request body: {fault}.")
