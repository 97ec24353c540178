"""The page of one action."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Final

from ai_gateway_mw.actions.examples import EXAMPLES
from ai_gateway_mw.context import Action
from ai_gateway_mw.imports import ImportedPolicy, policy_text
from ai_gateway_mw.policy import Phase
from ai_gateway_mw.variables.results import OUR_RESULTS, RESULTS, type_of
from tests.policy_reference.fields import Schema, config_of, field_table, nested_models
from tests.policy_reference.markdown import MADE, phase_names, table, whole

# What people have written by hand, by the action that it is about.
_GUIDES: Final[Mapping[str, tuple[str, str]]] = {
    "ai-gateway": ("Failover", "../../failover.md"),
    "gateway-auth": ("Gateway keys", "../../gateway-keys.md"),
    "restrict-ips": ("IP intelligence", "../../ip-intelligence.md"),
    **dict.fromkeys(
        ("basic-auth", "jwt-validation", "oauth", "openid-connect", "verify-webhook"),
        ("Who calls", "../../authentication.md"),
    ),
    **dict.fromkeys(
        ("request-body-find-replace", "response-body-find-replace", "sse-find-replace", "redact"),
        ("Looking into what is said", "../streams.md"),
    ),
    **dict.fromkeys(
        (
            "circuit-breaker",
            "close-connection",
            "compress-response",
            "forward-internal",
            "http-request",
            "redirect",
            "url-rewrite",
        ),
        ("What had to be decided", "../../actions.md"),
    ),
}


def action_page(action: type[Action], schema: Schema) -> str:
    """What it does, an example, its fields with the models in them, and its result."""
    config = config_of(action.name, schema)
    title, guide = _GUIDES.get(action.name, ("", ""))
    parts = [
        f"# `{action.name}`",
        MADE,
        _said(action),
        f"Phases: {phase_names(action.phases)}.",
        *([f"More: [{title}]({guide})."] if guide else []),
        "## Example",
        f"```yaml\n{_example(action)}```",
        "## Fields",
        field_table(config, schema) or "None.",
    ]
    for name, model in nested_models(config, schema):
        parts += [f"### {name}", model.get("description", ""), field_table(model, schema)]
    return whole(*parts, *_result(action.name))


def _said(action: type[Action]) -> str:
    return inspect.cleandoc(action.__doc__ or "")


def _example(action: type[Action]) -> str:
    written = {"type": action.name, "config": EXAMPLES.get(action.name)}
    rule = {"actions": [{key: value for key, value in written.items() if value}]}
    policy = ImportedPolicy(action.name, {shown_phase(action).value: [rule]}, "")
    return policy_text(policy, [], "").partition("\n")[2]


def _result(name: str) -> Iterator[str]:
    for prefix, results in (("actions.ngrok", RESULTS), ("actions", OUR_RESULTS)):
        for action, fields in results.items():
            if type_of(action) == name:
                yield "## Result"
                yield "Null until the action has run; it can be read in every phase."
                variables = (
                    (f"`{prefix}.{action}.{name}`", f"`{field.type}`", field.doc) for name, field in fields.items()
                )
                yield table(("Variable", "Type", "Meaning"), variables)


def shown_phase(action: type[Action]) -> Phase:
    """The phase that an example of the action stands in."""
    return Phase.ON_HTTP_REQUEST if Phase.ON_HTTP_REQUEST in action.phases else min(action.phases)


def first_sentence(action: type[Action]) -> str:
    """What it does, in short."""
    paragraph = " ".join(_said(action).partition("\n\n")[0].split())
    return re.split(r"(?<=\.) ", paragraph, maxsplit=1)[0]
