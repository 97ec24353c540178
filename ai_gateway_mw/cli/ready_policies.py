"""Where the ready policies are: beside the package in a checkout, inside it once installed."""

from __future__ import annotations

from pathlib import Path


def ready_policy(name: str) -> Path:
    """The file of a ready policy, such as `default`. It need not exist."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "_policies"
    return (installed if installed.is_dir() else package.parent / "policies") / f"{name}.yaml"
