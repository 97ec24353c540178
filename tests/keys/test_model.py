from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network

import pytest

from ai_gateway_mw.addresses import Ranges
from ai_gateway_mw.keys import GatewayKey, Scope

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def key(**fields: object) -> GatewayKey:
    return GatewayKey(id="key_1", name="production-api-primary", digest=b"d" * 32, **fields)  # type: ignore[arg-type]


def test_a_key_may_do_all_but_administer_unless_told_otherwise() -> None:
    assert [scope.value for scope in Scope if scope in key().permitted] == ["read", "chat", "full"]
    assert [scope.value for scope in Scope if scope in key(scopes=("chat",)).permitted] == ["chat"]
    assert key().allows_address(None)
    assert key().allows_model("openai", "gpt-4o")
    assert key().allows_provider("openai")


@pytest.mark.parametrize(
    ("after", "expired"),
    [(timedelta(0), True), (timedelta(microseconds=1), False), (timedelta(microseconds=-1), True)],
)
def test_the_moment_of_expiry_is_too_late(after: timedelta, expired: bool) -> None:
    assert key(expires=NOW + after).expired(lambda: NOW) is expired


def test_a_key_that_does_not_expire_asks_no_clock() -> None:
    def clock() -> datetime:
        raise AssertionError("asked")

    assert not key().expired(clock)


def test_an_expiry_without_a_time_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        key(expires=datetime(2026, 6, 1))  # noqa: DTZ001


@pytest.mark.parametrize(
    ("networks", "address", "allowed"),
    [
        (["10.0.0.0/8"], "10.1.2.3", True),
        (["10.0.0.0/8"], "11.1.2.3", False),
        (["10.0.0.0/8", "2001:db8::/32"], "2001:db8::1", True),
        (["10.0.0.0/8"], "2001:db8::1", False),
        (["0.0.0.0/0"], None, False),
        ([], "10.1.2.3", False),
    ],
)
def test_addresses(networks: list[str], address: str | None, allowed: bool) -> None:
    limited = key(allowed_ips=Ranges(map(ip_network, networks)))
    assert limited.allows_address(ip_address(address) if address else None) is allowed


@pytest.mark.parametrize(
    ("patterns", "name", "allowed"),
    [
        (("gpt-4o",), "gpt-4o", True),
        (("gpt-4o",), "gpt-4o-mini", False),
        (("gpt-4*",), "gpt-4o-mini", True),
        (("GPT-4*",), "Gpt-4o", True),
        (("gpt-*", "!gpt-4*"), "gpt-4o", False),
        (("!gpt-4*", "gpt-*"), "gpt-4o", False),
        (("gpt-*", "!gpt-4*"), "gpt-5", True),
        (("gpt-*", "!gpt-4*"), "claude-opus-5", False),
        (("!gpt-4*",), "claude-opus-5", True),
        (("!gpt-4*",), "gpt-4o", False),
        ((), "gpt-4o", False),
        (("*",), "anything/at-all", True),
    ],
)
def test_globs_over_models_and_providers(patterns: tuple[str, ...], name: str, allowed: bool) -> None:
    assert key(allowed_models=patterns).allows_model("p", name) is allowed
    assert key(allowed_providers=patterns).allows_provider(name) is allowed


def test_its_representation_holds_no_digest() -> None:
    assert "d" * 8 not in repr(key())


def test_it_can_be_hashed() -> None:
    assert len({key(metadata={"team": "a"}), key(metadata={"team": "a"})}) == 1
