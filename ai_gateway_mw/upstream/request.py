"""Client request -> upstream request for one candidate: address, credential, fields, query and body."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote_plus, urlencode, urlsplit

from ai_gateway_mw.cel import Template, to_json
from ai_gateway_mw.context import Context
from ai_gateway_mw.errors import AmbiguousPath, BadRequest, PolicyDenied
from ai_gateway_mw.headers import CREDENTIAL_FIELDS, GATEWAY_KEY, Field, field_value, to_upstream
from ai_gateway_mw.providers import Credential
from ai_gateway_mw.surfaces import Route
from ai_gateway_mw.upstream.candidate import Candidate
from ai_gateway_mw.upstream.transport import UpstreamRequest

# Query parameters in which some SDKs put a key: a credential goes where the provider's own rules say, and nowhere else.
_CREDENTIAL_PARAMETERS = frozenset({"key", "api_key", "api-key", "apikey", "access_token"})
_IN_PATH = "/:@!$&'()*+,=~-._"
_IN_QUERY = _IN_PATH + "%?;[]{}|^`\\"  # all of ASCII that a client may have left as it is
_MAX_URL = 32 * 1024
# Both spellings of the output limit of chat completions; and Gemini's, whose JSON takes either for every member.
_CHAT_LIMITS = ("max_completion_tokens", "max_tokens")
_GEMINI_CONFIGS = ("generationConfig", "generation_config")
_GEMINI_LIMITS = ("maxOutputTokens", "max_output_tokens")


@dataclass(frozen=True, slots=True)
class Additions:
    """What the action adds to every upstream request: `headers`, `query_params`, `body` and the output cap."""

    fields: Sequence[tuple[bytes, Template]] = ()
    query: Sequence[tuple[str, Template]] = ()
    body: Mapping[str, Any] = field(default_factory=dict)  # leaves are values, or templates to be rendered
    max_output_tokens: int | None = None


_ACCOUNT_FIELDS = frozenset({b"openai-organization", b"openai-project", b"x-goog-user-project"})


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
    if {"", ".", ".."} & set(path.split("/")[1:]):
        raise AmbiguousPath("The model's name would lead to another path of the provider.")
    url = joined(candidate.surface.base_url, quote(path, safe=_IN_PATH))
    ours = _own_query(ctx, candidate, additions)
    query = _clients_query(ctx.query, ours)
    if ours:
        query.append(urlencode(ours))
    url = f"{url}?{'&'.join(query)}" if query else url
    if len(url) > _MAX_URL:
        raise BadRequest("The request target is too long.")
    return url


def _own_query(ctx: Context, candidate: Candidate, additions: Additions) -> dict[str, str]:
    """The parameters that configuration sets, whatever the client sent under their names."""
    ours = dict(candidate.surface.query)
    for name, template in additions.fields:
        if name.decode() in candidate.surface.query_from_fields:
            ours[name.decode()] = template.render(ctx)
    return ours | {name: template.render(ctx) for name, template in additions.query}


def _clients_query(query: bytes, ours: Mapping[str, str]) -> list[str]:
    """The client's parameters as they were written, without credentials and without those that are set here."""
    if not query:
        return []
    kept = []
    for pair in query.split(b"&"):
        name = unquote_plus(pair.partition(b"=")[0].decode("latin-1"))
        if name.lower() not in _CREDENTIAL_PARAMETERS and name not in ours and GATEWAY_KEY not in pair:
            kept.append(quote(pair, safe=_IN_QUERY))
    return kept


def _fields(ctx: Context, candidate: Candidate, additions: Additions) -> list[Field]:
    """Forwarded fields, then the provider's defaults, the policy's additions, and last the credential."""
    fields = to_upstream(ctx.request_fields)
    if candidate.key is not None:  # with the operator's key, the client does not choose whose account pays
        fields = [item for item in fields if item[0] not in _ACCOUNT_FIELDS or item in ctx.request_fields.added]
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
    credentials = _credentials(ctx, candidate, additions)
    names = {name for name, _ in credentials}
    return [item for item in fields if item[0] not in names] + credentials


def _rendered_field(name: bytes, template: Template, ctx: Context) -> bytes:
    try:
        return field_value(template.render(ctx))
    except ValueError as error:
        raise PolicyDenied(f"ai-gateway, field {name.decode()}: {error}") from None


def _credentials(ctx: Context, candidate: Candidate, additions: Additions) -> list[Field]:
    """The provider key in the provider's own field; a client's own key in whichever field the client put it, unless
    the policy itself sets a credential."""
    rule: Credential = candidate.surface.credential
    if candidate.key is not None:
        return [rule.header(candidate.key.value.reveal())]  # the one place where a provider key becomes bytes
    if candidate.credential is None or any(name in CREDENTIAL_FIELDS for name, _ in additions.fields):
        return []
    if candidate.credential.in_query:
        return [rule.header(candidate.credential.secret.reveal())]
    return [item for item in ctx.request_fields if item[0] in candidate.credential.fields]


def _content(ctx: Context, route: Route, candidate: Candidate, additions: Additions) -> bytes:
    """The client's bytes, with only those top-level members changed that the policy or the model's name changes."""
    if candidate.model is None or (payload := ctx.payload) is None:
        return ctx.body or b""
    dropped = {"models", *(name for name in payload.names if not _accepted(name, candidate))}
    changes: dict[str, Any] = {}
    if route.model is None and _accepted("model", candidate):
        changes["model"] = candidate.model.sent_as(payload.get("model"))
    if additions.max_output_tokens is not None:
        changes |= _capped(payload.get, route, candidate, additions.max_output_tokens)
    changes |= {name: rendered(value, ctx) for name, value in additions.body.items()}
    return payload.edited(changes, frozenset(dropped))


def _accepted(name: str, candidate: Candidate) -> bool:
    """Whether this candidate takes a member of that name."""
    allowed = candidate.surface.supported_params
    denied = candidate.model.unsupported_params if candidate.model else ()
    return (not allowed or name in allowed) and name not in denied


def _capped(value_of: Callable[[str], Any], route: Route, candidate: Candidate, limit: int) -> dict[str, Any]:
    """The smaller of the client's own output limit and the policy's, in the member that this surface reads."""
    if route.format == "gemini":
        return _gemini_capped(value_of, limit)
    if route.surface == "chat-completions":
        return _chat_capped(value_of, candidate, limit)
    if route.surface == "responses":
        names = ["max_output_tokens"]
    elif route.surface == "messages" or route.path == "/v1/completions":
        names = ["max_tokens"]
    else:
        names = []
    return {name: _smaller(value_of(name), limit) for name in names}


def _chat_capped(value_of: Callable[[str], Any], candidate: Candidate, limit: int) -> dict[str, Any]:
    """The client's own spelling where the candidate takes it, else the surface's, else the other one."""
    asked = {name: value for name in _CHAT_LIMITS if (value := value_of(name)) is not None}
    kept = {name: _smaller(value, limit) for name, value in asked.items() if _accepted(name, candidate)}
    if kept:
        return kept
    usual = candidate.surface.output_limit_param
    name = next((name for name in (usual, *_CHAT_LIMITS) if _accepted(name, candidate)), usual)
    return {name: min([limit, *(_smaller(value, limit) for value in asked.values())])}


def _gemini_capped(value_of: Callable[[str], Any], limit: int) -> dict[str, Any]:
    changes = {}
    for name in [name for name in _GEMINI_CONFIGS if value_of(name) is not None] or _GEMINI_CONFIGS[:1]:
        given = value_of(name)
        config = dict(given) if isinstance(given, dict) else {}
        members = [member for member in _GEMINI_LIMITS if member in config] or _GEMINI_LIMITS[:1]
        changes[name] = config | {member: _smaller(config.get(member), limit) for member in members}
    return changes


def _smaller(value: Any, limit: int) -> int:
    """The client's limit where it is one and lies below: some providers read 0 and -1 as "no limit"."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < limit else limit


def rendered(value: Any, ctx: Context) -> Any:
    """A configured value with the templates at its leaves rendered, as JSON takes it. Raises `PolicyDenied`."""
    if isinstance(value, Template):
        return _as_json(value.value(ctx))
    if isinstance(value, Mapping):
        return {name: rendered(item, ctx) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [rendered(item, ctx) for item in value]
    return _as_json(value)


def _as_json(value: Any) -> Any:
    if value is None or isinstance(value, str | bool):
        return value
    made = to_json(value)  # first, since it refuses what is nested too deeply
    if _has_nan(value):
        raise PolicyDenied("ai-gateway, body: a number is infinite or none at all, which JSON cannot say")
    return made


def _has_nan(value: Any) -> bool:
    if isinstance(value, float):
        return not math.isfinite(value)
    if isinstance(value, Mapping):
        return any(map(_has_nan, value.values()))
    return isinstance(value, list | tuple) and any(map(_has_nan, value))
