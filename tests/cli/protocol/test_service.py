"""What the connections of one server share, and what is said of it."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from ai_gateway_mw.cli.protocol import HttpProtocol, Limits
from tests.cli.protocol.talking import BRISK, GET, LAST, Client, heard, refused, served
from tests.cli.protocol.test_requests import REFUSED


def test_too_many_at_once() -> None:
    with served(limit_concurrency=1) as url, Client(url) as first:
        first.say(b"GET /waiting HTTP/1.1\r\nhost: x\r\n\r\n").until(b"first\r\n")
        answer = heard(url, GET)
        assert refused(answer) == (503, "overloaded")
        assert b"\r\nretry-after: 1\r\n" in answer


def test_that_there_are_too_many_is_told_once_in_a_while(caplog: pytest.LogCaptureFixture) -> None:
    with served(limit_concurrency=1) as url, Client(url) as first:
        first.say(b"GET /waiting HTTP/1.1\r\nhost: x\r\n\r\n").until(b"first\r\n")
        for _ in range(3):
            assert refused(heard(url, GET)) == (503, "overloaded")
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert caplog.messages[0].startswith("there are 2 connections and 1 requests, and who asks gets 503 (overloaded)")


def test_strangers_cannot_fill_the_log(url: str, caplog: pytest.LogCaptureFixture) -> None:
    for said, _ in (REFUSED["no HTTP"], REFUSED["upgrade to WebSocket"], REFUSED["chunk longer than its size"]):
        heard(url, said)
    assert not caplog.records


def test_the_limits_are_those_of_the_documentation() -> None:
    limits = Limits()
    written = (Path(__file__).parents[3] / "docs" / "server.md").read_text()
    for row in (
        f"| head of a request | {limits.head // 1024} KiB, of which the target {limits.target // 1024} KiB |",
        f"| fields, and trailers | {limits.fields} each |",
        f"| chunk sizes, extensions and trailers | {limits.framing // 1024} KiB, ",
        f"opening of the connection | {limits.head_time:.0f} s |",
        f"| time for a body | {limits.body_time:.0f} s, and a second for every {limits.body_rate // 1024} KiB ",
        f"has been answered | {limits.rest_time:.0f} s |",
        f"that waits for it | {limits.unread_time:.0f} s |",
        f"| bytes that wait for a client | {limits.buffer // 1024} KiB, ",
        f"more than {limits.pipelined} requests",
    ):
        assert row in written


def test_a_copy_for_another_process() -> None:
    copy = pickle.loads(pickle.dumps(HttpProtocol(BRISK)))
    assert copy.__getstate__() == {"_limits": BRISK, "_service": None}


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_any_event_loop(loop: str) -> None:
    with served(loop=loop) as url:
        assert heard(url, LAST).endswith(b"GET /last host,connection ")
        assert refused(heard(url, b"\x00" * 300_000)) == (400, "invalid_request")
