"""Addresses and networks."""

from __future__ import annotations

import pytest

from ai_gateway_mw.cel import EvaluationError
from tests.cel.support import value

GIVES = [
    ("inCidrRange('10.1.2.3', '10.0.0.0/8')", True),
    ("inCidrRange('66.249.66.7', '66.249.66.1/24')", True),
    ("inCidrRange('11.0.0.1', '10.0.0.0/8')", False),
    ("inCidrRange('::ffff:10.0.0.1', '10.0.0.0/8')", True),
    ("inCidrRange('2001:db8::1', '2001:db8::/32') && !inCidrRange('10.0.0.1', '::/0')", True),
    ("inCidrRange('nonsense', '10.0.0.0/8') || inCidrRange('10.0.0.1', 'nonsense')", False),
    ("inCidrRange('10.0.0.1', '10.0.0.1')", True),
    ("inCidrRanges('10.0.0.1', ['nonsense', '192.168.0.0/16', '10.0.0.0/24'])", True),
    ("inCidrRanges('10.0.0.1', [])", False),
    ("'192.168.1.1'.isPrivateIp() && '172.31.0.1'.isPrivateIp() && '10.0.0.1'.isPrivateIp()", True),
    ("'172.32.0.1'.isPrivateIp() || 'fd00::1'.isPrivateIp() || 'x'.isPrivateIp() || '127.0.0.1'.isPrivateIp()", False),
    ("ip('10.0.0.1').family() + ip('::1').family()", 10),
    ("string(ip('2001:DB8::0:1')) + ' ' + string(cidr('10.0.0.1/8').masked())", "2001:db8::1 10.0.0.0/8"),
    ("isIP('1.2.3.4') && !isIP('1.2.3') && !isIP('fe80::1%eth0') && isCIDR('10.0.0.0/8')", True),
    ("cidr('10.0.0.0/8').containsIP('10.1.1.1') && cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16')", True),
    ("cidr('10.0.0.0/8').prefixLength()", 8),
    ("ip('127.0.0.1').isLoopback() && ip('0.0.0.0').isUnspecified() && ip('8.8.8.8').isGlobalUnicast()", True),
    ("type(ip('1.2.3.4')) == net.IP", True),
]
FAILS = ["ip('x')", "cidr('10.0.0.0')", "cidr('10.0.0.0/33')", "ip.isCanonical('x')", "ip('::ffff:1.2.3.4')"]


@pytest.mark.parametrize(("text", "expected"), GIVES, ids=[text for text, _ in GIVES])
def test_gives(text: str, expected: object) -> None:
    assert value(text) == expected


@pytest.mark.parametrize("text", FAILS)
def test_fails(text: str) -> None:
    with pytest.raises(EvaluationError):
        value(text)
