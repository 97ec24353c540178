"""`python -m benchmarks.compiled`: builds the package as its wheels hold it, compiled, and prints where it is.

It takes some minutes, needs a C compiler, and is done anew when a file of it has changed. `PYTHONPATH` brings it before
the package of this checkout: `PYTHONPATH=$(python -m benchmarks.compiled) ai-gateway run policy.yaml`.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from benchmarks.progress import progress

ROOT: Final = Path(__file__).parents[1]
_BUILDS: Final = ROOT / "build" / "compiled"


class NotCompiled(Exception):
    """The message has the end of what the build said."""


def compiled(say: Callable[[str], None]) -> Path:
    """The directory that holds the compiled package, built if it is not there. Raises `NotCompiled`."""
    directory = _BUILDS / digest(ROOT)
    if not directory.exists():
        say("compiling the package (some minutes; once for each change)")
        shutil.rmtree(_BUILDS, ignore_errors=True)  # of what has changed since
        with TemporaryDirectory(prefix="ai-gateway-mw-") as name:
            wheel = _wheel(Path(name))
            draft = directory.with_suffix(".draft")
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(draft)
            draft.rename(directory)
    return directory


def digest(root: Path) -> str:
    """Of all that the build depends on and the wheel holds, below this directory."""
    made = hashlib.sha256(sys.version.encode())
    patterns = ("pyproject.toml", "scripts/*.py", "ai_gateway_mw/**/*.*", "policies/**/*.*")
    for file in sorted({file for pattern in patterns for file in root.glob(pattern)}):
        if file.is_file() and file.suffix != ".pyc":
            made.update(str(file.relative_to(root)).encode() + b"\0" + file.read_bytes())
    return made.hexdigest()[:16]


def _wheel(into: Path) -> Path:
    built = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--no-deps", "--disable-pip-version-check", "-w", str(into), str(ROOT)],
        env=os.environ | {"HATCH_BUILD_HOOK_ENABLE_CUSTOM": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if built.returncode:
        raise NotCompiled(f"the package cannot be compiled here:\n{built.stdout[-2000:]}")
    [wheel] = into.glob("*.whl")
    return wheel


if __name__ == "__main__":
    try:
        print(compiled(progress()))
    except NotCompiled as error:
        raise SystemExit(str(error)) from None
