from __future__ import annotations

import gzip
import importlib
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from ai_gateway_mw.compression import CODINGS, PACKAGES, SLICE, Recoding, is_there, negotiated, worth_it

OFFERED = ["gzip", "deflate", "br"]
JSON = (b"content-type", b"application/json")


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("", ""),
        ("gzip", "gzip"),
        ("GZip", "gzip"),
        ("x-gzip", "gzip"),
        ("gzip, deflate, br", "gzip"),
        ("br, gzip", "gzip"),
        ("gzip;q=0.5, br", "br"),
        ("gzip;q=0.5, br;q=0.8, deflate;q=0.7", "br"),
        ("gzip; q=0", ""),
        ("gzip;q=0, *", "deflate"),
        ("*", "gzip"),
        ("*;q=0", ""),
        ("identity", ""),
        ("identity;q=1, gzip;q=0.5", ""),
        ("identity, gzip", "gzip"),
        ("identity;q=0.5, gzip;q=0.6", "gzip"),
        ("identity;q=0", ""),
        ("zstd", ""),
        ("gzip;q=nonsense", ""),
        ("gzip;q=2", ""),
        ("gzip;q=-1", ""),
        ("gzip;q=nan", ""),
        (",,;q=1,gzip", "gzip"),
        ("gzip," * 1000, ""),
    ],
)
def test_what_a_client_wants(accepted: str, coding: str) -> None:
    assert negotiated(accepted, OFFERED) == coding


def test_the_order_decides_where_the_client_does_not() -> None:
    assert negotiated("gzip, br", ["br", "gzip"]) == "br"


@pytest.mark.parametrize(
    ("method", "status", "fields", "worth"),
    [
        ("GET", 200, [JSON], True),
        ("POST", 404, [JSON], True),
        ("GET", 200, [JSON, (b"content-length", b"1024")], True),
        ("GET", 200, [JSON, (b"content-length", b"1023")], False),
        ("HEAD", 200, [JSON], False),
        ("GET", 204, [JSON], False),
        ("GET", 206, [JSON], False),
        ("GET", 304, [JSON], False),
        ("GET", 200, [], False),
        ("GET", 200, [(b"content-type", b"image/png")], False),
        ("GET", 200, [(b"content-type", b"image/svg+xml")], True),
        ("GET", 200, [(b"content-type", b"Text/HTML; charset=utf-8")], True),
        ("GET", 200, [(b"content-type", b"application/problem+json")], True),
        ("GET", 200, [(b"content-type", b"text/event-stream; charset=utf-8")], False),
        ("GET", 200, [JSON, (b"content-encoding", b"gzip")], False),
        ("GET", 200, [JSON, (b"content-range", b"bytes 0-1/2")], False),
        ("GET", 200, [JSON, (b"cache-control", b"public, No-Transform")], False),
        ("GET", 200, [JSON, (b"cache-control", b"no-transform"), (b"cache-control", b"public")], False),
        ("GET", 200, [JSON, (b"set-cookie", b"a=b")], False),
        ("GET", 200, [JSON, (b"content-digest", b"sha-256=:x:")], False),
    ],
)
def test_what_is_worth_it(method: str, status: int, fields: list[tuple[bytes, bytes]], worth: bool) -> None:
    assert worth_it(method, status, fields) is worth


def decoder(coding: str) -> Callable[[bytes], bytes]:
    """What a client makes of pieces, as they come."""
    if coding in PACKAGES:
        module: Any = importlib.import_module(PACKAGES[coding])
        if coding == "br":
            return module.Decompressor().process  # type: ignore[no-any-return]
        return module.ZstdDecompressor().decompressobj().decompress  # type: ignore[no-any-return]
    return zlib.decompressobj(31 if coding == "gzip" else 15).decompress


@pytest.mark.parametrize("coding", CODINGS)
def test_what_has_come_can_be_read(coding: str) -> None:
    if not is_there(coding):
        pytest.skip(f"{PACKAGES[coding]} is not installed")
    recoding, decode = Recoding("GET", coding), decoder(coding)
    assert recoding.begin(200, [JSON], b"one", more=True) == [JSON, (b"content-encoding", coding.encode())]
    large = bytes(range(256)) * 1024
    assert len(list(recoding.pieces(b"", more=True))) == 1
    for body in (b"one", b"two", large):
        pieces = list(recoding.pieces(body, more=True))
        assert len(pieces) == max(1, len(body) // SLICE)
        assert b"".join(map(decode, pieces)) == body
    assert b"".join(map(decode, recoding.pieces(b"end", more=False))) == b"end"


def test_an_empty_end() -> None:
    recoding = Recoding("GET", "gzip")
    recoding.begin(200, [JSON], b"x", more=True)
    coded = b"".join([*recoding.pieces(b"x" * 10, more=True), *recoding.pieces(b"", more=False)])
    assert gzip.decompress(coded) == b"x" * 10


def test_the_head_says_what_was_done() -> None:
    fields = [JSON, (b"content-length", b"5000"), (b"etag", b'"a"'), (b"accept-ranges", b"bytes"), (b"x", b"y")]
    assert Recoding("GET", "gzip").begin(200, fields, b"x" * 5000, more=False) == [
        JSON, (b"etag", b'W/"a"'), (b"x", b"y"), (b"content-encoding", b"gzip"),
    ]  # fmt: skip
    weak = (b"etag", b'W/"a"')
    assert weak in (Recoding("GET", "gzip").begin(200, [JSON, weak], b"x" * 5000, more=False) or ())


def test_what_turns_out_to_be_short_is_left_as_it_is() -> None:
    assert Recoding("GET", "gzip").begin(200, [JSON], b"x" * 1023, more=False) is None
