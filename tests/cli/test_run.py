"""`run` as a process on a real port: it serves, reloads, and ends in good order; or says why it does not begin."""

from __future__ import annotations

import os
import re
import resource
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.cli.conftest import Command
from tests.cli.terminals import AtTerminal
from tests.fake_upstream import ThreadedUpstream
from tests.servers import PATIENCE, GatewayProcess, free_port

DENYING = "on_http_request: [{{actions: [{{type: deny, config: {{status_code: {status}}}}}]}}]\n"
BROKEN = "on_http_request: [{actions: [{type: denny}]}]\n"
WITH_SECRET = """\
on_http_request:
  - actions:
      - type: ai-gateway
        config:
          providers:
            - {{id: openai, base_url: "{url}/v1", api_keys: [{{value: "${{secrets.get('openai', 'primary')}}"}}]}}
"""
CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}], "stream": True}

real = pytest.mark.subprocess


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    file = tmp_path / "policies" / "policy.yaml"
    file.parent.mkdir()
    file.write_text(DENYING.format(status=418))
    return file


def _status(gateway: GatewayProcess) -> int:
    return httpx.post(f"{gateway.url}/v1/chat/completions", json=CHAT, trust_env=False).status_code


def _replace(file: Path, text: str) -> None:
    """As editors do."""
    draft = file.with_name(".draft")
    draft.write_text(text)
    draft.replace(file)


def _until(holds: Callable[[], bool], what: str, patience: float = PATIENCE) -> None:
    deadline = time.monotonic() + patience
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def _workers(pid: int) -> set[int]:
    """The worker processes of a gateway."""
    forked = [_children(parent, b"forkserver") for parent in _forking(pid)]
    return _children(pid, b"spawn_main").union(*forked)


def _forking(pid: int) -> set[int]:
    """The process that they are forked from."""
    return _children(pid, b"forkserver")


def _children(pid: int, what: bytes) -> set[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return {int(child) for child in children if what in Path(f"/proc/{child}/cmdline").read_bytes()}


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/healthz", trust_env=False).is_success
    except httpx.TransportError:
        return False


# What keeps it from beginning ---------------------------------------------------------------------------------------


def test_a_broken_policy_is_not_served(command: Command, policy: Path) -> None:
    policy.write_text("on_http_request:\n  - actions: [{type: denny}]\n  - actions: [{type: denny}]\n")
    result = command("run", "policies/policy.yaml", "--port", "0")
    assert (result.exit_code, result.stdout) == (1, "")
    assert [line for line in result.stderr.splitlines() if line.startswith("policies")] == [
        "policies/policy.yaml:2:22: unknown action type `denny`; did you mean `deny`?",
        "policies/policy.yaml:3:22: unknown action type `denny`; did you mean `deny`?",
    ]


def test_a_policy_that_is_not_there(command: Command) -> None:
    result = command("run", "nowhere.yaml")
    assert (result.exit_code, result.stderr) == (1, "nowhere.yaml: cannot be read: No such file or directory\n")


def test_missing_secrets(command: Command, policy: Path) -> None:
    policy.write_text(WITH_SECRET.format(url="https://api.openai.com"))
    result = command("run", policy, "--port", "0")
    assert result.exit_code == 1
    assert "no secret openai/primary; looked at: variable AI_GATEWAY_SECRET__OPENAI__PRIMARY; " in result.stderr
    assert "file /run/secrets/openai/primary" in result.stderr
    assert result.stderr.endswith("--allow-missing-secrets serves without them.\n")


def test_settings_that_cannot_be_used(command: Command, policy: Path) -> None:
    result = command("run", policy, "--port", "0", env={"AI_GATEWAY_MAX_BODY": "much"})
    assert result.exit_code == 1
    assert result.stderr.startswith("AI_GATEWAY_MAX_BODY: ")


def test_a_port_in_use_is_one_line(command: Command, policy: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = command("run", policy, "--port", port)
    assert result.exit_code == 1
    assert result.output == f"port {port} of 127.0.0.1 is in use; choose another one with --port\n"


# Once it serves -----------------------------------------------------------------------------------------------------


@real
def test_it_says_where_it_listens_and_ends_with_0_on_sigterm(policy: Path, tmp_path: Path) -> None:
    with GatewayProcess("run", policy, directory=tmp_path) as gateway:
        assert gateway.url in gateway.printed("^ai-gateway .* listens on")
        assert str(policy) in gateway.printed("^policy ")
        assert _status(gateway) == 418
        answer = httpx.get(f"{gateway.url}/healthz", trust_env=False)
        assert "date" in answer.headers
        assert "server" not in answer.headers
        assert gateway.stop(signal.SIGTERM) == 0


@real
def test_without_a_policy_it_serves_the_default_one(tmp_path: Path) -> None:
    with GatewayProcess("run", directory=tmp_path) as gateway:
        assert gateway.printed("^policy ").rstrip().endswith("default.yaml")
        assert httpx.get(f"{gateway.url}/readyz", trust_env=False).status_code == 200
        assert gateway.stop(signal.SIGINT) == 0
    assert not list(tmp_path.iterdir())


@real
@pytest.mark.parametrize("workers", ["1", "2"])
def test_open_streams_end_before_it_does(
    policy: Path, tmp_path: Path, threaded_upstream: ThreadedUpstream, workers: str
) -> None:
    policy.write_text(WITH_SECRET.format(url=threaded_upstream.url))
    environment = {"AI_GATEWAY_SECRET__OPENAI__PRIMARY": "sk-drip-50"}
    with GatewayProcess("run", policy, "--workers", workers, environment=environment, directory=tmp_path) as gateway:
        with httpx.stream("POST", f"{gateway.url}/v1/chat/completions", json=CHAT, trust_env=False) as answer:
            lines = answer.iter_lines()
            received = [next(lines)]
            os.kill(gateway.pid, signal.SIGTERM)
            received += lines
        assert received[-2:] == ["data: [DONE]", ""]
        assert gateway.stop() == 0
        assert "sk-drip-50" not in gateway.output


@real
def test_a_watched_policy_is_reloaded_where_it_is_good(policy: Path, tmp_path: Path) -> None:
    with GatewayProcess("run", policy, "--watch", directory=tmp_path) as gateway:
        _replace(policy, DENYING.format(status=451))
        gateway.printed("INFO ai_gateway_mw.reload: .* is in force")
        assert _status(gateway) == 451
        _replace(policy, BROKEN)
        gateway.printed("ERROR ai_gateway_mw.reload: .* is not taken over, and the policy in force stays")
        gateway.printed(r"policy\.yaml:1:\d+: unknown action type `denny`; did you mean `deny`\?")
        assert _status(gateway) == 451


@real
def test_a_policy_may_come_through_a_pipe(policy: Path, tmp_path: Path) -> None:
    """As with `ai-gateway run <(...)`: what is in it can be read once."""
    text = policy.read_text()
    policy.unlink()
    os.mkfifo(policy)
    writer = threading.Thread(target=policy.write_text, args=[text], daemon=True)
    writer.start()
    with GatewayProcess("run", policy, "--watch", directory=tmp_path) as gateway:
        assert _status(gateway) == 418
        os.kill(gateway.pid, signal.SIGHUP)
        gateway.printed("is not taken over, and the policy in force stays")
        assert _status(gateway) == 418


@real
def test_sighup_reloads(policy: Path, tmp_path: Path) -> None:
    with GatewayProcess("run", policy, directory=tmp_path) as gateway:
        policy.write_text(DENYING.format(status=451))
        assert _status(gateway) == 418
        os.kill(gateway.pid, signal.SIGHUP)
        gateway.printed("is in force")
        assert _status(gateway) == 451


@real
@pytest.mark.skipif(sys.platform != "linux", reason="finds the workers in /proc")
def test_workers_all_reload_and_one_that_dies_is_replaced_by_its_like(policy: Path, tmp_path: Path) -> None:
    with GatewayProcess("run", policy, "--workers", "2", "--watch", directory=tmp_path) as gateway:
        gateway.printed("with 2 workers")
        _replace(policy, DENYING.format(status=451))
        # by the one that watches, and by each worker
        _until(lambda: gateway.output.count("is in force") == 3, "the workers do not reload")
        assert {_status(gateway) for _ in range(10)} == {451}
        _replace(policy, BROKEN)
        gateway.printed("is not taken over")
        workers = _workers(gateway.pid)
        os.kill(min(workers), signal.SIGKILL)
        _until(lambda: len(_workers(gateway.pid) - {min(workers)}) == 2, "nothing takes the place of the worker")
        assert {_status(gateway) for _ in range(10)} == {451}
        gateway.printed(rf"worker {min(workers)} died \(exit code -9\)")
        assert gateway.output.count("is not taken over") == 1


@real
@pytest.mark.timeout(120)
@pytest.mark.skipif(sys.platform != "linux", reason="finds the workers in /proc")
def test_workers_end_when_what_supervises_them_is_killed(policy: Path, tmp_path: Path) -> None:
    """Else they would serve for ever, and hold the port against the next start."""
    command = "run", policy, "--workers", "2"
    with GatewayProcess(*command, directory=tmp_path, exit_code=-9, own_group=True, patience=50) as gateway:
        _until(lambda: len(_workers(gateway.pid)) == 2, "there are no workers")
        workers = _workers(gateway.pid)
        os.kill(gateway.pid, signal.SIGKILL)
        _until(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers), "the workers live on", 50)
        assert not _answers(gateway.port)


@real
@pytest.mark.timeout(120)
@pytest.mark.skipif(sys.platform != "linux", reason="finds the workers in /proc")
def test_a_worker_that_hangs_holds_up_nobody(policy: Path, tmp_path: Path) -> None:
    """Not the place of one that died, not a reload, and not the end of the others."""
    command = "run", policy, "--workers", "3"
    with GatewayProcess(*command, directory=tmp_path, own_group=True, patience=50) as gateway:
        _until(lambda: len(_workers(gateway.pid)) == 3, "there are no workers")
        hanging, dying, _ = _workers(gateway.pid)
        os.kill(hanging, signal.SIGSTOP)
        os.kill(dying, signal.SIGKILL)
        gateway.printed(rf"worker {dying} died \(exit code -9\)")
        policy.write_text(DENYING.format(status=451))
        os.kill(gateway.pid, signal.SIGHUP)
        gateway.printed("is in force")
        os.kill(gateway.pid, signal.SIGTERM)
        _until(lambda: _workers(gateway.pid) == {hanging}, "the others do not end")
        os.kill(hanging, signal.SIGCONT)
        assert gateway.stop() == 0


@real
@pytest.mark.skipif(sys.platform != "linux", reason="finds the processes in /proc")
def test_open_streams_end_before_it_does_where_its_whole_group_is_told_to_end(
    policy: Path, tmp_path: Path, threaded_upstream: ThreadedUpstream
) -> None:
    """As service managers do. What workers are forked from knows when they have ended, and has to stay until then."""
    policy.write_text(WITH_SECRET.format(url=threaded_upstream.url))
    environment = {"AI_GATEWAY_SECRET__OPENAI__PRIMARY": "sk-drip-50"}
    command = "run", policy, "--workers", "2"
    with GatewayProcess(*command, environment=environment, directory=tmp_path, own_group=True) as gateway:
        with httpx.stream("POST", f"{gateway.url}/v1/chat/completions", json=CHAT, trust_env=False) as answer:
            lines = answer.iter_lines()
            received = [next(lines)]
            workers = _workers(gateway.pid)
            os.killpg(gateway.pid, signal.SIGTERM)
            received += lines
        assert received[-2:] == ["data: [DONE]", ""]
        assert gateway.stop() == 0
        assert not any(Path(f"/proc/{worker}").exists() for worker in workers)


@real
@pytest.mark.skipif(sys.platform != "linux", reason="reads signal masks in /proc")
def test_signals_are_held_back_until_a_worker_serves(policy: Path, tmp_path: Path) -> None:
    """A reload, or the end, that comes while one starts would kill it."""
    with GatewayProcess("run", policy, "--workers", "2", directory=tmp_path) as gateway:
        held_back = {signal.SIGHUP, signal.SIGTERM}
        assert [_blocked(each) & held_back for each in _forking(gateway.pid)] == [held_back]
        _until(lambda: [_blocked(each) & held_back for each in _workers(gateway.pid)] == [set()] * 2, "they stay so")


def _blocked(pid: int) -> set[int]:
    mask = re.search(r"^SigBlk:\s*([0-9a-f]+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert mask is not None
    return {number for number in range(1, 65) if int(mask[1], 16) >> (number - 1) & 1}


@real
@pytest.mark.skipif(sys.platform != "linux", reason="finds the workers in /proc")
def test_workers_can_open_as_many_files_as_what_supervises_them(policy: Path, tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 256), hard))
    try:
        with GatewayProcess("run", policy, "--workers", "2", directory=tmp_path) as gateway:
            _until(lambda: len(_workers(gateway.pid)) == 2, "there are no workers")
            assert _status(gateway) == 418
            allowed = resource.prlimit(gateway.pid, resource.RLIMIT_NOFILE)
            assert allowed[0] > 256
            _until(lambda: _open_files(gateway.pid) == {allowed}, "the workers may open fewer files")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _open_files(pid: int) -> set[tuple[int, int]]:
    return {resource.prlimit(worker, resource.RLIMIT_NOFILE) for worker in _workers(pid)}


@real
def test_workers_import_nothing_from_the_working_directory(policy: Path, tmp_path: Path) -> None:
    """As the command itself does not, which an installed script is."""
    script, directory = tmp_path / "bin" / "ai-gateway", tmp_path / "here"
    script.parent.mkdir()
    script.write_text("from ai_gateway_mw.cli import main\n\nif __name__ == '__main__':\n    main()\n")
    directory.mkdir()
    (directory / "secrets.py").write_text("raise RuntimeError('this is another module')\n")
    process = GatewayProcess("run", policy, "--workers", "2", directory=directory)
    process.command[1:3] = [str(script)]
    with process as gateway:
        assert _status(gateway) == 418
        assert "another module" not in gateway.output


@real
def test_workers_start_also_where_there_is_no_place_for_a_socket(policy: Path, tmp_path: Path) -> None:
    """The name of one has room for a hundred characters."""
    place = tmp_path / ("x" * 100)
    place.mkdir()
    environment = {"TMPDIR": str(place)}
    with GatewayProcess("run", policy, "--workers", "2", environment=environment, directory=tmp_path) as gateway:
        assert _status(gateway) == 418


@real
def test_it_ends_with_its_terminal(policy: Path, tmp_path: Path) -> None:
    port = free_port()
    with AtTerminal("run", str(policy), "--port", str(port), directory=tmp_path) as terminal:
        terminal.wait_for("encrypted vault")
        _until(lambda: _answers(port), "nothing listens")
        terminal.close()
        os.kill(terminal.pid, signal.SIGHUP)  # what the terminal's own session would get
        assert terminal.exit_code() == 0


@real
def test_allowed_missing_secrets_are_told_and_it_is_not_ready(policy: Path, tmp_path: Path) -> None:
    policy.write_text(WITH_SECRET.format(url="https://api.openai.com"))
    with GatewayProcess("run", policy, "--allow-missing-secrets", directory=tmp_path) as gateway:
        gateway.printed("^warning: no secret openai/primary")
        assert httpx.get(f"{gateway.url}/readyz", trust_env=False).status_code == 503


@real
def test_requests_are_logged_on_demand(policy: Path, tmp_path: Path) -> None:
    with GatewayProcess("run", policy, "--log-requests", directory=tmp_path) as gateway:
        _status(gateway)
        line = gateway.printed("INFO ai_gateway_mw.requests: ")
        assert re.search(r'"path":"/v1/chat/completions","status":418', line)
