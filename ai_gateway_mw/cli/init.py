"""`ai-gateway init`: a first policy, with the schema that editors check it with."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

import typer

from ai_gateway_mw.cli.console import say, stop
from ai_gateway_mw.cli.loading import settings_or_stop
from ai_gateway_mw.cli.schema import schema_text
from ai_gateway_mw.cli.writing import write_whole
from ai_gateway_mw.errors import PolicyError, closest
from ai_gateway_mw.providers import Catalog, ProviderDocument

app = typer.Typer(add_completion=False)

_SCHEMA_FILE: Final = "policy.schema.json"
_POLICY: Final = """\
# yaml-language-server: $schema={schema}
#
# What the gateway does with each request: who may come in, and where requests go with which keys.
# Secrets stand somewhere else: `ai-gateway doctor --policy {file}` tells where they are looked for.
on_http_request:
  - name: who is it
    actions:
      - type: gateway-auth
        config:
          keys:
            - name: first
              value: ${{secrets.get('gateway', 'first')}}
  - name: where to
    actions:
      - type: ai-gateway
        config:
          only_allow_configured_providers: true
          providers:
            - id: {provider}
"""
# No address that could be meant: `check` refuses it until it is replaced.
_BASE_URL: Final = "              base_url: https://<your-address>  # the address that the provider gave you\n"
_KEYS: Final = """\
              api_keys:
                - value: ${{secrets.get('{provider}', 'primary')}}
"""


@app.command()
def init(
    file: Annotated[Path, typer.Argument(help="The file to write.")] = Path("policy.yaml"),
    provider: Annotated[str, typer.Option(help="Id of the provider that it starts with.")] = "openai",
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
) -> None:
    """Write a first policy.

    It lets in clients with a gateway key and sends their requests to one provider. The JSON Schema of policies is
    written beside it, for editors that run the YAML language server.
    """
    document = _provider(provider)
    schema, text = file.with_name(_SCHEMA_FILE), schema_text()
    if not force:
        _refuse_to_lose(file, schema, text)
    try:
        write_whole(schema, text)
        write_whole(file, _policy(file, document))
    except OSError as error:
        stop(f"cannot write into {file.parent}: {error.strerror or error}")
    say(f"Wrote {file} and {schema}.", style="bold green")
    for step in _next_steps(file, document):
        say(step)


def _provider(name: str) -> ProviderDocument:
    try:
        catalog = Catalog.load(settings_or_stop().catalog)
    except PolicyError as error:
        stop(*error.problems)
    known = catalog.provider(name)
    if known is None:
        ids = [each.id for each in catalog.providers]
        hint = closest(name, ids)
        stop(
            f"unknown provider {name}; " + (f"did you mean {hint}?" if hint else f"there are {', '.join(ids)}"), code=2
        )
    return known


def _refuse_to_lose(file: Path, schema: Path, text: str) -> None:
    """Stop where something would be written over; a schema of ours may be, since it only gets newer."""
    if file.exists() or file.is_symlink():
        stop(f"{file} is there already; --force writes over it")
    if schema.exists() and _id_of(schema) != json.loads(text)["$id"]:
        stop(f"{schema} is there already and is not the schema of policies; --force writes over it")


def _id_of(schema: Path) -> str | None:
    try:
        found = json.loads(schema.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return found.get("$id") if isinstance(found, dict) else None


def _policy(file: Path, provider: ProviderDocument) -> str:
    parts = [_POLICY, *([] if provider.base_url else [_BASE_URL]), *([_KEYS] if provider.needs_key else [])]
    return "".join(parts).format(schema=_SCHEMA_FILE, file=file.name, provider=provider.id)


def _next_steps(file: Path, provider: ProviderDocument) -> Iterator[str]:
    yield "Next:"
    if not provider.base_url:
        yield f"  put the address that this provider gave you into {file}, as base_url"
    steps = [(f"secrets set {provider.id} primary", "asks for the key that you have from the provider")]
    steps = [
        *(steps if provider.needs_key else []),
        ("keys new", "makes a gateway key, which your clients will send"),
        ("secrets set gateway first", "asks for that gateway key"),
    ]
    width = max(len(command) for command, _ in steps)
    yield from (f"  ai-gateway {command:<{width}}   # {what}" for command, what in steps)
    yield f"  ai-gateway check --secrets {file}"
    yield f"  ai-gateway run --watch {file}"
