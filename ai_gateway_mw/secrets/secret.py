"""Secret: a value that travels without ever showing itself, and the rules that its name and its text must meet."""

from __future__ import annotations

import hashlib
import hmac
import re
import unicodedata
from typing import Any, Final, NoReturn, final

from pydantic_core import core_schema

from ai_gateway_mw.errors import SecretError, SecretUnusable

MAX_LENGTH: Final = 65_536
_NAME: Final = re.compile(r"[A-Za-z0-9_./-]{1,255}")


@final
class Secret:
    """A credential and where it came from (`name`, as "vault/name").

    Whatever shows objects (`str`, formatting, logging, tracebacks with locals, pickle, pydantic) gets
    `Secret('vault/name')`. `reveal()` belongs into the one line that writes the upstream field.
    """

    __slots__ = ("_value", "name")

    name: str
    _value: str

    def __init__(self, value: str, name: str) -> None:
        object.__setattr__(self, "_value", value)
        object.__setattr__(self, "name", name)

    def reveal(self) -> str:
        """The value itself."""
        return self._value

    @property
    def fingerprint(self) -> str:
        """An id that is safe to log for a value of high entropy, such as a provider's key: no way leads back."""
        return f"sha256:{self._digest().hex()[:12]}"

    def _digest(self) -> bytes:
        return hashlib.sha256(self._value.encode("utf-8", "surrogatepass")).digest()

    def __eq__(self, other: object) -> bool:
        """Whether the values are the same, found in constant time; never equal to a plain string."""
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._digest(), other._digest())

    def __hash__(self) -> int:
        return hash(self._digest())

    def __repr__(self) -> str:
        return f"Secret({self.name!r})"

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"{self!r} cannot be changed")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{self!r} cannot be changed")

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: object) -> Secret:
        return self

    def __getstate__(self) -> None:
        """Nothing: `object.__getstate__` would hand out the slots."""

    def __reduce_ex__(self, protocol: object) -> tuple[type[str], tuple[str]]:
        # What crosses to another process is the text, which nobody can take for a credential: it has no `reveal`.
        return str, (repr(self),)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> core_schema.CoreSchema:
        return core_schema.is_instance_schema(cls, serialization=core_schema.to_string_ser_schema())


def full_name(vault: str, name: str) -> str:
    """The two as "vault/name", once both are fit to be looked up. Raises `SecretError`."""
    for kind, text in (("vault", vault), ("secret", name)):
        if not _NAME.fullmatch(text):
            raise SecretError(f"{text[:80]!r} cannot name a {kind}: letters, digits, `_`, `.`, `/` and `-` only")
        if any(part in ("", ".") or part.startswith("..") for part in text.split("/")):
            raise SecretError(
                f"`{text}` cannot name a {kind}: a part between slashes is empty, `.`, or starts with `..`"
            )
    return f"{vault}/{name}"


def usable(value: str, name: str, place: str) -> Secret:
    """The value found at `place`, as a Secret. Raises `SecretUnusable` for what cannot serve as a credential."""
    fault = _fault(value)
    if fault:
        raise SecretUnusable(f"secret {name} ({place}) {fault}")
    return Secret(value, name)


def _fault(value: str) -> str:
    if not value.strip():
        return "is empty"
    if len(value) > MAX_LENGTH:
        return f"is longer than {MAX_LENGTH:,} characters"
    kinds = {unicodedata.category(character) for character in value}
    if "Cc" in kinds:
        return "holds a line break or another control character"
    return "is not valid text" if "Cs" in kinds else ""
