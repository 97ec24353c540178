"""build_store: the chain of sources that the settings name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from ai_gateway_mw.secrets.dotenv import DotenvSource
from ai_gateway_mw.secrets.env import EnvSource
from ai_gateway_mw.secrets.files import FilesSource
from ai_gateway_mw.secrets.local import LocalVault
from ai_gateway_mw.secrets.source import SecretSource
from ai_gateway_mw.secrets.store import SecretStore

if TYPE_CHECKING:
    from ai_gateway_mw.settings import Settings

SOURCES: Final[Mapping[str, Callable[[Settings], SecretSource]]] = {
    "env": lambda settings: EnvSource(),
    "dotenv": lambda settings: DotenvSource(settings.env_file),
    "files": lambda settings: FilesSource(settings.secrets_dir),
    "local": lambda settings: LocalVault(settings.data_dir, master_key=settings.master_key),
}


def build_store(settings: Settings) -> SecretStore:
    """A store over the sources of `settings.secrets`, in that order; it opens nothing. The settings' own secrets are
    redacted with the rest."""
    store = SecretStore((SOURCES[name](settings) for name in settings.secrets), ttl=settings.secrets_ttl)
    for secret in (settings.master_key, settings.admin_token, settings.database_url):
        if secret is not None:
            store.remember(secret)
    return store
