"""Client request -> upstream request for one candidate: address, credential, fields, query and body."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from ai_gateway_mw.cel import Template
from ai_gateway_mw.context import Context
from ai_gateway_mw.errors import PolicyDenied
from ai_gateway_mw.headers import Field, field_value, to_upstream
from ai_gateway_mw.providers import Credential
from ai_gateway_mw.surfaces import Route
from ai_gateway_mw.upstream.candidate import Candidate
from ai_gateway_mw.upstream.transport import UpstreamRequest

# Query parameters in which some SDKs put a key: a credential goes where the provider's own rules say, and nowhere else.
_CREDENTIAL_PARAMETERS = frozenset({"key", "api_key", "api-key", "apikey", "access_token"})
_IN_PATH = "/:@!$&'()*+,=~-._"


@dataclass(frozen=True, slots=True)
class Additions:
    """What the action adds to every upstream request: `headers`, `query_params`, `body` and the output cap."""

    fields: Sequence[tuple[bytes, Template]] = ()
    query: Sequence[tuple[str, Template]] = ()
    body: Mapping[str, Any] = field(default_factory=dict)  # leaves are values, or templates to be rendered
    max_output_tokens: int | None = None


def joined(base_url: str, path: str) -> str:
    """A provider's base URL with the client's path.

    A base with a path of its own (`…/openai/v1`) already holds the version, so the client's `/v1` is dropped; a bare
    origin takes the path whole.
    """
    base = base_url.rstrip("/")
    if not urlsplit(base).path:
        return base + path
    return base + "/" + path.removeprefix("/v1/").removeprefix("/")


def upstream_request(ctx: Context, candidate: Candidate, additions: Additions) -> UpstreamRequest:
    """The request that this candidate's provider gets. Its origin is the configured one, whatever the client sent."""
    assert ctx.route is not None
    return UpstreamRequest(
        method=ctx.method,
        url=_url(ctx, ctx.route, candidate, additions),
        fields=_fields(ctx, candidate, additions),
        content=_content(ctx, ctx.route, candidate, additions),
    )


def _url(ctx: Context, route: Route, candidate: Candidate, additions: Additions) -> str:
    path = route.path
    if route.model is not None and candidate.model is not None:
        head, _, tail = path.rpartition(f"/models/{route.model}")
        path = f"{head}/models/{candidate.model.sent_as(route.model)}{tail}"
    url = joined(candidate.surface.base_url, quote(path, safe=_IN_PATH))
    ours = _own_query(ctx, candidate, additions)
    query = [
        pair for pair in _query_pairs(ctx) if pair[0].lower() not in _CREDENTIAL_PARAMETERS and pair[0] not in ours
    ]
    query += ours.items()
    return f"{url}?{urlencode(query)}" if query else url


def _own_query(ctx: Context, candidate: Candidate, additions: Additions) -> dict[str, str]:
    """The parameters that configuration sets, whatever the client sent under their names."""
    ours = dict(candidate.surface.query)
    for name, template in additions.fields:
        if name.decode() in candidate.surface.query_from_fields:
            ours[name.decode()] = template.render(ctx)
    return ours | {name: template.render(ctx) for name, template in additions.query}


def _query_pairs(ctx: Context) -> list[tuple[str, str]]:
    return parse_qsl(ctx.query.decode("latin-1"), keep_blank_values=True) if ctx.query else []


def _fields(ctx: Context, candidate: Candidate, additions: Additions) -> list[Field]:
    """Forwarded fields, then the provider's defaults, the policy's additions, and last the credential."""
    fields = to_upstream(ctx.request_fields)
    present = {name for name, _ in fields}
    fields += [
        (name.encode(), value.encode())
        for name, value in candidate.surface.fields.items()
        if name.encode() not in present
    ]
    for name, template in additions.fields:
        fields = [item for item in fields if item[0] != name]
        fields.append((name, _rendered_field(name, template, ctx)))
    fields.append((b"accept-encoding", b"identity"))  # what passes must stay readable: errors, events, usage
    credentials = _credentials(ctx, candidate)
    names = {name for name, _ in credentials}
    return [item for item in fields if item[0] not in names] + credentials


def _rendered_field(name: bytes, template: Template, ctx: Context) -> bytes:
    try:
        return field_value(template.render(ctx))
    except ValueError as error:
        raise PolicyDenied(f"ai-gateway, field {name.decode()}: {error}") from None


def _credentials(ctx: Context, candidate: Candidate) -> list[Field]:
    """The provider key in the provider's own field; a client's own key in whichever field the client put it."""
    rule: Credential = candidate.surface.credential
    if candidate.key is not None:
        return [rule.header(candidate.key.value.reveal())]  # the one place where a provider key becomes bytes
    if candidate.credential is None:
        return []
    if candidate.credential.in_query:
        return [rule.header(candidate.credential.secret.reveal())]
    return [item for item in ctx.request_fields if item[0] in candidate.credential.fields]


def _content(ctx: Context, route: Route, candidate: Candidate, additions: Additions) -> bytes:
    """The client's bytes, with only those top-level members changed that the policy or the model's name changes."""
    if candidate.model is None or (payload := ctx.payload) is None:
        return ctx.body or b""
    dropped = {"models"}
    allowed = candidate.surface.supported_params
    if allowed:
        dropped |= {name for name in payload.names if name not in allowed}
    dropped |= candidate.model.unsupported_params
    changes: dict[str, Any] = {}
    if route.model is None and "model" not in dropped:
        changes["model"] = candidate.model.sent_as(payload.get("model"))
    if additions.max_output_tokens is not None:
        changes |= _capped(payload.get, route, candidate, additions.max_output_tokens)
    changes |= {name: rendered(value, ctx) for name, value in additions.body.items()}
    return payload.edited(changes, frozenset(dropped))


def _capped(value_of: Any, route: Route, candidate: Candidate, limit: int) -> dict[str, Any]:
    """The smaller of the client's own output limit and the policy's, in the member that this surface reads."""
    if route.format == "gemini":
        config = value_of("generationConfig")
        config = dict(config) if isinstance(config, dict) else {}
        return {"generationConfig": {**config, "maxOutputTokens": _smaller(config.get("maxOutputTokens"), limit)}}
    if route.surface == "responses":
        names = ["max_output_tokens"]
    elif route.surface == "chat-completions":
        names = [name for name in ("max_completion_tokens", "max_tokens") if value_of(name) is not None]
        names = names or [candidate.surface.output_limit_param]
    elif route.surface == "messages" or route.path == "/v1/completions":
        names = ["max_tokens"]
    else:
        names = []
    return {name: _smaller(value_of(name), limit) for name in names}


def _smaller(value: Any, limit: int) -> int:
    return min(value, limit) if isinstance(value, int) and not isinstance(value, bool) else limit


def rendered(value: Any, ctx: Context) -> Any:
    """A configured value with the templates at its leaves rendered."""
    if isinstance(value, Template):
        return value.value(ctx)
    if isinstance(value, Mapping):
        return {name: rendered(item, ctx) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [rendered(item, ctx) for item in value]
    return value
