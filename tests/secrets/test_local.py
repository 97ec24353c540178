from __future__ import annotations

import multiprocessing
import os
import sqlite3
import stat
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ai_gateway_mw.errors import SecretError, SecretUnusable
from ai_gateway_mw.secrets import LocalVault, Secret, SecretStore, StoredSecret

CANARY = "sk-proj-canary0123456789"


def key(text: str) -> Secret:
    return Secret(text, "settings/master_key")


def rows(directory: Path, statement: str, *values: object) -> list[tuple[object, ...]]:
    with sqlite3.connect(directory / "secrets.db") as database:
        found = database.execute(statement, values).fetchall()
    database.close()
    return found


def test_what_is_set_is_there_for_the_next_process(tmp_path: Path) -> None:
    LocalVault(tmp_path).set("openai", "primary", CANARY)
    assert LocalVault(tmp_path).get("openai", "primary") == CANARY


def test_a_store_of_secrets_is_two_files(tmp_path: Path) -> None:
    LocalVault(tmp_path).set("openai", "primary", CANARY)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["master.key", "secrets.db"]


def test_a_value_is_replaced(tmp_path: Path) -> None:
    vault = LocalVault(tmp_path)
    vault.set("openai", "primary", "old")
    vault.set("openai", "primary", "new")
    assert vault.get("openai", "primary") == "new"
    assert len(vault.entries()) == 1


def test_entries_show_names_and_times_and_need_no_key(tmp_path: Path) -> None:
    vault = LocalVault(tmp_path, clock=lambda: 1_800_000_000.0)
    for name in ("b", "a"):
        vault.set("openai", name, CANARY)
    (tmp_path / "master.key").unlink()
    when = datetime.fromtimestamp(1_800_000_000, UTC)
    assert LocalVault(tmp_path).entries() == (StoredSecret("openai", "a", when), StoredSecret("openai", "b", when))


def test_a_deleted_secret_is_gone(tmp_path: Path) -> None:
    vault = LocalVault(tmp_path)
    vault.set("openai", "primary", CANARY)
    assert vault.delete("openai", "primary")
    assert not vault.delete("openai", "primary")
    assert vault.get("openai", "primary") is None
    vault.set("openai", "primary", "again")
    assert vault.get("openai", "primary") == "again"


def test_reading_makes_no_file(tmp_path: Path) -> None:
    vault = LocalVault(tmp_path / "data")
    assert vault.get("openai", "primary") is None
    assert vault.entries() == ()
    assert not vault.delete("openai", "primary")
    assert list(tmp_path.iterdir()) == []


def test_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        LocalVault(tmp_path / "data").set("openai", "primary", CANARY)
        with sqlite3.connect(tmp_path / "data" / "secrets.db") as database:
            database.execute("SELECT * FROM secrets").fetchall()
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "data").iterdir()}
        database.close()
    finally:
        os.umask(before)
    assert modes.pop("secrets.db") == modes.pop("master.key") == 0o600
    assert set(modes.values()) <= {0o600}
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700


def test_the_file_is_written_ahead_and_fully_synchronous(tmp_path: Path) -> None:
    vault = LocalVault(tmp_path)
    vault.set("openai", "primary", CANARY)
    assert rows(tmp_path, "PRAGMA journal_mode") == [("wal",)]
    with vault._writing() as database:
        assert database.execute("PRAGMA synchronous").fetchone() == (2,)


def test_no_file_holds_the_value_in_any_form(tmp_path: Path) -> None:
    vault = LocalVault(tmp_path)
    vault.set("openai", "primary", CANARY)
    store = SecretStore([vault])
    store.get("openai", "primary")
    for path in tmp_path.iterdir():
        assert not store.contains_secret(path.read_bytes().decode("latin-1"))


def test_no_two_seals_of_a_value_are_alike(tmp_path: Path) -> None:
    vault = LocalVault(tmp_path)
    for name in ("a", "b"):
        vault.set("openai", name, CANARY)
    (one,), (other,) = rows(tmp_path, "SELECT sealed FROM secrets")
    assert isinstance(one, bytes)
    assert isinstance(other, bytes)
    assert one[:12] != other[:12]
    assert one[12:] != other[12:]


def test_a_setting_is_the_master_key_and_no_file_is_made(tmp_path: Path) -> None:
    for text in ("ab" * 32, "correct horse battery staple"):
        directory = tmp_path / text[:2]
        LocalVault(directory, master_key=key(text)).set("openai", "primary", CANARY)
        assert LocalVault(directory, master_key=key(text)).get("openai", "primary") == CANARY
        assert not (directory / "master.key").exists()


def test_the_setting_is_worked_out_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vault = LocalVault(tmp_path, master_key=key("correct horse battery staple"))
    vault.set("openai", "primary", CANARY)
    vault.get("openai", "primary")
    monkeypatch.delattr("hashlib.scrypt")
    assert vault.get("openai", "primary") == CANARY


@pytest.mark.parametrize("operation", ["get", "set"])
@pytest.mark.parametrize("wrong", ["cd" * 32, "wrong horse battery staple"])
def test_another_master_key_is_refused_and_changes_nothing(operation: str, wrong: str, tmp_path: Path) -> None:
    LocalVault(tmp_path, master_key=key("ab" * 32)).set("openai", "primary", CANARY)
    vault = LocalVault(tmp_path, master_key=key(wrong))
    with pytest.raises(SecretError, match="AI_GATEWAY_MASTER_KEY is not the master key") as caught:
        vault.get("openai", "primary") if operation == "get" else vault.set("new", "one", "value")
    assert wrong not in str(caught.value)
    assert not (tmp_path / "master.key").exists()
    assert LocalVault(tmp_path, master_key=key("ab" * 32)).get("openai", "primary") == CANARY
    assert len(vault.entries()) == 1


@pytest.mark.parametrize("operation", ["get", "set"])
def test_a_lost_master_key_is_never_made_anew(operation: str, tmp_path: Path) -> None:
    LocalVault(tmp_path).set("openai", "primary", CANARY)
    LocalVault(tmp_path).delete("openai", "other")
    content = (tmp_path / "master.key").read_bytes()
    (tmp_path / "master.key").unlink()
    vault = LocalVault(tmp_path)
    with pytest.raises(SecretError, match="made with a master key that is not here"):
        vault.get("openai", "primary") if operation == "get" else vault.set("new", "one", "value")
    assert not (tmp_path / "master.key").exists()
    (tmp_path / "master.key").write_bytes(content)
    assert LocalVault(tmp_path).get("openai", "primary") == CANARY


def test_a_lost_record_of_the_master_key_is_never_made_anew(tmp_path: Path) -> None:
    LocalVault(tmp_path).set("openai", "primary", CANARY)
    rows(tmp_path, "DELETE FROM master")
    with pytest.raises(SecretError, match="has lost what it says of its master key"):
        LocalVault(tmp_path).set("openai", "backup", CANARY)
    assert rows(tmp_path, "SELECT * FROM master") == []


def test_the_key_is_still_asked_for_when_all_secrets_are_deleted(tmp_path: Path) -> None:
    LocalVault(tmp_path).set("openai", "primary", CANARY)
    LocalVault(tmp_path).delete("openai", "primary")
    (tmp_path / "master.key").unlink()
    with pytest.raises(SecretError, match="not here"):
        LocalVault(tmp_path).set("openai", "primary", CANARY)


def test_a_generated_key_goes_on_after_the_file_of_secrets_is_gone(tmp_path: Path) -> None:
    LocalVault(tmp_path).set("openai", "primary", CANARY)
    content = (tmp_path / "master.key").read_bytes()
    for path in tmp_path.glob("secrets.db*"):
        path.unlink()
    LocalVault(tmp_path).set("openai", "primary", CANARY)
    assert (tmp_path / "master.key").read_bytes() == content


SWAPS = {
    "two names": "UPDATE secrets SET sealed = (SELECT sealed FROM secrets WHERE name = 'backup')",
    "renamed": "UPDATE secrets SET name = 'primary' WHERE name = 'backup'",
    "another vault": "UPDATE secrets SET vault = 'google' WHERE vault = 'openai' AND name = 'backup'",
    "keys of vaults": "UPDATE vault_keys SET sealed = (SELECT sealed FROM vault_keys WHERE vault = 'google')",
    "key version": "UPDATE secrets SET key_version = 2; INSERT INTO vault_keys SELECT vault, 2, sealed FROM vault_keys",
    "lost key": "DELETE FROM vault_keys",
    "lost master": "DELETE FROM master",
    "one bit": "UPDATE secrets SET sealed = CAST(substr(sealed, 1, 12) || x'00' || substr(sealed, 14) AS BLOB)",
    "cut": "UPDATE secrets SET sealed = substr(sealed, 1, 5)",
}


@pytest.mark.parametrize("swap", SWAPS.values(), ids=SWAPS)
def test_a_record_opens_only_where_it_was_sealed(swap: str, tmp_path: Path) -> None:
    vault = LocalVault(tmp_path)
    for name in ("primary", "backup"):
        vault.set("openai", name, f"{CANARY}-{name}")
    vault.set("google", "key", f"{CANARY}-google")
    if swap == SWAPS["renamed"]:
        vault.delete("openai", "primary")
    for statement in swap.split(";"):
        rows(tmp_path, statement)
    moved = ("google", "backup") if swap == SWAPS["another vault"] else ("openai", "primary")
    with pytest.raises(SecretUnusable, match=r"not sealed with this key|has lost a key") as caught:
        vault.get(*moved)
    assert CANARY not in str(caught.value)


def test_a_file_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    vault = LocalVault(tmp_path)
    vault.set("openai", "primary", CANARY)
    rows(tmp_path, "PRAGMA user_version = 2")
    for operation in (lambda: vault.get("openai", "primary"), lambda: vault.set("a", "b", "c"), vault.entries):
        with pytest.raises(SecretError, match="newer version"):
            operation()


@pytest.mark.parametrize("content", [b"not a database at all, but long enough to be taken for one" * 100])
def test_a_broken_file_is_an_error_that_names_it(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "secrets.db").write_bytes(content)
    with pytest.raises(SecretError, match=r"secrets\.db: file is not a database"):
        LocalVault(tmp_path).get("openai", "primary")


def test_another_file_in_its_place_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "secrets.db").touch()
    for operation in (LocalVault(tmp_path).entries, lambda: LocalVault(tmp_path).set("openai", "primary", CANARY)):
        with pytest.raises(SecretError, match=r"secrets\.db is no vault"):
            operation()
    assert (tmp_path / "secrets.db").read_bytes() == b""


def test_a_place_that_cannot_be_written_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SecretError, match=r"file/data/secrets\.db: Not a directory; AI_GATEWAY_DATA_DIR"):
        LocalVault(tmp_path / "file" / "data").set("openai", "primary", CANARY)


def test_without_cryptography_only_the_use_of_the_vault_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [name for name in sys.modules if name.partition(".")[0] == "cryptography"]:
        monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setitem(sys.modules, "cryptography", None)
    vault = LocalVault(tmp_path)
    assert vault.get("openai", "primary") is None
    with pytest.raises(SecretError, match=r"ai-gateway-mw\[server\]"):
        vault.set("openai", "primary", CANARY)


def _set(directory: Path, number: int) -> None:
    LocalVault(directory).set("openai", f"key-{number}", f"{CANARY}-{number}")


def test_processes_that_store_the_first_secret_together_agree_on_the_key(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_set, args=(tmp_path / "data", number)) for number in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    vault = LocalVault(tmp_path / "data")
    assert [vault.get("openai", f"key-{number}") for number in range(4)] == [f"{CANARY}-{n}" for n in range(4)]
