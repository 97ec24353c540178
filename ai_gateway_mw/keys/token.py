"""The text of a gateway key: how it is made, recognised, stored and shown.

`gw_sk_`, 32 characters of base62 (190 bits), 6 of base62 with the CRC-32 of all that precedes them.
"""

from __future__ import annotations

import hmac
import re
import secrets
import string
import zlib
from collections.abc import Sequence
from typing import Final, Protocol

PREFIX: Final = "gw_sk_"
PATTERN: Final = r"\bgw_sk_[0-9A-Za-z]{38}\b"  # for secret scanners
_ALPHABET: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase
_DIGITS: Final = {character: digit for digit, character in enumerate(_ALPHABET)}
_RANDOM: Final = 32
_CHECKSUM: Final = 6
LENGTH: Final = len(PREFIX) + _RANDOM + _CHECKSUM
ENVIRONMENTS: Final = ("production", "staging", "development", "testing", "ci")
_ANYWHERE: Final = re.compile(PREFIX + "[0-9A-Za-z]+")
_NAME: Final = re.compile(rf"(?:{'|'.join(ENVIRONMENTS)})(?:-[a-z0-9]+)+")


class Chooser(Protocol):
    """The part of `secrets` and of `random.Random` that makes a token."""

    def choice(self, seq: Sequence[str], /) -> str: ...


def generate(random: Chooser = secrets) -> str:
    """A new key, to be shown once."""
    text = PREFIX + "".join(random.choice(_ALPHABET) for _ in range(_RANDOM))
    return text + _checksum(text)


def well_formed(value: str) -> bool:
    """Whether this can be a key at all; told from the text alone, so that junk costs no look-up."""
    random_part = value[len(PREFIX) :]
    if len(value) != LENGTH or not value.startswith(PREFIX) or not (random_part.isascii() and random_part.isalnum()):
        return False
    number = 0
    for character in value[-_CHECKSUM:]:
        number = number * len(_ALPHABET) + _DIGITS[character]
    return number == zlib.crc32(value[:-_CHECKSUM].encode())


def digest(value: str, pepper: bytes) -> bytes:
    """What is stored in the key's place. A fast hash is enough: 190 bits cannot be guessed."""
    return hmac.digest(pepper, value.encode(), "sha256")


def masked(value: str) -> str:
    """The key as lists show it: four characters from either end of what is random in it."""
    return f"{PREFIX}{value[len(PREFIX) : len(PREFIX) + 4]}…{value[-4:]}" if well_formed(value) else "…"


def without_gateway_keys(text: str) -> str:
    """A client's text without gateway keys: some put theirs where it does not belong, and what is kept is no secret."""
    return _ANYWHERE.sub(f"{PREFIX}***", text) if PREFIX in text else text


def name_hint(name: str) -> str:
    """What a key's name could say better, or an empty string: `{environment}-{application}-{purpose}` is no rule."""
    if _NAME.fullmatch(name):
        return ""
    return f"a name such as `production-api-primary` tells what a key is for; environments: {', '.join(ENVIRONMENTS)}"


def _checksum(text: str) -> str:
    number = zlib.crc32(text.encode())
    characters = []
    for _ in range(_CHECKSUM):
        number, digit = divmod(number, len(_ALPHABET))
        characters.append(_ALPHABET[digit])
    return "".join(reversed(characters))
