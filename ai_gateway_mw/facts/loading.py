"""The files of IP intelligence, each read by what its name ends with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ai_gateway_mw.facts import maxmind, range_files
from ai_gateway_mw.facts.addresses import AddressSource, Intelligence

_READERS: Mapping[str, Callable[[Path], AddressSource]] = {".mmdb": maxmind.load, ".csv": range_files.load_csv}


def load_intelligence(paths: Sequence[Path]) -> Intelligence | None:
    """The provider of these files; None without any. Raises `PolicyError` for what cannot be read."""
    if not paths:
        return None
    return Intelligence([_READERS.get(path.suffix.lower(), range_files.load_yaml)(path) for path in paths])
