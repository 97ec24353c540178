from __future__ import annotations

import pytest

from ai_gateway_mw.errors import AmbiguousCredentials, BadRequest
from ai_gateway_mw.headers import Fields
from ai_gateway_mw.keys import generate, presented_credentials

KEY = b"gw_sk_one"
Headers = list[tuple[bytes, bytes]]


@pytest.mark.parametrize(
    ("headers", "query", "fields", "in_query"),
    [
        ([(b"authorization", b"Bearer " + KEY)], b"", {b"authorization"}, False),
        ([(b"authorization", b"bearer   " + KEY + b" ")], b"", {b"authorization"}, False),
        ([(b"authorization", b"BEARER " + KEY)], b"", {b"authorization"}, False),
        ([(b"x-api-key", KEY)], b"", {b"x-api-key"}, False),
        ([(b"x-goog-api-key", b" " + KEY + b"\t")], b"", {b"x-goog-api-key"}, False),
        ([(b"api-key", KEY)], b"", {b"api-key"}, False),
        ([], b"alt=sse&key=" + KEY, set(), True),
        ([], b"%6bey=gw%5Fsk_one", set(), True),
        ([(b"authorization", b"Bearer " + KEY), (b"x-api-key", KEY)], b"", {b"authorization", b"x-api-key"}, False),
        ([(b"authorization", b"Bearer " + KEY)] * 2, b"", {b"authorization"}, False),
        ([(b"x-api-key", KEY)], b"key=" + KEY + b"&key=" + KEY, {b"x-api-key"}, True),
        ([(b"authorization", b"Basic dXNlcjpwYXNz"), (b"x-api-key", KEY)], b"", {b"x-api-key"}, False),
        ([(b"authorization", b"Bearer "), (b"api-key", b""), (b"x-api-key", KEY)], b"key=", {b"x-api-key"}, False),
    ],
    ids=range(13),
)
def test_where_the_one_credential_stands(headers: Headers, query: bytes, fields: set[bytes], in_query: bool) -> None:
    found = presented_credentials(Fields([(b"host", b"x"), *headers, (b"accept", b"*/*")]), query)
    assert found is not None
    assert found.secret.reveal() == KEY.decode()
    assert found.fields == fields
    assert found.in_query is in_query


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ([], b""),
        ([(b"authorization", b"Basic dXNlcjpwYXNz")], b""),
        ([(b"authorization", b"AWS4-HMAC-SHA256 Credential=x")], b""),
        ([(b"authorization", b"Bearer")], b""),
        ([(b"authorization", b"Bearer  ")], b""),
        ([(b"authorization", KEY)], b""),
        ([(b"x-api-key", b" ")], b""),
        ([(b"cookie", b"key=x"), (b"x-key", KEY)], b"apikey=x&Key=x&keys=x&key="),
    ],
    ids=["nothing", "Basic", "another scheme", "no token", "blank token", "no scheme", "blank", "other names"],
)
def test_what_is_no_credential(headers: Headers, query: bytes) -> None:
    assert presented_credentials(Fields(headers), query) is None


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ([(b"authorization", b"Bearer a"), (b"x-api-key", b"b")], b""),
        ([(b"x-api-key", b"a"), (b"api-key", b"b")], b""),
        ([(b"x-api-key", b"a"), (b"x-api-key", b"b")], b""),
        ([(b"authorization", b"Bearer a"), (b"authorization", b"Bearer b")], b""),
        ([(b"authorization", b"Bearer a"), (b"authorization", b"Basic b")], b""),
        ([(b"authorization", b"Basic a"), (b"authorization", b"Basic b")], b""),
        ([(b"authorization", b"Bearer a")], b"key=b"),
        ([], b"key=a&key=b"),
    ],
)
def test_two_different_ones_are_refused_unseen(headers: Headers, query: bytes) -> None:
    with pytest.raises(AmbiguousCredentials, match="two different"):
        presented_credentials(Fields(headers), query)


def test_where_they_are_is_told() -> None:
    with pytest.raises(AmbiguousCredentials, match=r"two different credentials, in authorization and the query\."):
        presented_credentials(Fields([(b"authorization", b"Bearer a")]), b"key=b")


def test_a_query_of_thousands_of_parameters_is_refused() -> None:
    with pytest.raises(BadRequest, match="too many"):
        presented_credentials(Fields([]), b"a=1&" * 1_001)


@pytest.mark.parametrize("value", [b"\xff\xfe", b"x" * 1_000_000, b"a, Bearer b"], ids=["bytes", "long", "joined"])
def test_a_strange_credential_is_one_all_the_same(value: bytes) -> None:
    found = presented_credentials(Fields([(b"authorization", b"Bearer " + value)]))
    assert found is not None
    assert found.secret.reveal().encode("latin-1") == value


def test_a_credential_does_not_show_itself() -> None:
    found = presented_credentials(Fields([(b"authorization", b"Bearer sk-canary"), (b"x-api-key", b"sk-canary")]))
    assert "sk-canary" not in repr(found)
    assert "Secret('client/authorization,x-api-key')" in repr(found)


@pytest.mark.parametrize(
    ("value", "ours"),
    [(generate(), True), ("gw_sk_x", True), ("sk-proj-x", False)],
    ids=["fresh", "malformed", "other"],
)
def test_a_gateway_key_is_told_by_its_prefix(value: str, ours: bool) -> None:
    found = presented_credentials(Fields([(b"x-api-key", value.encode())]))
    assert found is not None
    assert found.is_gateway_key is ours
