from __future__ import annotations

import os
from pathlib import Path

import pytest

from ai_gateway_mw.errors import SecretUnusable
from ai_gateway_mw.secrets import DotenvSource

CANARY = "sk-proj-canary0123456789"


@pytest.mark.parametrize(
    "line",
    [
        f"OPENAI_API_KEY={CANARY}",
        f"export OPENAI_API_KEY={CANARY}",
        f'OPENAI_API_KEY="{CANARY}"  # of the team',
        f"\ufeffOPENAI_API_KEY = '{CANARY}'",
        f"# a comment\r\n\r\nOPENAI_API_KEY={CANARY}\r\n",
        f"AI_GATEWAY_SECRET__DEFAULT__OPENAI_API_KEY={CANARY}",
    ],
)
def test_lines_that_are_understood(line: str, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(line, newline="")
    assert DotenvSource(tmp_path / ".env").get("default", "OPENAI_API_KEY") == CANARY


def test_nothing_of_the_process_is_put_into_a_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTHER", "x")
    (tmp_path / ".env").write_text("KEY=a${OTHER}b$OTHER")
    assert DotenvSource(tmp_path / ".env").get("default", "KEY") == "a${OTHER}b$OTHER"


def test_a_name_without_a_value_is_not_there(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("KEY\nOTHER=1\n")
    assert DotenvSource(tmp_path / ".env").get("default", "KEY") is None


@pytest.mark.parametrize("path", ["missing", "missing/.env", "."])
def test_no_file_has_no_secrets(path: str, tmp_path: Path) -> None:
    assert DotenvSource(tmp_path / path).get("openai", "primary") is None


def test_the_null_device_has_none() -> None:
    assert DotenvSource(Path(os.devnull)).get("openai", "primary") is None


def test_a_file_of_another_encoding_is_refused_unseen(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(f"KEY={CANARY}\xff".encode("latin-1"))
    with pytest.raises(SecretUnusable, match=r"\.env is not UTF-8 text") as caught:
        DotenvSource(tmp_path / ".env").get("default", "KEY")
    assert caught.value.__context__ is None


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ".env")
    with pytest.raises(SecretUnusable, match="not a regular file"):
        DotenvSource(tmp_path / ".env").get("default", "KEY")
