"""The commit point: what is held back, for how long, and who takes over where no content comes."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, cast

import httpx
import pytest

from ai_gateway_mw.errors import UpstreamInterrupted, UpstreamTimeout
from ai_gateway_mw.providers import ApiSurface, Credential
from ai_gateway_mw.surfaces import Route, route_of
from ai_gateway_mw.upstream.commit import Patience, committed, is_here
from ai_gateway_mw.upstream.foreign import ForeignAnswer
from ai_gateway_mw.upstream.http1 import UpstreamResponse
from ai_gateway_mw.upstream.http1.answer import Answer

if TYPE_CHECKING:
    from ai_gateway_mw.upstream.http1.connection import Connection

pytestmark = pytest.mark.anyio

SURFACE = ApiSurface("openai", "https://a.test", Credential("authorization", "Bearer"))
CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
RESPONSES, ARRAY = "/v1/responses", "/v1beta/models/m:streamGenerateContent"


def event(data: Any, name: str = "") -> bytes:
    return (f"event: {name}\n" if name else "").encode() + b"data: " + json.dumps(data).encode() + b"\n\n"


def said(**delta: Any) -> bytes:
    return event({"choices": [{"index": 0, "delta": delta, "finish_reason": None}]})


def of(kind: str, **members: Any) -> bytes:
    return event({"type": kind, **members}, kind)


ROLE, WORD, DONE = said(role="assistant", content=""), said(content="Hello"), b"data: [DONE]\n\n"
PING = b": ping\n\n"
LIMITED = {"error": {"message": "Slow down.", "type": "rate_limit_error", "code": "rate_limit_exceeded"}}

Piece = bytes | float | Exception


class Pieces(httpx.AsyncByteStream):
    """A body in pieces: bytes as they are, numbers as seconds to wait, and an exception where it breaks off."""

    def __init__(self, *pieces: Piece) -> None:
        self._pieces = pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            if isinstance(piece, Exception):
                raise piece
            if isinstance(piece, float):
                await asyncio.sleep(piece)
            else:
                yield piece


def answer(*pieces: Piece, kind: str = "text/event-stream", **fields: str) -> UpstreamResponse:
    headers = {"content-type": kind, **{name.replace("_", "-"): value for name, value in fields.items()}}
    return ForeignAnswer(httpx.Response(200, headers=headers, stream=Pieces(*pieces)))


def patience(first: float = 5, content: float = 5, gap: float = 5, hold: float = 5) -> Patience:
    now = time.monotonic()
    return Patience(now + first, now + content, gap, hold)


def route(path: str) -> Route:
    found = route_of(path)
    assert found is not None
    return found


async def commit(response: UpstreamResponse, path: str = CHAT, **limits: float) -> bytes | None:
    try:
        return await committed(response, route(path), SURFACE, patience(**limits))
    finally:
        await response.aclose()


SILENT = {
    CHAT: ROLE,
    RESPONSES: of("response.created", response={}) + of("response.in_progress", response={}),
    MESSAGES: of("message_start", message={}) + of("content_block_start", content_block={"type": "text", "text": ""}),
}
CONTENT = {
    CHAT: WORD,
    RESPONSES: of("response.output_text.delta", delta="Hello"),
    MESSAGES: of("content_block_delta", delta={"type": "text_delta", "text": "Hello"}),
}


@pytest.mark.parametrize("path", SILENT)
async def test_a_stream_is_held_back_until_its_first_content(path: str) -> None:
    response = answer(PING, SILENT[path], PING, CONTENT[path], b"not read any more")
    assert await commit(response, path) is None
    assert response.held == PING + SILENT[path] + PING + CONTENT[path]


@pytest.mark.parametrize("path", SILENT)
@pytest.mark.parametrize("cut", [None, httpx.ReadError("reset")], ids=["ends", "breaks-off"])
async def test_a_stream_without_content_is_no_answer(path: str, cut: Exception | None) -> None:
    with pytest.raises(UpstreamInterrupted):
        await commit(answer(SILENT[path], *([cut] if cut else [])), path)


@pytest.mark.parametrize("path", SILENT)
async def test_an_error_in_the_place_of_content_is_told(path: str) -> None:
    error = await commit(answer(SILENT[path], event({"type": "error", **LIMITED}, "error")), path)
    assert error is not None
    assert json.loads(error)["error"] == LIMITED["error"]


async def test_an_error_may_lack_its_blank_line() -> None:
    error = await commit(answer(event(LIMITED).rstrip()))
    assert error is not None
    assert json.loads(error) == LIMITED


async def test_an_empty_stream_is_no_answer() -> None:
    for path in (CHAT, "/v1/images/generations"):
        with pytest.raises(UpstreamInterrupted):
            await commit(answer(), path)


async def test_a_stream_may_end_without_a_word() -> None:
    response = answer(ROLE, DONE)
    assert await commit(response) is None
    assert response.held == ROLE + DONE


async def test_no_more_than_16_kib_is_held_back() -> None:
    response = answer(*[PING * 100] * 100)
    assert await commit(response) is None
    assert 16 * 1024 <= len(response.held) < 17 * 1024


async def test_an_event_that_never_ends_is_not_held_back_for_ever() -> None:
    response = answer(b"data: ", *[b"x" * 1000] * 100)
    assert await commit(response) is None


@pytest.mark.parametrize("pieces", [(ROLE, 9.0), (ROLE, *[0.02, PING] * 100)], ids=["silence", "pings"])
async def test_nothing_is_held_back_for_long(pieces: tuple[Piece, ...]) -> None:
    response = answer(*pieces)
    assert await commit(response, hold=0.1) is None
    assert response.held.startswith(ROLE)


@pytest.mark.parametrize(
    ("pieces", "limits"),
    [
        pytest.param((9.0,), {"first": 0.02}, id="nothing-at-all"),
        pytest.param((9.0,), {"content": 0.02}, id="nothing-in-the-time-of-all-attempts"),
        pytest.param((ROLE, 9.0), {"gap": 0.02}, id="silence"),
        pytest.param((ROLE, *[0.01, PING] * 100), {"content": 0.05}, id="pings-beyond-the-time-of-all-attempts"),
    ],
)
async def test_what_takes_too_long_is_a_timeout(pieces: tuple[Piece, ...], limits: dict[str, float]) -> None:
    with pytest.raises(UpstreamTimeout):
        await commit(answer(*pieces), **limits)


async def test_what_has_begun_may_take_longer_than_its_first_bytes() -> None:
    response = answer(ROLE, 0.06, PING, 0.06, WORD)
    assert await commit(response, first=0.05) is None
    assert response.held == ROLE + PING + WORD


# What is no event stream -------------------------------------------------------------------------------------------

JSON = "application/json"


async def test_json_is_held_back_up_to_64_kib() -> None:
    response = answer(*[b"x" * 10_000] * 10, kind=JSON)
    assert await commit(response) is None
    assert len(response.held) == 70_000


async def test_json_that_breaks_off_before_that_is_no_answer() -> None:
    with pytest.raises(UpstreamInterrupted):
        await commit(answer(b'{"id":', httpx.ReadError("reset"), kind=JSON))


@pytest.mark.parametrize(
    ("body", "is_error"),
    [
        (json.dumps(LIMITED), True),
        (json.dumps([LIMITED]), True),
        (json.dumps({"type": "error", **LIMITED}), True),
        ("\n" * 200 + json.dumps(LIMITED), True),
        ('{"error": null, "id": "resp_1", "output": []}', False),
        ('{"id": "1", "choices": [{"message": {"content": "\\"error\\""}}]}', False),
        ('{"error": ', False),
        ("[]", False),
        ("", False),
    ],
)
async def test_a_good_status_may_hide_an_error(body: str, is_error: bool) -> None:
    assert (await commit(answer(body.encode(), kind=JSON)) is not None) is is_error


@pytest.mark.parametrize(
    ("path", "failed"),
    [(RESPONSES, True), (f"{RESPONSES}/resp_1", False)],  # one that is asked for again has long since failed
    ids=["answered", "stored"],
)
async def test_a_response_that_failed_is_an_error(path: str, failed: bool) -> None:
    body = {"id": "resp_" + 48 * "0", "object": "response", "created_at": 0, "status": "failed", **LIMITED}
    whole = json.dumps(body).encode()
    assert is_here(arrived(whole), route(path), SURFACE) is not failed
    error = await commit(answer(whole, kind=JSON), path)
    assert error == (whole if failed else None)


async def test_a_part_of_a_response_may_have_failed() -> None:
    body = {"status": "completed", "error": None, "output": [{"type": "file_search_call", "status": "failed"}]}
    assert await commit(answer(json.dumps(body).encode(), kind=JSON), RESPONSES) is None


def arrived(body: bytes, kind: str = "application/json", **fields: str) -> Answer:
    """An answer of which everything is here."""
    found = Answer(cast("Connection", None))
    found.connection, found.complete, found.chunks = None, True, [body]
    head = [(b"content-type", kind.encode())]
    head += [(name.replace("_", "-").encode(), value.encode()) for name, value in fields.items()]
    found.begin(200, head, dict(head))
    return found


def test_for_a_json_answer_that_is_all_here_nothing_is_waited_for() -> None:
    response = arrived(b'{"id": "1", "error": null}'.ljust(100_000))
    assert not is_here(response, route(CHAT), SURFACE), "what may be an error is looked into"
    response = arrived(b'{"id": "1"}'.ljust(100_000))
    assert is_here(response, route(CHAT), SURFACE)
    assert len(response.held) == 100_000


@pytest.mark.parametrize(
    ("response", "path"),
    [
        pytest.param(arrived(ROLE, "text/event-stream"), CHAT, id="a stream"),
        pytest.param(arrived(WORD[:-1], "text/event-stream"), CHAT, id="a part of an event"),
        pytest.param(arrived(event(LIMITED), "text/event-stream"), CHAT, id="an error in a stream"),
        pytest.param(arrived(WORD, "text/event-stream", content_encoding="gzip"), CHAT, id="a compressed stream"),
        pytest.param(arrived(b'[{"usageMetadata": {}}'), ARRAY, id="a stream of Gemini"),
        pytest.param(arrived(b"ID3", "audio/mpeg"), "/v1/audio/speech", id="no JSON"),
        pytest.param(arrived(b"\x1f\x8b", content_encoding="gzip"), CHAT, id="compressed"),
        pytest.param(arrived(json.dumps(LIMITED).encode()), CHAT, id="an error"),
    ],
)
def test_of_other_answers_more_has_to_be_known(response: UpstreamResponse, path: str) -> None:
    assert not is_here(response, route(path), SURFACE)


def test_for_a_stream_whose_content_is_here_nothing_is_waited_for() -> None:
    response = arrived(PING + ROLE + WORD, "text/event-stream")
    assert is_here(response, route(CHAT), SURFACE)
    assert response.held == PING + ROLE + WORD
    assert response.watcher is not None
    assert response.watcher.begun
    assert list(response.watcher.recent) == [response.held]


@pytest.mark.parametrize("path", SILENT)
@pytest.mark.parametrize("cut", [3, -1, None])
async def test_what_was_looked_at_of_a_stream_is_looked_at_once(path: str, cut: int | None) -> None:
    beginning = (PING + SILENT[path])[:cut]
    response = arrived(beginning, "text/event-stream")
    assert not is_here(response, route(path), SURFACE)
    response.chunks.append((PING + SILENT[path])[len(beginning) :] + CONTENT[path])
    assert await commit(response, path) is None
    assert response.held == PING + SILENT[path] + CONTENT[path]


@pytest.mark.parametrize("looked_at", [True, False])
async def test_a_stream_that_is_all_here_without_content_is_no_answer(looked_at: bool) -> None:
    response = arrived(ROLE, "text/event-stream")
    assert not (looked_at and is_here(response, route(CHAT), SURFACE))
    with pytest.raises(UpstreamInterrupted):
        await commit(response)


@pytest.mark.parametrize("looked_at", [True, False])
async def test_an_error_in_the_place_of_content_that_is_here_is_told(looked_at: bool) -> None:
    response = arrived(ROLE + event(LIMITED), "text/event-stream")
    assert not (looked_at and is_here(response, route(CHAT), SURFACE))
    assert json.loads(await commit(response) or b"") == LIMITED


@pytest.mark.parametrize("looked_at", [True, False])
@pytest.mark.parametrize("body", [PING * 10_000, b"data: ".ljust(20_000)], ids=["pings", "one event"])
async def test_what_is_here_counts_for_what_is_held_back(body: bytes, looked_at: bool) -> None:
    response = arrived(body, "text/event-stream")
    assert not (looked_at and is_here(response, route(CHAT), SURFACE))
    assert await commit(response) is None
    assert response.watcher is not None
    assert not response.watcher.begun


async def test_one_that_is_not_all_here_is_waited_for() -> None:
    response = answer(b'{"id": "1"}', kind="application/json")
    assert not is_here(response, route(CHAT), SURFACE)
    assert await commit(response) is None


async def test_an_error_that_is_all_here_is_told() -> None:
    for looked_at in (False, True):
        response = arrived(json.dumps(LIMITED).encode())
        assert not (looked_at and is_here(response, route(CHAT), SURFACE))
        assert await commit(response) == response.held == json.dumps(LIMITED).encode()


async def test_other_bodies_are_held_back_until_their_first_bytes() -> None:
    response = answer(b"ID3", b"more", kind="audio/mpeg")
    assert await commit(response, "/v1/audio/speech") is None
    assert response.held == b"ID3"


async def test_nothing_is_seen_in_what_is_compressed() -> None:
    response = answer(b"\x1f\x8b", b"more", content_encoding="gzip")
    assert await commit(response) is None
    assert (response.held, response.watcher) == (b"\x1f\x8b", None)


async def test_an_array_of_gemini_is_held_back_until_its_first_content() -> None:
    element = {"candidates": [{"content": {"parts": [{"text": "Hello"}]}}]}
    response = answer(b"[", json.dumps(element).encode(), b",", kind=JSON)
    assert await commit(response, ARRAY) is None
    assert response.held == b"[" + json.dumps(element).encode()
    error = await commit(answer(b"[" + json.dumps({"error": {"code": 503}}).encode() + b"]", kind=JSON), ARRAY)
    assert error is not None
    assert json.loads(error) == {"error": {"code": 503}}
