"""`openid-connect`: let in people who have signed in at any OpenID provider."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from pydantic import AliasChoices, Field, field_validator

from ai_gateway_mw.actions.signing_in import LoginAction, LoginConfig
from ai_gateway_mw.policy import Duration
from ai_gateway_mw.runtime import Runtime
from ai_gateway_mw.upstream.fetching import Fetcher, trusted_url

if TYPE_CHECKING:
    from ai_gateway_mw.login import Provider

_SCOPES = ("openid", "email", "profile")


class OpenIDConnect(LoginAction):
    """Ask people to sign in, and let in those who have. Whom of them, later rules decide by
    `actions.ngrok.oidc.identity`."""

    name = "openid-connect"
    result: ClassVar[Mapping[str, str]] = {
        "name": "oidc",
        "session": "current_session_id",
        "token": "identity_token",
        "refreshed": "user_info_refreshed",
    }

    class Config(LoginConfig):
        issuer_url: str = Field(description="The provider, such as `https://accounts.google.com`, found by discovery.")
        idle_session_timeout: Duration | None = Field(
            None,
            gt=0,
            validation_alias=AliasChoices("idle_session_timeout", "idle_session_duration"),
            description="How long a session lasts while nobody uses it.",
        )

        @field_validator("issuer_url")
        @classmethod
        def _is_trusted(cls, value: str) -> str:
            trusted_url(value)
            if "?" in value:
                raise ValueError("an issuer has no query")
            if "{" in value:
                raise ValueError("must be written out; it is no template")
            return value

    def __init__(self, config: Config, runtime: Runtime) -> None:
        super().__init__(config, runtime, config.idle_session_timeout)

    def _provider_of(self, config: Config, fetch: Fetcher) -> Provider:
        from ai_gateway_mw.login import DiscoveredProvider  # noqa: PLC0415 - it needs the extra `oauth`

        return DiscoveredProvider(config.issuer_url, fetch)

    def _scopes_of(self, config: Config) -> tuple[str, ...]:
        """With `openid`, without which this is not OpenID Connect (Core 3.1.2.1)."""
        return tuple(dict.fromkeys(("openid", *config.scopes))) if config.scopes else _SCOPES

    def _issuer_of(self, config: Config) -> str:
        return config.issuer_url
