from __future__ import annotations

import copy

import pytest

from ai_gateway_mw.hosts import HostAddress
from ai_gateway_mw.upstream.http1 import Origin


@pytest.mark.parametrize(
    ("url", "scheme", "host", "port", "authority"),
    [
        ("https://api.test", "https", "api.test", 443, b"api.test"),
        ("https://api.test/v1/", "https", "api.test", 443, b"api.test"),
        ("https://api.test:443/v1", "https", "api.test", 443, b"api.test"),
        ("http://api.test", "http", "api.test", 80, b"api.test"),
        ("http://api.test:8080?a=1", "http", "api.test", 8080, b"api.test:8080"),
        ("http://api.test:443", "http", "api.test", 443, b"api.test:443"),
        ("HTTPS://API.Test", "https", "api.test", 443, b"api.test"),
        ("https://api.test.", "https", "api.test", 443, b"api.test."),
        ("http://127.0.0.1:1", "http", "127.0.0.1", 1, b"127.0.0.1:1"),
        ("http://[::1]", "http", "::1", 80, b"[::1]"),
        ("http://[::1]:8080", "http", "::1", 8080, b"[::1]:8080"),
        ("https://b\u00fccher.test", "https", "xn--bcher-kva.test", 443, b"xn--bcher-kva.test"),
        ("https://user:secret@api.test", "https", "api.test", 443, b"api.test"),
    ],
)
def test_an_origin_is_what_a_url_begins_with(url: str, scheme: str, host: str, port: int, authority: bytes) -> None:
    origin = Origin.of(url)
    assert (origin.scheme, origin.host, origin.port, origin.authority) == (scheme, host, port, authority)
    assert origin.address == host


@pytest.mark.parametrize(
    ("mapped", "address", "port"),
    [
        (HostAddress("10.0.0.7"), "10.0.0.7", 443),
        (HostAddress("10.0.0.7", 8443), "10.0.0.7", 8443),
        (HostAddress("::1", 8443), "::1", 8443),
        (HostAddress("elsewhere.internal"), "elsewhere.internal", 443),
    ],
    ids=str,
)
def test_a_mapped_host_leads_elsewhere_and_keeps_its_name(mapped: HostAddress, address: str, port: int) -> None:
    origin = Origin.of("https://api.test/v1", {"api.test": mapped})
    assert (origin.address, origin.port) == (address, port)
    assert (origin.host, origin.authority) == ("api.test", b"api.test")


def test_other_hosts_are_not_mapped() -> None:
    assert Origin.of("https://api.test", {"other.test": HostAddress("10.0.0.7")}).address == "api.test"


@pytest.mark.parametrize(
    "url", ["", "api.test", "ftp://api.test", "https://", "https:///v1", "unix:///run/x", "http://[::1", "http://a:b"]
)
def test_what_leads_nowhere_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="URL"):
        Origin.of(url)


def test_a_refusal_does_not_quote() -> None:
    with pytest.raises(ValueError, match="URL") as failure:
        Origin.of("http://user:sk-secret@[::1")
    assert "sk-secret" not in str(failure.value)


def test_equal_origins_share_their_connections() -> None:
    one, same = Origin.of("https://api.test/v1"), Origin.of("https://API.test:443/v2")
    assert one == same
    assert hash(one) == hash(same)
    assert one != Origin.of("http://api.test:443")
    assert one != Origin.of("https://api.test", {"api.test": HostAddress("10.0.0.7")})


def test_a_copy_has_the_authority_as_well() -> None:
    origin = Origin.of("https://api.example:8443/v1")
    made = copy.deepcopy(origin)
    assert (made, made.authority) == (origin, b"api.example:8443")
