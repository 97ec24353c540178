"""The command `ai-gateway`. Nothing is imported here: each command imports what it needs when it is called."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command with the arguments of this process, and exit with its code."""
    for stream in (sys.stdout, sys.stderr):  # what the terminal cannot show must not end in a traceback
        getattr(stream, "reconfigure", lambda **_: None)(errors="backslashreplace")
    try:
        from ai_gateway_mw.cli.app import app

        app(prog_name="ai-gateway")
    except ModuleNotFoundError as missing:
        if missing.name is None or missing.name.partition(".")[0] == "ai_gateway_mw":
            raise
        raise SystemExit(f"{missing.name} is not installed; do: pip install 'ai-gateway-mw[server]'") from None
