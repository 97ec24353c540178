from __future__ import annotations

import pytest

from ai_gateway_mw.headers import (
    Field,
    Fields,
    field_name,
    field_value,
    named_by_connection,
    settable_name,
    telling_upstream,
    to_client,
    to_upstream,
)


def test_a_map_of_fields_is_read_in_any_case() -> None:
    fields = Fields([(b"x-a", b"1"), (b"x-a", b"2")]).map
    assert fields["X-A"] == fields["x-a"] == ["1", "2"]
    assert "X-a" in fields
    assert "x-b" not in fields
    assert fields.get("X-A") == ["1", "2"]
    assert fields.get("x-b", []) == []


def test_a_map_follows_the_changes() -> None:
    fields = Fields([(b"x-a", b"1")])
    assert "x-b" not in fields.map
    fields.append(b"x-b", b"2")
    assert fields.map["x-b"] == ["2"]
    fields.remove(b"x-a")
    assert "x-a" not in fields.map


def test_adding_appends_and_what_was_there_stays() -> None:
    fields = Fields([(b"x-a", b"1")])
    fields.append(b"x-a", b"2")
    assert list(fields) == [(b"x-a", b"1"), (b"x-a", b"2")]
    assert fields.get(b"x-a") == b"1"
    assert fields.all(b"x-a") == [b"1", b"2"]


def test_a_host_is_replaced_since_a_request_has_one() -> None:
    fields = Fields([(b"host", b"a")])
    fields.append(b"host", b"b")
    assert fields.all(b"host") == [b"b"]


def test_removing_takes_all_of_that_name_and_says_whether_there_were_any() -> None:
    fields = Fields([(b"x-a", b"1"), (b"x-b", b"2")])
    fields.append(b"x-a", b"3")
    assert fields.remove(b"x-a")
    assert not fields.remove(b"x-a")
    assert list(fields) == [(b"x-b", b"2")]


def test_the_first_value_of_a_repeated_field_is_found_wherever_it_stands() -> None:
    fields = Fields([(b"x-a", b"1"), (b"x-b", b"2"), (b"x-a", b"3")])
    assert (fields.get(b"x-a"), fields.get(b"x-c"), fields.first[b"x-b"]) == (b"1", None, b"2")
    assert fields.repeated
    fields.remove(b"x-a")
    assert (fields.get(b"x-a"), fields.repeated) == (None, False)
    fields.append(b"x-b", b"4")
    assert (fields.repeated, fields.all(b"x-b")) == (True, [b"2", b"4"])


@pytest.mark.parametrize("name", ["x-a", "X-A", "x-\xe9", "host", "", "x-\u20ac", "\u212a"])
def test_texts_are_what_the_map_holds(name: str) -> None:
    fields = Fields([(b"x-a", b"1"), (b"x-a", b"\xe9"), ("x-\xe9".encode("latin-1"), b"2")])
    assert fields.texts(name) == fields.map.get(name, [])


@pytest.mark.parametrize(
    ("name", "sent"), [("x-a", b"x-a"), ("X-Tenant", b"x-tenant"), ("!#$%&'*+.^_`|~9", b"!#$%&'*+.^_`|~9")]
)
def test_field_names_are_tokens_in_lower_case(name: str, sent: bytes) -> None:
    assert field_name(name) == sent


@pytest.mark.parametrize(
    "name", ["", " ", "x a", "x:a", "x\r\na", "x\0", "ä", "a/b", "(a)", '"a"', "a,b", ":path", "a\x7f"]
)
def test_other_text_is_no_field_name(name: str) -> None:
    with pytest.raises(ValueError, match="not a header field name"):
        field_name(name)


@pytest.mark.parametrize("name", ["Connection", "transfer-encoding", "TE", "upgrade", "Keep-Alive", "content-length"])
def test_fields_of_the_connection_cannot_be_set(name: str) -> None:
    with pytest.raises(ValueError, match="belongs to the connection"):
        settable_name(name)


@pytest.mark.parametrize(
    ("value", "sent"), [("a", b"a"), (" a\t", b"a"), ("a\tb", b"a\tb"), ("é", b"\xe9"), ("", b""), ("\x80", b"\x80")]
)
def test_field_values_are_latin_1_without_outer_blanks(value: str, sent: bytes) -> None:
    assert field_value(value) == sent


@pytest.mark.parametrize("control", [*range(9), *range(10, 32), 127])
def test_field_values_hold_no_control_characters(control: int) -> None:
    """Servers raise when they are told to write one, in the middle of the answer."""
    with pytest.raises(ValueError, match="control characters"):
        field_value(f"a{chr(control)}b")


def test_field_values_beyond_latin_1_are_refused() -> None:
    with pytest.raises(ValueError, match="Latin-1"):
        field_value("€")


def test_connection_names_fields_in_any_case() -> None:
    fields: list[Field] = [(b"connection", b"Close, X-A"), (b"connection", b"x-b")]
    assert named_by_connection(fields) == {b"close", b"x-a", b"x-b"}


@pytest.mark.parametrize(
    ("name", "goes"),
    [
        *((name, True) for name in ["accept", "content-type", "user-agent", "idempotency-key", "traceparent"]),
        *((name, True) for name in ["anthropic-version", "anthropic-beta", "openai-organization", "x-stainless-lang"]),
        *((name, False) for name in ["authorization", "x-api-key", "x-goog-api-key", "api-key", "cookie"]),
        *((name, False) for name in ["host", "content-length", "accept-encoding", "transfer-encoding", "te"]),
        *((name, False) for name in ["x-forwarded-for", "forwarded", "x-real-ip", "x-custom", "connection", "upgrade"]),
        *((name, False) for name in ["proxy-authorization", "expect", "trailer", "via", "origin", "referer"]),
        *((name, False) for name in ["openai-api-key", "anthropic-auth-token", "openai-gw_sk_abc", "openai-sk1"]),
    ],
)
def test_only_listed_fields_go_upstream(name: str, goes: bool) -> None:
    sent = to_upstream(Fields([(name.encode(), b"v")]))
    assert sent == ([(name.encode(), b"v")] if goes else [])


def test_what_the_policy_adds_goes_upstream() -> None:
    fields = Fields()
    for name in (b"x-tenant", b"authorization", b"accept"):
        fields.append(name, b"ours")
    assert to_upstream(fields) == [(b"x-tenant", b"ours"), (b"authorization", b"ours"), (b"accept", b"ours")]


@pytest.mark.parametrize("name", [b"authorization", b"x-api-key", b"x-tenant"])
def test_a_client_field_of_the_same_name_does_not_go_along(name: bytes) -> None:
    """What opens a door is that the policy added it, not what it is called."""
    fields = Fields([(name, b"theirs")])
    fields.append(name, b"ours")
    assert to_upstream(fields) == [(name, b"ours")]


def test_a_client_cannot_have_the_policys_field_dropped() -> None:
    fields = Fields([(b"connection", b"x-tenant, accept"), (b"accept", b"theirs")])
    fields.append(b"x-tenant", b"ours")
    assert to_upstream(fields) == [(b"x-tenant", b"ours")]


def test_fields_may_be_withheld_that_the_policy_may_still_add() -> None:
    fields = Fields([(b"openai-project", b"theirs"), (b"accept", b"theirs")])
    fields.append(b"openai-project", b"ours")
    assert to_upstream(fields, frozenset({b"openai-project"})) == [(b"accept", b"theirs"), (b"openai-project", b"ours")]


def test_a_client_field_with_a_control_character_does_not_go_along() -> None:
    """It would fail at the provider, and look like the provider's fault."""
    assert to_upstream(Fields([(b"accept", b"\x01"), (b"user-agent", b"a\tb")])) == [(b"user-agent", b"a\tb")]


@pytest.mark.parametrize("withheld", [frozenset(), frozenset({b"openai-project"})], ids=["", "withheld"])
@pytest.mark.parametrize(
    "fields",
    [
        [(b"accept", b"a"), (b"accept", b"b"), (b"user-agent", b"c")],
        [(b"connection", b"accept"), (b"accept", b"a"), (b"connection", b"user-agent"), (b"user-agent", b"c")],
        [(b"accept", b"gw_sk_1"), (b"user-agent", b"\x01"), (b"openai-project", b"p")],
    ],
    ids=["repeated", "named", "dropped"],
)
def test_some_fields_tell_what_goes_upstream(fields: list[Field], withheld: frozenset[bytes]) -> None:
    others = [(b"host", b"h"), (b"authorization", b"a"), (b"cookie", b"c"), (b"content-length", b"1")]
    telling = telling_upstream(Fields(others + fields + others))
    assert telling == tuple(fields)
    assert to_upstream(Fields(telling), withheld) == to_upstream(Fields(others + fields + others), withheld)


@pytest.mark.parametrize("name", [b"host", b"accept-encoding", b"content-length"])
def test_fields_that_we_set_are_not_the_policys_to_add(name: bytes) -> None:
    fields = Fields()
    fields.append(name, b"x")
    assert to_upstream(fields) == []


def shown(fields: list[Field]) -> list[Field]:
    return to_client(fields, dict(fields))


@pytest.mark.parametrize(
    ("name", "goes"),
    [
        *((name, True) for name in ["content-type", "retry-after", "x-ratelimit-remaining-requests", "request-id"]),
        *((name, True) for name in ["anthropic-ratelimit-tokens-remaining", "x-should-retry", "content-encoding"]),
        *((name, False) for name in ["set-cookie", "server", "strict-transport-security", "transfer-encoding"]),
        *((name, False) for name in ["access-control-allow-origin", "openai-organization", "location", "connection"]),
        *((name, False) for name in ["content-length", "x-request-id", "x-gateway-model", "ngrok-error-code", "via"]),
    ],
)
def test_only_listed_fields_reach_the_client(name: str, goes: bool) -> None:
    assert shown([(name.encode(), b"v")]) == ([(name.encode(), b"v")] if goes else [])


def test_fields_that_the_upstreams_connection_names_stay_there() -> None:
    assert shown([(b"connection", b"Retry-After"), (b"retry-after", b"1")]) == []


def test_an_upstreams_field_with_a_control_character_is_dropped() -> None:
    assert shown([(b"content-type", b"text/\x01plain"), (b"retry-after", b"1")]) == [(b"retry-after", b"1")]
