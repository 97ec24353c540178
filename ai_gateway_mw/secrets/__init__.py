"""Secrets: the type that never shows itself, the store that hands them out, and the sources it asks."""

from ai_gateway_mw.secrets.atomic_files import appearing
from ai_gateway_mw.secrets.build import SOURCES, build_store
from ai_gateway_mw.secrets.dotenv import DotenvSource
from ai_gateway_mw.secrets.env import VARIABLE_PREFIX, EnvSource
from ai_gateway_mw.secrets.env import variable as secret_variable
from ai_gateway_mw.secrets.envelope import seal, unseal
from ai_gateway_mw.secrets.files import FilesSource
from ai_gateway_mw.secrets.local import LocalVault, StoredSecret
from ai_gateway_mw.secrets.master_key import MasterKey
from ai_gateway_mw.secrets.memory import MemorySource
from ai_gateway_mw.secrets.redaction import MIN_LENGTH
from ai_gateway_mw.secrets.secret import Secret, usable
from ai_gateway_mw.secrets.source import DEFAULT_VAULT, SecretSource
from ai_gateway_mw.secrets.store import Reading, SecretStore
from ai_gateway_mw.secrets.streaming import Sought, StreamRedactor

__all__ = [
    "DEFAULT_VAULT",
    "MIN_LENGTH",
    "SOURCES",
    "VARIABLE_PREFIX",
    "DotenvSource",
    "EnvSource",
    "FilesSource",
    "LocalVault",
    "MasterKey",
    "MemorySource",
    "Reading",
    "Secret",
    "SecretSource",
    "SecretStore",
    "Sought",
    "StoredSecret",
    "StreamRedactor",
    "appearing",
    "build_store",
    "seal",
    "secret_variable",
    "unseal",
    "usable",
]
