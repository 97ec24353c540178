"""Digests."""

from __future__ import annotations

import pytest

from ai_gateway_mw.cel import EvaluationError
from tests.cel.support import value

SHA256 = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
GIVES = [
    ("hash.crc32('hello') + ' ' + hash.crc32('hello', 'base64')", "3610a686 NhCmhg=="),
    ("hash.crc64('hello') + ' ' + 'hello'.crc64('base64')", "3c3eeee2d8100000 PD7u4tgQAAA="),
    ("hash.xxhash64('hello') + ' ' + 'hello'.xxhash64('base64')", "26c7827d889f6da3 JseCfYifbaM="),
    ("hash.xxhash64('')", "ef46db3751d8e999"),
    ("hash.xxhash64('Nobody inspects the spammish repetition')", "fbcea83c8a378bf1"),
    ("'hello'.md5()", "5d41402abc4b2a76b9719d911017c592"),
    ("hash.sha1('hello')", "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d"),
    ("hash.sha256('hello')", SHA256),
    ("'hello'.sha256('hex')", SHA256),
    ("size(hash.sha512('hello'))", 128),
    ("hmac.sha256('key', 'The quick brown fox jumps over the lazy dog')",
     "f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8"),
]  # fmt: skip
FAILS = ["hash.md5('a', 'hax')", "'a'.sha256('')"]


@pytest.mark.parametrize(("text", "expected"), GIVES, ids=[text for text, _ in GIVES])
def test_gives(text: str, expected: object) -> None:
    assert value(text) == expected


@pytest.mark.parametrize("text", FAILS)
def test_fails(text: str) -> None:
    with pytest.raises(EvaluationError):
        value(text)
