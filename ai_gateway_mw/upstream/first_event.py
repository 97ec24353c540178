"""The first event of a stream: whether it has come, and whether it is an error. Until it has, nothing is promised."""

from __future__ import annotations

import re

from ai_gateway_mw.upstream.error_bodies import read_error
from ai_gateway_mw.upstream.sayings import status_of_error

# WHATWG HTML 9.2.5: a line ends with CRLF, LF or CR; a blank line ends an event.
BLANK_LINE = re.compile(rb"\n\r?\n|\r\r")
_ERROR_OBJECT = re.compile(rb'\{\s*"error"\s*:\s*[^\sn]')  # `"error": null` is none


def first_event(data: bytes) -> bytes | None:
    """The first complete event of a stream that brings data, without its end, or None where there is none yet.

    Comments and pings keep a connection alive, and say nothing of what follows.
    """
    *complete, _ = BLANK_LINE.split(data)
    return next((event for event in complete if _brings_data(event)), None)


def _brings_data(event: bytes) -> bool:
    lines = event.splitlines()
    return any(line.startswith(b"data:") for line in lines) and b"ping" not in (
        line[6:].strip() for line in lines if line.startswith(b"event:")
    )


def error_of_first_event(data: bytes) -> int | None:
    """The status that the first event of a stream stands for where it is an error, else None."""
    lines = (first_event(data) or data).splitlines()
    named = next((line[6:].strip() for line in lines if line.startswith(b"event:")), b"")
    content = b"\n".join(line[5:].strip() for line in lines if line.startswith(b"data:"))
    if not (named == b"error" or _ERROR_OBJECT.match(content)):
        return None
    return status_of_error(read_error(content))
