"""What is compiled in wheels must mean what its source says: the compiler is known to get some things wrong."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
_WHEEL = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
_HOOK = _WHEEL["hooks"]["custom"]
_WAITS = (ast.Await, ast.AsyncFor, ast.AsyncWith)


def files(patterns: list[str]) -> set[Path]:
    return {file for pattern in patterns for file in ROOT.glob(pattern)}


COMPILED = sorted(files(_HOOK["modules"]) - files(_HOOK["interpreted"]))


def classes(file: Path) -> Iterator[ast.ClassDef]:
    return (node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.ClassDef))


@pytest.mark.parametrize("pattern", [*_HOOK["modules"], *_HOOK["interpreted"]])
def test_every_pattern_names_a_module(pattern: str) -> None:
    assert files([pattern])


@pytest.mark.parametrize("file", COMPILED, ids=lambda file: str(file.relative_to(ROOT)))
def test_no_error_that_was_handled_is_raised_again(file: Path) -> None:
    """mypyc raises it again after a `finally` that waits, where the same `try` has handled it."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Try) and node.handlers:
            waits = [each for last in node.finalbody for each in ast.walk(last) if isinstance(each, _WAITS)]
            assert not waits, f"{file.name}:{waits[0].lineno} waits in the `finally` of a `try` that handles errors"


def test_no_class_that_is_compiled_has_subclasses_that_are_not() -> None:
    compiled = {node.name for file in COMPILED for node in classes(file)}
    for file in sorted(files(["ai_gateway_mw/**/*.py"]) - set(COMPILED)):
        for node in classes(file):
            assert not compiled & {ast.unparse(base) for base in node.bases}, f"{file.name}: {node.name}"
