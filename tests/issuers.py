"""An issuer of tokens, and the transport through which its keys are fetched. Tokens are put together by hand with the
`cryptography` package: what is tested shares no code with what it is tested by."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from typing import Any

import httpx
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

ISSUER = "https://issuer.example.com/"
JWKS_URL = "https://issuer.example.com/.well-known/jwks.json"
_CURVES: Mapping[str, tuple[str, ec.EllipticCurve, int]] = {
    "ES256": ("P-256", ec.SECP256R1(), 32),
    "ES384": ("P-384", ec.SECP384R1(), 48),
    "ES512": ("P-521", ec.SECP521R1(), 66),
}
RSA_KEY = rsa.generate_private_key(65537, 2048)
OTHER_RSA_KEY = rsa.generate_private_key(65537, 2048)


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value: int, size: int | None = None) -> str:
    return b64(value.to_bytes(size or (value.bit_length() + 7) // 8, "big"))


def rsa_jwk(key: rsa.RSAPrivateKey, kid: str | None = "k1", **more: Any) -> dict[str, Any]:
    public = key.public_key().public_numbers()
    named = {} if kid is None else {"kid": kid}
    return {"kty": "RSA", "n": number(public.n), "e": number(public.e), **named, **more}


def key_for(algorithm: str) -> tuple[Any, dict[str, Any]]:
    """A private key and its public JWK."""
    if algorithm in _CURVES:
        name, curve, size = _CURVES[algorithm]
        key = ec.generate_private_key(curve)
        public = key.public_key().public_numbers()
        return key, {"kty": "EC", "crv": name, "x": number(public.x, size), "y": number(public.y, size), "kid": "k1"}
    if algorithm == "EdDSA":
        edwards = ed25519.Ed25519PrivateKey.generate()
        return edwards, {"kty": "OKP", "crv": "Ed25519", "x": b64(edwards.public_key().public_bytes_raw()), "kid": "k1"}
    return RSA_KEY, rsa_jwk(RSA_KEY)


def signature(algorithm: str, key: Any, text: bytes) -> bytes:
    if algorithm == "none":
        return b""
    hashing: Any = {"256": hashes.SHA256, "384": hashes.SHA384, "512": hashes.SHA512}.get(algorithm[-3:])
    if algorithm.startswith("HS"):
        return hmac.digest(key, text, hashlib.sha256)
    if algorithm.startswith("RS"):
        return bytes(key.sign(text, padding.PKCS1v15(), hashing()))
    if algorithm.startswith("PS"):
        salted = padding.PSS(padding.MGF1(hashing()), hashing.digest_size)
        return bytes(key.sign(text, salted, hashing()))
    if algorithm.startswith("ES"):
        r, s = decode_dss_signature(key.sign(text, ec.ECDSA(hashing())))
        size = _CURVES[algorithm][2]
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")
    return bytes(key.sign(text))


def signed(head: Any, payload: Any, key: Any, algorithm: str | None = None) -> str:
    """A token of exactly this header and payload; text is taken as it is."""
    parts = [each if isinstance(each, str) else json.dumps(each) for each in (head, payload)]
    text = ".".join(b64(part.encode()) for part in parts)
    return f"{text}.{b64(signature(algorithm or head['alg'], key, text.encode()))}"


def token(
    claims: Mapping[str, Any] | None = None,
    *,
    algorithm: str = "RS256",
    key: Any = RSA_KEY,
    kid: str | None = "k1",
    typ: str | None = "JWT",
    **header: Any,
) -> str:
    """A token of the issuer that is good for five minutes; a claim that is None is left out."""
    now = time.time()
    said = {"iss": ISSUER, "aud": "api", "sub": "ada", "exp": now + 300, "iat": now} | dict(claims or {})
    head = {"alg": algorithm, "kid": kid, "typ": typ} | header
    return signed(_without_none(head), _without_none(said), key)


def _without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


class KeyServer:
    """Answers with key sets, and counts who asks."""

    def __init__(self, *keys: Mapping[str, Any]) -> None:
        self.sets: dict[str, Any] = {JWKS_URL: {"keys": list(keys or (rsa_jwk(RSA_KEY),))}}
        self.requests: list[httpx.Request] = []
        self.failure: Exception | httpx.Response | None = None

    @property
    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self._answer)

    def publish(self, *keys: Mapping[str, Any], url: str = JWKS_URL) -> None:
        self.sets[url] = {"keys": list(keys)}

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if isinstance(self.failure, Exception):
            raise self.failure
        if self.failure is not None:
            return self.failure
        found = self.sets.get(str(request.url))
        return httpx.Response(404) if found is None else httpx.Response(200, json=found)
