"""The reference below docs/policy, made of what the models and tables of the package say of themselves."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from random import Random
from types import ModuleType
from typing import Any, Final

from ai_gateway_mw.actions import ACTIONS, UNSUPPORTED
from ai_gateway_mw.actions.examples import EXAMPLES
from ai_gateway_mw.cel import Overload
from ai_gateway_mw.cel.functions import (
    conversions,
    encoding,
    hashes,
    identity,
    lists,
    math,
    net,
    operators,
    optionals,
    regex,
    strings,
    time,
)
from ai_gateway_mw.cli.schema import schema_text
from ai_gateway_mw.context import Action
from ai_gateway_mw.imports import ImportedPolicy, policy_text
from ai_gateway_mw.policy import Phase
from ai_gateway_mw.runtime import Runtime, Stores
from ai_gateway_mw.settings import Settings
from ai_gateway_mw.upstream.functions import ai_functions, ai_types
from ai_gateway_mw.variables import ROWS, Row
from ai_gateway_mw.variables.results import RESULTS, type_of

_Schema = dict[str, Any]

_MADE: Final = "Made from the code by `python -m tests.test_policy_docs`; change it there.\n"

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

FAMILIES: Final[Mapping[str, ModuleType]] = {
    "Operators": operators,
    "Types and conversions": conversions,
    "Strings": strings,
    "Regular expressions": regex,
    "Numbers": math,
    "Lists and sets": lists,
    "Time": time,
    "Encoding": encoding,
    "Hashes": hashes,
    "Network": net,
    "Optionals": optionals,
    "Names": identity,
}

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


def pages() -> dict[str, str]:
    """Every page, by its path below docs/policy."""
    schema = json.loads(schema_text())
    actions = {f"actions/{name}.md": _action_page(action, schema) for name, action in sorted(ACTIONS.items())}
    return {"README.md": _index(schema), "variables.md": _variables(), "functions.md": _functions(), **actions}


def shown_phase(action: type[Action]) -> Phase:
    """The phase that an example of the action stands in."""
    return Phase.ON_HTTP_REQUEST if Phase.ON_HTTP_REQUEST in action.phases else min(action.phases)


# one action


def _action_page(action: type[Action], schema: _Schema) -> str:
    config = _config(action.name, schema)
    title, guide = _GUIDES.get(action.name, ("", ""))
    parts = [
        f"# `{action.name}`",
        _MADE,
        _said(action),
        f"Phases: {_phases(action.phases)}.",
        *([f"More: [{title}]({guide})."] if guide else []),
        "## Example",
        f"```yaml\n{_example(action)}```",
        "## Fields",
        _fields(config, schema) or "None.",
    ]
    for name, nested in _nested(config, schema):
        parts += [f"### {name}", nested.get("description", ""), _fields(nested, schema)]
    return _page(*parts, *_result(action.name))


def _said(action: type[Action]) -> str:
    return inspect.cleandoc(action.__doc__ or "")


def _example(action: type[Action]) -> str:
    written = {"type": action.name, "config": EXAMPLES.get(action.name)}
    rule = {"actions": [{key: value for key, value in written.items() if value}]}
    policy = ImportedPolicy(action.name, {shown_phase(action).value: [rule]}, "")
    return policy_text(policy, [], "").partition("\n")[2]


def _result(name: str) -> Iterator[str]:
    for action, fields in RESULTS.items():
        if type_of(action) == name:
            yield "## Result"
            yield "Null until the action has run; it can be read in every phase."
            variables = ((f"`actions.ngrok.{action}.{field}`", f"`{type_}`") for field, type_ in fields.items())
            yield _table(("Variable", "Type"), variables)


# fields, out of the JSON Schema


def _config(name: str, schema: _Schema) -> _Schema:
    (branch,) = (each for each in schema["$defs"]["action"]["oneOf"] if each["title"] == name)
    return _referred(branch["properties"]["config"], schema)


def _referred(node: _Schema, schema: _Schema) -> _Schema:
    found: _Schema = schema["$defs"][node["$ref"].rpartition("/")[2]]
    return found


def _fields(model: _Schema, schema: _Schema) -> str:
    rows = [
        (f"`{name}`", _type(field, schema), _default(name, field, model), _meaning(field, schema))
        for name, field in model.get("properties", {}).items()
    ]
    return _table(("Field", "Type", "Default", "Meaning"), rows) if rows else ""


def _meaning(field: _Schema, schema: _Schema) -> str:
    said = field.get("description") or (_referred(field, schema)["description"] if "$ref" in field else "")
    return " ".join(said.split())


def _default(name: str, field: _Schema, model: _Schema) -> str:
    if name in model.get("required", ()):
        return "required"
    value = field.get("default")
    if value in (None, "", [], {}):
        return "none"
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def _type(node: _Schema, schema: _Schema, *, many: bool = False) -> str:
    """In a few words; those of several, if there are many."""
    if "$ref" in node:
        target = _referred(node, schema)
        title = _title(node["$ref"])
        return _choice(target["enum"]) if "enum" in target else f"[{title}](#{title.lower()})"
    if "anyOf" in node:
        return " or ".join(_type(each, schema, many=many) for each in node["anyOf"] if each.get("type") != "null")
    if "enum" in node or "const" in node:
        return _choice(node.get("enum", [node.get("const")]))
    if node.get("type") == "array":
        return f"list of {_type(node['items'], schema, many=True)}{_range(node, 'minItems', 'maxItems')}"
    if node.get("type") == "object":
        return _map(node, schema, many=many)
    word = {"template": "template", "cel": "expression", "go-duration": "duration", "date-time": "time"}.get(
        node.get("format", "")
    )
    limits = _range(node, "minimum", "maximum") + _range(node, "minLength", "maxLength", " characters")
    return f"{word or node.get('type', 'anything')}{'s' if many else ''}{limits}"


def _map(node: _Schema, schema: _Schema, *, many: bool) -> str:
    if "properties" in node:
        return f"{'maps' if many else 'map'} with {_choice(node['properties'])}"
    values = node.get("additionalProperties")
    to = f" of {_type(values, schema, many=True)}" if isinstance(values, dict) else ""
    return f"{'maps' if many else 'map'}{to}{_range(node, 'minProperties', 'maxProperties')}"


def _choice(values: Iterable[Any]) -> str:
    return ", ".join(f"`{value}`" for value in values)


def _range(node: _Schema, least: str, most: str, unit: str = "") -> str:
    low, high = node.get(least), node.get(most)
    if high is None:
        return "" if low is None else f" ({low} or more{unit})"
    if low == high:
        return f" (exactly {low}{unit})"
    return f" (at most {high}{unit})" if low is None else f" ({low} to {high}{unit})"


def _nested(model: _Schema, schema: _Schema) -> Iterator[tuple[str, _Schema]]:
    """The models that the fields of one refer to, at any depth, in the order in which a reader meets them."""
    pending, known = [model], set()
    while pending:
        for reference in _references(pending.pop(0).get("properties", {})):
            target = schema["$defs"][reference.rpartition("/")[2]]
            if reference not in known and "properties" in target:
                known.add(reference)
                pending.append(target)
                yield _title(reference), target


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for below in node.values():
            yield from _references(below)
    elif isinstance(node, list):
        for below in node:
            yield from _references(below)


def _title(reference: str) -> str:
    return reference.rpartition("/")[2].lstrip("_").removesuffix("Document")


# variables


def _variables() -> str:
    plain = [row for row in ROWS if not row.name.startswith("actions.ngrok.")]
    parts = [
        "# Variables",
        _MADE,
        "What expressions may read, with the phases that know it. [CEL](../cel.md#variables) has an example of each.",
    ]
    for title, rows in _grouped(plain):
        parts += [f"## {title}", *_of_group(rows)]
    parts += [
        "## Results of actions",
        "In every phase; null until the action has run. Of an action that ran twice, the last run's.",
    ]
    for action, fields in RESULTS.items():
        name = f"actions.ngrok.{action}"
        written = type_of(action)
        page = f"[`{written}`](actions/{written}.md)" if written in ACTIONS else f"`{written}`, which never runs here"
        known = {row.name for row in ROWS}
        rows_ = [(f"`{each}`", f"`{type_}`") for field, type_ in fields.items() if (each := f"{name}.{field}") in known]
        parts += [f"### `{name}`", f"Of {page}.", _table(("Variable", "Type"), rows_)]
    return _page(*parts, *_strategies())


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
    phases = {row.phases for row in rows}
    if len(phases) == 1:
        yield f"Phases: {_phases(rows[0].phases)}."
        yield _table(("Variable", "Type", "Meaning"), ((f"`{row.name}`", f"`{row.type}`", row.doc) for row in rows))
    else:
        cells = ((f"`{row.name}`", f"`{row.type}`", _phases(row.phases), row.doc) for row in rows)
        yield _table(("Variable", "Type", "Phases", "Meaning"), cells)


def _strategies() -> Iterator[str]:
    yield "## In strategies"
    yield (
        "Only the strategies of [`ai-gateway`](actions/ai-gateway.md) know `ai.models`, `ai.providers`, `ai.authors` and\n"
        "`ai.keys` (of the provider whose turn it is). They are lists of these:"
    )
    for kind in ai_types():
        yield f"### {kind.name}"
        fields = [(f"`{name}`", f"`{type_}`") for name, type_ in kind.fields.items()]
        yield _table(("Field", "Type"), fields) if fields else "A secret: it can be compared, and nothing else."


def _phases(phases: frozenset[Phase]) -> str:
    return "all" if phases == frozenset(Phase) else ", ".join(f"`{phase}`" for phase in Phase if phase in phases)


# functions


def _functions() -> str:
    parts = [
        "# Functions",
        _MADE,
        "What expressions may call, in every form. What each does, with an example: [CEL](../cel.md#functions); macros,\n"
        "such as `has`, `all` and `filter`, stand [there](../cel.md#macros), too. `A` and `B` are any type.",
    ]
    for title, module in FAMILIES.items():
        parts += [f"## {title}", inspect.cleandoc(module.__doc__ or ""), _forms(family(module))]
    parts += ["## The exchange", "What only a policy can call."]
    for phases, forms in _of_the_exchange().items():
        parts += [f"Phases: {_phases(phases)}.", _forms(forms)]
    parts += ["## Strategies", "What [`ai-gateway`](actions/ai-gateway.md) adds for choosing models and keys."]
    return _page(*parts, _forms(ai_functions(Random())))


def family(module: ModuleType) -> tuple[Overload, ...]:
    """The one table of a module of functions."""
    (table,) = (
        value
        for name, value in vars(module).items()
        if name.isupper() and isinstance(value, tuple) and value and all(isinstance(each, Overload) for each in value)
    )
    found: tuple[Overload, ...] = table
    return found


def _of_the_exchange() -> dict[frozenset[Phase], list[Overload]]:
    """What a policy may call beyond the standard functions, by the phases that have it."""
    standard = {id(each) for module in FAMILIES.values() for each in family(module)}
    phases: dict[str, set[Phase]] = {}
    found: dict[str, Overload] = {}
    stores = Stores(Settings())
    for phase in Phase:
        for each in Runtime(stores, phase).environment.functions:
            if id(each) not in standard:
                found[str(each)] = each
                phases.setdefault(str(each), set()).add(phase)
    grouped: dict[frozenset[Phase], list[Overload]] = {}
    for form, each in found.items():
        grouped.setdefault(frozenset(phases[form]), []).append(each)
    return grouped


def _forms(overloads: Iterable[Overload]) -> str:
    """A row for all that has one name and one result."""
    rows: dict[tuple[str, str], list[str]] = {}
    for each in overloads:
        rows.setdefault((each.name, str(each.result)), []).append(f"`{_form(each)}`")
    return _table(("Form", "Gives"), ((", ".join(forms), f"`{result}`") for (_, result), forms in rows.items()))


def _form(overload: Overload) -> str:
    """As it is written; operators stand between their operands."""
    if overload.name[0].isalpha():
        return str(overload)
    operator = overload.name.strip("_")
    first, *second = map(str, overload.params)
    return f"{first} {operator} {second[0]}" if second else f"{operator}{first}"


# the index


def _index(schema: _Schema) -> str:
    phases = ((f"`{phase}`", schema["properties"][phase.value]["description"]) for phase in Phase)
    rule = schema["$defs"]["rule"]["properties"]
    actions = (
        (f"[`{name}`](actions/{name}.md)", _first_sentence(action), _phases(action.phases))
        for name, action in sorted(ACTIONS.items())
    )
    return _page(
        "# Policies",
        _MADE,
        "A policy has rules for each phase; a rule has actions, which run when all its expressions are true.",
        "[Variables](variables.md) and [functions](functions.md) of expressions; [the language](../cel.md) they are written\n"
        "in. [Tools](tools.md): explain a policy, test it, compare two. [Prompts, answers and streams](streams.md).\n"
        "[Migrating from ngrok](../migrating-from-ngrok.md).",
        "## Phases",
        _table(("Phase", "Its rules"), phases),
        "## Rules",
        _table(("Field", "Meaning"), ((f"`{name}`", field["description"]) for name, field in rule.items())),
        "## Actions",
        _table(("Type", "What it does", "Phases"), actions),
        "## Refused by name",
        _table(("Type", "Instead"), ((f"`{name}`", instead) for name, instead in UNSUPPORTED.items())),
    )


def _first_sentence(action: type[Action]) -> str:
    paragraph = " ".join(_said(action).partition("\n\n")[0].split())
    return re.split(r"(?<=\.) ", paragraph, maxsplit=1)[0]


# Markdown


def _page(*parts: str) -> str:
    return "\n\n".join(part.strip("\n") for part in parts if part) + "\n"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *([cell.replace("|", r"\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
