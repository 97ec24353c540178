from __future__ import annotations

import base64
import html
import json
import time
from collections.abc import Callable
from urllib.parse import quote, quote_plus, urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ai_gateway_mw.secrets.redaction import Redactor, forms

PLAIN = "sk-proj-AbCd_0123456789xyz"
AWKWARD = 'p@ss/w+rd "ключ" <&> \\ 100%'

ENCODINGS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "bearer": lambda value: f"Authorization: Bearer {value}\r\n",
    "JSON": lambda value: json.dumps({"key": value}),
    "JSON in UTF-8": lambda value: json.dumps({"key": value}, ensure_ascii=False),
    "JSON with escaped slashes": lambda value: json.dumps(value).replace("/", "\\/"),
    "JSON within JSON": lambda value: json.dumps(json.dumps({"key": value})),
    "URL": lambda value: quote(value, safe=""),
    "URL path": quote,
    "form": quote_plus,
    "query": lambda value: "https://x/?" + urlencode({"key": value, "alt": "sse"}),
    "HTML": html.escape,
    "hex": lambda value: value.encode().hex(),
    "HEX": lambda value: value.encode().hex().upper(),
    "base64": lambda value: base64.b64encode(value.encode()).decode(),
    "base64url": lambda value: base64.urlsafe_b64encode(value.encode()).decode().rstrip("="),
    "Basic, 1": lambda value: base64.b64encode(f":{value}".encode()).decode(),
    "Basic, 2": lambda value: base64.b64encode(f"u:{value}:x".encode()).decode(),
    "Basic, 5": lambda value: base64.b64encode(f"user:{value}yz".encode()).decode(),
}


@pytest.mark.parametrize("value", [PLAIN, AWKWARD], ids=["plain", "awkward"])
@pytest.mark.parametrize("encode", ENCODINGS.values(), ids=ENCODINGS)
def test_every_form_is_found_and_replaced(value: str, encode: Callable[[str], str]) -> None:
    redactor = Redactor()
    redactor.add(value)
    text = f"before {encode(value)} after"
    assert redactor.found_in(text.encode())
    redacted = redactor.redacted(text.encode()).decode()
    assert "[redacted]" in redacted
    assert redacted.startswith("before ")
    assert redacted.endswith(" after")
    assert not any(form.decode() in redacted for form in forms(value))


def test_percent_encoding_in_lower_case_is_found() -> None:
    redactor = Redactor()
    redactor.add("pass/word+1")
    assert redactor.redacted(b"?key=pass%2fword%2b1&x") == b"?key=[redacted]&x"


@given(
    value=st.text(min_size=8, max_size=40),
    encode=st.sampled_from([*ENCODINGS.values()]),
    before=st.text(max_size=5),
    after=st.text(max_size=5),
)
@settings(max_examples=200, deadline=None)
def test_no_value_survives_its_encoding(value: str, encode: Callable[[str], str], before: str, after: str) -> None:
    redactor = Redactor()
    redactor.add(value)
    data = f"{before}{encode(value)}{after}".encode()
    assert redactor.found_in(data)
    assert value.encode() not in redactor.redacted(data)


def test_a_secret_that_begins_another_leaves_no_tail() -> None:
    redactor = Redactor()
    for value in ("abcdefgh", "abcdefgh-and-the-rest", "abcdefghi"):
        redactor.add(value)
    assert redactor.redacted(b"x abcdefgh-and-the-rest abcdefghi abcdefgh y") == (
        b"x [redacted] [redacted] [redacted] y"
    )


@pytest.mark.parametrize("value", ["", "a", "chat", "1234567"])
def test_short_values_are_left_alone(value: str) -> None:
    redactor = Redactor()
    redactor.add(value)
    assert redactor.redacted(b"a chat of 1234567 letters") == b"a chat of 1234567 letters"


def test_characters_of_regular_expressions_mean_themselves() -> None:
    redactor = Redactor()
    redactor.add("a.*b[c]{2}|(d)^$\\Q")
    assert redactor.redacted(b"a.*b[c]{2}|(d)^$\\Q and axxb[c]") == b"[redacted] and axxb[c]"


def test_thousands_of_values_are_looked_for_in_one_pass() -> None:
    """Ten times the values may not take anywhere near ten times the time."""
    text = b'{"level": "info", "message": "nothing to be found here"}' * 2_000

    def seconds(count: int) -> float:
        redactor = Redactor()
        for number in range(count):
            redactor.add(f"sk-{number:08}-{number * 7919:012}")
        redactor.found_in(text)
        start = time.perf_counter()
        for _ in range(5):
            redactor.found_in(text)
        return time.perf_counter() - start

    assert seconds(500) < 10 * seconds(5)


def test_the_oldest_values_make_room() -> None:
    redactor = Redactor()
    for number in range(5_001):
        redactor.add(f"sk-value-{number:06}")
    assert redactor.redacted(b"sk-value-005000") == b"[redacted]"
    assert redactor.redacted(b"sk-value-000000") == b"sk-value-000000"
