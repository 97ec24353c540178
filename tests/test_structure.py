"""The layers of the package: imports point downwards only, and a package is entered through its door."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

PACKAGE = "ai_gateway_mw"
ROOT = Path(__file__).parent.parent / PACKAGE
# From the top down; a layer may import what stands below it, and what stands beside it.
LAYERS = (
    {"cli", "__main__"},
    {"__init__"},
    {"middleware"},
    {"admin"},
    {"explain"},
    {"imports"},
    {"compiler"},
    {"program"},
    {"actions"},
    {"login"},
    {"jose", "webhooks"},
    {"upstream"},
    {"runtime"},
    {"stores"},
    {"accounts"},
    {"services"},
    {"keys.store", "audit", "usage", "usage.store"},
    {"telemetry", "limits", "keys", "variables", "context", "answering", "results"},
    {"settings", "database"},
    {"facts"},
    {"providers", "state", "secrets", "upstream.http1"},
    {
        "policy",
        "cel",
        "streams",
        "texts",
        "asgi",
        "watches",
        "replies",
        "body",
        "compression",
        "form",
        "hops",
        "hosts",
        "internal",
        "addresses",
        "clocks",
        "headers",
        "surfaces",
        "urls",
        "errors",
        "version",
        "visible",
    },
)
HEIGHT = {name: -depth for depth, layer in enumerate(LAYERS) for name in layer}
MODULES = sorted(path for path in ROOT.rglob("*.py"))


def part_of(path: Path) -> str:
    """The layer's name that a file belongs to."""
    return part(path.relative_to(ROOT).with_suffix("").parts)


def part(names: Sequence[str]) -> str:
    """The same for a dotted name below the package; some parts stand lower than the package around them."""
    nested = ".".join(names[:2])
    return nested if nested in HEIGHT else names[0]


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """Modules of ours that a file imports when it runs, with the line; what only types need is left out."""
    tree = ast.parse(path.read_text())
    typing_only = {
        id(node)
        for guard in ast.walk(tree)
        if isinstance(guard, ast.If) and ast.unparse(guard.test) == "TYPE_CHECKING"
        for node in ast.walk(guard)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and id(node) not in typing_only and node.module and not node.level:
            yield node.module, node.lineno


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_downwards_and_enter_through_the_door(path: Path) -> None:
    here = part_of(path)
    for module, line in imports(path):
        names = module.split(".")
        if names[0] != PACKAGE or len(names) == 1:
            continue
        there = part(names[1:])
        assert HEIGHT[there] <= HEIGHT[here], f"{path.name}:{line}: {here} imports {there}, which stands above it"
        door = there.split(".")
        if (
            there != here
            and ROOT.joinpath(*door).is_dir()
            and there not in ("actions", "cli", "middleware", "upstream")
        ):
            assert names[1:] == door, f"{path.name}:{line}: {module} is behind the door of {PACKAGE}.{there}"


def test_every_part_has_its_layer() -> None:
    assert {part_of(path) for path in MODULES} <= HEIGHT.keys()


def test_policy_and_cel_do_not_know_each_other() -> None:
    for part, other in (("policy", "cel"), ("cel", "policy")):
        for path in (ROOT / part).rglob("*.py"):
            assert not [module for module, _ in imports(path) if module.startswith(f"{PACKAGE}.{other}")]


def test_cel_stands_alone() -> None:
    for path in (ROOT / "cel").rglob("*.py"):
        for module, line in imports(path):
            if module.startswith(PACKAGE):
                assert module.startswith(f"{PACKAGE}.cel"), f"{path.name}:{line} imports {module}"
