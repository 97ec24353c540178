"""Files, strings and mappings -> `Policy`, or a `PolicyError` with every problem of the document."""

from __future__ import annotations

import codecs
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ai_gateway_mw.errors import PolicyError, Problem
from ai_gateway_mw.policy.document import Document, Node
from ai_gateway_mw.policy.model import Policy
from ai_gateway_mw.policy.problems import Problems
from ai_gateway_mw.policy.rules import RuleReader
from ai_gateway_mw.policy.shapes import embedded, policy_node
from ai_gateway_mw.policy.text import Source, Span
from ai_gateway_mw.policy.yaml_text import MAX_BYTES, parse, parse_all

_BYTE_ORDER_MARKS = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}


def load_policy(
    source: Path | str | Mapping[str, Any], *, name: str = "<policy>", endpoint: str | None = None, strict: bool = True
) -> Policy:
    """The policy in a file (a `Path`), in YAML or JSON text (a `str`), or in a mapping; `name` is for messages.

    Without `strict`, rules that can be read are returned although others cannot, for the compiler to find what else is
    wrong: it refuses such a policy. What is no document at all raises in any case.
    """
    if isinstance(source, Path):
        return load_file(source, endpoint=endpoint, strict=strict)
    return _policy(source if isinstance(source, str) else _as_json(source, name), name, endpoint, strict)


def load_file(path: Path | str, *, endpoint: str | None = None, strict: bool = True) -> Policy:
    """The policy in a file; `endpoint` names the one that is meant where an agent file has several."""
    return _policy(_text_of(path), str(path), endpoint, strict)


def _text_of(path: Path | str) -> str:
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise PolicyError([Problem(f"{path}: cannot be read: {error.strerror or error}")]) from error
    return decoded(data, str(path))


def _check_size(text: str, source: Source, problems: Problems) -> None:
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise problems.fatal(f"a policy may not be larger than {MAX_BYTES // 1024} KiB", source.place(0))


def load_nodes(path: Path | str) -> tuple[Node, ...]:
    """The documents of a YAML or JSON file, whatever they are about. Raises `PolicyError`."""
    problems = Problems()
    text = _text_of(path)
    source = Source(str(path), text.removeprefix("\ufeff"))
    _check_size(text, source, problems)
    nodes = parse_all(source, problems)
    problems.warnings()  # raises what is wrong already
    return tuple(node for node in nodes if node.value is not None)


def policy_in(node: Node, name: str) -> Policy:
    """The policy that a node of another document holds, as a mapping or as text; its `problems` tell what is wrong."""
    problems = Problems()
    held = embedded(node, problems)
    return Policy(RuleReader(problems).phases(held), Document(name, held), problems.in_order())


def _policy(text: str, name: str, endpoint: str | None, strict: bool) -> Policy:
    problems = Problems()
    source = Source(name, text.removeprefix("\ufeff"))
    _check_size(text, source, problems)
    root = parse(source, problems) or Node({}, Span(source, 0, 0))
    node = policy_node(root, problems, endpoint)
    rules = RuleReader(problems).phases(node)
    if not any(rules.values()) and not problems.in_order():
        problems.warning("this policy has no rules: every AI path is answered with 404", node.place)
    return Policy(rules, Document(name, node), problems.warnings() if strict else problems.in_order())


def decoded(data: bytes, name: str) -> str:
    """The text of a file. Raises `PolicyError` where it has bytes that are none."""
    encoding = _BYTE_ORDER_MARKS.get(data[:2], "utf-8")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        before = Source(name, data[: error.start].decode(encoding, "replace"))
        problem = f"byte 0x{data[error.start]:02X} is not {encoding.upper()}; save the file as UTF-8"
        place = before.place(len(before.text))
        raise PolicyError([Problem(problem, place)]) from None


def _as_json(source: Mapping[str, Any], name: str) -> str:
    """Problems of a mapping are shown in its JSON."""
    try:
        return json.dumps(source, default=_json_value, ensure_ascii=False, allow_nan=False, indent=2)
    except (TypeError, ValueError, RecursionError) as error:
        raise PolicyError([Problem(f"{name}: not a document of plain values: {error}")]) from error


def _json_value(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is not allowed")
