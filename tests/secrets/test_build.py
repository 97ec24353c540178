from __future__ import annotations

from pathlib import Path

import pytest

from ai_gateway_mw.errors import SecretMissing
from ai_gateway_mw.secrets import SOURCES, LocalVault, build_store
from ai_gateway_mw.settings import Settings

CANARY = "sk-proj-canary0123456789"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("AI_GATEWAY_SECRETS", "AI_GATEWAY_SECRET__OPENAI__PRIMARY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_the_chain_asks_in_the_order_of_the_setting(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    LocalVault(here / "data").set("openai", "primary", "from-local")
    (here / "mount").mkdir()
    (here / "mount" / "openai").write_text("primary: from-files")
    (here / ".env").write_text("AI_GATEWAY_SECRET__OPENAI__PRIMARY=from-dotenv")
    monkeypatch.setenv("AI_GATEWAY_SECRET__OPENAI__PRIMARY", "from-env")
    for names in ("env,dotenv", "dotenv,env,files", "files,local", "local,env"):
        store = build_store(Settings(secrets=names, data_dir=here / "data", secrets_dir=here / "mount"))
        assert [source.name for source in store.sources] == names.split(",")
        assert store.get("openai", "primary").reveal() == f"from-{names.partition(',')[0]}"


def test_all_four_sources_are_the_default_and_nothing_is_written(here: Path) -> None:
    store = build_store(Settings())
    assert [source.name for source in store.sources] == list(SOURCES) == ["env", "dotenv", "files", "local"]
    with pytest.raises(SecretMissing, match=r"\.env; .*/run/secrets/openai/primary; .*\.ai-gateway/secrets\.db"):
        store.get("openai", "primary")
    assert list(here.iterdir()) == []


def test_the_master_key_of_the_settings_opens_the_vault(here: Path) -> None:
    settings = Settings(master_key="ab" * 32, secrets="local")
    LocalVault(settings.data_dir, master_key=settings.master_key).set("openai", "primary", CANARY)
    assert build_store(settings).get("openai", "primary").reveal() == CANARY


def test_the_secrets_of_the_settings_are_redacted(here: Path) -> None:
    store = build_store(Settings(admin_token=CANARY, master_key="ab" * 32))
    assert store.redact(f"{CANARY} {'ab' * 32}") == "[redacted] [redacted]"
