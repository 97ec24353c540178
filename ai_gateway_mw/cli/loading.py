"""Settings and gateways for commands: what keeps one from being made ends the command with every problem shown."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

from ai_gateway_mw.cli.console import stop
from ai_gateway_mw.errors import PolicyError, Problem, SecretError, SecretMissing
from ai_gateway_mw.middleware import Gateway
from ai_gateway_mw.secrets import LocalVault
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


def missing_secrets(gateway: Gateway) -> Iterator[Problem]:
    """The secrets of the policy that cannot be had, each with where it was looked for and how to set it."""
    found = (missing_secret(gateway, vault, name) for vault, name in sorted(gateway.program.secrets))
    yield from (Problem(message) for message in found if message)


def missing_secret(gateway: Gateway, vault: str, name: str) -> str:
    """Why a secret cannot be had and what to do, or an empty string."""
    try:
        gateway.stores.secrets.get(vault, name)
    except SecretMissing as error:
        command = shlex.join(["ai-gateway", "secrets", "set", vault, name])
        stored = any(source.name == LocalVault.name for source in gateway.stores.secrets.sources)
        return f"{error}; `{command}` stores it" if stored else str(error)
    except SecretError as error:
        return str(error)
    return ""
