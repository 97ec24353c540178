from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_gateway_mw.surfaces import route_of
from ai_gateway_mw.upstream.dialects import CHAT, GEMINI, MESSAGES, RESPONSES, Dialect, dialect_of
from ai_gateway_mw.upstream.events import ArrayWatcher, EventWatcher
from ai_gateway_mw.upstream.usage import BodyEnds, Usage, usage_of_body, usage_of_stream
from tests.fake_upstream import anthropic_bodies, gemini_bodies, openai_bodies

WORDS = ["Hello ", "there", "."]
EMBEDDINGS = dialect_of(route_of("/v1/embeddings"))
EMBED_CONTENT = dialect_of(route_of("/v1beta/models/m:embedContent"))
CHOICE = {"index": 0, "message": {"role": "assistant", "content": 'say "usage": {"prompt_tokens": 9}'}}
OPENAI = {
    "prompt_tokens": 19,
    "completion_tokens": 10,
    "total_tokens": 29,
    "prompt_tokens_details": {"cached_tokens": 16, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 8, "audio_tokens": 0},
}
RESPONSE = {
    "input_tokens": 36,
    "input_tokens_details": {"cached_tokens": 4},
    "output_tokens": 87,
    "output_tokens_details": {"reasoning_tokens": 64},
    "total_tokens": 123,
}
ANTHROPIC = {"input_tokens": 5, "cache_creation_input_tokens": 7, "cache_read_input_tokens": 11, "output_tokens": 13}
GOOGLE = {
    "promptTokenCount": 8,
    "candidatesTokenCount": 20,
    "thoughtsTokenCount": 30,
    "cachedContentTokenCount": 2,
    "totalTokenCount": 58,
    "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 8}],
}


def body(**members: Any) -> bytes:
    return json.dumps(members).encode()


BODIES: list[Any] = [
    pytest.param(CHAT, body(choices=[CHOICE], usage=OPENAI, service_tier="default"), Usage(19, 10, 16, 8), id="chat"),
    pytest.param(CHAT, json.dumps({"usage": OPENAI}, indent=2).encode() + b"\n", Usage(19, 10, 16, 8), id="indented"),
    pytest.param(CHAT, body(usage=OPENAI, choices=[CHOICE]), Usage(19, 10, 16, 8), id="usage-first"),
    pytest.param(
        CHAT,
        body(usage={"prompt_tokens": 9, "completion_tokens": 1, "prompt_cache_hit_tokens": 8}),
        Usage(9, 1, 8),
        id="deepseek",
    ),
    pytest.param(
        CHAT, body(usage={"prompt_tokens": 9, "completion_tokens": 1}, timings={"usage": {}}), Usage(9, 1), id="nested"
    ),
    pytest.param(
        CHAT,
        body(usage={"prompt_tokens": 9, "completion_tokens": 1}, x={"usage": {"prompt_tokens": 77}}),
        Usage(9, 1),
        id="another-one-after-it",
    ),
    pytest.param(CHAT, body(choices=[{"usage": {"prompt_tokens": 77}}]), None, id="only-a-nested-one"),
    pytest.param(CHAT, body(choices=[CHOICE]), None, id="only-in-a-text"),
    pytest.param(CHAT, body(choices=[], usage=None), None, id="null"),
    pytest.param(CHAT, body(choices=[], usage=[1]), None, id="a-list"),
    pytest.param(CHAT, body(usage={"prompt_tokens": "9", "completion_tokens": -1}), Usage(), id="no-counts"),
    pytest.param(CHAT, body(usage={"prompt_tokens": True, "completion_tokens": 1.5}), Usage(), id="no-integers"),
    pytest.param(CHAT, body(usage={"prompt_tokens": 10**30, "completion_tokens": 1}), Usage(None, 1), id="too-many"),
    pytest.param(CHAT, body(usage={"prompt_tokens": 1, "prompt_tokens_details": 3}), Usage(1, 0), id="odd-details"),
    pytest.param(CHAT, b"", None, id="empty"),
    pytest.param(CHAT, b'{"usage": {"prompt_tokens": 1', None, id="cut"),
    pytest.param(CHAT, b'{"usage": ' + b"[" * 5000, None, id="deep"),
    pytest.param(CHAT, b'\xff\xfe"usage": {}}', None, id="no-utf8"),
    pytest.param(
        EMBEDDINGS, body(data=[], usage={"prompt_tokens": 5, "total_tokens": 5}), Usage(5, 0), id="embeddings"
    ),
    pytest.param(
        RESPONSES, body(output=[], usage=RESPONSE, user=None, metadata={}), Usage(36, 87, 4, 64), id="responses"
    ),
    pytest.param(
        RESPONSES,
        body(usage={"input_tokens": 9, "output_tokens": 1, "input_tokens_details": {"cache_write_tokens": 8}}),
        Usage(9, 1, 0, 0, 8),
        id="responses-written",
    ),
    pytest.param(MESSAGES, body(content=[], usage=ANTHROPIC), Usage(23, 13, 11, 0, 7), id="messages"),
    pytest.param(
        MESSAGES,
        body(usage={"input_tokens": 3, "output_tokens": 9, "output_tokens_details": {"thinking_tokens": 4}}),
        Usage(3, 9, 0, 4),
        id="messages-thinking",
    ),
    pytest.param(MESSAGES, body(input_tokens=7), None, id="a-count-is-no-usage"),
    pytest.param(GEMINI, body(candidates=[], usageMetadata=GOOGLE, modelVersion="m"), Usage(8, 50, 2, 30), id="gemini"),
    pytest.param(GEMINI, body(usageMetadata={"promptTokenCount": 8}), Usage(8), id="gemini-no-output"),
    pytest.param(
        GEMINI,
        body(usageMetadata={"promptTokenCount": 8, "toolUsePromptTokenCount": 4, "candidatesTokenCount": 1}),
        Usage(12, 1),
        id="gemini-tools",
    ),
    pytest.param(EMBED_CONTENT, body(usageMetadata={"promptTokenCount": 8}), Usage(8), id="gemini-embeddings"),
]


@pytest.mark.parametrize(("dialect", "text", "usage"), BODIES)
def test_the_usage_of_a_body(dialect: Dialect, text: bytes, usage: Usage | None) -> None:
    assert usage_of_body(dialect, text) == usage


@pytest.mark.parametrize(("dialect", "text", "usage"), BODIES)
def test_the_usage_of_a_body_in_pieces_is_the_same(dialect: Dialect, text: bytes, usage: Usage | None) -> None:
    for size in (1, 7, 100):
        ends = BodyEnds()
        for at in range(0, len(text), size):
            ends.feed(text[at : at + size])
        assert ends.usage(dialect) == usage


@pytest.mark.parametrize("size", [1000, 16_384, 70_000, 3_000_000])
@pytest.mark.parametrize("first", [True, False])
def test_usage_is_found_at_either_end_of_a_long_body(size: int, first: bool) -> None:
    """llama.cpp has the usage of embeddings before the vectors."""
    vectors = {"data": [{"embedding": [0.25] * 300_000}]}
    usage = {"usage": {"prompt_tokens": 5, "total_tokens": 5}}
    text = body(model="m", **(usage | vectors if first else vectors | usage))
    ends = BodyEnds()
    for at in range(0, len(text), size):
        ends.feed(text[at : at + size])
    assert usage_of_body(EMBEDDINGS, text) == ends.usage(EMBEDDINGS) == Usage(5, 0)


def event(data: Any) -> bytes:
    return b"data: " + json.dumps(data).encode() + b"\n\n"


def chunk(**members: Any) -> bytes:
    return event({"choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": None}]} | members)


def start(**usage: Any) -> bytes:
    return event({"type": "message_start", "message": {"content": [], "usage": usage, "stop_reason": None}})


def stop(**usage: Any) -> bytes:
    return event({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage})


TEXT = event({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "x"}})
DONE = b"data: [DONE]\n\n"
STREAMS: list[Any] = [
    pytest.param(CHAT, openai_bodies.chat_events("m", WORDS, with_usage=True), Usage(7, 3), id="chat"),
    pytest.param(CHAT, openai_bodies.chat_events("m", WORDS), None, id="chat-not-asked-for"),
    pytest.param(CHAT, [chunk(usage=None), chunk(choices=[], usage=OPENAI), DONE], Usage(19, 10, 16, 8), id="null"),
    pytest.param(
        CHAT,
        [chunk(usage={"prompt_tokens": 7, "completion_tokens": at}) for at in range(9)],
        Usage(7, 8),
        id="every-chunk",
    ),
    pytest.param(CHAT, [chunk(x_groq={"id": "r", "usage": OPENAI}), DONE], Usage(19, 10, 16, 8), id="groq"),
    pytest.param(CHAT, openai_bodies.completion_events("m", WORDS), Usage(7, 1), id="completions"),
    pytest.param(RESPONSES, openai_bodies.response_events("m", WORDS), Usage(7, 3), id="responses"),
    pytest.param(RESPONSES, openai_bodies.response_events("m", WORDS)[:-1], None, id="responses-cut"),
    pytest.param(MESSAGES, anthropic_bodies.message_events("m", WORDS), Usage(7, 3), id="messages"),
    pytest.param(MESSAGES, anthropic_bodies.message_events("m", WORDS)[:-2], Usage(7), id="messages-cut"),
    pytest.param(MESSAGES, anthropic_bodies.message_events("m", WORDS)[:1], Usage(7), id="messages-cut-at-once"),
    pytest.param(
        MESSAGES,
        [start(input_tokens=5, cache_read_input_tokens=2, output_tokens=1), TEXT]
        + [stop(input_tokens=None, output_tokens=9)],
        Usage(7, 9, 2),
        id="messages-null-changes-nothing",
    ),
    pytest.param(
        MESSAGES,
        [start(input_tokens=0, output_tokens=0), TEXT, stop(input_tokens=5, output_tokens=9)],
        Usage(5, 9),
        id="messages-input-at-the-end",
    ),
    pytest.param(GEMINI, gemini_bodies.content_events("m", WORDS), Usage(7, 1), id="gemini"),
    pytest.param(GEMINI, gemini_bodies.content_events("m", WORDS)[:1], Usage(7, 1), id="gemini-cut"),
    pytest.param(CHAT, [], None, id="empty"),
    pytest.param(CHAT, [b'data: {"usage": {"prompt_tokens"\n\n'], None, id="odd"),
]


@pytest.mark.parametrize(("dialect", "events", "usage"), STREAMS)
def test_the_usage_of_a_stream(dialect: Dialect, events: list[bytes], usage: Usage | None) -> None:
    watcher = EventWatcher(dialect)
    for each in events:
        watcher.feed(each)
    assert usage_of_stream(watcher) == usage


@pytest.mark.parametrize(("dialect", "events", "usage"), STREAMS)
def test_a_stream_has_the_same_usage_wherever_it_is_cut(
    dialect: Dialect, events: list[bytes], usage: Usage | None
) -> None:
    whole = b"".join(events)
    for cut in range(len(whole) + 1):
        watcher = EventWatcher(dialect)
        watcher.feed(whole[:cut])
        watcher.feed(whole[cut:])
        assert usage_of_stream(watcher) == usage


def test_the_usage_of_a_response_that_is_longer_than_what_is_held() -> None:
    *_, last = openai_bodies.response_events("m", ["x" * 2_000_000])
    watcher = EventWatcher(RESPONSES)
    for at in range(0, len(last), 300_000):
        watcher.feed(last[at : at + 300_000])
    assert usage_of_stream(watcher) == Usage(7, 1)


def test_the_usage_of_an_array_wherever_it_is_cut() -> None:
    array = json.dumps([gemini_bodies.content("m", [word]) for word in WORDS], indent=1).encode() + b"\n"
    for cut in range(len(array)):
        watcher = ArrayWatcher(GEMINI)
        watcher.feed(array[:cut])
        watcher.feed(array[cut:])
        assert usage_of_stream(watcher) == Usage(7, 1)


@given(text=st.binary(max_size=60), repeated=st.integers(1, 3))
def test_no_body_is_too_odd(text: bytes, repeated: int) -> None:
    for dialect in (CHAT, RESPONSES, MESSAGES, GEMINI):
        for odd in (text, b'{"usage": ' + text, b'"usageMetadata":' * repeated + text, b'{"usage":{' + text + b"}}"):
            usage_of_body(dialect, odd)
            watcher = EventWatcher(dialect)
            watcher.feed(b"data: " + odd + b"\n\n")
            usage_of_stream(watcher)


@given(
    usage=st.dictionaries(
        st.sampled_from([*OPENAI, *RESPONSE, *ANTHROPIC, *GOOGLE]),
        st.integers() | st.none() | st.text(max_size=3) | st.lists(st.integers(), max_size=2) | st.just({"x": 1}),
    )
)
def test_no_usage_is_too_odd(usage: dict[str, Any]) -> None:
    for dialect in (CHAT, MESSAGES, GEMINI):
        found = usage_of_body(dialect, body(usage=usage, usageMetadata=usage))
        assert found is None or all(count is None or count >= 0 for count in found)
