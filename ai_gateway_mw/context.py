"""Context: all that is known of one exchange; Action: what works on it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from ai_gateway_mw.addresses import Address, Ranges, client_address
from ai_gateway_mw.answering import AnswerBody, ResponseHead, StreamState
from ai_gateway_mw.asgi import (
    ASGIApp,
    Receive,
    Scope,
    body_at_hand,
    raw_route_path,
    read_body,
    route_path,
)
from ai_gateway_mw.body import JSONBody
from ai_gateway_mw.compression import Recoding
from ai_gateway_mw.errors import GatewayError, UnsupportedEncoding
from ai_gateway_mw.form import FormBody, form_boundary
from ai_gateway_mw.headers import CREDENTIAL_FIELDS, Field, Fields
from ai_gateway_mw.keys import ClientCredential, GatewayKey, presented_credentials
from ai_gateway_mw.policy import ActionConfig, Phase
from ai_gateway_mw.results import Later, Results, Spared
from ai_gateway_mw.surfaces import Format, Route
from ai_gateway_mw.texts import Said, said
from ai_gateway_mw.watches import Watch, Watches

if TYPE_CHECKING:
    from ai_gateway_mw.accounts import Account
    from ai_gateway_mw.providers import Model
    from ai_gateway_mw.runtime import Runtime
    from ai_gateway_mw.upstream.candidate import Attempt, Candidate, Offer
    from ai_gateway_mw.upstream.http1 import UpstreamResponse
    from ai_gateway_mw.upstream.key_ring import ProviderKey
    from ai_gateway_mw.upstream.key_selection import KeyNote
    from ai_gateway_mw.upstream.model_selection import SelectionNotes


@dataclass(frozen=True, slots=True)
class Limits:
    """What the process settings allow one exchange."""

    max_body: int = 32 * 1024 * 1024
    trusted_proxies: Ranges | None = None
    dialect_errors: bool = True
    quiet: bool = False  # it leaves no records: a rehearsal


_NO_LIMITS = Limits()
_NO_CANDIDATES: Iterator[Candidate] = iter(())


def _no_key(_: Context) -> None:
    """What there is before anybody has looked for a key."""


class Context:
    """One exchange, from the first message to the last.

    Header fields are a snapshot: a server may go on appending to `scope["headers"]` (request trailers) while the body
    is read. `received_fields` are those that arrived, `request_fields` what the policy has made of them.
    """

    __slots__ = (
        ("scope", "route", "method", "path", "query", "receive", "limits", "id", "started", "received_at")
        + (
            "received_fields",
            "request_fields",
            "phase",
            "response",
            "refusal",
            "answer_fields",
            "body",
            "vars",
            "watch",
            "when_over",
            "spared",
            "callout",
            "recoding",
            "body_received_at",
            "stream",
            "answer_body",
        )
        + (
            "gateway_key",
            "scoped_key",
            "key_was_cached",
            "account",
            "input_tokens",
            "own_key",
            "models",
            "offers",
            "selection",
            "keys",
            "key_notes",
        )
        + ("candidates", "attempts", "upstream")
        + (
            "_watches",
            "_published",
            "_published_ours",
            "_located",
            "_client_ip",
            "_payload",
            "_said",
            "_presented",
            "_presented_in",
        )
    )

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        *,
        route: Route | None = None,
        limits: Limits = _NO_LIMITS,
        watches: Watches | None = None,
    ) -> None:
        self._enter(scope, route)
        self.receive = receive
        self.limits = limits
        self.id = f"req_{os.urandom(16).hex()}"
        self.started = time.monotonic()
        self.received_at = time.time()
        self.request_fields = Fields.received(scope["headers"])
        self.received_fields = self.request_fields.sent
        self.phase = Phase.ON_HTTP_REQUEST
        self.response: ResponseHead | None = None
        self.refusal: GatewayError | None = None
        self.answer_fields: tuple[Field, ...] = ()  # of whatever answer this gets, past all rules: cookies of logins
        self.body: bytes | None = None
        self.body_received_at: float | None = None
        self.vars: dict[str, Any] = {}
        self.watch: Watch | None = None
        self.stream: StreamState | None = None  # while an event stream passes through rules: the edge
        self.answer_body: AnswerBody | None = None  # while response rules may ask for it: the edge
        self.gateway_key: GatewayKey | None = None  # what the client authenticated with: gateway-auth
        self.scoped_key: GatewayKey | None = None  # it, where its scopes were held against the path: gateway-auth
        self.key_was_cached = False  # the database could not be asked: gateway-auth
        self.account: Account | None = None  # what it does under that key: gateway-auth
        # What the steps of `ai-gateway` hand on, each written by the step that its comment names.
        self.input_tokens: int | None = None  # estimated, where a limit asks for it: admission
        self.own_key: Callable[[Context], ClientCredential | None] = _no_key  # what finds the client's own: admission
        self.models: Sequence[Model] = ()  # what strategies see as `ai.models`: model selection
        self.offers: Sequence[Offer] = ()  # the models to try, with their providers: model selection
        self.selection: SelectionNotes | None = None  # model selection
        self.keys: Sequence[ProviderKey] = ()  # what strategies see as `ai.keys`: key selection
        self.key_notes: list[tuple[Model | None, list[KeyNote]]] = []  # key selection
        self.candidates: Iterator[Candidate] = _NO_CANDIDATES  # key selection
        self.attempts: list[Attempt] = []  # failover
        self.upstream: UpstreamResponse | None = None  # failover
        # Called when the exchange is over, with whether what served it did its work; None where nothing was asked.
        self.when_over: tuple[Callable[[bool | None], None], ...] = ()
        self.spared: tuple[Spared, ...] = ()  # what would have been refused: actions with `enforce: false`
        self.callout: Mapping[str, Any] = {}  # what `retry_condition` sees of an http-request
        self.recoding: Recoding | None = None  # what the body of the answer goes through: compress-response
        self._watches = watches
        self._published: dict[str, Any] = {}
        self._published_ours: dict[str, Any] = {}
        self._located = False
        self._client_ip: Address | None = None
        self._payload: JSONBody | FormBody | None = None
        self._said: tuple[JSONBody | FormBody, list[Said]] | None = None
        self._presented: ClientCredential | None = None
        self._presented_in: tuple[tuple[Field, ...], tuple[Field, ...], bytes] | None = None

    def _enter(self, scope: Scope, route: Route | None) -> None:
        self.scope = dict(scope)
        self.route = route
        self.method = str(scope.get("method", "GET")).upper()  # some frameworks (Django) take `post` for POST
        self.path = route_path(scope)  # below the mount, decoded once by the server
        self.query = bytes(scope.get("query_string", b""))

    @property
    def raw_path(self) -> bytes:
        return raw_route_path(self.scope) or self.path.encode()

    @property
    def results(self) -> dict[str, Any]:
        """What expressions read as `actions`: under `ngrok` the results of Traffic Policy's actions, beside it those
        of our own, as they are now. Not kept here: it refers to this."""
        return {**self._published_ours, "ngrok": Results(self, dict(self._published))}

    def result(self, action: str) -> Any:
        """What the last run of one of Traffic Policy's actions published, by its name in `actions.ngrok`; or None."""
        return Results(self, self._published).get(action) if action in self._published else None

    def our_result(self, action: str) -> Any:
        """The same of an action of our own, by its name in `actions`."""
        return self._published_ours.get(action)

    @property
    def api_format(self) -> Format:
        """The API format in which this caller reads errors."""
        return self.spoken_format if self.limits.dialect_errors else "openai"

    @property
    def spoken_format(self) -> Format:
        """The API format of this caller; on a path that tells nothing, its SDK's fields do."""
        if self.route is not None and (self.route.format != "openai" or self.route.task != "list-models"):
            return self.route.format
        if self.request_fields.get(b"anthropic-version") is not None:
            return "anthropic"
        if self.path.startswith("/v1beta/") or self.request_fields.get(b"x-goog-api-client") is not None:
            return "gemini"
        return "openai"

    @property
    def head(self) -> Fields:
        """The fields now passing: the response's once there is one, before that the request's."""
        return self.response.fields if self.response is not None else self.request_fields

    @property
    def client_ip(self) -> Address | None:
        """The client's address; raises `PolicyDenied` where a trusted proxy's word cannot be parsed."""
        if not self._located:
            peer = self.scope.get("client")
            self._client_ip = client_address(
                peer[0] if peer else None, self.received_fields, self.limits.trusted_proxies
            )
            self._located = True
        return self._client_ip

    def presented_credential(self) -> ClientCredential | None:
        """The credential that the request brings, unless an action has taken it out by now. Raises
        `AmbiguousCredentials` where there are two."""
        fields = self.request_fields
        looked_in = fields.sent, fields.added, self.query if self.route else b""
        if looked_in != self._presented_in:
            self._presented = presented_credentials(fields, looked_in[2])
            self._presented_in = looked_in
        return self._presented

    def check_credentials(self) -> None:
        """Raises `AmbiguousCredentials` where the request brings two; of a single one nothing is made yet."""
        fields = self.request_fields
        if fields.repeated or (self.query and self.route) or len(CREDENTIAL_FIELDS.intersection(fields.first)) > 1:
            self.presented_credential()

    @property
    def credential(self) -> ClientCredential | None:
        """The client's own key, for providers without keys of the operator, unless another action took it."""
        return self.own_key(self)

    async def read_body(self) -> bytes:
        """The request body, read on the first call. Raises `BodyTooLarge`, `ClientGone`, `UnsupportedEncoding`."""
        if self.body is None:
            for encoding in self.request_fields.all(b"content-encoding"):
                if encoding.strip().lower() not in (b"", b"identity"):
                    raise UnsupportedEncoding("A compressed request body is not supported.")
            limit = self.limits.max_body
            self.body = body_at_hand(self.receive, limit)
            if self.body is None:
                self.body = await read_body(self.receive, limit)
            self.body_received_at = time.time()
        return self.body

    def replace_body(self, body: bytes) -> None:
        """Put another body in the place of the client's: it is sent on, and what everybody reads from now on."""
        self.body = body
        self._payload = None
        self.input_tokens = None
        fields = self.request_fields
        if fields.has("content-length"):
            fields.remove(b"content-length")
            fields.append(b"content-length", b"%d" % len(body))

    def said(self) -> list[Said]:
        """What the request says to a model, once its body has been read."""
        payload = self.payload
        if payload is None:
            return []
        if self._said is None or self._said[0] is not payload:
            self._said = payload, said(payload.value)
        return self._said[1]

    def check_body(self) -> None:
        """Parse the body before an expression reads it: what cannot be parsed is the client's fault (`BadBody`), and
        not a failed expression."""
        if self.body and self.route is not None and self.route.task == "generate":
            _ = self.payload

    @property
    def payload(self) -> JSONBody | FormBody | None:
        """The body as something with named members, once it has been read: JSON or a form; None without a body. Raises
        `BadBody`."""
        if self._payload is None:
            self._payload = self._read_payload()
        return self._payload

    def _read_payload(self) -> JSONBody | FormBody | None:
        if not self.body:
            needed = self.method == "POST" and self.route is not None and self.route.task == "generate"
            return JSONBody(b"") if needed else None
        boundary = form_boundary(self.request_fields.get(b"content-type") or b"")
        return FormBody(self.body, boundary) if boundary else JSONBody(self.body)

    def move_to(self, scope: Scope, receive: Receive, route: Route | None) -> None:
        """Go on at a layer further in: what stands between the layers may have mounted it elsewhere, edited the
        fields, or wrapped `receive`."""
        self._enter(scope, route)
        fields = Fields.received(scope["headers"])
        if fields.sent != tuple(self.request_fields):
            self.request_fields = fields
        if self.body is None:
            self.receive = receive

    def rewrite(self, scope: Scope, route: Route | None) -> None:
        """Go on as if the request had come for this path and query, with this host. Raises `AmbiguousCredentials` where
        it would have been refused as such."""
        presented_credentials(Fields(self.received_fields), scope["query_string"] if route else b"")
        self._enter(scope, route)
        if not self.body:
            self._payload = None  # whether one is needed depends on the path

    def watch_client(self) -> None:
        """Give the exchange up from now on when the client leaves, once it has had to wait for a while: its task is
        cancelled, and it ends with `ClientGone`. Only once the body has been read: the watch takes what comes after
        it."""
        if self.watch is None:
            self._watches = self._watches or Watches()
            self.watch = self._watches.open(self.receive)
        if self.account is not None:
            self.account.check()

    def stop_watching(self) -> bool:
        """Leave the client to others; says whether somebody was listening already, and is about to stop."""
        watch, self.watch = self.watch, None
        if watch is None or self._watches is None:
            return False
        self._watches.close(watch)
        return watch.listening

    @property
    def names_models(self) -> bool:
        """Whether the client said which model it wants."""
        return self.selection is not None and bool(self.selection.requested)

    @property
    def elapsed_ms(self) -> int:
        return int((time.monotonic() - self.started) * 1000)

    def publish(self, action: str, result: Any) -> None:
        """Make an action's result readable as `actions.ngrok.<action>`; only the last run's is kept."""
        self._published[action.replace("-", "_")] = result

    def publish_lazily(self, action: str, result: Callable[[Context, Any], Any], addition: Any = None) -> None:
        """The same for a result that costs something to make, and that few requests read: `result(ctx, addition)`."""
        self._published[action.replace("-", "_")] = Later(result, addition)

    def publish_ours(self, action: str, result: Any) -> None:
        """The same for an action that Traffic Policy does not have: its result is `actions.<action>`."""
        self._published_ours[action.replace("-", "_")] = result

    def release(self) -> None:
        """The exchange is over: let go of what refers back to this, or only the cycle collector could free it all."""
        self.candidates = _NO_CANDIDATES
        self.scope, self.vars = {}, {}
        self.account = None
        self.when_over = ()
        self.stream = self.answer_body = None
        self.refusal = None  # one that goes on to the server knows the frames it went through, and they know this


class Action(Protocol):
    """Works on one exchange: returns None to go on, an ASGI app to answer, or raises a `GatewayError` to refuse."""

    name: ClassVar[str]
    phases: ClassVar[frozenset[Phase]]
    Config: ClassVar[type[ActionConfig]]

    def __init__(self, config: Any, runtime: Runtime) -> None: ...

    async def __call__(self, ctx: Context) -> ASGIApp | None: ...
