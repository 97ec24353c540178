"""Timings as ratios: what is compared runs in one go, on one machine, in turns."""

from __future__ import annotations

import compileall
from pathlib import Path

import ai_gateway_mw


def compile_package() -> None:
    """Compile the package's bytecode, as an installer does: what starts is not to compile all of it each time, where
    Python is told to write none."""
    compileall.compile_dir(Path(ai_gateway_mw.__file__).parent, quiet=2)
