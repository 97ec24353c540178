"""`import`: realistic files of others become policies that load, without their secrets, and with everything told."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.conftest import Command

HERE = Path(__file__).parent
FILES = ("agent-v2.yml", "agent-v3.yml", "objects.yaml", "litellm.yaml")
# Every secret that stands in these files.
SECRETS = re.compile(
    r"sk-team|sk-proj|sk-ant|sk-1234|sk-lf|hunter2|correct-horse|topsecret|dbpassword1|2abcDEF|1qwerty|opensesame"
)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    for file in HERE.glob("*.y*ml"):
        shutil.copy(file, tmp_path)
    return tmp_path


def imported(command: Command, *arguments: object) -> dict[str, Any]:
    result = command("import", *arguments, "--json")
    assert result.exit_code == 0, result.stderr
    made: dict[str, Any] = json.loads(result.stdout)
    return made


def remarks(made: dict[str, Any]) -> dict[str, str]:
    """What is said, by file, line and column."""
    return {f"{each['file']}:{each['line']}:{each['column']}": each["message"] for each in made["remarks"]}


@pytest.mark.parametrize("file", FILES)
def test_what_comes_out_is_accepted_by_check(command: Command, files: Path, file: str) -> None:
    written = command("import", file, "--out", "policies")
    assert written.exit_code == 0, written.stderr
    checked = command("check", "policies")
    assert checked.exit_code == 0, checked.output


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("options", [(), ("--json",), ("--out", "policies")])
def test_no_secret_comes_along(command: Command, files: Path, file: str, options: tuple[str, ...]) -> None:
    result = command("import", file, *options)
    written = "".join(path.read_text() for path in (files / "policies").glob("*")) if "--out" in options else ""
    assert not SECRETS.search(result.output + result.stderr + written)


@pytest.mark.parametrize("file", FILES)
def test_every_remark_has_a_place_in_the_file(command: Command, files: Path, file: str) -> None:
    made = imported(command, file)
    assert made["remarks"]
    for each in made["remarks"]:
        lines = (files / each["file"]).read_text().splitlines()
        assert 1 <= each["column"] <= len(lines[each["line"] - 1]) + 1


@pytest.mark.parametrize("file", FILES)
def test_every_secret_that_is_read_is_named_with_its_variable(command: Command, files: Path, file: str) -> None:
    made = imported(command, file)
    texts = "".join(policy["text"] for policy in made["policies"])
    read = {found[-1] for found in re.findall(r"secrets\.get\((?:'imported', )?'+([\w-]+)'+\)", texts)} or set(
        re.findall(r"secrets\.get\(.*?'+([\w-]+)'+\)", texts)
    )
    names = {secret["name"] for secret in made["secrets"]}
    assert names
    assert all(name in texts for name in names)
    assert read
    for secret in made["secrets"]:
        assert f"#   {secret['variable']}: " in texts


def policy(made: dict[str, Any], name: str) -> dict[str, Any]:
    (text,) = [each["text"] for each in made["policies"] if each["name"] == name]
    data: dict[str, Any] = yaml.safe_load(text)
    return data


def test_an_agent_file_of_version_3(command: Command, files: Path) -> None:
    made = imported(command, "agent-v3.yml")
    assert [each["name"] for each in made["policies"]] == ["chat", "admin.example.com"]
    who, gateway = policy(made, "chat")["on_http_request"]
    assert who["expressions"] == [
        (
            "!('authorization' in req.headers) || req.headers['authorization'][0] != ('Bearer ' + "
            "secrets.get('imported', 'who-1'))"
        )
    ]
    assert gateway["actions"][0]["config"]["providers"][0]["api_keys"] == [
        {"value": "${secrets.get('imported', 'ai-gateway-1')}"},
        {"value": "${secrets.get('openai', 'backup')}"},
    ]
    said = remarks(made)
    assert said["agent-v3.yml:2:1"] == "`agent` belongs to the ngrok agent"
    assert said["agent-v3.yml:8:5"] == "`upstream` of chat has no meaning here"


def test_what_may_have_been_a_protection_becomes_a_refusal(command: Command, files: Path) -> None:
    made = imported(command, "agent-v3.yml")
    admin = policy(made, "admin.example.com")
    assert admin == {
        "on_http_request": [
            {"name": "firewall", "actions": [{"type": "deny"}]},
            {"name": "odd", "actions": [{"type": "deny"}]},
        ],
        "on_http_response": [{"actions": [{"type": "add-headers", "config": {"headers": {"x-b": "2"}}}]}],
    }
    said = remarks(made)
    assert said["admin-policy.yaml:4:15"] == "in the place of `owasp-crs-request` stands `deny`"
    assert said["admin-policy.yaml:9:33"] == "unknown function `startWith`; did you mean `startsWith`?"
    assert said["admin-policy.yaml:13:5"] == "unknown key `if`; did you mean `expressions`?"
    assert said["admin-policy.yaml:12:5"].startswith("the rule was left out")


def test_an_agent_file_of_version_2(command: Command, files: Path) -> None:
    made = imported(command, "agent-v2.yml")
    rules = policy(made, "webapp")["on_http_request"]
    assert rules[0]["actions"][0]["config"] == {
        "allow": ["203.0.113.0/24", "2001:db8::/32"],
        "deny": ["203.0.113.66/32"],
    }
    assert [action["type"] for action in rules[2]["actions"]] == ["remove-headers", "add-headers"]
    assert rules[2]["actions"][1]["config"]["headers"] == {
        "x-from": "ngrok",
        "authorization": "Bearer ${secrets.get('imported', 'add-headers-1')}",
    }
    assert rules[3]["actions"] == [{"type": "deny", "config": {"status_code": 404}}]
    assert "raw" not in {each["name"] for each in made["policies"]}


def test_basic_auth_is_carried_over_or_refuses(command: Command, files: Path) -> None:
    """Whether the type is known here or not: nobody gets in who did not before."""
    auth = policy(imported(command, "agent-v2.yml"), "webapp")["on_http_request"][1]["actions"][0]
    assert auth in (
        {"type": "deny"},
        {"type": "basic-auth", "config": {"credentials": ["admin:${secrets.get('imported', 'basic-auth-1')}"]}},
    )


def test_kubernetes_objects(command: Command, files: Path) -> None:
    made = imported(command, "objects.yaml")
    assert [(each["name"], each["about"]) for each in made["policies"]] == [
        ("limits", "NgrokTrafficPolicy limits"),
        ("public", "CloudEndpoint public"),
        ("other", "AgentEndpoint other"),
    ]
    assert policy(made, "other")["on_http_request"][0]["actions"][0]["config"] == {"allow": ["10.0.0.0/8"]}
    assert any("Service `svc` holds no policy" in message for message in remarks(made).values())


def test_a_policy_that_is_named_and_not_there(command: Command, files: Path) -> None:
    text = (files / "objects.yaml").read_text().replace("{name: limits}", "{name: gone}")
    (files / "objects.yaml").write_text(text)
    assert "the policy `gone` is not in this file" in remarks(imported(command, "objects.yaml")).values()


def test_litellm(command: Command, files: Path) -> None:
    made = imported(command, "litellm.yaml")
    auth, limit, gateway = policy(made, "litellm")["on_http_request"]
    assert auth["actions"][0]["type"] == "gateway-auth"
    assert limit["actions"][0]["config"]["capacity"] == 600
    config = gateway["actions"][0]["config"]
    providers = {each["id"]: each for each in config["providers"]}
    assert list(providers) == ["openai", "azure-openai", "anthropic", "ollama", "mistral", "openai-2"]
    assert providers["openai"]["api_keys"][0] == {"value": "${secrets.get('OPENAI_API_KEY')}"}
    assert providers["azure-openai"]["base_url"] == "https://example-eastus.openai.azure.com/openai/v1"
    assert providers["ollama"]["base_url"] == "http://localhost:11434/v1"
    assert "api_keys" not in providers["openai-2"]
    named = {model["id"]: model.get("id_aliases") for each in providers.values() for model in each["models"]}
    assert named["gpt-4o-prod"] == ["gpt-4o", "gpt-4"]
    assert named["claude-sonnet-4-5"] == ["claude", "gpt-4o", "gpt-4"]  # the fallback, also of the alias
    assert config["only_allow_configured_models"] is True
    assert config["per_request_timeout"] == "30s"
    assert {each["variable"] for each in made["secrets"]} >= {"OPENAI_API_KEY", "MISTRAL_API_KEY"}


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("38:14", "nobody here knows the provider `bedrock` of bedrock-claude"),
        ("43:17", "the address of hidden is in the variable AZURE_API_BASE; the model was left out"),
        ("52:14", "`missing`, which stands in for `nope`, is no model of this policy"),
        ("53:3", "`router_settings.redis_host` was left out"),
        ("58:15", "the master key is not carried over: gateway keys have a form of their own"),
        ("59:3", "`general_settings.database_url` was left out"),
        ("60:1", "`environment_variables` was left out"),
    ],
)
def test_what_of_litellm_is_told(command: Command, files: Path, place: str, message: str) -> None:
    assert remarks(imported(command, "litellm.yaml"))[f"litellm.yaml:{place}"] == message


def test_a_proxy_without_a_master_key_is_told_to_be_open(command: Command, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(
        "model_list:\n  - model_name: all\n    litellm_params: {model: openai/*, api_key: os.environ/KEY}\n"
    )
    made = imported(command, "c.yaml")
    assert any(message.startswith("there is no `master_key`") for message in remarks(made).values())
    assert "only_allow_configured_models" not in policy(made, "litellm")["on_http_request"][0]["actions"][0]["config"]


def test_how_to_ask_for_the_models_of_a_wildcard_is_told(command: Command, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(
        "model_list: [{model_name: '*', litellm_params: {model: openrouter/*, api_key: os.environ/KEY}}]\n"
    )
    (told,) = [each for each in imported(command, "c.yaml")["remarks"] if each["column"] == 14]
    assert told["message"].startswith("`*` stands for all models of `openrouter`")
    assert told["instead"] == "clients ask for one that it does not know as `openrouter:MODEL`"


def test_a_fallback_that_would_be_tried_first_is_told(command: Command, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(
        "model_list:\n"
        "  - {model_name: b, litellm_params: {model: anthropic/claude-sonnet-4-5, api_key: os.environ/A}}\n"
        "  - {model_name: a, litellm_params: {model: openai/gpt-4o, api_key: os.environ/B}}\n"
        "litellm_settings: {fallbacks: [{a: [b]}]}\n"
    )
    assert any("is tried first" in message for message in remarks(imported(command, "c.yaml")).values())


def test_a_policy_of_old_names_becomes_one_of_today(command: Command, tmp_path: Path) -> None:
    (tmp_path / "old.yaml").write_text(
        "inbound:\n  - actions:\n      - type: custom-response\n        config: {content: sk-proj-aaaaaaaaaa}\n"
    )
    made = imported(command, "old.yaml")
    assert list(policy(made, "old")) == ["on_http_request"]


def test_without_out_nothing_is_written(command: Command, files: Path) -> None:
    before = sorted(files.rglob("*"))
    result = command("import", "agent-v3.yml")
    assert result.stdout.startswith("# chat.yaml\n")
    assert "---\n" in result.stdout
    assert "agent-v3.yml:2:1: `agent` belongs to the ngrok agent" in result.stderr
    assert sorted(files.rglob("*")) == before


def test_files_that_are_there_stay(command: Command, files: Path) -> None:
    (files / "out").mkdir()
    (files / "out" / "chat.yaml").write_text("mine")
    result = command("import", "agent-v3.yml", "--out", "out")
    assert (result.exit_code, result.stderr) == (1, "out/chat.yaml is there already; --force writes over it\n")
    assert [path.name for path in (files / "out").iterdir()] == ["chat.yaml"]
    assert command("import", "agent-v3.yml", "--out", "out", "--force").exit_code == 0
    assert (files / "out" / "chat.yaml").read_text().startswith("# endpoint chat, imported from agent-v3.yml")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: 1\n", "none of the files that can be imported"),
        ("", "this file is empty"),
        ("a: [\n", "never closed"),
        ("on_http_request: []\n---\na: 1\n", "only those of Kubernetes"),
        ("- a\n", "none of the files that can be imported"),
    ],
)
def test_what_cannot_be_imported(command: Command, tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "c.yaml").write_text(text)
    result = command("import", "c.yaml")
    assert result.exit_code == 1
    assert says in result.stderr


def test_a_file_that_is_not_there(command: Command) -> None:
    result = command("import", "nowhere.yaml")
    assert (result.exit_code, result.stderr) == (1, "nowhere.yaml: cannot be read: No such file or directory\n")


@pytest.mark.parametrize(
    "text", ["no", "0o17", "1e3", "012", "0x1F", "null", "~", "1.10", "true", "on", "1:30", "-", "a: b"]
)
def test_text_stays_text(command: Command, tmp_path: Path, text: str) -> None:
    from ai_gateway_mw.policy import load_policy

    source = {"on_http_response": [{"actions": [{"type": "add-headers", "config": {"headers": {"x": text}}}]}]}
    (tmp_path / "p.json").write_text(json.dumps(source))
    (made,) = imported(command, "p.json")["policies"]
    rules = load_policy(made["text"]).rules
    (config,) = [spec.config for phase in rules.values() for rule in phase for spec in rule.actions]
    assert config["headers"]["x"] == text


def test_a_secret_that_stands_elsewhere_too_is_hidden_there(command: Command, tmp_path: Path) -> None:
    provider = {"id": "openai", "api_keys": [{"value": "opensesame-key"}]}
    rules = [
        {"expressions": ["req.host == 'x opensesame-key y'"], "actions": [{"type": "deny"}]},
        {"actions": [{"type": "ai-gateway", "config": {"providers": [provider]}}]},
    ]
    (tmp_path / "p.json").write_text(json.dumps({"on_http_request": rules}))
    made = imported(command, "p.json")
    assert "opensesame" not in json.dumps(made)
    assert policy(made, "p")["on_http_request"][0]["expressions"] == [
        "req.host == ('x ' + secrets.get('imported', 'ai-gateway-1') + ' y')"
    ]


def test_what_does_not_load_as_a_whole_is_not_written(command: Command, tmp_path: Path) -> None:
    """A name of a rule is no place for a secret, and is not rendered."""
    provider = {"id": "openai", "api_keys": [{"value": "opensesame-key"}]}
    rule = {"name": "opensesame-key", "actions": [{"type": "ai-gateway", "config": {"providers": [provider]}}]}
    (tmp_path / "p.json").write_text(json.dumps({"on_http_request": [rule]}))
    result = command("import", "p.json")
    assert "opensesame" not in result.output + result.stderr


def test_ip_policies_are_carried_over_and_their_setting_is_asked_for(
    command: Command, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (files / "ngrok.yml").write_text(
        "version: 3\nagent: {authtoken: x}\nendpoints:\n  - name: a\n    url: https://a.test\n    traffic_policy:\n"
        "      on_http_request:\n        - actions:\n"
        "            - {type: restrict-ips, config: {ip_policies: [ipp_office]}}\n            - type: deny\n"
    )
    unknown = imported(command, "ngrok.yml")
    asked = [f"{each['message']}; {each['instead']}" for each in unknown["remarks"] if "IP" in each["message"]]
    assert asked == [
        "which ranges the IP policy `ipp_office` has is a setting; add ipp_office=RANGE to AI_GATEWAY_IP_POLICIES"
    ]
    assert command("import", "ngrok.yml", "--out", "policies").exit_code == 0
    assert command("check", "policies").exit_code == 1
    monkeypatch.setenv("AI_GATEWAY_IP_POLICIES", "ipp_office=10.0.0.0/8")
    known = imported(command, "ngrok.yml")
    assert not any("IP policy" in message for message in remarks(known).values())
    assert command("check", "policies").exit_code == 0
    for made in (unknown, known):
        (rule,) = yaml.safe_load(made["policies"][0]["text"])["on_http_request"]
        assert [action["type"] for action in rule["actions"]] == ["restrict-ips", "deny"]
        assert rule["actions"][0]["config"] == {"ip_policies": ["ipp_office"]}


AGENT = """
version: 3
endpoints:
  - name: shop
    url: https://shop.example.com
    traffic_policy:
      on_http_request:
        - expressions: ["req.url.path.startsWith('/orders')"]
          actions: [{type: forward-internal, config: {url: "https://orders.internal"}}]
        - expressions: ["req.url.path.startsWith('/bills')"]
          actions: [{type: forward-internal, config: {url: "https://bills.internal", on_error: continue}}]
        - actions: [{type: forward-internal, config: {url: "https://${req.host.split('.')[0]}.internal"}}]
  - {name: orders, url: "https://orders.internal", upstream: {url: 8001}}
"""


def test_where_internal_names_lead_is_asked_for(command: Command, tmp_path: Path) -> None:
    (tmp_path / "ngrok.yml").write_text(AGENT)
    made = imported(command, "ngrok.yml")
    rules = policy(made, "shop")["on_http_request"]
    assert [rule["actions"][0]["type"] for rule in rules] == ["forward-internal"] * 3
    asked = [f"{each['message']}; {each['instead']}" for each in made["remarks"] if "AI_GATEWAY" in each["instead"]]
    assert asked == [
        "where `orders.internal` leads is a setting; add orders=http://127.0.0.1:8001 to AI_GATEWAY_INTERNAL",
        "where `bills.internal` leads is a setting; add bills=URL to AI_GATEWAY_INTERNAL",
        "which names in `.internal` this may lead to is a setting; add name=URL to AI_GATEWAY_INTERNAL",
    ]


def test_what_is_set_already_is_not_asked_for(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AI_GATEWAY_INTERNAL", "orders=http://127.0.0.1:1,bills=http://127.0.0.1:2")
    (tmp_path / "ngrok.yml").write_text(AGENT)
    assert command("import", "ngrok.yml", "--out", "policies").exit_code == 0
    assert command("check", "policies").exit_code == 0
    assert not [each for each in remarks(imported(command, "ngrok.yml")).values() if "leads is a setting" in each]


ENDPOINT = """
apiVersion: ngrok.k8s.ngrok.com/v1alpha1
kind: CloudEndpoint
metadata: {name: made-by-the-operator}
spec:
  trafficPolicy:
"""


def test_a_cloud_endpoint_may_hold_its_policy_inline(command: Command, tmp_path: Path) -> None:
    (tmp_path / "objects.yaml").write_text(ENDPOINT + "    inline: {on_http_request: [{type: deny}]}\n")
    made = imported(command, "objects.yaml")
    assert policy(made, "made-by-the-operator") == {"on_http_request": [{"actions": [{"type": "deny"}]}]}


def test_a_cloud_endpoint_may_name_its_policy(command: Command, tmp_path: Path) -> None:
    (tmp_path / "objects.yaml").write_text(ENDPOINT + "    targetRef: {name: shared}\n")
    result = command("import", "objects.yaml", "--json")
    assert "the policy `shared` is not in this file" in result.stdout


def test_a_policy_beside_spec_is_not_passed_over(command: Command, tmp_path: Path) -> None:
    text = "kind: NgrokTrafficPolicy\nmetadata: {name: a}\npolicy: {on_http_request: [{type: deny}]}\n"
    (tmp_path / "objects.yaml").write_text(text)
    assert "`policy` of NgrokTrafficPolicy `a` was left out" in command("import", "objects.yaml", "--json").stdout
    assert "`policy` belongs under `spec`" in command("check", "objects.yaml").output


def test_the_oldest_name_of_a_policy_in_agent_files(command: Command, tmp_path: Path) -> None:
    text = "tunnels:\n  app:\n    proto: http\n    policies: {inbound: [{actions: [{type: deny}]}]}\n"
    (tmp_path / "ngrok.yml").write_text(text)
    made = imported(command, "ngrok.yml")
    assert policy(made, "app") == {"on_http_request": [{"actions": [{"type": "deny"}]}]}


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_where_nothing_comes_out_it_ends_with_one(command: Command, tmp_path: Path, options: tuple[str, ...]) -> None:
    (tmp_path / "p.yaml").write_text("on_http_request:\n  - actoins: [{type: deny}]\n")
    assert command("import", "p.yaml", *options).exit_code == 1
