"""Configurations of other gateways -> policies that run here, with a report of what could not be carried over."""

from ai_gateway_mw.imports.files import import_file
from ai_gateway_mw.imports.result import Imported, ImportedPolicy, NeededSecret, Remark
from ai_gateway_mw.imports.text import policy_text

__all__ = ["Imported", "ImportedPolicy", "NeededSecret", "Remark", "import_file", "policy_text"]
