"""AdminApp: the admin plane as an ASGI app. Everything that asks goes the same way here: who is it, what does it want,
may it, and is what it gives in order."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from ai_gateway_mw.admin.entrance import Entrance
from ai_gateway_mw.admin.explaining import FIELD, Explanations
from ai_gateway_mw.admin.inputs import json_of, query_of, text_of
from ai_gateway_mw.admin.operations import BODY_LIMIT, PREFIX, Call, Operation, Permission, Principal, Routes, Text
from ai_gateway_mw.admin.parameters import is_key_id
from ai_gateway_mw.admin.refusals import Refusal, as_refusal, key_not_found, not_found, refused
from ai_gateway_mw.admin.table import operations
from ai_gateway_mw.admin.tokens import TokenUnusable, token_of
from ai_gateway_mw.asgi import ASGIApp, Message, Receive, Scope, Send, answer_lifespan
from ai_gateway_mw.audit import Actor, Event, Happening
from ai_gateway_mw.context import Context
from ai_gateway_mw.errors import DatabaseUnavailable, InternalError, KeyStoreUnavailable

if TYPE_CHECKING:
    from ai_gateway_mw.middleware import Gateway
    from ai_gateway_mw.services import Services

_log = logging.getLogger("ai_gateway_mw.admin")

_ALWAYS: Final = [(b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff")]
_SUBJECT: Final = "admin"  # of the events about the plane itself
_NOT_SERVED: Final = 1008  # RFC 6455 7.4.1


class AdminApp:
    """The admin plane of one gateway. Without a token that is good for it there is nothing here: 404 everywhere."""

    def __init__(self, gateway: Gateway, principal: Principal | None = None) -> None:
        """`principal` is whom the token stands for; by default one that may do everything."""
        self._gateway = gateway
        self._principal = principal
        self._explanations = Explanations()
        self._routes = Routes(operations(self._explanations))
        self._closed = ""
        self._told = False
        self._entrance = self._opened()
        for secret in gateway.settings.secrets_held:
            gateway.stores.secrets.remember(secret)  # whatever somebody asks, no answer has it

    def _opened(self) -> Entrance | None:
        setting = self._gateway.settings.admin_token
        if setting is None:
            self._closed = "AI_GATEWAY_ADMIN_TOKEN is not set"
            return None
        try:
            return Entrance(token_of(setting))
        except TokenUnusable as error:
            self._closed = f"AI_GATEWAY_ADMIN_TOKEN cannot be used: {error}"
            return None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await answer_lifespan(receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": _NOT_SERVED, "reason": "not served over WebSocket"})
        else:
            ctx = Context(scope, receive, limits=self._gateway.limits)
            await self._exchange(ctx, _Sending(send, ctx.id))

    async def _exchange(self, ctx: Context, send: _Sending) -> None:
        """What fails before the answer has begun is told; after that, it can only break off."""
        try:
            answer = await self._answer(ctx)
            await answer(ctx.scope, ctx.receive, send)
        except Exception as error:
            if send.started:
                raise
            refusal = as_refusal(error)
            if refusal is None:
                _log.exception("request %s to the admin plane failed", ctx.id)
                refusal = as_refusal(InternalError())
            assert refusal is not None
            await refused(refusal, ctx.id)(ctx.scope, ctx.receive, send)

    async def _answer(self, ctx: Context) -> ASGIApp:
        if self._entrance is None:
            self._say_why()
            raise not_found(ctx.path)
        principal = await self._admitted(self._entrance, ctx)
        actor = Actor(principal.name, str(ctx.client_ip or ""))
        if ctx.request_fields.get(FIELD) is not None and not ctx.path.startswith(PREFIX + "/"):
            _check(principal, Permission.POLICY_EXPLAIN)
            call = Call(self._gateway, self._services, actor, _root(ctx), accept=_accepted(ctx))
            return await self._explanations.explained_as_sent(call, ctx)
        operation, key_id = self._routes.find(ctx.method, ctx.path)
        _check(principal, operation.permission)
        if "{id}" in operation.path and not is_key_id(key_id):
            raise key_not_found(key_id)
        query, body = query_of(ctx, operation.query), await _body(ctx, operation)
        accept = _accepted(ctx)
        return await operation.handler(
            Call(self._gateway, self._services, actor, _root(ctx), key_id, query, body, accept)
        )

    async def _admitted(self, entrance: Entrance, ctx: Context) -> Principal:
        try:
            principal = await entrance.admitted(ctx)
        except Refusal:
            if entrance.is_worth_a_note(ctx):
                _log.warning("a request to the admin plane was refused; it came from %s", ctx.client_ip)
                await self._note(Event.ADMIN_REFUSED, Actor("unknown", str(ctx.client_ip or "")))
            raise
        await self._open()
        if entrance.is_news(ctx) and not await self._note(
            Event.ADMIN_LOGIN, Actor(principal.name, str(ctx.client_ip or ""))
        ):
            entrance.forget_news(ctx)
        return self._principal or principal

    async def _open(self) -> None:
        """For a plane that no lifespan reaches."""
        if not self._gateway.is_open:
            self._gateway.open_lazily()
        if not self._gateway.stores.accounts.is_open:
            await self._gateway.stores.accounts.open()

    async def _services(self) -> Services:
        return self._gateway.stores.accounts.services

    async def _note(self, event: Event, actor: Actor) -> bool:
        """Write to the audit log; whether that could be done. What is asked for then meets the same database."""
        try:
            await self._gateway.stores.accounts.services.audit.write(Happening(event, actor, _SUBJECT, {}))
        except (DatabaseUnavailable, KeyStoreUnavailable) as error:
            _log.error("%s from %s could not be written to the audit log: %s", event.value, actor.address, error)
            return False
        return True

    def _say_why(self) -> None:
        if not self._told:
            self._told = True
            _log.warning("the admin plane is closed, and answers 404: %s", self._closed)


class _Sending:
    """`send` with the fields that every answer has."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self._fields = [*_ALWAYS, (b"x-request-id", request_id.encode())]
        self.started = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            message = {**message, "headers": [*message["headers"], *self._fields]}
        await self._send(message)


def _check(principal: Principal, permission: Permission) -> None:
    if permission not in principal.permissions:
        raise Refusal(403, "permission_denied", f"This needs the permission {permission}.")


async def _body(ctx: Context, operation: Operation) -> Any:
    match operation.body:
        case None:
            return None
        case Text() as text:
            return await text_of(ctx, text.media_types, text.limit)
        case model:
            return await json_of(ctx, model, BODY_LIMIT)


def _accepted(ctx: Context) -> str:
    return (ctx.request_fields.get(b"accept") or b"").decode("latin-1").lower()


def _root(ctx: Context) -> str:
    root: str = ctx.scope.get("root_path", "")
    return root.rstrip("/")
