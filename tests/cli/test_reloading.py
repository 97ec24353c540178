"""A reload takes a good policy over, and leaves the one in force for anything else."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from ai_gateway_mw.cli.reloading import Reloader
from ai_gateway_mw.errors import PolicyError
from ai_gateway_mw.middleware import Gateway
from ai_gateway_mw.policy import Phase
from ai_gateway_mw.secrets import MemorySource, SecretStore

GOOD = "on_http_request: [{name: first, actions: [{type: deny}]}]"
BETTER = "on_http_request: [{name: second, actions: [{type: deny}]}]"
BROKEN = "on_http_request: [{actions: [{type: denny}]}]"
WITH_SECRET = """
on_http_request:
  - name: with secret
    actions:
      - type: ai-gateway
        config: {providers: [{id: openai, api_keys: [{value: "${secrets.get('openai', 'primary')}"}]}]}
"""
VAULT = {"openai": {"primary": "sk-do-not-show-this"}}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "policy.yaml"
    file.write_text(GOOD)
    return file


def _reloader(file: Path, vaults: dict[str, dict[str, str]], *, allow_missing_secrets: bool = False) -> Reloader:
    gateway = Gateway.from_file(file, secrets=SecretStore([MemorySource(vaults)]))
    return Reloader(gateway, file, allow_missing_secrets=allow_missing_secrets)


def _in_force(reloader: Reloader) -> str:
    return reloader.gateway.policy.rules[Phase.ON_HTTP_REQUEST][0].name


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "ai_gateway_mw")
    return caplog


def test_a_good_policy_is_taken_over(file: Path, said: pytest.LogCaptureFixture) -> None:
    reloader = _reloader(file, {})
    file.write_text(BETTER)
    assert reloader.reload()
    assert _in_force(reloader) == "second"
    assert said.messages == [f"{file} is in force"]


def test_what_can_be_read_only_once_leaves_it_in_force(file: Path, said: pytest.LogCaptureFixture) -> None:
    """A pipe has nothing any more, which would be a policy without rules, or nobody who writes to it."""
    reloader = _reloader(file, {})
    file.unlink()
    os.mkfifo(file)
    assert not reloader.reload()
    assert _in_force(reloader) == "first"
    assert "is no file, but what can be read only once" in said.text


@pytest.mark.parametrize("text", ["", "# soon\n", "{}", "on_http_request: []"])
def test_one_without_rules_leaves_the_last_in_force(file: Path, said: pytest.LogCaptureFixture, text: str) -> None:
    """As a file is empty for a moment when an editor writes it: nobody means to refuse everything by that."""
    reloader = _reloader(file, {})
    file.write_text(text)
    assert not reloader.reload()
    assert _in_force(reloader) == "first"
    assert f"{file}:1:1: there are no rules here" in said.text


def test_a_broken_one_leaves_the_last_in_force(file: Path, said: pytest.LogCaptureFixture) -> None:
    reloader = _reloader(file, {})
    program = reloader.gateway.program
    file.write_text(BROKEN)
    assert not reloader.reload()
    assert reloader.gateway.program is program
    assert f"{file}:1:37: unknown action type `denny`; did you mean `deny`?" in said.text


def test_a_broken_one_is_reported_as_check_reports_it(file: Path, said: pytest.LogCaptureFixture) -> None:
    """What can be read is compiled although other parts cannot be read, so that all problems come at once."""
    reloader = _reloader(file, {})
    file.write_text("on_http_request: [{actoins: []}, {actions: [{type: denny}]}]")
    assert not reloader.reload()
    assert _in_force(reloader) == "first"
    assert "did you mean `actions`?" in said.text
    assert "did you mean `deny`?" in said.text


def test_a_file_that_is_gone_leaves_the_last_in_force(file: Path, said: pytest.LogCaptureFixture) -> None:
    reloader = _reloader(file, {})
    file.unlink()
    assert not reloader.reload()
    assert _in_force(reloader) == "first"
    assert "No such file or directory" in said.text


def test_one_that_cannot_be_looked_at_is_reported_by_its_reason(file: Path, said: pytest.LogCaptureFixture) -> None:
    reloader = _reloader(file, {})
    file.unlink()
    file.symlink_to("x" * 300)
    assert not reloader.reload()
    assert "cannot be read: File name too long" in said.text
    assert "Traceback" not in said.text


def test_a_policy_with_a_missing_secret_leaves_the_last_in_force(file: Path, said: pytest.LogCaptureFixture) -> None:
    vaults: dict[str, dict[str, str]] = {}
    reloader = _reloader(file, vaults)
    file.write_text(WITH_SECRET)
    assert not reloader.reload()
    assert _in_force(reloader) == "first"
    assert "no secret openai/primary; looked at: memory['openai']['primary']" in said.text
    vaults |= VAULT
    assert reloader.reload()
    assert _in_force(reloader) == "with secret"
    assert "sk-do-not-show-this" not in said.text


def test_missing_secrets_can_be_allowed(file: Path) -> None:
    reloader = _reloader(file, {}, allow_missing_secrets=True)
    file.write_text(WITH_SECRET)
    assert reloader.reload()


def test_warnings_are_told(file: Path, said: pytest.LogCaptureFixture) -> None:
    reloader = _reloader(file, {})
    file.write_text(
        "on_http_request: [{actions: [{type: ai-gateway, "
        "config: {providers: [{id: here, base_url: 'http://models.example.com'}]}}]}]"
    )
    assert reloader.reload()
    assert said.records[0].levelno == logging.WARNING
    assert ": warning: " in said.messages[0]


def test_a_fault_of_ours_is_logged_and_ends_nothing(file: Path, said: pytest.LogCaptureFixture) -> None:
    class Faulty(Gateway):
        def reload(self, policy: object) -> tuple[()]:
            raise KeyError("a fault")

    reloader = Reloader(Faulty.from_file(file), file, allow_missing_secrets=False)
    assert not reloader.reload()
    assert "KeyError: 'a fault'" in said.text


def test_the_first_load_raises_what_a_reload_logs(file: Path) -> None:
    file.write_text(BROKEN)
    with pytest.raises(PolicyError, match="denny"):
        _reloader(file, {})
