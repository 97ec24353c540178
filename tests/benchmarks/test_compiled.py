"""The compiled package: when it is built anew."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.compiled import digest


@pytest.mark.parametrize(
    ("name", "is_anew"),
    [
        ("ai_gateway_mw/cel/cel.lark", True),
        ("ai_gateway_mw/providers/data/openai.yaml", True),
        ("ai_gateway_mw/program.py", True),
        ("policies/default.yaml", True),
        ("ai_gateway_mw/__pycache__/program.cpython-311.pyc", False),
        ("tests/test_program.py", False),
    ],
)
def test_it_is_built_anew_when_what_the_wheel_holds_has_changed(name: str, is_anew: bool, tmp_path: Path) -> None:
    file = tmp_path / name
    file.parent.mkdir(parents=True)
    file.write_text("a")
    before = digest(tmp_path)
    file.write_text("b")
    assert (digest(tmp_path) != before) is is_anew
