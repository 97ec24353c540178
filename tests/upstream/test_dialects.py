from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_gateway_mw.surfaces import Format, Route, route_of
from ai_gateway_mw.upstream.dialects import (
    CHAT,
    COMPLETIONS,
    GEMINI,
    MESSAGES,
    RESPONSES,
    Dialect,
    Event,
    dialect_of,
    error_in,
    events_of,
)

CHAT_WITHOUT_DONE = dialect_of(route_of("/v1/chat/completions"), ends_with_done=False)
COMPLETIONS_WITHOUT_DONE = dialect_of(route_of("/v1/completions"), ends_with_done=False)
DIALECTS = [
    CHAT_WITHOUT_DONE,
    CHAT,
    COMPLETIONS,
    RESPONSES,
    MESSAGES,
    GEMINI,
    dialect_of(None),
    dialect_of(None, "gemini"),
]


def event(data: Any, name: str = "") -> Event:
    return Event(name, data if isinstance(data, bytes) else json.dumps(data).encode())


def delta(finish: str | None = None, **members: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": members, "logprobs": None, "finish_reason": finish}]}


def of(kind: str, **members: Any) -> dict[str, Any]:
    return {"type": kind, **members}


def parts(*found: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {"candidates": [{"content": {"parts": list(found), "role": "model"}, "index": 0, **members}]}


@pytest.mark.parametrize(
    ("path", "dialect"),
    [
        ("/v1/chat/completions", CHAT),
        ("/v1/completions", COMPLETIONS),
        ("/v1/responses", RESPONSES),
        ("/v1/responses/resp_1", RESPONSES),
        ("/v1/messages", MESSAGES),
        ("/v1beta/models/gemini-2.5-pro:streamGenerateContent", GEMINI),
        ("/v1/models/gemini-2.5-pro:generateContent", GEMINI),
    ],
)
def test_a_path_has_its_dialect(path: str, dialect: Dialect) -> None:
    assert dialect_of(route_of(path)) is dialect


@pytest.mark.parametrize(
    ("path", "api_format"),
    [
        ("/v1/audio/speech", "openai"),
        ("/v1/images/generations", "openai"),
        ("/v1/messages/count_tokens", "anthropic"),
        ("/v1beta/models/m:embedContent", "gemini"),
    ],
)
def test_of_other_paths_only_the_format_is_known(path: str, api_format: Format) -> None:
    dialect = dialect_of(route_of(path))
    assert (dialect.format, dialect.surface) == (api_format, None)
    assert dialect.begins(event({"type": "speech.audio.delta"}))
    assert dialect.may_end([])


def test_without_a_route_the_format_is_known() -> None:
    assert dialect_of(None, "anthropic").format == "anthropic"


TOOL = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": ""}}
BEGINS: list[tuple[str, Dialect, Any]] = [
    ("text", CHAT, delta(content="Hi")),
    ("text-with-the-role", CHAT, delta(role="assistant", content="Hi")),
    ("white-space", CHAT, delta(content="\n")),
    ("tool-call", CHAT, delta(role="assistant", content=None, tool_calls=[TOOL])),
    ("function-call", CHAT, delta(function_call={"name": "f", "arguments": ""})),
    ("reasoning-content", CHAT, delta(role="assistant", content=None, reasoning_content="Hm")),
    ("reasoning", CHAT, delta(content="", reasoning="Hm")),
    ("refusal", CHAT, delta(refusal="No")),
    ("audio", CHAT, delta(audio={"data": "AAAA"})),
    ("image", CHAT, delta(content="", images=[{"type": "image_url"}])),
    ("an-end-without-content", CHAT, delta(finish="stop")),
    ("second-choice", CHAT, {"choices": [{"delta": {}}, {"delta": {"content": "x"}}]}),
    ("done", CHAT, b"[DONE]"),
    ("no-json", CHAT, b"Hello"),
    ("text", COMPLETIONS, {"choices": [{"index": 0, "text": "Hi", "finish_reason": None}]}),
    ("text", RESPONSES, of("response.output_text.delta", delta="Hi")),
    ("arguments", RESPONSES, of("response.function_call_arguments.delta", delta="{")),
    ("reasoning", RESPONSES, of("response.reasoning_summary_text.delta", delta="Hm")),
    ("refusal", RESPONSES, of("response.refusal.delta", delta="No")),
    ("function-call", RESPONSES, of("response.output_item.added", item=of("function_call", name="f", arguments=""))),
    ("image", RESPONSES, of("response.image_generation_call.partial_image", partial_image_b64="AA")),
    ("completed-at-once", RESPONSES, of("response.completed", response={})),
    ("text", MESSAGES, of("content_block_delta", delta=of("text_delta", text="Hi"))),
    ("thinking", MESSAGES, of("content_block_delta", delta=of("thinking_delta", thinking="Hm"))),
    ("tool-input", MESSAGES, of("content_block_delta", delta=of("input_json_delta", partial_json="{"))),
    ("tool", MESSAGES, of("content_block_start", content_block=of("tool_use", id="t", name="f", input={}))),
    ("end-without-content", MESSAGES, of("message_delta", delta={"stop_reason": "end_turn"})),
    ("stop", MESSAGES, of("message_stop")),
    ("text", GEMINI, parts({"text": "Hi"})),
    ("thought", GEMINI, parts({"text": "Hm", "thought": True})),
    ("function-call", GEMINI, parts({"functionCall": {"name": "f", "args": {}}})),
    ("image", GEMINI, parts({"inlineData": {"mimeType": "image/png", "data": "AA"}})),
    ("end-without-content", GEMINI, {"candidates": [{"finishReason": "SAFETY"}]}),
    ("prompt-blocked", GEMINI, {"promptFeedback": {"blockReason": "SAFETY"}}),
]
SILENT: list[tuple[str, Dialect, Any]] = [
    ("role", CHAT, delta(role="assistant", content="", refusal=None)),
    ("empty-delta", CHAT, delta()),
    ("ollama-finish-reason", CHAT, delta(finish="", role="assistant", content="")),
    ("azure-filter", CHAT, {"choices": [], "prompt_filter_results": [{"prompt_index": 0}]}),
    ("usage", CHAT, {"choices": [], "usage": {"prompt_tokens": 1}}),
    ("empty-text", COMPLETIONS, {"choices": [{"index": 0, "text": "", "finish_reason": None}]}),
    ("created", RESPONSES, of("response.created", response={"output": []})),
    ("in-progress", RESPONSES, of("response.in_progress", response={})),
    ("message", RESPONSES, of("response.output_item.added", item=of("message", content=[]))),
    ("reasoning", RESPONSES, of("response.output_item.added", item=of("reasoning", summary=[]))),
    ("part", RESPONSES, of("response.content_part.added", part=of("output_text", text="", annotations=[]))),
    ("empty-delta", RESPONSES, of("response.output_text.delta", delta="")),
    ("start", MESSAGES, of("message_start", message={"content": [], "usage": {"input_tokens": 7}})),
    ("block", MESSAGES, of("content_block_start", content_block=of("text", text=""))),
    ("thinking-block", MESSAGES, of("content_block_start", content_block=of("thinking", thinking="", signature=""))),
    ("empty-delta", MESSAGES, of("content_block_delta", delta=of("input_json_delta", partial_json=""))),
    ("ping", MESSAGES, of("ping")),
    ("empty-text", GEMINI, parts({"text": ""})),
    ("usage", GEMINI, {"usageMetadata": {"promptTokenCount": 7}}),
]


def ids(table: list[tuple[str, Dialect, Any]]) -> list[str]:
    return [f"{dialect.format}-{dialect.surface}-{name}" for name, dialect, _ in table]


@pytest.mark.parametrize(("name", "dialect", "data"), BEGINS, ids=ids(BEGINS))
def test_what_brings_content_begins_a_stream(name: str, dialect: Dialect, data: Any) -> None:
    assert dialect.begins(event(data))


@pytest.mark.parametrize(("name", "dialect", "data"), SILENT, ids=ids(SILENT))
def test_what_brings_none_does_not(name: str, dialect: Dialect, data: Any) -> None:
    assert not dialect.begins(event(data))


@pytest.mark.parametrize(
    ("dialect", "data", "name"),
    [
        pytest.param(CHAT, b"[DONE]", "", id="chat"),
        pytest.param(RESPONSES, of("response.completed", response={}), "", id="completed"),
        pytest.param(RESPONSES, of("response.incomplete", response={}), "response.incomplete", id="incomplete"),
        pytest.param(RESPONSES, of("response.failed", response={}), "", id="failed"),
        pytest.param(RESPONSES, b'{"type":"response.completed","response":{"out', "", id="cut-for-its-length"),
        pytest.param(RESPONSES, b"[DONE]", "", id="responses-done"),
        pytest.param(MESSAGES, of("message_stop"), "message_stop", id="messages"),
        pytest.param(GEMINI, b"[DONE]", "", id="gemini-of-somebody-else"),
    ],
)
def test_a_terminator_ends_a_stream(dialect: Dialect, data: Any, name: str) -> None:
    assert dialect.ends(event(data, name))


@pytest.mark.parametrize(
    ("dialect", "data"),
    [
        pytest.param(CHAT, delta(finish="stop"), id="chat"),
        pytest.param(RESPONSES, of("response.output_text.delta", delta="response.completed"), id="responses"),
        pytest.param(RESPONSES, of("response.output_text.delta", delta='"type":"response.completed"'), id="quoted"),
        pytest.param(MESSAGES, of("message_delta", delta={"stop_reason": "end_turn"}), id="messages"),
        pytest.param(MESSAGES, of("content_block_delta", delta={"text": "event: message_stop"}), id="in-a-text"),
        pytest.param(GEMINI, parts({"text": "x"}, finishReason="STOP"), id="gemini"),
    ],
)
def test_nothing_else_does(dialect: Dialect, data: Any) -> None:
    assert not dialect.ends(event(data))


USAGE = {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}


@pytest.mark.parametrize(
    ("dialect", "contents", "complete"),
    [
        pytest.param(CHAT, [delta(content="x"), delta(finish="stop")], False, id="chat"),
        pytest.param(CHAT_WITHOUT_DONE, [delta(content="x"), delta(finish="stop")], True, id="chat-without-done"),
        pytest.param(CHAT_WITHOUT_DONE, [delta(finish="length"), USAGE], True, id="chat-usage-last"),
        pytest.param(CHAT_WITHOUT_DONE, [delta(content="x"), delta(content="y")], False, id="chat-cut"),
        pytest.param(CHAT_WITHOUT_DONE, [delta(content="x", finish=""), USAGE], False, id="chat-ollama-cut"),
        pytest.param(CHAT_WITHOUT_DONE, [delta(finish="stop"), delta(content="second")], False, id="chat-two-choices"),
        pytest.param(CHAT_WITHOUT_DONE, [], False, id="chat-empty"),
        pytest.param(COMPLETIONS, [{"choices": [{"text": "", "finish_reason": "stop"}]}], False, id="completions"),
        pytest.param(
            COMPLETIONS_WITHOUT_DONE,
            [{"choices": [{"text": "", "finish_reason": "stop"}]}],
            True,
            id="completions-without-done",
        ),
        pytest.param(RESPONSES, [of("response.output_item.done", item={})], False, id="responses"),
        pytest.param(MESSAGES, [of("message_delta", delta={"stop_reason": "end_turn"})], False, id="messages"),
        pytest.param(MESSAGES, [of("content_block_stop", index=0)], False, id="messages-cut"),
        pytest.param(GEMINI, [parts({"text": "x"}, finishReason="STOP")], True, id="gemini"),
        pytest.param(GEMINI, [{"candidates": [{"finishReason": "STOP"}]}, {"usageMetadata": {}}], True, id="usage"),
        pytest.param(GEMINI, [parts({"text": "x"})], False, id="gemini-cut"),
        pytest.param(GEMINI, [{"promptFeedback": {"blockReason": "SAFETY"}}], True, id="gemini-blocked"),
    ],
)
def test_whether_a_clean_end_is_complete(dialect: Dialect, contents: list[Any], complete: bool) -> None:
    assert dialect.may_end([event(content) for content in contents]) is complete


@pytest.mark.parametrize(
    ("data", "name", "error"),
    [
        pytest.param({"error": {"message": "slow down"}}, "", {"error": {"message": "slow down"}}, id="openai"),
        pytest.param(of("error", code="x"), "", "same", id="typed-without-a-name"),
        pytest.param(of("error", code="x"), "error", of("error", code="x"), id="responses"),
        pytest.param(of("error", error={"type": "overloaded_error"}), "error", "same", id="anthropic"),
        pytest.param([{"error": {"code": 429}}], "", "same", id="google-list"),
        pytest.param({"choices": [], "error": {"code": 502}}, "", "same", id="beside-choices"),
        pytest.param({"choices": [], "error": None}, "", None, id="null"),
        pytest.param({"delta": '{"error": {}}'}, "", None, id="in-a-text"),
        pytest.param(
            of("response.failed", response={"error": {"code": "server_error"}}),
            "response.failed",
            {"error": {"code": "server_error"}},
            id="response-failed",
        ),
        pytest.param(of("response.created", response={"error": None}), "response.created", None, id="created"),
    ],
)
def test_an_error_is_told_as_an_error_body(data: Any, name: str, error: Any) -> None:
    found = error_in(event(data, name))
    expected = data if error == "same" else error
    assert (None if found is None else json.loads(found)) == expected


def test_an_error_event_need_not_be_json() -> None:
    assert error_in(Event("error", b"upstream gone")) == b"upstream gone"


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        pytest.param(b"data: 1\n\ndata: 2\n\n", [("", b"1"), ("", b"2")], id="lf"),
        pytest.param(b"data: 1\r\n\r\ndata: 2\r\n\r\n", [("", b"1"), ("", b"2")], id="crlf"),
        pytest.param(b"data: 1\r\rdata: 2\r\r", [("", b"1"), ("", b"2")], id="cr"),
        pytest.param(b"data: 1\n\rdata: 2\r\n\n", [("", b"1"), ("", b"2")], id="mixed"),
        pytest.param(b"event: a\ndata: 1\n\n", [("a", b"1")], id="named"),
        pytest.param(b"data: 1\nevent:a\nid: 3\nretry: 9\n\n", [("a", b"1")], id="any-order"),
        pytest.param(b"data: 1\ndata:2\n\n", [("", b"1\n2")], id="several-lines"),
        pytest.param(b"data:  1\n\n", [("", b" 1")], id="one-space"),
        pytest.param(b": ping\n\nevent: ping\ndata: {}\n\n:\n\n", [], id="comments-and-pings"),
        pytest.param(b"event: a\n\n", [], id="no-data"),
        pytest.param(b"\xef\xbb\xbfdata: 1\n\n", [("", b"1")], id="bom"),
        pytest.param(b"data: 1", [("", b"1")], id="no-end"),
        pytest.param(b"\n\n\n\ndata: 1\n\n\n", [("", b"1")], id="blank-lines"),
        pytest.param(b"event: \xff\ndata: 1\n\n", [("\ufffd", b"1")], id="no-utf8"),
    ],
)
def test_events_are_read_as_the_specification_says(stream: bytes, events: list[tuple[str, bytes]]) -> None:
    assert list(events_of(stream)) == events


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["type", "choices", "delta", "error", "response", "item", "part", "candidates", "content", "parts"]
                + ["finish_reason", "promptFeedback", "content_block", "text", "finishReason"]
            ),
            inner
            | st.sampled_from(["response.failed", "response.output_item.added", "content_block_delta", "x.delta"]),
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(data=st.binary(max_size=64) | JSON.map(lambda found: json.dumps(found).encode()), name=st.text(max_size=4))
def test_no_event_is_too_odd(data: bytes, name: str) -> None:
    found = Event(name, data)
    error_in(found)
    for dialect in DIALECTS:
        assert dialect.begins(found) in (True, False)
        assert dialect.ends(found) in (True, False)
        assert dialect.may_end([found]) in (True, False)


def test_a_deeply_nested_event_is_no_object() -> None:
    assert Event("", b"[" * 100_000).content == {}


def test_a_route_that_nobody_made_for_streams_has_a_dialect() -> None:
    assert dialect_of(Route("openai", "/v1/files", "resource")).may_end([])
