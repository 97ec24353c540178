from __future__ import annotations

import os
from pathlib import Path

import pytest

from ai_gateway_mw.errors import SecretError, SecretUnusable
from ai_gateway_mw.secrets import FilesSource, SecretStore

CANARY = "sk-proj-canary0123456789"


@pytest.mark.parametrize(
    ("content", "value"),
    [
        ("key", "key"),
        ("key\n", "key"),
        ("key\r\n", "key"),
        ("key\n\n", "key\n"),
        ("key\r", "key\r"),
        ("\ufeffkey\n", "key"),
        (" key ", " key "),
        ('{"a": "b"}', '{"a": "b"}'),
    ],
)
def test_one_line_break_at_the_end_is_dropped(content: str, value: str, tmp_path: Path) -> None:
    (tmp_path / "openai").mkdir()
    (tmp_path / "openai" / "primary").write_text(content, newline="")
    assert FilesSource(tmp_path).get("openai", "primary") == value


@pytest.mark.parametrize(
    ("content", "value"),
    [
        ("primary: key", "key"),
        ("other: x\nprimary:key\n", "key"),
        ("primary: 'key'", "key"),
        ('primary: "key"\r\n', "key"),
        ("primary: \"key'", "\"key'"),
        ("primary: a:b # c", "a:b # c"),
        ('\n {"primary": "key"}', "key"),
        ("# none\n", None),
        ("", None),
    ],
)
def test_a_vault_in_one_file(content: str, value: str | None, tmp_path: Path) -> None:
    (tmp_path / "openai").write_text(content)
    assert FilesSource(tmp_path).get("openai", "primary") == value


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (CANARY, "openai:1: expected `key: value`"),
        (f"\n: {CANARY}", "openai:2: expected `key: value`"),
        (f"a: {CANARY}\na: b", "openai:2: a name for the second time"),
        (f'{{"a": "{CANARY}"', "openai is not a JSON object"),
    ],
)
def test_a_vault_that_cannot_be_read_is_refused_unseen(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "openai").write_text(content)
    with pytest.raises(SecretUnusable, match=message) as caught:
        FilesSource(tmp_path).get("openai", "primary")
    assert CANARY not in str(caught.value)


def mount(directory: Path, generation: str, value: str) -> None:
    """What kubelet does when a mounted Secret changes: a new directory, then one atomic move of the `..data` link."""
    (directory / f"..{generation}").mkdir(parents=True)
    (directory / f"..{generation}" / "primary").write_text(value)
    (directory / "..new").symlink_to(f"..{generation}")
    (directory / "..new").rename(directory / "..data")
    if not (directory / "primary").is_symlink():
        (directory / "primary").symlink_to("..data/primary")


def test_a_kubernetes_mount_is_seen_to_change(tmp_path: Path) -> None:
    now = [0.0]
    store = SecretStore([FilesSource(tmp_path)], ttl=30, clock=lambda: now[0])
    mount(tmp_path / "openai", "2026_01_01", "old-key")
    assert store.get("openai", "primary").reveal() == "old-key"
    mount(tmp_path / "openai", "2026_01_02", "new-key")
    assert store.get("openai", "primary").reveal() == "old-key"
    now[0] += 30
    assert store.get("openai", "primary").reveal() == "new-key"


@pytest.mark.parametrize(
    ("vault", "name"),
    [("..", "outside"), ("openai", "../../outside"), ("/", "etc/passwd"), ("openai/../..", "outside")],
)
def test_no_name_leads_out_of_the_directory(vault: str, name: str, tmp_path: Path) -> None:
    (tmp_path / "outside").write_text(CANARY)
    (tmp_path / "secrets" / "openai").mkdir(parents=True)
    with pytest.raises(SecretError, match="cannot name a"):
        FilesSource(tmp_path / "secrets").get(vault, name)


def test_a_vault_may_be_nested(tmp_path: Path) -> None:
    (tmp_path / "team" / "openai").mkdir(parents=True)
    (tmp_path / "team" / "openai" / "primary").write_text("key")
    assert FilesSource(tmp_path).get("team/openai", "primary") == "key"
    assert FilesSource(tmp_path).get("team", "openai/primary") == "key"


def test_a_directory_where_a_file_should_be_is_no_secret(tmp_path: Path) -> None:
    (tmp_path / "openai" / "primary").mkdir(parents=True)
    assert FilesSource(tmp_path).get("openai", "primary") is None


def test_a_huge_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "openai").write_bytes(b"x" * (1024 * 1024 + 1))
    with pytest.raises(SecretUnusable, match="larger than 1 MiB"):
        FilesSource(tmp_path).get("openai", "primary")


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "openai")
    with pytest.raises(SecretUnusable, match="not a regular file"):
        FilesSource(tmp_path).get("openai", "primary")


def test_a_file_that_cannot_be_read_is_not_passed_over(tmp_path: Path) -> None:
    (tmp_path / "openai").symlink_to("openai")
    with pytest.raises(SecretUnusable, match="openai/primary cannot be read: Too many levels of symbolic links"):
        FilesSource(tmp_path).get("openai", "primary")
