"""The keys of a JWK Set (RFC 7517) that signatures may be checked with: public ones, each for its own algorithms."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey

_MAX_KEYS: Final = 100
_MIN_RSA_BITS: Final = 2048  # RFC 7518 3.3
_MAX_RSA_BITS: Final = 8192  # one signature of a larger one would take long to check
# RFC 7518 3.1, RFC 8037 3.1: what a key must be for an algorithm. None of them is symmetric.
ALGORITHMS: Final[Mapping[str, tuple[str, str]]] = {
    "RS256": ("RSA", ""),
    "RS384": ("RSA", ""),
    "RS512": ("RSA", ""),
    "PS256": ("RSA", ""),
    "PS384": ("RSA", ""),
    "PS512": ("RSA", ""),
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
    "EdDSA": ("OKP", "Ed25519"),
}
SYMMETRIC: Final = frozenset({"HS256", "HS384", "HS512"})
_PUBLIC: Final[Mapping[str, tuple[type[RSAKey | ECKey | OKPKey], tuple[str, ...]]]] = {
    "RSA": (RSAKey, ("n", "e")),
    "EC": (ECKey, ("crv", "x", "y")),
    "OKP": (OKPKey, ("crv", "x")),
}


@dataclass(frozen=True, slots=True)
class VerifyKey:
    """A public key; `algorithms` are those that it may be used with."""

    id: str | None
    algorithms: frozenset[str]
    key: RSAKey | ECKey | OKPKey


class KeySet:
    """The usable keys of a set, in its order."""

    def __init__(self, keys: Iterable[VerifyKey] = ()) -> None:
        self.keys = tuple(keys)

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> KeySet:
        """Raises ValueError for what is no JWK Set; a key of it that cannot be used is passed over (RFC 7517 5)."""
        written = document.get("keys")
        if not isinstance(written, list) or len(written) > _MAX_KEYS:
            raise ValueError(f"this is no set of at most {_MAX_KEYS} keys")
        return cls(key for each in written if (key := _key(each)) is not None)

    def for_(self, algorithm: str, key_id: str | None) -> Sequence[VerifyKey]:
        """The keys that may have made a signature: where the token names one, only that."""
        return [key for key in self.keys if algorithm in key.algorithms and (key_id is None or key.id == key_id)]


def _key(written: Any) -> VerifyKey | None:
    if not isinstance(written, dict):
        return None
    known = _PUBLIC.get(str(written.get("kty")))
    operations = written.get("key_ops", ["verify"])
    if known is None or written.get("use", "sig") != "sig":
        return None
    kind, members = known
    if not isinstance(operations, list) or "verify" not in operations:
        return None
    algorithms = _algorithms(written)
    key_id = written.get("kid")
    public = {name: written[name] for name in members if isinstance(written.get(name), str)}
    if not algorithms or not (key_id is None or isinstance(key_id, str)):
        return None
    try:
        return VerifyKey(key_id, algorithms, kind.import_key({"kty": written["kty"], **public}))
    except (JoseError, ValueError, TypeError, KeyError):
        return None


def _algorithms(written: Mapping[str, Any]) -> frozenset[str]:
    """RFC 8725 3.1: one key, one algorithm where the set says which."""
    kind, curve = str(written.get("kty")), written.get("crv", "")
    if kind == "RSA" and not _MIN_RSA_BITS <= _bits(written.get("n")) <= _MAX_RSA_BITS:
        return frozenset()
    fitting = {name for name, need in ALGORITHMS.items() if need == (kind, "" if kind == "RSA" else curve)}
    named = written.get("alg")
    return frozenset(fitting if named is None else fitting & {named} if isinstance(named, str) else ())


def _bits(number: Any) -> int:
    """About how many bits a base64url number has."""
    return len(number) * 6 if isinstance(number, str) else 0
