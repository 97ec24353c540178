"""Token: a signed JWT (RFC 7519) in compact form, taken apart; and whether a key made its signature."""

from __future__ import annotations

import binascii
import json
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwa import JWSAlgModel
from joserfc.jws import JWSRegistry
from joserfc.util import urlsafe_b64decode

from ai_gateway_mw.jose.keys import VerifyKey

MAX_TOKEN: Final = 16 * 1024
_MAX_HEADER: Final = 4 * 1024


class BadToken(Exception):
    """The text is no token that could be checked; the message holds nothing of it."""


@dataclass(frozen=True, slots=True)
class Token:
    """What a token says; nothing of it may be believed before its signature was checked."""

    text: str = field(repr=False)
    header: dict[str, Any]
    claims: dict[str, Any] = field(repr=False)

    @property
    def signature(self) -> str:
        return self.text.rpartition(".")[2]

    @property
    def algorithm(self) -> str:
        return str(self.header["alg"])

    @property
    def key_id(self) -> str | None:
        """The key that it names."""
        key_id: str | None = self.header.get("kid")
        return key_id


def parsed(text: str) -> Token:
    """A token's parts. Raises `BadToken`."""
    if len(text) > MAX_TOKEN:
        raise BadToken(f"it is longer than {MAX_TOKEN} characters")
    parts = text.split(".")
    if len(parts) != 3 or not text.isascii():
        raise BadToken("it does not have three parts")
    if len(parts[0]) > _MAX_HEADER:
        raise BadToken("its header is too long")
    header, claims = _object(parts[0]), _object(parts[1])
    if not isinstance(header.get("alg"), str):
        raise BadToken("it names no algorithm")
    if not isinstance(header.get("kid", ""), str):
        raise BadToken("its key id is no text")
    # RFC 7515 4.1.11: what it says must be understood is an extension, and we have none; RFC 7797 is one of them.
    if "crit" in header or "b64" in header:
        raise BadToken("it needs an extension that is not known here")
    return Token(text, header, claims)


def is_signed_by(token: Token, key: VerifyKey) -> bool:
    """Whether the key made the signature, with the algorithm that the token names and the key is for."""
    if token.algorithm not in key.algorithms:
        return False
    try:
        jws.deserialize_compact(token.text, key.key, registry=_Registry(token.algorithm))
    except (JoseError, ValueError, TypeError):
        return False
    return True


class _Registry(JWSRegistry):
    """One algorithm, and any header: the keys do not come from there, and it was looked at before."""

    max_header_length = _MAX_HEADER
    max_payload_length = MAX_TOKEN
    max_signature_length = MAX_TOKEN

    def __init__(self, algorithm: str) -> None:
        super().__init__(algorithms=[algorithm], strict_check_header=False)
        self._algorithm = algorithm

    def get_alg(self, name: str) -> JWSAlgModel:
        if name != self._algorithm:
            raise ValueError
        return self.algorithms[name]  # without joserfc's warning about the name EdDSA, which issuers use


def _object(part: str) -> dict[str, Any]:
    try:
        made = json.loads(urlsafe_b64decode(part.encode()), parse_constant=_refused, object_pairs_hook=_once)
    except (binascii.Error, ValueError, RecursionError):
        raise BadToken("it cannot be read") from None
    if not isinstance(made, dict):
        raise BadToken("it cannot be read")
    return made


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """RFC 7515 4, RFC 7519 4: a name that is there twice is refused, or two readers would see two values."""
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError
    return made


def _refused(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
