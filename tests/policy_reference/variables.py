"""The page of the variables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Final

from ai_gateway_mw.actions import ACTIONS
from ai_gateway_mw.upstream.functions import ai_types
from ai_gateway_mw.variables import ROWS, Row
from ai_gateway_mw.variables.results import OUR_RESULTS, RESULTS, Fields, type_of
from tests.policy_reference.markdown import MADE, paragraph, phase_names, table, whole

_GROUPS: Final[Mapping[str, str]] = {
    "vars": "What the policy knows",
    "actions": "What the policy knows",
    "time": "What the policy knows",
    "req": "The request",
    "res": "The response",
    "sse": "A message of an event stream",
    "ai": "What is said",
    "conn": "The connection",
    "conn.client_ip": "The client's address",
    "conn.server_ip": "The server's address",
    "conn.geo": "Where the client is",
    "conn.tls": "TLS",
    "conn.k8s": "Kubernetes",
    "endpoint": "The endpoint",
}


def variables_page() -> str:
    """The variables of every phase by what they are about, results of actions, and what strategies know."""
    plain = [row for row in ROWS if not row.name.startswith("actions.")]
    parts = [
        "# Variables",
        MADE,
        "What expressions may read, with the phases that know it. [CEL](../cel.md#variables) has an example of each.",
    ]
    for title, rows in _grouped(plain):
        parts += [f"## {title}", *_of_group(rows)]
    parts += [
        "## Results of actions",
        (
            "In every phase; null until the action has run, but for `actions.gateway_auth.key.*`, which without a key "
            "is an error. Of an action that ran twice, the last run's."
        ),
    ]
    for prefix, results in (("actions.ngrok", RESULTS), ("actions", OUR_RESULTS)):
        for action, fields in results.items():
            parts += _of_action(f"{prefix}.{action}", type_of(action), fields)
    return whole(*parts, *_strategies())


def _of_action(name: str, written: str, fields: Fields) -> Iterator[str]:
    known = {row.name for row in ROWS}
    of = f"[`{written}`](actions/{written}.md)" if written in ACTIONS else f"`{written}`, which never runs here"
    cells = [
        (f"`{name}.{field}`", f"`{type_}`", doc) for field, (type_, doc) in fields.items() if f"{name}.{field}" in known
    ]
    yield from (f"### `{name}`", f"Of {of}.", table(("Variable", "Type", "Meaning"), cells))


def _grouped(rows: Sequence[Row]) -> Iterator[tuple[str, list[Row]]]:
    titles = list(dict.fromkeys(_GROUPS.values()))
    ordered = sorted(rows, key=lambda row: titles.index(_group(row)))
    for title, found in groupby(ordered, _group):
        yield title, list(found)


def _group(row: Row) -> str:
    first, _, rest = row.name.partition(".")
    return _GROUPS.get(f"{first}.{rest.partition('.')[0]}") or _GROUPS[first]


def _of_group(rows: list[Row]) -> Iterator[str]:
    """The phases stand above the table where they are the same for all of it."""
    if len({row.phases for row in rows}) == 1:
        yield f"Phases: {phase_names(rows[0].phases)}."
        yield table(("Variable", "Type", "Meaning"), ((f"`{row.name}`", f"`{row.type}`", row.doc) for row in rows))
    else:
        cells = ((f"`{row.name}`", f"`{row.type}`", phase_names(row.phases), row.doc) for row in rows)
        yield table(("Variable", "Type", "Phases", "Meaning"), cells)


def _strategies() -> Iterator[str]:
    yield "## In strategies"
    yield paragraph(
        "Only the strategies of [`ai-gateway`](actions/ai-gateway.md) know `ai.models`, `ai.providers`, `ai.authors`",
        "and `ai.keys` (of the provider whose turn it is). They are lists of these:",
    )
    for kind in ai_types():
        yield f"### {kind.name}"
        fields = [(f"`{name}`", f"`{type_}`") for name, type_ in kind.fields.items()]
        yield table(("Field", "Type"), fields) if fields else "A secret: it can be compared, and nothing else."
