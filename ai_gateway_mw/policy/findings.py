"""pydantic's errors, each with its path in a config; of a union only what its best fitting member says."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_core import ErrorDetails

from ai_gateway_mw.policy.document import Path
from ai_gateway_mw.policy.phrases import shape_of


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong at `path`: one error, or one for each member of a union that has another shape altogether."""

    path: Path
    errors: tuple[ErrorDetails, ...]

    @property
    def type(self) -> str:
        return self.errors[0]["type"]

    @property
    def is_about_key(self) -> bool:
        """Whether the key at the end of the path is wrong, and not its value."""
        return self.errors[0]["loc"][-1:] == ("[key]",)


_Errors = list[tuple[Path, ErrorDetails]]


def findings(errors: Iterable[ErrorDetails], config: Any) -> list[Finding]:
    """The errors that a person should see; there is one at least, or what is wrong would be taken for nothing."""
    listed = [(error["loc"], error) for error in errors]
    return list(_findings(listed, config)) or [Finding(path, (error,)) for path, error in listed]


def _findings(errors: _Errors, config: Any) -> Iterator[Finding]:
    unions: dict[Path, dict[str | int, _Errors]] = defaultdict(lambda: defaultdict(list))
    for path, error in errors:
        index = _member_index(path, error, config)
        if index is not None:
            unions[path[:index]][path[index]].append((path[:index] + path[index + 1 :], error))
        elif not _has_enough(path, error, config):
            yield Finding(path, (error,))
    for path, members in unions.items():
        yield from _of_union(path, list(members.values()), config)


def _of_union(path: Path, members: list[_Errors], config: Any) -> Iterator[Finding]:
    fitting = [member for member in members if any(at != path or not shape_of(error) for at, error in member)]
    if fitting:
        yield from _findings(min(fitting, key=len), config)
    else:
        yield Finding(path, tuple(member[0][1] for member in members))


def _member_index(path: Path, error: ErrorDetails, config: Any) -> int | None:
    """Where pydantic put the name of a union's member into a path: the first step that the config does not have."""
    for index, step in enumerate(path[:-1] if error["type"] == "missing" else path):
        known = config.keys() if isinstance(config, Mapping) else range(len(config)) if isinstance(config, list) else ()
        if step not in known:
            return index
        config = config[step]
    return None


def _has_enough(path: Path, error: ErrorDetails, config: Any) -> bool:
    """Whether only pydantic misses entries: it counts those in which it finds nothing wrong."""
    return error["type"] == "too_short" and len(value_at(config, path)) >= error["ctx"]["min_length"]


def value_at(value: Any, path: Path) -> Any:
    """What a path leads to in plain values."""
    for step in path:
        value = value[step]
    return value
