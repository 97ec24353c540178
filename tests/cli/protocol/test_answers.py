"""How answers are framed, what becomes of those that fail, and that nothing runs on for a client that has left."""

from __future__ import annotations

import pytest

from tests.cli.protocol.talking import HEAD, LAST, App, Client, heard, refused, served


def test_http_1_0(url: str) -> None:
    """It ends with its connection, and nobody speaks of chunks."""
    answer = heard(url, b"GET /stream HTTP/1.0\r\n\r\n")
    assert b"transfer-encoding" not in answer
    assert answer.endswith(b"\r\nconnection: close\r\n\r\nonetwo")


def test_an_answer_of_unknown_length_is_chunked(url: str) -> None:
    with Client(url) as client:
        head = client.say(b"GET /stream HTTP/1.1\r\nhost: x\r\n\r\n").until(b"\r\n\r\n")
        assert b"\r\ntransfer-encoding: chunked\r\n" in head
        assert client.until(b"0\r\n\r\n") == b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"


def test_an_answer_to_head_has_no_body(url: str) -> None:
    answer = heard(url, b"HEAD / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    assert b"\r\ncontent-length: 23\r\n" in answer
    assert answer.endswith(b"\r\n\r\n")


def test_no_content_has_none(url: str) -> None:
    with Client(url) as client:
        head = client.say(b"GET /nothing HTTP/1.1\r\nhost: x\r\n\r\n").until(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 204 No Content\r\n")
        assert b"transfer-encoding" not in head
        assert client.say(LAST).rest().startswith(b"HTTP/1.1 200 OK\r\n")


REUSED = {
    "length": (b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", b"GET / host "),
    "chunks": (b"GET /stream HTTP/1.1\r\nhost: x\r\n\r\n", b"0\r\n\r\n"),
    "HEAD": (b"HEAD / HTTP/1.1\r\nhost: x\r\n\r\n", b"\r\n\r\n"),
    "HEAD of chunks": (b"HEAD /stream HTTP/1.1\r\nhost: x\r\n\r\n", b"\r\n\r\n"),
    "no content": (b"GET /nothing HTTP/1.1\r\nhost: x\r\n\r\n", b"\r\n\r\n"),
    "not modified": (b"GET /unmodified HTTP/1.1\r\nhost: x\r\n\r\n", b"\r\n\r\n"),
    "large": (b"GET /large HTTP/1.1\r\nhost: x\r\n\r\n", b"aaz"),
    "mended": (b"GET /mended HTTP/1.1\r\nhost: x\r\n\r\n", b"mended"),
    "body": (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc", b" abc"),
    "body that nobody read": (b"POST /early HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc", b"enough"),
}


@pytest.mark.parametrize(("said", "end"), REUSED.values(), ids=REUSED)
def test_a_connection_serves_the_next_request(said: bytes, end: bytes, url: str) -> None:
    with Client(url) as client:
        for _ in range(3):
            client.say(said).until(end)
        answer = client.say(LAST).rest()
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert answer.endswith(b"GET /last host,connection ")


def test_a_head_does_not_wait_for_its_body(url: str) -> None:
    with Client(url) as client:
        assert (
            client.say(b"GET /head HTTP/1.1\r\nhost: x\r\n\r\n").until(b"\r\n\r\n").startswith(b"HTTP/1.1 200 OK\r\n")
        )


def test_100_continue_is_said_when_the_app_asks_for_the_body(url: str) -> None:
    with Client(url) as client:
        client.say(HEAD + b"expect: 100-continue\r\ncontent-length: 3\r\n\r\n")
        assert client.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert client.say(b"abc").until(b" abc")


def test_100_continue_is_not_said_where_the_answer_is_known(url: str) -> None:
    with Client(url) as client:
        client.say(b"POST /early HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n")
        assert client.until(b"enough").startswith(b"HTTP/1.1 200")


def test_nothing_follows_where_the_client_may_send_its_body_or_not(url: str) -> None:
    """What it sends next could be either (RFC 9110 10.1.1)."""
    said = b"POST /early HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 28\r\n\r\n"
    answer = heard(url, said, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
    assert b"\r\nconnection: close\r\n" in answer
    assert answer.endswith(b"enough")


def test_a_body_that_nobody_asked_for_is_let_go_by(url: str) -> None:
    with Client(url) as client:
        client.say(b"POST /early HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n")
        client.until(b"enough")
        client.say(b"a" * 1_000_000 + LAST)
        assert client.rest().endswith(b"GET /last host,connection ")


@pytest.mark.parametrize("path", [b"/broken", b"/split", b"/triple", b"/started", b"/silent"])
def test_an_app_that_fails(path: bytes, url: str) -> None:
    assert refused(heard(url, b"GET %b HTTP/1.1\r\nhost: x\r\n\r\n" % path)) == (500, "internal_error")


@pytest.mark.parametrize(
    ("path", "body"), [(b"/short", b"\r\n\r\nabc"), (b"/long", b"\r\n\r\nabc"), (b"/persistent", b"\r\n\r\na")]
)
def test_a_body_that_is_not_as_long_as_its_head_says(path: bytes, body: bytes, url: str) -> None:
    """It ends early, and its connection with it: the next answer must not pass for the rest."""
    answer = heard(url, b"GET %b HTTP/1.1\r\nhost: x\r\n\r\n" % path + LAST)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert answer.endswith(body)


def test_half_an_answer_does_not_look_whole(url: str) -> None:
    assert heard(url, b"GET /cut HTTP/1.1\r\nhost: x\r\n\r\n").endswith(b"\r\n\r\n4\r\nhalf\r\n")


def test_half_an_answer_does_not_look_whole_in_http_1_0(url: str) -> None:
    assert heard(url, b"GET /cut HTTP/1.0\r\n\r\n").endswith(b"<reset>")


@pytest.mark.parametrize("rudely", [False, True], ids=["FIN", "RST"])
def test_the_app_learns_at_once_that_the_client_left(rudely: bool) -> None:
    app = App()
    with served(app) as url, Client(url) as client:
        client.say(b"GET /waiting HTTP/1.1\r\nhost: x\r\n\r\n").until(b"first\r\n")
        client.leave(rudely=rudely)
        assert app.left.wait(5)


def test_a_client_that_ends_its_side_has_left() -> None:
    app = App()
    with served(app) as url, Client(url) as client:
        client.say(b"GET /waiting HTTP/1.1\r\nhost: x\r\n\r\n").until(b"first\r\n")
        client.finish()
        assert client.rest() == b""
        assert app.left.wait(5)


def test_a_client_that_leaves_amid_its_request() -> None:
    app = App()
    with served(app) as url, Client(url) as client:
        client.say(HEAD + b"content-length: 3\r\n\r\na")
        client.leave()
        assert app.left.wait(5)


def test_a_fault_amid_the_body_ends_the_exchange() -> None:
    app = App()
    with served(app) as url, Client(url) as client:
        client.say(HEAD + b"expect: 100-continue\r\ntransfer-encoding: chunked\r\n\r\n").until(b"\r\n\r\n")
        assert refused(client.say(b"1\r\na\r\nnonsense").rest()) == (400, "invalid_request")
        assert app.left.wait(5)
