"""Context: all that is known of one exchange; Action: what works on it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Protocol
from uuid import uuid4

from ai_gateway_mw.addresses import Address, Network, client_address
from ai_gateway_mw.asgi import ASGIApp, Receive, Scope, raw_route_path, read_body, route_path
from ai_gateway_mw.body import JSONBody
from ai_gateway_mw.errors import UnsupportedEncoding
from ai_gateway_mw.form import FormBody, form_boundary
from ai_gateway_mw.headers import Field, Fields
from ai_gateway_mw.policy import ActionConfig, Phase
from ai_gateway_mw.surfaces import Format, Route

if TYPE_CHECKING:
    from ai_gateway_mw.keys import GatewayKey
    from ai_gateway_mw.providers import Model
    from ai_gateway_mw.runtime import Runtime
    from ai_gateway_mw.upstream.candidate import Attempt, Candidate, Offer, ProviderKey
    from ai_gateway_mw.upstream.model_selection import SelectionNotes
    from ai_gateway_mw.upstream.transport import UpstreamResponse


@dataclass(frozen=True, slots=True)
class Limits:
    """What the process settings allow one exchange."""

    max_body: int = 32 * 1024 * 1024
    trusted_proxies: Sequence[Network] = ()


@dataclass(slots=True)
class ResponseHead:
    """The status line and fields of the answer, while the response phases may still change them."""

    status: int
    fields: Fields = field(default_factory=Fields)


class LazyMap(dict[str, Any]):
    """A map whose entries may still have to be made: `later` holds how."""

    def __init__(self) -> None:
        super().__init__()
        self.later: dict[str, Callable[[], Any]] = {}

    def __missing__(self, name: str) -> Any:
        self[name] = made = self.later.pop(name)()
        return made

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or name in self.later

    def get(self, name: Any, default: Any = None) -> Any:
        return self[name] if name in self else default


class Context:
    """One exchange, from the first message to the last.

    `results` is what expressions read as `actions`: under `ngrok` the results of Traffic Policy's actions, beside it
    those of our own. Header fields are a snapshot: a server may go on appending to `scope["headers"]` (request
    trailers) while the body is read.
    """

    def __init__(self, scope: Scope, receive: Receive, *, route: Route | None = None, limits: Limits | None = None):
        self.scope = dict(scope)
        self.receive = receive
        self.limits = limits or Limits()
        self.route = route
        self.id = f"req_{uuid4().hex}"
        self.started = time.monotonic()
        self.received_at = time.time()
        self.phase = Phase.ON_HTTP_REQUEST
        self.request_fields = Fields((name.lower(), value) for name, value in tuple(scope["headers"]))
        self.response: ResponseHead | None = None
        self.body: bytes | None = None
        self.vars: dict[str, Any] = {}
        self.results: dict[str, Any] = {"ngrok": LazyMap()}
        self.log: list[Mapping[str, Any]] = []
        self.answer_fields: list[Field] = []
        # What the steps of `ai-gateway` hand on, each written by the step that its comment names.
        self.gateway_key: GatewayKey | None = None  # what the client authenticated with: gateway-auth
        self.input_tokens: int | None = None  # estimated, where a limit asks for it: ai-gateway
        self.credential: str | None = None  # the client's own key, unless an earlier action took it: ai-gateway
        self.models: Sequence[Model] = ()  # what strategies see as `ai.models`: model selection
        self.offers: Sequence[Offer] = ()  # the models to try, with their providers: model selection
        self.selection: SelectionNotes | None = None  # model selection
        self.keys: Sequence[ProviderKey] = ()  # what strategies see as `ai.keys`: key selection
        self.key_notes: list[tuple[Model | None, list[dict[str, Any]]]] = []  # key selection
        self.candidates: Iterator[Candidate] = iter(())  # key selection
        self.attempts: list[Attempt] = []  # failover
        self.upstream: UpstreamResponse | None = None  # failover

    @property
    def method(self) -> str:
        return str(self.scope.get("method", "GET"))

    @cached_property
    def path(self) -> str:
        """The path below the mount, decoded once by the server."""
        return route_path(self.scope)

    @cached_property
    def raw_path(self) -> bytes:
        return raw_route_path(self.scope) or self.path.encode()

    @property
    def query(self) -> bytes:
        return bytes(self.scope.get("query_string", b""))

    @property
    def api_format(self) -> Format:
        """The API format in which this caller reads errors."""
        return self.route.format if self.route else "openai"

    @property
    def head(self) -> Fields:
        """The fields now passing: the response's once there is one, before that the request's."""
        return self.response.fields if self.response is not None else self.request_fields

    @cached_property
    def client_ip(self) -> Address | None:
        """The client's address; raises `PolicyDenied` where a trusted proxy's word cannot be parsed."""
        peer = self.scope.get("client")
        return client_address(peer[0] if peer else None, list(self.request_fields), self.limits.trusted_proxies)

    async def read_body(self) -> bytes:
        """The request body, read on the first call. Raises `BodyTooLarge`, `ClientGone`, `UnsupportedEncoding`."""
        if self.body is None:
            encoding = self.request_fields.get(b"content-encoding")
            if encoding not in (None, b"", b"identity"):
                raise UnsupportedEncoding("A compressed request body is not supported.")
            self.body = await read_body(self.receive, self.limits.max_body)
        return self.body

    @cached_property
    def json(self) -> JSONBody:
        """The body as a JSON object, once it has been read. Raises `BadBody`."""
        return JSONBody(self.body or b"")

    @cached_property
    def payload(self) -> JSONBody | FormBody | None:
        """The body as something with named members, once it has been read: JSON or a form; None without a body."""
        if not self.body:
            return None if self.method in ("GET", "HEAD", "DELETE") else self.json
        boundary = form_boundary(self.request_fields.get(b"content-type") or b"")
        return FormBody(self.body, boundary) if boundary else self.json

    @property
    def elapsed_ms(self) -> int:
        return int((time.monotonic() - self.started) * 1000)

    def publish(self, action: str, result: Any) -> None:
        """Make an action's result readable as `actions.ngrok.<action>`; only the last run's is kept."""
        self.results["ngrok"][action.replace("-", "_")] = result

    def publish_lazily(self, action: str, result: Callable[[], Any]) -> None:
        """The same for a result that costs something to make, and that few requests read."""
        namespace, name = self.results["ngrok"], action.replace("-", "_")
        namespace.pop(name, None)
        namespace.later[name] = result


class Action(Protocol):
    """Works on one exchange: returns None to go on, an ASGI app to answer, or raises a `GatewayError` to refuse."""

    name: ClassVar[str]
    phases: ClassVar[frozenset[Phase]]
    Config: ClassVar[type[ActionConfig]]

    def __init__(self, config: Any, runtime: Runtime) -> None: ...

    async def __call__(self, ctx: Context) -> ASGIApp | None: ...
