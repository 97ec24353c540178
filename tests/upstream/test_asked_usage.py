"""The usage that was asked for in a client's stead is taken out of its stream, and nothing else."""

from __future__ import annotations

import pytest

from ai_gateway_mw.upstream.asked_usage import without_usage

WORD = b'data: {"choices":[{"delta":{"content":"a"}}],"usage":null}\n\n'
USAGE = b'data: {"id":"1","choices": [ ],"usage":{"prompt_tokens":1}}\n\n'


@pytest.mark.parametrize(
    ("events", "passed"),
    [
        pytest.param(WORD, WORD, id="content"),
        pytest.param(USAGE, b"", id="usage"),
        pytest.param(WORD + USAGE + b"data: [DONE]\n\n", WORD + b"data: [DONE]\n\n", id="in the middle"),
        pytest.param(USAGE.replace(b"\n", b"\r\n"), b"", id="CR LF"),
        pytest.param(b": ping\n\n" + USAGE, b": ping\n\n", id="after a comment"),
        pytest.param(WORD.replace(b"null", b'{"prompt_tokens":1}'), None, id="usage beside content"),
        pytest.param(b'data: {"choices":[],"prompt_filter_results":[]}\n\n', None, id="no choices, no usage"),
        pytest.param(b'data: {"choices":[],"usage":null}\n\n', None, id="null"),
        pytest.param(b'data: {"choices":[],"usage"\n\n', None, id="no JSON"),
        pytest.param(b"data: [DONE]", None, id="without its blank line"),
        pytest.param(b"", b"", id="nothing"),
    ],
)
def test_what_is_taken_out(events: bytes, passed: bytes | None) -> None:
    assert without_usage(events) == (events if passed is None else passed)
