"""Gateway keys: what clients authenticate with, from the text of a key to the rules that it carries."""

from ai_gateway_mw.keys.credentials import ClientCredential, presented_credentials
from ai_gateway_mw.keys.directory import Digests, Found, KeyDirectory, KeySource
from ai_gateway_mw.keys.model import GatewayKey, result_of
from ai_gateway_mw.keys.scopes import Scope, permits, scope_for
from ai_gateway_mw.keys.token import (
    ENVIRONMENTS,
    PATTERN,
    digest,
    generate,
    masked,
    name_hint,
    well_formed,
    without_gateway_keys,
)
from ai_gateway_mw.keys.verifier import KeyVerifier

__all__ = [
    "ENVIRONMENTS",
    "PATTERN",
    "ClientCredential",
    "Digests",
    "Found",
    "GatewayKey",
    "KeyDirectory",
    "KeySource",
    "KeyVerifier",
    "Scope",
    "digest",
    "generate",
    "masked",
    "name_hint",
    "permits",
    "presented_credentials",
    "result_of",
    "scope_for",
    "well_formed",
    "without_gateway_keys",
]
