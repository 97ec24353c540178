from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_gateway_mw.errors import (
    GatewayError,
    Overloaded,
    TotalTimeout,
    UpstreamError,
    UpstreamInterrupted,
    UpstreamTimeout,
)
from ai_gateway_mw.surfaces import route_of
from ai_gateway_mw.upstream.dialects import CHAT, GEMINI, MESSAGES, RESPONSES, Dialect, dialect_of, events_of
from ai_gateway_mw.upstream.events import ArrayWatcher, EventWatcher
from tests.fake_upstream import anthropic_bodies, gemini_bodies, openai_bodies

WORDS = ["Hello ", "there", "."]
STREAMS: dict[str, tuple[Dialect, list[bytes]]] = {
    "chat": (CHAT, openai_bodies.chat_events("m", WORDS, with_usage=True)),
    "completions": (CHAT, openai_bodies.completion_events("m", WORDS)),
    "responses": (RESPONSES, openai_bodies.response_events("m", WORDS)),
    "messages": (MESSAGES, anthropic_bodies.message_events("m", WORDS)),
    "gemini": (GEMINI, gemini_bodies.content_events("m", WORDS)),
}
CUT = UpstreamInterrupted("The provider ended the connection before its answer was complete.")
DELTA = b'data: {"choices":[{"index":0,"delta":{"content":"x"},"finish_reason":null}]}\n\n'


def watched(dialect: Dialect, *chunks: bytes) -> EventWatcher:
    watcher = EventWatcher(dialect)
    for chunk in chunks:
        watcher.feed(chunk)
    return watcher


def said(ending: bytes) -> Any:
    """The data of the event that ends a stream."""
    assert ending.endswith(b"\n\n")
    (event,) = events_of(ending)
    return json.loads(event.data)


@pytest.fixture(params=STREAMS)
def spoken(request: pytest.FixtureRequest) -> tuple[Dialect, list[bytes]]:
    return STREAMS[request.param]


@pytest.mark.parametrize(
    ("chunks", "passed"),
    [
        pytest.param([b"data: 1\n\n"], [b"data: 1\n\n"], id="whole"),
        pytest.param([b"data: 1\n\ndata: 2\n\n"], [b"data: 1\n\ndata: 2\n\n"], id="two-at-once"),
        pytest.param([b"data: 1\n\nda", b"ta: 2\n\n"], [b"data: 1\n\n", b"data: 2\n\n"], id="half-a-line"),
        pytest.param([b"data: 1\n", b"\n"], [b"", b"data: 1\n\n"], id="half-a-blank-line"),
        pytest.param([b"data: 1\r\n\r", b"\n"], [b"", b"data: 1\r\n\r\n"], id="half-a-crlf"),
        pytest.param([b"data: 1\r\n", b"\r\n"], [b"", b"data: 1\r\n\r\n"], id="crlf-by-line"),
        pytest.param([b"data: 1\r", b"\rda", b"ta: 2\r\r"], [b"", b"data: 1\r\r", b"data: 2\r\r"], id="cr"),
        pytest.param([b"data: 1\n\rdata: 2"], [b"data: 1\n\r"], id="lf-cr"),
        pytest.param([b"data: 1\n\r", b"data: 2"], [b"", b"data: 1\n\r"], id="lf-then-cr"),
        pytest.param([b"d", b"ata: 1", b"\n\n\n"], [b"", b"", b"data: 1\n\n\n"], id="pieces"),
        pytest.param([b": ping\n\n", b"data: 1"], [b": ping\n\n", b""], id="comment"),
        pytest.param([b""], [b""], id="nothing"),
    ],
)
def test_only_whole_events_are_passed_on(chunks: list[bytes], passed: list[bytes]) -> None:
    watcher = EventWatcher(CHAT)
    assert [watcher.feed(chunk) for chunk in chunks] == passed


def test_the_usual_chunk_goes_on_as_it_is() -> None:
    assert EventWatcher(CHAT).feed(DELTA) is DELTA


@given(
    text=st.lists(st.sampled_from([b"\n", b"\r", b"\r\n", b"data: x", b"\n\n", b"{", b": c"]), max_size=12).map(
        b"".join
    ),
    cuts=st.lists(st.integers(0, 40), max_size=4),
)
def test_no_byte_is_lost_and_what_is_sent_ends_with_a_blank_line(text: bytes, cuts: list[int]) -> None:
    places = sorted({0, *(min(cut, len(text)) for cut in cuts), len(text)})
    watcher, sent = EventWatcher(dialect_of(None)), b""
    for start, stop in pairwise(places):
        sent += watcher.feed(text[start:stop])
        assert not sent or sent.endswith((b"\n\n", b"\r\r", b"\n\r", b"\r\n", b"\n")), sent
    assert sent + watcher.ending().last == text


def test_a_stream_is_the_same_to_a_watcher_wherever_it_is_cut(spoken: tuple[Dialect, list[bytes]]) -> None:
    dialect, events = spoken
    whole = b"".join(events)
    for cut in range(len(whole) + 1):
        watcher = EventWatcher(dialect)
        sent = watcher.feed(whole[:cut]) + watcher.feed(whole[cut:])
        assert sent + watcher.ending().last == whole
        assert watcher.begun
        assert not watcher.ending().interrupted
        assert watcher.recent_events()[-1] == list(events_of(whole))[-1]


def test_content_begins_with_the_first_word(spoken: tuple[Dialect, list[bytes]]) -> None:
    dialect, events = spoken
    first = next(at for at, event in enumerate(events) if b"Hello " in event)
    watcher = EventWatcher(dialect)
    for event in events[:first]:
        watcher.feed(event)
        assert not watcher.begun
    watcher.feed(events[first])
    assert watcher.begun


def test_a_stream_cut_before_its_end_is_interrupted_wherever_it_is_cut(spoken: tuple[Dialect, list[bytes]]) -> None:
    """Broken off or ended cleanly: what is sent are whole events, then one error and no terminator."""
    dialect, events = spoken
    terminator = b"".join(events).rindex(events[-1])
    whole = b"".join(events)
    for cut in range(terminator):
        watcher = EventWatcher(dialect)
        sent = watcher.feed(whole[:cut])
        last = watcher.ending(CUT).last
        assert whole.startswith(sent)
        assert "error" in said(last)
        assert not any(map(dialect.ends, events_of(sent + last)))


@pytest.mark.parametrize("name", ["chat", "completions", "responses", "messages", "gemini"])
def test_a_clean_end_without_the_end_is_an_interruption(name: str) -> None:
    dialect, events = STREAMS[name]
    ending = watched(dialect, *events[:-3]).ending()
    assert ending.interrupted
    assert "interrupted" in json.dumps(said(ending.last))


def test_a_clean_end_with_it_is_none(spoken: tuple[Dialect, list[bytes]]) -> None:
    dialect, events = spoken
    assert watched(dialect, *events).ending() == (b"", False, None)


def test_a_connection_that_breaks_after_the_terminator_has_lost_nothing() -> None:
    dialect, events = STREAMS["chat"]
    assert watched(dialect, *events).ending(CUT) == (b"", False, None)


def test_a_connection_that_breaks_after_the_reason_to_finish_may_have_lost_the_usage() -> None:
    dialect, events = STREAMS["chat"]
    assert watched(dialect, *events[:-2]).ending(CUT).interrupted


def test_a_server_may_leave_the_terminator_out() -> None:
    _, events = STREAMS["chat"]
    without = dialect_of(route_of("/v1/chat/completions"), ends_with_done=False)
    assert watched(CHAT, *events[:-1]).ending().interrupted
    assert not watched(without, *events[:-1]).ending().interrupted
    assert watched(without, *events[:-1]).ending(CUT).interrupted


def test_a_last_event_without_its_blank_line_counts() -> None:
    assert watched(CHAT, DELTA, b"data: [DONE]").ending() == (b"data: [DONE]", False, None)
    assert watched(CHAT, DELTA, b"data: [DO").ending().interrupted


def test_comments_after_the_end_change_nothing() -> None:
    assert not watched(CHAT, DELTA, b"data: [DONE]\n\n", b": bye\n\n", b"\n\n").ending().interrupted


def error_of(dialect: Dialect, failure: GatewayError | None) -> Any:
    return said(watched(dialect, b'data: {"sequence_number": 4}\n\n').ending(failure).last)


@pytest.mark.parametrize(
    ("failure", "code", "kind", "anthropic", "gemini"),
    [
        (CUT, "upstream_stream_interrupted", "upstream_error", "api_error", "INTERNAL"),
        (None, "upstream_stream_interrupted", "upstream_error", "api_error", "INTERNAL"),
        (UpstreamError("odd"), "upstream_stream_interrupted", "upstream_error", "api_error", "INTERNAL"),
        (UpstreamTimeout("idle"), "upstream_timeout", "timeout_error", "timeout_error", "DEADLINE_EXCEEDED"),
        (TotalTimeout("long"), "gateway_timeout", "timeout_error", "timeout_error", "DEADLINE_EXCEEDED"),
        (Overloaded("full"), "overloaded", "server_error", "overloaded_error", "UNAVAILABLE"),
    ],
    ids=["cut", "clean", "other", "idle", "total", "overload"],
)
def test_the_error_is_named_as_its_format_does(
    failure: GatewayError | None, code: str, kind: str, anthropic: str, gemini: str
) -> None:
    chat = error_of(CHAT, failure)["error"]
    assert (chat["code"], chat["type"]) == (code, kind)
    response = error_of(RESPONSES, failure)
    assert (response["type"], response["code"], response["error"]["code"]) == ("error", code, code)
    assert error_of(MESSAGES, failure)["error"]["type"] == anthropic
    assert error_of(GEMINI, failure)["error"]["status"] == gemini


@pytest.mark.parametrize(
    ("events", "number"),
    [([], 0), ([{"sequence_number": 0}], 1), ([{"sequence_number": 7}, {}], 8), ([{"sequence_number": "x"}], 0)],
    ids=["none", "first", "the-last-that-has-one", "odd"],
)
def test_the_error_of_responses_goes_on_counting(events: Sequence[Any], number: int) -> None:
    chunks = [b"data: " + json.dumps(event).encode() + b"\n\n" for event in events]
    assert said(watched(RESPONSES, *chunks).ending(CUT).last)["sequence_number"] == number


ERROR = b'data: {"error": {"type": "rate_limit_error"}}\n\n'


def test_an_error_before_content_is_seen_and_content_after_it_is_not() -> None:
    watcher = watched(CHAT, b": wait\n\n", openai_bodies.chat_events("m", [])[0], ERROR, DELTA)
    assert watcher.error is not None
    assert json.loads(watcher.error) == {"error": {"type": "rate_limit_error"}}
    assert not watcher.begun


def test_an_error_after_content_ends_the_stream_and_is_told_once() -> None:
    for failure in (None, CUT):
        watcher = watched(CHAT, DELTA, ERROR)
        assert watcher.error is None
        ending = watcher.ending(failure)
        assert (ending.last, ending.interrupted) == (b"", False)
        assert ending.error == ERROR[6:-2]


def parts_of(event: bytes, size: int = 300_000) -> list[bytes]:
    return [event[at : at + size] for at in range(0, len(event), size)]


def test_an_event_of_any_length_goes_on_in_bounded_parts() -> None:
    watcher = watched(CHAT, DELTA)
    event = b'data: {"choices":[{"delta":{"content":"' + b"x" * 3_000_000 + b'"}}]}\n\n'
    sent = [watcher.feed(part) for part in parts_of(event)]
    assert b"".join(sent) == event
    assert max(map(len, sent)) < 1_500_000
    assert sum(map(len, watcher.recent)) < 200_000


def test_an_error_never_lands_inside_an_event_that_went_on_in_parts() -> None:
    watcher = watched(CHAT, DELTA, b'data: {"choices":[{"delta":{"content":"' + b"x" * 1_100_000)
    assert watcher.ending(CUT).last.startswith(b"\n\ndata: ")
    watcher.feed(b'"}}]}\n\n')
    assert watcher.ending(CUT).last.startswith(b"data: ")


@pytest.mark.parametrize("name", [b"event: response.completed\n", b""], ids=["named", "typed"])
def test_the_end_of_responses_may_be_longer_than_what_is_held(name: bytes) -> None:
    """It repeats the whole answer, images and all."""
    end = name + b'data: {"type":"response.completed","response":{"output":"' + b"x" * 2_000_000 + b'"}}\n\n'
    for chunks in ([end], parts_of(end), parts_of(end, 1_200_000)):
        assert not watched(RESPONSES, *chunks).ending().interrupted


@pytest.mark.parametrize(
    ("dialect", "end"),
    [
        (RESPONSES, b'event: response.completed\ndata: {"type":"response.completed","response":{"output":"x"}}'),
        (MESSAGES, b'event: message_stop\ndata: {"type":"message_stop"}'),
        (CHAT, b"data: [DONE]"),
    ],
    ids=["responses", "messages", "chat"],
)
def test_a_last_event_counts_as_an_end_only_if_its_data_is_all_there(dialect: Dialect, end: bytes) -> None:
    data = end.index(b"data: ") + len(b"data: ")
    for cut in range(data, len(end)):
        assert watched(dialect, DELTA, end[:cut]).ending().interrupted
    assert not watched(dialect, DELTA, end).ending().interrupted


def test_an_end_that_went_on_in_parts_and_lacks_the_last_one_is_none() -> None:
    end = b'event: response.completed\ndata: {"type":"response.completed","response":{"output":"' + b"x" * 2_000_000
    assert watched(RESPONSES, *parts_of(end)).ending().interrupted


def test_a_long_last_event_of_gemini_is_an_end() -> None:
    last = json.dumps(gemini_bodies.content("m", ["x" * 2_000_000])).encode()
    assert not watched(GEMINI, *parts_of(b"data: " + last + b"\r\n\r\n")).ending().interrupted


def test_what_is_kept_of_a_long_burst_begins_with_an_event() -> None:
    burst = DELTA * 1000
    watcher = watched(CHAT, burst)
    (kept,) = watcher.recent
    assert len(kept) < 17_000
    assert burst.endswith(kept)
    assert kept.startswith(b"data: ")


def test_a_very_long_event_in_many_pieces_takes_no_time_that_grows_with_its_square() -> None:
    watcher = EventWatcher(CHAT)
    for _ in range(100_000):
        assert watcher.feed(b"data: xxxx") == b""
    assert len(watcher.feed(b"\n\n")) == 1_000_002


@given(chunks=st.lists(st.binary(max_size=40), max_size=6), failed=st.booleans())
def test_no_stream_is_too_odd(chunks: list[bytes], failed: bool) -> None:
    for dialect in (CHAT, RESPONSES, MESSAGES, GEMINI, dialect_of(None)):
        for watcher in (EventWatcher(dialect), ArrayWatcher(dialect)):
            for chunk in chunks:
                watcher.feed(chunk)
            watcher.ending(CUT if failed else None)


ELEMENTS = [gemini_bodies.content("m", [word], None) for word in (*WORDS, '"]}', "\\", "{[")]
SPACED = json.dumps([*ELEMENTS, gemini_bodies.content("m", ["!"])]).replace("}, {", "}\n,\r\n{").encode()


def test_an_array_passes_wherever_it_is_cut() -> None:
    for cut in range(len(SPACED)):
        watcher = ArrayWatcher(GEMINI)
        assert watcher.feed(SPACED[:cut]) + watcher.feed(SPACED[cut:] + b"\n") == SPACED + b"\n"
        assert watcher.begun
        assert not watcher.ending().interrupted


def test_an_array_that_is_cut_is_interrupted_and_gets_no_event() -> None:
    for cut in range(len(SPACED) - 1):
        watcher = ArrayWatcher(GEMINI)
        watcher.feed(SPACED[:cut])
        assert watcher.ending() == (b"", True, None)


def test_an_array_begins_with_the_first_text() -> None:
    watcher = ArrayWatcher(GEMINI)
    watcher.feed(b'[{"usageMetadata": {"promptTokenCount": 7}}\n,')
    assert not watcher.begun
    watcher.feed(b'{"candidates": [{"content": {"parts": [{"text": "Hi"}]}}]}')
    assert watcher.begun


def test_an_array_may_be_an_error() -> None:
    watcher = ArrayWatcher(GEMINI)
    watcher.feed(b'[{"error": {"code": 429}}]')
    assert watcher.error == b'{"error": {"code": 429}}'
    assert not watcher.begun


def test_an_array_whose_first_element_is_endless_is_not_waited_for() -> None:
    watcher = ArrayWatcher(GEMINI)
    watcher.feed(b'[{"x":"' + b"y" * 100_000)
    assert watcher.begun


def test_an_array_with_many_elements_and_no_content_holds_nothing_back_for_long() -> None:
    watcher = ArrayWatcher(GEMINI)
    watcher.feed(b"[")
    fed = 0
    while not watcher.begun:
        watcher.feed(b'{"a":1},')
        fed += 1
        assert len(watcher._seen) < 16, "what was looked at is looked at once"
        assert fed < 1000
