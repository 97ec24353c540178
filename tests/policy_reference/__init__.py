"""The reference below docs/policy, made of what the models and tables of the package say of themselves."""

from __future__ import annotations

import json

from ai_gateway_mw.actions import ACTIONS, UNSUPPORTED
from ai_gateway_mw.cli.schema import schema_text
from ai_gateway_mw.policy import Phase
from tests.policy_reference.actions import action_page, first_sentence, shown_phase
from tests.policy_reference.fields import Schema
from tests.policy_reference.functions import FAMILIES, family, functions_page
from tests.policy_reference.macros import MACROS, Macro
from tests.policy_reference.markdown import MADE, paragraph, phase_names, table, whole
from tests.policy_reference.variables import variables_page

__all__ = ["FAMILIES", "MACROS", "Macro", "family", "pages", "shown_phase"]


def pages() -> dict[str, str]:
    """Every page, by its path below docs/policy."""
    schema = json.loads(schema_text())
    actions = {f"actions/{name}.md": action_page(action, schema) for name, action in sorted(ACTIONS.items())}
    return {"README.md": _index(schema), "variables.md": variables_page(), "functions.md": functions_page(), **actions}


def _index(schema: Schema) -> str:
    phases = ((f"`{phase}`", schema["properties"][phase.value]["description"]) for phase in Phase)
    rule = schema["$defs"]["rule"]["properties"]
    actions = (
        (f"[`{name}`](actions/{name}.md)", first_sentence(action), phase_names(action.phases))
        for name, action in sorted(ACTIONS.items())
    )
    return whole(
        "# Policies",
        MADE,
        "A policy has rules for each phase; a rule has actions, which run when all its expressions are true.",
        paragraph(
            "[Variables](variables.md) and [functions](functions.md) of expressions; [the language](../cel.md) they",
            "are written in. [Tools](tools.md): explain a policy, test it, compare two. [Prompts, answers and",
            "streams](streams.md). [Migrating from ngrok](../migrating-from-ngrok.md).",
        ),
        "## Phases",
        table(("Phase", "Its rules"), phases),
        "## Rules",
        table(("Field", "Meaning"), ((f"`{name}`", field["description"]) for name, field in rule.items())),
        "## Actions",
        table(("Type", "What it does", "Phases"), actions),
        "## Refused by name",
        table(("Type", "Instead"), ((f"`{name}`", instead) for name, instead in UNSUPPORTED.items())),
    )
