"""The head of a request: what of it makes it ambiguous or unfit, beyond what the parser refuses by itself."""

from __future__ import annotations

from string import ascii_letters, digits
from typing import Final
from urllib.parse import unquote

from ai_gateway_mw.errors import BadRequest

_DECISIVE: Final = frozenset({b"host", b"transfer-encoding", b"upgrade", b"expect"})
_ALONE: Final = frozenset({b"host"})
_NO_HOST: Final = "The Host field of the request names no host."
_VERSIONS: Final = frozenset({"1.0", "1.1"})
# RFC 9110 9.3, but for CONNECT; RFC 5789. The parser knows many more, such as those of RTSP.
_METHODS: Final = {
    name.encode(): name for name in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
}
_HOST: Final = f"{ascii_letters}{digits}-._~!$&'()*+,;=%:[]".encode()  # RFC 3986 3.2.2, with a port

Fields = list[tuple[bytes, bytes]]


def method(written: bytes) -> str:
    """Raises `BadRequest` for one that asks for something else than HTTP, such as a tunnel."""
    known = _METHODS.get(written)
    if known is None:
        raise BadRequest("The method of the request is not spoken here.")
    return known


def target(written: bytes) -> tuple[str, bytes, bytes]:
    """`path`, `raw_path` and `query_string` of a target in origin form (RFC 9112 3.2.1). Any other form names an
    authority of its own, which a gateway must not be led to."""
    raw_path, _, query = written.partition(b"?")
    if not raw_path.startswith(b"/"):
        raise BadRequest("The request target does not start with a slash.")
    if not written.isascii() or b"#" in written:
        raise BadRequest("The request target has characters that must be percent-encoded.")
    path = raw_path.decode("ascii")
    return unquote(path) if "%" in path else path, raw_path, query


def waits_for_continue(fields: Fields, version: str) -> bool:
    """Whether the client waits to be told to send its body. Raises `BadRequest` where the head must not be acted on."""
    if version not in _VERSIONS:
        raise BadRequest("Only HTTP/1.1 and HTTP/1.0 are spoken here.")
    first = dict(fields)
    if len(first) == len(fields) and _DECISIVE.intersection(first) == _ALONE:  # as in almost every request
        if first[b"host"].translate(None, _HOST):
            raise BadRequest(_NO_HOST)
        return False
    hosts, waits = 0, False
    for name, value in fields:
        if name == b"host":
            hosts += 1
            if value.translate(None, _HOST):
                raise BadRequest(_NO_HOST)
        elif name == b"expect":
            waits = value.lower() == b"100-continue" and version == "1.1"
        elif name == b"upgrade":
            raise BadRequest("No other protocol is spoken here.")
        elif name == b"transfer-encoding" and (value.lower() != b"chunked" or version == "1.0"):  # RFC 9112 6.1
            raise BadRequest("The only transfer coding understood here is chunked, of HTTP/1.1.")
    if hosts > 1 or (not hosts and version == "1.1"):
        raise BadRequest("The request must have one Host field.")
    return waits
