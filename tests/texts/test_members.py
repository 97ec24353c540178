from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_gateway_mw.texts import edited_strings


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'{"a": "x" }', b'{"a": "y" }'),
        (b'{ "x" : "x" }', b'{ "x" : "y" }'),
        (b'["x",1,"x"]', b'["y",1,"y"]'),
        (b'{"id": "x", "role":"x", "content":"x"}', b'{"id": "x", "role":"x", "content":"y"}'),
        (b'{"a":"\\u0078"}', b'{"a":"y"}'),
        (b'{"a":"\\n\\"x\\""}', b'{"a":"\\n\\"y\\""}'),
        (b'{"url":"data:x"}', b'{"url":"data:x"}'),
        (b'{"a":"\\ud83dx"}', b'{"a":"\\ud83dy"}'),
        (b'{"a":"1.0","b":1.0}', b'{"a":"1.0","b":1.0}'),
    ],
)
def test_strings_change_where_they_stand(before: bytes, after: bytes) -> None:
    assert edited_strings(before, lambda text: text.replace(b"x", b"y")) == after


def test_without_a_change_it_is_the_same_object() -> None:
    body = b'{"a":"b"}'
    assert edited_strings(body, lambda text: text) is body


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(_JSON, st.booleans())
def test_what_was_json_stays_json(value: Any, ascii_only: bool) -> None:
    body = json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "replace")
    made = json.loads(edited_strings(body, lambda text: text + b'"\\\n'))
    assert type(made) is type(value)
