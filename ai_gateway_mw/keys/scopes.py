"""Scopes: what a gateway key may be used for, and which of them a request needs."""

from __future__ import annotations

import re
from collections.abc import Collection
from enum import StrEnum
from typing import Final


class Scope(StrEnum):
    """`full` is every operation of the gateway; the admin plane is apart, and no other scope opens it."""

    READ = "read"
    CHAT = "chat"
    FULL = "full"
    ADMIN = "admin"


_VERSION: Final = r"(?:/v1)*(?:/v1beta)?"
_READING: Final = frozenset({"GET", "HEAD"})
# First match wins. A path that is not here needs `full`: what we do not know may cost or change anything.
_NEEDS: Final = (
    (re.compile(r"/admin(?:/.*)?"), Scope.ADMIN),
    (re.compile(rf"{_VERSION}/messages/batches(?:/.*)?"), Scope.FULL),
    (re.compile(rf"{_VERSION}/(?:chat/completions|completions|embeddings|responses|messages)(?:/.*)?"), Scope.CHAT),
    (
        re.compile(
            rf"{_VERSION}/models/.+:"
            "(?:generateContent|streamGenerateContent|countTokens|embedContent|batchEmbedContents)"
        ),
        Scope.CHAT,
    ),
)
# The usual paths, in the spelling that a route has: nothing has to be matched.
_USUAL: Final = dict.fromkeys(
    ["/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses", "/v1/messages"], Scope.CHAT
)
_MODELS: Final = re.compile(rf"{_VERSION}/models(?:/.*)?")


def scope_for(method: str, path: str) -> Scope:
    """The scope that a request needs, by its path below the mount; to look at models is `read`, to change them not."""
    usual = _USUAL.get(path)
    if usual is not None:
        return usual
    rest = Scope.READ if method in _READING and _MODELS.fullmatch(path) else Scope.FULL
    return next((scope for pattern, scope in _NEEDS if pattern.fullmatch(path)), rest)


def permits(held: Collection[str], needed: Scope) -> bool:
    """Whether a key with the scopes `held` may do what needs `needed`."""
    return needed in held or (needed is not Scope.ADMIN and Scope.FULL in held)
