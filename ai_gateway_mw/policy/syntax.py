"""PyYAML's syntax errors, said so that the author of a policy knows what to do."""

from __future__ import annotations

import re
from typing import NamedTuple

import yaml


class _Sentence(NamedTuple):
    """What to say of the errors of PyYAML that match; `at_start` shows the place where the faulty thing began."""

    matches: str
    says: str
    at_start: bool = False


_QUOTE = "put the whole value in quotes"
_INDENT = "check the indentation"
_TAG = "YAML takes `!` at the start of a value for a tag"
_SENTENCES = (
    _Sentence("tab character|any token.*\t", "a tab is used to indent; YAML wants spaces"),
    _Sentence("any token", f"a value cannot start with this character; {_QUOTE}"),
    _Sentence("mapping values are not", f"`: ` is not allowed here; {_QUOTE}, or {_INDENT}"),
    _Sentence("sequence entries are not", "a list cannot start here; start it on a line of its own"),
    _Sentence("mapping keys are not", f"a value cannot start with `?`; {_QUOTE}"),
    _Sentence("quoted scalar.*(end of stream|document indicator)", "this quote is never closed", at_start=True),
    _Sentence("unknown escape", r"unknown escape; write `\\` for a backslash, or use single quotes"),
    _Sentence("quoted scalar", "this escape is no character of Unicode"),
    _Sentence("flow.*END", f"this bracket is never closed; if it belongs to text, {_QUOTE}", at_start=True),
    _Sentence("flow", f"expected `,` or the closing bracket; if the bracket belongs to text, {_QUOTE}"),
    _Sentence("an (alias|anchor)", f"a value cannot start with `*` or `&`; {_QUOTE}", at_start=True),
    _Sentence("tag", f"{_TAG}; {_QUOTE}", at_start=True),
    _Sentence("simple key", "expected `: ` after this key", at_start=True),
    _Sentence(
        "block (collection|mapping).*AFTER QUOTE", "this stands after a closing quote; quote the value as a whole"
    ),
    _Sentence("block collection", f"expected the next `- ` of the list; {_INDENT}, or {_QUOTE}"),
    _Sentence("block mapping", f"expected the next key of the mapping; {_INDENT}, or {_QUOTE}"),
    _Sentence("document start", f"this line does not belong to what stands above it; {_INDENT}"),
    _Sentence("comment or (a )?line break", "nothing may follow `|` or `>` on its line"),
    _Sentence("node content", f"expected a value here; if this character belongs to text, {_QUOTE}"),
    _Sentence("incompatible YAML", "only YAML 1.1 and 1.2 can be read"),
)
_TAGGED = re.compile(r"(?:[^\"'!\r\n]*[-:,?\[{] +| *)(![^\r\n]*)")


def syntax_problem(error: yaml.MarkedYAMLError, text: str) -> tuple[str, int]:
    """A sentence for what PyYAML did not understand, and the offset at which to show it."""
    start = error.context_mark.index if error.context_mark else 0
    offset = error.problem_mark.index if error.problem_mark else start
    if tagged := _tagged_value(text, offset):
        return tag_problem(tagged.group(1)), tagged.start(1)
    said = f"{error.context} {error.problem} {text[offset : offset + 1]} {_surroundings(text, offset)}"
    for sentence in _SENTENCES:
        if re.search(sentence.matches, said, re.DOTALL):
            return sentence.says, start if sentence.at_start and error.context_mark else offset
    return f"this is not YAML: {error.problem}", offset


def _surroundings(text: str, offset: int) -> str:
    if not text[offset:].strip():
        return "END"
    return "AFTER QUOTE" if re.search(r"[\"'] *$", text[max(0, offset - 20) : offset]) else ""


def _tagged_value(text: str, offset: int) -> re.Match[str] | None:
    """The value that started with `!` on this line before the error: what follows it only looks wrong to YAML."""
    line = text.rfind("\n", 0, offset) + 1
    found = _TAGGED.match(text, line)
    return found if found and found.start(1) <= offset else None


def tag_problem(spelling: str) -> str:
    """What to say of a value that starts with `!`."""
    if spelling.startswith("!!"):
        return f"tags such as `{spelling.split(maxsplit=1)[0]}` are not supported; quotes make text"
    value = spelling.strip()
    quoted = f'"{value}"' if not set(value) & set('"\\') else "'" + value.replace("'", "''") + "'"
    return f"{_TAG}; {_QUOTE}: {quoted}"
