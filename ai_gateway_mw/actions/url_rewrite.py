"""`url-rewrite`: go on as if the request had come for another URL. What it replaces, `redirect` does too."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic import Field

from ai_gateway_mw.actions.gateway_auth import check_scope_of_path
from ai_gateway_mw.cel import EvaluationError, Expression, Template, bad_pattern, compiled_pattern
from ai_gateway_mw.context import Context
from ai_gateway_mw.errors import PolicyDenied
from ai_gateway_mw.policy import ActionConfig, Phase, TemplateText
from ai_gateway_mw.runtime import Runtime
from ai_gateway_mw.surfaces import route_of
from ai_gateway_mw.urls import URL, encoded_path, encoded_query, parsed, replaced

# What leads to another host only where the client's own request did, or begins with a slash.
_OWN: Final = frozenset(
    ["req.host", "req.url", "req.url.scheme", "req.url.authority", "req.url.host", "req.url.port"]
    + ["req.url.path", "req.url.raw_path", "req.url.uri", "req.url.raw"]
)
_ASKING: Final = frozenset(["getReqHeader", "getQueryParam", "getReqCookie"])
_AFTER_HOST: Final = re.compile(r"[/?#]")


class URLConfig(ActionConfig):
    """What is replaced in a URL, and by what."""

    from_: TemplateText | None = Field(
        None,
        alias="from",
        description="What is replaced: a regular expression (RE2), looked for in the whole URL, which begins with its "
        "scheme; all occurrences. Omitted: the whole URL. May hold templates, whose text is part of the expression.",
    )
    to: TemplateText = Field(
        description="What takes its place: a template in which `$1` and `$name` are groups of `from`, and `$$` is `$`. "
        "A URL that begins with `/` then is one of the same host.",
        min_length=1,
    )


class URLRewrite:
    """Change the request's URL. The client sees nothing of it; later expressions and actions see the new one.

    Route and canonical path are worked out anew. A new path that can be read in two ways is refused, and so is one for
    which the gateway key lacks the scope, where `gateway-auth` ran before. Rules that ran before do not run again.
    """

    name = "url-rewrite"
    phases = frozenset({Phase.ON_HTTP_REQUEST})
    changes_url = True

    class Config(URLConfig):
        pass

    def __init__(self, config: Config, runtime: Runtime) -> None:
        self._replacement = Replacement(config, runtime, self.name)

    async def __call__(self, ctx: Context) -> None:
        url, matches = self._replacement(ctx)
        ctx.publish(self.name, replacement_result(url, matches))
        if url is not None:
            _go_on_at(url, ctx)


def _go_on_at(url: URL, ctx: Context) -> None:
    path, raw = url.plain_path, url.path.encode()
    route = route_of(path, raw)
    root = ctx.scope.get("root_path", "").rstrip("/")
    ctx.rewrite(
        {
            **ctx.scope,
            "scheme": url.scheme,
            "path": root + path,
            "raw_path": root.encode() + raw,
            "query_string": url.query.encode(),
        },
        route,
    )
    host = url.authority.encode()
    if ctx.request_fields.get(b"host") != host:
        ctx.request_fields.append(b"host", host)
    if ctx.scoped_key is not None:
        check_scope_of_path(ctx.scoped_key, ctx)


def url_of(ctx: Context) -> URL:
    """The URL that the request came for, in ASCII. An AI path has the one spelling that rules see."""
    raw = ctx.raw_path
    path = ctx.route.path if ctx.route is not None else ctx.path
    host = (ctx.request_fields.get(b"host") or b"").decode("latin-1")
    return URL(str(ctx.scope.get("scheme", "http")), host, encoded_path(path, raw), encoded_query(ctx.query))


def replacement_result(url: URL | None, matches: Sequence[str]) -> Mapping[str, Any]:
    """What expressions read of a replacement; without a URL it changed nothing."""
    return {"matches": list(matches), "url": str(url) if url is not None else "", "error": {"code": "", "message": ""}}


class Replacement:
    """`from` and `to` of one action: what they make of the URL of a request."""

    def __init__(self, config: URLConfig, runtime: Runtime, action: str) -> None:
        self._action = action
        self._contains_secret = _changed_by(runtime)
        self._from = runtime.template(config.from_, public=True) if config.from_ is not None else None
        self._to = runtime.template(config.to, public=True)
        self._pattern: Any = None
        if config.from_ is not None and self._from is not None and self._from.constant:
            self._pattern = self._fixed_pattern(config.from_, self._from.render(None), runtime)
        if leads_elsewhere(self._to):
            runtime.problem(
                "what a client sends decides which host this URL has; name the host, or put a `/` before the template",
                config.to.place_of(),
                severity="warning",
            )

    @staticmethod
    def _fixed_pattern(text: TemplateText, pattern: str, runtime: Runtime) -> Any:
        if wrong := bad_pattern(pattern):
            runtime.problem(wrong, text.place_of())
            return None
        if pattern.startswith("^/"):
            runtime.problem(
                "this never matches: the URL begins with its scheme, as in `^https?://[^/]+/`",
                text.place_of(),
                severity="warning",
            )
        return compiled_pattern(pattern)

    def __call__(self, ctx: Context) -> tuple[URL | None, list[str]]:
        """The new URL, None where nothing has changed; and what was replaced."""
        own = url_of(ctx)
        before = str(own)
        to = self._to.render(ctx)
        if self._contains_secret(to) and not self._contains_secret(before):
            raise PolicyDenied(f"{self._action}: a URL must not hold a secret")
        try:
            if self._from is None:
                after, matches = to, [before]
            else:
                after, matches = replaced(self._pattern or self._found(self._from, ctx), before, to)
            if after == before:
                return None, matches
            url = parsed(after, own)
        except ValueError as error:
            raise PolicyDenied(f"{self._action}: {error}") from None
        return (None if url == own else url), matches

    def _found(self, template: Template, ctx: Context) -> Any:
        try:
            return compiled_pattern(template.render(ctx))
        except EvaluationError as error:
            raise PolicyDenied(f"{self._action}: {error}") from None


def _changed_by(runtime: Runtime) -> Any:
    redact = runtime.secrets.redact
    return lambda text: redact(text) != text


def leads_elsewhere(template: Template) -> bool:
    """Whether something of the request's, beside its own URL, stands where the host is read."""
    before = ""
    for part in template.parts:
        if isinstance(part, Expression):
            free = [name for name in part.variables if name.startswith(("req.", "ai.request.")) and name not in _OWN]
            if free or not _ASKING.isdisjoint(part.functions):
                return True
            before += "x"
            continue
        before += part
        if _AFTER_HOST.search(before.partition("://")[2] if "://" in before else before):
            return False
    return False
