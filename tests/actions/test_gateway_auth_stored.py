"""`gateway-auth` over the keys of a database, through the whole app: who gets in, who does not, and what is told."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ai_gateway_mw import Gateway, GatewayMiddleware
from ai_gateway_mw.audit import Actor, Entry, Filter, events_of
from ai_gateway_mw.errors import InstallationError
from ai_gateway_mw.keys import generate
from ai_gateway_mw.keys.store import NewKey
from ai_gateway_mw.policy import load_policy
from ai_gateway_mw.secrets import Secret
from ai_gateway_mw.services import Services
from ai_gateway_mw.settings import Settings
from tests.asgi import Exchange, Lifespan, Response, request
from tests.fake_upstream import Upstream, ok
from tests.gateways import CHAT, CHAT_PATH, OTHER_KEY, Host, actions, bearer, gateway
from tests.installations import other_process
from tests.upstream.scripted import Providers, hang

pytestmark = pytest.mark.anyio

ALICE = Actor("cli:alice")
TELLS = ("custom-response", {"body": "${actions.gateway_auth}"})
STORED = actions("gateway-auth", TELLS)
UNKNOWN = generate(random.Random(3))
HOUR = timedelta(hours=1)


def key(name: str = "a", **rules: Any) -> NewKey:
    return NewKey(name=name, **rules)


@asynccontextmanager
async def services(folder: Path) -> AsyncIterator[Services]:
    """What a command of another process would open."""
    async with await Services.open(Settings(data_dir=folder)) as opened:
        yield opened


async def made(folder: Path, name: str = "a", **rules: Any) -> str:
    """The text of a new key."""
    async with services(folder) as opened:
        return (await opened.keys.create(key(name, **rules), ALICE)).text


async def revoked(folder: Path, name: str = "a") -> None:
    async with services(folder) as opened:
        await opened.keys.revoke(name, ALICE)


async def refusals(folder: Path) -> list[Entry]:
    async with services(folder) as opened:
        return await opened.audit.latest(Filter(events_of("key.refused")))


@asynccontextmanager
async def opened(folder: Path, policy: Any = STORED, **options: Any) -> AsyncIterator[Gateway]:
    gate = gateway(policy, data_dir=folder, **options)
    async with gate.lifespan():
        yield gate


async def ask(gate: Gateway, text: str, path: str = "/v1/models", method: str = "GET", **more: Any) -> Response:
    return await request(gate.app, method, path, headers=bearer(text), **more)


async def until(check: Callable[[], Awaitable[bool]]) -> None:
    """Wait until it holds, at most for a generous time."""
    async with asyncio.timeout(20):
        while not await check():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.02)


async def holds(what: bool) -> bool:
    return what


async def is_refused(gate: Gateway, text: str) -> bool:
    return (await ask(gate, text)).status == 401


# ── Who gets in


async def test_a_stored_key_is_let_in_and_told_of(tmp_path: Path) -> None:
    text = await made(tmp_path, "production-a", scopes=("read",), metadata={"team": "x"})
    async with opened(tmp_path) as gate:
        for _ in range(2):  # looked up, and remembered
            told = (await ask(gate, text)).json()
            assert told["authenticated"]
            assert {**told["key"], "id": ""} == {
                "id": "",
                "name": "production-a",
                "environment": "production",
                "scopes": ["read"],
                "metadata": {"team": "x"},
                "expires": None,
            }


async def test_nothing_is_written_where_keys_are_declared(tmp_path: Path) -> None:
    policy = actions(("gateway-auth", {"keys": [{"name": "a", "value": UNKNOWN}]}), TELLS)
    async with opened(tmp_path / "data", policy) as gate:
        assert (await ask(gate, UNKNOWN)).status == 200
    assert not (tmp_path / "data").exists()


async def dead_keys(folder: Path) -> dict[str, str]:
    """One text for each reason to refuse it."""
    now = datetime.now(UTC)
    async with services(folder) as opened:
        texts = {
            name: (await opened.keys.create(key(name, **rules), ALICE)).text
            for name, rules in {
                "revoked": {},
                "retired": {},
                "expired": {"expires_at": now + HOUR},
                "revoked, of another scope": {"scopes": ("read",)},
                "revoked, of another address": {"allowed_ips": ()},
            }.items()
        }
        for name in texts:
            if name.startswith("revoked"):
                await opened.keys.revoke(name, ALICE)
        await opened.keys.rotate("retired", ALICE, grace=timedelta(0))
        async with opened.installation.database.writing() as connection:
            await connection.exec_driver_sql("UPDATE gateway_keys SET expires_at = created_at WHERE name = 'expired'")
    return texts


@pytest.mark.parametrize(("path", "fields"), [(CHAT_PATH, {}), ("/v1/messages", {"anthropic-version": "2023-06-01"})])
async def test_every_key_that_does_not_work_is_refused_in_the_same_bytes(
    tmp_path: Path, path: str, fields: dict[str, str]
) -> None:
    texts = await dead_keys(tmp_path)
    texts |= {"unknown": UNKNOWN, "prefix": "gw_sk_", "malformed": UNKNOWN[:-1] + "é", "long": UNKNOWN * 100}
    async with opened(tmp_path, actions("gateway-auth", "ai-gateway")) as gate:
        answers = set()
        for text in [*texts.values(), *texts.values()]:
            answer = await request(gate.app, "POST", path, headers=bearer(text) | fields, json=CHAT)
            assert answer.status == 401
            request_id = answer.headers["x-request-id"]
            head = tuple((name, value.replace(request_id, "")) for name, value in answer.headers.items())
            answers.add((head, answer.body.replace(request_id.encode(), b"")))
    assert len(answers) == 1


async def test_a_key_of_another_scope_is_forbidden(tmp_path: Path) -> None:
    text = await made(tmp_path, scopes=("read",))
    async with opened(tmp_path) as gate:
        answer = await ask(gate, text, CHAT_PATH, "POST", json=CHAT)
        assert (answer.status, (await ask(gate, text)).status) == (403, 200)


@pytest.mark.parametrize("seen", ["203.0.113.7", "2001:db8::7"])
async def test_a_key_from_elsewhere_is_forbidden_and_the_address_is_named(tmp_path: Path, seen: str) -> None:
    text = await made(tmp_path, allowed_ips=("10.0.0.0/8",))
    async with opened(tmp_path) as gate:
        answer = await ask(gate, text, client=(seen, 1))
        assert answer.status == 403
        assert seen in answer.text
        assert (await ask(gate, text, client=("::ffff:10.1.1.1", 1))).status == 200


async def test_a_key_behind_a_proxy_counts_by_the_client_that_the_proxy_saw(tmp_path: Path) -> None:
    text = await made(tmp_path, allowed_ips=("10.0.0.0/8",))
    async with opened(tmp_path, trusted_proxies=["127.0.0.0/8"]) as gate:
        fields = bearer(text) | {"x-forwarded-for": "203.0.113.7"}
        answer = await request(gate.app, path="/v1/models", headers=fields)
    assert (answer.status, "203.0.113.7" in answer.text) == (403, True)


async def test_an_address_that_nobody_knows_is_in_no_list(tmp_path: Path) -> None:
    text = await made(tmp_path, allowed_ips=("0.0.0.0/0",))
    async with opened(tmp_path) as gate:
        assert (await ask(gate, text, client=None)).status == 403


async def test_a_client_with_its_own_key_passes_where_none_is_required(tmp_path: Path) -> None:
    async with opened(tmp_path, actions(("gateway-auth", {"required": False}), TELLS)) as gate:
        assert (await ask(gate, "sk-own")).json()["authenticated"] is False
        assert (await ask(gate, UNKNOWN)).status == 401


async def test_a_later_action_does_not_forget_who_it_is(tmp_path: Path) -> None:
    text = await made(tmp_path, allowed_models=("none",))
    policy = actions("gateway-auth", ("gateway-auth", {"required": False}), "ai-gateway")
    async with opened(tmp_path, policy) as gate:
        answer = await ask(gate, text, CHAT_PATH, "POST", json=CHAT)
    assert (answer.status, answer.json()["error"]["code"]) == (403, "model_not_allowed")


# ── Changes


async def test_a_key_that_another_process_makes_works_at_once(tmp_path: Path) -> None:
    async with opened(tmp_path) as gate, other_process(tmp_path) as other:
        assert await is_refused(gate, UNKNOWN)
        for number in range(3):
            text = (await other.do("create", f"k{number}"))["text"]
            assert (await ask(gate, text)).status == 200


async def test_a_key_that_another_process_revokes_is_refused_soon(tmp_path: Path) -> None:
    async with opened(tmp_path) as gate, other_process(tmp_path) as other:
        text = (await other.do("create", "a"))["text"]
        assert (await ask(gate, text)).status == 200
        await other.do("revoke", "a")
        await until(lambda: is_refused(gate, text))


async def test_old_and_new_key_work_within_the_grace(tmp_path: Path) -> None:
    async with opened(tmp_path) as gate, other_process(tmp_path) as other:
        texts = [(await other.do(what, "a"))["text"] for what in ("create", "rotate")]
        assert [(await ask(gate, text)).status for text in texts] == [200, 200]


async def test_the_first_use_of_a_dead_key_is_one_audit_row(tmp_path: Path) -> None:
    text = await made(tmp_path)
    await revoked(tmp_path)
    async with opened(tmp_path) as gate:
        asked = [ask(gate, text, client=("203.0.113.7", 1)) for _ in range(15)]
        assert {answer.status for answer in await asyncio.gather(*asked)} == {401}
        await ask(gate, text)

        async def written() -> bool:
            return bool(await refusals(tmp_path))

        await until(written)
    (entry,) = await refusals(tmp_path)
    assert (entry.address, entry.actor) == ("203.0.113.7", f"key:{entry.subject}")


async def test_what_is_left_to_write_is_written_at_the_end(tmp_path: Path) -> None:
    text = await made(tmp_path)
    await revoked(tmp_path)
    async with opened(tmp_path) as gate:
        assert (await ask(gate, text)).status == 401
    assert len(await refusals(tmp_path)) == 1


@pytest.mark.parametrize("path", [CHAT_PATH, "/v1/messages"])
async def test_a_stream_ends_with_an_error_event_when_its_key_is_revoked(
    tmp_path: Path, upstream: Upstream, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    upstream.on(ok(chunks=10, stall_after=6))
    provider = {"id": "openai" if path == CHAT_PATH else "anthropic", "base_url": upstream.url + "/v1"}
    config = {"providers": [{**provider, "api_keys": [{"value": "sk-ok"}]}]}
    text = await made(tmp_path)
    gate = Gateway.from_policy(actions("gateway-auth", ("ai-gateway", config)), data_dir=tmp_path)
    model = "gpt-4o" if path == CHAT_PATH else "claude-sonnet-4-5"
    body = {**CHAT, "model": model, "stream": True, "max_tokens": 5}
    async with gate.lifespan():
        asking = Exchange(gate.app, method="POST", path=path, headers=bearer(text), json=body)
        async with asking as ex:
            assert (await ex.start()).status == 200
            assert await ex.body()
            await revoked(tmp_path)
            rest = await ex.rest()
            received = await upstream.over()
    assert received.closed_early
    assert "broke off" not in caplog.text  # the provider did nothing wrong
    assert b"The API key was revoked." in rest
    assert b"[DONE]" not in rest
    assert b"message_stop" not in rest
    assert rest.endswith(b"\n\n")


async def test_a_request_that_waits_for_a_provider_ends_when_its_key_is_revoked(tmp_path: Path) -> None:
    providers = Providers()
    providers.on("sk-1", hang)
    config = {"providers": [{"id": "openai", "api_keys": [{"value": "sk-1"}]}]}
    text, other = await made(tmp_path), await made(tmp_path, "other")
    policy = actions("gateway-auth", ("ai-gateway", config))
    gate = Gateway.from_policy(policy, data_dir=tmp_path, transport=providers.transport)

    def asking(text: str) -> Exchange:
        return Exchange(gate.app, method="POST", path=CHAT_PATH, headers=bearer(text), json=CHAT)

    async with gate.lifespan(), asking(other) as bystander, asking(text) as ex:
        await until(lambda: holds(len(providers.requests) == 2))
        await revoked(tmp_path)
        assert (await ex.start()).status == 401
        assert b"revoked" in await ex.rest()
        assert bystander.running


async def test_a_request_whose_key_is_revoked_while_it_sends_its_body_goes_nowhere(tmp_path: Path) -> None:
    providers = Providers()
    config = {"providers": [{"id": "openai", "api_keys": [{"value": "sk-1"}]}]}
    text = await made(tmp_path)
    policy = actions("gateway-auth", ("ai-gateway", config))
    gate = Gateway.from_policy(policy, data_dir=tmp_path, transport=providers.transport)
    async with gate.lifespan():
        body = json.dumps(CHAT).encode()
        fields = bearer(text) | {"content-type": "application/json", "content-length": str(len(body))}
        async with Exchange(gate.app, method="POST", path=CHAT_PATH, headers=fields, body=None) as ex:
            await ex.feed(body[:5])
            await until(lambda: holds(bool(gate.stores.accounts._open)))
            (account,) = gate.stores.accounts._open
            await revoked(tmp_path)
            await until(lambda: holds(account.revoked))
            await ex.feed(body[5:], more=False)
            assert (await ex.start()).status == 401
    assert providers.requests == []


async def test_a_request_whose_key_is_in_no_database_any_more_ends(tmp_path: Path) -> None:
    """A backup from before the key was made is put back; the others are looked after all the same."""
    providers = Providers()
    providers.on("sk-1", hang)
    config = {"providers": [{"id": "openai", "api_keys": [{"value": "sk-1"}]}]}
    kept = await made(tmp_path, "kept")
    (tmp_path / "backup").write_bytes((tmp_path / "gateway.db").read_bytes())
    texts = [await made(tmp_path, name) for name in ("a", "b")]
    policy = actions("gateway-auth", ("ai-gateway", config))
    gate = Gateway.from_policy(policy, data_dir=tmp_path, transport=providers.transport)

    def asking(text: str) -> Exchange:
        return Exchange(gate.app, method="POST", path=CHAT_PATH, headers=bearer(text), json=CHAT)

    async with gate.lifespan(), asking(kept) as stays, asking(texts[0]) as first, asking(texts[1]) as second:
        await until(lambda: holds(len(providers.requests) == 3))
        for suffix in ("-wal", "-shm"):
            (tmp_path / f"gateway.db{suffix}").unlink(missing_ok=True)
        (tmp_path / "backup").rename(tmp_path / "gateway.db")
        assert [(await each.start()).status for each in (first, second)] == [401, 401]
        assert stays.running
        assert await is_refused(gate, texts[0])


async def test_exchanges_leave_nothing_behind(tmp_path: Path) -> None:
    text = await made(tmp_path)
    async with opened(tmp_path, actions("gateway-auth", ("gateway-auth", {}), TELLS)) as gate:
        for path in ("/v1/models", f"/v1beta/models?key={text}"):
            headers = {} if "key=" in path else bearer(text)
            await asyncio.gather(*(request(gate.app, path=path, headers=headers) for _ in range(5)))
        gc.collect()
        assert gate.stores.accounts._open == set()


# ── A database that is not there


async def test_without_the_database_a_key_in_use_goes_on_and_an_unknown_one_cannot_be_told(tmp_path: Path) -> None:
    used, unused = await made(tmp_path, "a"), await made(tmp_path, "b")
    file = tmp_path / "gateway.db"
    async with opened(tmp_path) as gate:
        assert (await ask(gate, used)).status == 200
        file.rename(tmp_path / "away")
        answer = await ask(gate, unused)
        assert (answer.status, answer.json()["error"]["code"]) == (503, "key_store_unavailable")
        assert answer.headers["retry-after"] == "1"
        assert str(tmp_path) not in answer.text
        assert (await ask(gate, UNKNOWN[:-1])).status == 401
        assert (await ask(gate, used)).status == 200
        (tmp_path / "away").rename(file)

        async def back() -> bool:
            return (await ask(gate, unused)).status == 200

        await until(back)


async def test_a_gateway_starts_without_its_database_and_finds_it_later(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text = await made(tmp_path)
    file = tmp_path / "gateway.db"
    file.rename(tmp_path / "away")
    file.mkdir()
    async with opened(tmp_path) as gate:
        assert (await ask(gate, text)).status == 503
        await asyncio.sleep(1.2)
        assert len([each for each in caplog.records if each.levelno >= logging.ERROR]) == 1
        file.rmdir()
        (tmp_path / "away").rename(file)

        async def there() -> bool:
            return (await ask(gate, text)).status == 200

        await until(there)


async def test_an_installation_of_another_master_key_does_not_open(tmp_path: Path) -> None:
    await made(tmp_path)
    gate = gateway(STORED, data_dir=tmp_path, master_key="another master key")
    with pytest.raises(InstallationError, match="master key"):
        async with Lifespan(gate.app):
            pass


async def test_a_request_to_an_installation_of_another_master_key_cannot_be_served(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Where no lifespan has said so before; and nobody makes the gateway try it again for each request."""
    text = await made(tmp_path)
    gate = gateway(STORED, data_dir=tmp_path, master_key="another master key")
    answers = await asyncio.gather(*(ask(gate, text) for _ in range(5)))
    assert {answer.status for answer in answers} == {503}
    assert len([each for each in caplog.records if "master key" in each.getMessage()]) == 1
    await gate.stores.aclose()


# ── Ways to open


async def test_a_gateway_that_no_lifespan_reaches_opens_with_its_first_request(tmp_path: Path) -> None:
    text = await made(tmp_path)
    gate = gateway(STORED, data_dir=tmp_path)
    app = GatewayMiddleware(Host(), gateway=gate)
    answers = await asyncio.gather(*(request(app, path="/v1/models", headers=bearer(text)) for _ in range(5)))
    assert {answer.status for answer in answers} == {200}
    await gate.stores.aclose()


async def test_what_cannot_be_a_key_opens_no_database(tmp_path: Path) -> None:
    gate = gateway(STORED, data_dir=tmp_path / "data")
    assert (await ask(gate, UNKNOWN[:-1])).status == 401
    assert not (tmp_path / "data" / "gateway.db").exists()


async def test_a_reload_may_bring_the_first_policy_that_needs_stored_keys(tmp_path: Path) -> None:
    text = await made(tmp_path)
    async with opened(tmp_path, actions(TELLS)) as gate:
        assert not gate.stores.accounts.is_open
        gate.reload(load_policy(STORED))
        assert (await ask(gate, text)).status == 200
        assert (await ask(gate, UNKNOWN)).status == 401
    assert not gate.stores.accounts.is_open


async def test_a_gateway_can_be_opened_again(tmp_path: Path) -> None:
    text = await made(tmp_path)
    gate = gateway(STORED, data_dir=tmp_path)
    for _ in range(2):
        async with gate.lifespan():
            assert (await ask(gate, text)).status == 200


async def test_two_gateways_in_one_process_share_no_keys(tmp_path: Path) -> None:
    folders = tmp_path / "1", tmp_path / "2"
    texts = [await made(folder) for folder in folders]
    async with opened(folders[0]) as first, opened(folders[1]) as second:
        seen = [[(await ask(gate, text)).status for text in texts] for gate in (first, second)]
    assert seen == [[200, 401], [401, 200]]


async def test_an_installation_error_says_nothing_secret(tmp_path: Path) -> None:
    secret = "mysql://u:hunter2@host/n"
    with pytest.raises(InstallationError) as caught:
        await Services.open(Settings(data_dir=tmp_path, database_url=Secret(secret, "DATABASE_URL")))
    assert "hunter2" not in str(caught.value)


# ── Canaries


def all_of(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file())


async def test_no_byte_of_a_key_is_kept_or_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    logging.getLogger("aiosqlite").setLevel(logging.DEBUG)
    text, dead = await made(tmp_path), await made(tmp_path, "dead")
    await revoked(tmp_path, "dead")
    async with opened(tmp_path) as gate:
        for each in (text, dead, OTHER_KEY, UNKNOWN):
            await ask(gate, each)
            await ask(gate, each, CHAT_PATH, "POST", json={**CHAT, "model": "no such"})
        (tmp_path / "gateway.db").rename(tmp_path / "away")
        await ask(gate, generate(random.Random(9)))
        (tmp_path / "away").rename(tmp_path / "gateway.db")
    kept = all_of(tmp_path)
    logged = "\n".join([caplog.text, *(repr(record.__dict__) for record in caplog.records)])
    for each in (text, dead, OTHER_KEY, UNKNOWN, generate(random.Random(9))):
        middle = each[10:-4]  # of what is shown of it there are four characters from either end
        assert middle not in logged
        assert middle.encode() not in kept
