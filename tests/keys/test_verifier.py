from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_gateway_mw.keys import GatewayKey, KeyVerifier, digest, generate

PEPPER = b"p" * 32
NOW = datetime(2026, 6, 1, tzinfo=UTC)
TOKEN = generate()
KEY = GatewayKey(id="key_1", name="production-api-primary", digest=digest(TOKEN, PEPPER))
VERIFIER = KeyVerifier([KEY], pepper=PEPPER, clock=lambda: NOW)


@pytest.mark.parametrize("presented", [TOKEN, TOKEN.encode()], ids=["text", "bytes"])
def test_a_known_key_is_found(presented: str | bytes) -> None:
    assert VERIFIER.verify(presented) is KEY


def test_an_unknown_key_is_not() -> None:
    assert VERIFIER.verify(generate()) is None


def test_another_pepper_knows_other_keys() -> None:
    assert KeyVerifier([KEY], pepper=b"q" * 32).verify(TOKEN) is None


def test_each_token_has_its_own_key() -> None:
    tokens = [generate() for _ in range(50)]
    keys = [GatewayKey(id=f"key_{n}", name="", digest=digest(token, PEPPER)) for n, token in enumerate(tokens)]
    verifier = KeyVerifier(keys, pepper=PEPPER)
    assert [verifier.verify(token) for token in tokens] == keys


@pytest.mark.parametrize(("left", "works"), [(timedelta(seconds=1), True), (timedelta(0), False)])
def test_a_key_works_until_it_expires(left: timedelta, works: bool) -> None:
    key = GatewayKey(id="key_1", name="", digest=digest(TOKEN, PEPPER), expires=NOW + left)
    assert (KeyVerifier([key], pepper=PEPPER, clock=lambda: NOW).verify(TOKEN) is key) is works


def test_the_clock_of_the_machine_is_the_default() -> None:
    now = datetime.now(UTC)
    for left, works in ((timedelta(days=1), True), (timedelta(days=-1), False)):
        key = GatewayKey(id="key_1", name="", digest=digest(TOKEN, PEPPER), expires=now + left)
        assert (KeyVerifier([key], pepper=PEPPER).verify(TOKEN) is key) is works


def test_replaced_keys_count_at_once() -> None:
    verifier = KeyVerifier([KEY], pepper=PEPPER)
    verifier.replace([])
    assert verifier.verify(TOKEN) is None
    verifier.replace([KEY])
    assert verifier.verify(TOKEN) is KEY


@pytest.mark.parametrize(
    "presented",
    [
        "",
        b"",
        "gw_sk_",
        "ключ",
        "\ud800" * 44,
        b"\xff" * 44,
        b"\x00" * 44,
        "x" * 1_000_000,
        b"x" * 1_000_000,
        "é" * 44,
        "' OR 1=1 --",
        "gw_sk_%s%n",
        TOKEN + "\n",
        TOKEN[:-1] + "é",
    ],
    ids=range(14),
)
def test_junk_is_none_and_never_an_error(presented: str | bytes) -> None:
    assert VERIFIER.verify(presented) is None


@given(st.one_of(st.text(), st.binary(), st.binary(min_size=38, max_size=38).map(lambda tail: b"gw_sk_" + tail)))
def test_anything_at_all_is_none(presented: str | bytes) -> None:
    assert VERIFIER.verify(presented) is None
