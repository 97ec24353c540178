"""The demo as a newcomer runs it: a real model's answer that came through a failover."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from ai_gateway_mw.cli.ready_policies import ready_policy
from ai_gateway_mw.keys import PATTERN
from tests.servers import clean_environment


@pytest.mark.model
@pytest.mark.slow
@pytest.mark.subprocess
@pytest.mark.timeout(200)
def test_one_answer_through_a_failover() -> None:
    command = [sys.executable, "-m", "ai_gateway_mw", "demo", "--once"]
    done = subprocess.run(command, env=clean_environment(), capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "`first`, which refused its key; attempt 2 was served by `second`" in done.stdout
    assert len(re.findall(PATTERN, done.stdout)) == 1
    answer = done.stdout.partition("Model:")[2].partition("Attempt 1")[0]
    assert len(answer.split()) > 5
    assert done.stderr == ""


@pytest.mark.subprocess
@pytest.mark.parametrize("module", ["openai", "xllamacpp"])
def test_without_its_extra_nothing_is_started(module: str) -> None:
    code = (
        f"import sys; sys.modules['{module}'] = None; from ai_gateway_mw.cli.demo import run_demo; sys.exit(run_demo())"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=clean_environment(), capture_output=True, text=True, timeout=150, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"{module} is not installed; do: pip install 'ai-gateway-mw[demo]'\n"


def test_its_policy_is_one_of_the_ready_ones() -> None:
    assert ready_policy("demo").is_file()
