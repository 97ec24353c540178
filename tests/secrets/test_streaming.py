from __future__ import annotations

import json
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ai_gateway_mw.secrets import MemorySource, SecretStore, StreamRedactor
from ai_gateway_mw.secrets.streaming import Sought

KEY = "sk-proj-AbCdQ0123456789xyz"
AWKWARD = 'p@ss/w"rd ключ \\ 100%'


def redactor(*values: str) -> StreamRedactor:
    store = SecretStore([MemorySource({"v": {f"n{number}": value for number, value in enumerate(values)}})])
    for number in range(len(values)):
        store.get("v", f"n{number}")
    return store.stream_redactor()


def passed(stream: StreamRedactor, chunks: Iterable[bytes]) -> bytes:
    return b"".join([*map(stream.feed, chunks), stream.flush()])


def replaced(data: bytes, literals: Iterable[bytes]) -> bytes:
    """What must come out: from left to right, the longest that begins at each place."""
    made, at = b"", 0
    while at < len(data):
        there = max((each for each in literals if data.startswith(each, at)), key=len, default=b"")
        made += b"[redacted]" if there else data[at : at + 1]
        at += len(there) or 1
    return made


@pytest.mark.parametrize(
    "text",
    [
        f'data: {{"content":"{KEY}"}}\n\n',
        KEY,
        f"{KEY}{KEY}",
        f"s{KEY} sk-proj-{KEY}9 {KEY[:-1]}",
        f"{KEY[:12]}{KEY}",
        f"QQQ {KEY} sk-proj-",
    ],
    ids=["in an event", "alone", "twice", "with its own beginning before it", "begun twice", "among its rare bytes"],
)
def test_a_secret_is_found_wherever_the_body_is_cut(text: str) -> None:
    data = text.encode()
    expected = data.replace(KEY.encode(), b"[redacted]")
    assert passed(redactor(KEY), [data]) == expected
    assert passed(redactor(KEY), [data[at : at + 1] for at in range(len(data))]) == expected
    for first in range(len(data) + 1):
        for second in range(first, len(data) + 1):
            assert passed(redactor(KEY), [data[:first], data[first:second], data[second:]]) == expected


@pytest.mark.parametrize("ascii_only", [True, False])
def test_a_secret_is_found_as_json_writes_it(ascii_only: bool) -> None:
    data = json.dumps({"error": f"bad key {AWKWARD}!"}, ensure_ascii=ascii_only).encode()
    for cut in range(len(data)):
        assert passed(redactor(AWKWARD), [data[:cut], data[cut:]]) == b'{"error": "bad key [redacted]!"}'


def test_a_secret_that_begins_another_leaves_no_tail() -> None:
    data = b"x abcdefgh-and-the-rest abcdefgh-and y"
    for cut in range(len(data)):
        chunks = [data[:cut], data[cut:]]
        assert passed(redactor("abcdefgh", "abcdefgh-and-the-rest"), chunks) == b"x [redacted] [redacted]-and y"


@given(
    literals=st.lists(st.text("ab-", min_size=3, max_size=6).map(str.encode), min_size=1, max_size=4, unique=True),
    chunks=st.lists(st.text("ab-c", max_size=8).map(str.encode), max_size=8),
)
@settings(max_examples=500, deadline=None)
def test_cuts_change_nothing(literals: list[bytes], chunks: list[bytes]) -> None:
    stream = StreamRedactor(Sought(tuple(sorted(literals))))
    assert passed(stream, chunks) == replaced(b"".join(chunks), literals)


@given(
    literals=st.lists(st.text("abQZ-", min_size=3, max_size=6).map(str.encode), min_size=1, max_size=14, unique=True),
    data=st.text("abQZ-c", max_size=60).map(str.encode),
    times=st.integers(1, 4),
)
@settings(max_examples=500, deadline=None)
def test_nothing_that_is_there_is_overlooked(literals: list[bytes], data: bytes, times: int) -> None:
    sought = Sought(tuple(sorted(literals)))
    assert sought.may_be_in(data * times) or not any(each in data * times for each in literals)


@pytest.mark.parametrize("others", [0, 20], ids=["one", "many"])
def test_a_secret_is_seen_behind_any_number_of_its_rare_bytes(others: int) -> None:
    literals = [KEY.encode(), *(b"sk-other-%dQQ" % number for number in range(others))]
    sought, rare = Sought(tuple(sorted(literals))), bytes(set(KEY.encode()))
    for length in range(200):
        before = b" ".join([rare[at % len(rare) :][:1] for at in range(length)])
        assert sought.may_be_in(before + KEY.encode())
    assert not Sought((KEY.encode(),)).may_be_in(b" ".join([rare[at : at + 1] for at in range(len(rare))] * 50))


@pytest.mark.parametrize(
    ("chunk", "goes"),
    [
        (b"no beginning of it.", b"no beginning of it."),
        (b"ends with s", b"ends with "),
        (b"ends with sk-proj-Ab", b"ends with "),
        (b"ends with sk-proj-AB", b"ends with sk-proj-AB"),
        (KEY.encode()[:-1], b""),
        (KEY.encode() + b" sk", b"[redacted] "),
    ],
)
def test_only_a_possible_beginning_is_held_back(chunk: bytes, goes: bytes) -> None:
    assert redactor(KEY).feed(chunk) == goes


def test_what_was_held_back_goes_on_once_it_is_something_else_or_the_body_ends() -> None:
    stream = redactor(KEY)
    assert stream.feed(b"a sk-p") == b"a "
    assert stream.feed(b"orridge s") == b"sk-porridge "
    assert stream.flush() == b"s"
    assert stream.flush() == b""


@pytest.mark.parametrize("values", [(), (KEY,), ("short",)], ids=["no secrets", "one", "one too short to look for"])
def test_a_clean_chunk_is_handed_back_itself(values: tuple[str, ...]) -> None:
    chunk = b'data: {"id":"chatcmpl-QQ7","choices":[]}\n\n'
    assert redactor(*values).feed(chunk) is chunk


def test_every_stream_knows_the_secrets_of_its_beginning() -> None:
    values = {"n": KEY}
    store = SecretStore([MemorySource({"v": values})], ttl=0)
    store.get("v", "n")
    values["n"] = "sk-another-9876543210"
    store.get("v", "n")
    data = f"{KEY} sk-another-9876543210".encode()
    assert passed(store.stream_redactor(), [data]) == b"[redacted] [redacted]"
