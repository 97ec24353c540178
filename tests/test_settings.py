from __future__ import annotations

import pickle
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

import ai_gateway_mw
from ai_gateway_mw.facts import IPPolicies, IPPolicy
from ai_gateway_mw.hosts import HostAddress
from ai_gateway_mw.secrets import Secret
from ai_gateway_mw.settings import Settings, SettingsError

CANARY = "canary-0123456789-abcdef"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory, and none of our variables."""
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(f"AI_GATEWAY_{name.upper()}", raising=False)
    return tmp_path


def test_everything_has_a_default() -> None:
    settings = Settings()
    assert settings.data_dir == Path(".ai-gateway")
    assert settings.max_body == 32 * 1024 * 1024
    assert settings.secrets == ("env", "dotenv", "files", "local")
    assert settings.master_key is settings.admin_token is settings.database_url is None
    assert settings.trusted_proxies == ()
    assert settings.hosts == {}
    assert settings.warnings == ()


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("data_dir", "/var/lib/gateway", Path("/var/lib/gateway")),
        ("data_dir", "~/gateway", Path.home() / "gateway"),
        ("max_body", "1048576", 1024 * 1024),
        ("max_body", "64MiB", 64 * 1024 * 1024),
        ("max_body", "1 KiB", 1024),
        ("secrets", " files , env ", ("files", "env")),
        ("secrets_ttl", "0", 0.0),
        ("dialect_errors", "no", False),
        ("connect_timeout", "2.5", 2.5),
        ("connect_timeout", "1m30s", 90.0),
        ("secrets_ttl", "250ms", 0.25),
        ("trusted_proxies", "10.0.0.0/8, ::1/128", (ip_network("10.0.0.0/8"), ip_network("::1/128"))),
        ("trusted_proxies", "::ffff:10.0.0.0/104", (ip_network("10.0.0.0/8"),)),
        ("hosts", "ollama.internal=10.0.0.5:11434", {"ollama.internal": HostAddress("10.0.0.5", 11434)}),
        ("hosts", "A.Internal.=[::1]:80, b=::1", {"a.internal": HostAddress("::1", 80), "b": HostAddress("::1")}),
        (
            "internal",
            "Orders=http://10.0.0.5:80/base/, b.internal=https://b.test",
            {"orders": "http://10.0.0.5:80/base", "b": "https://b.test"},
        ),
        ("hosts", "a=localhost:80,b=10.0.0.5", {"a": HostAddress("localhost", 80), "b": HostAddress("10.0.0.5")}),
        (
            "ip_policies",
            "ipp_a=10.0.0.0/8  !10.9.0.0/16, ~/ranges.yaml,ipp_b=::1/128",
            IPPolicies(
                {"ipp_a": IPPolicy.of(["10.0.0.0/8", "!10.9.0.0/16"]), "ipp_b": IPPolicy.of(["::1/128"])},
                (Path.home() / "ranges.yaml",),
            ),
        ),
        ("master_key", CANARY, Secret(CANARY, "settings/master_key")),
    ],
)
def test_a_variable_sets_it(name: str, text: str, value: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"AI_GATEWAY_{name.upper()}", text)
    assert getattr(Settings(), name) == value


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"trusted_proxies": "10.0.0.1"}, "TRUSTED_PROXIES: `10.0.0.1` is not a CIDR range; write `10.0.0.1/32`"),
        ({"trusted_proxies": "10.0.0.0/33"}, "TRUSTED_PROXIES: `10.0.0.0/33` is not a CIDR range: it needs"),
        ({"trusted_proxies": 7}, "TRUSTED_PROXIES: Input should be a valid tuple"),
        ({"hosts": "a"}, "HOSTS: `a` is not `name=address`"),
        ({"internal": "a"}, "INTERNAL: `a` is not `name=url`"),
        ({"internal": "a b=http://x"}, "INTERNAL: `a b` is not a host name"),
        ({"internal": "internal=http://x"}, "INTERNAL: `internal` is not the name of an upstream"),
        ({"internal": "a=x:80"}, "INTERNAL: `x:80` is not an http or https URL"),
        ({"internal": "a=http://u:pw@x"}, "INTERNAL: `x` is not an http or https URL"),
        ({"internal": "a=http://x?y"}, "is not an http or https URL"),
        ({"internal": "a=http://x:99999"}, "is not an http or https URL"),
        ({"hosts": "a b=10.0.0.5"}, "HOSTS: `a b` is not a host name"),
        ({"hosts": "a=10.0.0.5:0"}, "HOSTS: `10.0.0.5:0` is not `address` or `address:port`"),
        ({"hosts": "a=http://10.0.0.5:80"}, "HOSTS: `http://10.0.0.5:80` is not `address`"),
        ({"hosts": "a=[::1"}, "is not `address`"),
        ({"hosts": 7}, "HOSTS: Input should be a valid dictionary"),
        ({"ip_policies": "a=10.0.0.1"}, "IP_POLICIES: `10.0.0.1` is not a CIDR range; write `10.0.0.1/32`"),
        ({"ip_policies": "a="}, "IP_POLICIES: an IP policy has ranges, such as"),
        ({"ip_policies": {"a": "!x/8"}}, "IP_POLICIES: `x/8` is not a CIDR range"),
        ({"ip_policies": {"a": [7]}}, "IP_POLICIES: an IP policy is a list of CIDR ranges"),
        ({"ip_policies": 7}, "IP_POLICIES: Input should be a dictionary or an instance of IPPolicies"),
        ({"secrets": "env,vualt"}, "SECRETS: `vualt` is no source of secrets; there are env, dotenv, files, local"),
        ({"secrets": "dotenvs"}, "SECRETS: `dotenvs` is no source of secrets; did you mean `dotenv`?"),
        ({"max_body": "much"}, "MAX_BODY: a size with its unit, such as `32MiB`"),
        ({"max_body": "32xb"}, "MAX_BODY: a size with its unit, such as `32MiB`"),
        ({"max_body": "0"}, "MAX_BODY: Input should be greater than 0"),
        ({"secrets_ttl": "-1"}, "SECRETS_TTL: Input should be greater than or equal to 0"),
        ({"connect_timeout": "soon"}, "CONNECT_TIMEOUT: a duration with its unit, such as `30s`"),
        ({"connect_timeout": "0s"}, "CONNECT_TIMEOUT: Input should be greater than 0"),
        ({"connect_timeout": "inf"}, "CONNECT_TIMEOUT: Input should be a finite number"),
        ({"master_key": f"{CANARY}\n"}, "MASTER_KEY: secret settings/master_key .* holds a line break"),
        ({"admin_token": " "}, "ADMIN_TOKEN: secret settings/admin_token .* is empty"),
        ({"admin_token": 7}, "ADMIN_TOKEN: Input should be an instance of Secret"),
        ({"datadir": "x"}, "`datadir` is no setting; did you mean `data_dir`?"),
    ],
)
def test_what_cannot_be_used_is_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message.replace("?", r"\?").replace("[", r"\[")) as caught:
        Settings(**values)
    assert CANARY not in str(caught.value)
    assert caught.value.__context__ is None


def test_all_problems_come_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AI_GATEWAY_SECRETS", "nowhere")
    with pytest.raises(SettingsError) as caught:
        Settings(max_body="x", unknown=1)
    assert len(caught.value.problems) == 3


def test_arguments_go_before_variables_and_these_before_the_file(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / ".env").write_text("AI_GATEWAY_CONNECT_TIMEOUT=1\nAI_GATEWAY_SECRETS_TTL=1\nAI_GATEWAY_MAX_BODY=1\n")
    monkeypatch.setenv("AI_GATEWAY_SECRETS_TTL", "2")
    monkeypatch.setenv("AI_GATEWAY_MAX_BODY", "2")
    settings = Settings(max_body=3)
    assert (settings.connect_timeout, settings.secrets_ttl, settings.max_body) == (1, 2, 3)
    sources = {name: source for name, _, source in settings.described()}
    assert sources["AI_GATEWAY_CONNECT_TIMEOUT"] == ".env"
    assert sources["AI_GATEWAY_SECRETS_TTL"] == "environment"
    assert sources["AI_GATEWAY_MAX_BODY"] == "argument"
    assert sources["AI_GATEWAY_DATA_DIR"] == "default"


@pytest.mark.parametrize("by", ["argument", "variable"])
def test_the_file_may_be_another(by: str, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / ".env").write_text("AI_GATEWAY_CONNECT_TIMEOUT=1\n")
    (here / "prod.env").write_text("AI_GATEWAY_CONNECT_TIMEOUT=2\n")
    if by == "variable":
        monkeypatch.setenv("AI_GATEWAY_ENV_FILE", "prod.env")
    settings = Settings() if by == "variable" else Settings(env_file="prod.env")
    assert settings.connect_timeout == 2
    assert settings.env_file == Path("prod.env")


def test_a_file_that_is_not_text_is_refused_unseen(here: Path) -> None:
    (here / ".env").write_bytes(f"AI_GATEWAY_ADMIN_TOKEN={CANARY}\xff".encode("latin-1"))
    with pytest.raises(SettingsError, match=r"\.env file cannot be read") as caught:
        Settings()
    assert caught.value.__context__ is None


def test_an_empty_variable_is_no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.setenv(f"AI_GATEWAY_{name.upper()}", "")
    assert Settings().described() == Settings().described()
    assert {described.source for described in Settings().described()} == {"default"}


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("AI_GATEWAY_TRUSTED_PROXY", "AI_GATEWAY_TRUSTED_PROXIES"),
        ("AI_GATEWAY_DATADIR", "AI_GATEWAY_DATA_DIR"),
        ("ai_gateway_datadir", "AI_GATEWAY_DATA_DIR"),
        ("AI_GATEWAY_COLOUR", ""),
    ],
)
@pytest.mark.parametrize("place", ["environment", ".env"])
def test_a_variable_that_no_setting_has_is_a_warning(
    name: str, hint: str, place: str, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if place == ".env":
        (here / ".env").write_text(f"{name}={CANARY}\nOTHER=1")
    else:
        monkeypatch.setenv(name, CANARY)
    (warning,) = Settings().warnings
    assert warning.message == f"{name.upper()} is no setting"
    assert warning.hint == hint
    assert warning.severity == "warning"


def test_secrets_and_what_others_use_are_no_settings(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / ".env").write_text(f"AI_GATEWAY_SECRET__OPENAI__PRIMARY={CANARY}\nDATA_DIR=x\nOPENAI_API_KEY={CANARY}\n")
    monkeypatch.setenv("AI_GATEWAY_SECRET__OPENAI", "{}")
    assert Settings().warnings == ()
    assert Settings().data_dir == Path(".ai-gateway")


def test_a_short_admin_token_is_a_warning() -> None:
    (warning,) = Settings(admin_token="short").warnings
    assert warning.message == "AI_GATEWAY_ADMIN_TOKEN is shorter than 16 characters: the admin plane stays closed"


def test_settings_show_no_secret() -> None:
    url = f"postgresql://gateway:{CANARY}@db/gateway"
    settings = Settings(master_key=CANARY, admin_token=CANARY, database_url=url)
    shown = [repr(settings), str(settings), settings.model_dump_json(), str(settings.model_dump())]
    assert not [text for text in [*shown, str(settings.described())] if CANARY in text]
    assert CANARY.encode() not in pickle.dumps(settings)
    assert {name: value for name, value, _ in settings.described() if value == "***"} == {
        "AI_GATEWAY_MASTER_KEY": "***",
        "AI_GATEWAY_ADMIN_TOKEN": "***",
        "AI_GATEWAY_DATABASE_URL": "***",
    }


def test_ip_policies_may_be_given_as_lists() -> None:
    written = Settings(ip_policies="a=10.0.0.0/8 !10.9.0.0/16,b=::1/128").ip_policies
    assert Settings(ip_policies={"a": ["10.0.0.0/8", "!10.9.0.0/16"], "b": "::1/128"}).ip_policies == written


def test_described_shows_values_as_they_would_be_written() -> None:
    given = {"ip_policies": "a=10.0.0.0/8 !10.9.0.0/16,ranges.yaml", "max_body": "64MiB"}
    settings = Settings(hosts="a=[::1]:80,b=::1,c=10.0.0.5", trusted_proxies="10.0.0.0/8,::1/128", **given)
    shown = {name.removeprefix("AI_GATEWAY_"): value for name, value, _ in settings.described()}
    assert shown["HOSTS"] == "a=[::1]:80,b=[::1],c=10.0.0.5"
    assert shown["TRUSTED_PROXIES"] == "10.0.0.0/8,::1/128"
    assert shown["MAX_BODY"] == "64.0MiB"
    assert shown["CATALOG"] == ""
    assert shown["IP_POLICIES"] == "a=10.0.0.0/8 !10.9.0.0/16,ranges.yaml"
    assert shown["SECRETS_TTL"] == "30s"
    names = ("HOSTS", "TRUSTED_PROXIES", "MAX_BODY", "IP_POLICIES")
    again = Settings(**{name.lower(): shown[name] for name in names})
    assert again == settings


def test_every_setting_is_described() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_settings_do_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().data_dir = Path("elsewhere")


def test_only_one_module_imports_pydantic_settings() -> None:
    """It takes long to import, and importing the package must not."""
    package = Path(ai_gateway_mw.__file__).parent
    importing = [
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        if "import pydantic_settings" in (text := path.read_text()) or "from pydantic_settings" in text
    ]
    assert importing == ["settings/settings.py"]
