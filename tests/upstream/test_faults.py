"""Faults of a provider on a real port: the first key meets one, the second is good."""

from __future__ import annotations

import gzip
import json
import logging
from collections.abc import AsyncIterator

import pytest

from ai_gateway_mw import Gateway
from tests.asgi import Response, request
from tests.fake_upstream import TEXT, Upstream

pytestmark = pytest.mark.anyio


@pytest.fixture
async def gateways(upstream: Upstream) -> AsyncIterator[list[Gateway]]:
    """What a test makes, closed when it is over."""
    made: list[Gateway] = []
    yield made
    for gateway in made:
        await gateway.stores.aclose()


async def ask(
    upstream: Upstream, gateways: list[Gateway], *keys: str, stream: bool = False, total: str = "10s"
) -> Response:
    provider = {"id": "box", "base_url": f"{upstream.url}/v1", "api_keys": [{"value": key} for key in keys]}
    config = {"providers": [provider], "per_request_timeout": "1s", "total_timeout": total}
    gateways.append(Gateway.from_policy({"on_http_request": [{"type": "ai-gateway", "config": config}]}))
    body = {"model": "box:any", "messages": [], "stream": stream}
    return await request(gateways[-1].app, "POST", "/v1/chat/completions", json=body)


def words(answer: Response) -> str:
    """What an event stream says; it must end as the format wants it."""
    events = answer.text.removesuffix("\n\n").split("\n\n")
    assert events.pop() == "data: [DONE]"
    choices = [json.loads(event.removeprefix("data: "))["choices"][0] for event in events]
    return "".join(choice["delta"].get("content") or "" for choice in choices)


@pytest.mark.parametrize(
    "key",
    ["sk-429", "sk-quota", "sk-401", "sk-500", "sk-503", "sk-529", "sk-hang", "sk-close", "sk-reset", "sk-redirect"]
    + ["sk-not-http", "sk-cut-at-0", "sk-cut-after-0", "sk-slow-2000"],
)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_before_the_first_byte_the_next_key_takes_over(
    upstream: Upstream, gateways: list[Gateway], key: str, stream: bool
) -> None:
    answer = await ask(upstream, gateways, key, "sk-ok", stream=stream)
    assert answer.status == 200
    assert (words(answer) if stream else answer.json()["choices"][0]["message"]["content"]) == TEXT
    assert upstream.keys == [key, "sk-ok"]


@pytest.mark.parametrize(
    ("key", "code"),
    [
        ("sk-cut-after-3", "upstream_stream_interrupted"),
        ("sk-reset-after-3", "upstream_stream_interrupted"),
        ("sk-stall-after-3", "upstream_timeout"),
        ("sk-error-after-3", None),
    ],
)
async def test_after_it_nothing_is_retried_and_the_stream_ends_with_an_error(
    upstream: Upstream, gateways: list[Gateway], key: str, code: str | None
) -> None:
    answer = await ask(upstream, gateways, key, "sk-ok", stream=True)
    events = answer.text.removesuffix("\n\n").split("\n\n")
    assert answer.status == 200
    assert len(events) == 4
    assert json.loads(events[-1].removeprefix("data: "))["error"]["code"] == code
    assert upstream.keys == [key]


async def test_an_answer_that_is_cut_within_an_event_ends_between_events(
    upstream: Upstream, gateways: list[Gateway]
) -> None:
    answer = await ask(upstream, gateways, "sk-cut-at-700", "sk-ok", stream=True)
    events = answer.text.removesuffix("\n\n").split("\n\n")
    assert [bool(json.loads(event.removeprefix("data: "))) for event in events] == [True] * len(events)
    assert "upstream_stream_interrupted" in events[-1]


@pytest.mark.parametrize(("key", "body"), [("sk-garbage", b"<html>not what you asked for</html>"), ("sk-empty", b"")])
async def test_an_answer_of_another_kind_is_passed_on(
    upstream: Upstream, gateways: list[Gateway], key: str, body: bytes
) -> None:
    answer = await ask(upstream, gateways, key, "sk-ok")
    assert (answer.status, answer.body) == (200, body)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_a_compressed_answer_is_passed_on(upstream: Upstream, gateways: list[Gateway], stream: bool) -> None:
    answer = await ask(upstream, gateways, "sk-gzip", stream=stream)
    assert answer.headers["content-encoding"] == "gzip"
    assert b"fake" in gzip.decompress(answer.body)


async def test_what_comes_after_an_answer_poisons_nobodys(upstream: Upstream, gateways: list[Gateway]) -> None:
    answers = [await ask(upstream, gateways, "sk-surplus") for _ in range(3)]
    assert [answer.json()["choices"][0]["message"]["content"] for answer in answers] == [TEXT] * 3


async def test_a_stream_that_goes_on_may_take_longer_than_all_attempts(
    upstream: Upstream, gateways: list[Gateway]
) -> None:
    """13 events, 90 ms apart."""
    answer = await ask(upstream, gateways, "sk-drip-90", stream=True, total="1s")
    assert words(answer) == "".join(f"word{number} " for number in range(10))


async def test_no_key_is_logged_whatever_happens(
    upstream: Upstream, gateways: list[Gateway], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "ai_gateway_mw"):
        for key in ("sk-401", "sk-not-http", "sk-close", "sk-hang", "sk-500"):
            await ask(upstream, gateways, key)
    assert "sk-" not in "".join(record.getMessage() for record in caplog.records if "ai_gateway" in record.name)
