"""The YAML language server, which editors run, in a process of its own; it is installed into a cache of the tests."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Self

import pytest

VERSION = "1.19.2"
PATIENCE = 240.0


def installed() -> Path:
    """The server's script; skips the test where it cannot be had, and says why."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("node and npm are not installed: the YAML language server cannot run")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ai-gateway-mw-tests"
    place = cache / f"yaml-language-server-{VERSION}"
    script = place / "node_modules" / "yaml-language-server" / "bin" / "yaml-language-server"
    if script.exists():
        return script
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as draft:
        made = _install(npm, draft)
        if made is not None:
            pytest.skip(f"the YAML language server cannot be installed: {made}")
        try:
            Path(draft, "made").rename(place)
        except OSError:  # another process was faster
            assert script.exists()
    return script


def _install(npm: str, directory: str) -> str | None:
    """Why it failed, or None."""
    Path(directory, "made").mkdir()
    call = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", f"yaml-language-server@{VERSION}"]
    try:
        done = subprocess.run(
            call, cwd=f"{directory}/made", capture_output=True, text=True, timeout=PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        return "npm took too long"
    return None if done.returncode == 0 else (done.stderr.strip().splitlines() or ["npm failed"])[-1]


class LanguageServer:
    """One conversation with the server, in the Language Server Protocol 3.17."""

    def __init__(self, script: Path) -> None:
        self._call = [shutil.which("node") or "node", str(script), "--stdio"]
        self._number = 0
        self._notified: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._call, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        completion = {"completionItem": {"snippetSupport": False, "documentationFormat": ["markdown"]}}
        capabilities = {"textDocument": {"completion": completion}, "workspace": {"configuration": True}}
        self.ask("initialize", processId=None, rootUri=None, capabilities=capabilities)
        self.tell("initialized")
        return self

    def __exit__(self, *failure: object) -> None:
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
        self._process.wait()

    def open(self, uri: str, text: str) -> None:
        document = {"uri": uri, "languageId": "yaml", "version": 1, "text": text}
        self.tell("textDocument/didOpen", textDocument=document)

    def diagnostics(self, uri: str) -> list[dict[str, Any]]:
        """What the server has to say of a document."""
        while True:
            for each in self._notified:
                if each["method"] == "textDocument/publishDiagnostics" and each["params"]["uri"] == uri:
                    self._notified.remove(each)
                    return list(each["params"]["diagnostics"])
            self._take(self._received())

    def completions(self, uri: str, line: int, character: int) -> dict[str, dict[str, Any]]:
        """What it offers at a place, by label."""
        place = {"line": line, "character": character}
        found = self.ask("textDocument/completion", textDocument={"uri": uri}, position=place)
        return {item["label"]: item for item in found["items"]}

    def ask(self, method: str, **params: Any) -> Any:
        self._number += 1
        self._send({"id": self._number, "method": method, "params": params})
        while True:
            message = self._received()
            if message.get("id") == self._number and "method" not in message:
                assert "error" not in message, message
                return message["result"]
            self._take(message)

    def tell(self, method: str, **params: Any) -> None:
        self._send({"method": method, "params": params})

    def _take(self, message: dict[str, Any]) -> None:
        """Keep a notification; answer what the server asks."""
        if "id" not in message:
            self._notified.append(message)
        elif message.get("method") == "workspace/configuration":
            wanted = [{} if item.get("section") != "yaml" else _SETTINGS for item in message["params"]["items"]]
            self._send({"id": message["id"], "result": wanted})
        elif "method" in message:
            self._send({"id": message["id"], "result": None})

    def _send(self, message: dict[str, Any]) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        assert self._process.stdin is not None
        self._process.stdin.write(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        self._process.stdin.flush()

    def _received(self) -> dict[str, Any]:
        stream = self._process.stdout
        assert stream is not None
        length = 0
        while (line := stream.readline().strip()) or not length:
            if not line and self._process.poll() is not None:
                raise AssertionError("the language server has ended")
            if line.lower().startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        message: dict[str, Any] = json.loads(stream.read(length))
        return message


_SETTINGS = {"validate": True, "completion": True, "hover": True, "schemaStore": {"enable": False}}
