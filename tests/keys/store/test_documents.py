"""What may be said of a key: everything else is refused, with the field that is wrong."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from pydantic import ValidationError

from ai_gateway_mw.addresses import Ranges, parse_address, parse_network
from ai_gateway_mw.database import storable
from ai_gateway_mw.keys.store import KeyChanges, NewKey

SECRET = "gw_sk_" + "s" * 38


def refusal(model: type[NewKey] | type[KeyChanges] = NewKey, **fields: Any) -> tuple[str, str]:
    """The field that is wrong, and all that is said about it."""
    given = {"name": "a", **fields} if model is NewKey else fields
    with pytest.raises(ValidationError) as caught:
        model.model_validate(given)
    (field,) = {str(error["loc"][0]) for error in caught.value.errors()}
    return field, str(caught.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "x" * 101),
        ("name", " a"),
        ("name", "a\u00a0"),
        ("name", "key_a"),
        ("name", "a\r\nb"),
        ("name", "a\x1b[2Jb"),
        ("name", "a\0"),
        ("name", "a\x85b"),
        ("name", "a\u2028b"),
        ("name", "a\u202eb"),
        ("name", "a\u2066b"),
        ("name", "a\ud800"),
        ("name", 5),
        ("name", None),
        ("environment", "x" * 51),
        ("environment", "a\nb"),
        ("environment", "\udfff"),
        ("scopes", []),
        ("scopes", ["write"]),
        ("scopes", ["admin"]),
        ("scopes", ["full", "admin"]),
        ("scopes", "chat"),
        ("expires_at", "2027-01-31T12:00:00"),
        ("expires_at", "2027-01-31"),
        ("expires_at", "tomorrow"),
        ("expires_at", 1893456000),
        ("expires_at", 1893456000.5),
        ("expires_at", "1893456000"),
        ("expires_at", " +1893456000.5 "),
        ("expires_at", True),
        ("expires_at", datetime(2027, 1, 31)),  # noqa: DTZ001
        ("expires_at", "9999-12-31T23:59:59-12:00"),
        ("expires_at", "0001-01-01T00:00:00+14:00"),
        ("allowed_ips", ["10.0.0.0/33"]),
        ("allowed_ips", ["10.0.0/8"]),
        ("allowed_ips", ["10.0.0.0/-1"]),
        ("allowed_ips", ["10.0.0.0/255.0.0.0"]),
        ("allowed_ips", ["10.0.0.0/٨"]),
        ("allowed_ips", ["10.0.0.0/"]),
        ("allowed_ips", ["/8"]),
        ("allowed_ips", [""]),
        ("allowed_ips", ["localhost"]),
        ("allowed_ips", ["fe80::1%eth0/64"]),
        ("allowed_ips", ["010.0.0.1"]),
        ("allowed_ips", ["::ffff:10.0.0.0/129"]),
        ("allowed_ips", ["10.0.0.1\n"] * 1001),
        ("allowed_ips", [10]),
        ("allowed_ips", "10.0.0.0/8"),
        ("allowed_models", [""]),
        ("allowed_models", ["!"]),
        ("allowed_models", ["x" * 201]),
        ("allowed_models", ["a\nb"]),
        ("allowed_models", ["x"] * 1001),
        ("allowed_providers", ["\x1b"]),
        ("metadata", {"": "x"}),
        ("metadata", {"x" * 65: "x"}),
        ("metadata", {"a": "x" * 501}),
        ("metadata", {"a": 1}),
        ("metadata", {"a": "\0"}),
        ("metadata", {"a\n": "x"}),
        ("metadata", {"a": "\ud800"}),
        ("metadata", {str(n): "x" for n in range(51)}),
        ("metadata", []),
        ("state", "active"),
        ("digest", "x"),
        ("id", "key_1"),
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_what_cannot_be_said_of_a_key(field: str, value: Any) -> None:
    assert refusal(**{field: value})[0] == field
    if field != "name" or value is not None:
        assert refusal(KeyChanges, **{field: value})[0] == field


def test_a_refusal_does_not_repeat_what_was_sent() -> None:
    for field in ("name", "environment"):
        assert SECRET not in refusal(**{field: SECRET + "\n" + "x" * 200})[1]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("10.1.2.3/8", "10.0.0.0/8"),
        ("10.1.2.3", "10.1.2.3/32"),
        (" 10.1.2.3 ", "10.1.2.3/32"),
        (" 10.1.2.3/32 ", "10.1.2.3/32"),
        ("2001:DB8::1", "2001:db8::1/128"),
        ("::ffff:10.1.2.3", "10.1.2.3/32"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("::ffff:a00:0/104", "10.0.0.0/8"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("::/0", "::/0"),
    ],
)
def test_a_range_has_one_spelling(written: str, meant: str) -> None:
    assert NewKey(name="a", allowed_ips=(written,)).allowed_ips == (meant,)


def test_an_address_is_found_in_the_range_of_its_mapped_spelling() -> None:
    ranges = NewKey(name="a", allowed_ips=("::ffff:10.0.0.0/104",)).allowed_ips
    assert ranges is not None
    assert parse_address("::ffff:10.9.9.9") in Ranges(map(parse_network, ranges))


def test_names_of_scopes_count_once_and_keep_their_order() -> None:
    assert NewKey(name="a", scopes=("chat", "read", "chat")).scopes == ("chat", "read")  # type: ignore[arg-type]


def test_a_time_is_kept_in_utc() -> None:
    east = datetime(2027, 1, 31, 12, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    for moment in (NewKey(name="a", expires_at=east).expires_at, KeyChanges(expires_at=east).expires_at):
        assert moment is not None
        assert moment.isoformat() == "2027-01-31T06:30:00+00:00"


def test_the_last_moment_that_there_is_can_be_said() -> None:
    last = datetime(2999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
    assert NewKey.model_validate({"name": "a", "expires_at": last.isoformat()}).expires_at == last


@pytest.mark.parametrize(
    ("given", "columns"),
    [
        ({}, {}),
        ({"limits": None, "metadata": None, "environment": None}, {"limits": {}, "metadata": {}, "environment": ""}),
        ({"allowed_models": None, "expires_at": None}, {"allowed_models": None, "expires_at": None}),
        ({"allowed_models": []}, {"allowed_models": ()}),
    ],
    ids=["nothing", "without", "null", "empty"],
)
def test_changes_are_what_is_given_and_nothing_else(given: dict[str, Any], columns: dict[str, Any]) -> None:
    assert KeyChanges.model_validate(given).given() == columns


@pytest.mark.parametrize(
    ("text", "can"), [("käse 🧀", True), ("a\nb", True), ("a\0", False), ("\ud83e", False)], ids=ascii
)
def test_what_no_database_keeps_is_known(text: str, can: bool) -> None:
    assert storable(text) is can
