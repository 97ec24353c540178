"""The guide to provider keys that this project was started from, paragraph by paragraph: what it shows loads, and does
what it says. The YAML is the guide's own; fragments stand in the place that they are written for."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from textwrap import indent

import httpx
import pytest

from ai_gateway_mw import Gateway, PolicyError
from ai_gateway_mw.policy import load_policy
from tests.asgi import request
from tests.servers import clean_environment
from tests.upstream.scripted import Answer, Providers, chat, failing, gateway_of

pytestmark = pytest.mark.anyio

Vaults = Mapping[str, Mapping[str, str]]


@pytest.fixture
def providers() -> Providers:
    return Providers()


def config(fragment: str) -> str:
    """A policy whose gateway has this config."""
    return "on_http_request:\n  - type: ai-gateway\n    config:\n" + indent(fragment, " " * 6)


def openai_with(fragment: str) -> str:
    """A policy whose gateway has OpenAI with these lines."""
    return config('providers:\n  - id: "openai"\n' + indent(fragment, " " * 4))


def three_keys_and(fragment: str) -> str:
    """A policy with three keys, k1 to k3, and this selection."""
    return config('providers:\n  - id: "openai"\n    api_keys: [{value: k1}, {value: k2}, {value: k3}]\n' + fragment)


def quota(requests: int, tokens: int = 1000) -> httpx.Response:
    """A good answer that says how much is left."""
    left = {"x-ratelimit-remaining-requests": str(requests), "x-ratelimit-remaining-tokens": str(tokens)}
    return httpx.Response(200, json={}, headers=left)


async def teach(gateway: Gateway, providers: Providers, lessons: Mapping[str, list[Answer]]) -> None:
    """Let the gateway learn about each key what it would from such answers; then forget that there were requests."""
    meant = gateway.policy
    for key, answers in lessons.items():
        providers.on(key, *answers)
        gateway.reload(load_policy(openai_with(f"api_keys: [{{value: {key}}}]")))
        for _ in answers:
            await chat(gateway)
            await asyncio.sleep(0.002)  # a key that cools down is not asked again before its time
        providers.on(key, 200)
    gateway.reload(meant)
    providers.requests.clear()


# "This guide covers how to store, rotate, and manage provider API keys" -----------------------------------------------


async def test_whoever_knows_the_url_can_use_the_keys(providers: Providers) -> None:
    answer = await chat(gateway_of(INLINE, providers))
    assert answer.status == 200
    assert providers.keys == ["sk-proj-abc123..."]


# Key storage options: inline keys -------------------------------------------------------------------------------------

INLINE = config(
    """\
providers:
  - id: "openai"
    api_keys:
      - value: "sk-proj-abc123..."
"""
)


async def test_an_inline_key_is_used_in_place_of_the_clients(providers: Providers) -> None:
    await chat(gateway_of(INLINE, providers), key="sk-of-the-app")
    assert providers.keys == ["sk-proj-abc123..."]
    assert providers.urls == ["https://api.openai.com/v1/chat/completions"]


def test_an_inline_key_does_not_show_where_its_policy_is_wrong() -> None:
    with pytest.raises(PolicyError) as refusal:
        load_and_compile(INLINE.replace("- value:", "- valeu:"))
    assert "`valeu`" in str(refusal.value)
    assert "abc123" not in str(refusal.value)


def load_and_compile(policy: str) -> Gateway:
    return gateway_of(policy, Providers())


# Key storage options: secrets -----------------------------------------------------------------------------------------

SECRETS = config(
    """\
providers:
  - id: "openai"
    api_keys:
      - value: ${secrets.get('openai', 'key-one')}
      - value: ${secrets.get('openai', 'key-two')}
"""
)
ONE_AND_TWO = {"openai": {"key-one": "sk-proj-abc123...", "key-two": "sk-proj-def456..."}}


async def test_keys_come_from_secrets_in_the_listed_order(providers: Providers) -> None:
    providers.on("sk-proj-abc123...", 429)
    await chat(gateway_of(SECRETS, providers, secrets=ONE_AND_TWO))
    assert providers.keys == ["sk-proj-abc123...", "sk-proj-def456..."]


async def test_a_secret_is_rotated_without_redeploying(providers: Providers) -> None:
    vaults = {"openai": dict(ONE_AND_TWO["openai"])}
    gateway = gateway_of(SECRETS, providers, secrets=vaults, secrets_ttl=0)
    await chat(gateway)
    vaults["openai"]["key-one"] = "sk-proj-new"
    await chat(gateway)
    assert providers.keys == ["sk-proj-abc123...", "sk-proj-new"]


def test_the_policy_with_secrets_does_not_show_them(providers: Providers) -> None:
    gateway = gateway_of(SECRETS, providers, secrets=ONE_AND_TWO)
    assert "sk-proj" not in repr(gateway.policy) + repr(gateway.program)


# Creating secrets -----------------------------------------------------------------------------------------------------


def set_secret(name: str, value: str, *, data: Path) -> str:
    """Run `ai-gateway secrets set openai NAME`, with the value on its standard input; what it prints."""
    command = [sys.executable, "-m", "ai_gateway_mw", "secrets", "set", "openai", name]
    environment = clean_environment() | {"AI_GATEWAY_DATA_DIR": str(data)}
    done = subprocess.run(
        command, input=value, text=True, env=environment, cwd=data.parent, capture_output=True, check=True
    )
    return done.stdout + done.stderr


@pytest.mark.subprocess
async def test_secrets_are_created_with_a_command_and_encrypted_at_rest(providers: Providers, tmp_path: Path) -> None:
    data = tmp_path / "data"
    for name, value in ONE_AND_TWO["openai"].items():
        assert value not in set_secret(name, value, data=data)
    stored = [file.read_bytes() for file in data.rglob("*") if file.is_file()]
    assert stored
    assert not any(b"sk-proj" in content for content in stored)
    gateway = Gateway.from_policy(SECRETS, transport=providers.transport, data_dir=data, env_file=tmp_path / "none")
    await chat(gateway)
    assert providers.keys == ["sk-proj-abc123..."]


async def test_a_vault_may_be_a_file_of_key_value_pairs(providers: Providers, tmp_path: Path) -> None:
    """As `--secret-data '{"key-one": …}'` has them."""
    (tmp_path / "openai").write_text('{"key-one": "sk-proj-abc123...", "key-two": "sk-proj-def456..."}')
    gateway = Gateway.from_policy(SECRETS, transport=providers.transport, secrets_dir=tmp_path)
    providers.on("sk-proj-abc123...", 429)
    await chat(gateway)
    assert providers.keys == ["sk-proj-abc123...", "sk-proj-def456..."]


# Multiple keys for failover -------------------------------------------------------------------------------------------

MULTIPLE = config(
    """\
providers:
  - id: "openai"
    api_keys:
      - value: ${secrets.get('openai', 'primary')}
      - value: ${secrets.get('openai', 'backup')}
      - value: ${secrets.get('openai', 'emergency')}
"""
)
THREE = {"openai": {"primary": "sk-primary", "backup": "sk-backup", "emergency": "sk-emergency"}}


async def test_the_gateway_tries_the_first_key(providers: Providers) -> None:
    for _ in range(3):
        await chat(gateway_of(MULTIPLE, providers, secrets=THREE))
    assert providers.keys == ["sk-primary"] * 3


@pytest.mark.parametrize(
    "failure",
    [
        pytest.param(failing(429, "rate_limit_exceeded", retry_after="20"), id="rate-limit"),
        pytest.param(failing(429, "insufficient_quota"), id="quota-exceeded"),
        pytest.param(500, id="error"),
        pytest.param(401, id="refused"),
        pytest.param(httpx.ReadTimeout("slow"), id="timeout"),
    ],
)
async def test_if_it_fails_the_next_key_is_tried(providers: Providers, failure: Answer) -> None:
    providers.on("sk-primary", failure)
    answer = await chat(gateway_of(MULTIPLE, providers, secrets=THREE))
    assert answer.status == 200
    assert providers.keys == ["sk-primary", "sk-backup"]


async def test_it_continues_until_a_key_succeeds(providers: Providers) -> None:
    providers.on("sk-primary", 429)
    providers.on("sk-backup", 401)
    answer = await chat(gateway_of(MULTIPLE, providers, secrets=THREE))
    assert answer.status == 200
    assert providers.keys == ["sk-primary", "sk-backup", "sk-emergency"]


async def test_or_all_keys_are_exhausted(providers: Providers) -> None:
    for key in THREE["openai"].values():
        providers.on(key, 429)
    answer = await chat(gateway_of(MULTIPLE, providers, secrets=THREE))
    assert answer.status == 429
    assert providers.keys == ["sk-primary", "sk-backup", "sk-emergency"]


async def test_key_ordering_matters(providers: Providers) -> None:
    lines = MULTIPLE.splitlines()
    providers.on("sk-emergency", 429)
    providers.on("sk-backup", 429)
    await chat(gateway_of("\n".join([*lines[:-3], *reversed(lines[-3:])]), providers, secrets=THREE))
    assert providers.keys == ["sk-emergency", "sk-backup", "sk-primary"]


# Key rotation ---------------------------------------------------------------------------------------------------------

OLD_ONLY = openai_with(
    """\
api_keys:
  - value: ${secrets.get('openai', 'old-key')}
"""
)
BOTH = openai_with(
    """\
api_keys:
  - value: ${secrets.get('openai', 'old-key')}
  - value: ${secrets.get('openai', 'new-key')}  # Added
"""
)
NEW_ONLY = openai_with(
    """\
api_keys:
  - value: ${secrets.get('openai', 'new-key')}
"""
)


async def test_a_key_is_rotated_without_a_failed_request(providers: Providers) -> None:
    """At each of the four steps there are requests under way that end only after it."""
    arrived, may_end = asyncio.Semaphore(0), asyncio.Event()

    async def answer(sent: httpx.Request) -> httpx.Response:
        if json.loads(sent.content).get("user") == "patient":
            arrived.release()
            await may_end.wait()
        return httpx.Response(200, json={})

    providers.on("sk-old", answer)
    providers.on("sk-new", answer)
    gateway = gateway_of(OLD_ONLY, providers, secrets={"openai": {"old-key": "sk-old", "new-key": "sk-new"}})
    steps: dict[str, Callable[[], object]] = {
        "add the new key": lambda: gateway.reload(load_policy(BOTH)),
        "deploy and monitor": lambda: None,
        "remove the old key": lambda: gateway.reload(load_policy(NEW_ONLY)),
        "revoke the old key": lambda: providers.on("sk-old", 401),
    }
    answers = []
    for step in steps.values():
        may_end.clear()
        under_way = [asyncio.create_task(chat(gateway, user="patient")) for _ in range(3)]
        for _ in under_way:
            await arrived.acquire()
        step()
        answers += [await chat(gateway) for _ in range(3)]
        may_end.set()
        answers += await asyncio.gather(*under_way)
    assert [answer.status for answer in answers] == [200] * 24
    assert Counter(providers.keys) == {"sk-old": 3 * 5, "sk-new": 3 * 3}


async def test_while_both_keys_are_there_the_new_one_shows_that_it_works(providers: Providers) -> None:
    gateway = gateway_of(BOTH, providers, secrets={"openai": {"old-key": "sk-old", "new-key": "sk-new"}})
    providers.on("sk-old", 429)
    assert (await chat(gateway)).status == 200
    assert providers.keys == ["sk-old", "sk-new"]


async def test_a_key_that_was_revoked_too_early_costs_no_request(providers: Providers) -> None:
    gateway = gateway_of(BOTH, providers, secrets={"openai": {"old-key": "sk-old", "new-key": "sk-new"}})
    providers.on("sk-old", 401)
    assert [(await chat(gateway)).status for _ in range(3)] == [200] * 3
    assert Counter(providers.keys) == {"sk-old": 1, "sk-new": 3}


# Multi-provider example -----------------------------------------------------------------------------------------------

MULTI_PROVIDER = """\
on_http_request:
  - type: ai-gateway
    config:
      providers:
        - id: "openai"
          api_keys:
            - value: ${secrets.get('openai', 'team-a-key')}
            - value: ${secrets.get('openai', 'team-b-key')}
            - value: ${secrets.get('openai', 'shared-backup')}
        
        - id: "anthropic"
          api_keys:
            - value: ${secrets.get('anthropic', 'primary')}
            - value: ${secrets.get('anthropic', 'secondary')}
        
        - id: "google"
          api_keys:
            - value: ${secrets.get('google', 'key')}
"""  # noqa: W293 - as the guide has it
TEAMS: Vaults = {
    "openai": {"team-a-key": "sk-team-a", "team-b-key": "sk-team-b", "shared-backup": "sk-shared"},
    "anthropic": {"primary": "sk-ant-primary", "secondary": "sk-ant-secondary"},
    "google": {"key": "AIza-key"},
}


@pytest.mark.parametrize(
    ("model", "keys"),
    [
        pytest.param("gpt-4o", ["sk-team-a", "sk-team-b", "sk-shared"], id="3-for-openai"),
        pytest.param("claude-sonnet-4-5", ["sk-ant-primary", "sk-ant-secondary"], id="2-for-anthropic"),
        pytest.param("gemini-2.5-pro", ["AIza-key"], id="1-for-google"),
    ],
)
async def test_each_provider_has_its_failover_keys(providers: Providers, model: str, keys: list[str]) -> None:
    for key in keys:
        providers.on(key, 429)
    answer = await chat(gateway_of(MULTI_PROVIDER, providers, secrets=TEAMS), model)
    assert answer.status == 429
    assert providers.keys == keys


async def test_keys_rotate_on_failures_across_providers(providers: Providers) -> None:
    failing_keys = ["sk-team-a", "sk-team-b", "sk-shared", "sk-ant-primary", "sk-ant-secondary"]
    for key in failing_keys:
        providers.on(key, 429)
    models = ["claude-sonnet-4-5", "gemini-2.5-pro"]
    answer = await chat(gateway_of(MULTI_PROVIDER, providers, secrets=TEAMS), "gpt-4o", models=models)
    assert answer.headers["x-gateway-provider"] == "google"
    assert providers.keys == [*failing_keys, "AIza-key"]
    assert providers.urls[-1] == "https://generativelanguage.googleapis.com/v1beta/openai/chat/completions"


async def test_each_format_reaches_its_provider(providers: Providers) -> None:
    app = gateway_of(MULTI_PROVIDER, providers, secrets=TEAMS).app
    await request(app, "POST", "/v1/messages", json={"model": "claude-sonnet-4-5"})
    await request(app, "POST", "/v1beta/models/gemini-2.5-pro:generateContent", json={"contents": []})
    assert providers.keys == ["sk-ant-primary", "AIza-key"]


# Intelligent key selection --------------------------------------------------------------------------------------------

INTELLIGENT = """\
on_http_request:
  - type: ai-gateway
    config:
      providers:
        - id: openai
          api_keys:
            - value: ${secrets.get('openai', 'key-one')}
            - value: ${secrets.get('openai', 'key-two')}
            - value: ${secrets.get('openai', 'key-three')}
      
      api_key_selection:
        strategy:
          - "ai.keys.filter(k, k.quota.remaining_requests > 100)"
          - "ai.keys"
"""  # noqa: W293 - as the guide has it
NUMBERED = {"openai": {"key-one": "k1", "key-two": "k2", "key-three": "k3"}}


async def test_keys_with_more_than_100_requests_left_are_selected(providers: Providers) -> None:
    gateway = gateway_of(INTELLIGENT, providers, secrets=NUMBERED)
    await teach(gateway, providers, {"k1": [quota(100)], "k2": [quota(101)], "k3": [quota(5000)]})
    providers.on("k2", 500)
    await chat(gateway)
    assert providers.keys == ["k2", "k3"]


async def test_if_none_matches_all_keys_are_tried(providers: Providers) -> None:
    gateway = gateway_of(INTELLIGENT, providers, secrets=NUMBERED)
    await teach(gateway, providers, {"k1": [quota(100)], "k2": [quota(3)]})
    providers.on("k1", 429)
    providers.on("k2", 429)
    await chat(gateway)
    assert providers.keys == ["k1", "k2", "k3"]


async def test_before_anything_is_known_all_keys_are_tried(providers: Providers) -> None:
    providers.on("k1", 429)
    await chat(gateway_of(INTELLIGENT, providers, secrets=NUMBERED))
    assert providers.keys == ["k1", "k2"]


# How it works ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("strategies", "keys"),
    [
        pytest.param(["[]", "[ai.keys[2], ai.keys[1]]", "ai.keys"], ["k3", "k2"], id="until-one-returns-a-key"),
        pytest.param(["ai.keys", "[ai.keys[2]]"], ["k1", "k2", "k3"], id="the-first-wins"),
        pytest.param(["ai.keys[5]", "ai.keys"], ["k1", "k2", "k3"], id="one-that-fails-is-passed-over"),
    ],
)
async def test_strategies_execute_in_order_until_one_returns_at_least_one_key(
    providers: Providers, strategies: list[str], keys: list[str]
) -> None:
    """The selected keys are then tried in order for failover."""
    for key in ("k1", "k2", "k3"):
        providers.on(key, 429)
    lines = "".join(f"    - {json.dumps(strategy)}\n" for strategy in strategies)
    await chat(gateway_of(three_keys_and(f"api_key_selection:\n  strategy:\n{lines}"), providers))
    assert providers.keys == keys


# Quota-based selection ------------------------------------------------------------------------------------------------

QUOTA_BASED = three_keys_and(
    """\
api_key_selection:
  strategy:
    # High capacity keys first
    - "ai.keys.filter(k, k.quota.remaining_requests > 500)"
    # Medium capacity keys
    - "ai.keys.filter(k, k.quota.remaining_requests > 100)"
    # Any key with quota
    - "ai.keys.filter(k, k.quota.remaining_requests > 0)"
    # Fall back to all keys
    - "ai.keys"
"""
)


@pytest.mark.parametrize(
    ("left", "chosen"),
    [
        pytest.param([50, 700, 300], "k2", id="high"),
        pytest.param([50, 500, 101], "k2", id="medium"),
        pytest.param([0, 0, 1], "k3", id="any"),
        pytest.param([0, 0, 0], "k1", id="all"),
    ],
)
async def test_keys_with_remaining_capacity_are_prioritised(providers: Providers, left: list[int], chosen: str) -> None:
    gateway = gateway_of(QUOTA_BASED, providers)
    await teach(gateway, providers, {f"k{n}": [quota(requests)] for n, requests in enumerate(left, 1)})
    await chat(gateway)
    assert providers.keys == [chosen]


async def test_the_choice_moves_on_as_quotas_shrink(providers: Providers) -> None:
    gateway = gateway_of(QUOTA_BASED, providers)
    await teach(gateway, providers, {"k1": [quota(502)], "k2": [quota(501)], "k3": [quota(10)]})
    providers.on("k1", quota(501), quota(500), quota(499))
    providers.on("k2", quota(500))
    for _ in range(4):
        await chat(gateway)
    assert providers.keys == ["k1", "k1", "k2", "k1"]


# Error rate-based selection -------------------------------------------------------------------------------------------

ERROR_BASED = three_keys_and(
    """\
api_key_selection:
  strategy:
    # Keys with very low rate limit errors
    - "ai.keys.filter(k, k.error_rate.rate_limit < 0.05)"
    # Keys with acceptable error rates
    - "ai.keys.filter(k, k.error_rate.total < 0.2)"
    # Fall back to all keys
    - "ai.keys"
"""
)
BRIEFLY_LIMITED = failing(429, retry_after_ms="1")
LIMITED_OFTEN: list[Answer] = [*[BRIEFLY_LIMITED] * 5, *[200] * 5]
LIMITED_SOMETIMES: list[Answer] = [BRIEFLY_LIMITED, *[200] * 9]
ERRING_OFTEN: list[Answer] = [*[500] * 5, *[200] * 5]
FINE: list[Answer] = [200] * 10


@pytest.mark.parametrize(
    ("lessons", "chosen"),
    [
        pytest.param([LIMITED_OFTEN, FINE, FINE], "k2", id="hardly-limited"),
        pytest.param([LIMITED_OFTEN, LIMITED_OFTEN, ERRING_OFTEN], "k3", id="erring-is-not-limited"),
        pytest.param([LIMITED_OFTEN, LIMITED_SOMETIMES, LIMITED_OFTEN], "k2", id="acceptable"),
        pytest.param([LIMITED_OFTEN, LIMITED_OFTEN, LIMITED_OFTEN], "k1", id="all"),
    ],
)
async def test_keys_experiencing_issues_are_avoided(
    providers: Providers, lessons: list[list[Answer]], chosen: str
) -> None:
    gateway = gateway_of(ERROR_BASED, providers)
    await teach(gateway, providers, {f"k{n}": answers for n, answers in enumerate(lessons, 1)})
    await chat(gateway)
    assert providers.keys == [chosen]


# Load distribution ----------------------------------------------------------------------------------------------------

LOAD = three_keys_and(
    """\
api_key_selection:
  strategy:
    # Randomly select from keys with good quota
    - "ai.keys.filter(k, k.quota.remaining_requests > 100).randomize()"
    # Fall back to any key
    - "ai.keys.randomize()"
"""
)


async def test_requests_are_spread_over_keys_with_good_quota(providers: Providers) -> None:
    """Fewer than 60 of 200 for one of two keys happens once in a hundred million times."""
    gateway = gateway_of(LOAD, providers)
    await teach(gateway, providers, {"k1": [quota(100)], "k2": [quota(101)], "k3": [quota(5000)]})
    for _ in range(200):
        await chat(gateway)
    met = Counter(providers.keys)
    assert set(met) == {"k2", "k3"}
    assert min(met.values()) >= 60


async def test_without_quota_any_key_is_selected(providers: Providers) -> None:
    gateway = gateway_of(LOAD, providers)
    for _ in range(200):
        await chat(gateway)
    met = Counter(providers.keys)
    assert set(met) == {"k1", "k2", "k3"}
    assert min(met.values()) >= 25


async def test_a_random_order_is_still_a_failover_order(providers: Providers) -> None:
    for key in ("k1", "k2", "k3"):
        providers.on(key, 429)
    await chat(gateway_of(LOAD, providers))
    assert sorted(map(str, providers.keys)) == ["k1", "k2", "k3"]


# Available key variables ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lesson", "predicate"),
    [
        pytest.param([quota(77)], "k.quota.remaining_requests == 77", id="remaining-requests"),
        pytest.param([quota(1, tokens=4321)], "k.quota.remaining_tokens == 4321", id="remaining-tokens"),
        pytest.param([BRIEFLY_LIMITED, 500, *[200] * 8], "k.error_rate.total == 0.2", id="total"),
        pytest.param([BRIEFLY_LIMITED, 500, *[200] * 8], "k.error_rate.rate_limit == 0.1", id="rate-limit"),
        pytest.param([httpx.ReadTimeout("slow"), 500, *[200] * 8], "k.error_rate.timeout == 0.1", id="timeout"),
        pytest.param([*[500] * 12], "k.error_rate.total == 1.0", id="all-errors"),
        pytest.param([*[200] * 12], "k.error_rate.total == 0.0 && k.samples == 12", id="no-errors"),
    ],
)
async def test_every_key_variable_is_live(providers: Providers, lesson: list[Answer], predicate: str) -> None:
    selection = f'api_key_selection:\n  strategy: ["ai.keys.filter(k, {predicate})"]\n'
    gateway = gateway_of(three_keys_and(selection), providers)
    await teach(gateway, providers, {"k2": lesson})
    answer = await chat(gateway)
    assert answer.status == 200
    assert providers.keys == ["k2"]


async def test_anthropics_quotas_are_learned_too(providers: Providers) -> None:
    policy = config(
        "providers: [{id: anthropic, api_keys: [{value: a1}, {value: a2}]}]\n"
        'api_key_selection: {strategy: ["ai.keys.filter(k, k.quota.remaining_requests > 100)", "ai.keys"]}\n'
    )
    gateway = gateway_of(policy, providers)
    providers.on("a1", failing(429, anthropic_ratelimit_requests_remaining="0"), 200)
    providers.on("a2", httpx.Response(200, json={}, headers={"anthropic-ratelimit-requests-remaining": "900"}))
    for _ in range(2):
        await request(gateway.app, "POST", "/v1/messages", json={"model": "claude-sonnet-4-5"})
    assert providers.keys == ["a1", "a2", "a2"]


@pytest.mark.parametrize("variable", ["k.quota.remaining", "k.error_rates.total", "k.quotas.remaining_requests"])
def test_a_variable_that_does_not_exist_is_refused_at_load(variable: str) -> None:
    with pytest.raises(PolicyError, match="did you mean"):
        load_and_compile(three_keys_and(f'api_key_selection: {{strategy: ["ai.keys.filter(k, {variable} > 1)"]}}\n'))


# Security best practices ----------------------------------------------------------------------------------------------


async def test_keys_never_show_in_answers_or_logs(providers: Providers, caplog: pytest.LogCaptureFixture) -> None:
    """Not even where the provider repeats them."""
    for key, failure in {
        "sk-primary": failing(401, message="Incorrect API key provided: sk-primary"),
        "sk-backup": failing(429, message="Limit of sk-backup reached", x_echo="sk-backup"),
        "sk-emergency": failing(400, message="Bad request with Authorization: Bearer sk-emergency"),
    }.items():
        providers.on(key, failure)
    with caplog.at_level(logging.DEBUG):
        answer = await chat(gateway_of(MULTIPLE, providers, secrets=THREE))
    assert answer.status == 400
    told = answer.text + str(answer.headers) + caplog.text
    assert not [key for key in THREE["openai"].values() if key in told]


async def test_key_usage_can_be_monitored(providers: Providers, caplog: pytest.LogCaptureFixture) -> None:
    """The log of requests names the key by an id that is safe to show, and every attempt with its outcome."""
    providers.on("sk-primary", 429)
    with caplog.at_level(logging.INFO, "ai_gateway_mw.requests"):
        await chat(gateway_of(MULTIPLE, providers, secrets=THREE))
    logged = json.loads(next(one.getMessage() for one in caplog.records if one.name == "ai_gateway_mw.requests"))
    assert logged["attempts"] == ["[429] openai/gpt-4o: rate_limited", "[200] openai/gpt-4o: accepted"]
    assert logged["key"].startswith("sha256:")


async def test_environments_have_keys_of_their_own(providers: Providers) -> None:
    """One policy, and secrets that differ."""
    for name in ("dev", "prod"):
        await chat(gateway_of(SECRETS, providers, secrets={"openai": {"key-one": f"sk-{name}", "key-two": "sk-x"}}))
    assert providers.keys == ["sk-dev", "sk-prod"]


# Passthrough mode -----------------------------------------------------------------------------------------------------

PASSTHROUGH = config(
    """\
providers:
  - id: "openai"
    # No api_keys - SDK key is forwarded
"""
)


async def test_the_gateway_forwards_whatever_key_the_sdk_sends(providers: Providers) -> None:
    gateway = gateway_of(PASSTHROUGH, providers)
    for developer in ("sk-of-ann", "sk-of-bob"):
        assert (await chat(gateway, key=developer)).status == 200
    assert providers.keys == ["sk-of-ann", "sk-of-bob"]


async def test_its_failures_are_the_clients_to_see(providers: Providers) -> None:
    providers.on("sk-of-ann", failing(401, "invalid_api_key", "Incorrect API key provided."))
    answer = await chat(gateway_of(PASSTHROUGH, providers), key="sk-of-ann")
    assert answer.status == 401
    assert answer.json()["error"]["message"] == "Incorrect API key provided."
    assert len(providers.requests) == 1


async def test_without_any_key_the_request_is_refused_here(providers: Providers) -> None:
    answer = await chat(gateway_of(PASSTHROUGH, providers))
    assert (answer.status, answer.json()["error"]["code"]) == (401, "no_provider_key")
    assert providers.requests == []
