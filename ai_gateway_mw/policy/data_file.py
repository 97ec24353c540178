"""Data files that belong to the configuration -> their model; what is wrong is said as it is of a policy."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from ai_gateway_mw.errors import PolicyError, Problem
from ai_gateway_mw.policy.document import Document, Node
from ai_gateway_mw.policy.loader import decoded
from ai_gateway_mw.policy.model import ActionConfig, ActionSpec
from ai_gateway_mw.policy.problems import Problems
from ai_gateway_mw.policy.text import Source, Span
from ai_gateway_mw.policy.validation import validated
from ai_gateway_mw.policy.wording import found
from ai_gateway_mw.policy.yaml_text import parse

D = TypeVar("D", bound=ActionConfig)


def load_data(path: Path, model: type[D]) -> D:
    """What a YAML or JSON file holds, as its model; an empty file says nothing. Raises `PolicyError`."""
    try:
        text = decoded(path.read_bytes(), str(path))
    except OSError as error:
        raise PolicyError([Problem(f"{path}: cannot be read: {error.strerror or error}")]) from error
    problems = Problems()
    source = Source(str(path), text.removeprefix("\ufeff"))
    root = parse(source, problems)
    if root is None or root.value is None:
        root = Node({}, Span(source, 0, 0))
    problems.warnings()  # raises what is wrong already
    if not isinstance(root.value, dict):
        raise problems.fatal(f"expected a mapping, found {found(root.value)}", root.place)
    document = Document(str(path), Node({"config": root.value}, root.span, {"config": root}))
    return validated(model, ActionSpec(path.name, root.value, (), root.place), document)
