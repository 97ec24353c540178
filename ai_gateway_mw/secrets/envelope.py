"""Sealing with AES-256-GCM: what is sealed can be opened only with its key and under the identity it was sealed for."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from ai_gateway_mw.errors import SecretError, SecretUnusable

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12  # NIST SP 800-38D 8.2.2: random, so fewer than 2**32 messages for one key


def seal(key: bytes, plain: bytes, *identity: str, random: Callable[[int], bytes] = os.urandom) -> bytes:
    """Nonce and ciphertext. `identity` says what this is (its kind, table row, key version) and is authenticated."""
    nonce = random(_NONCE_BYTES)
    return nonce + _cipher(key).encrypt(nonce, plain, _associated(identity))


def unseal(key: bytes, sealed: bytes, *identity: str) -> bytes:
    """What was sealed. Raises `SecretUnusable` for another key, another identity, or one changed bit."""
    cipher = _cipher(key)
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415  (as in _cipher)

    try:
        return cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], _associated(identity))
    except (InvalidTag, ValueError):
        raise SecretUnusable(f"{' '.join(identity)} was not sealed with this key, or not for this place") from None


def _associated(identity: tuple[str, ...]) -> bytes:
    return "\0".join(identity).encode()


def _cipher(key: bytes) -> AESGCM:
    # Imported here because it comes with the `server` extra: the core does without until the vault is used.
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415
    except ImportError:
        raise SecretError("the local vault needs the `server` extra: pip install 'ai-gateway-mw[server]'") from None
    return AESGCM(key)
