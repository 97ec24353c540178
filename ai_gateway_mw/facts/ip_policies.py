"""IP policies: ranges under an id, which `restrict-ips` names by `ip_policies`; how a setting and files write them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pydantic import Field, field_validator

from ai_gateway_mw.addresses import Network, parse_network
from ai_gateway_mw.errors import PolicyError, Problem
from ai_gateway_mw.policy import ActionConfig, load_data

_REFUSES: Final = "!"


@dataclass(frozen=True, slots=True)
class IPPolicy:
    """Ranges to let in, and ranges to refuse."""

    allow: tuple[Network, ...] = ()
    deny: tuple[Network, ...] = ()

    @classmethod
    def of(cls, ranges: Iterable[str]) -> IPPolicy:
        """The policy of ranges, of which those that begin with `!` are refused. Raises ValueError."""
        listed = list(ranges)
        if not listed:
            raise ValueError("an IP policy has ranges, such as `ipp_office=10.0.0.0/8 192.0.2.0/24 !192.0.2.9/32`")
        return cls(
            tuple(parse_network(text) for text in listed if not text.startswith(_REFUSES)),
            tuple(parse_network(text[1:]) for text in listed if text.startswith(_REFUSES)),
        )

    def __str__(self) -> str:
        return " ".join([*map(str, self.allow), *(f"{_REFUSES}{network}" for network in self.deny)])


@dataclass(frozen=True, slots=True)
class IPPolicies:
    """What a setting says: policies by their ids, and the files that have more of them."""

    given: Mapping[str, IPPolicy] = field(default_factory=dict)
    files: tuple[Path, ...] = ()

    @classmethod
    def of(cls, items: Iterable[str]) -> IPPolicies:
        """Items such as `ipp_office=10.0.0.0/8 192.0.2.0/24`; one without `=` is a file. Raises ValueError."""
        given: dict[str, IPPolicy] = {}
        files = []
        for item in items:
            name, equals, ranges = item.partition("=")
            name = name.strip()
            if not equals:
                files.append(Path(item).expanduser())
            elif name in given or not name:
                raise ValueError(f"the IP policy `{name}` is there twice" if name else f"`{item}` has no id")
            else:
                given[name] = IPPolicy.of(ranges.split())
        return cls(given, tuple(files))

    def __str__(self) -> str:
        return ",".join([*(f"{name}={policy}" for name, policy in self.given.items()), *map(str, self.files)])


class _Written(ActionConfig):
    """The ranges of one policy, in a file."""

    allow: tuple[str, ...] = Field((), description="CIDR ranges to let in.")
    deny: tuple[str, ...] = Field((), description="CIDR ranges to refuse, also within `allow`.")

    @field_validator("allow", "deny")
    @classmethod
    def _are_ranges(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            parse_network(text)
        return value


class _File(ActionConfig):
    """A whole file."""

    ip_policies: dict[str, _Written] = Field(default_factory=dict)


def load_ip_policies(policies: IPPolicies) -> Mapping[str, IPPolicy]:
    """All of them, with those of the files, which are read now. Raises `PolicyError`."""
    found: dict[str, IPPolicy] = dict(policies.given)
    for path in policies.files:
        for name, written in load_data(path, _File).ip_policies.items():
            if name in found:
                raise PolicyError([Problem(f"{path}: the IP policy `{name}` is there twice")])
            found[name] = IPPolicy(tuple(map(parse_network, written.allow)), tuple(map(parse_network, written.deny)))
    return found
