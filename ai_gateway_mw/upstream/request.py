"""Client request -> upstream request for one candidate: address, credential, fields and query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import quote, unquote_plus, urlencode, urlsplit

from ai_gateway_mw.cel import Template
from ai_gateway_mw.context import Context
from ai_gateway_mw.errors import AmbiguousPath, BadRequest, PolicyDenied
from ai_gateway_mw.headers import (
    CREDENTIAL_FIELDS,
    GATEWAY_KEY,
    Field,
    field_value,
    holds_gateway_key,
    telling_upstream,
    to_upstream,
)
from ai_gateway_mw.hosts import HostAddress
from ai_gateway_mw.providers import ApiSurface, Credential
from ai_gateway_mw.surfaces import Route
from ai_gateway_mw.upstream.candidate import Candidate
from ai_gateway_mw.upstream.content import content
from ai_gateway_mw.upstream.http1 import Origin
from ai_gateway_mw.upstream.key_ring import ProviderKey, ShownKey
from ai_gateway_mw.upstream.transport import UpstreamRequest, first_lines, written

# Query parameters in which some SDKs put a key: a credential goes where the provider's own rules say, and nowhere else.
_CREDENTIAL_PARAMETERS = frozenset({"key", "api_key", "api-key", "apikey", "access_token"})
_IN_PATH = "/:@!$&'()*+,=~-._"
_IN_QUERY = _IN_PATH + "%?;[]{}|^`\\"  # all of ASCII that a client may have left as it is
_MAX_TARGET = 32 * 1024
_SEGMENTS_THAT_MOVE = frozenset({"", ".", ".."})


@dataclass(frozen=True, slots=True)
class Additions:
    """What the action adds to every upstream request: `headers`, `query_params`, `body` and the output cap."""

    fields: Sequence[tuple[bytes, Template]] = ()
    query: Sequence[tuple[str, Template]] = ()
    body: Mapping[str, Any] = field(default_factory=dict)  # leaves are values, or templates to be rendered
    max_output_tokens: int | None = None


_READABLE = (b"accept-encoding", b"identity")  # what passes must stay so: errors, events, usage
_ACCOUNT_FIELDS = frozenset({b"openai-organization", b"openai-project", b"x-goog-user-project"})
_NOTHING: frozenset[bytes] = frozenset()
_REMEMBERED = 256
# Fields with which nothing is remembered: their values change with each request, or may be private, as an address is.
_NOT_REMEMBERED = frozenset(
    {b"http-referer", b"idempotency-key", b"traceparent", b"tracestate", b"x-client-request-id"}
)
_LONGEST_REMEMBERED = 4096  # bytes


# What decides about fields and first lines, where nothing is rendered: the surface, whether the client chooses the
# account, method and target, and the fields that the client sent.
_Same = tuple[ApiSurface, bool, str, bytes, tuple[Field, ...]]


class _Common(NamedTuple):
    """What requests have in common whose clients sent the same fields: all fields but the credential, and the lines
    that these become."""

    fields: tuple[Field, ...]
    lines: bytes


class _Origins(dict[ApiSurface, Origin]):
    """Those of the surfaces that were asked: as many as are configured."""

    def __init__(self, hosts: Mapping[str, HostAddress]) -> None:
        super().__init__()
        self._hosts = hosts

    def __missing__(self, surface: ApiSurface) -> Origin:
        origin = self[surface] = Origin.of(surface.base_url, self._hosts)
        return origin


class UpstreamRequests:
    """Makes the requests of one action: from a client's request, the one that a candidate's provider gets.

    Its origin is the configured one, whatever the client sent.
    """

    def __init__(self, additions: Additions, hosts: Mapping[str, HostAddress]) -> None:
        self._additions = additions
        self._added_names = frozenset(name for name, _ in additions.fields)
        self._origins = _Origins(hosts)
        self._renders = bool(additions.query or additions.fields)
        self._common: dict[_Same, _Common] = {}  # of the latest requests: no key is in it, and nothing private

    def __call__(self, ctx: Context, candidate: Candidate, origin: Origin) -> UpstreamRequest:
        route, key, surface = ctx.route, candidate.key, candidate.surface
        assert route is not None
        body, most = self._additions.body, self._additions.max_output_tokens
        target = self._target(ctx, route, candidate)
        if self._renders or ctx.request_fields.added or candidate.credential is not None:
            return UpstreamRequest(
                ctx.method,
                origin,
                target,
                self._fields(ctx, candidate),  # in no variable, which a traceback might show
                content(ctx, route, candidate, body, most),
            )
        same = (surface, key is None, ctx.method, target, telling_upstream(ctx.request_fields))
        common = self._common.get(same) or self._remembered(same, ctx, candidate, origin)
        sent = content(ctx, route, candidate, body, most)
        if key is None:
            return UpstreamRequest(ctx.method, origin, target, common.fields, sent, common.lines)
        # Last of all: from here on the credential is in variables, which a traceback might show.
        shown = _shown(key, surface)
        fields, lines = (*common.fields, shown.field), common.lines + shown.line
        return UpstreamRequest(ctx.method, origin, target, fields, sent, lines)

    def origin(self, candidate: Candidate) -> Origin:
        """Where the requests of a candidate go to."""
        return self._origins[candidate.surface]

    def _target(self, ctx: Context, route: Route, candidate: Candidate) -> bytes:
        path = route.path
        if route.model is None and not (ctx.query or candidate.surface.query or self._renders):
            return _bare_target(candidate.surface.base_url, path)
        if route.model is not None and candidate.model is not None:
            head, _, tail = path.rpartition(f"/models/{route.model}")
            path = f"{head}/models/{candidate.model.sent_as(route.model)}{tail}"
        target = _target_below(candidate.surface.base_url, path)
        ours = self._own_query(ctx, candidate)
        query = _clients_query(ctx.query, ours)
        if ours:
            query.append(urlencode(ours))
        if query:
            target = f"{target}?{'&'.join(query)}"
        return _of_fair_length(target)

    def _own_query(self, ctx: Context, candidate: Candidate) -> dict[str, str]:
        """The parameters that configuration sets, whatever the client sent under their names."""
        surface, additions = candidate.surface, self._additions
        if not (surface.query or surface.query_from_fields or additions.query):
            return {}
        ours = dict(surface.query)
        for name, template in additions.fields:
            if name.decode() in surface.query_from_fields:
                ours[name.decode()] = template.render(ctx)
        return ours | {name: template.render(ctx) for name, template in additions.query}

    def _fields(self, ctx: Context, candidate: Candidate) -> list[Field]:
        """Forwarded fields, then the provider's defaults, the policy's additions, and last the credential."""
        # With the operator's key, the client does not choose whose account pays.
        fields = to_upstream(ctx.request_fields, _NOTHING if candidate.key is None else _ACCOUNT_FIELDS)
        credentials = self._credentials(ctx, candidate)
        ours = self._added_names.union([name for name, _ in credentials])
        if not ours.isdisjoint(dict(fields)):
            fields = [item for item in fields if item[0] not in ours]
        if candidate.surface.fields:
            present = ours.union([name for name, _ in fields])
            defaults = [(name.encode(), value.encode()) for name, value in candidate.surface.fields.items()]
            fields += [item for item in defaults if item[0] not in present]
        for name, template in self._additions.fields:
            fields.append((name, _rendered_field(name, template, ctx)))
        fields.append(_READABLE)
        return fields + credentials  # at the end: `_remembered` takes it off again

    def _remembered(self, same: _Same, ctx: Context, candidate: Candidate, origin: Origin) -> _Common:
        """Made anew, since it was not remembered; kept from now on, unless it may be private or is long."""
        fields = self._fields(ctx, candidate)
        if candidate.key is not None:
            fields.pop()  # its credential, which stays with the key
        _, _, method, target, telling = same
        common = _Common(tuple(fields), first_lines(method, origin, target, fields))
        together = b"".join([value for _, value in telling])
        private = bool(ctx.query) or GATEWAY_KEY in together or any(name in _NOT_REMEMBERED for name, _ in telling)
        if not private and len(together) + len(common.lines) <= _LONGEST_REMEMBERED:
            if len(self._common) >= _REMEMBERED:
                self._common.clear()
            self._common[same] = common
        return common

    def _credentials(self, ctx: Context, candidate: Candidate) -> list[Field]:
        """The provider key in the provider's own field; a client's own key in whichever field the client put it,
        unless the policy itself sets a credential."""
        rule: Credential = candidate.surface.credential
        if candidate.key is not None:
            return [_shown(candidate.key, candidate.surface).field]
        if candidate.credential is None or not self._added_names.isdisjoint(CREDENTIAL_FIELDS):
            return []
        if candidate.credential.in_query:
            return [rule.header(candidate.credential.secret.reveal())]
        return [item for item in ctx.request_fields if item[0] in candidate.credential.fields]


def _shown(key: ProviderKey, surface: ApiSurface) -> ShownKey:
    """The key as this surface takes it, made once."""
    shown = key.shown.get(surface)
    if shown is None:
        field = surface.credential.header(key.value.reveal())  # the one place where a provider key becomes bytes
        shown = key.shown[surface] = ShownKey(field, written([b": ".join(field)]))
    return shown


@lru_cache(maxsize=128)  # most requests go to a handful of paths
def _bare_target(base_url: str, path: str) -> bytes:
    return _of_fair_length(_target_below(base_url, path))


def _of_fair_length(target: str) -> bytes:
    if len(target) > _MAX_TARGET:
        raise BadRequest("The request target is too long.")
    return target.encode()


@lru_cache(maxsize=128)
def _target_below(base_url: str, path: str) -> str:
    """The target of a client's path at a provider, without a query."""
    if not _SEGMENTS_THAT_MOVE.isdisjoint(path.split("/")[1:]):
        raise AmbiguousPath("The model's name would lead to another path of the provider.")
    _, _, target = joined(base_url, quote(path, safe=_IN_PATH)).partition("://")[2].partition("/")
    return "/" + target


def joined(base_url: str, path: str) -> str:
    """A provider's base URL with the client's path.

    A base with a path of its own (`…/openai/v1`) already holds the version, so the client's `/v1` is dropped, and its
    `/v1beta` behind the same; a bare origin takes the path whole.
    """
    base = base_url.rstrip("/")
    if not urlsplit(base).path:
        return base + path
    if base.endswith("/v1beta"):
        path = path.removeprefix("/v1beta")
    return base + "/" + path.removeprefix("/v1/").removeprefix("/")


def _clients_query(query: bytes, ours: Mapping[str, str]) -> list[str]:
    """The client's parameters as they were written, without credentials and without those that are set here."""
    if not query:
        return []
    kept = []
    for pair in query.split(b"&"):
        name = unquote_plus(pair.partition(b"=")[0].decode("latin-1"))
        if name.lower() in _CREDENTIAL_PARAMETERS or name in ours or holds_gateway_key(pair):
            continue
        kept.append(quote(pair, safe=_IN_QUERY))
    return kept


def _rendered_field(name: bytes, template: Template, ctx: Context) -> bytes:
    try:
        return field_value(template.render(ctx))
    except ValueError as error:
        raise PolicyDenied(f"ai-gateway, field {name.decode()}: {error}") from None
