from __future__ import annotations

import asyncio
import gzip
import json
import logging
import ssl
from collections.abc import Sequence
from typing import Any

import httpx
import pytest

from ai_gateway_mw.secrets import Secret
from ai_gateway_mw.state import KeyState
from ai_gateway_mw.upstream.http1 import Origin
from tests.asgi import Exchange, Response, request
from tests.upstream.scripted import Answer, Providers, chat, failing, gateway, hang, with_keys

pytestmark = pytest.mark.anyio

ANTHROPIC_TOO = {
    "providers": [
        {"id": "openai", "api_keys": [{"value": "o1"}, {"value": "o2"}]},
        {"id": "anthropic", "api_keys": [{"value": "a1"}]},
    ]
}


@pytest.fixture
def providers() -> Providers:
    return Providers()


def record_of(gateway_: Any, key: str) -> KeyState:
    state: KeyState = gateway_.stores.provider_keys.state(Secret(key, "test/key").fingerprint)
    return state


def untrusted() -> httpx.ConnectError:
    error = httpx.ConnectError("certificate verify failed")
    error.__cause__ = ssl.SSLCertVerificationError()
    return error


def events(*chunks: bytes) -> httpx.Response:
    return httpx.Response(200, content=b"".join(chunks), headers={"content-type": "text/event-stream"})


@pytest.mark.parametrize(
    "failure",
    [
        pytest.param(429, id="limited"),
        pytest.param(failing(429, "insufficient_quota"), id="quota"),
        pytest.param(401, id="refused"),
        pytest.param(402, id="unpaid"),
        pytest.param(403, id="forbidden"),
        pytest.param(408, id="timed-out-there"),
        pytest.param(500, id="error"),
        pytest.param(503, id="unavailable"),
        pytest.param(529, id="overloaded"),
        pytest.param(307, id="redirect"),
        pytest.param(httpx.ReadTimeout("slow"), id="timeout"),
        pytest.param(httpx.ReadError("reset"), id="reset"),
        pytest.param(httpx.RemoteProtocolError("half an answer"), id="half-an-answer"),
        pytest.param(events(), id="empty-stream"),
        pytest.param(events(b'data: {"error": {"code": "rate_limit_exceeded"}}\n\n'), id="stream-of-an-error"),
    ],
)
async def test_the_next_key_is_tried_after(providers: Providers, failure: Answer) -> None:
    providers.on("k1", failure)
    answer = await chat(gateway(with_keys("k1", "k2", "k3"), providers))
    assert answer.status == 200
    assert providers.keys == ["k1", "k2"]
    assert answer.headers["x-gateway-attempts"] == "2"


@pytest.mark.parametrize("status", [400, 404, 405, 409, 413, 415, 422])
async def test_what_the_client_got_wrong_is_answered_as_it_is(providers: Providers, status: int) -> None:
    providers.on("k1", failing(status, "bad", "Look at your request."))
    gateway_ = gateway(with_keys("k1", "k2"), providers)
    answer = await chat(gateway_)
    assert answer.status == status
    assert answer.json()["error"]["message"] == "Look at your request."
    assert providers.keys == ["k1"]
    assert record_of(gateway_, "k1").samples == 0


async def test_a_policy_may_let_any_error_move_on(providers: Providers) -> None:
    providers.on("k1", 400)
    answer = await chat(gateway(with_keys("k1", "k2", failover_on="any"), providers))
    assert answer.status == 200
    assert providers.keys == ["k1", "k2"]


async def test_a_model_that_one_provider_lacks_is_asked_of_the_next(providers: Providers) -> None:
    providers.on("o1", failing(404, "model_not_found"))
    providers.on("o2", failing(404, "model_not_found"))
    answer = await chat(gateway(ANTHROPIC_TOO, providers), models=["claude-sonnet-4-5"])
    assert answer.status == 200
    assert providers.keys[-1] == "a1"


async def test_every_key_is_tried_once_until_none_is_left(providers: Providers) -> None:
    for key in ("k1", "k2", "k3"):
        providers.on(key, 429)
    answer = await chat(gateway(with_keys("k1", "k2", "k3"), providers))
    assert answer.status == 429
    assert providers.keys == ["k1", "k2", "k3"]


async def test_keys_come_before_models(providers: Providers) -> None:
    for key in ("o1", "o2"):
        providers.on(key, 429)
    answer = await chat(gateway(ANTHROPIC_TOO, providers), models=["claude-sonnet-4-5"])
    assert providers.keys == ["o1", "o2", "a1"]
    assert [body["model"] for body in providers.bodies] == ["gpt-4o", "gpt-4o", "claude-sonnet-4-5"]
    assert answer.headers["x-gateway-provider"] == "anthropic"


async def test_a_failing_provider_stands_back_for_the_others(providers: Providers) -> None:
    providers.on("o1", 503)
    providers.on("a1", 429)
    await chat(gateway(ANTHROPIC_TOO, providers), models=["claude-sonnet-4-5"])
    assert providers.keys == ["o1", "a1", "o2"]


@pytest.mark.parametrize(
    "failure",
    [
        pytest.param(httpx.ConnectError("refused"), id="refused"),
        pytest.param(httpx.ConnectTimeout("slow"), id="connect-timeout"),
        pytest.param(httpx.PoolTimeout("busy"), id="no-connection-free"),
        pytest.param(untrusted(), id="certificate"),
    ],
)
async def test_other_keys_do_not_open_a_closed_door(providers: Providers, failure: Exception) -> None:
    providers.on("o1", failure)
    answer = await chat(gateway(ANTHROPIC_TOO, providers), models=["claude-sonnet-4-5"])
    assert answer.status == 200
    assert providers.keys == ["o1", "a1"]


async def test_a_key_at_another_address_is_tried_although_the_first_cannot_be_reached(providers: Providers) -> None:
    east, west = (
        {"id": name, "base_url": f"https://{name}.test/v1", "api_keys": [{"value": name}], "models": [{"id": "llama"}]}
        for name in ("east", "west")
    )
    providers.on("east", httpx.ConnectError("refused"))
    await chat(gateway({"providers": [east, west]}, providers), "llama")
    assert providers.urls == ["https://east.test/v1/chat/completions", "https://west.test/v1/chat/completions"]


async def test_a_limited_key_is_asked_last_and_not_dropped(providers: Providers) -> None:
    gateway_ = gateway(with_keys("k1", "k2"), providers)
    providers.on("k1", failing(429, retry_after="60"), 200)
    await chat(gateway_)
    providers.on("k2", 500)
    answer = await chat(gateway_)
    assert answer.status == 200
    assert providers.keys == ["k1", "k2", "k2", "k1"]


async def test_a_success_brings_a_limited_key_back(providers: Providers) -> None:
    gateway_ = gateway(with_keys("k1", "k2"), providers)
    providers.on("k1", failing(429, retry_after="60"), 200)
    providers.on("k2", 200, 500)
    assert [(await chat(gateway_)).status for _ in range(2)] == [200, 200]
    assert record_of(gateway_, "k1").state == "ok"


async def test_attempts_are_bounded(providers: Providers) -> None:
    keys = [f"key-{number}" for number in range(20)]
    for key in keys:
        providers.on(key, 429)
    answer = await chat(gateway(with_keys(*keys), providers))
    assert providers.keys == keys[:16]
    assert (answer.status, answer.headers["x-gateway-attempts"]) == (429, "16")


async def test_one_attempt_has_its_time(providers: Providers) -> None:
    providers.on("k1", hang)
    gateway_ = gateway(with_keys("k1", "k2", per_request_timeout="200ms"), providers)
    answer = await chat(gateway_)
    assert answer.status == 200
    assert providers.keys == ["k1", "k2"]
    assert (record_of(gateway_, "k1").in_flight, record_of(gateway_, "k1").samples) == (0, 1)


async def test_all_attempts_together_have_their_time(providers: Providers) -> None:
    providers.on("k1", 429)
    providers.on("k2", hang)
    gateway_ = gateway(with_keys("k1", "k2", "k3", total_timeout="50ms"), providers)
    answer = await chat(gateway_)
    assert providers.keys == ["k1", "k2"]
    assert answer.status == 504
    assert answer.json()["error"]["code"] == "gateway_timeout"
    assert answer.json()["error"]["message"] == (
        "ERR_NGROK_3810: Request timed out after 0.05s "
        "([429] openai/gpt-4o: rate_limited; [0] openai/gpt-4o: timed_out)."
    )
    assert answer.headers["x-gateway-attempts"] == "2"
    assert record_of(gateway_, "k2").samples == 1
    assert answer.headers["x-should-retry"] == "false"


async def test_an_attempt_gets_no_more_time_than_is_left_for_all(providers: Providers) -> None:
    seen: list[dict[str, float]] = []

    def noting(sent: httpx.Request) -> httpx.Response:
        seen.append(sent.extensions["timeout"])
        return httpx.Response(200, json={})

    providers.on("k1", noting)
    await chat(gateway(with_keys("k1", per_request_timeout="20s", total_timeout="60s"), providers))
    await chat(gateway(with_keys("k1", per_request_timeout="20s", total_timeout="5s"), providers))
    assert seen[0] == {"connect": 10.0, "read": 20.0, "write": 20.0, "pool": 10.0}
    assert 4.0 < seen[1]["read"] == seen[1]["connect"] <= 5.0


async def test_a_head_whose_body_never_begins_takes_no_more_time_than_an_attempt_has(providers: Providers) -> None:
    providers.on("k1", httpx.Response(200, stream=Endless()))
    answer = await chat(gateway(with_keys("k1", "k2", per_request_timeout="200ms"), providers))
    assert (answer.status, providers.keys) == (200, ["k1", "k2"])


async def test_an_error_whose_body_never_ends_counts_by_its_status(providers: Providers) -> None:
    providers.on("k1", httpx.Response(429, stream=Endless(b'{"error"')))
    answer = await chat(gateway(with_keys("k1", "k2", per_request_timeout="200ms"), providers))
    assert (answer.status, providers.keys) == (200, ["k1", "k2"])


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 503])
async def test_a_clients_own_key_gets_one_attempt_and_its_answer(providers: Providers, status: int) -> None:
    """Its failure does not turn into the operator's money."""
    providers.on("sk-own", failing(status, "their_code", "Their words."))
    config = {"providers": [{"id": "openai"}, {"id": "anthropic", "api_keys": [{"value": "a1"}]}]}
    answer = await chat(gateway(config, providers), models=["claude-sonnet-4-5"], key="sk-own")
    assert providers.keys == ["sk-own"]
    assert answer.status == status
    assert answer.json()["error"] == {"message": "Their words.", "code": "their_code"}


async def test_a_clients_own_key_gets_one_attempt_although_nobody_answers(providers: Providers) -> None:
    providers.on("sk-own", httpx.ConnectError("refused"))
    config = {"providers": [{"id": "openai"}, {"id": "anthropic", "api_keys": [{"value": "a1"}]}]}
    answer = await chat(gateway(config, providers), models=["claude-sonnet-4-5"], key="sk-own")
    assert (answer.status, answer.json()["error"]["code"]) == (502, "upstream_unreachable")
    assert providers.keys == ["sk-own"]


@pytest.mark.parametrize(
    ("failure", "status", "asked"),
    [
        pytest.param(401, 401, ["junk"], id="refused"),
        pytest.param(403, 403, ["junk"], id="forbidden"),
        pytest.param(402, 402, ["junk"], id="unpaid"),
        pytest.param(429, 429, ["junk"], id="limited"),
        pytest.param(503, 200, ["junk", "o1"], id="down"),
        pytest.param(httpx.ConnectError("refused"), 200, ["junk", "o1"], id="not-running"),
    ],
)
async def test_a_clients_key_that_a_local_provider_refuses_does_not_turn_into_the_operators_money(
    providers: Providers, failure: Answer, status: int, asked: list[str]
) -> None:
    """A local model that is down may be replaced by one in the cloud."""
    providers.on("junk", failure)
    box = {"id": "box", "base_url": "http://localhost:11434/v1"}
    config = {"providers": [box, {"id": "openai", "api_keys": [{"value": "o1"}]}]}
    answer = await chat(gateway(config, providers), "box:llama", models=["gpt-4o"], key="junk")
    assert (answer.status, providers.keys) == (status, asked)


@pytest.mark.parametrize(
    ("failure", "keys", "samples"),
    [
        pytest.param(failing(403, "model_not_found"), ["o1", "o2", "a1"], 0, id="no-access-to-the-model"),
        pytest.param(failing(403, "unsupported_country_region_territory"), ["o1", "a1"], 1, id="region"),
    ],
)
async def test_what_is_not_the_keys_fault_does_not_set_it_aside(
    providers: Providers, failure: Answer, keys: list[str], samples: int
) -> None:
    providers.on("o1", failure)
    providers.on("o2", failure)
    gateway_ = gateway(ANTHROPIC_TOO, providers)
    await chat(gateway_, models=["claude-sonnet-4-5"])
    assert providers.keys == keys
    assert (record_of(gateway_, "o1").samples, record_of(gateway_, "o1").state) == (samples, "ok")


class Broken(httpx.AsyncByteStream):
    """A body of some chunks that then breaks off."""

    def __init__(self, *chunks: bytes, error: Exception | None = None) -> None:
        self._chunks, self._error = chunks, error or httpx.ReadError("reset")

    async def __aiter__(self) -> Any:
        for chunk in self._chunks:
            yield chunk
        raise self._error


class Endless(httpx.AsyncByteStream):
    """A body of some chunks, after which nothing comes."""

    def __init__(self, *chunks: bytes) -> None:
        self._chunks = chunks

    async def __aiter__(self) -> Any:
        for chunk in self._chunks:
            yield chunk
        await asyncio.Event().wait()


async def test_an_error_whose_body_breaks_off_keeps_its_status(providers: Providers) -> None:
    providers.on("k1", httpx.Response(429, stream=Broken(b'{"error"'), headers={"retry-after": "7"}))
    gateway_ = gateway(with_keys("k1"), providers)
    assert (await chat(gateway_)).headers["retry-after"] == "7"
    assert record_of(gateway_, "k1").state == "cooling"


@pytest.mark.parametrize(
    ("error", "rate"), [(httpx.ReadError("reset"), "server"), (httpx.ReadTimeout("idle"), "timeout")]
)
async def test_an_answer_that_breaks_off_later_counts_against_its_key(
    providers: Providers, error: Exception, rate: str
) -> None:
    head = {"content-type": "text/event-stream"}
    providers.on("k1", lambda _: httpx.Response(200, stream=Broken(b"data: {}\n\n", error=error), headers=head))
    gateway_ = gateway(with_keys("k1"), providers)
    for _ in range(10):
        await chat(gateway_)
    assert record_of(gateway_, "k1").samples == 10
    assert getattr(record_of(gateway_, "k1").error_rate, rate) == 1.0


@pytest.mark.parametrize(
    "chunks",
    [
        pytest.param([b": hello\n\n", b'data: {"error": {"code": "rate_limit_exceeded"}}\n\n'], id="after-a-comment"),
        pytest.param([b"data: {", b'"error": {"code": "rate_limit_', b'exceeded"}}\n', b"\n"], id="in-pieces"),
        pytest.param([b": hello\n\n"], id="a-comment-and-no-more"),
    ],
)
async def test_a_stream_is_judged_by_its_first_event_however_it_is_cut(
    providers: Providers, chunks: list[bytes]
) -> None:
    head = {"content-type": "text/event-stream"}
    providers.on("k1", httpx.Response(200, stream=Broken(*chunks), headers=head))
    answer = await chat(gateway(with_keys("k1", "k2"), providers))
    assert (answer.status, providers.keys) == (200, ["k1", "k2"])
    assert answer.json() == {"id": "fine"}


@pytest.mark.parametrize(("status", "samples"), [(429, 0), (401, 0), (200, 1)])
async def test_a_clients_own_limits_are_no_measure_of_the_model(
    providers: Providers, status: int, samples: int
) -> None:
    gateway_ = gateway({}, providers)
    providers.on("sk-own", status)
    await chat(gateway_, key="sk-own")
    await chat(gateway_, "openai:made-up", key="sk-own")
    measured = [gateway_.stores.model_metrics.of("openai", name) for name in ("gpt-4o", "made-up")]
    assert [each["global"]["request_count"] for each in measured] == [samples, 0]


async def test_a_clients_own_key_is_not_remembered(providers: Providers) -> None:
    gateway_ = gateway({}, providers)
    providers.on("sk-own", failing(429, retry_after="60"))
    await chat(gateway_, key="sk-own")
    assert record_of(gateway_, "sk-own").samples == 0


async def test_a_secret_that_changed_is_tried_at_once(providers: Providers) -> None:
    """The operator has put a new value in place, and the old one was still remembered when it was refused."""
    vaults = {"openai": {"key": "sk-old"}}
    config = {"providers": [{"id": "openai", "api_keys": [{"value": "${secrets.get('openai', 'key')}"}]}]}
    gateway_ = gateway(config, providers, secrets=vaults)
    assert (await chat(gateway_)).status == 200
    providers.on("sk-old", 401)
    vaults["openai"]["key"] = "sk-new"
    assert (await chat(gateway_)).status == 200
    assert providers.keys == ["sk-old", "sk-old", "sk-new"]


async def test_a_secret_that_changed_is_tried_by_all_who_met_the_old_one(providers: Providers) -> None:
    vaults = {"openai": {"key": "sk-old", "other": "sk-other"}}
    values = [{"value": f"${{secrets.get('openai', '{name}')}}"} for name in ("key", "other")]
    gateway_ = gateway({"providers": [{"id": "openai", "api_keys": values}]}, providers, secrets=vaults)
    assert (await chat(gateway_)).status == 200
    turns, all_asked = [asyncio.Event() for _ in range(3)], asyncio.Event()

    async def refusal(sent: httpx.Request) -> httpx.Response:
        number = len(providers.requests) - 2
        if turns[number] is turns[-1]:
            all_asked.set()
        await turns[number].wait()
        return httpx.Response(401)

    providers.on("sk-old", refusal)
    vaults["openai"]["key"] = "sk-new"
    asked = [asyncio.create_task(chat(gateway_)) for _ in turns]
    await all_asked.wait()
    for turn, task in zip(turns, asked, strict=True):
        turn.set()
        await task
    assert providers.keys == ["sk-old"] * 4 + ["sk-new"] * 3


async def test_a_secret_is_read_again_on_the_first_refusal_only(providers: Providers) -> None:
    """Else every request with a key that is bad for good would go to the secret's source; there is its TTL for that."""
    vaults = {"openai": {"key": "sk-old"}}
    config = {"providers": [{"id": "openai", "api_keys": [{"value": "${secrets.get('openai', 'key')}"}]}]}
    gateway_ = gateway(config, providers, secrets=vaults)
    providers.on("sk-old", 401)
    assert (await chat(gateway_)).status == 502
    vaults["openai"]["key"] = "sk-new"
    assert (await chat(gateway_)).status == 502
    assert providers.keys == ["sk-old", "sk-old"]


async def test_a_secret_that_changed_is_tried_although_the_old_one_is_set_aside(providers: Providers) -> None:
    vaults = {"openai": {"key": "sk-old"}}
    config = {"providers": [{"id": "openai", "api_keys": [{"value": "${secrets.get('openai', 'key')}"}]}]}
    gateway_ = gateway(config, providers, secrets=vaults, secrets_ttl=0)
    providers.on("sk-old", 401)
    assert (await chat(gateway_)).status == 502
    vaults["openai"]["key"] = "sk-new"
    assert (await chat(gateway_)).status == 200
    assert providers.keys == ["sk-old", "sk-new"]


async def test_a_secret_that_did_not_change_is_not_tried_again(providers: Providers) -> None:
    providers.on("sk-old", 401)
    config = {"providers": [{"id": "openai", "api_keys": [{"value": "${secrets.get('openai', 'key')}"}]}]}
    await chat(gateway(config, providers, secrets={"openai": {"key": "sk-old"}}))
    assert providers.keys == ["sk-old"]


async def test_redirects_are_not_followed(providers: Providers) -> None:
    providers.on("k1", httpx.Response(307, headers={"location": "https://elsewhere.test/"}))
    answer = await chat(gateway(with_keys("k1"), providers))
    assert answer.status == 502
    assert providers.urls == ["https://api.openai.com/v1/chat/completions"]


async def test_a_key_counts_as_in_use_until_its_answer_is_out(providers: Providers) -> None:
    gateway_ = gateway(with_keys("k1"), providers)
    seen: list[int] = []

    def noting(sent: httpx.Request) -> httpx.Response:
        seen.append(record_of(gateway_, "k1").in_flight)
        return httpx.Response(200, json={})

    providers.on("k1", noting)
    await chat(gateway_)
    assert seen == [1]
    assert record_of(gateway_, "k1").in_flight == 0


async def test_a_client_that_leaves_ends_the_attempt_and_is_not_the_keys_fault(providers: Providers) -> None:
    gateway_ = gateway(with_keys("k1", "k2"), providers)
    asked = asyncio.Event()

    async def wait(sent: httpx.Request) -> httpx.Response:
        asked.set()
        return await hang(sent)

    providers.on("k1", wait)
    async with Exchange(gateway_.app, method="POST", path="/v1/chat/completions", json={"model": "gpt-4o"}) as ex:
        await asked.wait()
        await ex.disconnect()
        await ex.ended()
    assert providers.keys == ["k1"]
    assert (record_of(gateway_, "k1").samples, record_of(gateway_, "k1").in_flight) == (0, 0)


@pytest.mark.parametrize(
    ("failures", "status", "code"),
    [
        pytest.param([429, 429], 429, "rate_limit_exceeded", id="all-limited"),
        pytest.param([401, 403], 502, "upstream_auth_failed", id="all-refused"),
        pytest.param([402, failing(429, "insufficient_quota")], 503, "upstream_quota", id="all-without-quota"),
        pytest.param([408, httpx.ReadTimeout("slow")], 504, "upstream_timeout", id="all-slow"),
        pytest.param([failing(404, "model_not_found")] * 2, 404, "model_not_found", id="no-such-model-there"),
        pytest.param([429, 401], 503, "all_providers_failed", id="mixed"),
        pytest.param([500, 500], 503, "all_providers_failed", id="all-erring"),
        pytest.param([500], 502, "upstream_error", id="one-attempt"),
        pytest.param([httpx.ConnectError("refused")], 502, "upstream_unreachable", id="unreachable"),
        pytest.param([httpx.ConnectTimeout("slow")], 504, "upstream_timeout", id="unreachable-in-time"),
        pytest.param([untrusted()], 502, "upstream_tls_error", id="certificate"),
        pytest.param([httpx.ReadError("reset")], 502, "upstream_interrupted", id="interrupted"),
        pytest.param([httpx.PoolTimeout("busy")], 503, "overloaded", id="overloaded"),
    ],
)
async def test_what_all_attempts_have_in_common_is_the_answer(
    providers: Providers, failures: Sequence[Answer], status: int, code: str
) -> None:
    keys = [f"k{number}" for number in range(len(failures))]
    for key, failure in zip(keys, failures, strict=True):
        providers.on(key, failure)
    answer = await chat(gateway(with_keys(*keys), providers))
    assert (answer.status, answer.json()["error"]["code"]) == (status, code)
    assert answer.headers["x-gateway-error"] == code
    assert answer.headers["x-gateway-attempts"] == str(len(failures))
    assert ("x-should-retry" in answer.headers) is (code not in ("rate_limit_exceeded", "overloaded"))


async def test_the_shortest_wait_is_told(providers: Providers) -> None:
    for key, seconds in {"k1": "30", "k2": "6.2", "k3": "1e400"}.items():
        providers.on(key, failing(429, retry_after=seconds))
    answer = await chat(gateway(with_keys("k1", "k2", "k3"), providers))
    assert answer.headers["retry-after"] == "7"


async def test_what_a_failed_provider_said_is_not_passed_on(providers: Providers) -> None:
    providers.on("sk-first", failing(401, message="Incorrect key sk-first of organisation acme"))
    providers.on("sk-second", failing(500, message="host db-7.acme.internal is down"))
    answer = await chat(gateway(with_keys("sk-first", "sk-second"), providers))
    assert answer.json()["error"]["message"] == (
        "ERR_NGROK_3807: All providers failed: [401] openai/gpt-4o: key_rejected; [500] openai/gpt-4o: erred"
    )


async def test_an_overload_of_our_own_is_not_the_keys_fault(providers: Providers) -> None:
    gateway_ = gateway(with_keys("k1"), providers)
    providers.on("k1", httpx.PoolTimeout("busy"))
    await chat(gateway_)
    assert record_of(gateway_, "k1").samples == 0


async def test_a_clients_own_key_goes_to_one_provider_only(providers: Providers) -> None:
    boxes = [{"id": name, "base_url": f"https://{name}.test", "models": [{"id": "m"}]} for name in ("a", "b")]
    providers.on("mine", 500)
    await chat(gateway({"providers": boxes}, providers), "m", key="mine")
    assert providers.urls == ["https://a.test/v1/chat/completions"]


async def test_an_error_that_cannot_be_looked_through_is_not_passed_on(providers: Providers) -> None:
    providers.on("k1", httpx.Response(400, content=gzip.compress(b"k1"), headers={"content-encoding": "gzip"}))
    answer = await chat(gateway(with_keys("k1"), providers))
    assert (answer.status, answer.json()["error"]["code"]) == (502, "upstream_error")


async def test_a_key_that_is_echoed_in_a_field_of_an_error_is_redacted(providers: Providers) -> None:
    providers.on("sk-long-enough", failing(400, x_ratelimit_reset_requests="sk-long-enough"))
    answer = await chat(gateway(with_keys("sk-long-enough"), providers))
    assert answer.status == 400
    assert "sk-long-enough" not in str(answer.headers)


# When every key is limited --------------------------------------------------------------------------------------------


async def test_where_every_key_waits_for_its_limit_nobody_is_asked(providers: Providers) -> None:
    providers.on("k1", failing(429, retry_after="60"))
    providers.on("k2", failing(429, retry_after_ms="20000"))
    gateway_ = gateway(with_keys("k1", "k2"), providers)
    await chat(gateway_)
    answer = await chat(gateway_)
    assert providers.keys == ["k1", "k2"]
    assert (answer.status, answer.headers["x-gateway-error"]) == (429, "rate_limit_exceeded")
    assert answer.headers["x-gateway-attempts"] == "0"
    assert "x-should-retry" not in answer.headers
    assert 17 <= int(answer.headers["retry-after"]) <= 22
    assert 17_000 <= int(answer.headers["retry-after-ms"]) <= 22_000


async def test_a_wait_is_told_in_both_ways(providers: Providers) -> None:
    providers.on("k1", failing(429, retry_after="1.25"))
    answer = await chat(gateway(with_keys("k1"), providers))
    assert (answer.headers["retry-after"], answer.headers["retry-after-ms"]) == ("2", "1250")


@pytest.mark.parametrize("key", ["rejected", "without quota"])
async def test_a_key_that_is_set_aside_for_another_reason_is_asked_all_the_same(providers: Providers, key: str) -> None:
    """That may have been mended meanwhile, and to ask costs nothing."""
    gateway_ = gateway(with_keys("k1"), providers)
    providers.on("k1", 401 if key == "rejected" else 402, 200)
    assert [(await chat(gateway_)).status for _ in range(2)][1] == 200


async def test_a_request_may_wait_for_capacity(providers: Providers) -> None:
    providers.on("k1", failing(429, retry_after_ms="30"), 200)
    answer = await chat(gateway(with_keys("k1", wait_for_capacity="1s"), providers))
    assert (answer.status, providers.keys) == (200, ["k1", "k1"])
    assert answer.headers["x-gateway-attempts"] == "2"


@pytest.mark.parametrize(
    ("wait", "limits"),
    [
        pytest.param("60000", {"wait_for_capacity": "5s"}, id="longer-than-is-welcome"),
        pytest.param("60000", {"wait_for_capacity": "5m", "total_timeout": "10s"}, id="longer-than-there-is-time"),
    ],
)
async def test_nobody_waits_in_vain(providers: Providers, wait: str, limits: dict[str, str]) -> None:
    providers.on("k1", failing(429, retry_after_ms=wait))
    answer = await chat(gateway(with_keys("k1", **limits), providers))
    assert (answer.status, providers.keys) == (429, ["k1"])
    assert answer.headers["retry-after"] == "60"


async def test_all_waits_together_are_no_longer_than_is_welcome(providers: Providers) -> None:
    providers.on("k1", failing(429, retry_after_ms="40"))
    answer = await chat(gateway(with_keys("k1", wait_for_capacity="100ms"), providers))
    assert answer.status == 429
    assert len(providers.keys) == 3


async def test_a_client_may_leave_while_it_waits(providers: Providers) -> None:
    asked = asyncio.Event()

    def limited(sent: httpx.Request) -> httpx.Response:
        asked.set()
        return failing(429, retry_after="30")

    providers.on("k1", limited)
    app = gateway(with_keys("k1", wait_for_capacity="1m"), providers).app
    async with Exchange(app, method="POST", path="/v1/chat/completions", json={"model": "gpt-4o"}) as ex:
        await asked.wait()
        await ex.disconnect()
        await ex.ended()


# What is learned of origins, and of keys with their models ------------------------------------------------------------

EAST_AND_WEST = {
    "providers": [
        {"id": name, "base_url": f"https://{name}.test/v1", "api_keys": [{"value": name}], "models": [{"id": "llama"}]}
        for name in ("east", "west")
    ],
    "only_allow_configured_providers": True,
}


def state_of(gateway_: Any, host: str) -> str:
    return str(gateway_.stores.breakers.state(Origin.of(f"https://{host}/v1")))


async def test_an_origin_that_keeps_failing_is_passed_over(providers: Providers) -> None:
    providers.on("east", 500)
    gateway_ = gateway(EAST_AND_WEST, providers)
    for _ in range(7):
        assert (await chat(gateway_, "llama")).status == 200
    assert providers.keys == ["east", "west"] * 5 + ["west"] * 2
    assert state_of(gateway_, "east.test") == "open"


async def test_an_origin_that_is_passed_over_is_asked_where_nobody_else_is_left(providers: Providers) -> None:
    providers.on("east", 500)
    gateway_ = gateway(EAST_AND_WEST, providers)
    for _ in range(5):
        await chat(gateway_, "llama")
    providers.on("east", 200)
    providers.on("west", 500)
    answer = await chat(gateway_, "llama")
    assert answer.headers["x-gateway-provider"] == "east"


async def test_one_attempt_at_a_time_finds_out_about_an_origin(providers: Providers) -> None:
    providers.on("k1", 500)
    gateway_ = gateway(with_keys("k1"), providers)
    for _ in range(5):
        await chat(gateway_)
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def slow(sent: httpx.Request) -> httpx.Response:
        asked.set()
        await go_on.wait()
        return httpx.Response(200, json={})

    providers.on("k1", slow)
    first = asyncio.create_task(chat(gateway_))
    await asked.wait()
    second = await chat(gateway_)
    go_on.set()
    assert (second.status, second.headers["x-gateway-error"]) == (503, "all_providers_failed")
    assert second.headers["x-gateway-attempts"] == "0"
    assert (await first).status == 200
    assert len(providers.keys) == 6


async def test_a_client_that_leaves_makes_room_for_another_attempt(providers: Providers) -> None:
    providers.on("k1", 500)
    gateway_ = gateway(with_keys("k1"), providers)
    for _ in range(5):
        await chat(gateway_)
    asked = asyncio.Event()

    async def slow(sent: httpx.Request) -> httpx.Response:
        asked.set()
        return await hang(sent)

    providers.on("k1", slow, 200)
    async with Exchange(gateway_.app, method="POST", path="/v1/chat/completions", json={"model": "gpt-4o"}) as ex:
        await asked.wait()
        await ex.disconnect()
        await ex.ended()
    assert (await chat(gateway_)).status == 200


async def test_a_request_that_cannot_be_sent_makes_room_too(providers: Providers) -> None:
    """And is no attempt."""
    providers.on("k1", 500)
    config = with_keys("k1", headers={"x-note": "${req.headers['x-note'][0]}"})
    gateway_ = gateway(config, providers)
    for _ in range(5):
        await noted(gateway_, "fine")
    refused = await noted(gateway_)
    assert (refused.status, refused.headers["x-gateway-attempts"]) == (403, "0")
    assert record_of(gateway_, "k1").in_flight == 0
    providers.on("k1", 200)
    assert (await noted(gateway_, "fine")).status == 200


async def noted(gateway_: Any, *notes: str) -> Response:
    fields = [("x-note", note) for note in notes]
    return await request(gateway_.app, "POST", "/v1/chat/completions", headers=fields, json={"model": "gpt-4o"})


async def test_a_key_without_access_to_a_model_is_asked_for_it_last(providers: Providers) -> None:
    providers.on("k1", failing(404, "model_not_found"))
    gateway_ = gateway(with_keys("k1", "k2"), providers)
    await chat(gateway_)
    await chat(gateway_)
    await chat(gateway_, "gpt-4o-mini")
    assert providers.keys == ["k1", "k2", "k2", "k1", "k2"]


# How an attempt ends --------------------------------------------------------------------------------------------------

WORD = b'data: {"choices": [{"index": 0, "delta": {"content": "Hello"}}]}\n\n'
STREAM = {"content-type": "text/event-stream"}


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    record = json.loads(next(each for each in caplog.records if each.name == "ai_gateway_mw.requests").getMessage())
    attempts: list[str] = record["attempts"]
    return attempts


@pytest.mark.parametrize(
    ("pieces", "outcome", "samples"),
    [
        pytest.param([WORD, b"data: [DONE]\n\n"], "accepted", 1, id="whole"),
        pytest.param([WORD, httpx.ReadError("reset")], "broken_off", 1, id="broken-off"),
        pytest.param([WORD, httpx.ReadTimeout("idle")], "stalled", 1, id="stalled"),
        pytest.param([WORD], "unfinished", 1, id="without-its-terminator"),
        pytest.param(
            [WORD, b'data: {"error": {"code": "rate_limit_exceeded"}}\n\n'], "rate_limited", 1, id="error-event"
        ),
        pytest.param([WORD, b"data: [DONE]\n\n", httpx.ReadError("reset")], "accepted", 1, id="reset-after-the-end"),
    ],
)
async def test_an_attempt_counts_by_what_it_came_to_in_the_end(
    providers: Providers, caplog: pytest.LogCaptureFixture, pieces: list[Any], outcome: str, samples: int
) -> None:
    providers.on("k1", httpx.Response(200, headers=STREAM, stream=Body(*pieces)))
    gateway_ = gateway(with_keys("k1", "k2"), providers)
    with caplog.at_level(logging.INFO, "ai_gateway_mw.requests"):
        assert (await chat(gateway_)).status == 200
    assert logged(caplog) == [f"[200] openai/gpt-4o: {outcome}"]
    assert (record_of(gateway_, "k1").samples, record_of(gateway_, "k1").in_flight) == (samples, 0)
    assert providers.keys == ["k1"]


async def test_five_streams_that_break_off_open_the_breaker(providers: Providers) -> None:
    providers.on("k1", *(httpx.Response(200, headers=STREAM, stream=Body(WORD, httpx.ReadError("reset"))),) * 5)
    gateway_ = gateway(with_keys("k1"), providers)
    for _ in range(4):
        await chat(gateway_)
    assert not gateway_.stores.breakers.shut
    await chat(gateway_)
    assert gateway_.stores.breakers.shut


@pytest.mark.parametrize(
    ("pieces", "detail"),
    [
        pytest.param(None, "[0] openai/gpt-4o: client_gone", id="before-the-head"),
        pytest.param([None], "[200] openai/gpt-4o: client_gone", id="before-the-first-event"),
        pytest.param([b": ping\n\n", None], "[200] openai/gpt-4o: client_gone", id="before-content"),
        pytest.param([WORD, None], "[200] openai/gpt-4o: client_gone", id="after-content"),
    ],
)
async def test_a_client_that_leaves_is_nobodys_fault_in_every_phase(
    providers: Providers, caplog: pytest.LogCaptureFixture, pieces: list[Any] | None, detail: str
) -> None:
    waiting = asyncio.Event()

    async def answer(sent: httpx.Request) -> httpx.Response:
        if pieces is None:
            waiting.set()
            return await hang(sent)
        return httpx.Response(200, headers=STREAM, stream=Body(*pieces, reached=waiting))

    providers.on("k1", answer)
    gateway_ = gateway(with_keys("k1", "k2"), providers)
    with caplog.at_level(logging.INFO, "ai_gateway_mw.requests"):
        async with Exchange(gateway_.app, method="POST", path="/v1/chat/completions", json={"model": "gpt-4o"}) as ex:
            await waiting.wait()
            await ex.disconnect()
            await ex.ended()
    assert logged(caplog) == [detail]
    record = record_of(gateway_, "k1")
    assert (record.samples, record.in_flight, record.state) == (0, 0, "ok")
    assert providers.keys == ["k1"]


async def test_the_tokens_of_a_client_that_left_are_settled(providers: Providers) -> None:
    opening = b'event: message_start\ndata: {"type":"message_start","message":{"usage":{"input_tokens":9}}}\n\n'
    content = b'event: content_block_delta\ndata: {"type":"content_block_delta","delta":{"text":"Hello"}}\n\n'
    waiting = asyncio.Event()
    providers.on("a1", httpx.Response(200, headers=STREAM, stream=Body(opening, content, None, reached=waiting)))
    gateway_ = gateway(ANTHROPIC_TOO, providers)
    body = {"model": "claude-sonnet-4-5", "max_tokens": 9}
    async with Exchange(gateway_.app, method="POST", path="/v1/messages", json=body) as ex:
        await waiting.wait()
        await ex.disconnect()
        await ex.ended()
    measured = gateway_.stores.model_metrics.of("anthropic", "claude-sonnet-4-5")["global"]
    assert (measured["token"]["provider_input"], measured["request_count"]) == (9, 0)


async def test_tokens_and_times_of_a_stream_are_measured(providers: Providers) -> None:
    usage = b'data: {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 5}}\n\n'
    providers.on("k1", httpx.Response(200, headers=STREAM, stream=Body(WORD, usage, b"data: [DONE]\n\n")))
    gateway_ = gateway(with_keys("k1"), providers)
    await chat(gateway_)
    measured = gateway_.stores.model_metrics.of("openai", "gpt-4o")["global"]
    assert measured["token"] == {"provider_input": 7, "provider_output": 5, "estimated_input": 0, "estimated_output": 0}
    assert measured["latency"]["time_to_first_token_ms_avg"] is not None
    assert measured["latency"]["time_per_output_token_ms_avg"] is not None


class Body(httpx.AsyncByteStream):
    """A body in pieces: an exception where it breaks off, None where nothing more comes, which `reached` tells."""

    def __init__(self, *pieces: bytes | Exception | None, reached: asyncio.Event | None = None) -> None:
        self._pieces, self._reached = pieces, reached or asyncio.Event()

    async def __aiter__(self) -> Any:
        for piece in self._pieces:
            if isinstance(piece, Exception):
                raise piece
            if piece is None:
                self._reached.set()
                await asyncio.Event().wait()
            yield piece
