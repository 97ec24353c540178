"""What would become of a request: asked of the policy in force, as things stand, and without doing it.

It takes place apart from what serves: in a thread, on copies of what the gateway has learned and counted, in front of
providers that are none. A request is told as to `ai-gateway explain --request`, or sent as it is: to the admin plane in
place of the gateway, with the field `x-gateway-explain`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import Field

from ai_gateway_mw.admin.inputs import Input
from ai_gateway_mw.admin.operations import Call
from ai_gateway_mw.admin.parameters import Part
from ai_gateway_mw.admin.policy_text import credentials_of
from ai_gateway_mw.admin.refusals import Refusal, busy, invalid, json_answer, key_not_found, text_answer
from ai_gateway_mw.asgi import read_body
from ai_gateway_mw.context import Context
from ai_gateway_mw.errors import DatabaseUnavailable, KeyStoreUnavailable, PolicyError
from ai_gateway_mw.explain import Asked, Live, NoRequest, NoSuchKey, Rehearsal, StoredKeys, lines_of, of_data
from ai_gateway_mw.headers import CONNECTION_SPECIFIC, named_by_connection
from ai_gateway_mw.keys import GatewayKey, well_formed
from ai_gateway_mw.keys.store import KeyNotFound
from ai_gateway_mw.replies import Reply

if TYPE_CHECKING:
    from ai_gateway_mw.middleware import Gateway

FIELD: Final = b"x-gateway-explain"
BODY_LIMIT: Final = 1024 * 1024

_WAITING: Final = 4
_PATIENCE: Final = 5.0  # seconds; a policy may let a request wait for minutes
_OF_THE_POLICY: Final = "the policy"
_KEY: Final = "key="
_TEXT: Final = "text/plain"
_BY_ID: Final = "One that is revoked is named by its id."

_Token = Annotated[str, Field(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}$")]
_Value = Annotated[str, Field(max_length=8192, pattern=r"^[\t\x20-\x7e\u00a0-\u00ff]*$")]


class Explained(Input):
    """A request, as `ai-gateway explain --request` takes it."""

    method: _Token | None = Field(None, description="POST if there is a body or no path, else GET.")
    path: Annotated[str, Field(max_length=8192, pattern=r"^/[\x21-\x7e]*$")] | None = Field(
        None, description="With its query, if it has one; by default `/v1/chat/completions`."
    )
    headers: dict[_Token, _Value] = Field(
        default_factory=dict, description="Its fields.", json_schema_extra={"additionalProperties": False}
    )
    body: Any = Field(None, description="Its body: a text as it is, anything else as JSON.")
    ip: Annotated[str, Field(json_schema_extra={"anyOf": [{"format": "ipv4"}, {"format": "ipv6"}]})] | None = Field(
        None, description="The address that it comes from; by default 127.0.0.1."
    )
    key: Part | None = Field(
        None, description="Has the client come with this gateway key: its name, or the id of a stored one."
    )


class Explanations:
    """Requests that are explained, one after the other: it is work for the processor, and requests want it too."""

    def __init__(self) -> None:
        self._alone = asyncio.Lock()
        self._asking = 0

    async def explained(self, call: Call) -> Reply:
        """The operation."""
        told: Explained = call.body
        try:
            asked = of_data(told.model_dump(exclude={"key"}, exclude_none=True))
            asked.scope()
        except NoRequest as error:
            raise _invalid(call, error, "ip" if told.ip and told.ip in str(error) else "") from None
        return await self._answer(call, asked, told.key)

    async def explained_as_sent(self, call: Call, ctx: Context) -> Reply:
        """The request itself, without what made it one for the admin plane."""
        wanted = b",".join(ctx.request_fields.all(FIELD)).decode("latin-1").strip()  # RFC 9110 5.3
        key = wanted.removeprefix(_KEY)
        if wanted != "1" and (key in ("", wanted) or not key.isprintable()):
            raise invalid(FIELD.decode(), "It is `1`, or `key=` and the name of a gateway key.")
        body = await read_body(ctx.receive, BODY_LIMIT)
        return await self._answer(call, _asked_by(ctx, body), None if wanted == "1" else key)

    async def _answer(self, call: Call, asked: Asked, key: str | None) -> Reply:
        if self._asking >= _WAITING:
            raise busy()
        self._asking += 1
        try:
            async with self._alone:
                gateway = call.gateway
                keys = await _stored_keys(call, asked, key)
                live = Live(gateway, keys, _hidden(gateway))
                told = await asyncio.to_thread(_told, call, live, asked, key)
        except NoSuchKey:
            raise key_not_found(key or "", _BY_ID) from None
        except NoRequest as error:
            raise _invalid(call, error) from None
        except PolicyError as error:
            message = f"What the policy refers to is not as it was: {error.problems[0].message}"
            raise Refusal(409, "policy_changed", gateway.stores.secrets.redact(message)) from None
        finally:
            self._asking -= 1
        return text_answer(told) if isinstance(told, str) else json_answer(200, told)


def _invalid(call: Call, error: NoRequest, field: str = "") -> Refusal:
    return invalid(field, call.gateway.stores.secrets.redact(str(error)))


def _hidden(gateway: Gateway) -> Iterator[tuple[str, str]]:
    """What has no business in an explanation, beside what comes out of vaults: what the settings hold, and what the
    policy says itself where credentials stand."""
    yield from ((secret.reveal(), secret.name) for secret in gateway.settings.secrets_held)
    yield from ((text, _OF_THE_POLICY) for text in credentials_of(gateway.policy.document))


def _told(call: Call, live: Live, asked: Asked, key: str | None) -> Any:
    """What becomes of it, in an event loop of its own."""
    gateway = call.gateway

    async def told() -> Any:
        async with Rehearsal(gateway.policy, gateway.settings, type(gateway), live=live) as rehearsal:
            course = await rehearsal.ask(asked, key, patience=_PATIENCE)
            text = _TEXT in call.accept
            shown = "".join(f"{line}\n" for line, _ in lines_of(course)) if text else course.as_json()
            return rehearsal.masked(shown, gateway.stores.secrets.redact)

    return asyncio.run(told())


async def _stored_keys(call: Call, asked: Asked, key: str | None) -> StoredKeys:
    """The keys of the database that matter here, where the policy has anything to do with these."""
    if "keys" not in call.gateway.program.needs:
        return StoredKeys()
    try:
        services = await call.services()
        source = services.source()
        presented = {}
        for text in {value for _, value in asked.credentials if well_formed(value)}:
            found = await source.find(source.digests(text))
            if found is not None:
                presented[text] = found
        return StoredKeys(presented, await _named(call, key) if key is not None else None)
    except (DatabaseUnavailable, KeyStoreUnavailable):
        if key is not None:
            raise
        return StoredKeys(None)


async def _named(call: Call, key: str) -> GatewayKey | None:
    try:
        return (await (await call.services()).keys.get(key)).as_gateway_key()
    except KeyNotFound:
        return None


def _asked_by(ctx: Context, body: bytes) -> Asked:
    """The request as the gateway would have got it: neither the admin token nor the field is part of it."""
    of_the_hop = CONNECTION_SPECIFIC | named_by_connection(ctx.received_fields)
    dropped = of_the_hop | {b"authorization", b"content-length", FIELD}
    fields = [pair for pair in ctx.received_fields if pair[0] not in dropped]
    query = b"?" + ctx.query if ctx.query else b""
    target = (ctx.raw_path.partition(b"?")[0] + query).decode("latin-1")
    return Asked(ctx.method, target, _texts(fields), body, str(ctx.client_ip or "127.0.0.1"))


def _texts(fields: Iterable[tuple[bytes, bytes]]) -> tuple[tuple[str, str], ...]:
    return tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in fields)
