"""`ip check`: whether an address is allowed, and by which entry."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Command

POLICY = """\
on_http_request:
  - name: office
    actions:
      - type: restrict-ips
        config:
          allow:
            - cidr: 10.0.0.0/8
              label: office
              comment: asked for in 2026
            - 192.0.2.0/24
          deny: [10.9.0.0/16]
"""
ACTION = "`restrict-ips` of rule `office` at policy.yaml:4:15"
ALLOW = "on_http_request: [{{type: restrict-ips, config: {{allow: [{allow}], {more}}}}}]\n"


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    file = tmp_path / "policy.yaml"
    file.write_text(POLICY)
    return file


def _told(command: Command, *arguments: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(command("ip", "check", "--policy", "policy.yaml", "--json", *arguments).stdout)
    return told


@pytest.mark.parametrize(
    ("address", "code", "why"),
    [
        ("10.1.1.1", 0, f"allowed  {ACTION}: `allow` 10.0.0.0/8 (office) at policy.yaml:7:21"),
        ("::ffff:10.1.1.1", 0, "`allow` 10.0.0.0/8 (office)"),
        ("192.0.2.9", 0, "`allow` 192.0.2.0/24 at policy.yaml:10:15"),
        ("10.9.1.1", 1, f"refused  {ACTION}: `deny` 10.9.0.0/16 at policy.yaml:11:18"),
        ("2001:db8::1", 1, "it is in no `allow` range"),
    ],
)
def test_by_which_entry(command: Command, policy: Path, address: str, code: int, why: str) -> None:
    result = command("ip", "check", address, "--policy", "policy.yaml")
    assert result.exit_code == code
    assert why in result.stdout


def test_as_json(command: Command, policy: Path) -> None:
    told = _told(command, "10.1.1.1")
    assert (told["address"], told["allowed"]) == ("10.1.1.1", True)
    (check,) = told["checks"]
    assert (check["verdict"], check["counts"], check["place"]) == ("allowed", True, "policy.yaml:4:15")
    assert check["entry"] == {"cidr": "10.0.0.0/8", "label": "office", "place": "policy.yaml:7:21"}


@pytest.mark.parametrize(
    ("allow", "more", "code", "verdict"),
    [
        ("\"${req.headers['x'][0]}\"", "", 1, "unknown"),
        ("\"${req.headers['x'][0]}\", 10.0.0.0/8", "", 0, "allowed"),
        ("10.0.0.0/8", "deny: [\"${req.headers['x'][0]}\"]", 1, "unknown"),
        ("192.0.2.0/24", "enforce: false", 0, "refused"),
    ],
    ids=["a template", "beside a range", "one that forbids", "only observed"],
)
def test_what_depends_on_the_request_is_not_taken_for_allowed(
    command: Command, policy: Path, allow: str, more: str, code: int, verdict: str
) -> None:
    policy.write_text(ALLOW.format(allow=allow, more=more))
    result = command("ip", "check", "10.1.1.1", "--policy", "policy.yaml")
    assert result.exit_code == code
    assert result.stdout.startswith(verdict)


def test_rules_with_expressions_say_where_they_count(command: Command, policy: Path) -> None:
    policy.write_text(POLICY.replace("    actions:", "    expressions: [\"req.method == 'POST'\"]\n    actions:"))
    result = command("ip", "check", "203.0.113.1", "--policy", "policy.yaml")
    assert result.exit_code == 1
    assert ", where req.method == 'POST': it is in no `allow` range" in result.stdout


def test_every_action_has_to_allow_it(command: Command, policy: Path) -> None:
    policy.write_text(
        "on_tcp_connect: [{type: restrict-ips, config: {allow: [10.0.0.0/8]}}]\n"
        "on_http_request: [{type: restrict-ips, config: {allow: [10.1.0.0/16]}}]\n"
    )
    assert [check["verdict"] for check in _told(command, "10.2.0.1")["checks"]] == ["allowed", "refused"]
    assert _told(command, "10.2.0.1")["allowed"] is False
    assert _told(command, "10.1.0.1")["allowed"] is True


def test_ip_policies_are_those_of_the_setting(command: Command, policy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AI_GATEWAY_IP_POLICIES", "ipp_office=10.0.0.0/8 !10.9.0.0/16")
    policy.write_text("on_http_request: [{type: restrict-ips, config: {ip_policies: [ipp_office]}}]\n")
    allowed, refused = (command("ip", "check", ip, "--policy", "policy.yaml") for ip in ("10.1.1.1", "10.9.1.1"))
    assert "allowed  `restrict-ips` at policy.yaml:1:26: `allow` 10.0.0.0/8 (ipp_office)" in allowed.stdout
    assert "refused  `restrict-ips` at policy.yaml:1:26: `deny` 10.9.0.0/16 (ipp_office)" in refused.stdout
    assert (allowed.exit_code, refused.exit_code) == (0, 1)
    monkeypatch.delenv("AI_GATEWAY_IP_POLICIES")
    unknown = command("ip", "check", "10.1.1.1", "--policy", "policy.yaml")
    assert (unknown.exit_code, "policy.yaml:1:63: the IP policy `ipp_office` is not known" in unknown.stderr) == (
        1,
        True,
    )


def test_a_policy_without_restrictions(command: Command, policy: Path) -> None:
    policy.write_text("on_http_request: [{type: deny}]\n")
    result = command("ip", "check", "10.1.1.1", "--policy", "policy.yaml")
    assert (result.exit_code, result.stdout) == (0, "Nothing here restricts addresses.\n10.1.1.1 is allowed.\n")


@pytest.mark.parametrize(
    ("options", "code", "why"),
    [
        (["--allow-ip", "10.1.0.0/16"], 0, "it may be used from 10.1.0.0/16"),
        (["--allow-ip", "192.0.2.0/24", "--allow-ip", "::1"], 1, "it may be used from 192.0.2.0/24, ::1/128"),
        ([], 0, "it may be used from anywhere"),
    ],
)
def test_a_key_has_to_allow_it_too(command: Command, policy: Path, options: list[str], code: int, why: str) -> None:
    key = json.loads(command("keys", "create", "one", "--json", *options).stdout)["id"]
    for name in ("one", key):
        result = command("ip", "check", "10.1.1.1", "--policy", "policy.yaml", "--key", name)
        assert result.exit_code == code
        assert f"key `one` ({key}): {why}\n" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["10.1", "--policy", "policy.yaml"], 2, "`10.1` is no IP address; write one such as 203.0.113.7"),
        (["10.1.1.1", "--policy", "nowhere.yaml"], 1, "nowhere.yaml: cannot be read"),
        (["10.1.1.1", "--policy", "policy.yaml", "--key", "nobody"], 1, "there is no key `nobody`"),
        (["10.1.1.1"], 2, "Missing option"),
    ],
)
def test_what_cannot_be_checked(command: Command, policy: Path, arguments: list[str], code: int, says: str) -> None:
    result = command("ip", "check", *arguments)
    assert (result.exit_code, says in result.stderr) == (code, True)
