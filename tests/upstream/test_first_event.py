from __future__ import annotations

import pytest

from ai_gateway_mw.upstream.first_event import error_of_first_event, first_event


@pytest.mark.parametrize(
    ("data", "event"),
    [
        (b"", None),
        (b"data: 1\n", None),
        (b"data: 1\n\n", b"data: 1"),
        (b": hello\n\ndata: 1\n\ndata: 2\n\n", b"data: 1"),
        (b"event: ping\ndata: {}\n\ndata: 1\n\n", b"data: 1"),
        (b"event: ping\ndata: {}\n\n: x\n\n", None),
        (b"retry: 5\r\rdata: 1\r\rdata: 2", b"data: 1"),
    ],
)
def test_the_first_event_is_the_first_that_is_complete_and_brings_data(data: bytes, event: bytes | None) -> None:
    assert first_event(data) == event


@pytest.mark.parametrize(
    ("chunk", "status"),
    [
        pytest.param(b'data: {"choices": []}\n\n', None, id="content"),
        pytest.param(b": keep-alive\n\n", None, id="comment"),
        pytest.param(b"", None, id="nothing"),
        pytest.param(b': hi\n\ndata: {"error": {"code": "rate_limit_exceeded"}}\n\n', 429, id="after-a-comment"),
        pytest.param(b'data: {"id": 1}\n\ndata: {"error": {"code": "429"}}\n\n', None, id="not-the-first"),
        pytest.param(b'data: {"id": "1", "choices": [{"delta": {"content": "{\\"error\\""}}]}\n\n', None, id="talk"),
        pytest.param(b'data: {"error": {"code": "rate_limit_exceeded"}}\n\n', 429, id="limited"),
        pytest.param(b'\n\ndata:{"error":{"code":429}}\r\n\r\n', 429, id="limited-by-number"),
        pytest.param(b'data: {"error": {"type": "insufficient_quota"}}\n\n', 402, id="quota"),
        pytest.param(b'data: {"error": {"code": "invalid_api_key"}}\n\n', 401, id="key"),
        pytest.param(b'data: {"error": {"status": "INVALID_ARGUMENT", "code": 400}}\n\n', 400, id="client"),
        pytest.param(b'data: {"error": {"message": "oops"}}\n\n', 500, id="something-else"),
        pytest.param(
            b'event: error\ndata: {"type": "error", "error": {"type": "overloaded_error"}}\n\n', 529, id="overloaded"
        ),
        pytest.param(
            b'event: error\ndata: {"type": "error", "error": {"type": "rate_limit_error"}}\n\n', 429, id="anthropic"
        ),
        pytest.param(b"event: error\ndata: not json\n\n", 500, id="unreadable"),
        pytest.param(
            b'event: error\ndata: {"type":"error","code":"rate_limit_exceeded","message":"slow","param":null}\n\n',
            429,
            id="responses-limited",
        ),
    ],
)
def test_a_stream_may_begin_with_an_error(chunk: bytes, status: int | None) -> None:
    assert error_of_first_event(chunk) == status
