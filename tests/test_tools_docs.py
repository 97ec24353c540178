"""docs/policy/tools.md shows what its commands print: each is run here, in a directory with the files that it names.

`python -m tests.test_tools_docs` writes the outputs into the page.
"""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ai_gateway_mw.cli.app import app

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "policy" / "tools.md"
_SHOWN = re.compile(r"```console\n\$ (?P<command>ai-gateway .*)\n(?P<output>[^`]*(?:`(?!``)[^`]*)*)```")
_REQUEST_ID = re.compile(r"req_[0-9a-f]{32}")
_LOG = """\
{"request":"req_1","method":"POST","path":"/v1/chat/completions","status":200,"model":"gpt-4o"}
{"request":"req_2","method":"POST","path":"/v1/chat/completions","status":200,"model":"gpt-4o"}
{"request":"req_3","method":"GET","path":"/v1/models","status":200}
"""


def prepare(directory: Path) -> None:
    """The files that the page's commands name."""
    for policy in (ROOT / "policies").glob("*.yaml"):
        shutil.copy(policy, directory)
    (directory / "requests.log").write_text(_LOG)
    (directory / "exchanges.yaml").write_text(PAGE.read_text().partition("```yaml\n")[2].partition("```")[0])


def output(command: str) -> str:
    """What a command prints, without what chance is in it."""
    result = CliRunner().invoke(app, shlex.split(command)[1:], prog_name="ai-gateway")
    return _REQUEST_ID.sub("req_…", result.output)


def written(page: str, printed: Callable[[str], str]) -> str:
    """The page with each output as it is."""
    return _SHOWN.sub(lambda shown: f"```console\n$ {shown['command']}\n{printed(shown['command'])}```", page)


def test_the_outputs_are_those_of_the_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    prepare(tmp_path)
    page = PAGE.read_text()
    assert len(_SHOWN.findall(page)) == 5
    assert written(page, output) == page


if __name__ == "__main__":
    import os
    import tempfile

    with tempfile.TemporaryDirectory() as where:
        prepare(Path(where))
        os.chdir(where)
        PAGE.write_text(written(PAGE.read_text(), output))
