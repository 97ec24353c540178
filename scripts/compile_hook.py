"""Compiles the modules that a request passes through when a wheel is built with HATCH_BUILD_HOOK_ENABLE_CUSTOM=1.

What is compiled, by mypyc, is the Python that stands there. The wheel holds both, and works the same without the
compiled half. `[tool.hatch.build.targets.wheel.hooks.custom]` in pyproject.toml says which modules.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from mypyc.build import mypycify
from setuptools import Distribution
from setuptools.command.build_ext import build_ext


class CompileHook(BuildHookInterface[Any]):
    """Adds a small library to the wheel beside each module that is compiled, and a large one with the code of all."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        self._place = Path(tempfile.mkdtemp(prefix="ai-gateway-mw-"))
        if version == "editable":  # what is edited is what is to run
            return
        libraries = self._place / "libraries"
        self._compile(libraries)
        for library in libraries.rglob("*.*"):
            build_data["force_include"][str(library)] = str(library.relative_to(libraries))
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        shutil.rmtree(self._place)

    def _files(self, *patterns: str) -> set[str]:
        root = Path(self.root)
        return {str(file.relative_to(root)) for pattern in patterns for file in root.glob(pattern)}

    def _compile(self, into: Path) -> None:
        modules = self._files(*self.config["modules"]) - self._files(*self.config["interpreted"])
        extensions = mypycify(
            ["--config-file", "pyproject.toml", "--cache-dir", str(self._place / "types"), *sorted(modules)],
            target_dir=str(self._place / "c"),
            group_name="ai_gateway_mw",
            opt_level="3",
            debug_level="0",
        )
        command = build_ext(Distribution({"name": "ai_gateway_mw", "ext_modules": extensions}))
        command.build_lib, command.build_temp = str(into), str(self._place / "objects")
        command.ensure_finalized()
        command.run()
