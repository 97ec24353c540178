"""The list of commands, and that naming them costs next to nothing."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from ai_gateway_mw.cli.app import COMMANDS
from ai_gateway_mw.version import VERSION
from tests.cli.conftest import Command
from tests.servers import clean_environment

# The package's own door is left out: what it imports is not the command's affair.
LIST_COMMANDS = """
import importlib.machinery, json, sys, types
package = types.ModuleType("ai_gateway_mw")
package.__path__ = importlib.machinery.PathFinder.find_spec("ai_gateway_mw").submodule_search_locations
sys.modules["ai_gateway_mw"] = package
from ai_gateway_mw.cli import main
sys.argv = ["ai-gateway", "--help"]
try:
    main()
finally:
    print("\\n" + json.dumps(sorted(sys.modules)))
"""
HEAVY = {"pydantic", "httpx", "starlette", "uvicorn", "yaml", "lark", "re2", "asyncio", "sqlite3", "watchfiles"}


def test_it_lists_its_commands(command: Command) -> None:
    listed = command("--help")
    assert listed.exit_code == 0
    for name, entry in COMMANDS.items():
        assert f"{name} " in listed.stdout
        assert entry.help in listed.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_the_line_of_the_list_opens_the_help_of_the_command(command: Command, name: str) -> None:
    shown = command(name, "--help")
    assert shown.exit_code == 0
    assert COMMANDS[name].help in shown.stdout


def test_listing_them_imports_nothing_heavy() -> None:
    done = subprocess.run([sys.executable, "-c", LIST_COMMANDS], capture_output=True, text=True, check=True, timeout=30)
    imported = {name.partition(".")[0] for name in json.loads(done.stdout.splitlines()[-1])}
    assert not imported & HEAVY


def test_it_tells_its_version(command: Command) -> None:
    assert command("--version").stdout == f"ai-gateway {VERSION}\n"


@pytest.mark.parametrize("arguments", [["chek", "x.yaml"], ["check"], ["run", "--port", "http"], ["run", "--nonsense"]])
def test_wrong_usage_ends_with_2(command: Command, arguments: list[str]) -> None:
    result = command(*arguments)
    assert result.exit_code == 2
    assert "Usage: ai-gateway" in result.stderr


def test_a_misspelt_command_is_recognised(command: Command) -> None:
    assert "Did you mean 'check'" in command("chek").stderr


def test_as_a_module_it_is_the_same_command() -> None:
    call = [sys.executable, "-m", "ai_gateway_mw", "--version"]
    assert subprocess.run(call, capture_output=True, text=True, check=True).stdout == f"ai-gateway {VERSION}\n"


def test_without_the_server_extra_it_says_what_to_install() -> None:
    without = "import sys; sys.modules['typer'] = None; from ai_gateway_mw.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", without], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "typer is not installed; do: pip install 'ai-gateway-mw[server]'\n"


def test_a_command_that_lacks_a_package_says_what_to_install() -> None:
    without = (
        "import sys; sys.modules['uvicorn'] = None; sys.argv[1:] = ['run']; from ai_gateway_mw.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", without], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "uvicorn is not installed; do: pip install 'ai-gateway-mw[server]'\n"


def test_no_color_is_honoured() -> None:
    call = [sys.executable, "-m", "ai_gateway_mw", "check", "nowhere.yaml"]
    plain, coloured = (
        subprocess.run(
            call,
            env=clean_environment() | {"FORCE_COLOR": "1", **variables},
            capture_output=True,
            text=True,
            check=False,
        ).stderr
        for variables in ({"NO_COLOR": "1"}, {})
    )
    assert "\x1b[1;31m" in coloured
    assert "\x1b[1;31m" not in plain


def test_what_the_terminal_cannot_show_is_escaped() -> None:
    call = [sys.executable, "-m", "ai_gateway_mw", "check", "nowhere-é.yaml"]
    environment = clean_environment() | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run(call, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "nowhere-\\xe9.yaml: cannot be read: No such file or directory\n")
