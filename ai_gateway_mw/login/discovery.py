"""Discovery: the endpoints of an OpenID provider (OpenID Connect Discovery 1.0), and its word for who somebody is."""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from ai_gateway_mw.jose import ALGORITHMS, JWKS, BadToken, Expected, KeysUnavailable, Token, check_claims, is_signed_by
from ai_gateway_mw.jose import parsed as parsed_token
from ai_gateway_mw.login.provider import Client, Endpoints, Identity, Refused, Tokens, ask_who, identity_of
from ai_gateway_mw.upstream.fetching import Fetcher, FetchFailed, trusted_url
from ai_gateway_mw.upstream.remembered import Remembered

_TTL: Final = 3_600.0
_STALE: Final = 24 * 3_600.0
_GAP: Final = 5.0  # between two questions after a failure
_PATH: Final = "/.well-known/openid-configuration"


class Discovery:
    """The document, remembered for an hour, and for a day while the provider cannot be reached."""

    def __init__(self, issuer: str, fetch: Fetcher, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._issuer = issuer
        self._fetch = fetch
        self._document = Remembered(self._ask, ttl=_TTL, stale=_STALE, gap=_GAP, clock=clock)
        self._failure = FetchFailed("the provider was not asked yet")

    async def endpoints(self) -> Endpoints:
        """Raises `FetchFailed`."""
        found = await self._document.get()
        if found is None:
            raise FetchFailed(str(self._failure))
        return found

    async def _ask(self) -> Endpoints | None:
        try:
            made = (await self._fetch(self._issuer.rstrip("/") + _PATH)).object()
            return _endpoints(made, self._issuer)
        except FetchFailed as error:
            self._failure = error
            return None


def _endpoints(made: Mapping[str, Any], issuer: str) -> Endpoints:
    if str(made.get("issuer")).rstrip("/") != issuer.rstrip("/"):  # Discovery 4.3
        raise FetchFailed("the discovery document is that of another issuer")
    found: dict[str, Any] = {name: made.get(f"{name}_endpoint") for name in ("authorization", "token", "userinfo")}
    found["jwks"] = made.get("jwks_uri")
    for name, url in found.items():
        if name == "userinfo" and url is None:
            found[name] = ""
            continue
        try:
            trusted_url(url if isinstance(url, str) else "")
        except ValueError as error:
            raise FetchFailed(f"the discovery document: `{name}` {error}") from None
    offered = made.get("id_token_signing_alg_values_supported", ["RS256"])
    methods = made.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
    algorithms = tuple(name for name in ALGORITHMS if isinstance(offered, list) and name in offered)
    basic = not isinstance(methods, list) or "client_secret_basic" in methods
    issuer = str(made["issuer"])  # tokens name it exactly so
    return Endpoints(**found, issuer=issuer, algorithms=algorithms, basic=basic)


class DiscoveredProvider:
    """An OpenID provider. Who somebody is says its signed token; what else is known of them, its userinfo."""

    pkce = True

    def __init__(self, issuer: str, fetch: Fetcher, *, clock: Callable[[], float] = time.time) -> None:
        self.issuer = issuer
        self._fetch = fetch
        self._clock = clock
        self._discovery = Discovery(issuer, fetch)
        self._keys: dict[str, JWKS] = {}

    async def endpoints(self) -> Endpoints:
        return await self._discovery.endpoints()

    async def identity(self, tokens: Tokens, client: Client, nonce: str | None) -> Identity:
        endpoints = await self.endpoints()
        claims: Mapping[str, Any] = {}
        if nonce is not None:
            claims = await self._claims(tokens.identity, endpoints, client, nonce)
        elif tokens.identity:  # some say there, and nowhere else, what the e-mail address and the name are
            claims = parsed_token(tokens.identity).claims
        said = await ask_who(self._fetch, endpoints.userinfo, tokens.access) if endpoints.userinfo else {}
        if claims and said and said.get("sub") != claims["sub"]:  # Core 5.3.2
            raise Refused("the provider says two things about who this is")
        return identity_of({**claims, **said}, "sub", "email", "name")

    async def _claims(self, text: str, endpoints: Endpoints, client: Client, nonce: str) -> Mapping[str, Any]:
        """The claims of an ID token (Core 3.1.3.7)."""
        try:
            token = parsed_token(text)
        except BadToken:
            raise Refused("the ID token is malformed") from None
        if token.algorithm not in endpoints.algorithms or not await self._is_signed(token, endpoints.jwks):
            raise Refused("the ID token is not signed by the provider")
        wrong = check_claims(token.claims, Expected((endpoints.issuer,), (client.id,)), self._clock())
        if wrong is not None:
            raise Refused(f"the ID token is not accepted: {wrong[0]}")
        claims = token.claims
        if claims.get("azp", client.id) != client.id or not isinstance(claims.get("sub"), str):
            raise Refused("the ID token is for another client, or for nobody")
        if not hmac.compare_digest(str(claims.get("nonce", "")).encode(), nonce.encode()):
            raise Refused("the ID token is that of another login")
        return claims

    async def _is_signed(self, token: Token, url: str) -> bool:
        jwks = self._keys.get(url)
        if jwks is None:
            self._keys = {url: (jwks := JWKS(url, self._fetch))}
        try:
            keys = await jwks.keys()
        except KeysUnavailable:
            raise FetchFailed("the keys of the provider cannot be had") from None
        for found in (keys, None):
            current = found or await jwks.keys_again(keys)
            if any(is_signed_by(token, key) for key in current.for_(token.algorithm, token.key_id)):
                return True
        return False
