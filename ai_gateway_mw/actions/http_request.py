"""`http-request`: ask another service on the way, and let later rules read what it says."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal
from urllib.parse import urlencode

from pydantic import Field, field_validator, model_validator

from ai_gateway_mw.cel import BOOL, DYN, INT, Expression, Template, Variable
from ai_gateway_mw.context import Context
from ai_gateway_mw.errors import CalloutError, CalloutLoop, CalloutTimeout, PolicyDenied
from ai_gateway_mw.headers import GATEWAY_KEY, field_value, holds_gateway_key, upstream_name
from ai_gateway_mw.headers import Field as HeaderField
from ai_gateway_mw.policy import ActionConfig, Duration, ExpressionText, Phase, TemplateText, duration_text
from ai_gateway_mw.runtime import Runtime
from ai_gateway_mw.upstream.callout import Addresses, Call, Caller, Made, has_dots, host_of, shown_error, shown_fields
from ai_gateway_mw.urls import URL, parsed
from ai_gateway_mw.version import VERSION

_MOST_RETRIES: Final = 3
_LONGEST_VALUE: Final = 8192
_SHORTEST, _LONGEST = 1.0, 30.0
_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})
_LITERAL_ORIGIN: Final = re.compile(r"(https?://[^/?#]*)[/?#]")
_READABLE: Final = (b"accept-encoding", b"identity")
_USER_AGENT: Final = (b"user-agent", f"ai-gateway-mw/{VERSION}".encode())


class QueryParameter(ActionConfig):
    """A parameter that is added to the URL."""

    key: str = Field(min_length=1, max_length=128, description="Its name.")
    value: TemplateText = Field(description="Its value; may hold templates, whose text is encoded as needed.")

    @field_validator("value")
    @classmethod
    def _fits(cls, value: TemplateText) -> TemplateText:
        if len(value) > _LONGEST_VALUE:
            raise ValueError(f"must have at most {_LONGEST_VALUE} characters")
        return value


class HTTPRequest:
    """Ask a service by HTTP; the result is `actions.ngrok.http_request`. Any status is an answer, and no failure.

    The host must stand in the policy itself, or be named by the setting `HOSTS` or `INTERNAL`: what a client sends
    chooses among those at most. Secrets may go into the request; the result shows it without them.
    """

    name = "http-request"
    phases = frozenset({Phase.ON_HTTP_REQUEST, Phase.ON_HTTP_RESPONSE})

    class Config(ActionConfig):
        url: TemplateText = Field(
            min_length=1,
            description="What is asked: https, or http on this machine, for `.internal` names and those of `HOSTS`. A "
            "template may choose the host only among names of `HOSTS` and `INTERNAL`.",
        )
        method: Literal["GET", "PUT", "POST", "PATCH", "DELETE", "OPTIONS"] = Field("GET", description="How.")
        headers: dict[str, TemplateText] = Field(
            default_factory=dict, max_length=10, description="Fields of the request; values may be templates."
        )
        query_params: tuple[QueryParameter, ...] = Field(
            (), max_length=32, description="Parameters that are added to the URL."
        )
        body: TemplateText = Field(TemplateText(""), description="The body of POST, PUT and PATCH; may hold templates.")
        timeout: Duration = Field(3.0, description="For all of it, with retries and redirects: from `1s` to `30s`.")
        max_redirects: int = Field(
            0, ge=0, le=5, description="How often it may be led on to another URL, of the same host only."
        )
        retry_condition: ExpressionText = Field(
            ExpressionText("false"),
            description="An expression that says whether to ask again, up to three times. It reads `attempts`, their "
            "number, and `last_attempt` with its `req`, `res` and `error`.",
        )
        on_error: Literal["halt", "continue"] = Field(
            "continue",
            description="What becomes of the request where nobody answered: it goes on, and later rules read the "
            "error, or it is refused.",
        )

        @field_validator("timeout")
        @classmethod
        def _fits(cls, value: float) -> float:
            if not _SHORTEST <= value <= _LONGEST:
                raise ValueError(f"must be from `1s` to `30s`, not `{duration_text(value)}`")
            return value

        @model_validator(mode="after")
        def _body_fits_method(self) -> HTTPRequest.Config:
            if self.body and self.method not in _WITH_BODY:
                raise ValueError(f"a {self.method} request has no body; POST, PUT and PATCH have one")
            return self

    def __init__(self, config: Config, runtime: Runtime) -> None:
        self._config = config
        self._halts = config.on_error == "halt"
        self._stores = runtime.stores
        self._redact = runtime.secrets.redact
        addresses = Addresses(runtime.settings.hosts, runtime.stores.internal)
        self._request = _Request(config, runtime, addresses)
        self._call = Caller(addresses, config.max_redirects, runtime.settings.connect_timeout)
        self._asks_again: Expression | None = None
        if config.retry_condition.strip() != "false":
            environment = runtime.environment.extend(variables=_ATTEMPTS)
            self._asks_again = runtime.expression(config.retry_condition, expect=BOOL, environment=environment)

    async def __call__(self, ctx: Context) -> None:
        made: list[Made] = []
        error: CalloutError | None = None
        try:
            await self._asked(ctx, made)
        except CalloutError as failure:
            error = failure
        ctx.callout = {}
        ctx.publish(self.name, self._result(made, error))
        if error is not None:
            if self._halts:
                raise error
            error.without_trace()

    async def _asked(self, ctx: Context, made: list[Made]) -> None:
        """Ask, and ask again. Raises the `CalloutError` of the last time."""
        hops = self._stores.hops
        if hops.too_many(ctx.received_fields):
            raise CalloutLoop("This request was sent on from here too often: it goes in circles.")
        call = self._request(ctx, hops.next(ctx.received_fields))
        transport, deadline = self._stores.transport(), time.monotonic() + self._config.timeout
        try:
            async with asyncio.timeout(self._config.timeout):
                while True:
                    made.append(Made(call))
                    await self._call(transport, made[-1], deadline)
                    if len(made) > _MOST_RETRIES or not self._wants_more(ctx, made):
                        break
        except TimeoutError:
            made[-1].status, made[-1].fields, made[-1].body = 0, (), b""  # what has come of it by then is no answer
            raise CalloutTimeout("There was no answer in time.") from None
        if (failure := made[-1].error) is not None:
            raise failure

    def _wants_more(self, ctx: Context, made: Sequence[Made]) -> bool:
        if self._asks_again is None:
            return False
        last = made[-1]
        response = _response(last)
        ctx.callout = {
            "attempts": len(made),
            "last_attempt": {
                "req": self._sent(last.call),
                "res": {**response, "statusCode": last.status},  # spelled so in ngrok's own examples
                "error": shown_error(last.error),
            },
        }
        again = self._asks_again(ctx)
        if not isinstance(again, bool):
            raise PolicyDenied("http-request: `retry_condition` gave no true or false")
        return again

    def _result(self, made: Sequence[Made], error: CalloutError | None) -> Mapping[str, Any]:
        last = made[-1] if made else _NONE
        return {
            "error": shown_error(error),
            "attempts": [_attempt(each) for each in made],
            "req": self._sent(last.call),
            "res": _response(last),
        }

    def _sent(self, call: Call) -> Mapping[str, Any]:
        redact = self._redact
        fields = shown_fields(call.fields)
        return {
            "method": call.method,
            "header": {name: list(map(redact, values)) for name, values in fields.items()},
            "url": redact(str(call.url)) if call.url.authority else "",
            "body": redact(call.body.decode("utf-8", "replace")),
        }


def _read(name: str) -> Callable[[Context], Any]:
    return lambda ctx: ctx.callout[name]


_ATTEMPTS: Final = (
    Variable("attempts", INT, _read("attempts"), "How often it was asked."),
    Variable("last_attempt", DYN, _read("last_attempt"), "What came of the last time."),
)
_NONE: Final = Made(Call("", URL("", "", ""), ()))


def _attempt(made: Made) -> Mapping[str, Any]:
    return {
        "resolved_ip": made.address,
        "response_header": shown_fields(made.fields),
        "response_status_code": made.status,
        "response_time_ms": f"{made.milliseconds:.0f}",
    }


def _response(made: Made) -> dict[str, Any]:
    return {
        "resolved_ip": made.address,
        "header": shown_fields(made.fields),
        "status_code": made.status,
        "time_ms": f"{made.milliseconds:.0f}",
        "body": made.body.decode("utf-8", "replace"),
    }


class _Request:
    """Makes the request of one action for an exchange."""

    def __init__(self, config: HTTPRequest.Config, runtime: Runtime, addresses: Addresses) -> None:
        self._method = config.method
        self._addresses = addresses
        self._url = runtime.template(config.url)
        self._query = [(each.key, runtime.template(each.value)) for each in config.query_params]
        self._body = runtime.template(config.body)
        self._fields = runtime.fields(config.headers, upstream_name)
        origin = _literal_origin(self._url)
        self._is_literal = origin is not None
        if origin is not None:
            self._check(origin, config.url, runtime)
        elif not addresses and not self._url.constant:
            runtime.problem(
                "write the host out, as in `https://api.example.com/${…}`: a template may choose it only among "
                "names of the settings `HOSTS` and `INTERNAL`, and there are none",
                config.url.place_of(),
            )

    def _check(self, origin: str, text: TemplateText, runtime: Runtime) -> None:
        try:
            complaint = self._addresses.complaint(parsed(origin))
        except ValueError as error:
            complaint = str(error)
        if complaint:
            runtime.problem(complaint, text.place_of())

    def __call__(self, ctx: Context, hops: HeaderField) -> Call:
        url = self._rendered_url(ctx)
        fields = self._rendered_fields(ctx)
        if holds_gateway_key(str(url).encode()) or any(GATEWAY_KEY in value for _, value in fields):
            raise PolicyDenied("http-request: a gateway key does not leave the process")
        if not any(name == _USER_AGENT[0] for name, _ in fields):
            fields.append(_USER_AGENT)
        fields += [(b"x-request-id", ctx.id.encode()), hops, _READABLE]
        return Call(self._method, url, fields, self._body.render(ctx).encode("utf-8", "replace"))

    def _rendered_url(self, ctx: Context) -> URL:
        try:
            url = parsed(self._url.render(ctx))
            added = urlencode([(key, text.render(ctx)) for key, text in self._query])
            query = "&".join(filter(None, (url.query, added)))
            url = parsed(str(url._replace(query=query, fragment="")))
        except ValueError as error:
            raise CalloutError(f"The URL cannot be used: {error}.") from None
        if not self._is_literal and not self._addresses.named(url):
            raise PolicyDenied(f"http-request: {host_of(url)!a} is no name of the settings `HOSTS` or `INTERNAL`")
        if self._addresses.complaint(url):
            raise PolicyDenied(f"http-request: {self._addresses.complaint(url)}")
        if not self._url.constant and has_dots(url):
            raise PolicyDenied("http-request: the path of the URL leads up again")
        return url

    def _rendered_fields(self, ctx: Context) -> list[HeaderField]:
        try:
            return [(name, field_value(text.render(ctx))) for name, text in self._fields]
        except ValueError as error:
            raise PolicyDenied(f"http-request: {error}") from None


def _literal_origin(url: Template) -> str | None:
    """Scheme and host, where no template has a part in them."""
    if url.constant:
        return url.render(None)
    first = url.parts[0]
    found = _LITERAL_ORIGIN.match(first) if isinstance(first, str) else None
    return found[1] if found else None
