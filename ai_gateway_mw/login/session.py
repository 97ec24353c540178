"""Session: what is known of a person who has signed in, as it travels in their cookie."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Session:
    """Times are seconds since 1970; `expires` is that of the access token, 0 where the provider did not say."""

    id: str
    began: float
    seen: float
    refreshed: float  # when the identity was last asked for
    user_id: str
    email: str
    name: str
    access_token: str = field(default="", repr=False)
    refresh_token: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    expires: float = 0.0

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> Self | None:
        """What a cookie held, None where an older version of ours wrote it."""
        return cls(**content) if content.keys() == {each.name for each in fields(cls)} else None

    @property
    def content(self) -> dict[str, Any]:
        """What its cookie holds."""
        return asdict(self)

    def smaller(self) -> Self | None:
        """The same without the token that is needed least; None where there is none to leave out."""
        if self.identity_token:
            return replace(self, identity_token="")
        if self.refresh_token:
            return replace(self, refresh_token="")
        return replace(self, access_token="") if self.access_token else None


def fresh_id() -> str:
    """A random id of 192 bits."""
    return base64.urlsafe_b64encode(os.urandom(24)).decode()


def identity_of(session: Session, issuer: str, session_name: str) -> dict[str, Any]:
    """Who it is as expressions read it, under a stable id that no two providers share."""
    stable = hashlib.sha256(f"{issuer}\0{session.user_id}".encode()).hexdigest()[:32]
    return {
        "id": f"idn_{stable}",
        "email": session.email,
        "name": session.name,
        "provider_user_id": session.user_id,
        session_name: session.id,
    }
