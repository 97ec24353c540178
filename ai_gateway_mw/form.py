"""A multipart form body (uploads of audio and images): its text fields, and edits that leave the files alone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ai_gateway_mw.errors import BadBody

_BOUNDARY = re.compile(rb'multipart/form-data\s*;.*?boundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))', re.IGNORECASE)
_NAME = re.compile(rb'content-disposition:\s*form-data\s*;[^\r\n]*?\bname="([^"\r\n]*)"([^\r\n]*)', re.IGNORECASE)
_MAX_PARTS = 64


def form_boundary(content_type: bytes) -> bytes | None:
    """The boundary of a multipart form, None where the body is something else."""
    found = _BOUNDARY.match(content_type.strip())
    return (found.group(1) or found.group(2)) if found else None


class FormBody:
    """The text fields of a form (RFC 7578). Raises `BadBody` for what is no form, and for a field given twice."""

    __slots__ = ("_spans", "raw")

    def __init__(self, raw: bytes, boundary: bytes) -> None:
        self.raw = raw
        self._spans: dict[str, tuple[int, int]] = {}
        delimiter = b"--" + boundary
        at = raw.find(delimiter)
        for _ in range(_MAX_PARTS):
            start = at + len(delimiter)
            if at < 0 or raw[start : start + 2] not in (b"\r\n", b"--"):
                raise BadBody("Invalid request body: it is not a multipart form.")
            if raw[start : start + 2] == b"--":
                return
            at = raw.find(b"\r\n" + delimiter, start)
            self._note(start + 2, at)
            at += 2
        raise BadBody(f"Invalid request body: a form may have at most {_MAX_PARTS} parts.")

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self._spans)

    def get(self, name: str) -> str | None:
        span = self._spans.get(name)
        return self.raw[slice(*span)].decode("utf-8", "replace") if span else None

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
        found = _NAME.search(self.raw, start, head_end) if head_end >= 0 else None
        if end < 0 or found is None:
            raise BadBody("Invalid request body: a part of the form has no name.")
        name = found.group(1).decode("utf-8", "replace")
        if b"filename" in found.group(2).lower():
            return
        if name in self._spans and name in ("model", "stream"):
            raise BadBody(f"Invalid request body: `{name}` is given twice.")
        self._spans.setdefault(name, (head_end + 4, end))
