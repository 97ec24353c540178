"""Secrets from variables: those of the process, and the same names in a `.env` file (`dotenv.py`)."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Final

from ai_gateway_mw.secrets.members import json_members
from ai_gateway_mw.secrets.source import DEFAULT_VAULT

OWN: Final = "AI_GATEWAY_"
VARIABLE_PREFIX: Final = f"{OWN}SECRET__"


class EnvSource:
    """`AI_GATEWAY_SECRET__<VAULT>__<NAME>`; after it `AI_GATEWAY_SECRET__<VAULT>` as a JSON object of several secrets;
    for the vault `default` at last the plain variable `NAME`."""

    name = "env"

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._environ = environ

    def get(self, vault: str, name: str) -> str | None:
        return value_of(self._environ, vault, name, "the environment")

    def place(self, vault: str, name: str) -> str:
        return f"variable {variable(vault, name)}"

    def describe(self) -> str:
        return f"variables {VARIABLE_PREFIX}<VAULT>__<NAME>"


def variable(vault: str, name: str) -> str:
    """The variable that holds a secret: upper case, and `_` for what a variable's name cannot have."""
    return f"{VARIABLE_PREFIX}{_upper(vault)}__{_upper(name)}"


def value_of(variables: Mapping[str, str], vault: str, name: str, place: str) -> str | None:
    """The secret among `variables`, or None. Raises `SecretUnusable` where a vault's JSON object is none."""
    if (exact := variables.get(variable(vault, name))) is not None:
        return exact
    together = f"{VARIABLE_PREFIX}{_upper(vault)}"
    if together in variables:
        found = json_members(variables[together], f"{together} in {place}")
        if name in found:
            return found[name]
    plain = _upper(name)
    # A policy may name any plain variable but our own: the master key is not a policy's to read.
    if vault == DEFAULT_VAULT and not plain.startswith(OWN):
        return variables.get(plain)
    return None


def _upper(text: str) -> str:
    return re.sub(r"[^A-Z0-9_]", "_", text.upper())
