"""The command `ai-gateway`, which on SIGUSR1 also tells how many asyncio tasks it has."""

from __future__ import annotations

import asyncio
import signal

from ai_gateway_mw.cli import main


def _tell(*_: object) -> None:
    """Python runs handlers between two steps of the event loop that is running."""
    print(f"tasks: {len(asyncio.all_tasks())}", flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, _tell)
    main()
