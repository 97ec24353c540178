from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_gateway_mw.upstream.error_bodies import ErrorBody, read_error

JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["error", "code", "message", "details", "metadata", "violations", "retryDelay"]),
            inner,
        )
    ),
)


@pytest.mark.parametrize(
    ("body", "words", "message"),
    [
        ({"error": {"code": "a", "type": "B", "message": "No."}}, "a b", "no."),
        ([{"error": {"status": "A"}}], "a", ""),
        ({"type": "error", "error": {"type": "a", "details": {"error_code": "b"}}}, "a b", ""),
        ({"object": "error", "type": "a", "code": 1300, "message": "No."}, "a 1300", "no."),
        ({"code": "a", "error": "No."}, "a", "no."),
        ({"detail": "No."}, "", "no."),
        (
            {"error": {"details": [{"reason": "A"}, {"violations": [{"quotaId": "RequestsPerDay"}]}]}},
            "a quota_per_day",
            "",
        ),
        ({"error": {"metadata": {"reasons": []}}}, "moderation", ""),
        ([], "", ""),
        (7, "", ""),
    ],
    ids=str,
)
def test_every_shape_comes_down_to_words_and_a_message(body: Any, words: str, message: str) -> None:
    error = read_error(json.dumps(body).encode())
    assert (error.words, error.message) == (set(words.split()), message)


@given(JSON)
def test_any_json_can_be_read(body: Any) -> None:
    assert isinstance(read_error(json.dumps(body).encode()), ErrorBody)


@given(st.binary())
def test_any_bytes_can_be_read(body: bytes) -> None:
    assert isinstance(read_error(body), ErrorBody)


def test_a_message_about_a_member_of_the_request_decides_nothing() -> None:
    """It may repeat what the client wrote."""
    body = {"error": {"message": "Your credit balance is too low", "param": "messages"}}
    assert not read_error(json.dumps(body).encode()).says(set(), ("your credit balance",))


def test_a_message_that_is_nested_too_deep_to_be_shown_says_nothing() -> None:
    nested = b"[" * 900 + b"]" * 900
    assert read_error(b'{"error": {"message": ' + nested + b', "param": 1}}').message == ""
