"""The public conformance suite, when its data is there: CEL_CONFORMANCE_DIR names the folder.

All cases that need no protobuf messages must pass, save those that conformance_known.json names with their reason.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.cel.conformance_adapter import make

FOLDER = os.environ.get("CEL_CONFORMANCE_DIR", "")
KNOWN = json.loads((Path(__file__).parent / "conformance_known.json").read_text())


def load_runner() -> ModuleType:
    path = Path(FOLDER) / "runner" / "run_conformance.py"
    spec = importlib.util.spec_from_file_location("run_conformance", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(not FOLDER, reason="CEL_CONFORMANCE_DIR is not set")
def test_every_case_without_messages_passes_but_the_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path, str(Path(FOLDER) / "runner")])
    runner, adapter = load_runner(), make()
    results = {
        case["id"]: runner.run_case(adapter, case) for _, _, case in runner.load([FOLDER]) if not case["needs_proto"]
    }
    failing = {name: detail for name, (status, detail) in results.items() if status != "pass"}
    assert failing.keys() == KNOWN["failing"].keys(), {name: failing.get(name) for name in failing}
    assert len(results) >= KNOWN["cases"]
