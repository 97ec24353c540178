"""Header fields: the list that passes through an exchange, and the rules of what may be forwarded (RFC 9110)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from operator import itemgetter
from typing import Any
from urllib.parse import unquote_to_bytes

Field = tuple[bytes, bytes]

# RFC 9110 7.6.1: these belong to one connection and go no further, whether or not Connection names them.
CONNECTION_SPECIFIC = frozenset(
    [b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade"]
    + [b"proxy-authenticate", b"proxy-authorization", b"http2-settings"]
)
# What an action's result and a log do not show of a head: credentials, also those of the app around us.
PRIVATE_FIELDS = frozenset(
    [b"authorization", b"x-api-key", b"x-goog-api-key", b"api-key", b"cookie", b"set-cookie", b"proxy-authorization"]
)
CREDENTIAL_FIELDS = frozenset([b"authorization", b"x-api-key", b"x-goog-api-key", b"api-key"])

GATEWAY_KEY = b"gw_sk_"  # how our own keys begin: wherever a client put one, it goes no further

# What goes upstream of a client's own fields; everything else stays here. A policy adds with `add-headers`.
_TO_UPSTREAM = frozenset(
    [b"accept", b"accept-language", b"content-type", b"user-agent", b"idempotency-key", b"x-client-request-id"]
    + [b"traceparent", b"tracestate", b"x-goog-api-client", b"x-goog-user-project", b"http-referer", b"x-title"]
)
_TO_UPSTREAM_PREFIXES = (b"anthropic-", b"openai-", b"x-stainless-")
# Set anew for every upstream request, even where the policy adds them.
_NEVER_UPSTREAM = CONNECTION_SPECIFIC | {b"host", b"content-length", b"accept-encoding"}
# What an upstream may say to the client; its cookies, CORS, HSTS, Server and account names are not for them.
_TO_CLIENT = frozenset(
    [b"content-type", b"content-encoding", b"content-language", b"content-disposition", b"cache-control", b"etag"]
    + [b"last-modified", b"retry-after", b"retry-after-ms", b"request-id", b"x-should-retry", b"openai-processing-ms"]
    + [b"openai-version", b"openai-model"]
)
_TO_CLIENT_PREFIXES = (b"x-ratelimit-", b"anthropic-ratelimit-")
# RFC 9110 5.5: no value may hold one of these; a tab may stand in it.
CONTROLS = bytes(byte for byte in range(32) if byte != 9) + b"\x7f"
_OF_THE_CONNECTION = frozenset([b"keep-alive", b"Keep-Alive", b"close"])  # Connection names no other field by these
_NOTHING: frozenset[bytes] = frozenset()
_PLAIN = b"abcdefghijklmnopqrstuvwxyz-_"
_LONGEST_NAME = 64
_NAMES = 1024  # that are remembered; clients and upstreams may make up any number of them


class _AllowList(dict[bytes, bool]):
    """Whether fields of a name pass: the answers so far, and what gives the others.

    What only begins as it should is a few plain words, and none of the `secretive` ones: who makes up a name could hide
    a key in it, or a field for one behind it.
    """

    def __init__(self, names: Set[bytes], prefixes: tuple[bytes, ...], *, secretive: tuple[bytes, ...] = ()) -> None:
        super().__init__(dict.fromkeys(names, True))
        self._prefixes = prefixes
        self._secretive = secretive

    def __missing__(self, name: bytes) -> bool:
        passes = (
            name.startswith(self._prefixes)
            and len(name) <= _LONGEST_NAME
            and not name.translate(None, _PLAIN)
            and not any(word in name for word in self._secretive)
        )
        if len(self) < _NAMES and len(name) < _NAMES:
            self[name] = passes
        return passes


_SECRETIVE = (b"key", b"auth", b"token", b"secret", b"gw_sk")
_UPSTREAM = _AllowList(_TO_UPSTREAM, _TO_UPSTREAM_PREFIXES, secretive=_SECRETIVE)
_TELLING = _AllowList(_TO_UPSTREAM | {b"connection"}, _TO_UPSTREAM_PREFIXES, secretive=_SECRETIVE)
_CLIENT = _AllowList(_TO_CLIENT, _TO_CLIENT_PREFIXES)
_VALUE = itemgetter(1)


class HeaderMap(dict[str, list[str]]):
    """Header fields as expressions see them: a map from lower-case name to values, looked up in any case."""

    def __getitem__(self, name: Any) -> list[str]:
        return super().__getitem__(name.lower() if isinstance(name, str) else name)

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name.lower() if isinstance(name, str) else name)

    def get(self, name: Any, default: Any = None) -> Any:
        return super().get(name.lower() if isinstance(name, str) else name, default)


class Fields:
    """The fields of one head; names are lower-case bytes.

    `sent` came from outside. What is in `added` the policy itself put there: it comes last, and passes every
    allow-list. `first` has the first value of each field, `repeated` says whether one is there more than once.
    """

    __slots__ = ("_map", "added", "first", "repeated", "sent")

    def __init__(self, items: Iterable[Field] = ()) -> None:
        self.sent = tuple(items)
        self.added: tuple[Field, ...] = ()
        self.first: Mapping[bytes, bytes] = dict(reversed(self.sent))
        self.repeated = len(self.first) < len(self.sent)
        self._map: HeaderMap | None = None

    @classmethod
    def received(cls, items: Iterable[Field]) -> Fields:
        """Those of a scope, as they are now. ASGI wants names in lower case; not every server keeps to that."""
        fields = cls(map(tuple, items))  # type: ignore[arg-type]  # a pair, too, is not a tuple everywhere
        if b"".join(fields.first).islower():
            return fields
        return cls([(name.lower(), value) for name, value in fields.sent])

    def __iter__(self) -> Iterator[Field]:
        return iter(self.sent + self.added)

    @property
    def map(self) -> HeaderMap:
        """All fields as a map for expressions; made on first use, and again after a change."""
        if self._map is None:
            made = HeaderMap()
            for name, value in self:
                made.setdefault(name.decode("latin-1"), []).append(value.decode("latin-1"))
            self._map = made
        return self._map

    def get(self, name: bytes) -> bytes | None:
        """The first value of a field."""
        return self.first.get(name)

    def all(self, name: bytes) -> list[bytes]:
        """Every value of a field."""
        value = self.first.get(name)
        if value is None:
            return []
        return [value for key, value in self if key == name] if self.repeated else [value]

    def has(self, name: str) -> bool:
        """Whether there is a field of that name, spelled in any case."""
        try:
            return name.lower().encode("latin-1") in self.first
        except UnicodeEncodeError:
            return False

    def texts(self, name: str) -> list[str]:
        """Every value of a field, its name spelled in any case: what the map would give, without making one."""
        try:
            raw = name.lower().encode("latin-1")
        except UnicodeEncodeError:
            return []
        first = self.first.get(raw)
        if first is None:
            return []
        return [value.decode("latin-1") for value in self.all(raw)] if self.repeated else [first.decode("latin-1")]

    def append(self, name: bytes, value: bytes) -> None:
        """Add a field on the policy's behalf; `host` is replaced, since a request has exactly one."""
        if name == b"host":
            self.remove(name)
        self.added += ((name, value),)
        self._index()

    def remove(self, name: bytes) -> bool:
        """Drop every field of that name; says whether there was one."""
        if name not in self.first:
            return False
        if not self.repeated and not self.added:
            at = self.sent.index((name, self.first[name]))
            self.sent = self.sent[:at] + self.sent[at + 1 :]
            first = dict(self.first)
            del first[name]
            self.first, self._map = first, None
            return True
        self.sent = tuple([item for item in self.sent if item[0] != name])
        if self.added:
            self.added = tuple([item for item in self.added if item[0] != name])
        self._index()
        return True

    def _index(self) -> None:
        everything = self.sent + self.added
        self.first = dict(reversed(everything))
        self.repeated = len(self.first) < len(everything)
        self._map = None


def holds_gateway_key(part_of_url: bytes) -> bool:
    """Whether there is one of our own keys in it, or what a server would read as one: percent-encoded."""
    return GATEWAY_KEY in unquote_to_bytes(part_of_url)


def field_name(name: str) -> bytes:
    """A field name as it is sent; raises ValueError where it is no token (RFC 9110 5.6.2)."""
    raw = name.encode("ascii", "replace").lower()
    if not raw or not all(33 <= byte <= 126 and byte not in b'"(),/:;<=>?@[\\]{}' for byte in raw):
        raise ValueError(f"`{name}` is not a header field name")
    return raw


def settable_name(name: str) -> bytes:
    """A field name that a policy may set; raises ValueError for those that frame the message or belong to one hop."""
    raw = field_name(name)
    if raw in CONNECTION_SPECIFIC or raw == b"content-length":
        raise ValueError(f"`{name}` belongs to the connection and cannot be set")
    return raw


def upstream_name(name: str) -> bytes:
    """The same for a request to an upstream; raises ValueError also for those that are set anew for each."""
    raw = field_name(name)
    if raw in _NEVER_UPSTREAM:
        raise ValueError(f"`{name}` belongs to the connection and cannot be set")
    return raw


def field_value(value: str) -> bytes:
    """A field value as it is sent (RFC 9110 5.5); raises ValueError on controls and on what Latin-1 cannot say."""
    try:
        raw = value.strip(" \t").encode("latin-1")
    except UnicodeEncodeError:
        raise ValueError("a header field value must be Latin-1 text") from None
    if _holds_controls(raw):
        raise ValueError("a header field value must not hold line breaks or other control characters")
    return raw


def named_by_connection(fields: Iterable[Field]) -> frozenset[bytes]:
    """RFC 9110 7.6.1: fields that Connection names belong to one hop and go no further. Names are in lower case."""
    named = [value for name, value in fields if name == b"connection"]
    return frozenset([token.strip().lower() for value in named for token in value.split(b",")])


def to_upstream(fields: Fields, withheld: Set[bytes] = _NOTHING) -> list[Field]:
    """What goes upstream: the client's fields that are allow-listed (credentials are not) and not `withheld`, then the
    policy's own.

    What the client's Connection names is gone before ours are there: it must not be able to take one of them out.
    """
    sent, added, first = fields.sent, fields.added, fields.first
    forwarded = [item for item in sent if _UPSTREAM[item[0]]]
    if b"connection" in first:
        hop = named_by_connection(sent)
        forwarded = [item for item in forwarded if item[0] not in hop]
    if not withheld.isdisjoint(first):
        forwarded = [item for item in forwarded if item[0] not in withheld]
    values = b" ".join([item[1] for item in forwarded])
    if GATEWAY_KEY in values or _holds_controls(values):
        forwarded = [item for item in forwarded if GATEWAY_KEY not in item[1] and not _holds_controls(item[1])]
    return forwarded + [item for item in added if item[0] not in _NEVER_UPSTREAM] if added else forwarded


def telling_upstream(fields: Fields) -> tuple[Field, ...]:
    """The client's fields that `to_upstream` looks at: as long as they are the same and the policy has added none, it
    gives the same."""
    return tuple([item for item in fields.sent if _TELLING[item[0]]])


def to_client(fields: Sequence[Field], named: Mapping[bytes, bytes]) -> list[Field]:
    """The upstream's fields that the client may see. Names are in lower case; `named` has the first of each."""
    passed = [item for item in fields if _CLIENT[item[0]]]
    if _holds_controls(b" ".join(map(_VALUE, passed))):
        passed = [item for item in passed if not _holds_controls(item[1])]
    if b"connection" in named and (len(named) < len(fields) or named[b"connection"] not in _OF_THE_CONNECTION):
        hop = named_by_connection(fields)
        passed = [item for item in passed if item[0] not in hop]
    return passed


def _holds_controls(values: bytes) -> bool:
    return len(values.translate(None, CONTROLS)) < len(values)
