"""Digests of text, as hexadecimal or base64."""

from __future__ import annotations

import base64
import functools
import zlib
from collections.abc import Callable

from ai_gateway_mw.cel.declarations import Overload
from ai_gateway_mw.cel.problems import EvaluationError
from ai_gateway_mw.cel.types import STRING

Digest = Callable[[bytes], bytes]

_CRC64 = 0xD800000000000000  # the ISO polynomial, reflected
_MASK = 2**64 - 1
_P1, _P2, _P3, _P4, _P5 = (
    0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5,
)  # fmt: skip
_LARGEST = 1024 * 1024  # for the two that are computed here, in Python


@functools.cache
def _crc64_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        entry = byte
        for _ in range(8):
            entry = entry >> 1 ^ (_CRC64 if entry & 1 else 0)
        table.append(entry)
    return tuple(table)


def _crc64(data: bytes) -> bytes:
    table, crc = _crc64_table(), _MASK
    for byte in _bounded(data):
        crc = table[(crc ^ byte) & 255] ^ crc >> 8
    return (crc ^ _MASK).to_bytes(8, "big")


def _bounded(data: bytes) -> bytes:
    if len(data) > _LARGEST:
        raise EvaluationError("this hash takes at most 1 MiB")
    return data


def _rotated(value: int, by: int) -> int:
    return (value << by | value >> (64 - by)) & _MASK


def _round(accumulator: int, lane: int) -> int:
    return _rotated((accumulator + lane * _P2) & _MASK, 31) * _P1 & _MASK


def _word(data: bytes, at: int, size: int = 8) -> int:
    return int.from_bytes(data[at : at + size], "little")


def _xxhash64(data: bytes) -> bytes:
    """XXH64 with seed 0 (github.com/Cyan4973/xxHash, doc/xxhash_spec.md)."""
    data = _bounded(data)
    at = len(data) // 32 * 32
    result = (_stripes(data, at) if at else _P5) + len(data) & _MASK
    while at + 8 <= len(data):
        result = _rotated(result ^ _round(0, _word(data, at)), 27) * _P1 + _P4 & _MASK
        at += 8
    if at + 4 <= len(data):
        result = _rotated(result ^ _word(data, at, 4) * _P1 & _MASK, 23) * _P2 + _P3 & _MASK
        at += 4
    for byte in data[at:]:
        result = _rotated(result ^ byte * _P5 & _MASK, 11) * _P1 & _MASK
    result = (result ^ result >> 33) * _P2 & _MASK
    result = (result ^ result >> 29) * _P3 & _MASK
    return (result ^ result >> 32).to_bytes(8, "big")


def _stripes(data: bytes, end: int) -> int:
    lanes = [_P1 + _P2 & _MASK, _P2, 0, -_P1 & _MASK]
    for at in range(0, end, 32):
        lanes = [_round(lane, _word(data, at + 8 * number)) for number, lane in enumerate(lanes)]
    result = sum(_rotated(lane, by) for lane, by in zip(lanes, (1, 7, 12, 18), strict=True)) & _MASK
    for lane in lanes:
        result = (result ^ _round(0, lane)) * _P1 + _P4 & _MASK
    return result


def _shown(digest: bytes, form: str) -> str:
    if form == "hex":
        return digest.hex()
    if form == "base64":
        return base64.b64encode(digest).decode()
    raise EvaluationError("a hash is shown as 'hex' or 'base64'")


def _hashed(name: str) -> Digest:
    """A digest of the standard library. It loads OpenSSL, for which nobody shall wait who has no use for it."""

    def digest(data: bytes) -> bytes:
        from hashlib import new  # noqa: PLC0415

        return new(name, data, usedforsecurity=False).digest()

    return digest


_DIGESTS: dict[str, Digest] = {
    "crc32": lambda data: zlib.crc32(data).to_bytes(4, "big"),
    "crc64": _crc64,
    "xxhash64": _xxhash64,
    **{name: _hashed(name) for name in ("md5", "sha1", "sha256", "sha512")},
}


def _rows(name: str, digest: Digest) -> list[Overload]:
    def call(text: str, form: str = "hex") -> str:
        return _shown(digest(text.encode()), form)

    forms = ((STRING,), (STRING, STRING))
    functions = [Overload(f"hash.{name}", params, STRING, call) for params in forms]
    return functions + [Overload(name, params, STRING, call, member=True) for params in forms]


def _hmac(key: str, text: str, form: str = "hex") -> str:
    from hmac import digest  # noqa: PLC0415

    return _shown(digest(key.encode(), text.encode(), "sha256"), form)


HASHES: tuple[Overload, ...] = (
    *(row for name, digest in _DIGESTS.items() for row in _rows(name, digest)),
    Overload("hmac.sha256", (STRING, STRING), STRING, _hmac),
    Overload("hmac.sha256", (STRING, STRING, STRING), STRING, _hmac),
)
