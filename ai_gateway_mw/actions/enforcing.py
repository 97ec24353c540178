"""What `enforce` means, the same in every action that has it."""

from __future__ import annotations

from typing import Final

ENFORCE: Final = "False: nothing is refused; what would have been is counted, logged, and published as usual."
