from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_gateway_mw.streams import MAX_MESSAGE, EventMessage, MessageCutter, MessageTooLong


def cut(*chunks: bytes) -> list[bytes]:
    cutter = MessageCutter()
    return [message for chunk in chunks for message in cutter.feed(chunk)] + [cutter.rest()]


@pytest.mark.parametrize(
    ("stream", "messages"),
    [
        (b"data: a\n\ndata: b\n\n", [b"data: a\n\n", b"data: b\n\n", b""]),
        (b"data: a\r\n\r\ndata: b\r\n\r\n", [b"data: a\r\n\r\n", b"data: b\r\n\r\n", b""]),
        (b"data: a\r\rdata: b\n\n", [b"data: a\r\r", b"data: b\n\n", b""]),
        (b"data: a\n\r\n: c\n\n", [b"data: a\n\r\n", b": c\n\n", b""]),
        (b"data: a\r\n\ndata: b", [b"data: a\r\n\n", b"data: b"]),
        (b"data: a\n", [b"data: a\n"]),
        (b"\n\n\n\ndata: a\n\n", [b"\n\n", b"\n\n", b"data: a\n\n", b""]),
    ],
)
def test_a_stream_is_cut_behind_blank_lines(stream: bytes, messages: list[bytes]) -> None:
    assert cut(stream) == messages


@given(st.lists(st.sampled_from([b"data: x", b"\n", b"\r", b"\r\n", b": c", b"id: 1"]), max_size=20), st.data())
def test_any_chunks_give_the_same_messages(parts: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(parts)
    places = sorted(data.draw(st.sets(st.integers(0, len(stream)), max_size=8)))
    chunks = [stream[a:b] for a, b in zip([0, *places], [*places, len(stream)], strict=True)]
    assert cut(*chunks) == cut(stream)
    assert b"".join(cut(*chunks)) == stream


def test_a_message_that_never_ends_is_not_held_for_ever() -> None:
    cutter = MessageCutter()
    assert list(cutter.feed(b"data: a\n\n" + b"x" * MAX_MESSAGE)) == [b"data: a\n\n"]
    with pytest.raises(MessageTooLong):
        list(cutter.feed(b"x"))


def test_fields() -> None:
    message = EventMessage(b"\xef\xbb\xbfevent: e\nid:7\n: comment\ndata: one\ndata:two\nretry: 10\nother: x\n\n")
    assert message.fields == {"event": "e", "id": "7", "data": "one\ntwo", "retry": "10"}
    assert EventMessage(b'data: {"a":1}\n\n').json == {"a": 1}
    assert EventMessage(b"data: [DONE]\n\n").json is None


@pytest.mark.parametrize(
    ("raw", "name", "value", "made"),
    [
        (b"data: a\n\n", "data", "b", b"data: b\n\n"),
        (b"data:a\n\n", "data", "b", b"data:b\n\n"),
        (b"id: 1\r\ndata: a\r\n: c\r\n\r\n", "data", "b\nc", b"id: 1\r\ndata: b\r\ndata: c\r\n: c\r\n\r\n"),
        (b"data: a\ndata: b\nid: 2\n\n", "data", "c", b"data: c\nid: 2\n\n"),
        (b"data: a\nretry: 5\n\n", "retry", "9\ndata: x", b"data: a\nretry: 9data: x\n\n"),
        (b"data\n\n", "data", "b", b"data: b\n\n"),
        (b"data: a", "data", "b", b"data: b"),
        (b"data: \xff a\n\n", "data", "\udcff b", b"data: \xff b\n\n"),
        (b"id: 1\n\n", "data", "b", b"id: 1\n\n"),
        (b"data: a\n\n", "data", "a", b"data: a\n\n"),
    ],
)
def test_a_change_leaves_every_other_byte_alone(raw: bytes, name: str, value: str, made: bytes) -> None:
    message = EventMessage(raw)
    message.put(name, value)
    assert message.bytes == made
