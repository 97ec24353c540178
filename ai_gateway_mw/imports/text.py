"""A policy as YAML that reads the same here as it was meant: what YAML versions read differently is quoted."""

from __future__ import annotations

from typing import Any

import yaml

from ai_gateway_mw.imports.result import ImportedPolicy, NeededSecret
from ai_gateway_mw.policy import plain_scalar

_WIDTH = 10_000  # an expression stays on its line


class _Dumper(yaml.SafeDumper):
    """Lists are set in below their key, nothing is an alias."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, indentless=False)

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _string(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text and not text.startswith((" ", "\n")) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style or _quotes(text))


def _quotes(text: str) -> str | None:
    """Quotes for text that would be read as something else; YAML 1.1 and 1.2 do not agree on what that is."""
    try:
        return None if isinstance(plain_scalar(text), str) else "'"
    except ValueError:
        return "'"


_Dumper.add_representer(str, _string)


def policy_text(policy: ImportedPolicy, secrets: list[NeededSecret], source: str) -> str:
    """The file of a policy: where it comes from, the secrets that it reads, and the policy."""
    body = yaml.dump(policy.data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_WIDTH)
    needed = [each for each in secrets if f"'{each.name}'" in body]
    head = [f"# {policy.about}, imported from {source}"]
    if needed:
        head += ["#", "# Secrets that it needs, each in a variable (or stored by `ai-gateway secrets set VAULT NAME`):"]
        head += [f"#   {each}" for each in needed]
    return "\n".join(" ".join(line.split("\n")) for line in head) + "\n" + body
