"""`jwt-validation`: let in requests that carry tokens of issuers whom the policy names."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from pydantic import Field

from ai_gateway_mw.actions.enforcing import ENFORCE
from ai_gateway_mw.actions.jwt_documents import AllowList, HTTPTokens, Signatures, TokenPlace
from ai_gateway_mw.cel import Template
from ai_gateway_mw.context import Context
from ai_gateway_mw.errors import (
    BadBody,
    GatewayError,
    PolicyDenied,
    TokenBodyUnreadable,
    TokenFieldMissing,
    TokenFormUnreadable,
    TokenJSONUnreadable,
    TokenKeysUnavailable,
    TokenMalformed,
    TokenMethodUnfit,
    TokenMissing,
    TokenNotAllowed,
    TokenPrefixMissing,
    TokenRefused,
)
from ai_gateway_mw.headers import field_name
from ai_gateway_mw.policy import ActionConfig, Duration, Path, Phase, TemplateText
from ai_gateway_mw.runtime import Runtime
from ai_gateway_mw.upstream.fetching import Fetcher, trusted_url, web_url

if TYPE_CHECKING:
    from ai_gateway_mw.jose import JWKS, Expected, KeySet, Token

_BODY_METHODS = ("POST", "PUT", "PATCH")
_FORM = b"application/x-www-form-urlencoded"
_MAX_FORM_FIELDS = 1_000
_MAX_TRIES = 16  # of keys for a token that names none
_MISSING_EXTRA = "`%s` needs joserfc; do: pip install 'ai-gateway-mw[jwt]'"
# RFC 8725 3.11: what the header may call itself, so that one kind of token cannot pass for another. "" is none at all.
_TYPES: Mapping[str, frozenset[str] | None] = {
    "jwt": frozenset({"", "jwt", "at+jwt", "it+jwt"}),
    "at+jwt": frozenset({"at+jwt"}),
    "it+jwt": frozenset({"it+jwt"}),
    "id_token": frozenset({"", "jwt", "it+jwt"}),
    "access_token": frozenset({"", "jwt", "at+jwt"}),
    "plain": None,
}


@dataclass(frozen=True, slots=True)
class _Place:
    """A place as it runs."""

    config: TokenPlace
    name: Template
    prefix: Template


class JWTValidation:
    """Refuse requests whose tokens are missing, expired, for somebody else, or not signed by an issuer's own key."""

    name = "jwt-validation"
    phases = frozenset({Phase.ON_HTTP_REQUEST})
    guards = True

    class Config(ActionConfig):
        issuer: AllowList = Field(description="Who may have issued a token (`iss`), as URLs.")
        audience: AllowList | None = Field(
            None, description="Whom a token must be for (`aud`); omitted, it may be for anybody."
        )
        http: HTTPTokens = Field(description="Where the tokens stand in a request.")
        jws: Signatures = Field(description="How tokens must be signed.")
        leeway: Duration = Field(60.0, ge=0, le=600, description="By how much clocks may differ, at most `10m`.")
        enforce: bool = Field(True, description=ENFORCE)
        forward_tokens: bool = Field(
            True,
            description="False: header fields with tokens go no further once all are accepted. A provider without keys "
            "in the policy would get one as the client's own key.",
        )

    def __init__(self, config: Config, runtime: Runtime) -> None:
        self._config = config
        self._sparing = runtime.sparing(self.name)
        try:
            from ai_gateway_mw import jose  # noqa: PLC0415 - it needs the extra `jwt`
        except ImportError:
            runtime.problem(_MISSING_EXTRA % self.name)
            return
        self._jose = jose
        self._clock: Callable[[], float] = time.time
        self._issuers = _templates(config.issuer, runtime)
        self._audiences = _templates(config.audience, runtime) if config.audience else None
        self._places = [_place(each, runtime, number) for number, each in enumerate(config.http.tokens)]
        _check_issuers(self._issuers, runtime)
        written = config.jws.keys.sources.additional_jkus
        self._urls = [template for number, text in enumerate(written) if (template := _source(text, runtime, number))]
        self._sets: dict[str, JWKS] = {}
        self._fetch = Fetcher(runtime.stores.transport, runtime.settings.hosts)
        self._needs_key_id = bool(config.jws.keys.identification.token_claims)

    async def __call__(self, ctx: Context) -> None:
        tokens: list[dict[str, Any]] = []
        try:
            expected = self._expected(ctx)
            for place in self._places:
                tokens.append(_shown(place))
                await self._check(ctx, place, expected, tokens[-1])
        except GatewayError as error:
            ctx.publish(self.name, _result(tokens, error))
            if self._config.enforce:
                raise
            self._sparing.note(ctx, error.without_trace())
            return
        ctx.publish(self.name, _result(tokens))
        if not self._config.forward_tokens:
            for token in tokens:
                if token["location"] == "header":
                    ctx.request_fields.remove(token["location_property"].lower().encode("latin-1"))

    def _expected(self, ctx: Context) -> Expected:
        issuers = frozenset(template.render(ctx) for template in self._issuers)
        listed = self._audiences
        audiences = None if listed is None else frozenset(template.render(ctx) for template in listed)
        return self._jose.Expected(issuers - {""}, audiences, self._config.leeway)

    async def _check(self, ctx: Context, place: _Place, expected: Expected, shown: dict[str, Any]) -> None:
        name = place.name.render(ctx)
        shown["location_property"] = name
        text = await _text_at(ctx, place.config.method, name)
        prefix = place.prefix.render(ctx)
        if not text.startswith(prefix):
            raise TokenPrefixMissing("The token does not stand behind its prefix.")
        try:
            token = self._jose.parsed(text.removeprefix(prefix).strip())
        except self._jose.BadToken as error:
            raise TokenMalformed(f"The token is malformed: {error}.") from None
        shown |= {"header": token.header, "payload": token.claims, "signature": token.signature}
        await self._check_signature(token, ctx)
        wrong = self._jose.check_claims(token.claims, expected, self._clock())
        if wrong is not None:
            said, better = wrong
            raise (TokenRefused if better else TokenNotAllowed)(f"The token is not accepted: {said}.")
        types = _TYPES[place.config.type]
        if types is not None and _type_of(token) not in types:
            raise TokenNotAllowed("The token is not accepted: it is of another type.")
        shown["verified"] = True

    async def _check_signature(self, token: Token, ctx: Context) -> None:
        if token.algorithm not in self._config.jws.allowed_algorithms:
            raise TokenRefused("The token is not accepted: its algorithm is not allowed.")
        if token.key_id is None and self._needs_key_id:
            raise TokenRefused("The token is not accepted: it names no key.")
        if not await self._is_signed(token, self._sets_of(ctx)):
            raise TokenRefused("The token is not accepted: no key of its issuer has signed it.")

    async def _is_signed(self, token: Token, sets: Sequence[JWKS]) -> bool:
        """Each set is looked at as it is remembered; only where none has the key, as it is now."""
        seen: list[tuple[JWKS, KeySet]] = []
        unavailable = False
        for keys in sets:
            try:
                seen.append((keys, await keys.keys()))
            except self._jose.KeysUnavailable:
                unavailable = True
                continue
            if self._fits(token, seen[-1][1]):
                return True
        if token.key_id is None or not any(found.for_(token.algorithm, token.key_id) for _, found in seen):
            for keys, found in seen:
                again = await keys.keys_again(found)
                if again is not found and self._fits(token, again):
                    return True
        if unavailable:
            raise TokenKeysUnavailable
        return False

    def _fits(self, token: Token, keys: KeySet) -> bool:
        candidates = keys.for_(token.algorithm, token.key_id)[:_MAX_TRIES]
        return any(self._jose.is_signed_by(token, key) for key in candidates)

    def _sets_of(self, ctx: Context) -> list[JWKS]:
        return [self._set(template.render(ctx)) for template in self._urls]

    def _set(self, url: str) -> JWKS:
        found = self._sets.get(url)
        if found is None:
            try:
                trusted_url(url)
            except ValueError as error:
                raise PolicyDenied(f"jwt-validation: a URL of keys {error}") from None
            if len(self._sets) >= 2 * len(self._urls):  # a URL is made of secrets at most, and has changed since
                self._sets.clear()
            found = self._sets[url] = self._jose.JWKS(url, self._fetch)
        return found


def _templates(listed: AllowList, runtime: Runtime) -> list[Template]:
    return [runtime.template(each.value) for each in listed.allow_list]


def _check_issuers(issuers: Iterable[Template], runtime: Runtime) -> None:
    for number, template in enumerate(issuers):
        if template.constant and web_url(template.render(None)) is None:
            place: Path = ("issuer", "allow_list", number, "value")
            runtime.problem("an issuer is a URL, such as https://issuer.example.com/", field=place)


def _place(config: TokenPlace, runtime: Runtime, number: int) -> _Place:
    name = runtime.template(config.name)
    if name.constant and config.method == "header":
        try:
            field_name(name.render(None))
        except ValueError as error:
            runtime.problem(str(error), field=("http", "tokens", number, "name"))
    return _Place(config, name, runtime.template(config.prefix))


def _source(text: TemplateText, runtime: Runtime, number: int) -> Template | None:
    """The URL of a key set. What a client can write must not decide who may sign."""
    template = runtime.template(text)
    place: Path = ("jws", "keys", "sources", "additional_jkus", number)
    if template.constant:
        try:
            trusted_url(template.render(None))
        except ValueError as error:
            runtime.problem(f"a URL of keys {error}", field=place)
            return None
    elif not template.settled:
        runtime.problem("where keys come from must not depend on the request", field=place)
    return template


async def _text_at(ctx: Context, method: str, name: str) -> str:
    if method == "header":
        values = ctx.request_fields.texts(name)
        if len(set(values)) > 1:
            raise TokenMalformed("The token is malformed: its header field is there more than once.")
        if not values or not values[0]:
            raise TokenFieldMissing("The request has no token in the header field where one is expected.")
        return values[0].strip()
    if ctx.method not in _BODY_METHODS:
        raise TokenMethodUnfit(f"A token in the body needs one of {', '.join(_BODY_METHODS)}.")
    await ctx.read_body()
    found = [value for key, value in _members(ctx) if key.casefold() == name.casefold()]
    if len(found) > 1 or not isinstance(found[0] if found else "", str):
        raise TokenMalformed("The token is malformed: its field in the body is no text, or there twice.")
    if not found or not found[0]:
        raise TokenMissing("The request has no token in the field of the body where one is expected.")
    return str(found[0])


def _members(ctx: Context) -> Iterable[tuple[str, Any]]:
    kind = (ctx.request_fields.get(b"content-type") or b"").partition(b";")[0].strip().lower()
    if kind == _FORM:
        try:
            return parse_qsl(
                (ctx.body or b"").decode("ascii"),
                keep_blank_values=True,
                max_num_fields=_MAX_FORM_FIELDS,
                errors="strict",
            )
        except ValueError:
            raise TokenFormUnreadable("The form in the body cannot be read.") from None
    if kind not in (b"application/json", b"multipart/form-data"):
        raise TokenBodyUnreadable("A token in the body needs the content type application/json or that of a form.")
    try:
        payload = ctx.payload
    except BadBody:
        unreadable = TokenJSONUnreadable if kind == b"application/json" else TokenFormUnreadable
        raise unreadable("The body in which a token is expected cannot be read.") from None
    return () if payload is None else payload.value.items()


def _type_of(token: Token) -> str:
    """RFC 7515 4.1.9: `application/` may be left out."""
    written = token.header.get("typ", "")
    return written.lower().removeprefix("application/") if isinstance(written, str) else "?"


def _shown(place: _Place) -> dict[str, Any]:
    nothing: dict[str, Any] = {"header": {}, "payload": {}, "signature": ""}
    return {**nothing, "location": place.config.method, "location_property": "", "verified": False}


def _result(tokens: Sequence[Mapping[str, Any]], error: GatewayError | None = None) -> Mapping[str, Any]:
    failure = {"code": error.code, "message": error.message} if error else {"code": "", "message": ""}
    return {"tokens": list(tokens), "error": failure}
