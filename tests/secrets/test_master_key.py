from __future__ import annotations

import base64
import pickle
import stat
from pathlib import Path

import pytest

from ai_gateway_mw.errors import SecretError
from ai_gateway_mw.secrets import MasterKey, Secret

KEY = bytes(range(200, 232))


def setting(text: str) -> Secret:
    return Secret(text, "settings/master_key")


@pytest.mark.parametrize(
    "text",
    [
        KEY.hex(),
        KEY.hex().upper(),
        base64.b64encode(KEY).decode(),
        base64.b64encode(KEY).decode().rstrip("="),
        base64.urlsafe_b64encode(KEY).decode(),
    ],
    ids=["hex", "HEX", "base64", "unpadded", "base64url"],
)
def test_32_bytes_are_the_key_in_whatever_form(text: str) -> None:
    assert MasterKey.from_setting(setting(text), b"salt").derived("x") == MasterKey(KEY).derived("x")


@pytest.mark.parametrize("text", ["correct horse battery staple", KEY.hex() + "00", KEY.hex()[:-1]])
def test_any_other_text_is_a_passphrase_with_its_salt(text: str) -> None:
    one = MasterKey.from_setting(setting(text), b"salt 1").derived("x")
    assert one == MasterKey.from_setting(setting(text), b"salt 1").derived("x")
    assert one != MasterKey.from_setting(setting(text), b"salt 2").derived("x")


def test_a_short_passphrase_is_refused_unseen() -> None:
    with pytest.raises(SecretError, match="fewer than 16 characters") as caught:
        MasterKey.from_setting(setting("hunter2"), b"salt")
    assert "hunter2" not in str(caught.value)


def test_a_new_file_gets_its_directory_which_only_its_owner_reads(tmp_path: Path) -> None:
    file = tmp_path / "data" / "master.key"
    MasterKey.make_file(file, beside=tmp_path / "data" / "secrets.db")
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert MasterKey.from_file(file) is not None


def test_each_purpose_has_its_own_key() -> None:
    key = MasterKey(KEY)
    assert key.derived("vaults") == key.derived("vaults")
    assert len({key.derived("vaults"), key.derived("pepper 1"), KEY}) == 3


def test_it_does_not_show_or_leave() -> None:
    key = MasterKey(KEY)
    assert f"{key} {key!r}" == "MasterKey() MasterKey()"
    with pytest.raises(TypeError):
        pickle.dumps(key)


def from_file(path: Path) -> bytes:
    key = MasterKey.from_file(path)
    assert key is not None
    return key.derived("x")


def test_a_made_key_is_for_its_owner_alone_and_lasts(tmp_path: Path) -> None:
    MasterKey.make_file(tmp_path / "master.key", beside=tmp_path / "secrets.db")
    assert stat.S_IMODE((tmp_path / "master.key").stat().st_mode) == 0o600
    assert from_file(tmp_path / "master.key") == from_file(tmp_path / "master.key")
    assert [path.name for path in tmp_path.iterdir()] == ["master.key"]


def test_no_two_made_keys_are_alike(tmp_path: Path) -> None:
    MasterKey.make_file(tmp_path / "one", beside=tmp_path / "secrets.db")
    MasterKey.make_file(tmp_path / "other", beside=tmp_path / "secrets.db")
    assert from_file(tmp_path / "one") != from_file(tmp_path / "other")


@pytest.mark.parametrize("content", [KEY.hex(), "", "anything"])
def test_an_existing_file_is_never_written_over(content: str, tmp_path: Path) -> None:
    (tmp_path / "master.key").write_text(content)
    MasterKey.make_file(tmp_path / "master.key", beside=tmp_path / "secrets.db")
    assert [path.read_text() for path in tmp_path.iterdir()] == [content]


def test_no_file_is_no_key(tmp_path: Path) -> None:
    assert MasterKey.from_file(tmp_path / "master.key") is None


@pytest.mark.parametrize("content", ["", "hunter2hunter2hunter2", "!" * 44])
def test_a_file_without_a_key_is_refused_unseen(content: str, tmp_path: Path) -> None:
    (tmp_path / "master.key").write_text(content)
    with pytest.raises(SecretError, match=r"master\.key does not hold a master key") as caught:
        MasterKey.from_file(tmp_path / "master.key")
    assert "hunter2" not in str(caught.value)
