"""`python -m ai_gateway_mw`: the same as the command `ai-gateway`."""

from __future__ import annotations

from ai_gateway_mw.cli import main

if __name__ == "__main__":
    main()
