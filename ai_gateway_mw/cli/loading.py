"""Settings and gateways for commands: what keeps one from being made ends the command with every problem shown."""

from __future__ import annotations

from pathlib import Path

from ai_gateway_mw.cli.console import stop
from ai_gateway_mw.errors import PolicyError
from ai_gateway_mw.middleware import Gateway
from ai_gateway_mw.settings import Settings, SettingsError


def settings_or_stop(*, code: int = 1) -> Settings:
    """The settings of this process."""
    try:
        return Settings()
    except SettingsError as error:
        stop(*error.problems, code=code)


def gateway_or_stop(policy: Path, settings: Settings) -> Gateway:
    """The gateway of a policy file."""
    try:
        return Gateway.from_file(policy, settings=settings)
    except PolicyError as error:
        stop(*error.problems)
