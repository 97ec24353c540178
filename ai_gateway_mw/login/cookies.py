"""Jar: cookies that only this gateway can read or write: sealed, and cut into pieces that browsers take."""

from __future__ import annotations

import base64
import binascii
import hmac
import json
from collections.abc import Mapping
from typing import Any, Final

from ai_gateway_mw.errors import SecretError
from ai_gateway_mw.headers import Field, Fields
from ai_gateway_mw.secrets import seal, unseal

_PIECE: Final = 3_800  # RFC 6265 6.1: a browser need not take more than 4,096 bytes with name and attributes
_MAX_PIECES: Final = 4


class Jar:
    """The cookies of one request, under one secret. `secure` is whether they only travel over TLS; only on this very
    machine they need not."""

    def __init__(self, fields: Fields, secret: str, name: str, *, secure: bool, domain: str = "") -> None:
        self._sent = _cookies(fields)
        self._key = hmac.digest(secret.encode(), f"ai_gateway_mw cookies v1\0{name}".encode(), "sha256")
        # RFC 6265bis 4.1.3: browsers take these names only from this host, and over TLS; others cannot plant one.
        prefix = "" if not secure else "__Secure-" if domain else "__Host-"
        self._prefix = f"{prefix}{name}"
        place = f"; Domain={domain}" if domain else ""
        self._attributes = f"; Path=/{place}; HttpOnly; SameSite=Lax" + ("; Secure" if secure else "")

    def read(self, purpose: str) -> dict[str, Any] | None:
        """What was written for that purpose; None where nothing was, or not by us."""
        count, _, first = self._sent.get(self._name(purpose, 0), "").partition("~")
        if not (count.isascii() and count.isdigit() and len(count) == 1 and 1 <= int(count) <= _MAX_PIECES):
            return None
        rest = [self._sent.get(self._name(purpose, number), "") for number in range(1, int(count))]
        try:
            sealed = base64.b64decode("".join([first, *rest]), b"-_", validate=True)
            made = json.loads(unseal(self._key, sealed, "cookie", purpose))
        except (binascii.Error, ValueError, SecretError):
            return None
        return made if isinstance(made, dict) else None

    def write(self, purpose: str, content: Mapping[str, Any], *, seconds: float) -> list[Field] | None:
        """The fields that set it; None where it is too long."""
        sealed = seal(self._key, json.dumps(content, separators=(",", ":")).encode(), "cookie", purpose)
        text = base64.urlsafe_b64encode(sealed).decode()
        pieces = [text[at : at + _PIECE] for at in range(0, len(text), _PIECE)]
        if len(pieces) > _MAX_PIECES:
            return None
        pieces[0] = f"{len(pieces)}~{pieces[0]}"
        written = [self._field(self._name(purpose, at), piece, seconds) for at, piece in enumerate(pieces)]
        return written + self.drop(purpose, beyond=len(pieces))

    def drop(self, purpose: str, *, beyond: int = 0) -> list[Field]:
        """The fields that take away what the browser has of it, from a piece on."""
        names = (self._name(purpose, number) for number in range(beyond, _MAX_PIECES))
        return [self._field(name, "", 0) for name in names if name in self._sent]

    def purposes(self, beginning: str) -> list[str]:
        """The purposes with that beginning for which the browser has something."""
        start = f"{self._prefix}-{beginning}"
        names = (name for name in self._sent if name.startswith(start) and name.endswith("-0"))
        return [name.removeprefix(f"{self._prefix}-").removesuffix("-0") for name in names]

    def _name(self, purpose: str, piece: int) -> str:
        return f"{self._prefix}-{purpose}-{piece}"

    def _field(self, name: str, value: str, seconds: float) -> Field:
        return b"set-cookie", f"{name}={value}{self._attributes}; Max-Age={max(0, int(seconds))}".encode("latin-1")


def _cookies(fields: Fields) -> dict[str, str]:
    """The first value of each."""
    found: dict[str, str] = {}
    for line in fields.texts("cookie"):
        for pair in line.split(";"):
            name, equals, value = pair.strip().partition("=")
            if equals:
                found.setdefault(name, value)
    return found
