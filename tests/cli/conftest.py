"""The command in this process: fast, and enough wherever no server has to run."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from ai_gateway_mw.cli.app import app

Command = Callable[..., Result]


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """`command("check", file, input=..., env=...)`, run in an empty directory and without settings of the machine."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("AI_GATEWAY_")]:
        monkeypatch.delenv(name)

    def run(*arguments: object, input: str | bytes | None = None, env: dict[str, str] | None = None) -> Result:  # noqa: A002
        words = [str(argument) for argument in arguments]
        result = CliRunner().invoke(app, words, input=input, env=env, prog_name="ai-gateway")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run
