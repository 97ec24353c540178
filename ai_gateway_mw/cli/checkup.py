"""What `doctor` looks at, one function each; what they find names secrets and never shows one."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import resource
import stat
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from ai_gateway_mw.cli.console import problem_text
from ai_gateway_mw.cli.loading import missing_secret
from ai_gateway_mw.cli.serving import CannotListen, listening
from ai_gateway_mw.errors import PolicyError, SecretError
from ai_gateway_mw.middleware import Gateway
from ai_gateway_mw.secrets import LocalVault, MasterKey
from ai_gateway_mw.settings import Settings
from ai_gateway_mw.version import VERSION

_DISTRIBUTION: Final = "ai-gateway-mw"
_NEEDED: Final = "server"  # the extra without which there is no command
_OLDEST_PYTHON: Final = (3, 11)
_REQUIREMENT: Final = re.compile(r"(?P<name>[A-Za-z0-9._-]+).*extra == ['\"](?P<extra>[^'\"]+)['\"]")
_FEW_FILES: Final = 4_096  # for 2,000 open streams, each with a connection on either side


class State(StrEnum):
    """How a finding counts; only what is wrong makes `doctor` fail."""

    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    what: str
    state: State
    text: str


def installation() -> Iterator[Finding]:
    """Python, this package, and its extras."""
    usable = sys.version_info >= _OLDEST_PYTHON
    yield Finding("python", State.OK if usable else State.WRONG, f"{platform.python_version()} on {platform.system()}")
    yield Finding("package", State.OK, f"{_DISTRIBUTION} {VERSION}")
    lacking = {extra: [name for name in names if not _installed(name)] for extra, names in _extras().items()}
    if lacking:
        yield Finding("extras", State.OK, ", ".join(extra for extra, names in lacking.items() if not names) or "none")
    if lacking.get(_NEEDED):
        yield Finding("extras", State.WRONG, f"`{_NEEDED}` is not complete: without {', '.join(lacking[_NEEDED])}")


def _extras() -> dict[str, list[str]]:
    """What each extra brings, by the names of distributions; empty where the package is not installed but on a path."""
    found: dict[str, list[str]] = defaultdict(list)
    try:
        requirements = importlib.metadata.requires(_DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        return found
    for requirement in requirements:
        if parts := _REQUIREMENT.match(requirement):
            found[parts["extra"]].append(parts["name"])
    return dict(sorted(found.items()))


def _installed(distribution: str) -> bool:
    try:
        return bool(importlib.metadata.version(distribution))
    except importlib.metadata.PackageNotFoundError:
        return False


def settings_warnings(settings: Settings) -> Iterator[Finding]:
    """Variables that no setting has, and other doubts."""
    for warning in settings.warnings:
        yield Finding("settings", State.WARNING, warning.headline)


def data_directory(settings: Settings) -> Iterator[Finding]:
    """Whether it can be written, and whether only its owner reads what is in it."""
    directory = settings.data_dir
    if not directory.exists():
        above = next(parent for parent in directory.absolute().parents if parent.exists())
        if os.access(above, os.W_OK | os.X_OK):
            yield Finding("data directory", State.OK, f"{directory} is made when something needs storing")
        else:
            text = f"{directory} cannot be made: this user may not write to {above}; AI_GATEWAY_DATA_DIR names another"
            yield Finding("data directory", State.WRONG, text)
        return
    if not directory.is_dir() or not os.access(directory, os.R_OK | os.W_OK | os.X_OK):
        yield Finding(
            "data directory",
            State.WRONG,
            f"{directory} is no directory that this user may write to; AI_GATEWAY_DATA_DIR names another",
        )
        return
    yield Finding("data directory", State.OK, str(directory))
    for path in sorted(directory.iterdir()):
        mode = stat.S_IMODE(path.stat().st_mode)
        if path.is_file() and mode & (stat.S_IRWXG | stat.S_IRWXO):
            text = f"{path} is open to other users (mode {mode:03o}); do: chmod 600 {path}"
            yield Finding("data directory", State.WRONG, text)


def sources(settings: Settings) -> Iterator[Finding]:
    """The sources of secrets, and whether the local vault opens."""
    for source in Gateway.from_policy({}, settings=settings).stores.secrets.sources:
        yield Finding(f"source {source.name}", State.OK, source.describe())
        if isinstance(source, LocalVault):
            yield from _vault(source)


def master_key(settings: Settings) -> Iterator[Finding]:
    """Whether the key that seals stored secrets can be used, where there is one already."""
    file = settings.data_dir / "master.key"
    try:
        if settings.master_key is not None:
            MasterKey.from_setting(settings.master_key, bytes(16))
            yield Finding("master key", State.OK, "AI_GATEWAY_MASTER_KEY")
        elif MasterKey.from_file(file) is not None:
            yield Finding("master key", State.OK, str(file))
    except SecretError as error:
        yield Finding("master key", State.WRONG, str(error))


def _vault(vault: LocalVault) -> Iterator[Finding]:
    try:
        entries = vault.entries()
        if entries:
            vault.get(entries[0].vault, entries[0].name)  # proves the master key
    except SecretError as error:
        yield Finding("source local", State.WRONG, str(error))
    else:
        yield Finding("source local", State.OK, f"{len(entries)} stored")


def policy(file: Path, settings: Settings) -> Iterator[Finding]:
    """Whether the policy loads, and which of the secrets that it names can be had."""
    try:
        gateway = Gateway.from_file(file, settings=settings)
    except PolicyError as error:
        for problem in error.problems:
            yield Finding("policy", State.WRONG, problem_text(problem))
        return
    yield Finding("policy", State.OK, str(file))
    for warning in gateway.warnings:
        yield Finding("policy", State.WARNING, problem_text(warning))
    for vault, name in sorted(gateway.program.secrets):
        reason = missing_secret(gateway, vault, name)
        yield Finding("secret", State.WRONG if reason else State.OK, reason or f"{vault}/{name}")


def port(host: str, number: int) -> Iterator[Finding]:
    """Whether `run` could listen there; a gateway that is running already is no fault."""
    try:
        listening(host, number).close()
    except CannotListen as error:
        yield Finding("port", State.WARNING, str(error))
    else:
        yield Finding("port", State.OK, f"{number} of {host} is free")


def open_files() -> Iterator[Finding]:
    """`run` raises the limit as far as it may."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < _FEW_FILES:
        text = f"this user may open {hard} files at once, enough for {hard // 2} requests; see `ulimit -Hn`"
        yield Finding("open files", State.WARNING, text)
    else:
        yield Finding("open files", State.OK, "no limit" if hard == resource.RLIM_INFINITY else f"at most {hard}")
