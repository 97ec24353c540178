"""Provider: what a login asks of an identity provider: tokens for a code or a refresh token, and who somebody is."""

from __future__ import annotations

import base64
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Protocol
from urllib.parse import quote_plus, urlencode

from ai_gateway_mw.headers import Field
from ai_gateway_mw.upstream.fetching import Fetcher, FetchFailed

_log = logging.getLogger("ai_gateway_mw.policy")
_FORM: Final = (b"content-type", b"application/x-www-form-urlencoded")
_AGENT: Final = (b"user-agent", b"ai-gateway-mw")  # GitHub refuses requests without one
_MAX_TEXT: Final = 256
# RFC 6749 5.2; the last is GitHub's.
_OF_THE_CLIENT: Final = frozenset({"invalid_client", "unauthorized_client", "incorrect_client_credentials"})


class Refused(Exception):
    """The provider says no: the code or token is used up, expired or revoked."""


class Client(NamedTuple):
    """The app that is registered at the provider."""

    id: str
    secret: str


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where a provider is asked."""

    authorization: str
    token: str
    userinfo: str = ""
    issuer: str = ""
    jwks: str = ""
    algorithms: tuple[str, ...] = ()
    basic: bool = False  # how the client authenticates: RFC 6749 2.3.1, or in the form


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a provider hands out."""

    access: str = field(repr=False)
    refresh: str = field(default="", repr=False)
    identity: str = field(default="", repr=False)
    lifetime: float = 0.0


@dataclass(frozen=True, slots=True)
class Identity:
    """Who somebody is; the e-mail address is empty where the provider says that it is not verified."""

    user_id: str
    email: str = ""
    name: str = ""


class Provider(Protocol):
    """An identity provider. What it cannot be asked raises `FetchFailed`, what it will not do `Refused`."""

    @property
    def issuer(self) -> str:
        """Empty where the provider signs no tokens about people."""
        ...

    @property
    def pkce(self) -> bool: ...

    async def endpoints(self) -> Endpoints: ...

    async def identity(self, tokens: Tokens, client: Client, nonce: str | None) -> Identity:
        """`nonce` is that of the login which has just brought these tokens, None for a later look, at which the ID
        token is one that was checked then."""
        ...


async def ask_for_tokens(fetch: Fetcher, endpoints: Endpoints, client: Client, parameters: Mapping[str, str]) -> Tokens:
    """RFC 6749 4.1.3 and 6. Raises `Refused` and `FetchFailed`."""
    form, fields = dict(parameters), [_FORM, _AGENT]
    if endpoints.basic:
        pair = f"{quote_plus(client.id)}:{quote_plus(client.secret)}"
        fields.append((b"authorization", b"Basic " + base64.b64encode(pair.encode())))
    else:
        form |= {"client_id": client.id, "client_secret": client.secret}
    answer = await fetch(endpoints.token, method="POST", fields=fields, content=urlencode(form).encode())
    made = answer.json()
    if made is not None and isinstance(made.get("error"), str) and answer.status < 500:  # GitHub says it with 200
        if made["error"] in _OF_THE_CLIENT:
            _log.warning("%s does not accept `client_id` or `client_secret`", answer.host)
            raise Refused("the provider does not accept this app as its client")
        raise Refused("the provider did not accept the code or the token")
    made = answer.object()
    access = made.get("access_token")
    if not isinstance(access, str) or not access or str(made.get("token_type", "bearer")).lower() != "bearer":
        raise FetchFailed(f"the answer of {answer.host} holds no access token")
    return Tokens(access, _text(made, "refresh_token", None), _text(made, "id_token", None), _lifetime(made))


async def ask_who(fetch: Fetcher, url: str, access_token: str) -> dict[str, Any]:
    """What the provider says of whose token it is. Raises `Refused` and `FetchFailed`."""
    fields: Sequence[Field] = [(b"authorization", b"Bearer " + access_token.encode()), _AGENT]
    answer = await fetch(url, fields=fields)
    if answer.status in (401, 403):
        raise Refused("the provider does not accept the access token any more")
    return answer.object()


@dataclass(frozen=True, slots=True)
class NamedProvider:
    """One of the providers that have no discovery, or need none: who somebody is, they say over TLS to whoever has
    the token that they have just handed out."""

    fetch: Fetcher
    places: Endpoints
    id_member: str = "sub"
    email_member: str = "email"
    name_member: str = "name"
    pkce: bool = True
    issuer: str = ""

    async def endpoints(self) -> Endpoints:
        return self.places

    async def identity(self, tokens: Tokens, client: Client, nonce: str | None) -> Identity:
        made = await ask_who(self.fetch, self.places.userinfo, tokens.access)
        return identity_of(made, self.id_member, self.email_member, self.name_member)


def identity_of(made: Mapping[str, Any], id_member: str, email_member: str, name_member: str) -> Identity:
    """Raises `FetchFailed` where it does not say who it is."""
    user_id = made.get(id_member)
    if isinstance(user_id, int) and not isinstance(user_id, bool):
        user_id = str(user_id)
    if not isinstance(user_id, str) or not 0 < len(user_id) <= _MAX_TEXT:
        raise FetchFailed("the provider does not say whose token it is")
    verified = made.get("email_verified", True) in (True, "true")  # Amazon Cognito sends text
    return Identity(user_id, _text(made, email_member) if verified else "", _text(made, name_member))


def _text(made: Mapping[str, Any], name: str, limit: int | None = _MAX_TEXT) -> str:
    value = made.get(name)
    return value[:limit] if isinstance(value, str) else ""


def _lifetime(made: Mapping[str, Any]) -> float:
    value = made.get("expires_in")
    try:
        return min(max(float(value), 0.0), 1e9) if isinstance(value, int | float | str) else 0.0
    except (ValueError, OverflowError):
        return 0.0
