"""`forward-internal`: have another app or service of the operator's own answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from pydantic import Field

from ai_gateway_mw.asgi import ASGIApp, Receive, Scope, Send, read_body
from ai_gateway_mw.context import Context
from ai_gateway_mw.errors import (
    ForwardError,
    ForwardLoop,
    ForwardNotFound,
    ForwardTimeout,
    Overloaded,
    UpstreamError,
)
from ai_gateway_mw.internal import name_of
from ai_gateway_mw.policy import ActionConfig, Phase, TemplateText
from ai_gateway_mw.runtime import Runtime
from ai_gateway_mw.upstream.callout import host_of
from ai_gateway_mw.upstream.forwarding import ForwardedAnswer, check_path, forwarded_request, is_timeout
from ai_gateway_mw.upstream.http1 import Origin, Timeouts
from ai_gateway_mw.upstream.transport import send
from ai_gateway_mw.urls import URL, parsed

_DEPTH: Final = "ai_gateway_mw.forwarded"  # in a scope: how many `forward-internal` it has passed in this process
_DEEPEST: Final = 3
_USUAL_PORTS: Final = frozenset({"", ":80", ":443"})


class ForwardInternal:
    """The request goes on to `name.internal`: an app that was handed to `Gateway`, or a URL of the setting `INTERNAL`.

    An app gets the scope as it is by now. A service at a URL gets method, path, query, fields and body, with the Host
    that the client asked for and `x-forwarded-for`, `-proto` and `-host`; the body is read before, up to `MAX_BODY`.
    The answer comes back as it comes, and a client that leaves ends it. Where the service cannot be reached or says
    nothing, `on_error: continue` goes on with the next action; what an app raises is an error of that app.
    """

    name = "forward-internal"
    phases = frozenset({Phase.ON_HTTP_REQUEST})

    class Config(ActionConfig):
        url: TemplateText = Field(
            min_length=1,
            description="`https://name.internal`: whose name is known to the setting `INTERNAL`, or to the app that "
            "made the gateway. May hold templates, which choose among these names.",
        )
        on_error: Literal["halt", "continue"] = Field(
            "halt", description="`continue`: where it cannot be reached the next action runs, and rules read the error."
        )

    def __init__(self, config: Config, runtime: Runtime) -> None:
        self.terminating = config.on_error == "halt"
        self._stores = runtime.stores
        self._internal = runtime.stores.internal
        self._secrets = runtime.secrets
        self._hosts = runtime.settings.hosts
        self._connect_timeout = runtime.settings.connect_timeout
        self._url = runtime.template(config.url, public=True)
        self._check(config.url, runtime)

    def _check(self, text: TemplateText, runtime: Runtime) -> None:
        """What can be told of the name now; the rest when a request has made one."""
        internal = self._internal
        if not self._url.constant:
            if not internal:
                message = f"no internal upstream is known; say where one leads: {_setting('name')}"
                runtime.problem(message, text.place_of())
            return
        try:
            name = _name_in(self._url.render(None))
        except ValueError as error:
            runtime.problem(str(error), text.place_of())
            return
        if name not in internal:
            message = f"nothing is known as `{name}.internal`; say where it leads: {_setting(name)}"
            runtime.problem(message, text.place_of(), hint=internal.meant(name))

    async def __call__(self, ctx: Context) -> ASGIApp | None:
        url = self._url.render(ctx)
        try:
            return await self._answer(url, ctx)
        except ForwardError as error:
            ctx.publish(self.name, _result(self._secrets.redact(url), error))
            if self.terminating:
                raise
            error.without_trace()
            return None

    async def _answer(self, text: str, ctx: Context) -> ASGIApp:
        """What answers. Raises `ForwardError` where nothing does."""
        check_path(ctx)
        try:
            name = _name_in(text)
        except ValueError:
            raise ForwardNotFound("The request leads to no internal upstream.") from None
        app = self._internal.apps.get(name)
        if app is not None:
            return _ToApp(app, ctx)
        base = self._internal.urls.get(name)
        if base is None:
            raise ForwardNotFound("The request leads to an internal upstream that is not known.")
        return await self._sent(base, ctx)

    async def _sent(self, base: str, ctx: Context) -> ASGIApp:
        hops = self._stores.hops
        if hops.too_many(ctx.received_fields):
            raise ForwardLoop("This request was sent on from here too often: it goes in circles.")
        if ctx.body is None:
            ctx.body = await read_body(ctx.receive, ctx.limits.max_body)  # as it is, compressed or not
        request = forwarded_request(ctx, base, Origin.of(base, self._hosts), ctx.body, hops.next(ctx.received_fields))
        ctx.watch_client()
        try:
            response = await send(self._stores.transport(), request, Timeouts(connect=self._connect_timeout))
        except (UpstreamError, Overloaded) as error:
            if is_timeout(error):
                raise ForwardTimeout("The internal upstream did not answer in time.") from None
            raise ForwardError("The internal upstream could not be reached, or gave no answer.") from None
        ctx.upstream = response  # closed also where a response rule refuses
        return ForwardedAnswer(ctx, response, self._secrets)


def _setting(name: str) -> str:
    return f"AI_GATEWAY_INTERNAL={name}=http://127.0.0.1:3000, or `internal=` of Gateway"


class _ToApp:
    """An app of this process, with the scope as the policy has made it."""

    def __init__(self, app: ASGIApp, ctx: Context) -> None:
        self._app = app
        depth = ctx.scope.get(_DEPTH, 0)
        if depth >= _DEEPEST:
            raise ForwardLoop("This request was sent on from here too often: it goes in circles.")
        self._scope = {**ctx.scope, "headers": list(ctx.request_fields), _DEPTH: depth + 1}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(self._scope, receive, send)


def _name_in(text: str) -> str:
    """The name of the upstream in a URL of a policy. Raises ValueError, which says what was expected."""
    url: URL = parsed(text)
    name = name_of(host_of(url))
    if name is None:
        raise ValueError(f"`{host_of(url)}` is no internal upstream: write `https://name.internal`")
    if url.path != "/" or url.query or url.fragment:
        raise ValueError("the request keeps its own path: use `url-rewrite` for another one")
    if url.authority[len(host_of(url)) :].removeprefix(".") not in _USUAL_PORTS:
        raise ValueError("a port belongs into the setting `INTERNAL`, with the address")
    return name


def _result(url: str, error: ForwardError) -> Mapping[str, Any]:
    return {"url": url, "error": {"code": error.code, "message": error.message}}
