"""Content codings (RFC 9110 8.4.1): which one a client wants, and bodies coded piece by piece in bounded memory."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final, Protocol

from ai_gateway_mw.headers import Field

CODINGS: Final = ("gzip", "deflate", "br", "zstd")
PACKAGES: Final[Mapping[str, str]] = {"br": "brotli", "zstd": "zstandard"}
SLICE: Final = 64 * 1024  # bytes that are coded at a time
_LEAST: Final = 1024  # bytes of a body that are worth it
_LONGEST: Final = 1024  # characters of an Accept-Encoding that are read
_GZIP_LEVEL, _BROTLI_QUALITY, _ZSTD_LEVEL = 5, 4, 3
_WINDOW: Final = 18  # as a power of two: what an encoder of brotli or zstd keeps of the text
_ALIASES: Final = {"x-gzip": "gzip"}
_TYPES: Final = frozenset(
    [b"application/json", b"application/javascript", b"application/xml", b"application/x-ndjson", b"application/jsonl"]
    + [b"application/graphql", b"application/wasm", b"application/yaml", b"application/toml", b"image/svg+xml"]
    + [b"application/x-javascript", b"application/rtf", b"font/otf", b"font/ttf", b"image/bmp"]
)
_STREAM: Final = b"text/event-stream"
# Digests (RFC 9530) are those of a body as it is coded.
_DIGESTS: Final = frozenset([b"digest", b"content-digest", b"repr-digest"])
_NOT_WITH: Final = frozenset([b"content-encoding", b"content-range", b"set-cookie"]) | _DIGESTS
_CHANGED: Final = frozenset([b"content-length", b"accept-ranges", b"content-md5"])
_WITHOUT_BODY: Final = frozenset({204, 205, 206, 304})


class Encoder(Protocol):
    """Codes one body. What `feed` has been given so far can be read by a client from what it has returned."""

    def feed(self, data: bytes) -> bytes: ...

    def flush(self) -> bytes: ...

    def finish(self) -> bytes: ...


class _Zlib:
    def __init__(self, window: int) -> None:
        self._made = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, window)

    def feed(self, data: bytes) -> bytes:
        return self._made.compress(data)

    def flush(self) -> bytes:
        return self._made.flush(zlib.Z_SYNC_FLUSH)

    def finish(self) -> bytes:
        return self._made.flush()


class _Brotli:
    def __init__(self) -> None:
        self._made: Any = import_module("brotli").Compressor(quality=_BROTLI_QUALITY, lgwin=_WINDOW)

    def feed(self, data: bytes) -> bytes:
        return bytes(self._made.process(data))

    def flush(self) -> bytes:
        return bytes(self._made.flush())

    def finish(self) -> bytes:
        return bytes(self._made.finish())


class _Zstandard:
    def __init__(self) -> None:
        module: Any = import_module("zstandard")
        parameters = module.ZstdCompressionParameters.from_level(_ZSTD_LEVEL, window_log=_WINDOW)
        self._made: Any = module.ZstdCompressor(compression_params=parameters).compressobj()
        self._block = module.COMPRESSOBJ_FLUSH_BLOCK

    def feed(self, data: bytes) -> bytes:
        return bytes(self._made.compress(data))

    def flush(self) -> bytes:
        return bytes(self._made.flush(self._block))

    def finish(self) -> bytes:
        return bytes(self._made.flush())


_ENCODERS: Final[Mapping[str, Callable[[], Encoder]]] = {
    "gzip": lambda: _Zlib(31),
    "deflate": lambda: _Zlib(15),  # RFC 9110 8.4.1.2: in the format of zlib
    "br": _Brotli,
    "zstd": _Zstandard,
}


def is_there(coding: str) -> bool:
    """Whether bodies can be coded so: some codings need a package of their own."""
    return coding in _ENCODERS and (coding not in PACKAGES or find_spec(PACKAGES[coding]) is not None)


def negotiated(accepted: str, offered: Sequence[str]) -> str:
    """The coding that the client prefers among those on offer, by their order where it has no preference (RFC 9110
    12.5.3); empty for the body as it is."""
    weights = dict(_weights(accepted)) if len(accepted) <= _LONGEST else {}
    rest = weights.get("*", 0.0)
    best, best_weight = "", weights.get("identity", 0.0)
    for coding in offered:
        weight = weights.get(coding, rest)
        if weight > best_weight or (weight == best_weight > 0 and not best):
            best, best_weight = coding, weight
    return best


def _weights(accepted: str) -> Iterator[tuple[str, float]]:
    for item in accepted.lower().split(","):
        name, *parameters = (part.strip() for part in item.split(";"))
        weight = 1.0
        for parameter in parameters:
            if parameter.startswith("q"):
                try:
                    weight = float(parameter.partition("=")[2])
                except ValueError:
                    weight = 0.0
        if name:
            yield _ALIASES.get(name, name), weight if 0 <= weight <= 1 else 0.0


def worth_it(method: str, status: int, fields: Sequence[Field]) -> bool:
    """Whether an answer with this head is one that may be coded, and gains by it."""
    named = dict(fields)
    if method == "HEAD" or status < 200 or status in _WITHOUT_BODY or not _NOT_WITH.isdisjoint(named):
        return False
    media_type = named.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if media_type == _STREAM or not _is_text(media_type):
        return False
    if b"no-transform" in b",".join([value.lower() for name, value in fields if name == b"cache-control"]):
        return False
    length = named.get(b"content-length", b"")
    return not length.isdigit() or int(length) >= _LEAST


def _is_text(media_type: bytes) -> bool:
    return media_type.startswith(b"text/") or media_type in _TYPES or media_type.endswith((b"+json", b"+xml", b"+text"))


class Recoding:
    """One answer that is to be coded: its head when its body begins, then the body."""

    def __init__(self, method: str, coding: str) -> None:
        self._method = method
        self._coding = coding
        self._encoder: Encoder | None = None

    def begin(self, status: int, fields: Sequence[Field], body: bytes, *, more: bool) -> list[Field] | None:
        """The head as it is now, None where the answer has turned out to be one that is left as it is."""
        if not worth_it(self._method, status, fields) or (not more and len(body) < _LEAST):
            return None
        self._encoder = _ENCODERS[self._coding]()
        head = [(name, weak(value) if name == b"etag" else value) for name, value in fields if name not in _CHANGED]
        return [*head, (b"content-encoding", self._coding.encode())]

    def pieces(self, body: bytes, *, more: bool) -> Iterator[bytes]:
        """The next of the body, coded slice by slice, up to where a client can read all of it."""
        encoder = self._encoder
        assert encoder is not None
        view = memoryview(body)
        for start in range(0, len(body), SLICE):
            coded = encoder.feed(bytes(view[start : start + SLICE]))
            if start + SLICE < len(body):
                yield coded
            else:
                yield coded + (encoder.flush() if more else encoder.finish())
        if not body:
            yield b"" if more else encoder.finish()


def weak(etag: bytes) -> bytes:
    """RFC 9110 8.8.1: what is coded on the way is no longer the same byte for byte."""
    return etag if etag.startswith(b"W/") else b"W/" + etag
