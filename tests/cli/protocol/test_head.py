"""Heads of answers: what an app may say, and what would be more than one head."""

from __future__ import annotations

import pytest

from ai_gateway_mw.cli.protocol.head import Heads

DATE = (b"date", b"Mon, 23 Nov 2026 08:00:00 GMT")


@pytest.fixture
def heads() -> Heads:
    return Heads()


def test_a_head(heads: Heads) -> None:
    fields = [(b"Content-Type", b"text/plain"), (b"content-length", b"5")]
    content, length, chunked, keep_alive = heads.head(200, fields, [DATE])
    assert content == b"HTTP/1.1 200 OK\r\n%b: %b\r\ncontent-type: text/plain\r\ncontent-length: 5\r\n\r\n" % DATE
    assert (length, chunked, keep_alive) == (5, False, True)


@pytest.mark.parametrize(("status", "line"), [(529, b"HTTP/1.1 529 \r\n"), (418, b"HTTP/1.1 418 I'm a Teapot\r\n")])
def test_the_status_line(status: int, line: bytes, heads: Heads) -> None:
    assert heads.head(status, [], []) == (line + b"transfer-encoding: chunked\r\n\r\n", None, True, True)


def test_framing_is_not_for_the_app_to_decide(heads: Heads) -> None:
    content, *_ = heads.head(200, [(b"transfer-encoding", b"gzip"), (b"connection", b"upgrade")], [])
    assert content == b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("value", [b"close", b"Keep-Alive, Close"])
def test_the_app_may_end_the_connection(value: bytes, heads: Heads) -> None:
    content, _, _, keep_alive = heads.head(200, [(b"Connection", value), (b"content-length", b"0")], [])
    assert content.endswith(b"\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
    assert not keep_alive


def test_without_chunks_the_end_of_the_connection_is_that_of_the_body(heads: Heads) -> None:
    content, length, chunked, keep_alive = heads.head(200, [], [], understands_chunks=False)
    assert content == b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n"
    assert (length, chunked, keep_alive) == (None, False, False)


def test_no_content_has_no_length(heads: Heads) -> None:
    """RFC 9110 8.6. One that answers HEAD, or that is not modified, has that of another answer."""
    assert b"content-length" not in heads.head(204, [(b"content-length", b"5")], [], bodyless=True)[0]
    assert b"content-length" in heads.head(304, [(b"content-length", b"5")], [], bodyless=True)[0]


REFUSED = {
    "line break in a value": (b"a", b"b\r\nset-cookie: c"),
    "line feed in a value": (b"a", b"b\nc"),
    "NUL in a value": (b"a", b"b\0"),
    "DEL in a value": (b"a", b"\x7f"),
    "line break in a name": (b"a\r\nb", b"c"),
    "colon in a name": (b"a: b", b"c"),
    "no name": (b"", b"c"),
    "name that is no ASCII": (b"\xe4", b"c"),
    "length that is none": (b"content-length", b"+5"),
    "no length": (b"content-length", b""),
}


@pytest.mark.parametrize("field", REFUSED.values(), ids=REFUSED)
def test_what_would_not_be_one_head(field: tuple[bytes, bytes], heads: Heads) -> None:
    for _ in range(2):  # a name that was refused is not remembered as a good one
        with pytest.raises(ValueError, match="the answer of the app has"):
            heads.head(200, [field], [DATE])


def test_two_lengths(heads: Heads) -> None:
    with pytest.raises(ValueError, match="no single length"):
        heads.head(200, [(b"content-length", b"5"), (b"Content-Length", b"5")], [])


@pytest.mark.parametrize("status", [101, 199, 1000])
def test_a_status_that_ends_nothing(status: int, heads: Heads) -> None:
    with pytest.raises(ValueError, match=f"^{status} is not the status of a final answer$"):
        heads.head(status, [], [])


def test_the_same_names_again_have_other_values(heads: Heads) -> None:
    for value, length in ((b"a", 1), (b"%s %b\t\xe4", 22)):
        fields = [(b"X-A", value), (b"content-length", b"%d" % length), (b"connection", b"keep-alive")]
        lines = b"x-a: %b\r\ncontent-length: %d\r\n\r\n" % (value, length)
        assert heads.head(200, fields, []) == (b"HTTP/1.1 200 OK\r\n" + lines, length, False, True)
        assert heads.head(529, fields, [])[0] == b"HTTP/1.1 529 \r\n" + lines
        assert heads.head(204, fields, [])[0].endswith(b"\r\nx-a: %b\r\n\r\n" % value)


def test_values_are_looked_at_each_time(heads: Heads) -> None:
    """That names were good says nothing of what comes with them."""
    fields = [(b"a", b"b"), (b"content-length", b"5"), (b"connection", b"keep-alive")]
    assert heads.head(200, fields, [DATE])[3]
    for at, value in ((0, b"b\r\nset-cookie: c"), (0, b"b\n"), (0, b"\0"), (1, b"+5"), (1, b""), (1, b"5\r\n")):
        bad = [*fields[:at], (fields[at][0], value), *fields[at + 1 :]]
        with pytest.raises(ValueError, match="the answer of the app has"):
            heads.head(200, bad, [DATE])
    assert not heads.head(200, [*fields[:2], (b"connection", b"close")], [DATE])[3]


def test_fields_that_are_no_pairs(heads: Heads) -> None:
    with pytest.raises(ValueError, match="argument 2 is longer"):
        heads.head(200, [(b"a", b"b"), (b"a", b"b", b"c")], [])  # type: ignore[list-item]


def test_a_name_with_a_percent_sign(heads: Heads) -> None:
    assert heads.head(200, [(b"a%b", b"%d")], [(b"c%d", b"%b")])[0].startswith(
        b"HTTP/1.1 200 OK\r\nc%d: %b\r\na%b: %d\r\n"
    )


def test_what_stands_in_every_head_follows_the_clock(heads: Heads) -> None:
    for date in (b"Mon", b"Tue", b"Mon"):
        assert heads.head(200, [], [(b"date", date)])[0].startswith(b"HTTP/1.1 200 OK\r\ndate: %b\r\n" % date)
    for _ in range(2):
        with pytest.raises(ValueError, match="control characters"):
            heads.head(200, [], [(b"server", b"a\r\nb")])


def test_no_more_than_so_many_shapes_are_remembered(heads: Heads) -> None:
    for number in range(1000):
        content, *_ = heads.head(200, [(b"x-%d" % number, b"a")], [])
        assert b"\r\nx-%d: a\r\n" % number in content
    assert len(heads._shapes) <= 256
    before = len(heads._shapes)
    heads.head(200, [(b"x" * 5000, b"")], [])
    assert len(heads._shapes) == before
