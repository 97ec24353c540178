"""`basic-auth`: let in whoever knows a name and its password (RFC 7617)."""

from __future__ import annotations

import base64
import binascii
import hmac
import logging
import os
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from pydantic import Field, field_validator

from ai_gateway_mw.actions.enforcing import ENFORCE
from ai_gateway_mw.cel import EvaluationError, Template
from ai_gateway_mw.context import Context
from ai_gateway_mw.errors import AmbiguousCredentials, WrongCredentials
from ai_gateway_mw.policy import ActionConfig, Path, Phase, TemplateText
from ai_gateway_mw.runtime import Runtime

_log = logging.getLogger("ai_gateway_mw.policy")
_SHORTEST, _LONGEST = 8, 128  # characters of a password
_MAX_PRESENTED = 8 * 1024  # of base64
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")  # RFC 7617 2: neither part may hold one
_AUTHORIZATION = b"authorization"


class Credential(ActionConfig):
    """A name and its password, each for itself."""

    username: TemplateText = Field(description="The name; without a colon.")
    password: TemplateText = Field(description="The password, best as `${secrets.get('vault', 'name')}`.")


class Pair(NamedTuple):
    """What is compared: digests, so that neither lengths nor how far two texts agree can be timed."""

    username: bytes
    password: bytes


class BasicAuth:
    """Ask for a name and a password, and refuse everybody else with a challenge.

    Every pair is compared with every pair that is presented, to its end, also where no such name is known.
    """

    name = "basic-auth"
    phases = frozenset({Phase.ON_HTTP_REQUEST})
    guards = True

    class Config(ActionConfig):
        credentials: tuple[TemplateText | Credential, ...] = Field(
            min_length=1,
            max_length=10,
            description="Pairs as `name:password`, best with the password as `${secrets.get('vault', 'name')}`.",
        )
        realm: str = Field("ngrok", max_length=128, description="What browsers call the place that asks.")
        enforce: bool = Field(True, description=ENFORCE)
        forward_authorization: bool = Field(
            True, description="False: the pair goes no further once it was accepted; providers never see it."
        )

        @field_validator("realm")
        @classmethod
        def _is_quotable(cls, value: str) -> str:
            if not value.isascii() or _CONTROLS.search(value):
                raise ValueError("must be printable ASCII text")
            return value

    def __init__(self, config: Config, runtime: Runtime) -> None:
        self._enforce = config.enforce
        self._sparing = runtime.sparing(self.name)
        self._forward = config.forward_authorization
        self._challenge = f'Basic realm="{_quoted(config.realm)}", charset="UTF-8"'
        self._key = os.urandom(32)
        self._pairs: list[_Known] = []
        for number, written in enumerate(config.credentials):
            known = _known(written, runtime, ("credentials", number))
            if known is not None:
                self._pairs.append(known)
                _check(known, runtime, ("credentials", number))
        self._constant = [self._digests(*known.render(None)) for known in self._pairs if _is_constant(known)]

    async def __call__(self, ctx: Context) -> None:
        values = ctx.request_fields.all(_AUTHORIZATION)
        if len(set(values)) > 1:
            raise AmbiguousCredentials("The request has two different Authorization fields.")
        presented = _presented(values[0] if values else b"")
        authorized = self._is_known(presented or ("", ""), ctx) and presented is not None
        ctx.publish(self.name, _result(presented, authorized))
        if authorized:
            if not self._forward:
                ctx.request_fields.remove(_AUTHORIZATION)
            return
        refusal = WrongCredentials(self._challenge)
        if self._enforce:
            raise refusal
        self._sparing.note(ctx, refusal)

    def _is_known(self, presented: tuple[str, str], ctx: Context) -> bool:
        given = self._digests(*presented)
        matches = 0
        for pair in (*self._constant, *self._rendered(ctx)):
            name = hmac.compare_digest(pair.username, given.username)
            password = hmac.compare_digest(pair.password, given.password)
            matches += name & password
        return matches > 0

    def _rendered(self, ctx: Context) -> list[Pair]:
        pairs = []
        for number, known in enumerate(self._pairs, 1):
            if _is_constant(known):
                continue
            try:
                username, password = known.render(ctx)
                fault = _fault(username, password)
            except EvaluationError as error:
                fault = str(error)
            if fault:
                _log.warning("basic-auth: credential %d cannot be used: %s", number, fault)
            else:
                pairs.append(self._digests(username, password))
        return pairs

    def _digests(self, username: str, password: str) -> Pair:
        key = self._key
        return Pair(
            *(hmac.digest(key, text.encode("utf-8", "surrogatepass"), "sha256") for text in (username, password))
        )


class _Known(NamedTuple):
    """A credential of the policy: two templates, or one that makes the whole pair."""

    first: Template
    password: Template | None
    cut: int = -1  # where the colon stands among the parts of a text that has both

    def render(self, ctx: Context | None) -> tuple[str, str]:
        if self.password is not None:
            return self.first.render(ctx), self.password.render(ctx)
        if self.cut < 0:
            username, colon, password = self.first.render(ctx).partition(":")
            return (username, password) if colon else ("", "")
        parts = self.first.parts
        before = Template("", (*parts[: self.cut], str(parts[self.cut]).partition(":")[0]))
        after = Template("", (str(parts[self.cut]).partition(":")[2], *parts[self.cut + 1 :]))
        return before.render(ctx), after.render(ctx)


def _known(written: TemplateText | Credential, runtime: Runtime, place: Path) -> _Known | None:
    if isinstance(written, Credential):
        return _Known(runtime.template(written.username), runtime.template(written.password))
    template = runtime.template(written)
    cut = next((at for at, part in enumerate(template.parts) if isinstance(part, str) and ":" in part), -1)
    if cut < 0 and len(template.parts) != 1:
        runtime.problem("a credential is `name:password`: write the colon between what makes the two", field=place)
        return None
    return _Known(template, None, cut)


def _is_constant(known: _Known) -> bool:
    return known.first.constant and (known.password is None or known.password.constant)


def _check(known: _Known, runtime: Runtime, place: Path) -> None:
    """Report what can be told without a request."""
    if _is_constant(known):
        fault = _fault(*known.render(None))
        if fault:
            runtime.problem(f"a credential that cannot be used: {fault}", field=place)


def _fault(username: str, password: str) -> str:
    """What is wrong with a pair, without a character of it."""
    if not username:
        return "there is no name before the first colon"
    if ":" in username:
        return "the name has a colon, which ends it (RFC 7617)"
    if not _SHORTEST <= len(password) <= _LONGEST:
        return f"its password has fewer than {_SHORTEST} or more than {_LONGEST} characters"
    if _CONTROLS.search(username) or _CONTROLS.search(password):
        return "it holds a control character"
    return ""


def _presented(value: bytes) -> tuple[str, str] | None:
    """Name and password of an Authorization field, None where there are none (RFC 7617 2)."""
    scheme, _, encoded = value.strip().partition(b" ")
    if scheme.lower() != b"basic" or len(encoded) > _MAX_PRESENTED:
        return None
    try:
        text = base64.b64decode(encoded.strip(), validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        return None
    username, colon, password = text.partition(":")
    return (username, password) if colon and not _CONTROLS.search(text) else None


def _result(presented: tuple[str, str] | None, authorized: bool) -> Mapping[str, Any]:
    shown = {
        "presented": presented is not None,
        "username": presented[0] if presented else "",
        "authorized": authorized,
    }
    return {"credentials": shown}


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
