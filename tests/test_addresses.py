from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from ai_gateway_mw.addresses import Ranges, client_address, parse_address, parse_network, text_of
from ai_gateway_mw.errors import PolicyDenied
from ai_gateway_mw.headers import Field

PROXY = "10.0.0.1"
CHUNKED = (b"transfer-encoding", b"chunked")
TRUSTED = Ranges([ip_network("10.0.0.0/8"), ip_network("fd00::/8")])


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::1", "::1"),
        ("2001:DB8::7", "2001:db8::7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("::ffff:cb00:7107", "203.0.113.7"),
    ],
)
def test_addresses_are_read(text: str, address: str) -> None:
    assert parse_address(text) == ip_address(address)


@pytest.mark.parametrize(
    "text",
    ["", " ", "localhost", "1.2.3", "1.2.3.4.5", "256.1.1.1", "010.0.0.1", "1.2.3.4 ", "0x7f.1", "2130706433"]
    + ["fe80::1%eth0", "1.2.3.4/32", "[::1]", "::1::", "１.2.3.4", "1.2.3.4\n", "unknown", '"><script>'],
)  # fmt: skip
def test_other_text_is_no_address(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the standard library's words
        parse_address(text)


@pytest.mark.parametrize("text", ["203.0.113.9", "2001:db8::1", "0.0.0.1", "::1"])
def test_an_address_is_written_as_it_is_read(text: str) -> None:
    assert [text_of(parse_address(text)) for _ in range(2)] == [text, text]
    assert text_of(None) == ""


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("10.1.2.3/8", "10.0.0.0/8"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("::/0", "::/0"),
        ("2001:db8::/32", "2001:db8::/32"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("::ffff:10.1.2.3/128", "10.1.2.3/32"),
    ],
)
def test_ranges_are_read(text: str, network: str) -> None:
    assert parse_network(text) == ip_network(network)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("203.0.113.7", "write `203.0.113.7/32`"),
        ("2001:db8::1", "write `2001:db8::1/128`"),
        ("10.0.0.0/255.0.0.0", "number of bits"),
        ("10.0.0.0/0.255.255.255", "number of bits"),
        ("10.0.0.0/", "number of bits"),
        ("10.0.0.0/-1", "number of bits"),
        ("10.0.0.0/٨", "number of bits"),
        ("fe80::1%eth0/64", "number of bits"),
        ("10.0.0.0/33", "`10.0.0.0/33` is not a CIDR range: it needs an address, `/` and a number of bits, such as"),
        ("10.0.0/8", "number of bits"),
        ("example.com/8", "number of bits"),
        ("example.com", "number of bits"),
        ("fe80::1%eth0", "number of bits"),
        ("YOUR_ADDRESS/32", "number of bits, such as `203.0.113.0/24`"),
        ("", "number of bits"),
    ],
)
def test_other_text_is_no_range(text: str, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        parse_network(text)


RANGES = Ranges(
    map(parse_network, ["192.0.2.0/24", "10.1.0.0/16", "10.0.0.0/8", "10.1.0.0/16", "2001:db8::/32", "::/0"])
)


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("192.0.2.255", 0),
        ("10.1.2.3", 1),
        ("10.2.0.0", 2),
        ("2001:db8::1", 4),
        ("::a00:1", 5),
        ("192.0.3.0", None),
        ("9.255.255.255", None),
        ("11.0.0.0", None),
    ],
)
def test_the_first_range_that_holds_an_address_is_found(address: str, place: int | None) -> None:
    assert RANGES.place_of(parse_address(address)) == place
    assert (parse_address(address) in RANGES) is (place is not None)


def test_the_order_of_ranges_counts_and_not_their_size() -> None:
    wide_first = Ranges(map(parse_network, ["0.0.0.0/0", "10.0.0.0/8"]))
    assert wide_first.place_of(parse_address("10.0.0.1")) == 0


def test_no_ranges_hold_nothing() -> None:
    assert parse_address("::1") not in Ranges()
    assert parse_address("0.0.0.0") not in Ranges()


def test_the_peer_is_the_client_where_no_proxy_is_trusted() -> None:
    fields = [(b"x-forwarded-for", b"192.0.2.1"), (b"forwarded", b"for=192.0.2.1")]
    assert client_address("203.0.113.7", fields, None) == ip_address("203.0.113.7")


def test_what_a_stranger_says_of_other_hops_is_not_heard() -> None:
    assert client_address("203.0.113.7", [(b"x-forwarded-for", b"junk")], TRUSTED) == ip_address("203.0.113.7")


def test_a_unix_socket_has_no_address() -> None:
    assert client_address(None, [], TRUSTED) is None
    assert client_address("", [], TRUSTED) is None


@pytest.mark.parametrize(
    ("fields", "address"),
    [
        pytest.param([(b"x-forwarded-for", b"192.0.2.1")], "192.0.2.1", id="one hop"),
        pytest.param([(b"x-forwarded-for", b"6.6.6.6, 192.0.2.1")], "192.0.2.1", id="what the client wrote is left"),
        pytest.param([(b"x-forwarded-for", b"192.0.2.1, 10.0.0.2")], "192.0.2.1", id="two proxies"),
        pytest.param([(b"x-forwarded-for", b"192.0.2.1"), (b"x-forwarded-for", b"10.9.9.9")], "192.0.2.1", id="lines"),
        pytest.param([(b"x-forwarded-for", b"10.0.0.3, 10.0.0.2")], "10.0.0.3", id="all trusted: the leftmost"),
        pytest.param([(b"x-forwarded-for", b"192.0.2.1:4711")], "192.0.2.1", id="with a port"),
        pytest.param([(b"x-forwarded-for", b"[2001:db8::1]:4711")], "2001:db8::1", id="IPv6 with a port"),
        pytest.param([(b"x-forwarded-for", b"2001:db8::1")], "2001:db8::1", id="IPv6 bare"),
        pytest.param([(b"x-forwarded-for", b"::ffff:192.0.2.1")], "192.0.2.1", id="IPv4-mapped"),
        pytest.param([(b"x-forwarded-for", b"junk, 192.0.2.1")], "192.0.2.1", id="junk left of it is the client's"),
        pytest.param([CHUNKED, (b"x-forwarded-for", b"6.6.6.6, 192.0.2.1")], "192.0.2.1", id="chunked"),
        pytest.param([], "10.0.0.1", id="no field: the proxy itself"),
        pytest.param([(b"forwarded", b"for=192.0.2.1")], "192.0.2.1", id="Forwarded"),
        pytest.param([(b"forwarded", b'for="[2001:db8::1]:1";proto=https')], "2001:db8::1", id="Forwarded, IPv6"),
        pytest.param([(b"forwarded", b"for=6.6.6.6, For=192.0.2.1;by=10.0.0.1")], "192.0.2.1", id="Forwarded, two"),
        pytest.param([(b"forwarded", b'for=6.6.6.6;by="x, for=192.0.2.1')], "192.0.2.1", id="an open quote"),
    ],
)  # fmt: skip
def test_behind_a_trusted_proxy_the_rightmost_stranger_is_the_client(fields: list[Field], address: str) -> None:
    assert client_address(PROXY, fields, TRUSTED) == ip_address(address)


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param([(b"x-forwarded-for", b"junk")], id="junk"),
        pytest.param([(b"x-forwarded-for", b"")], id="empty"),
        pytest.param([(b"x-forwarded-for", b"192.0.2.1,")], id="empty last hop"),
        pytest.param([(b"x-forwarded-for", b"192.0.2.1, unknown")], id="unknown"),
        pytest.param([(b"x-forwarded-for", b"010.0.0.1")], id="octal"),
        pytest.param([(b"x-forwarded-for", b"192.0.2.1:http")], id="port of letters"),
        pytest.param([(b"x-forwarded-for", b"192.0.2.1:")], id="empty port"),
        pytest.param([(b"x-forwarded-for", b"[::1]junk")], id="junk after brackets"),
        pytest.param([(b"x-forwarded-for", b"[::1")], id="open bracket"),
        pytest.param([(b"x-forwarded-for", b"fe80::1%eth0")], id="zone id"),
        pytest.param([(b"x-forwarded-for", b"\xff\xfe")], id="bytes"),
        pytest.param([(b"x-forwarded-for", b'"><script>')], id="markup"),
        pytest.param([(b"forwarded", b"for=_hidden")], id="obfuscated"),
        pytest.param([(b"forwarded", b"for=unknown")], id="Forwarded: unknown"),
        pytest.param([(b"forwarded", b"by=10.0.0.1")], id="no for"),
        pytest.param([(b"forwarded", b"for=192.0.2.1;for=192.0.2.2")], id="two fors"),
        pytest.param([(b"x-forwarded-for", b"192.0.2.1"), (b"forwarded", b"for=192.0.2.1")], id="both kinds"),
        pytest.param([CHUNKED, (b"x-forwarded-for", b"192.0.2.1"), (b"x-forwarded-for", b"6.6.6.6")], id="a trailer"),
        pytest.param(
            [CHUNKED, (b"forwarded", b"for=192.0.2.1"), (b"forwarded", b"for=6.6.6.6")], id="Forwarded: a trailer"
        ),
    ],
)
def test_what_cannot_be_parsed_refuses(fields: list[Field]) -> None:
    with pytest.raises(PolicyDenied):
        client_address(PROXY, fields, TRUSTED)


@pytest.mark.parametrize("peer", ["testclient", "fe80::1%eth0", '"><script>'])
def test_a_peer_that_is_no_address_refuses(peer: str) -> None:
    with pytest.raises(PolicyDenied):
        client_address(peer, [], None)


def test_a_mapped_peer_can_be_a_trusted_proxy() -> None:
    fields = [(b"x-forwarded-for", b"192.0.2.1")]
    assert client_address("::ffff:10.0.0.1", fields, TRUSTED) == ip_address("192.0.2.1")


def test_text_in_quotes_is_not_taken_for_a_hop() -> None:
    fields = [(b"forwarded", b'for=6.6.6.6;host="a,for=192.168.1.1"')]
    with pytest.raises(PolicyDenied):
        client_address(PROXY, fields, TRUSTED)
