from __future__ import annotations

import pytest

from ai_gateway_mw.cel import Duration, Timestamp
from ai_gateway_mw.facts import request_cookies, response_cookies
from ai_gateway_mw.policy import Phase
from tests.test_variables import context, value


def test_cookies_of_a_request_keep_the_order_of_the_field() -> None:
    found = request_cookies("a=1; b=x=y; a=2; junk")
    assert [cookie["value"] for cookie in found["a"]] == ["1", "2"]
    assert found["b"][0]["value"] == "x=y"
    assert list(found) == ["a", "b"]


@pytest.mark.parametrize(
    ("attribute", "name", "expected"),
    [
        ("Domain=example.org", "domain", "example.org"),
        ("PATH=/a", "path", "/a"),
        ("SameSite=Lax", "same_site", "Lax"),
        ("HttpOnly", "http_only", True),
        ("secure", "secure", True),
        ("Max-Age=60", "max_age", Duration(60 * 10**9)),
        ("Max-Age=-1", "max_age", Duration(-(10**9))),
        ("Max-Age=soon", "max_age", Duration(0)),
        ("Max-Age=" + "9" * 40, "max_age", Duration(100 * 366 * 24 * 3600 * 10**9)),
        ("Expires=Wed, 21 Oct 2015 07:28:00 GMT", "expires", Timestamp(1_445_412_480 * 10**9)),
        ("Expires=Wed, 21-Oct-2015 07:28:00 GMT", "expires", Timestamp(1_445_412_480 * 10**9)),
        ("Expires=never", "expires", Timestamp(Timestamp.LOWEST)),
        ("Priority=High", "unparsed_attributes", {"Priority": "High"}),
    ],
)
def test_attributes_of_a_cookie_that_is_set(attribute: str, name: str, expected: object) -> None:
    assert response_cookies([f"a=1; {attribute}"])["a"][0][name] == expected


def test_of_one_name_the_longest_path_comes_first() -> None:
    found = response_cookies(["a=1; path=/", "a=2; path=/deep/er", "a=3"])
    assert [cookie["value"] for cookie in found["a"]] == ["2", "1", "3"]


def test_expressions_read_every_attribute() -> None:
    from ai_gateway_mw.answering import ResponseHead
    from ai_gateway_mw.headers import Fields

    ctx = context("/", headers={"cookie": "s=1"})
    ctx.response = ResponseHead(200, Fields([(b"set-cookie", b"t=2; Max-Age=60; Secure")]))
    assert value("getReqCookie('s').secure", ctx) is False
    assert value("getReqCookie('s').expires < timestamp('2000-01-01T00:00:00Z')", ctx)
    assert value(
        "getResCookie('t').max_age == duration('60s') && res.cookies['t'][0].secure", ctx, Phase.ON_HTTP_RESPONSE
    )
