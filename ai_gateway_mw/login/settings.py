"""What a policy says of logins and of the sessions that follow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class LoginSettings:
    """What a policy says of logins; durations in seconds, None where there is no limit of that kind."""

    name: str
    auth_id: str = ""
    scopes: tuple[str, ...] = ()
    parameters: Mapping[str, str] = field(default_factory=dict)
    max_session: float = 14 * 24 * 3_600.0
    idle_session: float | None = None
    refresh_interval: float | None = None
    allow_cors_preflight: bool = False
    cookie_domain: str = ""
    public_url: str = ""
