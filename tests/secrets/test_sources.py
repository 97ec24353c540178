"""What every source does alike; each kind is planted with the same secrets in its own way."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from ai_gateway_mw.errors import SecretUnusable
from ai_gateway_mw.secrets import (
    DotenvSource,
    EnvSource,
    FilesSource,
    LocalVault,
    MemorySource,
    SecretSource,
    SecretStore,
)

Vaults = Mapping[str, Mapping[str, str]]
Plant = Callable[[Path, Vaults], SecretSource]
CANARY = "sk-proj-canary0123456789"
MASTER_KEY = "00" * 32


def _variables(vaults: Vaults) -> dict[str, str]:
    return {
        f"AI_GATEWAY_SECRET__{vault.upper()}__{name.upper()}".replace("-", "_"): value
        for vault, names in vaults.items()
        for name, value in names.items()
    }


def _env(directory: Path, vaults: Vaults) -> SecretSource:
    return EnvSource(_variables(vaults))


def _env_json(directory: Path, vaults: Vaults) -> SecretSource:
    return EnvSource({f"AI_GATEWAY_SECRET__{vault.upper()}": json.dumps(names) for vault, names in vaults.items()})


def _dotenv(directory: Path, vaults: Vaults) -> SecretSource:
    quoted = {name: value.replace("\\", "\\\\").replace("'", "\\'") for name, value in _variables(vaults).items()}
    (directory / ".env").write_text("\n".join(f"{name}='{value}'" for name, value in quoted.items()))
    return DotenvSource(directory / ".env")


def _dotenv_json(directory: Path, vaults: Vaults) -> SecretSource:
    quoted = {vault: json.dumps(names).replace("\\", "\\\\").replace("'", "\\'") for vault, names in vaults.items()}
    lines = [f"export AI_GATEWAY_SECRET__{vault.upper()}='{text}'" for vault, text in quoted.items()]
    (directory / ".env").write_text("\n".join(lines))
    return DotenvSource(directory / ".env")


def _files(directory: Path, vaults: Vaults) -> SecretSource:
    for vault, names in vaults.items():
        (directory / vault).mkdir(exist_ok=True)
        for name, value in names.items():
            (directory / vault / name).write_text(f"{value}\n")
    return FilesSource(directory)


def _files_json(directory: Path, vaults: Vaults) -> SecretSource:
    for vault, names in vaults.items():
        (directory / vault).write_text(json.dumps(names))
    return FilesSource(directory)


def _files_lines(directory: Path, vaults: Vaults) -> SecretSource:
    for vault, names in vaults.items():
        (directory / vault).write_text("# keys\n\n" + "".join(f'{name}: "{value}"\n' for name, value in names.items()))
    return FilesSource(directory)


def _local(directory: Path, vaults: Vaults) -> SecretSource:
    vault_of = LocalVault(directory)
    for vault, names in vaults.items():
        for name, value in names.items():
            vault_of.set(vault, name, value)
    return vault_of


def _memory(directory: Path, vaults: Vaults) -> SecretSource:
    return MemorySource(vaults)


READABLE = [_env, _env_json, _dotenv, _dotenv_json, _files, _files_json, _files_lines, _memory]
ALL = [*READABLE, _local]


@pytest.fixture(params=ALL, ids=lambda plant: plant.__name__.strip("_"))
def plant(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Vaults], SecretSource]:
    return lambda vaults: request.param(tmp_path, vaults)


def test_it_gives_what_is_there(plant: Callable[[Vaults], SecretSource]) -> None:
    source = plant({"openai": {"primary": CANARY, "key-two": "two"}, "google": {"key": "three"}})
    assert source.get("openai", "primary") == CANARY
    assert source.get("openai", "key-two") == "two"
    assert source.get("google", "key") == "three"


@pytest.mark.parametrize(("vault", "name"), [("openai", "missing"), ("missing", "primary"), ("openai", "primar")])
def test_it_gives_none_for_what_is_not(plant: Callable[[Vaults], SecretSource], vault: str, name: str) -> None:
    assert plant({"openai": {"primary": CANARY}}).get(vault, name) is None


def test_it_sees_a_changed_value(plant: Callable[[Vaults], SecretSource]) -> None:
    plant({"openai": {"primary": "old"}}).get("openai", "primary")
    assert plant({"openai": {"primary": "new"}}).get("openai", "primary") == "new"


@pytest.mark.parametrize(
    "value",
    ["a b", "$HOME ${HOME} $$", "a#b #c", "it's", 'say "x"', "back\\slash\\n", "ключ-🔑", "a=b&c", "a: b", "{x}"],
)
def test_a_value_means_itself(plant: Callable[[Vaults], SecretSource], value: str) -> None:
    assert plant({"openai": {"primary": value}}).get("openai", "primary") == value


def test_nothing_but_get_shows_a_value(plant: Callable[[Vaults], SecretSource]) -> None:
    source = plant({"openai": {"primary": CANARY}})
    assert CANARY not in f"{source!r} {source.place('openai', 'primary')} {source.describe()} {source.name}"


def test_place_and_describe_are_for_people(plant: Callable[[Vaults], SecretSource]) -> None:
    source = plant({"openai": {"primary": CANARY}})
    assert "primary" in source.place("openai", "primary").lower()
    assert source.describe()


@pytest.mark.parametrize("make", READABLE, ids=lambda make: make.__name__.strip("_"))
@pytest.mark.parametrize("value", ["", f"{CANARY}\x01"], ids=["empty", "control character"])
def test_an_unusable_value_is_refused_by_name(make: Plant, value: str, tmp_path: Path) -> None:
    store = SecretStore([make(tmp_path, {"openai": {"primary": value}})])
    with pytest.raises(SecretUnusable, match="openai/primary") as caught:
        store.get("openai", "primary")
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize("value", ["", f"{CANARY}\x01", f"{CANARY}\n"], ids=["empty", "control character", "newline"])
def test_the_local_vault_does_not_take_it(value: str, tmp_path: Path) -> None:
    with pytest.raises(SecretUnusable, match="openai/primary"):
        LocalVault(tmp_path).set("openai", "primary", value)
    assert list(tmp_path.iterdir()) == []
